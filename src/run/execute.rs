//! Step 6 of a run: its adapter, from the start (or the adoption) of its shim to its end.

use std::path::{Path, PathBuf};

use uuid::Uuid;
use wharf_model::config::{AgentConfig, ProjectConfig};
use wharf_model::shim::{AgentFrame, LogSpec, Spec, StartMessage};
use wharf_model::{ActionRow, Kind, RunId, UnixMillis};
use wharf_store::log::LogReader;

use super::context::Context;
use super::keep::{CannotStart, End, Seen};
use super::output;
use crate::adapter::environment::{Allow, allowed, resolve};
use crate::adapter::{ConfiguredSecrets, ProcessStart, RunFacts, ServiceFacts, process};
use crate::dispatch::input::Fact;
use crate::dispatch::perform::{RunJob, shim_dir};
use crate::process::{identity, kill_point::kill_point, shim_dir::names};

/// Agent messages read at one time.
const MESSAGES_MAX: usize = 256;

/// Keeps one run until its end, and reports it.
pub async fn execute(ctx: &Context, action: &ActionRow, job: RunJob) -> Fact {
    let (run, attempt) = (job.run.id, job.run.attempt);
    let Some(dir) = shim_dir("run", &run.text(), attempt) else {
        let message = "the run has no directory".into();
        return Fact::RunNotStarted { action: action.id, run, attempt, code: "internal".into(), message };
    };
    // A stop was asked before anything was started: then nothing is.
    if job.run.stop_requested_at.is_some() && job.run.process_pid.is_none() && !ctx.keeper.path(&dir).exists() {
        let message = "a stop was asked before it was started".into();
        return Fact::RunNotStarted { action: action.id, run, attempt, code: "cancelled".into(), message };
    }
    let boot_id = identity::boot_id().unwrap_or_default();
    let mut heard =
        Heard { ctx: ctx.clone(), run, attempt, path: ctx.keeper.path(&dir), next_seq: after(&job), waits: false };
    let (starter, place) = (ctx.clone(), dir.clone());
    let begun = job.run.process_pid.is_some();
    let build = move || build(&starter, &job, &place);
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Seen>(64);
    let seen = move |seen| {
        let sender = sender.clone();
        async move {
            // The receiver lives as long as the keeper does.
            let _ended = sender.send(seen).await;
        }
    };
    let kept = dir.clone();
    let keeping = ctx.keeper.keep(&kept, begun, build, seen);
    tokio::pin!(keeping);
    let end = loop {
        tokio::select! {
            biased;
            Some(seen) = receiver.recv() => heard.on(seen, &boot_id).await,
            end = &mut keeping => break end,
        }
    };
    while let Ok(seen) = receiver.try_recv() {
        heard.on(seen, &boot_id).await;
    }
    heard.messages().await;
    kill_point("run.end_seen");
    let data = ctx.keeper.data.clone();
    match end {
        End::Exited(exit) => {
            let (at, frame) = (dir.clone(), exit.clone());
            let output = tokio::task::spawn_blocking(move || output::gather(&data, &at, Some(&frame))).await;
            Fact::RunEnded {
                action: action.id,
                run,
                attempt,
                exit,
                output: output.unwrap_or_default(),
                collected: None,
            }
        }
        End::Lost(evidence) => {
            let output = tokio::task::spawn_blocking(move || output::gather(&data, &dir, None)).await;
            Fact::RunLost { action: action.id, run, attempt, evidence, output: output.unwrap_or_default() }
        }
        End::NotStarted { code, message } => Fact::RunNotStarted { action: action.id, run, attempt, code, message },
    }
}

/// Messages with a lower number were taken by an earlier reign.
fn after(job: &RunJob) -> u64 {
    u64::try_from(job.run.agent_seq).unwrap_or(0) + 1
}

/// Turns what is seen of a shim into facts.
struct Heard {
    ctx: Context,
    run: RunId,
    attempt: u32,
    path: PathBuf,
    next_seq: u64,
    /// It waits for the disk, as last told.
    waits: bool,
}

