use serde_json::{Value, json};

use super::*;
use crate::rules::test_rows::workspace;
use crate::*;

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
