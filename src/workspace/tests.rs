//! The whole way on real repositories.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;
use wharf_model::WorkspaceId;
use wharf_model::rules::branch::{is_valid, sanitise};

use wharf_model::config::{WorkspaceMode, WorkspaceStrategy as Way};

use super::choose::{Choice, choose};
use super::inspect::{self, Head, Place};
use super::lock::WorktreeLock;
use super::mark::{self, WORKTREE_FILE};
use super::plan::{Plan, Wanted};
use super::scratch::{Scratch, operator, run};
use super::worktree::{Git, LockReason};
use super::{WorkspaceError, base_ref, facts, facts_for, parent, project_id};

fn assert_all(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is missing in: {message}");
    }
}

#[test]
fn makes_a_worktree_locks_marks_and_hides_it() {
    let s = Scratch::new();
    let made = s.realise(&s.wanted("SHOP-1-fix"));
    assert_eq!(made.path, s.repo.join(".wharf/worktrees/SHOP-1-fix"));
    assert!(made.created && made.created_branch);
    assert_all(&made.note, &["SHOP-1-fix", "HEAD"]);
    assert_eq!(fs::read_to_string(made.path.join("a.txt")).unwrap(), "a\n");
    assert_eq!(s.git(&made.path, &["branch", "--show-current"]), "SHOP-1-fix");
    assert_eq!(s.git(&s.repo, &["status", "--porcelain"]), "", "the project stays clean");
    assert_eq!(s.git(&made.path, &["status", "--porcelain", "--ignored"]), "", "so does the worktree");
    let mark = mark::read(&made.private_dir.join(WORKTREE_FILE)).unwrap().unwrap();
    assert_eq!((mark.workspace, mark.created_branch), (s.workspace, true));
    let list = s.git(&s.repo, &["worktree", "list", "--porcelain"]);
    assert_all(&list, &[&format!("locked wharf workspace {}, new branch", s.workspace)]);
}

#[test]
fn reuses_its_own_and_keeps_work_and_origin() {
    let s = Scratch::new();
    let made = s.realise(&s.wanted("b/c"));
    fs::write(made.path.join("new.txt"), "work").unwrap();
    let again = s.realise(&s.wanted("b/c"));
    assert!(!again.created && again.created_branch);
    assert_eq!(again.path, made.path);
    assert_eq!(fs::read_to_string(made.path.join("new.txt")).unwrap(), "work");
    // The same from inside the worktree, and after the parent was set elsewhere.
    let inside = Wanted { directory: &made.path, ..s.wanted("b/c") };
    assert_eq!(s.realise(&inside).path, made.path);
    let elsewhere = Wanted { parent: Some("other"), ..s.wanted("b/c") };
    assert_eq!(s.realise(&elsewhere).path, made.path);
}

#[test]
fn a_project_below_the_root_works_in_the_same_place() {
    let s = Scratch::new();
    let sub = s.repo.join("packages/web");
    fs::create_dir_all(&sub).unwrap();
    let wanted = Wanted { directory: &sub, ..s.wanted("b") };
    let facts = facts_for(&wanted).unwrap();
    let absent = s.carry_out(&facts, &super::plan::decide(&facts)).unwrap_err().to_string();
    assert_all(&absent, &["branch b", "packages/web", "commit it"]);
    fs::write(sub.join("x"), "").unwrap();
    s.git(&s.repo, &["add", "packages"]);
    s.git(&s.repo, &["commit", "-q", "-m", "web"]);
    let made = s.realise(&Wanted { branch: "c", ..wanted });
    assert_eq!(made.path, s.repo.join(".wharf/worktrees/c"));
    assert_eq!(made.cwd, made.path.join("packages/web"));
    // The mark was written all the same, so the first one is ours to mend.
    s.git(&s.repo.join(".wharf/worktrees/b"), &["merge", "-q", "main"]);
    assert!(!s.realise(&wanted).created);
}

#[test]
fn attaches_a_free_branch_without_claiming_it() {
    let s = Scratch::new();
    s.git(&s.repo, &["branch", "there"]);
    let made = s.realise(&s.wanted("there"));
    assert!(made.created && !made.created_branch);
    assert_eq!(s.git(&made.path, &["branch", "--show-current"]), "there");
}

