//! What must hold of slots, waiting lines and what providers hold.

use std::collections::BTreeMap;

use wharf_model::rules::lease::takes_slot;
use wharf_model::{EnvironmentId, LeaseRow, LeaseStatus};

use super::run::Sim;

impl Sim {
    /// A slot goes to whoever waits longest, and to somebody new only when nobody waits.
    pub fn observe_line(&mut self, lease: &LeaseRow) -> Result<(), String> {
        let old = self.disk.rows.leases.get(&lease.id).map(|l| l.status);
        if lease.status != LeaseStatus::Acquiring || old == Some(LeaseStatus::Acquiring) {
            return Ok(());
        }
        let Some(memory) = &self.memory else { return Ok(()) };
        // As it is after the whole decision: who was passed over waits still.
        let passed = memory.leases.values().find(|l| {
            l.environment_id == lease.environment_id && l.status == LeaseStatus::Waiting && l.number < lease.number
        });
        if let Some(passed) = passed {
            return Err(format!("L-{} has a slot and L-{} has waited longer", lease.number, passed.number));
        }
        if old == Some(LeaseStatus::Waiting) {
            self.books.saw("waited in line");
        }
        Ok(())
    }

    /// No slot is held twice, and nobody waits where one is free.
    pub fn check_slots(&self) -> Result<(), String> {
        let rows = &self.disk.rows;
        let mut used: BTreeMap<EnvironmentId, i64> = BTreeMap::new();
        for lease in rows.leases.values().filter(|l| takes_slot(l)) {
            *used.entry(lease.environment_id).or_default() += 1;
        }
        for environment in rows.environments.values() {
            let Some(slots) = environment.slots else { continue };
            let used = used.get(&environment.id).copied().unwrap_or(0);
            if used > slots {
                return Err(format!("{} has {slots} slots and {used} are in use", environment.name));
            }
            let waits =
                rows.leases.values().find(|l| l.environment_id == environment.id && l.status == LeaseStatus::Waiting);
            if let Some(lease) = waits.filter(|_| used < slots) {
                return Err(format!("L-{} waits and a slot of {} is free", lease.number, environment.name));
            }
        }
        let mut places: BTreeMap<&str, i64> = BTreeMap::new();
        for lease in rows.leases.values().filter(|l| !l.status.is_terminal()) {
            let Some(place) = &lease.provider_lease_id else { continue };
            if let Some(other) = places.insert(place, lease.number) {
                return Err(format!("L-{other} and L-{} are both open on {place}", lease.number));
            }
        }
        Ok(())
    }

    /// At rest nothing is at a provider that no open row can give back.
    pub fn check_places(&self) -> Result<(), String> {
        for (place, lease) in &self.world.places {
            let known = |l: &LeaseRow| !l.status.is_terminal();
            if !self.disk.rows.leases.get(lease).is_some_and(known) {
                return Err(format!("{place} is at its provider and no lease is open for it"));
            }
        }
        Ok(())
    }
}
