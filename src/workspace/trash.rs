//! Moving a workspace's directory away, whole, in one step; and really removing it later.
//!
//! `<parent>/SHOP-1` becomes `<parent>/.trash/<uuid>`, with the record `<parent>/.trash/<uuid>.json` beside it. The
//! worktree's entry (its index, HEAD, log, what is under way, its submodules' repositories) is moved to
//! `<common git dir>/wharf/trash/<uuid>`, so that git knows the worktree no more and nothing of it is gone; what
//! only the entry reached is held by `refs/wharf/trash/<uuid>`. Every step can be repeated after a crash.

mod empty;
pub(crate) mod held;
pub(crate) mod record;
pub mod strays;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::Repository;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wharf_model::{ProjectId, UnixMillis, WorkspaceId};

use super::close::place::{self, Ours};
use super::close::repository;
use super::git_run;
use super::keep_error::KeepError;
use super::lock::{OUR_DIR, WorktreeLock, our_dir};
use super::mark::{self, Mark, WORKTREE_FILE};
use super::opening;
use super::snapshot::objects::sync_dir;
use super::worktree::Git;
use crate::process::kill_point::kill_point;

pub use empty::{Emptied, EmptyAsk, EntryAsk, PassLimit, empty, empty_entry};

/// Name of the trash beside the directories it takes.
pub const DIRECTORY: &str = ".trash";
/// Refs that hold what only a worktree in the trash reached.
pub const REFS: &str = "refs/wharf/trash/";

/// What to move away.
#[derive(Debug, Clone)]
pub struct TrashAsk {
    /// Names the place in the trash; the same id goes on after a crash.
    pub id: Uuid,
    /// The project that the directory was made for.
    pub project: ProjectId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Root of the worktree, or of the plain directory.
    pub path: PathBuf,
    /// Directories that must never be moved: the checkout of every project.
    pub never: Vec<PathBuf>,
    /// Whether the branch may go when we made it and it is merged.
    pub delete_branch: bool,
    /// Now.
    pub at: UnixMillis,
}

/// What became of the branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "why")]
pub enum BranchFate {
    /// Deleted: it was made for this workspace and everything of it is merged.
    Deleted,
    /// Kept: the reason.
    Kept(String),
    /// There was none.
    None,
}

/// What stands beside a directory in the trash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Format; 1.
    pub version: u32,
    /// Names the directory in the trash.
    pub id: Uuid,
    /// The project.
    pub project: ProjectId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Where the directory was.
    pub path: PathBuf,
    /// Where it is in the trash.
    pub trash_path: PathBuf,
    /// Git directory that the worktrees share; none for a plain directory.
    pub common_dir: Option<PathBuf>,
    /// Name of the worktree's entry.
    pub entry: Option<String>,
    /// Branch that was checked out.
    pub branch: Option<String>,
    /// Commit that HEAD was at.
    pub head: Option<String>,
    /// Our mark, as it was.
    pub mark: Mark,
    /// What its `.git` said; while it is in the trash it leads to where the entry is kept.
    #[serde(default)]
    pub git_file: Option<Vec<u8>>,
    /// Reason of the worktree's lock.
    pub locked: Option<String>,
    /// Settings of the branch (`branch.<name>.*`), which go with it.
    pub branch_config: Vec<(String, String)>,
    /// Mode of the directory.
    pub mode: u32,
    /// Its number in its file system, by which it is known again under another name.
    pub inode: u64,
    /// When it was moved.
    pub at: UnixMillis,
    /// What became of the branch; none before that was decided.
    pub branch_fate: Option<BranchFate>,
    /// Whether all steps were done.
    pub complete: bool,
    /// Whether it is being removed for good: its mark may be gone already.
    #[serde(default)]
    pub emptying: bool,
}

/// How long the repository's lock is waited for.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(30);
/// What the branch's log is called while it is in the trash with the entry.
pub(crate) const BRANCH_LOG: &str = "wharf-branch-log";

/// Reason of the lock on a worktree while it is moved.
const MOVING: &str = "wharf moves it to the trash";

