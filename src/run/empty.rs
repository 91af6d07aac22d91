//! Removing for good what is kept no longer: what lies in a trash, and snapshots.
//!
//! Passes of a few seconds, each told of in the operation, so that a long one is seen to go on; what a pass that was
//! cut off has left, the next one finds. A reign that ends waits for no more than the entry that is being removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wharf_model::rules::trash::TrashKind;
use wharf_model::{ActionRow, OperationPhase};

use super::archive::blocking;
use super::context::Context;
use super::operation::own;
use crate::dispatch::input::{Fact, OperationOwner};
use crate::dispatch::perform::{EmptyJob, TrashJob};
use crate::process::kill_point::kill_point;
use crate::workspace::snapshot;
use crate::workspace::trash::{self, Emptied, EmptyAsk, EntryAsk, PassLimit};

/// Longest pass; how far it is is told after each.
const PASS: Duration = Duration::from_secs(5);
/// Longest try; what is left then is for the next one.
const LIMIT: Duration = Duration::from_hours(12);

/// Sets what passes look at, once nobody waits for them any more.
struct Waited(Arc<AtomicBool>);

impl Drop for Waited {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Removes for good what is kept no longer.
pub async fn empty(ctx: &Context, action: &ActionRow, what: EmptyJob) -> Fact {
    kill_point("workspace.empty_intended");
    let done = match what {
        EmptyJob::Snapshot { id, repo } => {
            blocking(move || snapshot::forget(&repo, id).map(drop).map_err(|e| e.to_string())).await
        }
        EmptyJob::Trash(job) => match trash(ctx, action, &job).await {
            Some(done) => done,
            None => return Fact::ActionDone { action: action.id },
        },
    };
    match done {
        Ok(()) => {
            kill_point("workspace.emptied");
            Fact::TrashEmptied { action: action.id }
        }
        Err(error) => Fact::ActionFailed { action: action.id, error },
    }
}

/// Passes until nothing is left; none where the action was given up.
async fn trash(ctx: &Context, action: &ActionRow, job: &TrashJob) -> Option<Result<(), String>> {
    let owner =
        OperationOwner { project: job.project, workspace: Some(job.workspace), service: None, action: action.id };
    let shown = match job.kind {
        TrashKind::Directory => format!("empty the trash of {}", job.number),
        TrashKind::Entry => format!("remove what git had of {}", job.number),
    };
    let step = (OperationPhase::TrashEmptying, &*shown);
    let limit_ms = i64::try_from(LIMIT.as_millis()).unwrap_or(i64::MAX);
    let place = job.place.display().to_string();
    let operation = own::begin(ctx, &owner, &job.operations, step, &place, limit_ms).await.ok()?;
    let waited = Waited(Arc::default());
    let limit = PassLimit { time: PASS, stop: Arc::clone(&waited.0) };
    let (until, mut removed) = (Instant::now() + LIMIT, 0_u64);
    let result = loop {
        let (job, limit) = (job.clone(), limit.clone());
        let pass = match blocking(move || pass(&job, limit)).await {
            Ok(pass) => pass,
            Err(why) => break Err(why),
        };
        removed += pass.removed;
        let so_far = if pass.done { "" } else { " so far" };
        let text = format!("{removed} entries removed{so_far}");
        ctx.inbox.tell(Fact::OperationProgress { operation, text }).await;
        if pass.done {
            break Ok(());
        }
        if Instant::now() > until {
            break Err("much of it is left; it goes on".to_owned());
        }
    };
    match &result {
        Ok(()) => own::end(ctx, operation, None).await,
        // It stays under way, since it is tried again: what stands in its way is how far it is.
        Err(why) => drop(ctx.inbox.tell(Fact::OperationProgress { operation, text: why.clone() }).await),
    }
    Some(result)
}

fn pass(job: &TrashJob, pass: PassLimit) -> Result<Emptied, String> {
    let (project, workspace) = (job.project, job.workspace);
    match job.kind {
        TrashKind::Directory => {
            trash::empty(&EmptyAsk { trash_path: job.place.clone(), project, workspace, repo: job.repo.clone(), pass })
        }
        TrashKind::Entry => trash::empty_entry(&EntryAsk { place: job.place.clone(), project, workspace, pass }),
    }
    .map_err(|e| e.to_string())
}
