//! Bringing workspaces back.

use std::path::PathBuf;

use wharf_model::rules::close_check::root;
use wharf_model::{ActionRow, OperationPhase};

use super::archive::{blocking, git, never, repository};
use super::context::Context;
use super::operation::own::{self, Over};
use super::snapshot::{named, owner, text, told};
use crate::clock;
use crate::dispatch::input::{Fact, RestoredWorkspace};
use crate::dispatch::perform::WorkspaceJob;
use crate::process::kill_point::kill_point;
use crate::workspace::mark::Mark;
use crate::workspace::restore::{self, Applied, BringBack, FreshAsk, IntoAsk};
use crate::workspace::snapshot::SnapshotLimits;

/// Carries out `workspace.restore`.
pub async fn restore(ctx: &Context, action: &ActionRow, job: &WorkspaceJob) -> Fact {
    let workspace = job.rows.workspace.id;
    kill_point("workspace.restore_intended");
    match bring(ctx, action, job).await {
        Ok(Ok(back)) => {
            kill_point("workspace.brought_back");
            Fact::WorkspaceRestored { action: action.id, workspace, back: Box::new(back) }
        }
        Ok(Err(message)) => Fact::WorkspaceWorkFailed { action: action.id, workspace, message, in_place: false },
        Err(Over) => Fact::ActionDone { action: action.id },
    }
}

async fn bring(
    ctx: &Context,
    action: &ActionRow,
    job: &WorkspaceJob,
) -> Result<Result<RestoredWorkspace, String>, Over> {
    let number = job.rows.number();
    let shown = match &job.snapshot {
        Some(snapshot) => format!("restore {number}.{}", snapshot.ordinal),
        None => format!("restore {number} from the trash"),
    };
    let cwd = root(&job.rows.workspace).unwrap_or_default();
    let step = (OperationPhase::WorkspaceRestore, &*shown);
    let from = text(action, "from");
    if !matches!(from, Some("trash" | "fresh"))
        && let Err(message) = keep_before(ctx, action, job, &shown).await?
    {
        return Ok(Err(message));
    }
    let work = async {
        match from {
            Some("trash") => out_of_the_trash(action, job).await,
            Some("fresh") => fresh(ctx, action, job).await.map(applied),
            _ => into(ctx, action, job).await.map(applied),
        }
    };
    own::step(ctx, &owner(action, job), &job.operations, step, cwd, work).await
}

/// Keeps what is there in a row of its own, before any of it is replaced: whatever becomes of the rest, it can be
/// undone.
async fn keep_before(
    ctx: &Context,
    action: &ActionRow,
    job: &WorkspaceJob,
    shown: &str,
) -> Result<Result<(), String>, Over> {
    let reason = format!("before {shown}");
    let step = (OperationPhase::WorkspaceSnapshot, &*format!("snapshot of {} ({reason})", job.rows.number()));
    let work = async {
        let ask = into_ask(ctx, action, job)?;
        blocking(move || restore::keep_before(&ask).map_err(|e| e.to_string())).await
    };
    let cwd = root(&job.rows.workspace).unwrap_or_default();
    let before = match own::step(ctx, &owner(action, job), &job.operations, step, cwd, work).await? {
        Ok(before) => before,
        Err(message) => return Ok(Err(message)),
    };
    kill_point("workspace.before_kept");
    let snapshot = Box::new(told(&before, &reason));
    let workspace = job.rows.workspace.id;
    if ctx.inbox.tell(Fact::SnapshotTaken { action: action.id, workspace, snapshot }).await.over {
        return Err(Over);
    }
    Ok(Ok(()))
}

fn applied(done: Applied) -> RestoredWorkspace {
    RestoredWorkspace {
        path: done.path.display().to_string(),
        branch: done.snapshot.branch.clone(),
        snapshot: Some(done.snapshot.id),
        notes: done.notes,
    }
}

async fn out_of_the_trash(action: &ActionRow, job: &WorkspaceJob) -> Result<RestoredWorkspace, String> {
    let place = text(action, "trash_path").ok_or("the action names no place in the trash")?;
    let workspace = &job.rows.workspace;
    let ask = BringBack {
        trash_path: PathBuf::from(place),
        project: workspace.project_id,
        workspace: workspace.id,
        to: None,
    };
    let returned = blocking(move || restore::bring_back(&ask).map_err(|e| e.to_string())).await?;
    Ok(RestoredWorkspace {
        path: returned.path.display().to_string(),
        branch: returned.branch,
        snapshot: None,
        notes: returned.notes,
    })
}

async fn fresh(ctx: &Context, action: &ActionRow, job: &WorkspaceJob) -> Result<Applied, String> {
    let id = named(action, "snapshot").ok_or("the action names no snapshot")?;
    let workspace = &job.rows.workspace;
    let path = root(workspace).map(PathBuf::from).ok_or("it never had a directory")?;
    let mut mark = Mark::new(workspace.project_id, workspace.id, None, clock::now());
    mark.branch.clone_from(&workspace.branch_name);
    mark.created_branch = workspace.branch_created_by_runtime;
    // An action of an older version names none, and then its own id is as good.
    let parks = text(action, "parks").and_then(|t| t.parse().ok()).unwrap_or(action.id.0);
    let ask = FreshAsk { id, path, repo: repository(job), mark, parks };
    let git = git(ctx, job);
    let first = ask.clone();
    // Told before anything is made: whatever becomes of the rest, a row knows what is kept.
    if let Some(place) = blocking(move || restore::make_room(&first).map_err(|e| e.to_string())).await? {
        let place = place.display().to_string();
        if ctx.inbox.tell(Fact::WorkspaceParked { action: action.id, workspace: workspace.id, place }).await.over {
            return Err("it was given up meanwhile".to_owned());
        }
        kill_point("workspace.parked_told");
    }
    blocking(move || restore::into_fresh(&ask, &git).map_err(|e| e.to_string())).await
}

async fn into(ctx: &Context, action: &ActionRow, job: &WorkspaceJob) -> Result<Applied, String> {
    let ask = into_ask(ctx, action, job)?;
    blocking(move || restore::into_workspace(&ask).map_err(|e| e.to_string())).await
}

fn into_ask(ctx: &Context, action: &ActionRow, job: &WorkspaceJob) -> Result<IntoAsk, String> {
    let (id, before) = named(action, "snapshot").zip(named(action, "before")).ok_or("the action names no snapshot")?;
    let workspace = &job.rows.workspace;
    let path = root(workspace).map(PathBuf::from).ok_or("it never had a directory")?;
    Ok(IntoAsk {
        id,
        before,
        project: workspace.project_id,
        workspace: workspace.id,
        path,
        never: never(ctx, job),
        at: clock::now(),
        limits: SnapshotLimits::default(),
    })
}
