//! The operator's verbs on leases beside release: carried out exactly as their preview said, or refused.

use serde_json::{Value, json};
use wharf_model::rules::lease_verb::{self as rule, NotPossible, Verb, VerbEffect};
use wharf_model::state::State;
use wharf_model::{
    ActionId, ActionKind, ActionRow, ActionStatus, LeaseEnd, LeaseId, LeasePolicy, LeaseRow, LeaseStatus, RequestKind,
    RequestRow, RequestStatus, StopReason, UnixMillis,
};

use super::{Deciding, about, cancel, is_open, lease, release};
use crate::dispatch::input::{Actor, Refusal};

impl From<NotPossible> for Refusal {
    fn from(why: NotPossible) -> Self {
        Self::new("illegal_state", why.to_string())
    }
}

/// Carries out a verb, or says why not.
pub(crate) fn accept(
    d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    kind: RequestKind,
    actor: &Actor,
) -> Result<Value, Refusal> {
    let text = row.target_id.as_deref().unwrap_or_default();
    let id: LeaseId =
        text.parse().map_err(|_| Refusal::new("id_malformed", format!("{text:?} is no id of a lease")))?;
    let mut facts =
        release::facts(d.state(), id).ok_or_else(|| Refusal::new("id_unknown", "there is no such lease"))?;
    facts.urgency = release::urgency(d.state(), row);
    let verb = verb(kind, row)?;
    let effect = rule::effect(&facts, verb, d.now())?;
    release::check_unchanged(row, &effect.judged)?;
    let mut result = json!({ "effect": serde_json::to_value(&effect).unwrap_or(Value::Null) });
    match verb {
        Verb::Destroy => {
            told(d, &facts.lease, actor, "environment.lease_destroyed", json!({ "asked": true }));
            let waits = effect.release.as_ref().and_then(|r| r.waits);
            if let Some(at) = release::at_latest(waits, d.now()) {
                result["at_latest"] = json!(at.0);
            }
            // The end of its run gives it back, and that becomes its removal: see `carry_on`.
            if let Some(run) = effect.release.as_ref().and_then(|r| r.stops_run) {
                release::marked(d, id);
                cancel::stop(d, run, StopReason::Operator, None, actor)?;
            }
            if waits.is_none() {
                destroy(d, id, &format!("destroyed by {}", actor.id));
            }
        }
        Verb::Extend(by_ms) => extend(d, row, &facts.lease, &effect, by_ms, actor),
        Verb::Retain(until) => {
            d.tx.update::<LeaseRow>(id, |l| {
                l.retain_until = Some(until);
                // For the operator: no run takes it over.
                l.lease_policy = LeasePolicy::RetainOnFailure;
            });
            told(d, &facts.lease, actor, "environment.lease_retained", json!({ "until": until.rfc3339() }));
        }
        Verb::RetryCleanup => {
            if effect.resets_tries {
                d.tx.update::<LeaseRow>(id, |l| l.cleanup_attempts = 0);
            }
            let details = json!({ "attempt": effect.try_number });
            told(d, &facts.lease, actor, "environment.lease_cleanup_retried", details);
            lease::give_back(d, id, LeaseEnd::Released, None);
        }
        Verb::Shell => {
            let now = d.now();
            d.tx.update::<LeaseRow>(id, |l| {
                l.last_used_at = Some(now);
                l.retain_until = effect.retain_until;
                if l.status == LeaseStatus::Retained {
                    // Nobody takes it over from under the operator's hands, nor what they have done in it.
                    l.lease_policy = LeasePolicy::RetainOnFailure;
                }
            });
            told(d, &facts.lease, actor, "environment.lease_shell", json!({ "resumes": effect.resumes }));
        }
    }
    if let Some(until) = effect.expires_at.filter(|_| matches!(verb, Verb::Extend(_))) {
        result["until"] = json!(until.0);
    }
    Ok(result)
}

