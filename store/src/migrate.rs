//! The schema and its versions. Only the holder of the orchestrator's lock raises it.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::Backup;
use rusqlite_migration::{M, Migrations};

use crate::StoreError;

const ALL: &[M<'static>] =
    &[M::up(include_str!("migrations/0001_core.sql")), M::up(include_str!("migrations/0002_log_retention.sql"))];

/// The migrations, oldest first; never changed, only added to.
pub(crate) const MIGRATIONS: Migrations<'static> = Migrations::from_slice(ALL);

/// The schema this program writes.
pub(crate) const SCHEMA: i64 = ALL.len() as i64;

/// `PRAGMA application_id` of every store: the letters `whrf`.
pub(crate) const APPLICATION_ID: i64 = 0x7768_7266;

/// Pages that a backup copies between two looks at other writers.
const BACKUP_PAGES: i32 = 4096;

/// Raises an older schema to this program's. A store that held something is backed up first.
pub(crate) fn migrate(dir: &Path, path: &Path, conn: &mut Connection, found: i64) -> Result<(), StoreError> {
    if found == SCHEMA {
        return Ok(());
    }
    raise(dir, path, conn, found, &MIGRATIONS)
}

fn raise(
    dir: &Path,
    path: &Path,
    conn: &mut Connection,
    found: i64,
    migrations: &Migrations<'_>,
) -> Result<(), StoreError> {
    if found > 0 {
        backup(dir, conn, &format!("schema-{found}"))?;
    }
    migrations.to_latest(conn).map_err(|e| match e {
        rusqlite_migration::Error::RusqliteError { err, .. } => StoreError::sqlite(path, err),
        other => StoreError::Internal { path: path.to_owned(), cause: format!("cannot raise the schema: {other}") },
    })
}

/// Copies the store as it stands into `backups/`, durably; gives the copy's path.
pub(crate) fn backup(dir: &Path, conn: &Connection, why: &str) -> Result<PathBuf, StoreError> {
    let backups = dir.join("backups");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&backups)
        .map_err(|e| StoreError::io(&backups, "cannot be made", e))?;
    let now = chrono::Utc::now().format("%Y%m%dT%H%M%S%.3fZ");
    let path = backups.join(format!("wharf-{now}-{why}.db"));
    let made = path.with_extension("partial");
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&made)
        .map_err(|e| StoreError::io(&made, "cannot be made", e))?;
    let copy = || -> rusqlite::Result<()> {
        let mut to = Connection::open(&made)?;
        Backup::new(conn, &mut to)?.run_to_completion(BACKUP_PAGES, Duration::ZERO, None)?;
        // The copy is one whole file, without a journal beside it.
        to.pragma_update(None, "journal_mode", "DELETE")
    };
    copy().map_err(|e| StoreError::sqlite(&made, e))?;
    let keep = || -> std::io::Result<()> {
        fs::File::open(&made)?.sync_all()?;
        fs::rename(&made, &path)?;
        fs::File::open(&backups)?.sync_all()
    };
    keep().map_err(|e| StoreError::io(&path, "cannot be kept", e))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn migrations_are_whole() {
        MIGRATIONS.validate().unwrap();
    }

    fn two_steps(second: &str) -> (tempfile::TempDir, Result<(), StoreError>, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wharf.db");
        let mut conn = Connection::open(&path).unwrap();
        let first = M::up("CREATE TABLE kept (n INTEGER) STRICT; INSERT INTO kept VALUES (41);");
        Migrations::new(vec![first.clone()]).to_latest(&mut conn).unwrap();
        let both = Migrations::new(vec![first, M::up(second)]);
        let result = raise(dir.path(), &path, &mut conn, 1, &both);
        (dir, result, conn)
    }

    fn only_backup(dir: &Path) -> Connection {
        let files: Vec<_> = fs::read_dir(dir.join("backups")).unwrap().map(|f| f.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(fs::metadata(&files[0]).unwrap().mode() & 0o7777, 0o600);
        Connection::open(&files[0]).unwrap()
    }

    fn kept(conn: &Connection) -> (i64, i64) {
        let n = conn.query_row("SELECT n FROM kept", [], |row| row.get(0)).unwrap();
        (n, conn.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap())
    }

    #[test]
    fn an_older_store_is_backed_up_and_raised() {
        let (dir, result, conn) = two_steps("UPDATE kept SET n = n + 1;");
        result.unwrap();
        assert_eq!(kept(&conn), (42, 2));
        assert_eq!(kept(&only_backup(dir.path())), (41, 1));
    }

    #[test]
    fn a_migration_that_fails_leaves_the_older_store() {
        let (dir, result, conn) = two_steps("UPDATE kept SET n = n + 1; INSERT INTO nowhere VALUES (1);");
        assert_eq!(result.unwrap_err().code(), "internal");
        assert_eq!(kept(&conn), (41, 1));
        assert_eq!(kept(&only_backup(dir.path())), (41, 1));
    }
}
