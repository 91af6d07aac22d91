//! Services: found again by their key, shared by users that are rows, started in the order in which they need each
//! other, restarted and stopped by their policy.

mod by_hand;
mod desired;
mod end;
mod find;
mod idle;
mod in_order;
mod many;
mod overtaken;
mod reported;
mod start;
mod stop;
#[cfg(test)]
mod tests;

use serde_json::json;
use wharf_model::rules::release::AfterLastUser;
use wharf_model::rules::service_desired::{after_last, is_reported};
use wharf_model::rules::service_order::dependents;
use wharf_model::rules::service_restart::Rules;
use wharf_model::shim::ChildRef;
use wharf_model::{Health, RunId, ServiceId, ServiceRow, ServiceStatus, UnixMillis};

pub(crate) use by_hand::{restart_by_hand, start_by_hand};
pub(crate) use desired::{set_desired, settle};
pub(crate) use end::{ended, fail_waiting};
pub(crate) use find::{current_of, ensure_rows, gather, is_configured};
pub(crate) use idle::count_down;
pub(crate) use in_order::{carry_on_stop, stop_one};
pub(crate) use many::{carry_out, reached, reached_all, stop_all_of_workspace};
pub(crate) use overtaken::{STOPS, is_start, overtaken};
pub(crate) use reported::reported;
use start::{Cause, advance, begin, is_begun, waiting_for};
pub(crate) use stop::{ask_again, is_overdue, not_ended, not_stopped, stop};

use super::{Deciding, about, steps};
use crate::dispatch::input::Actor;

/// Time beyond its own limits after which a service whose executor says nothing is failed.
const MARGIN_MS: i64 = 15_000;

/// Reason of a stop after which the service is started again.
const RESTART: &str = "restart";
/// Reason of a stop because the service did not become ready.
const START_TIMEOUT: &str = "start_timeout";
/// Reason of a stop because the service did not answer any more; its policy starts it again.
const UNHEALTHY: &str = "unhealthy";

/// Whether somebody uses a service: a run, or a service that has not ended and needs it.
fn in_use(d: &Deciding<'_, '_>, id: ServiceId) -> bool {
    d.state().users_of(id).next().is_some() || dependents(d.state().services.values(), id).next().is_some()
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
        // Without a policy it stays as it is, under control and shown; and so does one that nobody said how to judge,
        // and one that would not be started again.
        if Rules::of(&service).heals() && is_judged(&service) && find::off(&service).is_none() {
            stop(d, id, UNHEALTHY);
        }
    }
}

/// Whether its config says when it is healthy. Other looks at it are light ones, which only show.
fn is_judged(service: &ServiceRow) -> bool {
    service.config.get("live").is_some_and(|live| !live.is_null())
}

/// Its process runs.
pub(crate) fn started(d: &mut Deciding<'_, '_>, id: ServiceId, generation: u32, seen: &Started<'_>) {
    let Some(service) = current(d, id, generation) else { return };
    let Started { child, port, url, fingerprint, adopted } = *seen;
    let now = d.now();
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
        if adopted && s.status == ServiceStatus::Starting {
            // Its time may have passed while nobody looked: it is looked at from now on.
            s.deadline_at = Some(now.plus(start::limit(&service) + MARGIN_MS));
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
        s.health_since = Some(now);
        s.health_evidence = None;
        s.ready_at = Some(now);
        s.deadline_at = None;
    });
    let details = json!({ "port": service.port, "url": service.url });
    d.activity(&Actor::system(), "service.ready", &about::service(&service), Some(details));
    let users: Vec<RunId> = d.state().users_of(id).collect();
    if service.started_by_run_id.is_some() {
        unused(d, id);
    }
    for run in users {
        steps::target_ready(d, run);
    }
    for other in waiting_for(d, id) {
        advance(d, other);
    }
}

/// A run gives back all its services; each then follows its stop policy.
pub(crate) fn leave_all(d: &mut Deciding<'_, '_>, run: RunId) {
    let services: Vec<ServiceId> = d.state().services_of(run).collect();
    let now = d.now();
    for id in services {
        d.tx.remove_user(id, run);
        d.tx.update::<ServiceRow>(id, |s| s.last_used_at = now);
        unused(d, id);
    }
    reported::run_ended(d, run);
}

