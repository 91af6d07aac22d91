//! What archiving a workspace concerns, which workspaces and snapshots are kept no longer, and what is looked at
//! beside the loop.

use rusqlite::Connection;
use wharf_model::rules::close_check::CloseRows;
use wharf_model::rules::trash::{self, TrashItem};
use wharf_model::*;

use crate::load::{by_id, rows};
use crate::{Reader, StoreError};

/// Something in a trash whose time is over.
#[derive(Debug, Clone, PartialEq)]
pub struct OldTrash {
    /// The workspace.
    pub workspace: WorkspaceRow,
    /// What it is, and where.
    pub item: TrashItem,
    /// Where its repository can be opened: the checkout that it was made from, else the project's directory.
    pub project_path: String,
}

/// A snapshot whose time is over.
#[derive(Debug, Clone, PartialEq)]
pub struct OldSnapshot {
    /// The row.
    pub snapshot: SnapshotRow,
    /// Number of its workspace.
    pub workspace_number: i64,
    /// Where its repository can be opened: the checkout that its workspace was made from, else the project's directory.
    pub repo: String,
}

/// Rows, and whether there are more.
pub type Bounded<T> = (Vec<T>, bool);

pub(super) fn close_rows(conn: &Connection, id: WorkspaceId) -> rusqlite::Result<Option<CloseRows>> {
    let text = id.text();
    let Some(workspace) = by_id::<WorkspaceRow>(conn, &text)? else { return Ok(None) };
    let project_id = workspace.project_id.text();
    let Some(project) = by_id::<ProjectRow>(conn, &project_id)? else { return Ok(None) };
    let environment = match workspace.environment_id {
        Some(environment) => by_id::<EnvironmentRow>(conn, &environment.text())?,
        None => None,
    };
    let mut issues: Vec<IssueRow> = rows(conn, "WHERE execution_workspace_id = ?1 ORDER BY number", [&text])?;
    if let Some(source) = workspace.source_issue_id.filter(|source| !issues.iter().any(|i| i.id == *source)) {
        issues.extend(by_id::<IssueRow>(conn, &source.text())?);
    }
    let under_way: Vec<String> = conn
        .prepare_cached(
            "SELECT kind FROM actions WHERE status IN ('pending', 'performing') AND entity_type = 'workspace' \
             AND entity_id = ?1 ORDER BY kind",
        )?
        .query_map([&text], |row| row.get::<_, String>(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(CloseRows {
        environment,
        issues,
        runs: rows(
            conn,
            "WHERE status IN ('queued', 'scheduled_retry', 'running') AND status = 'running' AND workspace_id = ?1 \
             ORDER BY number",
            [&text],
        )?,
        services: rows(
            conn,
            "WHERE project_id = ?1 AND status NOT IN ('stopped', 'failed') ORDER BY number",
            [&project_id],
        )?,
        operations: rows(
            conn,
            "WHERE status IN ('queued', 'running') AND status = 'running' AND execution_workspace_id = ?1 \
             ORDER BY number",
            [&text],
        )?,
        leases: rows(
            conn,
            "WHERE status NOT IN ('released', 'expired', 'failed') AND execution_workspace_id = ?1 ORDER BY number",
            [&text],
        )?,
        last_snapshot: conn
            .prepare_cached("SELECT coalesce(max(ordinal), 0) FROM workspace_snapshots WHERE workspace_id = ?1")?
            .query_row([&text], |row| row.get(0))?,
        under_way: under_way.iter().map(|kind| kind.replace('_', " ")).collect(),
        workspace,
        project,
    }))
}

/// Rows with something in a trash; those of which nothing is there are not read.
fn with_trash(conn: &Connection) -> rusqlite::Result<Vec<WorkspaceRow>> {
    let mut all: Vec<WorkspaceRow> = rows(conn, "WHERE trash_path IS NOT NULL", [])?;
    let more: Vec<WorkspaceRow> = rows(conn, "WHERE trash_more IS NOT NULL AND trash_path IS NULL", [])?;
    all.extend(more);
    all.sort_by_key(|row| row.number);
    Ok(all)
}

/// Cuts the row off that says there are more.
fn cut<T>(mut found: Vec<T>, limit: usize) -> Bounded<T> {
    let more = found.len() > limit;
    found.truncate(limit);
    (found, more)
}

impl Reader {
    /// The rows that archiving a workspace concerns, all of one moment; none when there is no such workspace.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn close_rows(&self, id: WorkspaceId) -> Result<Option<CloseRows>, StoreError> {
        self.read(|conn| close_rows(conn, id))
    }

    /// Directories of all projects that are or were known: none of them is ever removed.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn project_paths(&self) -> Result<Vec<String>, StoreError> {
        self.read(|conn| {
            conn.prepare_cached("SELECT path FROM projects ORDER BY path")?.query_map([], |row| row.get(0))?.collect()
        })
    }

    /// Workspaces that might be archived by themselves: those that nobody shares or uses, the oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn reap_candidates(&self, project: Option<ProjectId>) -> Result<Vec<WorkspaceRow>, StoreError> {
        self.read(|conn| {
            rows(
                conn,
                "WHERE status IN ('idle', 'in_review', 'failed') AND strategy_type = 'git_worktree' \
                 AND (?1 IS NULL OR project_id = ?1) ORDER BY number",
                [project.map(ProjectId::text)],
            )
        })
    }

    /// Workspaces whose directory must be there although nobody works in it: the oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn resting_workspaces(&self) -> Result<Vec<WorkspaceRow>, StoreError> {
        self.read(|conn| rows(conn, "WHERE status IN ('idle', 'missing') ORDER BY number", []))
    }

    /// What has been in a trash for long enough, the oldest first, whatever its workspace does meanwhile.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn trash_due(&self, now: UnixMillis, limit: usize) -> Result<Bounded<OldTrash>, StoreError> {
        let found = self.read(|conn| {
            let mut due: Vec<(TrashItem, WorkspaceRow)> = with_trash(conn)?
                .into_iter()
                .flat_map(|row| trash::items(&row).into_iter().map(move |item| (item, row.clone())))
                .filter(|(item, _)| item.is_due(now))
                .collect();
            due.sort_by_key(|(item, row)| (item.until, row.number));
            due.truncate(limit.saturating_add(1));
            let with_path = |(item, workspace): (TrashItem, WorkspaceRow)| {
                let project = by_id::<ProjectRow>(conn, &workspace.project_id.text())?;
                let project_path = workspace.repo_root.clone().or(project.map(|p| p.path)).unwrap_or_default();
                Ok(OldTrash { workspace, item, project_path })
            };
            due.into_iter().map(with_path).collect::<rusqlite::Result<Vec<_>>>()
        })?;
        Ok(cut(found, limit))
    }

    /// Every workspace there is or was.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn all_workspaces(&self) -> Result<Vec<WorkspaceRow>, StoreError> {
        self.read(|conn| rows(conn, "ORDER BY number", []))
    }

    /// Snapshots that have been kept for long enough, the oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn snapshots_due(&self, now: UnixMillis, limit: usize) -> Result<Bounded<OldSnapshot>, StoreError> {
        let found = self.read(|conn| {
            let due: Vec<SnapshotRow> = rows(
                conn,
                "WHERE status = 'kept' AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2",
                (now.0, limit.saturating_add(1) as i64),
            )?;
            let with_path = |snapshot: SnapshotRow| {
                let project = by_id::<ProjectRow>(conn, &snapshot.project_id.text())?;
                let workspace = by_id::<WorkspaceRow>(conn, &snapshot.workspace_id.text())?;
                let workspace_number = workspace.as_ref().map_or(0, |w| w.number);
                let repo = workspace.and_then(|w| w.repo_root).or(project.map(|p| p.path)).unwrap_or_default();
                Ok(OldSnapshot { snapshot, workspace_number, repo })
            };
            due.into_iter().map(with_path).collect::<rusqlite::Result<Vec<_>>>()
        })?;
        Ok(cut(found, limit))
    }

    /// Snapshots of a workspace that are kept, the newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn kept_snapshots(&self, workspace: WorkspaceId) -> Result<Vec<SnapshotRow>, StoreError> {
        self.read(|conn| {
            rows(conn, "WHERE workspace_id = ?1 AND status = 'kept' ORDER BY ordinal DESC", [workspace.text()])
        })
    }
}
