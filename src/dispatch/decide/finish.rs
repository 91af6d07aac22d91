//! How runs end: one place that writes the end, so that nothing ends twice and clean-up never changes it.

use serde_json::{Value, json};
use wharf_model::rules::liveness;
use wharf_model::shim::{EndedBy, ExitFrame, OomEvidence};
use wharf_model::{
    ActionId, ActionKind, ActionStatus, AgentRow, AgentRuntimeRow, AgentStatus, IssueRow, LeaseEnd, LeaseId,
    Observation, RunId, RunRow, RunStatus, RunTextKind, Step, StepId, StepRow, StepStatus, StopReason, WakeupRow,
    WakeupStatus, WorkspaceRow, WorkspaceStatus,
};

use super::{Deciding, about, cancel, lease, limits, retry, service, steps, workspace};
use crate::dispatch::input::{Actor, RunOutput};
use crate::dispatch::perform::shim_dir;
use crate::environment::driver::Collected;

mod results;

/// An end, as it will stand in the run's row.
struct End {
    status: RunStatus,
    code: Option<String>,
    message: Option<String>,
    detail: Value,
}

/// A step before the adapter failed: the run failed with the step's code, or was cancelled if a stop was asked.
pub(crate) fn setup_failed(d: &mut Deciding<'_, '_>, run: RunId, step: Step, code: &str, message: &str, detail: Value) {
    // A driver may refuse long after the run has given up waiting for it.
    let Some(row) = d.tx.get::<RunRow>(run).filter(|r| r.status == RunStatus::Running) else { return };
    let asked = row.stop_requested_at.is_some();
    steps::end(d, run, step, StepStatus::Failed, format!("{code}: {message}"));
    if asked {
        conclude_stopped(d, run);
        return;
    }
    let end = End { status: RunStatus::Failed, code: Some(code.to_owned()), message: Some(message.to_owned()), detail };
    conclude(d, run, end);
}

/// Ends a run whose stop was asked before its adapter was started; says whether it did.
pub(crate) fn stopped_before_start(d: &mut Deciding<'_, '_>, run: RunId) -> bool {
    let asked = d.tx.get::<RunRow>(run).is_some_and(|r| r.stop_requested_at.is_some());
    if asked {
        conclude_stopped(d, run);
    }
    asked
}

/// Ends a run that was stopped while no process of it lived.
pub(crate) fn conclude_stopped(d: &mut Deciding<'_, '_>, run: RunId) {
    let Some(row) = d.tx.get::<RunRow>(run).cloned() else { return };
    let timed_out = row.stop_reason == Some(StopReason::Timeout);
    let by = row.stop_requested_by.clone().unwrap_or_else(|| "the operator".to_owned());
    let end = End {
        status: if timed_out { RunStatus::TimedOut } else { RunStatus::Cancelled },
        code: Some(if timed_out { "timeout" } else { "cancelled" }.to_owned()),
        message: Some(format!("stopped by {by} before its adapter was started")),
        detail: Value::Null,
    };
    conclude(d, run, end);
}

/// Ends a run that never left the queue.
pub(crate) fn cancel_queued(d: &mut Deciding<'_, '_>, id: RunId, code: &str, message: &str, actor: Option<&Actor>) {
    let Some(run) = d.tx.get::<RunRow>(id).cloned() else { return };
    if !matches!(run.status, RunStatus::Queued | RunStatus::ScheduledRetry) {
        return;
    }
    let now = d.now();
    d.tx.update::<RunRow>(id, |r| {
        r.status = RunStatus::Cancelled;
        r.finished_at = Some(now);
        r.deadline_at = None;
        r.error_code = Some(code.to_owned());
        r.error = Some(message.to_owned());
    });
    if let Some(wakeup) = run.wakeup_request_id {
        let status = if code == "cancelled" { WakeupStatus::Cancelled } else { WakeupStatus::Skipped };
        end_wakeup(d, wakeup, status, Some(message));
    }
    d.tx.event(id, "lifecycle", "warn", format!("cancelled while queued: {message}"), None);
    let system = Actor::system();
    let details = json!({ "code": code, "message": message });
    d.activity(actor.unwrap_or(&system), "run.cancelled", &about::run(&run), Some(details));
}

