//! What the new-run dialog offers.

use std::collections::BTreeSet;

use wharf_model::config::AgentConfig;
use wharf_model::{AgentStatus, IssueStatus};
use wharf_store::StoreError;
use wharf_store::view::IssueQuery;
use wharf_ui::rows::{FormAgent, FormAgents, IssueName};

use super::Asking;

/// Issues and workspaces the new-run dialog offers.
const OFFERED: usize = 50;

impl Asking<'_> {
    pub(super) fn form(&self) -> Result<FormAgents, StoreError> {
        let reader = self.reader;
        let path = self.scope.project.display().to_string();
        let Some(project) = reader.project_at(&path)? else {
            return Ok(FormAgents::default());
        };
        let agents = reader.agents(Some(project.id))?;
        let slots = |n: i64| u32::try_from(n).unwrap_or(0);
        let agents = agents
            .iter()
            .map(|item| {
                let row = &item.agent;
                // The first run of a project accepts its config, and its agents with it.
                let fresh = project.accepted_at.is_none() && row.status == AgentStatus::PendingApproval;
                let why = row.status_reason.clone().map(|r| format!(": {r}")).unwrap_or_default();
                let config = serde_json::from_value::<AgentConfig>(row.config.clone()).ok();
                FormAgent {
                    no_prompt: config.and_then(|config| config.takes_no_prompt()).map(|why| why.cause().to_owned()),
                    name: row.name.clone(),
                    adapter: row.adapter_type.clone(),
                    slots: (slots(item.running), slots(row.concurrent_runs)),
                    environment: row.default_environment.clone().or_else(|| project.default_environment.clone()),
                    blocked: (!row.status.is_invokable() && !fresh).then(|| format!("it is {}{why}", row.status)),
                }
            })
            .collect();
        let query = IssueQuery { project: Some(project.id), open_only: true, ..IssueQuery::default() };
        let issues = reader.issues(&query, None, OFFERED)?;
        let closed = [IssueStatus::Done, IssueStatus::Cancelled];
        let issues = issues
            .rows
            .into_iter()
            .filter(|i| !closed.contains(&i.issue.status))
            .map(|i| IssueName { identifier: i.issue.identifier, title: i.issue.title })
            .collect();
        let environments: BTreeSet<String> = reader
            .environments(Some(project.company_id))?
            .into_iter()
            .filter(|e| e.environment.status == wharf_model::EnvironmentStatus::Active)
            .map(|e| e.environment.name)
            .collect();
        // A run goes on in the workspace of its issue by itself; choosing another one is not offered
        // as long as nothing carries it out.
        Ok(FormAgents { agents, issues, environments: environments.into_iter().collect() })
    }
}
