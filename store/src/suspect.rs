//! A disk that failed to keep what was written: nothing more is acknowledged until the store was read back from it.
//!
//! After a sync has failed the kernel may call the lost pages clean, so that the next sync succeeds and the loss shows
//! only when the memory is gone. So a failed sync ends all writing; the next start drops what the kernel remembers of
//! the files, reads them from the disk, and writes only when all of it is whole.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ffi};

use crate::{StoreError, directory};

/// Longest note that is read.
const NOTE_LIMIT: usize = 1024;

fn path(dir: &Path) -> PathBuf {
    dir.join("SUSPECT")
}

/// Whether SQLite says that something may not have reached the disk.
pub(crate) fn is_lost_sync(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|e| e.extended_code);
    matches!(code, Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
}

/// Leaves a note for the next start. Where none can be left, that start knows by the missing end of the reign.
pub(crate) fn note(database: &Path, cause: &str) {
    let Some(dir) = database.parent() else { return };
    let write = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path(dir))?;
        writeln!(file, "{cause}")?;
        file.sync_all()
    };
    let _ = write();
}

/// What the last sync failed with, when the store was not looked through since.
pub(crate) fn noted(dir: &Path) -> Option<String> {
    let bytes = fs::read(path(dir)).ok()?;
    Some(String::from_utf8_lossy(&bytes[..bytes.len().min(NOTE_LIMIT)]).trim().to_owned())
}

/// Makes the kernel forget what it believes to be on the disk, before the files are read.
pub(crate) fn forget_cached(dir: &Path) {
    for file in [directory::database(dir), directory::journal(dir)] {
        let Ok(file) = crate::probe::file(&file) else { continue };
        // What is still to be written is not dropped; a file system that drops nothing is no worse than before.
        let _ = file.sync_all();
        let _ = rustix::fs::fadvise(&*file, 0, None, rustix::fs::Advice::DontNeed);
    }
}

/// Looks through all of the store, and takes the note away when it is whole.
pub(crate) fn verify(dir: &Path, database: &Path, conn: &Connection) -> Result<(), StoreError> {
    let found: String = conn
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|e| StoreError::sqlite(database, e))?;
    if found != "ok" {
        let cause = format!("the disk failed to keep what was written: {}", found.trim());
        return Err(StoreError::Damaged { path: database.to_owned(), cause });
    }
    let note = path(dir);
    fs::remove_file(&note).map_err(|e| StoreError::io(&note, "cannot be taken away", e))
}
