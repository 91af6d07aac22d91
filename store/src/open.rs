//! Opening a store: every check that can be made before SQLite touches a file comes first.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::migrate::{APPLICATION_ID, SCHEMA};
use crate::{StoreError, directory, first_bytes, migrate};

/// Longest a read transaction may take, in milliseconds.
pub(crate) const READ_LIMIT_MS: u64 = 100;
/// How long a connection waits for another one's lock.
pub(crate) const BUSY: Duration = Duration::from_secs(5);
/// Pause between two tries to take the write lock: others hold it for about one sync.
const RETRY: Duration = Duration::from_micros(250);
/// The WAL is never truncated below this: room to go on when the disk is full.
const JOURNAL_LIMIT_BYTES: i64 = 8 << 20;
/// Pages in the WAL after which a commit copies them back: about 4 MiB.
const CHECKPOINT_PAGES: i64 = 1000;
/// First SQLite without known defects that lose or damage what a WAL holds.
const SQLITE_NEEDED: i32 = 3_051_003;

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Make it when it is not there, raise its schema, write. Only for the holder of the orchestrator's lock.
    Create,
    /// Read what another process writes; nothing is made.
    ReadOnly,
}

/// A store that passed every check of its place and its files.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) conn: Connection,
    access: Access,
}

impl Store {
    /// Opens the store in a data directory.
    ///
    /// # Errors
    /// See [`StoreError`]; a store that is newer or damaged is left exactly as it was found.
    pub fn open(dir: &Path, access: Access) -> Result<Self, StoreError> {
        if access == Access::Create {
            directory::make(dir)?;
        }
        directory::check(dir)?;
        if rusqlite::version_number() < SQLITE_NEEDED {
            return Err(StoreError::Internal {
                path: dir.to_owned(),
                cause: format!("SQLite {} is older than {SQLITE_NEEDED}", rusqlite::version()),
            });
        }
        match access {
            Access::Create => Self::open_for_writing(dir),
            Access::ReadOnly => Self::open_for_reading(dir),
        }
    }

    fn open_for_writing(dir: &Path) -> Result<Self, StoreError> {
        directory::check_writable(dir)?;
        let has_version = directory::version(dir)?;
        let path = directory::database(dir);
        let size = size(&path)?;
        match size {
            Some(1..) => look(dir, &path)?,
            _ if has_version => return Err(gone(&path, size)),
            _ if self::size(&directory::journal(dir))?.is_some_and(|n| n > 0) => return Err(gone(&path, size)),
            Some(_) => {}
            None => make_empty(&path)?,
        }
        directory::close_to_others(&path, 0o600)?;
        let fail = |e| StoreError::sqlite(&path, e);
        let mut conn = Connection::open_with_flags(&path, flags(true)).map_err(fail)?;
        conn.busy_handler(Some(try_again)).map_err(fail)?;
        keep_journal(&conn).map_err(fail)?;
        let found = schema(&path, &conn)?;
        if found > SCHEMA {
            return Err(StoreError::Newer { path, found, known: SCHEMA });
        }
        if found > 0 {
            check_journal(dir, &path, &conn)?;
        }
        prepare(&conn).map_err(fail)?;
        migrate::migrate(dir, &path, &mut conn, found)?;
        check_whole(&path, &conn)?;
        reserve(dir, &path, &conn)?;
        // What the journal alone holds would go with it; from here on it holds only what is new.
        checkpoint(&conn).map_err(fail)?;
        if !has_version {
            directory::write_version(dir)?;
        }
        Ok(Self { dir: dir.to_owned(), path, conn, access: Access::Create })
    }

    fn open_for_reading(dir: &Path) -> Result<Self, StoreError> {
        let has_version = directory::version(dir)?;
        let path = directory::database(dir);
        match size(&path)? {
            Some(1..) => look(dir, &path)?,
            size if has_version => return Err(gone(&path, size)),
            _ => return Err(StoreError::Missing { path: dir.to_owned() }),
        }
        let fail = |e| StoreError::sqlite(&path, e);
        let conn = Connection::open_with_flags(&path, flags(false)).map_err(fail)?;
        conn.busy_timeout(BUSY).map_err(fail)?;
        conn.pragma_update(None, "query_only", true).map_err(fail)?;
        check_readable(&path, &conn)?;
        Ok(Self { dir: dir.to_owned(), path, conn, access: Access::ReadOnly })
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it was opened for.
    pub const fn access(&self) -> Access {
        self.access
    }

    /// Looks through the whole database for damage. Takes seconds on a large one: for the background.
    pub fn quick_check(&self) -> Result<(), StoreError> {
        let found: String = self
            .conn
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|e| StoreError::sqlite(&self.path, e))?;
        if found == "ok" { Ok(()) } else { Err(StoreError::Damaged { path: self.path.clone(), cause: found }) }
    }