fn verb(kind: RequestKind, row: &RequestRow) -> Result<Verb, Refusal> {
    let number = |name: &str| {
        row.args.get(name).and_then(Value::as_i64).ok_or_else(|| {
            Refusal::new("illegal_state", format!("{} needs `{name}`, a number of milliseconds", row.kind))
        })
    };
    Ok(match kind {
        RequestKind::LeaseDestroy => Verb::Destroy,
        RequestKind::LeaseExtend => Verb::Extend(number("by_ms")?),
        RequestKind::LeaseRetain => Verb::Retain(UnixMillis(number("until")?)),
        RequestKind::LeaseRetryCleanup => Verb::RetryCleanup,
        RequestKind::LeaseShell => Verb::Shell,
        _ => return Err(Refusal::new("illegal_state", format!("{} is no verb of a lease", row.kind))),
    })
}

/// An entry of the operator's in the trail of a lease.
pub(crate) fn told(d: &mut Deciding<'_, '_>, lease: &LeaseRow, actor: &Actor, action: &str, details: Value) {
    let project = lease.run_id.and_then(|r| d.state().runs.get(&r)).map(|r| r.project_id);
    d.activity(actor, action, &about::lease(lease, project), Some(details));
}

fn extend(
    d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    lease: &LeaseRow,
    effect: &VerbEffect,
    by_ms: i64,
    actor: &Actor,
) {
    if effect.retain_until != lease.retain_until {
        d.tx.update::<LeaseRow>(lease.id, |l| l.retain_until = effect.retain_until);
    }
    let asks = effect.expires_at.filter(|until| lease.expires_at != Some(*until));
    if let Some(until) = asks {
        // The provider has the last word: the answer to it ends the request.
        let args = json!({ "until": until.0, "request": row.id.text() });
        d.intend(ActionKind::ExtendLease, "lease", &lease.id.text(), 1, lease.fence, Some(args));
    }
    let until = effect.retain_until.max(effect.expires_at).map(UnixMillis::rfc3339);
    let details = json!({ "asked": asks.is_some(), "until": until, "by_ms": by_ms });
    told(d, lease, actor, "environment.lease_extended", details);
}

/// Begins to remove what a lease holds at its provider. One that is being given back is removed instead.
pub(crate) fn destroy(d: &mut Deciding<'_, '_>, id: LeaseId, reason: &str) {
    let Some(lease) = d.tx.get::<LeaseRow>(id).filter(|l| !l.status.is_terminal()).cloned() else { return };
    // Whatever tries follow remove it as well.
    d.tx.update::<LeaseRow>(id, |l| l.destroying = true);
    if lease.status != LeaseStatus::Releasing {
        lease::give_back(d, id, LeaseEnd::Released, Some(reason.to_owned()));
        return;
    }
    let text = id.text();
    let open: Vec<ActionId> = asked_of(d, &text).map(|a| a.id).collect();
    for action in open {
        d.end_action(action, ActionStatus::Superseded, None);
    }
    d.intend(ActionKind::DestroyLease, "lease", &text, 1, lease.fence, None);
}

/// What a driver is being asked about a lease.
fn asked_of<'d>(d: &'d Deciding<'_, '_>, lease: &'d str) -> impl Iterator<Item = &'d ActionRow> {
    d.state().actions.values().filter(move |a| a.entity_type == "lease" && a.entity_id == lease && is_open(a.status))
}

/// Goes on with an accepted request whose holder has ended, or was waited for long enough.
pub(crate) fn carry_on(d: &mut Deciding<'_, '_>, row: &RequestRow) {
    let kind = RequestKind::parse(&row.kind);
    if !matches!(kind, Some(RequestKind::LeaseRelease | RequestKind::LeaseDestroy)) {
        return;
    }
    let Some(lease) = lease_of(d, row).cloned() else { return };
    let held = lease.run_id.and_then(|r| d.state().runs.get(&r)).is_some_and(|r| !r.status.is_terminal());
    if held && at_latest(row).is_none_or(|at| at > d.now()) {
        return;
    }
    if kind == Some(RequestKind::LeaseDestroy) {
        let text = lease.id.text();
        let removing = asked_of(d, &text).any(|a| a.kind == ActionKind::DestroyLease);
        if !removing {
            destroy(d, lease.id, &format!("destroyed by {}", row.actor_id));
        }
    } else if matches!(lease.status, LeaseStatus::Active | LeaseStatus::Retained) {
        // Its policy would have kept it; whoever released it wanted it to go.
        lease::give_back(d, lease.id, LeaseEnd::Released, Some(format!("released by {}", row.actor_id)));
    }
}

