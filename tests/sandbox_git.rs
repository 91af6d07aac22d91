//! git in a sandbox: what works inside, and that nothing written there runs outside.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod sandbox_common;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sandbox_common::*;
use serde_json::json;
use wharf::environment::driver::Answer;
use wharf::process::landlock;
use wharf::workspace::worktree::{CommandSpec, Git};

/// Runs one of our own git commands.
fn ours(world: &World, main: &Path, make: impl FnOnce(&Git) -> CommandSpec) {
    let operator = world.site.operator.iter().map(|(k, v)| (k.into(), v.into()));
    let spec = make(&Git::new(main, operator));
    let out = std::process::Command::new(&spec.argv[0])
        .args(&spec.argv[1..])
        .current_dir(&spec.cwd)
        .env_clear()
        .envs(&spec.env)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}: {}", spec.display(), text(&out.stderr));
}

fn worktree(world: &World) -> (PathBuf, PathBuf, Box) {
    let (main, tree) = world.repository();
    let inside = Box::new(world, &bubblewrap(json!({})), &tree, Some(&main.join(".git")));
    (main, tree, inside)
}

#[test]
fn a_worktree_can_be_worked_in() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let (main, tree, inside) = worktree(&world);
    world.git(&main, &["pack-refs", "--all"]);
    let script = "set -e
        echo 2 >> file; git add file; git commit -q -m second
        git status --porcelain
        git branch side; git tag mark; git checkout -q side; git commit -q --allow-empty -m third
        git checkout -q fix; git fetch -q . side:fetched; git merge -q side; git rebase -q main 2>/dev/null
        echo 3 >> file; git stash -q 2>/dev/null; git stash list; git stash pop -q 2>/dev/null; git checkout -q file
        git log --oneline | wc -l; git fsck --no-dangling 2>&1 | grep -v ^notice: || true";
    let told = inside.out(script);
    assert!(told.contains("stash@{0}") && told.contains("\n3\n"), "{told}");
    assert_eq!(world.git(&main, &["log", "--format=%s", "fix"]), "third\nsecond\nfirst\n");
    assert_eq!(world.git(&main, &["log", "--format=%an", "-1", "fetched"]), "Ann\n");
    assert_eq!(world.git(&tree, &["status", "--porcelain"]), "");
    // Outside it goes on while the sandbox lives: refs that are packed are seen as they are.
    world.git(&main, &["pack-refs", "--all"]);
    assert_eq!(inside.out("git rev-parse HEAD"), world.git(&main, &["rev-parse", "fix"]));
    let record = &inside.realised.as_ref().unwrap().record;
    assert!(record["mounts"].as_array().unwrap().len() > 5 && !record["notes"].as_array().unwrap().is_empty());
}

/// A program that leaves a trace outside, at a place that exists there and inside.
fn hostile(world: &World, tree: &Path) -> (String, PathBuf) {
    let trace = world.path("home/src/RAN");
    let script = tree.join("evil.sh");
    std::fs::write(&script, format!("#!/bin/sh\necho ran >> {}\n", trace.display())).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    (script.display().to_string(), trace)
}

