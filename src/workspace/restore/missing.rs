//! A worktree whose directory is gone while git still lists it: its entry makes room for the one that comes back.

use std::fs;

use git2::Repository;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use uuid::Uuid;

use super::{FreshAsk, GoneAsk};
use crate::workspace::inspect::{self, MarkState, RepositoryFacts};
use crate::workspace::keep_error::KeepError;
use crate::workspace::lock::{WorktreeLock, our_dir};
use crate::workspace::snapshot::objects::sync_dir;
use crate::workspace::trash::{LOCK_WAIT, held};
use crate::workspace::worktree::{Git, LockReason};
use crate::workspace::{WorkspaceError, containment, git_run, opening, presence};

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
    if entry.unknown {
        return Err(KeepError::Busy { why: presence::untold(&path), path });
    }
    let held = held::hold(repo, &entry.private_dir, Uuid::now_v7(), ask.mark.created_at)?;
    git_run::run(&git.remove(&path, true))?;
    Ok(Some(format!("git's old entry of {} went; what only it reached is held by {held}", path.display())))
}

/// Takes the entry of a worktree that is gone for good out of git's list. All of it is kept beside the entries of
/// what is in the trash, with everything that only it reached. False when there was none of ours.
///
/// # Errors
/// What git or the disk reports; a directory or a repository that may lie on a disk that is not mounted.
pub(super) fn forget(ask: &GoneAsk) -> Result<bool, KeepError> {
    let facts = match inspect::inspect(&ask.repo) {
        Ok(inspect::Place::Repository(facts)) => *facts,
        Ok(inspect::Place::Plain(_)) => return Ok(false),
        // What lists it is gone as well.
        Err(WorkspaceError::Missing { path }) => match presence::is_there(&path, None) {
            Some(false) => return Ok(false),
            _ => return Err(KeepError::Busy { why: presence::untold(&path), path }),
        },
        Err(e) => return Err(e.into()),
    };
    let _lock =
        WorktreeLock::acquire(&facts.common_dir, LOCK_WAIT, &format!("removal of workspace {}", ask.workspace))?;
    let path = containment::resolve(&ask.path)?;
    let Some(entry) = inspect::worktrees(&facts)?.into_iter().find(|w| w.path == path && w.missing && !w.main) else {
        return Ok(false);
    };
    let ours = match &entry.mark {
        MarkState::Present(mark) => mark.workspace == ask.workspace && mark.project == ask.project,
        MarkState::Absent => LockReason::of(&entry).is_some_and(|reason| reason.workspace == ask.workspace),
        MarkState::Damaged(_) => false,
    };
    if !ours {
        return Ok(false);
    }
    if entry.unknown {
        return Err(KeepError::Busy { why: presence::untold(&path), path });
    }
    let repo = opening::open(&facts.common_dir).map_err(KeepError::git("open", &facts.common_dir))?;
    held::hold(&repo, &entry.private_dir, ask.id, ask.at)?;
    let dir = our_dir(&facts.common_dir)?.join("trash");
    fs::create_dir_all(&dir).map_err(KeepError::io("make", &dir))?;
    // Whole, since the repositories of its submodules lie in it.
    renameat_with(CWD, &entry.private_dir, CWD, dir.join(ask.id.to_string()), RenameFlags::NOREPLACE)
        .map_err(|e| KeepError::io("move the worktree's entry", &entry.private_dir)(e.into()))?;
    sync_dir(&dir)?;
    sync_dir(&facts.common_dir.join("worktrees"))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use wharf_model::{UnixMillis, WorkspaceId};

    use super::*;
    use crate::workspace::scratch::Scratch;

    fn ask(s: &Scratch, path: &std::path::Path) -> GoneAsk {
        GoneAsk {
            id: Uuid::now_v7(),
            project: s.project,
            workspace: s.workspace,
            path: path.to_owned(),
            repo: s.repo.clone(),
            at: UnixMillis(1),
        }
    }

    #[test]
    fn the_branch_of_a_worktree_that_is_gone_is_free_again_and_what_it_reached_is_kept() {
        let mut s = Scratch::new();
        let tree = s.realise(&s.wanted("work")).path;
        // Only the log of the worktree reaches this one.
        s.git(&tree, &["commit", "-q", "--allow-empty", "-m", "dropped"]);
        let dropped = s.git(&tree, &["rev-parse", "HEAD"]);
        s.git(&tree, &["reset", "-q", "--hard", "HEAD~1"]);
        fs::remove_dir_all(&tree).unwrap();
        // Another one's is left alone.
        let (own, stranger) = (s.workspace, WorkspaceId(Uuid::now_v7()));
        assert!(!forget(&GoneAsk { workspace: stranger, ..ask(&s, &tree) }).unwrap());
        let gone = ask(&s, &tree);
        assert!(forget(&gone).unwrap());
        assert!(!forget(&gone).unwrap(), "it can be repeated");
        assert!(!s.git(&s.repo, &["worktree", "list"]).contains("work"));
        fs::remove_dir_all(s.repo.join(".git/logs")).unwrap();
        s.git(&s.repo, &["gc", "-q", "--prune=now"]);
        s.git(&s.repo, &["cat-file", "-e", &dropped]);
        // Another workspace goes on with the branch.
        s.workspace = stranger;
        assert_ne!(own, s.workspace);
        assert_eq!(s.realise(&s.wanted("work")).path, tree);
    }

    #[test]
    fn the_worktree_of_a_disk_that_is_not_mounted_is_not_gone() {
        let s = Scratch::new();
        let disk = s.root.join("disk");
        let disk_text = disk.display().to_string();
        let wanted = crate::workspace::plan::Wanted { parent: Some(&disk_text), ..s.wanted("work") };
        let tree = s.realise(&wanted).path;
        fs::rename(&disk, s.root.join("unplugged")).unwrap();
        for mounted_on in [false, true] {
            if mounted_on {
                fs::create_dir(&disk).unwrap();
            }
            let why = forget(&ask(&s, &tree)).unwrap_err().to_string();
            assert!(why.contains("may not be mounted"), "{why}");
            let why = s.refusal(&wanted);
            assert!(why.contains("may not be mounted"), "{why}");
        }
        fs::remove_dir(&disk).unwrap();
        fs::rename(s.root.join("unplugged"), &disk).unwrap();
        assert_eq!(s.realise(&wanted).path, tree);
    }
}
