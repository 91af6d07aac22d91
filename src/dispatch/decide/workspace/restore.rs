//! The ways back: an archived workspace out of the trash or out of a snapshot, a snapshot into one that is there.

use serde_json::{Value, json};
use uuid::Uuid;
use wharf_model::rules::trash::{self, TrashItem, TrashKind};
use wharf_model::{
    ActionId, ActionKind, ActionRow, ActionStatus, Driver, Kind, RequestRow, SnapshotId, SnapshotRow, UnixMillis,
    WorkspaceId, WorkspaceRow, WorkspaceStatus,
};

use super::rows::{Restoring, gather, is_at, named, remember, remembered};
use super::snapshot::request_of;
use super::trash::going;
use crate::dispatch::decide::{Deciding, about, is_open, release, request};
use crate::dispatch::input::{Actor, Prepared, Refusal, RestoredWorkspace};

/// Time that bringing a workspace back may take, in milliseconds.
const LIMIT_MS: i64 = 15 * 60_000;
/// Key of what a row remembers.
const KEY: &str = "restoring";

/// Where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum From {
    /// A directory of it, out of the trash.
    Trash(String),
    /// A snapshot, as a new worktree.
    Fresh(SnapshotId),
    /// A snapshot, into the directory that is there.
    Into(SnapshotId),
}

/// `workspace.restore`.
pub(super) fn accept(
    d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    prepared: &Prepared,
    actor: &Actor,
) -> Result<Value, Refusal> {
    let workspace = named(d, row)?;
    let Prepared::Kept(retention) = prepared else {
        return Err(Refusal::new("internal", "how long snapshots are kept was not read"));
    };
    let number = Kind::Workspace.number(workspace.number);
    let asked = match row.args.get("snapshot").and_then(Value::as_str) {
        None => None,
        Some(text) => Some(snapshot_named(d, &workspace, text)?),
    };
    let trash = match row.args.get("trash").and_then(Value::as_str) {
        None => None,
        Some(text) => Some(trash_named(&workspace, text)?),
    };
    let from = source(d, &workspace, asked, trash)?;
    release::check_unchanged(row, &[super::judged(&workspace)])?;
    let before: SnapshotId = d.id();
    let deadline = d.now().plus(LIMIT_MS);
    let memory = Restoring { request: row.id, from: workspace.status };
    d.tx.update::<WorkspaceRow>(workspace.id, |w| {
        w.status = WorkspaceStatus::Realising;
        w.deadline_at = Some(deadline);
        remember(w, KEY, serde_json::to_value(&memory).ok());
    });
    let (what, snapshot, place) = match from {
        From::Trash(place) => ("trash", None, Some(place)),
        From::Fresh(id) => ("fresh", Some(id), None),
        From::Into(id) => ("into", Some(id), None),
    };
    // Names where the entry of one whose directory is gone would be kept: the same for every try.
    let parks: Uuid = d.id();
    let args = json!({
        "from": what, "snapshot": snapshot.map(SnapshotId::text), "before": before.text(), "request": row.id.text(),
        "keep_ms": retention.snapshots_ms, "trash_keep_ms": retention.workspaces_after_close_ms,
        "trash_path": place, "parks": parks,
    });
    d.intend(ActionKind::RestoreWorkspace, "workspace", &workspace.id.text(), 1, None, Some(args));
    let named = snapshot.and_then(|id| d.tx.get::<SnapshotRow>(id)).map(|s| format!("{number}.{}", s.ordinal));
    let details = json!({ "asked": true, "from": what, "snapshot": named });
    d.activity(actor, "workspace.restored", &about::workspace(&workspace, None), Some(details));
    Ok(json!({ "workspace_id": workspace.id.text(), "workspace": number, "from": what, "snapshot": named }))
}

/// The kept snapshot of a workspace that was named by its id.
fn snapshot_named(d: &Deciding<'_, '_>, workspace: &WorkspaceRow, text: &str) -> Result<SnapshotRow, Refusal> {
    let id: SnapshotId =
        text.parse().map_err(|_| Refusal::new("id_malformed", format!("{text:?} is no id of a snapshot")))?;
    let number = Kind::Workspace.number(workspace.number);
    d.tx.get::<SnapshotRow>(id)
        .filter(|s| s.workspace_id == workspace.id)
        .cloned()
        .ok_or_else(|| Refusal::new("id_unknown", format!("{number} has no such snapshot, or it is kept no longer")))
}

