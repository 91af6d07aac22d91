//! Comparisons of real repositories.

mod apply;
mod shapes;

use std::path::{Path, PathBuf};

use super::*;
use crate::workspace::scratch::Scratch;

/// A repository with one commit, and that commit.
fn begun() -> (Scratch, String) {
    let s = Scratch::new();
    let base = s.git(&s.repo, &["rev-parse", "HEAD"]);
    (s, base)
}

fn of(commit: &str) -> Base {
    Base::Of { commit: commit.to_owned(), name: Some("main".to_owned()) }
}

fn listed(at: &Path, base: &str) -> Comparison {
    compare(at, &of(base), &End::Worktree, Limits::SCREEN).unwrap()
}

/// Letter, path and counts of each file.
fn lines(comparison: &Comparison) -> Vec<String> {
    let line = |f: &FileChange| {
        let counts = f.counts.map_or_else(|| f.content.word().to_owned(), |(a, r)| format!("+{a} -{r}"));
        let from = f.old_path().map_or_else(String::new, |p| format!("{} > ", String::from_utf8_lossy(p)));
        format!("{} {from}{} {counts}", f.letter(), String::from_utf8_lossy(f.path()))
    };
    comparison.listing.files.iter().map(line).collect()
}

fn patch_of(at: &Path, base: &Base, end: &End) -> Vec<u8> {
    let mut out = Vec::new();
    let (_, sunk) = patch(
        at,
        base,
        end,
        Limits::PATCH,
        |_| true,
        |part| {
            out.extend_from_slice(part);
            Ok::<(), ()>(())
        },
    )
    .unwrap();
    sunk.unwrap();
    out
}

fn write(at: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = at.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}
