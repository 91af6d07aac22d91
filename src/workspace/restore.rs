//! The ways back: a directory out of the trash, a snapshot into a workspace, a snapshot into a new worktree.

use std::path::PathBuf;

use wharf_model::{ProjectId, SnapshotId, UnixMillis, WorkspaceId};

use super::keep_error::KeepError;
use super::mark::Mark;
use super::snapshot::{Snapshot, SnapshotLimits};
use super::trash::Record;
use super::worktree::Git;

/// What to bring back out of the trash.
#[derive(Debug, Clone)]
pub struct BringBack {
    /// `<parent>/.trash/<uuid>`: a row's `trash_path`.
    pub trash_path: PathBuf,
    /// The project whose it must be.
    pub project: ProjectId,
    /// The workspace whose it must be.
    pub workspace: WorkspaceId,
    /// Where to; none for where it was.
    pub to: Option<PathBuf>,
}

/// A directory that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Where it is.
    pub path: PathBuf,
    /// Branch that is checked out; none when HEAD is detached or there is no repository.
    pub branch: Option<String>,
    /// Commit that HEAD is at.
    pub head: Option<String>,
    /// What is not as it was, in sentences: a branch that moved meanwhile, or was made anew.
    pub notes: Vec<String>,
    /// Its record in the trash, which is gone now.
    pub record: Record,
}

/// Brings a directory back, with its worktree entry, branch, mark and lock. Can be repeated after a crash. Takes the
/// repository's worktree lock. Blocks the thread, so not for async tasks.
///
/// # Errors
/// A path that is taken (with one that is free), a damaged record, a branch that is checked out elsewhere: the
/// directory then stays in the trash.
pub fn bring_back(ask: &BringBack) -> Result<Returned, KeepError> {
    Err(KeepError::Gone { path: ask.trash_path.clone() })
}

/// A snapshot that is to be put into a workspace which is there.
#[derive(Debug, Clone)]
pub struct IntoAsk {
    /// The snapshot.
    pub id: SnapshotId,
    /// Id of the snapshot that is made of what is there before.
    pub before: SnapshotId,
    /// The project that the directory was made for.
    pub project: ProjectId,
    /// The workspace that the directory was made for.
    pub workspace: WorkspaceId,
    /// Root of its checkout.
    pub path: PathBuf,
    /// Now.
    pub at: UnixMillis,
    /// Bounds of the snapshot that is made before.
    pub limits: SnapshotLimits,
}

/// What a restored snapshot did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The checkout's root.
    pub path: PathBuf,
    /// What was there before; none for a new worktree.
    pub before: Option<Snapshot>,
    /// The snapshot that was restored.
    pub snapshot: Snapshot,
    /// Files and links that were written.
    pub written: u64,
    /// Files and links that were removed; they are in `before`.
    pub removed: u64,
    /// What is not as it was, in sentences.
    pub notes: Vec<String>,
}

/// Makes index and work tree what they were; ignored files, nested repositories and HEAD stay as they are. What is
/// there is kept as a snapshot first. Can be repeated after a crash. Blocks the thread, so not for async tasks.
///
/// # Errors
/// Something in the way that no snapshot holds, no such snapshot, not ours, something under way.
pub fn into_workspace(ask: &IntoAsk) -> Result<Applied, KeepError> {
    Err(KeepError::Gone { path: ask.path.clone() })
}

/// A snapshot that is to become a worktree again.
#[derive(Debug, Clone)]
pub struct FreshAsk {
    /// The snapshot.
    pub id: SnapshotId,
    /// Where the worktree is to be; must be free.
    pub path: PathBuf,
    /// Any checkout of the repository: the project's.
    pub repo: PathBuf,
    /// The mark it gets.
    pub mark: Mark,
}

/// Makes a locked and marked worktree of a snapshot: on its branch, which is made at the snapshot's head when it is
/// gone, else detached at that head. Can be repeated after a crash. Takes the repository's worktree lock. Blocks
/// the thread, so not for async tasks.
///
/// # Errors
/// A path that is taken, no such snapshot, what git reports.
pub fn into_fresh(ask: &FreshAsk, git: &Git) -> Result<Applied, KeepError> {
    let _ = git;
    Err(KeepError::Gone { path: ask.path.clone() })
}
