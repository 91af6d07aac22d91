//! The trash: whole directories away and back, byte by byte, whatever git or anyone does meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;
use wharf::workspace::KeepError;
use wharf::workspace::mark::{self, Mark};
use wharf::workspace::restore::{self, BringBack, Returned};
use wharf::workspace::trash::strays::{self, StraysAsk};
use wharf::workspace::trash::{self, BranchFate, EmptyAsk, Record, TrashAsk};
use wharf_model::rules::close_check::Place as Judged;
use wharf_model::{UnixMillis, WorkspaceId};

use super::rich::{all, fill, fill_more, git_says, mode};
use super::workspace_common::{Place, Thing, everything, same};

pub fn ask(p: &Place, id: Uuid) -> TrashAsk {
    TrashAsk {
        id,
        project: p.project,
        workspace: p.workspace,
        path: p.tree.clone(),
        never: vec![p.repo.clone()],
        delete_branch: true,
        at: UnixMillis(1_700_000_000_000),
    }
}

pub fn away(p: &Place) -> Record {
    trash::move_away(&ask(p, Uuid::now_v7()), &p.builder()).unwrap()
}

pub fn back(p: &Place, trash_path: &Path) -> Result<Returned, KeepError> {
    restore::bring_back(&BringBack {
        trash_path: trash_path.to_owned(),
        project: p.project,
        workspace: p.workspace,
        to: None,
    })
}

pub fn empty(p: &Place, trash_path: &Path) -> Result<trash::Emptied, KeepError> {
    trash::empty(&EmptyAsk {
        trash_path: trash_path.to_owned(),
        project: p.project,
        workspace: p.workspace,
        repo: Some(p.repo.clone()),
        pass: Duration::from_mins(1).into(),
    })
}

fn everything_but_git(all: &BTreeMap<PathBuf, Thing>) -> BTreeMap<PathBuf, Thing> {
    all.iter()
        .filter(|(path, _)| *path != Path::new(".git"))
        .map(|(path, thing)| (path.clone(), thing.clone()))
        .collect()
}

/// Every file of the worktree's own git directory.
fn entry(p: &Place) -> BTreeMap<PathBuf, Thing> {
    everything(&p.repo.join(".git/worktrees/work"), |_| false)
}

#[test]
fn everything_comes_back_byte_by_byte() {
    let p = Place::new();
    fill(&p);
    fill_more(&p);
    let (before, says, private) = (all(&p), git_says(&p), entry(&p));
    let record = away(&p);
    assert!(!p.tree.exists());
    assert_eq!(record.trash_path.parent(), Some(p.repo.join(".wharf/worktrees/.trash").as_path()));
    let git_file = |path: &Path| path == Path::new(".git");
    same(&everything_but_git(&before), &everything(&record.trash_path, git_file));
    // It is still a checkout, so that a clean-up of the project's ignored files leaves it alone.
    assert!(p.git(&record.trash_path, &["status", "--porcelain"]).contains("secret.key"));
    assert!(
        matches!(&record.branch_fate, Some(BranchFate::Kept(why)) if why.contains("not fully merged")),
        "{record:?}"
    );
    // git knows it no more, and the project is clean.
    assert!(!p.git(&p.repo, &["worktree", "list"]).contains("work]"));
    assert_eq!(p.git(&p.repo, &["status", "--porcelain"]), "");
    // Whatever git cleans up, nothing of it is lost.
    p.git(&p.repo, &["worktree", "prune", "--expire=now"]);
    p.git(&p.repo, &["reflog", "expire", "--expire=now", "--all"]);
    p.git(&p.repo, &["gc", "-q", "--prune=now"]);
    p.git(&p.repo, &["clean", "-q", "-f", "-d", "-x"]);
    assert!(!record.trash_path.with_extension("json").exists(), "the record is an ignored file");
    same(&everything_but_git(&before), &everything(&record.trash_path, git_file));
    let returned = back(&p, &record.trash_path).unwrap();
    assert_eq!(returned.notes, Vec::<String>::new());
    assert_eq!((returned.path, returned.branch.as_deref()), (p.tree.clone(), Some("work")));
    same(&before, &all(&p));
    same(&private, &entry(&p));
    assert_eq!(says, git_says(&p));
    assert_eq!(p.look().place, Judged::Ours, "marked as before");
    assert!(p.git(&p.repo, &["worktree", "list", "--porcelain"]).contains("locked wharf workspace"));
    p.git(&p.repo, &["fsck", "--no-dangling"]);
    assert_eq!(p.git(&p.repo, &["for-each-ref", "refs/wharf"]), "");
}

