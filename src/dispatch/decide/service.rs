//! Services: found again by their key, shared by users that are rows, stopped by their policy.

mod by_hand;
mod find;
mod stop;

use serde_json::json;
use wharf_model::config::ServiceConfig;
use wharf_model::rules::release::{AfterLastUser, after_last_user};
use wharf_model::shim::{ChildRef, EndedBy, ExitFrame};
use wharf_model::{
    ActionId, ActionKind, ActionStatus, Health, Kind, RunId, RunRow, RunStatus, ServiceId, ServiceRow, ServiceStatus,
    Step,
};

pub(crate) use by_hand::{restart_by_hand, start_by_hand, stop_by_hand};
pub(crate) use find::{ensure_rows, gather, is_configured};
use find::{fail_target, off};
use stop::end_stop_actions;
pub(crate) use stop::{ask_again, is_overdue, not_ended, not_stopped, stop};

use super::{Deciding, about, seal, steps};
use crate::dispatch::input::Actor;

/// Time beyond its own limits after which a service whose executor says nothing is failed.
const MARGIN_MS: i64 = 15_000;

/// Reason of a stop after which the service is started again.
const RESTART: &str = "restart";
/// Reason of a stop because the service did not become ready.
pub(crate) const START_TIMEOUT: &str = "start_timeout";

/// Starts a service: a new generation, with its intent.
fn begin(d: &mut Deciding<'_, '_>, id: ServiceId, run: Option<RunId>, actor: &Actor) {
    let now = d.now();
    let Some(service) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    let limit: i64 = serde_json::from_value::<ServiceConfig>(service.config.clone())
        .ok()
        .and_then(|c| i64::try_from(c.ready.timeout_ms).ok())
        .unwrap_or(30_000);
    let generation = service.generation + 1;
    d.tx.update::<ServiceRow>(id, |s| {
        s.status = ServiceStatus::Starting;
        s.generation = generation;
        s.health = Health::Unknown;
        s.started_by_run_id = run;
        s.started_at = Some(now);
        s.ready_at = None;
        s.stopped_at = None;
        s.exit_code = None;
        s.signal = None;
        s.stop_reason = None;
        s.error = None;
        s.error_code = None;
        s.process_pid = None;
        s.process_start_ticks = None;
        s.idle_deadline_at = None;
        s.deadline_at = Some(now.plus(limit + MARGIN_MS));
    });
    d.intend(ActionKind::StartService, "service", &id.text(), generation, None, None);
    d.activity(actor, "service.started", &about::service(&service), Some(json!({ "generation": generation })));
}

/// Runs that wait for a service to become ready.
fn waiting(d: &Deciding<'_, '_>, id: ServiceId) -> Vec<RunId> {
    let waits = |run: &RunId| {
        d.tx.get::<RunRow>(*run).is_some_and(|r| r.status == RunStatus::Running && r.step == Some(Step::Target))
    };
    d.state().users_of(id).filter(waits).collect()
}

/// Ends the wait of every run that waits for a service.
pub(crate) fn fail_waiting(d: &mut Deciding<'_, '_>, id: ServiceId, code: &str, why: &str) {
    let Some(service) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    let number = Kind::Service.number(service.number);
    for run in waiting(d, id) {
        fail_target(d, run, code, &format!("service {} ({number}) did not become ready: {why}", service.name));
    }
}

/// The current generation of a service; a fact about an earlier one changes nothing.
fn current(d: &Deciding<'_, '_>, id: ServiceId, generation: u32) -> Option<ServiceRow> {
    d.tx.get::<ServiceRow>(id)
        .filter(|s| (s.generation == generation || mutant!(LateFact)) && s.status.is_live())
        .cloned()
}

/// Its process is about to be given this port.
pub(crate) fn port_reserved(d: &mut Deciding<'_, '_>, id: ServiceId, generation: u32, port: i64, url: Option<String>) {
    if current(d, id, generation).is_some() {
        d.tx.update::<ServiceRow>(id, |s| {
            s.port = Some(port);
            s.url = url;
        });
    }
}

/// What was seen of a process that runs.
pub(crate) struct Started<'a> {
    /// The process.
    pub child: ChildRef,
    /// Its port.
    pub port: Option<i64>,
    /// Where it is reached.
    pub url: &'a Option<String>,
    /// Hash of its environment.
    pub fingerprint: &'a Option<String>,
    /// Whether it was found alive.
    pub adopted: bool,
}

/// What its checks say of a running service has changed.
pub(crate) fn health_seen(
    d: &mut Deciding<'_, '_>,
    id: ServiceId,
    generation: u32,
    health: Health,
    evidence: Option<&str>,
) {
    let Some(service) = current(d, id, generation).filter(|s| s.status == ServiceStatus::Running) else { return };
    let now = d.now();
    d.tx.update::<ServiceRow>(id, |s| {
        s.health = health;
        s.health_evidence = evidence.map(str::to_owned);
        if service.health != health {
            s.health_since = Some(now);
        }
    });
    if health == Health::Unhealthy && service.health != health {
        let details = json!({ "evidence": evidence, "generation": generation });
        d.activity(&Actor::system(), "service.unhealthy", &about::service(&service), Some(details));
    }
}

