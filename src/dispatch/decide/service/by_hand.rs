//! What an operator asks of a service.

use serde_json::{Value, json};
use wharf_model::rules::service_desired::{after_action, is_reported};
use wharf_model::rules::service_order::dependents;
use wharf_model::{
    Kind, ReuseScope, RunId, RunRow, ServiceId, ServiceRow, ServiceStatus, WorkspaceId, WorkspaceStatus,
};

use super::desired::meant;
use super::end::fail_waiting;
use super::find::{current_of, parked, refuse_off};
use super::stop::{ask_again, is_overdue, not_ended, stop};
use super::{Cause, RESTART, begin, reported};
use crate::dispatch::decide::Deciding;
use crate::dispatch::input::{Actor, Refusal};
use wharf_model::rules::service_restart::is_parked;

/// `service.start` by hand: what it did before is forgiven, and its restarts count anew.
pub(crate) fn start_by_hand(d: &mut Deciding<'_, '_>, id: ServiceId, actor: &Actor) -> Result<Value, Refusal> {
    let id = current_of(d, id);
    let service = ours(d, id, "start")?;
    let number = Kind::Service.number(service.number);
    let result = match service.status {
        ServiceStatus::Running | ServiceStatus::Starting => {
            json!({ "already": service.status.as_str(), "generation": service.generation })
        }
        ServiceStatus::Stopped | ServiceStatus::Failed | ServiceStatus::Backoff => {
            refuse_off(&service)?;
            refuse_gone(d, &service)?;
            refuse_needs(d, &service)?;
            begin(d, id, Cause::Operator, actor);
            json!({ "generation": service.generation + 1 })
        }
        ServiceStatus::Stopping if is_overdue(&service) => {
            return Err(Refusal::new("illegal_state", not_ended(&service).1));
        }
        ServiceStatus::Stopping => {
            return Err(Refusal::new(
                "illegal_state",
                format!("{number} is stopping; start it again once it has stopped"),
            ));
        }
    };
    meant(d, id, after_action(service.desired, true), actor);
    Ok(result)
}

/// `service.stop` by hand. Those that use or need it go on without it; the answer names them.
pub(crate) fn stop_by_hand(d: &mut Deciding<'_, '_>, id: ServiceId, actor: &Actor) -> Result<Value, Refusal> {
    if reported::forsaken_stopped(d, id) {
        return Ok(json!({ "reported": true }));
    }
    let service = ours(d, id, "stop")?;
    let number = Kind::Service.number(service.number);
    let result = match service.status {
        ServiceStatus::Starting | ServiceStatus::Running | ServiceStatus::Backoff => {
            let users = d.state().users_of(id).count();
            let needed_by: Vec<String> = dependents(d.state().services.values(), id)
                .map(|s| format!("{} ({})", s.name, Kind::Service.number(s.number)))
                .collect();
            stop(d, id, "operator");
            json!({ "users": users, "needed_by": needed_by, "generation": service.generation })
        }
        ServiceStatus::Stopping => {
            // The last word counts: a restart under way becomes a stop.
            d.tx.update::<ServiceRow>(id, |s| s.stop_reason = Some("operator".into()));
            fail_waiting(d, id, "service_start_failed", "it was stopped");
            let force = stop_again(d, id);
            json!({ "already": "stopping", "generation": service.generation, "force": force })
        }
        other => {
            return Err(Refusal::new(
                "illegal_state",
                format!("{number} {} is {other}; there is nothing to stop", service.name),
            ));
        }
    };
    meant(d, id, after_action(service.desired, false), actor);
    Ok(result)
}

