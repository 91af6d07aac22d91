//! A worktree with one of everything that can get lost.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::workspace_common::{Place, Thing, everything};

pub fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Everything that a snapshot keeps.
pub fn fill(p: &Place) {
    let t = &p.tree;
    p.write(t, "stashed.txt", "stash me");
    p.git(t, &["stash", "push", "-q", "--include-untracked", "--", "stashed.txt"]);
    // Committed only here.
    p.commit(t, "only-here.txt", "an unpushed commit\n");
    p.commit(t, "keep/one.txt", "one\n");
    p.commit(t, "keep/two.txt", "two\n");
    p.commit(t, "gone.txt", "will be deleted\n");
    p.commit(t, "script.sh", "#!/bin/sh\n");
    p.commit(t, "crlf.txt", "one\r\ntwo\r\n");
    // Changed, staged, both, and staged as gone.
    p.write(t, "a.txt", "dirty\n");
    p.write(t, "dir/b.txt", "staged\n");
    p.git(t, &["add", "dir/b.txt"]);
    p.write(t, "dir/b.txt", "staged, then changed again\n");
    p.write(t, "new-and-staged.txt", "new\n");
    p.git(t, &["add", "new-and-staged.txt"]);
    p.git(t, &["rm", "-q", "--cached", "keep/two.txt"]);
    fs::remove_file(t.join("gone.txt")).unwrap();
    p.write(t, "intended.txt", "only intended\n");
    p.git(t, &["add", "--intent-to-add", "intended.txt"]);
    mode(&t.join("script.sh"), 0o755);
    // Untracked: modes, names, links, empty directories, large, empty.
    p.write(t, "untracked/deep/er/x.txt", "x");
    p.write(t, "secret.key", "private");
    mode(&t.join("secret.key"), 0o600);
    p.write(t, "read-only/inside.txt", "closed");
    mode(&t.join("read-only/inside.txt"), 0o444);
    fs::create_dir_all(t.join("empty/inner")).unwrap();
    mode(&t.join("empty"), 0o700);
    fs::write(t.join(OsStr::from_bytes(b"not\xfftext")), b"\x00\xff bytes").unwrap();
    fs::write(t.join("n".repeat(255)), "long name").unwrap();
    fs::write(t.join("line\nbreak\ttab \"quote\""), "odd name").unwrap();
    p.write(t, "CASE.txt", "upper");
    p.write(t, "case.txt", "lower");
    fs::write(t.join("empty.bin"), "").unwrap();
    fs::write(t.join("large.bin"), vec![7u8; 9 << 20]).unwrap();
    symlink("a.txt", t.join("link")).unwrap();
    symlink("/etc/hostname", t.join("link-out")).unwrap();
    symlink("nowhere", t.join("dangling")).unwrap();
    assert!(Command::new("mkfifo").args(["-m", "644"]).arg(t.join("pipe")).status().unwrap().success());
    // Last: nothing can be made in it any more.
    mode(&t.join("read-only"), 0o555);
}

/// What only the trash keeps: ignored files, repositories inside, sockets, hard links.
pub fn fill_more(p: &Place) {
    let t = &p.tree;
    p.write(t, "wanted.log", "ignored, but wanted");
    p.write(t, "build/out/a.o", "object");
    let inner = t.join("vendor/lib");
    fs::create_dir_all(&inner).unwrap();
    p.git(&inner, &["init", "-q", "-b", "main"]);
    p.commit(&inner, "one", "1");
    p.write(&inner, "one", "changed");
    p.write(&inner, "two", "untracked");
    fs::hard_link(t.join("large.bin"), t.join("second-name.bin")).unwrap();
    // A name may be longer than an address of a socket.
    let short = p.root.join("s");
    drop(UnixListener::bind(&short).unwrap());
    fs::rename(short, t.join("socket")).unwrap();
}

/// All of the directory, the link to git included.
pub fn all(p: &Place) -> BTreeMap<PathBuf, Thing> {
    everything(&p.tree, |_| false)
}

/// Without what no snapshot keeps: a second name becomes a second file.
pub fn kept(p: &Place) -> BTreeMap<PathBuf, Thing> {
    let out = [".git", "wanted.log", "build", "vendor", "socket"];
    let mut all = everything(&p.tree, |path| out.iter().any(|o| path == Path::new(o)));
    all.values_mut().for_each(|thing| thing.names = 0);
    all
}

/// What git says about index and work tree, conflicts and flags included.
pub fn git_says(p: &Place) -> Vec<String> {
    let status: &[&str] = &["status", "--porcelain=v2", "--branch", "--untracked-files=all", "-z"];
    let index: &[&str] = &["ls-files", "--stage", "-v", "-z"];
    [status, index, &["rev-parse", "HEAD"]].map(|args| p.git(&p.tree, args)).to_vec()
}
