//! One change of the model, written to the database.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OptionalExtension, params_from_iter};
use wharf_model::column::{Cell, Column, Columns, Entity, Row};
use wharf_model::state::{AnyRow, Change};
use wharf_model::*;

use crate::cell::{Bound, columns};

/// Why one input's changes were not written, while others of its batch were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The row in the store is not the one that was changed in memory.
    #[error("{table} {id}: expected version {expected}, the store has {found} (0 = no such row)")]
    Conflict {
        /// Table.
        table: &'static str,
        /// Key of the row.
        id: String,
        /// Version that memory had.
        expected: i64,
        /// Version in the store.
        found: i64,
    },
    /// The row breaks a rule of the schema.
    #[error("{table} {id}: {cause}")]
    Constraint {
        /// Table.
        table: &'static str,
        /// Key of the row.
        id: String,
        /// The rule.
        cause: String,
    },
    /// The store failed before it came to this input: it may be written later.
    #[error("not written, since the store failed before: {cause}")]
    NotReached {
        /// What it failed with.
        cause: String,
    },
}

/// A change that was not made: refused by itself, or everything is broken.
pub(crate) enum Failure {
    Refused(ApplyError),
    Broken(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error)
    }
}

/// Update statements remembered at most.
const UPDATES_MAX: usize = 1_000;

/// Statements of the tables, built once.
pub(crate) struct Statements {
    insert: HashMap<&'static str, String>,
    update: RefCell<HashMap<(&'static str, Columns), Arc<str>>>,
}

impl Statements {
    pub(crate) fn new() -> Self {
        let mut all = Self { insert: HashMap::new(), update: RefCell::new(HashMap::new()) };
        all.append::<RunEventRow>();
        all.append::<RunTextRow>();
        all.append::<CommentRow>();
        all.append::<ActivityRow>();
        all.append::<ServiceUserRow>();
        all.append::<CompanyRow>();
        all.append::<ProjectRow>();
        all.append::<ProjectWorkspaceRow>();
        all.append::<AgentRow>();
        all.append::<AgentRuntimeRow>();
        all.append::<EnvironmentRow>();
        all.append::<LeaseRow>();
        all.append::<WorkspaceRow>();
        all.append::<OperationRow>();
        all.append::<SnapshotRow>();
        all.append::<ServiceRow>();
        all.append::<IssueRow>();
        all.append::<WakeupRow>();
        all.append::<RunRow>();
        all.append::<StepRow>();
        all.append::<RequestRow>();
        all.append::<ActionRow>();
        all
    }

    fn append<R: Row>(&mut self) {
        let holes = vec!["?"; R::COLUMNS.len()].join(", ");
        let sql = format!("INSERT INTO {} ({}) VALUES ({holes})", R::TABLE, columns::<R>(""));
        self.insert.insert(R::TABLE, sql);
    }

    /// Writes one change.
    pub(crate) fn apply(&self, conn: &Connection, change: &Change) -> Result<(), Failure> {
        match change {
            Change::Put { from, changed, row } => match row {
                AnyRow::Company(row) => self.put(conn, *from, *changed, &**row),
                AnyRow::Project(row) => self.put(conn, *from, *changed, &**row),
                AnyRow::ProjectWorkspace(row) => self.put(conn, *from, *changed, &**row),
                AnyRow::Agent(row) => self.put(conn, *from, *changed, &**row),
                AnyRow::AgentRuntime(row) => self.put(conn, *from, *changed, &**row),
                AnyRow::Environment(row) => self.put(conn, *from, *changed, &**row),
                AnyRow::Lease(row) => self.put(conn, *from, *changed, &**row),
                AnyRow::Workspace(row) => self.put(conn, *from, *changed, &**row),
                AnyRow::Operation(row) => self.put(conn, *from, *changed, &**row),
                AnyRow::Snapshot(row) => self.put(conn, *from, *changed, &**row),
                AnyRow::Service(row) => self.put(conn, *from, *changed, &**row),
                AnyRow::Issue(row) => self.put(conn, *from, *changed, &**row),
                AnyRow::Wakeup(row) => self.put(conn, *from, *changed, &**row),
                AnyRow::Run(row) => self.put(conn, *from, *changed, &**row),
                AnyRow::Step(row) => self.put(conn, *from, *changed, &**row),
                AnyRow::Request(row) => self.put(conn, *from, *changed, &**row),
                AnyRow::Action(row) => self.put(conn, *from, *changed, &**row),
            },
            Change::Event(row) => self.insert(conn, row, || format!("{}/{}", row.run_id, row.seq)),
            Change::Text(row) => text(conn, row),
            Change::Comment(row) => self.insert(conn, row, || row.id.text()),
            Change::Activity(row) => self.insert(conn, row, || row.id.text()),
            Change::UserAdded(row) => self.insert(conn, row, || format!("{}/{}", row.service_id, row.run_id)),
            Change::UserRemoved { service, run } => {
                let id = || format!("{service}/{run}");
                let mut delete =
                    conn.prepare_cached("DELETE FROM service_users WHERE service_id = ?1 AND run_id = ?2")?;
                match delete.execute([service.text(), run.text()])? {
                    1 => Ok(()),
                    _ => Err(conflict(ServiceUserRow::TABLE, id(), 1, 0)),
                }
            }
            Change::Counter { name, value } => {
                let mut raise = conn.prepare_cached(
                    "INSERT INTO counters (name, value) VALUES (?1, ?2) \
                     ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE excluded.value > value",
                )?;
                if raise.execute((name, value))? == 1 {
                    return Ok(());
                }
                let found: i64 =
                    conn.query_row("SELECT value FROM counters WHERE name = ?1", [name], |row| row.get(0))?;
                Err(conflict("counters", name.clone(), value - 1, found))
            }
        }
    }

