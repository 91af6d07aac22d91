//! Where runs work: what is in force for each, and as far as two of them must not work in one place at once.

use std::path::Path;

use serde::Deserialize as _;
use wharf_model::config::{AgentWorkspace, Concurrency, WorkspaceConfig, WorkspaceMode};
use wharf_model::rules::issue_settings::IssueSettings;
use wharf_model::rules::template::{IssueName, Placeholder, TemplateError, naming};
use wharf_model::rules::work_place::{self, Settings};
use wharf_model::rules::{branch, template};
use wharf_model::state::State;
use wharf_model::{
    AgentId, AgentRow, IssueRow, Kind, ProjectId, ProjectRow, RunId, RunRow, RunStatus, WorkspaceId, WorkspaceRow,
    WorkspaceStatus, WorkspaceStrategy,
};

use crate::dispatch::input::Refusal;

mod meet;

pub(crate) use meet::{around_directory, held, met};

/// A place in which one run works at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The project's own checkout: its root, which several projects of one repository share.
    Checkout(String),
    /// The worktree of a branch that several runs of the project come to.
    Branch(ProjectId, String),
    /// The agent's home.
    Home(AgentId),
    /// The directory of an agent's last session that lies in nothing else that is known.
    Session(String),
}

/// What is in force for a run's workspace; none when its project has no config that can be read.
pub(crate) fn settings(issue: Option<&IssueRow>, agent: &AgentRow, project: &ProjectRow) -> Option<Settings> {
    // By reference: this is asked for every queued run again and again.
    let config = WorkspaceConfig::deserialize(&project.config.as_ref()?["workspace"]).ok()?;
    let own = agent.config.get("workspace").and_then(|w| AgentWorkspace::deserialize(w).ok());
    let issue = issue.map(|i| IssueSettings::of(i.execution_workspace_settings.as_ref()));
    Some(work_place::settings(issue.as_ref(), &config, &own.unwrap_or_default()))
}

/// The settings of a run, with the rows that they come from.
fn around<'s>(state: &'s State, run: &RunRow) -> Option<(Settings, Option<&'s IssueRow>, Naming<'s>)> {
    let project = state.projects.get(&run.project_id)?;
    let agent = state.agents.get(&run.agent_id)?;
    let issue = run.issue_id.and_then(|i| state.issues.get(&i));
    let settings = settings(issue, agent, project)?;
    let url = state.project_workspaces.values().find(|w| w.project_id == project.id && w.is_primary);
    let kept = kept(&settings, issue, |id| state.workspaces.get(&id));
    let naming = Naming { agent, project, url: url.and_then(|w| w.repo_url.as_deref()), kept };
    Some((settings, issue, naming))
}

/// The place that a run must have for itself; none when nobody else comes to it, or all may.
pub(crate) fn of(state: &State, run: &RunRow) -> Option<Place> {
    let (settings, issue, naming) = around(state, run)?;
    if settings.concurrency == Concurrency::Allow {
        return None;
    }
    if settings.mode == WorkspaceMode::AgentDefault {
        return Some(meet::session_place(state, run.agent_id).unwrap_or(Place::Home(run.agent_id)));
    }
    if settings.is_checkout() {
        return Some(Place::Checkout(checkout(state, naming.project)));
    }
    // One named by its issue or by its own number has a worktree of its own; most have.
    let is_own = settings.branch.contains("issue.identifier") || settings.branch.contains("issue.id}");
    if naming.kept.is_none() && is_own && !meet::any_session(state) {
        return None;
    }
    branch_of(&settings, run, issue, &naming).ok().map(|name| Place::Branch(run.project_id, name))
}

/// The root of the checkout that a project lies in, as far as rows tell: projects in directories of one repository
/// share it.
fn checkout(state: &State, project: &ProjectRow) -> String {
    let (Some(common), path) = (project.git_common_dir.as_deref(), Path::new(&project.path)) else {
        return project.path.clone();
    };
    let main = Path::new(common).parent().filter(|top| Path::new(common).ends_with(".git") && path.starts_with(top));
    if let Some(main) = main.and_then(Path::to_str) {
        return main.to_owned();
    }
    // A linked worktree, or a git directory that lies elsewhere: the outermost project in it stands for its root.
    let around = state.projects.values().filter(|p| p.git_common_dir.as_deref() == Some(common));
    let around = around.map(|p| &p.path).filter(|outer| path.starts_with(outer));
    around.min_by_key(|outer| outer.len()).unwrap_or(&project.path).clone()
}

/// The run of another project that works in the checkout that a run is about to enter; none when it may enter.
pub(crate) fn neighbour(state: &State, run: &RunRow) -> Option<i64> {
    let (settings, _, naming) = around(state, run)?;
    if settings.concurrency == Concurrency::Allow {
        return None;
    }
    let own = checkout(state, naming.project);
    let is_in_it = |r: &&RunRow| {
        let primary = r.workspace_id.and_then(|w| state.workspaces.get(&w));
        // By the row's own project: whoever follows a session is a guest in another's.
        primary.is_some_and(|w| {
            w.strategy_type == WorkspaceStrategy::ProjectPrimary
                && w.project_id != run.project_id
                && state.projects.get(&w.project_id).is_some_and(|p| checkout(state, p) == own)
        })
    };
    let others = state.runs.values().filter(|r| r.id != run.id && r.status == RunStatus::Running);
    others.filter(is_in_it).map(|r| r.number).min()
}

