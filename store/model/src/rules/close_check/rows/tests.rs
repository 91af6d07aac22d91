use serde_json::{Value, json};

use super::*;
use crate::*;

fn workspace() -> WorkspaceRow {
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
        version: 4,
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
    }
}

fn rows(own: Value, project: Value) -> CloseRows {
    let mut row = workspace();
    row.config = Some(own);
    CloseRows {
        workspace: row,
        project: ProjectRow {
            id: ProjectId::NIL,
            company_id: CompanyId::NIL,
            key: "SHOP".into(),
            name: "shop".into(),
            path: "/shop".into(),
            git_common_dir: None,
            issue_counter: 0,
            config_hash: None,
            config: Some(json!({ "workspace": project })),
            accepted_executable_hash: None,
            accepted_by: None,
            accepted_at: None,
            pending_executable_hash: None,
            pending_config: None,
            default_environment: None,
            removed_at: None,
            version: 1,
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
        },
        environment: None,
        issues: vec![],
        runs: vec![],
        services: vec![],
        operations: vec![],
        leases: vec![],
        last_snapshot: 2,
        under_way: vec![],
    }
}

fn project(more: Value) -> Value {
    let mut base = serde_json::to_value(WorkspaceConfig::default()).unwrap();
    for (key, value) in more.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

#[test]
fn commands_run_in_their_order_and_none_twice() {
    use OperationPhase::{WorkspaceTeardown as Down, WorktreeCleanup as Clean};
    let all = project(json!({ "cleanup": "make clean", "teardown": ["./down", "all now"], "timeout_ms": 5000 }));
    let shown = |rows: &CloseRows| {
        rows.commands().into_iter().map(|c| (c.phase, c.command.shown(), c.limit_ms)).collect::<Vec<_>>()
    };
    assert_eq!(
        shown(&rows(json!({ "cleanup": "rm -rf tmp" }), all.clone())),
        [
            (Clean, "rm -rf tmp".to_owned(), 5000),
            (Clean, "make clean".to_owned(), 5000),
            (Down, "./down 'all now'".to_owned(), 5000)
        ]
    );
    // The same as the project's runs once, and its own teardown stands in for the project's.
    assert_eq!(
        shown(&rows(json!({ "cleanup": "make clean", "teardown": "./mine" }), all)),
        [(Clean, "make clean".to_owned(), 5000), (Down, "./mine".to_owned(), 5000)]
    );
    // A command without a limit of its own does not wait for ever.
    assert_eq!(
        shown(&rows(json!({}), project(json!({ "teardown": "x", "timeout_ms": null })))),
        [(Down, "x".to_owned(), COMMAND_MS)]
    );
    assert!(shown(&rows(json!({}), project(json!({})))).is_empty());
}

#[test]
fn the_plan_says_until_when_all_is_kept() {
    let one = rows(json!({}), project(json!({ "teardown": "x" })));
    let retention = Retention { run_logs_ms: None, snapshots_ms: Some(100), workspaces_after_close_ms: None };
    let plan = one.plan(&retention, UnixMillis(5));
    assert_eq!((plan.snapshot.as_str(), plan.snapshot_until, plan.trash_until), ("W-7.3", Some(UnixMillis(105)), None));
    assert!(plan.is_worktree && plan.branch_is_ours && plan.not_run.is_none());
}

#[test]
fn a_directory_belongs_to_a_workspace_only_below_its_root() {
    let row = workspace();
    let inside = |cwd: &str| {
        let root = root(&row).unwrap();
        cwd.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    assert!(inside("/shop/.wharf/worktrees/SHOP-16/web"));
    assert!(!inside("/shop/.wharf/worktrees/SHOP-160"));
    assert!(!inside("/shop"));
}

#[test]
fn only_what_is_at_rest_can_be_archived() {
    use WorkspaceStatus::*;
    for (status, can) in [
        (Idle, true),
        (InReview, true),
        (Failed, true),
        (CleanupFailed, true),
        (Missing, true),
        (Active, true),
        (Realising, false),
        (Archiving, false),
        (Archived, false),
    ] {
        let mut one = rows(json!({}), project(json!({})));
        one.workspace.status = status;
        assert_eq!(one.not_archivable().is_none(), can, "{status}");
    }
}
