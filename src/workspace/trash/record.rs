//! The record beside a directory in the trash: written before anything moves, and the last thing to go.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{DIRECTORY, Record};
use crate::workspace::keep_error::KeepError;
use crate::workspace::snapshot::objects::sync_dir;

pub(super) const VERSION: u32 = 1;
const MAX_BYTES: u64 = 1 << 20;

/// Where the record of a place in the trash lies.
pub(crate) fn file(trash_path: &Path) -> PathBuf {
    trash_path.with_extension("json")
}

/// Makes the trash beside a directory; git ignores all in it.
pub(crate) fn prepare(trash: &Path) -> Result<(), KeepError> {
    match DirBuilder::new().mode(0o700).create(trash) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) => return Err(KeepError::io("make", trash)(e)),
    }
    check_trash(trash)?;
    let ignore = trash.join(".gitignore");
    match OpenOptions::new().write(true).create_new(true).open(&ignore) {
        Ok(mut file) => file.write_all(b"*\n").map_err(KeepError::io("write", &ignore))?,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) => return Err(KeepError::io("write", &ignore)(e)),
    }
    Ok(())
}

/// A trash is a directory: through a link it could be anywhere.
fn check_trash(trash: &Path) -> Result<(), KeepError> {
    let meta = trash.symlink_metadata().map_err(KeepError::io("look at", trash))?;
    if meta.is_dir() {
        return Ok(());
    }
    Err(KeepError::Taken { path: trash.to_owned(), offer: None })
}

/// Writes a record as a whole, durably, replacing an older one.
pub(crate) fn write(record: &Record) -> Result<(), KeepError> {
    let path = file(&record.trash_path);
    let dir = path.parent().unwrap_or(Path::new("/"));
    let partial = dir.join(format!(".record.{}", Uuid::now_v7().simple()));
    let mut text = serde_json::to_vec_pretty(record).map_err(|e| KeepError::io("write", &path)(e.into()))?;
    text.push(b'\n');
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .and_then(|mut f| f.write_all(&text).and_then(|()| f.sync_all()))
        .and_then(|()| fs::rename(&partial, &path));
    if written.is_err() {
        // Nothing reads this name.
        let _ = fs::remove_file(&partial);
    }
    written.map_err(KeepError::io("write", &path))?;
    sync_dir(dir)
}

/// Reads the record of a place in the trash, and checks that it is this place's.
pub(super) fn read(trash_path: &Path) -> Result<Option<Record>, KeepError> {
    let path = file(trash_path);
    let bad = |why: String| KeepError::BadRecord { path: path.clone(), why };
    let named = trash_path.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse::<Uuid>().ok());
    let Some(named) = named else { return Err(bad("the trash holds nothing with such a name".to_owned())) };
    let dir = trash_path.parent().unwrap_or(Path::new("/"));
    if dir.file_name().is_none_or(|n| n != DIRECTORY) || !trash_path.is_absolute() {
        return Err(bad(format!("{} is no trash of wharf", dir.display())));
    }
    match dir.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        _ => check_trash(dir)?,
    }
    let opened =
        OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC).open(&path);
    let mut text = String::new();
    match opened {
        Ok(opened) => drop(opened.take(MAX_BYTES).read_to_string(&mut text).map_err(|e| bad(e.to_string()))?),
        Err(e) if e.kind() == ErrorKind::NotFound => match copied(trash_path, named) {
            Some(copy) => text = copy,
            None => return Ok(None),
        },
        Err(e) => return Err(bad(e.to_string())),
    }
    let mut record: Record = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    if record.version != VERSION {
        return Err(bad(format!("format {} was written by a newer wharf", record.version)));
    }
    if record.id != named {
        return Err(bad(format!("it is of {}", record.id)));
    }
    // Where the parent is mounted or named otherwise by now, it is the same trash.
    trash_path.clone_into(&mut record.trash_path);
    Ok(Some(record))
}

/// A copy of the record lies with the worktree's entry, where no clean-up of the project's ignored files reaches it.
const COPY: &str = "wharf-record.json";

/// Writes the copy.
pub(super) fn copy_to(parked: &Path, record: &Record) -> Result<(), KeepError> {
    let path = parked.join(COPY);
    let text = serde_json::to_vec_pretty(record).map_err(|e| KeepError::io("write", &path)(e.into()))?;
    fs::write(&path, text).map_err(KeepError::io("write", &path))
}

/// Removes the copy: the entry is about to be git's again.
pub(crate) fn remove_copy(parked: &Path) -> Result<(), KeepError> {
    let path = parked.join(COPY);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(KeepError::io("remove", &path)(e)),
        _ => Ok(()),
    }
}

/// The copy, by way of the directory's own `.git`.
fn copied(trash_path: &Path, id: Uuid) -> Option<String> {
    let text = fs::read(trash_path.join(".git")).ok()?;
    let named = text.strip_prefix(b"gitdir: ")?.strip_suffix(b"\n")?;
    let parked = Path::new(OsStr::from_bytes(named));
    if !parked.is_absolute() || !parked.ends_with(format!("wharf/trash/{id}")) {
        return None;
    }
    fs::read_to_string(parked.join(COPY)).ok()
}

/// Removes a record: what it stands for is gone from the trash.
pub(crate) fn remove(trash_path: &Path) -> Result<(), KeepError> {
    let path = file(trash_path);
    match fs::remove_file(&path) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(KeepError::io("remove", &path)(e)),
    }
    match path.parent() {
        Some(dir) => sync_dir(dir),
        None => Ok(()),
    }
}
