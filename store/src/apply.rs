//! One change of the model, written to the database.

use std::collections::HashMap;

use rusqlite::{Connection, ErrorCode, OptionalExtension, params_from_iter};
use wharf_model::column::{Cell, Column, Entity, Row};
use wharf_model::state::{AnyRow, Change};
use wharf_model::*;

use crate::cell::{Bound, cell, columns};

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

/// Statements of the tables, built once.
pub(crate) struct Statements {
    insert: HashMap<&'static str, String>,
    select: HashMap<&'static str, String>,
}

impl Statements {
    pub(crate) fn new() -> Self {
        let mut all = Self { insert: HashMap::new(), select: HashMap::new() };
        all.append::<RunEventRow>();
        all.append::<RunTextRow>();
        all.append::<CommentRow>();
        all.append::<ActivityRow>();
        all.append::<ServiceUserRow>();
        all.entity::<CompanyRow>();
        all.entity::<ProjectRow>();
        all.entity::<ProjectWorkspaceRow>();
        all.entity::<AgentRow>();
        all.entity::<AgentRuntimeRow>();
        all.entity::<EnvironmentRow>();
        all.entity::<LeaseRow>();
        all.entity::<WorkspaceRow>();
        all.entity::<OperationRow>();
        all.entity::<ServiceRow>();
        all.entity::<IssueRow>();
        all.entity::<WakeupRow>();
        all.entity::<RunRow>();
        all.entity::<StepRow>();
        all.entity::<RequestRow>();
        all.entity::<ActionRow>();
        all
    }

    fn append<R: Row>(&mut self) {
        let holes = vec!["?"; R::COLUMNS.len()].join(", ");
        let sql = format!("INSERT INTO {} ({}) VALUES ({holes})", R::TABLE, columns::<R>(""));
        self.insert.insert(R::TABLE, sql);
    }

    fn entity<E: Entity>(&mut self) {
        self.append::<E>();
        let sql = format!("SELECT {} FROM {} WHERE {} = ?1", columns::<E>(""), E::TABLE, E::COLUMNS[0]);
        self.select.insert(E::TABLE, sql);
    }

    fn of(map: &HashMap<&'static str, String>, table: &'static str) -> Result<String, Failure> {
        map.get(table).cloned().ok_or(Failure::Broken(rusqlite::Error::InvalidParameterName(table.into())))
    }

    /// Writes one change.
    pub(crate) fn apply(&self, conn: &Connection, change: &Change) -> Result<(), Failure> {
        match change {
            Change::Put { from, row } => match row {
                AnyRow::Company(row) => self.put(conn, *from, &**row),
                AnyRow::Project(row) => self.put(conn, *from, &**row),
                AnyRow::ProjectWorkspace(row) => self.put(conn, *from, &**row),
                AnyRow::Agent(row) => self.put(conn, *from, &**row),
                AnyRow::AgentRuntime(row) => self.put(conn, *from, &**row),
                AnyRow::Environment(row) => self.put(conn, *from, &**row),
                AnyRow::Lease(row) => self.put(conn, *from, &**row),
                AnyRow::Workspace(row) => self.put(conn, *from, &**row),
                AnyRow::Operation(row) => self.put(conn, *from, &**row),
                AnyRow::Service(row) => self.put(conn, *from, &**row),
                AnyRow::Issue(row) => self.put(conn, *from, &**row),
                AnyRow::Wakeup(row) => self.put(conn, *from, &**row),
                AnyRow::Run(row) => self.put(conn, *from, &**row),
                AnyRow::Step(row) => self.put(conn, *from, &**row),
                AnyRow::Request(row) => self.put(conn, *from, &**row),
                AnyRow::Action(row) => self.put(conn, *from, &**row),
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
        let mut insert = conn.prepare_cached(&Self::of(&self.insert, R::TABLE)?)?;
        match insert.execute(params_from_iter(row.cells().iter().map(Bound))) {
            Ok(_) => Ok(()),
            Err(e) => Err(refused::<R>(e, id())),
        }
    }

    fn put<E: Entity>(&self, conn: &Connection, from: i64, row: &E) -> Result<(), Failure> {
        let key = row.id().to_cell();
        let old = self.stored::<E>(conn, &key)?;
        let found = old.as_deref().map_or(0, version_of::<E>);
        if found != from {
            return Err(conflict(E::TABLE, shown(&key), from, found));
        }
        let Some(old) = old else {
            return self.insert(conn, row, || shown(&key));
        };
        // Only what differs is set: an index is rewritten only when its columns are named.
        let new = row.cells();
        let changed: Vec<usize> = (0..new.len()).filter(|i| new[*i] != old[*i]).collect();
        if changed.is_empty() {
            return Err(conflict(E::TABLE, shown(&key), from, found));
        }
        let set: Vec<String> = changed.iter().map(|i| format!("{} = ?", E::COLUMNS[*i])).collect();
        let sql = format!("UPDATE {} SET {} WHERE {} = ? AND version = ?", E::TABLE, set.join(", "), E::COLUMNS[0]);
        let from_cell = Cell::Int(from);
        let values = changed.iter().map(|i| &new[*i]).chain([&key, &from_cell]).map(Bound);
        let mut update = conn.prepare_cached(&sql)?;
        match update.execute(params_from_iter(values)) {
            Ok(1) => Ok(()),
            Ok(_) => Err(conflict(E::TABLE, shown(&key), from, found)),
            Err(e) => Err(refused::<E>(e, shown(&key))),
        }
    }

    fn stored<E: Entity>(&self, conn: &Connection, key: &Cell) -> Result<Option<Vec<Cell>>, Failure> {
        let mut select = conn.prepare_cached(&Self::of(&self.select, E::TABLE)?)?;
        let row =
            select.query_row([Bound(key)], |row| (0..E::COLUMNS.len()).map(|i| cell(row, i)).collect()).optional()?;
        Ok(row)
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

fn version_of<E: Entity>(cells: &[Cell]) -> i64 {
    match E::COLUMNS.iter().position(|c| *c == "version").and_then(|at| cells.get(at)) {
        Some(Cell::Int(version)) => *version,
        _ => 0,
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
