//! Workspaces and operations: their lines, and what filters ask of them.

use super::fact;
use crate::console::questions::filter::Facts;
use wharf_model::filter::{Field, Status};
use wharf_model::{Kind, OperationPhase, OperationStatus, UnixMillis, WorkspaceStatus};
use wharf_store::view;
use wharf_ui::glyph::Class;
use wharf_ui::rows::{Fact, FactBlock, OperationLine, WorkspaceLine};

/// Class and word of a workspace's state.
pub const fn workspace_state(status: WorkspaceStatus, used: bool) -> (Class, &'static str) {
    match status {
        WorkspaceStatus::Realising => (Class::Waits, "realising"),
        WorkspaceStatus::Active if used => (Class::Alive, "in use"),
        WorkspaceStatus::Active => (Class::Alive, "active"),
        WorkspaceStatus::Idle => (Class::Waits, "idle"),
        WorkspaceStatus::InReview => (Class::Clock, "in review"),
        WorkspaceStatus::Archiving => (Class::Ending, "archiving"),
        WorkspaceStatus::Archived => (Class::Chosen, "archived"),
        WorkspaceStatus::CleanupFailed => (Class::Bad, "cleanup failed"),
        WorkspaceStatus::Failed => (Class::Bad, "failed"),
        WorkspaceStatus::Missing => (Class::Bad, "missing"),
    }
}

/// A workspace, without what only its directory knows.
pub fn workspace(item: &view::WorkspaceItem) -> WorkspaceLine {
    let row = &item.workspace;
    let used = item.last_run_status.is_some_and(|s| !s.is_terminal());
    let (class, word) = workspace_state(row.status, used);
    let base = match (&row.base_ref, &row.base_commit) {
        (Some(name), Some(commit)) => Some(format!("{name}@{}", commit.get(..7).unwrap_or(commit))),
        (Some(name), None) => Some(name.clone()),
        (None, Some(commit)) => Some(commit.get(..7).unwrap_or(commit).to_owned()),
        (None, None) => None,
    };
    let mut about = vec![
        fact("WORKSPACE", Kind::Workspace.number(row.number), row.id.text()),
        Fact {
            bad: row.failure_reason.is_some(),
            ..fact("status", word, row.failure_reason.clone().unwrap_or_default())
        },
        fact("mode", row.mode.as_str().replace('_', " "), row.strategy_type.as_str().replace('_', " ")),
        fact("directory", row.cwd.clone().unwrap_or_else(|| "–".to_owned()), ""),
    ];
    if let Some(branch) = &row.branch_name {
        let made = if row.branch_created_by_runtime { "made by wharf" } else { "was there before" };
        about.push(fact("branch", branch.clone(), made));
    }
    if let Some(base) = &base {
        about.push(fact("base", base.clone(), ""));
    }
    if let Some(n) = item.last_run_number {
        let status = item.last_run_status.map(|s| s.to_string()).unwrap_or_default();
        about.push(fact("last run", Kind::Run.number(n), status));
    }
    let mode = match row.strategy_type {
        wharf_model::WorkspaceStrategy::GitWorktree => "worktree",
        wharf_model::WorkspaceStrategy::ProjectPrimary => "shared",
        wharf_model::WorkspaceStrategy::AdapterManaged => "the agent's own",
        wharf_model::WorkspaceStrategy::CloudSandbox => "sandbox",
    };
    let last_run = item.last_run_number.map(|n| {
        let status = item.last_run_status.map(|s| s.as_str().replace('_', " ")).unwrap_or_default();
        format!("{} {status}", Kind::Run.number(n)).trim_end().to_owned()
    });
    WorkspaceLine {
        id: row.id,
        mode: mode.to_owned(),
        last_run,
        number: row.number,
        version: row.version,
        class,
        word: word.to_owned(),
        live: row.status != WorkspaceStatus::Archived,
        issue: item.issue.clone(),
        branch: row.branch_name.clone(),
        base,
        path: row.cwd.clone().unwrap_or_default(),
        dirty: None,
        untracked: None,
        ahead: None,
        behind: None,
        size_bytes: None,
        created_at: row.created_at,
        used_at: Some(row.last_used_at),
        holder: item.last_run_number.filter(|_| used).map(|n| Kind::Run.number(n)),
        environment: item.environment.clone(),
        facts: vec![FactBlock { facts: about }],
    }
}

/// What a filter compares of a workspace.
pub fn workspace_facts(item: &view::WorkspaceItem, now: UnixMillis) -> Facts {
    let row = &item.workspace;
    let own = match row.status {
        WorkspaceStatus::Realising => Status::Starting,
        WorkspaceStatus::Active | WorkspaceStatus::InReview => Status::Active,
        WorkspaceStatus::Idle => Status::Idle,
        WorkspaceStatus::Archiving => Status::Stopping,
        WorkspaceStatus::Archived => Status::Archived,
        WorkspaceStatus::CleanupFailed | WorkspaceStatus::Failed => Status::Failed,
        WorkspaceStatus::Missing => Status::Missing,
    };
    let group = if row.status == WorkspaceStatus::Archived { Status::Ended } else { Status::Live };
    let names = [
        (Field::Workspace, Some(Kind::Workspace.number(row.number))),
        (Field::Issue, item.issue.clone()),
        (Field::Environment, item.environment.clone()),
        (Field::Run, item.last_run_number.map(|n| Kind::Run.number(n))),
        (Field::Kind, Some(row.mode.to_string())),
    ];
    let words = [Some(row.name.clone()), row.branch_name.clone(), row.cwd.clone(), item.issue.clone()];
    Facts {
        statuses: vec![own, group],
        fields: names.into_iter().filter_map(|(f, v)| Some((f, v?))).collect(),
        began: Some(row.created_at),
        took_ms: Some(row.created_at.until(row.closed_at.unwrap_or(now))),
        exit: None,
        cost: None,
        words: words.into_iter().flatten().collect(),
    }
}

/// What an operation does, in words.
pub const fn phase_words(phase: OperationPhase) -> &'static str {
    match phase {
        OperationPhase::WorktreePrepare => "make the worktree",
        OperationPhase::WorkspaceProvision => "provision",
        OperationPhase::WorkspaceTeardown => "tear down",
        OperationPhase::WorktreeCleanup => "remove the worktree",
        OperationPhase::WorkspaceJob => "job",
        OperationPhase::WorkspaceSnapshot => "snapshot",
        OperationPhase::WorkspaceRestore => "restore",
        OperationPhase::WorkspaceClone => "clone",
        OperationPhase::ServicePrestart => "check before a service starts",
    }
}

/// An operation.
pub fn operation(item: &view::OperationItem) -> OperationLine {
    let row = &item.operation;
    let (class, word) = match row.status {
        OperationStatus::Running => (Class::Alive, "running"),
        OperationStatus::Succeeded => (Class::Good, "done"),
        OperationStatus::Failed => (Class::Bad, "failed"),
        OperationStatus::Lost => (Class::Bad, "lost"),
        OperationStatus::Skipped => (Class::Chosen, "skipped"),
    };
    OperationLine {
        id: row.id,
        number: row.number,
        phase: phase_words(row.phase).to_owned(),
        class,
        word: word.to_owned(),
        command: row.command.clone().unwrap_or_default(),
        started_at: Some(row.started_at),
        finished_at: row.finished_at,
        exit_code: row.exit_code,
        error: row.error.clone(),
    }
}
