//! The one connection that changes the store: many inputs, one durable commit.

use std::cell::OnceCell;
use std::path::PathBuf;

use rusqlite::Connection;
use wharf_model::RequestRow;
use wharf_model::state::{AnyRow, Change, State};

pub use crate::apply::ApplyError;
use crate::apply::{Failure, Statements};
use crate::insert_request::{self, NewRequest};
use crate::{Access, Store, StoreError, changes, journal, load, open, suspect};

/// Writes every table. Owned by the dispatch thread of the process that holds the orchestrator's lock.
pub struct Writer {
    path: PathBuf,
    conn: Connection,
    sql: Statements,
    epoch: Option<i64>,
    /// What a sync failed with: nothing is written any more.
    suspect: OnceCell<String>,
    ended_cleanly: bool,
}

/// What each input of a batch came to.
pub type Outcomes = Vec<Result<(), ApplyError>>;

enum Commit {
    Done(Outcomes),
    /// A row names another that is not there; the database says so only at the end, and not which.
    DanglingReference(String),
}

impl Writer {
    /// Takes over a store opened with [`Access::Create`].
    pub fn new(store: Store) -> Result<Self, StoreError> {
        if store.access() != Access::Create {
            return Err(StoreError::ReadOnly { path: store.path, cause: "opened for reading".into() });
        }
        Ok(Self {
            path: store.path,
            conn: store.conn,
            sql: Statements::new(),
            epoch: None,
            suspect: OnceCell::new(),
            ended_cleanly: true,
        })
    }

    /// Opens the store for writing; see [`Store::open`].
    pub fn open(dir: &std::path::Path) -> Result<Self, StoreError> {
        Self::new(Store::open(dir, Access::Create)?)
    }

    fn fail(&self, error: rusqlite::Error) -> StoreError {
        let error = StoreError::sqlite(&self.path, error);
        self.mind(&error);
        error
    }

    /// Keeps in mind, and leaves a note, that a sync has failed.
    fn mind(&self, error: &StoreError) {
        if let StoreError::Suspect { cause, .. } = error
            && self.suspect.set(cause.clone()).is_ok()
        {
            suspect::note(&self.path, cause);
        }
    }

