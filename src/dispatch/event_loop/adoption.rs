//! What earlier reigns left open is looked at before anything is swept.

use std::sync::Arc;
use std::time::Duration;

use super::{Loop, Pending};
use crate::dispatch::input::{Fact, Input, Occurrence};
use crate::process::kill_point::kill_point;

/// Time after which sweeps begin although not every adoption has answered.
pub(super) const ADOPTION_LIMIT: Duration = Duration::from_secs(10);

impl Loop {
    /// Tells what the start has found, in a row and to those who watch.
    pub(super) fn recovered(&mut self, batch: &mut Vec<Pending>) {
        let Some(recovery) = self.recovering.take().map(|mut r| r.end()) else { return };
        self.decide_into(batch, &Input::Occurred(Occurrence::Recovered(recovery.clone())), None);
        self.publish.send_modify(|r| r.recovery = Some(Arc::new(recovery)));
    }

    pub(super) fn may_sweep(&mut self) -> bool {
        if !self.adopted && (self.looking.is_empty() || self.began.elapsed() >= ADOPTION_LIMIT) {
            self.adopted = true;
            self.publish.send_modify(|r| r.adopted = true);
            kill_point("elect.adopted");
        }
        self.adopted
    }

    /// The first word about an action of an earlier reign: it has been looked at.
    pub(super) fn note_adoption(&mut self, input: &Input) {
        let Input::Fact(fact) = input else { return };
        if let Some(recovering) = &mut self.recovering {
            recovering.heard(fact);
        }
        if self.adopted {
            return;
        }
        let state = &self.state;
        let about = |entity: &str, id: String, attempt: u32| {
            state
                .actions
                .values()
                .filter(|a| a.entity_type == entity && a.entity_id == id && a.attempt == attempt)
                .map(|a| a.id)
                .collect::<Vec<_>>()
        };
        let seen = match fact {
            Fact::RunStarted { run, attempt, .. }
            | Fact::RunObserved { run, attempt, .. }
            | Fact::RunNoted { run, attempt, .. }
            | Fact::WorkspacePlanned { run, attempt, .. }
            | Fact::OperationPlanned { run, attempt, .. } => about("run", run.text(), *attempt),
            Fact::ServicePortReserved { service, generation, .. }
            | Fact::ServiceStarted { service, generation, .. } => about("service", service.text(), *generation),
            // It stands in a queue, and is waited for no longer than it takes to say so.
            Fact::LeaseQueued { lease, .. } | Fact::LeasePlaceGone { lease } => about("lease", lease.text(), 1),
            Fact::LeaseAcquired { action, .. }
            | Fact::LeaseRefused { action, .. }
            | Fact::LeaseReleased { action, .. }
            | Fact::LeaseReleaseFailed { action, .. }
            | Fact::LeaseLaidBy { action, .. }
            | Fact::LeaseExtended { action, .. }
            | Fact::LeaseNotExtended { action, .. }
            | Fact::LeaseObserved { action, .. }
            | Fact::EnvironmentProbed { action, .. }
            | Fact::EnvironmentTested { action, .. }
            | Fact::WorkspaceRealised { action, .. }
            | Fact::WorkspaceFailed { action, .. }
            | Fact::RunEnded { action, .. }
            | Fact::RunNotStarted { action, .. }
            | Fact::RunLost { action, .. }
            | Fact::LogSealed { action, .. }
            | Fact::LogCompressed { action, .. }
            | Fact::SnapshotTaken { action, .. }
            | Fact::WorkspaceMoves { action, .. }
            | Fact::WorkspaceParked { action, .. }
            | Fact::WorkspaceArchived { action, .. }
            | Fact::WorkspaceRestored { action, .. }
            | Fact::WorkspaceWorkFailed { action, .. }
            | Fact::TrashEmptied { action }
            | Fact::StoreBackedUp { action, .. }
            | Fact::StoreNotBackedUp { action, .. }
            | Fact::ServiceEnded { action, .. }
            | Fact::ActionDone { action }
            | Fact::ActionFailed { action, .. } => vec![*action],
            Fact::OwnOperationPlanned { owner, .. } => vec![owner.action],
            Fact::OperationObserved { .. }
            | Fact::DiskWaited { .. }
            | Fact::OperationEnded { .. }
            | Fact::OperationProgress { .. }
            | Fact::ServiceReady { .. }
            | Fact::ServiceHealth { .. }
            | Fact::WorkspaceSeen { .. }
            | Fact::AgentSaid { .. }
            | Fact::RunCheckout { .. }
            | Fact::StoreDamageFound { .. } => Vec::new(),
        };
        for action in seen {
            self.looking.remove(&action);
        }
    }
}
