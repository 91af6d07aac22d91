//! The state of a workspace at a moment, as a commit under a private ref of its repository.
//!
//! Made without touching the operator's index, HEAD or work tree, and without running anything of the
//! repository's own. Bytes are kept as they lie on the disk: no filter is asked, so a file that is kept elsewhere
//! (LFS) is in the snapshot in full. Ignored files, the insides of nested repositories and submodules, and the
//! stashes (which belong to the repository, not to the worktree) are not in it; what was left out is listed.

pub(crate) mod lists;
pub(crate) mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use git2::{Commit, ErrorCode, ObjectType, Oid, Repository};
use rustix::fs::{CWD, FileType, Mode, OFlags, openat, readlinkat};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use wharf_model::rules::close_check::Listed;
use wharf_model::{SnapshotId, UnixMillis, WorkspaceId};

use super::close::repository;
use super::keep_error::KeepError;
use super::opening;
use super::sparse;
use super::survey::{Bounds, GITLINK, Item, SKIP_WORKTREE, Survey, Tracked, shown, stage, survey};
use crate::environment::sandbox::walk;
use objects::{Leaf, Writer};

/// Where snapshots lie: `refs/wharf/snapshots/<uuid>`.
pub const REFS: &str = "refs/wharf/snapshots/";

/// What to keep, and as what.
#[derive(Debug, Clone)]
pub struct SnapshotAsk {
    /// Id of the snapshot: asking twice with one id gives the first snapshot again.
    pub id: SnapshotId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Root of its checkout.
    pub path: PathBuf,
    /// Why it is made, for people: `before archiving`.
    pub reason: String,
    /// Now; the time of its commits.
    pub at: UnixMillis,
    /// Bounds.
    pub limits: SnapshotLimits,
}

/// Bounds of one snapshot. Where one is reached there is no snapshot, never a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotLimits {
    /// Longest time.
    pub time: Duration,
    /// Most entries of the directory.
    pub entries: usize,
    /// Most bytes that are written.
    pub bytes: u64,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        Self { time: Duration::from_mins(10), entries: 1_000_000, bytes: 32 << 30 }
    }
}

const VERSION: u32 = 1;
/// Flag of an index entry that says "to be added" and has no content yet.
const INTENT_TO_ADD: u16 = 0x2000;
/// Names in the tree of what a tree cannot hold.
pub(crate) mod part {
    pub const MANIFEST: &str = "manifest.json";
    pub const INDEX: &str = "index";
    pub const MODES: &str = "modes";
    pub const EMPTY: &str = "empty-directories";
    pub const ABSENT: &str = "absent";
    pub const PIPES: &str = "pipes";
    /// Not in snapshots of earlier versions.
    pub const SPARSE: &str = "sparse-checkout";
    pub const KEPT: &str = "kept";
}

/// Said of a snapshot in its repository.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    version: u32,
    id: SnapshotId,
    workspace: WorkspaceId,
    reason: String,
    at: UnixMillis,
    head: Option<String>,
    branch: Option<String>,
    under_way: Option<String>,
    files: u64,
    bytes: u64,
    left_out: Listed,
    stashes: Listed,
}

/// A snapshot that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// The workspace it was made of.
    pub workspace: WorkspaceId,
    /// Full name of its ref.
    pub ref_name: String,
    /// The commit of the work tree; the first parent is HEAD, the last one the index.
    pub commit: String,
    /// Commit that HEAD was at; none before the first one.
    pub head: Option<String>,
    /// Branch that was checked out; none when HEAD was detached.
    pub branch: Option<String>,
    /// What git was in the middle of.
    pub under_way: Option<String>,
    /// Files and links in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What the directory held and the snapshot does not: ignored paths, nested repositories, sockets.
    pub left_out: Listed,
    /// Stashes of the repository that were made on this branch; they stay where they are.
    pub stashes: Listed,
}

