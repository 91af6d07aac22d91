//! Holding what only a worktree's entry reached: once the entry is away, git's clean-up would take it for garbage.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use git2::{ErrorCode, ObjectType, Oid, Repository};
use uuid::Uuid;
use wharf_model::UnixMillis;

use super::REFS;
use crate::workspace::keep_error::KeepError;
use crate::workspace::snapshot::objects::{Leaf, Writer};
use crate::workspace::survey::{GITLINK, Tracked};

/// Files of an entry that are read for ids, and bytes of each.
const FILES_MAX: usize = 10_000;
const FILE_MAX: u64 = 16 << 20;
/// Most objects that are held one by one.
const OBJECTS_MAX: usize = 200_000;
/// Commits of HEAD's history that need not be held one by one.
const HISTORY_MAX: usize = 50_000;

/// Makes `refs/wharf/trash/<id>`: a commit that reaches HEAD, every object that a file of the entry names (its log,
/// what is under way, its own refs) and every content of its index.
pub(super) fn hold(repo: &Repository, private_dir: &Path, id: Uuid, at: UnixMillis) -> Result<(), KeepError> {
    let name = format!("{REFS}{id}");
    if repo.find_reference(&name).is_ok() {
        return Ok(());
    }
    let fail = KeepError::git("hold what the worktree reaches", private_dir);
    let mut writer = Writer::new(repo)?;
    let mut commits = BTreeSet::new();
    let mut others: BTreeMap<Oid, u32> = BTreeMap::new();
    for id in named_in(private_dir)? {
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
    let entries = Tracked::read(repo, usize::MAX)?.entries;
    let indexed = entries.values().flatten().filter(|e| e.mode != GITLINK && writer.has(e.id));
    others.extend(indexed.map(|e| (e.id, 0o100_644)));
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
    let message = format!("wharf: what the worktree in trash {id} reaches\n");
    let commit = writer.commit(tree, &parents, at, &message)?;
    writer.sync()?;
    writer.make_ref(repo, &name, commit)
}

/// Lets go of what was held.
pub(crate) fn release(common: &Repository, id: Uuid) -> Result<(), KeepError> {
    match common.find_reference(&format!("{REFS}{id}")).and_then(|mut r| r.delete()) {
        Ok(()) => Ok(()),
        Err(e) if e.code() == ErrorCode::NotFound => Ok(()),
        Err(e) => Err(KeepError::git("let the trash's ref go", common.path())(e)),
    }
}

/// Everything that looks like an id in the files of an entry. Submodules have their own repositories in it, which
/// move with it.
fn named_in(private_dir: &Path) -> Result<BTreeSet<Oid>, KeepError> {
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
                collect(&text, &mut ids);
            }
        }
    }
    Ok(ids)
}

fn collect(text: &[u8], ids: &mut BTreeSet<Oid>) {
    for word in text.split(|b| !b.is_ascii_hexdigit()).filter(|w| w.len() == 40) {
        if let Some(id) = std::str::from_utf8(word).ok().and_then(|w| w.parse::<Oid>().ok()).filter(|id| !id.is_zero())
        {
            ids.insert(id);
        }
    }
}
