//! The clone of a project's repository that wharf keeps: made aside by the git binary and put in its place whole.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wharf_model::config::ProjectConfig;
use wharf_model::{Kind, OperationPhase, WorkspaceSource};

use super::{Base, blocking};
use crate::dispatch::perform::RunJob;
use crate::environment::sandbox::tree;
use crate::run::context::Context;
use crate::run::operation;
use crate::workspace::clone::{self, Standing};
use crate::workspace::lock::WorktreeLock;
use crate::workspace::provision::DEFAULT_TIMEOUT;
use crate::workspace::shape;
use crate::workspace::worktree::{CommandSpec, Git};

/// How long a run waits for another that makes the same clone.
const LOCK_LIMIT: Duration = Duration::from_mins(15);
const PHASE: OperationPhase = OperationPhase::WorkspaceClone;

/// The clone, made where it is not there yet.
pub(super) async fn base(
    ctx: &Context,
    job: &RunJob,
    config: &ProjectConfig,
    written: &str,
    remark: Option<String>,
) -> Result<Base, String> {
    let home = ctx.operator.get("HOME").map(String::as_str);
    let url = clone::located(written, Path::new(&job.project.path), home);
    let data = ctx.keeper.data.clone();
    let name = job.project.id.text();
    let (target, aside) = (data.join("checkouts").join(&name), data.join("tmp").join(format!("clone-{name}")));
    operation::settle(ctx, job, PHASE).await?;
    let holder = format!("{} of process {}", Kind::Run.number(job.run.number), std::process::id());
    let made_for = aside.clone();
    // Held until the clone stands, so that one is made and not two.
    let lock = blocking(move || {
        private(&data.join("checkouts"))?;
        private(&made_for)?;
        WorktreeLock::acquire(&made_for, LOCK_LIMIT, &holder).map_err(|e| e.to_string())
    })
    .await?;
    let limit = config.workspace.timeout_ms.map_or(DEFAULT_TIMEOUT, Duration::from_millis);
    let mut remarks: Vec<String> = remark.into_iter().collect();
    let (place, of) = (target.clone(), url.clone());
    match blocking(move || clone::standing(&place, &of)).await? {
        Standing::Nothing => make(ctx, job, &url, &aside, &target, limit).await?,
        Standing::Clone => remarks.extend(refresh(ctx, job, &target, limit).await),
        Standing::Files => remarks.push(format!(
            "{} holds files and no clone of {}: they are used as they are",
            target.display(),
            clone::without_secret(&url)
        )),
    }
    drop(lock);
    let remark = (!remarks.is_empty()).then(|| remarks.join("; "));
    Ok(Base { directory: target, source: WorkspaceSource::ManagedClone, url: Some(url), remark })
}

fn private(dir: &Path) -> Result<(), String> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|e| format!("cannot make {}: {e}", dir.display()))
}

fn git(ctx: &Context, cwd: &Path) -> Git {
    Git::new(cwd, ctx.operator.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))))
}

/// What talks to the host: at the operator's wish, within the time that the config gives.
fn asked(ctx: &Context, command: CommandSpec, timeout: Duration) -> CommandSpec {
    let command = CommandSpec { timeout, ..command.with_ssh_agent(&ctx.operator) };
    if shape::has_lfs(&ctx.operator) { command } else { command.with_settings(shape::without_lfs()) }
}

async fn make(
    ctx: &Context,
    job: &RunJob,
    url: &str,
    aside: &Path,
    target: &Path,
    limit: Duration,
) -> Result<(), String> {
    let made: PathBuf = clone::aside(aside, &job.run.id.text(), job.run.attempt);
    let mine = made.clone();
    blocking(move || tree::remove_tree(&mine).map_err(|e| format!("cannot remove {}: {e}", mine.display()))).await?;
    let command = asked(ctx, git(ctx, aside).clone_into(url, &made), limit);
    let cloned = operation::carry_out(ctx, job, PHASE, command).await;
    let (from, to, all) = (made, target.to_owned(), aside.to_owned());
    let is_there = cloned.is_ok();
    let put = blocking(move || {
        let put = if is_there { clone::put(&from, &to).map_err(|e| e.to_string()) } else { Ok(()) };
        // What is left of this try, and of others that were cut off, is of no use to anybody.
        clone::clear(&all).map_err(|e| e.to_string()).and(put)
    })
    .await;
    cloned?;
    put
}

/// Brings a clone up to date, since nobody else does; a host that cannot be reached keeps no run from starting.
async fn refresh(ctx: &Context, job: &RunJob, target: &Path, limit: Duration) -> Option<String> {
    // One that goes on where it was looks at nothing new.
    if job.issue_workspace.is_some() {
        return None;
    }
    let command = asked(ctx, git(ctx, target).fetch(), limit);
    let fetched = operation::carry_out(ctx, job, PHASE, command).await;
    fetched.err().map(|why| format!("the clone of its repository could not be brought up to date ({why})"))
}
