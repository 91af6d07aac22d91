//! The life of an active lease: renewed for its living holder, ended only when that is proven gone.

use serde_json::{Value, json};
use wharf_model::rules::lease::{self as rule, Holder};
use wharf_model::{
    ActionId, ActionKind, ActionStatus, Driver, Kind, LeaseEnd, LeaseId, LeaseRow, LeaseStatus, RequestId, RunRow,
    StopReason, UnixMillis,
};

use super::super::{Deciding, cancel, is_open, request};
use super::{give_back, of};
use crate::dispatch::input::{Actor, LeaseSeen};

/// A reign begins: what providers hold for us is looked at, since nobody knows what became of it.
pub(crate) fn begin(d: &mut Deciding<'_, '_>) {
    let held: Vec<LeaseId> = d
        .state()
        .leases
        .values()
        .filter(|l| matches!(l.status, LeaseStatus::Active | LeaseStatus::Retained) && l.provider_lease_id.is_some())
        .filter(|l| d.state().environments.get(&l.environment_id).is_some_and(|e| e.driver != Driver::Local))
        .map(|l| l.id)
        .collect();
    for id in held {
        stale(d, id);
        ask_about(d, id);
    }
    go_on(d);
}

/// What was asked of a provider in an earlier reign, with a moment that may have passed, is not asked again as it was.
fn stale(d: &mut Deciding<'_, '_>, id: LeaseId) {
    let (now, text) = (d.now(), id.text());
    let asked: Vec<(ActionId, Option<RequestId>)> = d
        .state()
        .actions
        .values()
        .filter(|a| a.kind == ActionKind::ExtendLease && a.entity_id == text && is_open(a.status))
        .filter(|a| {
            let args = a.args.as_ref();
            let until = args.and_then(|v| v["until"].as_i64()).unwrap_or(0);
            args.is_none_or(|v| v.get("request").is_none()) || until <= now.0
        })
        .map(|a| (a.id, asked_by(d, a.id)))
        .collect();
    for (action, request) in asked {
        d.end_action(action, ActionStatus::Superseded, None);
        if let Some(request) = request {
            request::failed(d, request, "timeout", "nobody could ask the provider before that moment");
        }
        d.tx.update::<LeaseRow>(id, |l| {
            if l.status == LeaseStatus::Active && l.deadline_at.is_none() {
                l.renew_at = Some(now);
            }
        });
    }
}

/// Drivers are asked again now, so their time begins again.
fn go_on(d: &mut Deciding<'_, '_>) {
    let now = d.now();
    let asked: Vec<(LeaseId, i64)> = d
        .state()
        .leases
        .values()
        .filter_map(|l| match l.status {
            LeaseStatus::Acquiring => Some((l.id, super::ACQUIRING_MS)),
            LeaseStatus::Releasing | LeaseStatus::Retained => Some((l.id, super::give_back::RELEASING_MS)),
            _ => None,
        })
        .collect();
    for (id, limit) in asked {
        d.tx.update::<LeaseRow>(id, |l| l.deadline_at = l.deadline_at.map(|at| at.max(now.plus(limit))));
    }
}

/// Asks the provider what became of a lease, unless that is being asked.
fn ask_about(d: &mut Deciding<'_, '_>, id: LeaseId) {
    if under_way(d, id, ActionKind::ObserveLease) {
        return;
    }
    let fence = d.tx.get::<LeaseRow>(id).and_then(|l| l.fence);
    d.intend(ActionKind::ObserveLease, "lease", &id.text(), 1, fence, None);
}

fn under_way(d: &Deciding<'_, '_>, id: LeaseId, kind: ActionKind) -> bool {
    let text = id.text();
    d.state().actions.values().any(|a| a.kind == kind && a.entity_id == text && is_open(a.status))
}

fn ttl(d: &Deciding<'_, '_>, lease: &LeaseRow) -> i64 {
    d.state().environments.get(&lease.environment_id).map_or(600_000, |e| e.ttl_ms)
}

