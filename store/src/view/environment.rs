//! One environment, and what archiving or deleting it would touch.

use rusqlite::Connection;
use wharf_model::column::Column as _;
use wharf_model::rules::environment_change::{EnvironmentFacts, OpenRun};
use wharf_model::*;

use super::{Conditions, EnvironmentItem, column, first, people, select};
use crate::{Reader, StoreError, load};

/// Rows of one kind that are looked through at most.
const WHOLE: i64 = 2_000;

fn open_runs(conn: &Connection, company: CompanyId) -> rusqlite::Result<Vec<OpenRun>> {
    let mut open = Conditions::default();
    open.term("t.status IN ('queued', 'scheduled_retry', 'running')");
    open.with("+t.company_id = ?", [company.to_cell()]);
    let columns = "SELECT t.id, t.number, t.status, t.environment_id, t.agent_id, t.project_id FROM runs t";
    open.run(conn, columns, &format!("ORDER BY t.number LIMIT {WHOLE}"), |row| {
        Ok(OpenRun {
            id: column(row, 0)?,
            number: column(row, 1)?,
            status: column(row, 2)?,
            environment: column(row, 3)?,
            agent: column(row, 4)?,
            project: column(row, 5)?,
        })
    })
}

impl Reader {
    /// One environment, a deleted one too.
    pub fn environment(&self, id: EnvironmentId) -> Result<Option<EnvironmentItem>, StoreError> {
        self.read(|conn| {
            let mut one = Conditions::default();
            one.equal("t.id", Some(&id));
            Ok(people::environments(conn, &one)?.pop())
        })
    }

    /// What archiving or deleting an environment would touch, all of one moment.
    pub fn environment_facts(&self, id: EnvironmentId) -> Result<Option<EnvironmentFacts>, StoreError> {
        self.read(|conn| {
            let Some(environment) = load::by_id::<EnvironmentRow>(conn, &id.text())? else { return Ok(None) };
            let company = environment.company_id;
            let mut open = Conditions::default();
            open.term("t.status NOT IN ('released', 'expired', 'failed')");
            open.equal("t.environment_id", Some(&id));
            let tail = format!("ORDER BY t.number LIMIT {WHOLE}");
            let leases = open.run(conn, &select::<LeaseRow>("", ""), &tail, first)?;
            let mut agents = Conditions::default();
            agents.term("t.status <> 'archived'");
            agents.equal("t.company_id", Some(&company));
            let tail = format!("ORDER BY t.name, t.id LIMIT {WHOLE}");
            let agents = agents.run(conn, &select::<AgentRow>("", ""), &tail, first)?;
            let mut projects = Conditions::default();
            projects.term("t.removed_at IS NULL");
            projects.equal("t.company_id", Some(&company));
            let tail = format!("ORDER BY t.key LIMIT {WHOLE}");
            let projects = projects.run(conn, &select::<ProjectRow>("", ""), &tail, first)?;
            let runs = open_runs(conn, company)?;
            Ok(Some(EnvironmentFacts { environment, leases, runs, agents, projects }))
        })
    }
}
