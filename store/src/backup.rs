//! Whole copies of the store: made from a living one, looked through, and kept in bounded numbers.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use crate::open::{Access, Store};
use crate::{StoreError, directory, point};

/// Backups that are kept of those that were asked for, and as many of those made by wharf itself.
const KEEP: usize = 10;
/// All pages at once: a copy in pieces begins anew whenever another connection commits.
const ALL_PAGES: i32 = i32::MAX;
/// Word in the name of a backup that somebody asked for.
pub(crate) const ASKED: &str = "asked";

/// A copy that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// A backup in `backups/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// Copies the store of a data directory durably, beside whoever writes it: into `backups/`, or to `to`, whose
/// file is then replaced.
///
/// # Errors
/// A store whose copy is not whole is [`StoreError::Damaged`]; what was there before stays.
pub fn backup(dir: &Path, to: Option<&Path>) -> Result<Copied, StoreError> {
    let store = Store::open(dir, Access::ReadOnly)?;
    let path = match to {
        Some(path) => {
            copy(&store.conn, path)?;
            path.to_owned()
        }
        None => keep(dir, &store.conn, ASKED)?,
    };
    point::pass("store.backup_made");
    let bytes = fs::metadata(&path).map_err(|e| StoreError::io(&path, "cannot be looked at", e))?.len();
    Ok(Copied { path, bytes })
}

/// The backups of a data directory, newest first.
pub fn backups(dir: &Path) -> Vec<Kept> {
    let entries = fs::read_dir(directory::backups(dir)).into_iter().flatten().flatten();
    let mut found: Vec<Kept> = entries
        .filter(|e| is_backup(&e.file_name().to_string_lossy()))
        .filter_map(|e| Some(Kept { bytes: e.metadata().ok().filter(fs::Metadata::is_file)?.len(), path: e.path() }))
        .collect();
    // Their names begin with the moment of their making.
    found.sort_by(|a, b| b.path.cmp(&a.path));
    found
}

fn is_backup(name: &str) -> bool {
    name.starts_with("wharf-") && Path::new(name).extension().is_some_and(|e| e == "db")
}

/// Copies into `backups/` and lets the oldest of its kind go.
pub(crate) fn keep(dir: &Path, conn: &Connection, why: &str) -> Result<PathBuf, StoreError> {
    let backups = directory::backups(dir);
    make_directory(&backups)?;
    let now = chrono::Utc::now().format("%Y%m%dT%H%M%S%.3fZ");
    let path = backups.join(format!("wharf-{now}-{why}.db"));
    copy(conn, &path)?;
    prune(dir, &path);
    Ok(path)
}

/// Makes a directory of ours and those above it.
pub(crate) fn make_directory(path: &Path) -> Result<(), StoreError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| StoreError::io(path, "cannot be made", e))
}

/// Copies what a connection sees into a file of its own, synced and looked through before it gets its name.
pub(crate) fn copy(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let made = partial(path);
    let result = copy_to(conn, &made).and_then(|()| {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let keep = || -> io::Result<()> {
            fs::File::open(&made)?.sync_all()?;
            fs::rename(&made, path)?;
            fs::File::open(parent)?.sync_all()
        };
        keep().map_err(|e| StoreError::io(path, "cannot be kept", e))
    });
    if result.is_err() {
        // Half a copy helps nobody; the first error is the one to tell.
        let _ = fs::remove_file(&made);
    }
    result
}

/// Name of a copy that is not whole yet.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

fn copy_to(conn: &Connection, made: &Path) -> Result<(), StoreError> {
    match fs::remove_file(made) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(StoreError::io(made, "cannot be made anew", e)),
    }
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(made)
        .map_err(|e| StoreError::io(made, "cannot be made", e))?;
    let copy = || -> rusqlite::Result<String> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut to = Connection::open_with_flags(made, flags)?;
        Backup::new(conn, &mut to)?.run_to_completion(ALL_PAGES, Duration::from_millis(5), None)?;
        // The copy is one whole file, without a journal beside it.
        to.pragma_update(None, "journal_mode", "DELETE")?;
        to.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
    };
    let found = copy().map_err(|e| StoreError::sqlite(made, e))?;
    if found == "ok" {
        return Ok(());
    }
    Err(StoreError::Damaged { path: made.to_owned(), cause: format!("its copy is not whole: {}", found.trim()) })
}

/// Lets the oldest backups go, of the same kind as the one just made.
fn prune(dir: &Path, made: &Path) {
    let asked = |path: &Path| path.to_string_lossy().ends_with(&format!("-{ASKED}.db"));
    let old = backups(dir).into_iter().filter(|b| asked(&b.path) == asked(made)).skip(KEEP);
    for backup in old {
        // One too many is no reason to fail: the next backup tries again.
        let _ = fs::remove_file(&backup.path);
    }
}