    /// Copies the store into `backups/`; gives the copy's path.
    pub fn backup(&self, why: &str) -> Result<PathBuf, StoreError> {
        migrate::backup(&self.dir, &self.conn, why)
    }
}

/// A connection of another process than the orchestrator's, which adds request rows.
pub(crate) fn open_for_requests(dir: &Path) -> Result<(PathBuf, Connection), StoreError> {
    let store = Store::open(dir, Access::ReadOnly)?;
    let path = store.path.clone();
    let fail = |e| StoreError::sqlite(&path, e);
    let conn = Connection::open_with_flags(&path, flags(true)).map_err(fail)?;
    conn.busy_handler(Some(try_again)).map_err(fail)?;
    keep_journal(&conn).map_err(fail)?;
    let found = schema(&path, &conn)?;
    match found {
        SCHEMA => {}
        found if found > SCHEMA => return Err(StoreError::Newer { path, found, known: SCHEMA }),
        found => return Err(StoreError::Older { path, found, known: SCHEMA }),
    }
    prepare(&conn).map_err(fail)?;
    Ok((path, conn))
}

/// Waits a moment for another connection's lock, for [`BUSY`] in all. SQLite's own pauses grow to a tenth
/// of a second, in which a busy orchestrator takes the lock again and again.
fn try_again(tries: i32) -> bool {
    std::thread::sleep(RETRY);
    RETRY * u32::try_from(tries).unwrap_or(u32::MAX) < BUSY
}

fn flags(write: bool) -> OpenFlags {
    // No URI: a path is taken as it is, whatever characters it has.
    OpenFlags::SQLITE_OPEN_NO_MUTEX
        | if write { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY }
}

/// Closing leaves the WAL as it is: the file keeps its identity for those who watch it, and its room.
fn keep_journal(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(|_| ())
}

fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(rusqlite::Error::InvalidParameterName(format!("journal_mode is {mode:?}, not WAL")));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    conn.pragma_update(None, "journal_size_limit", JOURNAL_LIMIT_BYTES)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.set_prepared_statement_cache_capacity(256);
    Ok(())
}

/// The schema's version, and that the database is one of ours at all; 0 = empty.
fn schema(path: &Path, conn: &Connection) -> Result<i64, StoreError> {
    let one = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|e| StoreError::sqlite(path, e));
    let (version, tables) = (one("PRAGMA user_version")?, one("SELECT count(*) FROM sqlite_schema")?);
    if version == 0 && tables == 0 {
        return Ok(0);
    }
    let application = one("PRAGMA application_id")?;
    if application != APPLICATION_ID || version <= 0 {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            cause: format!("this is a database of another program (application {application:#x}, version {version})"),
        });
    }
    Ok(version)
}

/// Whether this program understands the schema it only reads.
fn check_readable(path: &Path, conn: &Connection) -> Result<(), StoreError> {
    let found = schema(path, conn)?;
    match found {
        0 => Err(StoreError::Missing { path: path.to_owned() }),
        SCHEMA => Ok(()),
        found if found < SCHEMA => Err(StoreError::Older { path: path.to_owned(), found, known: SCHEMA }),
        found => match meta(path, conn, "min_reader")? {
            needed if needed <= SCHEMA => Ok(()),
            _ => Err(StoreError::Newer { path: path.to_owned(), found, known: SCHEMA }),
        },
    }
}

/// A number of the table `meta`.
pub(crate) fn meta(path: &Path, conn: &Connection, key: &str) -> Result<i64, StoreError> {
    conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")
        .and_then(|mut s| s.query_row([key], |row| row.get(0)))
        .map_err(|e| match e {
            rusqlite::Error::QueryReturnedNoRows => {
                StoreError::Damaged { path: path.to_owned(), cause: format!("meta has no {key}") }
            }
            e => StoreError::sqlite(path, e),
        })
}

