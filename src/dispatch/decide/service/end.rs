//! How a service comes to its end: as asked, by itself, or never having begun; and what its policy makes of it.

use serde_json::json;
use wharf_model::config::{Port, ServiceConfig};
use wharf_model::rules::service_order::needs;
use wharf_model::rules::service_restart::{self, AT_LAST, Ending, Next, Rules};
use wharf_model::shim::{EndedBy, ExitFrame};
use wharf_model::{
    ActionId, ActionStatus, Health, Kind, RunId, RunRow, RunStatus, ServiceId, ServiceRow, ServiceStatus, Step,
};

use super::desired::settle_one;
use super::find::{fail_target, off};
use super::start::{Cause, begin, waiting_for};
use super::stop::end_stop_actions;
use super::{RESTART, START_TIMEOUT, UNHEALTHY, current, unused};
use crate::dispatch::decide::{Deciding, about, seal};
use crate::dispatch::input::Actor;

/// An end, before the policy has its say.
struct End<'a> {
    exit: Option<&'a ExitFrame>,
    code: Option<String>,
    message: Option<String>,
    failed: bool,
    /// What the policy judges; none when it ended because somebody asked.
    ending: Option<Ending>,
}

/// Runs that wait for a service to become ready.
fn waiting(d: &Deciding<'_, '_>, id: ServiceId) -> Vec<RunId> {
    let waits = |run: &RunId| {
        d.tx.get::<RunRow>(*run).is_some_and(|r| r.status == RunStatus::Running && r.step == Some(Step::Target))
    };
    d.state().users_of(id).filter(waits).collect()
}

/// Ends the wait of every run and every service that waits for a service.
pub(crate) fn fail_waiting(d: &mut Deciding<'_, '_>, id: ServiceId, code: &str, why: &str) {
    let Some(service) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    let number = Kind::Service.number(service.number);
    for run in waiting(d, id) {
        fail_target(d, run, code, &format!("service {} ({number}) did not become ready: {why}", service.name));
    }
    for other in waiting_for(d, id) {
        let why = format!("it needs {} ({number}), which did not become ready: {why}", service.name);
        fail_start(d, other, code, &why);
    }
}

/// A start that comes to its end before a process of it was intended.
pub(super) fn fail_start(d: &mut Deciding<'_, '_>, id: ServiceId, code: &str, why: &str) {
    let Some(service) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    if service.status != ServiceStatus::Starting {
        return;
    }
    let ending = Some(Ending { clean: false, before_ready: true, may_pass: false, by_itself: false });
    let (code, message) = (Some(code.to_owned()), Some(why.to_owned()));
    over(d, &service, End { exit: None, code, message, failed: true, ending });
}

/// Its process ended, was never started, or never became ready.
pub(crate) fn ended(
    d: &mut Deciding<'_, '_>,
    action: ActionId,
    id: ServiceId,
    generation: u32,
    exit: Option<&ExitFrame>,
    code: Option<String>,
    message: Option<String>,
) {
    d.end_action(action, ActionStatus::Done, None);
    if exit.is_some() || code.as_deref() == Some("process_lost") {
        seal::ended(d, "service", &id.text(), generation);
    }
    let Some(service) = current(d, id, generation) else { return };
    if service.status == ServiceStatus::Stopping {
        return stopped(d, &service, exit);
    }
    let before_ready = service.status == ServiceStatus::Starting;
    // One that ends before it was ready failed, even with exit code 0.
    let clean = code.is_none() && exit.is_some_and(|e| e.code == Some(0)) && !before_ready;
    let ran = exit.is_some_and(|e| e.spawn_error.is_none());
    let may_pass = ran || matches!(code.as_deref(), Some("process_lost" | "port_in_use" | "service_not_ready"));
    let mut message = message.or_else(|| exit.map(describe));
    if code.as_deref() == Some("port_in_use") {
        let holder = holder(d, &service);
        message = message.map(|message| message + &holder.unwrap_or_default());
    }
    let by_itself =
        ran && exit.is_some_and(|e| e.by == EndedBy::Itself) && code.as_deref() != Some("service_not_ready");
    let ending = Some(Ending { clean, before_ready, may_pass, by_itself });
    over(d, &service, End { exit, code, message, failed: !clean, ending });
}

