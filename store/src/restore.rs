//! Putting a backup back: looked through first, the present store kept aside, never a moment with half of each.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use wharf_model::UnixMillis;

use crate::migrate::SCHEMA;
use crate::open::{Access, Store, meta, schema};
use crate::{StoreError, backup, directory, point, quarantine};

/// Who restores, when, and what is known beside the files.
#[derive(Debug, Clone)]
pub struct Restoring<'a> {
    /// Name of the operator, for the audit trail.
    pub actor: &'a str,
    /// Now.
    pub now: UnixMillis,
    /// An epoch that somebody is known to have reigned in, 0 when none is: shims obey no lower one.
    pub epoch: i64,
}

/// What was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The backup.
    pub from: PathBuf,
    /// Schema of the backup; an older one is raised by the next start.
    pub schema: i64,
    /// Runs in it.
    pub runs: i64,
    /// Moment of the newest entry in its audit trail.
    pub newest: Option<UnixMillis>,
    /// Where the store that was replaced lies now; none when there was none.
    pub aside: Option<PathBuf>,
    /// Runs that only the replaced store knows; none when it could not be read.
    pub runs_lost: Option<i64>,
}

/// Replaces the store of a data directory by a backup. Only for the holder of the orchestrator's lock.
///
/// Numbers that were given out since the backup are not given out again, and the epoch does not fall, as far as the
/// replaced store can still say. If it is interrupted, the store is either the old one, or gone and refused until it
/// is called again.
///
/// # Errors
/// A file that is no whole backup, or a newer one, is refused before anything is touched.
pub fn restore(dir: &Path, file: &Path, with: &Restoring<'_>) -> Result<Restored, StoreError> {
    directory::make(dir)?;
    directory::check(dir)?;
    directory::check_writable(dir)?;
    if let Err(newer @ StoreError::Newer { .. }) = directory::version(dir) {
        return Err(newer);
    }
    let database = directory::database(dir);
    let (source, found) = open_backup(file, &database)?;
    let made = dir.join("wharf.db.restored");
    backup::copy(&source, &made)?;
    drop(source);
    let replaced = Replaced::read(dir);
    let restored = prepare(&made, file, found, &replaced, with).inspect_err(|_| {
        // Nothing was replaced; the copy would only be in the way.
        let _ = fs::remove_file(&made);
    })?;
    let aside = set_aside(dir)?;
    point::pass("store.set_aside");
    let swap = || -> io::Result<()> {
        fs::rename(&made, &database)?;
        File::open(dir)?.sync_all()
    };
    swap().map_err(|e| StoreError::io(&database, "cannot be put back", e))?;
    directory::write_version(dir)?;
    point::pass("store.restored");
    Ok(Restored { aside, ..restored })
}

/// Whether a file may be a backup that this program can put back into a data directory. Touches nothing; that it is
/// whole is only known once it was copied.
///
/// # Errors
/// What [`restore`] would say of the file.
pub fn examine_backup(dir: &Path, file: &Path) -> Result<(), StoreError> {
    open_backup(file, &directory::database(dir)).map(drop)
}

fn open_backup(file: &Path, database: &Path) -> Result<(Connection, i64), StoreError> {
    check_file(file, database)?;
    let source = open_source(file)?;
    let found = schema(file, &source)?;
    match found {
        0 => return Err(StoreError::Damaged { path: file.to_owned(), cause: "it is an empty database".into() }),
        found if found > SCHEMA => {
            return Err(StoreError::Newer { path: file.to_owned(), found, known: SCHEMA });
        }
        _ => {}
    }
    meta(file, &source, "epoch")?;
    Ok((source, found))
}

/// Refuses what is no backup before SQLite opens it.
fn check_file(file: &Path, database: &Path) -> Result<(), StoreError> {
    let meta = fs::metadata(file).map_err(|e| StoreError::io(file, "cannot be looked at", e))?;
    let refuse = |cause: &str| Err(StoreError::Refused { path: file.to_owned(), cause: cause.to_owned() });
    if !meta.is_file() {
        return refuse("this is no file; name a backup");
    }
    if fs::metadata(database).is_ok_and(|d| (d.dev(), d.ino()) == (meta.dev(), meta.ino())) {
        return refuse("this is the store itself; name a backup");
    }
    let mut head = [0u8; 16];
    let read = File::open(file).and_then(|mut f| f.read_exact(&mut head));
    match read {
        Ok(()) if &head == b"SQLite format 3\0" => Ok(()),
        Ok(()) => Err(StoreError::Damaged {
            path: file.to_owned(),
            cause: "its first bytes are not those of a database".into(),
        }),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            Err(StoreError::Damaged { path: file.to_owned(), cause: format!("only {} bytes are left", meta.len()) })
        }
        Err(e) => Err(StoreError::io(file, "cannot be read", e)),
    }
}

