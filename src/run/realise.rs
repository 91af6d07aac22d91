//! Step 4 of a run: its workspace. Read with libgit2, changed by the git binary, recorded as operations.

mod there;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wharf_model::config::{CommandLine, ProjectConfig, WorkspaceMode as ConfiguredMode};
use wharf_model::rules::workspace_environment::WorkspaceEnvironment;
use wharf_model::{ActionRow, Kind, OperationPhase, WorkspaceId, WorkspaceMode, WorkspaceStrategy};

use super::context::Context;
use super::operation::{self, Work};
use super::place::{self, There, Venue};
use super::watch::Watch;
use crate::clock;
use crate::dispatch::decide::place::branch_of;
use crate::dispatch::input::{Fact, PlannedWorkspace, Realisation};
use crate::dispatch::perform::RunJob;
use crate::process::kill_point::kill_point;
use crate::workspace::choose::{self, Choice};
use crate::workspace::inspect::{self, RepositoryFacts};
use crate::workspace::lock::WorktreeLock;
use crate::workspace::realise::{self, For, Realised};
use crate::workspace::worktree::Git;
use crate::workspace::{Wanted, facts_for, parent, plan, provision};

/// How long a run waits for another that changes the same repository.
const LOCK_LIMIT: Duration = Duration::from_mins(10);

/// What was made, for the last fact.
struct Made {
    workspace: WorkspaceId,
    mode: WorkspaceMode,
    cwd: PathBuf,
    /// Root of the worktree, when it is one.
    worktree: Option<PathBuf>,
    created: bool,
    branch_created: bool,
    base: Option<(String, String)>,
    note: String,
    branch: Option<String>,
    repo: Option<Box<RepositoryFacts>>,
}

/// Realises the workspace of a run and reports what came of it.
pub async fn realise(ctx: &Context, action: &ActionRow, job: &RunJob) -> Fact {
    let (run, attempt) = (job.run.id, job.run.attempt);
    match everything(ctx, job).await {
        Ok((made, realisation)) => Fact::WorkspaceRealised {
            action: action.id,
            run,
            attempt,
            cwd: made.cwd.display().to_string(),
            created: made.created,
            branch_created: made.branch_created,
            base: made.base,
            note: made.note,
            realisation: realisation.map(Box::new),
        },
        Err(Failed { message, cause }) => Fact::WorkspaceFailed { action: action.id, run, attempt, message, cause },
    }
}

/// Why a workspace is not there, for people; and the driver's own words.
struct Failed {
    message: String,
    cause: Option<String>,
}

impl From<String> for Failed {
    fn from(message: String) -> Self {
        Self { message, cause: None }
    }
}

/// On this machine, then in the place where the run works; provisioned there.
async fn everything(ctx: &Context, job: &RunJob) -> Result<(Made, Option<Realisation>), Failed> {
    let config = config_of(job)?;
    let venue = place::of(ctx, job);
    let mut there = match venue {
        Venue::Here => None,
        Venue::There(there) if place::is_held(job) => Some(there),
        Venue::There(there) => return Err(format!("its lease of {} is not held any more", there.name).into()),
        Venue::Unreachable(why) | Venue::Gone { why, .. } => return Err(why.into()),
    };
    let mut made = make(ctx, job, &config).await?;
    if let Some(there) = &mut there {
        let watch = Watch::new(&ctx.inbox, job.run.id, job.run.attempt);
        let realisation = there::realise(there, there::ask(job, &made), &watch).await?;
        kill_point("workspace.realised_there");
        made.note = format!("{}; in {} at {}", made.note, there.name, realisation.result.cwd);
        there.realisation = Some(realisation);
    }
    if let Some(command) = &config.workspace.provision {
        let command = match command {
            CommandLine::Shell(line) => line.clone(),
            CommandLine::Argv(args) => shell_line(args),
        };
        let limit = config.workspace.timeout_ms.map(Duration::from_millis);
        provision(ctx, job, &made, there.as_deref(), &command, limit).await?;
        kill_point("workspace.provisioned");
    }
    Ok((made, there.and_then(|t| t.realisation)))
}