/// The adapter ended and its tree is gone.
pub(crate) fn ended(
    d: &mut Deciding<'_, '_>,
    action: ActionId,
    id: RunId,
    attempt: u32,
    exit: &ExitFrame,
    output: &RunOutput,
    collected: Option<&Result<Collected, String>>,
) {
    d.end_action(action, ActionStatus::Done, None);
    let Some(run) = steps::current(d, id, attempt) else { return };
    keep_output(d, id, output);
    limits::note(d, id, exit.limits.as_ref());
    let killed = exit.stop.as_ref().is_some_and(|s| s.delivered);
    d.tx.update::<RunRow>(id, |r| {
        r.exit_code = exit.code;
        r.signal.clone_from(&exit.signal);
        r.signal_reason = exit.signal.as_ref().map(|_| signal_reason(exit));
        r.oom = exit.oom;
        r.leaky = exit.leaky;
        r.survivors = exit.stop.as_ref().filter(|s| !s.survivors.is_empty()).map(|s| json!(s.survivors));
        r.user_us = i64::try_from(exit.rusage.user_us).ok();
        r.sys_us = i64::try_from(exit.rusage.sys_us).ok();
        r.maxrss_kib = i64::try_from(exit.rusage.maxrss_kib).ok();
    });
    if let Some(why) = &exit.sync_failed {
        let message = format!("its log could not be made durable and may lack a part after a power loss: {why}");
        d.tx.event(id, "lifecycle", "error", message, None);
    }
    let end = results::weigh(d, &run, outcome(&run, exit, killed), collected);
    let said = end.message.clone().unwrap_or_else(|| format!("exit {}", exit.code.unwrap_or(0)));
    let good = end.status == RunStatus::Succeeded;
    steps::end(d, id, Step::Execute, if good { StepStatus::Succeeded } else { StepStatus::Failed }, said);
    let ended_at = wharf_model::UnixMillis(exit.ended_ms);
    conclude_at(d, id, end, Some(ended_at));
}

fn signal_reason(exit: &ExitFrame) -> String {
    if exit.oom {
        return if is_certain(exit) { "out_of_memory" } else { "probably_out_of_memory" }.to_owned();
    }
    match exit.by {
        EndedBy::Itself => "itself".to_owned(),
        EndedBy::Timeout => "timeout".to_owned(),
        EndedBy::Quota => "log_quota".to_owned(),
        EndedBy::Orphan => "orphan".to_owned(),
        EndedBy::Stop => exit.stop.as_ref().map_or_else(|| "stop".to_owned(), |s| s.reason.clone()),
    }
}

/// Whether it was the child that the kernel killed for want of memory: only its own group knows.
fn is_certain(exit: &ExitFrame) -> bool {
    exit.oom_evidence == Some(OomEvidence::OwnGroup)
}

/// The outcome of contracts 5, first match.
fn outcome(run: &RunRow, exit: &ExitFrame, stop_delivered: bool) -> End {
    let failed = |code: &str, message: String| End {
        status: RunStatus::Failed,
        code: Some(code.to_owned()),
        message: Some(message),
        detail: Value::Null,
    };
    if let Some(error) = &exit.spawn_error {
        if run.stop_requested_at.is_some() {
            return End {
                status: RunStatus::Cancelled,
                code: Some("cancelled".into()),
                message: Some(format!("stopped before its adapter was started ({})", error.message)),
                detail: Value::Null,
            };
        }
        return failed(&error.code, error.message.clone());
    }
    if stop_delivered {
        let reason = exit.stop.as_ref().map_or("operator", |s| s.reason.as_str());
        let killed = exit.stop.as_ref().map_or(0, |s| s.killed);
        let how = if killed > 0 { format!(", {killed} killed after the grace") } else { String::new() };
        return match exit.by {
            EndedBy::Timeout => End {
                status: RunStatus::TimedOut,
                code: Some("timeout".into()),
                message: Some(format!("its time was over{how}")),
                detail: Value::Null,
            },
            EndedBy::Quota => failed("log_quota", format!("its log reached the quota{how}")),
            EndedBy::Itself | EndedBy::Stop | EndedBy::Orphan if reason == "timeout" => End {
                status: RunStatus::TimedOut,
                code: Some("timeout".into()),
                message: Some(format!("its time was over{how}")),
                detail: Value::Null,
            },
            EndedBy::Itself | EndedBy::Stop | EndedBy::Orphan => End {
                status: RunStatus::Cancelled,
                code: Some("cancelled".into()),
                message: Some(format!("stopped by {}{how}", stopper(run, reason))),
                detail: Value::Null,
            },
        };
    }
    if let Some(signal) = &exit.signal {
        let note = match (exit.oom, is_certain(exit)) {
            (true, true) => " (out of memory)",
            (true, false) => " (probably out of memory)",
            (false, _) => "",
        };
        return failed("adapter_failed", format!("killed by {signal}{note}"));
    }
    match exit.code {
        Some(0) => End { status: RunStatus::Succeeded, code: None, message: None, detail: Value::Null },
        Some(code) => failed("adapter_failed", format!("exit {code}")),
        // No code and no signal is no proof of success.
        None => failed("internal", "ended without an exit code or signal".to_owned()),
    }
}