#[test]
fn the_branch_goes_only_when_it_is_ours_and_merged_and_comes_back() {
    let p = Place::new();
    p.commit(&p.tree, "c.txt", "c");
    p.commit(&p.tree, "c.txt", "amended away");
    p.git(&p.tree, &["commit", "-q", "--amend", "-m", "amended"]);
    p.git(&p.tree, &["config", "branch.work.description", "what it is for"]);
    let head = p.git(&p.tree, &["rev-parse", "HEAD"]);
    let amended = p.git(&p.tree, &["rev-parse", "work@{1}"]);
    p.git(&p.repo, &["merge", "-q", "--no-ff", "-m", "merged", "work"]);
    let log = p.git(&p.tree, &["reflog", "show", "work"]);
    let record = away(&p);
    assert_eq!(record.branch_fate, Some(BranchFate::Deleted));
    assert!(!p.try_git(&p.repo, &["rev-parse", "--verify", "-q", "refs/heads/work"]).0);
    p.git(&p.repo, &["reflog", "expire", "--expire=now", "--all"]);
    p.git(&p.repo, &["gc", "-q", "--prune=now"]);
    p.git(&p.repo, &["cat-file", "-e", &amended]);
    let returned = back(&p, &record.trash_path).unwrap();
    assert_eq!(returned.head.as_deref(), Some(head.as_str()));
    assert!(returned.notes.iter().any(|n| n.contains("made again")), "{:?}", returned.notes);
    assert_eq!(p.git(&p.repo, &["config", "branch.work.description"]), "what it is for");
    let after = p.git(&p.tree, &["reflog", "show", "work"]);
    assert!(after.lines().count() >= log.lines().count(), "{after}\n{log}");

    // Not made by us.
    let p = Place::new();
    let file = p.repo.join(".git/worktrees/work/wharf.json");
    let ours = mark::read(&file).unwrap().unwrap();
    mark::write(&file, &Mark { created_branch: false, ..ours }).unwrap();
    assert!(matches!(away(&p).branch_fate, Some(BranchFate::Kept(why)) if why.contains("not made for")));
    // Asked to stay.
    let p = Place::new();
    let asked = TrashAsk { delete_branch: false, ..ask(&p, Uuid::now_v7()) };
    assert!(matches!(trash::move_away(&asked, &p.builder()).unwrap().branch_fate, Some(BranchFate::Kept(_))));
    // Another branch was checked out: it stays, and so does ours.
    let p = Place::new();
    p.git(&p.tree, &["checkout", "-q", "-b", "other"]);
    let record = away(&p);
    assert!(matches!(&record.branch_fate, Some(BranchFate::Kept(_))), "{record:?}");
    assert_eq!(back(&p, &record.trash_path).unwrap().branch.as_deref(), Some("other"));
}

#[test]
fn a_branch_that_moved_meanwhile_is_said_and_one_in_use_is_refused() {
    let p = Place::new();
    p.write(&p.tree, "a.txt", "dirty");
    p.commit(&p.tree, "c.txt", "c");
    let record = away(&p);
    let other = p.root.join("other");
    p.git(&p.repo, &["worktree", "add", "-q", other.to_str().unwrap(), "work"]);
    p.commit(&other, "d.txt", "d");
    let refused = back(&p, &record.trash_path).unwrap_err();
    assert!(refused.to_string().contains("checked out at"), "{refused}");
    assert!(record.trash_path.exists() && !p.tree.exists());
    p.git(&p.repo, &["worktree", "remove", other.to_str().unwrap()]);
    let returned = back(&p, &record.trash_path).unwrap();
    assert!(returned.notes.iter().any(|n| n.contains("work moved from")), "{:?}", returned.notes);
    assert_eq!(fs::read_to_string(p.tree.join("a.txt")).unwrap(), "dirty");
}

