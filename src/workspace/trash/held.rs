//! Holding what only a worktree's entry reached: once the entry is away, git's clean-up would take it for garbage.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use git2::{ErrorCode, ObjectFormat, ObjectType, Oid, Reference, Repository};
use uuid::Uuid;
use wharf_model::UnixMillis;

use super::REFS;
use crate::workspace::keep_error::KeepError;
use crate::workspace::snapshot::objects::{Leaf, Writer};
use crate::workspace::survey::GITLINK;

/// Files of an entry that are read for ids, and bytes of each.
const FILES_MAX: usize = 10_000;
const FILE_MAX: u64 = 16 << 20;
/// Most objects that are held one by one.
const OBJECTS_MAX: usize = 200_000;
/// How the message of every commit that holds something begins; the id follows.
const MESSAGE: &str = "wharf: what the worktree in trash";
/// Commits of HEAD's history that need not be held one by one.
const HISTORY_MAX: usize = 50_000;

/// Makes `refs/wharf/trash/<id>`: a commit that reaches HEAD, every object that a file of the entry names (its log,
/// what is under way, its own refs) and every content of its index.
///
/// One of an earlier try is replaced: it holds what was there then.
pub(crate) fn hold(repo: &Repository, private_dir: &Path, id: Uuid, at: UnixMillis) -> Result<String, KeepError> {
    let name = format!("{REFS}{id}");
    let fail = KeepError::git("hold what the worktree reaches", private_dir);
    let mut writer = Writer::new(repo)?;
    let mut commits = BTreeSet::new();
    let mut others: BTreeMap<Oid, u32> = BTreeMap::new();
    for id in named_in(private_dir, repo.object_format())? {
        match repo.odb().and_then(|odb| odb.read_header(id)) {
            Ok((_, ObjectType::Commit)) => drop(commits.insert(id)),
            Ok((_, ObjectType::Tree)) => drop(others.insert(id, 0o40_000)),
            Ok((_, ObjectType::Blob)) => drop(others.insert(id, 0o100_644)),
            // A tag is held by the tags; everything else is no object of this repository.
            _ => {}
        }
    }
    let head = repo.head().and_then(|h| h.peel_to_commit()).map(|c| c.id()).ok();
    if let Some(head) = head {
        let mut walk = repo.revwalk().map_err(&fail)?;
        walk.push(head).map_err(&fail)?;
        for known in walk.take(HISTORY_MAX).flatten() {
            commits.remove(&known);
        }
    }
    for (mode, id) in indexed_in(private_dir, repo.object_format())? {
        if mode != GITLINK && writer.has(id) {
            others.insert(id, if mode == 0o40_000 { mode } else { 0o100_644 });
        }
    }
    if others.len() + commits.len() > OBJECTS_MAX {
        // Where the index is large, most of it is in HEAD.
        let known = head.and_then(|h| repo.find_commit(h).ok()).and_then(|c| c.tree().ok());
        if let Some(tree) = known {
            let mut in_head = BTreeSet::new();
            tree.walk(git2::TreeWalkMode::PreOrder, |_, e| {
                in_head.insert(e.id());
                git2::TreeWalkResult::Ok
            })
            .map_err(&fail)?;
            others.retain(|id, _| !in_head.contains(id));
        }
    }
    let mut leaves: Vec<Leaf> =
        others.into_iter().map(|(id, mode)| Leaf { path: id.to_string().into_bytes(), mode, id }).collect();
    // git sorts a directory as if its name ended with a slash; names of one length are not affected.
    leaves.sort_by(|a, b| a.path.cmp(&b.path));
    let tree = writer.tree(&leaves)?;
    let parents: Vec<Oid> = head.into_iter().chain(commits).collect();
    let message = format!("{MESSAGE} {id} reaches\n");
    let commit = writer.commit(tree, &parents, at, &message)?;
    writer.sync()?;
    writer.replace_ref(repo, &name, commit)?;
    Ok(name)
}

/// Lets go of what was held. A ref of that name that leads to anything but what [`hold`] makes is not ours, and stays.
pub(crate) fn release(common: &Repository, id: Uuid) -> Result<(), KeepError> {
    let found = common.find_reference(&format!("{REFS}{id}"));
    let released = found.and_then(|mut found| if is_ours(common, &found, id) { found.delete() } else { Ok(()) });
    match released {
        Ok(()) => Ok(()),
        Err(e) if e.code() == ErrorCode::NotFound => Ok(()),
        Err(e) => Err(KeepError::git("let the trash's ref go", common.path())(e)),
    }
}

/// Whether a ref is one that [`hold`] made for this id.
pub(crate) fn is_ours(repo: &Repository, found: &Reference<'_>, id: Uuid) -> bool {
    let commit = found.target().and_then(|target| repo.find_commit(target).ok());
    commit.is_some_and(|commit| commit.message_bytes().starts_with(format!("{MESSAGE} {id} ").as_bytes()))
}

