//! One service process, from its start (or its adoption) to its end, with readiness in between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use wharf_model::config::{CommandLine, EnvValue, Port, ProjectConfig, ReadyCheck, ServiceConfig};
use wharf_model::rules::template::{Placeholder, Values, render};
use wharf_model::shim::{ChildRef, LogSpec, ShimKind, Spec, StartMessage, StdinMode};
use wharf_model::{ActionRow, ServiceRow, ServiceStatus};

use super::port::{self, Ownership, Reservation};
use super::readiness::{self, Check, Probe, Readiness};
use crate::adapter::ConfiguredSecrets;
use crate::adapter::environment::{Allow, allowed, resolve};
use crate::dispatch::input::Fact;
use crate::dispatch::perform::{ServiceJob, shim_dir};
use crate::process::adopt::{self, Verdict};
use crate::process::{descendants, kill_point::kill_point};
use crate::run::context::Context;
use crate::run::keep::{CannotStart, End, Seen};
use crate::run::{operation::last_chars, output};

/// Time in which a service must own its port after it has answered.
const OWNERSHIP_LIMIT: Duration = Duration::from_secs(2);

/// What a start settled before its process runs.
struct Prepared {
    config: ServiceConfig,
    /// Held until the process is started.
    port: Option<Reservation>,
    number: Option<u16>,
    url: Option<String>,
    ready: Option<Check>,
    values: Values,
}

