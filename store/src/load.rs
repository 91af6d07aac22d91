//! Reading rows back: the open ones at the start of a reign, single ones later.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Params};
use wharf_model::column::Row;
use wharf_model::state::{AnyRow, Kept, State};
use wharf_model::*;

use crate::cell::{columns, read_at};
use crate::{Reader, StoreError};

/// All rows of a type that a condition names.
pub(crate) fn rows<R: Row>(conn: &Connection, rest: &str, params: impl Params) -> rusqlite::Result<Vec<R>> {
    let sql = format!("SELECT {} FROM {} {rest}", columns::<R>(""), R::TABLE);
    #[cfg(test)]
    crate::view_test::SEEN.with_borrow_mut(|seen| seen.iter_mut().for_each(|s| s.push(sql.clone())));
    conn.prepare_cached(&sql)?.query_map(params, |row| read_at(row, 0))?.collect()
}

/// The row with a key.
pub(crate) fn by_id<R: Row>(conn: &Connection, id: &str) -> rusqlite::Result<Option<R>> {
    let sql = format!("SELECT {} FROM {} WHERE {} = ?1", columns::<R>(""), R::TABLE, R::COLUMNS[0]);
    conn.prepare_cached(&sql)?.query_row([id], |row| read_at(row, 0)).optional()
}

fn take<E: Kept>(state: &mut State, rows: Vec<E>) {
    let map = E::map_mut(state);
    for row in rows {
        map.insert(row.id(), row);
    }
}

/// The rows that can still change, as [`State::forget_ended`] leaves them; of issues, those that are open.
pub(crate) fn state(conn: &Connection) -> rusqlite::Result<State> {
    let mut state = State::default();
    take::<CompanyRow>(&mut state, rows(conn, "", [])?);
    take::<ProjectRow>(&mut state, rows(conn, "", [])?);
    take::<ProjectWorkspaceRow>(&mut state, rows(conn, "", [])?);
    take::<AgentRow>(&mut state, rows(conn, "", [])?);
    take::<AgentRuntimeRow>(&mut state, rows(conn, "", [])?);
    take::<EnvironmentRow>(&mut state, rows(conn, "", [])?);
    take::<ServiceRow>(&mut state, rows(conn, "", [])?);
    take::<LeaseRow>(&mut state, rows(conn, "WHERE status NOT IN ('released', 'expired', 'failed')", [])?);
    take::<WorkspaceRow>(&mut state, rows(conn, "WHERE status <> 'archived'", [])?);
    take::<WorkspaceRow>(&mut state, rows(conn, "WHERE trash_path IS NOT NULL", [])?);
    take::<WorkspaceRow>(&mut state, rows(conn, "WHERE trash_more IS NOT NULL", [])?);
    take::<SnapshotRow>(&mut state, rows(conn, "WHERE status = 'kept'", [])?);
    // Both conditions: the first one is that of the index.
    take::<OperationRow>(&mut state, rows(conn, "WHERE status IN ('queued', 'running') AND status = 'running'", [])?);
    take::<IssueRow>(&mut state, rows(conn, "WHERE status NOT IN ('done', 'cancelled')", [])?);
    take::<WakeupRow>(&mut state, rows(conn, "WHERE status IN ('queued', 'deferred_issue_execution', 'claimed')", [])?);
    take::<RequestRow>(&mut state, rows(conn, "WHERE status IN ('pending', 'accepted')", [])?);
    take::<ActionRow>(&mut state, rows(conn, "WHERE status IN ('pending', 'performing')", [])?);
    take::<RunRow>(&mut state, rows(conn, "WHERE status IN ('queued', 'scheduled_retry', 'running')", [])?);
    let users: Vec<ServiceUserRow> = rows(conn, "", [])?;
    state.users = users.into_iter().map(|u| (u.service_id, u.run_id)).collect();

    // Ended runs that something open still holds.
    let held: BTreeSet<RunId> = state
        .leases
        .values()
        .filter_map(|l| l.run_id)
        .chain(state.users.iter().map(|(_, run)| *run))
        .chain(state.actions.values().filter(|a| a.entity_type == "run").filter_map(|a| a.entity_id.parse().ok()))
        .collect();
    for id in held {
        if !state.runs.contains_key(&id)
            && let Some(run) = by_id::<RunRow>(conn, &id.text())?
        {
            state.runs.insert(id, run);
        }
    }
    let runs: Vec<RunId> = state.runs.keys().copied().collect();
    for id in runs {
        take::<StepRow>(&mut state, rows(conn, "WHERE run_id = ?1", [id.text()])?);
        let last: Option<i64> = conn
            .prepare_cached("SELECT max(seq) FROM run_events WHERE run_id = ?1")?
            .query_row([id.text()], |row| row.get(0))?;
        if let Some(last) = last {
            state.event_seq.insert(id, last);
        }
    }
    let mut counters = conn.prepare_cached("SELECT name, value FROM counters")?;
    state.counters = counters.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    // What only memory can tell to be over: services of runs that are gone.
    state.forget_ended();
    Ok(state)
}

impl Reader {
    /// Everything that can still change, of one moment: what the orchestrator decides by, but for its own reign and limits.
    pub fn open_rows(&self) -> Result<State, StoreError> {
        self.read(state)
    }
}

/// The row of any table that changes, by its key; `kind` is the table or the word for one of its rows.
pub(crate) fn entity(conn: &Connection, kind: &str, id: &str) -> rusqlite::Result<Option<AnyRow>> {
    fn one<E: Kept>(conn: &Connection, id: &str) -> rusqlite::Result<Option<AnyRow>> {
        Ok(by_id::<E>(conn, id)?.map(Kept::wrap))
    }
    match kind {
        "company" | CompanyRow::TABLE => one::<CompanyRow>(conn, id),
        "project" | ProjectRow::TABLE => one::<ProjectRow>(conn, id),
        "project_workspace" | ProjectWorkspaceRow::TABLE => one::<ProjectWorkspaceRow>(conn, id),
        "agent" | AgentRow::TABLE => one::<AgentRow>(conn, id),
        "agent_runtime" | AgentRuntimeRow::TABLE => one::<AgentRuntimeRow>(conn, id),
        "environment" | EnvironmentRow::TABLE => one::<EnvironmentRow>(conn, id),
        "lease" | LeaseRow::TABLE => one::<LeaseRow>(conn, id),
        "workspace" | WorkspaceRow::TABLE => one::<WorkspaceRow>(conn, id),
        "snapshot" | SnapshotRow::TABLE => one::<SnapshotRow>(conn, id),
        "operation" | OperationRow::TABLE => one::<OperationRow>(conn, id),
        "service" | ServiceRow::TABLE => one::<ServiceRow>(conn, id),
        "issue" | IssueRow::TABLE => one::<IssueRow>(conn, id),
        "wakeup" | WakeupRow::TABLE => one::<WakeupRow>(conn, id),
        "run" | RunRow::TABLE => one::<RunRow>(conn, id),
        "step" | StepRow::TABLE => one::<StepRow>(conn, id),
        "request" | RequestRow::TABLE => one::<RequestRow>(conn, id),
        "action" | ActionRow::TABLE => one::<ActionRow>(conn, id),
        _ => Ok(None),
    }
}
