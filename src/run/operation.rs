//! Carrying out one workspace operation through a shim, with its row and its log.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use wharf_model::shim::{ExitFrame, LogSpec, ShimKind, Spec, StartMessage, StdinMode};
use wharf_model::{OperationId, OperationPhase, OperationStatus};

use super::context::Context;
use super::keep::{CannotStart, End, Seen};
use super::output;
use crate::dispatch::input::{Fact, OperationEnd, PlannedOperation, Verdict as Judged};
use crate::dispatch::perform::{RunJob, shim_dir};
use crate::process::adopt::{self, Verdict};
use crate::workspace::worktree::CommandSpec;

/// Grace of an operation that is stopped.
const GRACE_MS: u64 = 5_000;

/// Runs one command as an operation of a run.
///
/// The error says in words how it failed, with the end of its error output.
pub async fn carry_out(ctx: &Context, job: &RunJob, phase: OperationPhase, command: CommandSpec) -> Result<(), String> {
    perform(ctx, job, OperationId(Uuid::now_v7()), phase, command).await
}

/// Runs one command at most once for an attempt of a run: what an earlier reign began is found
/// again, and what has ended is not done again.
pub async fn carry_out_once(
    ctx: &Context,
    job: &RunJob,
    phase: OperationPhase,
    command: CommandSpec,
) -> Result<(), String> {
    let id = only(job, phase);
    let is_open = job.operations.iter().any(|o| o.id == id);
    if !is_open && let Some(dir) = shim_dir("operation", &id.text(), 1) {
        let path = ctx.keeper.path(&dir);
        let judged = tokio::task::spawn_blocking(move || adopt::judge(&path)).await;
        // Its row was closed with its end; only what came after that has been lost.
        if let Ok(Ok(Verdict::Ended(exit))) = judged {
            let timeout_ms = u64::try_from(command.timeout.as_millis()).unwrap_or(u64::MAX);
            let error = failure(&exit, &limit(timeout_ms));
            return report(&ctx.keeper.data, &dir, &command.display(), error, Some(exit)).await.1;
        }
    }
    perform(ctx, job, id, phase, command).await
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
        let ended = close(ctx, open.id, &dir, &shown, end, "its limit").await;
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
    command: CommandSpec,
) -> Result<(), String> {
    let Some(dir) = shim_dir("operation", &id.text(), 1) else { return Err("an operation has no directory".into()) };
    let timeout_ms = u64::try_from(command.timeout.as_millis()).unwrap_or(u64::MAX);
    let shown = command.display();
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
    let (epoch, tag) = (ctx.keeper.epoch, format!("operation/{id}"));
    let build = move || spec(id, epoch, tag, &command, timeout_ms);
    let left = job.operations.iter().any(|o| o.id == id);
    let mut waits = false;
    let seen = |seen| observed(ctx, id, left, changed(seen, &mut waits));
    let end = ctx.keeper.keep(&dir, false, build, seen).await;
    close(ctx, id, &dir, &shown, end, &limit(timeout_ms)).await
}

fn limit(timeout_ms: u64) -> String {
    format!("{timeout_ms} ms")
}

/// Reports the end of an operation; the error says how it failed.
async fn close(ctx: &Context, id: OperationId, dir: &str, shown: &str, end: End, limit: &str) -> Result<(), String> {
    let (error, exit, is_lost) = match end {
        End::Exited(exit) => (failure(&exit, limit), Some(exit), false),
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

/// Why an operation that left a record failed; none when it did not.
fn failure(exit: &ExitFrame, limit: &str) -> Option<String> {
    if let Some(cannot) = &exit.spawn_error {
        return Some(cannot.message.clone());
    }
    if let Some(stop) = exit.stop.as_ref().filter(|s| s.delivered) {
        return Some(if stop.reason == "timeout" {
            format!("it took longer than {limit}")
        } else {
            format!("stopped ({})", stop.reason)
        });
    }
    if let Some(signal) = &exit.signal {
        return Some(format!("killed by {signal}"));
    }
    exit.code.filter(|c| *c != 0).map(|c| format!("exit {c}"))
}

/// What is kept of an end, and what is said of it.
async fn report(
    data: &Path,
    dir: &str,
    shown: &str,
    error: Option<String>,
    exit: Option<Box<ExitFrame>>,
) -> (OperationEnd, Result<(), String>) {
    let gathered = tokio::task::spawn_blocking({
        let (data, dir, exit) = (data.to_owned(), dir.to_owned(), exit.clone());
        move || output::gather(&data, &dir, exit.as_deref())
    })
    .await
    .unwrap_or_default();
    let stderr = gathered.stderr_excerpt.map(|t| last_chars(&t, 4_096));
    let result = match &error {
        None => Ok(()),
        Some(error) => {
            let tail = stderr.as_ref().map(|t| last_chars(t.trim(), 600)).filter(|t| !t.is_empty());
            Err(match tail {
                Some(tail) => format!("{shown}: {error}: {tail}"),
                None => format!("{shown}: {error}"),
            })
        }
    };
    let end = OperationEnd {
        status: if error.is_some() { OperationStatus::Failed } else { OperationStatus::Succeeded },
        exit_code: exit.as_ref().and_then(|e| e.code),
        signal: exit.as_ref().and_then(|e| e.signal.clone()),
        error,
        stdout_excerpt: gathered.stdout_excerpt.map(|t| last_chars(&t, 4_096)),
        stderr_excerpt: stderr,
    };
    (end, result)
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

/// The last `most` characters.
pub fn last_chars(text: &str, most: usize) -> String {
    let skip = text.chars().count().saturating_sub(most);
    text.chars().skip(skip).collect()
}

fn spec(
    id: OperationId,
    epoch: i64,
    tag: String,
    command: &CommandSpec,
    timeout_ms: u64,
) -> Result<(Spec, StartMessage), CannotStart> {
    let text = |word: &OsString| {
        word.to_str().map(str::to_owned).ok_or_else(|| CannotStart {
            code: "exec_failed".into(),
            message: format!("{} is no UTF-8 and cannot be passed on", word.to_string_lossy()),
        })
    };
    let argv = command.argv.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let mut env = BTreeMap::new();
    for (name, value) in &command.env {
        env.insert(text(name)?, text(value)?);
    }
    env.insert("WHARF_TAG".into(), tag.clone());
    let spec = Spec {
        v: 1,
        kind: ShimKind::Operation,
        id: id.text(),
        attempt: 1,
        epoch,
        argv,
        cwd: text(&command.cwd.clone().into_os_string())?,
        env_names: env.keys().cloned().collect(),
        shell: false,
        tty: None,
        stdin: StdinMode::None,
        timeout_ms: Some(timeout_ms),
        grace_ms: GRACE_MS,
        log: LogSpec::default(),
        limits: BTreeMap::new(),
        tag,
        redact_count: 0,
        stop_signal: None,
        keep: Vec::new(),
        boot_id: None,
    };
    Ok((spec, StartMessage { env, stdin: None, redact: Vec::new(), token: None }))
}
