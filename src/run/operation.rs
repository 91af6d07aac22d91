//! Carrying out one workspace operation through a shim, with its row and its log.

mod end;
pub mod own;

use std::collections::BTreeMap;
use std::ffi::OsString;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use wharf_model::config::show_duration;
use wharf_model::shim::{LogSpec, ShimKind, Spec, StartMessage, StdinMode};
use wharf_model::{OperationId, OperationPhase, OperationStatus};

pub use self::end::last_chars;
use self::end::{Shown, failure, report};
use super::context::Context;
use super::keep::{CannotStart, End, Seen};
use crate::adapter::elsewhere;
use crate::dispatch::input::{Fact, OperationEnd, PlannedOperation, Verdict as Judged};
use crate::dispatch::perform::{RunJob, shim_dir};
use crate::environment::target::{Inside, Target};
use crate::process::adopt::{self, Verdict};
use crate::workspace::worktree::CommandSpec;

/// Grace of an operation that is stopped.
const GRACE_MS: u64 = 5_000;

/// A command of an operation, and where it runs when that is not this machine.
#[derive(Debug, Clone)]
pub struct Work {
    /// The command; where it runs in a place its directory is one of there, and its variables are those that wharf sets.
    pub command: CommandSpec,
    /// How it runs there.
    pub place: Option<InPlace>,
}

/// How a command runs in a place.
#[derive(Debug, Clone)]
pub struct InPlace {
    /// How it is wrapped.
    pub target: Target,
    /// What it gets of the operator's environment.
    pub allowed: BTreeMap<String, String>,
    /// The place in words.
    pub name: String,
}

impl Work {
    fn place(&self) -> Option<&str> {
        self.place.as_ref().map(|p| p.name.as_str())
    }
}

/// Runs one command as an operation of a run.
///
/// The error says in words how it failed, with the end of its error output.
pub async fn carry_out(ctx: &Context, job: &RunJob, phase: OperationPhase, command: CommandSpec) -> Result<(), String> {
    perform(ctx, job, OperationId(Uuid::now_v7()), phase, Work { command, place: None }).await
}

/// Runs one command at most once for an attempt of a run: what an earlier reign began is found
/// again, and what has ended is not done again.
pub async fn carry_out_once(ctx: &Context, job: &RunJob, phase: OperationPhase, work: Work) -> Result<(), String> {
    let id = only(job, phase);
    let is_open = job.operations.iter().any(|o| o.id == id);
    if !is_open && let Some(dir) = shim_dir("operation", &id.text(), 1) {
        let path = ctx.keeper.path(&dir);
        let judged = tokio::task::spawn_blocking(move || adopt::judge(&path)).await;
        // Its row was closed with its end; only what came after that has been lost.
        if let Ok(Ok(Verdict::Ended(exit))) = judged {
            let timeout_ms = u64::try_from(work.command.timeout.as_millis()).unwrap_or(u64::MAX);
            let error = failure(&exit, &show_duration(timeout_ms), work.place());
            let shown = work.command.display();
            let shown = Shown { command: &shown, place: work.place() };
            return report(&ctx.keeper.data, &dir, shown, error, Some(exit)).await.1;
        }
    }
    perform(ctx, job, id, phase, work).await
}

/// Value of `WHARF_TAG` of what [`carry_out_once`] runs.
pub fn tag_once(job: &RunJob, phase: OperationPhase) -> String {
    tag(only(job, phase))
}

fn tag(id: OperationId) -> String {
    format!("operation/{id}")
}

