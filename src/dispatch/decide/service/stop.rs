//! Stopping a service, and asking again where nobody has heard.

use serde_json::json;
use wharf_model::rules::service_desired::is_reported;
use wharf_model::rules::service_restart::{Ending, Rules};
use wharf_model::{ActionId, ActionKind, ActionStatus, Health, Kind, ServiceId, ServiceRow, ServiceStatus};

use super::end::{fail_waiting, let_needs_go, stopped};
use super::find::off;
use super::start::is_begun;
use super::{MARGIN_MS, RESTART, START_TIMEOUT, UNHEALTHY, current};
use crate::dispatch::decide::{Deciding, about, hurry, is_open};
use crate::dispatch::input::Actor;

/// Stops a service; its users keep their rows and see it go.
pub(crate) fn stop(d: &mut Deciding<'_, '_>, id: ServiceId, reason: &str) {
    let Some(service) = d.tx.get::<ServiceRow>(id).filter(|s| !is_reported(s)).cloned() else { return };
    match service.status {
        ServiceStatus::Backoff => return stop_between(d, &service, reason),
        ServiceStatus::Starting | ServiceStatus::Running => {}
        ServiceStatus::Stopping | ServiceStatus::Stopped | ServiceStatus::Failed => return,
    }
    // One that still waits for what it needs has no process that could be stopped.
    let is_process = service.status == ServiceStatus::Running || is_begun(d, &service);
    let now = d.now();
    d.tx.update::<ServiceRow>(id, |s| {
        s.status = ServiceStatus::Stopping;
        s.stop_reason = Some(reason.to_owned());
        if !heals(&service, reason) {
            s.idle_deadline_at = None;
        }
        s.deadline_at = Some(now.plus(s.grace_ms + MARGIN_MS));
    });
    if !is_process {
        if !heals(&service, reason) && reason != RESTART {
            fail_waiting(d, id, "service_start_failed", "it was stopped");
        }
        if let Some(stopping) = d.tx.get::<ServiceRow>(id).cloned() {
            stopped(d, &stopping, None);
        }
        return;
    }
    let args = json!({ "reason": reason, "grace_ms": service.grace_ms });
    d.intend(ActionKind::StopShim, "service", &id.text(), service.generation, None, Some(args));
    // One that could not be started yet is not tried again: its executor sees the stop and says so.
    hurry(d, ActionKind::StartService, &id.text());
    if reason != RESTART && !heals(&service, reason) {
        // Whoever asks for it from now on waits for its next generation.
        let why = if reason == START_TIMEOUT { "it was not ready in time" } else { "it was stopped" };
        let code = if reason == START_TIMEOUT { "service_not_ready" } else { "service_start_failed" };
        fail_waiting(d, id, code, why);
    }
}

/// Whether a service that is stopped for this reason is to be started again by its policy, as long as its budget
/// lasts: whoever waits for it goes on waiting.
fn heals(service: &ServiceRow, reason: &str) -> bool {
    let before_ready = reason == START_TIMEOUT;
    let ending = Ending { clean: false, before_ready, may_pass: true, by_itself: false };
    matches!(reason, START_TIMEOUT | UNHEALTHY) && off(service).is_none() && Rules::of(service).again(&ending)
}

/// Whether a service that is stopping is to be started again once it has ended.
pub(super) fn comes_back(service: &ServiceRow) -> bool {
    let reason = service.stop_reason.as_deref().unwrap_or_default();
    service.status == ServiceStatus::Stopping && (reason == RESTART || heals(service, reason))
}

/// Stops a service that waits for its next start.
fn stop_between(d: &mut Deciding<'_, '_>, service: &ServiceRow, reason: &str) {
    d.tx.update::<ServiceRow>(service.id, |s| {
        s.status = ServiceStatus::Stopped;
        s.stop_reason = Some(reason.to_owned());
        s.health = Health::Unknown;
        s.deadline_at = None;
        s.idle_deadline_at = None;
    });
    let details = json!({ "status": "stopped", "reason": reason, "generation": service.generation });
    d.activity(&Actor::system(), "service.stopped", &about::service(service), Some(details));
    let why = service.error.as_deref().unwrap_or("it ended");
    fail_waiting(d, service.id, "service_start_failed", &format!("it was stopped between two starts: {why}"));
    let_needs_go(d, service);
}

/// Whether a stop was asked and its end has not been seen in time.
pub(crate) fn is_overdue(service: &ServiceRow) -> bool {
    service.status == ServiceStatus::Stopping && service.deadline_at.is_none()
}

/// Code and words about a service that was asked to stop and has not been seen to end.
pub(crate) fn not_ended(service: &ServiceRow) -> (String, String) {
    let (name, number) = (&service.name, Kind::Service.number(service.number));
    let why = service.error.as_deref().unwrap_or("its end has not been seen in time");
    let message =
        format!("service {name} ({number}) is stopping: {why}; `wharf service stop {number}` ends it by force");
    ("service_start_failed".to_owned(), message)
}

/// Asks a service that is stopping to stop once more, where nobody is at it any more or it is done by force.
pub(crate) fn ask_again(d: &mut Deciding<'_, '_>, id: ServiceId, force: bool) {
    let Some(service) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    let asked: Vec<ActionId> = stop_actions(d, &service);
    if service.status != ServiceStatus::Stopping || mutant!(StopForgotten) || (!asked.is_empty() && !force) {
        return;
    }
    for action in asked {
        d.end_action(action, ActionStatus::Superseded, None);
    }
    let now = d.now();
    d.tx.update::<ServiceRow>(id, |s| {
        s.deadline_at = Some(now.plus(s.grace_ms + MARGIN_MS));
        s.error = None;
    });
    let reason = service.stop_reason.as_deref().unwrap_or("operator");
    let args = json!({ "reason": reason, "grace_ms": service.grace_ms, "force": force });
    d.intend(ActionKind::StopShim, "service", &id.text(), service.generation, None, Some(args));
}

/// The order to stop could not be given. It stays asked: the next reign, and whoever asks again, gives it anew.
pub(crate) fn not_stopped(d: &mut Deciding<'_, '_>, id: ServiceId, generation: u32, why: &str) {
    let stopping = current(d, id, generation).is_some_and(|s| s.status == ServiceStatus::Stopping);
    if stopping {
        let message = format!("it could not be asked to stop: {why}");
        d.tx.update::<ServiceRow>(id, |s| {
            s.deadline_at = None;
            s.error = Some(message.clone());
        });
        fail_waiting(d, id, "service_start_failed", &message);
    }
}

fn stop_actions(d: &Deciding<'_, '_>, service: &ServiceRow) -> Vec<ActionId> {
    let entity = service.id.text();
    d.state()
        .actions
        .values()
        .filter(|a| a.kind == ActionKind::StopShim && a.entity_type == "service" && a.entity_id == entity)
        .filter(|a| is_open(a.status))
        .map(|a| a.id)
        .collect()
}

pub(super) fn end_stop_actions(d: &mut Deciding<'_, '_>, id: ServiceId, generation: u32) {
    let open: Vec<ActionId> = d
        .state()
        .actions
        .values()
        .filter(|a| a.entity_type == "service" && a.entity_id == id.text() && a.attempt <= generation)
        .filter(|a| is_open(a.status) && a.kind != ActionKind::SealLog)
        .map(|a| a.id)
        .collect();
    for action in open {
        d.end_action(action, ActionStatus::Superseded, None);
    }
}
