//! Where a run works, and why there.

use std::path::{Path, PathBuf};

use wharf_model::rules::session as rules;
use wharf_model::{Kind, OperationStatus, RunId, RunStatus, Step, StepRow, WorkspaceSource};
use wharf_store::view::{OperationQuery, RunLine};
use wharf_store::{Reader, StoreError};

use super::{Around, Line};
use crate::run::output;
use crate::workspace::progress::{self as git, Progress};

/// Why a run works where nobody would look for it first, as its step keeps it.
pub fn remark(steps: &[StepRow]) -> Option<String> {
    let step = steps.iter().find(|s| s.step == Step::Realise)?;
    step.detail.as_ref()?["remark"].as_str().map(str::to_owned)
}

/// The same in a sentence with the run's number, for before the first line of its output.
pub fn place_words(reader: &Reader, id: RunId) -> Option<String> {
    let detail = reader.run_detail(id).ok()??;
    Some(format!("{}: {}", Kind::Run.number(detail.run.number), remark(&detail.steps)?))
}

/// What a run does that is made ready at this moment, and how far that is: `realising W-12 files 31,204 of 50,118`; and the
/// directory of the log that tells it. None for every other run.
///
/// # Errors
/// The store cannot be read.
pub fn doing(reader: &Reader, data: &Path, line: &RunLine) -> Result<Option<(String, PathBuf)>, StoreError> {
    if line.status != RunStatus::Running || line.step != Some(Step::Realise) || line.stop_requested_at.is_some() {
        return Ok(None);
    }
    let query = OperationQuery { run: Some(line.id), ..OperationQuery::default() };
    let newest = reader.operations(&query, None, 1)?.rows.pop().map(|item| item.operation);
    let Some(log) = newest.filter(|o| o.status == OperationStatus::Running).and_then(|o| o.log_ref) else {
        return Ok(None);
    };
    let Some(far) = progress(data, &log) else { return Ok(None) };
    let workspace = line.workspace_number.map_or_else(String::new, |n| format!("{} ", Kind::Workspace.number(n)));
    Ok(Some((format!("realising {workspace}{far}"), data.join(log))))
}

/// How far the operation is whose log this is.
fn progress(data: &Path, log_ref: &str) -> Option<Progress> {
    git::last(output::gather(data, log_ref, None).stderr_excerpt.as_deref()?)
}

/// Where it works, and the session of its agent that has led it there or that the next run will follow.
///
/// # Errors
/// The store cannot be read.
pub(super) fn lines(around: &Around<'_>) -> Result<Vec<Line>, StoreError> {
    let mut out = place(around);
    out.extend(session(around)?);
    Ok(out)
}

fn place(around: &Around<'_>) -> Vec<Line> {
    let Some(row) = &around.detail.workspace else { return Vec::new() };
    let source = match row.source.unwrap_or(WorkspaceSource::ProjectWorkspace) {
        WorkspaceSource::ProjectWorkspace if row.provider_ref.is_some() => "a worktree of the project",
        WorkspaceSource::ProjectWorkspace => "the project's own directory",
        WorkspaceSource::ManagedClone if row.provider_ref.is_some() => "a worktree of wharf's clone of its repository",
        WorkspaceSource::ManagedClone => "wharf's clone of its repository",
        WorkspaceSource::TaskSession => "the directory of the agent's last session",
        WorkspaceSource::AgentHome => "the agent's home",
    };
    let mut out = vec![Line::new("WORKSPACE", Kind::Workspace.number(row.number), source)];
    if let Some(at) = guest_at(&around.detail.steps) {
        out.push(Line::new("works in", at, "the directory of the agent's last session, which lies there"));
    }
    out.push(Line::new("directory", row.cwd.clone().unwrap_or_default(), ""));
    if let Some(branch) = &row.branch_name {
        let base = row.base_ref.as_ref().map_or_else(String::new, |base| format!("from {base}"));
        out.push(Line::new("branch", branch.clone(), base));
    }
    if let Some(remark) = remark(&around.detail.steps) {
        out.push(Line::new("not as usual", remark, ""));
    }
    out
}

/// Where a run works that is a guest in its workspace, because its agent's session lies there.
pub fn guest_at(steps: &[StepRow]) -> Option<String> {
    steps.iter().find(|s| s.step == Step::Realise).and_then(crate::dispatch::decide::workspace::guest_at)
}

/// The session that led a run to where it works, as its step keeps it; and the one that is kept for the next run.
fn session(around: &Around<'_>) -> Result<Vec<Line>, StoreError> {
    let steps = &around.detail.steps;
    let followed = steps.iter().find(|s| s.step == Step::Realise).and_then(|s| s.detail.as_ref());
    let followed = followed.map(|d| &d["session"]).filter(|s| s.is_object());
    let row = around.reader.agent_runtime(around.detail.run.agent_id)?;
    let kept = row.as_ref().map(rules::kept).filter(rules::Kept::is_any);
    let words = |cwd: Option<&str>, by: Option<&str>| {
        let cwd = cwd.map_or_else(|| "without a directory".to_owned(), |cwd| format!("in {cwd}"));
        by.map_or_else(|| cwd.clone(), |by| format!("{cwd}, said by {by}"))
    };
    let mut out = Vec::new();
    let of = |key: &str| followed.and_then(|f| f[key].as_str());
    if followed.is_some() {
        out.push(Line::new("by session", of("id").unwrap_or("–"), words(of("cwd"), of("said_by"))));
    }
    let Some(kept) = kept else { return Ok(out) };
    if followed.is_none() || (of("id"), of("cwd")) != (kept.id, kept.cwd) {
        out.push(Line::new("agent's session", kept.id.unwrap_or("–"), words(kept.cwd, kept.said_by)));
    }
    if let Some(agent) = &around.detail.line.agent {
        let what = "forgets it; the next run of mode agent_default works in the agent's home";
        out.push(Line::new("to undo", format!("wharf agent reset-session {agent}"), what));
    }
    Ok(out)
}

/// What is done to make the workspace ready: the operation that is under way, and how far it is.
pub(super) fn under_way(around: &Around<'_>) -> Option<(Line, Option<Progress>)> {
    let running = around.detail.operations.iter().find(|o| o.operation.status == OperationStatus::Running)?;
    let row = &running.operation;
    let far = row.log_ref.as_deref().and_then(|log| progress(around.data, log));
    let command = row.command.as_deref().and_then(|c| c.lines().next()).unwrap_or_default();
    let name = format!("{} {}", Kind::Operation.number(row.number), row.phase.as_str().replace('_', " "));
    Some((Line::new(name, command, far.map_or_else(String::new, |p| p.to_string())), far))
}
