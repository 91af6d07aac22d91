//! A worktree whose directory is gone while git still lists it: its entry makes room for the one that comes back.

use std::fs;
use std::path::{Path, PathBuf};

use git2::Repository;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use uuid::Uuid;
use wharf_model::UnixMillis;

use super::{FreshAsk, GoneAsk};
use crate::process::kill_point::kill_point;
use crate::workspace::inspect::{self, MarkState, RepositoryFacts, WorktreeEntry};
use crate::workspace::keep_error::KeepError;
use crate::workspace::lock::{OUR_DIR, WorktreeLock, our_dir};
use crate::workspace::snapshot::objects::sync_dir;
use crate::workspace::trash::{LOCK_WAIT, held};
use crate::workspace::worktree::LockReason;
use crate::workspace::{WorkspaceError, containment, opening, presence};

/// Takes the entry of our own worktree at this path out of git's list when its directory is gone, and keeps it whole
/// with all that it alone reached (HEAD, its log, what was staged). Answers where; also when an earlier try did it.
///
/// # Errors
/// What git or the disk reports; a directory that may lie on a disk that is not mounted.
pub(super) fn make_room(
    repo: &Repository,
    ask: &FreshAsk,
    facts: &RepositoryFacts,
) -> Result<Option<PathBuf>, KeepError> {
    let path = containment::resolve(&ask.path)?;
    let workspace = ask.mark.workspace;
    let Some(entry) = inspect::worktrees(facts)?.into_iter().find(|w| w.path == path && w.missing && !w.main) else {
        return Ok(parked(&facts.common_dir, ask.parks));
    };
    let marked = matches!(&entry.mark, MarkState::Present(mark) if mark.workspace == workspace);
    if !marked && LockReason::of(&entry).is_none_or(|reason| reason.workspace != workspace) {
        return Ok(None);
    }
    park(repo, &facts.common_dir, &entry, &path, (ask.parks, ask.mark.created_at)).map(Some)
}

/// Where the entry of an earlier try lies.
fn parked(common_dir: &Path, id: Uuid) -> Option<PathBuf> {
    let place = common_dir.join(OUR_DIR).join("trash").join(id.to_string());
    place.exists().then_some(place)
}

/// Keeps an entry beside those of what is in the trash: whole, since the repositories of its submodules lie in it.
fn park(
    repo: &Repository,
    common_dir: &Path,
    entry: &WorktreeEntry,
    path: &Path,
    (id, at): (Uuid, UnixMillis),
) -> Result<PathBuf, KeepError> {
    if entry.unknown {
        return Err(KeepError::Busy { why: presence::untold(path), path: path.to_owned() });
    }
    held::hold(repo, &entry.private_dir, id, at)?;
    kill_point("workspace.entry_held");
    let dir = our_dir(common_dir)?.join("trash");
    fs::create_dir_all(&dir).map_err(KeepError::io("make", &dir))?;
    let place = dir.join(id.to_string());
    renameat_with(CWD, &entry.private_dir, CWD, &place, RenameFlags::NOREPLACE)
        .map_err(|e| KeepError::io("move the worktree's entry", &entry.private_dir)(e.into()))?;
    sync_dir(&dir)?;
    sync_dir(&common_dir.join("worktrees"))?;
    kill_point("workspace.entry_parked");
    Ok(place)
}

/// Takes the entry of a worktree that is gone for good out of git's list. All of it is kept beside the entries of
/// what is in the trash, with everything that only it reached. Answers where; none when there was none of ours.
///
/// # Errors
/// What git or the disk reports; a directory or a repository that may lie on a disk that is not mounted.
pub(super) fn forget(ask: &GoneAsk) -> Result<Option<PathBuf>, KeepError> {
    let facts = match inspect::inspect(&ask.repo) {
        Ok(inspect::Place::Repository(facts)) => *facts,
        Ok(inspect::Place::Plain(_)) => return Ok(None),
        // What lists it is gone as well.
        Err(WorkspaceError::Missing { path }) => match presence::is_there(&path, None) {
            Some(false) => return Ok(None),
            _ => return Err(KeepError::Busy { why: presence::untold(&path), path }),
        },
        Err(e) => return Err(e.into()),
    };
    let _lock =
        WorktreeLock::acquire(&facts.common_dir, LOCK_WAIT, &format!("removal of workspace {}", ask.workspace))?;
    let path = containment::resolve(&ask.path)?;
    let Some(entry) = inspect::worktrees(&facts)?.into_iter().find(|w| w.path == path && w.missing && !w.main) else {
        return Ok(parked(&facts.common_dir, ask.id));
    };
    let ours = match &entry.mark {
        MarkState::Present(mark) => mark.workspace == ask.workspace && mark.project == ask.project,
        MarkState::Absent => LockReason::of(&entry).is_some_and(|reason| reason.workspace == ask.workspace),
        MarkState::Damaged(_) => false,
    };
    if !ours {
        return Ok(None);
    }
    let repo = opening::open(&facts.common_dir).map_err(KeepError::git("open", &facts.common_dir))?;
    park(&repo, &facts.common_dir, &entry, &path, (ask.id, ask.at)).map(Some)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wharf_model::WorkspaceId;

    use super::*;
    use crate::workspace::scratch::Scratch;
    use crate::workspace::trash::{self, EntryAsk};

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
        assert_eq!(forget(&GoneAsk { workspace: stranger, ..ask(&s, &tree) }).unwrap(), None);
        let gone = ask(&s, &tree);
        let parked = forget(&gone).unwrap().expect("it was listed");
        assert_eq!(parked, s.repo.join(".git/wharf/trash").join(gone.id.to_string()));
        assert_eq!(forget(&gone).unwrap(), Some(parked.clone()), "it can be repeated");
        assert!(!s.git(&s.repo, &["worktree", "list"]).contains("work"));
        fs::remove_dir_all(s.repo.join(".git/logs")).unwrap();
        s.git(&s.repo, &["gc", "-q", "--prune=now"]);
        s.git(&s.repo, &["cat-file", "-e", &dropped]);
        // Another workspace goes on with the branch.
        s.workspace = stranger;
        assert_ne!(own, s.workspace);
        assert_eq!(s.realise(&s.wanted("work")).path, tree);
        // Its time is over: what was kept of it goes, what is not its own stays.
        let emptied = |workspace, time: Duration| {
            trash::empty_entry(&EntryAsk { place: parked.clone(), project: s.project, workspace, pass: time.into() })
        };
        let minute = Duration::from_mins(1);
        assert!(emptied(stranger, minute).unwrap_err().to_string().contains("does not say"));
        let refs = || s.git(&s.repo, &["for-each-ref", "--format=%(refname)", "refs/wharf/trash"]);
        assert_eq!(refs(), format!("refs/wharf/trash/{}", gone.id), "nothing goes before");
        assert!(!emptied(own, Duration::ZERO).unwrap().done, "cut off");
        assert_eq!(refs(), format!("refs/wharf/trash/{}", gone.id), "its ref goes last");
        assert!(emptied(own, minute).unwrap().done);
        assert!(emptied(own, minute).unwrap().done, "it can be repeated");
        assert_eq!(refs(), "");
        assert_eq!(fs::read_dir(parked.parent().unwrap()).unwrap().count(), 0);
        // One of that name that somebody else made.
        s.git(&s.repo, &["update-ref", &format!("refs/wharf/trash/{}", gone.id), "HEAD"]);
        assert!(emptied(own, minute).unwrap().done);
        assert_eq!(refs(), format!("refs/wharf/trash/{}", gone.id), "it is not ours");
        assert_eq!(s.git(&tree, &["status", "--porcelain"]), "");
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