impl Snapshot {
    /// For the row's `metadata`: `under_way`, `left_out`, `stashes`.
    pub fn metadata(&self) -> Value {
        serde_json::json!({ "under_way": self.under_way, "left_out": self.left_out, "stashes": self.stashes })
    }
}

/// Makes a snapshot, or finds the one that was made with this id. Blocks the thread, so not for async tasks.
///
/// # Errors
/// No repository, too large, a repository that cannot be read; there is then no snapshot.
pub fn take(ask: &SnapshotAsk) -> Result<Snapshot, KeepError> {
    let mut repo = open(&ask.path)?;
    if let Some(there) = find_in(&repo, ask.id)? {
        if there.workspace == ask.workspace {
            return Ok(there);
        }
        let why = format!("snapshot {} is of workspace {}", ask.id, there.workspace);
        return Err(KeepError::NotOurs { path: ask.path.clone(), why });
    }
    let root = repo.workdir().unwrap_or(&ask.path).to_owned();
    let fail = KeepError::git("read HEAD", &root);
    let (head, branch) = repository::head(&repo).map_err(&fail)?;
    let under_way = repository::under_way(&repo).map(str::to_owned);
    let stashes = repository::stashes(&mut repo, branch.as_deref()).map_err(KeepError::git("read stashes", &root))?;
    let tracked = Tracked::read(&repo, ask.limits.entries)?;
    let until = Instant::now() + ask.limits.time;
    let survey = survey(&root, Some(&repo), &tracked, Bounds { entries: ask.limits.entries, until });
    if let Some(trouble) = survey.troubles.first() {
        return Err(if survey.cut {
            KeepError::TooLarge { path: root, why: trouble.clone() }
        } else {
            KeepError::Unseen { path: root, why: trouble.clone() }
        });
    }
    let mut writer = Writer::new(&repo)?;
    let mut tree = WorkTree::read(&repo, &root, &survey, &tracked, until, ask.limits.bytes, &mut writer)?;
    let work_tree = writer.tree(&tree.leaves)?;
    let manifest = Manifest {
        version: VERSION,
        id: ask.id,
        workspace: ask.workspace,
        reason: ask.reason.clone(),
        at: ask.at,
        head: head.map(|h| h.to_string()),
        branch,
        under_way,
        files: tree.files,
        bytes: tree.bytes,
        left_out: left_out(&survey),
        stashes,
    };
    let beside =
        beside(&mut writer, &manifest, &survey, &tracked, std::mem::take(&mut tree.absent), sparse::told(&repo)?)?;
    let staged: Vec<Leaf> = tracked
        .entries
        .values()
        .flatten()
        .filter(|e| stage(e) == 0 && e.flags_extended & INTENT_TO_ADD == 0)
        .map(|e| Leaf { path: e.path.clone(), mode: e.mode, id: e.id })
        .collect();
    let staged = writer.tree(&staged)?;
    let message =
        format!("wharf snapshot: {}\n\nWharf-Snapshot: {}\nWharf-Workspace: {}\n", ask.reason, ask.id, ask.workspace);
    let beside = writer.commit(beside, &[], ask.at, &format!("what a tree cannot hold, of {message}"))?;
    let parents: Vec<Oid> = head.into_iter().chain([beside]).collect();
    let index = writer.commit(staged, &parents, ask.at, &format!("the index of {message}"))?;
    let parents: Vec<Oid> = head.into_iter().chain([index]).collect();
    let commit = writer.commit(work_tree, &parents, ask.at, &message)?;
    writer.sync()?;
    writer.make_ref(&repo, &ref_name(ask.id), commit)?;
    find_in(&repo, ask.id)?.ok_or_else(|| KeepError::NoSnapshot { id: ask.id.to_string(), path: root.clone() })
}

/// Most snapshots of one action.
const TRIES_MAX: u8 = 100;

