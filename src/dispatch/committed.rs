//! The kill points that lie right after a commit (contracts 10), told by what was written.

use std::collections::BTreeSet;

use wharf_model::state::{AnyRow, Change};
use wharf_model::{
    ActionKind, ActionStatus, LeaseStatus, RequestStatus, ServiceStatus, Step, StepStatus, WakeupStatus,
    WorkspaceStatus,
};

use super::perform::SealPart;
use crate::process::kill_point::kill_point;

/// Passes every kill point that a commit has reached. In a release build this is nothing.
pub fn pass(changes: &[&[Change]]) {
    if !cfg!(debug_assertions) {
        return;
    }
    let points: BTreeSet<&str> = changes.iter().copied().flatten().flat_map(points).collect();
    for point in points {
        kill_point(point);
    }
}

fn points(change: &Change) -> Vec<&'static str> {
    match change {
        Change::Activity(activity) if activity.action == "config.accepted" => vec!["config.accepted"],
        Change::Put { row, .. } => match row {
            AnyRow::Request(r) => match r.status {
                RequestStatus::Accepted => vec!["request.accepted"],
                RequestStatus::Done | RequestStatus::Failed | RequestStatus::Refused => vec!["request.answered"],
                RequestStatus::Pending | RequestStatus::Expired => Vec::new(),
            },
            AnyRow::Wakeup(w) if w.status == WakeupStatus::Claimed => vec!["run.claimed"],
            AnyRow::Step(s) if s.step == Step::Finish && s.status == StepStatus::Succeeded => {
                vec!["run.end_committed", "run.step_committed"]
            }
            AnyRow::Step(_) => vec!["run.step_committed"],
            AnyRow::Lease(l) => match l.status {
                LeaseStatus::Active => vec!["lease.active_committed"],
                LeaseStatus::Released | LeaseStatus::Failed | LeaseStatus::Expired => vec!["lease.release_committed"],
                _ => Vec::new(),
            },
            AnyRow::Workspace(w) if w.status == WorkspaceStatus::Active => vec!["workspace.committed"],
            AnyRow::Workspace(w) if w.status == WorkspaceStatus::Archived => vec!["workspace.remove_committed"],
            AnyRow::Service(s) => match s.status {
                ServiceStatus::Running => vec!["service.ready_committed"],
                ServiceStatus::Stopped | ServiceStatus::Failed if s.generation > 0 => vec!["service.stopped"],
                _ => Vec::new(),
            },
            AnyRow::Action(a) if a.status == ActionStatus::Performing => match (a.kind, a.entity_type.as_str()) {
                (ActionKind::SpawnShim, _) => vec!["run.spawn_intended"],
                (ActionKind::AcquireLease, _) => vec!["lease.intended"],
                (ActionKind::ReleaseLease, _) => vec!["lease.release_intended"],
                (ActionKind::StartService, _) => vec!["service.intended"],
                (ActionKind::StopShim, "service") => vec!["service.stop_intended"],
                _ => Vec::new(),
            },
            AnyRow::Action(a)
                if a.kind == ActionKind::SealLog && a.status == ActionStatus::Done && a.entity_type == "run" =>
            {
                match SealPart::of(a) {
                    SealPart::Hash => vec!["seal.hashed"],
                    SealPart::Compress => vec!["seal.row_committed"],
                    SealPart::RemoveOld => Vec::new(),
                }
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}
