//! Snapshots: made without a trace, restored byte by byte.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use uuid::Uuid;
use wharf::workspace::KeepError;
use wharf::workspace::mark::Mark;
use wharf::workspace::restore::{self, Applied, FreshAsk, IntoAsk};
use wharf::workspace::snapshot::{self, Snapshot, SnapshotAsk, SnapshotLimits};
use wharf_model::{SnapshotId, UnixMillis};

use super::rich::{all, fill, fill_more, git_says, kept, mode};
use super::workspace_common::{Format, Place, same};

fn id() -> SnapshotId {
    SnapshotId(Uuid::now_v7())
}

pub fn ask(p: &Place, id: SnapshotId) -> SnapshotAsk {
    SnapshotAsk {
        id,
        workspace: p.workspace,
        path: p.tree.clone(),
        reason: "test".into(),
        at: UnixMillis(1_700_000_000_000),
        limits: SnapshotLimits::default(),
    }
}

pub fn take(p: &Place) -> Snapshot {
    snapshot::take(&ask(p, id())).unwrap()
}

pub fn into(p: &Place, id: SnapshotId, before: SnapshotId) -> Result<Applied, KeepError> {
    restore::into_workspace(&IntoAsk {
        never: Vec::new(),
        id,
        before,
        project: p.project,
        workspace: p.workspace,
        path: p.tree.clone(),
        at: UnixMillis(1_700_000_100_000),
        limits: SnapshotLimits::default(),
    })
}

/// As bad as it gets without touching what is ignored.
pub fn wreck(p: &Place) {
    mode(&p.tree.join("read-only"), 0o755);
    p.git(&p.tree, &["reset", "-q", "--hard"]);
    p.git(&p.tree, &["clean", "-q", "-f", "-d"]);
    // Files where directories were, and the other way round.
    p.write(&p.tree, "untracked", "now a file");
    p.write(&p.tree, "secret.key/now/a-directory", "x");
    symlink("dir", p.tree.join("read-only")).unwrap();
    p.write(&p.tree, "only-after.txt", "made after the snapshot");
    fs::remove_file(p.tree.join("a.txt")).unwrap();
}

#[test]
fn a_snapshot_leaves_no_trace_and_comes_back_byte_by_byte() {
    let p = Place::new();
    fill(&p);
    fill_more(&p);
    let index = p.repo.join(".git/worktrees/work/index");
    let (before, says, raw) = (all(&p), git_says(&p), fs::read(&index).unwrap());
    let made = take(&p);
    same(&before, &all(&p));
    assert_eq!(raw, fs::read(&index).unwrap(), "the index is untouched");
    assert_eq!(says, git_says(&p));
    assert_eq!(made.branch.as_deref(), Some("work"));
    assert_eq!(made.stashes.names.len(), 1, "{:?}", made.stashes);
    let out = &made.left_out.names;
    for part in
        ["wanted.log (ignored)", "build/ (ignored)", "vendor/lib (a repository)", "socket (a socket or a device)"]
    {
        assert!(out.iter().any(|o| o == part), "{part} is not in {out:?}");
    }
    // It is a commit like others: git reads it, and everything it needs is held by its ref.
    let name = &made.ref_name;
    assert_eq!(p.git(&p.repo, &["show", &format!("{name}:dir/b.txt")]), "staged, then changed again");
    assert_eq!(p.git(&p.repo, &["show", &format!("{name}^2:dir/b.txt")]), "staged");
    p.git(&p.repo, &["fsck", "--strict", "--no-dangling"]);

    let state = kept(&p);
    wreck(&p);
    let wrecked = (kept(&p), git_says(&p));
    p.git(&p.repo, &["gc", "-q", "--prune=now"]);
    let before = id();
    let applied = into(&p, made.id, before).unwrap();
    same(&state, &kept(&p));
    assert_eq!(says, git_says(&p), "index and work tree are as they were");
    assert!(applied.written > 10 && applied.removed >= 3, "{applied:?}");
    assert_eq!(fs::read_to_string(p.tree.join("wanted.log")).unwrap(), "ignored, but wanted");
    // Again: nothing to do.
    let again = into(&p, made.id, id()).unwrap();
    assert_eq!((again.written, again.removed), (0, 0));
    // And back to the wreck, which was kept too.
    into(&p, before, id()).unwrap();
    same(&wrecked.0, &kept(&p));
    assert_eq!(wrecked.1, git_says(&p));
}

