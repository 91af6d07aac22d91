//! Making a work tree and its index what a snapshot says.
//!
//! First everything is looked at and every obstacle is an error; only then is the first file changed. What is replaced
//! or removed must be content that the snapshot made before holds, checked again in the moment of the change.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use git2::{IndexEntry, IndexTime, Oid, Repository};
use rustix::fs::{AtFlags, CWD, FileType, statat};

use super::hands::{Hands, NEW, OLD, split};
use super::target::{Target, above};
use crate::process::kill_point::kill_point;
use crate::workspace::keep_error::KeepError;
use crate::workspace::plain_index;
use crate::workspace::snapshot::SnapshotLimits;
use crate::workspace::survey::{Bounds, Survey, Tracked, survey};

/// What was changed.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub written: u64,
    pub removed: u64,
}

/// Carries a snapshot out. `before` is what may be replaced; without it nothing is.
pub(super) fn apply(
    repo: &Repository,
    root: &Path,
    target: &Target,
    before: Option<&Target>,
    limits: SnapshotLimits,
) -> Result<Done, KeepError> {
    let mut hands = Hands::new(repo, root)?;
    let kept = before.map(Target::kept).unwrap_or_default();
    let found = look(repo, root, limits)?;
    let left: Vec<&[u8]> = found.items.iter().map(|i| i.path.as_slice()).filter(|p| is_left(p)).collect();
    if !left.is_empty() {
        let ids: BTreeSet<(Oid, bool)> =
            kept.values().copied().chain(target.files.values().map(|w| (w.id, w.link))).collect();
        for path in left {
            hands.remove_left(path, |content| ids.contains(&content))?;
        }
    }
    let found = look(repo, root, limits)?;
    let plan = Plan::of(&found, &hands, root, target, &kept, before.is_some())?;
    let mut done = Done::default();
    for (path, content) in &plan.remove {
        done.removed += u64::from(hands.remove(path, *content)?);
    }
    kill_point("workspace.restore_removed");
    clear_dirs(&mut hands, &found, &plan, target)?;
    for dir in target.dirs.keys() {
        hands.make_dir(dir)?;
    }
    for (path, over) in &plan.write {
        if let Some(wanted) = target.files.get(*path) {
            hands.put(path, *wanted, *over)?;
            done.written += 1;
            kill_point("workspace.restore_file");
        }
    }
    for path in &target.pipes {
        hands.make_pipe(path)?;
    }
    for path in &plan.modes {
        if let Some(wanted) = target.files.get(*path) {
            hands.set_mode(path, wanted.mode)?;
        }
    }
    // Deepest first: one above may be closed for writing.
    for (path, mode) in target.dirs.iter().rev().filter(|(path, _)| !target.submodules.contains_key(*path)) {
        hands.set_mode(path, *mode)?;
    }
    kill_point("workspace.restore_modes");
    write_index(repo, root, target)?;
    Ok(done)
}

fn is_left(path: &[u8]) -> bool {
    let (_, name) = split(path);
    [NEW, OLD].iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
}

fn look(repo: &Repository, root: &Path, limits: SnapshotLimits) -> Result<Survey, KeepError> {
    let tracked = Tracked::read(repo, limits.entries)?;
    let bounds = Bounds { entries: limits.entries, until: Instant::now() + limits.time };
    let found = survey(root, Some(repo), &tracked, bounds);
    match found.troubles.first() {
        Some(trouble) => Err(KeepError::TooLarge { path: root.to_owned(), why: trouble.clone() }),
        None => Ok(found),
    }
}

