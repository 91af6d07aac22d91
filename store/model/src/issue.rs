//! Issues, comments and the wakes that ask for runs.

use serde_json::Value;

use crate::*;

words! {
    /// Where an issue stands.
    pub enum IssueStatus {
        Backlog = "backlog",
        Todo = "todo",
        InProgress = "in_progress",
        InReview = "in_review",
        Done = "done",
        Blocked = "blocked",
        Cancelled = "cancelled",
    }
}

words! {
    /// How urgent an issue is.
    pub enum Priority { Critical = "critical", High = "high", Medium = "medium", Low = "low" }
}

row! {
    /// An issue. `execution_run_id` is its execution lock.
    entity IssueRow in "issues" key id: IssueId {
        company_id: CompanyId,
        project_id: ProjectId,
        number: i64,
        identifier: String,
        title: String,
        description: Option<String>,
        status: IssueStatus,
        priority: Priority,
        assignee_agent_id: Option<AgentId>,
        checkout_run_id: Option<RunId>,
        execution_run_id: Option<RunId>,
        execution_agent_name_key: Option<String>,
        execution_locked_at: Option<UnixMillis>,
        execution_workspace_id: Option<WorkspaceId>,
        execution_workspace_settings: Option<Value>,
        started_at: Option<UnixMillis>,
        completed_at: Option<UnixMillis>,
        cancelled_at: Option<UnixMillis>,
    }
}

row! {
    /// A comment on an issue, or on a run without one.
    append CommentRow in "issue_comments" {
        id: CommentId,
        company_id: CompanyId,
        issue_id: Option<IssueId>,
        run_id: Option<RunId>,
        author_type: String,
        author_id: String,
        body: String,
        created_at: UnixMillis,
    }
}

words! {
    /// What became of a wake.
    pub enum WakeupStatus {
        Queued = "queued",
        DeferredIssueExecution = "deferred_issue_execution",
        Claimed = "claimed",
        Coalesced = "coalesced",
        Skipped = "skipped",
        Completed = "completed",
        Failed = "failed",
        Cancelled = "cancelled",
        TimedOut = "timed_out",
        Lost = "lost",
    }
}

row! {
    /// A wake: why an agent was asked to run.
    entity WakeupRow in "agent_wakeup_requests" key id: WakeupId {
        company_id: CompanyId,
        agent_id: AgentId,
        source: InvocationSource,
        trigger_detail: TriggerDetail,
        reason: Option<String>,
        payload: Option<Value>,
        status: WakeupStatus,
        coalesced_count: i64,
        requested_by_actor_type: ActorType,
        requested_by_actor_id: Option<String>,
        idempotency_key: Option<String>,
        run_id: Option<RunId>,
        requested_at: UnixMillis,
        claimed_at: Option<UnixMillis>,
        finished_at: Option<UnixMillis>,
        error: Option<String>,
    }
}

impl WakeupRow {
    /// A wake of `agent` that waits, and of which `run` is made; asked for by wharf itself.
    pub const fn queued(id: WakeupId, company: CompanyId, agent: AgentId, run: RunId, now: UnixMillis) -> Self {
        Self {
            id,
            company_id: company,
            agent_id: agent,
            source: InvocationSource::Automation,
            trigger_detail: TriggerDetail::System,
            reason: None,
            payload: None,
            status: WakeupStatus::Queued,
            coalesced_count: 0,
            requested_by_actor_type: ActorType::System,
            requested_by_actor_id: None,
            idempotency_key: None,
            run_id: Some(run),
            requested_at: now,
            claimed_at: None,
            finished_at: None,
            error: None,
            version: 0,
            created_at: now,
            updated_at: now,
        }
    }
}