/// Whether a second run in a place of its own kind is refused, and not kept waiting.
pub(crate) fn refuses(state: &State, run: &RunRow) -> bool {
    around(state, run).is_some_and(|(settings, ..)| settings.concurrency == Concurrency::Refuse)
}

/// Why a run is refused that comes to the place of another one.
pub(crate) fn taken_words(place: &Place, holder: i64) -> String {
    let holder = Kind::Run.number(holder);
    let place = match place {
        Place::Checkout(_) => "the project's own checkout".to_owned(),
        Place::Branch(_, name) => format!("the worktree of branch {name}"),
        Place::Home(_) => "the agent's home".to_owned(),
        Place::Session(directory) => format!("{directory}, the directory of its agent's session"),
    };
    format!(
        "{holder} has {place}, and `concurrency = \"refuse\"` lets no second run come there; start it again when {holder} has ended"
    )
}

/// Refuses a run that was just asked for when another that has not ended comes to the same place.
pub(crate) fn check_free(state: &State, id: RunId) -> Result<(), Refusal> {
    let Some(run) = state.runs.get(&id) else { return Ok(()) };
    if !refuses(state, run) {
        return Ok(());
    }
    let Some(place) = of(state, run) else { return Ok(()) };
    let open = |r: &&RunRow| r.id != id && matches!(r.status, RunStatus::Running | RunStatus::Queued);
    let others = state.runs.values().filter(open);
    match others.filter(|r| of(state, r).as_ref() == Some(&place)).min_by_key(|r| r.number) {
        Some(holder) => Err(Refusal::new("illegal_state", taken_words(&place, holder.number))),
        None => Ok(()),
    }
}

/// What names a branch beside the run and its issue.
pub(crate) struct Naming<'a> {
    /// The agent.
    pub agent: &'a AgentRow,
    /// The project.
    pub project: &'a ProjectRow,
    /// Url of its repository.
    pub url: Option<&'a str>,
    /// The workspace that the issue goes on in, whatever a new one would be called.
    pub kept: Option<&'a WorkspaceRow>,
}

/// The workspace that an issue keeps: its own worktree, where its settings say so and it is not on its way out.
pub(crate) fn kept<'a>(
    settings: &Settings,
    issue: Option<&IssueRow>,
    workspace: impl FnOnce(WorkspaceId) -> Option<&'a WorkspaceRow>,
) -> Option<&'a WorkspaceRow> {
    let id = issue.filter(|_| settings.keeps_workspace && settings.is_worktree())?.execution_workspace_id?;
    workspace(id).filter(|w| is_usable(w) && w.branch_name.is_some())
}

/// Whether a run may go on in a workspace: a worktree that is neither archived nor about to be.
fn is_usable(workspace: &WorkspaceRow) -> bool {
    use WorkspaceStatus::{Active, Failed, Idle, InReview, Missing, Realising};
    workspace.strategy_type == WorkspaceStrategy::GitWorktree
        && matches!(workspace.status, Active | Idle | InReview | Missing | Realising | Failed)
}

/// The workspace that a run will find again, as far as rows tell: the one that its issue keeps, or the worktree of its
/// branch. Shared places are nobody's own and keep nothing.
pub(crate) fn found_again<'s>(state: &'s State, run: &RunRow) -> Option<&'s WorkspaceRow> {
    let (settings, issue, naming) = around(state, run)?;
    if !settings.is_worktree() {
        return None;
    }
    if let Some(kept) = naming.kept {
        return Some(kept);
    }
    let branch = branch_of(&settings, run, issue, &naming).ok()?;
    let of_project = state.workspaces.values().filter(|w| w.project_id == run.project_id && is_usable(w));
    of_project.filter(|w| w.branch_name.as_deref() == Some(&branch)).max_by_key(|w| w.number)
}

/// The branch of a run; one without an issue is named by its number and its agent.
///
/// # Errors
/// The template cannot be filled.
pub(crate) fn branch_of(
    settings: &Settings,
    run: &RunRow,
    issue: Option<&IssueRow>,
    naming: &Naming<'_>,
) -> Result<String, TemplateError> {
    if let Some(branch) = naming.kept.and_then(|w| w.branch_name.clone()) {
        return Ok(branch);
    }
    branch::name(&settings.branch, &values(settings, run, issue, naming))
}

fn values(settings: &Settings, run: &RunRow, issue: Option<&IssueRow>, of: &Naming<'_>) -> template::Values {
    let id = issue.map(|i| i.id.text()).unwrap_or_default();
    let issue = issue.map(|i| IssueName { id: &id, identifier: &i.identifier, title: &i.title });
    naming(issue, &Kind::Run.number(run.number), &of.agent.name)
        .with(Placeholder::AgentId, of.agent.id.text())
        .with(Placeholder::ProjectId, of.project.id.text())
        .with(Placeholder::ProjectKey, &of.project.key)
        .with_some(Placeholder::WorkspaceRepoRef, settings.base_ref.as_deref())
        .with_some(Placeholder::WorkspaceRepoUrl, of.url)
}

/// The run that works in a workspace which another is about to enter; none when it may enter.
pub(crate) fn holder(state: &State, run: &RunRow, workspace: WorkspaceId) -> Option<i64> {
    // Its own of an earlier try it has in any case.
    if run.workspace_id == Some(workspace) {
        return None;
    }
    if around(state, run).is_some_and(|(settings, ..)| settings.concurrency == Concurrency::Allow) {
        return None;
    }
    let mut others = state.runs.values().filter(|r| r.id != run.id && r.status == RunStatus::Running);
    others.find(|r| r.workspace_id == Some(workspace)).map(|r| r.number)
}
