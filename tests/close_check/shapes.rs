//! One shape after another, each with everything that must be found in it, and nothing else.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use uuid::Uuid;
use wharf::workspace::close::{self, LookAsk};
use wharf::workspace::mark;
use wharf_model::rules::close_check::{Found, Place as Judged};
use wharf_model::{UnixMillis, WorkspaceId};

use super::workspace_common::{Format, Place};

/// What is expected, in words: everything that is not empty, by its name in the type.
fn said(found: &Found) -> Vec<String> {
    let mut all = Vec::new();
    let lists = [
        ("changed", &found.changed),
        ("conflicted", &found.conflicted),
        ("untracked", &found.untracked),
        ("ignored", &found.ignored),
        ("stashed", &found.stashed),
        ("unpushed", &found.unpushed),
        ("nested", &found.nested),
        ("submodules", &found.submodules),
        ("links_out", &found.links_out),
    ];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        all.push(format!(
            "{name} {}: {}",
            list.count,
            list.names.iter().map(|n| plain(n)).collect::<Vec<_>>().join(" | ")
        ));
    }
    match &found.unmerged {
        None => all.push("unmerged unknown".to_owned()),
        Some(list) if !list.is_empty() => all.push(format!("unmerged {}", list.count)),
        Some(_) => {}
    }
    all.extend(found.under_way.as_ref().map(|what| format!("under way: {what}")));
    match found.branch_merged {
        Some(true) => {}
        Some(false) => all.push("branch not merged".to_owned()),
        None => all.push("branch unknown".to_owned()),
    }
    all.extend(found.branch.is_none().then(|| "detached".to_owned()));
    all
}

/// Commit ids differ from run to run.
fn plain(name: &str) -> String {
    let hex = |word: &&str| word.len() >= 7 && word.bytes().all(|b| b.is_ascii_hexdigit());
    name.split(' ').filter(|word| !hex(word)).collect::<Vec<_>>().join(" ")
}

/// A shape: how it is made, and what must be said about it.
struct Shape {
    name: &'static str,
    make: fn(&Place),
    says: &'static [&'static str],
}

const ALONE: &[&str] = &["unpushed 1: add c.txt", "unmerged 1", "branch not merged"];

