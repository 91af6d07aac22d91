//! Workspaces and operations: their lines, and what filters ask of them.

use super::fact;
use crate::console::checkouts::Known;
use crate::console::questions::filter::Facts;
use wharf_model::filter::{Field, Status};
use wharf_model::rules::running_job;
use wharf_model::{
    Kind, OperationPhase, OperationStatus, SnapshotStatus, UnixMillis, WorkspaceMode, WorkspaceRow, WorkspaceStatus,
    WorkspaceStrategy,
};
use wharf_store::view;
use wharf_ui::glyph::Class;
use wharf_ui::rows::{FactBlock, OperationLine, SnapshotLine, WorkspaceLine};

/// Class and word of a workspace's state, as far as its row says.
pub const fn workspace_state(status: WorkspaceStatus, used: bool, shared: bool) -> (Class, &'static str) {
    match status {
        WorkspaceStatus::Realising => (Class::Waits, "realising"),
        WorkspaceStatus::Active | WorkspaceStatus::Idle if used => (Class::Alive, "in use"),
        WorkspaceStatus::Active | WorkspaceStatus::Idle if shared => (Class::Alive, "shared"),
        WorkspaceStatus::Active => (Class::Alive, "active"),
        WorkspaceStatus::Idle => (Class::Waits, "idle"),
        WorkspaceStatus::InReview => (Class::NeedsPerson, "in review"),
        WorkspaceStatus::Archiving => (Class::Ending, "archiving"),
        WorkspaceStatus::Archived => (Class::Chosen, "archived"),
        WorkspaceStatus::CleanupFailed => (Class::Bad, "cleanup failed"),
        WorkspaceStatus::Failed => (Class::Bad, "failed"),
        WorkspaceStatus::Missing => (Class::Bad, "missing"),
    }
}

/// Whether many work in it: the project's own checkout.
pub fn is_shared(row: &WorkspaceRow) -> bool {
    row.strategy_type == WorkspaceStrategy::ProjectPrimary || row.mode == WorkspaceMode::SharedWorkspace
}

/// A workspace with what was found in its directory.
pub fn workspace(item: &view::WorkspaceItem, known: &Known) -> WorkspaceLine {
    let row = &item.workspace;
    let used = item.live_run_number.is_some();
    let (class, word) = seen(item, known);
    let base = match (&row.base_ref, &row.base_commit) {
        (Some(name), Some(commit)) => Some(format!("{name}@{}", commit.get(..7).unwrap_or(commit))),
        (Some(name), None) => Some(name.clone()),
        (None, Some(commit)) => Some(commit.get(..7).unwrap_or(commit).to_owned()),
        (None, None) => None,
    };
    let mut about = vec![fact("id", row.id.text(), "")];
    if row.branch_name.is_some() {
        let made = if row.branch_created_by_runtime { "made by wharf" } else { "was there before" };
        about.push(fact("its branch", made, ""));
    }
    let mode = match row.strategy_type {
        WorkspaceStrategy::GitWorktree => "worktree",
        WorkspaceStrategy::ProjectPrimary => "shared",
        WorkspaceStrategy::AdapterManaged => "the agent's own",
        WorkspaceStrategy::CloudSandbox => "sandbox",
    };
    let last_run = item.last_run_number.map(|n| {
        let status = item.last_run_status.map(|s| s.as_str().replace('_', " ")).unwrap_or_default();
        format!("{} {status}", Kind::Run.number(n)).trim_end().to_owned()
    });
    let live = row.status != WorkspaceStatus::Archived;
    let figures = known.figures.unwrap_or_default();
    let stock = known.stock.as_ref().map(|(stock, _)| stock);
    let trashed = row.trash_bytes.filter(|_| row.trash_path.is_some()).and_then(|n| u64::try_from(n).ok());
    WorkspaceLine {
        id: row.id,
        mode: mode.to_owned(),
        last_run,
        number: row.number,
        version: row.version,
        class,
        word: word.to_owned(),
        live,
        issue: item.issue.clone(),
        branch: row.branch_name.clone(),
        base,
        path: row.cwd.clone().unwrap_or_default(),
        dirty: figures.dirty,
        untracked: figures.untracked,
        ahead: figures.ahead,
        behind: figures.behind,
        unpushed: known.unpushed,
        merged: stock.and_then(|s| s.merged),
        size_bytes: if live { stock.and_then(|s| s.bytes) } else { trashed },
        ours: row.created_by_runtime,
        created_at: row.created_at,
        used_at: Some(row.last_used_at),
        holder: item.live_run_number.filter(|_| used).map(|n| Kind::Run.number(n)),
        environment: item.environment.clone(),
        facts: vec![FactBlock::default(), FactBlock { facts: about }],
    }
}