fn open_source(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(file, flags).map_err(|e| StoreError::sqlite(file, e))
}

/// What the store that is replaced can still say.
#[derive(Debug, Default)]
struct Replaced {
    epoch: i64,
    counters: Vec<(String, i64)>,
    /// Project, and the last number of its issues.
    issues: Vec<(String, i64)>,
    runs: Option<Vec<String>>,
}

impl Replaced {
    fn read(dir: &Path) -> Self {
        let Ok(store) = Store::open(dir, Access::ReadOnly) else { return Self::default() };
        let pairs = |sql: &str| -> rusqlite::Result<Vec<(String, i64)>> {
            store.conn.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        let runs = || -> rusqlite::Result<Vec<String>> {
            store.conn.prepare("SELECT id FROM runs")?.query_map([], |row| row.get(0))?.collect()
        };
        Self {
            epoch: meta(&store.path, &store.conn, "epoch").unwrap_or(0),
            counters: pairs("SELECT name, value FROM counters").unwrap_or_default(),
            issues: pairs("SELECT id, issue_counter FROM projects").unwrap_or_default(),
            runs: runs().ok(),
        }
    }
}

/// Makes the copy the successor of what it replaces.
fn prepare(
    made: &Path,
    file: &Path,
    found: i64,
    replaced: &Replaced,
    with: &Restoring<'_>,
) -> Result<Restored, StoreError> {
    let change = || -> rusqlite::Result<Restored> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(made, flags)?;
        let newest: Option<i64> = conn.query_row("SELECT max(created_at) FROM activity", [], |row| row.get(0))?;
        let runs: i64 = conn.query_row("SELECT count(*) FROM runs", [], |row| row.get(0))?;
        let tx = conn.transaction()?;
        tx.execute("UPDATE meta SET value = max(value, ?1, ?2) WHERE key = 'epoch'", [replaced.epoch, with.epoch])?;
        // It was just looked through: the next start need not.
        tx.execute(
            "INSERT INTO meta (key, value) SELECT 'clean_epoch', value FROM meta WHERE key = 'epoch' \
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [],
        )?;
        for (name, value) in &replaced.counters {
            tx.execute(
                "INSERT INTO counters (name, value) VALUES (?1, ?2) \
                 ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
                (name, value),
            )?;
        }
        for (project, value) in &replaced.issues {
            tx.execute(
                "UPDATE projects SET issue_counter = ?2, version = version + 1 WHERE id = ?1 AND issue_counter < ?2",
                (project, value),
            )?;
        }
        let mut lost = None;
        if let Some(ids) = &replaced.runs {
            let mut known = tx.prepare("SELECT count(*) FROM runs WHERE id = ?1")?;
            let mut missing = 0;
            for id in ids {
                missing += i64::from(known.query_row([id], |row| row.get::<_, i64>(0))? == 0);
            }
            lost = Some(missing);
        }
        let details = json!({ "from": file.display().to_string(), "schema": found, "runs_lost": lost });
        quarantine::record(&tx, with.actor, "store.restored", details, with.now)?;
        tx.commit()?;
        Ok(Restored {
            from: file.to_owned(),
            schema: found,
            runs,
            newest: newest.map(UnixMillis),
            aside: None,
            runs_lost: lost,
        })
    };
    change().map_err(|e| StoreError::sqlite(made, e))
}

/// Moves the present store aside. The database goes first: without it nothing is opened, and nothing made anew.
fn set_aside(dir: &Path) -> Result<Option<PathBuf>, StoreError> {
    let database = directory::database(dir);
    let files = [database, directory::journal(dir), dir.join("wharf.db-shm"), dir.join("SUSPECT")];
    if !files.iter().any(|f| f.symlink_metadata().is_ok()) {
        return Ok(None);
    }
    // From here on a missing database is one that is gone, not one that was never there.
    directory::write_version(dir)?;
    let aside = quarantine::begin(dir, "restored-over")?;
    for file in &files {
        quarantine::put(&aside, file)?;
    }
    Ok(Some(aside))
}