/// Keeps one service until its end, and reports it.
pub async fn serve(ctx: &Context, action: &ActionRow, job: ServiceJob) -> Fact {
    let (service, generation) = (job.service.id, job.service.generation);
    let ended = |exit, code: Option<String>, message: Option<String>| Fact::ServiceEnded {
        action: action.id,
        service,
        generation,
        exit,
        code,
        message,
    };
    let Some(dir) = shim_dir("service", &service.text(), generation) else {
        return ended(None, Some("internal".into()), Some("the service has no directory".into()));
    };
    let path = ctx.keeper.path(&dir);
    let place = path.clone();
    // One that was started by an earlier reign has its port already. What cannot be judged may live.
    let judged =
        tokio::task::spawn_blocking(move || path.exists() && !matches!(adopt::judge(&path), Ok(Verdict::NeverStarted)));
    let started_before = judged.await.unwrap_or(true) || job.service.process_pid.is_some();
    if job.service.status == ServiceStatus::Stopping && !started_before {
        return ended(None, None, Some("a stop was asked before it was started".into()));
    }
    let row = job.service.clone();
    let prepared = match tokio::task::spawn_blocking(move || prepare(&row, started_before)).await {
        Ok(Ok(prepared)) => prepared,
        Ok(Err((code, message))) => return ended(None, Some(code), Some(message)),
        Err(panic) => return ended(None, Some("internal".into()), Some(panic.to_string())),
    };
    let (port, url, ready) = (prepared.number, prepared.url.clone(), prepared.ready.clone());
    if let (Some(port), Some(_)) = (port, &prepared.port) {
        let url = url.clone();
        ctx.inbox.tell(Fact::ServicePortReserved { service, generation, port: i64::from(port), url }).await;
    }
    kill_point("service.port_reserved");
    let (sender, mut receiver) = mpsc::channel::<Seen>(16);
    let seen = move |seen| {
        let sender = sender.clone();
        async move {
            // The receiver lives as long as the keeper does.
            let _ended = sender.send(seen).await;
        }
    };
    let (starter, project) = (ctx.clone(), job.project.clone());
    let row = job.service.clone();
    let begun = row.process_pid.is_some();
    let build = move || build(&starter, &row, project.config.as_ref(), &project.path, prepared);
    let kept = dir.clone();
    let keeping = ctx.keeper.keep(&kept, begun, build, seen);
    tokio::pin!(keeping);
    let (gone, exited) = watch::channel(false);
    let mut readiness: Option<tokio::task::JoinHandle<Readiness>> = None;
    let mut child: Option<ChildRef> = None;
    let mut failed: Option<(String, String)> = None;
    let mut waits = false;
    let end = loop {
        tokio::select! {
            biased;
            end = &mut keeping => break end,
            Some(seen) = receiver.recv() => {
                if let Seen::Disk(now) = seen && std::mem::replace(&mut waits, now) != now {
                    ctx.inbox.tell(Fact::DiskWaited { entity: "service", id: service.text(), waits }).await;
                }
                let Seen::Started { child: started, adopted, .. } = seen else { continue };
                kill_point("service.spawned");
                child = Some(started);
                ctx.inbox
                    .tell(Fact::ServiceStarted {
                        service,
                        generation,
                        child: started,
                        port: port.map(i64::from),
                        url: url.clone(),
                        fingerprint: None,
                        adopted: adopted.is_some(),
                    })
                    .await;
                // One that was ready before and is found again may be busy with itself: that ends no service.
                if job.service.status == ServiceStatus::Starting {
                    readiness = Some(wait_ready(ready.clone(), exited.clone()));
                }
            }
            answer = await_optional(&mut readiness), if readiness.is_some() => {
                readiness = None;
                match judge(answer, port, child, place.clone()).await {
                    Ok(()) => {
                        ctx.inbox.tell(Fact::ServiceReady { service, generation }).await;
                    }
                    Err((code, message)) => {
                        failed.get_or_insert((code, message));
                        // Its keeper stops it; the end is reported when nothing of it lives.
                        if let Err(error) = ctx.keeper.stop(&dir, "not_ready", grace(&job.service)).await {
                            tracing::warn!(%error, service = %job.service.name, "a service that is not ready cannot be stopped");
                        }
                    }
                }
            }
        }
    };
    // The child's end ends the wait at once.
    let _nobody_waits = gone.send(true);
    if let Some(waiting) = readiness {
        waiting.abort();
    }
    let data = ctx.keeper.data.clone();
    let stderr = tokio::task::spawn_blocking(move || output::gather(&data, &dir, None).stderr_excerpt)
        .await
        .ok()
        .flatten()
        .map(|t| last_chars(t.trim(), 800))
        .filter(|t| !t.is_empty());
    let with_tail = |message: String| match &stderr {
        Some(tail) => format!("{message}; its last error output: {tail}"),
        None => message,
    };
    match end {
        End::Exited(exit) => {
            let (code, message) = match (failed, &exit.spawn_error) {
                (Some((code, message)), _) => (Some(code), Some(with_tail(message))),
                (None, Some(error)) => (Some(error.code.clone()), Some(error.message.clone())),
                (None, None) => (None, None),
            };
            let message = message.or_else(|| {
                let text = match (&exit.signal, exit.code) {
                    (Some(signal), _) => format!("killed by {signal}"),
                    (None, Some(code)) => format!("exit {code}"),
                    (None, None) => "ended without an exit code".to_owned(),
                };
                Some(with_tail(text))
            });
            ended(Some(exit), code, message)
        }
        End::Lost(evidence) => ended(None, Some("process_lost".into()), Some(evidence)),
        End::NotStarted { code, message } => ended(None, Some(code), Some(message)),
    }
}

async fn await_optional(task: &mut Option<tokio::task::JoinHandle<Readiness>>) -> Option<Readiness> {
    match task {
        Some(task) => task.await.ok(),
        None => std::future::pending().await,
    }
}

fn grace(service: &ServiceRow) -> u64 {
    u64::try_from(service.grace_ms).unwrap_or(10_000)
}

fn wait_ready(check: Option<Check>, mut exited: watch::Receiver<bool>) -> tokio::task::JoinHandle<Readiness> {
    tokio::spawn(async move {
        match check {
            None => Readiness::Ready { tries: 0, took: Duration::ZERO },
            Some(check) => {
                readiness::wait(&check, async move {
                    // A closed channel says the same: nobody waits any more.
                    let _closed = exited.wait_for(|gone| *gone).await;
                })
                .await
            }
        }
    })
}