fn config_of(job: &RunJob) -> Result<ProjectConfig, String> {
    job.project
        .config
        .clone()
        .ok_or_else(|| "the project has no accepted config".to_owned())
        .and_then(|c| serde_json::from_value(c).map_err(|e| format!("the accepted config cannot be read: {e}")))
}

/// Runs the project's command that makes a workspace ready, where the run will work.
async fn provision(
    ctx: &Context,
    job: &RunJob,
    made: &Made,
    there: Option<&There>,
    command: &str,
    limit: Option<Duration>,
) -> Result<(), Failed> {
    let facts = environment(job, made);
    let program_dir = ctx.program_dir.as_ref().and_then(|d| d.to_str());
    match there {
        Some(there) => there::provision(ctx, job, there, command, facts, limit).await,
        None => {
            let command = provision::command(command, &made.cwd, &ctx.operator, program_dir, &facts, limit);
            let work = Work { command, place: None };
            Ok(operation::carry_out_once(ctx, job, OperationPhase::WorkspaceProvision, work).await?)
        }
    }
}

async fn make(ctx: &Context, job: &RunJob, config: &ProjectConfig) -> Result<Made, String> {
    let directory = PathBuf::from(&job.project.path);
    let (mode, strategy) = (config.workspace.mode, config.workspace.strategy);
    let place = directory.clone();
    let choice = blocking(move || {
        let found = inspect::inspect(&place).map_err(|e| e.to_string())?;
        choose::choose(place, found, mode, strategy).map_err(|e| e.to_string())
    })
    .await?;
    match choice {
        Choice::Worktree { repo, .. } => worktree(ctx, job, config, *repo).await,
        Choice::Directory { cwd, repo, mode, why } => in_place(ctx, job, cwd, repo, mode, why).await,
        Choice::AgentHome => {
            Err("workspace mode agent_default needs an agent home, which this version does not have".into())
        }
    }
}

/// Quotes a list of words into a line that a shell reads as the same words.
fn shell_line(args: &[String]) -> String {
    let quoted: Vec<String> = args.iter().map(|a| format!("'{}'", a.replace('\'', "'\\''"))).collect();
    quoted.join(" ")
}

/// The project's own directory, used as it is.
async fn in_place(
    ctx: &Context,
    job: &RunJob,
    cwd: PathBuf,
    repo: Option<Box<RepositoryFacts>>,
    mode: ConfiguredMode,
    why: &'static str,
) -> Result<Made, String> {
    let branch = repo.as_ref().and_then(|r| r.head.branch().map(str::to_owned));
    let plan = PlannedWorkspace {
        mode: mode.into(),
        strategy: WorkspaceStrategy::ProjectPrimary,
        name: job.project.key.to_lowercase(),
        cwd: cwd.display().to_string(),
        worktree: None,
        repo_root: repo.as_ref().and_then(|r| r.root()).map(|p| p.display().to_string()),
        branch: branch.clone(),
        base_ref: None,
        base_commit: repo.as_ref().and_then(|r| r.head.commit().map(str::to_owned)),
        reused: true,
        remark: None,
    };
    let workspace = planned(ctx, job, plan).await?;
    let note = format!("works in {}: {why}", cwd.display());
    let mode = mode.into();
    Ok(Made {
        workspace,
        mode,
        cwd,
        worktree: None,
        created: false,
        branch_created: false,
        base: None,
        note,
        branch,
        repo,
    })
}

/// Tells where the run will work; gives the row's id.
async fn planned(ctx: &Context, job: &RunJob, plan: PlannedWorkspace) -> Result<WorkspaceId, String> {
    let told = ctx.inbox.tell(Fact::WorkspacePlanned { run: job.run.id, attempt: job.run.attempt, plan }).await;
    kill_point("workspace.intended");
    told.workspace.ok_or_else(|| "the run has ended meanwhile".to_owned())
}

