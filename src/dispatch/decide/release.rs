//! `lease.release`: carried out exactly as its preview said, or refused.

use serde_json::{Value, json};
use wharf_model::rules::release::{self, Judged, ReleaseFacts, Urgency, Waits};
use wharf_model::rules::service_order;
use wharf_model::state::State;
use wharf_model::{
    LeaseEnd, LeaseId, LeaseRow, LeaseStatus, RequestKind, RequestRow, RequestStatus, StopReason, UnixMillis,
};

use super::{Deciding, cancel, lease, lease_verb};
use crate::dispatch::input::{Actor, Refusal};

/// Gathers the rows that a release concerns from memory, as the preview gathers them from the store.
pub(crate) fn facts(state: &State, id: LeaseId) -> Option<ReleaseFacts> {
    let lease = state.leases.get(&id)?.clone();
    let run = lease.run_id.and_then(|r| state.runs.get(&r)).cloned();
    let services = run.as_ref().map_or_else(Vec::new, |run| {
        state
            .services_of(run.id)
            .filter_map(|s| state.services.get(&s))
            .map(|s| {
                let needed_by = service_order::dependents(state.services.values(), s.id).count();
                (s.clone(), state.users_of(s.id).filter(|u| *u != run.id).count() + needed_by)
            })
            .collect()
    });
    let workspace = run.as_ref().and_then(|r| r.workspace_id).and_then(|w| state.workspaces.get(&w)).cloned();
    let environment = state.environments.get(&lease.environment_id).cloned();
    Some(ReleaseFacts { lease, run, services, workspace, environment, urgency: Urgency::Usual })
}

/// Whether a request waits for the holder for a limited time only.
fn forces(row: &RequestRow) -> bool {
    match RequestKind::parse(&row.kind) {
        Some(RequestKind::LeaseRelease) => row.args.get("force").and_then(Value::as_bool) == Some(true),
        Some(RequestKind::LeaseDestroy) => true,
        _ => false,
    }
}

/// How urgent a request is: a second one that forces, while the first still waits, waits no longer.
pub(crate) fn urgency(state: &State, row: &RequestRow) -> Urgency {
    let waits = |r: &RequestRow| {
        r.id != row.id && r.status == RequestStatus::Accepted && r.target_id == row.target_id && r.kind == row.kind
    };
    Urgency::of(forces(row), state.requests.values().any(|r| waits(r) && forces(r)))
}

/// The moment until which a holder is waited for, where there is one.
pub(crate) fn at_latest(waits: Option<Waits>, now: UnixMillis) -> Option<UnixMillis> {
    match waits {
        Some(Waits::AtMost(ms)) => Some(now.plus(ms)),
        Some(Waits::Until(at)) => Some(at),
        Some(Waits::ForItsEnd) | None => None,
    }
}

/// Accepts a release: stops the holder, or gives the lease back at once when nobody holds it. What the holder's
/// end does not give back, because a policy keeps it or the end does not come, `lease_verb::carry_on` does.
pub(crate) fn accept(d: &mut Deciding<'_, '_>, row: &RequestRow, id: LeaseId, actor: &Actor) -> Result<Value, Refusal> {
    let mut facts = facts(d.state(), id).ok_or_else(|| Refusal::new("id_unknown", "there is no such lease"))?;
    facts.urgency = urgency(d.state(), row);
    let effect = release::effect(&facts).map_err(|e| Refusal::new("illegal_state", e.to_string()))?;
    check_unchanged(row, &effect.judged)?;
    let mut result = json!({ "effect": serde_json::to_value(&effect).unwrap_or(Value::Null) });
    if let Some(at) = at_latest(effect.waits, d.now()) {
        result["at_latest"] = json!(at.0);
    }
    let details = json!({
        "asked": true, "force": facts.urgency != Urgency::Usual, "holder": effect.holder.is.as_str(),
    });
    lease_verb::told(d, &facts.lease, actor, "environment.lease_released", details);
    if let Some(run) = effect.stops_run {
        marked(d, id);
        let grace = row.args.get("grace_ms").and_then(Value::as_i64);
        cancel::stop(d, run, StopReason::Operator, grace, actor)?;
    }
    if effect.waits.is_none() {
        lease::give_back(d, id, LeaseEnd::Released, Some(format!("released by {}", actor.id)));
    }
    Ok(result)
}

/// Says of a lease that it goes with its run, whatever its policy.
pub(crate) fn marked(d: &mut Deciding<'_, '_>, id: LeaseId) {
    if d.tx.get::<LeaseRow>(id).is_some_and(|l| l.status == LeaseStatus::Active) {
        d.tx.update::<LeaseRow>(id, |l| {
            l.end_reason.get_or_insert(LeaseEnd::Released);
        });
    }
}

/// Refuses when a row that the preview judged has changed since.
pub(crate) fn check_unchanged(row: &RequestRow, judged: &[Judged]) -> Result<(), Refusal> {
    let Some(expect) = &row.expect else { return Ok(()) };
    let expected: Vec<Judged> = serde_json::from_value(expect.clone())
        .map_err(|e| Refusal::new("illegal_state", format!("`expect` is no list of id and version: {e}")))?;
    for wanted in &expected {
        let now = judged.iter().find(|j| j.id == wanted.id);
        if now.is_none_or(|j| j.version != wanted.version) {
            return Err(Refusal::new(
                "changed_since_preview",
                "what the preview showed has changed meanwhile; look at the new preview and confirm again",
            ));
        }
    }
    if expected.len() != judged.len() {
        return Err(Refusal::new(
            "changed_since_preview",
            "more is concerned now than the preview showed; look at the new preview and confirm again",
        ));
    }
    Ok(())
}