impl Record {
    /// Where the worktree's entry lies meanwhile.
    pub(crate) fn parked(&self) -> Option<PathBuf> {
        Some(self.common_dir.as_ref()?.join(OUR_DIR).join("trash").join(self.id.to_string()))
    }

    /// Where the worktree's entry belongs.
    pub(crate) fn entry_dir(&self) -> Option<PathBuf> {
        Some(self.common_dir.as_ref()?.join("worktrees").join(self.entry.as_ref()?))
    }

    /// Whether a directory is the one that this is of.
    pub(crate) fn is_at(&self, path: &Path) -> Result<bool, KeepError> {
        match path.symlink_metadata() {
            Ok(meta) => Ok(meta.is_dir() && meta.ino() == self.inode),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
            Err(e) => Err(KeepError::io("look at", path)(e)),
        }
    }

    /// Checks whose it is.
    pub(crate) fn check(&self, project: ProjectId, workspace: WorkspaceId) -> Result<(), KeepError> {
        if self.project == project && self.workspace == workspace {
            return Ok(());
        }
        let why = format!("it is of workspace {} of project {}", self.workspace, self.project);
        Err(KeepError::BadRecord { path: record::file(&self.trash_path), why })
    }
}

/// Moves a directory to the trash, or goes on where an earlier call with this id was cut off. Takes the
/// repository's worktree lock. Blocks the thread, so not for async tasks.
///
/// # Errors
/// Not ours, in use, other file system, no right, name taken: the directory is then where it was. An error after
/// the move leaves it in the trash, and a repeated call goes on.
pub fn move_away(ask: &TrashAsk, git: &Git) -> Result<Record, KeepError> {
    let parent = ask
        .path
        .parent()
        .ok_or_else(|| KeepError::NotOurs { path: ask.path.clone(), why: "it is the root of everything".to_owned() })?;
    let parent = match parent.canonicalize() {
        Ok(parent) => parent,
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(KeepError::Gone { path: ask.path.clone() }),
        Err(e) => return Err(KeepError::io("resolve", parent)(e)),
    };
    let trash_path = parent.join(DIRECTORY).join(ask.id.to_string());
    let record = match record::read(&trash_path)? {
        Some(record) => {
            record.check(ask.project, ask.workspace)?;
            // Nothing has moved: what an earlier try read of it may not be so any more.
            let waits = !record.is_at(&record.trash_path)? && ask.path.symlink_metadata().is_ok();
            if waits { begin(ask, &trash_path)? } else { record }
        }
        None => begin(ask, &trash_path)?,
    };
    kill_point("workspace.trash_recorded");
    if record.complete {
        return Ok(record);
    }
    finish(ask, git, record)
}

/// The record, written before anything moves.
fn begin(ask: &TrashAsk, trash_path: &Path) -> Result<Record, KeepError> {
    let ours = place::removable(&ask.path, ask.project, ask.workspace, &ask.never)
        .map_err(|place| KeepError::of_place(&ask.path, *place))?;
    if trash_path.symlink_metadata().is_ok() {
        return Err(KeepError::Taken { path: trash_path.to_owned(), offer: None });
    }
    if let Some(trash) = trash_path.parent() {
        record::prepare(trash)?;
    }
    let Ours { path, mark, inode, mode, git } = ours;
    let (mut head, mut branch, mut branch_config, mut git_file) = (None, None, Vec::new(), None);
    if git.is_some() {
        let file = path.join(".git");
        git_file = Some(fs::read(&file).map_err(KeepError::io("read", &file))?);
        let fail = KeepError::git("read HEAD", &path);
        let repo = opening::open(&path).map_err(&fail)?;
        let (commit, name) = repository::head(&repo).map_err(&fail)?;
        head = commit.map(|c| c.to_string());
        branch = name;
        branch_config = settings_of(&repo, branch.as_deref().or(mark.branch.as_deref()))?;
    }
    let record = Record {
        version: record::VERSION,
        id: ask.id,
        project: ask.project,
        workspace: ask.workspace,
        path,
        trash_path: trash_path.to_owned(),
        common_dir: git.as_ref().map(|g| g.common_dir.clone()),
        entry: git.as_ref().map(|g| g.entry.clone()),
        branch,
        head,
        mark,
        git_file,
        // An earlier try may have locked it for the move.
        locked: git.and_then(|g| g.locked).filter(|reason| reason.trim() != MOVING),
        branch_config,
        mode,
        inode,
        at: ask.at,
        branch_fate: None,
        complete: false,
        emptying: false,
    };
    record::write(&record)?;
    Ok(record)
}

