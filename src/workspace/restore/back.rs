//! A directory out of the trash: its worktree's entry, its branch, its place.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::{BranchType, ErrorCode, Repository};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{BringBack, Returned};
use crate::process::kill_point::kill_point;
use crate::workspace::close::repository;
use crate::workspace::keep_error::KeepError;
use crate::workspace::lock::WorktreeLock;
use crate::workspace::mark::{self, WORKTREE_FILE};
use crate::workspace::opening;
use crate::workspace::presence;
use crate::workspace::snapshot::objects::sync_dir;
use crate::workspace::trash::{BRANCH_LOG, LOCK_WAIT, Record, held, record};

/// Names that are tried for a path that is free.
const NAMES_MAX: usize = 1_000;

pub(super) fn bring_back(ask: &BringBack) -> Result<Returned, KeepError> {
    let Some(found) = crate::workspace::trash::record(&ask.trash_path)? else {
        return came_back(ask);
    };
    found.check(ask.project, ask.workspace)?;
    let bad = |why: &str| KeepError::BadRecord { path: record::file(&ask.trash_path), why: why.to_owned() };
    if found.emptying {
        return Err(bad("it is being removed for good"));
    }
    let to = match &ask.to {
        Some(to) => crate::workspace::containment::resolve(to)?,
        None => found.path.clone(),
    };
    let in_trash = found.is_at(&found.trash_path)?;
    if !in_trash && !found.is_at(&to)? {
        if found.trash_path.symlink_metadata().is_ok() {
            return Err(bad("what lies there is another directory than the one that was moved"));
        }
        return Err(KeepError::TrashGone { path: found.trash_path });
    }
    if in_trash && to.symlink_metadata().is_ok() {
        return Err(taken(&to));
    }
    if in_trash {
        // Before anything of git's is moved: what cannot come back stays whole in the trash.
        let device = |path: &Path| path.metadata().map(|meta| meta.dev()).map_err(KeepError::io("look at", path));
        let parent = to.parent().unwrap_or(&to);
        if device(parent)? != device(&found.trash_path)? {
            return Err(KeepError::TrashElsewhere { path: to, trash: found.trash_path });
        }
    }
    if !record::file(&ask.trash_path).exists() {
        if let Some(trash) = ask.trash_path.parent() {
            record::prepare(trash)?;
        }
        record::write(&found)?;
    }
    let mut notes = Vec::new();
    let common = found.common_dir.clone().filter(|common| common.exists());
    let lock = match &common {
        Some(common) => Some(WorktreeLock::acquire(common, LOCK_WAIT, &format!("restore of {}", found.id))?),
        None => None,
    };
    if found.common_dir.is_some() && common.is_none() {
        notes.push("its repository is gone: the files came back, and no git knows them".to_owned());
    }
    let entry = match &common {
        Some(common) => Some(bring_entry(common, &found, &to, &mut notes)?),
        None => None,
    };
    kill_point("workspace.restore_entry");
    if in_trash {
        move_back(&found, &to)?;
    }
    kill_point("workspace.restore_moved");
    let (mut branch, mut head) = (None, None);
    if let (Some(common), Some(entry)) = (&common, &entry) {
        point_at(&to, entry, &found)?;
        let repo = opening::open(&to).map_err(KeepError::git("open the worktree", &to))?;
        if !entry.join("index").exists() {
            fill_index(&repo, &to)?;
            notes.push("its entry was gone and was made anew: what was staged is not told apart any more".to_owned());
        }
        let (commit, name) = repository::head(&repo).map_err(KeepError::git("read HEAD", &to))?;
        branch = name;
        head = commit.map(|c| c.to_string());
        if head != found.head {
            let word =
                |id: &Option<String>| id.as_deref().map_or("no commit", |id| id.get(..8).unwrap_or(id)).to_owned();
            let name = branch.as_deref().unwrap_or("HEAD");
            let (was, is) = (word(&found.head), word(&head));
            notes.push(format!("{name} moved from {was} to {is} meanwhile: the files show the difference as changes"));
        }
        let common = opening::open(common).map_err(KeepError::git("open the repository", common))?;
        held::release(&common, found.id)?;
    }
    drop(lock);
    let back = back_file(&ask.trash_path);
    let done = Record { path: to.clone(), ..found.clone() };
    let text = serde_json::to_vec_pretty(&done).unwrap_or_default();
    forget_earlier(&back);
    fs::write(&back, text).map_err(KeepError::io("write", &back))?;
    record::remove(&ask.trash_path)?;
    Ok(Returned { path: to, branch, head, notes, record: found })
}

