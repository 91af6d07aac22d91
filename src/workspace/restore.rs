//! The ways back: a directory out of the trash, a snapshot into a workspace, a snapshot into a new worktree.

mod apply;
mod back;
mod fresh;
mod hands;
mod missing;
mod target;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use git2::Repository;
use uuid::Uuid;
use wharf_model::{ProjectId, SnapshotId, UnixMillis, WorkspaceId};

use super::close::{open_files, place, repository};
use super::keep_error::KeepError;
use super::mark::Mark;
use super::opening;
use super::snapshot::{self, Snapshot, SnapshotAsk, SnapshotLimits};
use super::trash::Record;
use super::worktree::Git;
use crate::process::kill_point::kill_point;
use target::Target;

/// What to bring back out of the trash.
#[derive(Debug, Clone)]
pub struct BringBack {
    /// `<parent>/.trash/<uuid>`: a row's `trash_path`.
    pub trash_path: PathBuf,
    /// The project whose it must be.
    pub project: ProjectId,
    /// The workspace whose it must be.
    pub workspace: WorkspaceId,
    /// Where to; none for where it was.
    pub to: Option<PathBuf>,
}

/// A directory that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Where it is.
    pub path: PathBuf,
    /// Branch that is checked out; none when HEAD is detached or there is no repository.
    pub branch: Option<String>,
    /// Commit that HEAD is at.
    pub head: Option<String>,
    /// What is not as it was, in sentences: a branch that moved meanwhile, or was made anew.
    pub notes: Vec<String>,
    /// Its record in the trash, which is gone now.
    pub record: Record,
}

/// Brings a directory back, with its worktree entry, branch, mark and lock. Can be repeated after a crash. Takes the
/// repository's worktree lock. Blocks the thread, so not for async tasks.
///
/// # Errors
/// A path that is taken (with one that is free), a damaged record, a branch that is checked out elsewhere: the
/// directory then stays in the trash.
pub fn bring_back(ask: &BringBack) -> Result<Returned, KeepError> {
    back::bring_back(ask)
}

/// A snapshot that is to be put into a workspace which is there.
#[derive(Debug, Clone)]
pub struct IntoAsk {
    /// The snapshot.
    pub id: SnapshotId,
    /// Id of the snapshot that is made of what is there before.
    pub before: SnapshotId,
    /// The project that the directory was made for.
    pub project: ProjectId,
    /// The workspace that the directory was made for.
    pub workspace: WorkspaceId,
    /// Root of its checkout.
    pub path: PathBuf,
    /// Directories that must never be changed: the checkout of every project, and what wharf itself keeps.
    pub never: Vec<PathBuf>,
    /// Now.
    pub at: UnixMillis,
    /// Bounds of the snapshot that is made before.
    pub limits: SnapshotLimits,
}

/// What a restored snapshot did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The checkout's root.
    pub path: PathBuf,
    /// What was there before; none for a new worktree.
    pub before: Option<Snapshot>,
    /// The snapshot that was restored.
    pub snapshot: Snapshot,
    /// Files and links that were written.
    pub written: u64,
    /// Files and links that were removed; they are in `before`.
    pub removed: u64,
    /// What is not as it was, in sentences.
    pub notes: Vec<String>,
}

/// Makes index and work tree what they were; ignored files, nested repositories and HEAD stay as they are. What is
/// there is kept as a snapshot first. Can be repeated after a crash. Blocks the thread, so not for async tasks.
///
/// # Errors
/// Something in the way that no snapshot holds, no such snapshot, not ours, something under way.
pub fn into_workspace(ask: &IntoAsk) -> Result<Applied, KeepError> {
    let Kept { root, repo, wanted, before } = keep(ask)?;
    kill_point("workspace.restore_kept");
    let (target, kept) = (read(&repo, &root, &wanted)?, read(&repo, &root, &before)?);
    let done = apply::apply(&repo, &root, &target, Some(&kept), ask.limits)?;
    let notes = notes(&repo, &wanted)?;
    Ok(Applied {
        path: root,
        before: Some(before),
        snapshot: wanted,
        written: done.written,
        removed: done.removed,
        notes,
    })
}

/// Only keeps what is there, so that it can be told of before anything is replaced; [`into_workspace`] finds it.
///
/// # Errors
/// As those of [`into_workspace`].
pub fn keep_before(ask: &IntoAsk) -> Result<Snapshot, KeepError> {
    keep(ask).map(|kept| kept.before)
}

/// A checkout into which a snapshot may be put, and what was there before.
struct Kept {
    root: PathBuf,
    repo: Repository,
    wanted: Snapshot,
    before: Snapshot,
}

fn keep(ask: &IntoAsk) -> Result<Kept, KeepError> {
    let ours = place::judge(&ask.path, ask.project, ask.workspace, &ask.never)
        .map_err(|place| KeepError::of_place(&ask.path, *place))?;
    let root = ours.path;
    let repo = snapshot::open(&root)?;
    let wanted = wanted(&repo, &root, ask.id)?;
    if let Some(what) = repository::under_way(&repo) {
        let why = format!("a {what} is under way; end or abort it first");
        return Err(KeepError::Busy { path: root, why });
    }
    if repo.path().join("index.lock").exists() {
        return Err(KeepError::Busy { path: root, why: "git holds the lock of its index".to_owned() });
    }
    // What they write after their file was replaced would be nowhere.
    let writers = open_files::look(&root, DESCRIPTORS_MAX, Instant::now() + OPEN_FILES_TIME);
    if let Some((pid, file)) = writers.writing.first() {
        let why = format!("process {pid} has {} open for writing", file.display());
        return Err(KeepError::Busy { path: root, why });
    }
    let before = snapshot::take(&SnapshotAsk {
        id: ask.before,
        workspace: ask.workspace,
        path: root.clone(),
        reason: format!("before snapshot {} was restored", ask.id),
        at: ask.at,
        limits: ask.limits,
    })?;
    Ok(Kept { root, repo, wanted, before })
}

