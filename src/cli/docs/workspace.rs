//! A workspace in documents, with what was done in it and what is kept of it.

use serde::Serialize;
use wharf_model::rules::close_check::Place;
use wharf_model::rules::trash::{self, TrashItem};
use wharf_model::{Kind, UnixMillis};
use wharf_store::view::{OperationItem, SnapshotItem, WorkspaceItem};

use super::State;
use crate::cli::run_doc::{class_word, time};
use crate::console::workspace_facts::{is_shared, workspace_state as state_of};
use crate::workspace::inventory::Stock;

/// State of a workspace, in the words of its screen.
pub fn workspace_state(item: &WorkspaceItem) -> State {
    let row = &item.workspace;
    state_of(row.status, item.live_run_number.is_some(), is_shared(row))
}

/// A workspace in a document.
#[derive(Debug, Serialize)]
pub struct WorkspaceDoc {
    id: String,
    number: String,
    name: String,
    status: String,
    class: &'static str,
    since: Option<String>,
    until: Option<String>,
    project: Option<String>,
    issue: Option<String>,
    issue_status: Option<String>,
    environment: Option<String>,
    mode: String,
    strategy: String,
    cwd: Option<String>,
    branch: Option<String>,
    base_ref: Option<String>,
    base_commit: Option<String>,
    created_by_wharf: bool,
    branch_created_by_wharf: bool,
    last_run: Option<String>,
    live_run: Option<String>,
    operations_running: i64,
    snapshots_kept: i64,
    last_used_at: Option<String>,
    closed_at: Option<String>,
    trash_path: Option<String>,
    trash_until: Option<String>,
    trash_bytes: Option<i64>,
    /// All of it that lies in a trash, that of its last archive first.
    trash: Vec<TrashDoc>,
    failure_reason: Option<String>,
    /// Null unless it was asked for: it reads the disk.
    inventory: Option<InventoryDoc>,
    version: i64,
}

impl WorkspaceDoc {
    /// The document of a workspace, with what its directory holds when that was looked at.
    pub fn new(item: &WorkspaceItem, stock: Option<&Stock>) -> Self {
        let w = &item.workspace;
        Self {
            id: w.id.text(),
            number: Kind::Workspace.number(w.number),
            name: w.name.clone(),
            status: w.status.to_string(),
            class: class_word(workspace_state(item).0),
            since: time(w.closed_at.or(Some(w.last_used_at))),
            until: time(w.deadline_at.or(w.cleanup_eligible_at)),
            project: item.project.clone(),
            issue: item.issue.clone(),
            issue_status: item.issue_status.map(|s| s.to_string()),
            environment: item.environment.clone(),
            mode: w.mode.to_string(),
            strategy: w.strategy_type.to_string(),
            cwd: w.cwd.clone(),
            branch: w.branch_name.clone(),
            base_ref: w.base_ref.clone(),
            base_commit: w.base_commit.clone(),
            created_by_wharf: w.created_by_runtime,
            branch_created_by_wharf: w.branch_created_by_runtime,
            last_run: item.last_run_number.map(|n| Kind::Run.number(n)),
            live_run: item.live_run_number.map(|n| Kind::Run.number(n)),
            operations_running: item.operations_running,
            snapshots_kept: item.snapshots_kept,
            last_used_at: time(Some(w.last_used_at)),
            closed_at: time(w.closed_at),
            trash_path: w.trash_path.clone(),
            trash_until: time(w.trash_until),
            trash_bytes: w.trash_bytes,
            trash: trash::items(w).iter().map(TrashDoc::new).collect(),
            failure_reason: w.failure_reason.clone(),
            inventory: stock.map(InventoryDoc::new),
            version: w.version,
        }
    }
}

/// Something of a workspace in a trash.
#[derive(Debug, Serialize)]
pub struct TrashDoc {
    name: String,
    /// `directory` or `entry`.
    kind: &'static str,
    place: String,
    /// Null is for ever.
    until: Option<String>,
    bytes: Option<i64>,
}

