//! One service process, from its start (or its adoption) to its end, with readiness and health in between.

mod adopted;
mod build;
mod ended;
mod prepare;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use wharf_model::shim::{ChildRef, ExitFrame};
use wharf_model::{ActionRow, Health, ServiceRow, ServiceStatus};

use self::prepare::{Around, Prepared, prepare};
use super::health::{Judge, Verdict as Judged, Watched};
use super::owned::{Left, Owned};
use super::prestart;
use super::readiness::{self, Readiness};
use crate::dispatch::input::Fact;
use crate::dispatch::perform::{ServiceJob, shim_dir};
use crate::process::adopt::{self, Verdict};
use crate::process::brief;
use crate::process::kill_point::kill_point;
use crate::run::context::Context;
use crate::run::keep::{End, Seen};
use crate::run::{operation::last_chars, output};

/// Most characters of its error output that explain an end.
const TAIL: usize = 800;
/// Time after which a service without a check has served, if it has lived so long.
const UNCHECKED_MS: i64 = 5_000;
/// Shortest pause before a check that could not be made is made again.
const AGAIN_MIN: Duration = Duration::from_secs(1);
/// After this time what a main process has left is told of; most of it is stopped sooner, and the end is told then.
const LINGERS: Duration = Duration::from_secs(1);
/// What is known of a service in that time.
const ENDED: &str = "its main process has ended, and what it left behind is being stopped";

