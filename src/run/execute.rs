//! Step 6 of a run: its adapter, from the start (or the adoption) of its shim to its end.

use std::path::PathBuf;

use wharf_model::config::{AgentConfig, RunLimits};
use wharf_model::shim::ExitFrame;
use wharf_model::{ActionRow, CheckoutMoment};

use super::build::{self, build};
use super::checkout_head::CheckoutHead;
use super::contact;
use super::context::Context;
use super::ended::{self, Stop};
use super::followed::{self, Told};
use super::heard::Heard;
use super::keep::{CannotStart, End, Seen};
use super::output;
use super::place::{self, Resolved, There, Venue};
use super::watch::Watch;
use crate::dispatch::input::{Fact, RunOutput};
use crate::dispatch::perform::{RunJob, shim_dir};
use crate::environment::driver::Target;
use crate::process::adopt::{self, Verdict};
use crate::process::{identity, kill_point::kill_point};

/// How often it is asked how a command runs in a place before the run is given up.
const TARGET_TRIES: i64 = 6;

/// Keeps one run until its end, and reports it.
pub async fn execute(ctx: &Context, action: &ActionRow, job: RunJob) -> Fact {
    let (run, attempt) = (job.run.id, job.run.attempt);
    let Some(dir) = shim_dir("run", &run.text(), attempt) else {
        let message = "the run has no directory".into();
        return Fact::RunNotStarted { action: action.id, run, attempt, code: "internal".into(), message };
    };
    let path = ctx.keeper.path(&dir);
    // A stop was asked before anything was started: then nothing is.
    if job.run.stop_requested_at.is_some() && job.run.process_pid.is_none() && !path.exists() {
        let message = "a stop was asked before it was started".into();
        return Fact::RunNotStarted { action: action.id, run, attempt, code: "cancelled".into(), message };
    }
    let venue = place::of(ctx, &job);
    let watch = Watch::new(&ctx.inbox, run, attempt);
    let begun = job.run.process_pid.is_some();
    let target = if !begun && may_be_due(path).await {
        match target(&venue, action, &job, &watch).await {
            Ok(target) => target,
            Err(error) => return Fact::ActionFailed { action: action.id, error },
        }
    } else {
        Err(CannotStart { code: "internal".into(), message: "it was not to be started again".into() })
    };
    let head = CheckoutHead::new(&job);
    // Looked at before anything runs; told beside the start, which waits for nobody.
    if !begun && let Some(fact) = head.look(CheckoutMoment::Began).await {
        let inbox = ctx.inbox.clone();
        tokio::spawn(async move { inbox.tell(fact).await });
    }
    let boot_id = identity::boot_id().unwrap_or_default();
    let mut heard = Heard::new(ctx, &job, &dir);
    let (tag, grace_ms) = (build::tag(&job.run), job.run.stop_grace_ms.unwrap_or(job.run.grace_ms));
    let (starter, to) = (ctx.clone(), dir.clone());
    let there = if let Venue::There(there) = &venue { Some(there.clone()) } else { None };
    let build = move || build(&starter, &job, &to, there.as_deref(), &target?);
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
    let asking = contact::keep(&venue, &tag, &watch);
    tokio::pin!(keeping, asking);
    let end = loop {
        tokio::select! {
            biased;
            Some(seen) = receiver.recv() => heard.on(seen, &boot_id).await,
            end = &mut keeping => break end,
            never = &mut asking => match never {},
        }
    };
    while let Ok(seen) = receiver.try_recv() {
        heard.on(seen, &boot_id).await;
    }
    heard.messages().await;
    kill_point("run.end_seen");
    let id = action.id;
    // Nobody waits any more: it was given up while it could not be judged.
    let given_up = Fact::ActionDone { action: id };
    match end {
        End::Exited(exit) => {
            let mut collected = None;
            if exit.spawn_error.is_none() {
                let was_killed = exit.stop.as_ref().is_some_and(|s| s.delivered && s.killed > 0);
                let stop = Stop::new(&tag, grace_ms, was_killed);
                let Some(settled) = ended::settle(&venue, stop, &watch).await else { return given_up };
                if let Some(stopped) = settled.stopped {
                    watch.note(stopped).await;
                    if let Some(perhaps) = followed::unfollowed(&venue, &exit) {
                        watch.note(perhaps).await;
                    }
                }
                collected = settled.collected;
                if !matches!(venue, Venue::Here) {
                    kill_point("run.collected");
                }
                head.tell(ctx, CheckoutMoment::Ended).await;
            }
            let output = gather(ctx, &dir, Some(exit.clone())).await;
            match followed::told(&venue, exit, output.stderr_excerpt.as_deref()) {
                Told::End(exit) => Fact::RunEnded { action: id, run, attempt, exit, output, collected },
                Told::Unseen(evidence) => Fact::RunLost { action: id, run, attempt, evidence, output, collected },
            }
        }
        End::Lost(evidence) => {
            let stop = Stop::new(&tag, grace_ms, false);
            let Some(settled) = ended::settle_lost(&venue, stop, &watch).await else { return given_up };
            let evidence = evidence + &settled.words;
            head.tell(ctx, CheckoutMoment::Ended).await;
            let output = gather(ctx, &dir, None).await;
            Fact::RunLost { action: id, run, attempt, evidence, output, collected: settled.collected }
        }
        End::NotStarted { code, message } => Fact::RunNotStarted { action: id, run, attempt, code, message },
    }
}