#[test]
fn nothing_that_is_written_inside_runs_outside() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let (main, tree, inside) = worktree(&world);
    // So that a worktree's own config would count.
    world.git(&main, &["config", "extensions.worktreeConfig", "true"]);
    let (evil, trace) = hostile(&world, &tree);
    let git = main.join(".git").display().to_string();
    let entry = format!("{git}/worktrees/fix");
    let attack = format!(
        r"
        for hook in post-commit pre-commit post-checkout post-index-change reference-transaction pre-auto-gc; do
            cp {evil} {git}/hooks/$hook
        done
        git config core.fsmonitor {evil}; git config core.hooksPath {tree}/hooks; git config alias.status '!{evil}'
        git config --worktree core.fsmonitor {evil}
        printf '[core]\nfsmonitor = {evil}\n' > /tmp/config
        mkdir -p hooks fake/objects fake/refs; cp {evil} hooks/post-commit; cp /tmp/config fake/config; echo ref: refs/heads/fix > fake/HEAD
        for name in config config.worktree HEAD index commondir packed-refs description info/attributes info/exclude info/grafts shallow; do
            cat /tmp/config >> {git}/$name; cp /tmp/config {git}/$name.new && mv {git}/$name.new {git}/$name
            rm -f {git}/$name; ln -s /tmp/config {git}/$name
        done
        echo {tree}/fake > {git}/commondir
        for name in config.worktree commondir gitdir locked; do
            cp /tmp/config {entry}/$name; rm -f {entry}/$name; mv {entry}/$name {entry}/was; ln -s {tree}/fake/config {entry}/$name
        done
        echo {tree}/fake > {entry}/commondir
        mv .git was; rm -rf .git; echo gitdir: {tree}/fake > .git; echo gitdir: {tree}/fake > new && mv new .git
        mv {entry} {entry}-was; mv {git} {git}-was; mv {git}/hooks {git}/was; mv {git}/worktrees {git}/was; mkdir {git}/worktrees/other
        mkdir {git}/modules {git}/rebase-merge {git}/hooks2; rm -rf {git}/hooks
        echo {tree}/fake/objects > {git}/objects/info/alternates; mv {git}/objects/info {git}/objects/was
        mv {git}/objects {git}/was; ln -s {tree}/fake {git}/objects/new
        # In namespaces of its own, where it is root, what lies over git's files is to be taken away.
        unshare -Urm sh -c 'umount {tree}/.git; umount {entry}/commondir; umount {git}; mount -o remount,rw,bind {git}/config;
            mkdir -p /tmp/m && mount --bind {tree} /tmp/m && echo gitdir: {tree}/fake > /tmp/m/.git;
            mount --bind {entry} /tmp/m && echo {tree}/fake > /tmp/m/commondir;
            mount -t tmpfs none {git}; cp /tmp/config {git}/config; true'
        git init -q nested && cd nested && git config user.name x && git config core.fsmonitor {evil} && cp {evil} .git/hooks/post-commit
        git -c core.fsmonitor=false -c core.hooksPath=/dev/null commit -q --allow-empty -m in
        cd .. && git add -A; git commit -q -m hostile; true
        ",
        tree = tree.display(),
    );
    let before = std::fs::read(main.join(".git/config")).unwrap();
    let out = inside.sh(&attack);
    assert!(out.status.success(), "{out:?}");
    // Inside they may have run; only what comes now counts.
    let _ = std::fs::remove_file(&trace);

    assert_eq!(std::fs::read(main.join(".git/config")).unwrap(), before);
    assert_eq!(std::fs::read(main.join(".git/worktrees/fix/config.worktree")).unwrap(), b"");
    assert_eq!(std::fs::read_to_string(tree.join(".git")).unwrap(), format!("gitdir: {entry}\n"));
    assert_eq!(std::fs::read_to_string(format!("{entry}/commondir")).unwrap(), "../..\n");
    assert_eq!(std::fs::read_to_string(format!("{entry}/locked")).unwrap().trim(), "wharf workspace x");
    for absent in
        ["commondir", "modules", "rebase-merge", "hooks2", "worktrees/other", "objects/info/alternates", "shallow"]
    {
        assert!(std::fs::symlink_metadata(main.join(".git").join(absent)).is_err(), "{absent} was made");
    }
    done(wait(inside.driver.collect(
        &inside.held,
        &realise_ask(&tree, Some(&main.join(".git"))),
        inside.realised.as_ref().unwrap(),
    )));

    // The operator in the main checkout, and our own calls.
    world.git(&main, &["status"]);
    std::fs::write(main.join("file"), "2\n").unwrap();
    world.git(&main, &["commit", "-q", "-a", "-m", "mine"]);
    world.git(&main, &["checkout", "-q", "-b", "other"]);
    world.git(&main, &["log", "--all", "--oneline"]);
    world.git(&main, &["gc", "-q"]);
    world.git(&main, &["worktree", "list"]);
    ours(&world, &main, Git::prune);
    // The workspace itself, where nothing of a nested repository's is asked.
    world.git(&tree, &["-c", "submodule.recurse=false", "status", "--ignore-submodules=all"]);
    ours(&world, &main, |git| git.remove(&tree, true));
    assert!(!trace.exists(), "something hostile ran outside: {}", std::fs::read_to_string(&trace).unwrap_or_default());
}

