//! Files that are put aside before something else takes their place: nothing an operator may want is thrown away.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params_from_iter};
use serde_json::Value;
use wharf_model::column::Row as _;
use wharf_model::{ActivityId, ActivityRow, ActorType, UnixMillis};

use crate::cell::{Bound, columns};
use crate::{StoreError, backup};

/// Where things of a data directory are put aside.
pub(crate) fn place(dir: &Path) -> PathBuf {
    dir.join("quarantine")
}

/// A new directory in quarantine, named after the moment and what it is for.
pub(crate) fn begin(dir: &Path, why: &str) -> Result<PathBuf, StoreError> {
    let now = chrono::Utc::now().format("%Y%m%dT%H%M%S%.3fZ");
    let aside = place(dir).join(format!("{now}-{why}"));
    backup::make_directory(&aside)?;
    Ok(aside)
}

/// Moves a file aside, durably; says whether it was there.
pub(crate) fn put(aside: &Path, file: &Path) -> Result<bool, StoreError> {
    let to = aside.join(file.file_name().unwrap_or_default());
    let put = || -> io::Result<()> {
        fs::rename(file, &to)?;
        File::open(aside)?.sync_all()?;
        File::open(file.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    match put() {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(StoreError::io(file, "cannot be put aside", e)),
    }
}

/// Copies a file aside, durably; says whether it was there.
pub(crate) fn copy(aside: &Path, file: &Path) -> Result<bool, StoreError> {
    let to = aside.join(file.file_name().unwrap_or_default());
    let copy = || -> io::Result<()> {
        fs::copy(file, &to)?;
        File::open(&to)?.sync_all()?;
        File::open(aside)?.sync_all()
    };
    match copy() {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(StoreError::io(file, "cannot be copied aside", e)),
    }
}

/// Adds a row about the store to the audit trail, where no orchestrator lives that could. A store without a company
/// has no trail yet.
pub(crate) fn record(
    conn: &Connection,
    actor: &str,
    action: &str,
    details: Value,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    let company: Option<String> = conn.query_row("SELECT min(id) FROM companies", [], |row| row.get(0))?;
    let Some(company) = company.and_then(|c| c.parse().ok()) else { return Ok(()) };
    let row = ActivityRow {
        id: ActivityId(uuid::Uuid::now_v7()),
        company_id: company,
        project_id: None,
        actor_type: ActorType::Operator,
        actor_id: actor.to_owned(),
        action: action.to_owned(),
        entity_type: "store".to_owned(),
        entity_id: "store".to_owned(),
        entity_number: None,
        run_id: None,
        agent_id: None,
        details: Some(details),
        created_at: now,
    };
    let holes = vec!["?"; ActivityRow::COLUMNS.len()].join(", ");
    let sql = format!("INSERT INTO activity ({}) VALUES ({holes})", columns::<ActivityRow>(""));
    conn.execute(&sql, params_from_iter(row.cells().iter().map(Bound))).map(|_| ())
}
