//! What archiving or deleting an environment concerns.

use wharf_model::column::Column as _;
use wharf_model::rules::environment_change::EnvironmentFacts;
use wharf_model::*;

use super::{Conditions, first, select};
use crate::{Reader, StoreError, load};

impl Reader {
    /// The rows that a change of an environment concerns, all of one moment; as the acceptance gathers them.
    pub fn environment_facts(&self, id: EnvironmentId) -> Result<Option<EnvironmentFacts>, StoreError> {
        self.read(|conn| {
            let Some(environment) = load::by_id::<EnvironmentRow>(conn, &id.text())? else { return Ok(None) };
            let company = environment.company_id;
            let mut open = Conditions::default();
            open.term("t.status NOT IN ('released', 'expired', 'failed')");
            open.with("t.environment_id = ?", [id.to_cell()]);
            let leases = open.run(conn, &select::<LeaseRow>("", ""), "ORDER BY t.number", first::<LeaseRow>)?;
            let mut live = Conditions::default();
            live.term("t.status IN ('queued', 'scheduled_retry', 'running')");
            live.equal("t.company_id", Some(&company));
            let runs = live.run(conn, &select::<RunRow>("", ""), "ORDER BY t.number", first::<RunRow>)?;
            let mut agents = Conditions::default();
            agents.term("t.status <> 'archived'");
            agents.equal("t.company_id", Some(&company));
            // In the order of memory, where rows lie by their ids.
            let agents = agents.run(conn, &select::<AgentRow>("", ""), "ORDER BY t.id", first)?;
            let mut projects = Conditions::default();
            projects.term("t.removed_at IS NULL");
            projects.equal("t.company_id", Some(&company));
            let projects = projects.run(conn, &select::<ProjectRow>("", ""), "ORDER BY t.id", first)?;
            Ok(Some(EnvironmentFacts {
                environment,
                leases,
                runs: runs.iter().map(Into::into).collect(),
                agents,
                projects,
            }))
        })
    }
}
