//! Archiving a workspace: a snapshot, the project's commands, and the whole directory into the trash beside it.
//!
//! The snapshot comes first, so that it holds what the commands change or remove.
//!
//! Every step can be repeated: a command has one id for its action, a snapshot and a place in the trash have the ids
//! that the action names. What an earlier try has done is found, not done again.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;
use wharf_model::config::CommandLine;
use wharf_model::rules::close_check::{CloseCommand, root};
use wharf_model::rules::workspace_environment::WorkspaceEnvironment;
use wharf_model::{ActionRow, OperationPhase, SnapshotId, WorkspaceStrategy};

use super::context::Context;
use super::operation::own::{self, Over};
use super::snapshot::{self, named, owner, text};
use crate::clock;
use crate::dispatch::input::{ArchivedWorkspace, Fact};
use crate::dispatch::perform::WorkspaceJob;
use crate::process::kill_point::kill_point;
use crate::workspace::close::place;
use crate::workspace::keep_error::KeepError;
use crate::workspace::presence;
use crate::workspace::provision;
use crate::workspace::restore::{self, GoneAsk};
use crate::workspace::trash::{self, BranchFate, Record, TrashAsk};
use crate::workspace::worktree::{CommandSpec, Git};

/// Why a workspace was not archived.
enum Stopped {
    /// It was given up meanwhile: somebody has told why already.
    Over,
    /// The reason.
    Failed(String),
}

impl From<Over> for Stopped {
    fn from(_: Over) -> Self {
        Self::Over
    }
}

