//! What is known of a lease beside its row: its entries in the audit trail, who waits for its environment.

use serde::Serialize;
use wharf_model::column::Column as _;
use wharf_model::*;

use super::lease::{JOINS, LeaseItem, MORE, OPEN, TAKES_SLOT, by_id, read};
use super::{ActivityQuery, Conditions, select};
use crate::{Reader, StoreError, load};

/// What is known of a lease beside its row, all of one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeaseTrail {
    /// The lease.
    pub lease: LeaseItem,
    /// Its newest entries in the audit trail, and those of its run about its workspace; the newest first.
    pub activity: Vec<ActivityRow>,
    /// Leases that wait for a slot of its environment, in their order.
    pub waiting: Vec<LeaseItem>,
    /// Leases that hold a slot of it.
    pub slots_taken: i64,
    /// Slots it has; none without a limit.
    pub slots: Option<i64>,
}

/// Leases in a waiting line that are shown.
const WAITING: i64 = 100;
/// Entries of the trail that are shown.
const TRAIL: i64 = 200;

impl Reader {
    /// What is known of a lease beside its row.
    pub fn lease_trail(&self, id: LeaseId) -> Result<Option<LeaseTrail>, StoreError> {
        self.read(|conn| {
            let Some(lease) = by_id(conn, id)? else { return Ok(None) };
            let environment = load::by_id::<EnvironmentRow>(conn, &lease.lease.environment_id.text())?;
            let mut own = ActivityQuery { entity: Some(("lease".into(), id.text())), ..Default::default() };
            let mut activity = own.rows(conn, i64::MAX, TRAIL)?;
            if let Some(workspace) = lease.lease.execution_workspace_id {
                own.entity = Some(("workspace".into(), workspace.text()));
                own.run = lease.lease.run_id;
                activity.extend(own.rows(conn, i64::MAX, TRAIL)?);
                activity.sort_by_key(|(position, _)| std::cmp::Reverse(*position));
            }
            let mut line = Conditions::default();
            line.term(OPEN);
            line.term("t.status = 'waiting'");
            line.with("t.environment_id = ?", [lease.lease.environment_id.to_cell()]);
            let tail = format!("ORDER BY t.number LIMIT {WAITING}");
            let waiting = line.run(conn, &select::<LeaseRow>(MORE, JOINS), &tail, read)?;
            let mut held = Conditions::default();
            held.term(OPEN);
            held.term(TAKES_SLOT);
            held.with("t.environment_id = ?", [lease.lease.environment_id.to_cell()]);
            let slots_taken =
                held.run(conn, "SELECT count(*) FROM environment_leases t", "", |row| row.get(0))?.pop().unwrap_or(0);
            Ok(Some(LeaseTrail {
                lease,
                activity: activity.into_iter().map(|(_, row)| row).collect(),
                waiting,
                slots_taken,
                slots: environment.and_then(|e| e.slots),
            }))
        })
    }
}
