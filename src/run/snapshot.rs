//! Keeping the state of a workspace as a commit under a private ref.

use std::path::PathBuf;

use wharf_model::rules::close_check::{is_shared, root};
use wharf_model::{ActionRow, OperationPhase, SnapshotId};

use super::archive::{never, repository};
use super::context::Context;
use super::operation::own::{self, Over};
use crate::clock;
use crate::dispatch::input::{Fact, OperationOwner, TakenSnapshot};
use crate::dispatch::perform::WorkspaceJob;
use crate::process::kill_point::kill_point;
use crate::workspace::close::place;
use crate::workspace::keep_error::KeepError;
use crate::workspace::snapshot::{self, Snapshot, SnapshotAsk, SnapshotLimits};

/// Whose the operations of an action on a workspace are.
pub(super) fn owner(action: &ActionRow, job: &WorkspaceJob) -> OperationOwner {
    let workspace = &job.rows.workspace;
    OperationOwner { project: workspace.project_id, workspace: Some(workspace.id), service: None, action: action.id }
}

/// A text argument of an action.
pub(super) fn text<'a>(action: &'a ActionRow, key: &str) -> Option<&'a str> {
    action.args.as_ref()?.get(key)?.as_str()
}

/// A snapshot that an action names.
pub(super) fn named(action: &ActionRow, key: &str) -> Option<SnapshotId> {
    text(action, key)?.parse().ok()
}

/// As it is told to the loop.
pub(super) fn told(made: &Snapshot, reason: &str) -> TakenSnapshot {
    TakenSnapshot {
        id: made.id,
        reason: reason.to_owned(),
        ref_name: made.ref_name.clone(),
        commit: made.commit.clone(),
        head: made.head.clone(),
        branch: made.branch.clone(),
        files: i64::try_from(made.files).unwrap_or(i64::MAX),
        bytes: i64::try_from(made.bytes).unwrap_or(i64::MAX),
        metadata: made.metadata(),
    }
}

/// Makes the snapshot of an action, or finds the one that an earlier try made.
pub(super) async fn take(
    ctx: &Context,
    id: SnapshotId,
    job: &WorkspaceJob,
    reason: &str,
) -> Result<Snapshot, KeepError> {
    taken(ctx, id, job, reason, snapshot::take).await
}

/// Makes the snapshot of a try that begins with the directory in place, and gives those of earlier tries with it:
/// what was changed since they were made is in none of them.
pub(super) async fn take_anew(
    ctx: &Context,
    id: SnapshotId,
    job: &WorkspaceJob,
    reason: &str,
) -> Result<Vec<Snapshot>, KeepError> {
    taken(ctx, id, job, reason, snapshot::take_anew).await
}

/// Takes one after it was looked whose directory it is: into a repository that something else in its place leads to
/// nothing may be written.
async fn taken<T: Send + 'static>(
    ctx: &Context,
    id: SnapshotId,
    job: &WorkspaceJob,
    reason: &str,
    take: fn(&SnapshotAsk) -> Result<T, KeepError>,
) -> Result<T, KeepError> {
    let workspace = &job.rows.workspace;
    let path = PathBuf::from(root(workspace).unwrap_or_default());
    let (whose, never) = ((workspace.project_id, workspace.id), never(ctx, job));
    // Nobody in particular has a shared checkout: it carries no mark, and is the project's own.
    let (is_shared, repository) = (is_shared(workspace), repository(job));
    let ask = SnapshotAsk {
        id,
        workspace: job.rows.workspace.id,
        path: path.clone(),
        reason: reason.to_owned(),
        at: clock::now(),
        limits: SnapshotLimits::default(),
    };
    let checked = move || {
        if is_shared {
            snapshot::check_repository(&ask.path, &repository)?;
        } else {
            place::judge(&ask.path, whose.0, whose.1, &never)
                .map_err(|place| KeepError::of_place(&ask.path, *place))?;
        }
        take(&ask)
    };
    tokio::task::spawn_blocking(checked)
        .await
        .unwrap_or_else(|_| Err(KeepError::NotOurs { path, why: "making its snapshot broke off".to_owned() }))
}

/// Carries out `workspace.snapshot`.
pub async fn snapshot(ctx: &Context, action: &ActionRow, job: &WorkspaceJob) -> Fact {
    let workspace = job.rows.workspace.id;
    let failed = |message: String| Fact::WorkspaceWorkFailed { action: action.id, workspace, message, in_place: true };
    let Some(id) = named(action, "snapshot") else { return failed("the action names no snapshot".to_owned()) };
    let reason = text(action, "reason").unwrap_or("asked for");
    let cwd = root(&job.rows.workspace).unwrap_or_default();
    let work = async { take(ctx, id, job, reason).await.map_err(|e| e.to_string()) };
    let shown = format!("snapshot of {} ({reason})", job.rows.number());
    let step = (OperationPhase::WorkspaceSnapshot, &*shown);
    match own::step(ctx, &owner(action, job), &job.operations, step, cwd, work).await {
        Ok(Ok(made)) => {
            kill_point("workspace.snapshot_made");
            Fact::SnapshotTaken { action: action.id, workspace, snapshot: Box::new(told(&made, reason)) }
        }
        Ok(Err(message)) => failed(message),
        Err(Over) => Fact::ActionDone { action: action.id },
    }
}