/// Keeps one service until its end, and reports it.
pub async fn serve(ctx: &Context, action: &ActionRow, job: ServiceJob) -> Fact {
    let (service, generation) = (job.service.id, job.service.generation);
    let ended = |exit: Option<Box<ExitFrame>>, code: Option<String>, message: Option<String>| Fact::ServiceEnded {
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
    let judged = tokio::task::spawn_blocking(move || {
        place.exists() && !matches!(adopt::judge(&place), Ok(Verdict::NeverStarted))
    });
    let started_before = judged.await.unwrap_or(true) || job.service.process_pid.is_some();
    if job.service.status == ServiceStatus::Stopping && !started_before {
        return ended(None, None, Some("a stop was asked before it was started".into()));
    }
    let mut notes = if started_before { Vec::new() } else { prestart::before_start(ctx, action.id, &job).await };
    let row = job.service.clone();
    let prepared = tokio::task::spawn_blocking(move || prepare(&row, started_before));
    let (prepared, held) = match prepared.await {
        Ok(Ok(prepared)) => prepared,
        Ok(Err((code, message))) => return ended(None, Some(code), Some(message)),
        Err(panic) => return ended(None, Some("internal".into()), Some(panic.to_string())),
    };
    let Prepared { config, number: port, url, ready, live, values } = prepared;
    if let Some(port) = port.filter(|_| held.is_reserved()) {
        let url = url.clone();
        ctx.inbox.tell(Fact::ServicePortReserved { service, generation, port: i64::from(port), url }).await;
    }
    kill_point("service.port_reserved");
    let around = Around {
        ctx: ctx.clone(),
        service: job.service.clone(),
        project: job.project.clone(),
        config,
        values,
        dir: path.clone(),
        variables: Arc::new(OnceLock::new()),
    };
    // Held to the end: the port is this service's, also while nobody listens.
    let held = Arc::new(Mutex::new(Some(held)));
    let (sender, mut receiver) = mpsc::channel::<Seen>(16);
    let seen = move |seen| {
        let sender = sender.clone();
        async move {
            // The receiver lives as long as the keeper does.
            let _ended = sender.send(seen).await;
        }
    };
    let begun = job.service.process_pid.is_some();
    let (starting, lent) = (around.clone(), Arc::clone(&held));
    let build = move || build::build(&starting, &lent);
    let keeping = ctx.keeper.keep(&dir, begun, build, seen);
    tokio::pin!(keeping);
    let (gone, exited) = watch::channel(false);
    let (judge_sender, mut verdicts) = mpsc::channel::<Judged>(4);
    let mut tasks = Tasks::default();
    let mut owned: Option<Owned> = None;
    let mut failed: Option<(String, String)> = None;
    let (mut left, mut child_ended) = (None, false);
    let mut lingers: Option<tokio::time::Instant> = None;
    let (mut waits, mut was_ready) = (false, job.service.status == ServiceStatus::Running);
    let end = loop {
        tokio::select! {
            biased;
            end = &mut keeping => break end,
            Some(seen) = receiver.recv() => {
                if let Seen::Disk(now) = seen && std::mem::replace(&mut waits, now) != now {
                    ctx.inbox.tell(Fact::DiskWaited { entity: "service", id: service.text(), waits }).await;
                }
                let Seen::Started { child, adopted, .. } = seen else { continue };
                kill_point("service.spawned");
                // Whoever started it: the socket must not be in its way.
                if let Ok(mut held) = held.lock() {
                    *held = held.take().map(prepare::Held::give_up);
                }
                let its = Owned { child, dir: path.clone() };
                owned = Some(its.clone());
                tasks.left = Some(tokio::spawn(its.clone().left(port)));
                let now = build::rendered(&around.config, &around.values);
                let fingerprint = now.as_ref().ok().map(|now| now.fingerprint.clone()).filter(|_| adopted.is_none());
                let started = Fact::ServiceStarted {
                    service,
                    generation,
                    child,
                    port: port.map(i64::from),
                    url: url.clone(),
                    fingerprint,
                    adopted: adopted.is_some(),
                };
                ctx.inbox.tell(started).await;
                if adopted.is_some() && let Ok(now) = now {
                    notes.extend(differences(&around, child, now).await);
                }
                match job.service.status {
                    ServiceStatus::Starting => {
                        tasks.readiness = Some(wait_ready(around.clone(), ready.clone(), exited.clone()));
                    }
                    // One that was ready before and is found again may be busy with itself: that ends no service.
                    ServiceStatus::Running => {
                        if !notes.is_empty() {
                            let (health, evidence) = (job.service.health, noted(None, &notes));
                            ctx.inbox.tell(Fact::ServiceHealth { service, generation, health, evidence }).await;
                        }
                        let watched = live.clone().map(|live| (live, Duration::ZERO, job.service.health));
                        tasks.health = watch_health(&around, watched, port, its, judge_sender.clone());
                    }
                    _ => {}
                }
            }
            seen = await_optional(&mut tasks.left), if tasks.left.is_some() => {
                // Whatever answers from now on is none of it: its shim ends what the child has left.
                tasks.left = None;
                left = seen;
                child_ended = true;
                let _nobody_waits = gone.send(true);
                if let Some(watching) = tasks.health.take() {
                    watching.abort();
                }
                lingers = was_ready.then(|| tokio::time::Instant::now() + LINGERS);
            }
            () = tokio::time::sleep_until(lingers.unwrap_or_else(tokio::time::Instant::now)), if lingers.is_some() => {
                lingers = None;
                // Its shim may need all of the grace for what is left: until then nobody takes it for well.
                let (health, evidence) = (Health::Unknown, noted(Some(ENDED.to_owned()), &notes));
                ctx.inbox.tell(Fact::ServiceHealth { service, generation, health, evidence }).await;
            }
            answer = await_optional(&mut tasks.readiness), if tasks.readiness.is_some() => {
                tasks.readiness = None;
                let answer = answer.flatten();
                // Its end is told when nothing of it lives any more.
                if child_ended || matches!(answer, Some(Readiness::ChildExited { .. })) {
                    continue;
                }
                match judge(answer, port, owned.clone()).await {
                    Ok(()) if tasks.left.as_ref().is_none_or(JoinHandle::is_finished) => {}
                    Ok(()) => {
                        ctx.inbox.tell(Fact::ServiceReady { service, generation }).await;
                        was_ready = true;
                        if !notes.is_empty() {
                            let (health, evidence) = (Health::Healthy, noted(None, &notes));
                            ctx.inbox.tell(Fact::ServiceHealth { service, generation, health, evidence }).await;
                        }
                        if let Some(its) = owned.clone() {
                            let watched = live.clone().map(|live| { let first = live.1.interval; (live, first, Health::Healthy) });
                            tasks.health = watch_health(&around, watched, port, its, judge_sender.clone());
                        }
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
            Some(Judged { health, evidence }) = verdicts.recv(), if !child_ended => {
                let evidence = noted(Some(evidence), &notes);
                ctx.inbox.tell(Fact::ServiceHealth { service, generation, health, evidence }).await;
            }
        }
    };
    // The child's end ends the wait at once.
    let _nobody_waits = gone.send(true);
    left = left.or(tasks.end().await);
    if ready.iter().chain(live.iter().map(|(asked, _)| asked)).any(|a| matches!(a, prepare::Asked::Command { .. })) {
        let tag = around.check_tag();
        // What a check has left, also one of an earlier reign. A failed look is logged there.
        let _done = tokio::task::spawn_blocking(move || brief::end_tagged(&tag)).await;
    }
    let with_tail = tail(ctx, dir.clone()).await;
    match end {
        End::Exited(exit) => {
            // Without a check it counts as ready from its first moment.
            let served = was_ready && (ready.is_some() || exit.ended_ms - exit.started_ms > UNCHECKED_MS);
            let daemonised = ended::daemonised(&exit, left.as_ref(), served, port);
            let (code, message) = match (failed, &exit.spawn_error, daemonised) {
                (Some((code, message)), ..) => (Some(code), Some(with_tail(message))),
                (None, Some(error), _) => (Some(error.code.clone()), Some(error.message.clone())),
                (None, None, Some(words)) => (Some("service_start_failed".into()), Some(words)),
                (None, None, None) => (None, None),
            };
            let message = match message {
                Some(message) => message,
                None => {
                    let words = match (&exit.signal, exit.code) {
                        (Some(signal), _) => format!("killed by {signal}"),
                        (None, Some(code)) => format!("exit {code}"),
                        (None, None) => "ended without an exit code".to_owned(),
                    };
                    let taken = tokio::task::spawn_blocking(move || ended::port_still_taken(port)).await.ok().flatten();
                    with_tail(taken.map_or(words.clone(), |taken| format!("{words}; {taken}")))
                }
            };
            ended(Some(exit), code, Some(message))
        }
        End::Lost(evidence) => ended(None, Some("process_lost".into()), Some(evidence)),
        End::NotStarted { code, message } => ended(None, Some(code), Some(message)),
    }
}

/// What goes on beside the keeper.
#[derive(Default)]
struct Tasks {
    readiness: Option<JoinHandle<Option<Readiness>>>,
    health: Option<JoinHandle<()>>,
    left: Option<JoinHandle<Left>>,
}

impl Tasks {
    /// Ends them; gives what the child had left behind, if that was seen.
    async fn end(self) -> Option<Left> {
        if let Some(waiting) = self.readiness {
            waiting.abort();
        }
        if let Some(watching) = self.health {
            watching.abort();
        }
        let mut left = self.left?;
        // Its child has ended, so this has too, but for one that was never seen to end.
        let seen = tokio::time::timeout(Duration::from_secs(1), &mut left).await;
        left.abort();
        seen.ok()?.ok()
    }
}

async fn await_optional<T>(task: &mut Option<JoinHandle<T>>) -> Option<T> {
    match task {
        Some(task) => task.await.ok(),
        None => std::future::pending().await,
    }
}

fn grace(service: &ServiceRow) -> u64 {
    u64::try_from(service.grace_ms).unwrap_or(10_000)
}

/// Evidence with what else is to be known of this process.
fn noted(evidence: Option<String>, notes: &[String]) -> Option<String> {
    let all: Vec<String> = evidence.into_iter().chain(notes.iter().cloned()).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// What of a service that was found alive is not what the config says now.
async fn differences(around: &Around, child: ChildRef, now: build::Rendered) -> Vec<String> {
    let around = around.clone();
    let found = tokio::task::spawn_blocking(move || {
        let Some(spec) = adopted::told(&around.dir) else { return Vec::new() };
        let row = &around.service;
        let known = adopted::Known { pid: row.process_pid, cwd: &row.cwd, fingerprint: row.env_fingerprint.as_deref() };
        adopted::differences(known, child, &spec, &around.config, &now)
    });
    found.await.unwrap_or_default()
}

/// Waits until it is ready; none when that broke off. A check that cannot be made, such as one of an earlier reign's
/// service whose secret is not to be had just now, is tried again for as long as the service has time.
fn wait_ready(
    around: Around,
    asked: Option<prepare::Asked>,
    mut exited: watch::Receiver<bool>,
) -> JoinHandle<Option<Readiness>> {
    tokio::spawn(async move {
        let Some(asked) = asked else { return Some(Readiness::Ready { tries: 0, took: Duration::ZERO }) };
        let began = Instant::now();
        let limit = Duration::from_millis(around.config.ready.timeout_ms);
        let pause = Duration::from_millis(around.config.ready.interval_ms).max(AGAIN_MIN);
        let gone = async move {
            // A closed channel says the same: nobody waits any more.
            let _closed = exited.wait_for(|gone| *gone).await;
        };
        tokio::pin!(gone);
        loop {
            let (making, asked) = (around.clone(), asked.clone());
            let made = tokio::task::spawn_blocking(move || making.check(asked, began.elapsed())).await;
            let last_error = match made.unwrap_or_else(|panic| Err(panic.to_string())) {
                Ok(check) => return Some(readiness::wait(&check, gone).await),
                Err(error) => error,
            };
            if began.elapsed() + pause >= limit {
                return Some(Readiness::TimedOut { tries: 0, last_error });
            }
            tokio::select! {
                biased;
                () = &mut gone => return Some(Readiness::ChildExited { tries: 0, last_error: Some(last_error) }),
                () = tokio::time::sleep(pause) => {}
            }
        }
    })
}

/// Begins to look at a running service; none when nothing can be asked. While its check cannot be made nobody knows how
/// it is: that is told, and tried again.
fn watch_health(
    around: &Around,
    watched: Option<((prepare::Asked, super::health::Times), Duration, Health)>,
    port: Option<u16>,
    owned: Owned,
    tell: mpsc::Sender<Judged>,
) -> Option<JoinHandle<()>> {
    let ((asked, times), mut first, mut health) = watched?;
    let around = around.clone();
    Some(tokio::spawn(async move {
        let mut told = None;
        let probe = loop {
            let (making, asked) = (around.clone(), asked.clone());
            let made = tokio::task::spawn_blocking(move || making.probe(asked)).await;
            let error = match made.unwrap_or_else(|panic| Err(panic.to_string())) {
                Ok(probe) => break probe,
                Err(error) => error,
            };
            if told.as_ref() != Some(&error) {
                tracing::warn!(%error, service = %around.service.name, "a service cannot be looked at");
                let evidence = format!("it cannot be looked at: {error}");
                if tell.send(Judged { health: Health::Unknown, evidence }).await.is_err() {
                    return;
                }
                told = Some(error);
            }
            (first, health) = (Duration::ZERO, Health::Unknown);
            tokio::time::sleep(times.interval.max(AGAIN_MIN)).await;
        };
        let judge = Judge::new(probe.asked(), times.failures, health);
        Watched { probe, times, port, owned }.watch(judge, first, tell).await;
    }))
}

/// Whether the service is ready: it answered, and its own processes hold the port.
async fn judge(answer: Option<Readiness>, port: Option<u16>, owned: Option<Owned>) -> Result<(), (String, String)> {
    match answer {
        Some(Readiness::Ready { .. }) => {}
        Some(Readiness::TimedOut { last_error, .. }) => {
            return Err(("service_not_ready".into(), format!("it did not answer in time: {last_error}")));
        }
        Some(Readiness::Impossible { error }) => {
            return Err(("service_start_failed".into(), format!("its readiness check cannot be carried out: {error}")));
        }
        Some(Readiness::ChildExited { .. }) | None => {
            return Err(("internal".into(), "its readiness check broke off".into()));
        }
    }
    let (Some(port), Some(owned)) = (port, owned) else { return Ok(()) };
    let settled = tokio::task::spawn_blocking(move || owned.settle(port)).await;
    match settled {
        Ok(Ok(())) => Ok(()),
        Ok(Err(who)) => Err(("port_in_use".into(), format!("port {port} answers, but it is held by {who}"))),
        Err(panic) => Err(("internal".into(), panic.to_string())),
    }
}

/// Adds the last of its error output to a message.
async fn tail(ctx: &Context, dir: String) -> impl Fn(String) -> String {
    let data: PathBuf = ctx.keeper.data.clone();
    let gathered = tokio::task::spawn_blocking(move || output::gather(&data, &dir, None).stderr_excerpt).await;
    let tail = gathered.ok().flatten().map(|t| last_chars(t.trim(), TAIL)).filter(|t| !t.is_empty());
    move |message| match &tail {
        Some(tail) => format!("{message}; its last error output: {tail}"),
        None => message,
    }
}
