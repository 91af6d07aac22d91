//! Rows for the tests of rules.

use uuid::Uuid;

use crate::*;

/// A service of a project that has never run.
pub(super) fn service() -> ServiceRow {
    let zero = UnixMillis(0);
    let project = ProjectRow {
        id: ProjectId(Uuid::from_u128(2)),
        company_id: CompanyId(Uuid::from_u128(1)),
        key: "SHOP".into(),
        name: "shop".into(),
        path: "/shop".into(),
        git_common_dir: None,
        issue_counter: 0,
        config_hash: None,
        config: None,
        accepted_executable_hash: None,
        accepted_by: None,
        accepted_at: None,
        pending_executable_hash: None,
        pending_config: None,
        default_environment: None,
        removed_at: None,
        version: 1,
        created_at: zero,
        updated_at: zero,
    };
    ServiceRow { version: 3, ..ServiceRow::new(ServiceId(Uuid::from_u128(3)), 1, &project, "db", zero) }
}

/// A worktree that nobody works in.
pub(super) fn workspace() -> WorkspaceRow {
    WorkspaceRow {
        id: WorkspaceId::NIL,
        number: 7,
        company_id: CompanyId::NIL,
        project_id: ProjectId::NIL,
        project_workspace_id: None,
        source_issue_id: None,
        derived_from_execution_workspace_id: None,
        mode: WorkspaceMode::IsolatedWorkspace,
        strategy_type: WorkspaceStrategy::GitWorktree,
        name: "SHOP-16".into(),
        status: WorkspaceStatus::Idle,
        cwd: Some("/shop/.wharf/worktrees/SHOP-16/app".into()),
        repo_root: Some("/shop".into()),
        repo_url: None,
        base_ref: Some("main".into()),
        base_commit: None,
        branch_name: Some("SHOP-16".into()),
        provider_type: "git_worktree".into(),
        provider_ref: Some("/shop/.wharf/worktrees/SHOP-16".into()),
        created_by_runtime: true,
        branch_created_by_runtime: true,
        environment_id: None,
        last_used_at: UnixMillis(0),
        deadline_at: None,
        closed_at: None,
        cleanup_eligible_at: None,
        failure_reason: None,
        metadata: None,
        config: None,
        source: None,
        trash_path: None,
        trash_until: None,
        trash_bytes: None,
        trash_more: None,
        version: 4,
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
    }
}
