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

#[cfg(test)]
mod tests {
    use wharf_model::state::Tx;

    use crate::state_test::make;
    use crate::view::WorkspaceQuery;

    use super::*;

    fn workspace(n: u128, status: WorkspaceStatus) -> WorkspaceRow {
        WorkspaceRow {
            id: make::id(n),
            number: n as i64,
            company_id: make::id(1),
            project_id: make::id(1),
            project_workspace_id: None,
            source_issue_id: None,
            derived_from_execution_workspace_id: None,
            mode: WorkspaceMode::IsolatedWorkspace,
            strategy_type: WorkspaceStrategy::GitWorktree,
            name: format!("tree-{n}"),
            status,
            cwd: Some(format!("/trees/{n}")),
            repo_root: None,
            repo_url: None,
            base_ref: None,
            base_commit: None,
            branch_name: None,
            provider_type: "git".into(),
            provider_ref: None,
            created_by_runtime: true,
            branch_created_by_runtime: true,
            environment_id: None,
            last_used_at: UnixMillis(1),
            deadline_at: None,
            closed_at: None,
            cleanup_eligible_at: None,
            failure_reason: None,
            metadata: None,
            config: None,
            source: None,
            trash_path: None,
            trash_until: None,
            trash_bytes: None,
            trash_more: None,
            version: 0,
            created_at: UnixMillis(1),
            updated_at: UnixMillis(1),
        }
    }

    fn snapshot(n: u128, of: u128, ordinal: i64, status: SnapshotStatus) -> SnapshotRow {
        SnapshotRow {
            id: make::id(n),
            workspace_id: make::id(of),
            company_id: make::id(1),
            project_id: make::id(1),
            run_id: (ordinal == 2).then(|| make::id(1)),
            ordinal,
            status,
            reason: "asked for".into(),
            ref_name: format!("refs/wharf/snapshots/{n}"),
            commit_id: "c0ffee".into(),
            head_commit: None,
            branch_name: None,
            files: 3,
            bytes: 900,
            metadata: None,
            expires_at: None,
            restored_at: None,
            removed_at: None,
            version: 0,
            created_at: UnixMillis(1),
            updated_at: UnixMillis(1),
        }
    }

    #[test]
    fn snapshots_are_those_of_one_workspace_and_what_is_kept_is_counted() {
        let (dir, mut writer, mut state) = make::store();
        let mut tx = Tx::new(&mut state, UnixMillis(50));
        tx.put(make::run(1, 42));
        tx.put(workspace(7, WorkspaceStatus::Realising));
        tx.put(workspace(8, WorkspaceStatus::Realising));
        tx.put(snapshot(71, 7, 1, SnapshotStatus::Kept));
        tx.put(snapshot(72, 7, 2, SnapshotStatus::Kept));
        tx.put(snapshot(81, 8, 1, SnapshotStatus::Kept));
        let changes = tx.finish().unwrap().changes;
        assert_eq!(writer.commit(&[changes]).unwrap(), vec![Ok(())]);
        let mut tx = Tx::new(&mut state, UnixMillis(60));
        tx.update::<SnapshotRow>(make::id(71), |s| s.status = SnapshotStatus::Removed);
        let changes = tx.finish().unwrap().changes;
        assert_eq!(writer.commit(&[changes]).unwrap(), vec![Ok(())]);
        let reader = Reader::open(dir.path()).unwrap();
        let all = reader.snapshots(make::id(7), 10).unwrap();
        let told: Vec<(String, Option<i64>)> = all.iter().map(|s| (s.number(), s.run_number)).collect();
        assert_eq!(told, [("W-7.2".to_owned(), Some(42)), ("W-7.1".to_owned(), None)]);
        assert_eq!(reader.snapshots(make::id(7), 1).unwrap().len(), 1);
        assert_eq!(reader.snapshot(make::id(81)).unwrap().map(|s| s.number()).as_deref(), Some("W-8.1"));
        let page = reader.workspaces(&WorkspaceQuery::default(), None, 10).unwrap();
        let kept: Vec<(i64, i64)> = page.rows.iter().map(|w| (w.workspace.number, w.snapshots_kept)).collect();
        assert_eq!(kept, [(8, 1), (7, 1)]);
        assert_eq!(reader.archived_workspaces(None).unwrap(), 0);
        assert_eq!(page.rows[0].live_run_number, None);
    }
}