/// Most open files that are looked at, and how long.
const DESCRIPTORS_MAX: usize = 200_000;
const OPEN_FILES_TIME: Duration = Duration::from_secs(5);

fn wanted(repo: &Repository, at: &Path, id: SnapshotId) -> Result<Snapshot, KeepError> {
    snapshot::find_in(repo, id)?.ok_or_else(|| KeepError::NoSnapshot { id: id.to_string(), path: at.to_owned() })
}

fn read(repo: &Repository, at: &Path, snapshot: &Snapshot) -> Result<Target, KeepError> {
    let id = opening::id(&snapshot.commit).map_err(KeepError::git("read the snapshot", at))?;
    let commit = repo.find_commit(id).map_err(KeepError::git("read the snapshot", at))?;
    Target::read(repo, &commit)
}

/// What is not as it was when the snapshot was made.
fn notes(repo: &Repository, snapshot: &Snapshot) -> Result<Vec<String>, KeepError> {
    let (head, branch) = repository::head(repo).map_err(KeepError::git("read HEAD", repo.path()))?;
    let mut notes = Vec::new();
    let name = |branch: Option<&String>| branch.map_or_else(|| "no branch".to_owned(), |b| format!("branch {b}"));
    if branch != snapshot.branch {
        notes.push(format!("it was on {}, and is on {}", name(snapshot.branch.as_ref()), name(branch.as_ref())));
    }
    let short = |id: &str| id.get(..8).unwrap_or(id).to_owned();
    let head = head.map(|h| h.to_string());
    if head != snapshot.head {
        let words = |id: Option<&String>| id.map_or_else(|| "no commit".to_owned(), |id| short(id));
        let (was, is) = (words(snapshot.head.as_ref()), words(head.as_ref()));
        notes.push(format!("HEAD was at {was} and is at {is}: the files show the difference as changes"));
    }
    if let Some(what) = &snapshot.under_way {
        notes.push(format!("a {what} was under way, which a snapshot does not bring back"));
    }
    if !snapshot.left_out.is_empty() {
        let (count, names) = (snapshot.left_out.count, snapshot.left_out.names.join(", "));
        notes.push(format!("not in the snapshot ({count}): {names}"));
    }
    Ok(notes)
}

/// A snapshot that is to become a worktree again.
#[derive(Debug, Clone)]
pub struct FreshAsk {
    /// The snapshot.
    pub id: SnapshotId,
    /// Where the worktree is to be; must be free.
    pub path: PathBuf,
    /// Any checkout of the repository: the project's.
    pub repo: PathBuf,
    /// The mark it gets.
    pub mark: Mark,
    /// Names where the entry of a worktree is kept whose directory is gone; the same id for every try.
    pub parks: Uuid,
}

/// Makes a locked and marked worktree of a snapshot: on its branch, which is made at the snapshot's head when it is
/// gone, else detached at that head. Can be repeated after a crash. Takes the repository's worktree lock. Blocks
/// the thread, so not for async tasks.
///
/// # Errors
/// A path that is taken, no such snapshot, what git reports.
pub fn into_fresh(ask: &FreshAsk, git: &Git) -> Result<Applied, KeepError> {
    fresh::into_fresh(ask, git)
}

/// Only takes the entry of a worktree whose directory is gone out of the way, as [`into_fresh`] does, so that it can
/// be told of before anything is made. Answers where it is kept; none where git lists none of ours. Can be repeated
/// after a crash. Blocks the thread, so not for async tasks.
///
/// # Errors
/// What git or the disk reports; a directory that may lie on a disk that is not mounted.
pub fn make_room(ask: &FreshAsk) -> Result<Option<PathBuf>, KeepError> {
    fresh::make_room(ask)
}

/// A worktree whose directory is gone for good.
#[derive(Debug, Clone)]
pub struct GoneAsk {
    /// Names where its entry is kept; the same id for every try.
    pub id: Uuid,
    /// The project that it was made for.
    pub project: ProjectId,
    /// The workspace that it was made for.
    pub workspace: WorkspaceId,
    /// Where it was.
    pub path: PathBuf,
    /// Any checkout of the repository.
    pub repo: PathBuf,
    /// Now.
    pub at: UnixMillis,
}

/// Takes the entry of such a worktree out of git's list, and keeps it with all that only it reached. Answers where;
/// none when there is none of ours. Can be repeated after a crash. Takes the repository's worktree lock. Blocks the thread, so not
/// for async tasks.
///
/// # Errors
/// What git or the disk reports; a directory that may lie on a disk that is not mounted.
pub fn forget_gone(ask: &GoneAsk) -> Result<Option<PathBuf>, KeepError> {
    missing::forget(ask)
}
