//! Facts about a process of the past: recorded, and without effect on the run.

use serde_json::json;
use wharf_model::{ActionId, ActionRow, ActionStatus, RunId, RunRow, RunStatus};

use super::Deciding;
use crate::dispatch::input::Fact;

/// What a fact is about, when it is about one attempt of a run.
pub struct OfRun {
    /// The run.
    pub run: RunId,
    /// Its attempt.
    pub attempt: u32,
    /// The action that was performed.
    pub action: Option<ActionId>,
    /// The fact, in words.
    pub what: &'static str,
}

/// Says what attempt of what run a fact is about. What comes by its nature after the end (hashes of a
/// log, the end of an operation of its own, words of its agent) is about no attempt.
pub fn of_run(fact: &Fact) -> Option<OfRun> {
    let (run, attempt, action, what) = match fact {
        Fact::WorkspacePlanned { run, attempt, .. } => (run, attempt, None, "its workspace was chosen"),
        Fact::OperationPlanned { run, attempt, .. } => (run, attempt, None, "an operation of it was to begin"),
        Fact::WorkspaceRealised { run, attempt, action, .. } => (run, attempt, Some(*action), "its workspace was made"),
        Fact::WorkspaceFailed { run, attempt, action, .. } => {
            (run, attempt, Some(*action), "its workspace could not be made")
        }
        Fact::RunStarted { run, attempt, .. } => (run, attempt, None, "its process was seen alive"),
        Fact::RunEnded { run, attempt, action, .. } => (run, attempt, Some(*action), "its process ended"),
        Fact::RunNotStarted { run, attempt, action, .. } => {
            (run, attempt, Some(*action), "its process was not started")
        }
        Fact::RunLost { run, attempt, action, .. } => (run, attempt, Some(*action), "its shim was lost"),
        Fact::RunObserved { run, attempt, .. } => (run, attempt, None, "its shim was looked at"),
        _ => return None,
    };
    Some(OfRun { run: *run, attempt: *attempt, action, what })
}

/// Records a fact that comes too late. A fact is late when its run has ended, is in another attempt, or holds
/// its lease by another fence than the action was intended with; of that action, which is then closed, nobody
/// else can tell. Says whether that was so.
pub(crate) fn note(d: &mut Deciding<'_, '_>, fact: &Fact) -> bool {
    let Some(of) = of_run(fact) else { return false };
    let Some(run) = d.tx.get::<RunRow>(of.run) else { return false };
    let mut fenced = false;
    let fence = of.action.and_then(|a| d.tx.get::<ActionRow>(a)).and_then(|a| a.fence);
    let why = if run.status != RunStatus::Running {
        format!("it is {}", run.status)
    } else if run.attempt != of.attempt {
        format!("it is in attempt {}", run.attempt)
    } else if fence.is_some() && fence != run.fence {
        fenced = true;
        format!("it holds its lease by fence {}", run.fence.unwrap_or(0))
    } else {
        return false;
    };
    let payload = json!({ "attempt": of.attempt, "fence": fence, "status": run.status.as_str() });
    let message = format!("late and without effect: {} in attempt {}; {why}", of.what, of.attempt);
    d.tx.event(of.run, "late", "warn", message, Some(payload));
    if let Some(action) = of.action.filter(|_| fenced) {
        d.end_action(action, ActionStatus::Superseded, None);
    }
    fenced
}
