//! What an operator asks of a service.

use serde_json::{Value, json};
use wharf_model::{Kind, ServiceId, ServiceRow, ServiceStatus};

use super::find::refuse_off;
use super::stop::{ask_again, is_overdue, not_ended, stop};
use super::{RESTART, begin, fail_waiting};
use crate::dispatch::decide::Deciding;
use crate::dispatch::input::{Actor, Refusal};

/// `service.start` by hand.
pub(crate) fn start_by_hand(d: &mut Deciding<'_, '_>, id: ServiceId, actor: &Actor) -> Result<Value, Refusal> {
    let service = known(d, id)?;
    let number = Kind::Service.number(service.number);
    match service.status {
        ServiceStatus::Running | ServiceStatus::Starting => Ok(json!({ "already": service.status.as_str() })),
        ServiceStatus::Stopped | ServiceStatus::Failed | ServiceStatus::Backoff => {
            refuse_off(&service)?;
            begin(d, id, None, actor);
            Ok(json!({ "generation": service.generation + 1 }))
        }
        ServiceStatus::Stopping if is_overdue(&service) => Err(Refusal::new("illegal_state", not_ended(&service).1)),
        ServiceStatus::Stopping => {
            Err(Refusal::new("illegal_state", format!("{number} is stopping; start it again once it has stopped")))
        }
    }
}

/// `service.stop` by hand.
pub(crate) fn stop_by_hand(d: &mut Deciding<'_, '_>, id: ServiceId) -> Result<Value, Refusal> {
    let service = known(d, id)?;
    let number = Kind::Service.number(service.number);
    match service.status {
        ServiceStatus::Starting | ServiceStatus::Running => {
            let users = d.state().users_of(id).count();
            stop(d, id, "operator");
            Ok(json!({ "users": users, "generation": service.generation }))
        }
        ServiceStatus::Stopping => {
            // The last word counts: a restart under way becomes a stop.
            d.tx.update::<ServiceRow>(id, |s| s.stop_reason = Some("operator".into()));
            fail_waiting(d, id, "service_start_failed", "it was stopped");
            let force = stop_again(d, id);
            Ok(json!({ "already": "stopping", "generation": service.generation, "force": force }))
        }
        other => Err(Refusal::new(
            "illegal_state",
            format!("{number} {} is {other}; there is nothing to stop", service.name),
        )),
    }
}

/// `service.restart` by hand: stops it first when it runs.
pub(crate) fn restart_by_hand(d: &mut Deciding<'_, '_>, id: ServiceId, actor: &Actor) -> Result<Value, Refusal> {
    let service = known(d, id)?;
    match service.status {
        ServiceStatus::Starting | ServiceStatus::Running => {
            refuse_off(&service)?;
            stop(d, id, RESTART);
            Ok(json!({ "phase": "stopping", "generation": service.generation + 1 }))
        }
        ServiceStatus::Stopping => {
            refuse_off(&service)?;
            d.tx.update::<ServiceRow>(id, |s| s.stop_reason = Some(RESTART.into()));
            stop_again(d, id);
            Ok(json!({ "phase": "stopping", "generation": service.generation + 1 }))
        }
        ServiceStatus::Stopped | ServiceStatus::Failed | ServiceStatus::Backoff => {
            start_by_hand(d, id, actor)?;
            Ok(json!({ "phase": "starting", "generation": service.generation + 1 }))
        }
    }
}

/// An operator asks a service that is stopping to stop. One whose end has not been seen in time is ended by
/// force: its shim does not listen. Says whether by force.
fn stop_again(d: &mut Deciding<'_, '_>, id: ServiceId) -> bool {
    let force = d.tx.get::<ServiceRow>(id).is_some_and(is_overdue);
    ask_again(d, id, force);
    force
}

fn known(d: &Deciding<'_, '_>, id: ServiceId) -> Result<ServiceRow, Refusal> {
    d.tx.get::<ServiceRow>(id)
        .cloned()
        .ok_or_else(|| Refusal::new("id_unknown", "there is no such service, or it belonged to a run that has ended"))
}
