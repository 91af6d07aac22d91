//! Asking the store: short reads on a connection of their own, each of one moment.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rusqlite::Connection;

use crate::StoreError;
use crate::open::{Access, READ_LIMIT_MS, Store};

/// Instructions of SQLite's machine between two looks at the clock.
const STEPS_PER_LOOK: i32 = 2_000;

/// Reads the store and changes nothing. Not to be shared between threads: open one for each.
pub struct Reader {
    path: PathBuf,
    conn: Connection,
    born: Instant,
    /// Milliseconds after `born` at which the read under way is stopped.
    stop_at: Arc<AtomicU64>,
}

impl Reader {
    /// Directory that the store lies in.
    pub fn dir(&self) -> Option<&Path> {
        self.path.parent()
    }

    /// Opens a store that another process, or another thread, writes.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::new(Store::open(dir, Access::ReadOnly)?)
    }

    fn new(store: Store) -> Result<Self, StoreError> {
        let Store { path, conn, .. } = store;
        conn.set_prepared_statement_cache_capacity(128);
        let born = Instant::now();
        let stop_at = Arc::new(AtomicU64::new(u64::MAX));
        let limit = Arc::clone(&stop_at);
        let late = move || born.elapsed().as_millis() as u64 > limit.load(Ordering::Relaxed);
        conn.progress_handler(STEPS_PER_LOOK, Some(late)).map_err(|e| StoreError::sqlite(&path, e))?;
        Ok(Self { path, conn, born, stop_at })
    }

    /// Runs a read in one transaction of at most 100 ms.
    pub(crate) fn read<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.stop_at.store(self.born.elapsed().as_millis() as u64 + READ_LIMIT_MS, Ordering::Relaxed);
        let result = self.conn.execute_batch("BEGIN").and_then(|()| ask(&self.conn));
        // The end of the transaction must not be stopped as well.
        self.stop_at.store(u64::MAX, Ordering::Relaxed);
        if !self.conn.is_autocommit() {
            self.conn.execute_batch("ROLLBACK").map_err(|e| StoreError::sqlite(&self.path, e))?;
        }
        result.map_err(|e| StoreError::sqlite(&self.path, e))
    }

    /// A number that changes whenever another connection has committed.
    pub fn data_version(&self) -> Result<i64, StoreError> {
        self.conn.query_row("PRAGMA data_version", [], |row| row.get(0)).map_err(|e| StoreError::sqlite(&self.path, e))
    }

    /// The schema's version.
    pub fn schema(&self) -> Result<i64, StoreError> {
        self.conn.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(|e| StoreError::sqlite(&self.path, e))
    }

    /// The connection, for tests that ask about plans.
    #[cfg(test)]
    pub(crate) fn connection(&self) -> &Connection {
        &self.conn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_test::make;

    #[test]
    fn a_read_that_takes_too_long_is_stopped_and_the_next_one_works() {
        let (dir, _writer, _) = make::store();
        let reader = Reader::open(dir.path()).unwrap();
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let begun = Instant::now();
        let error = reader.read(|conn| conn.query_row(endless, [], |row| row.get::<_, i64>(0))).unwrap_err();
        assert!(matches!(error, StoreError::TooSlow { .. }), "{error}");
        assert!(begun.elapsed().as_millis() < 2_000);
        let one: i64 = reader.read(|conn| conn.query_row("SELECT 1", [], |row| row.get(0))).unwrap();
        assert_eq!(one, 1);
    }

    #[test]
    fn a_reader_cannot_write() {
        let (dir, _writer, _) = make::store();
        let reader = Reader::open(dir.path()).unwrap();
        let error = reader.read(|conn| conn.execute("DELETE FROM meta", [])).unwrap_err();
        assert_eq!(error.code(), "store_read_only");
    }
}
