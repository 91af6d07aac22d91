//! Repositories inside a workspace: what would be lost in each.

use std::path::Path;

use git2::{Oid, Status, StatusOptions};

use super::commits::{on_remotes, only_in, tips};
use crate::workspace::opening;

/// Untracked or changed paths that are counted in one.
const PATHS_MAX: usize = 100_000;

/// What a repository has that is nowhere else.
#[derive(Debug, Default)]
pub(super) struct Alone {
    changed: usize,
    untracked: usize,
    commits: u64,
    /// No remote at all: then every commit is only here.
    no_remote: bool,
    stashes: usize,
    /// Commit that HEAD is at.
    pub head: Option<Oid>,
    /// Repository that it is a worktree of.
    worktree_of: Option<String>,
    /// The bound of commits was reached.
    at_least: bool,
}

impl Alone {
    /// Whether there is anything to lose.
    pub const fn is_none(&self) -> bool {
        self.changed == 0 && self.untracked == 0 && self.commits == 0 && self.stashes == 0
    }

    /// In words, without its name.
    pub fn text(&self) -> String {
        let mut parts = Vec::new();
        if let Some(of) = &self.worktree_of {
            parts.push(format!("a worktree of {of}"));
        }
        if self.is_none() {
            parts.push("nothing that is only here".to_owned());
        }
        let some = |n: u64, what: &str| (n > 0).then(|| format!("{n} {what}"));
        let least = if self.at_least { "at least " } else { "" };
        let place = if self.no_remote { "and no remote" } else { "on no remote" };
        let plural = |n: u64, one: &'static str, many: &'static str| if n == 1 { one } else { many };
        parts.extend(some(self.changed as u64, "changed"));
        parts.extend(some(self.untracked as u64, "untracked"));
        let commits = plural(self.commits, "commit", "commits");
        parts.extend((self.commits > 0).then(|| format!("{least}{} {commits} {place}", self.commits)));
        parts.extend(some(self.stashes as u64, plural(self.stashes as u64, "stash", "stashes")));
        parts.join(", ")
    }
}

/// Looks into one. An error is what git says.
pub(super) fn look(path: &Path, commits_max: usize) -> Result<Alone, String> {
    let said = |e: git2::Error| opening::said(&e);
    let mut repo = opening::open_here(path).map_err(said)?;
    let mut alone = Alone::default();
    if repo.is_worktree() {
        alone.worktree_of = Some(repo.commondir().display().to_string().trim_end_matches('/').to_owned());
    }
    alone.head = repo.head().and_then(|h| h.peel_to_commit()).map(|c| c.id()).ok();
    if repo.workdir().is_some() {
        // An index that libgit2 cannot read is read from a copy from here on.
        opening::index(&repo).map_err(|e| e.to_string())?;
        let mut options = StatusOptions::new();
        options.include_untracked(true).recurse_untracked_dirs(false).include_ignored(false);
        options.exclude_submodules(true).update_index(false);
        for entry in repo.statuses(Some(&mut options)).map_err(said)?.iter().take(PATHS_MAX) {
            if entry.status() == Status::WT_NEW { alone.untracked += 1 } else { alone.changed += 1 }
        }
    }
    // A worktree's branches and stashes stay in the repository that it belongs to.
    let remotes = on_remotes(&repo).map_err(said)?;
    alone.no_remote = remotes.is_none();
    let tips = if alone.worktree_of.is_some() && !repo.head_detached().map_err(said)? {
        Vec::new()
    } else if alone.worktree_of.is_some() {
        alone.head.into_iter().collect()
    } else {
        tips(&repo).map_err(said)?
    };
    if !tips.is_empty() {
        let only = only_in(&repo, &tips, &remotes.unwrap_or_default(), commits_max).map_err(said)?;
        alone.commits = only.listed.count;
        alone.at_least = !only.complete;
    }
    if alone.worktree_of.is_none() && repo.find_reference("refs/stash").is_ok() {
        let mut count = 0;
        repo.stash_foreach(|_, _, _| {
            count += 1;
            true
        })
        .map_err(said)?;
        alone.stashes = count.max(1);
    }
    Ok(alone)
}
