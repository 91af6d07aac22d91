//! The waiting line of an environment: whoever came first is granted the next slot.

use serde_json::json;
use wharf_model::rules::lease::{takes_slot, waiting_line};
use wharf_model::{
    ActionKind, EnvironmentId, EnvironmentRow, EnvironmentStatus, Kind, LeaseEnd, LeaseId, LeaseRow, LeaseStatus,
};

use super::super::Deciding;
use super::{give_back, grant, keep, not_had, waiting_step};

/// Whether a slot is free and nobody waits for it. An environment without a limit always has room.
pub(super) fn has_room(d: &Deciding<'_, '_>, environment: &EnvironmentRow) -> bool {
    let Some(slots) = environment.slots else { return true };
    let of_it = || d.state().leases.values().filter(|l| l.environment_id == environment.id);
    let waits = of_it().any(|l| l.status == LeaseStatus::Waiting);
    !waits && i64::try_from(of_it().filter(|l| takes_slot(l)).count()).unwrap_or(i64::MAX) < slots
}

/// Says to the run that it stands in line, and where.
pub(super) fn wait(d: &mut Deciding<'_, '_>, lease: &LeaseRow, environment: &EnvironmentRow) {
    let place = waiting_line(d.state().leases.values(), environment.id).len();
    let slots = environment.slots.unwrap_or(0);
    if let Some(run) = lease.run_id {
        waiting_step(d, run);
        let number = Kind::Lease.number(lease.number);
        let message =
            format!("{number} waits for a slot of {}: {slots} in use, place {place} in line", environment.name);
        d.tx.event(run, "lease", "info", message, Some(json!({ "slots": slots, "place": place })));
    }
}

/// Grants free slots to those who wait, the oldest first.
pub(crate) fn promote(d: &mut Deciding<'_, '_>) {
    let waiting: std::collections::BTreeSet<EnvironmentId> =
        d.state().leases.values().filter(|l| l.status == LeaseStatus::Waiting).map(|l| l.environment_id).collect();
    for id in waiting {
        let Some(environment) = d.state().environments.get(&id).cloned() else { continue };
        let mut line: Vec<LeaseId> = waiting_line(d.state().leases.values(), id).iter().map(|l| l.id).collect();
        if mutant!(LineJumped) {
            line.reverse();
        }
        let used = d.state().leases.values().filter(|l| l.environment_id == id && takes_slot(l)).count();
        let used = i64::try_from(used).unwrap_or(i64::MAX);
        let free = environment.slots.map_or(i64::MAX, |slots| slots.saturating_sub(used).max(0));
        for lease in line.into_iter().take(usize::try_from(free).unwrap_or(usize::MAX)) {
            advance(d, lease, &environment);
        }
    }
}

fn advance(d: &mut Deciding<'_, '_>, id: LeaseId, environment: &EnvironmentRow) {
    let Some(mut row) = d.tx.get::<LeaseRow>(id).cloned() else { return };
    if environment.status != EnvironmentStatus::Active {
        let message = format!("environment {} is {} now", environment.name, environment.status);
        give_back(d, id, LeaseEnd::Failed, Some(message.clone()));
        not_had(d, &row, "environment_inactive", &message);
        return;
    }
    let runs = row.run_id.is_some();
    let kept = if runs { keep::hand_over(d, environment, row.execution_workspace_id, id) } else { None };
    grant(d, &mut row, environment, kept);
    d.tx.put(row.clone());
    d.intend(ActionKind::AcquireLease, "lease", &id.text(), 1, row.fence, None);
    if let Some(run) = row.run_id {
        let number = Kind::Lease.number(row.number);
        d.tx.event(run, "lease", "info", format!("{number} has a slot of {}", environment.name), None);
    }
}

/// It waited for as long as one may.
pub(crate) fn wait_over(d: &mut Deciding<'_, '_>, id: LeaseId) {
    let Some(lease) = d.tx.get::<LeaseRow>(id).filter(|l| l.status == LeaseStatus::Waiting).cloned() else { return };
    let name = d.state().environments.get(&lease.environment_id).map(|e| e.name.clone()).unwrap_or_default();
    let message = format!("no slot of environment {name} became free within a day");
    give_back(d, id, LeaseEnd::Failed, Some(message.clone()));
    not_had(d, &lease, "lease_wait_deadline", &message);
}
