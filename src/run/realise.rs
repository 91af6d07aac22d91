//! Step 4 of a run: its workspace. Read with libgit2, changed by the git binary, recorded as operations.

mod checkout;
mod clone;
mod home;
mod session;
mod there;

use std::path::{Path, PathBuf};
use std::time::Duration;

use wharf_model::config::{CommandLine, ProjectConfig, WorkspaceMode as ConfiguredMode};
use wharf_model::rules::issue_settings::IssueSettings;
use wharf_model::rules::work_place::{self, Directory, Found, SessionAt, Settings};
use wharf_model::rules::workspace_environment::WorkspaceEnvironment;
use wharf_model::{
    ActionRow, Kind, OperationPhase, ProjectWorkspaceId, WorkspaceId, WorkspaceMode, WorkspaceSource, WorkspaceStrategy,
};

use super::context::Context;
use super::operation::{self, Work};
use super::place::{self, There, Venue};
use super::watch::Watch;
use crate::dispatch::decide::place::settings;
use crate::dispatch::input::{Fact, PlannedWorkspace, Realisation, StandingWorkspace};
use crate::dispatch::perform::RunJob;
use crate::process::kill_point::kill_point;
use crate::workspace::choose::{self, Choice};
use crate::workspace::inspect::{self, RepositoryFacts};
use crate::workspace::{WorkspaceError, provision};

/// What was made, for the last fact.
struct Made {
    workspace: WorkspaceId,
    mode: WorkspaceMode,
    cwd: PathBuf,
    /// Root of the worktree, when it is one.
    worktree: Option<PathBuf>,
    created: bool,
    branch_created: bool,
    began: Option<(String, String)>,
    note: String,
    branch: Option<String>,
    repo: Option<Box<RepositoryFacts>>,
    /// Where it comes from.
    base: Base,
    /// What a run will miss in it, each for people.
    remarks: Vec<String>,
}

/// The directory that a workspace is one of, and how it was found.
#[derive(Debug, Clone)]
struct Base {
    directory: PathBuf,
    source: WorkspaceSource,
    /// Url of its repository.
    url: Option<String>,
    /// Why it is not what one would think of.
    remark: Option<String>,
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
            base: made.began,
            note: made.note,
            realisation: realisation.map(Box::new),
        },
        Err(Failed { message, cause, stands }) => {
            Fact::WorkspaceFailed { action: action.id, run, attempt, message, cause, stands }
        }
    }
}

/// Why a workspace is not there, for people; and the driver's own words.
struct Failed {
    message: String,
    cause: Option<String>,
    stands: Option<Box<StandingWorkspace>>,
}

impl From<String> for Failed {
    fn from(message: String) -> Self {
        Self { message, cause: None, stands: None }
    }
}

/// On this machine, then in the place where the run works; provisioned there.
async fn everything(ctx: &Context, job: &RunJob) -> Result<(Made, Option<Realisation>), Failed> {
    let config = config_of(job)?;
    let venue = place::of(ctx, job);
    let there = match venue {
        Venue::Here => None,
        Venue::There(there) if place::is_held(job) => Some(there),
        Venue::There(there) => return Err(format!("its lease of {} is not held any more", there.name).into()),
        Venue::Unreachable(why) | Venue::Gone { why, .. } => return Err(why.into()),
    };
    let made = make(ctx, job, &config).await?;
    let (created, branch_created, base) = (made.created, made.branch_created, made.began.clone());
    ready(ctx, job, &config, made, there).await.map_err(|failed| {
        let stands = Some(Box::new(StandingWorkspace { created, branch_created, base }));
        Failed { stands, ..failed }
    })
}

