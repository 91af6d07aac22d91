//! A worktree whose directory is gone while git still lists it: its entry makes room for the one that comes back.

use git2::Repository;
use uuid::Uuid;

use super::FreshAsk;
use crate::workspace::inspect::{self, MarkState, RepositoryFacts};
use crate::workspace::keep_error::KeepError;
use crate::workspace::trash::held;
use crate::workspace::worktree::{Git, LockReason};
use crate::workspace::{containment, git_run};

/// Drops the entry of our own worktree at this path when its directory is gone. What it alone reached
/// (HEAD, its log, what was staged) is held by a ref, which is named to people.
///
/// # Errors
/// What git reports.
pub(super) fn make_room(
    repo: &Repository,
    ask: &FreshAsk,
    facts: &RepositoryFacts,
    git: &Git,
) -> Result<Option<String>, KeepError> {
    let path = containment::resolve(&ask.path)?;
    let Some(entry) = inspect::worktrees(facts)?.into_iter().find(|w| w.path == path && w.missing) else {
        return Ok(None);
    };
    let marked = matches!(&entry.mark, MarkState::Present(mark) if mark.workspace == ask.mark.workspace);
    if !marked && LockReason::of(&entry).is_none_or(|reason| reason.workspace != ask.mark.workspace) {
        return Ok(None);
    }
    let held = held::hold(repo, &entry.private_dir, Uuid::now_v7(), ask.mark.created_at)?;
    git_run::run(&git.remove(&path, true))?;
    Ok(Some(format!("git's old entry of {} went; what only it reached is held by {held}", path.display())))
}
