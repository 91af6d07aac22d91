//! Another run in the place of a lost one: one for each lineage, after a pause.

use serde_json::{Value, json};
use wharf_model::{
    AgentRow, DeadlineKind, InvocationSource, Kind, RunId, RunRow, RunStatus, TriggerDetail, WakeupId, WakeupRow,
};

use super::run_start::QUEUE_LIMIT_MS;
use super::{Deciding, about};
use crate::dispatch::input::Actor;

/// Runs that a lineage may get in the place of lost ones.
const LOST_MAX: i64 = 1;
/// Pause before it: what took the run along may take the next one too.
pub(crate) const PAUSE_MS: i64 = 5_000;

/// Schedules the retry of a run that was just lost, where its agent allows it and its lineage has not had one.
pub(crate) fn after_loss(d: &mut Deciding<'_, '_>, lost: &RunRow) {
    let Some(agent) = d.state().agents.get(&lost.agent_id).filter(|agent| allows(agent)).cloned() else { return };
    if lost.stop_requested_at.is_some() {
        return;
    }
    let number = Kind::Run.number(lost.number);
    if lost.process_loss_retry_count >= LOST_MAX {
        let first = d.state().runs.get(&lost.lineage).map(|r| Kind::Run.number(r.number));
        let of = first.map(|n| format!(" of {n}")).unwrap_or_default();
        let message = format!("not started again: the lineage{of} has had its retry after a loss");
        d.tx.event(lost.id, "lifecycle", "warn", message, None);
        return;
    }
    let now = d.now();
    let id: RunId = d.id();
    let wakeup: WakeupId = d.id();
    let next = d.tx.next_number("run");
    d.tx.put(WakeupRow {
        reason: Some("process_lost".into()),
        payload: Some(json!({ "issueId": lost.issue_id.map(wharf_model::IssueId::text), "retryOf": lost.id.text() })),
        requested_by_actor_id: Some("wharf".into()),
        ..WakeupRow::queued(wakeup, lost.company_id, lost.agent_id, id, now)
    });
    let due = now.plus(PAUSE_MS);
    // For the same work, with nothing of what has become of it.
    let row = RunRow {
        project_id: lost.project_id,
        issue_id: lost.issue_id,
        priority: lost.priority,
        environment_id: lost.environment_id,
        timeout_ms: lost.timeout_ms,
        grace_ms: lost.grace_ms,
        continuation_attempt: lost.continuation_attempt,
        session_id_before: lost.session_id_before.clone(),
        issue_comment_status: lost.issue_comment_status,
        status: RunStatus::ScheduledRetry,
        invocation_source: InvocationSource::Automation,
        trigger_detail: TriggerDetail::System,
        wakeup_request_id: Some(wakeup),
        due_at: Some(due),
        deadline_at: Some(now.plus(QUEUE_LIMIT_MS)),
        deadline_kind: Some(DeadlineKind::Wall),
        retry_of_run_id: Some(lost.id),
        lineage: lost.lineage,
        process_loss_retry_count: lost.process_loss_retry_count + 1,
        scheduled_retry_attempt: lost.scheduled_retry_attempt + 1,
        scheduled_retry_reason: Some("process_lost".into()),
        ..RunRow::queued(id, next, &agent, now)
    };
    d.tx.put(row);
    let by = Kind::Run.number(next);
    let when = PAUSE_MS / 1_000;
    d.tx.event(lost.id, "lifecycle", "info", format!("{by} follows it in {when} s, once"), None);
    d.tx.event(id, "lifecycle", "info", format!("follows {number}, which was lost; due in {when} s"), None);
    if let Some(run) = d.tx.get::<RunRow>(id).cloned() {
        let details = json!({ "retryOf": number, "reason": "process_lost", "dueInMs": PAUSE_MS });
        d.activity(&Actor::system(), "run.queued", &about::run(&run), Some(details));
    }
}

fn allows(agent: &AgentRow) -> bool {
    agent.config.get("retry_lost").and_then(Value::as_bool).unwrap_or(false)
}

/// A retry is due: it queues like any other run.
pub(crate) fn due(d: &mut Deciding<'_, '_>, id: RunId) {
    d.tx.update::<RunRow>(id, |r| {
        r.status = RunStatus::Queued;
        r.due_at = None;
    });
    d.tx.event(id, "lifecycle", "info", "due".to_owned(), None);
}