#[test]
fn another_workspace_is_not_reused() {
    let s = Scratch::new();
    s.realise(&s.wanted("b"));
    let other = Wanted { workspace: WorkspaceId(Uuid::now_v7()), ..s.wanted("b") };
    assert_all(&s.refusal(&other), &["worktrees/b", "of workspace", &s.workspace.to_string(), "archive"]);
}

#[test]
fn a_branch_checked_out_elsewhere_is_refused() {
    let s = Scratch::new();
    assert_all(
        &s.refusal(&s.wanted("main")),
        &["branch main", "worktrees/main", "the project's own checkout", "switch"],
    );
    let hand = s.root.join("by-hand");
    s.git(&s.repo, &["worktree", "add", "-q", "-b", "topic", hand.to_str().unwrap()]);
    assert_all(
        &s.refusal(&s.wanted("topic")),
        &["branch topic", hand.to_str().unwrap(), "not made by wharf", "remove"],
    );
    fs::remove_dir_all(&hand).unwrap();
    assert_all(&s.refusal(&s.wanted("topic")), &["directory is gone", "git worktree prune"]);
}

#[test]
fn whatever_takes_the_path_is_named_and_left_alone() {
    let s = Scratch::new();
    let parent = s.repo.join(".wharf/worktrees");
    fs::create_dir_all(&parent).unwrap();
    fs::write(parent.join("file"), "x").unwrap();
    assert_all(&s.refusal(&s.wanted("file")), &["worktrees/file", "taken by a file", "move it away"]);
    fs::create_dir_all(parent.join("dir/sub")).unwrap();
    assert_all(&s.refusal(&s.wanted("dir")), &["a directory that is no worktree"]);
    symlink(&s.repo, parent.join("link")).unwrap();
    assert!(matches!(facts_for(&s.wanted("link")), Err(WorkspaceError::Outside { .. })));
    fs::create_dir(parent.join("inner")).unwrap();
    symlink("inner", parent.join("link-in")).unwrap();
    assert_all(&s.refusal(&s.wanted("link-in")), &["a symbolic link"]);
    s.init(&parent.join("clone"));
    assert_all(&s.refusal(&s.wanted("clone")), &["another repository", "clone/.git"]);
    fs::create_dir(parent.join("broken")).unwrap();
    fs::write(parent.join("broken/.git"), "gitdir: /nowhere\n").unwrap();
    assert_all(&s.refusal(&s.wanted("broken")), &["git cannot open", "git worktree repair"]);
    // Another repository's worktree.
    let other = s.root.join("other");
    s.init(&other);
    s.git(&other, &["worktree", "add", "-q", "-b", "x", parent.join("foreign").to_str().unwrap()]);
    assert_all(&s.refusal(&s.wanted("foreign")), &["another repository", "other/.git"]);
    // A worktree of this repository that is not ours.
    s.git(&s.repo, &["worktree", "add", "-q", "-b", "hand", parent.join("hand").to_str().unwrap()]);
    assert_all(&s.refusal(&s.wanted("hand")), &["not of this workspace", "not made by wharf"]);
    assert_all(&s.refusal(&s.wanted("hand/deeper")), &["inside the worktree", "worktrees/hand"]);
    fs::create_dir(parent.join("empty")).unwrap();
    assert!(s.realise(&s.wanted("empty")).created, "an empty directory is no obstacle");
}

#[test]
fn branches_in_the_way_are_named() {
    let s = Scratch::new();
    s.git(&s.repo, &["branch", "a"]);
    s.git(&s.repo, &["branch", "x/y"]);
    assert_all(&s.refusal(&s.wanted("a/b")), &["branch a/b", "beside branch a,", "rename"]);
    assert_all(&s.refusal(&s.wanted("x")), &["branch x ", "beside branch x/y"]);
}