/// Waits for the operations that an earlier reign left under way, so that the disk is looked at
/// when nobody changes it any more. One that failed fails this too; one whose end is not known is
/// judged by what it left.
pub async fn settle(ctx: &Context, job: &RunJob, phase: OperationPhase) -> Result<(), String> {
    for open in job.operations.iter().filter(|o| o.phase == phase) {
        let Some(dir) = shim_dir("operation", &open.id.text(), open.attempt) else { continue };
        let mut waits = false;
        let seen = |seen| observed(ctx, open.id, true, changed(seen, &mut waits));
        let end = ctx.keeper.stay(&dir, seen).await.unwrap_or_else(|| End::NotStarted {
            code: "internal".into(),
            message: "it was not started before the orchestrator ended".into(),
        });
        let shown = open.command.clone().unwrap_or_default();
        let is_known = matches!(end, End::Exited(_));
        let shown = Shown { command: &shown, place: None };
        let ended = close(ctx, open.id, &dir, shown, end, "its limit").await;
        if is_known {
            ended?;
        }
    }
    Ok(())
}

/// What was seen, unless it says of the disk what was said before.
fn changed(seen: Seen, waits: &mut bool) -> Option<Seen> {
    let is_new = !matches!(seen, Seen::Disk(now) if std::mem::replace(waits, now) == now);
    is_new.then_some(seen)
}

/// Tells what was seen of an operation; of one that an earlier reign `left` under way, what became of it.
async fn observed(ctx: &Context, operation: OperationId, left: bool, seen: Option<Seen>) {
    let (verdict, words) = match seen {
        Some(Seen::Disk(waits)) => {
            ctx.inbox.tell(Fact::DiskWaited { entity: "operation", id: operation.text(), waits }).await;
            return;
        }
        Some(Seen::Started { adopted: Some(byte), .. }) => (Judged::Adopted, format!("from byte {byte}")),
        Some(Seen::Started { adopted: None, .. }) => (Judged::Started, "started now".to_owned()),
        Some(Seen::Unknown(why)) => (Judged::Unknown, why),
        Some(Seen::Known | Seen::Message) | None => return,
    };
    if left {
        ctx.inbox.tell(Fact::OperationObserved { operation, verdict, words }).await;
    }
}

/// The one id of an operation of an attempt: made of its run's, so that it is found again.
fn only(job: &RunJob, phase: OperationPhase) -> OperationId {
    let mut hash = Sha256::new();
    hash.update(job.run.id.0.as_bytes());
    hash.update(job.run.attempt.to_le_bytes());
    hash.update(phase.as_str());
    let hash = hash.finalize();
    let mut bytes = *job.run.id.0.as_bytes();
    // The time of the run stays in front, as in every id here.
    bytes[6..].copy_from_slice(&hash[..10]);
    OperationId(uuid::Builder::from_bytes(bytes).with_version(uuid::Version::SortRand).into_uuid())
}

async fn perform(
    ctx: &Context,
    job: &RunJob,
    id: OperationId,
    phase: OperationPhase,
    work: Work,
) -> Result<(), String> {
    let Some(dir) = shim_dir("operation", &id.text(), 1) else { return Err("an operation has no directory".into()) };
    let command = &work.command;
    let timeout_ms = u64::try_from(command.timeout.as_millis()).unwrap_or(u64::MAX);
    let (shown, place) = (command.display(), work.place().map(str::to_owned));
    let told = ctx
        .inbox
        .tell(Fact::OperationPlanned {
            run: job.run.id,
            attempt: job.run.attempt,
            operation: PlannedOperation {
                id,
                phase,
                command: Some(shown.clone()),
                cwd: Some(command.cwd.display().to_string()),
                timeout_ms: i64::try_from(timeout_ms).unwrap_or(i64::MAX),
                log_ref: Some(dir.clone()),
            },
        })
        .await;
    // One that an earlier reign began is seen to its end all the same.
    if told.over && !ctx.keeper.path(&dir).exists() {
        let end = OperationEnd {
            status: OperationStatus::Skipped,
            error: Some("a stop was asked".into()),
            ..OperationEnd::default()
        };
        ctx.inbox.tell(Fact::OperationEnded { operation: id, end }).await;
        return Err(format!("{shown}: not begun, since a stop was asked"));
    }
    let epoch = ctx.keeper.epoch;
    let build = move || spec(id, epoch, &work, timeout_ms);
    let left = job.operations.iter().any(|o| o.id == id);
    let mut waits = false;
    let seen = |seen| observed(ctx, id, left, changed(seen, &mut waits));
    let end = ctx.keeper.keep(&dir, false, build, seen).await;
    let shown = Shown { command: &shown, place: place.as_deref() };
    close(ctx, id, &dir, shown, end, &show_duration(timeout_ms)).await
}

