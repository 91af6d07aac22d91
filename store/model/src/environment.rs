//! Environments and the leases runs hold on them.

use serde_json::Value;

use crate::*;

words! {
    /// How an environment is reached.
    pub enum Driver { Local = "local", Ssh = "ssh", Sandbox = "sandbox", Plugin = "plugin" }
}

words! {
    /// Whether an environment may be leased. A deleted one stays for the rows that name it; its name is free.
    pub enum EnvironmentStatus { Active = "active", Archived = "archived", Deleted = "deleted" }
}

words! {
    /// How long what a lease got is kept.
    pub enum LeasePolicy {
        Ephemeral = "ephemeral",
        ReuseByEnvironment = "reuse_by_environment",
        ReuseByExecutionWorkspace = "reuse_by_execution_workspace",
        RetainOnFailure = "retain_on_failure",
    }
}

words! {
    /// Where a lease is in its life.
    pub enum LeaseStatus {
        Waiting = "waiting",
        Acquiring = "acquiring",
        Active = "active",
        Releasing = "releasing",
        Retained = "retained",
        PendingCleanup = "pending_cleanup",
        Released = "released",
        Expired = "expired",
        Failed = "failed",
    }
}

impl LeaseStatus {
    /// Whether this state is never left.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Released | Self::Expired | Self::Failed)
    }
}

words! {
    /// Decides the terminal state of a lease.
    pub enum LeaseEnd { Released = "released", Failed = "failed", Expired = "expired" }
}

words! {
    /// Whether the provider's side was cleaned up; absent until it was tried.
    pub enum CleanupStatus { Pending = "pending", Success = "success", Failed = "failed" }
}

row! {
    /// An environment. Every company has one of driver local, named `Local`.
    entity EnvironmentRow in "environments" key id: EnvironmentId {
        number: i64,
        company_id: CompanyId,
        name: String,
        description: Option<String>,
        origin: Origin,
        driver: Driver,
        status: EnvironmentStatus,
        lease_policy: LeasePolicy,
        slots: Option<i64>,
        ttl_ms: i64,
        fence_counter: i64,
        config: Value,
        metadata: Option<Value>,
        keep_ms: i64,
        probe: Option<Value>,
    }
}

row! {
    /// A lease: who holds an environment, since when, until when.
    entity LeaseRow in "environment_leases" key id: LeaseId {
        number: i64,
        company_id: CompanyId,
        environment_id: EnvironmentId,
        run_id: Option<RunId>,
        issue_id: Option<IssueId>,
        execution_workspace_id: Option<WorkspaceId>,
        status: LeaseStatus,
        lease_policy: LeasePolicy,
        fence: Option<i64>,
        provider: String,
        provider_lease_id: Option<String>,
        acquired_at: Option<UnixMillis>,
        last_used_at: Option<UnixMillis>,
        expires_at: Option<UnixMillis>,
        deadline_at: Option<UnixMillis>,
        released_at: Option<UnixMillis>,
        end_reason: Option<LeaseEnd>,
        failure_reason: Option<String>,
        cleanup_status: Option<CleanupStatus>,
        cleanup_attempts: i64,
        next_try_at: Option<UnixMillis>,
        metadata: Option<Value>,
        config: Option<Value>,
        renew_at: Option<UnixMillis>,
        retain_until: Option<UnixMillis>,
        resumed_from: Option<LeaseId>,
        request_id: Option<RequestId>,
        queue: Option<Value>,
        realisation: Option<Value>,
        cleanup_error: Option<String>,
        destroying: bool,
    }
}

impl EnvironmentRow {
    /// An environment as nobody has changed it yet: active, ephemeral, without a limit of leases.
    pub fn new(
        id: EnvironmentId,
        number: i64,
        company: CompanyId,
        name: impl Into<String>,
        driver: Driver,
        now: UnixMillis,
    ) -> Self {
        Self {
            id,
            number,
            company_id: company,
            name: name.into(),
            description: None,
            origin: Origin::Manual,
            driver,
            status: EnvironmentStatus::Active,
            lease_policy: LeasePolicy::Ephemeral,
            slots: None,
            ttl_ms: 10 * 60_000,
            fence_counter: 0,
            config: Value::Object(serde_json::Map::new()),
            metadata: None,
            keep_ms: 24 * 60 * 60_000,
            probe: None,
            version: 0,
            created_at: now,
            updated_at: now,
        }
    }

    /// The settings of its driver: the table `config` of what the row keeps, whose other members say where
    /// they come from.
    pub fn driver_config(&self) -> Value {
        self.config.get("config").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()))
    }

    /// The project whose file it stands in; none when it was made by hand.
    pub fn config_project(&self) -> Option<ProjectId> {
        self.config.get("project")?.as_str()?.parse().ok()
    }

    /// Whether it goes away once what its leases hold was cleaned up.
    pub fn is_being_deleted(&self) -> bool {
        self.status == EnvironmentStatus::Archived
            && self.metadata.as_ref().is_some_and(|m| m.get("deleting").is_some())
    }
}

impl LeaseRow {
    /// A lease that is asked for, as nobody has answered yet: for nobody, by the environment's policy.
    pub fn asked(id: LeaseId, number: i64, environment: &EnvironmentRow, status: LeaseStatus, now: UnixMillis) -> Self {
        Self {
            id,
            number,
            company_id: environment.company_id,
            environment_id: environment.id,
            run_id: None,
            issue_id: None,
            execution_workspace_id: None,
            status,
            lease_policy: environment.lease_policy,
            fence: None,
            provider: environment.driver.as_str().to_owned(),
            provider_lease_id: None,
            acquired_at: None,
            last_used_at: None,
            expires_at: None,
            deadline_at: None,
            released_at: None,
            end_reason: None,
            failure_reason: None,
            cleanup_status: None,
            cleanup_attempts: 0,
            next_try_at: None,
            metadata: None,
            config: None,
            renew_at: None,
            retain_until: None,
            resumed_from: None,
            request_id: None,
            queue: None,
            realisation: None,
            cleanup_error: None,
            destroying: false,
            version: 0,
            created_at: now,
            updated_at: now,
        }
    }
}
