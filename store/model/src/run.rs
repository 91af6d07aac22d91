//! Runs: one execution of an agent, its steps, events and texts.

use serde_json::Value;

use crate::*;

words! {
    /// Where a run is in its life. Terminal states are never left.
    pub enum RunStatus {
        Queued = "queued",
        ScheduledRetry = "scheduled_retry",
        Running = "running",
        Succeeded = "succeeded",
        Failed = "failed",
        Cancelled = "cancelled",
        TimedOut = "timed_out",
        Lost = "lost",
    }
}

impl RunStatus {
    /// Whether this state is never left.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::ScheduledRetry | Self::Running)
    }
}

words! {
    /// The seven steps of a run, in order.
    pub enum Step {
        Resolve = "resolve",
        Check = "check",
        Acquire = "acquire",
        Realise = "realise",
        Target = "target",
        Execute = "execute",
        Finish = "finish",
    }
}

impl Step {
    /// Position from 0, the order in which steps run.
    pub const fn ordinal(self) -> usize {
        self as usize
    }

    /// How long the step may take by default, in milliseconds; none for the adapter itself.
    pub const fn deadline_ms(self) -> Option<i64> {
        match self {
            Self::Resolve | Self::Check => Some(10_000),
            Self::Acquire | Self::Finish => Some(5 * 60_000),
            Self::Realise => Some(15 * 60_000),
            Self::Target => Some(30_000),
            Self::Execute => None,
        }
    }
}

words! {
    /// Where a step is.
    pub enum StepStatus {
        Pending = "pending",
        Running = "running",
        Succeeded = "succeeded",
        Failed = "failed",
        Skipped = "skipped",
    }
}

words! {
    /// What asked for a run.
    pub enum InvocationSource { Timer = "timer", Assignment = "assignment", OnDemand = "on_demand", Automation = "automation" }
}

words! {
    /// How it was asked.
    pub enum TriggerDetail { Manual = "manual", Ping = "ping", Callback = "callback", System = "system" }
}

words! {
    /// What a finished run achieved.
    pub enum LivenessState {
        Completed = "completed",
        Advanced = "advanced",
        PlanOnly = "plan_only",
        EmptyResponse = "empty_response",
        Blocked = "blocked",
        Failed = "failed",
        NeedsFollowup = "needs_followup",
    }
}

words! {
    /// Whether a run left the comment that its wake asked for.
    pub enum IssueCommentStatus {
        NotApplicable = "not_applicable",
        Satisfied = "satisfied",
        RetryQueued = "retry_queued",
        RetryExhausted = "retry_exhausted",
    }
}

words! {
    /// Why a run ended as it did, or is asked to.
    pub enum StopReason {
        Operator = "operator",
        Timeout = "timeout",
        Budget = "budget",
        Pause = "pause",
        Shutdown = "shutdown",
        LeaseReleased = "lease_released",
        Deadline = "deadline",
    }
}

words! {
    /// Whose clock a deadline follows: awake time shifts over suspend, wall time does not.
    pub enum DeadlineKind { Awake = "awake", Wall = "wall" }
}

words! {
    /// How sure wharf is of what it shows about a running process.
    pub enum Observation { Live = "live", Unknown = "unknown" }
}

row! {
    /// One run. Texts (prompt, context, excerpts, results) are in [`RunTextRow`].
    entity RunRow in "runs" key id: RunId {
        number: i64,
        company_id: CompanyId,
        project_id: ProjectId,
        agent_id: AgentId,
        issue_id: Option<IssueId>,
        status: RunStatus,
        step: Option<Step>,
        invocation_source: InvocationSource,
        trigger_detail: TriggerDetail,
        wakeup_request_id: Option<WakeupId>,
        priority: i64,
        queued_at: UnixMillis,
        due_at: Option<UnixMillis>,
        started_at: Option<UnixMillis>,
        finished_at: Option<UnixMillis>,
        deadline_at: Option<UnixMillis>,
        deadline_kind: Option<DeadlineKind>,
        stop_reason: Option<StopReason>,
        stop_requested_at: Option<UnixMillis>,
        stop_requested_by: Option<String>,
        stop_grace_ms: Option<i64>,
        attempt: u32,
        fence: Option<i64>,
        environment_id: Option<EnvironmentId>,
        lease_id: Option<LeaseId>,
        workspace_id: Option<WorkspaceId>,
        timeout_ms: Option<i64>,
        grace_ms: i64,
        exit_code: Option<i32>,
        signal: Option<String>,
        signal_reason: Option<String>,
        oom: bool,
        leaky: bool,
        survivors: Option<Value>,
        error_code: Option<String>,
        error: Option<String>,
        error_detail: Option<Value>,
        observation: Observation,
        observation_evidence: Option<String>,
        process_pid: Option<i32>,
        process_group_id: Option<i32>,
        process_start_ticks: Option<i64>,
        process_started_at: Option<UnixMillis>,
        process_boot_id: Option<String>,
        external_run_id: Option<String>,
        retry_of_run_id: Option<RunId>,
        lineage: RunId,
        process_loss_retry_count: i64,
        scheduled_retry_attempt: i64,
        scheduled_retry_reason: Option<String>,
        continuation_attempt: i64,
        session_id_before: Option<String>,
        session_id_after: Option<String>,
        issue_comment_status: IssueCommentStatus,
        issue_comment_satisfied_by_comment_id: Option<CommentId>,
        issue_comment_retry_queued_at: Option<UnixMillis>,
        liveness_state: Option<LivenessState>,
        liveness_reason: Option<String>,
        last_useful_action_at: Option<UnixMillis>,
        next_action: Option<String>,
        log_store: Option<String>,
        log_ref: Option<String>,
        log_bytes: Option<i64>,
        log_sha256: Option<String>,
        log_compressed: bool,
        log_deleted_at: Option<UnixMillis>,
        log_deleted_reason: Option<String>,
        stdout_bytes: Option<i64>,
        stderr_bytes: Option<i64>,
        stdout_sha256: Option<String>,
        stderr_sha256: Option<String>,
        agent_seq: i64,
        agent_messages: Option<String>,
        last_output_at: Option<UnixMillis>,
        last_output_seq: i64,
        last_output_stream: Option<String>,
        last_output_bytes: i64,
        user_us: Option<i64>,
        sys_us: Option<i64>,
        maxrss_kib: Option<i64>,
    }
}

