//! What wharf knows of itself.

use wharf_model::UnixMillis;

use crate::glyph::Class;

/// What wharf knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostics {
    /// The orchestrator; none when nobody is.
    pub orchestrator: Option<OrchestratorLine>,
    /// The database.
    pub store: StoreLine,
    /// Requests that are not answered yet.
    pub waiting: u64,
    /// The queue: those that wait first, then the newest answered ones.
    pub requests: Vec<RequestLine>,
    /// How many there are of each kind: `runs`, 1042.
    pub counts: Vec<(String, u64)>,
    /// Program, protocol and libraries: `wharf`, `0.1.0`.
    pub versions: Vec<(String, String)>,
    /// What is not as it should be, each in one sentence; the worst first.
    pub troubles: Vec<String>,
}

/// The process that orchestrates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrchestratorLine {
    /// Process.
    pub pid: u32,
    /// Whether it is this console.
    pub is_this: bool,
    /// Epoch of its reign.
    pub epoch: i64,
    /// When its reign began.
    pub since: UnixMillis,
    /// Version of its program.
    pub version: String,
}

/// Facts of the database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreLine {
    /// Its file.
    pub path: String,
    /// Version of its schema.
    pub schema: i64,
    /// Size of the file.
    pub bytes: u64,
    /// Size of its write-ahead log.
    pub wal_bytes: u64,
    /// Files and bytes of logs, when counted.
    pub logs: Option<(u64, u64)>,
}

/// One request of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine {
    /// `Q-` number.
    pub number: i64,
    /// Kind: `run.cancel`.
    pub kind: String,
    /// Name of its target: `R-1042`; empty when it has none.
    pub target: String,
    /// Class of the state.
    pub class: Class,
    /// Word of the state: `pending`, `done`.
    pub word: String,
    /// When it was asked.
    pub created_at: UnixMillis,
    /// How long it took to an end, when it has one.
    pub took_ms: Option<i64>,
    /// Why it was refused or failed.
    pub error: Option<String>,
}
