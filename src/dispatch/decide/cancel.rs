//! Stopping a run, wherever it is.

use serde_json::{Value, json};
use wharf_model::{
    ActionKind, ActionRow, ActionStatus, DeadlineKind, OperationRow, OperationStatus, RunId, RunRow, RunStatus, Step,
    StopReason,
};

use super::{Deciding, about, finish, hurry, service, workspace};
use crate::dispatch::input::{Actor, Refusal};

/// Time beyond the grace within which a stopped run must have ended, or it cannot be judged.
const MARGIN_MS: i64 = 15_000;

/// Asks a run to stop. While queued it ends at once; in a step it ends as soon as nothing of it lives.
pub(crate) fn stop(
    d: &mut Deciding<'_, '_>,
    id: RunId,
    reason: StopReason,
    grace_ms: Option<i64>,
    actor: &Actor,
) -> Result<(), Refusal> {
    let Some(run) = d.tx.get::<RunRow>(id).cloned() else {
        return Err(Refusal::new("id_unknown", "there is no such run"));
    };
    let number = wharf_model::Kind::Run.number(run.number);
    match run.status {
        RunStatus::Queued | RunStatus::ScheduledRetry => {
            finish::cancel_queued(d, id, "cancelled", &format!("cancelled by {}", actor.id), Some(actor));
            return Ok(());
        }
        RunStatus::Running => {}
        ended => {
            return Err(Refusal::new(
                "illegal_state",
                format!(
                    "{number} is {ended} since {}; there is nothing to stop",
                    run.finished_at.unwrap_or(run.updated_at).rfc3339()
                ),
            ));
        }
    }
    let now = d.now();
    let grace = grace_ms.unwrap_or(run.grace_ms).clamp(0, 3_600_000);
    // A repeated stop may shorten the grace, never lengthen it.
    let grace = run.stop_grace_ms.map_or(grace, |before| before.min(grace));
    let again = run.stop_requested_at.is_some();
    d.tx.update::<RunRow>(id, |r| {
        r.stop_reason.get_or_insert(reason);
        r.stop_requested_at.get_or_insert(now);
        r.stop_requested_by.get_or_insert_with(|| actor.id.clone());
        r.stop_grace_ms = Some(grace);
        let deadline = now.plus(grace + MARGIN_MS);
        r.deadline_at = Some(r.deadline_at.filter(|_| again).map_or(deadline, |before| before.min(deadline)));
        r.deadline_kind = Some(DeadlineKind::Awake);
    });
    d.tx.event(
        id,
        "lifecycle",
        "warn",
        format!("stop asked by {}, grace {grace} ms", actor.id),
        Some(json!({ "reason": reason.as_str(), "grace_ms": grace })),
    );
    match run.step {
        Some(Step::Execute) => {
            let args = json!({ "reason": reason.as_str(), "grace_ms": grace });
            d.intend(ActionKind::StopShim, "run", &id.text(), run.attempt, run.fence, Some(args));
            // One that could not be started yet is not tried again: its executor sees the stop and says so.
            hurry(d, ActionKind::SpawnShim, &id.text());
        }
        Some(Step::Realise) if waits_for_retry(d, id) || workspace::waits(d.state(), id) => {
            finish::conclude_stopped(d, id);
        }
        Some(Step::Realise) => stop_operations(d, id, grace, reason.as_str()),
        Some(Step::Target) => {
            service::leave_all(d, id);
            finish::conclude_stopped(d, id);
        }
        // What a driver still grants is given back when it says so.
        Some(Step::Resolve | Step::Check | Step::Acquire | Step::Finish) | None => finish::conclude_stopped(d, id),
    }
    if again {
        return Ok(());
    }
    if let Some(run) = d.tx.get::<RunRow>(id).cloned()
        && run.status == RunStatus::Running
    {
        d.activity(
            actor,
            "run.cancelled",
            &about::run(&run),
            Some(json!({ "asked": true, "reason": reason.as_str() })),
        );
    }
    Ok(())
}

/// Gives the order to stop anew where it was asked for and nobody is giving it: the order was given up while
/// the run's shim did not listen.
pub(crate) fn ask_again(d: &mut Deciding<'_, '_>, id: RunId) {
    let Some(run) = d.tx.get::<RunRow>(id).cloned() else { return };
    let Some(reason) = run.stop_reason.filter(|_| run.status == RunStatus::Running) else { return };
    let entity = id.text();
    let given = |a: &ActionRow| a.kind == ActionKind::StopShim && a.entity_id == entity && super::is_open(a.status);
    if run.step != Some(Step::Execute) || d.state().actions.values().any(given) {
        return;
    }
    let grace = run.stop_grace_ms.unwrap_or(run.grace_ms);
    let deadline = d.now().plus(grace + MARGIN_MS);
    d.tx.update::<RunRow>(id, |r| {
        r.deadline_at = Some(deadline);
        r.deadline_kind = Some(DeadlineKind::Awake);
    });
    let args = json!({ "reason": reason.as_str(), "grace_ms": grace });
    d.intend(ActionKind::StopShim, "run", &entity, run.attempt, run.fence, Some(args));
}

/// Whether nobody is making the run's workspace at the moment, since making it failed and waits.
fn waits_for_retry(d: &Deciding<'_, '_>, run: RunId) -> bool {
    let id = run.text();
    let mut making = d.state().actions.values().filter(|a| a.kind == ActionKind::RealiseWorkspace && a.entity_id == id);
    making.any(|a| a.status == ActionStatus::Pending)
}

/// Stops the processes that prepare the run's workspace; the step then ends by itself.
pub(crate) fn stop_operations(d: &mut Deciding<'_, '_>, run: RunId, grace: i64, reason: &str) {
    let open: Vec<OperationRow> = d
        .state()
        .operations
        .values()
        .filter(|o| o.run_id == Some(run) && o.status == OperationStatus::Running)
        .cloned()
        .collect();
    for operation in open {
        let args: Value = json!({ "reason": reason, "grace_ms": grace });
        d.intend(ActionKind::StopShim, "operation", &operation.id.text(), operation.attempt, None, Some(args));
    }
}