impl Heard {
    async fn on(&mut self, seen: Seen, boot_id: &str) {
        let (run, attempt) = (self.run, self.attempt);
        let fact = match seen {
            Seen::Started { child, at_ms, adopted, limits } => {
                kill_point("run.started_seen");
                let (boot_id, at) = (boot_id.to_owned(), UnixMillis(at_ms));
                Fact::RunStarted { run, attempt, child, boot_id, at, adopted, limits }
            }
            Seen::Unknown(why) => Fact::RunObserved { run, attempt, unknown: Some(why) },
            Seen::Known => Fact::RunObserved { run, attempt, unknown: None },
            Seen::Message => return self.messages().await,
            Seen::Disk(waits) if waits == self.waits => return,
            Seen::Disk(waits) => {
                self.waits = waits;
                Fact::DiskWaited { entity: "run", id: run.text(), waits }
            }
        };
        self.ctx.inbox.tell(fact).await;
    }

    /// Reads what a `wharf` inside the run has said since, and reports each message once.
    async fn messages(&mut self) {
        loop {
            let (path, from) = (self.path.clone(), self.next_seq);
            let read = tokio::task::spawn_blocking(move || {
                LogReader::open(&path).and_then(|mut log| log.agent_messages(from, MESSAGES_MAX))
            })
            .await;
            let Ok(Ok(frames)) = read else { return };
            let full = frames.frames.len() >= MESSAGES_MAX;
            for frame in frames.frames {
                self.next_seq = frame.seq.saturating_add(1);
                let Ok(message) =
                    frame.body.and_then(|b| serde_json::from_value::<AgentFrame>(b).map_err(|e| e.to_string()))
                else {
                    continue;
                };
                self.ctx
                    .inbox
                    .tell(Fact::AgentSaid {
                        run: self.run,
                        attempt: self.attempt,
                        seq: i64::try_from(frame.seq).unwrap_or(i64::MAX),
                        message_id: message.message_id,
                        kind: message.kind,
                        body: message.body,
                    })
                    .await;
            }
            if !full {
                return;
            }
        }
    }
}

/// Makes what the shim is told. Reads the disk, and secrets from where they are kept.
fn build(ctx: &Context, job: &RunJob, dir: &str) -> Result<(Spec, StartMessage), CannotStart> {
    let adapter = |e: process::AdapterError| CannotStart { code: e.code().into(), message: e.to_string() };
    let broken = |what: &str, e: String| CannotStart { code: "adapter_failed".into(), message: format!("{what}: {e}") };
    let agent: AgentConfig = serde_json::from_value(job.agent.config.clone())
        .map_err(|e| broken("the agent's accepted config cannot be read", e.to_string()))?;
    let project: ProjectConfig =
        job.project.config.clone().ok_or_else(|| broken("the project", "has no accepted config".into())).and_then(
            |c| serde_json::from_value(c).map_err(|e| broken("the accepted config cannot be read", e.to_string())),
        )?;
    let cwd = job.workspace.as_ref().and_then(|w| w.cwd.clone()).unwrap_or_else(|| job.project.path.clone());
    let directory = process::directory(&agent, Path::new(&cwd)).map_err(adapter)?;
    let prompt = match &job.prompt {
        Some(prompt) => Some(prompt.clone()),
        None => process::prompt(&agent, Path::new(&job.project.path)).map_err(adapter)?,
    };
    let mut secrets = ConfiguredSecrets::new(&project.secrets, &ctx.operator, Path::new(&job.project.path));
    let own = resolve(&agent.env, &mut secrets).map_err(|e| broken("its environment", e.to_string()))?;
    for warning in &secrets.warnings {
        tracing::warn!(run = %Kind::Run.number(job.run.number), "{warning}");
    }
    let tag = format!("run/{}/{}", job.run.id, job.run.attempt);
    let token = format!("{}{}", Uuid::now_v7().simple(), Uuid::now_v7().simple());
    let home = home(ctx, job)?;
    let fallback = PathBuf::from("/usr/local/bin");
    let allow = Allow {
        wharf_directory: ctx.program_dir.as_deref().unwrap_or(&fallback),
        pass_ssh_agent: agent.pass_ssh_agent,
        has_terminal: agent.tty,
    };
    let mut env = allowed(&ctx.operator, allow);
    env.extend(own.env);
    // Last, so that no setting can make a run believe it is another.
    env.extend(facts(ctx, job, dir, &tag, &token, &cwd, &home).variables());
    let log = LogSpec { quota_bytes: ctx.log_quota, on_quota: ctx.on_quota, ..LogSpec::default() };
    process::start(ProcessStart {
        run_id: job.run.id.text(),
        attempt: job.run.attempt,
        epoch: ctx.keeper.epoch,
        tag,
        agent: &agent,
        cwd: &directory,
        prompt: prompt.as_deref(),
        env,
        redact: own.redact,
        token: Some(token),
        log,
    })
    .map_err(adapter)
}