/// When nobody uses it any more, its policy says what follows.
fn unused(d: &mut Deciding<'_, '_>, id: ServiceId) {
    let Some(service) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    let ends = service.status != ServiceStatus::Stopping || stop::comes_back(&service);
    if is_reported(&service) || !service.status.is_open() || !ends {
        return;
    }
    if in_use(d, id) && !mutant!(StoppedInUse) {
        return;
    }
    match after_last(&service) {
        AfterLastUser::Stop => stop_for_good(d, &service, "unused"),
        AfterLastUser::Idle(ms) => {
            let at = d.now().plus(ms);
            d.tx.update::<ServiceRow>(id, |s| {
                s.idle_deadline_at.get_or_insert(at);
            });
        }
        AfterLastUser::Keep => {}
    }
}

/// Stops a service that nobody uses. One that is stopping, to be started again, is not started again.
fn stop_for_good(d: &mut Deciding<'_, '_>, service: &ServiceRow, reason: &str) {
    if service.status != ServiceStatus::Stopping {
        return stop(d, service.id, reason);
    }
    d.tx.update::<ServiceRow>(service.id, |s| {
        s.stop_reason = Some(reason.to_owned());
        s.idle_deadline_at = None;
    });
}

/// Acts on the services that are overdue.
pub(crate) fn overdue(d: &mut Deciding<'_, '_>) {
    let now = d.now();
    let due = |at: Option<UnixMillis>| at.is_some_and(|at| at <= now);
    let open: Vec<ServiceId> = d.state().services.values().filter(|s| s.status.is_open()).map(|s| s.id).collect();
    for id in open {
        // Each is looked at as those before it have left it.
        let at = |d: &Deciding<'_, '_>| d.tx.get::<ServiceRow>(id).filter(|s| s.status.is_open()).cloned();
        if let Some(service) = at(d).filter(|s| due(s.idle_deadline_at)) {
            idle_over(d, &service);
        }
        if let Some(service) = at(d).filter(|s| due(s.deadline_at)) {
            deadline_over(d, &service);
        }
    }
}

/// The idle time of a service is over. One that nobody waits for any more is not started to its end either.
fn idle_over(d: &mut Deciding<'_, '_>, service: &ServiceRow) {
    let idles = matches!(after_last(service), AfterLastUser::Idle(_));
    let stops = service.status != ServiceStatus::Stopping || stop::comes_back(service);
    if idles && stops && (!in_use(d, service.id) || mutant!(StoppedInUse)) {
        return stop_for_good(d, service, "idle");
    }
    // It is meant to run since, or used by one that needs it.
    d.tx.update::<ServiceRow>(service.id, |s| s.idle_deadline_at = None);
}

fn deadline_over(d: &mut Deciding<'_, '_>, service: &ServiceRow) {
    let id = service.id;
    match service.status {
        _ if is_reported(service) => reported::untold(d, service),
        ServiceStatus::Backoff => again(d, service),
        ServiceStatus::Starting if !is_begun(d, service) => {
            let waited = service.started_at.map_or(0, |at| at.until(d.now()) / 1000);
            let why = format!("what it needs was not ready within {waited} s");
            end::fail_start(d, id, "service_not_ready", &why);
        }
        ServiceStatus::Starting => {
            d.tx.update::<ServiceRow>(id, |s| s.deadline_at = None);
            stop(d, id, START_TIMEOUT);
        }
        _ => {
            d.tx.update::<ServiceRow>(id, |s| {
                s.deadline_at = None;
                s.error = Some("its end has not been seen in time".into());
            });
            fail_waiting(d, id, "service_start_failed", "the one before has not been seen to end");
        }
    }
}

/// The pause before a restart is over.
fn again(d: &mut Deciding<'_, '_>, service: &ServiceRow) {
    let removed = d.state().projects.get(&service.project_id).is_none_or(|p| p.removed_at.is_some());
    if removed || find::off(service).is_some() {
        return stop(d, service.id, "switched_off");
    }
    begin(d, service.id, Cause::Again, &Actor::system());
}
