//! Starting a service: its row says so from the first moment, what it needs comes first, its process after that.

use serde_json::json;
use wharf_model::config::ServiceConfig;
use wharf_model::rules::service_order::{dependents, needs, to_row};
use wharf_model::rules::service_restart::{self, Rules};
use wharf_model::{ActionKind, Health, Kind, RunId, ServiceId, ServiceRow, ServiceStatus};

use super::end::{fail_start, let_needs_go};
use super::stop::{is_overdue, not_ended};
use super::{MARGIN_MS, find};
use crate::dispatch::decide::{Deciding, about, is_open};
use crate::dispatch::input::Actor;

/// Time for which a service waits for what it needs, beyond the limits of those.
const NEEDS_MS: i64 = 10 * 60_000;

/// On whose account a service is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// An operator's: whatever it did before is forgiven.
    Operator,
    /// A run uses it.
    Run(RunId),
    /// Another service needs it, which was started for this run or for nobody's.
    Needed(Option<RunId>),
    /// It is meant to run.
    Desired,
    /// It ended, and its policy starts it again.
    Again,
}

/// Starts a service: a new generation. Its process is intended once everything that it needs is ready.
pub(super) fn begin(d: &mut Deciding<'_, '_>, id: ServiceId, cause: Cause, actor: &Actor) {
    let now = d.now();
    let Some(service) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    let run = match cause {
        Cause::Run(run) => Some(run),
        Cause::Needed(run) => run,
        Cause::Operator | Cause::Desired => None,
        Cause::Again => service.started_by_run_id,
    };
    let needed = find::needs_of(d, &service, run);
    let ids = needed.as_ref().map(Vec::as_slice).unwrap_or_default();
    let before = service_restart::times(service.restart_times.as_ref());
    let restarts = match cause {
        Cause::Operator => Vec::new(),
        Cause::Again => before.into_iter().chain([now]).collect(),
        Cause::Run(_) | Cause::Needed(_) | Cause::Desired => Rules::of(&service).within(&before, now),
    };
    let limit = ids.iter().fold(NEEDS_MS, |sum, need| sum + limit_with_needs(d, *need, 0));
    let generation = service.generation + 1;
    d.tx.update::<ServiceRow>(id, |s| {
        s.status = ServiceStatus::Starting;
        s.generation = generation;
        s.health = Health::Unknown;
        // Why it is started again, until it is ready.
        s.health_evidence = s.error.take().filter(|_| cause == Cause::Again);
        s.health_since = None;
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
        // Of the process before this one.
        s.env_fingerprint = None;
        // A countdown goes on over restarts, else one that crashes would never come to its end.
        s.idle_deadline_at = s.idle_deadline_at.filter(|_| cause == Cause::Again);
        s.deadline_at = Some(now.plus(limit));
        s.restarts = if cause == Cause::Again { s.restarts + 1 } else { 0 };
        s.restart_times = service_restart::to_row(&restarts);
        s.waits_for = to_row(ids);
    });
    let what = if cause == Cause::Again { "service.restarted" } else { "service.started" };
    let mut details = json!({ "generation": generation });
    if cause == Cause::Again {
        details["restarts"] = json!(service.restarts + 1);
    }
    if cause == Cause::Desired {
        details["desired"] = json!("running");
    }
    d.activity(actor, what, &about::service(&service), Some(details));
    // What the start before this one needed, and this one does not.
    let_needs_go(d, &service);
    let needed = match needed {
        Ok(needed) => needed,
        Err(why) => return fail_start(d, id, "service_start_failed", &why),
    };
    for need in needed {
        use_need(d, need, run, actor);
        if !is_waiting(d, id, generation) {
            // What it needs could not be started, and that was told already.
            return;
        }
    }
    advance(d, id);
}

/// Sees to it that a service which another one needs runs or is about to.
fn use_need(d: &mut Deciding<'_, '_>, id: ServiceId, run: Option<RunId>, actor: &Actor) {
    let now = d.now();
    d.tx.update::<ServiceRow>(id, |s| {
        s.last_used_at = now;
        s.idle_deadline_at = None;
    });
    let Some(need) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    if matches!(need.status, ServiceStatus::Stopped | ServiceStatus::Failed) && unable(&need).is_none() {
        begin(d, id, Cause::Needed(run), actor);
    }
}

