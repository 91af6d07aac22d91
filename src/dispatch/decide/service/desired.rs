//! Where services are meant to be: an operator's word, and what is done so that it comes true.

use serde_json::{Value, json};
use wharf_model::rules::service_desired::{Does, is_kept, reconcile};
use wharf_model::rules::service_restart::is_parked;
use wharf_model::{Desired, Kind, ReuseScope, ServiceId, ServiceRow, ServiceStatus, WorkspaceId, WorkspaceStatus};

use super::by_hand::ours;
use super::find::{current_of, off};
use super::{Cause, begin, in_use, stop};
use crate::dispatch::decide::{Deciding, about};
use crate::dispatch::input::{Actor, Refusal};

/// `service.set_desired`: what a service is meant to be from now on, whatever the config says, until that changes.
pub(crate) fn set_desired(
    d: &mut Deciding<'_, '_>,
    id: ServiceId,
    args: &Value,
    actor: &Actor,
) -> Result<Value, Refusal> {
    let id = current_of(d, id);
    let service = ours(d, id, "keep")?;
    let word = args["desired"].as_str().unwrap_or_default();
    let Some(desired) = Desired::parse(word) else {
        let message = format!("a service is meant to be running, stopped or manual, not {word:?}");
        return Err(Refusal::new("illegal_state", message));
    };
    let before = service.desired;
    meant(d, id, desired, actor);
    // Said again, it is still whoever said it last.
    d.tx.update::<ServiceRow>(id, |s| s.desired_by = Some(actor.id.clone()));
    let number = Kind::Service.number(service.number);
    let note = match desired {
        Desired::Running if is_parked(&service) => {
            Some(format!("{number} is parked; `wharf service restart {number}` starts it again"))
        }
        Desired::Running if d.tx.get::<ServiceRow>(id).is_some_and(|s| !is_kept(s)) => {
            Some(format!("{number} belongs to a run and ends with it all the same"))
        }
        Desired::Stopped if in_use(d, id) && service.status.is_open() => {
            Some(format!("{number} is in use and stops when the last one leaves it"))
        }
        _ => None,
    };
    Ok(json!({ "service_id": id.text(), "desired": desired.as_str(), "before": before.as_str(), "note": note }))
}

/// Writes what a service is meant to be, where that is new.
pub(super) fn meant(d: &mut Deciding<'_, '_>, id: ServiceId, desired: Desired, actor: &Actor) {
    let Some(service) = d.tx.get::<ServiceRow>(id).filter(|s| s.desired != desired).cloned() else { return };
    d.tx.update::<ServiceRow>(id, |s| {
        s.desired = desired;
        s.desired_by = Some(actor.id.clone());
    });
    let details = json!({ "from": service.desired.as_str(), "to": desired.as_str() });
    d.activity(actor, "service.desired", &about::service(&service), Some(details));
}

/// Brings every service to where it is meant to be, as far as nobody stands in the way. Each decision ends with it,
/// so it holds from the beginning of a reign on.
pub(crate) fn settle(d: &mut Deciding<'_, '_>) {
    if mutant!(DesiredForgotten) {
        return;
    }
    let apart: Vec<(ServiceId, Does)> = d
        .state()
        .services
        .values()
        .filter(|s| s.desired != Desired::Manual)
        .map(|s| (s.id, does(d, s)))
        .filter(|(_, does)| *does != Does::Nothing)
        .collect();
    for (id, planned) in apart {
        // One before it may have started it already.
        let still = d.tx.get::<ServiceRow>(id).is_some_and(|s| does(d, s) == planned);
        match planned {
            Does::Start if still => begin(d, id, Cause::Desired, &Actor::system()),
            Does::Stop if still => stop(d, id, "desired"),
            _ => {}
        }
    }
}

/// The same for one service, where what follows depends on it.
pub(super) fn settle_one(d: &mut Deciding<'_, '_>, id: ServiceId) {
    if d.tx.get::<ServiceRow>(id).is_some_and(|s| does(d, s) == Does::Start) {
        begin(d, id, Cause::Desired, &Actor::system());
    }
}

fn does(d: &Deciding<'_, '_>, service: &ServiceRow) -> Does {
    let startable = matches!(service.status, ServiceStatus::Stopped | ServiceStatus::Failed);
    let off =
        startable && (off(service).is_some() || is_nowhere(d, service) || current_of(d, service.id) != service.id);
    let does = reconcile(service, false, off);
    if does == Does::Stop && in_use(d, service.id) { Does::Nothing } else { does }
}

/// Whether the place that it would run in is not there, as far as rows tell.
fn is_nowhere(d: &Deciding<'_, '_>, service: &ServiceRow) -> bool {
    if d.state().projects.get(&service.project_id).is_none_or(|p| p.removed_at.is_some()) {
        return true;
    }
    let workspace = match service.scope_type {
        ReuseScope::ExecutionWorkspace => service.scope_id.parse::<WorkspaceId>().ok(),
        ReuseScope::Agent => service.execution_workspace_id,
        ReuseScope::ProjectWorkspace | ReuseScope::Run => None,
    };
    workspace.is_some_and(|w| {
        d.state().workspaces.get(&w).is_none_or(|w| {
            matches!(w.status, WorkspaceStatus::Archived | WorkspaceStatus::Archiving | WorkspaceStatus::Missing)
        })
    })
}
