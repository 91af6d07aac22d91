//! A workspace for lists and for the reaper: how large, how old, how dirty, how far from its base, whose.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wharf_model::rules::close_check::Place;
use wharf_model::{ProjectId, UnixMillis, WorkspaceId};

use super::close::Limits;

/// Which directory.
#[derive(Debug, Clone)]
pub struct StockAsk {
    /// The project that the row says it was made for.
    pub project: ProjectId,
    /// The workspace that the row says it was made for.
    pub workspace: WorkspaceId,
    /// Root of the worktree, or of the plain directory.
    pub path: PathBuf,
    /// What the work is measured against.
    pub base: Option<String>,
    /// Directories that must never be removed: the checkout of every project.
    pub never: Vec<PathBuf>,
    /// Bounds.
    pub limits: Limits,
}

/// A directory in numbers. `None` is unknown, never zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// Whether it is there and ours.
    pub place: Place,
    /// Whose mark it carries.
    pub owner: Option<WorkspaceId>,
    /// Branch that is checked out.
    pub branch: Option<String>,
    /// Commit that HEAD is at.
    pub head: Option<String>,
    /// Bytes on the disk, ignored files included.
    pub bytes: Option<u64>,
    /// Newest change of any file in it, or of its HEAD.
    pub last_change: Option<UnixMillis>,
    /// Tracked paths that differ from HEAD.
    pub changed: Option<u64>,
    /// Paths that git does not know and does not ignore.
    pub untracked: Option<u64>,
    /// Commits of HEAD that the base lacks.
    pub ahead: Option<u64>,
    /// Commits of the base that HEAD lacks.
    pub behind: Option<u64>,
    /// Whether everything of HEAD is in the base.
    pub merged: Option<bool>,
    /// What could not be looked at, in words.
    pub unknown: Vec<String>,
}

/// Takes stock of one directory. Never fails. Blocks the thread, so not for async tasks.
pub fn stock(ask: &StockAsk) -> Stock {
    Stock {
        place: Place::Unknown(format!("{} was not looked at", ask.path.display())),
        owner: None,
        branch: None,
        head: None,
        bytes: None,
        last_change: None,
        changed: None,
        untracked: None,
        ahead: None,
        behind: None,
        merged: None,
        unknown: Vec::new(),
    }
}
