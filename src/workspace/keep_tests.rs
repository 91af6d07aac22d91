//! What may not be touched is not: other people's mounts, other repositories, projects that are gone.

use std::fs;
use std::path::Path;
use std::time::Duration;

use uuid::Uuid;
use wharf_model::UnixMillis;
use wharf_model::rules::close_check::Place;

use super::close::{self, Limits, LookAsk};
use super::keep_error::KeepError;
use super::plan::Wanted;
use super::scratch::{Scratch, operator};
use super::trash::{self, EmptyAsk, TrashAsk};
use super::worktree::Git;
use super::{parent, snapshot};
use crate::environment::sandbox::mounted::testing::Mounted;

fn look(s: &Scratch, path: &Path) -> LookAsk {
    LookAsk {
        project: s.project,
        workspace: s.workspace,
        path: path.to_owned(),
        base: Some("main".into()),
        never: vec![s.repo.clone()],
        limits: Limits::default(),
    }
}

fn away(s: &Scratch, path: &Path) -> TrashAsk {
    TrashAsk {
        id: Uuid::now_v7(),
        project: s.project,
        workspace: s.workspace,
        path: path.to_owned(),
        never: vec![s.repo.clone()],
        delete_branch: true,
        at: UnixMillis(1),
    }
}

#[test]
fn what_is_mounted_in_a_workspace_is_never_moved_and_never_removed_with_it() {
    let s = Scratch::new();
    let made = s.realise(&s.wanted("SHOP-1"));
    let precious = s.root.join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("gold"), "gold").unwrap();
    fs::create_dir(made.path.join("mnt")).unwrap();
    let ask = away(&s, &made.path);
    let git = Git::new(&s.repo, operator());

    let Some(mount) = Mounted::bind(&precious, &made.path.join("mnt")) else { return };
    let at = format!("something is mounted at {}: unmount it first", made.path.join("mnt").display());
    assert_eq!(close::look(&look(&s, &made.path)).place, Place::NotOurs(at.clone()));
    let refused = trash::move_away(&ask, &git).unwrap_err().to_string();
    assert!(refused.contains(&at), "{refused}");
    assert!(made.path.join("a.txt").exists() && !made.path.parent().unwrap().join(trash::DIRECTORY).exists());
    drop(mount);

    let record = trash::move_away(&ask, &git).unwrap();
    let (project, workspace) = (s.project, s.workspace);
    let empty = EmptyAsk {
        trash_path: record.trash_path.clone(),
        project,
        workspace,
        repo: None,
        pass: Duration::from_mins(1).into(),
    };
    let mount = Mounted::bind(&precious, &record.trash_path.join("mnt")).unwrap();
    let error = trash::empty(&empty).unwrap_err();
    assert!(matches!(error, KeepError::Mounted { .. }) && error.to_string().contains("unmount it first"), "{error}");
    assert!(record.trash_path.join("a.txt").exists(), "all of it is as it was");
    assert!(!trash::record(&record.trash_path).unwrap().unwrap().emptying);
    assert_eq!(fs::read_to_string(precious.join("gold")).unwrap(), "gold");
    drop(mount);

    assert!(trash::empty(&empty).unwrap().done);
    assert!(!record.trash_path.exists());
    assert_eq!(fs::read_to_string(precious.join("gold")).unwrap(), "gold");
}

#[test]
fn no_directory_of_the_operators_is_hidden_from_git() {
    let s = Scratch::new();
    for name in ["tracked", "notes", "empty", ".wharf/worktrees"] {
        fs::create_dir_all(s.repo.join(name)).unwrap();
    }
    fs::write(s.repo.join("tracked/lib.c"), "int x;").unwrap();
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-q", "-m", "lib"]);
    fs::write(s.repo.join("notes/todo"), "mine").unwrap();
    fs::write(s.repo.join(".wharf/worktrees/odd"), "").unwrap();
    for (name, holds) in [("tracked", "tracked/lib.c of the repository"), ("notes", "todo")] {
        let refused = parent::prepare(&s.repo.join(name), &s.repo).unwrap_err().to_string();
        assert!(refused.contains(holds) && refused.contains("worktrees alone"), "{refused}");
        assert!(!s.repo.join(name).join(".gitignore").exists(), "{name}: nothing was written");
    }
    // With a `.gitignore` in it that somebody wrote, files of the repository are still no place for worktrees.
    fs::write(s.repo.join("tracked/.gitignore"), "*\n").unwrap();
    assert!(parent::prepare(&s.repo.join("tracked"), &s.repo).is_err());
    for name in ["empty", "new/deeper", ".wharf/worktrees"] {
        parent::prepare(&s.repo.join(name), &s.repo).unwrap();
        assert!(s.repo.join(name).join(".gitignore").exists(), "{name}");
    }
    // What was hidden once by us, with worktrees in it, can be made again.
    let made = s.realise(&Wanted { parent: Some("trees"), ..s.wanted("a/b") });
    fs::remove_file(s.repo.join("trees/.gitignore")).unwrap();
    assert!(made.path.starts_with(s.repo.join("trees")));
    parent::prepare(&s.repo.join("trees"), &s.repo).unwrap();
    // Below it nothing is shown that could be hidden.
    fs::write(s.repo.join("trees/a/left"), "").unwrap();
    parent::prepare(&s.repo.join("trees/a"), &s.repo).unwrap();
}

#[test]
fn a_snapshot_belongs_to_the_repository_of_its_checkout() {
    let s = Scratch::new();
    let made = s.realise(&s.wanted("SHOP-1"));
    snapshot::check_repository(&made.path, &s.repo).unwrap();
    let other = s.root.join("other");
    s.init(&other);
    let refused = snapshot::check_repository(&other, &s.repo).unwrap_err();
    assert!(matches!(refused, KeepError::NotOurs { .. }), "{refused}");
}

#[test]
fn ignored_files_are_told_from_the_output_of_tools() {
    let s = Scratch::new();
    fs::write(s.repo.join(".gitignore"), "target/\n*.env\n").unwrap();
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-q", "-m", "ignore"]);
    let made = s.realise(&s.wanted("SHOP-1"));
    fs::create_dir(made.path.join("target")).unwrap();
    fs::write(made.path.join("target/app"), "built").unwrap();
    let found = close::look(&look(&s, &made.path));
    assert_eq!((found.ignored.count, found.ignored_own.count), (1, 0), "{:?}", found.ignored);
    fs::write(made.path.join("secret.env"), "key").unwrap();
    let found = close::look(&look(&s, &made.path));
    assert_eq!(found.ignored.count, 2);
    assert_eq!(found.ignored_own.names, ["secret.env"]);
}

#[test]
fn a_project_that_is_gone_blocks_nothing_and_one_whose_disk_may_be_away_does() {
    let s = Scratch::new();
    let made = s.realise(&s.wanted("SHOP-1"));
    let place = |inner: &str| {
        let ask = look(&s, &made.path);
        close::look(&LookAsk { never: vec![s.repo.clone(), made.path.join(inner)], ..ask }).place
    };
    fs::create_dir_all(made.path.join("inner")).unwrap();
    assert!(matches!(place("inner"), Place::NotOurs(why) if why.contains("a project's own checkout")));
    fs::remove_dir(made.path.join("inner")).unwrap();
    assert_eq!(place("inner"), Place::Ours);
    assert_eq!(place("a/b/inner"), Place::Ours);
    // Where a disk belongs there is an empty directory.
    fs::create_dir_all(made.path.join("disk")).unwrap();
    assert!(matches!(place("disk/inner"), Place::Unknown(why) if why.contains("may not be mounted")));
}
