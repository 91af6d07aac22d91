//! Where a run works, and why there.

use std::path::Path;

use wharf_model::{Kind, OperationStatus, Step, StepRow, WorkspaceSource};

use super::{Around, Line};
use crate::run::output;
use crate::workspace::progress::{self as git, Progress};

/// Why a run works where nobody would look for it first, as its step keeps it.
pub fn remark(steps: &[StepRow]) -> Option<String> {
    let step = steps.iter().find(|s| s.step == Step::Realise)?;
    step.detail.as_ref()?["remark"].as_str().map(str::to_owned)
}

/// How far the operation is whose log this is.
pub fn progress(data: &Path, log_ref: &str) -> Option<Progress> {
    git::last(output::gather(data, log_ref, None).stderr_excerpt.as_deref()?)
}

pub(super) fn lines(around: &Around<'_>) -> Vec<Line> {
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

/// What is done to make the workspace ready: the operation that is under way, and how far it is.
pub(super) fn under_way(around: &Around<'_>) -> Option<(Line, Option<Progress>)> {
    let running = around.detail.operations.iter().find(|o| o.operation.status == OperationStatus::Running)?;
    let row = &running.operation;
    let far = row.log_ref.as_deref().and_then(|log| progress(around.data, log));
    let command = row.command.as_deref().and_then(|c| c.lines().next()).unwrap_or_default();
    let name = format!("{} {}", Kind::Operation.number(row.number), row.phase.as_str().replace('_', " "));
    Some((Line::new(name, command, far.map_or_else(String::new, |p| p.to_string())), far))
}
