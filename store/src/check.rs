//! Looking through the store for damage, beside those who use it.

use std::path::Path;

use rusqlite::OptionalExtension as _;
use serde_json::Value;

use crate::open::{Access, Store};
use crate::{Reader, StoreError};

/// Looks through all tables for damage, one after the other, each in a read of its own: pages are only kept from being
/// copied back while one table is read. `go_on` is asked before each; what was found is told in words, none when all
/// looked at is whole.
pub fn check(dir: &Path, go_on: impl Fn() -> bool) -> Result<Option<String>, StoreError> {
    let store = Store::open(dir, Access::ReadOnly)?;
    let fail = |e| StoreError::sqlite(&store.path, e);
    let tables: Vec<String> = store
        .conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .and_then(|mut q| q.query_map([], |row| row.get(0))?.collect())
        .map_err(fail)?;
    for table in tables {
        if !go_on() {
            return Ok(None);
        }
        let sql = format!("PRAGMA quick_check('{table}')");
        let found: Result<String, _> = store.conn.query_row(&sql, [], |row| row.get(0));
        match found.map_err(fail) {
            Ok(found) if found == "ok" => {}
            Ok(found) => return Ok(Some(format!("{table}: {}", found.trim().replace('\n', ", ")))),
            Err(StoreError::Damaged { cause, .. }) => return Ok(Some(format!("{table}: {cause}"))),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

impl Reader {
    /// The damage that the last look through the store has found, in words; none when it found none, or the store was
    /// mended or replaced since.
    pub fn store_finding(&self) -> Result<Option<String>, StoreError> {
        let sql = "SELECT details FROM activity WHERE action IN ('store.checked', 'store.repaired', 'store.restored') \
                   ORDER BY rowid DESC LIMIT 1";
        let details: Option<Option<String>> =
            self.read(|conn| conn.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional())?;
        let details = details.flatten().and_then(|d| serde_json::from_str::<Value>(&d).ok());
        Ok(details.and_then(|d| d["finding"].as_str().map(str::to_owned)))
    }
}
