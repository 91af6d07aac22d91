//! Leases with who holds them, and what a release would touch.

use rusqlite::Connection;
use serde::Serialize;
use wharf_model::column::{Cell, Column, Row};
use wharf_model::rules::release::{Holder, HolderRun, Urgency};
use wharf_model::*;

use super::{Conditions, Page, ServiceItem, column, first, one_more, page, select, service};
use crate::{Reader, StoreError, load};

/// A lease with the names around it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeaseItem {
    /// The row.
    pub lease: LeaseRow,
    /// Name of its environment.
    pub environment: String,
    /// Number of the run that holds it.
    pub run_number: Option<i64>,
    /// Status of that run.
    pub run_status: Option<RunStatus>,
    /// Whether that run's process can be seen.
    pub run_observation: Option<Observation>,
    /// What was seen of it when it could not be judged.
    pub run_evidence: Option<String>,
    /// Agent of that run.
    pub agent: Option<String>,
    /// Identifier of its issue.
    pub issue: Option<String>,
    /// Number of its workspace.
    pub workspace_number: Option<i64>,
    /// Name of its workspace.
    pub workspace: Option<String>,
    /// How its environment is reached.
    pub driver: Option<Driver>,
    /// Number of its environment.
    pub environment_number: Option<i64>,
    /// Place in the environment's waiting line, from 1; none when it does not wait for a slot.
    pub position: Option<i64>,
    /// Number of the lease whose place it took over.
    pub resumed_from: Option<i64>,
}

impl LeaseItem {
    /// Who holds it, and how that is known.
    pub fn holder(&self) -> Holder {
        let run = self.run_status.map(|status| HolderRun {
            status,
            observation: self.run_observation.unwrap_or(Observation::Live),
            evidence: self.run_evidence.as_deref(),
        });
        Holder::of(&self.lease, run)
    }
}

pub(super) const MORE: &str = ", e.name, r.number, r.status, r.observation, r.observation_evidence, a.name, i.identifier, \
    w.number, w.name, e.driver, e.number, \
    CASE WHEN t.status = 'waiting' THEN (SELECT count(*) FROM environment_leases q \
    WHERE q.status = 'waiting' AND q.environment_id = t.environment_id AND q.number <= t.number) END, \
    (SELECT f.number FROM environment_leases f WHERE f.id = t.resumed_from)";
pub(super) const JOINS: &str = "LEFT JOIN environments e ON e.id = t.environment_id LEFT JOIN runs r ON r.id = t.run_id \
    LEFT JOIN agents a ON a.id = r.agent_id LEFT JOIN issues i ON i.id = t.issue_id \
    LEFT JOIN execution_workspaces w ON w.id = t.execution_workspace_id";
pub(super) const OPEN: &str = "t.status NOT IN ('released', 'expired', 'failed')";

/// The rule `takes_slot` of the model, as a condition.
pub(crate) const TAKES_SLOT: &str = "(t.status IN ('acquiring', 'active') \
    OR (t.status = 'releasing' AND t.cleanup_status IS NULL AND t.retain_until IS NULL) \
    OR (t.status = 'retained' AND t.deadline_at IS NOT NULL))";

pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<LeaseItem> {
    let n = LeaseRow::COLUMNS.len();
    Ok(LeaseItem {
        lease: first(row)?,
        environment: column(row, n)?,
        run_number: column(row, n + 1)?,
        run_status: column(row, n + 2)?,
        run_observation: column(row, n + 3)?,
        run_evidence: column(row, n + 4)?,
        agent: column(row, n + 5)?,
        issue: column(row, n + 6)?,
        workspace_number: column(row, n + 7)?,
        workspace: column(row, n + 8)?,
        driver: column(row, n + 9)?,
        environment_number: column(row, n + 10)?,
        position: column(row, n + 11)?,
        resumed_from: column(row, n + 12)?,
    })
}

/// Which leases are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LeaseQuery {
    /// Of this company.
    pub company: Option<CompanyId>,
    /// Open ones, ended ones, or both.
    pub open: Option<bool>,
    /// Of this environment.
    pub environment: Option<EnvironmentId>,
    /// Of this run.
    pub run: Option<RunId>,
    /// Of this workspace.
    pub workspace: Option<WorkspaceId>,
}

/// What releasing a lease would touch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReleaseFacts {
    /// The lease.
    pub lease: LeaseItem,
    /// The run that holds it.
    pub run: Option<RunRow>,
    /// Services this run uses, with all their users.
    pub services: Vec<ServiceItem>,
    /// Its workspace.
    pub workspace: Option<WorkspaceRow>,
    /// Its environment.
    pub environment: EnvironmentRow,
    /// Leases that hold a slot of the environment, this one among them.
    pub slots_taken: i64,
    /// Numbers of leases that wait for a slot, in their order.
    pub waiting: Vec<i64>,
    /// A release by force was accepted and still waits for the holder.
    pub forced: bool,
    /// A removal was accepted and still waits for the holder.
    pub destroying: bool,
}