#[derive(Debug, Default)]
struct Plan<'a> {
    /// Files that go, with the content they have.
    remove: Vec<(&'a [u8], (Oid, bool))>,
    /// Files that come, with the content they take the place of.
    write: Vec<(&'a [u8], Option<(Oid, bool)>)>,
    /// Files that have the right content and may have another mode.
    modes: Vec<&'a [u8]>,
}

impl<'a> Plan<'a> {
    fn of(
        found: &'a Survey,
        hands: &Hands<'_>,
        root: &Path,
        target: &'a Target,
        kept: &BTreeMap<&[u8], (Oid, bool)>,
        may_replace: bool,
    ) -> Result<Self, KeepError> {
        let full = |path: &[u8]| root.join(OsStr::from_bytes(path));
        let mut plan = Self::default();
        let mut there = BTreeSet::new();
        for item in &found.items {
            let path = item.path.as_slice();
            there.insert(path);
            let content = hands.content(path)?;
            let wanted = target.files.get(path);
            if wanted.is_some_and(|w| (w.id, w.link) == content) {
                if !item.link && wanted.is_some_and(|w| w.mode != item.stat.st_mode & 0o7777) {
                    plan.modes.push(path);
                }
                continue;
            }
            if !may_replace {
                return Err(KeepError::InTheWay { path: full(path), what: "not in the snapshot" });
            }
            if kept.get(path) != Some(&content) {
                let why = "it is not what was kept of it".to_owned();
                return Err(KeepError::Changed { path: full(path), why });
            }
            match wanted {
                Some(_) => plan.write.push((path, Some(content))),
                None => plan.remove.push((path, content)),
            }
        }
        let others: Vec<(&[u8], &'static str)> = others(found).collect();
        for path in target.files.keys().chain(&target.pipes) {
            let path = path.as_slice();
            if there.contains(path) {
                continue;
            }
            // A file that goes is no obstacle to what comes below its name.
            if !above(path).any(|dir| there.contains(dir)) {
                obstacle(hands, path, &others, target)
                    .map_or(Ok(()), |(at, what)| Err(KeepError::InTheWay { path: full(at), what }))?;
            }
            let same = target.files.get(path).is_some_and(|w| hands.content(path).is_ok_and(|c| c == (w.id, w.link)));
            if target.files.contains_key(path) && !same {
                plan.write.push((path, None));
            } else if same {
                plan.modes.push(path);
            }
        }
        for path in target.dirs.keys() {
            let file_goes = there.contains(path.as_slice()) || above(path).any(|dir| there.contains(dir));
            if !file_goes && hands.kind(path)?.is_some_and(|kind| kind != FileType::Directory) {
                return Err(KeepError::InTheWay { path: full(path), what: "ignored, or no file" });
            }
        }
        Ok(plan)
    }
}

/// What no snapshot holds.
fn others(found: &Survey) -> impl Iterator<Item = (&[u8], &'static str)> {
    let ignored = found.ignored.iter().map(|p| (p.strip_suffix(b"/").unwrap_or(p), "ignored"));
    let nested = found.nested.iter().map(|p| (p.as_slice(), "a nested repository"));
    let submodules = found.submodules.iter().map(|p| (p.as_slice(), "a submodule"));
    let special = found.special.iter().map(|(p, _)| (p.as_slice(), "a socket, a pipe or a device"));
    ignored.chain(nested).chain(submodules).chain(special)
}

/// What stands in the way of a file that is to come.
fn obstacle<'p>(
    hands: &Hands<'_>,
    path: &'p [u8],
    others: &[(&'p [u8], &'static str)],
    target: &Target,
) -> Option<(&'p [u8], &'static str)> {
    let kind = hands.kind(path).ok()?;
    let below = |other: &[u8]| match other.strip_prefix(path) {
        Some([]) => kind == Some(FileType::Directory),
        Some(rest) => rest.starts_with(b"/"),
        None => false,
    };
    if let Some(other) = others.iter().find(|(other, _)| below(other)) {
        return Some(*other);
    }
    let wanted = target.files.get(path);
    match (kind, wanted) {
        // Directories that hold nothing else are cleared away.
        (None | Some(FileType::Directory), _) | (Some(FileType::Fifo), None) => None,
        (Some(_), Some(w)) if hands.content(path).is_ok_and(|c| c == (w.id, w.link)) => None,
        (Some(_), _) => Some((path, "ignored")),
    }
}

/// Directories that were emptied, or were empty, and are not wanted.
fn clear_dirs(hands: &mut Hands<'_>, found: &Survey, plan: &Plan<'_>, target: &Target) -> Result<(), KeepError> {
    let mut dirs: BTreeSet<&[u8]> = found.empty.iter().map(Vec::as_slice).collect();
    dirs.extend(plan.remove.iter().flat_map(|(path, _)| above(path)));
    let empty: Vec<&[u8]> = dirs.iter().copied().collect();
    dirs.extend(empty.into_iter().flat_map(above));
    for dir in dirs.into_iter().rev().filter(|dir| !target.dirs.contains_key(*dir)) {
        hands.remove_dir_if_empty(dir)?;
    }
    Ok(())
}

/// Writes the index as it was. Where the file has the content of its entry, the entry says so, and git need not read
/// the file again.
fn write_index(repo: &Repository, root: &Path, target: &Target) -> Result<(), KeepError> {
    let fail = KeepError::git("write the index", repo.path());
    let entries: Vec<IndexEntry> = target.index.iter().map(|entry| as_it_lies(entry, root, target)).collect();
    let mut index = repo.index().map_err(&fail)?;
    if plain_index::is_copy(&index) {
        return plain_index::replace(repo, &entries);
    }
    index.clear().map_err(&fail)?;
    for entry in &entries {
        index.add(entry).map_err(&fail)?;
    }
    index.write().map_err(|e| match e.code() {
        git2::ErrorCode::Locked => {
            KeepError::Busy { path: repo.path().join("index"), why: "git holds its lock".to_owned() }
        }
        _ => fail(e),
    })
}

/// An entry with what tells git that its file has not changed.
fn as_it_lies(entry: &IndexEntry, root: &Path, target: &Target) -> IndexEntry {
    let mut entry =
        IndexEntry { ctime: IndexTime::new(0, 0), mtime: IndexTime::new(0, 0), path: entry.path.clone(), ..*entry };
    let same = target.files.get(&entry.path).is_some_and(|w| w.id == entry.id);
    let full = root.join(OsStr::from_bytes(&entry.path));
    if let Some(stat) = same.then(|| statat(CWD, &full, AtFlags::SYMLINK_NOFOLLOW).ok()).flatten() {
        entry.ctime = IndexTime::new(stat.st_ctime as i32, stat.st_ctime_nsec as u32);
        entry.mtime = IndexTime::new(stat.st_mtime as i32, stat.st_mtime_nsec as u32);
        (entry.dev, entry.ino) = (stat.st_dev as u32, stat.st_ino as u32);
        (entry.uid, entry.gid) = (stat.st_uid, stat.st_gid);
        entry.file_size = stat.st_size as u32;
    }
    entry
}