/// What was made here, made ready where the run works.
async fn ready(
    ctx: &Context,
    job: &RunJob,
    config: &ProjectConfig,
    mut made: Made,
    mut there: Option<Box<There>>,
) -> Result<(Made, Option<Realisation>), Failed> {
    let watch = Watch::new(&ctx.inbox, job.run.id, job.run.attempt);
    for remark in &made.remarks {
        watch.note(format!("in its workspace: {remark}")).await;
    }
    if !made.remarks.is_empty() {
        made.note = format!("{}; {}", made.note, made.remarks.join("; "));
    }
    if let Some(there) = &mut there {
        let realisation = there::realise(there, there::ask(job, &made), &watch).await?;
        kill_point("workspace.realised_there");
        made.note = format!("{}; in {} at {}", made.note, there.name, realisation.result.cwd);
        there.realisation = Some(realisation);
    }
    let of_issue =
        job.issue.as_ref().and_then(|i| IssueSettings::of(i.execution_workspace_settings.as_ref()).provision);
    let of_project = config.workspace.provision.as_ref().map(|command| match command {
        CommandLine::Shell(line) => line.clone(),
        CommandLine::Argv(args) => shell_line(args),
    });
    // The directory of a session is used as it is: nothing was made, and it may be another's.
    let command = of_issue.or(of_project).filter(|_| made.base.source != WorkspaceSource::TaskSession);
    if let Some(command) = command {
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
    let settings = settings(job.issue.as_ref(), &job.agent, &job.project)
        .ok_or_else(|| "the project has no accepted config that can be read".to_owned())?;
    let base = base(ctx, job, config, &settings).await?;
    if matches!(base.source, WorkspaceSource::TaskSession | WorkspaceSource::AgentHome) {
        return home::home(ctx, job, base).await;
    }
    // A clone that somebody replaced by plain files is used as it is, unless a worktree was asked for in writing.
    let mode = (base.source != WorkspaceSource::ManagedClone || settings.mode_written).then_some(settings.mode);
    let (place, strategy) = (base.directory.clone(), settings.strategy);
    let choice = blocking(move || {
        let found = inspect::inspect(&place).map_err(|e| e.to_string())?;
        choose::choose(place, found, mode, strategy).map_err(|e| e.to_string())
    })
    .await?;
    match choice {
        Choice::Worktree { repo, .. } => checkout::worktree(ctx, job, config, &settings, base, *repo).await,
        Choice::Directory { cwd, repo, mode, why } => in_place(ctx, job, base, cwd, repo, mode, why).await,
        Choice::AgentHome => Err(format!("workspace mode {} leads to no directory of the project", settings.mode)),
    }
}

/// Finds the directory that the workspace is to be one of.
async fn base(ctx: &Context, job: &RunJob, config: &ProjectConfig, settings: &Settings) -> Result<Base, String> {
    let path = PathBuf::from(&job.project.path);
    let looked_at = path.clone();
    let looked_for = job.clone();
    let (directory, session) = blocking(move || {
        let directory = match inspect::inspect(&looked_at) {
            Ok(inspect::Place::Repository(_)) => Directory::Checkout,
            Ok(inspect::Place::Plain(_)) => Directory::Plain,
            Err(WorkspaceError::Missing { .. }) => Directory::Gone,
            Err(other) => return Err(other.to_string()),
        };
        Ok((directory, session::look(&looked_for)))
    })
    .await?;
    let found = Found {
        project: directory,
        path: &job.project.path,
        has_url: config.workspace.repo_url.is_some(),
        session: session.as_ref().map(|s| SessionAt { cwd: &s.cwd, unusable: s.at.as_ref().err().map(String::as_str) }),
    };
    let place = work_place::place(settings, &found)?;
    let url = config.workspace.repo_url.as_deref();
    match (place.source, url) {
        (WorkspaceSource::ManagedClone, Some(url)) => clone::base(ctx, job, config, url, place.remark).await,
        (WorkspaceSource::TaskSession, _) => Ok(Base {
            directory: session.and_then(|s| s.at.ok()).unwrap_or_default(),
            source: place.source,
            url: None,
            remark: place.remark,
        }),
        (WorkspaceSource::AgentHome, _) => Ok(Base {
            directory: super::build::agent_home(ctx, job)?,
            source: place.source,
            url: None,
            remark: place.remark,
        }),
        (source, _) => {
            let url = job.sources.as_ref().and_then(|w| w.repo_url.clone());
            Ok(Base { directory: path, source, url, remark: place.remark })
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
    base: Base,
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
        source: base.source,
        repo_url: base.url.clone(),
        worktree: None,
        repo_root: repo.as_ref().and_then(|r| r.root()).map(|p| p.display().to_string()),
        branch: branch.clone(),
        base_ref: None,
        base_commit: repo.as_ref().and_then(|r| r.head.commit().map(str::to_owned)),
        reused: true,
        remark: base.remark.clone(),
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
        began: None,
        note,
        branch,
        repo,
        base,
        remarks: Vec::new(),
    })
}

/// Tells where the run will work; gives the row's id.
async fn planned(ctx: &Context, job: &RunJob, plan: PlannedWorkspace) -> Result<WorkspaceId, String> {
    let plan = Box::new(plan);
    let told = ctx.inbox.tell(Fact::WorkspacePlanned { run: job.run.id, attempt: job.run.attempt, plan }).await;
    kill_point("workspace.intended");
    // One that waits for the workspace begins anew, by an action of its own.
    told.workspace.ok_or_else(|| "the run waits for it, or has ended meanwhile".to_owned())
}

fn environment(job: &RunJob, made: &Made) -> WorkspaceEnvironment {
    let text = |path: &Path| path.to_str().map(str::to_owned);
    WorkspaceEnvironment {
        workspace_id: Some(made.workspace.text()),
        cwd: text(&made.cwd),
        worktree_path: made.worktree.as_deref().and_then(text),
        branch: made.branch.clone(),
        base_cwd: text(match made.base.source {
            WorkspaceSource::ManagedClone => &made.base.directory,
            _ => Path::new(&job.project.path),
        }),
        repo_url: made.base.url.clone(),
        repo_ref: made.began.as_ref().map(|(name, _)| name.clone()),
        source: Some(made.base.source.as_str().to_owned()),
        repo_root: made.repo.as_ref().and_then(|r| r.root()).and_then(text),
        project_id: Some(job.project.id.text()),
        project_key: Some(job.project.key.clone()),
        project_workspace_id: job.sources.as_ref().map(|w| w.id).map(ProjectWorkspaceId::text),
        agent_id: Some(job.agent.id.text()),
        agent_name: Some(job.agent.name.clone()),
        company_id: Some(job.agent.company_id.text()),
        issue_id: job.issue.as_ref().map(|i| i.id.text()),
        issue_identifier: job.issue.as_ref().map(|i| i.identifier.clone()),
        issue_title: job.issue.as_ref().map(|i| i.title.clone()),
        created: Some(made.created),
        run_id: Some(job.run.id.text()),
        run_number: Some(Kind::Run.number(job.run.number)),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?
}
