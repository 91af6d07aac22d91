//! Stopping a service that others need: alone, where that was said, or after them.

use serde_json::{Value, json};
use wharf_model::rules::service_desired::{after_action, is_reported};
use wharf_model::rules::service_order::{self, Dependents, dependents, judged, judged_together};
use wharf_model::state::State;
use wharf_model::{Kind, RequestKind, RequestRow, RequestStatus, ServiceId, ServiceRow, ServiceStatus};

use super::by_hand::{ours, stop_by_hand};
use super::desired::meant;
use super::stop;
use crate::dispatch::decide::{Deciding, release, request};
use crate::dispatch::input::{Actor, Refusal};

/// `service.stop` of one service.
pub(crate) fn stop_one(
    d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    id: ServiceId,
    actor: &Actor,
) -> Result<Value, Refusal> {
    let said = Dependents::of(&row.args);
    if said == Some(Dependents::Stop) && dependents(d.state().services.values(), id).next().is_some() {
        return stop_in_order(d, row, &[id], actor);
    }
    check(d.state(), row, &[id])?;
    if said.is_none() {
        refuse_needed(d.state(), &[id])?;
    }
    stop_by_hand(d, id, actor)
}

/// Whether what is stopped is what the preview showed.
pub(super) fn check(state: &State, row: &RequestRow, ids: &[ServiceId]) -> Result<(), Refusal> {
    let one = |id: &ServiceId| {
        let service = state.services.get(id)?;
        let needed_by = dependents(state.services.values(), *id).map(|s| s.id);
        Some(judged(service, state.users_of(*id), needed_by))
    };
    release::check_unchanged(row, &judged_together(ids.iter().filter_map(one)))
}

/// Refuses to stop what others need that are not stopped with it, unless somebody has said what becomes of those.
pub(super) fn refuse_needed(state: &State, ids: &[ServiceId]) -> Result<(), Refusal> {
    let stops = |s: &&ServiceRow| {
        matches!(s.status, ServiceStatus::Starting | ServiceStatus::Running | ServiceStatus::Backoff) && !is_reported(s)
    };
    for service in ids.iter().filter_map(|id| state.services.get(id)).filter(stops) {
        let others: Vec<String> = dependents(state.services.values(), service.id)
            .filter(|s| !ids.contains(&s.id))
            .map(|s| format!("{} {}", Kind::Service.number(s.number), s.name))
            .collect();
        if !others.is_empty() {
            let (number, name) = (Kind::Service.number(service.number), &service.name);
            let message = format!(
                "{} {} {number} {name}; `wharf service stop {number} --with-dependents` stops them first, `--yes` stops {name} alone",
                others.join(", "),
                if others.len() == 1 { "needs" } else { "need" },
            );
            return Err(Refusal::new("illegal_state", message));
        }
    }
    Ok(())
}

/// Stops services after all that need them, each once those have ended. What is to be stopped, and which start of it,
/// stands in the request, so that it is gone on with whoever reigns.
pub(super) fn stop_in_order(
    d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    of: &[ServiceId],
    actor: &Actor,
) -> Result<Value, Refusal> {
    let all: Vec<&ServiceRow> = d.state().services.values().collect();
    let order: Vec<ServiceRow> = service_order::stop_order(&all, of).into_iter().cloned().collect();
    let ids: Vec<ServiceId> = order.iter().map(|s| s.id).collect();
    check(d.state(), row, &ids)?;
    for service in &order {
        ours(d, service.id, "stop")?;
    }
    let mut services = Vec::new();
    for service in order.iter().filter(|s| s.status.is_open()) {
        // None of them is started again because it is meant to run.
        meant(d, service.id, after_action(service.desired, false), actor);
        services.push(json!({
            "service_id": service.id.text(), "number": Kind::Service.number(service.number), "name": service.name,
            "generation": service.generation,
        }));
    }
    if services.is_empty() {
        return Err(Refusal::new("illegal_state", "nothing of it runs; there is nothing to stop"));
    }
    let result = json!({ "services": services, "in_order": true });
    go_on(d, &result);
    Ok(result)
}

/// Goes on with a stop of several, one after the other.
pub(crate) fn carry_on_stop(d: &mut Deciding<'_, '_>, row: &RequestRow) {
    let is_one =
        row.status == RequestStatus::Accepted && RequestKind::parse(&row.kind) == Some(RequestKind::ServiceStop);
    let Some(result) = row.result.as_ref().filter(|r| is_one && r["in_order"] == true).cloned() else { return };
    if let Some(why) = go_on(d, &result) {
        request::failed(d, row.id, "service_start_failed", &why);
    }
}

/// Stops whatever nobody needs any more; says why it cannot go on, where somebody has begun to need it meanwhile.
fn go_on(d: &mut Deciding<'_, '_>, result: &Value) -> Option<String> {
    let listed: Vec<(ServiceId, u64)> = result["services"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|s| Some((s["service_id"].as_str()?.parse().ok()?, s["generation"].as_u64()?)))
        .collect();
    // Those that need others stand before them.
    for (id, generation) in &listed {
        let Some(service) = d.tx.get::<ServiceRow>(*id).cloned() else { continue };
        let is_it = u64::from(service.generation) == *generation && service.status != ServiceStatus::Stopping;
        if !is_it || !service.status.is_open() {
            continue;
        }
        let needing: Vec<ServiceRow> = dependents(d.state().services.values(), *id).cloned().collect();
        let is_going = |s: &ServiceRow| listed.iter().any(|(id, g)| *id == s.id && u64::from(s.generation) <= *g);
        if let Some(new) = needing.iter().find(|s| !is_going(s)) {
            let (number, other) = (Kind::Service.number(service.number), Kind::Service.number(new.number));
            return Some(format!(
                "{other} {} was started meanwhile and needs {number} {}, which goes on",
                new.name, service.name
            ));
        }
        if needing.is_empty() {
            stop(d, *id, "operator");
        }
    }
    None
}
