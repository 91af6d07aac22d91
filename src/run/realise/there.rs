//! The workspace of a run in the place where it works: carried there, and provisioned there.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use wharf_model::OperationPhase;
use wharf_model::rules::workspace_environment::WorkspaceEnvironment;

use super::{Failed, Made};
use crate::dispatch::input::Realisation;
use crate::dispatch::perform::RunJob;
use crate::environment::driver::{Answer, PlaceProcess, RealiseAsk};
use crate::run::context::Context;
use crate::run::ended::{self, Stop};
use crate::run::facts::root_there;
use crate::run::operation::{self, InPlace, Work};
use crate::run::place::There;
use crate::run::watch::Watch;
use crate::workspace::provision;

/// Time in which a workspace must be there.
const REALISE_LIMIT: Duration = Duration::from_mins(5);
/// Paths that are told by name.
const NAMED: usize = 5;
/// Grace of what a command that makes a workspace ready has left behind.
const GRACE_MS: i64 = 5_000;

/// What is asked of a place, from what was made on this machine.
pub(super) fn ask(job: &RunJob, made: &Made) -> RealiseAsk {
    let top_level = || made.repo.as_ref().and_then(|r| r.top_level.clone());
    let began_at = job.workspace.as_ref().filter(|w| w.id == made.workspace).and_then(|w| w.base_commit.clone());
    RealiseAsk {
        run: Some(job.run.id),
        attempt: job.run.attempt,
        workspace: made.workspace,
        mode: made.mode.as_str().to_owned(),
        cwd: made.cwd.clone(),
        root: made.worktree.clone().or_else(top_level),
        git_common_dir: made.repo.as_ref().map(|r| r.common_dir.clone()),
        branch: made.branch.clone(),
        base_commit: began_at.or_else(|| made.began.as_ref().map(|(_, commit)| commit.clone())),
        timeout_ms: u64::try_from(REALISE_LIMIT.as_millis()).unwrap_or(u64::MAX),
    }
}

/// Has the workspace made there. It is asked once: whoever waits decides whether to start the run again.
pub(super) async fn realise(there: &There, request: RealiseAsk, watch: &Watch<'_>) -> Result<Realisation, Failed> {
    let name = &there.name;
    let limit = Duration::from_millis(request.timeout_ms);
    let asked = tokio::time::timeout(limit, there.driver.realise(&there.held, &request));
    let failed = |what: String, cause: String| Failed {
        message: format!("its workspace could not be made in {name}: {what}"),
        cause: Some(cause),
        stands: None,
    };
    match watch.unless_stopped(asked).await {
        None => Err(format!("its workspace in {name} was not finished, since a stop was asked").into()),
        Some(Err(_)) => Err(failed(format!("timed out after {} s", limit.as_secs()), "timed out".into())),
        Some(Ok(Answer::Refused { code, hint })) => Err(failed(format!("refused: {hint}"), format!("{code}: {hint}"))),
        Some(Ok(Answer::Unknown { evidence })) => Err(failed(evidence.clone(), evidence)),
        Some(Ok(Answer::Done(result))) => {
            if let Some(missing) = not_carried(&result.record) {
                watch.note(format!("not carried to {name}, and missing there: {missing}")).await;
            }
            Ok(Realisation { request, result })
        }
    }
}

/// What a driver says it could not carry (repositories within the checkout), in words; none where that is nothing.
fn not_carried(record: &Value) -> Option<String> {
    let paths: Vec<&str> = record["not_carried"].as_array()?.iter().filter_map(Value::as_str).collect();
    let more = if paths.len() > NAMED { format!(" and {} more", paths.len() - NAMED) } else { String::new() };
    (!paths.is_empty()).then(|| format!("{}{more}", paths[..paths.len().min(NAMED)].join(", ")))
}

/// Runs the project's command that makes a workspace ready there; at most once for an attempt.
pub(super) async fn provision(
    ctx: &Context,
    job: &RunJob,
    there: &There,
    command: &str,
    facts: WorkspaceEnvironment,
    limit: Option<Duration>,
) -> Result<(), Failed> {
    let phase = OperationPhase::WorkspaceProvision;
    let Some(realisation) = &there.realisation else {
        return Err(format!("nothing was made in {}", there.name).into());
    };
    let target = match there.target().await {
        Answer::Done(target) if target.is_here() => {
            return Err(format!("the driver of {} names no command that leads there", there.name).into());
        }
        Answer::Done(target) => target,
        Answer::Refused { code, hint } => {
            let message = format!("no command can be run in {}: {hint}", there.name);
            return Err(Failed { message, cause: Some(format!("{code}: {hint}")), stands: None });
        }
        Answer::Unknown { evidence } => {
            let message = format!("no command could be run in {}: {evidence}", there.name);
            return Err(Failed { message, cause: Some(evidence), stands: None });
        }
    };
    let shares = there.shares_files();
    let cwd = &realisation.result.cwd;
    let path = |path: Option<String>| path.filter(|_| shares).map(|p| target.map_path(&p));
    let worktree = match &facts.worktree_path {
        Some(root) if !shares => root_there(&realisation.request.cwd, Path::new(root), cwd),
        here => path(here.clone()),
    };
    let facts = WorkspaceEnvironment {
        cwd: Some(cwd.clone()),
        worktree_path: worktree,
        base_cwd: path(facts.base_cwd),
        repo_root: path(facts.repo_root),
        ..facts
    };
    let allowed = provision::operators(&ctx.operator, ctx.program_dir.as_ref().and_then(|d| d.to_str()));
    let shell = allowed.get("SHELL").filter(|_| target.keeps_identity).cloned();
    let command = provision::command_there(command, cwd, shell.as_deref(), &facts, limit);
    let place = InPlace { target, allowed, name: there.name.clone() };
    let done = operation::carry_out_once(ctx, job, phase, Work { command, place: Some(place) }).await;
    // Whatever it left behind would otherwise live as long as the lease.
    let tag = operation::tag_once(job, phase);
    let mut found: Vec<PlaceProcess> = Vec::new();
    let looked = ended::look(&*there.driver, &there.held, Stop::new(&tag, GRACE_MS, false), &mut found).await;
    if let Err(evidence) = looked {
        tracing::warn!(place = %there.name, %evidence, "what a provision command has left is not known");
    }
    Ok(done?)
}

#[cfg(test)]
mod tests;