/// An active lease is due: it is renewed, or its end has come.
pub(crate) fn look(d: &mut Deciding<'_, '_>, id: LeaseId) {
    let now = d.now();
    let Some(lease) = d.tx.get::<LeaseRow>(id).filter(|l| l.status == LeaseStatus::Active).cloned() else { return };
    let run = lease.run_id.and_then(|r| d.state().runs.get(&r)).cloned();
    match rule::holder(run.as_ref()) {
        Holder::Unknown(_) if lease.renew_at.is_some_and(|at| at <= now) => renew(d, &lease),
        Holder::Unknown(_) => {}
        Holder::Gone => {
            if lease.expires_at.is_some_and(|at| at <= now) {
                expire(d, &lease, "nobody holds it any more");
                if let Some(asked) = lease.request_id {
                    request::failed(
                        d,
                        asked,
                        "lease_acquire_failed",
                        "what it was asked for took longer than its life",
                    );
                }
            }
        }
        Holder::Live if lease.deadline_at.is_some_and(|at| at <= now) => {
            d.tx.update::<LeaseRow>(id, |l| {
                l.deadline_at = None;
                l.renew_at = None;
                l.end_reason = Some(LeaseEnd::Expired);
                l.failure_reason.get_or_insert_with(|| "its time at the provider was over".to_owned());
            });
            if let Some(run) = run {
                let number = Kind::Lease.number(lease.number);
                d.tx.event(
                    run.id,
                    "lease",
                    "error",
                    format!("the provider takes {number} back: its time is over"),
                    None,
                );
                let actor = Actor { id: format!("the end of {number}"), ..Actor::system() };
                // One that has ended meanwhile needs no stop.
                let _ended = cancel::stop(d, run.id, StopReason::Deadline, None, &actor);
            }
        }
        Holder::Live => {
            if lease.renew_at.is_some_and(|at| at <= now) {
                renew(d, &lease);
            }
        }
    }
}

fn renew(d: &mut Deciding<'_, '_>, lease: &LeaseRow) {
    let now = d.now();
    // Looked at again before the answer is due, so that a lost one does not end the renewals.
    d.tx.update::<LeaseRow>(lease.id, |l| l.renew_at = Some(now.plus(rule::RENEW_AGAIN_MS)));
    if under_way(d, lease.id, ActionKind::ExtendLease) {
        return;
    }
    // Never less than it has: a provider may set what it is asked for.
    let until = now.plus(ttl(d, lease)).max(lease.expires_at.unwrap_or(now));
    let args = json!({ "until": until.0 });
    d.intend(ActionKind::ExtendLease, "lease", &lease.id.text(), 1, lease.fence, Some(args));
    if lease.expires_at.is_some_and(|at| at <= now) {
        // Overdue although it is renewed: whether it is still there is asked as well.
        ask_about(d, lease.id);
    }
}

/// The request that an extension was asked by, when an operator asked.
fn asked_by(d: &Deciding<'_, '_>, action: ActionId) -> Option<RequestId> {
    let args = d.state().actions.get(&action)?.args.as_ref()?;
    args.get("request").and_then(Value::as_str)?.parse().ok()
}

/// Whether an extension asked for the most that the provider gives.
fn is_last(d: &Deciding<'_, '_>, action: ActionId) -> bool {
    d.state().actions.get(&action).and_then(|a| a.args.as_ref()).is_some_and(|a| a["last"] == true)
}

/// The provider gives it until then.
pub(crate) fn extended(d: &mut Deciding<'_, '_>, action: ActionId, id: LeaseId, until: UnixMillis) {
    let asked = asked_by(d, action);
    let last = is_last(d, action);
    d.end_action(action, ActionStatus::Done, None);
    let Some(lease) = d.tx.get::<LeaseRow>(id).cloned() else { return };
    let now = d.now();
    match lease.status {
        LeaseStatus::Active => {
            let ttl = ttl(d, &lease);
            d.tx.update::<LeaseRow>(id, |l| {
                // A renewal does not take back what an operator was given.
                l.expires_at = Some(l.expires_at.filter(|at| asked.is_none() && *at > until).unwrap_or(until));
                l.last_used_at = Some(now);
                // More than the most that the provider gives is not asked for again.
                l.renew_at = (!last).then(|| rule::renew_at(now, ttl));
                l.deadline_at = last.then_some(until);
                if l.end_reason.is_none() && !last {
                    l.failure_reason = None;
                }
            });
        }
        LeaseStatus::Retained => {
            d.tx.update::<LeaseRow>(id, |l| l.retain_until = Some(until));
        }
        _ => {}
    }
    if let Some(asked) = asked {
        let actor = d.state().requests.get(&asked).map(|r| Actor { kind: r.actor_type, id: r.actor_id.clone() });
        let details = json!({ "until": until.rfc3339(), "before": lease.expires_at.map(UnixMillis::rfc3339) });
        let actor = actor.unwrap_or_else(Actor::system);
        d.activity(&actor, "environment.lease_extended", &of(d, &lease), Some(details));
        request::done(d, asked, json!({ "lease": Kind::Lease.number(lease.number), "until": until.rfc3339() }));
    }
}

