//! Runtime services that runs share, and who uses them.

use serde_json::Value;

use crate::*;

words! {
    /// Where a service is in its life.
    pub enum ServiceStatus {
        Starting = "starting",
        Running = "running",
        Stopping = "stopping",
        Backoff = "backoff",
        Stopped = "stopped",
        Failed = "failed",
    }
}

impl ServiceStatus {
    /// Whether a process of it may live.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Stopping)
    }

    /// Whether it goes on by itself: a process of it may live, or is about to be started again.
    pub const fn is_open(self) -> bool {
        self.is_live() || matches!(self, Self::Backoff)
    }
}

words! {
    /// Whether a service answers.
    pub enum Health { Unknown = "unknown", Healthy = "healthy", Unhealthy = "unhealthy" }
}

words! {
    /// What an operator wants of a service.
    pub enum Desired { Running = "running", Stopped = "stopped", Manual = "manual" }
}

words! {
    /// Whether several runs may use one process of it.
    pub enum Lifecycle { Shared = "shared", Ephemeral = "ephemeral" }
}

words! {
    /// Who shares a service.
    pub enum ReuseScope {
        ProjectWorkspace = "project_workspace",
        ExecutionWorkspace = "execution_workspace",
        Agent = "agent",
        Run = "run",
    }
}

words! {
    /// What happens when the last user leaves.
    pub enum StopPolicy { Manual = "manual", IdleTimeout = "idle_timeout", OnRunFinish = "on_run_finish" }
}

row! {
    /// A runtime service. `generation` rises with each start; `config` is what it was started with. Logs of
    /// its starts up to `log_deleted_generation` were removed.
    entity ServiceRow in "workspace_runtime_services" key id: ServiceId {
        number: i64,
        company_id: CompanyId,
        project_id: ProjectId,
        project_workspace_id: Option<ProjectWorkspaceId>,
        execution_workspace_id: Option<WorkspaceId>,
        issue_id: Option<IssueId>,
        owner_agent_id: Option<AgentId>,
        started_by_run_id: Option<RunId>,
        name: String,
        scope_type: ReuseScope,
        scope_id: String,
        reuse_key: Option<String>,
        lifecycle: Lifecycle,
        status: ServiceStatus,
        health: Health,
        desired: Desired,
        generation: u32,
        command: String,
        cwd: String,
        port: Option<i64>,
        url: Option<String>,
        provider: String,
        stop_policy: StopPolicy,
        idle_ms: Option<i64>,
        grace_ms: i64,
        config: Value,
        process_pid: Option<i32>,
        process_start_ticks: Option<i64>,
        exit_code: Option<i32>,
        signal: Option<String>,
        stop_reason: Option<String>,
        error_code: Option<String>,
        error: Option<String>,
        log_ref: Option<String>,
        log_deleted_generation: Option<u32>,
        log_deleted_at: Option<UnixMillis>,
        log_deleted_reason: Option<String>,
        started_at: Option<UnixMillis>,
        ready_at: Option<UnixMillis>,
        stopped_at: Option<UnixMillis>,
        last_used_at: UnixMillis,
        deadline_at: Option<UnixMillis>,
        idle_deadline_at: Option<UnixMillis>,
        desired_by: Option<String>,
        restarts: i64,
        restart_times: Option<Value>,
        health_evidence: Option<String>,
        health_since: Option<UnixMillis>,
        env_fingerprint: Option<String>,
        waits_for: Option<Value>,
        provider_ref: Option<String>,
    }
}

impl ServiceRow {
    /// One that has never run: a project's own process, shared, started and stopped by hand.
    pub fn new(id: ServiceId, number: i64, project: &ProjectRow, name: &str, now: UnixMillis) -> Self {
        Self {
            id,
            number,
            company_id: project.company_id,
            project_id: project.id,
            project_workspace_id: None,
            execution_workspace_id: None,
            issue_id: None,
            owner_agent_id: None,
            started_by_run_id: None,
            name: name.to_owned(),
            scope_type: ReuseScope::ProjectWorkspace,
            scope_id: project.id.text(),
            reuse_key: None,
            lifecycle: Lifecycle::Shared,
            status: ServiceStatus::Stopped,
            health: Health::Unknown,
            desired: Desired::Manual,
            generation: 0,
            command: String::new(),
            cwd: project.path.clone(),
            port: None,
            url: None,
            provider: "local_process".into(),
            stop_policy: StopPolicy::Manual,
            idle_ms: None,
            grace_ms: 10_000,
            config: Value::Null,
            process_pid: None,
            process_start_ticks: None,
            exit_code: None,
            signal: None,
            stop_reason: None,
            error_code: None,
            error: None,
            log_ref: None,
            log_deleted_generation: None,
            log_deleted_at: None,
            log_deleted_reason: None,
            started_at: None,
            ready_at: None,
            stopped_at: None,
            last_used_at: now,
            deadline_at: None,
            idle_deadline_at: None,
            desired_by: None,
            restarts: 0,
            restart_times: None,
            health_evidence: None,
            health_since: None,
            env_fingerprint: None,
            waits_for: None,
            provider_ref: None,
            version: 0,
            created_at: now,
            updated_at: now,
        }
    }
}

row! {
    /// A run that uses a service.
    append ServiceUserRow in "service_users" {
        service_id: ServiceId,
        run_id: RunId,
        since: UnixMillis,
        reused: bool,
    }
}

row! {
    /// A run that used a service and has left it; the database writes it when the user's row goes.
    append ServicePastUserRow in "service_past_users" {
        service_id: ServiceId,
        run_id: RunId,
        since: UnixMillis,
        reused: bool,
    }
}