/// Tells a repeated call that all was done.
fn back_file(trash_path: &Path) -> PathBuf {
    trash_path.with_extension("back.json")
}

/// Age at which a file that answers repeated calls has answered them all.
const ANSWERED: Duration = Duration::from_hours(30 * 24);

/// One of another workspace may still be asked for: only those that are old go.
fn forget_earlier(own: &Path) {
    let Some(entries) = own.parent().and_then(|dir| fs::read_dir(dir).ok()) else { return };
    let is_old = |e: &fs::DirEntry| {
        let changed = e.metadata().and_then(|m| m.modified());
        changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ANSWERED))
    };
    let answers = entries.flatten().filter(|e| e.file_name().as_encoded_bytes().ends_with(b".back.json"));
    for entry in answers.filter(is_old) {
        // Untidy at most.
        let _ = fs::remove_file(entry.path());
    }
}

fn came_back(ask: &BringBack) -> Result<Returned, KeepError> {
    let gone = || KeepError::TrashGone { path: ask.trash_path.clone() };
    if presence::is_there(&ask.trash_path, None).is_none()
        && ask.trash_path.parent().is_none_or(|trash| presence::is_there(trash, None).is_none())
    {
        return Err(KeepError::Busy { why: presence::untold(&ask.trash_path), path: ask.trash_path.clone() });
    }
    let text = fs::read(back_file(&ask.trash_path)).map_err(|_| gone())?;
    let found: Record = serde_json::from_slice(&text).map_err(|_| gone())?;
    found.check(ask.project, ask.workspace)?;
    if !found.is_at(&found.path)? {
        return Err(gone());
    }
    let (mut branch, mut head) = (None, None);
    if let Ok(repo) = opening::open(&found.path) {
        let (commit, name) = repository::head(&repo).map_err(KeepError::git("read HEAD", &found.path))?;
        (branch, head) = (name, commit.map(|c| c.to_string()));
    }
    Ok(Returned { path: found.path.clone(), branch, head, notes: Vec::new(), record: found })
}

/// Says what stands at a path, and which one is free.
pub(super) fn taken(path: &Path) -> KeepError {
    let what = match path.symlink_metadata() {
        Ok(meta) if meta.is_symlink() => "a link".to_owned(),
        Ok(meta) if meta.is_dir() && path.join(".git").exists() => "a checkout".to_owned(),
        Ok(meta) if meta.is_dir() => "a directory".to_owned(),
        Ok(_) => "a file".to_owned(),
        Err(_) => "something else".to_owned(),
    };
    KeepError::PlaceTaken { path: path.to_owned(), what, offer: free(path) }
}

/// A path beside one that is taken.
pub(super) fn free(taken: &Path) -> PathBuf {
    let name = taken.file_name().unwrap_or_default();
    (2..NAMES_MAX)
        .map(|n| {
            let mut other = name.to_owned();
            other.push(format!("-{n}"));
            taken.with_file_name(other)
        })
        .find(|path| path.symlink_metadata().is_err())
        .unwrap_or_else(|| taken.with_file_name(uuid::Uuid::now_v7().to_string()))
}

