//! What lies in a trash although no row knows it: left by an older version, by a store that was put back, or by hand.
//! Only named, with what removes it; never removed here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use git2::Repository;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wharf_model::WorkspaceId;

use super::{DIRECTORY, REFS, held, record};
use crate::environment::sandbox::walk;
use crate::workspace::lock::OUR_DIR;
use crate::workspace::mark::{self, WORKTREE_FILE};
use crate::workspace::opening;

/// Most that are named, and most entries of one directory that are looked at.
const STRAYS_MAX: usize = 200;
const ENTRIES_MAX: usize = 10_000;

/// Where to look, and what is known.
#[derive(Debug, Clone, Default)]
pub struct StraysAsk {
    /// Directories that workspaces lie or lay in; their trash is beside them.
    pub parents: BTreeSet<PathBuf>,
    /// Any checkout of each repository.
    pub repos: BTreeSet<PathBuf>,
    /// Names of everything that a row knows.
    pub known: BTreeSet<String>,
    /// Longest time of counting bytes; what comes after is unknown.
    pub time: Duration,
}

/// Something that no row knows; its parts have one name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stray {
    /// Its name in the trash.
    pub name: String,
    /// The workspace that it says it is of.
    pub workspace: Option<WorkspaceId>,
    /// Where the directory was.
    pub was: Option<PathBuf>,
    /// The directory in the trash.
    pub directory: Option<PathBuf>,
    /// Its record.
    pub record: Option<PathBuf>,
    /// What its repository keeps of its worktree.
    pub entry: Option<PathBuf>,
    /// The ref that holds what that reached, with the repository.
    pub held: Option<(PathBuf, String)>,
    /// Bytes of the directory and the entry on the disk; none where they could not all be counted.
    pub bytes: Option<u64>,
}

impl Stray {
    /// Everything of it, for people.
    pub fn places(&self) -> Vec<String> {
        let paths = [&self.directory, &self.record, &self.entry].into_iter().flatten();
        let held = self.held.iter().map(|(_, name)| name.clone());
        paths.map(|p| p.display().to_string()).chain(held).collect()
    }

    /// Commands that remove it, as typed; whoever has looked into it runs them.
    pub fn removed_by(&self) -> Vec<String> {
        let paths: Vec<String> =
            [&self.directory, &self.record, &self.entry].into_iter().flatten().map(|p| quoted(p)).collect();
        let files = (!paths.is_empty()).then(|| format!("rm -rf -- {}", paths.join(" ")));
        let held =
            self.held.as_ref().map(|(repo, name)| format!("git --git-dir={} update-ref -d {name}", quoted(repo)));
        files.into_iter().chain(held).collect()
    }
}

/// A path as a word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./+@,".contains(c)) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Names what no row knows, and says in words where it could not be looked. Blocks the thread, so not for async tasks.
///
/// List the disk before the rows are read, or read them twice: what is moved to a trash meanwhile is known to its row
/// before it is moved.
pub fn strays(ask: &StraysAsk) -> (Vec<Stray>, Vec<String>) {
    let (mut found, mut troubles): (BTreeMap<String, Stray>, _) = (BTreeMap::new(), Vec::new());
    for parent in &ask.parents {
        in_trash(&parent.join(DIRECTORY), ask, &mut found, &mut troubles);
    }
    let mut seen = BTreeSet::new();
    for repo in &ask.repos {
        // One that is gone, or is none, keeps nothing.
        let Ok(repo) = opening::open(repo) else { continue };
        if seen.insert(repo.commondir().to_owned()) {
            in_repository(&repo, ask, &mut found, &mut troubles);
        }
    }
    let until = Instant::now() + ask.time;
    let mut all: Vec<Stray> = found.into_values().collect();
    if all.len() > STRAYS_MAX {
        troubles.push(format!("{} more are not named", all.len() - STRAYS_MAX));
        all.truncate(STRAYS_MAX);
    }
    for stray in &mut all {
        let parts = [&stray.directory, &stray.entry].into_iter().flatten().map(|dir| bytes(dir, until));
        stray.bytes = parts.sum();
    }
    (all, troubles)
}