/// Makes a snapshot of what is there now, also when an earlier try has made one with this id: it then gets another
/// id, which follows from the first one and the number of the try. Gives all of them, the newest last. One that
/// keeps nothing that the one before does not is not kept.
///
/// # Errors
/// As [`take`].
pub fn take_anew(ask: &SnapshotAsk) -> Result<Vec<Snapshot>, KeepError> {
    let repo = open(&ask.path)?;
    let mut all = Vec::new();
    for nth in 0..TRIES_MAX {
        let id = id_of_try(ask.id, nth);
        if let Some(there) = find_in(&repo, id)? {
            all.push(there);
            continue;
        }
        let made = take(&SnapshotAsk { id, ..ask.clone() })?;
        match all.last() {
            Some(before) if is_same(&repo, before, &made).unwrap_or(false) => {
                forget(&ask.path, id)?;
            }
            _ => all.push(made),
        }
        return Ok(all);
    }
    Err(KeepError::TooLarge { path: ask.path.clone(), why: format!("it was tried {TRIES_MAX} times") })
}

fn id_of_try(first: SnapshotId, nth: u8) -> SnapshotId {
    if nth == 0 {
        return first;
    }
    let mut hash = Sha256::new();
    hash.update(first.0.as_bytes());
    hash.update([nth]);
    let mut bytes = *first.0.as_bytes();
    bytes[6..].copy_from_slice(&hash.finalize()[..10]);
    SnapshotId(uuid::Builder::from_bytes(bytes).with_version(uuid::Version::SortRand).into_uuid())
}

fn last_parent<'r>(commit: &Commit<'r>) -> Result<Commit<'r>, git2::Error> {
    commit.parent(commit.parent_count().saturating_sub(1))
}

/// Whether two snapshots keep the same: work tree, index, HEAD and all that a tree cannot hold.
fn is_same(repo: &Repository, one: &Snapshot, other: &Snapshot) -> Result<bool, git2::Error> {
    let parts = |snapshot: &Snapshot| {
        let commit = repo.find_commit(opening::id(&snapshot.commit)?)?;
        let index = last_parent(&commit)?;
        let beside: Vec<(Vec<u8>, Oid)> = last_parent(&index)?
            .tree()?
            .iter()
            .filter(|e| e.name_bytes() != part::MANIFEST.as_bytes())
            .map(|e| (e.name_bytes().to_vec(), e.id()))
            .collect();
        Ok::<_, git2::Error>((commit.tree_id(), index.tree_id(), beside))
    };
    let said = |s: &Snapshot| (s.head.clone(), s.branch.clone(), s.under_way.clone());
    Ok(said(one) == said(other) && parts(one)? == parts(other)?)
}

fn ref_name(id: SnapshotId) -> String {
    format!("{REFS}{id}")
}

/// That a checkout belongs to this repository, and to no other one.
///
/// # Errors
/// It does not, or one of them cannot be opened.
pub fn check_repository(path: &Path, repository: &Path) -> Result<(), KeepError> {
    let common = |at: &Path| {
        let repo = open(at)?;
        let dir = repo.commondir();
        dir.canonicalize().map_err(KeepError::io("resolve", dir))
    };
    let (own, expected) = (common(path)?, common(repository)?);
    if own == expected {
        return Ok(());
    }
    let why = format!("it is a checkout of {} by now, no more of {}", own.display(), expected.display());
    Err(KeepError::NotOurs { path: path.to_owned(), why })
}

/// Opens the repository of a checkout's root, or of a git directory, without looking upwards.
pub(crate) fn open(path: &Path) -> Result<Repository, KeepError> {
    match opening::open_here(path) {
        Ok(repo) => Ok(repo),
        Err(e) if e.code() == ErrorCode::NotFound && path.symlink_metadata().is_err() => {
            Err(KeepError::Gone { path: path.to_owned() })
        }
        Err(e) if e.code() == ErrorCode::NotFound && path.join(".git").symlink_metadata().is_err() => {
            Err(KeepError::NoRepository { path: path.to_owned() })
        }
        Err(e) => Err(KeepError::git("open the repository", path)(e)),
    }
}

