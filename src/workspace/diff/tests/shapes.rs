//! What checkouts of every shape show.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// The hunks of a file as a unified diff without its head, with marks in brackets.
fn shown(comparison: &Comparison, path: &str) -> String {
    let file = comparison.listing.files.iter().find(|f| f.path() == path.as_bytes()).unwrap();
    let hunks = comparison.hunks(file).unwrap();
    let mut out = String::new();
    for hunk in &hunks.hunks {
        out.push_str(&format!("@@ {},{} {},{}\n", hunk.old.0, hunk.old.1, hunk.new.0, hunk.new.1));
        for line in &hunk.lines {
            let sign = match line.kind {
                LineKind::Context => ' ',
                LineKind::Added => '+',
                LineKind::Removed => '-',
            };
            let mut text = line.text.clone();
            for mark in line.marks.iter().rev() {
                text.insert(mark.end, ']');
                text.insert(mark.start, '[');
            }
            out.push_str(&format!("{sign}{text}{}\n", if line.unended { " <end>" } else { "" }));
        }
    }
    out + hunks.remark.as_deref().unwrap_or_default()
}

#[test]
fn an_untouched_checkout_shows_nothing() {
    let (s, base) = begun();
    let all = listed(&s.repo, &base);
    assert_eq!((lines(&all), all.listing.remarks.len()), (vec![], 0));
    assert_eq!(all.listing.end, "worktree, as committed");
    assert!(patch_of(&s.repo, &of(&base), &End::Worktree).is_empty());
}

#[test]
fn words_blanks_and_ends_of_lines_are_told() {
    let (s, _) = begun();
    write(&s.repo, "text", "one\n\tlet basket = order;\nthree\nfour");
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-qm", "text"]);
    let base = s.git(&s.repo, &["rev-parse", "HEAD"]);
    write(&s.repo, "text", "one\r\n    let cart = order;\nthree\nfour\n");
    let all = listed(&s.repo, &base);
    let expected =
        "@@ 1,4 1,4\n-one\n-    let [basket] = order;\n+one[␍]\n+    let [cart] = order;\n three\n-four <end>\n+four\n";
    assert_eq!(shown(&all, "text"), expected);
    // Only blanks differ: they are made visible.
    write(&s.repo, "text", "one\n    let basket = order;\nthree\nfour");
    let all = listed(&s.repo, &base);
    let expected = "@@ 1,4 1,4\n one\n-[→    ]let·basket·=·order;\n+[····]let·basket·=·order;\n three\n four <end>\n";
    assert_eq!(shown(&all, "text"), expected);
}

#[test]
fn a_rename_with_a_change_shows_both_names_and_the_change() {
    let (s, _) = begun();
    let long: String = (0..30).map(|n| format!("line {n}\n")).collect();
    write(&s.repo, "before.rs", &long);
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-qm", "long"]);
    let base = s.git(&s.repo, &["rev-parse", "HEAD"]);
    std::fs::remove_file(s.repo.join("before.rs")).unwrap();
    write(&s.repo, "after.rs", long.replace("line 20\n", "line twenty\n"));
    let all = listed(&s.repo, &base);
    assert_eq!(all.listing.files[0].status, Status::Renamed);
    assert_eq!(lines(&all), ["? before.rs > after.rs +1 -1"]);
    assert!(shown(&all, "after.rs").contains("-line [20]\n+line [twenty]\n"), "{}", shown(&all, "after.rs"));
    let patch = String::from_utf8(patch_of(&s.repo, &of(&base), &End::Worktree)).unwrap();
    assert!(patch.contains("rename from before.rs\nrename to after.rs\n"), "{patch}");
}

