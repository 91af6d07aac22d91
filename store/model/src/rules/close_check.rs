//! The close check: what stands in the way of removing a workspace, and what removing it would do.
//!
//! [`Found`] is what was read from the disk, beside the decision; [`Around`] is what the store knows. Both are
//! judged by one pure rule, for the preview and for the acceptance alike.

mod judge;
mod made_again;
mod rows;

use serde::{Deserialize, Serialize};

pub use judge::{
    AskedBy, CloseCheck, CloseEffect, CloseItem, ClosePlan, CloseVerb, CloseVerdict, Level, WayBack, judge,
};
pub use made_again::is_made_again;
pub use rows::{CloseCommand, CloseRows, is_of, is_shared, root};

/// Most names kept of one list: the rest is a count.
pub const NAMES_MAX: usize = 20;

/// Things of one kind: how many, and the first of them by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// How many there are.
    pub count: u64,
    /// The first of them, in a fixed order; at most [`NAMES_MAX`].
    pub names: Vec<String>,
}

impl Listed {
    /// Of all names, in their order.
    pub fn of(names: impl IntoIterator<Item = String>) -> Self {
        let mut listed = Self::default();
        for name in names {
            listed.add(name);
        }
        listed
    }

    /// One more.
    pub fn add(&mut self, name: String) {
        self.count += 1;
        if self.names.len() < NAMES_MAX {
            self.names.push(name);
        }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Whether the directory may be touched at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "why")]
pub enum Place {
    /// It is there, carries our mark, and is neither the project's checkout nor contains it.
    Ours,
    /// It is there, and it is not ours to remove: the reason.
    NotOurs(String),
    /// It is certainly not there.
    Gone,
    /// It could not be looked at: the reason.
    Unknown(String),
}

/// What was found in a workspace's directory and in its repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The directory itself.
    pub place: Place,
    /// Commit that HEAD is at.
    pub head: Option<String>,
    /// Branch that is checked out; none when HEAD is detached.
    pub branch: Option<String>,
    /// What git is in the middle of: `rebase`, `merge`, `cherry-pick`, `revert`, `bisect`, `am`.
    pub under_way: Option<String>,
    /// Tracked paths that differ from HEAD, in index or work tree.
    pub changed: Listed,
    /// Paths with conflicts.
    pub conflicted: Listed,
    /// Paths that git does not know and does not ignore.
    pub untracked: Listed,
    /// Paths that git ignores; a directory of which everything is ignored counts once.
    pub ignored: Listed,
    /// Those of them that no tool plainly makes again: see [`is_made_again`].
    #[serde(default)]
    pub ignored_own: Listed,
    /// Stashes made on this branch.
    pub stashed: Listed,
    /// Commits of HEAD that no remote branch has.
    pub unpushed: Listed,
    /// Commits of HEAD that the base lacks; none known when the base is not there.
    pub unmerged: Option<Listed>,
    /// Repositories inside that are no submodules, each with what would be lost in it.
    pub nested: Listed,
    /// Submodules with changes, or commits of their own that no remote has.
    pub submodules: Listed,
    /// Links inside that lead out of the tree. They are kept as links; what they lead to is never touched.
    pub links_out: Listed,
    /// Processes that have a file open for writing or their directory inside: `4102 vim src/main.rs`.
    pub open: Listed,
    /// Bytes of the directory; none when counting them took too long.
    pub bytes: Option<u64>,
    /// Whether everything of the branch is in the base, so that git would delete it.
    pub branch_merged: Option<bool>,
    /// What could not be looked at, in words. A look that fails is no proof of emptiness.
    pub unknown: Vec<String>,
    /// Changes whenever something that was judged does.
    pub fingerprint: String,
}

/// What the store knows around a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Around {
    /// `W-7`.
    pub number: String,
    /// Whether several issues share it.
    pub shared: bool,
    /// Issues that are linked to it and not closed: `SHOP-16, in progress`.
    pub open_issues: Vec<String>,
    /// Runs that work in it: `R-1042`.
    pub live_runs: Vec<String>,
    /// Services that run for it or in it: `S-3 web`.
    pub services: Vec<String>,
    /// Operations on it that are under way: `O-12 provision`.
    pub operations: Vec<String>,
    /// Leases whose place holds what was not brought back: `L-88`.
    pub leases: Vec<String>,
}