/// Copies committed pages from the journal back into the database, as far as readers let it.
pub(crate) fn checkpoint(conn: &Connection) -> rusqlite::Result<()> {
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// Refuses a journal that another store left here: its pages would be written over ours.
fn check_journal(dir: &Path, path: &Path, conn: &Connection) -> Result<(), StoreError> {
    let journal = directory::journal(dir);
    if size(&journal)?.is_none_or(|n| n == 0) {
        return Ok(());
    }
    let id = |conn: &Connection| -> rusqlite::Result<String> {
        conn.query_row("SELECT value FROM meta WHERE key = 'store_id'", [], |row| row.get(0))
    };
    // The database as it is without the journal. After a crash it may not be readable alone: that says nothing.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let Ok(alone) = Connection::open_with_flags(uri_without_journal(path), flags).and_then(|c| id(&c)) else {
        return Ok(());
    };
    let together = id(conn).map_err(|e| match e {
        rusqlite::Error::QueryReturnedNoRows => {
            StoreError::Damaged { path: path.to_owned(), cause: "meta has no store_id".into() }
        }
        e => StoreError::sqlite(path, e),
    })?;
    if alone == together {
        return Ok(());
    }
    Err(StoreError::Damaged { path: journal, cause: "this journal belongs to another store".into() })
}

fn uri_without_journal(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_') {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri.push_str("?immutable=1");
    uri
}

fn check_whole(path: &Path, conn: &Connection) -> Result<(), StoreError> {
    meta(path, conn, "epoch")?;
    meta(path, conn, "min_reader").map(|_| ())
}

fn size(path: &Path) -> Result<Option<u64>, StoreError> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => Ok(Some(meta.len())),
        Ok(_) => Err(StoreError::Damaged { path: path.to_owned(), cause: "this is no file".into() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(StoreError::io(path, "cannot be looked at", e)),
    }
}

fn gone(path: &Path, size: Option<u64>) -> StoreError {
    let cause = if size.is_some() { "the database is empty" } else { "the database is gone" };
    StoreError::Damaged { path: path.to_owned(), cause: format!("{cause}, though other files of the store are there") }
}

fn make_empty(path: &Path) -> Result<(), StoreError> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map(|_| ())
        .map_err(|e| StoreError::io(path, "cannot be made", e))
}

/// Looks at the first bytes of the database, before SQLite may change anything.
fn look(dir: &Path, path: &Path) -> Result<(), StoreError> {
    let mut head = [0u8; 100];
    let damaged = |cause: String| Err(StoreError::Damaged { path: path.to_owned(), cause });
    let length = match first_bytes::read(path, &mut head) {
        Ok(length) => length,
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            let length = size(path)?.unwrap_or(0);
            return damaged(format!("only {length} bytes are left"));
        }
        Err(e) => return Err(StoreError::io(path, "cannot be read", e)),
    };
    if &head[..16] != b"SQLite format 3\0" {
        return damaged("its first bytes are not those of a database".into());
    }
    let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let page = match u16::from_be_bytes([head[16], head[17]]) {
        1 => 65_536,
        n if n.is_power_of_two() && n >= 512 => u64::from(n),
        n => return damaged(format!("{n} is no size of a page")),
    };
    // A WAL that holds something may hold the missing pages: SQLite puts them back.
    let journalled = size(&directory::journal(dir))?.is_some_and(|n| n > 0);
    let expected = u64::from(number(28)) * page;
    if number(24) == number(92) && length < expected && !journalled {
        return damaged(format!("{length} of {expected} bytes are left"));
    }
    Ok(())
}

/// Makes room for the WAL ahead of need, so that work can go on for a while on a full disk.
fn reserve(dir: &Path, path: &Path, conn: &Connection) -> Result<(), StoreError> {
    // The journal exists only once something was written through this connection or an earlier one.
    conn.execute("UPDATE meta SET value = value WHERE key = 'epoch'", []).map_err(|e| StoreError::sqlite(path, e))?;
    let journal = directory::journal(dir);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(&journal)
        .map_err(|e| StoreError::io(&journal, "cannot be opened", e))?;
    // Bytes past the last frame are ignored: their checksums do not follow.
    match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, JOURNAL_LIMIT_BYTES as u64 / 2) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSPC) => Ok(()),
        Err(e) => Err(StoreError::io(&journal, "cannot be given room", e.into())),
    }
}
