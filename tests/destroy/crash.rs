//! A crash after every step, by a process that kills itself there; then the same call again, and the same end.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use uuid::Uuid;
use wharf::process::kill_point::{LOG_VARIABLE, VARIABLE};
use wharf::workspace::mark::Mark;
use wharf::workspace::restore::{self, FreshAsk};
use wharf::workspace::trash::EntryAsk;
use wharf::workspace::{snapshot, trash};
use wharf_model::{SnapshotId, UnixMillis};

use super::rich::{all, fill, fill_more, git_says, kept};
use super::snapshots::{self, into, wreck};
use super::trash::{ask, back, empty};
use super::workspace_common::{Place, same};

const ROOT: &str = "WHARF_TEST_DESTROY_ROOT";
const WHAT: &str = "WHARF_TEST_DESTROY_WHAT";
const ID: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_00ff);
const KEPT: SnapshotId = SnapshotId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0101));
const BEFORE: SnapshotId = SnapshotId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0102));

fn trash_path(p: &Place) -> PathBuf {
    p.tree.with_file_name(".trash").join(ID.to_string())
}

fn fresh(p: &Place) -> FreshAsk {
    let mark = Mark::new(p.project, p.workspace, None, UnixMillis(5));
    FreshAsk { id: KEPT, path: p.tree.clone(), repo: p.repo.clone(), mark, parks: ID }
}

fn unpark(p: &Place) -> Result<trash::Emptied, wharf::workspace::KeepError> {
    trash::empty_entry(&EntryAsk {
        place: p.repo.join(".git/wharf/trash").join(ID.to_string()),
        project: p.project,
        workspace: p.workspace,
        pass: Duration::from_mins(1).into(),
    })
}

fn act(p: &Place, what: &str) {
    match what {
        "away" => drop(trash::move_away(&ask(p, ID), &p.builder()).unwrap()),
        "back" => drop(back(p, &trash_path(p)).unwrap()),
        "into" => drop(into(p, KEPT, BEFORE).unwrap()),
        "fresh" => drop(restore::into_fresh(&fresh(p), &p.builder()).unwrap()),
        "unpark" => assert!(unpark(p).unwrap().done),
        "empty" => assert!(empty(p, &trash_path(p)).unwrap().done),
        other => panic!("{other} is nothing to do"),
    }
}

/// No test of its own: the process that is killed.
#[test]
fn victim() {
    let (Some(root), Ok(what)) = (std::env::var_os(ROOT), std::env::var(WHAT)) else { return };
    act(&Place::at(root.as_ref()), &what);
}

