//! Another run in the place of a lost one: one for each lineage, after a pause.

use serde_json::{Value, json};
use wharf_model::{
    AgentRow, DeadlineKind, InvocationSource, Kind, Observation, RunId, RunRow, RunStatus, TriggerDetail, WakeupId,
    WakeupRow, WakeupStatus,
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
    let allows = d.state().agents.get(&lost.agent_id).is_some_and(allows);
    if !allows || lost.stop_requested_at.is_some() {
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
        id: wakeup,
        company_id: lost.company_id,
        agent_id: lost.agent_id,
        source: InvocationSource::Automation,
        trigger_detail: TriggerDetail::System,
        reason: Some("process_lost".into()),
        payload: Some(json!({ "issueId": lost.issue_id.map(wharf_model::IssueId::text), "retryOf": lost.id.text() })),
        status: WakeupStatus::Queued,
        coalesced_count: 0,
        requested_by_actor_type: wharf_model::ActorType::System,
        requested_by_actor_id: Some("wharf".into()),
        idempotency_key: None,
        run_id: Some(id),
        requested_at: now,
        claimed_at: None,
        finished_at: None,
        error: None,
        version: 0,
        created_at: now,
        updated_at: now,
    });
    let due = now.plus(PAUSE_MS);
    let row = RunRow {
        number: next,
        status: RunStatus::ScheduledRetry,
        invocation_source: InvocationSource::Automation,
        trigger_detail: TriggerDetail::System,
        wakeup_request_id: Some(wakeup),
        queued_at: now,
        due_at: Some(due),
        deadline_at: Some(now.plus(QUEUE_LIMIT_MS)),
        deadline_kind: Some(DeadlineKind::Wall),
        retry_of_run_id: Some(lost.id),
        lineage: lost.lineage,
        process_loss_retry_count: lost.process_loss_retry_count + 1,
        scheduled_retry_attempt: lost.scheduled_retry_attempt + 1,
        scheduled_retry_reason: Some("process_lost".into()),
        ..anew(id, lost)
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

/// A row for the same work, with nothing of what has become of it.
fn anew(id: RunId, of: &RunRow) -> RunRow {
    RunRow {
        id,
        step: None,
        started_at: None,
        finished_at: None,
        stop_reason: None,
        stop_requested_at: None,
        stop_requested_by: None,
        stop_grace_ms: None,
        attempt: 0,
        fence: None,
        lease_id: None,
        workspace_id: None,
        exit_code: None,
        signal: None,
        signal_reason: None,
        oom: false,
        leaky: false,
        survivors: None,
        error_code: None,
        error: None,
        error_detail: None,
        observation: Observation::Live,
        observation_evidence: None,
        process_pid: None,
        process_group_id: None,
        process_start_ticks: None,
        process_started_at: None,
        process_boot_id: None,
        external_run_id: None,
        session_id_after: None,
        issue_comment_satisfied_by_comment_id: None,
        issue_comment_retry_queued_at: None,
        liveness_state: None,
        liveness_reason: None,
        last_useful_action_at: None,
        next_action: None,
        log_store: None,
        log_ref: None,
        log_bytes: None,
        log_sha256: None,
        log_compressed: false,
        stdout_bytes: None,
        stderr_bytes: None,
        stdout_sha256: None,
        stderr_sha256: None,
        agent_seq: 0,
        last_output_at: None,
        last_output_seq: 0,
        last_output_stream: None,
        last_output_bytes: 0,
        user_us: None,
        sys_us: None,
        maxrss_kib: None,
        version: 0,
        ..of.clone()
    }
}

/// A retry is due: it queues like any other run.
pub(crate) fn due(d: &mut Deciding<'_, '_>, id: RunId) {
    d.tx.update::<RunRow>(id, |r| {
        r.status = RunStatus::Queued;
        r.due_at = None;
    });
    d.tx.event(id, "lifecycle", "info", "due".to_owned(), None);
}