/// Everything that looks like an id in the files of an entry. Submodules have their own repositories in it, which
/// move with it.
fn named_in(private_dir: &Path, format: ObjectFormat) -> Result<BTreeSet<Oid>, KeepError> {
    let mut ids = BTreeSet::new();
    let mut todo = vec![private_dir.to_owned()];
    let mut files = 0;
    while let Some(dir) = todo.pop() {
        let fail = KeepError::io("read", &dir);
        for entry in fs::read_dir(&dir).map_err(&fail)? {
            let entry = entry.map_err(&fail)?;
            let kind = entry.file_type().map_err(&fail)?;
            let name = entry.file_name();
            if kind.is_dir() && name != "modules" {
                todo.push(entry.path());
            } else if kind.is_file() && name != "index" && files < FILES_MAX {
                files += 1;
                let mut text = Vec::new();
                let opened = fs::File::open(entry.path()).map_err(KeepError::io("read", &entry.path()))?;
                opened.take(FILE_MAX).read_to_end(&mut text).map_err(KeepError::io("read", &entry.path()))?;
                collect(&text, format, &mut ids);
            }
        }
    }
    Ok(ids)
}

/// Modes and ids of the entries of an index, and of those that it shares. Read here and not by libgit2, which knows
/// neither shared nor sparse ones.
fn indexed_in(private_dir: &Path, format: ObjectFormat) -> Result<Vec<(u32, Oid)>, KeepError> {
    let mut all = Vec::new();
    for entry in fs::read_dir(private_dir).map_err(KeepError::io("read", private_dir))? {
        let path = entry.map_err(KeepError::io("read", private_dir))?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if name == b"index" || name.starts_with(b"sharedindex.") {
            let data = fs::read(&path).map_err(KeepError::io("read", &path))?;
            // One that git cannot read either names nothing.
            entries_of(&data, format, &mut all);
        }
    }
    Ok(all)
}

/// None where the index ends before its entries do.
fn entries_of(data: &[u8], format: ObjectFormat, all: &mut Vec<(u32, Oid)>) -> Option<()> {
    let number = |at: usize| Some(u32::from_be_bytes(data.get(at..at + 4)?.try_into().ok()?));
    if data.get(..4)? != b"DIRC" {
        return None;
    }
    let version = number(4)?;
    let mut at = 12;
    for _ in 0..number(8)? {
        // Times, device, inode: 24 bytes; mode, owner, group, size: 16; the id: 20, or 32; flags: 2, or 4.
        let after = at + 40 + if format == ObjectFormat::Sha256 { 32 } else { 20 };
        let (mode, id) = (number(at + 24)?, Oid::from_bytes(data.get(at + 40..after)?).ok()?);
        let flags = u16::from_be_bytes(data.get(after..after + 2)?.try_into().ok()?);
        let mut name = after + if flags & 0x4000 == 0 { 2 } else { 4 };
        if version >= 4 {
            while data.get(name)? & 0x80 != 0 {
                name += 1;
            }
            name += 1;
        }
        let length = memchr::memchr(0, data.get(name..)?)?;
        at = if version >= 4 { name + length + 1 } else { at + (name - at + length + 8) / 8 * 8 };
        all.push((mode, id));
    }
    Some(())
}

fn collect(text: &[u8], format: ObjectFormat, ids: &mut BTreeSet<Oid>) {
    let length = if format == ObjectFormat::Sha256 { 64 } else { 40 };
    for word in text.split(|b| !b.is_ascii_hexdigit()).filter(|w| w.len() == length) {
        let id = std::str::from_utf8(word).ok().and_then(|w| Oid::from_str_ext(w, format).ok());
        ids.extend(id.filter(|id| !id.is_zero()));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::super::scratch::Scratch;
    use super::*;

    #[test]
    fn the_entries_of_every_kind_of_index_are_read() {
        let s = Scratch::new();
        for name in ["dir/one", "dir/two", "a-name-with-another-length"] {
            fs::create_dir_all(s.repo.join("dir")).unwrap();
            fs::write(s.repo.join(name), name).unwrap();
            s.git(&s.repo, &["add", name]);
        }
        s.git(&s.repo, &["add", "--intent-to-add", "--", "."]);
        let listed = s.git(&s.repo, &["ls-files", "--format=%(objectname)"]);
        let mut expected: Vec<&str> = listed.lines().collect();
        expected.sort_unstable();
        let read = || {
            let mut ids: Vec<String> = indexed_in(&s.repo.join(".git"), ObjectFormat::Sha1)
                .unwrap()
                .into_iter()
                .map(|(_, id)| id.to_string())
                .collect();
            ids.sort();
            ids
        };
        for version in ["2", "3", "4"] {
            s.git(&s.repo, &["update-index", "--index-version", version]);
            assert_eq!(read(), expected, "version {version}");
        }
        s.git(&s.repo, &["update-index", "--split-index"]);
        fs::write(s.repo.join("later"), "later").unwrap();
        s.git(&s.repo, &["add", "later"]);
        let later = s.git(&s.repo, &["rev-parse", ":later"]);
        let split = read();
        assert!(expected.iter().all(|id| split.iter().any(|r| r == id)) && split.contains(&later), "{split:?}");
    }
}
