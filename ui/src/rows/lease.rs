//! One lease.

use wharf_model::{LeaseId, LeasePolicy, LeaseStatus, RunId, UnixMillis};

use super::{ActivityLine, FactBlock};
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
    /// `E-` number of the environment.
    pub environment_number: Option<i64>,
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
    /// When it expires, or until when it is kept.
    pub expires_at: Option<UnixMillis>,
    /// What it waits for, in words: its place in a line.
    pub waits: Option<String>,
    /// Its place among live ones: those that are held come before those that are kept or cleaned up.
    pub rank: u8,
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

/// Everything known of a lease beside its line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LeaseDetail {
    /// Its entries in the audit trail, the oldest first.
    pub history: Vec<ActivityLine>,
    /// How its workspace was realised: what was asked, what came of it.
    pub realisation: Vec<FactBlock>,
    /// Tries to give it back, with what was said.
    pub cleanup: Vec<FactBlock>,
    /// Who waits for a slot of its environment, in order.
    pub waiting: Vec<WaitingLine>,
    /// How full the environment is: `3 of 3 used`.
    pub slots: String,
}

/// Somebody who waits for a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingLine {
    /// From 1.
    pub position: i64,
    /// `R-1045 docs SHOP-15`, else the lease's own number.
    pub who: String,
    /// Since when.
    pub since: UnixMillis,
    /// What else is to be said.
    pub remark: String,
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
