//! Deadlines: every state that can wait has one, and this is the one place that acts on them.

use wharf_model::rules;
use wharf_model::state::State;
use wharf_model::{
    ActionId, ActionKind, ActionRow, ActionStatus, LeaseEnd, LeaseId, LeaseRow, LeaseStatus, OperationId,
    OperationStatus, RequestId, RequestRow, RequestStatus, RunId, RunRow, RunStatus, ServiceId, ServiceStatus, Step,
    StepRow, StepStatus, StopReason, UnixMillis, WorkspaceId,
};

use super::{
    Deciding, cancel, environment, finish, is_open, lease, lease_verb, request, resolve, retry, service, steps, store,
    workspace,
};
use crate::dispatch::input::{Actor, OperationEnd};

/// How often a failing action is tried before it is given up.
const TRIES_MAX: i64 = 8;
/// How often work on logs is tried after that, once an hour: a disk may be full for days.
const LATE_TRIES: i64 = 7 * 24;
const LATE_DELAY_MS: i64 = 60 * 60_000;

/// A reign begins: what was being performed is intended anew, since every action can be repeated.
pub(crate) fn begin(d: &mut Deciding<'_, '_>) {
    let epoch = d.state().epoch;
    let open: Vec<ActionId> = d.state().actions.values().filter(|a| is_open(a.status)).map(|a| a.id).collect();
    for id in open {
        d.tx.update::<ActionRow>(id, |a| {
            a.status = ActionStatus::Performing;
            a.epoch_created = epoch;
            // Whether the driver has answered the last reign is not known.
            if a.kind == ActionKind::AcquireLease {
                a.tries += 1;
            }
            a.next_try_at = None;
        });
    }
    // A stop that was asked and given up is asked again: what hung may listen by now.
    let stopping: Vec<ServiceId> =
        d.state().services.values().filter(|s| s.status == ServiceStatus::Stopping).map(|s| s.id).collect();
    for id in stopping {
        service::ask_again(d, id, false);
    }
    lease::begin(d);
}

/// An action failed in a way that may pass.
pub(crate) fn action_failed(d: &mut Deciding<'_, '_>, id: ActionId, error: &str) {
    let Some(action) = d.tx.get::<ActionRow>(id).cloned() else { return };
    if !is_open(action.status) {
        return;
    }
    let mut delay = 250_i64 << action.tries.clamp(0, 7);
    if action.tries >= TRIES_MAX {
        let late = matches!(action.kind, ActionKind::SealLog | ActionKind::DeleteLog | ActionKind::EmptyTrash);
        let over = !late || action.tries >= TRIES_MAX + LATE_TRIES;
        if over && action.kind != ActionKind::BackupStore {
            d.end_action(id, ActionStatus::Failed, Some(error.to_owned()));
        }
        given_up(d, &action, error);
        if over {
            return;
        }
        delay = LATE_DELAY_MS;
    }
    let at = d.now().plus(delay);
    d.tx.update::<ActionRow>(id, |a| {
        a.status = ActionStatus::Pending;
        a.next_try_at = Some(at);
        a.last_error = Some(error.to_owned());
        a.tries += 1;
    });
}

/// Whether an action waits for its next hour, so that nobody is to wait for it.
pub fn is_late(action: &ActionRow) -> bool {
    action.status == ActionStatus::Pending && action.tries > TRIES_MAX
}

