//! Stopping a job that runs.

use wharf_model::rules::running_job;

use super::*;

fn running() -> (Bench, WorkspaceId, OperationId) {
    let (mut bench, id) = idle();
    let row = job(&mut bench, id, "migrate");
    let operation = row.result.unwrap()["operation_id"].as_str().unwrap().parse().unwrap();
    (bench, id, operation)
}

fn stop(bench: &mut Bench, id: WorkspaceId, args: Value) -> RequestRow {
    ask(bench, "workspace.stop_job", id, args, Prepared::Nothing)
}

fn order(bench: &Bench, operation: OperationId) -> Option<Value> {
    let action = bench.action(ActionKind::StopShim, &operation.text())?;
    bench.state.actions[&action].args.clone()
}

fn ends(bench: &mut Bench, operation: OperationId, end: OperationEnd) {
    bench.fact(Fact::OperationEnded { operation, end });
}

#[test]
fn its_shim_is_asked_with_a_grace_and_its_operation_says_who_did() {
    let (mut bench, id, operation) = running();
    let row = stop(&mut bench, id, json!({ "job": "migrate" }));
    assert_eq!(row.status, RequestStatus::Accepted, "{:?}", row.error);
    let ordered = order(&bench, operation).unwrap();
    assert_eq!(
        (&ordered["reason"], &ordered["grace_ms"], &ordered["force"]),
        (&json!("operator"), &json!(5_000), &json!(false))
    );
    assert_eq!(bench.state.operations[&operation].status, OperationStatus::Running, "until that is seen");
    assert!(archive(&mut bench, id).error.unwrap().contains("job"), "it still works there");
    let end = OperationEnd {
        status: OperationStatus::Failed,
        signal: Some("SIGTERM".into()),
        error: Some("stopped (operator)".into()),
        stopped: true,
        ..OperationEnd::default()
    };
    ends(&mut bench, operation, end);
    let ended = &bench.state.operations[&operation];
    assert_eq!((ended.status, ended.error.as_deref()), (OperationStatus::Failed, Some("stopped by mo")));
    assert_eq!(bench.state.requests[&row.id].status, RequestStatus::Done);
    assert_eq!(order(&bench, operation), None, "nobody gives the order any more");
}

#[test]
fn a_stop_that_came_too_late_changes_nothing() {
    let (mut bench, id, operation) = running();
    stop(&mut bench, id, json!({}));
    ends(
        &mut bench,
        operation,
        OperationEnd { status: OperationStatus::Succeeded, exit_code: Some(0), ..OperationEnd::default() },
    );
    let ended = &bench.state.operations[&operation];
    assert_eq!((ended.status, ended.error.clone()), (OperationStatus::Succeeded, None));
    let late = stop(&mut bench, id, json!({ "job": "migrate" }));
    assert_eq!(late.error_code.as_deref(), Some("illegal_state"));
    assert!(late.error.unwrap().contains("migrate does not run in W-1"));
}

#[test]
fn what_is_stopped_is_what_was_seen() {
    let (mut bench, id, operation) = running();
    for (args, refused) in [
        (json!({ "job": "other" }), true),
        (json!({ "operation": RunId(uuid::Uuid::from_u128(9)).text() }), true),
        (json!({ "operation": operation.text(), "job": "migrate" }), false),
    ] {
        let row = stop(&mut bench, id, args.clone());
        assert_eq!(row.status == RequestStatus::Refused, refused, "{args}");
    }
    let row = bench.request("workspace.stop_job", |r| {
        r.target_id = Some(id.text());
        r.expect = Some(json!([{ "id": operation.text(), "version": 1 }]));
    });
    bench.decide(&Input::Request(Box::new(row.clone()), Prepared::Nothing));
    assert_eq!(bench.state.requests[&row.id].error_code.as_deref(), Some("changed_since_preview"));
}

#[test]
fn asked_again_the_grace_is_shortened_and_never_lengthened() {
    let (mut bench, id, operation) = running();
    for (asked, stands) in [(10_000, 10_000), (60_000, 10_000), (1_000, 1_000)] {
        let row = stop(&mut bench, id, json!({ "grace_ms": asked }));
        assert_eq!(row.result.unwrap()["grace_ms"], json!(stands));
        assert_eq!(order(&bench, operation).unwrap()["grace_ms"], json!(stands));
        let open = bench
            .state
            .actions
            .values()
            .filter(|a| a.entity_id == operation.text() && a.status == ActionStatus::Performing);
        assert_eq!(open.count(), 1, "one order at a time");
    }
}

#[test]
fn one_that_does_not_listen_is_ended_by_force_and_then_given_up() {
    let (mut bench, id, operation) = running();
    let row = stop(&mut bench, id, json!({ "grace_ms": 2_000 }));
    bench.wait(2_000 + 14_999);
    assert_eq!(order(&bench, operation).unwrap()["force"], json!(false));
    bench.wait(1);
    assert_eq!(order(&bench, operation).unwrap()["force"], json!(true));
    stop(&mut bench, id, json!({ "grace_ms": 0 }));
    assert_eq!(order(&bench, operation).unwrap()["force"], json!(true), "nothing brings the force off");
    bench.wait(15_000);
    let ended = &bench.state.operations[&operation];
    assert_eq!(
        (ended.status, ended.error.as_deref()),
        (OperationStatus::Failed, Some("its end has not been seen in time"))
    );
    let answer = &bench.state.requests[&row.id];
    assert_eq!((answer.status, answer.error_code.as_deref()), (RequestStatus::Failed, Some("process_lost")));
}

#[test]
fn a_stop_stands_in_its_row_over_the_end_of_the_reign() {
    let (mut bench, id, operation) = running();
    stop(&mut bench, id, json!({}));
    bench.decide(&Input::Begin);
    let row = &bench.state.operations[&operation];
    assert_eq!(running_job::stop_asked(row).map(|s| (s.by, s.force)), Some(("mo".to_owned(), false)));
    assert!(order(&bench, operation).is_some() && bench.action(ActionKind::RunJob, &id.text()).is_some());
}