#[test]
fn what_is_under_way_comes_back() {
    let p = Place::new();
    for (dir, text) in [(&p.tree, "theirs"), (&p.repo, "ours")] {
        p.write(dir, "a.txt", text);
        p.git(dir, &["commit", "-q", "-a", "-m", text]);
    }
    assert!(!p.try_git(&p.tree, &["rebase", "main"]).0);
    let (state, private) = (all(&p), entry(&p));
    let record = away(&p);
    assert!(matches!(&record.branch_fate, Some(BranchFate::Kept(_))), "{record:?}");
    p.git(&p.repo, &["reflog", "expire", "--expire=now", "--all"]);
    p.git(&p.repo, &["gc", "-q", "--prune=now"]);
    back(&p, &record.trash_path).unwrap();
    same(&state, &all(&p));
    same(&private, &entry(&p));
    p.write(&p.tree, "a.txt", "both");
    p.git(&p.tree, &["add", "a.txt"]);
    p.git(&p.tree, &["rebase", "--continue"]);
    assert_eq!(p.git(&p.tree, &["branch", "--show-current"]), "work");
}

#[test]
fn submodules_keep_their_repositories() {
    let p = Place::new();
    let url = p.remote.to_str().unwrap();
    p.git(&p.tree, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, "sub"]);
    p.git(&p.tree, &["commit", "-q", "-m", "submodule"]);
    let alone = p.commit(&p.tree.join("sub"), "c.txt", "unpushed");
    p.write(&p.tree, "sub/a.txt", "dirty");
    let state = all(&p);
    let record = away(&p);
    // Elsewhere its links would lead nowhere.
    let elsewhere = BringBack {
        trash_path: record.trash_path.clone(),
        project: p.project,
        workspace: p.workspace,
        to: Some(p.root.join("elsewhere")),
    };
    assert!(restore::bring_back(&elsewhere).unwrap_err().to_string().contains("submodules"));
    back(&p, &record.trash_path).unwrap();
    same(&state, &all(&p));
    assert_eq!(p.git(&p.tree.join("sub"), &["rev-parse", "HEAD"]), alone);
    assert!(p.git(&p.tree.join("sub"), &["status", "--porcelain"]).contains("a.txt"));
}

#[test]
fn writes_between_look_and_move_and_during_it_are_kept() {
    let p = Place::new();
    let mut open = fs::File::create(p.tree.join("growing.txt")).unwrap();
    open.write_all(b"before ").unwrap();
    p.look();
    p.write(&p.tree, "late.txt", "after the look");
    let record = away(&p);
    open.write_all(b"and after").unwrap();
    drop(open);
    back(&p, &record.trash_path).unwrap();
    assert_eq!(fs::read_to_string(p.tree.join("growing.txt")).unwrap(), "before and after");
    assert_eq!(fs::read_to_string(p.tree.join("late.txt")).unwrap(), "after the look");
}

#[test]
fn a_worktree_that_somebody_unlocked_comes_back_unlocked() {
    let p = Place::new();
    p.git(&p.repo, &["worktree", "unlock", p.tree.to_str().unwrap()]);
    let private = entry(&p);
    let record = away(&p);
    assert_eq!(record.locked, None);
    back(&p, &record.trash_path).unwrap();
    same(&private, &entry(&p));
}

#[test]
fn an_index_that_is_split_keeps_what_was_staged() {
    let p = Place::new();
    p.git(&p.tree, &["update-index", "--split-index"]);
    p.write(&p.tree, "a.txt", "only staged");
    p.git(&p.tree, &["add", "a.txt"]);
    p.write(&p.tree, "a.txt", "a\n");
    let says = git_says(&p);
    let record = away(&p);
    p.git(&p.repo, &["gc", "-q", "--prune=now"]);
    back(&p, &record.trash_path).unwrap();
    assert_eq!(says, git_says(&p));
    assert_eq!(p.git(&p.tree, &["show", ":a.txt"]), "only staged");
}

