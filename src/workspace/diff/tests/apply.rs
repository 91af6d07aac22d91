//! What is printed is what git applies: the base with the patch is the worktree, byte by byte.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use proptest::prelude::*;

use super::*;

/// Every file below a directory: its bytes, its target when it is a link, and whether it is executable.
fn tree(root: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32)> {
    let mut out = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap().flatten() {
            let path = entry.path();
            let metadata = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(root).unwrap().to_owned();
            if name == Path::new(".git") {
                continue;
            }
            if metadata.is_dir() {
                open.push(path);
            } else if metadata.is_symlink() {
                let target = std::fs::read_link(&path).unwrap();
                out.insert(name, (target.into_os_string().into_encoded_bytes(), 0o120_000));
            } else {
                out.insert(name, (std::fs::read(&path).unwrap(), metadata.permissions().mode() & 0o100));
            }
        }
    }
    out
}

/// Applies the worktree's patch to a fresh checkout of the base and compares the two trees.
fn applies(s: &Scratch, base: &str) {
    let patch = patch_of(&s.repo, &of(base), &End::Worktree);
    let fresh = s.root.join("fresh");
    s.git(&s.repo, &["worktree", "add", "-q", "--detach", fresh.to_str().unwrap(), base]);
    if !patch.is_empty() {
        let file = write(&s.root, "the.patch", &patch);
        let mut git = std::process::Command::new("git");
        git.args(["apply", "--whitespace=nowarn"]).arg(&file).current_dir(&fresh);
        let output = git.env_clear().envs(crate::workspace::scratch::operator()).output().unwrap();
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{why}\n{}", String::from_utf8_lossy(&patch));
    }
    std::fs::remove_file(fresh.join(".git")).unwrap();
    let text = String::from_utf8_lossy(&patch).into_owned();
    assert_eq!(tree(&fresh), tree(&s.repo), "{text}");
}

#[test]
fn everything_at_once_is_applied_by_git() {
    let s = Scratch::new();
    let long: String = (0..60).map(|n| format!("line {n}\n")).collect();
    write(&s.repo, "src/long.txt", &long);
    write(&s.repo, "moved.txt", long.replace("line", "row"));
    write(&s.repo, "gone.txt", "gone\n");
    write(&s.repo, "script", "#!/bin/sh\n");
    write(&s.repo, "picture", [0u8, 1, 2, 255, 254, 0, 9]);
    write(&s.repo, "becomes-link", "a file\n");
    write(&s.repo, "becomes-dir", "a file\n");
    write(&s.repo, "crlf.txt", "one\r\ntwo\r\n");
    write(&s.repo, "unended", "no end");
    write(&s.repo, "sp ace \"q\" é.txt", "x\n");
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-q", "-m", "all"]);
    let base = s.git(&s.repo, &["rev-parse", "HEAD"]);

    // Committed, staged, unstaged and untracked.
    write(&s.repo, "src/long.txt", long.replace("line 7\n", "line seven\n").replace("line 50\n", ""));
    s.git(&s.repo, &["commit", "-qam", "work"]);
    s.git(&s.repo, &["mv", "moved.txt", "there.txt"]);
    write(&s.repo, "there.txt", long.replace("line", "row").replace("row 3\n", "row three\n"));
    s.git(&s.repo, &["rm", "-q", "gone.txt"]);
    std::fs::set_permissions(s.repo.join("script"), std::fs::Permissions::from_mode(0o755)).unwrap();
    write(&s.repo, "picture", [0u8, 1, 3, 255, 254, 0, 9, 9]);
    write(&s.repo, "new picture", [0u8; 300]);
    std::fs::remove_file(s.repo.join("becomes-link")).unwrap();
    symlink("a.txt", s.repo.join("becomes-link")).unwrap();
    std::fs::remove_file(s.repo.join("becomes-dir")).unwrap();
    write(&s.repo, "becomes-dir/inner", "inner\n");
    write(&s.repo, "crlf.txt", "one\r\n2\r\nthree");
    write(&s.repo, "unended", "no end\nnow\n");
    write(&s.repo, "sp ace \"q\" é.txt", "y\n");
    write(&s.repo, "empty", "");
    write(&s.repo, "notes/new\tname\n.md", "untracked\n");
    write(&s.repo, "latin", [b'g', 0xfc, b't', b'\n']);
    symlink("nowhere", s.repo.join("dangling")).unwrap();

    let all = listed(&s.repo, &base);
    let expected = [
        "D becomes-dir +0 -1",
        "? becomes-dir/inner +1 -0",
        "D becomes-link +0 -1",
        "A becomes-link symlink",
        "M crlf.txt +2 -1",
        "? dangling symlink",
        "? empty +0 -0",
        "D gone.txt +0 -1",
        "? latin +1 -0",
        "? new picture binary",
        "? notes/new\tname\n.md +1 -0",
        "M picture binary",
        "M script +0 -0",
        "M sp ace \"q\" é.txt +1 -1",
        "M src/long.txt +1 -2",
        "R moved.txt > there.txt +1 -1",
        "M unended +2 -1",
    ];
    assert_eq!(lines(&all), expected);
    assert_eq!(all.listing.base, format!("base main@{}", &base[..7]));
    assert_eq!(all.listing.end, "worktree, 1 commit, 16 files not committed");
    assert!(!all.listing.incomplete && all.listing.remarks.is_empty(), "{:?}", all.listing.remarks);
    applies(&s, &base);
}