#[test]
fn one_id_gives_one_snapshot_and_forgetting_it_lets_go() {
    let p = Place::new();
    p.write(&p.tree, "u.txt", "first");
    let first = take(&p);
    p.write(&p.tree, "u.txt", "second");
    assert_eq!(snapshot::take(&ask(&p, first.id)).unwrap(), first, "the same again");
    assert_eq!(snapshot::find(&p.repo, first.id).unwrap().as_ref(), Some(&first));
    assert!(matches!(
        snapshot::take(&SnapshotAsk { workspace: wharf_model::WorkspaceId(Uuid::now_v7()), ..ask(&p, first.id) }),
        Err(KeepError::NotOurs { .. })
    ));
    assert!(snapshot::forget(&p.repo, first.id).unwrap());
    assert!(!snapshot::forget(&p.repo, first.id).unwrap());
    assert_eq!(snapshot::find(&p.repo, first.id).unwrap(), None);
    assert!(matches!(into(&p, first.id, id()), Err(KeepError::NoSnapshot { .. })));
}

#[test]
fn heads_of_every_kind() {
    // Detached.
    let p = Place::new();
    p.git(&p.tree, &["checkout", "-q", "--detach"]);
    let head = p.commit(&p.tree, "c.txt", "c");
    let made = take(&p);
    assert_eq!((made.branch, made.head.as_deref()), (None, Some(head.as_str())));
    // Before the first commit.
    let fresh = p.root.join("fresh");
    fs::create_dir(&fresh).unwrap();
    p.git(&fresh, &["init", "-q", "-b", "start"]);
    p.write(&fresh, "staged", "1");
    p.git(&fresh, &["add", "staged"]);
    p.write(&fresh, "loose", "2");
    let made = snapshot::take(&SnapshotAsk { path: fresh.clone(), ..ask(&p, id()) }).unwrap();
    assert_eq!((made.branch.as_deref(), made.head), (Some("start"), None));
    assert_eq!(p.git(&fresh, &["ls-tree", "--name-only", &made.ref_name]), "loose\nstaged");
    // No repository.
    let plain = p.root.join("plain");
    fs::create_dir(&plain).unwrap();
    let asked = |path: &Path| snapshot::take(&SnapshotAsk { path: path.to_owned(), ..ask(&p, id()) });
    assert!(matches!(asked(&plain), Err(KeepError::NoRepository { .. })));
    assert!(matches!(asked(&p.root.join("not-there")), Err(KeepError::Gone { .. })));
}

#[test]
fn conflicts_come_back_with_all_their_sides() {
    let p = Place::new();
    for (dir, text) in [(&p.tree, "theirs"), (&p.repo, "ours")] {
        p.write(dir, "a.txt", text);
        p.git(dir, &["commit", "-q", "-a", "-m", text]);
    }
    assert!(!p.try_git(&p.tree, &["merge", "-q", "main"]).0);
    let (says, state) = (git_says(&p), kept(&p));
    let made = take(&p);
    assert_eq!(made.under_way.as_deref(), Some("merge"));
    assert!(matches!(into(&p, made.id, id()), Err(KeepError::Busy { .. })), "git is in the middle of something");
    p.git(&p.tree, &["merge", "--abort"]);
    let applied = into(&p, made.id, id()).unwrap();
    assert!(applied.notes.iter().any(|n| n.contains("merge was under way")), "{:?}", applied.notes);
    same(&state, &kept(&p));
    assert_eq!(says, git_says(&p));
}

#[test]
fn sparse_and_assumed_unchanged_stay_what_they_are() {
    let p = Place::new();
    p.git(&p.tree, &["sparse-checkout", "set", "--no-cone", "/a.txt", "/.gitignore"]);
    p.git(&p.tree, &["update-index", "--assume-unchanged", "a.txt"]);
    p.write(&p.tree, "a.txt", "hidden");
    let (says, state) = (git_says(&p), kept(&p));
    let made = take(&p);
    assert_eq!(p.git(&p.tree, &["show", &format!("{}:dir/b.txt", made.ref_name)]), "b", "what is left out is in it");
    p.git(&p.tree, &["update-index", "--no-assume-unchanged", "a.txt"]);
    p.git(&p.tree, &["checkout", "-q", "--", "a.txt"]);
    into(&p, made.id, id()).unwrap();
    same(&state, &kept(&p));
    assert_eq!(says, git_says(&p));
}

#[test]
fn no_filter_runs_and_bytes_stay_as_they_are() {
    for format in [Format::Usual, Format::SplitIndex, Format::SparseIndex] {
        no_filter_runs(&Place::of(format).unwrap());
    }
}