fn stopper(run: &RunRow, reason: &str) -> String {
    match (&run.stop_requested_by, reason) {
        (Some(by), _) => by.clone(),
        (None, reason) => reason.to_owned(),
    }
}

/// No process could be started, and no shim tells why.
pub(crate) fn not_started(
    d: &mut Deciding<'_, '_>,
    action: ActionId,
    id: RunId,
    attempt: u32,
    code: &str,
    message: &str,
) {
    d.end_action(action, ActionStatus::Failed, Some(message.to_owned()));
    if steps::current(d, id, attempt).is_none() {
        return;
    }
    setup_failed(d, id, Step::Execute, code, message, Value::Null);
}

/// Its keeper died without a record: an end of its own, never a success.
pub(crate) fn lost(
    d: &mut Deciding<'_, '_>,
    action: ActionId,
    id: RunId,
    attempt: u32,
    evidence: &str,
    output: &RunOutput,
    collected: Option<&Result<Collected, String>>,
) {
    d.end_action(action, ActionStatus::Done, None);
    let Some(run) = steps::current(d, id, attempt) else { return };
    keep_output(d, id, output);
    results::note(d, &run, collected);
    steps::end(d, id, Step::Execute, StepStatus::Failed, format!("lost: {evidence}"));
    d.activity(&Actor::system(), "run.lost", &about::run(&run), Some(json!({ "evidence": evidence })));
    conclude(d, id, lost_for(evidence));
    retry::after_loss(d, &run);
}

/// The operator gives up a run that cannot be judged.
pub(crate) fn given_up(d: &mut Deciding<'_, '_>, id: RunId, evidence: &str) {
    let Some(run) = d.tx.get::<RunRow>(id).cloned() else { return };
    if let Some(step) = run.step {
        steps::end(d, id, step, StepStatus::Failed, format!("lost: {evidence}"));
    }
    let Some(step) = run.step.filter(|step| *step != Step::Execute) else {
        results::unasked(d, &run);
        conclude(d, id, lost_for(evidence));
        // What was printed stays readable; it is not sealed, since nobody knows whether more comes.
        d.tx.update::<RunRow>(id, |r| r.log_ref = shim_dir("run", &id.text(), r.attempt));
        return;
    };
    // There was no process of it yet, and no log.
    conclude(d, id, End { code: Some(code_of(step).to_owned()), ..lost_for(evidence) });
}

/// The code of a run that a step has held up for too long.
pub(crate) const fn code_of(step: Step) -> &'static str {
    match step {
        Step::Acquire => "lease_acquire_failed",
        Step::Realise => "workspace_realization_failed",
        Step::Target => "transport_resolution_failed",
        Step::Resolve | Step::Check | Step::Execute | Step::Finish => "timeout",
    }
}

fn lost_for(evidence: &str) -> End {
    End {
        status: RunStatus::Lost,
        code: Some("process_lost".into()),
        message: Some(evidence.to_owned()),
        detail: json!({ "evidence": evidence }),
    }
}

