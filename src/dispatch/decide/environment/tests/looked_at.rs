//! Probes and tests.

use super::*;

#[test]
fn probes_are_kept_with_what_was_probed() {
    let mut bench = bench();
    let row = ssh(&mut bench, "box");
    let checks = || vec![Check::ok("connect", "31 ms"), Check::warn("clock", "3 s ahead", "set it")];
    let asked = bench.ask("environment.probe", "box", json!({}));
    assert_eq!(asked.status, RequestStatus::Accepted);
    let action = bench.action(ActionKind::Probe, &row.id.text()).unwrap();
    bench.fact(Fact::EnvironmentProbed { action, checks: checks(), took_ms: 40 });
    let done = bench.state.requests[&asked.id].clone();
    let result = done.result.unwrap();
    assert_eq!((done.status, &result["ok"], &result["took_ms"]), (RequestStatus::Done, &json!(true), &json!(40)));
    let probe = named(&bench, "box").probe.clone().unwrap();
    assert_eq!((&probe["checks"][1]["level"], &probe["at"]), (&json!("warn"), &json!(bench.now.0)));
    assert_eq!(words(&bench), ["environment.probed"]);
    // Told twice it is the same.
    bench.fact(Fact::EnvironmentProbed { action, checks: vec![], took_ms: 1 });
    assert!(words(&bench).is_empty());

    // One that fails, and one whose settings were changed meanwhile.
    let asked = bench.ask("environment.probe", "box", json!({}));
    bench.ask("environment.update", "box", json!({ "config": { "user": "ops" } }));
    assert_eq!(named(&bench, "box").probe, None);
    let action = bench.action(ActionKind::Probe, &row.id.text()).unwrap();
    let failed = vec![Check::error("connect", "connection refused", "start sshd")];
    bench.fact(Fact::EnvironmentProbed { action, checks: failed, took_ms: 4 });
    let done = &bench.state.requests[&asked.id];
    assert_eq!((done.status, done.error_code.as_deref()), (RequestStatus::Failed, Some("probe_failed")));
    assert_eq!(done.error.as_deref(), Some("connect: connection refused"));
    assert_eq!(done.result.as_ref().unwrap()["checks"][0]["hint"], "start sshd");
    assert_eq!(named(&bench, "box").probe, None);

    // Settings that are not saved.
    let args = json!({ "driver": "ssh", "config": { "host": "elsewhere" } });
    let asked = ask(&mut bench, "environment.probe", args);
    let before = bench.state.environments.len();
    let action = bench.action(ActionKind::Probe, &asked.id.text()).unwrap();
    let job = crate::dispatch::perform::job(&bench.state, &bench.state.actions[&action], None).unwrap();
    let crate::dispatch::perform::Job::Probe(unsaved) = job else { panic!("{job:?}") };
    assert_eq!(unsaved.driver_config()["host"], "elsewhere");
    bench.fact(Fact::EnvironmentProbed { action, checks: checks(), took_ms: 4 });
    assert_eq!(bench.state.requests[&asked.id].status, RequestStatus::Done);
    assert_eq!(
        (words(&bench), bench.state.environments.len()),
        (vec!["environment.probed_unsaved".to_owned()], before)
    );
    let wrong = ask(&mut bench, "environment.probe", json!({ "driver": "ssh", "config": {} }));
    assert_eq!(refusal(&wrong).0, "config_invalid");
}

#[test]
fn a_probe_that_nobody_answers_ends() {
    let mut bench = bench();
    ssh(&mut bench, "box");
    let asked = bench.ask("environment.probe", "box", json!({}));
    bench.wait(60_000);
    assert_eq!(bench.state.requests[&asked.id].status, RequestStatus::Accepted);
    bench.wait(61_000);
    assert_eq!(bench.state.requests[&asked.id].error_code.as_deref(), Some("probe_failed"));
    assert!(bench.state.actions.values().all(|a| a.kind != ActionKind::Probe || a.status == ActionStatus::Superseded));
}

/// Asks for a test of `plain` in Local, and has its place granted.
fn testing(bench: &mut Bench) -> (RequestRow, LeaseId, ActionId) {
    let asked = bench.ask("environment.test", "Local", json!({ "agent": "plain" }));
    let result = asked.result.clone().unwrap_or_else(|| panic!("{asked:?}"));
    let lease: LeaseId = result["lease_id"].as_str().unwrap().parse().unwrap();
    let action = bench.action(ActionKind::AcquireLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseAcquired {
        action,
        lease,
        provider: "local".into(),
        provider_lease_id: None,
        expires_at: None,
        facts: Value::Null,
        resumed: false,
    });
    let action = bench.action(ActionKind::TestEnvironment, &lease.text()).unwrap();
    (asked, lease, action)
}

#[test]
fn a_test_always_gives_its_place_back() {
    let mut bench = bench();
    for (checks, status, code) in [
        (vec![Check::ok("adapter", "2.1.4")], RequestStatus::Done, None),
        (
            vec![Check::error("command_not_found", "no agent", "install it")],
            RequestStatus::Failed,
            Some("command_not_found"),
        ),
        (vec![Check::error("login", "not logged in", "log in")], RequestStatus::Failed, Some("adapter_failed")),
    ] {
        let (asked, lease, action) = testing(&mut bench);
        let job = crate::dispatch::perform::job(&bench.state, &bench.state.actions[&action], None).unwrap();
        assert!(matches!(job, crate::dispatch::perform::Job::Test(_, Some(agent)) if agent.name == "plain"));
        bench.fact(Fact::EnvironmentTested { action, lease, checks, took_ms: 9 });
        let done = &bench.state.requests[&asked.id];
        assert_eq!((done.status, done.error_code.as_deref()), (status, code));
        assert_eq!(done.result.as_ref().unwrap()["took_ms"], 9);
        assert_eq!(bench.state.leases[&lease].status, LeaseStatus::Releasing);
    }
    // Refused, and never answered.
    let asked = bench.ask("environment.test", "Local", json!({ "adapter": "process" }));
    let lease: LeaseId = asked.result.unwrap()["lease_id"].as_str().unwrap().parse().unwrap();
    let action = bench.action(ActionKind::AcquireLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseRefused { action, lease, code: "lease_acquire_failed".into(), message: "full".into() });
    let done = &bench.state.requests[&asked.id];
    assert_eq!((done.error_code.as_deref(), done.error.as_deref()), (Some("lease_acquire_failed"), Some("full")));
    let (asked, lease, _) = testing(&mut bench);
    bench.wait(16 * 60_000);
    assert_eq!(bench.state.requests[&asked.id].error_code.as_deref(), Some("timeout"));
    assert_eq!(bench.state.leases[&lease].status, LeaseStatus::Releasing);
    for (args, code) in [
        (json!({}), "agent_not_found"),
        (json!({ "agent": "nobody" }), "agent_not_found"),
        (json!({ "adapter": "telepathy" }), "unsupported_adapter_environment"),
    ] {
        assert_eq!(refusal(&bench.ask("environment.test", "Local", args)).0, code);
    }
    ssh(&mut bench, "box");
    bench.ask("environment.archive", "box", json!({}));
    assert_eq!(refusal(&bench.ask("environment.test", "box", json!({ "agent": "plain" }))).0, "environment_inactive");
}
