//! Issues with who works on them.

use rusqlite::Connection;
use serde::Serialize;
use wharf_model::column::{Cell, Row};
use wharf_model::*;

use super::{Conditions, Page, anywhere, column, first, one_more, page, select};
use crate::{Reader, StoreError, load};

/// An issue with the names around it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IssueItem {
    /// The row.
    pub issue: IssueRow,
    /// Name of the agent it is assigned to.
    pub assignee: Option<String>,
    /// Number of its newest run.
    pub last_run_number: Option<i64>,
    /// Status of that run.
    pub last_run_status: Option<RunStatus>,
    /// What that run achieved.
    pub last_run_liveness: Option<LivenessState>,
    /// Comments on it.
    pub comments: i64,
}

const LAST: &str = "FROM runs r WHERE r.issue_id = t.id ORDER BY r.number DESC LIMIT 1";
const JOINS: &str = "LEFT JOIN agents a ON a.id = t.assignee_agent_id";

fn more() -> String {
    format!(
        ", a.name, (SELECT r.number {LAST}), (SELECT r.status {LAST}), (SELECT r.liveness_state {LAST}), \
         (SELECT count(*) FROM issue_comments c WHERE c.issue_id = t.id), t.rowid"
    )
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, IssueItem)> {
    let n = IssueRow::COLUMNS.len();
    let item = IssueItem {
        issue: first(row)?,
        assignee: column(row, n)?,
        last_run_number: column(row, n + 1)?,
        last_run_status: column(row, n + 2)?,
        last_run_liveness: column(row, n + 3)?,
        comments: column(row, n + 4)?,
    };
    Ok((row.get(n + 5)?, item))
}

/// Which issues are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct IssueQuery {
    /// Of this company.
    pub company: Option<CompanyId>,
    /// Of this project.
    pub project: Option<ProjectId>,
    /// Only those that are neither done nor cancelled.
    pub open_only: bool,
    /// In this state.
    pub status: Option<IssueStatus>,
    /// Assigned to this agent.
    pub assignee: Option<AgentId>,
    /// In identifier or title.
    pub text: Option<String>,
}

impl IssueQuery {
    pub(crate) fn rows(&self, conn: &Connection, below: i64, limit: i64) -> rusqlite::Result<Vec<(i64, IssueItem)>> {
        let mut all = Conditions::default();
        if self.open_only {
            all.term("t.status NOT IN ('done', 'cancelled')");
        }
        all.equal("t.project_id", self.project.as_ref());
        all.equal("t.status", self.status.as_ref());
        all.equal("t.assignee_agent_id", self.assignee.as_ref());
        all.equal("t.company_id", self.company.as_ref());
        if let Some(text) = self.text.as_deref().filter(|t| !t.is_empty()) {
            all.with("(t.identifier LIKE ? ESCAPE '\\' OR t.title LIKE ? ESCAPE '\\')", vec![anywhere(text); 2]);
        }
        all.with("t.rowid < ?", [Cell::Int(below)]);
        all.run(conn, &select::<IssueRow>(&more(), JOINS), &format!("ORDER BY t.rowid DESC LIMIT {limit}"), read)
    }
}

impl Reader {
    /// A page of issues, newest first; the cursor is a row's position.
    pub fn issues(
        &self,
        query: &IssueQuery,
        below: Option<i64>,
        limit: usize,
    ) -> Result<Page<IssueItem, i64>, StoreError> {
        let rows = self.read(|conn| query.rows(conn, below.unwrap_or(i64::MAX), one_more(limit)))?;
        let Page { rows, next } = page(rows, limit, |(position, _)| *position);
        Ok(Page { rows: rows.into_iter().map(|(_, row)| row).collect(), next })
    }

    /// One issue.
    pub fn issue(&self, id: IssueId) -> Result<Option<IssueItem>, StoreError> {
        self.read(|conn| {
            let mut one = Conditions::default();
            one.equal("t.id", Some(&id));
            Ok(one.run(conn, &select::<IssueRow>(&more(), JOINS), "", read)?.pop().map(|(_, item)| item))
        })
    }

    /// Comments on an issue, newest first; at most `limit`.
    pub fn comments(&self, id: IssueId, limit: usize) -> Result<Vec<CommentRow>, StoreError> {
        let limit = one_more(limit) - 1;
        self.read(|conn| {
            load::rows(conn, "WHERE issue_id = ?1 ORDER BY created_at DESC, rowid DESC LIMIT ?2", (id.text(), limit))
        })
    }
}
