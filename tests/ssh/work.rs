//! Workspaces made on a host: the branch, and everything that was not committed.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use wharf::environment::driver::RealiseAsk;

use super::world::{World, dir_of, realise_ask};

/// Runs git in a directory.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=me", "-c", "user.email=me@here", "-c", "init.defaultBranch=main"])
        // As root in the directory of the host's user.
        .args(["-c", "safe.directory=*"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Runs a script as the host's user would.
pub fn there(w: &World, dir: &Path, script: &str) {
    let uid = fs::metadata(&w.host.home).map(|m| std::os::unix::fs::MetadataExt::uid(&m)).unwrap();
    let mut command = if rustix::process::getuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={uid}"), "--clear-groups", "sh", "-ec", script]);
        command
    } else {
        let mut command = Command::new("sh");
        command.args(["-ec", script]);
        command
    };
    let output = command.current_dir(dir).env("HOME", &w.host.home).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A repository with two commits on `work` and every kind of change that is not committed.
pub fn dirty(w: &World, name: &str) -> (PathBuf, RealiseAsk) {
    let root = w.host.path(name);
    fs::create_dir(&root).unwrap();
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    git(&root, &["init", "-q"]);
    for file in ["kept", "changed", "deleted", "made-executable", "became-link", "staged", "d/deep"] {
        write(file, &format!("{file}\nas it was\n"));
    }
    write(".gitignore", "ignored\n");
    git(&root, &["add", "-A"]);
    git(&root, &["commit", "-q", "-m", "first"]);
    git(&root, &["checkout", "-q", "-b", "work"]);
    write("second", "2\n");
    git(&root, &["add", "-A"]);
    git(&root, &["commit", "-q", "-m", "second"]);
    git(&root, &["config", "user.name", "Me Myself"]);
    git(&root, &["config", "user.email", "me@example.org"]);
    write("changed", "changed\nas it is\n");
    fs::remove_file(root.join("deleted")).unwrap();
    fs::set_permissions(root.join("made-executable"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(root.join("became-link")).unwrap();
    symlink("kept", root.join("became-link")).unwrap();
    write("staged", "staged\nas it is\n");
    git(&root, &["add", "staged"]);
    write("new/untracked ü", "new\n");
    write("ignored", "stays here\n");
    let ask = realise_ask(&root, "work");
    (root, ask)
}

/// What an operator sees of a checkout.
pub fn state(root: &Path) -> (String, String, String) {
    (
        git(root, &["status", "--porcelain=v1", "-uall"]),
        git(root, &["rev-parse", "HEAD"]),
        git(root, &["for-each-ref", "refs/heads"]),
    )
}

#[test]
fn the_branch_and_everything_that_is_not_committed_is_there() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let (root, ask) = dirty(&w, "repo");
    let before = state(&root);
    let index = fs::read(root.join(".git/index")).unwrap();
    let realised = w.realise(&*driver, &lease, &ask);
    assert_eq!(state(&root), before);
    assert_eq!(fs::read(root.join(".git/index")).unwrap(), index, "the operator's index is only read");
    assert_eq!(realised.sync, "ssh_git_import_export");
    let work = PathBuf::from(&realised.cwd);
    assert!(work.starts_with(dir_of(&lease)));
    assert_eq!(git(&work, &["symbolic-ref", "HEAD"]), "refs/heads/work");
    assert_eq!(git(&work, &["rev-parse", "HEAD"]), before.1);
    assert_eq!(git(&work, &["log", "--format=%s"]), "second\nfirst");
    assert_eq!(git(&work, &["config", "--local", "user.email"]), "me@example.org");
    // All of it is uncommitted there too; what was staged is not staged any more.
    let unstaged = |line: &str| line.replace("M  staged", " M staged");
    let lines = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(unstaged).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&state(&work).0), lines(&before.0));
    assert_eq!(fs::read_to_string(work.join("changed")).unwrap(), "changed\nas it is\n");
    assert_eq!(fs::read_to_string(work.join("new/untracked ü")).unwrap(), "new\n");
    assert_eq!(fs::read_link(work.join("became-link")).unwrap(), Path::new("kept"));
    assert_ne!(fs::metadata(work.join("made-executable")).unwrap().permissions().mode() & 0o100, 0);
    assert!(!work.join("deleted").exists() && !work.join("ignored").exists());

    // Asked again before anything ran it is the same, also after a crash in the middle.
    let again = w.realise(&*driver, &lease, &ask);
    assert_eq!((&again.cwd, &again.record["sent"]), (&realised.cwd, &realised.record["sent"]));
    assert_eq!(again.record["again"], true);
    // What was made ready there since is not wiped, whatever became of the checkout here.
    there(&w, &work, "echo p > provisioned");
    fs::write(root.join("later"), "l").unwrap();
    let again = w.realise(&*driver, &lease, &ask);
    assert_eq!((&again.record["again"], &again.record["sent"]), (&true.into(), &realised.record["sent"]));
    assert_eq!(again.record["head"], realised.record["head"]);
    assert!(work.join("provisioned").exists() && !work.join("later").exists());
    fs::remove_file(root.join("later")).unwrap();
    there(&w, &work, "rm -f .git/wharf-realised changed; : > .git/index.lock; echo x > stray");
    let again = w.realise(&*driver, &lease, &ask);
    assert_eq!(lines(&state(Path::new(&again.cwd)).0), lines(&before.0));
    w.release(&*driver, &lease);
}

#[test]
fn the_next_lease_is_sent_only_what_is_new() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let (root, ask) = dirty(&w, "repo");
    fs::write(root.join("big"), super::stream::pattern(5, 2 << 20)).unwrap();
    let first = w.acquire(&*driver);
    let all = w.realise(&*driver, &first, &ask).record["bytes"].as_u64().unwrap();
    w.release(&*driver, &first);
    fs::write(root.join("one-more"), "1").unwrap();
    let second = w.acquire(&*driver);
    let mut next = realise_ask(&root, "work");
    next.cwd = root.join("d");
    let realised = w.realise(&*driver, &second, &next);
    let new = realised.record["bytes"].as_u64().unwrap();
    assert!(all > 2 << 20 && new < 4_096, "{all} {new}");
    assert!(realised.cwd.ends_with("/d"));
    assert!(Path::new(&realised.cwd).join("../one-more").exists());
    git(Path::new(&realised.cwd), &["fsck", "--no-dangling"]);
    w.release(&*driver, &second);
}

