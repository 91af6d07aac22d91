//! The rows around a workspace, gathered from memory as the preview gathers them from the store; and what a row
//! remembers of what is being done to it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;
use wharf_model::rules::close_check::{CloseRows, is_of};
use wharf_model::state::State;
use wharf_model::{
    ActionId, ActionKind, ActionRow, Kind, OperationStatus, RequestId, RequestRow, RunStatus, WorkspaceId,
    WorkspaceRow, WorkspaceStatus,
};

use crate::dispatch::decide::{Deciding, is_open};
use crate::dispatch::input::Refusal;

/// Counter of the snapshots of a workspace.
pub(super) fn counter(workspace: WorkspaceId) -> String {
    format!("snapshot/{}", workspace.text())
}

/// Gathers the rows that archiving a workspace concerns; none when it is not in memory.
pub(crate) fn gather(state: &State, id: WorkspaceId) -> Option<CloseRows> {
    let workspace = state.workspaces.get(&id)?.clone();
    let project = state.projects.get(&workspace.project_id)?.clone();
    let linked =
        |i: &&wharf_model::IssueRow| i.execution_workspace_id == Some(id) || workspace.source_issue_id == Some(i.id);
    let running =
        |o: &&wharf_model::OperationRow| o.execution_workspace_id == Some(id) && o.status == OperationStatus::Running;
    let mut runs: Vec<_> =
        state.runs.values().filter(|r| r.workspace_id == Some(id) && r.status == RunStatus::Running).cloned().collect();
    runs.sort_unstable_by_key(|r| r.number);
    let mut services: Vec<_> =
        state.services.values().filter(|s| s.project_id == project.id && is_of(s, &workspace)).cloned().collect();
    services.sort_unstable_by_key(|s| s.number);
    let mut operations: Vec<_> = state.operations.values().filter(running).cloned().collect();
    operations.sort_unstable_by_key(|o| o.number);
    let mut leases: Vec<_> = state
        .leases
        .values()
        .filter(|l| l.execution_workspace_id == Some(id) && !l.status.is_terminal())
        .cloned()
        .collect();
    leases.sort_unstable_by_key(|l| l.number);
    let kept = state.snapshots.values().filter(|s| s.workspace_id == id).map(|s| s.ordinal).max().unwrap_or(0);
    Some(CloseRows {
        environment: workspace.environment_id.and_then(|e| state.environments.get(&e)).cloned(),
        issues: state.issues.values().filter(linked).cloned().collect(),
        runs,
        services,
        operations,
        leases,
        last_snapshot: state.counters.get(&counter(id)).copied().unwrap_or(0).max(kept),
        under_way: open_actions(state, id).map(|a| a.kind.as_str().replace('_', " ")).collect(),
        workspace,
        project,
    })
}

/// What is being done to a workspace.
pub(super) fn open_actions(state: &State, id: WorkspaceId) -> impl Iterator<Item = &ActionRow> {
    let text = id.text();
    state.actions.values().filter(move |a| is_open(a.status) && a.entity_type == "workspace" && a.entity_id == text)
}

/// Whether an action of this kind is being done to a workspace.
pub(super) fn is_at(state: &State, id: WorkspaceId, kind: ActionKind) -> bool {
    open_actions(state, id).any(|a| a.kind == kind)
}

/// What is being done to a workspace, after which runs may come to it again, or to what stands in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Between {
    /// It is being archived.
    Archived,
    /// It is being brought back, or becomes what a snapshot of it was.
    Restored,
}

impl Between {
    /// What it is about to be.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Archived => "archived",
            Self::Restored => "restored",
        }
    }
}

/// Whether a workspace is just on its way from one state to another, so that whoever comes to it waits.
pub(crate) fn between(state: &State, id: WorkspaceId) -> Option<Between> {
    let workspace = state.workspaces.get(&id)?;
    if mutant!(ArchivedInUse) {
        return None;
    }
    if workspace.status == WorkspaceStatus::Archiving {
        return Some(Between::Archived);
    }
    is_at(state, id, ActionKind::RestoreWorkspace).then_some(Between::Restored)
}

/// Why nobody may begin to work in a workspace before somebody has acted; none when one may.
pub(super) fn closed_to_runs(state: &State, id: WorkspaceId) -> Option<String> {
    let workspace = state.workspaces.get(&id)?;
    let number = Kind::Workspace.number(workspace.number);
    if mutant!(ArchivedInUse) || workspace.status != WorkspaceStatus::CleanupFailed {
        return None;
    }
    let why = workspace.failure_reason.as_deref().unwrap_or("its clean-up failed");
    Some(format!("archiving {number} has failed ({why}); `wharf workspace archive {number}` goes on with it"))
}

/// What the row of a workspace that is being archived remembers of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Archiving {
    /// The request that asked.
    pub request: RequestId,
    /// Names its place in the trash: the same for every try, since an earlier one may have moved it.
    pub trash: Uuid,
    /// The action that does it, once its services have ended.
    pub action: Option<ActionId>,
    /// How long its snapshot is kept, milliseconds.
    pub snapshots_ms: Option<u64>,
    /// How long its directory is kept.
    pub after_close_ms: Option<u64>,
    /// Bytes that were found in it.
    pub bytes: Option<u64>,
    /// Who asked, for the audit trail.
    pub by: String,
    /// Whether an earlier try may have moved it in part.
    #[serde(default)]
    pub may_be_moved: bool,
}

/// What the row of one that is being brought back remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Restoring {
    /// The request that asked.
    pub request: RequestId,
    /// Where it was before.
    pub from: WorkspaceStatus,
}

/// Reads what a row remembers under a key.
pub(super) fn remembered<T: for<'a> Deserialize<'a>>(workspace: &WorkspaceRow, key: &str) -> Option<T> {
    serde_json::from_value(workspace.metadata.as_ref()?.get(key)?.clone()).ok()
}

/// Remembers something under a key, or forgets it.
pub(super) fn remember(row: &mut WorkspaceRow, key: &str, value: Option<Value>) {
    let mut facts = row.metadata.take().and_then(|m| m.as_object().cloned()).unwrap_or_default();
    match value {
        Some(value) => facts.insert(key.to_owned(), value),
        None => facts.remove(key),
    };
    row.metadata = (!facts.is_empty()).then_some(Value::Object(facts));
}

/// The workspace that a request is about.
pub(super) fn named(d: &Deciding<'_, '_>, row: &RequestRow) -> Result<WorkspaceRow, Refusal> {
    let text = row.target_id.as_deref().unwrap_or_default();
    let id: WorkspaceId = text
        .parse()
        .map_err(|_| Refusal::new("id_malformed", format!("{text:?} is no id of what {} needs", row.kind)))?;
    d.state().workspaces.get(&id).cloned().ok_or_else(|| Refusal::new("id_unknown", "there is no such workspace"))
}