fn shapes() -> Vec<Shape> {
    let shape = |name, make, says| Shape { name, make, says };
    vec![
        shape("clean", |_| {}, &[]),
        shape("changed", |p| drop(p.write(&p.tree, "a.txt", "changed")), &["changed 1: a.txt"]),
        shape("deleted", |p| fs::remove_file(p.tree.join("a.txt")).unwrap(), &["changed 1: a.txt"]),
        shape(
            "mode changed",
            |p| fs::set_permissions(p.tree.join("a.txt"), fs::Permissions::from_mode(0o755)).unwrap(),
            &["changed 1: a.txt"],
        ),
        shape(
            "staged, and the work tree back as it was",
            |p| {
                p.write(&p.tree, "a.txt", "staged");
                p.git(&p.tree, &["add", "a.txt"]);
                p.write(&p.tree, "a.txt", "a\n");
            },
            &["changed 1: a.txt"],
        ),
        shape(
            "staged new",
            |p| {
                p.write(&p.tree, "new.txt", "new");
                p.git(&p.tree, &["add", "new.txt"]);
            },
            &["changed 1: new.txt"],
        ),
        shape(
            "untracked",
            |p| {
                p.write(&p.tree, "u.txt", "u");
                p.write(&p.tree, "deep/er/v.txt", "v");
            },
            &["untracked 2: deep/er/v.txt | u.txt"],
        ),
        shape("ignored", |p| drop(p.write(&p.tree, "dir/x.log", "x")), &["ignored 1: dir/x.log"]),
        shape(
            "ignored directories",
            |p| {
                p.write(&p.tree, "build/one", "1");
                p.write(&p.tree, "build/two/three", "3");
                p.write(&p.tree, "logs/deep/a.log", "a");
                p.write(&p.tree, "logs/b.log", "b");
            },
            &["ignored 2: build/ | logs/"],
        ),
        shape(
            "ignored by an exclude file of the repository",
            |p| {
                p.write(&p.repo, ".git/info/exclude", ".env\n");
                p.write(&p.tree, ".env", "SECRET=1");
            },
            &["ignored 1: .env"],
        ),
        shape(
            "assumed unchanged, and changed",
            |p| {
                p.git(&p.tree, &["update-index", "--assume-unchanged", "a.txt"]);
                p.write(&p.tree, "a.txt", "hidden change");
            },
            &["changed 1: a.txt"],
        ),
        shape(
            "sparse",
            |p| {
                p.git(&p.tree, &["sparse-checkout", "set", "--no-cone", "/a.txt", "/.gitignore"]);
                assert!(!p.tree.join("dir").exists());
            },
            &[],
        ),
        shape(
            "nested repository, dirty",
            |p| {
                let inner = nested(p, "vendor/lib");
                p.write(&inner, "one", "changed");
                p.write(&inner, "two", "untracked");
            },
            &["nested 1: vendor/lib: 1 changed, 1 untracked, 1 commit and no remote"],
        ),
        shape(
            "nested repository in an ignored directory, clean and unpushed",
            |p| drop(nested(p, "build/lib")),
            &["ignored 1: build/", "nested 1: build/lib: 1 commit and no remote"],
        ),
        shape(
            "nested clone, all pushed, and one ahead with a stash",
            |p| {
                for name in ["clone", "ahead"] {
                    p.git(&p.tree, &["clone", "-q", p.remote.to_str().unwrap(), name]);
                }
                let ahead = p.tree.join("ahead");
                p.commit(&ahead, "c.txt", "c");
                p.write(&ahead, "a.txt", "stashed");
                p.git(&ahead, &["stash", "-q"]);
            },
            &["nested 2: ahead: 1 commit on no remote, 1 stash | clone: nothing that is only here"],
        ),
        shape(
            "nested bare repository",
            |p| drop(p.git(&p.tree, &["clone", "-q", "--bare", p.remote.to_str().unwrap(), "bare"])),
            // A bare clone keeps no branches of its remote, so nothing proves that they are there.
            &["nested 1: bare: 1 commit on no remote"],
        ),
        shape(
            "stash on this branch, and one on another",
            |p| {
                p.write(&p.repo, "a.txt", "of main");
                p.git(&p.repo, &["stash", "-q"]);
                p.write(&p.tree, "a.txt", "of work");
                p.git(&p.tree, &["stash", "-q"]);
            },
            &["stashed 1: stash@{0}: WIP on work: first"],
        ),
        shape("submodule, clean", |p| submodule(p, |_, _| {}), ALONE_WITH_SUB),
        shape(
            "submodule, dirty",
            |p| submodule(p, |p, sub| drop(p.write(sub, "a.txt", "changed"))),
            &["unpushed 1: submodule", "submodules 1: sub: 1 changed", "unmerged 1", "branch not merged"],
        ),
        shape(
            "submodule, unpushed",
            |p| submodule(p, |p, sub| drop(p.commit(sub, "c.txt", "c"))),
            &[
                "unpushed 1: submodule",
                "submodules 1: sub: at another commit, 1 commit on no remote",
                "unmerged 1",
                "branch not merged",
            ],
        ),
        shape(
            "detached with commits",
            |p| {
                p.git(&p.tree, &["checkout", "-q", "--detach"]);
                p.commit(&p.tree, "c.txt", "c");
            },
            &["unpushed 1: add c.txt", "unmerged 1", "detached"],
        ),
        shape(
            "in the middle of a rebase",
            |p| {
                diverged(p);
                assert!(!p.try_git(&p.tree, &["rebase", "-q", "main"]).0);
            },
            &[
                "changed 1: a.txt",
                "conflicted 1: a.txt",
                "unpushed 1: ours",
                "under way: rebase",
                "branch not merged",
                "detached",
            ],
        ),
        shape(
            "in the middle of a merge with conflicts",
            |p| {
                diverged(p);
                assert!(!p.try_git(&p.tree, &["merge", "-q", "main"]).0);
            },
            &[
                "changed 1: a.txt",
                "conflicted 1: a.txt",
                "unpushed 1: theirs",
                "unmerged 1",
                "under way: merge",
                "branch not merged",
            ],
        ),
        shape(
            "in the middle of a cherry-pick",
            |p| {
                diverged(p);
                assert!(!p.try_git(&p.tree, &["cherry-pick", "main"]).0);
            },
            &[
                "changed 1: a.txt",
                "conflicted 1: a.txt",
                "unpushed 1: theirs",
                "unmerged 1",
                "under way: cherry-pick",
                "branch not merged",
            ],
        ),
        shape(
            "in the middle of a bisect",
            |p| {
                p.commit(&p.tree, "c.txt", "c");
                p.git(&p.tree, &["bisect", "start", "-q", "HEAD", "HEAD~1"]);
            },
            ALONE_BISECT,
        ),
        shape("unpushed and unmerged", |p| drop(p.commit(&p.tree, "c.txt", "c")), ALONE),
        shape(
            "pushed and unmerged",
            |p| {
                p.commit(&p.tree, "c.txt", "c");
                p.git(&p.tree, &["push", "-q", "origin", "work"]);
            },
            &["unmerged 1", "branch not merged"],
        ),
        shape(
            "pushed to its upstream",
            |p| {
                p.commit(&p.tree, "c.txt", "c");
                p.git(&p.tree, &["push", "-q", "-u", "origin", "work"]);
            },
            // git would delete it: its upstream has everything.
            &["unmerged 1"],
        ),
        shape(
            "merged and not pushed",
            |p| {
                p.commit(&p.tree, "c.txt", "c");
                p.git(&p.repo, &["merge", "-q", "--no-ff", "-m", "merge", "work"]);
            },
            &["unpushed 1: add c.txt"],
        ),
        shape(
            "no remote at all",
            |p| {
                p.git(&p.repo, &["remote", "remove", "origin"]);
                p.commit(&p.tree, "c.txt", "c");
            },
            ALONE,
        ),
        shape(
            "a link out, a link in, a link to nothing inside",
            |p| {
                symlink("/etc/hostname", p.tree.join("host")).unwrap();
                symlink("../../../a.txt", p.tree.join("project")).unwrap();
                symlink("dir/b.txt", p.tree.join("in")).unwrap();
                symlink("not/there", p.tree.join("dangling")).unwrap();
            },
            &[
                "untracked 4: dangling | host | in | project",
                "links_out 2: host -> /etc/hostname | project -> ../../../a.txt",
            ],
        ),
        shape(
            "names that are no text, and names with spaces",
            |p| {
                fs::write(p.tree.join(std::ffi::OsStr::from_bytes(b"b\xffad")), "x").unwrap();
                p.write(&p.tree, "two words", "x");
            },
            &["untracked 2: b\u{fffd}ad | two words"],
        ),
    ]
}