/// The directory in the trash that was named.
fn trash_named(workspace: &WorkspaceRow, text: &str) -> Result<TrashItem, Refusal> {
    trash::named(workspace, text).ok_or_else(|| {
        let all = trash::items(workspace).into_iter().filter(|i| i.kind == TrashKind::Directory);
        let names: Vec<String> = all.map(|i| i.name().to_owned()).collect();
        let number = Kind::Workspace.number(workspace.number);
        let has = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        Refusal::new("id_unknown", format!("{text:?} names no directory in the trash of {number}, which has {has}"))
    })
}

/// Where a workspace can be brought back from as it stands.
fn source(
    d: &Deciding<'_, '_>,
    workspace: &WorkspaceRow,
    asked: Option<SnapshotRow>,
    trash: Option<TrashItem>,
) -> Result<From, Refusal> {
    let number = Kind::Workspace.number(workspace.number);
    let refuse = |words: String| Err(Refusal::new("illegal_state", words));
    if trash.is_some() && asked.is_some() {
        return refuse("name a snapshot or a directory in the trash, not both".to_owned());
    }
    let last = workspace.trash_path.as_ref().filter(|_| workspace.status == WorkspaceStatus::Archived);
    let from_trash = trash.map(|item| item.place).or_else(|| last.filter(|_| asked.is_none()).cloned());
    if let Some(place) = from_trash {
        if let Some(emptying) = going(d.state(), &place) {
            return refuse(match &emptying.last_error {
                Some(why) => format!(
                    "its time is over, and the trash of {number} could not be emptied: {why}; that is tried again, so name a snapshot instead"
                ),
                None => format!("the trash of {number} is just being emptied: {place} does not come back"),
            });
        }
        return match workspace.status {
            WorkspaceStatus::Archived => Ok(From::Trash(place)),
            WorkspaceStatus::Archiving | WorkspaceStatus::Realising => {
                let status = workspace.status.as_str();
                refuse(format!("{number} is {status}; ask again when that has ended"))
            }
            _ => refuse(format!(
                "{number} is {}, so its place is not free for {place}; `wharf workspace archive {number}` first, \
                 which keeps what is there now as well",
                workspace.status.as_str().replace('_', " ")
            )),
        };
    }
    let of_it = d.state().snapshots.values().filter(|s| s.workspace_id == workspace.id);
    let newest = of_it.max_by_key(|s| s.ordinal);
    let going = |id: SnapshotId| {
        let text = id.text();
        d.state().actions.values().any(|a| is_open(a.status) && a.entity_type == "snapshot" && a.entity_id == text)
    };
    if let Some(gone) = asked.as_ref().filter(|s| going(s.id)) {
        return refuse(format!("{number}.{} is just being removed: its time is over", gone.ordinal));
    }
    match workspace.status {
        // What lies in the trash may be damaged; it stays there.
        WorkspaceStatus::Archived | WorkspaceStatus::Missing => {
            match asked.map(|s| s.id).or_else(|| newest.map(|s| s.id).filter(|id| !going(*id))) {
                Some(id) => Ok(From::Fresh(id)),
                None => refuse(format!("nothing of {number} is kept any more: neither its directory nor a snapshot")),
            }
        }
        WorkspaceStatus::Idle | WorkspaceStatus::InReview | WorkspaceStatus::Failed => {
            let Some(snapshot) = asked else {
                let words = newest.map_or_else(
                    || format!("{number} is there, and has no snapshot"),
                    |s| format!("{number} is there; name the snapshot that it is to become: {number}.{}", s.ordinal),
                );
                return refuse(words);
            };
            let around = gather(d.state(), workspace.id).map(|rows| rows.around()).unwrap_or_default();
            let busy: Vec<String> = around.live_runs.into_iter().chain(around.operations).collect();
            if !busy.is_empty() {
                return refuse(format!("{number} is in use: {}", busy.join(", ")));
            }
            Ok(From::Into(snapshot.id))
        }
        WorkspaceStatus::Active => refuse(format!("{number} is in use; restore a snapshot when its runs have ended")),
        WorkspaceStatus::CleanupFailed => {
            refuse(format!("archiving {number} has failed; `wharf workspace archive {number}` goes on with it first"))
        }
        WorkspaceStatus::Archiving | WorkspaceStatus::Realising => {
            let status = workspace.status.as_str();
            refuse(format!("{number} is {status}; ask again when that has ended"))
        }
    }
}