    /// Refuses to write once a sync has failed.
    fn check_trusted(&self) -> Result<(), StoreError> {
        match self.suspect.get() {
            Some(cause) => Err(StoreError::Suspect { path: self.path.clone(), cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Begins a reign: raises the epoch in one transaction of its own. Every other writer is stale from now on.
    pub fn begin_reign(&mut self) -> Result<i64, StoreError> {
        let epoch = self
            .conn
            .query_row("UPDATE meta SET value = value + 1 WHERE key = 'epoch' RETURNING value", [], |row| row.get(0))
            .map_err(|e| self.fail(e))?;
        self.ended_cleanly = self
            .conn
            .query_row("SELECT ifnull((SELECT value FROM meta WHERE key = 'clean_epoch'), 0)", [], |row| row.get(0))
            .map(|ended: i64| ended == epoch - 1)
            .map_err(|e| self.fail(e))?;
        self.epoch = Some(epoch);
        Ok(epoch)
    }

    /// Whether the reign before this one came to its end in order; if not, the store is worth a look.
    pub const fn ended_cleanly(&self) -> bool {
        self.ended_cleanly
    }

    /// Notes that this reign ends in order. Nothing is to be written after it.
    pub fn end_reign(&mut self) -> Result<(), StoreError> {
        self.check_trusted()?;
        let note = "INSERT INTO meta (key, value) SELECT 'clean_epoch', value FROM meta \
                    WHERE key = 'epoch' AND value = ?1 ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.conn.execute(note, [self.epoch.unwrap_or(0)]).map(|_| ()).map_err(|e| self.fail(e))
    }

    /// The epoch in which this writer reigns.
    pub const fn epoch(&self) -> Option<i64> {
        self.epoch
    }

    /// Writes a batch durably: one transaction, each input whole or not at all.
    ///
    /// # Errors
    /// Then nothing of the batch was written, and memory is to be rebuilt with [`Self::load_state`].
    pub fn commit<C: AsRef<[Change]>>(&mut self, batch: &[C]) -> Result<Outcomes, StoreError> {
        let inputs: Vec<&[Change]> = batch.iter().map(AsRef::as_ref).collect();
        match self.transaction(&inputs)? {
            Commit::Done(outcomes) => Ok(outcomes),
            Commit::DanglingReference(_) => self.commit_singly(&inputs),
        }
    }

    /// Finds the input whose row names one that is not there, by giving each its own transaction.
    pub(crate) fn commit_singly(&mut self, inputs: &[&[Change]]) -> Result<Outcomes, StoreError> {
        let mut outcomes: Outcomes = Vec::with_capacity(inputs.len());
        for input in inputs {
            match self.transaction(&[input]) {
                // What was written before is durable, and the caller must learn so.
                Err(error) if !outcomes.is_empty() => {
                    let cause = error.to_string();
                    outcomes.resize(inputs.len(), Err(ApplyError::NotReached { cause }));
                    return Ok(outcomes);
                }
                Err(error) => return Err(error),
                Ok(Commit::Done(mut done)) => outcomes.append(&mut done),
                Ok(Commit::DanglingReference(cause)) => {
                    let (table, id) = input.first().map_or(("", String::new()), named);
                    outcomes.push(Err(ApplyError::Constraint { table, id, cause }));
                }
            }
        }
        Ok(outcomes)
    }

    fn transaction(&mut self, inputs: &[&[Change]]) -> Result<Commit, StoreError> {
        self.check_trusted()?;
        self.run("BEGIN IMMEDIATE").map_err(|e| self.fail(e))?;
        let done = self.check_epoch().and_then(|()| {
            inputs.iter().map(|input| self.input(input).map_err(|e| self.fail(e))).collect::<Result<Outcomes, _>>()
        });
        match done {
            Ok(outcomes) => match crate::point::lost_sync().and_then(|()| self.run("COMMIT")) {
                Ok(()) => {
                    changes::tell(&self.path);
                    Ok(Commit::Done(outcomes))
                }
                Err(e) => {
                    self.roll_back();
                    match e.sqlite_error() {
                        Some(code) if code.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY => {
                            Ok(Commit::DanglingReference("it names a row that is not there".into()))
                        }
                        _ => Err(self.fail(e)),
                    }
                }
            },
            Err(e) => {
                self.roll_back();
                Err(e)
            }
        }
    }

    /// One input in a savepoint of its own.
    fn input(&self, changes: &[Change]) -> rusqlite::Result<Result<(), ApplyError>> {
        self.run("SAVEPOINT input")?;
        for change in changes {
            match self.sql.apply(&self.conn, change) {
                Ok(()) => {}
                Err(Failure::Broken(error)) => return Err(error),
                Err(Failure::Refused(refusal)) => {
                    self.run("ROLLBACK TO input")?;
                    self.run("RELEASE input")?;
                    return Ok(Err(refusal));
                }
            }
        }
        self.run("RELEASE input")?;
        Ok(Ok(()))
    }

    fn run(&self, sql: &'static str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    fn roll_back(&self) {
        // Some errors end the transaction by themselves; a second end would only hide the first error.
        if !self.conn.is_autocommit() {
            let _ = self.run("ROLLBACK");
        }
    }

    fn check_epoch(&self) -> Result<(), StoreError> {
        let found = open::meta(&self.path, &self.conn, "epoch")?;
        match self.epoch {
            Some(ours) if ours == found => Ok(()),
            ours => Err(StoreError::StaleEpoch { ours: ours.unwrap_or(0), found }),
        }
    }

    /// The rows that can still change: what the dispatcher keeps in memory. `concurrent_runs` is left at 0, since
    /// it comes from the configuration.
    pub fn load_state(&self) -> Result<State, StoreError> {
        let mut state = self.reading(load::state)?;
        state.epoch = self.epoch.unwrap_or(0);
        Ok(state)
    }

    /// One row, also one that has ended; `kind` is its table or its word (`run`, `lease`, `agent` …).
    pub fn load_entity(&self, kind: &str, id: &str) -> Result<Option<AnyRow>, StoreError> {
        load::entity(&self.conn, kind, id).map_err(|e| self.fail(e))
    }

    /// A long text of a run; `None` when it has none of this kind.
    pub fn run_text(
        &self,
        run: wharf_model::RunId,
        kind: wharf_model::RunTextKind,
    ) -> Result<Option<String>, StoreError> {
        use rusqlite::OptionalExtension as _;
        self.conn
            .prepare_cached("SELECT body FROM run_texts WHERE run_id = ?1 AND kind = ?2")
            .and_then(|mut q| q.query_row([run.text(), kind.as_str().to_owned()], |row| row.get(0)).optional())
            .map_err(|e| self.fail(e))
    }

    /// Number of the last event of a run; 0 when it has none.
    pub fn last_event(&self, run: wharf_model::RunId) -> Result<i64, StoreError> {
        self.conn
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM run_events WHERE run_id = ?1")
            .and_then(|mut q| q.query_row([run.text()], |row| row.get(0)))
            .map_err(|e| self.fail(e))
    }

    /// Requests that nobody has answered yet, oldest first.
    pub fn pending_requests(&self, limit: usize) -> Result<Vec<RequestRow>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        load::rows(
            &self.conn,
            "WHERE status IN ('pending', 'accepted') AND status = 'pending' ORDER BY number LIMIT ?1",
            [limit],
        )
        .map_err(|e| self.fail(e))
    }

    /// Requests of these kinds that came after number `after` and were answered, oldest first.
    pub fn answered_after(
        &self,
        after: i64,
        kinds: &[wharf_model::RequestKind],
    ) -> Result<Vec<RequestRow>, StoreError> {
        let rows: Vec<RequestRow> =
            load::rows(&self.conn, "WHERE number > ?1 AND status <> 'pending' ORDER BY number", [after])
                .map_err(|e| self.fail(e))?;
        Ok(rows.into_iter().filter(|r| kinds.iter().any(|kind| kind.as_str() == r.kind)).collect())
    }

    /// A number that changes whenever another connection has committed.
    pub fn data_version(&self) -> Result<i64, StoreError> {
        self.conn.query_row("PRAGMA data_version", [], |row| row.get(0)).map_err(|e| self.fail(e))
    }

    /// Adds a request of this very process, in a transaction of its own; see [`crate::RequestSender::send`].
    pub fn send(&mut self, request: &NewRequest) -> Result<RequestRow, StoreError> {
        self.check_trusted()?;
        insert_request::send(&self.path, &mut self.conn, request).inspect_err(|e| self.mind(e))
    }

    /// Copies committed pages back into the database as far as readers let it, for quiet moments.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        open::checkpoint(&self.conn).map_err(|e| self.fail(e))
    }

    /// Whether anything can be written durably, by writing something small.
    ///
    /// # Errors
    /// Nothing can, or another orchestrator reigns by now.
    pub fn try_write(&self) -> Result<(), StoreError> {
        self.check_trusted()?;
        let written = journal::mark(&self.conn, self.epoch.unwrap_or(0)).map_err(|e| self.fail(e))?;
        if written { Ok(()) } else { self.check_epoch() }
    }

    /// Brings the journal back to its usual size where it has grown and no reader is in the way, for quiet
    /// moments. Says whether it is small now.
    pub fn shrink_journal(&self) -> Result<bool, StoreError> {
        self.check_trusted()?;
        let dir = self.path.parent().unwrap_or(&self.path);
        journal::shrink(dir, &self.conn, self.epoch.unwrap_or(0)).map_err(|e| self.fail(e))
    }

    /// The connection, for tests that take its room away.
    #[cfg(test)]
    pub(crate) fn connection(&self) -> &Connection {
        &self.conn
    }

    /// Runs a read in one transaction, so that all its rows are of one moment.
    fn reading<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.run("BEGIN").map_err(|e| self.fail(e))?;
        let result = read(&self.conn).map_err(|e| self.fail(e));
        self.roll_back();
        result
    }
}

impl Drop for Writer {
    /// Leaves a database that is whole without its journal, where that can be had; the journal keeps the rest.
    fn drop(&mut self) {
        let _ = open::checkpoint(&self.conn);
    }
}

/// Table and key of the row that a change is about.
fn named(change: &Change) -> (&'static str, String) {
    use wharf_model::column::{Entity, Row};
    macro_rules! of {
        ($($variant:ident($row:ty)),+) => {
            match change {
                $(Change::Put { row: AnyRow::$variant(row), .. } => {
                    let wharf_model::column::Cell::Text(id) = wharf_model::column::Column::to_cell(&row.id()) else {
                        return (<$row>::TABLE, String::new());
                    };
                    (<$row>::TABLE, id)
                })+
                Change::Event(row) => ("run_events", format!("{}/{}", row.run_id, row.seq)),
                Change::Text(row) => ("run_texts", format!("{}/{}", row.run_id, row.kind)),
                Change::Comment(row) => ("issue_comments", row.id.text()),
                Change::Activity(row) => ("activity", row.id.text()),
                Change::UserAdded(row) => ("service_users", format!("{}/{}", row.service_id, row.run_id)),
                Change::UserRemoved { service, run } => ("service_users", format!("{service}/{run}")),
                Change::Counter { name, .. } => ("counters", name.clone()),
            }
        };
    }
    of!(
        Company(wharf_model::CompanyRow),
        Project(wharf_model::ProjectRow),
        ProjectWorkspace(wharf_model::ProjectWorkspaceRow),
        Agent(wharf_model::AgentRow),
        AgentRuntime(wharf_model::AgentRuntimeRow),
        Environment(wharf_model::EnvironmentRow),
        Lease(wharf_model::LeaseRow),
        Workspace(wharf_model::WorkspaceRow),
        Operation(wharf_model::OperationRow),
        Snapshot(wharf_model::SnapshotRow),
        Service(wharf_model::ServiceRow),
        Issue(wharf_model::IssueRow),
        Wakeup(wharf_model::WakeupRow),
        Run(wharf_model::RunRow),
        Step(wharf_model::StepRow),
        Request(wharf_model::RequestRow),
        Action(wharf_model::ActionRow)
    )
}