const ALONE_WITH_SUB: &[&str] = &["unpushed 1: submodule", "unmerged 1", "branch not merged"];
const ALONE_BISECT: &[&str] = &["unpushed 1: add c.txt", "unmerged 1", "under way: bisect", "branch not merged"];

fn nested(p: &Place, at: &str) -> std::path::PathBuf {
    let inner = p.tree.join(at);
    fs::create_dir_all(&inner).unwrap();
    p.git(&inner, &["init", "-q", "-b", "main"]);
    p.commit(&inner, "one", "1");
    inner
}

fn submodule(p: &Place, then: fn(&Place, &Path)) {
    let url = p.remote.to_str().unwrap();
    p.git(&p.tree, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, "sub"]);
    p.git(&p.tree, &["commit", "-q", "-m", "submodule"]);
    then(p, &p.tree.join("sub"));
}

fn diverged(p: &Place) {
    for (dir, text) in [(&p.tree, "theirs"), (&p.repo, "ours")] {
        p.write(dir, "a.txt", text);
        p.git(dir, &["commit", "-q", "-a", "-m", text]);
    }
}

#[test]
fn every_shape_is_found_as_it_is() {
    found_as_it_is(Format::Usual);
}

#[test]
fn every_shape_is_found_in_a_sparse_index() {
    found_as_it_is(Format::SparseIndex);
}

#[test]
fn every_shape_is_found_in_a_split_index() {
    found_as_it_is(Format::SplitIndex);
}

#[test]
fn every_shape_is_found_in_an_index_for_many_files() {
    found_as_it_is(Format::ManyFiles);
}

#[test]
fn every_shape_is_found_in_a_partial_clone() {
    found_as_it_is(Format::Partial);
}

#[test]
fn every_shape_is_found_with_sha256() {
    found_as_it_is(Format::Sha256);
}