async fn gather(ctx: &Context, dir: &str, exit: Option<Box<ExitFrame>>) -> RunOutput {
    let (data, dir) = (ctx.keeper.data.clone(), dir.to_owned());
    tokio::task::spawn_blocking(move || output::gather(&data, &dir, exit.as_deref())).await.unwrap_or_default()
}

/// Whether a shim may have to be started in a directory; where that cannot be seen, it may.
async fn may_be_due(path: PathBuf) -> bool {
    let judged = tokio::task::spawn_blocking(move || adopt::judge(&path));
    matches!(judged.await, Err(_) | Ok(Err(_) | Ok(Verdict::NeverStarted)))
}

/// How the run's command is to be started: the inner error says why it is not. The outer one may pass.
async fn target(
    venue: &Venue,
    action: &ActionRow,
    job: &RunJob,
    watch: &Watch<'_>,
) -> Result<Result<Target, CannotStart>, String> {
    let refused = |code: &str, message: String| Ok(Err(CannotStart { code: code.to_owned(), message }));
    let failed = "transport_resolution_failed";
    let there = match venue {
        Venue::Here => return Ok(Ok(Target::default())),
        Venue::There(there) => there,
        Venue::Unreachable(why) | Venue::Gone { why, .. } => return refused(failed, why.clone()),
    };
    if !place::is_held(job) {
        return refused(failed, format!("its lease of {} is not held any more", there.name));
    }
    let agent = match build::agent(job) {
        Ok(agent) => agent,
        Err(cannot) => return Ok(Err(cannot)),
    };
    match place::resolve(there, watch, agent.tty).await {
        Resolved::Target(target) => {
            tell_missing(there, job, &agent, watch).await;
            Ok(Ok(*target))
        }
        Resolved::Refused(code, message) => refused(&code, message),
        Resolved::Stopped => refused("cancelled", "a stop was asked before it was started".into()),
        Resolved::Unknown(evidence) if action.tries >= TARGET_TRIES => refused(failed, evidence),
        Resolved::Unknown(evidence) => Err(evidence),
    }
}

/// Says what a run will miss where it works, although this machine or its config promises it.
async fn tell_missing(there: &There, job: &RunJob, agent: &AgentConfig, watch: &Watch<'_>) {
    let shares_network = job.environment.as_ref().is_some_and(|environment| {
        let config = job.lease.as_ref().and_then(|l| l.config.clone()).unwrap_or_else(|| environment.driver_config());
        place::shares_network(environment, &config)
    });
    if !job.services.is_empty() && !shares_network {
        let names: Vec<&str> = job.services.iter().map(|s| s.name.as_str()).collect();
        let words = "listens on this machine and may not be reached from";
        watch.note(format!("service {} {words} {}", names.join(", "), there.name)).await;
    }
    if agent.limits != RunLimits::default() && !there.shares_files() {
        let words = "are not kept there: they hold for processes of this machine";
        watch.note(format!("the limits of agent {} in {} {words}", agent.name, there.name)).await;
    }
}

#[cfg(test)]
mod tests;
