//! Mending what can be mended without guessing, each time with a copy kept aside first. What cannot be mended is said
//! with the next step; a backup is put back by [`crate::restore`] only when somebody asks for it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::open::{Access, Store};
use crate::{Restoring, StoreError, backup, directory, journal, quarantine, suspect};

/// What was done, and what is left to the operator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was mended, one line each.
    pub done: Vec<String>,
    /// What was not, each with the next step.
    pub left: Vec<String>,
}

/// Mends the store of a data directory as far as that loses nothing but what is lost already. Only for the holder of
/// the orchestrator's lock.
///
/// # Errors
/// What the file system says while a copy is kept aside: then nothing was mended after it.
pub fn repair(dir: &Path, with: &Restoring<'_>) -> Result<Repaired, StoreError> {
    let mut report = Repaired::default();
    rights(dir, &mut report)?;
    leftovers(dir, &mut report)?;
    let any = directory::database(dir).exists() || directory::journal(dir).exists();
    if any {
        // First: whoever opens the store makes the index anew that shows what is missing.
        broken_journal(dir, &mut report)?;
    }
    version(dir, &mut report)?;
    if any {
        foreign_journal(dir, &mut report)?;
        damaged(dir, &mut report)?;
    }
    // Whatever still keeps it from being opened is said, instead of that nothing needed to be mended.
    if report.left.is_empty()
        && let Err(StoreError::Damaged { path, cause }) = examine(dir)
    {
        report.left.push(format!("{}: {cause}; {}", path.display(), restore_words(dir)));
    }
    if !report.done.is_empty()
        && let Ok(conn) = open(dir)
    {
        let details = json!({ "done": report.done, "finding": null });
        // Where the trail cannot be written, the report is still told.
        let _ = quarantine::record(&conn, with.actor, "store.repaired", details, with.now);
    }
    Ok(report)
}

fn open(dir: &Path) -> Result<Connection, StoreError> {
    let path = directory::database(dir);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(&path, flags).map_err(|e| StoreError::sqlite(&path, e))?;
    crate::open::keep_journal(&conn).map_err(|e| StoreError::sqlite(&path, e))?;
    Ok(conn)
}

fn files(dir: &Path) -> [PathBuf; 3] {
    [directory::database(dir), directory::journal(dir), dir.join("wharf.db-shm")]
}

/// Takes rights of others away. They say nothing of who used them.
fn rights(dir: &Path, report: &mut Repaired) -> Result<(), StoreError> {
    let mut close = |path: &Path, mode: u32| -> Result<(), StoreError> {
        let Ok(meta) = fs::symlink_metadata(path) else { return Ok(()) };
        let found = meta.permissions().mode() & 0o7777;
        if meta.is_symlink() || found & directory::OTHERS == 0 {
            return Ok(());
        }
        fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(|e| StoreError::io(path, "cannot take rights of others away", e))?;
        report.done.push(format!("{}: rights of others taken away (mode {found:o} → {mode:o})", path.display()));
        Ok(())
    };
    close(dir, 0o700)?;
    for path in files(dir).iter().chain(&[dir.join("VERSION"), dir.join("orchestrator.lock")]) {
        close(path, 0o600)?;
    }
    for name in ["backups", "quarantine", "runs", "services", "operations", "live", "log", "cache"] {
        close(&dir.join(name), 0o700)?;
    }
    for kept in backup::backups(dir) {
        close(&kept.path, 0o600)?;
    }
    Ok(())
}

/// Files that were being made when somebody was interrupted.
pub fn unfinished(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        ["VERSION.new", "wharf.db.restored", "wharf.db.restored.partial"].map(|n| dir.join(n)).to_vec();
    found.retain(|p| p.symlink_metadata().is_ok());
    let entries = fs::read_dir(directory::backups(dir)).into_iter().flatten().flatten();
    found.extend(entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "partial")));
    found
}

fn leftovers(dir: &Path, report: &mut Repaired) -> Result<(), StoreError> {
    let found = unfinished(dir);
    if found.is_empty() {
        return Ok(());
    }
    let aside = quarantine::begin(dir, "unfinished")?;
    for path in found {
        quarantine::put(&aside, &path)?;
        report.done.push(format!("{}: half-made file put into {}", path.display(), aside.display()));
    }
    Ok(())
}