row! {
    /// One step of one run; its key is `<run id>/<step>`.
    entity StepRow in "run_steps" key id: StepId {
        run_id: RunId,
        step: Step,
        status: StepStatus,
        attempt: u32,
        started_at: Option<UnixMillis>,
        finished_at: Option<UnixMillis>,
        deadline_at: Option<UnixMillis>,
        outcome: Option<String>,
        detail: Option<Value>,
    }
}

/// Key of a step: run and step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct StepId(pub RunId, pub Step);

impl column::Column for StepId {
    fn to_cell(&self) -> column::Cell {
        column::Cell::Text(format!("{}/{}", self.0, self.1))
    }
    fn from_cell(cell: column::Cell) -> Result<Self, String> {
        let text = <String as column::Column>::from_cell(cell)?;
        let (run, step) = text.split_once('/').ok_or_else(|| format!("expected run/step, found {text:?}"))?;
        Ok(Self(
            run.parse().map_err(|_| format!("expected a run's id in {text:?}"))?,
            step.parse().map_err(|e: words::UnknownWord| e.to_string())?,
        ))
    }
}

row! {
    /// A fact accepted for a run; `(run_id, seq)` is unique and seq has no holes.
    append RunEventRow in "run_events" {
        run_id: RunId,
        seq: i64,
        event_type: String,
        level: String,
        message: String,
        payload: Option<Value>,
        created_at: UnixMillis,
    }
}

words! {
    /// When the commit of a run's checkout was noted.
    pub enum CheckoutMoment { Began = "began", Ended = "ended" }
}

words! {
    /// Texts of a run that lists do not read.
    pub enum RunTextKind {
        Prompt = "prompt",
        ContextSnapshot = "context_snapshot",
        StdoutExcerpt = "stdout_excerpt",
        StderrExcerpt = "stderr_excerpt",
        Usage = "usage_json",
        Result = "result_json",
    }
}

row! {
    /// A long text of a run; written anew as a whole.
    append RunTextRow in "run_texts" {
        run_id: RunId,
        kind: RunTextKind,
        body: String,
    }
}

impl RunRow {
    /// A run of an agent that waits in the queue, as nobody has changed it yet: its own lineage, no issue and so behind
    /// all that have one, no environment, no deadline, no grace.
    pub fn queued(id: RunId, number: i64, agent: &AgentRow, now: UnixMillis) -> Self {
        Self {
            id,
            number,
            company_id: agent.company_id,
            project_id: agent.project_id,
            agent_id: agent.id,
            issue_id: None,
            status: RunStatus::Queued,
            step: None,
            invocation_source: InvocationSource::OnDemand,
            trigger_detail: TriggerDetail::Manual,
            wakeup_request_id: None,
            priority: 4,
            queued_at: now,
            due_at: None,
            started_at: None,
            finished_at: None,
            deadline_at: None,
            deadline_kind: None,
            stop_reason: None,
            stop_requested_at: None,
            stop_requested_by: None,
            stop_grace_ms: None,
            attempt: 0,
            fence: None,
            environment_id: None,
            lease_id: None,
            workspace_id: None,
            timeout_ms: None,
            grace_ms: 0,
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
            retry_of_run_id: None,
            lineage: id,
            process_loss_retry_count: 0,
            scheduled_retry_attempt: 0,
            scheduled_retry_reason: None,
            continuation_attempt: 0,
            session_id_before: None,
            session_id_after: None,
            issue_comment_status: IssueCommentStatus::NotApplicable,
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
            log_deleted_at: None,
            log_deleted_reason: None,
            stdout_bytes: None,
            stderr_bytes: None,
            stdout_sha256: None,
            stderr_sha256: None,
            agent_seq: 0,
            agent_messages: None,
            last_output_at: None,
            last_output_seq: 0,
            last_output_stream: None,
            last_output_bytes: 0,
            user_us: None,
            sys_us: None,
            maxrss_kib: None,
            version: 0,
            created_at: now,
            updated_at: now,
        }
    }
}
