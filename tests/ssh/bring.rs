//! What comes back from a host: commits, changes, and conflicts that overwrite nothing.

use std::fs;
use std::path::{Path, PathBuf};

use wharf::environment::driver::{Answer, Collected, Driver, Held, RealiseAsk, Realised};

use super::work::{dirty, git, state, there};
use super::world::{World, done, realise_ask};

fn collect(w: &World, driver: &dyn Driver, lease: &Held, ask: &RealiseAsk, realised: &Realised) -> Collected {
    done(w.wait(driver.collect(lease, ask, realised)))
}

fn results(root: &Path) -> Vec<String> {
    git(root, &["for-each-ref", "--format=%(refname)", "refs/wharf"]).lines().map(str::to_owned).collect()
}

#[test]
fn commits_and_changes_come_back_as_what_they_are() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let (root, ask) = dirty(&w, "repo");
    let realised = w.realise(&*driver, &lease, &ask);
    let none = collect(&w, &*driver, &lease, &ask, &realised);
    assert_eq!((none.changed, none.warnings.len()), (false, 0), "{none:?}");
    let work = PathBuf::from(&realised.cwd);
    let head = git(&root, &["rev-parse", "HEAD"]);
    there(
        &w,
        &work,
        "git -c safe.directory='*' add changed && git commit -q -m third && echo 4 > second && git commit -q -am fourth \
         && echo more >> kept && rm d/deep && echo x > 'new/untracked ü' && echo y > made && chmod +x made \
         && ln -s made link && echo z > ignored",
    );
    let there_head = git(&work, &["rev-parse", "HEAD"]);
    let there_status = state(&work).0;
    let collected = collect(&w, &*driver, &lease, &ask, &realised);
    assert!(collected.changed && collected.warnings.is_empty(), "{collected:?}");
    assert_eq!(collected.record["commits"], 2);
    assert_eq!(git(&root, &["rev-parse", "refs/heads/work"]), there_head);
    assert_eq!(git(&root, &["log", "-1", "--format=%an %s"]), "Me Myself fourth");
    assert_eq!(git(&root, &["merge-base", &head, "HEAD"]), head);
    // The same as there, but that what was staged here still is.
    let here = state(&root).0.replace("M  staged", " M staged");
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&here), sorted(&there_status));
    assert_eq!(fs::read_to_string(root.join("kept")).unwrap(), "kept\nas it was\nmore\n");
    assert_eq!(fs::read_to_string(root.join("ignored")).unwrap(), "stays here\n");
    assert_eq!(fs::read_link(root.join("link")).unwrap(), Path::new("made"));
    assert!(!root.join("d/deep").exists());
    assert!(results(&root).is_empty(), "{:?}", results(&root));

    let again = collect(&w, &*driver, &lease, &ask, &realised);
    assert!(again.warnings.is_empty(), "{again:?}");
    assert_eq!(state(&root).0.replace("M  staged", " M staged"), here);
    w.release(&*driver, &lease);
}

#[test]
fn changes_on_both_sides_go_together_where_they_can() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let root = w.host.path("repo");
    fs::create_dir(&root).unwrap();
    git(&root, &["init", "-q"]);
    let lines: String = (0..40).map(|i| format!("line {i}\n")).collect();
    for file in ["both", "mine", "theirs"] {
        fs::write(root.join(file), &lines).unwrap();
    }
    git(&root, &["add", "-A"]);
    git(&root, &["commit", "-q", "-m", "first"]);
    let ask = realise_ask(&root, "main");
    let realised = w.realise(&*driver, &lease, &ask);
    there(&w, Path::new(&realised.cwd), "sed -i 's/line 3$/theirs/' both && echo t > theirs");
    fs::write(root.join("both"), lines.replace("line 30\n", "mine\n")).unwrap();
    fs::write(root.join("mine"), "m").unwrap();
    let collected = collect(&w, &*driver, &lease, &ask, &realised);
    assert!(collected.warnings.is_empty(), "{collected:?}");
    let both = fs::read_to_string(root.join("both")).unwrap();
    assert_eq!(both, lines.replace("line 3\n", "theirs\n").replace("line 30\n", "mine\n"));
    assert_eq!(fs::read_to_string(root.join("mine")).unwrap(), "m");
    assert_eq!(fs::read_to_string(root.join("theirs")).unwrap(), "t\n");
    w.release(&*driver, &lease);
}

