//! Requests (what is asked), actions (what is intended) and activity (what was changed, by whom).

use serde_json::Value;

use crate::*;

words! {
    /// Who acts.
    pub enum ActorType { Operator = "operator", Agent = "agent", System = "system" }
}

words! {
    /// Where a request comes from.
    pub enum RequestOrigin { Console = "console", Cli = "cli", Agent = "agent", Timer = "timer" }
}

words! {
    /// Where a request is in its life.
    pub enum RequestStatus {
        Pending = "pending",
        Accepted = "accepted",
        Done = "done",
        Failed = "failed",
        Refused = "refused",
        Expired = "expired",
    }
}

impl RequestStatus {
    /// Whether an answer has been given that stays.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Accepted)
    }
}

words! {
    /// Requests that this program carries out; others are refused by name.
    pub enum RequestKind {
        RunStart = "run.start",
        RunCancel = "run.cancel",
        RunResolve = "run.resolve",
        LeaseRelease = "lease.release",
        LeaseDestroy = "lease.destroy",
        LeaseExtend = "lease.extend",
        LeaseRetain = "lease.retain",
        LeaseRetryCleanup = "lease.retry_cleanup",
        LeaseShell = "lease.shell",
        EnvironmentCreate = "environment.create",
        EnvironmentUpdate = "environment.update",
        EnvironmentArchive = "environment.archive",
        EnvironmentRestore = "environment.restore",
        EnvironmentDelete = "environment.delete",
        EnvironmentProbe = "environment.probe",
        EnvironmentTest = "environment.test",
        ServiceStart = "service.start",
        ServiceStop = "service.stop",
        ServiceRestart = "service.restart",
        ServiceSetDesired = "service.set_desired",
        WorkspaceArchive = "workspace.archive",
        WorkspaceSnapshot = "workspace.snapshot",
        WorkspaceRestore = "workspace.restore",
        WorkspaceRunJob = "workspace.run_job",
        WorkspaceStopJob = "workspace.stop_job",
        WorkspaceReap = "workspace.reap",
        AgentResetSession = "agent.reset_session",
        IssueCreate = "issue.create",
        IssueUpdate = "issue.update",
        IssueComment = "issue.comment",
        ProjectAdd = "project.add",
        ConfigAccept = "config.accept",
        StoreBackup = "store.backup",
        GcRun = "gc.run",
        OrchestratorStop = "orchestrator.stop",
        AgentComment = "agent.comment",
        AgentNextAction = "agent.next_action",
        AgentReportService = "agent.report_service",
        AgentSession = "agent.session",
    }
}

row! {
    /// A request. `kind` stays text, so that a newer program's request is refused, not misread.
    entity RequestRow in "requests" key id: RequestId {
        number: i64,
        kind: String,
        target_type: Option<String>,
        target_id: Option<String>,
        args: Value,
        expect: Option<Value>,
        actor_type: ActorType,
        actor_id: String,
        origin: RequestOrigin,
        idempotency_key: Option<String>,
        status: RequestStatus,
        expires_at: UnixMillis,
        answered_at: Option<UnixMillis>,
        finished_at: Option<UnixMillis>,
        result: Option<Value>,
        error_code: Option<String>,
        error: Option<String>,
    }
}

words! {
    /// Effects outside the store.
    pub enum ActionKind {
        SpawnShim = "spawn_shim",
        StopShim = "stop_shim",
        AcquireLease = "acquire_lease",
        ReleaseLease = "release_lease",
        DestroyLease = "destroy_lease",
        ExtendLease = "extend_lease",
        ObserveLease = "observe_lease",
        Probe = "probe",
        TestEnvironment = "test_environment",
        RealiseWorkspace = "realise_workspace",
        RemoveWorkspace = "remove_workspace",
        SnapshotWorkspace = "snapshot_workspace",
        RestoreWorkspace = "restore_workspace",
        RunJob = "run_job",
        EmptyTrash = "empty_trash",
        StartService = "start_service",
        SealLog = "seal_log",
        BackupStore = "backup_store",
        DeleteLog = "delete_log",
    }
}

words! {
    /// Where an action is.
    pub enum ActionStatus {
        Pending = "pending",
        Performing = "performing",
        Done = "done",
        Failed = "failed",
        Superseded = "superseded",
    }
}

row! {
    /// An intended effect, committed before it is performed; this table is the outbox.
    entity ActionRow in "actions" key id: ActionId {
        kind: ActionKind,
        entity_type: String,
        entity_id: String,
        attempt: u32,
        fence: Option<i64>,
        epoch_created: i64,
        status: ActionStatus,
        tries: i64,
        next_try_at: Option<UnixMillis>,
        last_error: Option<String>,
        args: Option<Value>,
    }
}

row! {
    /// A row of the audit trail; only added, never changed.
    append ActivityRow in "activity" {
        id: ActivityId,
        company_id: CompanyId,
        project_id: Option<ProjectId>,
        actor_type: ActorType,
        actor_id: String,
        action: String,
        entity_type: String,
        entity_id: String,
        entity_number: Option<String>,
        run_id: Option<RunId>,
        agent_id: Option<AgentId>,
        details: Option<Value>,
        created_at: UnixMillis,
    }
}