/// Which service of ours has the port that this one wants, and how to end it.
fn holder(d: &Deciding<'_, '_>, service: &ServiceRow) -> Option<String> {
    let config = serde_json::from_value::<ServiceConfig>(service.config.clone()).ok()?;
    let Port::Fixed { port, .. } = config.port else { return None };
    let mut all = d.state().services.values();
    let other = all.find(|s| s.id != service.id && s.status.is_live() && s.port == Some(i64::from(port)))?;
    let number = Kind::Service.number(other.number);
    Some(format!("; it is {number} {}: `wharf service stop {number}` ends it", other.name))
}

/// One that was stopping has ended.
pub(super) fn stopped(d: &mut Deciding<'_, '_>, service: &ServiceRow, exit: Option<&ExitFrame>) {
    let reason = service.stop_reason.as_deref();
    let evidence = || service.health_evidence.clone().unwrap_or_else(|| "it did not answer any more".into());
    let (message, before_ready) = match reason {
        Some(START_TIMEOUT) => (Some("it was not ready in time".to_owned()), true),
        Some(UNHEALTHY) => (Some(format!("it was unhealthy: {}", evidence())), false),
        _ => (None, false),
    };
    let failed = message.is_some();
    let ending = failed.then_some(Ending { clean: false, before_ready, may_pass: true, by_itself: false });
    let code = failed.then(|| "service_not_ready".to_owned());
    over(d, service, End { exit, code, message, failed, ending });
}

/// Writes the end of a service, as its policy has it, and does what follows.
fn over(d: &mut Deciding<'_, '_>, service: &ServiceRow, end: End<'_>) {
    let (id, now) = (service.id, d.now());
    let rules = Rules::of(service);
    let restarts = service_restart::times(service.restart_times.as_ref());
    let next = match end.ending.filter(|_| off(service).is_none()) {
        Some(ending) if mutant!(BudgetIgnored) => rules.next(&ending, &[], now),
        Some(ending) => rules.next(&ending, &restarts, now),
        None => Next::Stays,
    };
    let code = end.failed.then(|| end.code.clone().unwrap_or_else(|| "service_start_failed".into()));
    let said = end.message.clone().unwrap_or_else(|| end.exit.map_or_else(|| "it ended".to_owned(), describe));
    let (status, code, error) = match &next {
        Next::Stays if end.failed => (ServiceStatus::Failed, code, Some(said.clone())),
        Next::Stays => (ServiceStatus::Stopped, None, None),
        Next::Again { .. } => (ServiceStatus::Backoff, code, Some(said.clone())),
        Next::Parked { reason, .. } => (
            ServiceStatus::Failed,
            Some(service_restart::CRASH_LOOP.to_owned()),
            Some(format!("{reason}{AT_LAST}{said}")),
        ),
    };
    let waits = matches!(next, Next::Again { .. });
    d.tx.update::<ServiceRow>(id, |s| {
        s.status = status;
        s.health = if end.failed { Health::Unhealthy } else { Health::Unknown };
        s.exit_code = end.exit.and_then(|e| e.code);
        s.signal = end.exit.and_then(|e| e.signal.clone());
        s.error_code.clone_from(&code);
        s.error.clone_from(&error);
        s.stopped_at = Some(now);
        s.deadline_at = None;
        if end.exit.is_some_and(|e| e.by == EndedBy::Stop) && end.failed && s.stop_reason.is_none() {
            // Its own executor stopped it, before anybody was asked to.
            s.stop_reason = Some(START_TIMEOUT.to_owned());
        }
        s.process_pid = None;
        s.process_start_ticks = None;
        match &next {
            Next::Again { at, counted } => {
                s.deadline_at = Some(*at);
                s.restart_times = service_restart::to_row(counted);
            }
            Next::Parked { counted, .. } => s.restart_times = service_restart::to_row(counted),
            Next::Stays => {}
        }
        if !waits {
            s.idle_deadline_at = None;
        }
    });
    end_stop_actions(d, id, service.generation);
    let mut details = json!({ "status": status.as_str(), "error": error, "generation": service.generation });
    if let Next::Again { at, .. } = &next {
        details["again_at"] = json!(at.0);
    }
    let system = Actor::system();
    let what = if matches!(next, Next::Parked { .. }) { "service.parked" } else { "service.stopped" };
    d.activity(&system, what, &about::service(service), Some(details));
    tell_users(d, service, &next);
    if waits {
        return;
    }
    let stopping = service.status == ServiceStatus::Stopping;
    if stopping && matches!(next, Next::Stays) {
        again_if_wanted(d, service);
    } else if end.failed || status == ServiceStatus::Stopped {
        let code = code.unwrap_or_else(|| "service_start_failed".into());
        fail_waiting(d, id, &code, error.as_deref().unwrap_or(&said));
    }
    // One that is meant to run begins again before what it needs is given up.
    settle_one(d, id);
    let_needs_go(d, service);
}