#[test]
fn a_worktree_off_its_branch_is_refused() {
    let s = Scratch::new();
    let made = s.realise(&s.wanted("b"));
    s.git(&made.path, &["checkout", "-q", "--detach"]);
    assert_all(&s.refusal(&s.wanted("b")), &["not on its branch b", "detached", "switch b"]);
    s.git(&made.path, &["switch", "-q", "-c", "agents-own"]);
    assert_all(&s.refusal(&s.wanted("b")), &["agents-own"]);
}

#[test]
fn a_lost_directory_is_restored_with_its_origin() {
    let s = Scratch::new();
    let made = s.realise(&s.wanted("b"));
    s.git(&made.path, &["commit", "-q", "--allow-empty", "-m", "work"]);
    let tip = s.git(&made.path, &["rev-parse", "HEAD"]);
    fs::remove_dir_all(&made.path).unwrap();
    let back = s.realise(&s.wanted("b"));
    assert!(back.created && back.created_branch);
    assert_all(&back.note, &["restored"]);
    assert_eq!(s.git(&back.path, &["rev-parse", "HEAD"]), tip);
    // Even when the branch went too.
    fs::remove_dir_all(&back.path).unwrap();
    s.git(&s.repo, &["update-ref", "-d", "refs/heads/b"]);
    assert!(s.realise(&s.wanted("b")).created);
}

#[test]
fn a_cut_off_attempt_is_completed_or_redone() {
    let s = Scratch::new();
    let wanted = s.wanted("b");
    let facts = facts_for(&wanted).unwrap();
    let plan = super::plan::decide(&facts);
    super::realise::prepare(&facts, &plan).unwrap();
    assert!(run(&s.commands(&plan)[0]).status.success());
    // Cut off between git and the mark.
    let Plan::Reuse { complete_mark: Some(true), .. } = s.plan(&wanted) else { panic!("{:?}", s.plan(&wanted)) };
    let other = Wanted { workspace: WorkspaceId(Uuid::now_v7()), ..wanted };
    assert_all(&s.refusal(&other), &["begun for workspace"]);
    // Cut off in the checkout: git has not written the index yet.
    let entry = inspect::worktrees(&facts.repo).unwrap().pop().unwrap();
    fs::remove_file(entry.private_dir.join("index")).unwrap();
    fs::remove_file(entry.path.join("a.txt")).unwrap();
    let Plan::Redo { .. } = s.plan(&wanted) else { panic!("{:?}", s.plan(&wanted)) };
    let made = s.realise(&wanted);
    assert!(made.created_branch && made.path.join("a.txt").exists());
    let Plan::Reuse { complete_mark: None, .. } = s.plan(&wanted) else { panic!() };
}

#[test]
fn a_git_killed_in_its_checkout_leaves_a_torso_that_is_redone() {
    let s = Scratch::new();
    fs::write(s.repo.join(".gitattributes"), "z.txt filter=deadly\n").unwrap();
    fs::write(s.repo.join("z.txt"), "z").unwrap();
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-q", "-m", "filtered"]);
    // The filter's shell is a child of the git that checks out, which is one of the git we start;
    // the latter must not live to tidy up.
    let filter = "up=$(cut -d' ' -f4 /proc/$PPID/stat); [ \"$(cat /proc/$up/comm)\" = git ] && kill -9 $up $PPID";
    s.git(&s.repo, &["config", "filter.deadly.smudge", filter]);
    let wanted = s.wanted("b");
    let facts = facts_for(&wanted).unwrap();
    let plan = super::plan::decide(&facts);
    super::realise::prepare(&facts, &plan).unwrap();
    assert_eq!(run(&s.commands(&plan)[0]).status.code(), None, "git was killed");
    assert!(super::realise::finish(&facts.repo, &plan, s.owner()).is_err(), "a torso is never marked");
    let other = Wanted { workspace: WorkspaceId(Uuid::now_v7()), ..wanted };
    assert_all(&s.refusal(&other), &["begun for workspace"]);
    let Plan::Redo { .. } = s.plan(&wanted) else { panic!("{:?}", s.plan(&wanted)) };
    s.git(&s.repo, &["config", "--unset", "filter.deadly.smudge"]);
    let made = s.realise(&wanted);
    assert!(made.created && made.created_branch && made.path.join("z.txt").exists());
}

