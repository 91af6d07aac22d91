//! Removing for good what lies in the trash, in passes that can be cut off anywhere.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use uuid::Uuid;
use wharf_model::{ProjectId, WorkspaceId};

use super::{Record, held, record};
use crate::environment::sandbox::{mounted, tree};
use crate::process::kill_point::kill_point;
use crate::workspace::containment;
use crate::workspace::keep_error::KeepError;
use crate::workspace::lock::OUR_DIR;
use crate::workspace::mark::{self, WORKTREE_FILE};
use crate::workspace::opening;
use crate::workspace::presence;
use crate::workspace::snapshot::objects::sync_dir;
use crate::workspace::worktree::LockReason;

/// What is being removed is called so, since what told whose it is may be gone already.
const GOING: &str = "emptying";

/// How far one pass goes; another one goes on.
#[derive(Debug, Clone, Default)]
pub struct PassLimit {
    /// Longest time.
    pub time: Duration,
    /// Set when nobody waits for it any more.
    pub stop: Arc<AtomicBool>,
}

impl From<Duration> for PassLimit {
    fn from(time: Duration) -> Self {
        Self { time, ..Self::default() }
    }
}

/// What to remove for good.
#[derive(Debug, Clone)]
pub struct EmptyAsk {
    /// `<parent>/.trash/<uuid>`: where a row says that it lies.
    pub trash_path: PathBuf,
    /// The project whose it must be.
    pub project: ProjectId,
    /// The workspace whose it must be.
    pub workspace: WorkspaceId,
    /// Any checkout of its repository, for what that keeps of it where somebody removed the directory and its record.
    pub repo: Option<PathBuf>,
    /// How far one pass goes.
    pub pass: PassLimit,
}

/// What git had of a worktree whose directory was gone, to be removed for good.
#[derive(Debug, Clone)]
pub struct EntryAsk {
    /// `<common git dir>/wharf/trash/<uuid>`: where a row says that it lies.
    pub place: PathBuf,
    /// The project whose it must be.
    pub project: ProjectId,
    /// The workspace whose it must be.
    pub workspace: WorkspaceId,
    /// How far one pass goes.
    pub pass: PassLimit,
}

/// What a pass removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emptied {
    /// Whether nothing is left; else another pass goes on.
    pub done: bool,
    /// Entries that this pass removed.
    pub removed: u64,
}

/// One pass: how long it may go on, and what it has removed.
struct Pass<'a> {
    until: Instant,
    stop: &'a AtomicBool,
    removed: u64,
}

impl<'a> Pass<'a> {
    fn new(limit: &'a PassLimit) -> Self {
        Self { until: Instant::now() + limit.time, stop: &limit.stop, removed: 0 }
    }

    /// Removes a tree; false when time is over before all of it is gone.
    fn remove(&mut self, path: &Path) -> Result<bool, KeepError> {
        let mut go_on = || {
            self.removed += 1;
            kill_point("workspace.trash_removing");
            Instant::now() < self.until && !self.stop.load(Ordering::Relaxed)
        };
        tree::remove_tree_while(path, &mut go_on).map_err(KeepError::io("remove", path))
    }

    fn ends(&self, done: bool) -> Emptied {
        Emptied { done, removed: self.removed }
    }
}

/// Removes a directory of the trash for good, with its record, its worktree entry and the ref that held it. Never
/// follows a link, never crosses a mount point, and removes nothing that does not carry our mark. What is gone already is
/// fine. Blocks the thread, so not for async tasks.
///
/// # Errors
/// A record that is damaged or of another workspace; something that is mounted in it; what the system says.
pub fn empty(ask: &EmptyAsk) -> Result<Emptied, KeepError> {
    let Some(mut record) = record::read(&ask.trash_path)? else {
        return without_record(ask);
    };
    record.check(ask.project, ask.workspace)?;
    let there = record.trash_path.symlink_metadata().is_ok();
    if there && !record.is_at(&record.trash_path)? {
        let why = "what lies there is another directory than the one that was moved".to_owned();
        return Err(KeepError::BadRecord { path: record::file(&ask.trash_path), why });
    }
    unmounted(&record.trash_path)?;
    if let Some(parked) = record.parked() {
        unmounted(&parked)?;
    }
    if !record.emptying {
        check_before_emptying(&record, there)?;
        record.emptying = true;
        record::write(&record)?;
        kill_point("workspace.trash_emptying");
    }
    let mut pass = Pass::new(&ask.pass);
    if !pass.remove(&record.trash_path)? {
        return Ok(pass.ends(false));
    }
    kill_point("workspace.trash_emptied");
    if let (Some(common), Some(parked)) = (&record.common_dir, record.parked()) {
        if !pass.remove(&parked)? {
            return Ok(pass.ends(false));
        }
        kill_point("workspace.trash_entry_removed");
        release(common, record.id)?;
    }
    record::remove(&record.trash_path)?;
    Ok(pass.ends(true))
}

/// Before anything of it goes: what is mounted in it must be unmounted by whoever did that.
fn unmounted(tree: &Path) -> Result<(), KeepError> {
    let at = containment::resolve(tree)?;
    match mounted::in_the_way(&at).map_err(KeepError::io("look for mounts in", &at))? {
        Some(why) => Err(KeepError::Mounted { path: tree.to_owned(), why }),
        None => Ok(()),
    }
}

