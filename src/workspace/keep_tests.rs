//! What may not be touched is not: other people's mounts, other repositories, projects that are gone.

use std::fs;
use std::path::Path;
use std::time::Duration;

use uuid::Uuid;
use wharf_model::UnixMillis;
use wharf_model::rules::close_check::Place;

use super::close::{self, Limits, LookAsk};
use super::keep_error::KeepError;
use super::scratch::{Scratch, operator};
use super::trash::{self, EmptyAsk, TrashAsk};
use super::worktree::Git;
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
    let empty = EmptyAsk { trash_path: record.trash_path.clone(), project, workspace, time: Duration::from_secs(60) };
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
