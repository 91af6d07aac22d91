//! A job of the project's config, run once in a workspace through a shim.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wharf_model::config::{CommandLine, JobConfig, ProjectConfig, show_duration};
use wharf_model::rules::running_job;
use wharf_model::shim::{LogSpec, ShimKind, Spec, StartMessage, StdinMode};
use wharf_model::{ActionRow, OperationId, OperationStatus};

use super::archive::environment;
use super::context::Context;
use super::keep::CannotStart;
use super::operation::own;
use super::snapshot::text;
use crate::adapter::environment::{Allow, allowed, resolve};
use crate::adapter::secret::ConfiguredSecrets;
use crate::dispatch::input::{Fact, OperationEnd};
use crate::dispatch::perform::{self, WorkspaceJob};
use crate::process::shim_dir;

/// Runs the job, or finds it again, and stays until its end is told.
pub async fn run(ctx: &Context, action: &ActionRow, job: &WorkspaceJob) -> Fact {
    let workspace = job.rows.workspace.id;
    let failed = |message: &str| Fact::WorkspaceWorkFailed {
        action: action.id,
        workspace,
        message: message.to_owned(),
        in_place: true,
    };
    let id = text(action, "operation").and_then(|t| t.parse::<OperationId>().ok());
    let config = action.args.as_ref().and_then(|a| serde_json::from_value::<JobConfig>(a["job"].clone()).ok());
    let Some((id, config)) = id.zip(config) else { return failed("the action names no job") };
    let Some(dir) = perform::shim_dir("operation", &id.text(), 1) else {
        return failed("an operation has no directory");
    };
    // The row was written when it was accepted; one that is closed was given up.
    let Some(operation) = job.operations.iter().find(|o| o.id == id) else {
        return Fact::ActionDone { action: action.id };
    };
    if let Some(stop) = running_job::stop_asked(operation)
        && keep_from_starting(ctx, &dir).await
    {
        let error = format!("stopped by {} before it began", stop.by);
        let end = OperationEnd { status: OperationStatus::Failed, error: Some(error), ..OperationEnd::default() };
        ctx.inbox.tell(Fact::OperationEnded { operation: id, end }).await;
        return Fact::ActionDone { action: action.id };
    }
    let shown = config.command.shown();
    let limit = config.timeout_ms.map_or_else(|| "its limit".to_owned(), show_duration);
    let (its, ctx_at) = (job.clone(), ctx.clone());
    let build = move || build(&ctx_at, &its, id, &config);
    // How it ended stands in its operation; whoever asked reads that.
    let _told = own::kept(ctx, id, &dir, &shown, true, &limit, build).await;
    Fact::ActionDone { action: action.id }
}

/// Makes sure that nothing is started in a directory any more; false when a shim has taken it, or that cannot be told:
/// then it is found again, and hears of the stop.
async fn keep_from_starting(ctx: &Context, dir: &str) -> bool {
    let path = ctx.keeper.path(dir);
    let forbidden = tokio::task::spawn_blocking(move || match shim_dir::forbid(&path) {
        Ok(free) => free,
        // Nobody has made it, so nobody starts anything in it.
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    });
    forbidden.await.unwrap_or(false)
}

fn build(
    ctx: &Context,
    job: &WorkspaceJob,
    id: OperationId,
    config: &JobConfig,
) -> Result<(Spec, StartMessage), CannotStart> {
    let broken = |message: String| CannotStart { code: "exec_failed".into(), message };
    let project: ProjectConfig =
        job.rows.project.config.clone().ok_or_else(|| broken("the project has no accepted config".into())).and_then(
            |c| serde_json::from_value(c).map_err(|e| broken(format!("the accepted config cannot be read: {e}"))),
        )?;
    let cwd = directory(job, config).map_err(|message| CannotStart { code: "cwd_missing".into(), message })?;
    let mut secrets = ConfiguredSecrets::new(&project.secrets, &ctx.operator, Path::new(&job.rows.project.path));
    let own = resolve(&config.env, &mut secrets).map_err(|e| broken(e.to_string()))?;
    let fallback = Path::new("/usr/local/bin");
    let allow = Allow {
        wharf_directory: ctx.program_dir.as_deref().unwrap_or(fallback),
        pass_ssh_agent: false,
        has_terminal: false,
    };
    let tag = format!("operation/{id}");
    let mut env: BTreeMap<String, String> = allowed(&ctx.operator, allow);
    env.extend(environment(job).variables());
    env.insert("WHARF_TAG".into(), tag.clone());
    env.extend(own.env);
    let (argv, shell) = match &config.command {
        CommandLine::Shell(line) => (vec![line.clone()], true),
        CommandLine::Argv(args) => (args.clone(), false),
    };
    let spec = Spec {
        v: 1,
        kind: ShimKind::Operation,
        id: id.text(),
        attempt: 1,
        epoch: ctx.keeper.epoch,
        argv,
        cwd,
        env_names: env.keys().cloned().collect(),
        shell,
        tty: None,
        stdin: StdinMode::None,
        timeout_ms: config.timeout_ms,
        grace_ms: running_job::GRACE_MS.unsigned_abs(),
        log: LogSpec::default(),
        limits: BTreeMap::new(),
        tag,
        redact_count: u32::try_from(own.redact.len()).unwrap_or(u32::MAX),
        stop_signal: None,
        keep: Vec::new(),
        boot_id: None,
    };
    Ok((spec, StartMessage { env, stdin: None, redact: own.redact, token: None }))
}

/// Where it runs: inside the workspace, also after links are followed.
fn directory(job: &WorkspaceJob, config: &JobConfig) -> Result<String, String> {
    let top = job.rows.workspace.cwd.as_deref().map(Path::new).ok_or("the workspace has no directory")?;
    let wanted = if config.cwd == "." { top.to_owned() } else { top.join(&config.cwd) };
    let real = |path: &Path| -> Result<PathBuf, String> {
        path.canonicalize().map_err(|e| format!("the directory {} is not there: {e}", path.display()))
    };
    let (top, wanted) = (real(top)?, real(&wanted)?);
    if !wanted.starts_with(&top) {
        return Err(format!("{} leads out of the workspace", wanted.display()));
    }
    wanted.to_str().map(str::to_owned).ok_or_else(|| format!("{} is no UTF-8", wanted.display()))
}
