//! Execution workspaces: where runs work, and the operations that prepare them.

use serde_json::Value;

use crate::*;

words! {
    /// How a workspace relates to the project's checkout.
    pub enum WorkspaceMode {
        SharedWorkspace = "shared_workspace",
        IsolatedWorkspace = "isolated_workspace",
        OperatorBranch = "operator_branch",
        AdapterManaged = "adapter_managed",
        CloudSandbox = "cloud_sandbox",
    }
}

impl From<crate::config::WorkspaceMode> for WorkspaceMode {
    fn from(configured: crate::config::WorkspaceMode) -> Self {
        use crate::config::WorkspaceMode as Configured;
        match configured {
            Configured::Isolated => Self::IsolatedWorkspace,
            Configured::Shared => Self::SharedWorkspace,
            Configured::OperatorBranch => Self::OperatorBranch,
            // The agent's own home is the adapter's.
            Configured::AgentDefault => Self::AdapterManaged,
        }
    }
}

words! {
    /// How a workspace is made.
    pub enum WorkspaceStrategy {
        ProjectPrimary = "project_primary",
        GitWorktree = "git_worktree",
        AdapterManaged = "adapter_managed",
        CloudSandbox = "cloud_sandbox",
    }
}

words! {
    /// Where a workspace is in its life.
    pub enum WorkspaceStatus {
        Realising = "realising",
        Active = "active",
        Idle = "idle",
        InReview = "in_review",
        Archiving = "archiving",
        Archived = "archived",
        CleanupFailed = "cleanup_failed",
        Failed = "failed",
        Missing = "missing",
    }
}

row! {
    /// One workspace; reused by many runs, never one row a run.
    entity WorkspaceRow in "execution_workspaces" key id: WorkspaceId {
        number: i64,
        company_id: CompanyId,
        project_id: ProjectId,
        project_workspace_id: Option<ProjectWorkspaceId>,
        source_issue_id: Option<IssueId>,
        derived_from_execution_workspace_id: Option<WorkspaceId>,
        mode: WorkspaceMode,
        strategy_type: WorkspaceStrategy,
        name: String,
        status: WorkspaceStatus,
        cwd: Option<String>,
        repo_root: Option<String>,
        repo_url: Option<String>,
        base_ref: Option<String>,
        base_commit: Option<String>,
        branch_name: Option<String>,
        provider_type: String,
        provider_ref: Option<String>,
        created_by_runtime: bool,
        branch_created_by_runtime: bool,
        environment_id: Option<EnvironmentId>,
        last_used_at: UnixMillis,
        deadline_at: Option<UnixMillis>,
        closed_at: Option<UnixMillis>,
        cleanup_eligible_at: Option<UnixMillis>,
        failure_reason: Option<String>,
        metadata: Option<Value>,
        config: Option<Value>,
        source: Option<WorkspaceSource>,
        trash_path: Option<String>,
        trash_until: Option<UnixMillis>,
        trash_bytes: Option<i64>,
        trash_more: Option<Value>,
    }
}

words! {
    /// How the directory of a workspace was found. All but the first are said to the operator: they stand in for it.
    pub enum WorkspaceSource {
        /// The project's own checkout, or a worktree of it.
        ProjectWorkspace = "project_workspace",
        /// A clone that wharf made of the project's repository URL.
        ManagedClone = "managed_clone",
        /// The directory of the agent's last session.
        TaskSession = "task_session",
        /// The agent's own home.
        AgentHome = "agent_home",
    }
}

words! {
    /// Whether what a snapshot keeps is still there.
    pub enum SnapshotStatus { Kept = "kept", Removed = "removed" }
}

row! {
    /// The state of a workspace at a moment, as a commit under a private ref. `ordinal` counts within the workspace: `W-7.2`.
    entity SnapshotRow in "workspace_snapshots" key id: SnapshotId {
        workspace_id: WorkspaceId,
        company_id: CompanyId,
        project_id: ProjectId,
        run_id: Option<RunId>,
        ordinal: i64,
        status: SnapshotStatus,
        reason: String,
        ref_name: String,
        commit_id: String,
        head_commit: Option<String>,
        branch_name: Option<String>,
        files: i64,
        bytes: i64,
        metadata: Option<Value>,
        expires_at: Option<UnixMillis>,
        restored_at: Option<UnixMillis>,
        removed_at: Option<UnixMillis>,
    }
}

words! {
    /// What an operation is for.
    pub enum OperationPhase {
        WorktreePrepare = "worktree_prepare",
        WorkspaceProvision = "workspace_provision",
        WorkspaceTeardown = "workspace_teardown",
        WorktreeCleanup = "worktree_cleanup",
        WorkspaceJob = "workspace_job",
        WorkspaceSnapshot = "workspace_snapshot",
        WorkspaceRestore = "workspace_restore",
        WorkspaceClone = "workspace_clone",
        TrashEmptying = "trash_emptying",
        ServicePrestart = "service_prestart",
    }
}

words! {
    /// How an operation went.
    pub enum OperationStatus {
        Running = "running",
        Succeeded = "succeeded",
        Failed = "failed",
        Skipped = "skipped",
        Lost = "lost",
    }
}

#[expect(clippy::derivable_impls, reason = "the macro that declares the words derives no default")]
impl Default for OperationStatus {
    fn default() -> Self {
        Self::Running
    }
}

row! {
    /// One recorded operation on a workspace; its output is a framed log like a run's.
    entity OperationRow in "workspace_operations" key id: OperationId {
        number: i64,
        company_id: CompanyId,
        project_id: ProjectId,
        execution_workspace_id: Option<WorkspaceId>,
        run_id: Option<RunId>,
        phase: OperationPhase,
        command: Option<String>,
        cwd: Option<String>,
        status: OperationStatus,
        attempt: u32,
        exit_code: Option<i32>,
        signal: Option<String>,
        error: Option<String>,
        log_ref: Option<String>,
        log_deleted_at: Option<UnixMillis>,
        log_deleted_reason: Option<String>,
        stdout_excerpt: Option<String>,
        stderr_excerpt: Option<String>,
        metadata: Option<Value>,
        started_at: UnixMillis,
        finished_at: Option<UnixMillis>,
        deadline_at: Option<UnixMillis>,
    }
}