#[test]
fn a_conflict_overwrites_nothing_and_loses_nothing() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let (root, ask) = dirty(&w, "repo");
    let realised = w.realise(&*driver, &lease, &ask);
    let work = PathBuf::from(&realised.cwd);
    there(
        &w,
        &work,
        "echo theirs > kept && git add kept && git commit -q -m third && echo t > changed && echo n > fresh",
    );
    fs::write(root.join("kept"), "mine\n").unwrap();
    let before = state(&root);
    for _ in 0..2 {
        let collected = collect(&w, &*driver, &lease, &ask, &realised);
        let [warning] = collected.warnings.as_slice() else { panic!("{collected:?}") };
        let name = format!("refs/wharf/results/{}-1", ask.run.unwrap());
        assert!(warning.contains(&name) && warning.contains("both sides changed kept"), "{warning}");
        assert_eq!(state(&root), before);
        assert_eq!(fs::read_to_string(root.join("kept")).unwrap(), "mine\n");
        assert_eq!(git(&root, &["show", &format!("{name}:changed")]), "t");
        assert_eq!(git(&root, &["show", &format!("{name}:fresh")]), "n");
        assert_eq!(git(&root, &["log", "-1", "--format=%s", &format!("{name}^")]), "third");
    }
    // Without what stands in the way it is brought back.
    fs::write(root.join("kept"), "kept\nas it was\n").unwrap();
    let collected = collect(&w, &*driver, &lease, &ask, &realised);
    assert!(collected.warnings.is_empty(), "{collected:?}");
    assert_eq!(fs::read_to_string(root.join("kept")).unwrap(), "theirs\n");
    assert!(results(&root).is_empty());
    w.release(&*driver, &lease);
}

#[test]
fn what_cannot_be_put_in_its_place_is_kept() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let (root, ask) = dirty(&w, "repo");
    // Both sides commit.
    let realised = w.realise(&*driver, &lease, &ask);
    let work = PathBuf::from(&realised.cwd);
    there(
        &w,
        &work,
        "git commit -q -am there && git branch other && git checkout -q other && echo o > o && git add o && \
                      git commit -q -m other && git checkout -q work",
    );
    git(&root, &["commit", "-q", "--allow-empty", "-m", "here"]);
    let before = state(&root);
    let collected = collect(&w, &*driver, &lease, &ask, &realised);
    assert!(collected.warnings[0].contains("both sides have commits"), "{collected:?}");
    assert!(collected.warnings[1].contains("other branches"), "{collected:?}");
    assert_eq!(state(&root), before);
    let other = format!("refs/wharf/branches/{}-1/other", ask.run.unwrap());
    assert_eq!(git(&root, &["log", "-1", "--format=%s", &other]), "other");

    // A file that git does not know here stands where one came back.
    let ask = realise_ask(&root, "work");
    let realised = w.realise(&*driver, &lease, &ask);
    there(&w, Path::new(&realised.cwd), "echo theirs > ignored && git add -f ignored && git commit -q -m ignored");
    let collected = collect(&w, &*driver, &lease, &ask, &realised);
    assert!(collected.warnings[0].contains("ignored is here and is not tracked"), "{collected:?}");
    assert_eq!(fs::read_to_string(root.join("ignored")).unwrap(), "stays here\n");

    // The operator is on another branch by now.
    git(&root, &["stash", "-q", "-u"]);
    git(&root, &["checkout", "-q", "main"]);
    let collected = collect(&w, &*driver, &lease, &ask, &realised);
    assert!(collected.warnings[0].contains("on main now and was on work"), "{collected:?}");
    w.release(&*driver, &lease);
}

#[test]
fn a_directory_without_git_goes_there_and_back() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let dir = w.host.path("plain");
    fs::create_dir_all(dir.join("sub")).unwrap();
    for file in ["kept", "changed", "deleted", "sub/deep", "mine"] {
        fs::write(dir.join(file), file).unwrap();
    }
    let mut ask = realise_ask(&dir, "");
    (ask.root, ask.git_common_dir, ask.branch) = (None, None, None);
    let realised = w.realise(&*driver, &lease, &ask);
    let work = PathBuf::from(&realised.cwd);
    assert_eq!(fs::read_to_string(work.join("sub/deep")).unwrap(), "sub/deep");
    assert!(!work.join(".git").exists() && !dir.join(".git").exists());
    assert_eq!(w.realise(&*driver, &lease, &ask).record["again"], true);
    there(&w, &work, "echo 2 > changed && rm deleted && mkdir new && echo n > new/n && chmod +x kept");
    fs::write(dir.join("mine"), "mine too").unwrap();
    let collected = collect(&w, &*driver, &lease, &ask, &realised);
    assert!(collected.changed && collected.warnings.is_empty(), "{collected:?}");
    assert_eq!(fs::read_to_string(dir.join("changed")).unwrap(), "2\n");
    assert_eq!(fs::read_to_string(dir.join("new/n")).unwrap(), "n\n");
    assert_eq!(fs::read_to_string(dir.join("mine")).unwrap(), "mine too");
    assert!(!dir.join("deleted").exists());
    // Now both sides change the same.
    there(&w, &work, "echo theirs > mine && echo s > sub/deep");
    let collected = collect(&w, &*driver, &lease, &ask, &realised);
    assert!(collected.warnings[0].contains("both sides changed mine"), "{collected:?}");
    assert_eq!(fs::read_to_string(dir.join("mine")).unwrap(), "mine too");
    assert_eq!(fs::read_to_string(dir.join("sub/deep")).unwrap(), "sub/deep");
    w.release(&*driver, &lease);
}