/// Puts the entry back into git's list, with its branch. Answers where it is.
fn bring_entry(common: &Path, found: &Record, to: &Path, notes: &mut Vec<String>) -> Result<PathBuf, KeepError> {
    let bad = |why: &str| KeepError::BadRecord { path: record::file(&found.trash_path), why: why.to_owned() };
    let own = found.entry_dir().ok_or_else(|| bad("it names no entry"))?;
    let parked = found.parked().ok_or_else(|| bad("it names no repository"))?;
    let is_ours = |entry: &Path| mark::read(&entry.join(WORKTREE_FILE)).is_ok_and(|m| m.as_ref() == Some(&found.mark));
    if !parked.exists() {
        if is_ours(&own) {
            return Ok(own);
        }
        if let Some(entry) = listed(common)?.into_iter().find(|entry| is_ours(entry)) {
            return Ok(entry);
        }
        make_entry(&parked, found)?;
    }
    let entry = if own.exists() { free(&own) } else { own.clone() };
    if (entry != own || to != found.path) && parked.join("modules").exists() {
        let why = "it has submodules, whose links hold its path and the name of its entry: restore it to its own path \
                   once both are free";
        return Err(KeepError::NotOurs { path: to.to_owned(), why: why.to_owned() });
    }
    bring_branch(common, found, &parked, notes)?;
    kill_point("workspace.restore_branch");
    let mut link = to.join(".git").into_os_string().into_vec();
    link.push(b'\n');
    for (name, text) in [("gitdir", link.as_slice()), ("commondir", b"../..\n")] {
        let file = parked.join(name);
        fs::write(&file, text).map_err(KeepError::io("write", &file))?;
    }
    let locked = parked.join("locked");
    if found.locked.is_none() && locked.exists() {
        fs::remove_file(&locked).map_err(KeepError::io("remove", &locked))?;
    }
    record::remove_copy(&parked)?;
    let log = parked.join(BRANCH_LOG);
    match fs::remove_file(&log) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(KeepError::io("remove", &log)(e)),
        _ => {}
    }
    let list = common.join("worktrees");
    fs::create_dir_all(&list).map_err(KeepError::io("make", &list))?;
    renameat_with(CWD, &parked, CWD, &entry, RenameFlags::NOREPLACE)
        .map_err(|e| KeepError::io("move the worktree's entry back to", &entry)(e.into()))?;
    sync_dir(&list)?;
    Ok(entry)
}

