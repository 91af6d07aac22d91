//! One workspace, the operations that made it, and what is kept of it.

use wharf_model::rules::close_check::CloseVerdict;
use wharf_model::{OperationId, SnapshotId, UnixMillis, WorkspaceId};

use super::{Fact, FactBlock, Preview};
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
    /// Commits that no remote branch has.
    pub unpushed: Option<u64>,
    /// Everything of its branch is in the base.
    pub merged: Option<bool>,
    /// Size of its directory; for an archived one, of what lies in the trash.
    pub size_bytes: Option<u64>,
    /// wharf made the directory, so that wharf may remove it.
    pub ours: bool,
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

/// What is known of a workspace beside its line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkspaceDetail {
    /// Why it is as it is: the rule, and what was seen.
    pub why: Vec<Fact>,
    /// Its issues: `SHOP-16 Search finds no synonyms, in progress`.
    pub issues: Vec<String>,
    /// The last runs in it, the newest first: `R-1033 ✓ plan only`.
    pub runs: Vec<String>,
    /// Services that run for it or in it: `S-3 web`.
    pub services: Vec<String>,
}

/// The state of a workspace at a moment, kept apart from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotLine {
    /// Identity.
    pub id: SnapshotId,
    /// Its number within the workspace: 2 in `W-7.2`.
    pub ordinal: i64,
    /// When made.
    pub at: UnixMillis,
    /// Files and links in it.
    pub files: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Why it was made: `before the lost run was cleared`.
    pub reason: String,
    /// The run it was made for.
    pub run: Option<String>,
    /// Branch that was checked out.
    pub branch: Option<String>,
    /// Kept until then; none for ever.
    pub until: Option<UnixMillis>,
    /// When what it kept was removed.
    pub removed_at: Option<UnixMillis>,
    /// When the workspace was last brought back to it.
    pub restored_at: Option<UnixMillis>,
}

/// The class of a verdict.
pub const fn close_class(verdict: CloseVerdict) -> Class {
    match verdict {
        CloseVerdict::Clean => Class::Good,
        CloseVerdict::Warnings => Class::NeedsPerson,
        CloseVerdict::Blocked => Class::Bad,
    }
}

/// One thing that the close check looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseItem {
    /// [`Class::Good`], [`Class::NeedsPerson`] or [`Class::Bad`].
    pub class: Class,
    /// With its count: `3 changed files`.
    pub what: String,
    /// The first of them by name: `src/search/synonyms.rs, and 2 more`.
    pub names: String,
    /// What blocks, to go there: `R-1042`.
    pub goes: Option<String>,
}

/// The close check of a workspace, and what archiving it would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseCheck {
    /// Altogether.
    pub verdict: CloseVerdict,
    /// One by one.
    pub items: Vec<CloseItem>,
    /// What would happen; refused when the verdict is [`CloseVerdict::Blocked`].
    pub preview: Preview,
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
    /// The job that it runs, while it runs.
    pub running_job: Option<String>,
    /// Who wants it stopped, while it is not.
    pub stopping: Option<String>,
    /// Version of the row.
    pub version: i64,
}
impl OperationLine {
    /// What it did: its command where that says it, else its phase as well.
    pub fn words(&self) -> String {
        let says = self.command.starts_with(&self.phase) || self.command.starts_with("git ");
        if says { self.command.clone() } else { format!("{} {}", self.phase, self.command).trim_end().to_owned() }
    }
}
