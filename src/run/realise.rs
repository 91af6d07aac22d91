//! Step 4 of a run: its workspace. Read with libgit2, changed by the git binary, recorded as operations.

mod checkout;
mod there;

use std::path::{Path, PathBuf};
use std::time::Duration;

use wharf_model::config::{CommandLine, ProjectConfig, WorkspaceMode as ConfiguredMode};
use wharf_model::rules::workspace_environment::WorkspaceEnvironment;
use wharf_model::{ActionRow, OperationPhase, WorkspaceId, WorkspaceMode, WorkspaceStrategy};

use super::context::Context;
use super::operation::{self, Work};
use super::place::{self, There, Venue};
use super::watch::Watch;
use crate::dispatch::input::{Fact, PlannedWorkspace, Realisation};
use crate::dispatch::perform::RunJob;
use crate::process::kill_point::kill_point;
use crate::workspace::choose::{self, Choice};
use crate::workspace::inspect::{self, RepositoryFacts};
use crate::workspace::provision;

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
        Choice::Worktree { repo, .. } => checkout::worktree(ctx, job, config, *repo).await,
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
