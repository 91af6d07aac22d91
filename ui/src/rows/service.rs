//! One service.

use wharf_model::{ServiceId, UnixMillis};

use super::FactBlock;
use crate::glyph::Class;

/// One service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceLine {
    /// Identity.
    pub id: ServiceId,
    /// `S-` number.
    pub number: i64,
    /// Version of the row.
    pub version: i64,
    /// Name.
    pub name: String,
    /// Scope in words.
    pub scope: String,
    /// Class of the state.
    pub class: Class,
    /// Word of the state.
    pub word: String,
    /// Not stopped or failed.
    pub live: bool,
    /// Health in words.
    pub health: String,
    /// Why it is not healthy.
    pub why: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// URL.
    pub url: Option<String>,
    /// Process.
    pub pid: Option<u32>,
    /// Since when it runs.
    pub started_at: Option<UnixMillis>,
    /// Runs that use it: `R-1042`.
    pub users: Vec<String>,
    /// Stop policy in words.
    pub stop_policy: String,
    /// When it stops by itself.
    pub stops_at: Option<UnixMillis>,
    /// Wanted state: `running`, `stopped`, `manual`.
    pub desired: String,
    /// Restarts so far and allowed.
    pub restarts: (u32, u32),
    /// Name of who holds the port it wants: pid and command.
    pub stranger: Option<String>,
    /// More facts for its pane.
    pub facts: Vec<FactBlock>,
}
