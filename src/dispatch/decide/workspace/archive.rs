//! Archiving: judged and accepted, its services stopped first, then done by one action that can be repeated.

use serde_json::{Value, json};
use uuid::Uuid;
use wharf_model::config::Retention;
use wharf_model::rules::close_check::{AskedBy, CloseCheck, CloseItem, CloseRows, CloseVerdict, judge};
use wharf_model::rules::trash::{self, TrashItem, TrashKind};
use wharf_model::{
    ActionId, ActionKind, ActionStatus, Kind, RequestId, RequestRow, ServiceRow, ServiceStatus, UnixMillis,
    WorkspaceId, WorkspaceRow, WorkspaceStatus,
};

use super::rows::{Archiving, gather, named, open_actions, remember, remembered};
use crate::dispatch::decide::{Deciding, about, release, request, service};
use crate::dispatch::input::{Actor, ArchivedWorkspace, Prepared, Refusal};

/// Time that archiving may take beyond its commands and the grace of its services, in milliseconds.
const LIMIT_MS: i64 = 15 * 60_000;
/// Key of what a row remembers.
const KEY: &str = "archiving";
/// Why a service of it is stopped.
const STOPPED: &str = "workspace_archived";

/// `workspace.archive`: an operator has seen the check and said yes.
pub(super) fn accept(
    d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    prepared: &Prepared,
    actor: &Actor,
) -> Result<Value, Refusal> {
    let workspace = named(d, row)?;
    let Prepared::Close(read) = prepared else {
        return Err(Refusal::new("internal", "what is in the workspace was not looked at"));
    };
    let Some(rows) = gather(d.state(), workspace.id) else {
        return Err(Refusal::new("id_unknown", "the project of that workspace is not known any more"));
    };
    if let Some(why) = rows.not_archivable() {
        return Err(Refusal::new("illegal_state", why));
    }
    let plan = rows.plan(&read.retention, d.now());
    let check = judge(&read.found, &rows.around(), &plan, AskedBy::Operator);
    if check.verdict == CloseVerdict::Blocked {
        let message = format!("{} cannot be archived: {}", rows.number(), check.blocked_by());
        return Err(Refusal::new("illegal_state", message));
    }
    release::check_unchanged(row, &rows.judged())?;
    let seen = row.args.get("fingerprint").and_then(Value::as_str);
    if seen.is_some_and(|seen| seen != check.fingerprint) {
        let message = format!(
            "the files of {} have changed since the preview; look at the new preview and confirm again",
            rows.number()
        );
        return Err(Refusal::new("changed_since_preview", message));
    }
    begin(d, &rows, &check, &read.retention, row.id, read.found.bytes, actor);
    Ok(json!({
        "workspace_id": workspace.id.text(), "workspace": rows.number(), "verdict": check.verdict.as_str(),
        "snapshot": plan.snapshot,
    }))
}

/// Begins to archive what was judged.
pub(super) fn begin(
    d: &mut Deciding<'_, '_>,
    rows: &CloseRows,
    check: &CloseCheck,
    retention: &Retention,
    request: RequestId,
    bytes: Option<u64>,
    actor: &Actor,
) {
    let workspace = &rows.workspace;
    // A try that failed may have moved it already: the next one goes on in the same place.
    let before = remembered::<Archiving>(workspace, KEY);
    let trash = before.map_or_else(|| d.id::<Uuid>(), |a| a.trash);
    let commands: i64 = rows.commands().iter().map(|c| i64::try_from(c.limit_ms).unwrap_or(LIMIT_MS)).sum();
    let grace = rows.own_services().map(|s| s.grace_ms).max().unwrap_or(0);
    let deadline = d.now().plus(LIMIT_MS + commands + grace);
    let memory = Archiving {
        request,
        trash,
        action: None,
        snapshots_ms: retention.snapshots_ms,
        after_close_ms: retention.workspaces_after_close_ms,
        bytes,
        by: actor.id.clone(),
        may_be_moved: workspace.status == WorkspaceStatus::CleanupFailed,
    };
    d.tx.update::<WorkspaceRow>(workspace.id, |w| {
        w.status = WorkspaceStatus::Archiving;
        w.deadline_at = Some(deadline);
        w.failure_reason = None;
        remember(w, KEY, serde_json::to_value(&memory).ok());
    });
    let ignored = check.items.iter().find(|item| item.code == "ignored").map(CloseItem::line);
    let details = json!({
        "asked": true, "verdict": check.verdict.as_str(), "warnings": check.warnings(), "ignored": ignored,
    });
    d.activity(actor, "workspace.archived", &about::workspace(workspace, None), Some(details));
    carry_on(d, workspace.id);
}

/// Goes on with every workspace that is being archived.
pub(super) fn carry_on_all(d: &mut Deciding<'_, '_>) {
    let archiving: Vec<WorkspaceId> = d
        .state()
        .workspaces
        .values()
        .filter(|w| w.status == WorkspaceStatus::Archiving)
        .filter(|w| remembered::<Archiving>(w, KEY).is_some_and(|a| a.action.is_none()))
        .map(|w| w.id)
        .collect();
    for id in archiving {
        carry_on(d, id);
    }
}

