//! A worktree of git's with a branch of its own, made by the git binary while nobody else changes the repository.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wharf_model::config::ProjectConfig;
use wharf_model::rules::work_place::Settings;
use wharf_model::{Kind, OperationPhase, WorkspaceMode, WorkspaceStrategy};

use super::{Base, Made, blocking, planned};
use crate::clock;
use crate::dispatch::decide::place::{self, Naming};
use crate::dispatch::input::PlannedWorkspace;
use crate::dispatch::perform::RunJob;
use crate::process::kill_point::kill_point;
use crate::run::context::Context;
use crate::run::operation;
use crate::workspace::inspect::{self, RepositoryFacts};
use crate::workspace::lock::WorktreeLock;
use crate::workspace::realise::{self, For, Realised};
use crate::workspace::worktree::Git;
use crate::workspace::{Wanted, facts_for, parent, plan, shape};

/// How long a run waits for another that changes the same repository.
const LOCK_LIMIT: Duration = Duration::from_mins(10);

/// A git worktree with its own branch, made or found again.
pub(super) async fn worktree(
    ctx: &Context,
    job: &RunJob,
    config: &ProjectConfig,
    settings: &Settings,
    from: Base,
    repo: RepositoryFacts,
) -> Result<Made, String> {
    let kept = place::kept(settings, job.issue.as_ref(), |id| job.issue_workspace.as_ref().filter(|w| w.id == id));
    // By the same facts as the decision which runs must not meet.
    let url = job.sources.as_ref().and_then(|w| w.repo_url.as_deref());
    let naming = Naming { agent: &job.agent, project: &job.project, url, kept };
    let branch = place::branch_of(settings, &job.run, job.issue.as_ref(), &naming).map_err(|e| e.to_string())?;
    // It goes on where it was, even if another parent is configured now.
    let kept_at = kept.and_then(|w| w.provider_ref.clone()).map(PathBuf::from);
    let home = ctx.operator.get("HOME").map(PathBuf::from);
    let parent_setting = config.workspace.parent.clone();
    let (repo_at, place, branch_at, home_at) = (repo.clone(), parent_setting.clone(), branch.clone(), home.clone());
    let (at, data) = (kept_at.clone(), ctx.keeper.data.clone());
    let path = blocking(move || {
        if let Some(at) = at {
            return Ok(at);
        }
        let worktrees = inspect::worktrees(&repo_at).map_err(|e| e.to_string())?;
        let parent =
            parent::locate(Some(&place), &repo_at, &worktrees, home_at.as_deref()).map_err(|e| e.to_string())?;
        if data.canonicalize().is_ok_and(|data| data == parent) {
            let what = "set `parent` in [workspace] to a directory for worktrees alone";
            return Err(format!("worktree parent {} is wharf's own data directory; {what}", parent.display()));
        }
        Ok(parent.join(branch_at))
    })
    .await?;
    let plan = PlannedWorkspace {
        mode: WorkspaceMode::IsolatedWorkspace,
        strategy: WorkspaceStrategy::GitWorktree,
        name: branch.clone(),
        cwd: repo.below(&path).display().to_string(),
        source: from.source,
        repo_url: from.url.clone(),
        worktree: Some(path.display().to_string()),
        repo_root: repo.root().map(|p| p.display().to_string()),
        branch: Some(branch.clone()),
        base_ref: settings.base_ref.clone(),
        base_commit: None,
        reused: false,
        remark: from.remark.clone(),
    };
    let workspace = planned(ctx, job, plan).await?;
    operation::settle(ctx, job, OperationPhase::WorktreePrepare).await?;
    let common = repo.common_dir.clone();
    let holder = format!("{} of process {}", Kind::Run.number(job.run.number), std::process::id());
    // Held until the worktree stands: what was read stays true while git works.
    let lock = blocking(move || WorktreeLock::acquire(&common, LOCK_LIMIT, &holder).map_err(|e| e.to_string())).await?;
    let (project, directory) = (job.project.id, from.directory.clone());
    let base_ref = settings.base_ref.clone();
    let branch_at = branch.clone();
    let (facts, plan, shape, held) = blocking(move || {
        let wanted = Wanted {
            project,
            workspace,
            directory: &directory,
            branch: &branch_at,
            at: kept_at.as_deref(),
            parent: Some(&parent_setting),
            base_ref: base_ref.as_deref(),
            repo_ref: None,
            home: home.as_deref(),
        };
        let facts = facts_for(&wanted).map_err(|e| e.to_string())?;
        let plan = plan::decide(&facts);
        let held = realise::prepare(&facts, &plan).map_err(|e| e.to_string())?;
        let commit = facts.branch_facts.commit.as_deref().or(facts.base.as_ref().ok().map(|b| b.commit.as_str()));
        let shape = shape::look(&facts.repo, commit).map_err(|e| e.to_string())?;
        Ok((facts, plan, shape, held))
    })
    .await?;
    if let Some(held) = held {
        let shown = from.directory.display().to_string();
        operation::record(ctx, job, OperationPhase::WorktreePrepare, &held, &shown).await;
    }
    let root = facts.repo.root().map_or_else(|| from.directory.clone(), Path::to_owned);
    let operator = ctx.operator.iter().map(|(k, v)| (OsString::from(k), OsString::from(v)));
    let git = Git::new(&root, operator);
    let commands = realise::commands(&plan, &git, workspace).map_err(|e| e.to_string())?;
    let untouched = commands.is_empty();
    let has_lfs = !shape.lfs || shape::has_lfs(&ctx.operator);
    for command in commands {
        let command = if has_lfs { command } else { command.with_settings(shape::without_lfs()) };
        operation::carry_out(ctx, job, OperationPhase::WorktreePrepare, command).await?;
    }
    kill_point("workspace.worktree_added");
    let began = match &plan {
        plan::Plan::Create { base, .. } => Some((base.name.clone(), base.commit.clone())),
        _ => facts.base.as_ref().ok().map(|b| (b.name.clone(), b.commit.clone())),
    };
    let owner = For { project, workspace, run: Some(job.run.id), at: clock::now() };
    let (repo_done, plan_done) = (facts.repo.clone(), plan);
    let realised: Realised =
        blocking(move || realise::finish(&repo_done, &plan_done, owner).map_err(|e| e.to_string())).await?;
    drop(lock);
    if untouched {
        operation::record(
            ctx,
            job,
            OperationPhase::WorktreePrepare,
            &realised.note,
            &realised.path.display().to_string(),
        )
        .await;
    }
    Ok(Made {
        workspace,
        mode: WorkspaceMode::IsolatedWorkspace,
        cwd: realised.cwd,
        worktree: Some(realised.path),
        created: realised.created,
        branch_created: realised.created_branch,
        began,
        note: realised.note,
        branch: Some(branch),
        repo: Some(Box::new(repo)),
        base: from,
        remarks: if realised.created { shape.remarks(has_lfs) } else { Vec::new() },
    })
}
