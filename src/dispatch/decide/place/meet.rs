//! Where runs meet by the sessions of their agents: the place that a directory lies in, whoever's it is, and who works there.

use std::path::Path;

use wharf_model::config::{Concurrency, WorkspaceMode};
use wharf_model::rules::session;
use wharf_model::state::State;
use wharf_model::{AgentId, RunRow, RunStatus, WorkspaceRow, WorkspaceSource, WorkspaceStatus, WorkspaceStrategy};

use super::{Place, around, checkout, of};
use crate::dispatch::input::PlannedWorkspace;

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
            let directory = row.cwd.as_deref().filter(|_| row.source == Some(WorkspaceSource::TaskSession))?;
            Some(session_at(state, directory))
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
pub(super) fn any_session(state: &State) -> bool {
    state.agent_runtime.values().any(|r| r.state_json.get("cwd").is_some())
}

/// The place of the directory of an agent's last session; none where no run has said one.
pub(super) fn session_place(state: &State, agent: AgentId) -> Option<Place> {
    Some(session_at(state, session::kept(state.agent_runtime.get(&agent)?).cwd?))
}

/// The place that a session's directory lies in, else itself.
fn session_at(state: &State, directory: &str) -> Place {
    lies_in(state, directory).unwrap_or_else(|| Place::Session(directory.to_owned()))
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
        at.starts_with(&root).then_some((root.len(), Some(Place::Checkout(root))))
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
