//! What the shim of a run is told: its command where it works, its variables, its input.

use std::path::{Path, PathBuf};

use uuid::Uuid;
use wharf_model::config::{AgentConfig, ProjectConfig};
use wharf_model::shim::{LogSpec, Spec, StartMessage};
use wharf_model::{Kind, RunRow};

use super::context::Context;
use super::facts::{self, About};
use super::keep::CannotStart;
use super::place::There;
use crate::adapter::environment::{Allow, allowed, resolve};
use crate::adapter::process::{self, AdapterError};
use crate::adapter::{ConfiguredSecrets, ProcessStart};
use crate::dispatch::perform::RunJob;
use crate::environment::driver::Target;

/// Value of `WHARF_TAG` of a run's processes.
pub fn tag(run: &RunRow) -> String {
    format!("run/{}/{}", run.id, run.attempt)
}

/// How an agent stands in the accepted config.
pub fn agent(job: &RunJob) -> Result<AgentConfig, CannotStart> {
    serde_json::from_value(job.agent.config.clone())
        .map_err(|e| broken("the agent's accepted config cannot be read", &e.to_string()))
}

fn broken(what: &str, e: &str) -> CannotStart {
    CannotStart { code: "adapter_failed".into(), message: format!("{what}: {e}") }
}

fn adapter(e: AdapterError) -> CannotStart {
    CannotStart { code: e.code().into(), message: e.to_string() }
}

/// Makes what the shim is told. Reads the disk, and secrets from where they are kept. Without a place the run works on
/// this machine as it is.
pub fn build(
    ctx: &Context,
    job: &RunJob,
    dir: &str,
    place: Option<&There>,
    target: &Target,
) -> Result<(Spec, StartMessage), CannotStart> {
    let agent = agent(job)?;
    let project: ProjectConfig =
        job.project.config.clone().ok_or_else(|| broken("the project", "has no accepted config")).and_then(|c| {
            serde_json::from_value(c).map_err(|e| broken("the accepted config cannot be read", &e.to_string()))
        })?;
    let of_row = || job.workspace.as_ref().and_then(|w| w.cwd.clone());
    let cwd = job.guest_at.clone().or_else(of_row).unwrap_or_else(|| job.project.path.clone());
    let directory = directory(&agent, &cwd, place)?;
    let prompt = match &job.prompt {
        Some(prompt) => Some(prompt.clone()),
        None => process::prompt(&agent, Path::new(&job.project.path)).map_err(adapter)?,
    };
    let mut secrets = ConfiguredSecrets::new(&project.secrets, &ctx.operator, Path::new(&job.project.path));
    let mut own = resolve(&agent.env, &mut secrets).map_err(|e| broken("its environment", &e.to_string()))?;
    for warning in &secrets.warnings {
        tracing::warn!(run = %Kind::Run.number(job.run.number), "{warning}");
    }
    let tag = tag(&job.run);
    let token = format!("{}{}", Uuid::now_v7().simple(), Uuid::now_v7().simple());
    let home = home(ctx, job)?;
    let fallback = PathBuf::from("/usr/local/bin");
    let allow = Allow {
        wharf_directory: ctx.program_dir.as_deref().unwrap_or(&fallback),
        pass_ssh_agent: agent.pass_ssh_agent,
        has_terminal: agent.tty,
    };
    let about = About { dir, tag: &tag, token: &token, cwd: &cwd, home: &home };
    let mut facts = facts::here(ctx, job, &about);
    if let Some(place) = place {
        facts = facts::there(facts, place, target);
    }
    // Last, so that no setting can make a run believe it is another.
    own.env.extend(facts.variables());
    let log = LogSpec { quota_bytes: ctx.log_quota, on_quota: ctx.on_quota, ..LogSpec::default() };
    let mut start = process::start(ProcessStart {
        run_id: job.run.id.text(),
        attempt: job.run.attempt,
        epoch: ctx.keeper.epoch,
        tag,
        agent: &agent,
        cwd: &directory,
        target,
        here: "/",
        prompt: prompt.as_deref(),
        allowed: allowed(&ctx.operator, allow),
        own: own.env,
        redact: own.redact,
        token: Some(token),
        log,
    })
    .map_err(adapter)?;
    if place.is_some_and(|place| !place.shares_files()) {
        // They would hold what leads there and not the agent.
        start.0.limits.clear();
    }
    Ok(start)
}

/// Where the agent starts: its own directory in that of the workspace, by its name where it runs.
fn directory(agent: &AgentConfig, cwd: &str, place: Option<&There>) -> Result<PathBuf, CannotStart> {
    let workspace = Path::new(cwd);
    let Some(place) = place else { return process::directory(agent, workspace).map_err(adapter) };
    let Some(realised) = place.realised() else {
        let message = format!("its workspace was not realised in {}", place.name);
        return Err(CannotStart { code: "transport_resolution_failed".into(), message });
    };
    let below = if place.shares_files() {
        let directory = process::directory(agent, workspace).map_err(adapter)?;
        let root = workspace.canonicalize().unwrap_or_else(|_| workspace.to_owned());
        directory.strip_prefix(&root).map(Path::to_owned).unwrap_or_default()
    } else {
        process::directory_there(agent, workspace).map_err(adapter)?
    };
    let there = Path::new(&realised.cwd);
    // Joining an empty path would leave a slash behind.
    Ok(if below.as_os_str().is_empty() { there.to_owned() } else { there.join(below) })
}

/// The agent's own directory, made when it is first needed.
fn home(ctx: &Context, job: &RunJob) -> Result<PathBuf, CannotStart> {
    agent_home(ctx, job).map_err(|message| CannotStart { code: "exec_failed".into(), message })
}

/// The same for whoever makes a workspace of it.
pub fn agent_home(ctx: &Context, job: &RunJob) -> Result<PathBuf, String> {
    use std::os::unix::fs::DirBuilderExt as _;
    let home = ctx.keeper.data.join("agents").join(job.agent.id.text()).join("home");
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&home);
    made.map_err(|e| format!("cannot make the agent's home {}: {e}", home.display()))?;
    Ok(home)
}

#[cfg(test)]
mod tests;