/// Why a service that does not run is not started for one that needs it.
fn unable(need: &ServiceRow) -> Option<String> {
    let number = Kind::Service.number(need.number);
    if is_overdue(need) {
        return Some(not_ended(need).1);
    }
    if let Some(reason) = find::off(need) {
        return Some(format!("{number} is switched off: {reason}"));
    }
    service_restart::is_parked(need).then(|| find::parked(need))
}

/// Whether a start waits for what it needs: no process of it is intended yet.
fn is_waiting(d: &Deciding<'_, '_>, id: ServiceId, generation: u32) -> bool {
    d.tx.get::<ServiceRow>(id)
        .is_some_and(|s| s.status == ServiceStatus::Starting && s.generation == generation && !is_begun(d, s))
}

/// Whether a process of its current generation is intended.
pub(super) fn is_begun(d: &Deciding<'_, '_>, service: &ServiceRow) -> bool {
    let id = service.id.text();
    d.state().actions.values().any(|a| {
        a.kind == ActionKind::StartService && a.attempt == service.generation && a.entity_id == id && is_open(a.status)
    })
}

/// Services that were started and wait for this one.
pub(super) fn waiting_for(d: &Deciding<'_, '_>, id: ServiceId) -> Vec<ServiceId> {
    let all = dependents(d.state().services.values(), id);
    all.filter(|s| s.status == ServiceStatus::Starting && !is_begun(d, s)).map(|s| s.id).collect()
}

/// Goes on with a start: intends its process when all that it needs runs, ends it when one of them cannot.
pub(super) fn advance(d: &mut Deciding<'_, '_>, id: ServiceId) {
    let Some(service) = d.tx.get::<ServiceRow>(id).cloned() else { return };
    if !is_waiting(d, id, service.generation) {
        return;
    }
    let mut all_run = true;
    for need in needs(&service) {
        let Some(need) = d.tx.get::<ServiceRow>(need).cloned() else { continue };
        let number = Kind::Service.number(need.number);
        match need.status {
            ServiceStatus::Running => {}
            ServiceStatus::Stopping if is_overdue(&need) => {
                let why = format!("it needs {}: {}", need.name, not_ended(&need).1);
                return fail_start(d, id, "service_start_failed", &why);
            }
            ServiceStatus::Starting | ServiceStatus::Stopping | ServiceStatus::Backoff => all_run = false,
            ServiceStatus::Stopped | ServiceStatus::Failed => {
                let why = unable(&need).or_else(|| need.error.clone()).unwrap_or_else(|| "it was stopped".into());
                let code = need.error_code.clone().unwrap_or_else(|| "service_start_failed".into());
                let why = format!("it needs {} ({number}), which is {}: {why}", need.name, need.status);
                return fail_start(d, id, &code, &why);
            }
        }
    }
    if all_run || mutant!(OrderIgnored) {
        let at = d.now().plus(limit(&service) + MARGIN_MS);
        d.tx.update::<ServiceRow>(id, |s| s.deadline_at = Some(at));
        d.intend(ActionKind::StartService, "service", &id.text(), service.generation, None, None);
    }
}

/// Time that a service has to become ready.
pub(super) fn limit(service: &ServiceRow) -> i64 {
    serde_json::from_value::<ServiceConfig>(service.config.clone())
        .ok()
        .and_then(|c| i64::try_from(c.ready.timeout_ms).ok())
        .unwrap_or(30_000)
}

/// The same with what it needs, as far as that has been started before.
fn limit_with_needs(d: &Deciding<'_, '_>, id: ServiceId, depth: u32) -> i64 {
    let Some(service) = d.tx.get::<ServiceRow>(id).filter(|_| depth < 16) else { return 0 };
    needs(service)
        .into_iter()
        .fold(limit(service) + MARGIN_MS, |sum, need| sum.saturating_add(limit_with_needs(d, need, depth + 1)))
}