#[test]
fn a_path_that_is_taken_is_offered_another() {
    let p = Place::new();
    p.write(&p.tree, "u.txt", "u");
    let record = away(&p);
    p.write(&p.tree, "stranger", "stays");
    let refused = back(&p, &record.trash_path).unwrap_err();
    let words = refused.to_string();
    assert!(words.contains("taken by a directory") && words.contains("move that away"), "{words}");
    let KeepError::PlaceTaken { path, offer, .. } = refused else { panic!("not refused with an offer") };
    assert_eq!((path, &offer), (p.tree.clone(), &p.tree.with_file_name("work-2")));
    let returned = restore::bring_back(&BringBack {
        trash_path: record.trash_path.clone(),
        project: p.project,
        workspace: p.workspace,
        to: Some(offer.clone()),
    })
    .unwrap();
    assert_eq!(returned.path, offer);
    assert_eq!(p.git(&offer, &["status", "--porcelain"]), "?? u.txt");
    assert_eq!(fs::read_to_string(p.tree.join("stranger")).unwrap(), "stays");
    let listed = p.git(&p.repo, &["worktree", "list", "--porcelain"]);
    assert!(listed.contains(offer.to_str().unwrap()), "{listed}");
}

#[test]
fn an_entry_that_was_lost_is_made_anew() {
    let p = Place::new();
    p.write(&p.tree, "u.txt", "u");
    p.write(&p.tree, "a.txt", "dirty");
    let record = away(&p);
    fs::remove_dir_all(p.repo.join(".git/wharf/trash")).unwrap();
    let returned = back(&p, &record.trash_path).unwrap();
    assert!(returned.notes.iter().any(|n| n.contains("made anew")), "{:?}", returned.notes);
    assert_eq!(p.git(&p.tree, &["status", "--porcelain"]), "M a.txt\n?? u.txt");
    assert_eq!(p.look().place, Judged::Ours);
}

#[test]
fn only_what_is_ours_is_moved() {
    let p = Place::new();
    let asked = |ask: TrashAsk| trash::move_away(&ask, &p.builder());
    let state = everything(&p.repo, |path| path.starts_with(".git/worktrees/work/logs"));
    for path in [p.repo.clone(), p.root.clone()] {
        let refused = asked(TrashAsk { path, ..ask(&p, Uuid::now_v7()) });
        assert!(matches!(refused, Err(KeepError::NotOurs { .. })), "{refused:?}");
    }
    let other = TrashAsk { workspace: WorkspaceId(Uuid::now_v7()), ..ask(&p, Uuid::now_v7()) };
    assert!(matches!(asked(other), Err(KeepError::NotOurs { .. })));
    let gone = TrashAsk { path: p.root.join("not/there"), ..ask(&p, Uuid::now_v7()) };
    assert!(matches!(asked(gone), Err(KeepError::Gone { .. })));
    // A trash that is a link leads out.
    let trash = p.tree.with_file_name(".trash");
    symlink(&p.root, &trash).unwrap();
    assert!(matches!(asked(ask(&p, Uuid::now_v7())), Err(KeepError::Taken { .. })));
    fs::remove_file(&trash).unwrap();
    // The place in the trash is taken.
    let id = Uuid::now_v7();
    fs::create_dir_all(trash.join(id.to_string())).unwrap();
    assert!(matches!(asked(ask(&p, id)), Err(KeepError::Taken { .. })));
    fs::remove_dir_all(&trash).unwrap();
    same(&state, &everything(&p.repo, |path| path.starts_with(".git/worktrees/work/logs")));
}