    fn insert<R: Row>(&self, conn: &Connection, row: &R, id: impl Fn() -> String) -> Result<(), Failure> {
        let sql = self.insert.get(R::TABLE).ok_or(rusqlite::Error::InvalidParameterName(R::TABLE.into()))?;
        let mut insert = conn.prepare_cached(sql)?;
        match insert.execute(params_from_iter(row.cells().iter().map(Bound))) {
            Ok(_) => Ok(()),
            Err(e) => Err(refused::<R>(e, id())),
        }
    }

    fn put<E: Entity>(&self, conn: &Connection, from: i64, changed: Columns, row: &E) -> Result<(), Failure> {
        let key = row.id().to_cell();
        if from == 0 {
            return match self.insert(conn, row, || shown(&key)) {
                Err(Failure::Refused(refusal)) => match self.version_of::<E>(conn, &key)? {
                    0 => Err(Failure::Refused(refusal)),
                    found => Err(conflict(E::TABLE, shown(&key), from, found)),
                },
                done => done,
            };
        }
        // Only what differs is set: an index is rewritten only when its columns are named.
        let values: Vec<Cell> = changed.iter().filter_map(|column| row.cell(column)).collect();
        if values.is_empty() {
            return Err(conflict(E::TABLE, shown(&key), from, self.version_of::<E>(conn, &key)?));
        }
        let mut update = conn.prepare_cached(&self.update_of::<E>(changed))?;
        match update.execute(params_from_iter(values.iter().chain([&key, &Cell::Int(from)]).map(Bound))) {
            Ok(1) => Ok(()),
            Ok(_) => Err(conflict(E::TABLE, shown(&key), from, self.version_of::<E>(conn, &key)?)),
            Err(e) => Err(refused::<E>(e, shown(&key))),
        }
    }

    /// The statement that sets these columns; there are as many as decisions change in different ways.
    fn update_of<E: Entity>(&self, changed: Columns) -> Arc<str> {
        let mut known = self.update.borrow_mut();
        if known.len() >= UPDATES_MAX {
            known.clear();
        }
        let sql = known.entry((E::TABLE, changed)).or_insert_with(|| {
            let set: Vec<String> =
                changed.iter().filter_map(|i| E::COLUMNS.get(i).map(|c| format!("{c} = ?"))).collect();
            format!("UPDATE {} SET {} WHERE {} = ? AND version = ?", E::TABLE, set.join(", "), E::COLUMNS[0]).into()
        });
        Arc::clone(sql)
    }

    /// Version of the stored row; 0 when there is none.
    fn version_of<E: Entity>(&self, conn: &Connection, key: &Cell) -> Result<i64, Failure> {
        let sql = format!("SELECT version FROM {} WHERE {} = ?1", E::TABLE, E::COLUMNS[0]);
        Ok(conn.query_row(&sql, [Bound(key)], |row| row.get(0)).optional()?.unwrap_or(0))
    }
}

fn text(conn: &Connection, row: &RunTextRow) -> Result<(), Failure> {
    let mut put = conn.prepare_cached(
        "INSERT INTO run_texts (run_id, kind, body) VALUES (?1, ?2, ?3) \
         ON CONFLICT (run_id, kind) DO UPDATE SET body = excluded.body",
    )?;
    match put.execute((row.run_id.text(), row.kind.as_str(), &row.body)) {
        Ok(_) => Ok(()),
        Err(e) => Err(refused::<RunTextRow>(e, format!("{}/{}", row.run_id, row.kind))),
    }
}

fn shown(key: &Cell) -> String {
    match key {
        Cell::Text(text) => text.clone(),
        Cell::Int(n) => n.to_string(),
        Cell::Null => "null".into(),
    }
}

fn conflict(table: &'static str, id: String, expected: i64, found: i64) -> Failure {
    Failure::Refused(ApplyError::Conflict { table, id, expected, found })
}

/// Tells a row that breaks a rule from a database that does not work.
fn refused<R: Row>(error: rusqlite::Error, id: String) -> Failure {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
            Failure::Refused(ApplyError::Constraint { table: R::TABLE, id, cause: error.to_string() })
        }
        _ => Failure::Broken(error),
    }
}
