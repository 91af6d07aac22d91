//! Where runs work, as far as two of them must not work in one place at once.

use serde_json::Value;
use wharf_model::config::{Concurrency, WorkspaceMode, WorkspaceStrategy};
use wharf_model::rules::template::{IssueName, Placeholder, TemplateError, naming};
use wharf_model::rules::{branch, checkout};
use wharf_model::{AgentRow, IssueRow, Kind, ProjectId, ProjectRow, RunRow, RunStatus, WorkspaceId};

use super::Deciding;

/// A place in which one run works at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The project's own checkout.
    Checkout(ProjectId),
    /// The worktree of a branch that several runs of the project come to.
    Branch(ProjectId, String),
}

/// The place that a run must have for itself; none when nobody else comes to it, or all may.
pub(crate) fn of(d: &Deciding<'_, '_>, run: &RunRow) -> Option<Place> {
    let project = d.state().projects.get(&run.project_id)?;
    let config = &project.config.as_ref()?["workspace"];
    if lets_all_in(config) {
        return None;
    }
    let mode = config["mode"].as_str().and_then(WorkspaceMode::parse);
    let strategy = config["strategy"].as_str().and_then(WorkspaceStrategy::parse);
    if checkout::is_shared(mode, strategy) {
        return Some(Place::Checkout(project.id));
    }
    let template = config["branch"].as_str()?;
    // One named by its issue or by its own number has a worktree of its own; most have.
    if template.contains("issue.identifier") || template.contains("issue.id}") {
        return None;
    }
    let agent = d.state().agents.get(&run.agent_id)?;
    let issue = run.issue_id.and_then(|i| d.state().issues.get(&i));
    branch_of(template, run, issue, agent, project).ok().map(|name| Place::Branch(project.id, name))
}

/// Whether runs of a project may work in one place at once.
fn lets_all_in(workspace: &Value) -> bool {
    workspace["concurrency"].as_str() == Some(Concurrency::Allow.as_str())
}

/// The branch of a run; one without an issue is named by its number and its agent.
///
/// # Errors
/// The template cannot be filled.
pub(crate) fn branch_of(
    template: &str,
    run: &RunRow,
    issue: Option<&IssueRow>,
    agent: &AgentRow,
    project: &ProjectRow,
) -> Result<String, TemplateError> {
    let id = issue.map(|i| i.id.text()).unwrap_or_default();
    let issue = issue.map(|i| IssueName { id: &id, identifier: &i.identifier, title: &i.title });
    let values = naming(issue, &Kind::Run.number(run.number), &agent.name)
        .with(Placeholder::AgentId, agent.id.text())
        .with(Placeholder::ProjectId, project.id.text())
        .with(Placeholder::ProjectKey, &project.key);
    branch::name(template, &values)
}

/// The run that works in a workspace which another is about to enter; none when it may enter.
pub(crate) fn holder(d: &Deciding<'_, '_>, run: &RunRow, workspace: WorkspaceId) -> Option<i64> {
    let config = d.state().projects.get(&run.project_id).and_then(|p| p.config.as_ref());
    // Its own of an earlier try it has in any case.
    if run.workspace_id == Some(workspace) || config.is_some_and(|c| lets_all_in(&c["workspace"])) {
        return None;
    }
    let mut others = d.state().runs.values().filter(|r| r.id != run.id && r.status == RunStatus::Running);
    others.find(|r| r.workspace_id == Some(workspace)).map(|r| r.number)
}