/// The work tree as leaves, its blobs written.
struct WorkTree {
    leaves: Vec<Leaf>,
    absent: Vec<Vec<u8>>,
    files: u64,
    bytes: u64,
}

impl WorkTree {
    fn read(
        repo: &Repository,
        root: &Path,
        survey: &Survey,
        tracked: &Tracked,
        until: Instant,
        bytes_max: u64,
        writer: &mut Writer<'_>,
    ) -> Result<Self, KeepError> {
        let filtered = may_be_filtered(repo, root, survey);
        let top = walk::open(CWD, root.as_os_str()).map_err(KeepError::io("open", root))?;
        let mut leaves: BTreeMap<Vec<u8>, Leaf> = BTreeMap::new();
        let mut dir: Option<(Vec<u8>, OwnedFd)> = None;
        let mut bytes = 0;
        let too_large = |why: String| KeepError::TooLarge { path: root.to_owned(), why };
        for item in &survey.items {
            if Instant::now() > until {
                return Err(too_large("it took too long to read".to_owned()));
            }
            let entry = tracked.plain(&item.path);
            let unread = entry.filter(|e| !filtered && !item.link && item.is_as_indexed(e, tracked.written));
            let (id, size) = match unread.filter(|e| writer.has(e.id)) {
                Some(entry) => (entry.id, item.stat.st_size as u64),
                None => match read(root, &top, &mut dir, item, writer)? {
                    Some(read) => read,
                    None => continue,
                },
            };
            bytes += size;
            if writer.bytes > bytes_max {
                return Err(too_large(format!("what is new in it is more than {bytes_max} bytes")));
            }
            let leaf = Leaf { path: item.path.clone(), mode: item.git_mode(), id };
            leaves.insert(item.path.clone(), leaf);
        }
        let files = leaves.len() as u64;
        let mut absent = Vec::new();
        for (path, entries) in &tracked.entries {
            let Some(entry) = entries.iter().find(|e| stage(e) == 0) else { continue };
            if entry.mode == GITLINK {
                let head = survey.submodules.contains(path).then(|| submodule_head(root, path)).flatten();
                leaves.insert(path.clone(), Leaf { path: path.clone(), mode: GITLINK, id: head.unwrap_or(entry.id) });
            } else if entry.flags_extended & SKIP_WORKTREE != 0 && !leaves.contains_key(path) {
                let file_above = path.iter().enumerate().any(|(at, b)| *b == b'/' && leaves.contains_key(&path[..at]));
                if !file_above {
                    absent.push(path.clone());
                    leaves.insert(path.clone(), Leaf { path: path.clone(), mode: entry.mode, id: entry.id });
                }
            }
        }
        Ok(Self { leaves: leaves.into_values().collect(), absent, files, bytes })
    }
}