/// Shapes that are tried in each format: every kind of thing that a look finds.
const IN_EVERY_FORMAT: &[&str] = &[
    "clean",
    "changed",
    "deleted",
    "staged, and the work tree back as it was",
    "staged new",
    "untracked",
    "ignored directories",
    "assumed unchanged, and changed",
    "nested clone, all pushed, and one ahead with a stash",
    "stash on this branch, and one on another",
    "submodule, unpushed",
    "detached with commits",
    "in the middle of a merge with conflicts",
    "merged and not pushed",
];

fn found_as_it_is(format: Format) {
    if Place::of(format).is_none() {
        return;
    }
    let fits = |shape: &Shape| match format {
        Format::Usual => true,
        _ => IN_EVERY_FORMAT.contains(&shape.name),
    };
    let (shapes, wrong) = (Mutex::new(shapes().into_iter().filter(fits).collect::<Vec<_>>()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some(shape) = shapes.lock().unwrap().pop() else { break };
                    if let Some(difference) = difference(format, shape) {
                        wrong.lock().unwrap().push(difference);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is found otherwise than expected.
fn difference(format: Format, Shape { name, make, says }: Shape) -> Option<String> {
    let p = Place::of(format)?;
    let clean = p.look();
    assert_eq!(said(&clean), Vec::<String>::new(), "before {name}");
    make(&p);
    let before = fs::read(index(&p)).unwrap();
    let found = p.look();
    assert_eq!(found.place, Judged::Ours, "{name}");
    assert_eq!(found.unknown, Vec::<String>::new(), "{name}");
    let mut expected: Vec<&str> = says.to_vec();
    let mut got = said(&found);
    expected.sort_unstable();
    got.sort_unstable();
    let wrong = (got != expected).then(|| format!("{name}: {got:#?} instead of {expected:#?}"));
    assert_eq!(before, fs::read(index(&p)).unwrap(), "{name}: a look writes nothing");
    assert_eq!(found.head.as_deref(), Some(p.git(&p.tree, &["rev-parse", "HEAD"]).as_str()), "{name}");
    assert!(found.bytes.is_some(), "{name}");
    if !says.is_empty() {
        assert_ne!(found.fingerprint, clean.fingerprint, "{name}");
    }
    assert_eq!(p.look().fingerprint, found.fingerprint, "{name}: the same twice");
    wrong
}

fn index(p: &Place) -> std::path::PathBuf {
    p.repo.join(".git/worktrees/work/index")
}

#[test]
fn what_a_sparse_checkout_leaves_out_and_lies_there_all_the_same() {
    let p = Place::of(Format::SparseIndex).unwrap();
    assert_eq!(said(&p.look()), Vec::<String>::new());
    p.write(&p.tree, "far/away/c.txt", "c\n");
    assert_eq!(said(&p.look()), Vec::<String>::new(), "as it is committed");
    p.write(&p.tree, "far/away/c.txt", "an edit beyond the border\n");
    p.write(&p.tree, "far/new.txt", "new\n");
    let before = fs::read(index(&p)).unwrap();
    let found = p.look();
    assert_eq!(said(&found), ["changed 1: far/away/c.txt", "untracked 1: far/new.txt"]);
    assert_eq!((found.unknown, before), (Vec::new(), fs::read(index(&p)).unwrap()));
}

#[test]
fn what_has_a_format_that_nobody_reads_is_unknown_and_why_is_said() {
    // The shared part of a split index is gone: neither git nor libgit2 can say what is tracked.
    let p = Place::of(Format::SplitIndex).unwrap();
    p.write(&p.tree, "u.txt", "u");
    for entry in fs::read_dir(index(&p).parent().unwrap()).unwrap().flatten() {
        if entry.file_name().as_bytes().starts_with(b"sharedindex.") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let found = p.look();
    assert!(found.unknown.iter().any(|u| u.contains("sharedindex")), "{:?}", found.unknown);
    assert!(found.unknown.iter().any(|u| u == "changes of tracked files"), "{:?}", found.unknown);
    assert_eq!(found.untracked.count, 0, "nothing is said of what is not known");
    // A repository inside with its refs in a table.
    let p = Place::new();
    let (made, _, why) = p.try_git(&p.tree, &["init", "-q", "--ref-format=reftable", "inner"]);
    if !made {
        let _ = writeln!(std::io::stderr(), "SKIPPED: git does not know reftables: {why}");
        return;
    }
    let found = p.look();
    assert_eq!(found.nested.names, ["inner: cannot be looked at"]);
    assert!(found.unknown.iter().any(|u| u.contains("reftable") && u.contains("git clone")), "{:?}", found.unknown);
}

#[test]
fn an_edit_that_changes_no_list_changes_the_fingerprint() {
    let p = Place::new();
    p.write(&p.tree, "u.txt", "one");
    let first = p.look();
    p.write(&p.tree, "u.txt", "other");
    let second = p.look();
    assert_eq!(first.untracked, second.untracked);
    assert_ne!(first.fingerprint, second.fingerprint);
}

#[test]
fn a_base_that_is_gone_leaves_merging_unknown() {
    let p = Place::new();
    p.commit(&p.tree, "c.txt", "c");
    let found = close::look(&LookAsk { base: Some("nowhere".into()), ..p.ask() });
    assert_eq!((found.unmerged, found.branch_merged), (None, Some(false)));
    assert_eq!(found.unpushed.count, 1);
    // The name of HEAD is the project's HEAD, never the worktree's own.
    let found = close::look(&LookAsk { base: Some("HEAD".into()), ..p.ask() });
    assert_eq!((found.unmerged.map(|l| l.count), found.branch_merged), (Some(1), Some(false)));
}

fn place_of(ask: LookAsk) -> (String, String) {
    let found = close::look(&ask);
    assert!(
        found.changed.is_empty() && found.untracked.is_empty() && found.bytes.is_none(),
        "nothing else is looked at"
    );
    match found.place {
        Judged::Ours => ("ours".into(), String::new()),
        Judged::NotOurs(why) => ("not ours".into(), why),
        Judged::Gone => ("gone".into(), String::new()),
        Judged::Unknown(why) => ("unknown".into(), why),
    }
}

#[test]
fn what_is_not_ours_is_said_to_be_so() {
    let p = Place::new();
    let with = |path: &Path| LookAsk { path: path.to_owned(), ..p.ask() };
    let refused = |ask: LookAsk, part: &str| {
        let (what, why) = place_of(ask);
        assert_eq!(what, "not ours", "{why}");
        assert!(why.contains(part), "{part:?} is not in {why:?}");
    };
    refused(with(&p.repo), "a project's own checkout");
    refused(with(&p.root), "holds");
    refused(LookAsk { never: Vec::new(), ..with(&p.repo) }, "a main checkout");
    refused(LookAsk { never: Vec::new(), ..with(&p.root) }, "no mark");
    refused(LookAsk { never: vec![p.tree.join("dir")], ..p.ask() }, "holds");
    refused(LookAsk { workspace: WorkspaceId(Uuid::now_v7()), ..p.ask() }, "was made for workspace");
    // Through a link, to the project and to what holds it.
    symlink(&p.repo, p.root.join("link")).unwrap();
    refused(with(&p.root.join("link")), "a symbolic link to");
    symlink(&p.root, p.root.join("up")).unwrap();
    refused(with(&p.root.join("up/shop")), "a project's own checkout");
    let by_link = LookAsk { never: vec![p.root.join("up/shop/.wharf/worktrees/work/dir")], ..p.ask() };
    refused(by_link, "holds");
    // A project that is not there any more is in nobody's way.
    let found = close::look(&LookAsk { never: vec![p.root.join("old/project")], ..p.ask() });
    assert_eq!(found.place, Judged::Ours);

    let hand = p.root.join("by-hand");
    p.git(&p.repo, &["worktree", "add", "-q", "-b", "hand", hand.to_str().unwrap()]);
    refused(with(&hand), "no mark");
    fs::rename(&hand, p.root.join("moved")).unwrap();
    assert_eq!(place_of(with(&hand)).0, "gone");
    refused(with(&p.root.join("moved")), "was moved");
    fs::write(p.root.join("file"), "").unwrap();
    refused(with(&p.root.join("file")), "no directory");
    refused(with(Path::new("relative")), "no absolute path");
    assert_eq!(place_of(with(&p.root.join("not/there"))).0, "gone");

    // A worktree of the same repository inside would be lost to git.
    p.git(&p.repo, &["worktree", "add", "-q", "-b", "inner", p.tree.join("inner").to_str().unwrap()]);
    refused(p.ask(), "another worktree");
}

#[test]
fn a_mark_that_is_damaged_leaves_the_directory_unknown() {
    let p = Place::new();
    let mark = p.repo.join(".git/worktrees/work/wharf.json");
    fs::write(&mark, "{").unwrap();
    assert_eq!(place_of(p.ask()).0, "unknown");
    fs::remove_file(&mark).unwrap();
    assert_eq!(place_of(p.ask()).0, "not ours");
    fs::write(p.tree.join(".git"), "gitdir: /nowhere").unwrap();
    assert_eq!(place_of(p.ask()).0, "unknown");
}

#[test]
fn a_plain_directory_is_looked_at_too() {
    let p = Place::new();
    let plain = p.root.join("plain");
    p.write(&plain, "work.txt", "w");
    let made = mark::Mark::new(p.project, p.workspace, None, UnixMillis(1));
    mark::write(&mark::plain_file(&plain), &made).unwrap();
    let found = close::look(&LookAsk { path: plain.clone(), ..p.ask() });
    assert_eq!((&found.place, &found.unknown), (&Judged::Ours, &Vec::new()));
    assert_eq!(found.untracked.names, ["work.txt"]);
    assert_eq!((found.head, found.branch_merged), (None, None));
    // With a repository of its own it is a main checkout, whatever mark lies in it.
    p.git(&plain, &["init", "-q"]);
    assert_eq!(place_of(LookAsk { path: plain, ..p.ask() }).0, "not ours");
}

#[test]
fn writers_and_those_who_stand_inside_are_named() {
    let p = Place::new();
    let script = "exec 9>out.txt; echo ready; read line";
    let mut child = Command::new("sh")
        .args(["-c", script])
        .current_dir(p.tree.join("dir"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    let read = OpenOptions::new().read(true).open(p.tree.join("a.txt")).unwrap();
    let found = p.look();
    let pid = child.id();
    child.kill().unwrap();
    child.wait().unwrap();
    drop(read);
    assert_eq!(found.open.names, [format!("{pid} sh (its directory)"), format!("{pid} sh dir/out.txt")]);
    assert_eq!(p.look().open.count, 0);
}

#[test]
fn what_cannot_be_looked_at_is_unknown() {
    let p = Place::new();
    p.write(&p.tree, "u.txt", "u");
    // A bound is reached.
    let mut ask = p.ask();
    ask.limits.entries = 4;
    let found = close::look(&ask);
    assert!(!found.unknown.is_empty() && found.bytes.is_none(), "{found:?}");
    assert!(found.unknown.iter().any(|u| u.contains("more than 4 entries")), "{:?}", found.unknown);
    // The index is damaged: nobody knows what changed, and nothing is said to be untracked.
    fs::write(index(&p), "no index").unwrap();
    let found = p.look();
    assert!(found.unknown.iter().any(|u| u.contains("index")), "{:?}", found.unknown);
    assert!(found.unknown.iter().any(|u| u.contains("changes of tracked files")), "{:?}", found.unknown);
    // A nested repository cannot be opened.
    let p = Place::new();
    fs::create_dir_all(p.tree.join("broken")).unwrap();
    fs::write(p.tree.join("broken/.git"), "gitdir: /nowhere").unwrap();
    let found = p.look();
    assert_eq!(found.nested.names, ["broken: cannot be looked at"]);
    assert!(found.unknown.iter().any(|u| u.contains("broken")), "{:?}", found.unknown);
}

#[test]
fn an_unreadable_directory_is_unknown() {
    let p = Place::new();
    p.write(&p.tree, "closed/secret", "s");
    fs::set_permissions(p.tree.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(p.tree.join("closed")).is_ok() {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"SKIPPED: this user may read everything\n");
        return;
    }
    let found = p.look();
    fs::set_permissions(p.tree.join("closed"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(found.unknown.iter().any(|u| u.contains("closed")), "{:?}", found.unknown);
    assert_eq!(found.bytes, None);
}

#[test]
fn a_large_directory_is_counted_and_named_within_bounds() {
    let p = Place::new();
    for dir in 0..20 {
        let dir = p.tree.join(format!("d{dir}"));
        fs::create_dir(&dir).unwrap();
        for file in 0..250 {
            fs::write(dir.join(format!("f{file}")), "x").unwrap();
        }
    }
    let found = p.look();
    assert_eq!((found.untracked.count, found.untracked.names.len()), (5_000, 20));
    assert_eq!(found.unknown, Vec::<String>::new());
}
