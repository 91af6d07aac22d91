//! One lease.

use wharf_model::{LeaseId, LeasePolicy, LeaseStatus, RunId, UnixMillis};

use super::FactBlock;
use crate::glyph::Class;

/// One lease.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseLine {
    /// Identity.
    pub id: LeaseId,
    /// `L-` number.
    pub number: i64,
    /// Version of the row.
    pub version: i64,
    /// Class of the state.
    pub class: Class,
    /// Word of the state.
    pub word: String,
    /// Not in a terminal state.
    pub live: bool,
    /// Name of the environment.
    pub environment: String,
    /// Driver.
    pub driver: String,
    /// Policy in words: `reuse by workspace`.
    pub policy: String,
    /// Who holds it: `R-1042 fixer SHOP-17`.
    pub holder: Option<String>,
    /// `live`, `gone`, `unknown`.
    pub holder_state: Option<String>,
    /// What the holder's state was judged by.
    pub holder_evidence: Option<String>,
    /// The run that holds it.
    pub run: Option<RunId>,
    /// The workspace realised under it: `W-9 SHOP-17-fix-flaky-checkout`.
    pub workspace: Option<String>,
    /// Services that run under it: `S-14 db`.
    pub services: Vec<String>,
    /// When granted.
    pub acquired_at: Option<UnixMillis>,
    /// Last used.
    pub used_at: Option<UnixMillis>,
    /// When it expires.
    pub expires_at: Option<UnixMillis>,
    /// When released.
    pub released_at: Option<UnixMillis>,
    /// Clean-up in words, when there is one.
    pub cleanup: Option<String>,
    /// When clean-up is tried next.
    pub next_try_at: Option<UnixMillis>,
    /// Fence.
    pub fence: Option<i64>,
    /// More facts for its pane.
    pub facts: Vec<FactBlock>,
}

/// `reuse_by_environment` as people say it.
pub const fn policy_words(policy: LeasePolicy) -> &'static str {
    match policy {
        LeasePolicy::Ephemeral => "ephemeral",
        LeasePolicy::ReuseByEnvironment => "reuse by environment",
        LeasePolicy::ReuseByExecutionWorkspace => "reuse by workspace",
        LeasePolicy::RetainOnFailure => "keep on failure",
    }
}

/// Class and word of a lease's state.
pub const fn lease_state(status: LeaseStatus) -> (Class, &'static str) {
    match status {
        LeaseStatus::Waiting => (Class::Waits, "waiting"),
        LeaseStatus::Acquiring => (Class::Waits, "acquiring"),
        LeaseStatus::Active => (Class::Alive, "active"),
        LeaseStatus::Releasing => (Class::Ending, "releasing"),
        LeaseStatus::Retained => (Class::Clock, "retained"),
        LeaseStatus::PendingCleanup => (Class::Ending, "cleaning"),
        LeaseStatus::Released => (Class::Good, "released"),
        LeaseStatus::Expired => (Class::Chosen, "expired"),
        LeaseStatus::Failed => (Class::Bad, "failed"),
    }
}
