//! Rows for tests.

use wharf_model::*;
use wharf_store::view::RunLine;

/// A run that has just been asked for.
pub fn run_line() -> RunLine {
    let id = RunId::NIL;
    RunLine {
        id,
        number: 1,
        project_id: ProjectId::NIL,
        agent_id: AgentId::NIL,
        agent: Some("fixer".into()),
        issue_id: None,
        issue: None,
        issue_title: None,
        environment_id: None,
        environment: None,
        lease_id: None,
        lease_number: None,
        workspace_id: None,
        workspace_number: None,
        status: RunStatus::Queued,
        step: None,
        invocation_source: InvocationSource::OnDemand,
        priority: 4,
        queued_at: UnixMillis(0),
        due_at: None,
        started_at: None,
        finished_at: None,
        deadline_at: None,
        stop_reason: None,
        stop_requested_at: None,
        stop_grace_ms: None,
        attempt: 0,
        exit_code: None,
        signal: None,
        error_code: None,
        error: None,
        observation: Observation::Live,
        liveness_state: None,
        next_action: None,
        retry_of_run_id: None,
        retry_of_number: None,
        lineage: id,
        stdout_bytes: None,
        stderr_bytes: None,
        log_sha256: None,
        last_output_at: None,
        last_output_bytes: 0,
        version: 1,
        queue_position: None,
    }
}
