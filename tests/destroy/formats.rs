//! The same in formats that libgit2 reads only with help: nothing may get lost there either.

use std::fs;

use uuid::Uuid;
use wharf::workspace::mark::Mark;
use wharf::workspace::restore::{self, FreshAsk};
use wharf_model::rules::close_check::Place as Judged;
use wharf_model::{SnapshotId, UnixMillis};

use super::rich::{all, fill, fill_more, git_says, kept, mode};
use super::snapshots::{into, take, wreck};
use super::trash::{away, back};
use super::workspace_common::{Format, Place, same};

/// Trash and back, a snapshot into the worktree and back, a snapshot as a new worktree.
fn nothing_is_lost(format: Format) {
    let Some(p) = Place::of(format) else { return };
    fill(&p);
    fill_more(&p);
    let index = p.repo.join(".git/worktrees/work/index");
    let (before, says, raw) = (all(&p), git_says(&p), fs::read(&index).unwrap());
    let found = p.look();
    assert_eq!(found.unknown, Vec::<String>::new());
    let made = take(&p);
    same(&before, &all(&p));
    assert_eq!(raw, fs::read(&index).unwrap(), "the index is untouched");
    assert_eq!(says, git_says(&p));
    let name = &made.ref_name;
    assert_eq!(p.git(&p.repo, &["show", &format!("{name}:dir/b.txt")]), "staged, then changed again");
    assert_eq!(p.git(&p.repo, &["show", &format!("{name}^2:dir/b.txt")]), "staged");
    p.git(&p.repo, &["fsck", "--no-dangling"]);

    let record = away(&p);
    p.git(&p.repo, &["reflog", "expire", "--expire=now", "--all"]);
    p.git(&p.repo, &["gc", "-q", "--prune=now"]);
    back(&p, &record.trash_path).unwrap();
    same(&before, &all(&p));
    assert_eq!(says, git_says(&p));
    assert_eq!(p.look().place, Judged::Ours);

    let state = kept(&p);
    wreck(&p);
    let wrecked = (kept(&p), git_says(&p));
    p.git(&p.repo, &["gc", "-q", "--prune=now"]);
    let before = SnapshotId(Uuid::now_v7());
    into(&p, made.id, before).unwrap();
    same(&state, &kept(&p));
    assert_eq!(says, git_says(&p), "index and work tree are as they were");
    let again = into(&p, made.id, SnapshotId(Uuid::now_v7())).unwrap();
    assert_eq!((again.written, again.removed), (0, 0));
    into(&p, before, SnapshotId(Uuid::now_v7())).unwrap();
    same(&wrecked.0, &kept(&p));
    assert_eq!(wrecked.1, git_says(&p));
    if format == Format::SparseIndex {
        assert!(!p.tree.join("far").exists(), "what is left out stays out");
        assert_eq!(p.git(&p.tree, &["sparse-checkout", "list"]), "dir\nkeep\nsub");
        assert_eq!(p.git(&p.tree, &["ls-files", "-t", "far"]), "S far/away/c.txt");
    }

    p.git(&p.repo, &["worktree", "remove", "-f", "-f", p.tree.to_str().unwrap()]);
    p.git(&p.repo, &["branch", "-q", "-D", "work"]);
    let fresh = FreshAsk {
        id: made.id,
        path: p.tree.clone(),
        repo: p.repo.clone(),
        mark: Mark::new(p.project, p.workspace, None, UnixMillis(5)),
        parks: Uuid::now_v7(),
    };
    restore::into_fresh(&fresh, &p.builder()).unwrap();
    same(&state, &kept(&p));
    // But for the repository inside, which no snapshot holds.
    let says: Vec<String> = says.iter().map(|text| text.replace("? vendor/lib/\0", "")).collect();
    assert_eq!(says, git_says(&p));
    assert_eq!(p.look().unknown, Vec::<String>::new());
    if format == Format::SparseIndex {
        // The project has all of the tree, and its worktree the same part as before, also with what git does next.
        assert_eq!(p.git(&p.tree, &["sparse-checkout", "list"]), "dir\nkeep\nsub");
        assert!(p.repo.join("far").exists() && p.try_git(&p.repo, &["sparse-checkout", "list"]).1.is_empty());
        mode(&p.tree.join("read-only"), 0o755);
        p.git(&p.tree, &["reset", "-q", "--hard"]);
        p.git(&p.tree, &["checkout", "-q", "--detach", "main"]);
        assert!(!p.tree.join("far").exists());
    }
    mode(&p.tree.join("read-only"), 0o755);
    if format == Format::Partial {
        p.assert_missing(&p.git(&p.repo, &["rev-parse", "main~1:a.txt"]));
    }
}

#[test]
fn nothing_is_lost_in_a_sparse_index() {
    nothing_is_lost(Format::SparseIndex);
}

#[test]
fn nothing_is_lost_in_a_split_index() {
    nothing_is_lost(Format::SplitIndex);
}

#[test]
fn nothing_is_lost_in_an_index_for_many_files() {
    nothing_is_lost(Format::ManyFiles);
}

#[test]
fn nothing_is_lost_in_a_partial_clone() {
    nothing_is_lost(Format::Partial);
}

#[test]
fn nothing_is_lost_with_sha256() {
    nothing_is_lost(Format::Sha256);
}