/// `branch.<name>.*`, which git removes with the branch.
fn settings_of(repo: &Repository, branch: Option<&str>) -> Result<Vec<(String, String)>, KeepError> {
    let Some(branch) = branch else { return Ok(Vec::new()) };
    let fail = KeepError::git("read the branch's settings", repo.path());
    let config = repo.config().and_then(|mut c| c.snapshot()).map_err(&fail)?;
    let prefix = format!("branch.{branch}.");
    let mut all = Vec::new();
    let mut entries = config.entries(None).map_err(&fail)?;
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(&fail)?;
        if let (Ok(name), Ok(value)) = (entry.name(), entry.value())
            && name.starts_with(&prefix)
        {
            all.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(all)
}

/// Every step looks first whether it was done.
fn finish(ask: &TrashAsk, git: &Git, mut record: Record) -> Result<Record, KeepError> {
    let lock = match &record.common_dir {
        Some(common) => Some(WorktreeLock::acquire(common, LOCK_WAIT, &format!("trash {}", record.id))?),
        None => None,
    };
    if record.is_at(&record.trash_path)? {
        if let Some(dir) = record.trash_path.parent() {
            sync_dir(dir)?;
        }
    } else if record.is_at(&record.path)? {
        if let (Some(entry), Some(common)) = (record.entry_dir(), &record.common_dir) {
            keep_branch_log(common, &entry, record.mark.branch.as_deref())?;
            let repo = opening::open(&record.path).map_err(KeepError::git("open", &record.path))?;
            held::hold(&repo, &entry, record.id, record.at)?;
            kill_point("workspace.trash_held");
            // For a moment git does not find the directory, and forgets worktrees that it does not find.
            let locked = entry.join("locked");
            if !locked.exists() {
                fs::write(&locked, format!("{MOVING}\n")).map_err(KeepError::io("write", &locked))?;
            }
        }
        rename(&record)?;
    } else {
        // Neither here nor there: whoever moved it has it.
        return Err(KeepError::Gone { path: record.path.clone() });
    }
    kill_point("workspace.trash_moved");
    park(&record)?;
    kill_point("workspace.trash_parked");
    link(&record)?;
    drop(lock);
    if record.branch_fate.is_none() {
        record.branch_fate = Some(branch_fate(ask, git, &record));
        kill_point("workspace.trash_branch");
    }
    record.complete = true;
    if let Some(parked) = record.parked().filter(|parked| parked.exists()) {
        record::copy_to(&parked, &record)?;
    }
    record::write(&record)?;
    Ok(record)
}

/// The whole directory in one step.
fn rename(record: &Record) -> Result<(), KeepError> {
    let (from, to) = (&record.path, &record.trash_path);
    // To move a directory to another parent its owner must be able to write in it.
    let closed = record.mode & 0o700 != 0o700;
    let set = |at: &Path, mode: u32| {
        fs::set_permissions(at, fs::Permissions::from_mode(mode)).map_err(KeepError::io("set the mode of", at))
    };
    if closed {
        set(from, record.mode | 0o700)?;
    }
    let moved = renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE);
    if let Err(e) = moved {
        if closed {
            set(from, record.mode)?;
        }
        return Err(match e {
            Errno::XDEV => KeepError::OtherFileSystem { path: from.clone(), trash: to.clone() },
            Errno::BUSY => KeepError::Busy { path: from.clone(), why: "something is mounted on it".to_owned() },
            Errno::EXIST | Errno::NOTEMPTY => KeepError::Taken { path: to.clone(), offer: None },
            other => KeepError::io("move", from)(other.into()),
        });
    }
    if closed {
        set(to, record.mode)?;
    }
    for dir in [to.parent(), from.parent()].into_iter().flatten() {
        sync_dir(dir)?;
    }
    Ok(())
}