/// Reports the end of an operation; the error says how it failed.
async fn close(
    ctx: &Context,
    id: OperationId,
    dir: &str,
    shown: Shown<'_>,
    end: End,
    limit: &str,
) -> Result<(), String> {
    let (error, exit, is_lost) = match end {
        End::Exited(exit) => (failure(&exit, limit, shown.place), Some(exit), false),
        End::Lost(evidence) => (Some(evidence), None, true),
        End::NotStarted { message, .. } => (Some(message), None, false),
    };
    let (mut end, result) = report(&ctx.keeper.data, dir, shown, error, exit).await;
    if is_lost {
        end.status = OperationStatus::Lost;
    }
    ctx.inbox.tell(Fact::OperationEnded { operation: id, end }).await;
    result
}

/// Records that something needed no command at all.
pub async fn record(ctx: &Context, job: &RunJob, phase: OperationPhase, note: &str, cwd: &str) {
    let id = OperationId(Uuid::now_v7());
    let operation = PlannedOperation {
        id,
        phase,
        command: Some(note.to_owned()),
        cwd: Some(cwd.to_owned()),
        timeout_ms: 0,
        log_ref: None,
    };
    ctx.inbox.tell(Fact::OperationPlanned { run: job.run.id, attempt: job.run.attempt, operation }).await;
    let end = OperationEnd { status: OperationStatus::Skipped, ..OperationEnd::default() };
    ctx.inbox.tell(Fact::OperationEnded { operation: id, end }).await;
}

fn spec(id: OperationId, epoch: i64, work: &Work, timeout_ms: u64) -> Result<(Spec, StartMessage), CannotStart> {
    let text = |word: &OsString| {
        word.to_str().map(str::to_owned).ok_or_else(|| CannotStart {
            code: "exec_failed".into(),
            message: format!("{} is no UTF-8 and cannot be passed on", word.to_string_lossy()),
        })
    };
    let Work { command, place } = work;
    let tag = tag(id);
    let argv = command.argv.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let mut own = BTreeMap::new();
    for (name, value) in &command.env {
        own.insert(text(name)?, text(value)?);
    }
    own.insert("WHARF_TAG".into(), tag.clone());
    let cwd = text(&command.cwd.clone().into_os_string())?;
    let (target, allowed) = match place {
        Some(place) => (place.target.clone(), place.allowed.clone()),
        None => (Target::default(), BTreeMap::new()),
    };
    let inside = Inside { argv: &argv, cwd: &cwd, allowed: &allowed, own: &own, tty: false, here: "/" };
    let wrapped = elsewhere::wrap(&target, &inside, &tag, GRACE_MS);
    let spec = Spec {
        v: 1,
        kind: ShimKind::Operation,
        id: id.text(),
        attempt: 1,
        epoch,
        argv: wrapped.argv,
        cwd: wrapped.cwd,
        env_names: wrapped.env.keys().cloned().collect(),
        shell: false,
        tty: None,
        stdin: if wrapped.first_line.is_some() { StdinMode::Sent } else { StdinMode::None },
        timeout_ms: Some(timeout_ms),
        grace_ms: elsewhere::shim_grace(&target, GRACE_MS),
        log: LogSpec::default(),
        limits: BTreeMap::new(),
        tag,
        redact_count: target.redact.len() as u32,
        stop_signal: None,
        keep: Vec::new(),
        boot_id: None,
    };
    let message = StartMessage { env: wrapped.env, stdin: wrapped.first_line, redact: target.redact, token: None };
    Ok((spec, message))
}
