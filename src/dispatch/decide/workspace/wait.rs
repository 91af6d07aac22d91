//! Runs that meet a workspace which is just being archived or brought back: they stay in their step and go on by
//! themselves once that has ended, whatever came of it.
//!
//! A waiting run holds nothing of the workspace: it is no user of it, so that neither the close check nor the archive
//! that is under way waits for the run in turn.

use serde_json::{Value, json};
use wharf_model::state::State;
use wharf_model::{
    ActionId, ActionKind, ActionRow, ActionStatus, Kind, RequestId, RequestRow, RunId, RunRow, RunStatus, Step, StepId,
    StepRow, UnixMillis, WorkspaceRow, WorkspaceStatus,
};

use super::rows::{self, Archiving, Between, Restoring, remembered};
use crate::dispatch::decide::{Deciding, finish, is_open};

/// Code of a run that waited for a workspace as long as one may.
pub(crate) const CODE: &str = "workspace_wait_deadline";

/// Time beyond the workspace's own deadline for which a run waits, in milliseconds: that one has to come first.
const MARGIN_MS: i64 = 60_000;

/// Key of what the step remembers.
const KEY: &str = "waits_for";

/// The workspace that a run waits for; none when it waits for none.
pub(crate) fn waits_for(state: &State, run: &RunRow) -> Option<Value> {
    if run.status != RunStatus::Running || run.step != Some(Step::Realise) {
        return None;
    }
    let detail = state.steps.get(&StepId(run.id, Step::Realise))?.detail.as_ref()?;
    detail.get(KEY).filter(|waits| waits.is_object()).cloned()
}

/// Whether a run waits for a workspace, so that nobody is making one for it.
pub(crate) fn waits(state: &State, run: RunId) -> bool {
    state.runs.get(&run).is_some_and(|run| waits_for(state, run).is_some())
}

/// Lets a run wait for a workspace that is in between. Nobody makes anything for it meanwhile: the executor that came to
/// the workspace ends, and a new one looks at everything anew.
pub(super) fn begin(d: &mut Deciding<'_, '_>, run: &RunRow, workspace: &WorkspaceRow, what: Between) {
    let (id, now) = (run.id, d.now());
    if waits(d.state(), id) {
        return;
    }
    let number = Kind::Workspace.number(workspace.number);
    let asked: Option<RequestId> = match what {
        Between::Archived => remembered::<Archiving>(workspace, "archiving").map(|a| a.request),
        Between::Restored => remembered::<Restoring>(workspace, "restoring").map(|r| r.request),
    };
    let asked = asked.and_then(|id| d.tx.get::<RequestRow>(id)).map(|r| (r.actor_id.clone(), r.created_at));
    let by = asked.as_ref().map(|(by, _)| by.clone());
    let waits = json!({
        "workspace_id": workspace.id.text(), "workspace": number, "until": what.word(), "place": workspace.cwd,
        "asked_by": by, "asked_at": asked.map(|(_, at)| at.0), "since": now.0,
    });
    for action in making(d.state(), id) {
        d.end_action(action, ActionStatus::Superseded, Some(format!("{number} is just being {}", what.word())));
    }
    // The workspace's own end comes first, so that only a run whose workspace hangs comes to this.
    let limit = Step::Realise.deadline_ms().unwrap_or(0);
    let until = workspace.deadline_at.unwrap_or(now).max(now.plus(limit)).plus(MARGIN_MS);
    d.tx.update::<StepRow>(StepId(id, Step::Realise), |s| {
        s.deadline_at = Some(until);
        s.detail = Some(json!({ KEY: waits }));
    });
    d.tx.update::<RunRow>(id, |r| r.workspace_id = None);
    let message = words(&waits);
    d.tx.event(id, "workspace", "info", message, Some(waits));
}

/// In words: `waits for W-3 to be archived, since ada asked for that; it goes on by itself then`.
fn words(waits: &Value) -> String {
    let text = |key: &str| waits[key].as_str().unwrap_or_default();
    let since = match waits["asked_by"].as_str() {
        Some(by) => format!("since {by} asked for that"),
        None => format!("since that is under way in {}", text("place")),
    };
    format!("waits for {} to be {}, {since}; it goes on by itself then", text("workspace"), text("until"))
}

/// Lets go on whoever waited for a workspace that is not in between any more.
pub(super) fn carry_on(d: &mut Deciding<'_, '_>) {
    let running = d.state().runs.values().filter(|r| r.status == RunStatus::Running && r.step == Some(Step::Realise));
    let over: Vec<RunId> = running.filter(|r| is_over(d.state(), r)).map(|r| r.id).collect();
    for run in over {
        go_on(d, run);
    }
}

/// Whether a run waits for something that has ended.
fn is_over(state: &State, run: &RunRow) -> bool {
    let Some(waits) = waits_for(state, run) else { return false };
    let id = waits["workspace_id"].as_str().and_then(|t| t.parse().ok());
    // One that is not in memory any more has been archived.
    id.is_none_or(|id| rows::between(state, id).is_none())
}

/// Looks again where the run is to work, and makes it.
fn go_on(d: &mut Deciding<'_, '_>, id: RunId) {
    if finish::stopped_before_start(d, id) {
        return;
    }
    let Some(run) = d.tx.get::<RunRow>(id).cloned() else { return };
    let Some(waited) = waits_for(d.state(), &run) else { return };
    let deadline = Step::Realise.deadline_ms().map(|ms| d.now().plus(ms));
    d.tx.update::<StepRow>(StepId(id, Step::Realise), |s| {
        s.deadline_at = deadline;
        s.detail = None;
    });
    let workspace = waited["workspace_id"].as_str().and_then(|t| t.parse().ok());
    let status = workspace.and_then(|id| d.tx.get::<WorkspaceRow>(id)).map_or(WorkspaceStatus::Archived, |w| w.status);
    let number = waited["workspace"].as_str().unwrap_or_default().to_owned();
    let since = UnixMillis(waited["since"].as_i64().unwrap_or(d.now().0));
    let seconds = since.until(d.now()) / 1000;
    d.tx.event(id, "workspace", "info", format!("{number} is {status} now; goes on after {seconds} s"), None);
    d.intend(ActionKind::RealiseWorkspace, "run", &id.text(), run.attempt, run.fence, None);
}

/// It waited for as long as one may: code and words.
pub(crate) fn over_due(state: &State, run: RunId) -> Option<(&'static str, String)> {
    let waits = waits_for(state, state.runs.get(&run)?)?;
    let (number, until) = (waits["workspace"].as_str()?, waits["until"].as_str()?);
    let message = format!(
        "it waited for {number} to be {until}, and that has not ended; `wharf show {number}` says why, then start this run again"
    );
    Some((CODE, message))
}

/// The open actions that make a workspace for a run.
fn making(state: &State, run: RunId) -> Vec<ActionId> {
    let id = run.text();
    let of_it = |a: &&ActionRow| a.kind == ActionKind::RealiseWorkspace && a.entity_id == id && is_open(a.status);
    state.actions.values().filter(of_it).map(|a| a.id).collect()
}
