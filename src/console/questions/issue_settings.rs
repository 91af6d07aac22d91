//! What an issue says of where its runs work, and what is in force for the next one.

use serde::Deserialize as _;
use serde_json::Value;
use wharf_model::config::{AgentWorkspace, CommandLine, WorkspaceConfig};

use wharf_model::rules::issue_settings::IssueSettings;
use wharf_model::rules::work_place::{Origin, first, with_origins};
use wharf_model::{AgentRow, EnvironmentId, EnvironmentStatus, IssueId, Kind, Named, WorkspaceStatus};
use wharf_store::StoreError;
use wharf_store::view::{EntityKind, EnvironmentItem, NotFound};
use wharf_ui::rows::{InForce, IssueForm};

use super::Asking;

impl Asking<'_> {
    pub(super) fn issue_settings(&self, issue: &str, agent: Option<&str>) -> Result<Option<IssueForm>, StoreError> {
        let reader = self.reader;
        let Ok(named) = issue.parse::<Named>() else { return Ok(None) };
        let id = match reader.resolve(&named, Some(EntityKind::Issue)) {
            Ok(found) => IssueId(found.id),
            Err(NotFound::Store(error)) => return Err(error),
            Err(_) => return Ok(None),
        };
        let Some(item) = reader.issue(id)? else { return Ok(None) };
        let issue = item.issue;
        let agents = reader.agents(Some(issue.project_id))?;
        let named = |a: &AgentRow| match agent {
            Some(name) => a.name == name,
            None => issue.assignee_agent_id == Some(a.id),
        };
        let agent = agents.into_iter().map(|item| item.agent).find(named);
        let project = reader.project(issue.project_id)?;
        let environments = reader.environments(Some(issue.company_id))?;
        let workspace = match issue.execution_workspace_id {
            Some(id) => reader.workspace(id)?.map(|w| w.workspace).filter(|w| w.status != WorkspaceStatus::Archived),
            None => None,
        };
        let mut own = IssueSettings::of(issue.execution_workspace_settings.as_ref());
        own.environment = own.environment.map(|id| environment_name(&environments, &id));
        let workspace_name = workspace.as_ref().map(|w| Kind::Workspace.number(w.number));
        let kept = workspace.as_ref().and_then(|w| w.config.as_ref()).and_then(|c| c.get("environment_id"));
        let kept = kept.and_then(Value::as_str).map(|id| environment_name(&environments, id));

        let config = project.as_ref().and_then(|p| p.config.as_ref()).and_then(|c| c.get("workspace"));
        let config = config.and_then(|w| WorkspaceConfig::deserialize(w).ok()).unwrap_or_default();
        let of_agent = agent.as_ref().and_then(|a| a.config.get("workspace"));
        let of_agent = of_agent.and_then(|w| AgentWorkspace::deserialize(w).ok()).unwrap_or_default();
        let (settings, origins) = with_origins(Some(&own), &config, &of_agent);
        let agent_name = agent.as_ref().map(|a| a.name.clone());
        let word = |origin: Origin| match (origin, &agent_name) {
            (Origin::Agent, Some(name)) => format!("agent {name}"),
            (origin, _) => origin.as_str().to_owned(),
        };
        let line = |key, value: Option<String>, from: String| InForce { key, value, from };

        let by_project = project.as_ref().and_then(|p| p.default_environment.clone());
        let by_agent = agent.as_ref().and_then(|a| a.default_environment.clone());
        let said = first([own.environment.is_some(), by_project.is_some(), by_agent.is_some()]);
        // The workspace that is found again comes before everything else but the request.
        let environment = match (&kept, &workspace_name) {
            (Some(kept), Some(workspace)) => line("environment", Some(kept.clone()), workspace.clone()),
            _ => line("environment", own.environment.clone().or(by_project).or(by_agent), word(said)),
        };
        let command = |key, of_issue: &Option<String>, of_project: Option<&CommandLine>| {
            let from = first([of_issue.is_some(), of_project.is_some(), false]);
            line(key, of_issue.clone().or_else(|| of_project.map(shown)), word(from))
        };
        let in_force = vec![
            environment,
            line("mode", Some(settings.mode.as_str().to_owned()), word(origins.mode)),
            line("strategy", settings.strategy.map(|s| s.as_str().to_owned()), word(origins.strategy)),
            line("branch", Some(settings.branch.clone()), word(origins.branch)),
            line("base_ref", settings.base_ref.clone(), word(origins.base_ref)),
            line(
                "preference",
                Some(match (&workspace_name, settings.keeps_workspace) {
                    (Some(name), true) => format!("goes on in {name}"),
                    _ => "the branch's worktree".to_owned(),
                }),
                word(first([own.preference.is_some(), false, false])),
            ),
            command("provision", &own.provision, config.provision.as_ref()),
            command("teardown", &own.teardown, config.teardown.as_ref()),
            command("cleanup", &own.cleanup, config.cleanup.as_ref()),
        ];
        let usable = environments.iter().filter(|e| e.environment.status == EnvironmentStatus::Active);
        let mut names: Vec<String> = usable.map(|e| e.environment.name.clone()).collect();
        names.sort();
        names.dedup();
        Ok(Some(IssueForm {
            id: issue.id,
            identifier: issue.identifier,
            title: issue.title,
            version: issue.version,
            own,
            in_force,
            agent: agent_name,
            environments: names,
            workspace: workspace_name,
        }))
    }
}

/// The name of an environment by its stored id; one that is gone is shown as it is stored.
fn environment_name(all: &[EnvironmentItem], id: &str) -> String {
    let is = |e: &&EnvironmentItem| id.parse::<EnvironmentId>().is_ok_and(|id| e.environment.id == id);
    all.iter().find(is).map_or_else(|| id.to_owned(), |e| e.environment.name.clone())
}

fn shown(command: &CommandLine) -> String {
    match command {
        CommandLine::Shell(script) => script.clone(),
        CommandLine::Argv(argv) => argv.join(" "),
    }
}
