//! A worktree whose directory is gone while git still lists it: its entry makes room for the one that comes back.

use git2::{Oid, Repository};

use super::FreshAsk;
use crate::workspace::inspect::{self, MarkState, RepositoryFacts};
use crate::workspace::keep_error::KeepError;
use crate::workspace::worktree::{Git, LockReason};
use crate::workspace::{containment, git_run};

/// Where a commit is held that only such an entry reached.
const REFS: &str = "refs/wharf/missing/";

/// Drops the entry of our own worktree at this path when its directory is gone. What its HEAD alone reached is held
/// by a ref.
///
/// # Errors
/// What git reports.
pub(super) fn make_room(
    repo: &Repository,
    ask: &FreshAsk,
    facts: &RepositoryFacts,
    git: &Git,
) -> Result<(), KeepError> {
    let path = containment::resolve(&ask.path)?;
    let Some(entry) = inspect::worktrees(facts)?.into_iter().find(|w| w.path == path && w.missing) else {
        return Ok(());
    };
    let marked = matches!(&entry.mark, MarkState::Present(mark) if mark.workspace == ask.mark.workspace);
    if !marked && LockReason::of(&entry).is_none_or(|reason| reason.workspace != ask.mark.workspace) {
        return Ok(());
    }
    let head = std::fs::read_to_string(entry.private_dir.join("HEAD")).unwrap_or_default();
    if let Ok(commit) = Oid::from_str(head.trim())
        && repo.find_commit(commit).is_ok()
    {
        let name = format!("{REFS}{}", ask.id);
        repo.reference(&name, commit, true, "held: its worktree is gone").map_err(KeepError::git("hold", &path))?;
    }
    git_run::run(&git.remove(&path, true))
}