/// It is back.
pub(crate) fn restored(d: &mut Deciding<'_, '_>, action: ActionId, id: WorkspaceId, back: &RestoredWorkspace) {
    let intended = d.tx.get::<ActionRow>(action).cloned();
    d.end_action(action, ActionStatus::Done, None);
    let Some(row) = d.tx.get::<WorkspaceRow>(id).cloned() else { return };
    let Some(memory) = remembered::<Restoring>(&row, KEY) else { return };
    if row.status != WorkspaceStatus::Realising {
        return;
    }
    let now = d.now();
    let place = intended.as_ref().and_then(|a| a.args.as_ref()?.get("trash_path")?.as_str()).map(str::to_owned);
    let came_from = place.filter(|_| back.snapshot.is_none());
    d.tx.update::<WorkspaceRow>(id, |w| {
        w.status = WorkspaceStatus::Idle;
        w.deadline_at = None;
        w.closed_at = None;
        w.cleanup_eligible_at = None;
        w.failure_reason = None;
        w.last_used_at = now;
        if let Some(place) = &came_from {
            trash::forget(w, place);
        }
        // What else lies in the trash stays known until it goes.
        trash::set_aside(w);
        remember(w, KEY, None);
        remember(w, "archive_notes", None);
    });
    if let Some(snapshot) = back.snapshot {
        d.tx.update::<SnapshotRow>(snapshot, |s| s.restored_at = Some(now));
    }
    let name = back.snapshot.and_then(|s| d.tx.get::<SnapshotRow>(s)).map(|s| s.ordinal);
    let number = Kind::Workspace.number(row.number);
    let result = json!({
        "workspace_id": id.text(), "workspace": number, "path": back.path, "branch": back.branch, "notes": back.notes,
        "snapshot": name.map(|n| format!("{number}.{n}")),
    });
    d.activity(&Actor::system(), "workspace.restored", &about::workspace(&row, None), Some(result.clone()));
    let request = intended.as_ref().and_then(request_of).unwrap_or(memory.request);
    request::done(d, request, result);
}

/// It could not be brought back, and is where it was.
pub(super) fn failed(d: &mut Deciding<'_, '_>, id: WorkspaceId, why: &str) {
    let Some(row) = d.tx.get::<WorkspaceRow>(id).filter(|w| w.status == WorkspaceStatus::Realising).cloned() else {
        return;
    };
    let Some(memory) = remembered::<Restoring>(&row, KEY) else { return };
    // A row cannot go from being made to where nothing is known of a review: it rests.
    let to = match memory.from {
        WorkspaceStatus::InReview => WorkspaceStatus::Idle,
        other => other,
    };
    d.tx.update::<WorkspaceRow>(id, |w| {
        w.status = to;
        w.deadline_at = None;
        w.failure_reason = Some(why.to_owned());
        remember(w, KEY, None);
    });
    let number = Kind::Workspace.number(row.number);
    request::failed(d, memory.request, "workspace_restore_failed", &format!("{number} was not restored: {why}"));
}

/// Ends those whose time is over.
pub(super) fn overdue(d: &mut Deciding<'_, '_>, now: UnixMillis) {
    let late: Vec<WorkspaceId> = d.state().workspaces.values().filter(|w| is_late(w, now)).map(|w| w.id).collect();
    for id in late {
        let open = is_at(d.state(), id, ActionKind::RestoreWorkspace);
        if open {
            // Files may be written there at this moment: it stays closed until that is seen to end.
            d.tx.update::<WorkspaceRow>(id, |w| w.deadline_at = Some(now.plus(LIMIT_MS)));
        } else {
            failed(d, id, "its end has not been seen in time");
        }
    }
}

fn is_late(row: &WorkspaceRow, now: UnixMillis) -> bool {
    is_restoring(row) && row.deadline_at.is_some_and(|at| at <= now)
}

/// Whether a workspace is being brought back; others that are being made belong to a run.
pub(super) fn is_restoring(row: &WorkspaceRow) -> bool {
    row.status == WorkspaceStatus::Realising && remembered::<Restoring>(row, KEY).is_some()
}

/// Whether commands of a workspace may run on this machine.
pub(super) fn is_here(d: &Deciding<'_, '_>, workspace: &WorkspaceRow) -> Result<(), String> {
    let elsewhere =
        workspace.environment_id.and_then(|e| d.state().environments.get(&e)).filter(|e| e.driver != Driver::Local);
    elsewhere.map_or(Ok(()), |e| Err(e.name.clone()))
}