/// Whether the service is ready: it answered, and its own processes hold the port.
async fn judge(
    answer: Option<Readiness>,
    port: Option<u16>,
    child: Option<ChildRef>,
    dir: PathBuf,
) -> Result<(), (String, String)> {
    match answer {
        Some(Readiness::Ready { .. }) => {}
        Some(Readiness::TimedOut { last_error, .. }) => {
            return Err(("service_not_ready".into(), format!("it did not answer in time: {last_error}")));
        }
        Some(Readiness::ChildExited { .. }) => {
            return Err(("service_not_ready".into(), "it ended before it answered".into()));
        }
        None => return Err(("internal".into(), "its readiness check broke off".into())),
    }
    let (Some(port), Some(child)) = (port, child) else { return Ok(()) };
    let checked = tokio::task::spawn_blocking(move || {
        let end = std::time::Instant::now() + OWNERSHIP_LIMIT;
        loop {
            let mut ours: BTreeSet<i32> = BTreeSet::from([child.pid]);
            // From its keeper on: what a launcher leaves behind is the keeper's child.
            let top = match adopt::judge(&dir) {
                Ok(Verdict::Live(Some(id))) => id.shim.pid,
                _ => child.pid,
            };
            if let Ok(below) = descendants::of(top) {
                ours.extend(below.iter().map(|p| p.id.pid));
            }
            match port::ownership(port, &ours) {
                Ownership::Ours(_) => return Ok(()),
                // What cannot be told is not held against it.
                Ownership::Unknown(why) => {
                    tracing::warn!(%why, port, "whose a port is cannot be told");
                    return Ok(());
                }
                Ownership::Nobody if std::time::Instant::now() >= end => return Ok(()),
                Ownership::Others(owners) if std::time::Instant::now() >= end => {
                    let who = port::describe(&Ok(owners));
                    return Err(("port_in_use".to_owned(), format!("port {port} answers, but it is held by {who}")));
                }
                Ownership::Nobody | Ownership::Others(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    })
    .await;
    checked.unwrap_or_else(|panic| Err(("internal".into(), panic.to_string())))
}

fn prepare(service: &ServiceRow, started_before: bool) -> Result<Prepared, (String, String)> {
    let config: ServiceConfig = serde_json::from_value(service.config.clone())
        .map_err(|e| ("internal".to_owned(), format!("the service's accepted config cannot be read: {e}")))?;
    let last = service.port.and_then(|p| u16::try_from(p).ok());
    let failed = |e: port::PortError| (e.code().to_owned(), e.to_string());
    let (reservation, number) = match (&config.port, started_before) {
        (Port::None, _) => (None, None),
        (Port::Auto { .. }, true) => (None, last),
        (Port::Fixed { port, .. }, true) => (None, Some(*port)),
        (Port::Auto { .. }, false) => {
            let reserved = port::reserve_auto(last).map_err(failed)?;
            let number = reserved.port();
            (Some(reserved), Some(number))
        }
        (Port::Fixed { port, .. }, false) => (Some(port::reserve_exact(*port).map_err(failed)?), Some(*port)),
    };
    let values = Values::new().with_some(Placeholder::Port, number.map(|n| n.to_string()));
    let text = |template: &str| {
        render(template, Placeholder::FOR_SERVICE, &values)
            .map_err(|e| ("service_start_failed".to_owned(), format!("{}: {e}", service.name)))
    };
    let probe = match &config.ready.check {
        ReadyCheck::Http(url) => Some(Probe::Http(text(url)?)),
        ReadyCheck::Tcp(address) => Some(Probe::Tcp(text(address)?)),
        ReadyCheck::None | ReadyCheck::Command(_) | ReadyCheck::LogLine(_) => None,
    };
    let url = match (&config.url, &config.ready.check) {
        (Some(url), _) | (None, ReadyCheck::Http(url)) => Some(text(url)?),
        _ => None,
    };
    let ready = probe
        .map(|p| {
            let (limit, pause) = (config.ready.timeout_ms, config.ready.interval_ms);
            Check::new(p, Duration::from_millis(limit), Duration::from_millis(pause))
        })
        .transpose()
        .map_err(|e| ("service_start_failed".to_owned(), e.to_string()))?;
    Ok(Prepared { config, port: reservation, number, url, ready, values })
}

fn build(
    ctx: &Context,
    service: &ServiceRow,
    project: Option<&serde_json::Value>,
    project_path: &str,
    prepared: Prepared,
) -> Result<(Spec, StartMessage), CannotStart> {
    let broken = |message: String| CannotStart { code: "service_start_failed".into(), message };
    let config = prepared.config;
    let project: ProjectConfig =
        project.cloned().ok_or_else(|| broken("the project has no accepted config".into())).and_then(|c| {
            serde_json::from_value(c).map_err(|e| broken(format!("the accepted config cannot be read: {e}")))
        })?;
    let cwd = Path::new(&service.cwd);
    if !cwd.is_dir() {
        return Err(CannotStart {
            code: "cwd_missing".into(),
            message: format!("the directory {} of service {} is not there", service.cwd, service.name),
        });
    }
    let mut secrets = ConfiguredSecrets::new(&project.secrets, &ctx.operator, Path::new(project_path));
    let own = resolve(&config.env, &mut secrets).map_err(|e| broken(e.to_string()))?;
    let fallback = Path::new("/usr/local/bin");
    let allow = Allow {
        wharf_directory: ctx.program_dir.as_deref().unwrap_or(fallback),
        pass_ssh_agent: false,
        has_terminal: false,
    };
    let mut env: BTreeMap<String, String> = allowed(&ctx.operator, allow);
    let tag = format!("service/{}/{}", service.id, service.generation);
    env.insert("WHARF_SERVICE_ID".into(), service.id.text());
    env.insert("WHARF_SERVICE_NAME".into(), service.name.clone());
    env.insert("WHARF_TAG".into(), tag.clone());
    for (name, value) in own.env {
        // A secret is no template: its output is searched for the value as it is.
        let is_template = matches!(config.env.get(&name), Some(EnvValue::Text(_)));
        let value = if is_template {
            render(&value, Placeholder::FOR_SERVICE, &prepared.values).map_err(|e| broken(format!("{name}: {e}")))?
        } else {
            value
        };
        env.insert(name, value);
    }
    if let (Port::Auto { env: name } | Port::Fixed { env: name, .. }, Some(port)) = (&config.port, &prepared.port) {
        env.insert(name.clone(), port.port().to_string());
    }
    let (argv, shell) = match &config.command {
        CommandLine::Shell(line) => (vec![line.clone()], true),
        CommandLine::Argv(args) => (args.clone(), false),
    };
    let argv = argv
        .iter()
        .map(|a| render(a, Placeholder::FOR_SERVICE, &prepared.values).map_err(|e| broken(e.to_string())))
        .collect::<Result<Vec<_>, _>>()?;
    let spec = Spec {
        v: 1,
        kind: ShimKind::Service,
        id: service.id.text(),
        attempt: service.generation,
        epoch: ctx.keeper.epoch,
        argv,
        cwd: service.cwd.clone(),
        env_names: env.keys().cloned().collect(),
        shell,
        tty: None,
        stdin: StdinMode::None,
        timeout_ms: None,
        grace_ms: grace(service),
        log: LogSpec::default(),
        limits: BTreeMap::new(),
        tag,
        redact_count: u32::try_from(own.redact.len()).unwrap_or(u32::MAX),
        stop_signal: Some(config.stop.signal.clone()),
        keep: Vec::new(),
        boot_id: None,
    };
    // Given up as late as can be: the service takes it next.
    drop(prepared.port);
    Ok((spec, StartMessage { env, stdin: None, redact: own.redact, token: None }))
}