/// Reads one file or link; none when it went meanwhile.
fn read(
    root: &Path,
    top: &OwnedFd,
    dir: &mut Option<(Vec<u8>, OwnedFd)>,
    item: &Item,
    writer: &mut Writer<'_>,
) -> Result<Option<(Oid, u64)>, KeepError> {
    let path = root.join(OsStr::from_bytes(&item.path));
    let (above, name) = match item.path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&item.path[..at], &item.path[at + 1..]),
        None => (&[][..], &item.path[..]),
    };
    let gone = |e: &std::io::Error| e.kind() == std::io::ErrorKind::NotFound;
    if dir.as_ref().is_none_or(|(at, _)| at != above) {
        match walk::below(top, Path::new(OsStr::from_bytes(above))) {
            Ok(fd) => *dir = Some((above.to_vec(), fd)),
            Err(e) if gone(&e) => return Ok(None),
            Err(e) => return Err(KeepError::io("open the directory of", &path)(e)),
        }
    }
    let Some((_, fd)) = dir else { return Ok(None) };
    let name = OsStr::from_bytes(name);
    if item.link {
        return match readlinkat(&*fd, name, Vec::new()) {
            Ok(target) => {
                let target = target.as_bytes();
                Ok(Some((writer.put(ObjectType::Blob, target)?, target.len() as u64)))
            }
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(e) => Err(KeepError::io("read the link", &path)(e.into())),
        };
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = || -> std::io::Result<File> {
        let file = File::from(openat(&*fd, name, flags, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(std::io::Error::other("it is no file any more")) }
    };
    match writer.put_file(&path, open) {
        Ok(read) => Ok(Some(read)),
        Err(KeepError::Workspace(super::WorkspaceError::Io { source, .. })) if gone(&source) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether the bytes on the disk may differ from the bytes in the index although nothing changed.
fn may_be_filtered(repo: &Repository, root: &Path, survey: &Survey) -> bool {
    let config = repo.config().and_then(|mut c| c.snapshot()).ok();
    let set = |name: &str| config.as_ref().is_none_or(|c| c.get_string(name).is_ok());
    let home = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")));
    let files = [
        Some(repo.commondir().join("info/attributes")),
        home.map(|h| h.join("git/attributes")),
        Some(PathBuf::from("/etc/gitattributes")),
    ];
    let named = |path: &[u8]| path == b".gitattributes" || path.ends_with(b"/.gitattributes");
    set("core.autocrlf")
        || set("core.attributesfile")
        || files.into_iter().flatten().any(|f| f.exists())
        || root.join(".gitattributes").exists()
        || survey.items.iter().any(|i| named(&i.path))
        || survey.ignored.iter().any(|p| named(p))
}

fn submodule_head(root: &Path, path: &[u8]) -> Option<Oid> {
    let inner = open(&root.join(OsStr::from_bytes(path))).ok()?;
    let head = inner.head().ok()?.peel_to_commit().ok()?.id();
    Some(head)
}

fn left_out(survey: &Survey) -> Listed {
    let mut all: Vec<String> =
        survey.ignored_at_most_once().iter().map(|p| format!("{} (ignored)", shown(p))).collect();
    all.extend(survey.nested.iter().map(|p| format!("{} (a repository)", shown(p))));
    all.extend(survey.submodules.iter().map(|p| format!("{} (a submodule's files)", shown(p))));
    all.extend(survey.unseen.iter().cloned());
    let special = survey.special.iter().filter(|(_, kind)| *kind != FileType::Fifo);
    all.extend(special.map(|(p, _)| format!("{} (a socket or a device)", shown(p))));
    Listed::of(all)
}

/// The tree of what a tree cannot hold.
fn beside(
    writer: &mut Writer<'_>,
    manifest: &Manifest,
    survey: &Survey,
    tracked: &Tracked,
    absent: Vec<Vec<u8>>,
    sparse: Vec<u8>,
) -> Result<Oid, KeepError> {
    let text = serde_json::to_vec_pretty(manifest).unwrap_or_default();
    let usual = |item: &Item| if item.git_mode() == 0o100_755 { 0o755 } else { 0o644 };
    let files = survey.items.iter().filter(|i| !i.link && i.stat.st_mode & 0o7777 != usual(i));
    let files = files.map(|i| (i.path.as_slice(), i.stat.st_mode & 0o7777));
    let dirs = survey.dirs.iter().filter(|(_, mode)| *mode != 0o755).map(|(path, mode)| (path.as_slice(), *mode));
    let pipes = survey.special.iter().filter(|(_, kind)| *kind == FileType::Fifo).map(|(path, _)| path.as_slice());
    let parts = [
        (part::MANIFEST, text),
        (part::INDEX, lists::write_index(tracked.entries.values().flatten())),
        (part::MODES, lists::write_modes(files.chain(dirs))),
        (part::EMPTY, lists::write_paths(survey.empty.iter().map(Vec::as_slice))),
        (part::ABSENT, lists::write_paths(absent.iter().map(Vec::as_slice))),
        (part::PIPES, lists::write_paths(pipes)),
        (part::SPARSE, sparse),
    ];
    let mut leaves = Vec::new();
    for (name, data) in parts {
        leaves.push(Leaf { path: name.into(), mode: 0o100_644, id: writer.put(ObjectType::Blob, &data)? });
    }
    // The sides of conflicts are in no tree: without this git would clean them up.
    let sides = tracked.entries.values().flatten().filter(|e| stage(e) > 0 && e.mode != GITLINK);
    let sides: BTreeSet<Oid> = sides.map(|e| e.id).filter(|id| writer.has(*id)).collect();
    leaves.extend(sides.into_iter().map(|id| Leaf {
        path: format!("{}/{id}", part::KEPT).into_bytes(),
        mode: 0o100_644,
        id,
    }));
    leaves.sort_by(|a, b| a.path.cmp(&b.path));
    writer.tree(&leaves)
}

/// Finds a snapshot; `repo` is any checkout of the repository, or its git directory.
///
/// # Errors
/// A repository that cannot be read, a snapshot that wharf did not make.
pub fn find(repo: &Path, id: SnapshotId) -> Result<Option<Snapshot>, KeepError> {
    find_in(&open(repo)?, id)
}

pub(crate) fn find_in(repo: &Repository, id: SnapshotId) -> Result<Option<Snapshot>, KeepError> {
    let name = ref_name(id);
    let commit = match repo.find_reference(&name).and_then(|r| r.peel_to_commit()) {
        Ok(commit) => commit,
        Err(e) if e.code() == ErrorCode::NotFound => return Ok(None),
        Err(e) => return Err(KeepError::git("read the snapshot", repo.path())(e)),
    };
    let manifest: Manifest = serde_json::from_slice(&part_of(repo, &commit, part::MANIFEST)?)
        .map_err(|e| damaged(repo, &commit, &e.to_string()))?;
    if manifest.version != VERSION || manifest.id != id {
        return Err(damaged(repo, &commit, "it is another snapshot's, or was written by a newer wharf"));
    }
    Ok(Some(Snapshot {
        id,
        workspace: manifest.workspace,
        ref_name: name,
        commit: commit.id().to_string(),
        head: manifest.head,
        branch: manifest.branch,
        under_way: manifest.under_way,
        files: manifest.files,
        bytes: manifest.bytes,
        left_out: manifest.left_out,
        stashes: manifest.stashes,
    }))
}

fn damaged(repo: &Repository, commit: &Commit<'_>, why: &str) -> KeepError {
    KeepError::BadRecord { path: repo.path().join(format!("{REFS}… {}", commit.id())), why: why.to_owned() }
}

/// One of the lists beside a snapshot's tree.
pub(crate) fn part_of(repo: &Repository, commit: &Commit<'_>, name: &str) -> Result<Vec<u8>, KeepError> {
    fn last<'r>(commit: &Commit<'r>) -> Option<Commit<'r>> {
        commit.parents().next_back()
    }
    let read = || {
        let beside = last(commit).as_ref().and_then(last)?.tree().ok()?;
        let blob = repo.find_blob(beside.get_name(name)?.id()).ok()?;
        Some(blob.content().to_vec())
    };
    read().ok_or_else(|| damaged(repo, commit, &format!("its {name} cannot be read")))
}

/// Lets a snapshot go: its ref is removed, its bytes go with git's own clean-up. False when there was none.
///
/// # Errors
/// What git reports.
pub fn forget(repo: &Path, id: SnapshotId) -> Result<bool, KeepError> {
    let repo = open(repo)?;
    match repo.find_reference(&ref_name(id)).and_then(|mut r| r.delete()) {
        Ok(()) => Ok(true),
        Err(e) if e.code() == ErrorCode::NotFound => Ok(false),
        Err(e) => Err(KeepError::git("remove the snapshot", repo.path())(e)),
    }
}