fn no_filter_runs(p: &Place) {
    let ran = p.root.join("filter-ran");
    p.write(&p.tree, ".gitattributes", "*.txt text eol=crlf\n*.big filter=spy\n");
    p.git(&p.tree, &["add", ".gitattributes"]);
    p.git(&p.tree, &["commit", "-q", "-m", "attributes"]);
    // Younger than any index, so that git would have to read it again.
    let young = fs::File::create(p.tree.join("tracked.big")).unwrap();
    (&young).write_all(b"large").unwrap();
    young.set_modified(UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX))).unwrap();
    p.git(&p.tree, &["add", "tracked.big"]);
    let spy = format!("touch {}; cat", ran.display());
    for name in ["clean", "smudge"] {
        p.git(&p.repo, &["config", &format!("filter.spy.{name}"), &spy]);
    }
    p.git(&p.repo, &["config", "core.fsmonitor", &format!("touch {}", ran.display())]);
    p.write(&p.tree, "w.txt", "one\r\ntwo\r\n");
    p.write(&p.tree, "mixed.txt", "one\r\ntwo\n");
    p.write(&p.tree, "file.big", "large\r\n");
    let state = kept(p);
    let made = take(p);
    for name in ["w.txt", "mixed.txt", "file.big", "tracked.big"] {
        fs::write(p.tree.join(name), "lost").unwrap();
    }
    into(p, made.id, id()).unwrap();
    same(&state, &kept(p));
    assert!(!ran.exists(), "nothing of the repository's own ran");
}

#[test]
fn what_no_snapshot_holds_is_never_replaced() {
    let p = Place::new();
    p.write(&p.tree, "thing", "a file");
    p.write(&p.tree, "other", "a file");
    let made = take(&p);
    // An ignored file where a file of the snapshot was.
    fs::remove_file(p.tree.join("thing")).unwrap();
    p.write(&p.tree, "thing/x.log", "ignored");
    let state = all(&p);
    let refused = into(&p, made.id, id()).unwrap_err();
    assert!(matches!(&refused, KeepError::InTheWay { what: "ignored", .. }), "{refused}");
    same(&state, &all(&p));
    // A repository.
    fs::remove_dir_all(p.tree.join("thing")).unwrap();
    fs::create_dir(p.tree.join("thing")).unwrap();
    p.git(&p.tree.join("thing"), &["init", "-q"]);
    let state = all(&p);
    assert!(matches!(into(&p, made.id, id()), Err(KeepError::InTheWay { .. })));
    same(&state, &all(&p));
    fs::remove_dir_all(p.tree.join("thing")).unwrap();
    // A change after the snapshot of what was there before: the same id is asked for again after a crash.
    p.write(&p.tree, "other", "second");
    let before = id();
    snapshot::take(&ask(&p, before)).unwrap();
    p.write(&p.tree, "other", "third, in no snapshot");
    let refused = into(&p, made.id, before).unwrap_err();
    assert!(matches!(&refused, KeepError::Changed { .. }), "{refused}");
    assert_eq!(fs::read_to_string(p.tree.join("other")).unwrap(), "third, in no snapshot");
    into(&p, made.id, id()).unwrap();
}

#[test]
fn a_file_that_is_open_for_writing_is_not_replaced() {
    use std::io::Read as _;
    let p = Place::new();
    p.write(&p.tree, "u.txt", "u");
    let made = take(&p);
    let mut writer = std::process::Command::new("sh")
        .args(["-c", "exec 9>>u.txt; echo; read line"])
        .current_dir(&p.tree)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    writer.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let refused = into(&p, made.id, id());
    writer.kill().unwrap();
    writer.wait().unwrap();
    let refused = refused.unwrap_err();
    assert!(refused.is_passing() && refused.to_string().contains("u.txt"), "{refused}");
    into(&p, made.id, id()).unwrap();
}

#[test]
fn a_snapshot_without_any_commit_becomes_a_worktree_again() {
    let p = Place::new();
    p.git(&p.tree, &["checkout", "-q", "--orphan", "start"]);
    p.write(&p.tree, "loose.txt", "loose");
    let (state, says) = (kept(&p), p.git(&p.tree, &["status", "--porcelain=v2", "--branch"]));
    let made = take(&p);
    p.git(&p.repo, &["worktree", "remove", "-f", "-f", p.tree.to_str().unwrap()]);
    let fresh = FreshAsk {
        id: made.id,
        path: p.tree.clone(),
        repo: p.repo.clone(),
        mark: Mark::new(p.project, p.workspace, None, UnixMillis(5)),
        parks: Uuid::now_v7(),
    };
    restore::into_fresh(&fresh, &p.builder()).unwrap();
    same(&state, &kept(&p));
    assert_eq!(says, p.git(&p.tree, &["status", "--porcelain=v2", "--branch"]));
}