fn lease_of<'d>(d: &'d Deciding<'_, '_>, row: &RequestRow) -> Option<&'d LeaseRow> {
    let id = row.target_id.as_deref()?.parse::<LeaseId>().ok()?;
    d.state().leases.get(&id)
}

/// Until when an accepted request waits for the holder at most.
fn at_latest(row: &RequestRow) -> Option<UnixMillis> {
    row.result.as_ref()?.get("at_latest")?.as_i64().map(UnixMillis)
}

/// The clock moved: a holder is waited for as long as was said.
pub(crate) fn shift(row: &mut RequestRow, gap_ms: i64) {
    if let (Some(at), Some(result)) = (at_latest(row), &mut row.result) {
        result["at_latest"] = json!(at.plus(gap_ms).0);
    }
}

/// The moment at which an accepted request goes on without the holder of its lease.
pub(crate) fn due_at(state: &State, row: &RequestRow) -> Option<UnixMillis> {
    let at = at_latest(row)?;
    let id = row.target_id.as_deref()?.parse::<LeaseId>().ok()?;
    let held = |l: &LeaseRow| matches!(l.status, LeaseStatus::Active | LeaseStatus::Retained);
    state.leases.get(&id).is_some_and(held).then_some(at)
}

/// The end of an accepted verb: none as long as it goes on.
pub(crate) fn reached(d: &Deciding<'_, '_>, row: &RequestRow, kind: RequestKind) -> Option<super::request::Reached> {
    let done = Some((RequestStatus::Done, None));
    let failed = |code: &str, message: String| Some((RequestStatus::Failed, Some((code.to_owned(), message))));
    let Some(lease) = lease_of(d, row) else { return done };
    match kind {
        RequestKind::LeaseExtend => {
            let (request, text) = (row.id.text(), lease.id.text());
            let of_it = |a: &ActionRow| a.args.as_ref().is_some_and(|args| args["request"] == request.as_str());
            let until = row.result.as_ref().and_then(|r| r["until"].as_i64()).map(UnixMillis);
            match until {
                _ if asked_of(d, &text).any(of_it) => None,
                Some(until) if lease.expires_at.is_none_or(|at| at < until) => {
                    let at = lease.expires_at.map(UnixMillis::rfc3339).unwrap_or_default();
                    failed("illegal_state", format!("the provider gave it no more time; it expires at {at}"))
                }
                _ => done,
            }
        }
        RequestKind::LeaseRelease | RequestKind::LeaseDestroy | RequestKind::LeaseRetryCleanup => match lease.status {
            LeaseStatus::PendingCleanup => {
                let retried = kind == RequestKind::LeaseRetryCleanup;
                let code = if retried { "lease_cleanup_failed" } else { "lease_release_failed" };
                failed(code, lease.cleanup_error.clone().or(lease.failure_reason.clone()).unwrap_or_default())
            }
            status if !status.is_terminal() => None,
            _ => done,
        },
        _ => done,
    }
}

/// Tells the trail that what was asked has happened, where nothing else does.
pub(crate) fn ended(d: &mut Deciding<'_, '_>, row: &RequestRow, status: RequestStatus) {
    if status != RequestStatus::Done || row.kind != RequestKind::LeaseDestroy.as_str() {
        return;
    }
    if let Some(lease) = lease_of(d, row).cloned() {
        let actor = Actor { kind: row.actor_type, id: row.actor_id.clone() };
        told(d, &lease, &actor, "environment.lease_destroyed", json!({ "asked": false }));
    }
}