/// Writes VERSION anew where the database beside it is one of ours.
fn version(dir: &Path, report: &mut Repaired) -> Result<(), StoreError> {
    match directory::version(dir) {
        Err(StoreError::Damaged { path, cause }) => {
            let database = directory::database(dir);
            let ours = open(dir).and_then(|conn| crate::open::schema(&database, &conn));
            if !ours.is_ok_and(|found| found > 0) {
                report.left.push(format!("{}: {cause}, and the database beside it does not open", path.display()));
                return Ok(());
            }
            let aside = quarantine::begin(dir, "version")?;
            quarantine::copy(&aside, &path)?;
            directory::write_version(dir)?;
            report.done.push(format!("{}: written anew; what it was is in {}", path.display(), aside.display()));
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(other) => Err(other),
    }
}

/// Puts another store's journal aside: its pages would be written over ours.
fn foreign_journal(dir: &Path, report: &mut Repaired) -> Result<(), StoreError> {
    let [database, journal, index] = files(dir);
    let Ok(conn) = open(dir) else { return Ok(()) };
    if crate::open::check_journal(dir, &database, &conn).is_ok() {
        return Ok(());
    }
    drop(conn);
    let aside = quarantine::begin(dir, "foreign-journal")?;
    quarantine::put(&aside, &journal)?;
    quarantine::put(&aside, &index)?;
    report.done.push(format!("{}: another store's journal put into {}", journal.display(), aside.display()));
    Ok(())
}

/// Goes on with what can be read of a broken journal: the commits up to the damage.
fn broken_journal(dir: &Path, report: &mut Repaired) -> Result<(), StoreError> {
    let [database, journal, index] = files(dir);
    let Some(cause) = journal::broken(dir)? else { return Ok(()) };
    let aside = quarantine::begin(dir, "broken-journal")?;
    for file in [&database, &journal, &index] {
        quarantine::copy(&aside, file)?;
    }
    // The index still counts what is gone; a new one counts what is there.
    quarantine::put(&aside, &index)?;
    let whole = open(dir).and_then(|conn| {
        let found = integrity(&database, &conn)?;
        if found.is_empty() {
            let all = "PRAGMA wal_checkpoint(TRUNCATE)";
            conn.query_row(all, [], |_| Ok(())).map_err(|e| StoreError::sqlite(&database, e))?;
        }
        Ok(found)
    });
    match whole {
        Ok(found) if found.is_empty() => report.done.push(format!(
            "{}: {cause}; the store goes on from the last commit before that, as it was is in {}",
            journal.display(),
            aside.display()
        )),
        _ => {
            // As it was found, evidence included.
            let found = aside.join("wharf.db-shm");
            let _ = fs::copy(found, &index);
            report.left.push(format!("{}: {cause}; {}", journal.display(), restore_words(dir)));
        }
    }
    Ok(())
}

/// Looks through the database; indexes can be made anew from their tables, tables from nothing but a backup.
fn damaged(dir: &Path, report: &mut Repaired) -> Result<(), StoreError> {
    let database = directory::database(dir);
    if suspect::noted(dir).is_some() {
        suspect::forget_cached(dir);
    }
    let found = open(dir).and_then(|conn| Ok((integrity(&database, &conn)?, conn)));
    let (found, conn) = match found {
        Ok(found) => found,
        Err(error) => {
            let cause = match error {
                StoreError::Damaged { cause, .. } => cause,
                // That it is gone is said by whoever looks at the whole.
                _ if !database.exists() => return Ok(()),
                error => error.to_string().split("; ").next().unwrap_or_default().to_owned(),
            };
            report.left.push(format!("{}: {cause}; {}", database.display(), restore_words(dir)));
            return Ok(());
        }
    };
    if found.is_empty() {
        if suspect::noted(dir).is_some() {
            suspect::verify(dir, &database, &conn)?;
            report.done.push(format!("{}: read back from the disk after a lost sync, and whole", database.display()));
        }
        return Ok(());
    }
    let of_indexes = found.iter().all(|line| line.contains("index"));
    let first = found.first().cloned().unwrap_or_default();
    if !of_indexes {
        report.left.push(format!("{}: {first}; {}", database.display(), restore_words(dir)));
        return Ok(());
    }
    // Copying closes the file, and with it go the locks of a connection of this process.
    drop(conn);
    let aside = quarantine::begin(dir, "damaged-index")?;
    for file in files(dir) {
        quarantine::copy(&aside, &file)?;
    }
    let conn = open(dir)?;
    let mended = conn.execute_batch("REINDEX").map_err(|e| StoreError::sqlite(&database, e));
    match mended.and_then(|()| integrity(&database, &conn)) {
        Ok(left) if left.is_empty() => report.done.push(format!(
            "{}: {first}; indexes made anew from their tables, as it was is in {}",
            database.display(),
            aside.display()
        )),
        _ => report.left.push(format!("{}: {first}; {}", database.display(), restore_words(dir))),
    }
    Ok(())
}

/// What an integrity check says; nothing when all is whole.
fn integrity(path: &Path, conn: &Connection) -> Result<Vec<String>, StoreError> {
    let fail = |e| StoreError::sqlite(path, e);
    let mut query = conn.prepare("PRAGMA integrity_check(20)").map_err(fail)?;
    let lines = query.query_map([], |row| row.get::<_, String>(0)).map_err(fail)?;
    let lines: Vec<String> = lines.collect::<Result<_, _>>().map_err(fail)?;
    Ok(if lines == ["ok"] { Vec::new() } else { lines })
}

/// What to do where only a backup helps, with the newest one that is whole.
pub fn restore_words(dir: &Path) -> String {
    match newest_whole(dir) {
        Some(path) => format!("wharf restore {}", path.display()),
        None => format!(
            "there is no whole backup in {}; copy the directory away, then look at it with another tool",
            directory::backups(dir).display()
        ),
    }
}

/// The newest backup that can be read through.
fn newest_whole(dir: &Path) -> Option<PathBuf> {
    backup::backups(dir).into_iter().map(|b| b.path).find(|path| {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(path, flags)
            .map_err(|e| StoreError::sqlite(path, e))
            .and_then(|conn| integrity(path, &conn))
            .is_ok_and(|found| found.is_empty())
    })
}

/// Whether a store opens as it is, without changing it; the error says what is in the way.
pub fn examine(dir: &Path) -> Result<Store, StoreError> {
    let store = Store::open(dir, Access::ReadOnly)?;
    if let Some(cause) = journal::broken(dir)? {
        return Err(StoreError::Damaged { path: directory::journal(dir), cause });
    }
    crate::open::check_journal(dir, &store.path, &store.conn)?;
    if let Some(cause) = suspect::noted(dir) {
        return Err(StoreError::Suspect { path: store.path, cause });
    }
    Ok(store)
}