/// A git worktree with its own branch, made or found again.
async fn worktree(ctx: &Context, job: &RunJob, config: &ProjectConfig, repo: RepositoryFacts) -> Result<Made, String> {
    let branch = branch_of(&config.workspace.branch, &job.run, job.issue.as_ref(), &job.agent, &job.project)
        .map_err(|e| e.to_string())?;
    let home = ctx.operator.get("HOME").map(PathBuf::from);
    let parent_setting = config.workspace.parent.clone();
    let (repo_at, place, branch_at, home_at) = (repo.clone(), parent_setting.clone(), branch.clone(), home.clone());
    let path = blocking(move || {
        let worktrees = inspect::worktrees(&repo_at).map_err(|e| e.to_string())?;
        let parent =
            parent::locate(Some(&place), &repo_at, &worktrees, home_at.as_deref()).map_err(|e| e.to_string())?;
        Ok(parent.join(branch_at))
    })
    .await?;
    let plan = PlannedWorkspace {
        mode: WorkspaceMode::IsolatedWorkspace,
        strategy: WorkspaceStrategy::GitWorktree,
        name: branch.clone(),
        cwd: repo.below(&path).display().to_string(),
        worktree: Some(path.display().to_string()),
        repo_root: repo.root().map(|p| p.display().to_string()),
        branch: Some(branch.clone()),
        base_ref: config.workspace.base_ref.clone(),
        base_commit: None,
        reused: false,
        remark: None,
    };
    let workspace = planned(ctx, job, plan).await?;
    operation::settle(ctx, job, OperationPhase::WorktreePrepare).await?;
    let common = repo.common_dir.clone();
    let holder = format!("{} of process {}", Kind::Run.number(job.run.number), std::process::id());
    // Held until the worktree stands: what was read stays true while git works.
    let lock = blocking(move || WorktreeLock::acquire(&common, LOCK_LIMIT, &holder).map_err(|e| e.to_string())).await?;
    let (project, directory) = (job.project.id, PathBuf::from(&job.project.path));
    let base_ref = config.workspace.base_ref.clone();
    let branch_at = branch.clone();
    let (facts, plan) = blocking(move || {
        let wanted = Wanted {
            project,
            workspace,
            directory: &directory,
            branch: &branch_at,
            parent: Some(&parent_setting),
            base_ref: base_ref.as_deref(),
            repo_ref: None,
            home: home.as_deref(),
        };
        let facts = facts_for(&wanted).map_err(|e| e.to_string())?;
        let plan = plan::decide(&facts);
        realise::prepare(&facts, &plan).map_err(|e| e.to_string())?;
        Ok((facts, plan))
    })
    .await?;
    let root = facts.repo.root().map_or_else(|| Path::new(&job.project.path).to_owned(), Path::to_owned);
    let operator = ctx.operator.iter().map(|(k, v)| (OsString::from(k), OsString::from(v)));
    let git = Git::new(&root, operator);
    let commands = realise::commands(&plan, &git, workspace).map_err(|e| e.to_string())?;
    let untouched = commands.is_empty();
    for command in commands {
        operation::carry_out(ctx, job, OperationPhase::WorktreePrepare, command).await?;
    }
    kill_point("workspace.worktree_added");
    let base = match &plan {
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
        base,
        note: realised.note,
        branch: Some(branch),
        repo: Some(Box::new(repo)),
    })
}

fn environment(job: &RunJob, made: &Made) -> WorkspaceEnvironment {
    let text = |path: &Path| path.to_str().map(str::to_owned);
    WorkspaceEnvironment {
        workspace_id: Some(made.workspace.text()),
        cwd: text(&made.cwd),
        worktree_path: made.worktree.as_deref().and_then(text),
        branch: made.branch.clone(),
        base_cwd: Some(job.project.path.clone()),
        repo_root: made.repo.as_ref().and_then(|r| r.root()).and_then(text),
        project_id: Some(job.project.id.text()),
        agent_id: Some(job.agent.id.text()),
        agent_name: Some(job.agent.name.clone()),
        company_id: Some(job.agent.company_id.text()),
        issue_id: job.issue.as_ref().map(|i| i.id.text()),
        issue_identifier: job.issue.as_ref().map(|i| i.identifier.clone()),
        issue_title: job.issue.as_ref().map(|i| i.title.clone()),
        created: Some(made.created),
        ..WorkspaceEnvironment::default()
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?
}
