//! Repairs what a look has found, as an operation of the service: a row, and a log that can be read.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use wharf_model::{ActionId, OperationId, OperationPhase, OperationStatus};
use wharf_store::log::{LogOwner, LogWriter, Stream};

use super::{Finding, LIMIT, Look};
use crate::dispatch::input::{Fact, OperationEnd, OperationOwner, PlannedOperation};
use crate::dispatch::perform::{ServiceJob, shim_dir};
use crate::process::kill_point::kill_point;
use crate::run::context::Context;

/// Size of a segment of its log, which has a few lines.
const SEGMENT_BYTES: u64 = 1 << 20;

/// Repairs and records; gives what is left, for people. Does nothing when nothing was found, unless an earlier reign
/// had begun with it.
pub(super) async fn repair(
    ctx: &Context,
    action: ActionId,
    job: &ServiceJob,
    look: &'static dyn Look,
    found: Vec<Finding>,
) -> Vec<String> {
    let id = only(job, look);
    let Some(dir) = shim_dir("operation", &id.text(), 1) else { return Vec::new() };
    let path = ctx.keeper.path(&dir);
    if found.is_empty() && !path.exists() {
        return Vec::new();
    }
    // The log first: whoever finds it knows that there is, or is to be, a row.
    let place = path.clone();
    let begun = tokio::task::spawn_blocking(move || begin(&place, id)).await;
    let log = match begun.unwrap_or_else(|panic| Err(std::io::Error::other(panic))) {
        Ok(log) => log,
        Err(error) => return vec![format!("{} cannot be repaired: its log cannot be written: {error}", look.about())],
    };
    let owner = OperationOwner {
        project: job.project.id,
        workspace: job.service.execution_workspace_id,
        service: Some(job.service.id),
        action,
    };
    let operation = PlannedOperation {
        id,
        phase: OperationPhase::ServicePrestart,
        command: Some(format!("look at {}", look.about())),
        cwd: Some(job.service.cwd.clone()),
        timeout_ms: i64::try_from(LIMIT.as_millis()).unwrap_or(i64::MAX),
        log_ref: Some(dir),
    };
    ctx.inbox.tell(Fact::OwnOperationPlanned { owner, operation }).await;
    kill_point("service.prestart_planned");
    let done = tokio::task::spawn_blocking(move || carry_out(log, &found)).await;
    let (lines, left) = done.unwrap_or_else(|panic| (Vec::new(), vec![panic.to_string()]));
    kill_point("service.prestart_done");
    let end = OperationEnd {
        status: if left.is_empty() { OperationStatus::Succeeded } else { OperationStatus::Failed },
        error: (!left.is_empty()).then(|| left.join("; ")),
        stdout_excerpt: Some(lines.concat()),
        ..OperationEnd::default()
    };
    ctx.inbox.tell(Fact::OperationEnded { operation: id, end }).await;
    left
}

/// The one id of a look before a start: made of its service's, so that an interrupted one is found again.
fn only(job: &ServiceJob, look: &dyn Look) -> OperationId {
    let mut hash = Sha256::new();
    hash.update(job.service.id.0.as_bytes());
    hash.update(job.service.generation.to_le_bytes());
    hash.update(look.about());
    let hash = hash.finalize();
    let mut bytes = *job.service.id.0.as_bytes();
    // The time of the service stays in front, as in every id here.
    bytes[6..].copy_from_slice(&hash[..10]);
    OperationId(uuid::Builder::from_bytes(bytes).with_version(uuid::Version::SortRand).into_uuid())
}

/// Begins the log; none when an earlier reign has begun it, which then stays as it is: it says what links were.
fn begin(dir: &Path, id: OperationId) -> std::io::Result<Option<LogWriter>> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let owner = LogOwner { uuid: *id.0.as_bytes(), attempt: 1 };
    match LogWriter::create(dir, owner, crate::clock::now().0, SEGMENT_BYTES) {
        Ok(log) => Ok(Some(log)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

/// Carries out what may be; gives the lines of the log, and what is left.
fn carry_out(mut log: Option<LogWriter>, found: &[Finding]) -> (Vec<String>, Vec<String>) {
    let began = crate::clock::read().boot;
    let (mut lines, mut left) = (Vec::new(), Vec::new());
    let mut say = |log: &mut Option<LogWriter>, stream: Stream, line: String| {
        let since = u64::try_from(crate::clock::read().boot - began).unwrap_or(0) * 1_000_000;
        // Without room the repair goes on, and the row says what was done.
        let kept = log.as_mut().map(|log| log.append(stream, 0, line.as_bytes(), since).and_then(|_| log.sync()));
        if let Some(Err(error)) = kept {
            tracing::warn!(%error, "a line about a repair is not kept");
        }
        if stream != Stream::Control {
            lines.push(line);
        }
    };
    for Finding { words, repair } in found {
        match repair {
            Ok(relink) => {
                // Said before it is done: what a link was is known whatever happens.
                say(&mut log, Stream::Stdout, format!("{words}; it shall lead to {}\n", relink.target.display()));
                if let Err(error) = relink.carry_out() {
                    say(&mut log, Stream::Stderr, format!("cannot be changed: {error}\n"));
                    left.push(format!("{words}, and cannot be changed: {error}"));
                }
            }
            Err(why) => {
                say(&mut log, Stream::Stderr, format!("{words}: {why}\n"));
                left.push(format!("{words}: {why}"));
            }
        }
    }
    let code = i32::from(!left.is_empty());
    let now = crate::clock::now().0;
    let exit = json!({
        "t": "exit", "v": 1, "code": code, "signal": null, "core": false, "by": "self", "stop": null, "streams": {},
        "leaky": false, "started_ms": now, "ended_ms": now, "oom": false,
        "rusage": { "user_us": 0, "sys_us": 0, "maxrss_kib": 0 },
    });
    say(&mut log, Stream::Control, exit.to_string());
    (lines, left)
}