impl From<String> for Stopped {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

/// Carries out the removal of a workspace that was judged.
pub async fn archive(ctx: &Context, action: &ActionRow, job: &WorkspaceJob) -> Fact {
    let workspace = job.rows.workspace.id;
    kill_point("workspace.remove_intended");
    match everything(ctx, action, job).await {
        Ok(gone) => Fact::WorkspaceArchived { action: action.id, workspace, gone: Box::new(gone) },
        Err(Stopped::Over) => Fact::ActionDone { action: action.id },
        Err(Stopped::Failed(message)) => {
            let in_place = in_place(action, job).await;
            Fact::WorkspaceWorkFailed { action: action.id, workspace, message, in_place }
        }
    }
}

async fn everything(ctx: &Context, action: &ActionRow, job: &WorkspaceJob) -> Result<ArchivedWorkspace, Stopped> {
    let ids = named(action, "snapshot").zip(text(action, "trash").and_then(|t| t.parse::<Uuid>().ok()));
    let Some((snapshot, trash)) = ids else {
        return Err("the action names no snapshot and no place".to_owned().into());
    };
    let Some(path) = root(&job.rows.workspace).map(PathBuf::from) else {
        let notes = vec!["it never had a directory".to_owned()];
        return Ok(ArchivedWorkspace { notes, ..ArchivedWorkspace::default() });
    };
    let mut notes = Vec::new();
    // An earlier try may have moved it: then only the rest is done.
    if !is_moved(&path, trash).await? {
        if !is_there(&path, job.rows.workspace.repo_root.clone().map(PathBuf::from)).await? {
            notes.push(format!("{} was not there any more", path.display()));
            notes.extend(forget(ctx, action, job, &path, trash).await?);
            return Ok(ArchivedWorkspace { notes, ..ArchivedWorkspace::default() });
        }
        whole(ctx, job, &path).await?;
        let parent = identity(path.parent());
        let kept = keep(ctx, action, job, snapshot, &mut notes).await?;
        commands(ctx, action, job, &mut notes).await?;
        kill_point("workspace.commands_run");
        // Where its parent is the same directory as before, no disk has gone away with it.
        let gone = path.symlink_metadata().is_err_and(|e| e.kind() == ErrorKind::NotFound);
        if gone && parent.is_some() && identity(path.parent()) == parent {
            let what = if kept { "what git keeps of it is in its snapshot" } else { "nothing of it is kept" };
            notes.push(format!("its commands removed {}: {what}", path.display()));
            notes.extend(forget(ctx, action, job, &path, trash).await?);
            return Ok(ArchivedWorkspace { notes, ..ArchivedWorkspace::default() });
        }
    }
    if ctx.inbox.tell(Fact::WorkspaceMoves { action: action.id, workspace: job.rows.workspace.id }).await.over {
        return Err(Stopped::Over);
    }
    let record = remove(ctx, action, job, &path, trash).await?;
    kill_point("workspace.removed");
    let branch_deleted = record.branch_fate == Some(BranchFate::Deleted);
    if let Some(BranchFate::Kept(why)) = &record.branch_fate {
        notes.push(format!("the branch {} was kept: {why}", record.branch.as_deref().unwrap_or_default()));
    }
    let trash_path = Some(record.trash_path.display().to_string());
    Ok(ArchivedWorkspace { trash_path, bytes: None, branch_deleted, notes })
}

/// Whether the directory is certainly where it was.
async fn in_place(action: &ActionRow, job: &WorkspaceJob) -> bool {
    let path = root(&job.rows.workspace).map(PathBuf::from);
    let trash = text(action, "trash").and_then(|t| t.parse::<Uuid>().ok());
    let Some((path, trash)) = path.zip(trash) else { return false };
    is_moved(&path, trash).await == Ok(false)
        && is_there(&path, job.rows.workspace.repo_root.clone().map(PathBuf::from)).await == Ok(true)
}

/// That the directory is ours and holds nothing of anybody else's, before anything is done with it.
async fn whole(ctx: &Context, job: &WorkspaceJob, path: &Path) -> Result<(), String> {
    let (path, never) = (path.to_owned(), never(ctx, job));
    let (project, workspace) = (job.rows.workspace.project_id, job.rows.workspace.id);
    let judged = move || match place::removable(&path, project, workspace, &never) {
        Ok(_) => Ok(()),
        Err(place) => Err(KeepError::of_place(&path, *place).to_string()),
    };
    blocking(judged).await
}

/// By what a directory is known again under its name.
fn identity(path: Option<&Path>) -> Option<(u64, u64)> {
    path?.symlink_metadata().ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Whether an earlier try of this very removal has moved the directory: its record alone is written before that.
async fn is_moved(path: &Path, id: Uuid) -> Result<bool, String> {
    let Some(place) = path.parent().map(|p| p.join(trash::DIRECTORY).join(id.to_string())) else { return Ok(false) };
    blocking(move || {
        let record = trash::record(&place).map_err(|e| e.to_string())?;
        record.map_or(Ok(false), |record| record.is_at(&place)).map_err(|e| e.to_string())
    })
    .await
}

/// Whether the directory is there; what cannot be told is no answer.
async fn is_there(path: &Path, repository: Option<PathBuf>) -> Result<bool, String> {
    let path = path.to_owned();
    let look = move || presence::is_there(&path, repository.as_deref()).ok_or_else(|| presence::untold(&path));
    blocking(look).await
}

/// What git still has of a worktree that is gone: it would keep its branch from every other one.
async fn forget(
    ctx: &Context,
    action: &ActionRow,
    job: &WorkspaceJob,
    path: &Path,
    id: Uuid,
) -> Result<Option<String>, Stopped> {
    let workspace = &job.rows.workspace;
    if workspace.strategy_type != WorkspaceStrategy::GitWorktree {
        return Ok(None);
    }
    let ask = GoneAsk {
        id,
        project: workspace.project_id,
        workspace: workspace.id,
        path: path.to_owned(),
        repo: repository(job),
        at: clock::now(),
    };
    let Some(place) = blocking(move || restore::forget_gone(&ask).map_err(|e| e.to_string())).await? else {
        return Ok(None);
    };
    let note = format!("git lists it no more; what only it reached is held by {}{id}", trash::REFS);
    let place = place.display().to_string();
    if ctx.inbox.tell(Fact::WorkspaceParked { action: action.id, workspace: workspace.id, place }).await.over {
        return Err(Stopped::Over);
    }
    kill_point("workspace.parked_told");
    Ok(Some(note))
}

/// The commands of config, in their order. One that fails is a warning, kept on its operation.
async fn commands(
    ctx: &Context,
    action: &ActionRow,
    job: &WorkspaceJob,
    notes: &mut Vec<String>,
) -> Result<(), Stopped> {
    let rows = &job.rows;
    let all = rows.commands();
    if let Some(why) = rows.runs_no_commands().filter(|_| !all.is_empty()) {
        notes.push(format!("its commands were not run: {why}"));
        return Ok(());
    }
    let Some(cwd) = rows.workspace.cwd.as_deref().map(Path::new) else { return Ok(()) };
    for (nth, command) in all.into_iter().enumerate() {
        let spec = shell(ctx, job, &command.command, cwd, Duration::from_millis(command.limit_ms));
        let owner = owner(action, job);
        if let Err(why) = own::command(ctx, &owner, &job.operations, (command.phase, nth), spec).await? {
            notes.push(format!("{} failed: {why}", command.what));
        }
    }
    Ok(())
}

/// A command of config in a workspace, with the variables about it.
fn shell(ctx: &Context, job: &WorkspaceJob, command: &CommandLine, cwd: &Path, limit: Duration) -> CommandSpec {
    let program_dir = ctx.program_dir.as_ref().and_then(|d| d.to_str());
    provision::command(&command.shown(), cwd, &ctx.operator, program_dir, &environment(job), Some(limit))
}

/// What commands learn about a workspace in which no run works.
pub(super) fn environment(job: &WorkspaceJob) -> WorkspaceEnvironment {
    let rows = &job.rows;
    let workspace = &rows.workspace;
    let issue = rows.issues.iter().find(|i| Some(i.id) == workspace.source_issue_id).or_else(|| rows.issues.first());
    WorkspaceEnvironment {
        workspace_id: Some(workspace.id.text()),
        cwd: workspace.cwd.clone(),
        worktree_path: workspace.provider_ref.clone(),
        branch: workspace.branch_name.clone(),
        base_cwd: Some(rows.project.path.clone()),
        repo_root: workspace.repo_root.clone(),
        repo_url: workspace.repo_url.clone(),
        repo_ref: workspace.base_ref.clone(),
        source: workspace.source.map(|s| s.as_str().to_owned()),
        project_id: Some(rows.project.id.text()),
        project_key: Some(rows.project.key.clone()),
        project_workspace_id: workspace.project_workspace_id.map(wharf_model::ProjectWorkspaceId::text),
        company_id: Some(workspace.company_id.text()),
        issue_id: issue.map(|i| i.id.text()),
        issue_identifier: issue.map(|i| i.identifier.clone()),
        issue_title: issue.map(|i| i.title.clone()),
        ..WorkspaceEnvironment::default()
    }
}

/// Whether one of the commands has begun: then the snapshot of this action is made, and what is there now is what
/// they have left.
fn commands_begun(ctx: &Context, action: &ActionRow, job: &WorkspaceJob) -> bool {
    let begun = |(nth, command): (usize, CloseCommand)| own::has_begun(ctx, action.id, command.phase, nth);
    job.rows.commands().into_iter().enumerate().any(begun)
}

/// Keeps all that git can keep, in a row of its own, before any command runs and anything is moved. False where git
/// can keep nothing.
async fn keep(
    ctx: &Context,
    action: &ActionRow,
    job: &WorkspaceJob,
    id: SnapshotId,
    notes: &mut Vec<String>,
) -> Result<bool, Stopped> {
    const REASON: &str = "before archiving";
    let cwd = root(&job.rows.workspace).unwrap_or_default();
    let mut without = None;
    let work = async {
        let made = if commands_begun(ctx, action, job) {
            snapshot::take(ctx, id, job, REASON).await.map(|made| vec![made])
        } else {
            snapshot::take_anew(ctx, id, job, REASON).await
        };
        match made {
            Ok(made) => Ok(made),
            // The trash has all of it.
            Err(why @ KeepError::NoRepository { .. }) => {
                without = Some(why.to_string());
                Ok(Vec::new())
            }
            Err(why) => Err(why.to_string()),
        }
    };
    let shown = format!("snapshot of {} ({REASON})", job.rows.number());
    let step = (OperationPhase::WorkspaceSnapshot, &*shown);
    let made = own::step(ctx, &owner(action, job), &job.operations, step, cwd, work).await??;
    notes.extend(without);
    kill_point("workspace.snapshot_made");
    // Those of tries that were cut off get their rows too.
    for made in &made {
        let snapshot = Box::new(snapshot::told(made, REASON));
        let workspace = job.rows.workspace.id;
        if ctx.inbox.tell(Fact::SnapshotTaken { action: action.id, workspace, snapshot }).await.over {
            return Err(Stopped::Over);
        }
    }
    kill_point("workspace.snapshot_committed");
    Ok(!made.is_empty())
}

/// The whole directory into the trash, and what git has of it with it.
async fn remove(
    ctx: &Context,
    action: &ActionRow,
    job: &WorkspaceJob,
    path: &Path,
    id: Uuid,
) -> Result<Record, Stopped> {
    let workspace = &job.rows.workspace;
    let ask = TrashAsk {
        id,
        project: workspace.project_id,
        workspace: workspace.id,
        path: path.to_owned(),
        never: never(ctx, job),
        delete_branch: workspace.branch_created_by_runtime,
        at: clock::now(),
    };
    let git = git(ctx, job);
    let work = blocking(move || trash::move_away(&ask, &git).map_err(|e| e.to_string()));
    let cwd = path.display().to_string();
    let step = (OperationPhase::WorktreeCleanup, "move to the trash");
    Ok(own::step(ctx, &owner(action, job), &job.operations, step, &cwd, work).await??)
}

/// The git binary in the project's own checkout.
pub(super) fn git(ctx: &Context, job: &WorkspaceJob) -> Git {
    let operator = ctx.operator.iter().map(|(k, v)| (OsString::from(k), OsString::from(v)));
    Git::new(&repository(job), operator)
}

/// The checkout that a workspace was made from; the project may lie in a directory of it, or elsewhere.
pub(super) fn repository(job: &WorkspaceJob) -> PathBuf {
    PathBuf::from(job.rows.workspace.repo_root.as_deref().unwrap_or(&job.rows.project.path))
}

/// Directories that are never removed: those of projects, and what wharf itself keeps.
pub(super) fn never(ctx: &Context, job: &WorkspaceJob) -> Vec<PathBuf> {
    job.never.iter().cloned().chain([ctx.keeper.data.clone()]).collect()
}

/// Does work that waits for the disk beside the runtime.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?
}