/// Somebody removed the record, and what it stood for with it: what the repository keeps of it goes too.
fn without_record(ask: &EmptyAsk) -> Result<Emptied, KeepError> {
    match ask.trash_path.symlink_metadata() {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
        Err(e) => return Err(KeepError::io("look at", &ask.trash_path)(e)),
        Ok(_) => {
            let (path, why) = (record::file(&ask.trash_path), "it is not there".to_owned());
            return Err(KeepError::BadRecord { path, why });
        }
    }
    is_gone(&[&ask.trash_path, ask.trash_path.parent().unwrap_or(&ask.trash_path)], ask.repo.as_deref())?;
    let repo = ask.repo.as_deref().and_then(|repo| opening::open(repo).ok());
    let (Some(repo), Some(name)) = (repo, ask.trash_path.file_name()) else {
        return Ok(Emptied { done: true, removed: 0 });
    };
    let place = repo.commondir().join(OUR_DIR).join("trash").join(name);
    empty_entry(&EntryAsk { place, project: ask.project, workspace: ask.workspace, pass: ask.pass.clone() })
}

/// Refuses where what is not there may only be on a disk that is not mounted: one of these must be gone for certain.
fn is_gone(places: &[&Path], repo: Option<&Path>) -> Result<(), KeepError> {
    if places.iter().any(|place| presence::is_there(place, repo) == Some(false)) {
        return Ok(());
    }
    Err(KeepError::Busy { why: presence::untold(places[0]), path: places[0].to_owned() })
}

/// Removes for good what git had of a worktree whose directory was gone, and the ref that held what it reached. What
/// is gone already is fine. Blocks the thread, so not for async tasks.
///
/// # Errors
/// A place that is none of ours, or of another workspace; what the system says.
pub fn empty_entry(ask: &EntryAsk) -> Result<Emptied, KeepError> {
    let (common, id) = parts(&ask.place)?;
    if !common.exists() {
        is_gone(&[common, common.parent().unwrap_or(common)], None)?;
    }
    let mut pass = Pass::new(&ask.pass);
    let going = ask.place.with_extension(GOING);
    for tree in [&ask.place, &going] {
        unmounted(tree)?;
    }
    if ask.place.symlink_metadata().is_ok() {
        check_entry(ask)?;
        fs::rename(&ask.place, &going).map_err(KeepError::io("move", &ask.place))?;
        if let Some(dir) = going.parent() {
            sync_dir(dir)?;
        }
        kill_point("workspace.trash_emptying");
    }
    if !pass.remove(&going)? {
        return Ok(pass.ends(false));
    }
    kill_point("workspace.trash_entry_removed");
    release(common, id)?;
    Ok(pass.ends(true))
}

/// The repository and the id of `<common git dir>/wharf/trash/<uuid>`.
fn parts(place: &Path) -> Result<(&Path, Uuid), KeepError> {
    let id = place.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse::<Uuid>().ok());
    let trash = place.parent().filter(|dir| dir.ends_with(Path::new(OUR_DIR).join("trash")));
    let common = trash.and_then(Path::parent).and_then(Path::parent).filter(|common| common.is_absolute());
    common.zip(id).ok_or_else(|| {
        let why = "wharf keeps nothing of git's at such a place".to_owned();
        KeepError::NotOurs { path: place.to_owned(), why }
    })
}

/// What is to go must say itself whose it is.
fn check_entry(ask: &EntryAsk) -> Result<(), KeepError> {
    let ours = match mark::read(&ask.place.join(WORKTREE_FILE))? {
        Some(mark) => mark.workspace == ask.workspace && mark.project == ask.project,
        None => fs::read_to_string(ask.place.join("locked"))
            .is_ok_and(|text| LockReason::parse(text.trim()).is_some_and(|r| r.workspace == ask.workspace)),
    };
    if ours {
        return Ok(());
    }
    let why = format!("it does not say that it is of workspace {}", ask.workspace);
    Err(KeepError::NotOurs { path: ask.place.clone(), why })
}

/// Lets go of what was held. A repository that is gone holds nothing any more.
fn release(common: &Path, id: Uuid) -> Result<(), KeepError> {
    if common.exists() {
        let repo = opening::open(common).map_err(KeepError::git("open the repository", common))?;
        held::release(&repo, id)?;
        kill_point("workspace.trash_ref_removed");
    }
    Ok(())
}

/// A move that was cut off is finished first, and the mark must be the record's.
fn check_before_emptying(record: &Record, there: bool) -> Result<(), KeepError> {
    let bad = |why: &str| KeepError::BadRecord { path: record::file(&record.trash_path), why: why.to_owned() };
    if !record.complete {
        return Err(bad("the move was not finished; finish it first"));
    }
    let mark = match (record.parked(), &record.common_dir) {
        // Without its repository it has no mark to show; the directory is known by its number.
        (Some(_), Some(common)) if !common.exists() => return Ok(()),
        (Some(parked), _) => mark::read(&parked.join(WORKTREE_FILE))?,
        (None, _) if !there => return Ok(()),
        (None, _) => mark::read(&mark::plain_file(&record.trash_path))?,
    };
    if mark.as_ref() == Some(&record.mark) { Ok(()) } else { Err(bad("what lies there does not carry its mark")) }
}