fn keep_output(d: &mut Deciding<'_, '_>, id: RunId, output: &RunOutput) {
    d.tx.update::<RunRow>(id, |r| {
        r.log_store = Some("framed".into());
        r.log_ref.clone_from(&output.log_ref);
        r.stdout_bytes = Some(output.stdout_bytes);
        r.stderr_bytes = Some(output.stderr_bytes);
        r.last_output_at = output.last_output_at;
        r.last_output_seq = output.last_seq;
        r.last_output_bytes = output.stdout_bytes + output.stderr_bytes;
    });
    for (kind, text) in
        [(RunTextKind::StdoutExcerpt, &output.stdout_excerpt), (RunTextKind::StderrExcerpt, &output.stderr_excerpt)]
    {
        if let Some(text) = text.as_ref().filter(|t| !t.is_empty()) {
            d.tx.text(id, kind, text.clone());
        }
    }
}

fn conclude(d: &mut Deciding<'_, '_>, id: RunId, end: End) {
    conclude_at(d, id, end, None);
}

/// The final transaction of a run: its end, its liveness, its wake, its issue, its lease, its services.
fn conclude_at(d: &mut Deciding<'_, '_>, id: RunId, end: End, ended_at: Option<wharf_model::UnixMillis>) {
    let Some(run) = d.tx.get::<RunRow>(id).cloned() else { return };
    if run.status != RunStatus::Running {
        return;
    }
    let now = d.now();
    steps::begin(d, id, Step::Finish, Step::Finish.deadline_ms());
    for &step in Step::ALL {
        let open =
            d.tx.get::<StepRow>(StepId(id, step))
                .is_some_and(|s| matches!(s.status, StepStatus::Pending | StepStatus::Running));
        if open && step != Step::Finish {
            steps::end(d, id, step, StepStatus::Skipped, "not reached");
        }
    }
    let (liveness, why) = liveness::classify(&liveness::Evidence {
        status: end.status,
        output_bytes: run.stdout_bytes.unwrap_or(0) + run.stderr_bytes.unwrap_or(0),
        issue: run.issue_id.and_then(|i| d.state().issues.get(&i)).map(|i| i.status),
        useful_actions: run.last_useful_action_at.is_some(),
        next_action: run.next_action.clone(),
    });
    d.tx.update::<RunRow>(id, |r| {
        r.status = end.status;
        r.finished_at = Some(ended_at.unwrap_or(now));
        r.deadline_at = None;
        r.deadline_kind = None;
        r.error_code.clone_from(&end.code);
        r.error.clone_from(&end.message);
        r.error_detail = (!end.detail.is_null()).then(|| end.detail.clone());
        r.observation = Observation::Live;
        r.observation_evidence = None;
        r.liveness_state = Some(liveness);
        r.liveness_reason = Some(why);
    });
    supersede_actions(d, id);
    if let Some(wakeup) = run.wakeup_request_id {
        let status = match end.status {
            RunStatus::Succeeded => WakeupStatus::Completed,
            RunStatus::Cancelled => WakeupStatus::Cancelled,
            RunStatus::TimedOut => WakeupStatus::TimedOut,
            RunStatus::Lost => WakeupStatus::Lost,
            RunStatus::Failed | RunStatus::Queued | RunStatus::ScheduledRetry | RunStatus::Running => {
                WakeupStatus::Failed
            }
        };
        end_wakeup(d, wakeup, status, end.message.as_deref());
    }
    if let Some(issue) = run.issue_id {
        d.tx.update::<IssueRow>(issue, |i| {
            if i.execution_run_id == Some(id) {
                i.execution_run_id = None;
                i.execution_agent_name_key = None;
                i.execution_locked_at = None;
            }
        });
    }
    let message = end.message.clone().unwrap_or_else(|| "exit 0".to_owned());
    let level = if end.status == RunStatus::Succeeded { "info" } else { "error" };
    d.tx.event(id, "lifecycle", level, format!("run {}: {message}", end.status), None);
    let who = about::run(&run);
    let details = json!({
        "status": end.status.as_str(), "errorCode": end.code, "error": end.message,
        "stopReason": run.stop_reason.map(StopReason::as_str), "liveness": liveness.as_str(),
    });
    let actor = run
        .stop_requested_by
        .clone()
        .map_or_else(Actor::system, |by| Actor { kind: wharf_model::ActorType::Operator, id: by });
    if end.status == RunStatus::Cancelled {
        d.activity(&actor, "run.cancelled", &who, Some(details));
    } else {
        d.activity(&Actor::system(), "run.ended", &who, Some(details));
    }
    cancel::stop_operations(d, id, run.stop_grace_ms.unwrap_or(run.grace_ms), "run_ended");
    give_back_everything(d, &run, &end);
    end_agent(d, &run, &end);
    steps::end(d, id, Step::Finish, StepStatus::Succeeded, end.status.as_str());
    if run.log_ref.is_some() {
        d.intend(ActionKind::SealLog, "run", &id.text(), run.attempt, None, None);
    }
}

