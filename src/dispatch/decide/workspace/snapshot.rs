//! Snapshots: asked for, and recorded whoever made them.

use serde_json::{Value, json};
use wharf_model::{
    ActionId, ActionKind, ActionRow, ActionStatus, Kind, RequestId, RequestRow, SnapshotId, SnapshotRow,
    SnapshotStatus, WorkspaceId, WorkspaceStatus,
};

use super::rows::{counter, is_at, named};
use crate::dispatch::decide::{Deciding, about, release, request};
use crate::dispatch::input::{Actor, Prepared, Refusal, TakenSnapshot};

/// Longest reason.
const REASON_MAX: usize = 200;

/// `workspace.snapshot`: keeps the state of a workspace, whoever works in it.
pub(super) fn accept(
    d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    prepared: &Prepared,
    _actor: &Actor,
) -> Result<Value, Refusal> {
    let workspace = named(d, row)?;
    let number = Kind::Workspace.number(workspace.number);
    let Prepared::Kept(retention) = prepared else {
        return Err(Refusal::new("internal", "how long snapshots are kept was not read"));
    };
    match workspace.status {
        WorkspaceStatus::Active
        | WorkspaceStatus::Idle
        | WorkspaceStatus::InReview
        | WorkspaceStatus::Failed
        | WorkspaceStatus::CleanupFailed => {}
        WorkspaceStatus::Archived | WorkspaceStatus::Missing => {
            let message = format!("the directory of {number} is not there; there is nothing to keep");
            return Err(Refusal::new("illegal_state", message));
        }
        WorkspaceStatus::Archiving | WorkspaceStatus::Realising => {
            let status = workspace.status.as_str();
            return Err(Refusal::new("illegal_state", format!("{number} is {status}; ask again when that has ended")));
        }
    }
    if is_at(d.state(), workspace.id, ActionKind::SnapshotWorkspace) {
        return Err(Refusal::new("illegal_state", format!("a snapshot of {number} is being made already")));
    }
    release::check_unchanged(row, &[super::judged(&workspace)])?;
    let reason = row.args.get("reason").and_then(Value::as_str).map(str::trim).filter(|r| !r.is_empty());
    let reason: String = reason.unwrap_or("asked for").chars().filter(|c| !c.is_control()).take(REASON_MAX).collect();
    let snapshot: SnapshotId = d.id();
    let args = json!({
        "snapshot": snapshot.text(), "reason": reason, "request": row.id.text(), "keep_ms": retention.snapshots_ms,
    });
    d.intend(ActionKind::SnapshotWorkspace, "workspace", &workspace.id.text(), 1, None, Some(args));
    Ok(json!({ "workspace_id": workspace.id.text(), "workspace": number, "snapshot_id": snapshot.text() }))
}

/// A snapshot was made: its row follows. What is asked for alone is done with it.
pub(crate) fn taken(d: &mut Deciding<'_, '_>, action: ActionId, id: WorkspaceId, taken: &TakenSnapshot) {
    let Some(intended) = d.tx.get::<ActionRow>(action).cloned() else { return };
    let name = record(d, &intended, id, taken);
    if intended.kind != ActionKind::SnapshotWorkspace {
        return;
    }
    d.end_action(action, ActionStatus::Done, None);
    if let (Some(request), Some(name)) = (request_of(&intended), name) {
        let result = json!({
            "workspace_id": id.text(), "snapshot_id": taken.id.text(), "snapshot": name, "files": taken.files,
            "bytes": taken.bytes, "commit": taken.commit, "ref": taken.ref_name,
            "left_out": taken.metadata["left_out"],
        });
        request::done(d, request, result);
    }
}

/// Writes the row, unless it is there; gives its name.
fn record(d: &mut Deciding<'_, '_>, action: &ActionRow, id: WorkspaceId, taken: &TakenSnapshot) -> Option<String> {
    let workspace = d.state().workspaces.get(&id)?.clone();
    let number = Kind::Workspace.number(workspace.number);
    if let Some(known) = d.tx.get::<SnapshotRow>(taken.id) {
        return Some(format!("{number}.{}", known.ordinal));
    }
    let newest = d.state().snapshots.values().filter(|s| s.workspace_id == id).map(|s| s.ordinal).max().unwrap_or(0);
    let ordinal = d.tx.next_number_past(&counter(id), newest);
    let now = d.now();
    let keep_ms = action.args.as_ref().and_then(|a| a["keep_ms"].as_i64());
    let run_id = d.state().runs.values().filter(|r| r.workspace_id == Some(id)).map(|r| (r.number, r.id)).max();
    d.tx.put(SnapshotRow {
        id: taken.id,
        workspace_id: id,
        company_id: workspace.company_id,
        project_id: workspace.project_id,
        run_id: run_id.map(|(_, run)| run),
        ordinal,
        status: SnapshotStatus::Kept,
        reason: taken.reason.clone(),
        ref_name: taken.ref_name.clone(),
        commit_id: taken.commit.clone(),
        head_commit: taken.head.clone(),
        branch_name: taken.branch.clone(),
        files: taken.files,
        bytes: taken.bytes,
        metadata: Some(taken.metadata.clone()),
        expires_at: keep_ms.map(|ms| now.plus(ms)),
        restored_at: None,
        removed_at: None,
        version: 0,
        created_at: now,
        updated_at: now,
    });
    let name = format!("{number}.{ordinal}");
    let details = json!({ "snapshot": name, "reason": taken.reason, "files": taken.files, "bytes": taken.bytes, "commit": taken.commit });
    d.activity(&Actor::system(), "workspace.snapshot", &about::workspace(&workspace, None), Some(details));
    Some(name)
}

/// The request that an action belongs to.
pub(super) fn request_of(action: &ActionRow) -> Option<RequestId> {
    action.args.as_ref()?.get("request")?.as_str()?.parse().ok()
}

/// A snapshot could not be made; nothing else follows from that.
pub(super) fn failed(d: &mut Deciding<'_, '_>, action: &ActionRow, why: &str) {
    if let Some(request) = request_of(action) {
        request::failed(d, request, "workspace_snapshot_failed", why);
    }
}