#[test]
fn many_at_once_take_turns() {
    let s = Scratch::new();
    let common = s.repo.join(".git");
    let create = |branch: &str| {
        let _turn = WorktreeLock::acquire(&common, Duration::from_mins(1), branch).unwrap();
        s.realise(&s.wanted(branch)).created
    };
    let same: Vec<bool> = thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| create("same"))).collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(same.iter().filter(|made| **made).count(), 1);
    let each = ["one", "two", "three", "four"];
    thread::scope(|scope| {
        let all: Vec<_> = each.iter().map(|b| scope.spawn(|| create(b))).collect();
        assert!(all.into_iter().all(|t| t.join().unwrap()));
    });
}

#[test]
fn a_damaged_mark_keeps_hands_off() {
    let s = Scratch::new();
    let made = s.realise(&s.wanted("b"));
    fs::write(made.private_dir.join(WORKTREE_FILE), "{").unwrap();
    assert_all(&s.refusal(&s.wanted("b")), &["damaged", "wharf.json"]);
}

#[test]
fn bad_projects_have_their_own_errors() {
    let s = Scratch::empty();
    let ask = |dir: &Path| facts_for(&Wanted { directory: dir, ..s.wanted("b") }).unwrap_err();
    assert!(matches!(ask(&s.repo), WorkspaceError::NotARepository { .. }));
    assert!(matches!(ask(&s.root.join("gone")), WorkspaceError::Missing { .. }));
    fs::write(s.root.join("f"), "").unwrap();
    assert!(matches!(ask(&s.root.join("f")), WorkspaceError::NotADirectory { .. }));
    s.git(&s.repo, &["init", "-q", "-b", "trunk"]);
    let WorkspaceError::NoCommit { branch, .. } = ask(&s.repo) else { panic!() };
    assert_eq!(branch, "trunk");
    let bare = s.root.join("bare.git");
    fs::create_dir(&bare).unwrap();
    s.git(&bare, &["init", "-q", "--bare"]);
    assert!(matches!(ask(&bare), WorkspaceError::Bare { .. }));
    let broken = s.root.join("broken");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join(".git"), "nonsense").unwrap();
    assert!(matches!(ask(&broken), WorkspaceError::Git { .. }));
}

#[test]
fn bases_are_chosen_in_order_and_written_ones_must_exist() {
    let s = Scratch::new();
    let name = |configured, repo_ref| {
        let repo = inspect::checkout(&s.repo).unwrap();
        base_ref::choose(&repo, configured, repo_ref).map(|b| b.name)
    };
    assert_eq!(name(None, None).unwrap(), "HEAD");
    s.git(&s.repo, &["update-ref", "refs/remotes/origin/master", "HEAD"]);
    assert_eq!(name(None, None).unwrap(), "origin/master");
    s.git(&s.repo, &["update-ref", "refs/remotes/origin/main", "HEAD"]);
    assert_eq!(name(None, None).unwrap(), "origin/main");
    s.git(&s.repo, &["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/gone"]);
    assert_eq!(name(None, None).unwrap(), "origin/main", "a default branch that is gone is passed over");
    s.git(&s.repo, &["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/master"]);
    assert_eq!(name(None, None).unwrap(), "origin/HEAD");
    s.git(&s.repo, &["tag", "v1"]);
    assert_eq!(name(None, Some("v1")).unwrap(), "v1");
    assert_eq!(name(Some("main"), Some("v1")).unwrap(), "main");
    assert_eq!(name(Some(" "), None).unwrap(), "origin/HEAD");
    for bad in ["nope", "-h", ":/first", "main@{0}"] {
        let error = name(Some(bad), None).unwrap_err().to_string();
        assert_all(&error, &[bad, "`base_ref` in [workspace]", "fetch it"]);
    }
    let wanted = Wanted { repo_ref: Some("nope"), ..s.wanted("b") };
    assert_all(&s.refusal(&wanted), &["nothing to start from", "nope", "the project's repository ref"]);
}

