//! Where runs work: what is in force for each, and as far as two of them must not work in one place at once.

use std::path::Path;

use serde::Deserialize as _;
use wharf_model::config::{AgentWorkspace, Concurrency, WorkspaceConfig, WorkspaceMode};
use wharf_model::rules::issue_settings::IssueSettings;
use wharf_model::rules::session;
use wharf_model::rules::template::{IssueName, Placeholder, TemplateError, naming};
use wharf_model::rules::work_place::{self, Settings};
use wharf_model::rules::{branch, template};
use wharf_model::state::State;
use wharf_model::{
    AgentId, AgentRow, IssueRow, Kind, ProjectId, ProjectRow, RunId, RunRow, RunStatus, WorkspaceId, WorkspaceRow,
    WorkspaceSource, WorkspaceStatus, WorkspaceStrategy,
};

use crate::dispatch::input::{PlannedWorkspace, Refusal};

/// A place in which one run works at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The project's own checkout: its root, which several projects of one repository share.
    Checkout(String),
    /// The worktree of a branch that several runs of the project come to.
    Branch(ProjectId, String),
    /// The agent's home, or a directory of its last session that is nobody else's.
    Home(AgentId),
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
        return Some(session_place(state, run.agent_id).unwrap_or(Place::Home(run.agent_id)));
    }
    if settings.is_checkout() {
        return Some(Place::Checkout(checkout(state, naming.project)));
    }
    // One named by its issue or by its own number has a worktree of its own; most have.
    let is_own = settings.branch.contains("issue.identifier") || settings.branch.contains("issue.id}");
    if naming.kept.is_none() && is_own && !any_session(state) {
        return None;
    }
    branch_of(&settings, run, issue, &naming).ok().map(|name| Place::Branch(run.project_id, name))
}

/// The places that a run which runs has: that of its settings and, where it follows its agent's session, also the one
/// that it works in, since its agent may have said another session meanwhile.
pub(crate) fn held(state: &State, run: &RunRow) -> Vec<Place> {
    let mut all: Vec<Place> = of(state, run).into_iter().collect();
    let by_agent = around(state, run)
        .is_some_and(|(s, ..)| s.mode == WorkspaceMode::AgentDefault && s.concurrency != Concurrency::Allow);
    all.extend(by_agent.then(|| works_in(state, run).or(Some(Place::Home(run.agent_id)))).flatten());
    all.dedup();
    all
}

/// The place of the workspace that a run works in, by its row; none where that is nobody's but an agent's.
fn works_in(state: &State, run: &RunRow) -> Option<Place> {
    let row = run.workspace_id.and_then(|w| state.workspaces.get(&w))?;
    match row.strategy_type {
        WorkspaceStrategy::AdapterManaged | WorkspaceStrategy::CloudSandbox => {
            lies_in(state, row.cwd.as_deref().filter(|_| row.source == Some(WorkspaceSource::TaskSession))?)
        }
        WorkspaceStrategy::GitWorktree | WorkspaceStrategy::ProjectPrimary => place_of_row(state, row),
    }
}

/// The place that a worktree or a checkout is, by its row.
fn place_of_row(state: &State, row: &WorkspaceRow) -> Option<Place> {
    match row.strategy_type {
        WorkspaceStrategy::GitWorktree => Some(Place::Branch(row.project_id, row.branch_name.clone()?)),
        WorkspaceStrategy::ProjectPrimary => {
            state.projects.get(&row.project_id).map(|project| Place::Checkout(checkout(state, project)))
        }
        WorkspaceStrategy::AdapterManaged | WorkspaceStrategy::CloudSandbox => None,
    }
}

/// Whether any agent has a session with a directory: then worktrees may be come to by others than their issues' runs.
fn any_session(state: &State) -> bool {
    state.agent_runtime.values().any(|r| r.state_json.get("cwd").is_some())
}

/// The place in which the directory of an agent's last session lies; none when it is a directory of its own.
fn session_place(state: &State, agent: AgentId) -> Option<Place> {
    lies_in(state, session::kept(state.agent_runtime.get(&agent)?).cwd?)
}

