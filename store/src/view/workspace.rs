//! Workspaces and the operations recorded on them.

use rusqlite::Connection;
use serde::Serialize;
use wharf_model::column::{Cell, Row};
use wharf_model::*;

use super::{Conditions, Page, column, first, one_more, page, select};
use crate::{Reader, StoreError};

/// A workspace with the names around it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkspaceItem {
    /// The row.
    pub workspace: WorkspaceRow,
    /// Key of its project.
    pub project: Option<String>,
    /// Identifier of the issue it was made for.
    pub issue: Option<String>,
    /// Title of that issue.
    pub issue_title: Option<String>,
    /// Where that issue stands.
    pub issue_status: Option<IssueStatus>,
    /// Name of its environment.
    pub environment: Option<String>,
    /// Number of the newest run in it.
    pub last_run_number: Option<i64>,
    /// Status of that run.
    pub last_run_status: Option<RunStatus>,
    /// Operations under way.
    pub operations_running: i64,
    /// Number of the newest run that works in it now.
    pub live_run_number: Option<i64>,
    /// Snapshots that are kept of it.
    pub snapshots_kept: i64,
}

/// An operation with the numbers around it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperationItem {
    /// The row.
    pub operation: OperationRow,
    /// Number of its run.
    pub run_number: Option<i64>,
    /// Number of its workspace.
    pub workspace_number: Option<i64>,
}

const MORE: &str = ", p.key, i.identifier, i.title, i.status, e.name, \
    (SELECT r.number FROM runs r WHERE r.workspace_id = t.id ORDER BY r.number DESC LIMIT 1), \
    (SELECT r.status FROM runs r WHERE r.workspace_id = t.id ORDER BY r.number DESC LIMIT 1), \
    (SELECT count(*) FROM workspace_operations o WHERE o.execution_workspace_id = t.id AND o.status = 'running'), \
    (SELECT r.number FROM runs r WHERE r.workspace_id = t.id AND r.status = 'running' ORDER BY r.number DESC LIMIT 1), \
    (SELECT count(*) FROM workspace_snapshots s WHERE s.workspace_id = t.id AND s.status = 'kept')";
const JOINS: &str = "LEFT JOIN projects p ON p.id = t.project_id LEFT JOIN issues i ON i.id = t.source_issue_id \
    LEFT JOIN environments e ON e.id = t.environment_id";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<WorkspaceItem> {
    let n = WorkspaceRow::COLUMNS.len();
    Ok(WorkspaceItem {
        workspace: first(row)?,
        project: column(row, n)?,
        issue: column(row, n + 1)?,
        issue_title: column(row, n + 2)?,
        issue_status: column(row, n + 3)?,
        environment: column(row, n + 4)?,
        last_run_number: column(row, n + 5)?,
        last_run_status: column(row, n + 6)?,
        operations_running: column(row, n + 7)?,
        live_run_number: column(row, n + 8)?,
        snapshots_kept: column(row, n + 9)?,
    })
}

pub(super) fn operations(conn: &Connection, which: &Conditions, limit: i64) -> rusqlite::Result<Vec<OperationItem>> {
    let joins =
        "LEFT JOIN runs r ON r.id = t.run_id LEFT JOIN execution_workspaces w ON w.id = t.execution_workspace_id";
    let n = OperationRow::COLUMNS.len();
    which.run(
        conn,
        &select::<OperationRow>(", r.number, w.number", joins),
        &format!("ORDER BY t.number DESC LIMIT {limit}"),
        |row| {
            Ok(OperationItem {
                operation: first(row)?,
                run_number: column(row, n)?,
                workspace_number: column(row, n + 1)?,
            })
        },
    )
}

/// Which workspaces are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct WorkspaceQuery {
    /// Of this company.
    pub company: Option<CompanyId>,
    /// Of this project.
    pub project: Option<ProjectId>,
    /// Made for this issue.
    pub issue: Option<IssueId>,
    /// Also those that were archived.
    pub archived: bool,
}

/// Which operations are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct OperationQuery {
    /// On this workspace.
    pub workspace: Option<WorkspaceId>,
    /// Of this run.
    pub run: Option<RunId>,
}

impl WorkspaceQuery {
    pub(crate) fn rows(&self, conn: &Connection, below: i64, limit: i64) -> rusqlite::Result<Vec<WorkspaceItem>> {
        let mut all = Conditions::default();
        if !self.archived {
            all.term("t.status <> 'archived'");
        }
        all.equal("t.project_id", self.project.as_ref());
        all.equal("t.source_issue_id", self.issue.as_ref());
        all.equal("t.company_id", self.company.as_ref());
        all.with("t.number < ?", [Cell::Int(below)]);
        all.run(conn, &select::<WorkspaceRow>(MORE, JOINS), &format!("ORDER BY t.number DESC LIMIT {limit}"), read)
    }
}

impl OperationQuery {
    pub(crate) fn rows(&self, conn: &Connection, below: i64, limit: i64) -> rusqlite::Result<Vec<OperationItem>> {
        let mut all = Conditions::default();
        all.equal("t.execution_workspace_id", self.workspace.as_ref());
        all.equal("t.run_id", self.run.as_ref());
        all.with("t.number < ?", [Cell::Int(below)]);
        operations(conn, &all, limit)
    }
}

impl Reader {
    /// A page of workspaces, newest first; the cursor is a number.
    pub fn workspaces(
        &self,
        query: &WorkspaceQuery,
        below: Option<i64>,
        limit: usize,
    ) -> Result<Page<WorkspaceItem, i64>, StoreError> {
        let rows = self.read(|conn| query.rows(conn, below.unwrap_or(i64::MAX), one_more(limit)))?;
        Ok(page(rows, limit, |w| w.workspace.number))
    }

    /// How many workspaces of a company were archived.
    pub fn archived_workspaces(&self, company: Option<CompanyId>) -> Result<i64, StoreError> {
        self.read(|conn| {
            conn.prepare_cached(
                "SELECT count(*) FROM execution_workspaces WHERE status = 'archived' AND (?1 IS NULL OR company_id = ?1)",
            )?
            .query_row([company.map(CompanyId::text)], |row| row.get(0))
        })
    }

    /// One workspace.
    pub fn workspace(&self, id: WorkspaceId) -> Result<Option<WorkspaceItem>, StoreError> {
        self.read(|conn| {
            let mut one = Conditions::default();
            one.equal("t.id", Some(&id));
            Ok(one.run(conn, &select::<WorkspaceRow>(MORE, JOINS), "", read)?.pop())
        })
    }

    /// One operation.
    pub fn operation(&self, id: OperationId) -> Result<Option<OperationItem>, StoreError> {
        self.read(|conn| {
            let mut one = Conditions::default();
            one.equal("t.id", Some(&id));
            Ok(operations(conn, &one, 1)?.pop())
        })
    }

    /// A page of operations, newest first; the cursor is a number.
    pub fn operations(
        &self,
        query: &OperationQuery,
        below: Option<i64>,
        limit: usize,
    ) -> Result<Page<OperationItem, i64>, StoreError> {
        let rows = self.read(|conn| query.rows(conn, below.unwrap_or(i64::MAX), one_more(limit)))?;
        Ok(page(rows, limit, |o| o.operation.number))
    }
}