#[test]
fn odd_repositories_are_carried_as_well() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    // Without a commit.
    let unborn = w.host.path("unborn");
    fs::create_dir(&unborn).unwrap();
    git(&unborn, &["init", "-q"]);
    fs::write(unborn.join("a"), "a").unwrap();
    let realised = w.realise(&*driver, &lease, &realise_ask(&unborn, "main"));
    assert_eq!(git(Path::new(&realised.cwd), &["status", "--porcelain"]), "?? a");
    // A head without a branch, in a clone without history.
    let (root, _) = dirty(&w, "repo");
    let shallow = w.host.path("shallow");
    let url = format!("file://{}", root.display());
    git(w.host.root.path(), &["clone", "-q", "--depth=1", &url, shallow.to_str().unwrap()]);
    git(&shallow, &["checkout", "-q", "--detach"]);
    let mut ask = realise_ask(&shallow, "");
    ask.branch = None;
    let realised = w.realise(&*driver, &lease, &ask);
    let work = Path::new(&realised.cwd);
    assert_eq!(git(work, &["rev-parse", "--abbrev-ref", "HEAD"]), "HEAD");
    assert_eq!(git(work, &["log", "--format=%s"]), "second");
    // A hook and a monitor of the repository do not run for us.
    let ran = w.host.path("ran");
    let script = format!("#!/bin/sh\ntouch {}\n", ran.display());
    for name in ["post-index-change", "reference-transaction", "pre-commit", "monitor"] {
        let path = root.join(".git/hooks").join(name);
        fs::write(&path, &script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    git(&root, &["config", "core.fsmonitor", root.join(".git/hooks/monitor").to_str().unwrap()]);
    let _gone = fs::remove_file(&ran);
    w.realise(&*driver, &lease, &realise_ask(&root, "work"));
    assert!(!ran.exists());
    w.release(&*driver, &lease);
}