/// Nothing is left to try soon: whoever waits for the action must not wait for ever.
fn given_up(d: &mut Deciding<'_, '_>, action: &ActionRow, error: &str) {
    match action.kind {
        ActionKind::SpawnShim => {
            if let Ok(run) = action.entity_id.parse::<RunId>() {
                finish::not_started(d, action.id, run, action.attempt, "exec_failed", error);
            }
        }
        ActionKind::StopShim => {
            if action.entity_type == "service" {
                if let Ok(id) = action.entity_id.parse::<ServiceId>() {
                    service::not_stopped(d, id, action.attempt, error);
                }
            } else if let Ok(run) = action.entity_id.parse::<RunId>() {
                steps::observed(d, run, action.attempt, Some(&format!("it could not be asked to stop: {error}")));
            }
        }
        ActionKind::AcquireLease => {
            if let Ok(id) = action.entity_id.parse::<LeaseId>() {
                lease::refused(d, action.id, id, "lease_acquire_failed", error);
            }
        }
        ActionKind::ExtendLease => {
            if let Ok(id) = action.entity_id.parse::<LeaseId>() {
                lease::not_extended(d, action.id, id, None, error);
            }
        }
        // Asked again by the next renewal; a probe and a test answer with what stood in their way.
        ActionKind::ObserveLease | ActionKind::Probe | ActionKind::TestEnvironment | ActionKind::SealLog => {}
        ActionKind::RemoveWorkspace
        | ActionKind::SnapshotWorkspace
        | ActionKind::RestoreWorkspace
        | ActionKind::RunJob => {
            if let Ok(id) = action.entity_id.parse::<WorkspaceId>() {
                workspace::work_given_up(d, action, id, error);
            }
        }
        ActionKind::ReleaseLease | ActionKind::DestroyLease => {
            if let Ok(id) = action.entity_id.parse::<LeaseId>() {
                lease::park(d, id, error);
            }
        }
        ActionKind::RealiseWorkspace => {
            if let Ok(run) = action.entity_id.parse::<RunId>() {
                workspace::failed(d, action.id, run, action.attempt, (error, None), None);
            }
        }
        ActionKind::StartService => {
            if let Ok(id) = action.entity_id.parse::<ServiceId>() {
                let code = Some("service_start_failed".to_owned());
                service::ended(d, action.id, id, action.attempt, None, code, Some(error.to_owned()));
            }
        }
        ActionKind::BackupStore => store::not_backed_up(d, action.id, "internal", error),
        ActionKind::DeleteLog | ActionKind::EmptyTrash => {
            // What is left is told to who asked, and goes as soon as it can.
            let asked = action.args.as_ref().and_then(|a| a["request"].as_str());
            if let Ok(request) = asked.unwrap_or(&action.entity_id).parse::<RequestId>() {
                let now = d.now();
                d.tx.update::<RequestRow>(request, |r| {
                    if r.status == RequestStatus::Accepted {
                        r.status = RequestStatus::Failed;
                        r.finished_at = Some(now);
                        r.error_code = Some("internal".into());
                        r.error = Some(format!("not everything could be removed, and it is tried every hour: {error}"));
                    }
                });
            }
        }
    }
}

/// Acts on everything that is overdue.
pub(crate) fn overdue(d: &mut Deciding<'_, '_>) {
    requests(d);
    actions(d);
    step_deadlines(d);
    runs(d);
    leases(d);
    service::overdue(d);
    operations(d);
    workspace::overdue(d);
}

fn due(at: Option<UnixMillis>, now: UnixMillis) -> bool {
    at.is_some_and(|at| at <= now)
}

fn requests(d: &mut Deciding<'_, '_>) {
    let now = d.now();
    let late: Vec<RequestId> = d
        .state()
        .requests
        .values()
        .filter(|r| r.status == RequestStatus::Pending && r.expires_at <= now)
        .map(|r| r.id)
        .collect();
    for id in late {
        d.tx.update::<RequestRow>(id, |r| request::expire(r, now));
    }
}

fn actions(d: &mut Deciding<'_, '_>) {
    let now = d.now();
    let ready: Vec<ActionId> = d
        .state()
        .actions
        .values()
        .filter(|a| a.status == ActionStatus::Pending && due(a.next_try_at, now))
        .map(|a| a.id)
        .collect();
    for id in ready {
        d.tx.update::<ActionRow>(id, |a| {
            a.status = ActionStatus::Performing;
            a.next_try_at = None;
        });
    }
}

fn step_deadlines(d: &mut Deciding<'_, '_>) {
    let now = d.now();
    let late: Vec<(RunId, Step)> = d
        .state()
        .steps
        .values()
        .filter(|s| s.status == StepStatus::Running && due(s.deadline_at, now))
        .map(|s| (s.run_id, s.step))
        .collect();
    for (run, step) in late {
        let running = d.tx.get::<RunRow>(run).is_some_and(|r| r.status == RunStatus::Running && r.step == Some(step));
        if !running {
            d.tx.update::<StepRow>(wharf_model::StepId(run, step), |s| s.deadline_at = None);
            continue;
        }
        if step == Step::Execute {
            // The adapter has no deadline of the step: this one is that of doubt.
            resolve::overdue(d, run);
            continue;
        }
        if let Some((code, message)) = workspace::over_due(d.state(), run).filter(|_| step == Step::Realise) {
            finish::setup_failed(d, run, step, code, &message, serde_json::Value::Null);
            continue;
        }
        let limit = step.deadline_ms().unwrap_or(0) / 1000;
        let message = format!("step {step} did not end within {limit} s");
        finish::setup_failed(d, run, step, finish::code_of(step), &message, serde_json::Value::Null);
    }
}

