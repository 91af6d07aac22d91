//! What of archived workspaces is kept no longer: directories in the trash, snapshots. The row says that it is gone
//! once it is.

use serde_json::{Value, json};
use wharf_model::{
    ActionId, ActionKind, ActionRow, ActionStatus, RequestRow, SnapshotId, SnapshotRow, SnapshotStatus, WorkspaceId,
    WorkspaceRow, WorkspaceStatus,
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
    let (entity, id) = match kept.of {
        KeptOf::Trash(id) => {
            let is_it = d.tx.get::<WorkspaceRow>(id).is_some_and(|w| {
                w.status == WorkspaceStatus::Archived
                    && due(w.trash_until)
                    && w.trash_path.as_deref() == Some(&*kept.place)
            });
            if !is_it {
                return None;
            }
            let open =
                open_actions(d.state(), id).next().map(|a| (a.id, a.kind == ActionKind::EmptyTrash && is_late(a)));
            match open {
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
                    return Some(told("trash", &id.text(), kept));
                }
                Some(_) => return None,
            }
            ("workspace", id.text())
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
            ("snapshot", text)
        }
    };
    let args = json!({ "place": kept.place, "repo": kept.repo, "request": request });
    d.intend(ActionKind::EmptyTrash, entity, &id, 1, None, Some(args));
    Some(told(if entity == "workspace" { "trash" } else { entity }, &id, kept))
}

fn told(entity: &str, id: &str, kept: &GcKept) -> Value {
    json!({ "entity": entity, "id": id, "number": kept.number, "place": kept.place, "bytes": kept.bytes })
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
    } else if let Ok(id) = row.entity_id.parse::<WorkspaceId>() {
        d.tx.update::<WorkspaceRow>(id, |w| {
            w.trash_path = None;
            w.trash_until = None;
            w.trash_bytes = None;
        });
    }
}