/// Its state, with what was seen of its directory: one that rests may be merged, gone, or not to be judged.
fn seen(item: &view::WorkspaceItem, known: &Known) -> (Class, &'static str) {
    let row = &item.workspace;
    let used = item.live_run_number.is_some();
    let state = workspace_state(row.status, used, is_shared(row));
    if !matches!(row.status, WorkspaceStatus::Active | WorkspaceStatus::Idle | WorkspaceStatus::InReview) {
        return state;
    }
    match known.trouble() {
        Some((true, _)) => return (Class::Bad, "missing"),
        Some((false, _)) => return (Class::Unknown, "unknown"),
        None => {}
    }
    let Some((stock, _)) = &known.stock else { return state };
    let nothing_loose = stock.changed == Some(0) && stock.untracked == Some(0);
    // What has no commit of its own has merged nothing.
    let worked = stock.head.is_some() && stock.head != row.base_commit;
    let rests = row.status == WorkspaceStatus::Idle && !used && !is_shared(row);
    if rests && worked && nothing_loose && stock.merged == Some(true) { (Class::Good, "merged") } else { state }
}

/// A snapshot.
pub fn snapshot(item: &view::SnapshotItem) -> SnapshotLine {
    let row = &item.snapshot;
    let counted = |n: i64| u64::try_from(n).unwrap_or(0);
    SnapshotLine {
        id: row.id,
        ordinal: row.ordinal,
        at: row.created_at,
        files: counted(row.files),
        bytes: counted(row.bytes),
        reason: row.reason.clone(),
        run: item.run_number.map(|n| Kind::Run.number(n)),
        branch: row.branch_name.clone(),
        until: row.expires_at,
        removed_at: row.removed_at.or((row.status == SnapshotStatus::Removed).then_some(row.updated_at)),
        restored_at: row.restored_at,
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
        OperationPhase::TrashEmptying => "empty the trash",
        OperationPhase::ServicePrestart => "check before a service starts",
    }
}

/// A command without the settings that wharf gives git for its own safety: they are the same each time.
fn shown_command(command: &str) -> String {
    let Some(mut rest) = command.strip_prefix("git ") else { return command.to_owned() };
    while let Some((setting, after)) = rest.strip_prefix("-c ").and_then(|r| r.split_once(' ')) {
        if setting.starts_with(['\'', '"']) {
            break;
        }
        rest = after;
    }
    format!("git {rest}")
}

/// What an operation without output said last of how far it is.
fn progress(row: &wharf_model::OperationRow) -> String {
    let said = row.stdout_excerpt.as_deref().filter(|_| row.log_ref.is_none());
    said.map_or_else(String::new, |said| format!(": {said}"))
}

/// An operation.
pub fn operation(item: &view::OperationItem) -> OperationLine {
    let row = &item.operation;
    let runs = row.status == OperationStatus::Running;
    let stopping = running_job::stop_asked(row).filter(|_| runs).map(|stop| stop.by);
    let (class, word) = match row.status {
        OperationStatus::Running if stopping.is_some() => (Class::Alive, "stopping"),
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
        command: row.command.as_deref().map(shown_command).unwrap_or_default() + &progress(row),
        started_at: Some(row.started_at),
        finished_at: row.finished_at,
        exit_code: row.exit_code,
        error: row.error.clone(),
        running_job: running_job::name(row).filter(|_| runs).map(str::to_owned),
        stopping,
        version: row.version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_without_what_is_the_same_each_time() {
        let table = [
            ("npm ci", "npm ci"),
            ("git -c core.hooksPath=/dev/null -c gc.auto=0 worktree add -b x -- /a b", "git worktree add -b x -- /a b"),
            ("git status", "git status"),
            ("git -c 'a b=c' status", "git -c 'a b=c' status"),
            ("git -c", "git -c"),
        ];
        for (command, shown) in table {
            assert_eq!(shown_command(command), shown, "{command}");
        }
    }
}