#[test]
fn a_directory_that_is_closed_for_writing_moves_and_keeps_its_mode() {
    let p = Place::new();
    mode(&p.tree, 0o555);
    let record = away(&p);
    assert_eq!(fs::metadata(&record.trash_path).unwrap().mode() & 0o7777, 0o555);
    back(&p, &record.trash_path).unwrap();
    assert_eq!(fs::metadata(&p.tree).unwrap().mode() & 0o7777, 0o555);
    mode(&p.tree, 0o755);
}

#[test]
fn a_plain_directory_goes_and_comes_too() {
    let p = Place::new();
    let plain = p.root.join("plain");
    p.write(&plain, "work.txt", "w");
    mark::write(&mark::plain_file(&plain), &Mark::new(p.project, p.workspace, None, UnixMillis(1))).unwrap();
    let before = everything(&plain, |_| false);
    let asked = TrashAsk { path: plain.clone(), ..ask(&p, Uuid::now_v7()) };
    let record = trash::move_away(&asked, &p.builder()).unwrap();
    assert_eq!((record.branch_fate.clone(), record.common_dir.clone()), (Some(BranchFate::None), None));
    back(&p, &record.trash_path).unwrap();
    same(&before, &everything(&plain, |_| false));
    let record = trash::move_away(&TrashAsk { id: Uuid::now_v7(), ..asked }, &p.builder()).unwrap();
    assert!(empty(&p, &record.trash_path).unwrap().done);
    assert!(!record.trash_path.exists());
}

#[test]
fn emptying_removes_all_of_it_and_nothing_else() {
    let p = Place::new();
    fill(&p);
    fill_more(&p);
    let outside = p.write(&p.root, "outside/stays.txt", "stays");
    symlink(outside.parent().unwrap(), p.tree.join("link-to-directory")).unwrap();
    let record = away(&p);
    // Of another workspace, or at another place: refused.
    let wrong = EmptyAsk {
        trash_path: record.trash_path.clone(),
        project: p.project,
        workspace: WorkspaceId(Uuid::now_v7()),
        repo: Some(p.repo.clone()),
        pass: Duration::from_secs(1).into(),
    };
    assert!(matches!(trash::empty(&wrong), Err(KeepError::BadRecord { .. })));
    for path in [p.repo.clone(), p.tree.with_file_name(".trash"), p.root.join("outside")] {
        assert!(empty(&p, &path).is_err(), "{}", path.display());
    }
    // Another directory in its place: refused.
    let aside = p.root.join("aside");
    fs::rename(&record.trash_path, &aside).unwrap();
    p.write(&record.trash_path, "stranger", "stays");
    assert!(matches!(empty(&p, &record.trash_path), Err(KeepError::BadRecord { .. })));
    assert_eq!(fs::read_to_string(record.trash_path.join("stranger")).unwrap(), "stays");
    fs::remove_dir_all(&record.trash_path).unwrap();
    fs::rename(&aside, &record.trash_path).unwrap();
    // Another mark: refused.
    let file = p.repo.join(".git/wharf/trash").join(record.id.to_string()).join("wharf.json");
    let own = mark::read(&file).unwrap().unwrap();
    mark::write(&file, &Mark { workspace: WorkspaceId(Uuid::now_v7()), ..own.clone() }).unwrap();
    assert!(matches!(empty(&p, &record.trash_path), Err(KeepError::BadRecord { .. })));
    assert!(record.trash_path.join("a.txt").exists());
    mark::write(&file, &own).unwrap();
    // In passes that are cut off.
    let asked = EmptyAsk {
        trash_path: record.trash_path.clone(),
        project: p.project,
        workspace: p.workspace,
        repo: Some(p.repo.clone()),
        pass: Duration::ZERO.into(),
    };
    assert!(!trash::empty(&asked).unwrap().done);
    assert!(back(&p, &record.trash_path).is_err(), "what is being removed does not come back");
    let mut passes = 0;
    while !empty(&p, &record.trash_path).unwrap().done {
        passes += 1;
        assert!(passes < 100, "it ends");
    }
    assert!(!record.trash_path.exists());
    assert_eq!(fs::read_to_string(&outside).unwrap(), "stays");
    assert_eq!(p.git(&p.repo, &["for-each-ref", "refs/wharf"]), "");
    assert!(fs::read_dir(p.repo.join(".git/wharf/trash")).unwrap().next().is_none());
    let left: Vec<_> =
        fs::read_dir(record.trash_path.parent().unwrap()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, [".gitignore"]);
    assert!(empty(&p, &record.trash_path).unwrap().done, "again: it is gone already");
    // Its path and its branch are free again.
    p.git(&p.repo, &["branch", "-q", "-D", "work"]);
    assert_eq!(p.realise("work"), p.tree);
}