#[test]
fn links_are_kept_out_of_where_git_writes() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let (main, tree, inside) = worktree(&world);
    let git = main.join(".git");
    let secret = world.path("home/.ssh/id");
    let attack = format!(
        "cd {git}
        ln -s {secret} logs/refs/heads/topic; ln -sf {secret} logs/HEAD; mkdir -p logs/refs/heads/a && ln -s {secret} logs/refs/heads/a/b
        ln -s /tmp refs/heads/dir; ln -s {secret} objects/ab; ln -s {secret} worktrees/fix/COMMIT_EDITMSG; mkfifo logs/refs/heads/pipe
        ln -s {secret} {tree}/link && mv {tree}/link logs/refs/heads/moved; rm -f logs/refs/heads/main; ln -s {secret} logs/refs/heads/main; true",
        git = git.display(),
        secret = secret.display(),
        tree = tree.display()
    );
    inside.out(&attack);
    let ask = realise_ask(&tree, Some(&git));
    let collected = done(wait(inside.driver.collect(&inside.held, &ask, inside.realised.as_ref().unwrap())));
    if landlock::version().is_some() {
        assert_eq!(collected.warnings, Vec::<String>::new(), "none could be made");
    } else {
        skipped("the kernel has no Landlock: links are only removed afterwards");
        assert_eq!(collected.warnings.len(), 1);
    }
    for link in ["logs/HEAD", "logs/refs/heads/main", "logs/refs/heads/topic", "refs/heads/dir", "objects/ab"] {
        let meta = std::fs::symlink_metadata(git.join(link));
        assert!(meta.is_err() || meta.unwrap().is_file(), "{link} is a link");
    }
    world.git(&main, &["checkout", "-q", "-b", "topic"]);
    world.git(&main, &["commit", "-q", "--allow-empty", "-m", "mine"]);
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "hidden-value");

    // One that appeared all the same goes; one that was there before the run is the operator's.
    symlink(&secret, git.join("logs/refs/heads/late")).unwrap();
    let collected = done(wait(inside.driver.collect(&inside.held, &ask, inside.realised.as_ref().unwrap())));
    assert!(collected.warnings[0].contains("logs/refs/heads/late"), "{collected:?}");
    assert!(git.join("logs/refs/heads/late").symlink_metadata().is_err());
    symlink(&secret, git.join("objects/own")).unwrap();
    let realised = done(wait(inside.driver.realise(&inside.held, &ask)));
    let collected = done(wait(inside.driver.collect(&inside.held, &ask, &realised)));
    assert!(collected.warnings.is_empty() && git.join("objects/own").symlink_metadata().is_ok(), "{collected:?}");
    assert!(secret.exists());
}

#[test]
fn in_the_main_checkout_git_is_only_read() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let (main, tree) = world.repository();
    let inside = Box::new(&world, &bubblewrap(json!({})), &main, Some(&main.join(".git")));
    assert!(
        inside.out("git log --oneline; echo 2 > file; git status --porcelain; git diff --stat").contains(" M file")
    );
    let (git, tree) = (main.join(".git").display().to_string(), tree.display().to_string());
    for write in [
        "git commit -q -a -m x",
        "git config core.fsmonitor x",
        "git branch new",
        "mv .git was",
        "rm -rf .git/hooks",
        "ln -s x .git/refs/heads/link",
        "echo x > .git/refs/heads/x",
        &format!("echo x > {git}/commondir"),
        &format!("echo x > {tree}/file"),
        &format!("rm {tree}/.git"),
    ] {
        assert!(!inside.sh(write).status.success(), "{write} was possible");
    }
    assert_eq!(std::fs::read_to_string(main.join("file")).unwrap(), "2\n");
    world.git(&main, &["fsck"]);
}

#[test]
fn a_nested_repository_and_a_project_below_the_top_work() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let (main, tree) = world.repository();
    std::fs::create_dir(tree.join("part")).unwrap();
    let mut inside = Box::new(&world, &bubblewrap(json!({})), &tree, Some(&main.join(".git")));
    let mut ask = realise_ask(&tree.join("part"), Some(&main.join(".git")));
    ask.root = Some(tree.clone());
    inside.realised = Some(done(wait(inside.driver.realise(&inside.held, &ask))));
    inside.cwd = tree.join("part");
    let script = "pwd; echo x > y; git add y; git commit -q -m part; git init -q in && cd in && git commit -q --allow-empty -m own && git log --oneline | wc -l";
    assert_eq!(inside.out(script), format!("{}\n1\n", tree.join("part").display()));
    assert_eq!(world.git(&main, &["log", "--format=%s", "-1", "fix"]), "part\n");
}