/// The root of what a row is about: its worktree, its checkout, its directory.
fn root(row: &WorkspaceRow) -> Option<&str> {
    let root = match row.strategy_type {
        WorkspaceStrategy::GitWorktree => row.provider_ref.as_deref(),
        WorkspaceStrategy::ProjectPrimary => {
            // A project below the top of its repository shares all of the checkout.
            let cwd = row.cwd.as_deref().map(Path::new);
            row.repo_root.as_deref().filter(|top| cwd.is_some_and(|cwd| cwd.starts_with(top)))
        }
        WorkspaceStrategy::AdapterManaged | WorkspaceStrategy::CloudSandbox => None,
    };
    root.or(row.cwd.as_deref())
}

/// The workspace that a directory lies in: the innermost, of those the run's own project's and the newest; of one
/// company, since another's rows are not shown beside it.
pub(crate) fn around_directory<'s>(state: &'s State, run: &RunRow, directory: &str) -> Option<&'s WorkspaceRow> {
    let directory = Path::new(directory);
    let there = |w: &&WorkspaceRow| {
        w.company_id == run.company_id
            && w.status != WorkspaceStatus::Archived
            && root(w).is_some_and(|root| directory.starts_with(root))
    };
    state.workspaces.values().filter(there).max_by_key(|w| {
        let below = w.cwd.as_deref().filter(|cwd| directory.starts_with(cwd)).map_or(0, str::len);
        (root(w).map_or(0, str::len), below, w.project_id == run.project_id, w.number)
    })
}

/// The place of others that a directory lies in, whoever's they are: a worktree, or a project's checkout. None where it
/// lies in an agent's home or in nothing that is known.
fn lies_in(state: &State, directory: &str) -> Option<Place> {
    let at = Path::new(directory);
    let rows = state.workspaces.values().filter(|w| w.status != WorkspaceStatus::Archived);
    let rows = rows.filter_map(|w| {
        let root = root(w).filter(|root| at.starts_with(root))?;
        let is_home = w.source == Some(WorkspaceSource::AgentHome);
        let place = place_of_row(state, w);
        (place.is_some() || is_home).then_some((root.len(), place))
    });
    let projects = state.projects.values().filter(|p| p.removed_at.is_none());
    let projects = projects.filter_map(|p| {
        let root = checkout(state, p);
        at.starts_with(&root).then(|| (root.len(), Some(Place::Checkout(root))))
    });
    rows.chain(projects).max()?.1
}

/// The run that works where another is about to: in the place that a session's directory lies in, or by a session in
/// the place that the other comes to. None when it may enter.
pub(crate) fn met(state: &State, run: &RunRow, plan: &PlannedWorkspace) -> Option<i64> {
    if around(state, run).is_some_and(|(settings, ..)| settings.concurrency == Concurrency::Allow) {
        return None;
    }
    let comes = plan.source == WorkspaceSource::TaskSession;
    let mine = if comes {
        lies_in(state, &plan.cwd)
    } else if plan.strategy == WorkspaceStrategy::ProjectPrimary {
        state.projects.get(&run.project_id).map(|project| Place::Checkout(checkout(state, project)))
    } else {
        None
    };
    let top = Path::new(plan.worktree.as_deref().unwrap_or(&plan.cwd));
    let meets = |other: &&RunRow| {
        let Some(row) = other.workspace_id.and_then(|w| state.workspaces.get(&w)) else { return false };
        let is_session = row.source == Some(WorkspaceSource::TaskSession);
        if !comes && !is_session {
            // Met by its row, or in another project by its checkout.
            return false;
        }
        if mine.is_some() {
            return works_in(state, other) == mine;
        }
        // Directories that are nobody's place: one must not lie in the other.
        let Some(there) = row.cwd.as_deref().filter(|_| row.strategy_type == WorkspaceStrategy::AdapterManaged) else {
            return false;
        };
        Path::new(there).starts_with(top) || comes && top.starts_with(there)
    };
    let others = state.runs.values().filter(|r| r.id != run.id && r.status == RunStatus::Running);
    others.filter(meets).map(|r| r.number).min()
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
