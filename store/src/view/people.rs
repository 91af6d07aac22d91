//! Companies, projects, agents and environments: few rows each, shown whole.

use rusqlite::Connection;
use serde::Serialize;
use wharf_model::column::Row;
use wharf_model::*;

use super::{Conditions, column, first, select};
use crate::{Reader, StoreError, load};

/// Rows of one kind that are shown at most.
const WHOLE: i64 = 2_000;

/// An agent with what it does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgentItem {
    /// The row.
    pub agent: AgentRow,
    /// Key of its project.
    pub project: Option<String>,
    /// Runs that run.
    pub running: i64,
    /// Runs that wait.
    pub queued: i64,
    /// Number of its newest run.
    pub last_run_number: Option<i64>,
    /// Status of that run.
    pub last_run_status: Option<RunStatus>,
}

/// An environment with how full it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnvironmentItem {
    /// The row.
    pub environment: EnvironmentRow,
    /// Leases that hold a slot.
    pub held: i64,
    /// Leases that wait for one.
    pub waiting: i64,
    /// Leases that are kept after their run.
    pub retained: i64,
    /// Leases whose clean-up is still to be done.
    pub to_clean: i64,
}

const AGENT: &str = ", p.key, \
    (SELECT count(*) FROM runs r WHERE r.status = 'running' AND +r.agent_id = t.id), \
    (SELECT count(*) FROM runs r WHERE r.status = 'queued' AND +r.agent_id = t.id), \
    (SELECT r.number FROM runs r WHERE r.agent_id = t.id ORDER BY r.number DESC LIMIT 1), \
    (SELECT r.status FROM runs r WHERE r.agent_id = t.id ORDER BY r.number DESC LIMIT 1)";

const ENVIRONMENT: &str = ", count(l.id) FILTER (WHERE l.takes), \
    count(l.id) FILTER (WHERE l.status = 'waiting'), count(l.id) FILTER (WHERE l.status = 'retained'), \
    count(l.id) FILTER (WHERE l.status = 'pending_cleanup')";

fn open_leases() -> String {
    format!(
        "LEFT JOIN (SELECT t.id, t.environment_id, t.status, {} AS takes FROM environment_leases t \
         WHERE t.status NOT IN ('released', 'expired', 'failed')) l ON l.environment_id = t.id",
        super::lease::TAKES_SLOT
    )
}

impl Reader {
    /// Companies, oldest first.
    pub fn companies(&self) -> Result<Vec<CompanyRow>, StoreError> {
        self.read(|conn| load::rows(conn, "ORDER BY rowid LIMIT ?1", [WHOLE]))
    }

    /// Projects that were not removed, by key.
    pub fn projects(&self, company: Option<CompanyId>) -> Result<Vec<ProjectRow>, StoreError> {
        self.read(|conn| {
            let mut all = Conditions::default();
            all.term("t.removed_at IS NULL");
            all.equal("t.company_id", company.as_ref());
            all.run(conn, &select::<ProjectRow>("", ""), &format!("ORDER BY t.key LIMIT {WHOLE}"), first)
        })
    }

    /// One project.
    pub fn project(&self, id: ProjectId) -> Result<Option<ProjectRow>, StoreError> {
        self.read(|conn| load::by_id(conn, &id.text()))
    }

    /// The project at a path.
    pub fn project_at(&self, path: &str) -> Result<Option<ProjectRow>, StoreError> {
        self.read(|conn| {
            let rows = load::rows(conn, "WHERE path = ?1 AND removed_at IS NULL LIMIT 1", [path])?;
            Ok(rows.into_iter().next())
        })
    }

    /// Agents that were not archived, by name.
    pub fn agents(&self, project: Option<ProjectId>) -> Result<Vec<AgentItem>, StoreError> {
        let n = AgentRow::COLUMNS.len();
        self.read(|conn| {
            let mut all = Conditions::default();
            all.term("t.status <> 'archived'");
            all.equal("t.project_id", project.as_ref());
            let sql = select::<AgentRow>(AGENT, "LEFT JOIN projects p ON p.id = t.project_id");
            all.run(conn, &sql, &format!("ORDER BY p.key, t.name LIMIT {WHOLE}"), |row| {
                Ok(AgentItem {
                    agent: first(row)?,
                    project: column(row, n)?,
                    running: column(row, n + 1)?,
                    queued: column(row, n + 2)?,
                    last_run_number: column(row, n + 3)?,
                    last_run_status: column(row, n + 4)?,
                })
            })
        })
    }

    /// What an agent's runs left behind for the next one.
    pub fn agent_runtime(&self, id: AgentId) -> Result<Option<AgentRuntimeRow>, StoreError> {
        self.read(|conn| load::by_id(conn, &id.text()))
    }

    /// Environments by number, also archived ones; those that were deleted are not among them.
    pub fn environments(&self, company: Option<CompanyId>) -> Result<Vec<EnvironmentItem>, StoreError> {
        self.read(|conn| {
            let mut all = Conditions::default();
            all.term("t.status <> 'deleted'");
            all.equal("t.company_id", company.as_ref());
            environments(conn, &all)
        })
    }
}

pub(super) fn environments(conn: &Connection, which: &Conditions) -> rusqlite::Result<Vec<EnvironmentItem>> {
    let n = EnvironmentRow::COLUMNS.len();
    let sql = select::<EnvironmentRow>(ENVIRONMENT, &open_leases());
    which.run(conn, &sql, &format!("GROUP BY t.id ORDER BY t.number LIMIT {WHOLE}"), |row| {
        Ok(EnvironmentItem {
            environment: first(row)?,
            held: column(row, n)?,
            waiting: column(row, n + 1)?,
            retained: column(row, n + 2)?,
            to_clean: column(row, n + 3)?,
        })
    })
}