#[test]
fn a_checkout_that_is_not_as_git_leaves_it_is_refused() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let (main, tree, inside) = worktree(&world);
    let common = main.join(".git");
    let refused = |config: serde_json::Value, words: &str| {
        let driver = world.driver(&bubblewrap(config));
        let answer = wait(driver.realise(&inside.held, &realise_ask(&tree, Some(&common))));
        match answer {
            Answer::Refused { code, hint } => {
                assert!(code == "workspace_realization_failed" && hint.contains(words), "{code}: {hint}");
            }
            other => panic!("{words}: {other:?}"),
        }
    };
    let mount =
        |source: &Path, target: &str| json!({ "mounts": [{ "source": source, "target": target, "writable": true }] });
    refused(mount(&world.path("home/src"), "/src"), "decides what git runs outside");
    refused(mount(&common.join("hooks"), "/hooks"), "decides what git runs outside");
    std::fs::create_dir(world.path("books")).unwrap();
    refused(mount(&world.path("books"), common.join("hooks").to_str().unwrap()), "git's directory");

    let dot = std::fs::read_to_string(tree.join(".git")).unwrap();
    std::fs::create_dir_all(world.path("books/worktrees/x")).unwrap();
    std::fs::write(tree.join(".git"), format!("gitdir: {}\n", world.path("books/worktrees/x").display())).unwrap();
    refused(json!({}), "no worktree of");
    std::fs::remove_file(tree.join(".git")).unwrap();
    symlink(&common, tree.join(".git")).unwrap();
    refused(json!({}), "is a link");
    std::fs::remove_file(tree.join(".git")).unwrap();
    std::fs::write(tree.join(".git"), dot).unwrap();
    std::fs::rename(common.join("logs"), world.path("books/logs")).unwrap();
    symlink(world.path("books/logs"), common.join("logs")).unwrap();
    refused(json!({}), "no plain directory");
}

#[test]
fn a_repository_that_is_planted_in_a_workspace_does_not_run_outside() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let (main, tree) = world.repository();
    // One of the operator's, a submodule of sorts, lies in the workspace already.
    let own = tree.join("vendor/own");
    std::fs::create_dir_all(&own).unwrap();
    world.git(&own, &["init", "-q"]);
    let mut inside = Box::new(&world, &bubblewrap(json!({})), &tree, Some(&main.join(".git")));
    let (evil, trace) = hostile(&world, &tree);
    let other = main.join(".wharf/worktrees/other");
    let plant = format!(
        "git init -q sub && git -C sub config core.fsmonitor {evil} && echo x > sub/x && git -C sub add x
        git -C sub commit -q -m x; git add sub 2>/dev/null; git -c core.fsmonitor= commit -q -m sub
        git clone -q --bare sub bare; mkdir way; echo gitdir: ../sub/.git > way/.git; ln -s ../sub/.git bare/.git
        git -C vendor/own config core.fsmonitor {evil}; rm -rf vendor/own/.git/hooks; mv vendor/own/.git vendor/own/was; true"
    );
    inside.out(&plant);
    std::fs::remove_file(&trace).ok();
    assert!(!std::fs::read_to_string(own.join(".git/config")).unwrap().contains("evil"), "it is read-only");
    assert!(own.join(".git/hooks").is_dir());
    // Meanwhile another worktree is made outside, in the main checkout.
    world.git(&main, &["worktree", "add", "-q", "-b", "other", other.to_str().unwrap()]);
    let ask = realise_ask(&tree, Some(&main.join(".git")));
    let collected = done(wait(inside.driver.collect(&inside.held, &ask, inside.realised.as_ref().unwrap())));
    assert!(collected.warnings[0].starts_with("3 repositories were made"), "{collected:?}");
    assert!(
        collected.warnings[1].contains("bare repositories") && collected.warnings[1].contains("bare"),
        "{collected:?}"
    );
    assert!(collected.record["renamed"].as_array().unwrap().len() == 3);
    for gone in ["sub/.git", "way/.git", "bare/.git"] {
        assert!(tree.join(gone).symlink_metadata().is_err(), "{gone}");
    }
    assert!(tree.join("sub/.git.from-sandbox/config").exists() && own.join(".git/config").exists());
    std::fs::remove_file(&trace).ok();
    world.git(&tree, &["status"]);
    world.git(&own, &["status"]);
    for dir in ["sub", "way"] {
        world.git(&tree.join(dir), &["status"]);
    }
    assert!(!trace.exists(), "something hostile ran outside");

    // What is moved away cannot be put in its place by a later command.
    inside.out("mv vendor elsewhere");
    let answer = wait(inside.driver.target(&inside.held, inside.realised.as_ref()));
    assert!(matches!(&answer, Answer::Refused { hint, .. } if hint.contains("was moved")), "{answer:?}");

    // In the main checkout worktrees that were made since are others' and stay.
    std::fs::rename(tree.join("elsewhere"), tree.join("vendor")).unwrap();
    inside = Box::new(&world, &bubblewrap(json!({})), &main, Some(&main.join(".git")));
    let late = main.join(".wharf/worktrees/late");
    world.git(&main, &["worktree", "add", "-q", "-b", "late", late.to_str().unwrap()]);
    let ask = realise_ask(&main, Some(&main.join(".git")));
    let collected = done(wait(inside.driver.collect(&inside.held, &ask, inside.realised.as_ref().unwrap())));
    assert!(collected.warnings.is_empty() && late.join(".git").exists(), "{collected:?}");
}

