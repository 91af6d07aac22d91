//! One workspace, and the operations that made it.

use wharf_model::{OperationId, UnixMillis, WorkspaceId};

use super::FactBlock;
use crate::glyph::Class;

/// One execution workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkspaceLine {
    /// Identity.
    pub id: WorkspaceId,
    /// `W-` number.
    pub number: i64,
    /// Version of the row.
    pub version: i64,
    /// Class of the state.
    pub class: Class,
    /// Word of the state.
    pub word: String,
    /// Not archived.
    pub live: bool,
    /// How it was made, in words: `worktree`, `shared`, `scratch`.
    pub mode: String,
    /// Issue's identifier.
    pub issue: Option<String>,
    /// Branch.
    pub branch: Option<String>,
    /// Base: `main@4c1e0f2`.
    pub base: Option<String>,
    /// Directory.
    pub path: String,
    /// Changed tracked files; none when not looked at yet.
    pub dirty: Option<u64>,
    /// Untracked files.
    pub untracked: Option<u64>,
    /// Commits before the base.
    pub ahead: Option<u64>,
    /// Commits behind it.
    pub behind: Option<u64>,
    /// Size of its directory.
    pub size_bytes: Option<u64>,
    /// When made.
    pub created_at: UnixMillis,
    /// Last used.
    pub used_at: Option<UnixMillis>,
    /// Who has it: a run's number.
    pub holder: Option<String>,
    /// The run that used it last, with its end: `R-1033 plan only`.
    pub last_run: Option<String>,
    /// Name of the environment.
    pub environment: Option<String>,
    /// More facts for its pane.
    pub facts: Vec<FactBlock>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationLine {
    /// Identity.
    pub id: OperationId,
    /// `O-` number.
    pub number: i64,
    /// Phase in words.
    pub phase: String,
    /// Class of the state.
    pub class: Class,
    /// Word of the state.
    pub word: String,
    /// Command as shown.
    pub command: String,
    /// Begin.
    pub started_at: Option<UnixMillis>,
    /// End.
    pub finished_at: Option<UnixMillis>,
    /// Exit code.
    pub exit_code: Option<i32>,
    /// Why it failed.
    pub error: Option<String>,
}