#[test]
fn a_try_that_failed_before_the_move_is_begun_anew() {
    let p = Place::new();
    let id = Uuid::now_v7();
    let in_the_way = p.repo.join(".git/worktrees/work/wharf-branch-log");
    fs::create_dir(&in_the_way).unwrap();
    trash::move_away(&ask(&p, id), &p.builder()).unwrap_err();
    let place = p.tree.parent().unwrap().join(".trash").join(id.to_string());
    let first = trash::record(&place).unwrap().expect("a record is there before anything moves");
    fs::remove_dir(&in_the_way).unwrap();
    p.git(&p.tree, &["checkout", "-q", "--detach"]);
    let made = p.commit(&p.tree, "later.txt", "later");
    let moved = trash::move_away(&ask(&p, id), &p.builder()).unwrap();
    assert_ne!(first.head, moved.head);
    assert_eq!((moved.head.as_deref(), moved.branch), (Some(&*made), None));
    let back = back(&p, &place).unwrap();
    assert_eq!(back.head.as_deref(), Some(&*made));
    assert_eq!(fs::read_to_string(p.tree.join("later.txt")).unwrap(), "later");
}

#[test]
fn one_that_came_back_is_told_so_again_after_another_came_back() {
    let p = Place::new();
    let other = p.realise("other");
    let one = away(&p);
    let two = trash::move_away(&TrashAsk { path: other.clone(), ..ask(&p, Uuid::now_v7()) }, &p.builder()).unwrap();
    let first = back(&p, &one.trash_path).unwrap();
    assert_eq!(back(&p, &two.trash_path).unwrap().path, other);
    assert_eq!(back(&p, &one.trash_path).unwrap().path, first.path, "as a crash repeats it");
}

#[test]
fn a_trash_on_another_file_system_stays_whole() {
    let p = Place::new();
    p.write(&p.tree, "u.txt", "u");
    let before = all(&p);
    let said = |why: &str| writeln!(std::io::stderr(), "skipped: {why}").unwrap();
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else { return said("there is no /dev/shm") };
    if elsewhere.path().metadata().unwrap().dev() == p.root.metadata().unwrap().dev() {
        return said("/dev/shm is the same file system");
    }
    let record = away(&p);
    let refused = restore::bring_back(&BringBack {
        trash_path: record.trash_path.clone(),
        project: p.project,
        workspace: p.workspace,
        to: Some(elsewhere.path().join("work")),
    });
    let words = refused.unwrap_err().to_string();
    assert!(words.contains("different file systems") && words.contains("cp -a"), "{words}");
    assert!(p.repo.join(".git/wharf/trash").join(record.id.to_string()).exists(), "nothing of git's was moved either");
    back(&p, &record.trash_path).unwrap();
    same(&before, &all(&p));
}