/// Its process runs.
pub(crate) fn started(d: &mut Deciding<'_, '_>, id: ServiceId, generation: u32, seen: &Started<'_>) {
    let Some(service) = current(d, id, generation) else { return };
    let Started { child, port, url, fingerprint, adopted } = *seen;
    d.tx.update::<ServiceRow>(id, |s| {
        s.process_pid = Some(child.pid);
        s.process_start_ticks = i64::try_from(child.start_ticks).ok();
        if port.is_some() {
            s.port = port;
        }
        if url.is_some() {
            s.url.clone_from(url);
        }
        if fingerprint.is_some() {
            s.env_fingerprint.clone_from(fingerprint);
        }
    });
    if adopted {
        d.activity(&Actor::system(), "service.adopted", &about::service(&service), Some(json!({ "pid": child.pid })));
    }
}

/// It answers: those who wait for it go on.
pub(crate) fn ready(d: &mut Deciding<'_, '_>, id: ServiceId, generation: u32) {
    let Some(service) = current(d, id, generation) else { return };
    if service.status != ServiceStatus::Starting {
        return;
    }
    let now = d.now();
    d.tx.update::<ServiceRow>(id, |s| {
        s.status = ServiceStatus::Running;
        s.health = Health::Healthy;
        s.ready_at = Some(now);
        s.deadline_at = None;
    });
    let details = json!({ "port": service.port, "url": service.url });
    d.activity(&Actor::system(), "service.ready", &about::service(&service), Some(details));
    let users: Vec<RunId> = d.state().users_of(id).collect();
    if users.is_empty() && service.started_by_run_id.is_some() {
        unused(d, id);
    }
    for run in users {
        steps::target_ready(d, run);
    }
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
    let ours = service.status == ServiceStatus::Stopping
        || exit.is_some_and(|e| e.by == EndedBy::Stop && service.stop_reason.is_some());
    let clean = code.is_none() && exit.is_some_and(|e| e.code == Some(0));
    let never_ready = service.status == ServiceStatus::Starting;
    let too_late = service.status == ServiceStatus::Stopping && service.stop_reason.as_deref() == Some(START_TIMEOUT);
    // One that ends before it was ready failed, even with exit code 0.
    let well = ours || (clean && !never_ready);
    let status = if well && !too_late { ServiceStatus::Stopped } else { ServiceStatus::Failed };
    let message =
        if too_late { Some("it was not ready in time".into()) } else { message.or_else(|| exit.map(describe)) };
    let code = if too_late { Some("service_not_ready".into()) } else { code };
    let failed = status == ServiceStatus::Failed;
    let now = d.now();
    d.tx.update::<ServiceRow>(id, |s| {
        s.status = status;
        s.health = if failed { Health::Unhealthy } else { Health::Unknown };
        s.exit_code = exit.and_then(|e| e.code);
        s.signal = exit.and_then(|e| e.signal.clone());
        s.error_code = failed.then(|| code.clone().unwrap_or_else(|| "service_start_failed".into()));
        s.error = failed.then(|| message.clone().unwrap_or_default());
        s.stopped_at = Some(now);
        s.deadline_at = None;
        s.idle_deadline_at = None;
        s.process_pid = None;
        s.process_start_ticks = None;
    });
    end_stop_actions(d, id, generation);
    let details = json!({ "status": status.as_str(), "error": message, "generation": generation });
    d.activity(&Actor::system(), "service.stopped", &about::service(&service), Some(details));
    if service.status == ServiceStatus::Stopping {
        // Those who wait asked for it while it was stopping, so they want the next generation.
        let next = waiting(d, id).first().copied();
        if next.is_none() && service.stop_reason.as_deref() != Some(RESTART) {
            return;
        }
        match off(&service).map(str::to_owned) {
            // Accepted while it was stopping.
            Some(reason) => fail_waiting(d, id, "service_start_failed", &format!("it is switched off: {reason}")),
            None => begin(d, id, next, &Actor::system()),
        }
        return;
    }
    let users: Vec<RunId> = d.state().users_of(id).collect();
    let waiting = waiting(d, id);
    for run in users.into_iter().filter(|run| !waiting.contains(run)) {
        d.tx.event(run, "service", "warn", format!("service {} ended while in use", service.name), None);
    }
    let code = code.unwrap_or_else(|| "service_start_failed".into());
    fail_waiting(d, id, &code, message.as_deref().unwrap_or("it ended"));
}

fn describe(exit: &ExitFrame) -> String {
    match (&exit.spawn_error, &exit.signal, exit.code) {
        (Some(error), _, _) => error.message.clone(),
        (None, Some(signal), _) => format!("killed by {signal}"),
        (None, None, Some(code)) => format!("exit {code}"),
        (None, None, None) => "ended without an exit code".to_owned(),
    }
}

/// A run gives back all its services; each then follows its stop policy.
pub(crate) fn leave_all(d: &mut Deciding<'_, '_>, run: RunId) {
    let services: Vec<ServiceId> = d.state().services_of(run).collect();
    let now = d.now();
    for id in services {
        d.tx.remove_user(id, run);
        d.tx.update::<ServiceRow>(id, |s| s.last_used_at = now);
        if d.state().users_of(id).next().is_none() {
            unused(d, id);
        }
    }
}

/// The last user has left: the policy says what follows.
fn unused(d: &mut Deciding<'_, '_>, id: ServiceId) {
    let Some(service) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    if !matches!(service.status, ServiceStatus::Starting | ServiceStatus::Running) {
        return;
    }
    match after_last_user(service.lifecycle, service.stop_policy, service.idle_ms) {
        AfterLastUser::Stop => stop(d, id, "unused"),
        AfterLastUser::Idle(ms) => {
            let at = d.now().plus(ms);
            d.tx.update::<ServiceRow>(id, |s| s.idle_deadline_at = Some(at));
        }
        AfterLastUser::Keep => {}
    }
}
