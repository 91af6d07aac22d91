//! One service: its line, what is known beside it, and rows of the port board.

use wharf_model::rules::port_board::PortRow;
use wharf_model::rules::release::AfterLastUser;
use wharf_model::rules::service_why::{Case, Why};
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
    /// What it comes to.
    pub case: Case,
    /// Why it is not healthy, in one sentence.
    pub why: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// URL.
    pub url: Option<String>,
    /// Directory that its command works in.
    pub cwd: String,
    /// Process.
    pub pid: Option<u32>,
    /// Start number of that process.
    pub generation: u32,
    /// What its process tree takes, as last measured.
    pub figures: Option<ServiceFigures>,
    /// How long it may take to become ready, milliseconds.
    pub ready_ms: Option<i64>,
    /// Since when it runs.
    pub started_at: Option<UnixMillis>,
    /// Runs that use it: `R-1042`.
    pub users: Vec<String>,
    /// Stop policy in words.
    pub stop_policy: String,
    /// What follows when its last user leaves.
    pub ends: AfterLastUser,
    /// When it stops by itself.
    pub stops_at: Option<UnixMillis>,
    /// When it is started again, between two starts.
    pub retries_at: Option<UnixMillis>,
    /// When it ended.
    pub stopped_at: Option<UnixMillis>,
    /// Wanted state: `running`, `stopped`, `manual`.
    pub desired: String,
    /// Who wants it so, when it was not the config.
    pub desired_by: Option<String>,
    /// Services that it waits for: `S-3 db`.
    pub waits_for: Vec<String>,
    /// Services that may have a process and need it.
    pub dependents: Vec<String>,
    /// Restarts so far and allowed.
    pub restarts: (u32, u32),
    /// Name of who holds the port it wants: pid and command.
    pub stranger: Option<String>,
    /// More facts for its pane.
    pub facts: Vec<FactBlock>,
}

/// What a service's process tree takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceFigures {
    /// Thousandths of a core; none before the second look.
    pub cpu_permille: Option<u32>,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Living processes.
    pub processes: u32,
}

/// What is known of a service beside its line.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceDetail {
    /// Why it is as it is.
    pub why: Why,
    /// Runs that use it or used it, those that use it first, then the newest.
    pub runs: Vec<ServiceRun>,
    /// File and line at which it is configured.
    pub written: Option<(String, u64)>,
}

/// A run that uses a service, or has used it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRun {
    /// `R-1042 fixer SHOP-17`.
    pub name: String,
    /// Class of its state.
    pub class: Class,
    /// Word of its state.
    pub word: String,
    /// When it began to use the service.
    pub since: UnixMillis,
    /// When it left; none while it uses it.
    pub until: Option<UnixMillis>,
    /// Whether the service ran before.
    pub reused: bool,
}

/// The port board.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PortBoard {
    /// Rows, those of ours first.
    pub rows: Vec<PortRow>,
}
