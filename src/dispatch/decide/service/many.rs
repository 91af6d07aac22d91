//! All services of a workspace at once.

use serde_json::{Value, json};
use wharf_model::rules::service_desired::after_action;
use wharf_model::rules::service_order::{Dependents, is_of_workspace};
use wharf_model::{Kind, RequestKind, RequestRow, ServiceId, ServiceRow, ServiceStatus, WorkspaceId, WorkspaceRow};

use super::by_hand::{restart_by_hand, start_by_hand, stop_by_hand};
use super::desired::meant;
use super::in_order::{check, refuse_needed, stop_in_order};
use super::{find, stop};
use crate::dispatch::decide::Deciding;
use crate::dispatch::input::{Actor, Refusal};

/// Services of a workspace: those that are kept for it, and those that run inside its directory.
fn in_workspace(d: &Deciding<'_, '_>, workspace: WorkspaceId) -> Vec<ServiceId> {
    let row = d.tx.get::<WorkspaceRow>(workspace);
    d.state().services.values().filter(|s| is_of_workspace(s, workspace, row)).map(|s| s.id).collect()
}

/// Stops every service of a workspace, also those that run inside its directory for somebody else, and sees to it
/// that none is started again because it is meant to run. Gives those that were stopped or are stopping.
pub(crate) fn stop_all_of_workspace(d: &mut Deciding<'_, '_>, workspace: WorkspaceId, reason: &str) -> Vec<ServiceId> {
    let mut stopped = Vec::new();
    for id in in_workspace(d, workspace) {
        let Some(service) = d.tx.get::<ServiceRow>(id).cloned() else { continue };
        meant(d, id, after_action(service.desired, false), &Actor::system());
        if service.status.is_open() {
            stop(d, id, reason);
            stopped.push(id);
        }
    }
    stopped
}

/// A verb of an operator on all services of a workspace, or on the one of this name.
pub(crate) fn carry_out(
    d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    kind: RequestKind,
    workspace: WorkspaceId,
    actor: &Actor,
) -> Result<Value, Refusal> {
    let (asked, name) = (row, row.args.get("service").and_then(Value::as_str));
    let Some(row) = d.tx.get::<WorkspaceRow>(workspace).cloned() else {
        return Err(Refusal::new("id_unknown", "there is no such workspace, or it is archived and its files are gone"));
    };
    let number = Kind::Workspace.number(row.number);
    let starts = kind == RequestKind::ServiceStart;
    let ids = if starts { find::of_workspace(d, &row) } else { in_workspace(d, workspace) };
    let chosen: Vec<ServiceRow> = ids
        .iter()
        .filter_map(|id| d.tx.get::<ServiceRow>(*id))
        .filter(|s| name.is_none_or(|name| s.name == name))
        .filter(|s| starts || s.status.is_open())
        .cloned()
        .collect();
    if chosen.is_empty() {
        let which = name.map_or_else(|| "no service".to_owned(), |name| format!("no service {name}"));
        let why = if starts {
            "one that is kept for each workspace has reuse = \"execution_workspace\" in wharf.toml"
        } else {
            "nothing of it runs"
        };
        return Err(Refusal::new("illegal_state", format!("{number} has {which}: {why}")));
    }
    let ids: Vec<ServiceId> = chosen.iter().map(|s| s.id).collect();
    let said = Dependents::of(&asked.args);
    if kind == RequestKind::ServiceStop && said == Some(Dependents::Stop) {
        let mut result = stop_in_order(d, asked, &ids, actor)?;
        result["workspace"] = json!(number);
        return Ok(result);
    }
    check(d.state(), asked, &ids)?;
    if kind == RequestKind::ServiceStop && said.is_none() {
        refuse_needed(d.state(), &ids)?;
    }
    let (mut services, mut refused) = (Vec::new(), Vec::new());
    for service in chosen {
        let id = service.id;
        let answer = match kind {
            RequestKind::ServiceStart => start_by_hand(d, id, actor),
            RequestKind::ServiceRestart => restart_by_hand(d, id, actor),
            // One before it in the list may have ended it.
            _ if d.tx.get::<ServiceRow>(id).is_some_and(|s| !s.status.is_open()) => continue,
            _ => stop_by_hand(d, id, actor),
        };
        match answer {
            Ok(answer) => services.push(json!({
                "service_id": id.text(), "number": Kind::Service.number(service.number), "name": service.name,
                "generation": answer["generation"],
            })),
            Err(refusal) => refused.push(refusal),
        }
    }
    match refused.into_iter().next() {
        // What goes goes whole: half of a workspace's services is nobody's wish.
        Some(refusal) => Err(refusal),
        None => Ok(json!({ "workspace": number, "services": services })),
    }
}

/// Whether every service of an answered request is where it was asked to be: none while one still changes.
pub(crate) fn reached_all<R>(
    result: &Value,
    mut one: impl FnMut(ServiceId, Option<u64>) -> Option<Result<(), R>>,
) -> Option<Result<(), R>> {
    let mut waits = false;
    for service in result["services"].as_array().into_iter().flatten() {
        let Some(id) = service["service_id"].as_str().and_then(|t| t.parse().ok()) else { continue };
        match one(id, service["generation"].as_u64()) {
            Some(Ok(())) => {}
            Some(Err(failed)) => return Some(Err(failed)),
            None => waits = true,
        }
    }
    (!waits).then_some(Ok(()))
}

/// Where a service is on its way to what a request asked for: there, in vain with code and words, or under way.
pub(crate) fn reached(
    service: Option<&ServiceRow>,
    kind: RequestKind,
    generation: Option<u64>,
) -> Option<Result<(), (String, String)>> {
    let failed = |code: &str, why: String| Some(Err((code.to_owned(), why)));
    let Some(service) = service else {
        let why = "the service belonged to a run that has ended".to_owned();
        return if kind == RequestKind::ServiceStop { Some(Ok(())) } else { failed("service_start_failed", why) };
    };
    if super::is_overdue(service) {
        return Some(Err(super::not_ended(service)));
    }
    if kind == RequestKind::ServiceStop {
        // A later generation is somebody else's wish; the one that was to stop is gone.
        let stays = service.status.is_open() && generation.is_none_or(|g| u64::from(service.generation) <= g);
        return if stays { None } else { Some(Ok(())) };
    }
    if kind == RequestKind::ServiceRestart && generation.is_some_and(|g| u64::from(service.generation) < g) {
        if service.status.is_live() {
            return None;
        }
        return failed("service_start_failed", "it was asked to stop before it was started again".into());
    }
    match service.status {
        ServiceStatus::Running => Some(Ok(())),
        ServiceStatus::Failed | ServiceStatus::Stopped => failed(
            service.error_code.as_deref().unwrap_or("service_start_failed"),
            service.error.clone().unwrap_or_else(|| format!("it is {}", service.status)),
        ),
        ServiceStatus::Starting | ServiceStatus::Stopping | ServiceStatus::Backoff => None,
    }
}