#[test]
fn a_new_branch_follows_no_remote() {
    let s = Scratch::new();
    s.git(&s.repo, &["remote", "add", "origin", "https://example.invalid/shop.git"]);
    s.git(&s.repo, &["update-ref", "refs/remotes/origin/main", "HEAD"]);
    s.git(&s.repo, &["config", "branch.autoSetupMerge", "always"]);
    let made = s.realise(&Wanted { base_ref: Some("origin/main"), ..s.wanted("b") });
    assert_eq!(s.git(&made.path, &["for-each-ref", "--format=%(upstream)", "refs/heads/b"]), "");
    let repo = inspect::checkout(&s.repo).unwrap();
    assert_eq!(repo.origin_url.as_deref(), Some("https://example.invalid/shop.git"));
}

#[test]
fn parents_table() {
    let s = Scratch::new();
    let home = s.root.join("home");
    fs::create_dir(&home).unwrap();
    let linked = s.realise(&s.wanted("linked")).path;
    symlink(&s.root, s.repo.join("away")).unwrap();
    let repo = inspect::checkout(&s.repo).unwrap();
    let worktrees = inspect::worktrees(&repo).unwrap();
    let locate = |setting: &str| parent::locate(Some(setting), &repo, &worktrees, Some(&home));
    assert_eq!(locate("").unwrap(), s.repo.join(".wharf/worktrees"));
    assert_eq!(locate("w").unwrap(), s.repo.join("w"));
    assert_eq!(locate("~/w").unwrap(), home.join("w"));
    assert_eq!(locate(s.root.join("abs").to_str().unwrap()).unwrap(), s.root.join("abs"));
    for outside in ["../w", "away/w", ".", ".git/w", s.repo.to_str().unwrap(), linked.join("w").to_str().unwrap()] {
        let answer = locate(outside);
        assert!(matches!(answer, Err(WorkspaceError::ParentOutside { .. })), "{outside}: {answer:?}");
    }
    assert!(matches!(parent::locate(Some("~/w"), &repo, &[], None), Err(WorkspaceError::ParentOutside { .. })));
    fs::write(s.repo.join("file"), "").unwrap();
    assert!(locate("file/w").is_err());
    for unwritable in [Path::new("/proc/wharf/w"), &s.repo.join("file")] {
        let answer = parent::prepare(unwritable, &s.repo);
        assert!(matches!(answer, Err(WorkspaceError::ParentUnwritable { .. })), "{answer:?}");
    }
    // Outside the project nothing is hidden, as nothing would be shown.
    let abs = s.root.join("abs");
    let made = s.realise(&Wanted { parent: abs.to_str(), ..s.wanted("far") });
    assert!(made.path.starts_with(&abs) && !abs.join(".gitignore").exists());
}

#[test]
fn a_linked_worktree_knows_its_main_checkout() {
    let s = Scratch::new();
    let made = s.realise(&s.wanted("b"));
    fs::create_dir(made.path.join("sub")).unwrap();
    let repo = inspect::checkout(&made.path.join("sub")).unwrap();
    assert!(repo.linked);
    assert_eq!(repo.top_level.as_ref(), Some(&made.path));
    assert_eq!(repo.main_checkout.as_ref(), Some(&s.repo));
    assert_eq!(repo.common_dir, s.repo.join(".git"));
    assert_eq!(repo.head.branch(), Some("b"));
    let main = inspect::checkout(&s.repo).unwrap();
    assert!(!main.linked && matches!(main.head, Head::Branch { .. }));
    let list = inspect::worktrees(&main).unwrap();
    assert_eq!(
        list.iter().map(|w| (w.main, w.branch.as_deref())).collect::<Vec<_>>(),
        [(true, Some("main")), (false, Some("b"))]
    );
    // One identity for all worktrees.
    let id = project_id::ensure(&inspect::inspect(&made.path).unwrap(), None).unwrap();
    assert_eq!(project_id::ensure(&inspect::inspect(&s.repo).unwrap(), None).unwrap(), (id.0, false));
}