/// Names in a directory; none where it is not there.
fn names(dir: &Path, troubles: &mut Vec<String>) -> Vec<String> {
    match fs::read_dir(dir) {
        Ok(entries) => {
            let names = entries.flatten().take(ENTRIES_MAX).filter_map(|e| e.file_name().into_string().ok());
            names.collect()
        }
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => Vec::new(),
        Err(e) => {
            troubles.push(format!("{} cannot be looked into: {e}", dir.display()));
            Vec::new()
        }
    }
}

/// The part of a name that is an id, when no row knows it.
fn unknown<'a>(name: &'a str, endings: &[&str], ask: &StraysAsk) -> Option<&'a str> {
    let id = endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    (id.parse::<Uuid>().is_ok() && !ask.known.contains(id)).then_some(id)
}

fn in_trash(trash: &Path, ask: &StraysAsk, found: &mut BTreeMap<String, Stray>, troubles: &mut Vec<String>) {
    if !trash.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
        return;
    }
    for name in names(trash, troubles) {
        let (id, is_record) = name.strip_suffix(".json").map_or((name.as_str(), false), |id| (id, true));
        // What answers repeated calls of a restore (`<id>.back.json`) is no id, and goes by itself.
        let Some(id) = unknown(id, &[], ask) else { continue };
        let stray = of(found, id);
        let path = trash.join(&name);
        if is_record {
            stray.record = Some(path);
        } else {
            stray.directory = Some(path);
        }
        if let Ok(Some(record)) = record::read(&trash.join(id)) {
            stray.workspace = Some(record.workspace);
            stray.was = Some(record.path);
        }
    }
}

fn in_repository(repo: &Repository, ask: &StraysAsk, found: &mut BTreeMap<String, Stray>, troubles: &mut Vec<String>) {
    let trash = repo.commondir().join(OUR_DIR).join("trash");
    for name in names(&trash, troubles) {
        let Some(id) = unknown(&name, &[".emptying"], ask) else { continue };
        let entry = trash.join(&name);
        let mark = mark::read(&entry.join(WORKTREE_FILE)).ok().flatten();
        let stray = of(found, id);
        stray.workspace = stray.workspace.or(mark.map(|mark| mark.workspace));
        stray.entry = Some(entry);
    }
    let Ok(refs) = repo.references_glob(&format!("{REFS}*")) else { return };
    for one in refs.flatten() {
        let Some(name) = one.name().ok().map(str::to_owned) else { continue };
        let Some(id) = name.strip_prefix(REFS).and_then(|id| unknown(id, &[], ask)) else { continue };
        if id.parse::<Uuid>().is_ok_and(|uuid| held::is_ours(repo, &one, uuid)) {
            of(found, id).held = Some((repo.commondir().to_owned(), name.clone()));
        }
    }
}

fn of<'a>(found: &'a mut BTreeMap<String, Stray>, id: &str) -> &'a mut Stray {
    found.entry(id.to_owned()).or_insert_with(|| Stray { name: id.to_owned(), ..Stray::default() })
}

/// Bytes on the disk below a directory; none where they could not all be counted in time.
fn bytes(dir: &Path, until: Instant) -> Option<u64> {
    let mut bytes = 0;
    let mut late = false;
    let troubles = walk::through(dir, |seen| {
        late |= Instant::now() > until;
        if late {
            seen.entries.clear();
        }
        for (name, _) in &seen.entries {
            let stat = rustix::fs::statat(&seen.fd, name.as_os_str(), rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
            bytes += stat.map_or(0, |stat| u64::try_from(stat.st_blocks).unwrap_or(0) * 512);
        }
    });
    (troubles.is_empty() && !late).then_some(bytes)
}
