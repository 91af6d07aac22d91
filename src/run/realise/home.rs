//! A workspace that is no part of the project: the agent's home, or the directory of its last session.

use wharf_model::{WorkspaceMode, WorkspaceSource, WorkspaceStrategy};

use super::{Base, Made, planned};
use crate::dispatch::input::PlannedWorkspace;
use crate::dispatch::perform::RunJob;
use crate::run::context::Context;

/// Such a directory, used as it is.
pub(super) async fn home(ctx: &Context, job: &RunJob, base: Base) -> Result<Made, String> {
    let mode = WorkspaceMode::AdapterManaged;
    let plan = PlannedWorkspace {
        mode,
        strategy: WorkspaceStrategy::AdapterManaged,
        name: format!("{}-{}", job.agent.name, base.source.as_str().replace('_', "-")),
        cwd: base.directory.display().to_string(),
        source: base.source,
        repo_url: None,
        worktree: None,
        repo_root: None,
        branch: None,
        base_ref: None,
        base_commit: None,
        reused: true,
        remark: base.remark.clone(),
    };
    let workspace = planned(ctx, job, plan).await?;
    let what = match base.source {
        WorkspaceSource::TaskSession => "the directory of the agent's last session",
        _ => "the agent's home",
    };
    Ok(Made {
        workspace,
        mode,
        cwd: base.directory.clone(),
        worktree: None,
        created: false,
        branch_created: false,
        began: None,
        note: format!("works in {}: {what}", base.directory.display()),
        branch: None,
        repo: None,
        base,
        remarks: Vec::new(),
    })
}
