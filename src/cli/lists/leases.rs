//! `wharf leases`.

use wharf_model::filter::{Field, Status};
use wharf_model::rules::release::HolderIs;
use wharf_model::*;
use wharf_store::view::*;
use wharf_ui::format;

use super::{duration, listed, number, some};
use crate::cli::context::Context;
use crate::cli::docs::*;
use crate::cli::error::Result;
use crate::cli::filter::{self, Knows, Row};
use crate::cli::list::{self, ListArgs};
use crate::cli::table::{Cell, Table};
use crate::clock;
use crate::console::lease_facts;

/// What the list can be asked for.
pub const LEASES: Knows = Knows {
    rows: "leases",
    statuses: &[
        Status::Live,
        Status::Ended,
        Status::Waiting,
        Status::Active,
        Status::Releasing,
        Status::Released,
        Status::Retained,
        Status::Cleanup,
        Status::Expired,
        Status::Failed,
    ],
    fields: &[Field::Agent, Field::Issue, Field::Environment, Field::Run, Field::Lease, Field::Workspace, Field::Kind],
    figures: false,
};

impl Row for LeaseItem {
    fn is(&self, status: Status) -> bool {
        let is = self.lease.status;
        match status {
            Status::Live => !is.is_terminal(),
            Status::Ended => is.is_terminal(),
            Status::Waiting => matches!(is, LeaseStatus::Waiting | LeaseStatus::Acquiring),
            Status::Active => is == LeaseStatus::Active,
            Status::Releasing => is == LeaseStatus::Releasing,
            Status::Released => is == LeaseStatus::Released,
            Status::Retained => is == LeaseStatus::Retained,
            Status::Cleanup => is == LeaseStatus::PendingCleanup,
            Status::Expired => is == LeaseStatus::Expired,
            Status::Failed => is == LeaseStatus::Failed,
            _ => false,
        }
    }
    fn field(&self, field: Field) -> Vec<String> {
        match field {
            Field::Agent => some(self.agent.as_ref()),
            Field::Issue => some(self.issue.as_ref()),
            Field::Environment => vec![self.environment.clone()],
            Field::Run => number(Kind::Run, self.run_number),
            Field::Lease => number(Kind::Lease, Some(self.lease.number)),
            Field::Workspace => number(Kind::Workspace, self.workspace_number),
            Field::Kind => vec![self.lease.provider.clone()],
            Field::Service | Field::By | Field::Error | Field::Health => Vec::new(),
        }
    }
    fn began(&self) -> UnixMillis {
        self.lease.created_at
    }
    fn words(&self) -> Vec<String> {
        [Field::Lease, Field::Run, Field::Agent, Field::Issue, Field::Environment, Field::Workspace]
            .into_iter()
            .flat_map(|f| self.field(f))
            .chain(self.lease.failure_reason.clone())
            .collect()
    }
}

/// `live`, `gone`, `unknown: what was seen`.
fn holder_is(row: &LeaseItem) -> Option<String> {
    let holder = row.holder();
    match holder.is {
        HolderIs::Nobody => None,
        HolderIs::Unknown => Some(format!("unknown: {}", holder.evidence)),
        other => Some(other.to_string()),
    }
}

/// What it waits for, or how giving it back stands: tries, the next one, the last error.
fn cleanup(row: &LeaseItem, now: UnixMillis) -> Option<String> {
    if let Some(waits) = lease_facts::waits(row) {
        return Some(waits);
    }
    let line = lease_facts::lease(row);
    let next = row.lease.next_try_at.map(|at| format!(" in {}", format::duration(now.until(at)))).unwrap_or_default();
    let error = row.lease.cleanup_error.as_ref().filter(|_| !row.lease.status.is_terminal());
    let error = error.map(|e| format!(": {}", e.lines().next().unwrap_or_default())).unwrap_or_default();
    line.cleanup.map(|words| format!("{words}{next}{error}"))
}

/// Lists leases, newest first.
pub fn leases(context: &Context, args: &ListArgs, held: bool) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &LEASES)?;
    let query = LeaseQuery::default();
    let passes = |row: &LeaseItem| (!held || row.is(Status::Live)) && ready.passes(row);
    let listed = listed(context, args, |reader, at, n| reader.leases(&query, at, n), passes)?;
    let (now, zone) = (clock::now(), context.zone());
    list::print(
        context,
        args,
        "leases",
        if held && args.filter.is_empty() { "--held" } else { "the filter" },
        &listed,
        LeaseDoc::new,
        |rows| {
            let header = [
                "LEASE",
                "STATUS",
                "ENV",
                "DRIVER",
                "POLICY",
                "HOLDER",
                "HOLDER IS",
                "ACQUIRED",
                "USED",
                "EXPIRES IN",
                "CLEAN-UP",
            ];
            let mut table = Table::new(&header);
            for row in rows {
                let (class, word) = lease_state(row);
                let l = &row.lease;
                let holder = [row.run_number.map(|n| Kind::Run.number(n)), row.agent.clone(), row.issue.clone()];
                let holder: Vec<String> = holder.into_iter().flatten().collect();
                let until = l.retain_until.filter(|_| l.status == LeaseStatus::Retained).or(l.expires_at);
                let left = until.filter(|_| !l.status.is_terminal()).map(|at| now.until(at));
                table.row(vec![
                    Cell::text(Kind::Lease.number(l.number)),
                    Cell::state(class, word),
                    Cell::text(row.environment.clone()),
                    Cell::text(l.provider.clone()),
                    Cell::text(wharf_ui::rows::policy_words(l.lease_policy)),
                    Cell::maybe((!holder.is_empty()).then(|| holder.join(" "))),
                    Cell::maybe(holder_is(row)),
                    Cell::maybe(l.acquired_at.map(|at| format::moment(at, now, zone))),
                    duration(l.last_used_at.map(|at| at.until(now))),
                    Cell::figure(left.map(|ms| if ms < 0 { "overdue".to_owned() } else { format::left(ms) })),
                    Cell::maybe(cleanup(row, now)),
                ]);
            }
            table
        },
    )
}