/// The provider gives it no more time, or did not say.
pub(crate) fn not_extended(
    d: &mut Deciding<'_, '_>,
    action: ActionId,
    id: LeaseId,
    latest: Option<UnixMillis>,
    message: &str,
) {
    let asked = asked_by(d, action);
    let last = is_last(d, action);
    d.end_action(action, ActionStatus::Failed, Some(message.to_owned()));
    let Some(lease) = d.tx.get::<LeaseRow>(id).cloned() else { return };
    let now = d.now();
    // What an operator asked for too much changes nothing of what it has.
    if lease.status == LeaseStatus::Active && asked.is_none() {
        let said = format!("not renewed: {message}");
        let new = lease.failure_reason.as_deref() != Some(&said);
        d.tx.update::<LeaseRow>(id, |l| {
            l.failure_reason = Some(said.clone());
            if let Some(latest) = latest {
                // It is certain now when it ends: no renewal will change that.
                l.expires_at = Some(latest);
                l.deadline_at = Some(latest);
                l.renew_at = None;
            } else if last {
                l.renew_at = None;
            } else {
                l.renew_at = Some(now.plus(rule::RENEW_AGAIN_MS));
            }
        });
        if let Some(latest) = latest.filter(|at| !last && *at > now) {
            // So much of it as there is to be had.
            let args = json!({ "until": latest.0, "last": true });
            d.intend(ActionKind::ExtendLease, "lease", &id.text(), 1, lease.fence, Some(args));
        }
        if let (true, Some(run)) = (new, lease.run_id.filter(|r| d.tx.get::<RunRow>(*r).is_some())) {
            d.tx.event(run, "lease", "warn", format!("{} {said}", Kind::Lease.number(lease.number)), None);
        }
    }
    if let Some(asked) = asked {
        request::failed(d, asked, "illegal_state", message);
    }
}

/// The provider was asked what became of a lease.
pub(crate) fn observed(d: &mut Deciding<'_, '_>, action: ActionId, id: LeaseId, seen: &LeaseSeen) {
    d.end_action(action, ActionStatus::Done, None);
    let Some(lease) = d.tx.get::<LeaseRow>(id).cloned() else { return };
    match (seen, lease.status) {
        (LeaseSeen::Held(until), LeaseStatus::Active) => {
            let until = until.or_else(|| lease.expires_at.filter(|at| *at > d.now()));
            if let Some(until) = until {
                d.tx.update::<LeaseRow>(id, |l| l.expires_at = Some(until));
            }
        }
        (LeaseSeen::Gone, LeaseStatus::Retained) => {
            // There is nothing left to give back; the driver is asked all the same, for what it keeps here.
            give_back(d, id, LeaseEnd::Expired, Some("the provider does not have it any more".into()));
        }
        (LeaseSeen::Gone, LeaseStatus::Active) => gone(d, &lease),
        // What could not be found out changes nothing.
        _ => {}
    }
}

fn gone(d: &mut Deciding<'_, '_>, lease: &LeaseRow) {
    let run = lease.run_id.and_then(|r| d.state().runs.get(&r)).cloned();
    let message = "the provider does not have it any more";
    match rule::holder(run.as_ref()) {
        Holder::Gone => expire(d, lease, message),
        Holder::Live | Holder::Unknown(_) => {
            let now = d.now();
            d.tx.update::<LeaseRow>(lease.id, |l| {
                l.failure_reason = Some(message.to_owned());
                l.deadline_at = Some(now);
            });
        }
    }
}

fn expire(d: &mut Deciding<'_, '_>, lease: &LeaseRow, why: &str) {
    let details = json!({ "environmentId": lease.environment_id.text(), "why": why });
    d.activity(&Actor::system(), "environment.lease_expired", &of(d, lease), Some(details));
    give_back(d, lease.id, LeaseEnd::Expired, Some(why.to_owned()));
}
