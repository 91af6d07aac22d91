//! The life of workspaces after their runs: verbs, what goes on by itself, deadlines.

use serde_json::Value;
use wharf_model::rules::release::Judged;
use wharf_model::state::State;
use wharf_model::{
    ActionId, ActionKind, ActionRow, ActionStatus, RequestKind, RequestRow, RequestStatus, UnixMillis, WorkspaceId,
    WorkspaceRow, WorkspaceStatus,
};

use super::rows::{remember, remembered};
use super::{archive, job, job_stop, reap, restore, snapshot, wait};
use crate::dispatch::decide::request::Reached;
use crate::dispatch::decide::{Deciding, about, is_open};
use crate::dispatch::input::{Actor, Prepared, Refusal};

/// Carries out a verb, or says why not.
pub(crate) fn accept(
    d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    kind: RequestKind,
    prepared: &Prepared,
    actor: &Actor,
) -> Result<Value, Refusal> {
    match kind {
        RequestKind::WorkspaceArchive => archive::accept(d, row, prepared, actor),
        RequestKind::WorkspaceSnapshot => snapshot::accept(d, row, prepared, actor),
        RequestKind::WorkspaceRestore => restore::accept(d, row, prepared, actor),
        RequestKind::WorkspaceRunJob => job::accept(d, row, actor),
        RequestKind::WorkspaceStopJob => job_stop::accept(d, row, actor),
        RequestKind::WorkspaceReap => reap::accept(d, row, prepared, actor),
        _ => Err(Refusal::new("illegal_state", format!("{} is no verb on workspaces", row.kind))),
    }
}

/// Goes on with what waits for services to end, and then with the runs that wait for a workspace.
pub(crate) fn carry_on(d: &mut Deciding<'_, '_>) {
    archive::carry_on_all(d);
    wait::carry_on(d);
}

/// Whether [`reached`] tells when requests of this kind have ended.
pub(crate) const fn settles(kind: RequestKind) -> bool {
    matches!(
        kind,
        RequestKind::WorkspaceArchive
            | RequestKind::WorkspaceSnapshot
            | RequestKind::WorkspaceRestore
            | RequestKind::WorkspaceRunJob
            | RequestKind::WorkspaceStopJob
            | RequestKind::WorkspaceReap
    )
}

/// How an accepted request has ended; most are ended together with their action.
pub(crate) fn reached(d: &Deciding<'_, '_>, row: &RequestRow, kind: RequestKind) -> Option<Reached> {
    match kind {
        RequestKind::WorkspaceReap => reap::reached(d, row),
        RequestKind::WorkspaceStopJob => job_stop::reached(d, row),
        RequestKind::WorkspaceArchive => {
            let id = row.target_id.as_deref().and_then(|t| t.parse::<WorkspaceId>().ok());
            let at_it = id.and_then(|id| d.tx.get::<WorkspaceRow>(id));
            // Ended with the fact; what is left here has been overtaken by something else.
            let over = at_it.is_none_or(|w| w.status != WorkspaceStatus::Archiving);
            over.then_some((RequestStatus::Done, None))
        }
        _ => (!has_action(d.state(), row)).then_some((RequestStatus::Done, None)),
    }
}

/// Whether an action of a request is open.
pub(crate) fn has_action(state: &State, row: &RequestRow) -> bool {
    let id = row.id.text();
    state
        .actions
        .values()
        .any(|a| is_open(a.status) && a.args.as_ref().is_some_and(|args| args["request"].as_str() == Some(&*id)))
}

/// What was asked of a workspace could not be done; trying again would not help.
pub(crate) fn work_failed(d: &mut Deciding<'_, '_>, action: ActionId, id: WorkspaceId, why: &str, in_place: bool) {
    let Some(row) = d.tx.get::<ActionRow>(action).cloned() else { return };
    if !d.end_action(action, ActionStatus::Failed, Some(why.to_owned())) {
        return;
    }
    if row.kind == ActionKind::RemoveWorkspace {
        archive::failed(d, id, why, in_place);
    } else {
        given_up(d, &row, id, why);
    }
}

/// Nobody goes on with an action on a workspace.
pub(crate) fn given_up(d: &mut Deciding<'_, '_>, action: &ActionRow, id: WorkspaceId, why: &str) {
    match action.kind {
        // How far it came is not known.
        ActionKind::RemoveWorkspace => archive::failed(d, id, why, false),
        ActionKind::SnapshotWorkspace => snapshot::failed(d, action, why),
        ActionKind::RestoreWorkspace => restore::failed(d, id, why),
        ActionKind::RunJob => job::failed(d, action, why),
        _ => {}
    }
}

/// The directory of a resting workspace is certainly there, or certainly not.
pub(crate) fn seen(d: &mut Deciding<'_, '_>, id: WorkspaceId, version: i64, there: bool) {
    const KEY: &str = "missing_since";
    let Some(row) = d.tx.get::<WorkspaceRow>(id).cloned() else { return };
    // It was moved, or is used again: what was looked at is another one.
    if row.version != version {
        return;
    }
    let path = wharf_model::rules::close_check::root(&row).unwrap_or_default();
    let now = d.now();
    match (row.status, there) {
        (WorkspaceStatus::Idle, false) => {
            let reason = format!("its directory {path} is not there any more; nobody asked wharf to remove it");
            d.tx.update::<WorkspaceRow>(id, |w| {
                w.status = WorkspaceStatus::Missing;
                w.failure_reason = Some(reason.clone());
                remember(w, KEY, Some(now.0.into()));
            });
            let details = serde_json::json!({ "path": path });
            d.activity(&Actor::system(), "workspace.missing", &about::workspace(&row, None), Some(details));
        }
        (WorkspaceStatus::Missing, true) if remembered::<i64>(&row, KEY).is_some() => {
            d.tx.update::<WorkspaceRow>(id, |w| {
                w.status = WorkspaceStatus::Idle;
                w.failure_reason = None;
                remember(w, KEY, None);
            });
        }
        _ => {}
    }
}

/// Acts on what is overdue.
pub(crate) fn overdue(d: &mut Deciding<'_, '_>) {
    let now = d.now();
    archive::overdue(d, now);
    restore::overdue(d, now);
}

/// Deadlines of workspaces that nobody else keeps.
pub(crate) fn deadlines(state: &State) -> impl Iterator<Item = Option<UnixMillis>> + '_ {
    state
        .workspaces
        .values()
        .filter(|w| w.status == WorkspaceStatus::Archiving || restore::is_restoring(w))
        .map(|w| w.deadline_at)
}

/// A row and its version, as a preview names it.
pub(super) fn judged(row: &WorkspaceRow) -> Judged {
    Judged { id: row.id.text(), version: row.version }
}