/// Runs a step in another process that dies at a point; says which points it passed.
fn run(p: &Place, what: &str, point: Option<&str>) -> Vec<String> {
    let log = p.root.join(format!("points-{what}"));
    let _ = std::fs::remove_file(&log);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crash::victim", "--nocapture"]);
    command.env(ROOT, &p.root).env(WHAT, what).env(LOG_VARIABLE, &log);
    if let Some(point) = point {
        command.env(VARIABLE, point);
    }
    let output = command.output().unwrap();
    assert_eq!(
        output.status.success(),
        point.is_none(),
        "{what} at {point:?}: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    let passed = std::fs::read_to_string(&log).unwrap_or_default();
    passed.lines().map(str::to_owned).filter(|l| l.starts_with("workspace.")).collect()
}

fn points(p: &Place, what: &str, least: usize) -> Vec<String> {
    let points = run(p, what, None);
    assert!(points.len() >= least, "{points:?}");
    points
}

#[test]
fn a_crash_at_every_step_of_the_way_there_loses_nothing() {
    let p = Place::new();
    for point in points(&p, "away", 5) {
        let p = Place::new();
        fill(&p);
        fill_more(&p);
        let (before, says) = (all(&p), git_says(&p));
        run(&p, "away", Some(&point));
        // What git does to worktrees that it does not find.
        p.git(&p.repo, &["worktree", "prune", "--expire=now"]);
        p.git(&p.repo, &["gc", "-q", "--prune=now"]);
        act(&p, "away");
        assert!(!p.tree.exists(), "{point}");
        assert!(!p.git(&p.repo, &["worktree", "list"]).contains("worktrees/work"), "{point}");
        act(&p, "back");
        same(&before, &all(&p));
        assert_eq!(says, git_says(&p), "{point}");
    }
}

#[test]
fn a_crash_at_every_step_of_the_way_back_loses_nothing() {
    let p = Place::new();
    act(&p, "away");
    for point in points(&p, "back", 3) {
        let p = Place::new();
        fill(&p);
        fill_more(&p);
        let (before, says) = (all(&p), git_says(&p));
        act(&p, "away");
        run(&p, "back", Some(&point));
        p.git(&p.repo, &["worktree", "prune", "--expire=now"]);
        p.git(&p.repo, &["gc", "-q", "--prune=now"]);
        act(&p, "back");
        same(&before, &all(&p));
        assert_eq!(says, git_says(&p), "{point}");
        act(&p, "back");
        act(&p, "away");
    }
}

#[test]
fn a_crash_while_emptying_is_finished_by_the_next() {
    let p = Place::new();
    fill(&p);
    act(&p, "away");
    let all = points(&p, "empty", 6);
    let mut tried: Vec<String> = all.iter().filter(|l| *l != "workspace.trash_removing").cloned().collect();
    // In the middle of the files as well, and at the last one.
    let files = all.len() - tried.len();
    assert!(files > 10, "{all:?}");
    tried.extend([1, files / 2, files].map(|nth| format!("workspace.trash_removing:{nth}")));
    for point in tried {
        let p = Place::new();
        fill(&p);
        act(&p, "away");
        run(&p, "empty", Some(&point));
        let held = p.git(&p.repo, &["for-each-ref", "refs/wharf"]);
        let gone = point == "workspace.trash_ref_removed";
        assert_eq!(held.is_empty(), gone, "{point}: the ref goes when what it is of is gone, and not before");
        act(&p, "empty");
        assert!(!trash_path(&p).exists(), "{point}");
        assert_eq!(p.git(&p.repo, &["for-each-ref", "refs/wharf"]), "");
        assert!(std::fs::read_dir(p.repo.join(".git/wharf/trash")).unwrap().next().is_none(), "{point}");
    }
}

#[test]
fn a_crash_while_the_entry_of_a_lost_directory_is_kept_or_removed_loses_and_leaves_nothing() {
    let lost = || {
        let p = Place::new();
        p.git(&p.tree, &["checkout", "-q", "--detach"]);
        let only = p.commit(&p.tree, "only.txt", "only its log reaches it");
        p.git(&p.tree, &["checkout", "-q", "work"]);
        fill(&p);
        let made = snapshot::take(&snapshots::ask(&p, KEPT)).unwrap();
        super::rich::mode(&p.tree.join("read-only"), 0o755);
        std::fs::remove_dir_all(&p.tree).unwrap();
        (p, made, only)
    };
    let (p, ..) = lost();
    let mut kept = points(&p, "fresh", 2);
    kept.dedup();
    kept.retain(|point| point.starts_with("workspace.entry_"));
    assert_eq!(kept, ["workspace.entry_held", "workspace.entry_parked"]);
    let mut removed = points(&p, "unpark", 3);
    removed.dedup();
    for point in &kept {
        let (p, _, only) = lost();
        run(&p, "fresh", Some(point));
        act(&p, "fresh");
        p.git(&p.repo, &["gc", "-q", "--prune=now"]);
        p.git(&p.repo, &["cat-file", "-e", only.trim()]);
        act(&p, "unpark");
        assert_eq!(p.git(&p.repo, &["for-each-ref", "refs/wharf/trash"]), "", "{point}");
    }
    for point in removed {
        let (p, made, _) = lost();
        act(&p, "fresh");
        run(&p, "unpark", Some(&point));
        act(&p, "unpark");
        assert_eq!(p.git(&p.repo, &["for-each-ref", "refs/wharf/trash"]), "", "{point}");
        assert!(std::fs::read_dir(p.repo.join(".git/wharf/trash")).unwrap().next().is_none(), "{point}");
        p.git(&p.repo, &["cat-file", "-e", &made.commit]);
    }
}

#[test]
fn a_crash_while_a_snapshot_is_restored_loses_nothing() {
    let wrecked = || {
        let p = Place::new();
        fill(&p);
        snapshot::take(&snapshots::ask(&p, KEPT)).unwrap();
        let state = (kept(&p), git_says(&p));
        wreck(&p);
        (p, state)
    };
    let (p, _) = wrecked();
    let all = points(&p, "into", 5);
    // Each point by its name, and those that are passed for every file in the middle of them too.
    let mut tried: Vec<String> = all.clone();
    tried.sort();
    tried.dedup();
    let middle = |name: &str| format!("{name}:{}", all.iter().filter(|l| *l == name).count().div_ceil(2));
    let middles: Vec<String> = tried.iter().map(|name| middle(name)).filter(|m| !m.ends_with(":1")).collect();
    tried.extend(middles);
    for point in tried {
        let (p, (state, says)) = wrecked();
        let before = (kept(&p), git_says(&p));
        run(&p, "into", Some(&point));
        act(&p, "into");
        same(&state, &kept(&p));
        assert_eq!(says, git_says(&p), "{point}");
        into(&p, BEFORE, SnapshotId(Uuid::now_v7())).unwrap();
        same(&before.0, &kept(&p));
        assert_eq!(before.1, git_says(&p), "{point}: what was there before comes back too");
    }
}
