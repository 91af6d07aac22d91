//! What of workspaces is kept no longer: what lies in a trash, snapshots. The row says that it is gone once it is.

use serde_json::{Value, json};
use wharf_model::rules::trash::{self, TrashItem, TrashKind};
use wharf_model::state::State;
use wharf_model::{
    ActionId, ActionKind, ActionRow, ActionStatus, RequestRow, SnapshotId, SnapshotRow, SnapshotStatus, WorkspaceId,
    WorkspaceRow,
};

use super::rows::open_actions;
use crate::dispatch::decide::sweep::is_late;
use crate::dispatch::decide::{Deciding, is_open};
use crate::dispatch::input::{GcKept, KeptOf};

/// Intends the removal of what is still due; gives what is told of it.
pub(crate) fn empty(d: &mut Deciding<'_, '_>, row: &RequestRow, kept: &[GcKept]) -> Vec<Value> {
    kept.iter().filter_map(|one| begin(d, row, one)).collect()
}

fn begin(d: &mut Deciding<'_, '_>, row: &RequestRow, kept: &GcKept) -> Option<Value> {
    let now = d.now();
    let due = |at: Option<wharf_model::UnixMillis>| at.is_some_and(|at| at <= now);
    let request = row.id.text();
    let id = match kept.of {
        KeptOf::Trash(id) => {
            let workspace = d.tx.get::<WorkspaceRow>(id)?;
            let item = trash::items(workspace).into_iter().find(|item| item.place == kept.place && item.is_due(now))?;
            let told = json!({ "entity": "trash", "id": id.text(), "number": kept.number, "place": kept.place,
                "what": item.kind.as_str(), "bytes": kept.bytes });
            match going(d.state(), &item.place).map(|a| (a.id, is_late(a))) {
                None if is_needed(d.state(), id, &item.place) => return None,
                None => {}
                // It could not be emptied, and waits for its next hour: whoever asks now is told how it goes.
                Some((emptying, true)) => {
                    d.tx.update::<ActionRow>(emptying, |a| {
                        a.status = ActionStatus::Performing;
                        a.next_try_at = None;
                        if let Some(Value::Object(args)) = &mut a.args {
                            args.insert("request".into(), json!(request));
                        }
                    });
                    return Some(told);
                }
                Some(_) => return None,
            }
            let args = json!({
                "place": item.place, "repo": kept.repo, "request": request, "workspace": id.text(),
                "what": item.kind.as_str(),
            });
            d.intend(ActionKind::EmptyTrash, "trash", item.name(), 1, None, Some(args));
            return Some(told);
        }
        KeptOf::Snapshot(id) => {
            let row = d.tx.get::<SnapshotRow>(id)?;
            let workspace = row.workspace_id;
            let is_it = row.status == SnapshotStatus::Kept && due(row.expires_at);
            let text = id.text();
            let going = d.state().actions.values().any(|a| is_open(a.status) && a.entity_id == text);
            // One that is being restored just now is still needed.
            let needed = open_actions(d.state(), workspace).any(|a| a.kind == ActionKind::RestoreWorkspace);
            if !is_it || going || needed {
                return None;
            }
            text
        }
    };
    let args = json!({ "place": kept.place, "repo": kept.repo, "request": request });
    d.intend(ActionKind::EmptyTrash, "snapshot", &id, 1, None, Some(args));
    Some(json!({ "entity": "snapshot", "id": id, "number": kept.number, "place": kept.place, "bytes": kept.bytes }))
}

fn place_of<'a>(action: &'a ActionRow, key: &str) -> Option<&'a str> {
    action.args.as_ref()?.get(key)?.as_str()
}

/// What removes for good what lies at a place of a trash, if that is under way.
pub(super) fn going<'s>(state: &'s State, place: &str) -> Option<&'s ActionRow> {
    let empties = |a: &&ActionRow| a.kind == ActionKind::EmptyTrash && is_open(a.status);
    state.actions.values().filter(empties).find(|a| place_of(a, "place") == Some(place))
}

/// Whether it is just being brought back.
fn is_needed(state: &State, workspace: WorkspaceId, place: &str) -> bool {
    let restores = |a: &&ActionRow| a.kind == ActionKind::RestoreWorkspace;
    open_actions(state, workspace).filter(restores).any(|a| place_of(a, "trash_path") == Some(place))
}

/// What git had of a worktree whose directory was gone is kept for as long as a directory is.
pub(crate) fn parked(d: &mut Deciding<'_, '_>, action: ActionId, id: WorkspaceId, place: &str) {
    let Some(action) = d.tx.get::<ActionRow>(action) else { return };
    let keep_ms = action.args.as_ref().and_then(|args| args["trash_keep_ms"].as_i64());
    let until = keep_ms.map(|ms| d.now().plus(ms));
    let Some(workspace) = d.tx.get::<WorkspaceRow>(id) else { return };
    // Told again by a later try: its time began with the first.
    if trash::items(workspace).iter().any(|item| item.place == place) {
        return;
    }
    let item = TrashItem { kind: TrashKind::Entry, place: place.to_owned(), until, bytes: None };
    d.tx.update::<WorkspaceRow>(id, |w| trash::add(w, item));
}

/// It is gone for good.
pub(crate) fn emptied(d: &mut Deciding<'_, '_>, action: ActionId) {
    let Some(row) = d.tx.get::<ActionRow>(action).cloned() else { return };
    if !d.end_action(action, ActionStatus::Done, None) {
        return;
    }
    let now = d.now();
    if row.entity_type == "snapshot" {
        if let Ok(id) = row.entity_id.parse::<SnapshotId>() {
            d.tx.update::<SnapshotRow>(id, |s| {
                s.status = SnapshotStatus::Removed;
                s.removed_at = Some(now);
            });
        }
    } else {
        // Those that an older version intended name the workspace itself.
        let of = place_of(&row, "workspace").unwrap_or(&row.entity_id).parse::<WorkspaceId>();
        if let (Ok(id), Some(place)) = (of, place_of(&row, "place")) {
            d.tx.update::<WorkspaceRow>(id, |w| trash::forget(w, place));
        }
    }
}