/// `service.restart` by hand: stops it first when it runs; its restarts count anew.
pub(crate) fn restart_by_hand(d: &mut Deciding<'_, '_>, id: ServiceId, actor: &Actor) -> Result<Value, Refusal> {
    let service = ours(d, id, "restart")?;
    let result = match service.status {
        ServiceStatus::Starting | ServiceStatus::Running => {
            refuse_off(&service)?;
            refuse_gone(d, &service)?;
            refuse_needs(d, &service)?;
            stop(d, id, RESTART);
            // One that had no process yet has begun anew already.
            let generation = service.generation + 1;
            json!({ "phase": "stopping", "generation": generation })
        }
        ServiceStatus::Stopping => {
            refuse_off(&service)?;
            refuse_gone(d, &service)?;
            d.tx.update::<ServiceRow>(id, |s| s.stop_reason = Some(RESTART.into()));
            stop_again(d, id);
            json!({ "phase": "stopping", "generation": service.generation + 1 })
        }
        ServiceStatus::Stopped | ServiceStatus::Failed | ServiceStatus::Backoff => {
            let current = current_of(d, id);
            start_by_hand(d, current, actor)?;
            let generation = d.tx.get::<ServiceRow>(current).map_or(0, |s| s.generation);
            json!({ "phase": "starting", "generation": generation, "service_id": current.text() })
        }
    };
    meant(d, id, after_action(service.desired, true), actor);
    Ok(result)
}

/// An operator asks a service that is stopping to stop. One whose end has not been seen in time is ended by
/// force: its shim does not listen. Says whether by force.
fn stop_again(d: &mut Deciding<'_, '_>, id: ServiceId) -> bool {
    let force = d.tx.get::<ServiceRow>(id).is_some_and(is_overdue);
    ask_again(d, id, force);
    force
}

/// The service, when it is one that we start and stop.
pub(super) fn ours(d: &Deciding<'_, '_>, id: ServiceId, verb: &str) -> Result<ServiceRow, Refusal> {
    let service = d.tx.get::<ServiceRow>(id).cloned().ok_or_else(|| {
        Refusal::new("id_unknown", "there is no such service, or it belonged to a run that has ended")
    })?;
    if is_reported(&service) {
        return Err(Refusal::new("illegal_state", reported::keeper_words(d, &service, verb)));
    }
    Ok(service)
}

/// Refuses to start what would run in a workspace that is not there any more, or for a run that is over: nothing would
/// ever use it or end it.
fn refuse_gone(d: &Deciding<'_, '_>, service: &ServiceRow) -> Result<(), Refusal> {
    if let (ReuseScope::Run, Ok(run)) = (service.scope_type, service.scope_id.parse::<RunId>()) {
        let run = d.tx.get::<RunRow>(run);
        if run.is_none_or(|run| run.status.is_terminal()) {
            let name = run.map_or_else(|| "a run".to_owned(), |run| Kind::Run.number(run.number));
            let number = Kind::Service.number(service.number);
            let message = format!(
                "{number} {} belonged to {name}, which has ended; a run that uses it starts one of its own",
                service.name
            );
            return Err(Refusal::new("illegal_state", message));
        }
    }
    if service.scope_type != ReuseScope::ExecutionWorkspace {
        return Ok(());
    }
    let Ok(workspace) = service.scope_id.parse::<WorkspaceId>() else { return Ok(()) };
    let number = Kind::Service.number(service.number);
    let status = d.state().workspaces.get(&workspace).map(|w| (Kind::Workspace.number(w.number), w.status));
    let what = match status {
        None => "its workspace is archived".to_owned(),
        Some((name, status @ (WorkspaceStatus::Archived | WorkspaceStatus::Archiving | WorkspaceStatus::Missing))) => {
            format!("its workspace {name} is {status}")
        }
        Some(_) => return Ok(()),
    };
    let message = format!(
        "{number} {} cannot be started: {what}, and with it its directory {}; it can still be stopped",
        service.name, service.cwd
    );
    Err(Refusal::new("cwd_missing", message))
}

/// Refuses to start what needs a service that is parked: that one is to be mended first.
fn refuse_needs(d: &mut Deciding<'_, '_>, service: &ServiceRow) -> Result<(), Refusal> {
    let number = Kind::Service.number(service.number);
    let refuse = |why: String| Refusal::new("service_start_failed", format!("{number} {}: {why}", service.name));
    for need in super::find::needs_of(d, service, None).map_err(refuse)? {
        let Some(need) = d.tx.get::<ServiceRow>(need) else { continue };
        if is_parked(need) {
            return Err(refuse(format!("it needs {}: {}", need.name, parked(need))));
        }
    }
    Ok(())
}
