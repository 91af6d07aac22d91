//! What a snapshot says a work tree and its index are to be.

use std::collections::{BTreeMap, BTreeSet};

use git2::{Commit, IndexEntry, Oid, Repository, Tree};

use crate::workspace::keep_error::KeepError;
use crate::workspace::snapshot::{lists, part, part_of};
use crate::workspace::survey::GITLINK;

/// Deepest tree that is read.
const LEVELS_MAX: usize = 4096;

/// A file or a link that is to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub id: Oid,
    pub link: bool,
    /// All of its mode; of no meaning for a link.
    pub mode: u32,
}

/// Everything of a snapshot, read.
#[derive(Debug)]
pub(super) struct Target {
    pub files: BTreeMap<Vec<u8>, Wanted>,
    /// Directories that are to be there, with their modes.
    pub dirs: BTreeMap<Vec<u8>, u32>,
    /// Submodules, at their commits.
    pub submodules: BTreeMap<Vec<u8>, Oid>,
    pub pipes: Vec<Vec<u8>>,
    pub index: Vec<IndexEntry>,
}

impl Target {
    pub fn read(repo: &Repository, commit: &Commit<'_>) -> Result<Self, KeepError> {
        let fail = KeepError::git("read the snapshot", repo.path());
        let bad = |what: &str| KeepError::BadRecord {
            path: repo.path().join(commit.id().to_string()),
            why: format!("its list of {what} is damaged"),
        };
        let list = |name| part_of(repo, commit, name);
        let mut leaves = BTreeMap::new();
        collect(repo, &commit.tree().map_err(&fail)?, &[], 0, &mut leaves).map_err(&fail)?;
        for absent in lists::read_paths(&list(part::ABSENT)?) {
            leaves.remove(&absent);
        }
        let modes: BTreeMap<Vec<u8>, u32> =
            lists::read_modes(&list(part::MODES)?).ok_or_else(|| bad("modes"))?.into_iter().collect();
        let index = lists::read_index(&list(part::INDEX)?).ok_or_else(|| bad("the index"))?;
        let mut target = Self {
            files: BTreeMap::new(),
            dirs: BTreeMap::new(),
            submodules: BTreeMap::new(),
            pipes: lists::read_paths(&list(part::PIPES)?),
            index,
        };
        let mut dirs: BTreeSet<Vec<u8>> = lists::read_paths(&list(part::EMPTY)?).into_iter().collect();
        for (path, (mode, id)) in leaves {
            if mode == GITLINK {
                dirs.insert(path.clone());
                target.submodules.insert(path, id);
                continue;
            }
            let usual = if mode == 0o100_755 { 0o755 } else { 0o644 };
            let wanted = Wanted { id, link: mode == 0o120_000, mode: modes.get(&path).copied().unwrap_or(usual) };
            target.files.insert(path, wanted);
        }
        let named = target.files.keys().chain(&target.pipes).chain(&dirs);
        let above: Vec<Vec<u8>> = named.flat_map(|path| above(path).map(<[u8]>::to_vec)).collect();
        dirs.extend(above);
        target.dirs =
            dirs.into_iter().map(|dir| (modes.get(&dir).copied().unwrap_or(0o755), dir)).map(|(m, d)| (d, m)).collect();
        Ok(target)
    }

    /// Blobs of a snapshot's work tree, by path: what may be removed because it is kept.
    pub fn kept(&self) -> BTreeMap<&[u8], (Oid, bool)> {
        self.files.iter().map(|(path, w)| (path.as_slice(), (w.id, w.link))).collect()
    }
}

/// The directories above a path, nearest first.
pub(super) fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().rev().filter(|(_, b)| **b == b'/').map(|(at, _)| &path[..at])
}

fn collect(
    repo: &Repository,
    tree: &Tree<'_>,
    below: &[u8],
    depth: usize,
    out: &mut BTreeMap<Vec<u8>, (u32, Oid)>,
) -> Result<(), git2::Error> {
    if depth > LEVELS_MAX {
        return Err(git2::Error::from_str("its tree is too deep"));
    }
    for entry in tree {
        let mut path = below.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(entry.name_bytes());
        let mode = entry.filemode() as u32;
        if mode == 0o40_000 {
            collect(repo, &repo.find_tree(entry.id())?, &path, depth + 1, out)?;
        } else {
            out.insert(path, (mode, entry.id()));
        }
    }
    Ok(())
}
