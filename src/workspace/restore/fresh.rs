//! A snapshot as a new worktree.

use std::path::PathBuf;

use git2::{BranchType, Repository};

use super::target::Target;
use super::{Applied, FreshAsk, apply, notes, wanted};
use crate::workspace::git_run;
use crate::workspace::inspect::{self, AtPath, MarkState, RepositoryFacts};
use crate::workspace::keep_error::KeepError;
use crate::workspace::lock::WorktreeLock;
use crate::workspace::mark::{self, WORKTREE_FILE};
use crate::workspace::opening;
use crate::workspace::parent;
use crate::workspace::snapshot::{self, Snapshot, SnapshotLimits};
use crate::workspace::sparse;
use crate::workspace::trash::LOCK_WAIT;
use crate::workspace::worktree::{Git, LockReason, Start};

/// Only takes the entry of a worktree that is gone out of the way.
pub(super) fn make_room(ask: &FreshAsk) -> Result<Option<PathBuf>, KeepError> {
    let facts = facts(ask)?;
    let repo = snapshot::open(&facts.common_dir)?;
    let holder = format!("restore of snapshot {}", ask.id);
    let _lock = WorktreeLock::acquire(&facts.common_dir, LOCK_WAIT, &holder)?;
    super::missing::make_room(&repo, ask, &facts)
}

fn facts(ask: &FreshAsk) -> Result<RepositoryFacts, KeepError> {
    match inspect::inspect(&ask.repo)? {
        inspect::Place::Repository(facts) => Ok(*facts),
        inspect::Place::Plain(path) => Err(KeepError::NoRepository { path }),
    }
}

pub(super) fn into_fresh(ask: &FreshAsk, git: &Git) -> Result<Applied, KeepError> {
    let facts = facts(ask)?;
    // The project may lie in a directory of it.
    let repo = snapshot::open(&facts.common_dir)?;
    let snapshot = wanted(&repo, &ask.repo, ask.id)?;
    if snapshot.workspace != ask.mark.workspace {
        let why = format!("snapshot {} is of workspace {}", ask.id, snapshot.workspace);
        return Err(KeepError::NotOurs { path: ask.path.clone(), why });
    }
    let holder = format!("restore of snapshot {}", ask.id);
    let lock = WorktreeLock::acquire(&facts.common_dir, LOCK_WAIT, &holder)?;
    let parked = super::missing::make_room(&repo, ask, &facts)?;
    if !is_begun(ask, &facts)? {
        let taken = || super::back::taken(&ask.path);
        match inspect::at_path(&ask.path)? {
            AtPath::Free | AtPath::EmptyDirectory => {}
            _ => return Err(taken()),
        }
        if let Some(dir) = ask.path.parent() {
            parent::prepare(dir, facts.root().unwrap_or(&facts.common_dir))?;
        }
        let (start, new_branch) = start(&repo, &facts, &snapshot)?;
        let reason = LockReason { workspace: ask.mark.workspace, new_branch };
        git_run::run(&git.add_without_files(&ask.path, reason, &start))?;
    }
    let made = snapshot::open(&ask.path)?;
    drop(lock);
    let id = opening::id(&snapshot.commit).map_err(KeepError::git("read the snapshot", &ask.path))?;
    let commit = made.find_commit(id).map_err(KeepError::git("read the snapshot", &ask.path))?;
    // One of an earlier version does not say.
    if let Ok(kept) = snapshot::part_of(&made, &commit, snapshot::part::SPARSE) {
        sparse::tell(&made, &ask.path, &kept, git)?;
    }
    let target = Target::read(&made, &commit)?;
    let done = apply::apply(&made, &ask.path, &target, None, SnapshotLimits::default())?;
    let mut marked = ask.mark.clone();
    if marked.branch.is_none() {
        marked.branch = crate::workspace::close::repository::head(&made).ok().and_then(|(_, branch)| branch);
    }
    if let Some(reason) = entry(ask, &facts)?.and_then(|e| LockReason::of(&e)) {
        marked.created_branch |= reason.new_branch;
    }
    mark::write(&made.path().join(WORKTREE_FILE), &marked)?;
    let mut notes = notes(&made, &snapshot)?;
    notes.extend(parked.map(|place| {
        let what = "git's old entry of it went out of its list, and is kept with what only it reached in";
        format!("{what} {} until its time in the trash is over", place.display())
    }));
    Ok(Applied { path: ask.path.clone(), before: None, snapshot, written: done.written, removed: done.removed, notes })
}

fn entry(ask: &FreshAsk, facts: &RepositoryFacts) -> Result<Option<inspect::WorktreeEntry>, KeepError> {
    let path = crate::workspace::containment::resolve(&ask.path)?;
    Ok(inspect::worktrees(facts)?.into_iter().find(|w| w.path == path && !w.missing))
}

/// Whether an earlier attempt made the worktree.
fn is_begun(ask: &FreshAsk, facts: &RepositoryFacts) -> Result<bool, KeepError> {
    let Some(entry) = entry(ask, facts)? else { return Ok(false) };
    let marked = matches!(&entry.mark, MarkState::Present(mark) if mark.workspace == ask.mark.workspace);
    Ok(marked || LockReason::of(&entry).is_some_and(|reason| reason.workspace == ask.mark.workspace))
}

/// What the worktree starts with, and whether its branch is made with it.
fn start(repo: &Repository, facts: &RepositoryFacts, snapshot: &Snapshot) -> Result<(Start, bool), KeepError> {
    let free = |branch: &str| -> Result<bool, KeepError> {
        Ok(!inspect::worktrees(facts)?.iter().any(|w| w.branch.as_deref() == Some(branch)))
    };
    Ok(match (&snapshot.branch, &snapshot.head) {
        (Some(branch), Some(head)) => match repo.find_branch(branch, BranchType::Local) {
            Ok(_) if free(branch)? => (Start::Branch(branch.clone()), false),
            // It is checked out elsewhere.
            Ok(_) => (Start::Detached(head.clone()), false),
            Err(_) => (Start::NewBranch { branch: branch.clone(), commit: head.clone() }, true),
        },
        (None, Some(head)) => (Start::Detached(head.clone()), false),
        (branch, None) => (Start::Unborn(branch.clone().unwrap_or_else(|| "main".to_owned())), true),
    })
}