/// The next moment at which a run that has not ended is to be looked at.
fn next_of(run: &RunRow) -> Option<UnixMillis> {
    let retry = run.due_at.filter(|_| run.status == RunStatus::ScheduledRetry);
    run.deadline_at.into_iter().chain(retry).min()
}

fn runs(d: &mut Deciding<'_, '_>) {
    let now = d.now();
    let late: Vec<RunRow> =
        d.state().runs.values().filter(|r| !r.status.is_terminal() && due(next_of(r), now)).cloned().collect();
    for run in late {
        match run.status {
            RunStatus::ScheduledRetry if due(run.due_at, now) && !due(run.deadline_at, now) => retry::due(d, run.id),
            RunStatus::Queued | RunStatus::ScheduledRetry => {
                finish::cancel_queued(d, run.id, "queue_deadline", "it waited in the queue for a day", None);
            }
            RunStatus::Running if run.stop_requested_at.is_some() => {
                d.tx.update::<RunRow>(run.id, |r| r.deadline_at = None);
                resolve::doubt(d, run.id, "a stop was asked and its end has not been seen in time");
            }
            // The shim keeps the time-out itself; this only asks again where it did not act.
            RunStatus::Running if run.step == Some(Step::Execute) => {
                let _ = cancel::stop(d, run.id, StopReason::Timeout, None, &Actor::system());
            }
            _ => {
                d.tx.update::<RunRow>(run.id, |r| r.deadline_at = None);
            }
        }
    }
}

fn leases(d: &mut Deciding<'_, '_>) {
    let now = d.now();
    let late: Vec<(LeaseId, LeaseStatus)> =
        d.state().leases.values().filter(|l| due(next_of_lease(d.state(), l), now)).map(|l| (l.id, l.status)).collect();
    for (id, status) in late {
        match status {
            LeaseStatus::PendingCleanup => lease::give_back(d, id, LeaseEnd::Released, None),
            LeaseStatus::Waiting => lease::wait_over(d, id),
            LeaseStatus::Acquiring => lease::unanswered(d, id),
            LeaseStatus::Active => lease::look(d, id),
            LeaseStatus::Retained => lease::keeping_over(d, id),
            LeaseStatus::Releasing => lease::park(d, id, "the driver did not answer in time"),
            LeaseStatus::Released | LeaseStatus::Expired | LeaseStatus::Failed => {}
        }
    }
}

/// The next moment at which a lease is to be looked at.
fn next_of_lease(state: &State, lease: &LeaseRow) -> Option<UnixMillis> {
    let holder = rules::lease::holder(lease.run_id.and_then(|r| state.runs.get(&r)));
    rules::lease::next_look(lease, &holder)
}

fn operations(d: &mut Deciding<'_, '_>) {
    let now = d.now();
    let late: Vec<OperationId> = d
        .state()
        .operations
        .values()
        .filter(|o| o.status == OperationStatus::Running && due(o.deadline_at, now))
        .map(|o| o.id)
        .collect();
    for id in late {
        // One that an operator wants ended is ended by force first.
        if workspace::force_job(d, id) {
            continue;
        }
        let end = OperationEnd {
            status: OperationStatus::Failed,
            error: Some("its end has not been seen in time".into()),
            ..OperationEnd::default()
        };
        workspace::operation_ended(d, id, &end);
    }
}

/// The next moment at which something is overdue; none when nothing waits.
pub fn next_deadline(state: &State) -> Option<UnixMillis> {
    let requests = state.requests.values().map(|r| match r.status {
        RequestStatus::Pending => Some(r.expires_at),
        RequestStatus::Accepted => lease_verb::due_at(state, r).or_else(|| environment::due_at(r)),
        _ => None,
    });
    let actions = state.actions.values().filter(|a| a.status == ActionStatus::Pending).map(|a| a.next_try_at);
    let steps = state.steps.values().filter(|s| s.status == StepStatus::Running).map(|s| s.deadline_at);
    let runs = state.runs.values().filter(|r| !r.status.is_terminal()).map(next_of);
    let leases = state.leases.values().map(|l| next_of_lease(state, l));
    let services = state.services.values().filter(|s| s.status.is_open());
    let services = services.flat_map(|s| [s.deadline_at, s.idle_deadline_at]);
    let operations = state.operations.values().filter(|o| o.status == OperationStatus::Running).map(|o| o.deadline_at);
    let workspaces = workspace::deadlines(state);
    let all = requests.chain(actions).chain(steps).chain(runs).chain(leases).chain(services);
    all.chain(operations).chain(workspaces).flatten().min()
}