/// Leases, services and the workspace; one that cannot be given back never keeps the others.
fn give_back_everything(d: &mut Deciding<'_, '_>, run: &RunRow, end: &End) {
    let lease_end = match end.status {
        RunStatus::Failed | RunStatus::TimedOut | RunStatus::Lost => LeaseEnd::Failed,
        RunStatus::Succeeded
        | RunStatus::Cancelled
        | RunStatus::Queued
        | RunStatus::ScheduledRetry
        | RunStatus::Running => LeaseEnd::Released,
    };
    let kept = mutant!(LeaseKept) && end.status == RunStatus::Cancelled && run.step == Some(Step::Realise);
    let leases: Vec<LeaseId> = d.state().open_leases_of(run.id).map(|l| l.id).filter(|_| !kept).collect();
    for id in leases {
        lease::at_end_of_run(d, id, lease_end, end.message.clone().filter(|_| lease_end == LeaseEnd::Failed));
    }
    service::leave_all(d, run.id);
    if let Some(workspace) = run.workspace_id {
        let busy = d
            .state()
            .runs
            .values()
            .any(|r| r.id != run.id && r.workspace_id == Some(workspace) && r.status == RunStatus::Running);
        let now = d.now();
        // Stopped or out of time while it was being made: its executor's word will come too late to count.
        let why = end.message.clone().unwrap_or_else(|| "its run ended".to_owned());
        workspace::given_up(d, workspace, run.id, &why);
        d.tx.update::<WorkspaceRow>(workspace, |w| {
            w.last_used_at = now;
            if !busy && w.status == WorkspaceStatus::Active {
                w.status = WorkspaceStatus::Idle;
            }
        });
    }
}

fn end_agent(d: &mut Deciding<'_, '_>, run: &RunRow, end: &End) {
    let now = d.now();
    let others = d.state().runs.values().any(|r| r.agent_id == run.agent_id && r.status == RunStatus::Running);
    d.tx.update::<AgentRow>(run.agent_id, |a| {
        a.last_run_at = Some(now);
        if matches!(a.status, AgentStatus::Running | AgentStatus::Idle | AgentStatus::Active | AgentStatus::Error) {
            a.status = match end.status {
                _ if others => AgentStatus::Running,
                RunStatus::Succeeded | RunStatus::Cancelled => AgentStatus::Idle,
                _ => AgentStatus::Error,
            };
        }
    });
    d.tx.update::<AgentRuntimeRow>(run.agent_id, |a| {
        a.last_run_id = Some(run.id);
        a.last_run_status = Some(end.status);
        a.last_error.clone_from(&end.message);
    });
}

/// Effects that were intended for the run and no longer make sense.
fn supersede_actions(d: &mut Deciding<'_, '_>, run: RunId) {
    let open: Vec<ActionId> = d
        .state()
        .actions
        .values()
        .filter(|a| a.entity_type == "run" && a.entity_id == run.text() && super::is_open(a.status))
        .filter(|a| a.kind != ActionKind::SealLog)
        .map(|a| a.id)
        .collect();
    for action in open {
        d.end_action(action, ActionStatus::Superseded, None);
    }
}

fn end_wakeup(d: &mut Deciding<'_, '_>, wakeup: wharf_model::WakeupId, status: WakeupStatus, error: Option<&str>) {
    let now = d.now();
    d.tx.update::<WakeupRow>(wakeup, |w| {
        w.status = status;
        w.finished_at = Some(now);
        w.error = error.map(str::to_owned);
    });
}