#[test]
fn a_git_directory_kept_elsewhere_works() {
    let s = Scratch::empty();
    let store = s.root.join("store.git");
    s.git(&s.repo, &["init", "-q", "-b", "main", "--separate-git-dir", store.to_str().unwrap()]);
    s.git(&s.repo, &["commit", "-q", "--allow-empty", "-m", "first"]);
    let made = s.realise(&s.wanted("b"));
    assert_eq!(made.path, s.repo.join(".wharf/worktrees/b"));
    let linked = inspect::checkout(&made.path).unwrap();
    assert_eq!((linked.common_dir, linked.main_checkout), (store, None), "nobody can tell, so nobody guesses");
}

#[test]
fn a_checkout_of_a_bare_repository_is_a_project_too() {
    let s = Scratch::new();
    s.git(&s.root, &["clone", "-q", "--bare", "shop", "bare.git"]);
    let checkout = s.root.join("checkout");
    s.git(&s.root.join("bare.git"), &["worktree", "add", "-q", checkout.to_str().unwrap(), "main"]);
    let made = {
        let wanted = Wanted { directory: &checkout, ..s.wanted("b") };
        let facts = facts_for(&wanted).unwrap();
        let plan = super::plan::decide(&facts);
        super::realise::prepare(&facts, &plan).unwrap();
        let git = Git::new(&checkout, operator());
        for command in super::realise::commands(&plan, &git, s.workspace).unwrap() {
            assert!(run(&command).status.success());
        }
        super::realise::finish(&facts.repo, &plan, s.owner()).unwrap()
    };
    assert_eq!(made.path, checkout.join(".wharf/worktrees/b"));
    assert_eq!(s.git(&checkout, &["status", "--porcelain"]), "");
    let held = Wanted { directory: &checkout, ..s.wanted("main") };
    assert_all(&s.refusal(&held), &["branch main", checkout.to_str().unwrap()]);
}

#[test]
fn removing_takes_lock_entry_and_directory() {
    let s = Scratch::new();
    let made = s.realise(&s.wanted("b"));
    fs::write(made.path.join("untracked"), "").unwrap();
    let git = Git::new(&s.repo, operator());
    assert!(!run(&git.remove(&made.path, false)).status.success(), "a locked one stays");
    assert!(run(&git.unlock(&made.path)).status.success());
    assert!(!run(&git.remove(&made.path, false)).status.success(), "one with changes stays");
    let lock = LockReason { workspace: s.workspace, new_branch: true };
    assert!(run(&git.lock(&made.path, lock)).status.success());
    assert!(run(&git.remove(&made.path, true)).status.success());
    assert!(!made.path.exists() && !made.private_dir.exists());
    assert!(run(&git.delete_merged_branch("b")).status.success());
    assert!(run(&git.prune()).status.success());
    assert_eq!(inspect::worktrees(&inspect::checkout(&s.repo).unwrap()).unwrap().len(), 1);
}

#[test]
fn hooks_of_the_repository_do_not_run() {
    let s = Scratch::new();
    let hook = s.repo.join(".git/hooks/post-checkout");
    fs::write(&hook, "#!/bin/sh\ntouch \"$(git rev-parse --git-common-dir)/hook-ran\"\n").unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    s.realise(&s.wanted("b"));
    assert!(!s.repo.join(".git/hook-ran").exists());
    s.git(&s.repo, &["worktree", "add", "-q", "-b", "c", s.root.join("c").to_str().unwrap()]);
    assert!(s.repo.join(".git/hook-ran").exists(), "the hook itself works");
}

#[test]
fn repair_after_a_move() {
    let s = Scratch::new();
    s.realise(&s.wanted("b"));
    let moved = s.root.join("moved");
    fs::rename(&s.repo, &moved).unwrap();
    let wanted = Wanted { directory: &moved, ..s.wanted("b") };
    let path = moved.join(".wharf/worktrees/b");
    assert_all(&s.refusal(&wanted), &["git worktree repair", path.to_str().unwrap()]);
    let git = Git::new(&moved, operator());
    assert!(run(&git.repair(&[&path])).status.success());
    assert!(matches!(s.plan(&wanted), Plan::Reuse { complete_mark: None, .. }));
}