impl TrashDoc {
    fn new(item: &TrashItem) -> Self {
        Self {
            name: item.name().to_owned(),
            kind: item.kind.as_str(),
            place: item.place.clone(),
            until: time(item.until),
            bytes: item.bytes,
        }
    }
}

/// What a directory holds; null is unknown, never zero.
#[derive(Debug, Serialize)]
pub struct InventoryDoc {
    place: &'static str,
    head: Option<String>,
    bytes: Option<u64>,
    changed: Option<u64>,
    untracked: Option<u64>,
    ahead: Option<u64>,
    behind: Option<u64>,
    merged: Option<bool>,
    last_change_at: Option<String>,
    unknown: Vec<String>,
}

impl InventoryDoc {
    /// The document of what was found.
    pub fn new(stock: &Stock) -> Self {
        let (place, why) = match &stock.place {
            Place::Ours => ("ours", None),
            Place::NotOurs(why) => ("not_ours", Some(why.clone())),
            Place::Gone => ("gone", None),
            Place::Unknown(why) => ("unknown", Some(why.clone())),
        };
        Self {
            place,
            head: stock.head.clone(),
            bytes: stock.bytes,
            changed: stock.changed,
            untracked: stock.untracked,
            ahead: stock.ahead,
            behind: stock.behind,
            merged: stock.merged,
            last_change_at: time(stock.last_change),
            unknown: why.into_iter().chain(stock.unknown.iter().cloned()).collect(),
        }
    }
}

/// An operation in a document.
#[derive(Debug, Serialize)]
pub struct OperationDoc {
    id: String,
    number: String,
    phase: String,
    status: String,
    command: Option<String>,
    run: Option<String>,
    exit_code: Option<i32>,
    signal: Option<String>,
    error: Option<String>,
    started_at: Option<String>,
    finished_at: Option<String>,
    took_ms: Option<i64>,
    /// Whether its output can still be read.
    has_log: bool,
}

impl OperationDoc {
    /// The document of an operation.
    pub fn new(item: &OperationItem) -> Self {
        let o = &item.operation;
        Self {
            id: o.id.text(),
            number: Kind::Operation.number(o.number),
            phase: o.phase.to_string(),
            status: o.status.to_string(),
            command: o.command.clone(),
            run: item.run_number.map(|n| Kind::Run.number(n)),
            exit_code: o.exit_code,
            signal: o.signal.clone(),
            error: o.error.clone(),
            started_at: time(Some(o.started_at)),
            finished_at: time(o.finished_at),
            took_ms: o.finished_at.map(|at| o.started_at.until(at)),
            has_log: o.log_ref.is_some() && o.log_deleted_at.is_none(),
        }
    }
}

/// A snapshot in a document.
#[derive(Debug, Serialize)]
pub struct SnapshotDoc {
    id: String,
    number: String,
    status: String,
    reason: String,
    run: Option<String>,
    ref_name: String,
    commit: String,
    head_commit: Option<String>,
    branch: Option<String>,
    files: i64,
    bytes: i64,
    made_at: String,
    kept_until: Option<String>,
    restored_at: Option<String>,
    removed_at: Option<String>,
}

impl SnapshotDoc {
    /// The document of a snapshot.
    pub fn new(item: &SnapshotItem) -> Self {
        let s = &item.snapshot;
        let at = |at: Option<UnixMillis>| time(at);
        Self {
            id: s.id.text(),
            number: item.number(),
            status: s.status.to_string(),
            reason: s.reason.clone(),
            run: item.run_number.map(|n| Kind::Run.number(n)),
            ref_name: s.ref_name.clone(),
            commit: s.commit_id.clone(),
            head_commit: s.head_commit.clone(),
            branch: s.branch_name.clone(),
            files: s.files,
            bytes: s.bytes,
            made_at: s.created_at.rfc3339(),
            kept_until: at(s.expires_at),
            restored_at: at(s.restored_at),
            removed_at: at(s.removed_at),
        }
    }
}
