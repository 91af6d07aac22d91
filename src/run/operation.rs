//! Carrying out one workspace operation through a shim, with its row and its log.

use std::collections::BTreeMap;
use std::ffi::OsString;

use uuid::Uuid;
use wharf_model::shim::{LogSpec, ShimKind, Spec, StartMessage, StdinMode};
use wharf_model::{OperationId, OperationPhase, OperationStatus};

use super::context::Context;
use super::keep::{CannotStart, End};
use super::output;
use crate::dispatch::input::{Fact, OperationEnd, PlannedOperation};
use crate::dispatch::perform::{RunJob, open_operation, shim_dir};
use crate::workspace::worktree::CommandSpec;

/// Grace of an operation that is stopped.
const GRACE_MS: u64 = 5_000;

/// Runs one command as an operation of a run, or finds the one that an earlier reign began.
///
/// The error says in words how it failed, with the end of its error output.
pub async fn carry_out(ctx: &Context, job: &RunJob, phase: OperationPhase, command: CommandSpec) -> Result<(), String> {
    let id = open_operation(job, phase).unwrap_or_else(|| OperationId(Uuid::now_v7()));
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
    let end = ctx.keeper.keep(&dir, build, |_| std::future::ready(())).await;
    let data = ctx.keeper.data.clone();
    let (status, error, exit) = match end {
        End::Exited(exit) => {
            let error = if let Some(cannot) = &exit.spawn_error {
                Some(cannot.message.clone())
            } else if exit.stop.as_ref().is_some_and(|s| s.delivered) {
                let why = exit.stop.as_ref().map_or("stop", |s| s.reason.as_str());
                Some(if why == "timeout" {
                    format!("it took longer than {timeout_ms} ms")
                } else {
                    format!("stopped ({why})")
                })
            } else if let Some(signal) = &exit.signal {
                Some(format!("killed by {signal}"))
            } else {
                exit.code.filter(|c| *c != 0).map(|c| format!("exit {c}"))
            };
            (if error.is_some() { OperationStatus::Failed } else { OperationStatus::Succeeded }, error, Some(exit))
        }
        End::Lost(evidence) => (OperationStatus::Failed, Some(evidence), None),
        End::NotStarted { message, .. } => (OperationStatus::Failed, Some(message), None),
    };
    let gathered = tokio::task::spawn_blocking({
        let (dir, exit) = (dir.clone(), exit.clone());
        move || output::gather(&data, &dir, exit.as_deref())
    })
    .await
    .unwrap_or_default();
    let stderr = gathered.stderr_excerpt.clone().map(|t| last_chars(&t, 4_096));
    ctx.inbox
        .tell(Fact::OperationEnded {
            operation: id,
            end: OperationEnd {
                status,
                exit_code: exit.as_ref().and_then(|e| e.code),
                signal: exit.as_ref().and_then(|e| e.signal.clone()),
                error: error.clone(),
                stdout_excerpt: gathered.stdout_excerpt.map(|t| last_chars(&t, 4_096)),
                stderr_excerpt: stderr.clone(),
            },
        })
        .await;
    match error {
        None => Ok(()),
        Some(error) => {
            let tail = stderr.map(|t| last_chars(t.trim(), 600)).filter(|t| !t.is_empty());
            Err(match tail {
                Some(tail) => format!("{shown}: {error}: {tail}"),
                None => format!("{shown}: {error}"),
            })
        }
    }
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
