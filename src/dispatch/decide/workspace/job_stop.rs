//! Stopping a job that runs: asked of its shim with a grace, and by force where nothing is heard of its end.

use serde_json::{Value, json};
use wharf_model::rules::running_job::{self, StopAsked};
use wharf_model::{
    ActionId, ActionKind, ActionStatus, Kind, OperationId, OperationRow, OperationStatus, RequestRow, RequestStatus,
    WorkspaceRow,
};

use super::rows::named;
use crate::dispatch::decide::request::Reached;
use crate::dispatch::decide::{Deciding, about, hurry, is_open, release};
use crate::dispatch::input::{Actor, Refusal};

/// Time beyond the grace within which a stopped job must have ended, or is ended by force; the same again after that.
const MARGIN_MS: i64 = 15_000;

/// `workspace.stop_job`.
pub(super) fn accept(d: &mut Deciding<'_, '_>, row: &RequestRow, actor: &Actor) -> Result<Value, Refusal> {
    let workspace = named(d, row)?;
    let number = Kind::Workspace.number(workspace.number);
    let operation = asked_for(d, row, &workspace)?;
    release::check_unchanged(row, &[running_job::judged(&operation)])?;
    let (name, shown) = (running_job::name(&operation).unwrap_or_default(), Kind::Operation.number(operation.number));
    let grace = row.args.get("grace_ms").and_then(Value::as_i64).unwrap_or(running_job::GRACE_MS).clamp(0, 3_600_000);
    let now = d.now();
    let before = running_job::stop_asked(&operation);
    // A repeated stop may shorten the grace, never lengthen it; nor is it what brings the force off.
    let stop = StopAsked {
        by: before.as_ref().map_or_else(|| actor.id.clone(), |b| b.by.clone()),
        at: before.as_ref().map_or(now, |b| b.at),
        grace_ms: before.as_ref().map_or(grace, |b| b.grace_ms.min(grace)),
        force: before.as_ref().is_some_and(|b| b.force),
    };
    let shortens = before.as_ref().is_none_or(|b| stop.grace_ms < b.grace_ms);
    if shortens && !stop.force {
        order(d, &operation, &stop);
    }
    if before.is_none() {
        let details = json!({ "job": name, "operation": shown, "grace_ms": stop.grace_ms });
        d.activity(actor, "workspace.job_stopped", &about::workspace(&workspace, None), Some(details));
    }
    Ok(json!({
        "workspace_id": workspace.id.text(), "workspace": number, "job": name, "operation_id": operation.id.text(),
        "operation": shown, "grace_ms": stop.grace_ms, "again": before.is_some(),
    }))
}

/// The running job that a request names by its operation or by its name; the only one where it names none.
fn asked_for(d: &Deciding<'_, '_>, row: &RequestRow, workspace: &WorkspaceRow) -> Result<OperationRow, Refusal> {
    let number = Kind::Workspace.number(workspace.number);
    let refuse = |why: String| Err(Refusal::new("illegal_state", why));
    let text = |key: &str| row.args.get(key).and_then(Value::as_str);
    let (id, job) = (text("operation"), text("job"));
    let its: Vec<&OperationRow> = running_job::running(d.state().operations.values(), workspace.id).collect();
    let named = |o: &&&OperationRow| {
        id.is_none_or(|id| o.id.text() == id) && job.is_none_or(|job| running_job::name(o) == Some(job))
    };
    let found: Vec<&OperationRow> = its.iter().filter(named).copied().collect();
    let words = |o: &&OperationRow| {
        format!("{} {}", Kind::Operation.number(o.number), running_job::name(o).unwrap_or_default())
    };
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let what = job.map_or_else(|| "that job".to_owned(), str::to_owned);
            let others: Vec<String> = its.iter().map(words).collect();
            let others = if others.is_empty() { "no job does".to_owned() } else { others.join(", ") + " does" };
            refuse(format!("{what} does not run in {number}, there is nothing to stop; {others}"))
        }
        many => {
            let names: Vec<String> = many.iter().map(words).collect();
            refuse(format!("several jobs run in {number}: {}; name the one to stop", names.join(", ")))
        }
    }
}

/// Writes a stop and gives the order, in the place of one that was given before.
fn order(d: &mut Deciding<'_, '_>, operation: &OperationRow, stop: &StopAsked) {
    let id = operation.id.text();
    let given: Vec<ActionId> = d
        .state()
        .actions
        .values()
        .filter(|a| a.kind == ActionKind::StopShim && a.entity_type == "operation" && a.entity_id == id)
        .filter(|a| is_open(a.status))
        .map(|a| a.id)
        .collect();
    for action in given {
        d.end_action(action, ActionStatus::Superseded, None);
    }
    let grace = if stop.force { 0 } else { stop.grace_ms };
    let deadline = d.now().plus(grace + MARGIN_MS);
    d.tx.update::<OperationRow>(operation.id, |o| {
        running_job::ask(o, stop);
        o.deadline_at = Some(deadline);
    });
    let args = json!({ "reason": "operator", "grace_ms": stop.grace_ms, "force": stop.force });
    d.intend(ActionKind::StopShim, "operation", &id, operation.attempt, None, Some(args));
    // One that could not be started yet is not tried again: its executor sees the stop and says so.
    if let Some(workspace) = operation.execution_workspace_id {
        hurry(d, ActionKind::RunJob, &workspace.text());
    }
}

/// A job's end has not been seen in time. Where an operator wants it ended, its shim and all that it started are
/// killed, once. Says whether that was begun now.
pub(crate) fn force(d: &mut Deciding<'_, '_>, id: OperationId) -> bool {
    let Some(operation) = d.tx.get::<OperationRow>(id).cloned() else { return false };
    let Some(stop) = running_job::stop_asked(&operation).filter(|stop| !stop.force) else { return false };
    order(d, &operation, &StopAsked { force: true, ..stop });
    true
}

/// How a stop has ended: with the job.
pub(super) fn reached(d: &Deciding<'_, '_>, row: &RequestRow) -> Option<Reached> {
    let id = row.result.as_ref().and_then(|r| r["operation_id"].as_str()).and_then(|t| t.parse::<OperationId>().ok());
    let Some(operation) = id.and_then(|id| d.tx.get::<OperationRow>(id)) else {
        return Some((RequestStatus::Done, None));
    };
    match operation.status {
        OperationStatus::Running => None,
        // Whether anything of it lives on is not known.
        OperationStatus::Failed
            if operation.exit_code.is_none() && running_job::stop_asked(operation).is_some_and(|s| s.force) =>
        {
            let number = Kind::Operation.number(operation.number);
            let why = operation.error.as_deref().unwrap_or("its end has not been seen");
            let message = format!("{number} was to be ended by force, and {why}");
            Some((RequestStatus::Failed, Some(("process_lost".to_owned(), message))))
        }
        _ => Some((RequestStatus::Done, None)),
    }
}