#[test]
fn a_trash_that_somebody_removed_is_said_and_leaves_nothing_behind() {
    for whole in [false, true] {
        let p = Place::new();
        p.write(&p.tree, "a.txt", "changed");
        let record = away(&p);
        let refs = || p.git(&p.repo, &["for-each-ref", "--format=%(refname)", "refs/wharf/trash"]);
        assert_eq!(refs(), format!("refs/wharf/trash/{}", record.id));
        fs::remove_dir_all(if whole { record.trash_path.parent().unwrap() } else { &record.trash_path }).unwrap();
        let words = back(&p, &record.trash_path).unwrap_err().to_string();
        assert!(words.contains("somebody removed it by hand") && words.contains("restore a snapshot"), "{words}");
        assert_eq!(refs(), format!("refs/wharf/trash/{}", record.id), "what git has of it is kept for its time");
        let other = EmptyAsk {
            trash_path: record.trash_path.clone(),
            project: p.project,
            workspace: WorkspaceId(Uuid::now_v7()),
            repo: Some(p.repo.clone()),
            pass: Duration::from_mins(1).into(),
        };
        assert!(trash::empty(&other).is_err(), "it is another one's");
        assert!(empty(&p, &record.trash_path).unwrap().done);
        assert_eq!(refs(), "");
        assert!(fs::read_dir(p.repo.join(".git/wharf/trash")).unwrap().next().is_none());
        assert!(empty(&p, &record.trash_path).unwrap().done, "again");
    }
}

#[test]
fn a_trash_on_a_disk_that_is_not_mounted_is_not_forgotten() {
    let p = Place::new();
    let disk = p.root.join("disk");
    let plain = disk.join("plain");
    p.write(&plain, "work.txt", "w");
    mark::write(&mark::plain_file(&plain), &Mark::new(p.project, p.workspace, None, UnixMillis(1))).unwrap();
    let asked = TrashAsk { path: plain.clone(), ..ask(&p, Uuid::now_v7()) };
    let record = trash::move_away(&asked, &p.builder()).unwrap();
    fs::rename(&disk, p.root.join("unplugged")).unwrap();
    for mounted_on in [false, true] {
        if mounted_on {
            fs::create_dir(&disk).unwrap();
        }
        for words in [empty(&p, &record.trash_path).unwrap_err(), back(&p, &record.trash_path).unwrap_err()] {
            assert!(words.to_string().contains("may not be mounted"), "{words}");
        }
    }
    fs::remove_dir(&disk).unwrap();
    fs::rename(p.root.join("unplugged"), &disk).unwrap();
    back(&p, &record.trash_path).unwrap();
    assert_eq!(fs::read_to_string(plain.join("work.txt")).unwrap(), "w");
}

#[test]
fn what_no_row_knows_is_named_with_what_removes_it() {
    let p = Place::new();
    fill(&p);
    let other = p.realise("other");
    let mine = away(&p);
    let known = trash::move_away(&TrashAsk { path: other.clone(), ..ask(&p, Uuid::now_v7()) }, &p.builder()).unwrap();
    let look = |names: &[&Record]| {
        strays::strays(&StraysAsk {
            parents: [p.tree.parent().unwrap().to_owned(), p.root.join("never")].into(),
            repos: [p.repo.clone(), p.root.join("never")].into(),
            known: names.iter().map(|r| r.id.to_string()).collect(),
            time: Duration::from_mins(1),
        })
    };
    assert_eq!(look(&[&mine, &known]), (Vec::new(), Vec::new()));
    let (found, troubles) = look(&[&known]);
    assert_eq!((found.len(), troubles), (1, Vec::new()));
    let stray = &found[0];
    assert_eq!((&stray.name, stray.workspace), (&mine.id.to_string(), Some(p.workspace)));
    assert_eq!((stray.directory.as_ref(), stray.was.as_ref()), (Some(&mine.trash_path), Some(&p.tree)));
    assert!(stray.entry.is_some() && stray.held.is_some() && stray.record.is_some(), "{stray:?}");
    assert!(stray.bytes.is_some_and(|bytes| bytes > 0), "{stray:?}");
    assert!(mine.trash_path.join("a.txt").exists(), "nothing is removed by looking");
    // As a person does who was told so.
    for command in stray.removed_by() {
        let done = std::process::Command::new("sh").args(["-c", &command]).status().unwrap();
        assert!(done.success(), "{command}");
    }
    assert_eq!(look(&[&known]).0, []);
    assert_eq!(p.git(&p.repo, &["for-each-ref", "--format=%(refname)", "refs/wharf/trash"]).lines().count(), 1);
    assert_eq!(back(&p, &known.trash_path).unwrap().path, other);
}
