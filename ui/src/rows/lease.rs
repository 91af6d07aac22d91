//! One lease.

use wharf_model::{LeaseId, RunId, UnixMillis};

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