/// A file that was added although it is ignored, beside a repository that is none of its files.
fn odd(root: &Path, commit: bool) -> RealiseAsk {
    fs::create_dir_all(root.join("a-nested")).unwrap();
    git(root, &["init", "-q"]);
    git(&root.join("a-nested"), &["init", "-q"]);
    git(&root.join("a-nested"), &["commit", "-q", "--allow-empty", "-m", "nested"]);
    for (name, text) in [(".gitignore", "forced*\n"), ("forced", "mine\n"), ("forced-2", "mine\n"), ("kept", "k\n")] {
        fs::write(root.join(name), text).unwrap();
    }
    if commit {
        git(root, &["add", "kept", ".gitignore"]);
        git(root, &["commit", "-q", "-m", "first"]);
    }
    git(root, &["add", "-f", "forced", "forced-2"]);
    realise_ask(root, "main")
}

#[test]
fn files_that_are_tracked_although_ignored_stay_here() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    for (name, commit) in [("committed", true), ("unborn", false)] {
        let root = w.host.path(name);
        let ask = odd(&root, commit);
        let realised = w.realise(&*driver, &lease, &ask);
        assert_eq!(realised.record["not_carried"], serde_json::json!(["a-nested"]));
        there(&w, Path::new(&realised.cwd), "echo n > fresh && rm forced-2 && mkdir forced-2 && echo x > forced-2/x");
        let collected = collect(&w, &*driver, &lease, &ask, &realised);
        assert!(collected.warnings.is_empty(), "{collected:?}");
        assert_eq!(fs::read_to_string(root.join("forced")).unwrap(), "mine\n", "{name}");
        assert_eq!(fs::read_to_string(root.join("fresh")).unwrap(), "n\n");
        assert!(root.join("a-nested/.git/HEAD").exists());
    }
    w.release(&*driver, &lease);
}

#[test]
fn what_cannot_come_back_is_named_and_keeps_nothing_else_there() {
    let Some(w) = World::new() else { return };
    let driver = w.driver();
    let lease = w.acquire(&*driver);
    let (root, ask) = dirty(&w, "repo");
    let realised = w.realise(&*driver, &lease, &ask);
    there(
        &w,
        Path::new(&realised.cwd),
        "echo s > secret && chmod 0 secret && echo more >> changed && chmod 0 changed && echo n > fresh && git init -q dep && cd dep && \
         git -c user.name=a -c user.email=a@b commit -q --allow-empty -m dep && echo d > d",
    );
    let collected = collect(&w, &*driver, &lease, &ask, &realised);
    let [unread, nested] = collected.warnings.as_slice() else { panic!("{collected:?}") };
    assert!(unread.contains("changed, secret cannot be read"), "{unread}");
    assert!(nested.starts_with("dep there are repositories"), "{nested}");
    assert_eq!(fs::read_to_string(root.join("fresh")).unwrap(), "n\n");
    assert_eq!(fs::read_to_string(root.join("changed")).unwrap(), "changed\nas it is\n");
    // Another git at work here stops it for a moment only.
    there(&w, Path::new(&realised.cwd), "git commit -q --allow-empty -m fresh");
    fs::write(root.join(".git/index.lock"), "").unwrap();
    let answer = w.wait(driver.collect(&lease, &ask, &realised));
    assert!(
        matches!(&answer, Answer::Unknown { evidence } if evidence.contains("kept as refs/wharf/results/")),
        "{answer:?}"
    );
    fs::remove_file(root.join(".git/index.lock")).unwrap();
    let collected = collect(&w, &*driver, &lease, &ask, &realised);
    assert_eq!(collected.record["kept"], serde_json::Value::Null, "{collected:?}");
    assert_eq!(git(&root, &["log", "-1", "--format=%s"]), "fresh");
    w.release(&*driver, &lease);
}