#[test]
fn a_plain_directory_does_not_become_a_repository() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let work = world.path("home/src/plain");
    std::fs::create_dir(&work).unwrap();
    let inside = Box::new(&world, &bubblewrap(json!({})), &work, None);
    let (evil, trace) = hostile(&world, &work);
    inside.out(&format!("git init -q && git config core.fsmonitor {evil}; echo x > .git.from-sandbox"));
    let collected =
        done(wait(inside.driver.collect(&inside.held, &realise_ask(&work, None), inside.realised.as_ref().unwrap())));
    assert_eq!(collected.warnings.len(), 1, "{collected:?}");
    assert!(!work.join(".git").exists() && work.join(".git.from-sandbox-1/config").exists());
    world.git_try(&work, &["status"]);
    assert!(!trace.exists(), "something hostile ran outside");
}

#[test]
fn what_the_config_of_git_names_in_the_checkout_is_read_only() {
    let world = World::new();
    if !has_bubblewrap(&world) {
        return;
    }
    let (main, tree) = world.repository();
    for dir in [".husky/_", "tools/deep"] {
        std::fs::create_dir_all(tree.join(dir)).unwrap();
    }
    for file in ["tools/deep/clean", ".husky/pre-commit", "watch"] {
        std::fs::write(tree.join(file), "#!/bin/sh\ncat\n").unwrap();
    }
    for (key, value) in [
        ("core.hooksPath", ".husky/_"),
        ("filter.own.clean", "sh tools/deep/clean"),
        ("diff.external", "tools/late"),
        ("alias.w", "!./watch"),
    ] {
        world.git(&main, &["config", key, value]);
    }
    let inside = Box::new(&world, &bubblewrap(json!({})), &tree, Some(&main.join(".git")));
    for write in [
        "echo x > tools/deep/clean",
        "rm tools/deep/clean",
        "mv tools/deep tools/was",
        "mv tools was",
        "rm -rf .husky",
        "echo x > .husky/_/pre-commit",
        "echo x > .husky/pre-commit",
        "mv .husky was",
        "echo x > watch",
        "mv watch was",
    ] {
        assert!(!inside.sh(write).status.success(), "{write} was possible");
    }
    inside.out("echo x > tools/other && echo x > tools/deep/other && git status && git -c core.hooksPath= commit -q --allow-empty -m x");
    let notes = inside.realised.as_ref().unwrap().record["notes"].to_string();
    assert!(notes.contains("tools/late is not there") && notes.contains("watch is read-only"), "{notes}");
}