/// One edit of the property test.
#[derive(Debug, Clone)]
enum Edit {
    Write(usize, Vec<u8>),
    Append(usize, Vec<u8>),
    Remove(usize),
    Rename(usize, usize),
    Copy(usize, usize),
    Executable(usize),
    Link(usize, usize),
    Stage,
    Commit,
}

const NAMES: [&str; 8] = ["a.txt", "b", "dir/a.txt", "dir/deep/c", "sp ace", "ü.txt", "dir2/x\"y", "-dash"];

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec(prop_oneof![Just("alpha\n"), Just("beta\n"), Just("gamma delta\n"), Just("\n"), Just("x\r\n"), Just("tail")], 0..30)
            .prop_map(|lines| lines.concat().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let name = || 0..NAMES.len();
    prop_oneof![
        4 => (name(), bytes()).prop_map(|(n, b)| Edit::Write(n, b)),
        3 => (name(), bytes()).prop_map(|(n, b)| Edit::Append(n, b)),
        1 => name().prop_map(Edit::Remove),
        2 => (name(), name()).prop_map(|(a, b)| Edit::Rename(a, b)),
        2 => (name(), name()).prop_map(|(a, b)| Edit::Copy(a, b)),
        1 => name().prop_map(Edit::Executable),
        1 => (name(), name()).prop_map(|(a, b)| Edit::Link(a, b)),
        1 => Just(Edit::Stage),
        1 => Just(Edit::Commit),
    ]
}

fn carry_out(s: &Scratch, edit: &Edit) {
    let at = |n: &usize| s.repo.join(NAMES[*n]);
    let is_file = |path: &Path| path.symlink_metadata().is_ok_and(|m| m.is_file());
    let clear = |path: &Path| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _absent = std::fs::remove_file(path);
    };
    match edit {
        Edit::Write(n, bytes) => {
            clear(&at(n));
            std::fs::write(at(n), bytes).unwrap();
        }
        Edit::Append(n, bytes) if is_file(&at(n)) => {
            let mut all = std::fs::read(at(n)).unwrap();
            all.extend_from_slice(bytes);
            std::fs::write(at(n), all).unwrap();
        }
        Edit::Remove(n) => {
            let _absent = std::fs::remove_file(at(n));
        }
        Edit::Rename(a, b) if a != b && is_file(&at(a)) => {
            clear(&at(b));
            std::fs::rename(at(a), at(b)).unwrap();
        }
        Edit::Copy(a, b) if a != b && is_file(&at(a)) => {
            clear(&at(b));
            std::fs::copy(at(a), at(b)).unwrap();
        }
        Edit::Executable(n) if is_file(&at(n)) => {
            std::fs::set_permissions(at(n), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Edit::Link(n, to) => {
            clear(&at(n));
            symlink(NAMES[*to], at(n)).unwrap();
        }
        Edit::Stage => {
            s.git(&s.repo, &["add", "-A"]);
        }
        Edit::Commit => {
            s.git(&s.repo, &["add", "-A"]);
            s.git(&s.repo, &["commit", "-q", "--allow-empty", "-m", "work"]);
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_was_done_the_patch_does_it_again(
        before in proptest::collection::vec(edit(), 0..8),
        after in proptest::collection::vec(edit(), 1..14),
    ) {
        let s = Scratch::new();
        for edit in &before {
            carry_out(&s, edit);
        }
        carry_out(&s, &Edit::Commit);
        let base = s.git(&s.repo, &["rev-parse", "HEAD"]);
        for edit in &after {
            carry_out(&s, edit);
        }
        applies(&s, &base);
    }
}
