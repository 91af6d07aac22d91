//! Operations that belong to no run: commands and steps of an action on a workspace.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use wharf_model::config::show_duration;
use wharf_model::shim::{Spec, StartMessage};
use wharf_model::{ActionId, OperationId, OperationPhase, OperationRow, OperationStatus};

use super::end::{Shown, failure, report};
use super::{Work, changed, close, observed, spec};
use crate::dispatch::input::{Fact, OperationEnd, OperationOwner, PlannedOperation};
use crate::dispatch::perform::shim_dir;
use crate::process::adopt::{self, Verdict};
use crate::run::context::Context;
use crate::run::keep::CannotStart;
use crate::workspace::worktree::CommandSpec;

/// Time after which a step without a process counts as not seen to end.
const STEP_MS: i64 = 15 * 60_000;

/// Nothing is to be begun any more: the action was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over;

/// Runs one command of an action, at most once whatever happens to its orchestrators. The inner error says how it
/// failed, with the end of its error output.
///
/// `nth` tells commands of one phase apart; `open` are the operations of the action that an earlier reign began.
///
/// # Errors
/// The action was given up before it began.
pub async fn command(
    ctx: &Context,
    owner: &OperationOwner,
    open: &[OperationRow],
    (phase, nth): (OperationPhase, usize),
    command: CommandSpec,
) -> Result<Result<(), String>, Over> {
    let id = only(owner.action, phase, nth);
    let Some(dir) = shim_dir("operation", &id.text(), 1) else { return Ok(Err("it has no directory".to_owned())) };
    let timeout_ms = u64::try_from(command.timeout.as_millis()).unwrap_or(u64::MAX);
    let (shown, cwd) = (command.display(), command.cwd.display().to_string());
    let is_open = open.iter().any(|o| o.id == id);
    if !is_open {
        let path = ctx.keeper.path(&dir);
        let judged = tokio::task::spawn_blocking(move || adopt::judge(&path)).await;
        // Its row was closed with its end; only what came after that has been lost.
        if let Ok(Ok(Verdict::Ended(exit))) = judged {
            let error = failure(&exit, &show_duration(timeout_ms), None);
            let told = Shown { command: &shown, place: None };
            return Ok(report(&ctx.keeper.data, &dir, told, error, Some(exit)).await.1);
        }
    }
    let planned = PlannedOperation {
        id,
        phase,
        command: Some(shown.clone()),
        cwd: Some(cwd),
        timeout_ms: i64::try_from(timeout_ms).unwrap_or(i64::MAX),
        log_ref: Some(dir.clone()),
    };
    let told = ctx.inbox.tell(Fact::OwnOperationPlanned { owner: owner.clone(), operation: planned }).await;
    if told.over && !ctx.keeper.path(&dir).exists() {
        end_without(ctx, id, "it was given up before this began").await;
        return Err(Over);
    }
    let epoch = ctx.keeper.epoch;
    let work = Work { command, place: None };
    let build = move || spec(id, epoch, &work, timeout_ms);
    Ok(kept(ctx, id, &dir, &shown, is_open, &show_duration(timeout_ms), build).await)
}

/// Starts what `build` says in the directory of an operation whose row is there already, or finds it again, and
/// stays until its end is told. The error says how it failed.
pub async fn kept<B>(
    ctx: &Context,
    id: OperationId,
    dir: &str,
    shown: &str,
    left: bool,
    limit: &str,
    build: B,
) -> Result<(), String>
where
    B: FnOnce() -> Result<(Spec, StartMessage), CannotStart> + Send + 'static,
{
    let mut waits = false;
    let seen = |seen| observed(ctx, id, left, changed(seen, &mut waits));
    let end = ctx.keeper.keep(dir, false, build, seen).await;
    close(ctx, id, dir, Shown { command: shown, place: None }, end, limit).await
}

/// Records a step of an action that needs no process, and what came of it.
///
/// # Errors
/// The action was given up before it began.
pub async fn step<T>(
    ctx: &Context,
    owner: &OperationOwner,
    open: &[OperationRow],
    what: (OperationPhase, &str),
    cwd: &str,
    work: impl Future<Output = Result<T, String>>,
) -> Result<Result<T, String>, Over> {
    let id = begin(ctx, owner, open, what, cwd, STEP_MS).await?;
    let result = work.await;
    end(ctx, id, result.as_ref().err().cloned()).await;
    Ok(result)
}

/// Begins a step of an action that needs no process, or goes on with one that an earlier reign left open.
///
/// # Errors
/// The action was given up before it began.
pub async fn begin(
    ctx: &Context,
    owner: &OperationOwner,
    open: &[OperationRow],
    (phase, shown): (OperationPhase, &str),
    cwd: &str,
    timeout_ms: i64,
) -> Result<OperationId, Over> {
    // One that an earlier reign left open is gone on with; one that it ended is history.
    let left = open.iter().find(|o| o.phase == phase && o.log_ref.is_none()).map(|o| o.id);
    let id = left.unwrap_or_else(|| OperationId(Uuid::now_v7()));
    let operation = PlannedOperation {
        id,
        phase,
        command: Some(shown.to_owned()),
        cwd: Some(cwd.to_owned()),
        timeout_ms,
        log_ref: None,
    };
    if ctx.inbox.tell(Fact::OwnOperationPlanned { owner: owner.clone(), operation }).await.over {
        end_without(ctx, id, "it was given up before this began").await;
        return Err(Over);
    }
    Ok(id)
}

/// Says how a step has ended.
pub async fn end(ctx: &Context, operation: OperationId, error: Option<String>) {
    let status = if error.is_some() { OperationStatus::Failed } else { OperationStatus::Succeeded };
    let end = OperationEnd { status, error, ..OperationEnd::default() };
    ctx.inbox.tell(Fact::OperationEnded { operation, end }).await;
}

async fn end_without(ctx: &Context, operation: OperationId, why: &str) {
    let end = OperationEnd { status: OperationStatus::Skipped, error: Some(why.to_owned()), ..OperationEnd::default() };
    ctx.inbox.tell(Fact::OperationEnded { operation, end }).await;
}

/// Whether a command of an action has begun, in this reign or an earlier one.
pub fn has_begun(ctx: &Context, action: ActionId, phase: OperationPhase, nth: usize) -> bool {
    let dir = shim_dir("operation", &only(action, phase, nth).text(), 1);
    dir.is_some_and(|dir| ctx.keeper.path(&dir).symlink_metadata().is_ok())
}

/// The one id of a command of an action: made of the action's, so that it is found again.
fn only(action: ActionId, phase: OperationPhase, nth: usize) -> OperationId {
    let mut hash = Sha256::new();
    hash.update(action.0.as_bytes());
    hash.update(nth.to_le_bytes());
    hash.update(phase.as_str());
    let hash = hash.finalize();
    let mut bytes = *action.0.as_bytes();
    bytes[6..].copy_from_slice(&hash[..10]);
    OperationId(uuid::Builder::from_bytes(bytes).with_version(uuid::Version::SortRand).into_uuid())
}