/// Stops what still runs for it; once nothing does, lets it be moved.
fn carry_on(d: &mut Deciding<'_, '_>, id: WorkspaceId) {
    let Some(rows) = gather(d.state(), id) else { return };
    let Some(memory) = remembered::<Archiving>(&rows.workspace, KEY) else { return };
    if rows.own_services().any(|s| s.status != ServiceStatus::Stopping) {
        service::stop_all_of_workspace(d, id, STOPPED);
    }
    // As they are now: what waited to be started again has stopped at once.
    let open: Vec<ServiceRow> = gather(d.state(), id).map(|r| r.own_services().cloned().collect()).unwrap_or_default();
    if let Some(hung) = open.iter().find(|s| service::is_overdue(s)) {
        let why = format!("{} {} has not been seen to end", Kind::Service.number(hung.number), hung.name);
        failed(d, id, &why, !memory.may_be_moved);
        return;
    }
    if !open.is_empty() {
        return;
    }
    let snapshot: wharf_model::SnapshotId = d.id();
    let args = json!({
        "snapshot": snapshot.text(), "trash": memory.trash, "request": memory.request.text(),
        "keep_ms": memory.snapshots_ms, "trash_keep_ms": memory.after_close_ms,
    });
    let action = d.intend(ActionKind::RemoveWorkspace, "workspace", &id.text(), 1, None, Some(args));
    let memory = Archiving { action: Some(action), ..memory };
    d.tx.update::<WorkspaceRow>(id, |w| remember(w, KEY, serde_json::to_value(&memory).ok()));
}

/// It was archived, or was gone before.
pub(crate) fn archived(d: &mut Deciding<'_, '_>, action: ActionId, id: WorkspaceId, gone: &ArchivedWorkspace) {
    d.end_action(action, ActionStatus::Done, None);
    let Some(row) = d.tx.get::<WorkspaceRow>(id).cloned() else { return };
    let Some(memory) = remembered::<Archiving>(&row, KEY).filter(|m| m.action == Some(action)) else { return };
    // It came after all, later than was waited for.
    if row.status == WorkspaceStatus::CleanupFailed {
        d.tx.update::<WorkspaceRow>(id, |w| w.status = WorkspaceStatus::Archiving);
    } else if row.status != WorkspaceStatus::Archiving {
        return;
    }
    let now = d.now();
    let after = |ms: Option<u64>| ms.map(|ms| now.plus(i64::try_from(ms).unwrap_or(i64::MAX / 2)));
    let bytes = gone.bytes.or(memory.bytes);
    let directory = gone.trash_path.clone().map(|place| TrashItem {
        kind: TrashKind::Directory,
        place,
        until: after(memory.after_close_ms),
        bytes: bytes.and_then(|b| i64::try_from(b).ok()),
    });
    d.tx.update::<WorkspaceRow>(id, |w| {
        w.status = WorkspaceStatus::Archived;
        w.closed_at = Some(now);
        w.deadline_at = None;
        w.failure_reason = None;
        if mutant!(TrashForgotten) {
            w.trash_more = None;
        }
        trash::archived(w, directory);
        remember(w, KEY, None);
        remember(w, "archive_notes", (!gone.notes.is_empty()).then(|| json!(gone.notes)));
    });
    let details = json!({
        "trash_path": gone.trash_path, "bytes": bytes, "branch_deleted": gone.branch_deleted, "notes": gone.notes,
        "by": memory.by,
    });
    d.activity(&Actor::system(), "workspace.archived", &about::workspace(&row, None), Some(details));
    if is_for_one(d, memory.request) {
        let number = Kind::Workspace.number(row.number);
        let result = json!({
            "workspace_id": id.text(), "workspace": number, "trash_path": gone.trash_path, "bytes": bytes,
            "branch_deleted": gone.branch_deleted, "notes": gone.notes,
        });
        request::done(d, memory.request, result);
    }
}

/// Whether a request is about this workspace alone; a reaper's is about many.
fn is_for_one(d: &Deciding<'_, '_>, id: RequestId) -> bool {
    d.tx.get::<RequestRow>(id).is_some_and(|r| r.kind == wharf_model::RequestKind::WorkspaceArchive.as_str())
}

/// It was not archived: the reason stands in its row, and whoever asks again goes on. One whose directory is in its
/// place may be worked in again; one that may be half moved is closed.
pub(crate) fn failed(d: &mut Deciding<'_, '_>, id: WorkspaceId, why: &str, in_place: bool) {
    let Some(row) = d.tx.get::<WorkspaceRow>(id).filter(|w| w.status == WorkspaceStatus::Archiving).cloned() else {
        return;
    };
    let open: Vec<ActionId> =
        open_actions(d.state(), id).filter(|a| a.kind == ActionKind::RemoveWorkspace).map(|a| a.id).collect();
    for action in open {
        d.end_action(action, ActionStatus::Superseded, Some(why.to_owned()));
    }
    d.tx.update::<WorkspaceRow>(id, |w| {
        w.status = if in_place { WorkspaceStatus::Idle } else { WorkspaceStatus::CleanupFailed };
        w.failure_reason = Some(why.to_owned());
        w.deadline_at = None;
    });
    d.activity(
        &Actor::system(),
        "workspace.cleanup_failed",
        &about::workspace(&row, None),
        Some(json!({ "reason": why })),
    );
    let Some(memory) = remembered::<Archiving>(&row, KEY) else { return };
    if is_for_one(d, memory.request) {
        let message = format!("{} could not be archived: {why}", Kind::Workspace.number(row.number));
        request::failed(d, memory.request, "workspace_cleanup_failed", &message);
    }
}

/// Ends those whose time is over.
pub(super) fn overdue(d: &mut Deciding<'_, '_>, now: UnixMillis) {
    let late: Vec<WorkspaceId> = d
        .state()
        .workspaces
        .values()
        .filter(|w| w.status == WorkspaceStatus::Archiving && w.deadline_at.is_some_and(|at| at <= now))
        .map(|w| w.id)
        .collect();
    for id in late {
        // Whoever does it may be moving it just now.
        failed(d, id, "its end has not been seen in time", false);
    }
}