#[test]
fn a_snapshot_becomes_a_worktree_again() {
    let p = Place::new();
    fill(&p);
    let (state, says) = (kept(&p), git_says(&p));
    let made = take(&p);
    mode(&p.tree.join("read-only"), 0o755);
    p.git(&p.repo, &["worktree", "remove", "-f", "-f", p.tree.to_str().unwrap()]);
    p.git(&p.repo, &["branch", "-q", "-D", "work"]);
    p.git(&p.repo, &["gc", "-q", "--prune=now"]);
    // The project is in a directory of its repository.
    let project = p.repo.join("apps/shop");
    fs::create_dir_all(&project).unwrap();
    let fresh = FreshAsk {
        id: made.id,
        path: p.tree.clone(),
        repo: project,
        mark: Mark::new(p.project, p.workspace, None, UnixMillis(5)),
        parks: Uuid::now_v7(),
    };
    let applied = restore::into_fresh(&fresh, &p.builder()).unwrap();
    assert_eq!(applied.before, None);
    same(&state, &kept(&p));
    assert_eq!(says, git_says(&p));
    let found = p.look();
    assert_eq!(found.place, wharf_model::rules::close_check::Place::Ours);
    assert!(p.git(&p.repo, &["worktree", "list", "--porcelain"]).contains("locked wharf workspace"));
    // Repeated: it is there already.
    restore::into_fresh(&fresh, &p.builder()).unwrap();
    same(&state, &kept(&p));
    // Something else has the path.
    let taken = p.root.join("taken");
    p.write(&taken, "stranger", "stays");
    let refused = restore::into_fresh(&FreshAsk { path: taken, ..fresh }, &p.builder());
    assert!(matches!(refused, Err(KeepError::PlaceTaken { .. })), "{refused:?}");
}

#[test]
fn a_later_try_keeps_what_was_changed_since_the_first() {
    let p = Place::new();
    p.write(&p.tree, "u.txt", "first");
    let asked = ask(&p, id());
    let first = snapshot::take_anew(&asked).unwrap();
    assert_eq!(first.iter().map(|s| s.id).collect::<Vec<_>>(), [asked.id]);
    assert_eq!(snapshot::take_anew(&asked).unwrap(), first, "nothing has changed");
    p.write(&p.tree, "u.txt", "second");
    let both = snapshot::take_anew(&asked).unwrap();
    assert_eq!((both.len(), &both[0]), (2, &first[0]));
    assert_eq!(snapshot::take_anew(&asked).unwrap(), both);
    p.write(&p.tree, "u.txt", "third");
    into(&p, both[1].id, id()).unwrap();
    assert_eq!(fs::read_to_string(p.tree.join("u.txt")).unwrap(), "second");
}

#[test]
fn what_is_ignored_does_not_count() {
    let p = Place::new();
    p.write(&p.tree, ".gitignore", "many/\n");
    for n in 0..50 {
        p.write(&p.tree, &format!("many/{n}"), "x");
    }
    let limits = SnapshotLimits { entries: 40, ..SnapshotLimits::default() };
    snapshot::take(&SnapshotAsk { limits, ..ask(&p, id()) }).unwrap();
}

#[test]
fn what_only_the_entry_of_a_lost_directory_reached_is_held() {
    let p = Place::new();
    let made = take(&p);
    p.git(&p.tree, &["checkout", "-q", "--detach"]);
    let left = p.commit(&p.tree, "detached.txt", "detached");
    p.git(&p.tree, &["checkout", "-q", "work"]);
    p.write(&p.tree, "staged.txt", "staged and nowhere else");
    p.git(&p.tree, &["add", "staged.txt"]);
    let staged = p.git(&p.tree, &["rev-parse", ":staged.txt"]);
    fs::remove_dir_all(&p.tree).unwrap();
    let mark = Mark::new(p.project, p.workspace, None, UnixMillis(5));
    let fresh = FreshAsk { id: made.id, path: p.tree.clone(), repo: p.repo.clone(), mark, parks: Uuid::now_v7() };
    let parked = restore::make_room(&fresh).unwrap().expect("git lists it");
    assert_eq!(restore::make_room(&fresh).unwrap(), Some(parked.clone()), "told again");
    let applied = restore::into_fresh(&fresh, &p.builder()).unwrap();
    assert!(applied.notes.iter().any(|n| n.contains(parked.to_str().unwrap())), "{:?}", applied.notes);
    let again = restore::into_fresh(&fresh, &p.builder()).unwrap();
    assert_eq!(again.written, 0, "it is there already");
    p.git(&p.repo, &["gc", "-q", "--prune=now"]);
    for id in [left.trim(), staged.trim()] {
        p.git(&p.repo, &["cat-file", "-e", id]);
    }
}