fn listed(common: &Path) -> Result<Vec<PathBuf>, KeepError> {
    let list = common.join("worktrees");
    match fs::read_dir(&list) {
        Ok(entries) => Ok(entries.flatten().map(|e| e.path()).collect()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(KeepError::io("list", &list)(e)),
    }
}

/// An entry whose own files are gone: what git needs to know the worktree again.
fn make_entry(parked: &Path, found: &Record) -> Result<(), KeepError> {
    let head = match (&found.branch, &found.head) {
        (Some(branch), _) => format!("ref: refs/heads/{branch}\n"),
        (None, Some(commit)) => format!("{commit}\n"),
        (None, None) => "ref: refs/heads/main\n".to_owned(),
    };
    fs::create_dir_all(parked).map_err(KeepError::io("make", parked))?;
    let mut link = found.path.join(".git").into_os_string().into_vec();
    link.push(b'\n');
    let files: [(&str, &[u8]); 4] = [
        ("HEAD", head.as_bytes()),
        ("commondir", b"../..\n"),
        ("gitdir", &link),
        ("locked", found.locked.as_deref().unwrap_or_default().as_bytes()),
    ];
    for (name, text) in files.into_iter().filter(|(name, _)| *name != "locked" || found.locked.is_some()) {
        let file = parked.join(name);
        fs::write(&file, text).map_err(KeepError::io("write", &file))?;
    }
    mark::write(&parked.join(WORKTREE_FILE), &found.mark)?;
    Ok(())
}

fn fill_index(repo: &Repository, at: &Path) -> Result<(), KeepError> {
    let fail = KeepError::git("make the index", at);
    let mut index = repo.index().map_err(&fail)?;
    if let Ok(head) = repo.head() {
        index.read_tree(&head.peel_to_tree().map_err(&fail)?).map_err(&fail)?;
    }
    index.write().map_err(fail)
}

/// The branch that HEAD names must be there, and nowhere else.
fn bring_branch(common: &Path, found: &Record, parked: &Path, notes: &mut Vec<String>) -> Result<(), KeepError> {
    let Some(branch) = &found.branch else { return Ok(()) };
    let repo = opening::open(common).map_err(KeepError::git("open the repository", common))?;
    let wanted = format!("ref: refs/heads/{branch}");
    let heads = listed(common)?.into_iter().chain((!repo.is_bare()).then(|| common.to_owned()));
    for dir in heads {
        if fs::read_to_string(dir.join("HEAD")).is_ok_and(|head| head.trim() == wanted) {
            let at = fs::read_to_string(dir.join("gitdir")).unwrap_or_else(|_| common.display().to_string());
            let at = at.trim().trim_end_matches("/.git").to_owned();
            let why = format!("its branch {branch} is checked out at {at}; switch there to another one");
            return Err(KeepError::Busy { path: found.trash_path.clone(), why });
        }
    }
    let fail = KeepError::git("make the branch again", common);
    match repo.find_branch(branch, BranchType::Local) {
        Ok(_) => return Ok(()),
        Err(e) if e.code() == ErrorCode::NotFound => {}
        Err(e) => return Err(fail(e)),
    }
    let Some(head) = &found.head else { return Ok(()) };
    let id = opening::id(head).map_err(&fail)?;
    let (log, kept) = (common.join("logs/refs/heads").join(branch), parked.join(BRANCH_LOG));
    if kept.exists() && !log.exists() {
        if let Some(dir) = log.parent() {
            fs::create_dir_all(dir).map_err(KeepError::io("make", dir))?;
        }
        fs::copy(&kept, &log).map_err(KeepError::io("copy the branch's log to", &log))?;
    }
    repo.reference(&format!("refs/heads/{branch}"), id, false, "wharf: restored").map_err(&fail)?;
    let mut config = repo.config().and_then(|c| c.open_level(git2::ConfigLevel::Local)).map_err(&fail)?;
    for (name, value) in &found.branch_config {
        config.set_str(name, value).map_err(&fail)?;
    }
    notes.push(format!("branch {branch} was gone and was made again at {}", head.get(..8).unwrap_or(head)));
    Ok(())
}

/// The whole directory in one step.
fn move_back(found: &Record, to: &Path) -> Result<(), KeepError> {
    let from = &found.trash_path;
    let set = |at: &Path, mode: u32| {
        fs::set_permissions(at, fs::Permissions::from_mode(mode)).map_err(KeepError::io("set the mode of", at))
    };
    let closed = found.mode & 0o700 != 0o700;
    if closed {
        set(from, found.mode | 0o700)?;
    }
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        Err(Errno::EXIST | Errno::NOTEMPTY) => {
            return Err(taken(to));
        }
        Err(Errno::XDEV) => return Err(KeepError::TrashElsewhere { path: to.to_owned(), trash: from.clone() }),
        Err(e) => return Err(KeepError::io("move back", from)(e.into())),
    }
    if closed {
        set(to, found.mode)?;
    }
    for dir in [from.parent(), to.parent()].into_iter().flatten() {
        sync_dir(dir)?;
    }
    Ok(())
}

/// The worktree's `.git` names its entry.
fn point_at(to: &Path, entry: &Path, found: &Record) -> Result<(), KeepError> {
    let file = to.join(".git");
    if let Some(text) = &found.git_file
        && to == found.path
        && Some(entry) == found.entry_dir().as_deref()
    {
        return fs::write(&file, text).map_err(KeepError::io("write", &file));
    }
    let text = fs::read(&file).map_err(KeepError::io("read", &file))?;
    let named = text.strip_prefix(b"gitdir: ").unwrap_or_default();
    let named = named.strip_suffix(b"\n").unwrap_or(named);
    let named = to.join(PathBuf::from(OsString::from_vec(named.to_vec())));
    if named.canonicalize().ok() == entry.canonicalize().ok() {
        return Ok(());
    }
    let mut line = b"gitdir: ".to_vec();
    line.extend(entry.as_os_str().to_owned().into_vec());
    line.push(b'\n');
    fs::write(&file, line).map_err(KeepError::io("write", &file))
}
