//! Snapshots of workspaces, those that are kept and those that were.

use serde::Serialize;
use wharf_model::column::Row;
use wharf_model::*;

use super::{Conditions, column, first, one_more, select};
use crate::{Reader, StoreError};

/// A snapshot with the numbers around it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SnapshotItem {
    /// The row.
    pub snapshot: SnapshotRow,
    /// Number of its workspace.
    pub workspace_number: i64,
    /// Number of the run it was made for.
    pub run_number: Option<i64>,
}

impl SnapshotItem {
    /// `W-7.2`.
    pub fn number(&self) -> String {
        format!("{}.{}", Kind::Workspace.number(self.workspace_number), self.snapshot.ordinal)
    }
}

const JOINS: &str = "JOIN execution_workspaces w ON w.id = t.workspace_id LEFT JOIN runs r ON r.id = t.run_id";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<SnapshotItem> {
    let n = SnapshotRow::COLUMNS.len();
    Ok(SnapshotItem { snapshot: first(row)?, workspace_number: column(row, n)?, run_number: column(row, n + 1)? })
}

impl Reader {
    /// Snapshots of a workspace, the newest first, at most `limit`.
    pub fn snapshots(&self, workspace: WorkspaceId, limit: usize) -> Result<Vec<SnapshotItem>, StoreError> {
        self.read(|conn| {
            let mut of = Conditions::default();
            of.equal("t.workspace_id", Some(&workspace));
            let most = one_more(limit) - 1;
            of.run(
                conn,
                &select::<SnapshotRow>(", w.number, r.number", JOINS),
                &format!("ORDER BY t.ordinal DESC LIMIT {most}"),
                read,
            )
        })
    }

    /// One snapshot.
    pub fn snapshot(&self, id: SnapshotId) -> Result<Option<SnapshotItem>, StoreError> {
        self.read(|conn| {
            let mut one = Conditions::default();
            one.equal("t.id", Some(&id));
            Ok(one.run(conn, &select::<SnapshotRow>(", w.number, r.number", JOINS), "", read)?.pop())
        })
    }
}