#[test]
fn modes_links_submodules_and_binaries_are_said() {
    let (s, _) = begun();
    let inner = s.root.join("inner");
    s.init(&inner);
    let url = inner.to_str().unwrap();
    s.git(&s.repo, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, "sub"]);
    write(&s.repo, "script", "#!/bin/sh\n");
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-qm", "sub"]);
    let base = s.git(&s.repo, &["rev-parse", "HEAD"]);
    s.git(&s.repo.join("sub"), &["commit", "-q", "--allow-empty", "-m", "further"]);
    std::fs::set_permissions(s.repo.join("script"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("a.txt", s.repo.join("link")).unwrap();
    write(&s.repo, "blob", [0u8; 2000]);
    let all = listed(&s.repo, &base);
    assert_eq!(lines(&all), ["? blob binary", "? link symlink", "M script +0 -0", "M sub submodule"]);
    assert_eq!(shown(&all, "blob"), "binary, nothing before and 2.0 KB after");
    assert_eq!(shown(&all, "link"), "@@ 0,0 1,1\n+a.txt <end>\n");
    assert_eq!(shown(&all, "script"), "mode 100644 becomes 100755; its content is the same");
    let sub = shown(&all, "sub");
    assert!(sub.starts_with("@@ 1,1 1,1\n-Subproject commit ") && sub.contains("\n+Subproject commit "), "{sub}");
}

#[test]
fn staged_ignored_forced_and_forgotten_files_count_as_they_lie() {
    let (s, _) = begun();
    write(&s.repo, ".gitignore", "*.log\n");
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-qm", "ignore"]);
    let base = s.git(&s.repo, &["rev-parse", "HEAD"]);
    write(&s.repo, "ignored.log", "x\n");
    write(&s.repo, "forced.log", "forced\n");
    s.git(&s.repo, &["add", "-f", "forced.log"]);
    // Staged, then undone in the worktree.
    write(&s.repo, "staged", "x\n");
    s.git(&s.repo, &["add", "staged"]);
    std::fs::remove_file(s.repo.join("staged")).unwrap();
    // git was told to forget it, and it is still there.
    s.git(&s.repo, &["rm", "-q", "--cached", "a.txt"]);
    assert_eq!(lines(&listed(&s.repo, &base)), ["A forced.log +1 -0"]);
}

#[test]
fn a_base_that_moved_on_is_met_where_the_branch_left_it() {
    let (s, base) = begun();
    s.git(&s.repo, &["checkout", "-qb", "work"]);
    write(&s.repo, "mine", "x\n");
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-qm", "mine"]);
    s.git(&s.repo, &["checkout", "-q", "main"]);
    write(&s.repo, "theirs", "x\n");
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-qm", "theirs"]);
    let moved = s.git(&s.repo, &["rev-parse", "HEAD"]);
    s.git(&s.repo, &["checkout", "-q", "work"]);
    let all = listed(&s.repo, &moved);
    assert_eq!(lines(&all), ["A mine +1 -0"]);
    assert_eq!(all.listing.base, format!("merge base {} of main@{} and HEAD", &base[..7], &moved[..7]));
    assert_eq!(all.listing.end, "worktree, 1 commit, all committed");
    // On no branch it is the same.
    s.git(&s.repo, &["checkout", "-q", "--detach"]);
    assert_eq!(listed(&s.repo, &moved).listing.end, "worktree on no branch, 1 commit, all committed");
}

#[test]
fn a_base_that_is_not_there_is_said() {
    let (s, _) = begun();
    write(&s.repo, "new", "x\n");
    let lost = "0123456789012345678901234567890123456789";
    let all = listed(&s.repo, lost);
    assert_eq!(lines(&all), ["? new +1 -0"]);
    assert!(all.listing.remarks[0].contains("main@0123456 is not in this repository"), "{:?}", all.listing.remarks);
    assert!(all.listing.base.starts_with("base HEAD@"), "{}", all.listing.base);
    // A shallow clone lacks what lies before it.
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-qm", "second"]);
    let first = s.git(&s.repo, &["rev-parse", "HEAD~1"]);
    let clone = s.root.join("clone");
    let url = format!("file://{}", s.repo.display());
    s.git(&s.root, &["clone", "-q", "--depth", "1", &url, clone.to_str().unwrap()]);
    write(&clone, "more", "x\n");
    let all = listed(&clone, &first);
    assert_eq!(lines(&all), ["? more +1 -0"]);
    assert!(all.listing.remarks[0].contains("which is shallow"), "{:?}", all.listing.remarks);
}

#[test]
fn before_the_first_commit_all_files_are_new() {
    let s = Scratch::empty();
    s.git(&s.repo, &["init", "-q"]);
    write(&s.repo, "staged", "x\n");
    s.git(&s.repo, &["add", "."]);
    write(&s.repo, "untracked", "x\ny\n");
    let all = compare(&s.repo, &Base::Head, &End::Worktree, Limits::SCREEN).unwrap();
    assert_eq!(lines(&all), ["A staged +1 -0", "? untracked +2 -0"]);
    assert_eq!(all.listing.remarks, ["there is no commit yet: all files are new"]);
    assert_eq!(all.listing.base_commit, None);
}

#[test]
fn a_merge_that_is_open_shows_the_files_as_they_lie() {
    let (s, base) = begun();
    s.git(&s.repo, &["checkout", "-qb", "work"]);
    write(&s.repo, "a.txt", "mine\n");
    write(&s.repo, "b.txt", "x\n");
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-qm", "mine"]);
    s.git(&s.repo, &["checkout", "-q", "main"]);
    write(&s.repo, "a.txt", "theirs\n");
    s.git(&s.repo, &["commit", "-qam", "theirs"]);
    s.git(&s.repo, &["checkout", "-q", "work"]);
    let merge = std::process::Command::new("git")
        .args(["merge", "-q", "main"])
        .current_dir(&s.repo)
        .env_clear()
        .envs(crate::workspace::scratch::operator())
        .output()
        .unwrap();
    assert!(!merge.status.success(), "the merge was to end in a conflict");
    let all = listed(&s.repo, &base);
    assert_eq!(lines(&all), ["U a.txt +5 -1", "A b.txt +1 -0"]);
    assert!(all.listing.remarks[0].starts_with("a merge is under way"), "{:?}", all.listing.remarks);
    assert!(shown(&all, "a.txt").contains("+<<<<<<< HEAD"), "{}", shown(&all, "a.txt"));
}

#[test]
fn large_files_are_named_and_not_read() {
    let (s, base) = begun();
    let file = std::fs::File::create(s.repo.join("huge")).unwrap();
    file.set_len(Limits::SCREEN.file_bytes + 1).unwrap();
    write(&s.repo, "small", "x\n");
    let all = listed(&s.repo, &base);
    assert_eq!(lines(&all), ["? huge unread", "? small +1 -0"]);
    assert!(all.listing.incomplete);
    assert_eq!(shown(&all, "huge"), "4.2 MB, too large to be compared here");
    // The same once it is committed.
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-qm", "huge"]);
    assert_eq!(lines(&listed(&s.repo, &base)), ["A huge unread", "A small +1 -0"]);
    // Of many lines the first are shown, and of a long one its beginning.
    write(&s.repo, "small", format!("{}\n{}", "y".repeat(5000), "z\n".repeat(30_000)));
    let all = listed(&s.repo, &base);
    let small = all.listing.files.iter().find(|f| f.path() == b"small").unwrap();
    let hunks = all.hunks(small).unwrap();
    assert_eq!(hunks.hunks[0].lines.len(), Limits::SCREEN.lines);
    assert_eq!(hunks.hunks[0].lines[0].text.chars().count(), Limits::SCREEN.line_bytes + 1);
    assert!(hunks.remark.unwrap().starts_with("the first 20"));
}

#[test]
fn files_out_of_a_sparse_checkout_are_not_taken_for_deleted() {
    let (s, _) = begun();
    write(&s.repo, "in/x", "x\n");
    write(&s.repo, "out/y", "y\n");
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-qm", "two"]);
    let base = s.git(&s.repo, &["rev-parse", "HEAD"]);
    s.git(&s.repo, &["sparse-checkout", "set", "in"]);
    assert!(!s.repo.join("out/y").exists());
    write(&s.repo, "in/x", "changed\n");
    assert_eq!(lines(&listed(&s.repo, &base)), ["M in/x +1 -1"]);
}

#[test]
fn a_repository_inside_is_named_and_not_looked_into() {
    let (s, base) = begun();
    s.init(&s.repo.join("nested"));
    let all = listed(&s.repo, &base);
    assert_eq!(lines(&all), Vec::<String>::new());
    assert_eq!(all.listing.remarks, ["nested/: a repository of its own, not looked into"]);
    assert!(all.listing.incomplete);
}

#[test]
fn below_the_root_the_whole_checkout_is_compared() {
    let (s, base) = begun();
    write(&s.repo, "part/x", "x\n");
    write(&s.repo, "y", "y\n");
    assert_eq!(lines(&listed(&s.repo.join("part"), &base)), ["? part/x +1 -0", "? y +1 -0"]);
    let plain = s.root.join("plain");
    std::fs::create_dir(&plain).unwrap();
    let refused = compare(&plain, &of(&base), &End::Worktree, Limits::SCREEN).err().unwrap();
    assert!(refused.to_string().contains("plain"), "{refused}");
}

#[test]
fn what_the_config_names_is_not_executed_and_nothing_is_written() {
    let (s, _) = begun();
    let ran = s.root.join("ran");
    let touch = format!("touch {}; cat", ran.display());
    for key in ["filter.evil.clean", "filter.evil.smudge", "diff.evil.textconv", "diff.evil.command", "core.fsmonitor"]
    {
        s.git(&s.repo, &["config", key, &touch]);
    }
    write(&s.repo, ".gitattributes", "*.evil filter=evil diff=evil\n");
    write(&s.repo, "x.evil", "one\n");
    let hook = write(&s.repo, ".git/hooks/post-index-change", format!("#!/bin/sh\ntouch {}\n", ran.display()));
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let objects = || {
        let mut names: Vec<_> = walk(&s.repo.join(".git"));
        names.sort();
        names
    };
    let before = objects();
    let base = s.git(&s.repo, &["rev-parse", "HEAD"]);
    let all = listed(&s.repo, &base);
    assert_eq!(lines(&all), ["? .gitattributes +1 -0", "? x.evil +1 -0"]);
    assert_eq!(shown(&all, "x.evil"), "@@ 0,0 1,1\n+one\n");
    assert!(!patch_of(&s.repo, &of(&base), &End::Worktree).is_empty());
    assert!(!ran.exists(), "something was executed");
    assert_eq!(objects(), before, "something was written");
}

fn walk(dir: &Path) -> Vec<(PathBuf, Option<std::time::SystemTime>)> {
    let entries = std::fs::read_dir(dir).unwrap().flatten();
    entries
        .flat_map(|e| {
            let metadata = e.metadata().unwrap();
            if metadata.is_dir() { walk(&e.path()) } else { vec![(e.path(), metadata.modified().ok())] }
        })
        .collect()
}

#[test]
fn line_ends_are_compared_as_git_would_commit_them() {
    let (s, _) = begun();
    write(&s.repo, ".gitattributes", "*.txt text\n");
    write(&s.repo, "crlf.txt", "one\ntwo\n");
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-qm", "text"]);
    let base = s.git(&s.repo, &["rev-parse", "HEAD"]);
    write(&s.repo, "crlf.txt", "one\r\ntwo\r\n");
    assert_eq!(lines(&listed(&s.repo, &base)), Vec::<String>::new());
}

#[test]
fn between_two_commits_the_worktree_plays_no_part() {
    let (s, base) = begun();
    write(&s.repo, "kept", "x\n");
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-qm", "kept"]);
    let end = s.git(&s.repo, &["rev-parse", "HEAD"]);
    write(&s.repo, "later", "x\n");
    let end = End::Commit { commit: end, what: "R-1 as it ended".to_owned(), head: None };
    let all = compare(&s.repo, &of(&base), &end, Limits::SCREEN).unwrap();
    assert_eq!(lines(&all), ["A kept +1 -0"]);
    assert_eq!(all.listing.end, "R-1 as it ended, 1 commit");
    let gone = End::Commit { commit: "1".repeat(40), what: "snapshot W-7.1".to_owned(), head: None };
    let refused = compare(&s.repo, &of(&base), &gone, Limits::SCREEN).err().unwrap().to_string();
    assert!(refused.contains("snapshot W-7.1, 1111111, is not in the repository any more"), "{refused}");
}

#[test]
fn five_thousand_files_are_listed_and_counted() {
    let (s, base) = begun();
    for n in 0..5_000 {
        write(&s.repo, &format!("d{}/f{n}", n % 50), format!("{n}\n"));
    }
    let all = listed(&s.repo, &base);
    assert_eq!(all.listing.totals(), (5_000, 0, true));
    assert_eq!(all.listing.files.len(), 5_000);
    let few = Limits { files: 100, ..Limits::SCREEN };
    let cut = compare(&s.repo, &of(&base), &End::Worktree, few).unwrap();
    assert_eq!(cut.listing.files.len(), 100);
    assert_eq!(cut.listing.remarks, ["4900 more files differ and are not listed"]);
    assert!(cut.listing.incomplete);
}

#[test]
fn of_a_snapshot_the_commits_of_the_work_are_counted() {
    use crate::workspace::snapshot::{SnapshotAsk, SnapshotLimits, take};
    let (s, base) = begun();
    write(&s.repo, "kept", "x\n");
    s.git(&s.repo, &["add", "."]);
    s.git(&s.repo, &["commit", "-qm", "kept"]);
    write(&s.repo, "untracked", "x\n");
    write(&s.repo, "a.txt", "changed\n");
    let taken = take(&SnapshotAsk {
        id: wharf_model::SnapshotId(uuid::Uuid::now_v7()),
        workspace: s.workspace,
        path: s.repo.clone(),
        reason: "before archiving".to_owned(),
        at: wharf_model::UnixMillis(1),
        limits: SnapshotLimits::default(),
    })
    .unwrap();
    let end = End::Commit { commit: taken.commit, what: "snapshot W-7.1".to_owned(), head: taken.head };
    // Whatever became of the directory since.
    std::fs::remove_file(s.repo.join("untracked")).unwrap();
    let all = compare(&s.repo, &of(&base), &end, Limits::SCREEN).unwrap();
    assert_eq!(lines(&all), ["M a.txt +1 -1", "A kept +1 -0", "A untracked +1 -0"]);
    assert_eq!(all.listing.end, "snapshot W-7.1, 1 commit");
}

#[test]
fn two_worktrees_are_compared_as_they_stand() {
    let (s, _) = begun();
    let (one, two) = (s.root.join("one"), s.root.join("two"));
    for at in [&one, &two] {
        s.git(&s.repo, &["worktree", "add", "-q", "--detach", at.to_str().unwrap()]);
    }
    write(&one, "same", "x\n");
    write(&two, "same", "x\n");
    write(&one, "a.txt", "one\n");
    write(&two, "a.txt", "two\n");
    write(&one, "only", "x\n");
    s.git(&two, &["commit", "-qam", "two"]);
    let base = Base::Worktree { directory: one.clone(), what: "R-1 in W-1".to_owned() };
    let all = compare(&two, &base, &End::Named("R-2 in W-2".to_owned()), Limits::SCREEN).unwrap();
    assert_eq!(lines(&all), ["M a.txt +1 -1", "D only +0 -1"]);
    assert!(shown(&all, "a.txt").contains("-[one]\n+[two]\n") || shown(&all, "a.txt").contains("-one\n+two\n"));
    assert_eq!((all.listing.base.as_str(), all.listing.end.as_str()), ("R-1 in W-1", "R-2 in W-2 on no branch"));
    // Against a commit as well, and not with another repository.
    let head = s.git(&two, &["rev-parse", "HEAD"]);
    let end = End::Commit { commit: head, what: "R-2 ended at".to_owned(), head: None };
    let all = compare(&two, &base, &end, Limits::SCREEN).unwrap();
    assert_eq!(lines(&all), ["M a.txt +1 -1", "D only +0 -1", "D same +0 -1"]);
    let other = s.root.join("other");
    s.init(&other);
    let refused = compare(&other, &base, &End::Worktree, Limits::SCREEN).err().unwrap().to_string();
    assert!(refused.contains("it is another repository"), "{refused}");
}