#[test]
fn facts_count_changes_and_distance() {
    let s = Scratch::new();
    let made = s.realise(&s.wanted("b"));
    let clean = facts::observe(&made.path, Some("main")).unwrap();
    assert!(!clean.is_dirty());
    assert_eq!(clean.branch.as_deref(), Some("b"));
    fs::write(made.path.join("a.txt"), "changed").unwrap();
    fs::create_dir(made.path.join("new")).unwrap();
    fs::write(made.path.join("new/1"), "").unwrap();
    fs::write(made.path.join("new/2"), "").unwrap();
    s.git(&made.path, &["commit", "-q", "--allow-empty", "-m", "one"]);
    s.git(&made.path, &["commit", "-q", "--allow-empty", "-m", "two"]);
    s.git(&s.repo, &["commit", "-q", "--allow-empty", "-m", "three"]);
    let facts = facts::observe(&made.path, Some("main")).unwrap();
    assert_eq!((facts.changed, facts.untracked, facts.conflicted), (1, 1, 0));
    assert_eq!(facts.listed, ["a.txt", "new/"]);
    assert_eq!(facts.ahead.map(|b| (b.count, b.complete)), Some((2, true)));
    assert_eq!(facts.behind.map(|b| (b.count, b.complete)), Some((1, true)));
    assert!(facts::observe(&made.path, Some("nope")).is_err());
    assert_eq!(facts::observe(&made.path, None).unwrap().ahead, None);
    assert_eq!(facts::observe(&made.path.join("new"), None).unwrap().changed, 1, "a place in it will do");
}

#[test]
fn choice_table() {
    let (plain, unborn, full) = (Scratch::empty(), Scratch::empty(), Scratch::new());
    unborn.git(&unborn.repo, &["init", "-q"]);
    let answer = |s: &Scratch, mode, strategy| {
        choose(s.repo.clone(), inspect::inspect(&s.repo).unwrap(), mode, strategy).map(|c| match c {
            Choice::Worktree { .. } => "worktree",
            Choice::Directory { mode: WorkspaceMode::Shared, .. } => "shared",
            Choice::Directory { .. } => "directory",
            Choice::AgentHome => "home",
        })
    };
    let isolated = Some(WorkspaceMode::Isolated);
    assert_eq!(answer(&full, None, None).unwrap(), "worktree");
    assert_eq!(answer(&full, isolated, None).unwrap(), "worktree");
    assert_eq!(answer(&full, isolated, Some(Way::ProjectPrimary)).unwrap(), "directory");
    assert_eq!(answer(&full, Some(WorkspaceMode::Shared), Some(Way::GitWorktree)).unwrap(), "shared");
    assert_eq!(answer(&full, Some(WorkspaceMode::OperatorBranch), None).unwrap(), "directory");
    assert_eq!(answer(&full, Some(WorkspaceMode::AgentDefault), None).unwrap(), "home");
    assert_eq!(answer(&plain, None, None).unwrap(), "shared");
    assert!(matches!(answer(&plain, isolated, None), Err(WorkspaceError::NotARepository { .. })));
    assert!(matches!(answer(&plain, None, Some(Way::GitWorktree)), Err(WorkspaceError::NotARepository { .. })));
    assert_eq!(answer(&plain, Some(WorkspaceMode::Shared), None).unwrap(), "shared");
    assert_eq!(answer(&unborn, None, None).unwrap(), "shared");
    assert!(matches!(answer(&unborn, isolated, None), Err(WorkspaceError::NoCommit { .. })));
    assert!(matches!(inspect::inspect(&plain.repo).unwrap(), Place::Plain(_)));
}

proptest! {
    #[test]
    fn our_rule_for_branches_is_never_laxer_than_libgit2s(text in r"([a-z./_@{} ~^:?*\[\\-]|\.lock|\PC){0,40}") {
        if is_valid(&text) {
            prop_assert!(git2::Reference::is_valid_name(&format!("refs/heads/{text}")), "{text:?}");
        }
        let name = sanitise(&text);
        prop_assert_eq!(git2::Branch::name_is_valid(&name), Ok(true), "{:?}", name);
    }
}