/// Those who wait for one that was stopping asked for it meanwhile, so they want its next generation; and so does
/// whoever asked to restart it.
fn again_if_wanted(d: &mut Deciding<'_, '_>, service: &ServiceRow) {
    let id = service.id;
    let run = waiting(d, id).first().copied();
    let needed = waiting_for(d, id);
    let asked = service.stop_reason.as_deref() == Some(RESTART);
    if run.is_none() && needed.is_empty() && !asked {
        return;
    }
    // Accepted while it was stopping.
    if let Some(reason) = off(service).map(str::to_owned) {
        return fail_waiting(d, id, "service_start_failed", &format!("it is switched off: {reason}"));
    }
    let needed_for = needed.first().and_then(|s| d.tx.get::<ServiceRow>(*s)).and_then(|s| s.started_by_run_id);
    let cause = match run {
        _ if asked => Cause::Operator,
        Some(run) => Cause::Run(run),
        None => Cause::Needed(needed_for),
    };
    begin(d, id, cause, &Actor::system());
    if !asked {
        return;
    }
    d.tx.update::<ServiceRow>(id, |s| match run {
        Some(run) => s.started_by_run_id = Some(run),
        // Its last user may have left while it was stopping: what counts down since goes on.
        None if s.status.is_open() => s.idle_deadline_at = service.idle_deadline_at,
        None => {}
    });
}

/// Runs in whose hands it ended are told.
fn tell_users(d: &mut Deciding<'_, '_>, service: &ServiceRow, next: &Next) {
    if service.status == ServiceStatus::Stopping && service.stop_reason.as_deref() != Some(UNHEALTHY) {
        return;
    }
    let now = d.now();
    let users: Vec<RunId> = d.state().users_of(service.id).collect();
    let waiting = waiting(d, service.id);
    for run in users.into_iter().filter(|run| !waiting.contains(run)) {
        let follows = match next {
            Next::Stays => String::new(),
            Next::Again { at, .. } => format!("; it is started again in {} s", (now.until(*at) + 999) / 1000),
            Next::Parked { reason, .. } => format!("; {reason}"),
        };
        d.tx.event(run, "service", "warn", format!("service {} ended while in use{follows}", service.name), None);
    }
}

/// What a start needed may have nobody any more that uses it: it follows its own stop policy then.
pub(super) fn let_needs_go(d: &mut Deciding<'_, '_>, service: &ServiceRow) {
    for need in needs(service) {
        unused(d, need);
    }
}

fn describe(exit: &ExitFrame) -> String {
    match (&exit.spawn_error, &exit.signal, exit.code) {
        (Some(error), _, _) => error.message.clone(),
        (None, Some(signal), _) => format!("killed by {signal}"),
        (None, None, Some(code)) => format!("exit {code}"),
        (None, None, None) => "ended without an exit code".to_owned(),
    }
}
