//! Drivers and what their providers hold: it outlives the program, and answers get lost.

use serde_json::json;
use wharf_model::{ActionId, ActionKind, ActionRow, LeaseId, LeaseRow, LeaseStatus, UnixMillis};

use super::run::Sim;
use super::world::Task;
use crate::dispatch::input::{Fact, LeaseSeen};
use crate::environment::driver::Queue;

/// The provider's id of what it makes for a lease: the same, however often it is asked.
fn place_of(lease: LeaseId) -> String {
    format!("place/{lease}")
}

impl Sim {
    /// Hands an action about a lease to its executor, with the row as it is now.
    pub fn of_lease(&self, action: &ActionRow) -> Option<Task> {
        let lease: LeaseId = action.entity_id.parse().ok()?;
        let row = self.memory.as_ref()?.leases.get(&lease)?;
        let (place, action_id) = (row.provider_lease_id.clone(), action.id);
        Some(match action.kind {
            ActionKind::AcquireLease => {
                let resumes = row.resumed_from.and(place);
                Task::Acquire { action: action_id, lease, resumes, remote: self.is_remote(row) }
            }
            ActionKind::ReleaseLease | ActionKind::DestroyLease => {
                let keep = action.args.as_ref().is_some_and(|a| a["keep"] == true);
                Task::Release { action: action_id, lease, place, keep }
            }
            ActionKind::ExtendLease => {
                let until = action.args.as_ref().and_then(|a| a["until"].as_i64()).unwrap_or(0);
                Task::Extend { action: action_id, lease, place, until }
            }
            _ => Task::Observe { action: action_id, lease, place },
        })
    }

    fn is_remote(&self, row: &LeaseRow) -> bool {
        let environment = self.memory.as_ref().and_then(|m| m.environments.get(&row.environment_id));
        environment.is_some_and(|e| e.driver != wharf_model::Driver::Local)
    }

    pub fn acquire(&mut self, action: ActionId, lease: LeaseId, resumes: Option<String>, remote: bool) {
        if self.unlucky(10) {
            return; // The driver never answers.
        }
        if self.unlucky(60) {
            let (code, message) = ("lease_acquire_failed".into(), "no room".into());
            return self.tell(Fact::LeaseRefused { action, lease, code, message });
        }
        if self.unlucky(60) {
            return self.tell(Fact::ActionFailed { action, error: "the driver is away".into() });
        }
        if remote && self.unlucky(150) {
            return self.stand_in_queue(action, lease, resumes);
        }
        let mut resumed = false;
        let place = remote.then(|| match resumes {
            Some(place) if self.world.places.contains_key(&place) => {
                self.books.saw("place taken over");
                resumed = true;
                self.world.places.insert(place.clone(), lease);
                place
            }
            _ => {
                self.world.places.insert(place_of(lease), lease);
                place_of(lease)
            }
        });
        self.tell(Fact::LeaseAcquired {
            action,
            lease,
            provider: if remote { "remote" } else { "local" }.into(),
            provider_lease_id: place,
            expires_at: None,
            facts: json!({ "of": lease.text() }),
            resumed,
        });
    }

    fn stand_in_queue(&mut self, action: ActionId, lease: LeaseId, resumes: Option<String>) {
        self.books.saw("queued at the provider");
        let left = self
            .memory
            .as_ref()
            .and_then(|m| m.leases.get(&lease))
            .is_none_or(|l| l.status != LeaseStatus::Acquiring || l.end_reason.is_some());
        if left {
            let (code, message) = ("cancelled".into(), "nobody waits for it any more".into());
            return self.tell(Fact::LeaseRefused { action, lease, code, message });
        }
        let queue = Queue { provider_lease_id: None, reason: "busy".into(), position: Some(1), expected_at: None };
        let again = Task::Acquire { action, lease, resumes, remote: true };
        self.tell_then(Fact::LeaseQueued { lease, queue }, Some(again));
    }

    pub fn release(&mut self, action: ActionId, lease: LeaseId, place: Option<String>, keep: bool) {
        if self.unlucky(15) {
            return;
        }
        let fails = self.unlucky(150);
        if keep {
            self.books.saw("laid by");
            let failed = fails.then(|| "it cannot be paused".to_owned());
            return self.tell(Fact::LeaseLaidBy { action, lease, failed });
        }
        if fails {
            return self.tell(Fact::LeaseReleaseFailed { action, lease, message: "the driver is away".into() });
        }
        // What it is named by, and what an acquisition may have made whose answer was lost; never another's.
        for id in place.into_iter().chain([place_of(lease)]) {
            if self.world.places.get(&id) == Some(&lease) {
                self.world.places.remove(&id);
            } else if self.world.places.get(&id).is_some_and(|of| self.was_handed_to(*of, lease)) {
                self.books.saw("handed over and never taken");
                self.world.places.remove(&id);
            }
        }
        self.tell(Fact::LeaseReleased { action, lease });
    }

    /// Whether a lease was to take over what another held.
    fn was_handed_to(&self, from: LeaseId, to: LeaseId) -> bool {
        self.disk.rows.leases.get(&to).is_some_and(|l| l.resumed_from == Some(from))
    }

    pub fn extend(&mut self, action: ActionId, lease: LeaseId, place: Option<String>, until: i64) {
        if self.unlucky(15) {
            return;
        }
        self.books.saw("renewed");
        let there = place.is_some_and(|p| self.world.places.contains_key(&p));
        let fact = if !there || self.unlucky(100) {
            Fact::LeaseNotExtended { action, lease, latest: None, message: "no answer".into() }
        } else if self.unlucky(100) {
            self.books.saw("extension refused");
            let latest = Some(self.now().plus(2_000));
            Fact::LeaseNotExtended { action, lease, latest, message: "no more".into() }
        } else {
            Fact::LeaseExtended { action, lease, until: UnixMillis(until) }
        };
        self.tell(fact);
    }

    pub fn observe_place(&mut self, action: ActionId, lease: LeaseId, place: Option<String>) {
        if self.unlucky(15) {
            return;
        }
        if let Some(place) = place.clone().filter(|_| self.unlucky(20)) {
            self.books.saw("place vanished");
            self.world.places.remove(&place);
        }
        let seen = match place {
            _ if self.unlucky(200) => LeaseSeen::Unknown("no answer".into()),
            Some(place) if self.world.places.contains_key(&place) => LeaseSeen::Held(None),
            _ => LeaseSeen::Gone,
        };
        self.tell(Fact::LeaseObserved { action, lease, seen });
    }
}
