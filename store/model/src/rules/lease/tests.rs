use serde_json::json;

use super::*;

const NOW: UnixMillis = UnixMillis(1_000_000);

fn environment(driver: Driver, policy: LeasePolicy) -> EnvironmentRow {
    EnvironmentRow {
        lease_policy: policy,
        config: json!({ "config": { "host": "box-1" } }),
        ..EnvironmentRow::new(EnvironmentId::NIL, 1, CompanyId::NIL, "box-1", driver, NOW)
    }
}

fn lease(of: &EnvironmentRow, status: LeaseStatus) -> LeaseRow {
    LeaseRow {
        provider_lease_id: Some("place-1".into()),
        config: Some(of.driver_config()),
        ..LeaseRow::asked(LeaseId::NIL, 1, of, status, NOW)
    }
}

#[test]
fn each_policy_does_what_it_says_after_each_end() {
    use LeaseEnd::*;
    use LeasePolicy::*;
    let keep = AfterRun::Keep(NOW.plus(5_000));
    for (policy, released, failed, expired) in [
        (Ephemeral, AfterRun::Release, AfterRun::Release, AfterRun::Release),
        (ReuseByEnvironment, keep, keep, AfterRun::Release),
        (ReuseByExecutionWorkspace, keep, keep, AfterRun::Release),
        (RetainOnFailure, AfterRun::Release, keep, AfterRun::Release),
    ] {
        for driver in [Driver::Ssh, Driver::Sandbox, Driver::Plugin] {
            let row = lease(&environment(driver, policy), LeaseStatus::Active);
            for (end, wanted) in [(Released, released), (Failed, failed), (Expired, expired)] {
                assert_eq!(after_run(&row, driver, end, 5_000, NOW), wanted, "{policy} {driver} {end}");
            }
        }
        let here = lease(&environment(Driver::Local, policy), LeaseStatus::Active);
        assert_eq!(after_run(&here, Driver::Local, Failed, 5_000, NOW), AfterRun::Release, "{policy}");
    }
}

#[test]
fn an_operators_wish_goes_before_the_policy() {
    let mut row = lease(&environment(Driver::Ssh, LeasePolicy::Ephemeral), LeaseStatus::Active);
    row.retain_until = Some(NOW.plus(1));
    assert_eq!(after_run(&row, Driver::Ssh, LeaseEnd::Released, 5_000, NOW), AfterRun::Keep(NOW.plus(1)));
    row.retain_until = Some(NOW);
    assert_eq!(after_run(&row, Driver::Ssh, LeaseEnd::Released, 5_000, NOW), AfterRun::Release);
}

#[test]
fn only_what_is_laid_by_with_the_same_settings_is_taken_over() {
    let environment = environment(Driver::Ssh, LeasePolicy::ReuseByEnvironment);
    let kept = lease(&environment, LeaseStatus::Retained);
    assert!(may_resume(&kept, &environment, None));
    let no = |change: fn(&mut LeaseRow)| {
        let mut row = kept.clone();
        change(&mut row);
        assert!(!may_resume(&row, &environment, None), "{row:?}");
    };
    no(|l| l.status = LeaseStatus::Active);
    no(|l| l.status = LeaseStatus::PendingCleanup);
    no(|l| l.deadline_at = Some(NOW));
    no(|l| l.provider_lease_id = None);
    no(|l| l.config = Some(json!({ "host": "box-2" })));
    no(|l| l.config = None);
    no(|l| l.lease_policy = LeasePolicy::RetainOnFailure);
}

#[test]
fn reuse_by_workspace_needs_the_same_workspace() {
    let environment = environment(Driver::Ssh, LeasePolicy::ReuseByExecutionWorkspace);
    let mut kept = lease(&environment, LeaseStatus::Retained);
    let (one, other) = (WorkspaceId(uuid::Uuid::from_u128(1)), WorkspaceId(uuid::Uuid::from_u128(2)));
    kept.execution_workspace_id = Some(one);
    assert!(may_resume(&kept, &environment, Some(one)));
    assert!(!may_resume(&kept, &environment, Some(other)));
    kept.execution_workspace_id = None;
    assert!(!may_resume(&kept, &environment, None), "no workspace is not the same workspace");
}

#[test]
fn a_holder_that_cannot_be_judged_is_renewed_and_no_more() {
    let environment = environment(Driver::Ssh, LeasePolicy::Ephemeral);
    let row = LeaseRow { expires_at: Some(NOW), renew_at: Some(NOW), ..lease(&environment, LeaseStatus::Active) };
    let ended = LeaseRow { renew_at: None, deadline_at: Some(NOW), ..row.clone() };
    assert_eq!(next_look(&ended, &Holder::Unknown("no answer".into())), None);
    assert_eq!(next_look(&row, &Holder::Unknown("no answer".into())), Some(NOW));
    assert_eq!(next_look(&row, &Holder::Live), Some(NOW));
    assert_eq!(next_look(&row, &Holder::Gone), Some(NOW));
}

#[test]
fn clean_up_is_tried_with_growing_pauses_and_then_left_to_the_operator() {
    let pauses: Vec<Option<i64>> = (1..=12).map(|n| next_try(n, NOW).map(|at| (at.0 - NOW.0) / 60_000)).collect();
    let wanted = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60];
    assert_eq!(pauses[..11], wanted.map(Some));
    assert_eq!(pauses[11], None);
}

#[test]
fn an_adapter_that_cannot_run_somewhere_is_refused_in_words() {
    let ssh = environment(Driver::Ssh, LeasePolicy::Ephemeral);
    assert!(check("process", false, &ssh).is_ok());
    let refused = check("process", true, &ssh).unwrap_err();
    assert_eq!(refused.code(), "unsupported_adapter_environment");
    assert!(refused.to_string().contains("terminal"), "{refused}");
    assert_eq!(check("http", false, &ssh).unwrap_err().code(), "unsupported_adapter_environment");
    assert_eq!(check("nobody", false, &ssh).unwrap_err().code(), "unsupported_adapter_environment");
    let mut wrong = ssh;
    wrong.config = json!({ "config": { "hots": "box-1" } });
    let refused = check("process", false, &wrong).unwrap_err();
    assert_eq!(refused.code(), "unsupported_environment");
    assert!(refused.to_string().contains("hots"), "{refused}");
}
