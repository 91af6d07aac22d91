//! Counters of the header, and a change of the config that waits.

use crate::format;

/// Counters of the header, and what else every screen knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// Key or name of the project shown.
    pub project: String,
    /// Runs that need a person.
    pub needs_person: u64,
    /// Runs that run.
    pub running: u64,
    /// Runs that wait.
    pub queued: u64,
    /// Leases held.
    pub leases: u64,
    /// Services up.
    pub services: u64,
    /// Live runs for the quit dialog: `R-1040 (needs you)`, at most a dozen.
    pub live_runs: Vec<String>,
    /// Services that are up, for the quit dialog: `S-12 web`.
    pub live_services: Vec<String>,
    /// Named when the orchestrator is not this console.
    pub orchestrator: Option<String>,
    /// A change of the project's config that waits to be accepted.
    pub pending: Option<PendingConfig>,
}

/// A change of a project's config that waits to be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PendingConfig {
    /// Id of the project in its stored form.
    pub project: String,
    /// What differs from what is in force, among the values that need acceptance.
    pub changes: Vec<ConfigChange>,
}

impl PendingConfig {
    /// How much differs: `2 commands`, `1 value`.
    pub fn count(&self) -> String {
        let commands = self.changes.iter().all(|c| c.place.rsplit('.').next() == Some("command"));
        format::plural(self.changes.len() as u64, if commands { "command" } else { "value" })
    }
}

/// A value of a config that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// Where it stands: `agent.fixer.config.command`.
    pub place: String,
    /// What is in force; none where there was nothing.
    pub old: Option<String>,
    /// What the file says; none where it says nothing any more.
    pub new: Option<String>,
}

impl ConfigChange {
    /// Both values in words.
    pub fn values(&self) -> (&str, &str) {
        (self.old.as_deref().unwrap_or("nothing"), self.new.as_deref().unwrap_or("nothing"))
    }
}