impl ReleaseFacts {
    /// The same as the rules judge them, for a release.
    pub fn judged(&self, force: bool) -> wharf_model::rules::release::ReleaseFacts {
        self.of(Urgency::of(force, self.forced))
    }

    /// The same as the rules judge them, for another verb.
    pub fn judged_for_verb(&self) -> wharf_model::rules::release::ReleaseFacts {
        self.of(Urgency::of(true, self.destroying))
    }

    fn of(&self, urgency: Urgency) -> wharf_model::rules::release::ReleaseFacts {
        let own = self.run.as_ref().map(|r| r.id);
        let others = |s: &ServiceItem| s.users.iter().filter(|u| Some(u.run_id) != own).count() + s.dependents.len();
        wharf_model::rules::release::ReleaseFacts {
            lease: self.lease.lease.clone(),
            run: self.run.clone(),
            services: self.services.iter().map(|s| (s.service.clone(), others(s))).collect(),
            workspace: self.workspace.clone(),
            environment: Some(self.environment.clone()),
            urgency,
        }
    }
}

pub(super) fn by_id(conn: &Connection, id: LeaseId) -> rusqlite::Result<Option<LeaseItem>> {
    let mut one = Conditions::default();
    one.equal("t.id", Some(&id));
    Ok(one.run(conn, &select::<LeaseRow>(MORE, JOINS), "", read)?.pop())
}

impl LeaseQuery {
    pub(crate) fn rows(&self, conn: &Connection, below: i64, limit: i64) -> rusqlite::Result<Vec<LeaseItem>> {
        let mut all = Conditions::default();
        match self.open {
            Some(true) => all.term(OPEN),
            Some(false) => all.term("t.status IN ('released', 'expired', 'failed')"),
            None => {}
        }
        all.equal("t.environment_id", self.environment.as_ref());
        all.equal("t.run_id", self.run.as_ref());
        all.equal("t.execution_workspace_id", self.workspace.as_ref());
        all.equal("t.company_id", self.company.as_ref());
        all.with("t.number < ?", [Cell::Int(below)]);
        all.run(conn, &select::<LeaseRow>(MORE, JOINS), &format!("ORDER BY t.number DESC LIMIT {limit}"), read)
    }
}

impl Reader {
    /// A page of leases, newest first; the cursor is a number.
    pub fn leases(
        &self,
        query: &LeaseQuery,
        below: Option<i64>,
        limit: usize,
    ) -> Result<Page<LeaseItem, i64>, StoreError> {
        let rows = self.read(|conn| query.rows(conn, below.unwrap_or(i64::MAX), one_more(limit)))?;
        Ok(page(rows, limit, |l| l.lease.number))
    }

    /// One lease.
    pub fn lease(&self, id: LeaseId) -> Result<Option<LeaseItem>, StoreError> {
        self.read(|conn| by_id(conn, id))
    }

    /// What releasing a lease would touch, all of one moment.
    pub fn release_facts(&self, id: LeaseId) -> Result<Option<ReleaseFacts>, StoreError> {
        self.read(|conn| {
            let Some(lease) = by_id(conn, id)? else { return Ok(None) };
            let environment_id = lease.lease.environment_id;
            let Some(environment) = load::by_id::<EnvironmentRow>(conn, &environment_id.text())? else {
                return Ok(None);
            };
            let run = match lease.lease.run_id {
                Some(run) => load::by_id::<RunRow>(conn, &run.text())?,
                None => None,
            };
            let services = match &run {
                Some(run) => service::used_by(conn, run.id)?,
                None => Vec::new(),
            };
            let works_in = run.as_ref().and_then(|r| r.workspace_id).or(lease.lease.execution_workspace_id);
            let workspace = match works_in {
                Some(workspace) => load::by_id(conn, &workspace.text())?,
                None => None,
            };
            let mut accepted = Conditions::default();
            accepted.term("t.status IN ('pending', 'accepted')");
            accepted.term("t.status = 'accepted'");
            accepted.with("t.target_id = ?", [id.to_cell()]);
            let accepted = accepted.run(conn, &select::<RequestRow>("", ""), "", first::<RequestRow>)?;
            let destroying = accepted.iter().any(|r| r.kind == RequestKind::LeaseDestroy.as_str());
            let forced =
                accepted.iter().any(|r| r.kind == RequestKind::LeaseRelease.as_str() && r.args["force"] == true);
            let mut open = Conditions::default();
            open.term(OPEN);
            open.with("t.environment_id = ?", [environment_id.to_cell()]);
            let held = open.run(
                conn,
                &format!("SELECT t.number, t.status = 'waiting', {TAKES_SLOT} FROM environment_leases t"),
                "ORDER BY t.number",
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?, row.get::<_, bool>(2)?)),
            )?;
            let waiting: Vec<i64> = held.iter().filter(|(_, waits, _)| *waits).map(|(n, ..)| *n).collect();
            let slots_taken = held.iter().filter(|(.., takes)| *takes).count() as i64;
            Ok(Some(ReleaseFacts {
                lease,
                run,
                services,
                workspace,
                environment,
                slots_taken,
                waiting,
                forced,
                destroying,
            }))
        })
    }
}