/// Takes the worktree's entry out of git's list, whole.
fn park(record: &Record) -> Result<(), KeepError> {
    let (Some(common), Some(entry), Some(parked)) = (&record.common_dir, record.entry_dir(), record.parked()) else {
        return Ok(());
    };
    if parked.exists() {
        return Ok(());
    }
    let mark = mark::read(&entry.join(WORKTREE_FILE))?;
    if mark.as_ref() != Some(&record.mark) {
        let why = "its entry in git's list of worktrees is another one by now".to_owned();
        return Err(KeepError::Changed { path: entry, why });
    }
    let dir = our_dir(common)?.join("trash");
    fs::create_dir_all(&dir).map_err(KeepError::io("make", &dir))?;
    renameat_with(CWD, &entry, CWD, &parked, RenameFlags::NOREPLACE)
        .map_err(|e| KeepError::io("move the worktree's entry", &entry)(e.into()))?;
    sync_dir(&dir)?;
    sync_dir(&common.join("worktrees"))
}

/// Makes the directory a checkout in the trash too: git can be asked about it there, and `git clean` in the project
/// leaves it alone like every other repository inside.
fn link(record: &Record) -> Result<(), KeepError> {
    let (Some(common), Some(parked)) = (&record.common_dir, record.parked()) else { return Ok(()) };
    if !parked.exists() {
        return Ok(());
    }
    let line = |before: &[u8], path: &Path| [before, path.as_os_str().as_encoded_bytes(), b"\n"].concat();
    let files = [
        (parked.join("commondir"), line(b"", common)),
        (parked.join("gitdir"), line(b"", &record.trash_path.join(".git"))),
        (record.trash_path.join(".git"), line(b"gitdir: ", &parked)),
    ];
    for (file, text) in files {
        fs::write(&file, text).map_err(KeepError::io("write", &file))?;
    }
    Ok(())
}

/// The branch's log goes with the branch; a copy of it goes with the entry.
fn keep_branch_log(common: &Path, entry: &Path, branch: Option<&str>) -> Result<(), KeepError> {
    let Some(branch) = branch else { return Ok(()) };
    let log = common.join("logs/refs/heads").join(branch);
    let copy = entry.join(BRANCH_LOG);
    match fs::copy(&log, &copy) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(KeepError::io("copy", &log)(e)),
    }
}

/// Lets git delete the branch if it was made for this workspace; git itself refuses when it is not merged.
fn branch_fate(ask: &TrashAsk, git: &Git, record: &Record) -> BranchFate {
    let (Some(branch), Some(parked)) = (&record.mark.branch, record.parked()) else { return BranchFate::None };
    let kept = |why: &str| BranchFate::Kept(why.to_owned());
    if !ask.delete_branch {
        return kept("it was asked to stay");
    }
    if !record.mark.created_branch {
        return kept("it was not made for this workspace");
    }
    if record.branch.as_ref() != Some(branch) {
        return kept("another branch, or none, was checked out");
    }
    let under_way = ["rebase-merge", "rebase-apply", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG"];
    if under_way.iter().any(|name| parked.join(name).exists()) {
        return kept("git was in the middle of something on it");
    }
    match git_run::run(&git.delete_merged_branch(branch)) {
        Ok(()) => BranchFate::Deleted,
        // A repeated call finds it gone.
        Err(KeepError::Command { message, .. }) if message.contains("not found") => BranchFate::Deleted,
        Err(KeepError::Command { message, .. }) => kept(message.lines().next().unwrap_or("git refused")),
        Err(e) => BranchFate::Kept(e.to_string()),
    }
}

/// Reads the record of a directory in the trash (`<parent>/.trash/<uuid>`); none when there is none.
///
/// # Errors
/// A record that is damaged or stands for something else.
pub fn record(trash_path: &Path) -> Result<Option<Record>, KeepError> {
    record::read(trash_path)
}