/// The agent's own directory, made when it is first needed.
fn home(ctx: &Context, job: &RunJob) -> Result<PathBuf, CannotStart> {
    use std::os::unix::fs::DirBuilderExt as _;
    let home = ctx.keeper.data.join("agents").join(job.agent.id.text()).join("home");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&home).map_err(|e| CannotStart {
        code: "exec_failed".into(),
        message: format!("cannot make the agent's home {}: {e}", home.display()),
    })?;
    Ok(home)
}

fn facts(ctx: &Context, job: &RunJob, dir: &str, tag: &str, token: &str, cwd: &str, home: &Path) -> RunFacts {
    let services: Vec<ServiceFacts> = job
        .services
        .iter()
        .map(|s| ServiceFacts {
            id: s.id.text(),
            name: s.name.clone(),
            url: s.url.clone(),
            port: s.port.and_then(|p| u16::try_from(p).ok()),
        })
        .collect();
    let workspace = job.workspace.as_ref();
    let worktree = workspace.filter(|w| w.strategy_type == wharf_model::WorkspaceStrategy::GitWorktree);
    RunFacts {
        run_id: job.run.id.text(),
        run_number: Kind::Run.number(job.run.number),
        attempt: job.run.attempt,
        tag: tag.to_owned(),
        agent_id: job.agent.id.text(),
        agent_name: job.agent.name.clone(),
        agent_home: home.to_str().map(str::to_owned),
        company_id: job.run.company_id.text(),
        project_id: Some(job.project.id.text()),
        project_key: Some(job.project.key.clone()),
        issue_id: job.issue.as_ref().map(|i| i.id.text()),
        issue_identifier: job.issue.as_ref().map(|i| i.identifier.clone()),
        issue_title: job.issue.as_ref().map(|i| i.title.clone()),
        workspace_id: workspace.map(|w| w.id.text()),
        workspace_cwd: Some(cwd.to_owned()),
        workspace_path: Some(cwd.to_owned()),
        // Rows of before the root was noted are those of projects at the root.
        workspace_worktree_path: worktree.map(|w| w.provider_ref.clone().unwrap_or_else(|| cwd.to_owned())),
        workspace_branch: workspace.and_then(|w| w.branch_name.clone()),
        workspace_base_cwd: Some(job.project.path.clone()),
        workspace_repo_root: workspace.and_then(|w| w.repo_root.clone()),
        workspace_repo_ref: workspace.and_then(|w| w.base_ref.clone()),
        workspace_source: Some("project_primary".into()),
        workspace_created: workspace.map(|w| w.created_by_runtime),
        project_workspace_id: workspace.and_then(|w| w.project_workspace_id).map(wharf_model::ProjectWorkspaceId::text),
        lease_id: job.lease.as_ref().map(|l| l.id.text()),
        lease_fence: job.lease.as_ref().and_then(|l| l.fence),
        environment_id: job.environment.as_ref().map(|e| e.id.text()),
        environment_name: job.environment.as_ref().map(|e| e.name.clone()),
        environment_driver: job.environment.as_ref().map(|e| e.driver.as_str().to_owned()),
        primary_url: services.iter().find_map(|s| s.url.clone()),
        services,
        agent_socket: ctx.keeper.path(dir).join(names::AGENT).to_str().map(str::to_owned),
        token: Some(token.to_owned()),
        ..RunFacts::default()
    }
}
