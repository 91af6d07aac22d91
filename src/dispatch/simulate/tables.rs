//! The decisions of contracts 5, row by row.

use serde_json::{Value, json};
use wharf_model::rules::release::{self, AfterLastUser, after_last_user};
use wharf_model::shim::{EndedBy, SpawnError};
use wharf_model::state::Change;
use wharf_model::*;

use super::bench::{Bench, exit};
use super::setup;
use crate::dispatch::decide::release::facts;
use crate::dispatch::input::{Fact, Input, Prepared, RunOutput};

fn verdict(bench: &Bench, run: RunId) -> (RunStatus, Option<&str>) {
    (bench.status(run), bench.run(run).error_code.as_deref())
}

#[test]
fn outcome_of_an_exit_frame() {
    use EndedBy::*;
    use RunStatus::*;
    let table = [
        ("code 0", exit(Some(0), None, Itself, None), Succeeded, None),
        ("another code", exit(Some(3), None, Itself, None), Failed, Some("adapter_failed")),
        ("killed by a signal", exit(None, Some("SIGKILL"), Itself, None), Failed, Some("adapter_failed")),
        ("neither code nor signal", exit(None, None, Itself, None), Failed, Some("internal")),
        ("stopped by the operator", exit(Some(0), None, Stop, Some(("operator", true))), Cancelled, Some("cancelled")),
        ("paused", exit(None, Some("SIGTERM"), Stop, Some(("pause", true))), Cancelled, Some("cancelled")),
        ("over its budget", exit(Some(1), None, Stop, Some(("budget", true))), Cancelled, Some("cancelled")),
        ("shut down", exit(Some(0), None, Stop, Some(("shutdown", true))), Cancelled, Some("cancelled")),
        ("left alone", exit(None, Some("SIGTERM"), Orphan, Some(("orphan", true))), Cancelled, Some("cancelled")),
        ("out of time", exit(Some(0), None, Timeout, Some(("timeout", true))), TimedOut, Some("timeout")),
        (
            "asked to stop for time",
            exit(None, Some("SIGKILL"), Stop, Some(("timeout", true))),
            TimedOut,
            Some("timeout"),
        ),
        ("log full", exit(None, Some("SIGTERM"), Quota, Some(("quota", true))), Failed, Some("log_quota")),
        ("ended before the stop", exit(Some(0), None, Itself, Some(("operator", false))), Succeeded, None),
        (
            "failed before the stop",
            exit(Some(2), None, Itself, Some(("operator", false))),
            Failed,
            Some("adapter_failed"),
        ),
    ];
    for (name, frame, status, code) in table {
        for asked in [false, true] {
            let mut bench = Bench::new(4);
            let run = bench.executing("plain", None);
            if asked {
                bench.ask("run.cancel", &run.text(), json!({}));
            }
            bench.ends(run, frame.clone());
            assert_eq!(verdict(&bench, run), (status, code), "{name}, a stop asked: {asked}");
            assert_eq!(bench.run(run).exit_code, frame.code, "{name}");
            let released = if matches!(status, Failed | TimedOut) { LeaseEnd::Failed } else { LeaseEnd::Released };
            assert_eq!(bench.lease(run).end_reason, Some(released), "{name}");
        }
    }
}

#[test]
fn an_end_that_may_not_be_durable_is_said_to_be_so() {
    for failed in [false, true] {
        let mut bench = Bench::new(4);
        let run = bench.executing("plain", None);
        let mut frame = exit(Some(0), None, EndedBy::Itself, None);
        frame.sync_failed = failed.then(|| "Input/output error".to_owned());
        bench.ends(run, frame);
        assert_eq!(bench.status(run), RunStatus::Succeeded);
        let tells = |e: &RunEventRow| e.level == "error" && e.message.contains("Input/output error");
        let said = bench.changes.iter().any(|c| matches!(c, Change::Event(e) if tells(e)));
        assert_eq!(said, failed);
    }
}

#[test]
fn outcome_without_a_process() {
    for (asked, status, code) in [(false, RunStatus::Failed, "cwd_missing"), (true, RunStatus::Cancelled, "cancelled")]
    {
        let mut bench = Bench::new(4);
        let run = bench.executing("plain", None);
        if asked {
            bench.ask("run.cancel", &run.text(), json!({}));
        }
        let action = bench.action(ActionKind::SpawnShim, &run.text()).unwrap();
        let message = "no such directory".to_owned();
        bench.fact(Fact::RunNotStarted { action, run, attempt: 1, code: "cwd_missing".into(), message });
        assert_eq!(verdict(&bench, run), (status, Some(code)));
    }
    for (asked, status, code) in
        [(false, RunStatus::Failed, "command_not_found"), (true, RunStatus::Cancelled, "cancelled")]
    {
        let mut bench = Bench::new(4);
        let run = bench.executing("plain", None);
        if asked {
            bench.ask("run.cancel", &run.text(), json!({}));
        }
        let mut frame = exit(None, None, EndedBy::Itself, None);
        frame.spawn_error = Some(SpawnError { code: "command_not_found".into(), message: "gone".into(), errno: None });
        bench.ends(run, frame);
        assert_eq!(verdict(&bench, run), (status, Some(code)));
    }
}

#[test]
fn a_lost_shim_is_lost_even_when_a_stop_was_asked() {
    for asked in [false, true] {
        let mut bench = Bench::new(4);
        let run = bench.executing("plain", None);
        if asked {
            bench.ask("run.cancel", &run.text(), json!({}));
        }
        let action = bench.action(ActionKind::SpawnShim, &run.text()).unwrap();
        let evidence = "no exit record".to_owned();
        bench.fact(Fact::RunLost { action, run, attempt: 1, evidence, output: RunOutput::default(), collected: None });
        assert_eq!(verdict(&bench, run), (RunStatus::Lost, Some("process_lost")));
    }
}

/// Brings a run to a step and lets that step fail.
fn fail_in(step: Step, asked: bool) -> (RunStatus, Option<String>) {
    let mut bench = Bench::new(4);
    let run = bench.start(if step == Step::Resolve { "astray" } else { "fixer" }, None);
    let ask = |bench: &mut Bench| {
        if asked {
            bench.ask("run.cancel", &run.text(), json!({}));
        }
    };
    match step {
        Step::Acquire => {
            ask(&mut bench);
            let lease = bench.run(run).lease_id.unwrap();
            let action = bench.action(ActionKind::AcquireLease, &lease.text()).unwrap();
            bench.fact(Fact::LeaseRefused { action, lease, code: "lease_acquire_failed".into(), message: "no".into() });
        }
        Step::Realise => {
            bench.grant(run);
            ask(&mut bench);
            let action = bench.action(ActionKind::RealiseWorkspace, &run.text()).unwrap();
            bench.fact(Fact::WorkspaceFailed {
                action,
                run,
                attempt: 1,
                message: "no".into(),
                cause: None,
                stands: None,
            });
        }
        Step::Target => {
            bench.grant(run);
            bench.make_workspace(run, "/w/x");
            ask(&mut bench);
            bench.service_ends("web", Some(0));
        }
        _ => {}
    }
    (bench.status(run), bench.run(run).error_code.clone())
}

#[test]
fn a_step_that_fails_gives_the_run_its_code() {
    let table = [
        (Step::Resolve, "environment_not_found"),
        (Step::Acquire, "lease_acquire_failed"),
        (Step::Realise, "workspace_realization_failed"),
        (Step::Target, "service_start_failed"),
    ];
    for (step, code) in table {
        assert_eq!(fail_in(step, false), (RunStatus::Failed, Some(code.to_owned())), "{step}");
        if step != Step::Resolve {
            assert_eq!(fail_in(step, true), (RunStatus::Cancelled, Some("cancelled".into())), "{step}, stop asked");
        }
    }
}

#[test]
fn the_machine_and_the_agent_have_limits() {
    let mut bench = Bench::new(2);
    let runs: Vec<RunId> = (0..3).map(|_| bench.start("plain", None)).collect();
    let status: Vec<RunStatus> = runs.iter().map(|r| bench.status(*r)).collect();
    assert_eq!(status, [RunStatus::Running, RunStatus::Running, RunStatus::Queued], "two at once on this machine");
    bench.ask("run.cancel", &runs[0].text(), json!({}));
    bench.grant(runs[0]);
    assert_eq!(bench.status(runs[0]), RunStatus::Cancelled);
    assert_eq!(bench.status(runs[2]), RunStatus::Running, "the room is taken in the same decision");

    let mut bench = Bench::new(9);
    let runs: Vec<RunId> = (0..3).map(|_| bench.start("fixer", None)).collect();
    let status: Vec<RunStatus> = runs.iter().map(|r| bench.status(*r)).collect();
    assert_eq!(status, [RunStatus::Running, RunStatus::Running, RunStatus::Queued], "this agent may run two");
    let other = bench.start("plain", None);
    assert_eq!(bench.status(other), RunStatus::Running, "an agent that is full is in nobody else's way");
}

#[test]
fn runs_on_one_issue_and_in_one_checkout_follow_one_another() {
    let mut bench = Bench::new(9);
    let issue = bench.issue("SOLO", "medium");
    let first = bench.start("fixer", Some(&issue));
    let second = bench.start("plain", Some(&issue));
    assert_eq!((bench.status(first), bench.status(second)), (RunStatus::Running, RunStatus::Queued));
    let held = bench.state.issues.values().find(|i| i.identifier == issue).unwrap();
    assert_eq!((held.execution_run_id, held.status), (Some(first), IssueStatus::InProgress));
    bench.ask("run.cancel", &first.text(), json!({}));
    bench.grant(first);
    assert_eq!(bench.status(second), RunStatus::Running);
    let held = bench.state.issues.values().find(|i| i.identifier == issue).unwrap();
    assert_eq!(held.execution_run_id, Some(second));

    for (agent, expected) in [("writer", RunStatus::Queued), ("crowd", RunStatus::Running)] {
        let mut bench = Bench::new(9);
        let first = bench.start(agent, None);
        let second = bench.start(agent, None);
        assert_eq!((bench.status(first), bench.status(second)), (RunStatus::Running, expected), "{agent}");
    }
}

#[test]
fn work_under_way_is_claimed_first_then_by_priority_then_by_number() {
    let mut bench = Bench::new(1);
    let blocker = bench.start("plain", None);
    let low = bench.issue("SOLO", "low");
    let critical = bench.issue("SOLO", "critical");
    let started = bench.issue("SOLO", "low");
    for issue in bench.state.issues.values_mut().filter(|i| i.identifier == started) {
        issue.status = IssueStatus::InProgress;
    }
    let without = bench.start("plain", None);
    let by_low = bench.start("plain", Some(&low));
    let by_low_later = bench.start("fixer", Some(&low));
    let by_critical = bench.start("plain", Some(&critical));
    let by_started = bench.start("plain", Some(&started));
    let mut order = Vec::new();
    let mut last = blocker;
    for _ in 0..5 {
        bench.ask("run.cancel", &last.text(), json!({}));
        bench.grant(last);
        last = bench.state.runs.values().find(|r| r.status == RunStatus::Running).unwrap().id;
        order.push(last);
    }
    // The first run on the low issue made it work under way, so its second run keeps the lead.
    assert_eq!(order, [by_started, by_critical, by_low, by_low_later, without]);
}

#[test]
fn a_run_that_cannot_start_leaves_its_place_at_once() {
    let mut bench = Bench::new(1);
    let blocker = bench.start("plain", None);
    let lost: Vec<RunId> = (0..3).map(|_| bench.start("astray", None)).collect();
    let last = bench.start("plain", None);
    bench.ask("run.cancel", &blocker.text(), json!({}));
    bench.grant(blocker);
    assert!(lost.iter().all(|r| bench.status(*r) == RunStatus::Failed));
    assert_eq!(bench.status(last), RunStatus::Running);
}

#[test]
fn what_the_stop_policy_does_after_the_last_user() {
    use AfterLastUser::*;
    let table = [
        (Lifecycle::Ephemeral, StopPolicy::Manual, None, Stop),
        (Lifecycle::Ephemeral, StopPolicy::IdleTimeout, Some(9_000), Stop),
        (Lifecycle::Ephemeral, StopPolicy::OnRunFinish, None, Stop),
        (Lifecycle::Shared, StopPolicy::OnRunFinish, None, Stop),
        (Lifecycle::Shared, StopPolicy::Manual, Some(9_000), Keep),
        (Lifecycle::Shared, StopPolicy::IdleTimeout, Some(9_000), Idle(9_000)),
        (Lifecycle::Shared, StopPolicy::IdleTimeout, Some(0), Idle(1_000)),
        (Lifecycle::Shared, StopPolicy::IdleTimeout, None, Idle(1_800_000)),
    ];
    for (lifecycle, policy, idle, expected) in table {
        assert_eq!(after_last_user(lifecycle, policy, idle), expected, "{lifecycle} {policy} {idle:?}");
    }
    // And so it happens: `web` idles, `once` and `tmp` stop, `db` stays.
    let mut bench = Bench::new(4);
    let fixer = bench.executing("fixer", None);
    let tester = bench.executing("tester", None);
    bench.ends(fixer, exit(Some(0), None, EndedBy::Itself, None));
    assert_eq!(bench.service("web").status, ServiceStatus::Running, "another run uses it");
    assert_eq!(bench.service("web").idle_deadline_at, None, "another run uses it");
    assert_eq!(bench.service("once").status, ServiceStatus::Stopping);
    assert_eq!(bench.service("tmp").status, ServiceStatus::Stopping);
    bench.ends(tester, exit(Some(1), None, EndedBy::Itself, None));
    assert_eq!(bench.service("db").status, ServiceStatus::Running);
    assert!(bench.service("web").idle_deadline_at.is_some());
    bench.wait(20_000);
    assert_eq!(bench.service("web").status, ServiceStatus::Stopping);
    assert_eq!(bench.service("web").stop_reason.as_deref(), Some("idle"));
    assert_eq!(bench.service("db").status, ServiceStatus::Running);
}

#[test]
fn a_service_that_is_wanted_again_while_it_stops_is_started_again() {
    let mut bench = Bench::new(4);
    let first = bench.executing("fixer", None);
    bench.ends(first, exit(Some(0), None, EndedBy::Itself, None));
    assert_eq!(bench.service("once").status, ServiceStatus::Stopping);
    let second = bench.start("fixer", None);
    bench.grant(second);
    bench.make_workspace(second, "/w/second");
    assert_eq!(bench.run(second).step, Some(Step::Target));
    bench.service_ends("once", Some(0));
    assert_eq!((bench.service("once").status, bench.service("once").generation), (ServiceStatus::Starting, 2));
    bench.ready_all();
    assert_eq!(bench.run(second).step, Some(Step::Execute));
}

#[test]
fn a_service_that_fails_fails_every_run_that_waits_for_it() {
    let mut bench = Bench::new(4);
    let runs: Vec<RunId> = ["fixer", "tester"]
        .into_iter()
        .map(|agent| {
            let run = bench.start(agent, None);
            bench.grant(run);
            bench.make_workspace(run, &format!("/w/{run}"));
            run
        })
        .collect();
    bench.service_ends("web", Some(1));
    for run in runs {
        assert_eq!(verdict(&bench, run), (RunStatus::Failed, Some("service_start_failed")));
        assert!(bench.state.services_of(run).next().is_none());
    }
    // Nobody uses the others now: each follows its policy.
    assert_eq!(bench.service("tmp").status, ServiceStatus::Stopping);
    assert_eq!(bench.service("db").status, ServiceStatus::Starting);
}

#[test]
fn a_service_that_is_not_ready_in_time_fails() {
    let mut bench = Bench::new(4);
    let run = bench.start("fixer", None);
    bench.grant(run);
    bench.make_workspace(run, "/w/x");
    bench.wait(60_000);
    assert_eq!(verdict(&bench, run), (RunStatus::Failed, Some("service_not_ready")));
    assert_eq!(bench.service("web").status, ServiceStatus::Stopping);
    bench.service_ends("web", Some(0));
    let web = bench.service("web");
    assert_eq!((web.status, web.error_code.as_deref()), (ServiceStatus::Failed, Some("service_not_ready")));
}

#[test]
fn what_a_release_promises_by_the_state_of_the_lease() {
    let mut bench = Bench::new(4);
    let fixer = bench.executing("fixer", None);
    let tester = bench.executing("tester", None);
    let lease = bench.lease(fixer).id;
    let effect = release::effect(&facts(&bench.state, lease).unwrap()).unwrap();
    let id = |name: &str| bench.service(name).id;
    assert_eq!(effect.stops_run, Some(fixer));
    assert_eq!(effect.grace_ms, 3_000);
    assert_eq!(effect.keeps_services, [id("web")], "the other run uses it");
    let mut stops = effect.stops_services.clone();
    stops.sort();
    let mut expected = vec![id("once"), id("tmp")];
    expected.sort();
    assert_eq!(stops, expected);
    assert_eq!(effect.keeps_workspace, bench.run(fixer).workspace_id);
    assert_eq!(effect.judged.len(), 5, "lease, run and three services");

    // A row that changed since refuses the request; the same preview once more is carried out.
    let stale = json!([{ "id": lease.text(), "version": 99 }]);
    let expect = |bench: &mut Bench, expect: Value| {
        let row = bench.request("lease.release", |r| {
            r.target_id = Some(lease.text());
            r.expect = Some(expect);
        });
        let id = row.id;
        bench.decide(&crate::dispatch::input::Input::Request(Box::new(row), crate::dispatch::input::Prepared::Nothing));
        bench.state.requests[&id].clone()
    };
    let refused = expect(&mut bench, stale);
    assert_eq!(
        (refused.status, refused.error_code.as_deref()),
        (RequestStatus::Refused, Some("changed_since_preview"))
    );
    assert_eq!(bench.run(fixer).stop_requested_at, None, "a refused request changes nothing");
    let accepted = expect(&mut bench, serde_json::to_value(&effect.judged).unwrap());
    assert_eq!(accepted.status, RequestStatus::Accepted);
    bench.ends(fixer, exit(None, Some("SIGTERM"), EndedBy::Stop, Some(("operator", true))));
    assert_eq!(bench.status(fixer), RunStatus::Cancelled);
    assert_eq!(bench.state.requests[&accepted.id].status, RequestStatus::Accepted, "the lease is not back yet");

    // One that is being released, and one that has ended, cannot be released.
    let releasing = bench.ask("lease.release", &lease.text(), json!({}));
    assert_eq!(releasing.error_code.as_deref(), Some("illegal_state"));
    let action = bench.action(ActionKind::ReleaseLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseReleased { action, lease });
    assert_eq!(bench.state.requests[&accepted.id].status, RequestStatus::Done);
    let ended = bench.ask("lease.release", &lease.text(), json!({}));
    assert_eq!(ended.error_code.as_deref(), Some("illegal_state"));

    // A clean-up that failed is tried again by hand; nobody is stopped for it.
    bench.ends(tester, exit(Some(0), None, EndedBy::Itself, None));
    let lease = bench.lease(tester).id;
    let action = bench.action(ActionKind::ReleaseLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseReleaseFailed { action, lease, message: "away".into() });
    let effect = release::effect(&facts(&bench.state, lease).unwrap()).unwrap();
    assert_eq!((effect.stops_run, effect.stops_services.len()), (None, 0));
    let again = bench.ask("lease.release", &lease.text(), json!({}));
    assert_eq!(again.status, RequestStatus::Accepted);
    let action = bench.action(ActionKind::ReleaseLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseReleaseFailed { action, lease, message: "still away".into() });
    let failed = &bench.state.requests[&again.id];
    assert_eq!((failed.status, failed.error_code.as_deref()), (RequestStatus::Failed, Some("lease_release_failed")));
}

#[test]
fn a_service_is_stopped_as_it_was_shown_or_not_at_all() {
    let mut bench = Bench::new(4);
    let user = bench.executing("tester", None);
    let (id, version, name) = {
        let used = bench.state.services_of(user).next().expect("it uses one");
        let row = &bench.state.services[&used];
        (row.id.text(), row.version, row.name.clone())
    };
    let ask = |bench: &mut Bench, kind: &str, expect: Value| {
        let row = bench.request(kind, |r| (r.target_id, r.expect) = (Some(id.clone()), Some(expect)));
        bench.decide(&Input::Request(Box::new(row.clone()), Prepared::Nothing));
        bench.state.requests[&row.id].clone()
    };
    for kind in ["service.stop", "service.restart"] {
        // Shown before the run began to use it.
        let row = ask(&mut bench, kind, json!([{ "id": id, "version": version }]));
        assert_eq!(row.error_code.as_deref(), Some("changed_since_preview"), "{kind}");
    }
    let shown = json!([{ "id": id, "version": version }, { "id": user.text(), "version": 0 }]);
    let row = ask(&mut bench, "service.stop", shown);
    assert_eq!(row.status, RequestStatus::Accepted, "{:?}", row.error);
    assert_eq!(bench.service(&name).status, ServiceStatus::Stopping);
}

#[test]
fn when_a_request_is_finished() {
    use RequestStatus::*;
    let mut bench = Bench::new(4);
    let status = |bench: &Bench, row: &RequestRow| bench.state.requests[&row.id].status;
    // At once.
    let issue = bench.issue("SOLO", "medium");
    let comment = bench.state.issues.values().find(|i| i.identifier == issue).unwrap().id.text();
    assert_eq!(bench.ask("issue.comment", &comment, json!({ "body": "x" })).status, Done);
    let plain = bench.agent("plain").text();
    assert_eq!(bench.ask("run.start", &plain, json!({})).status, Done);
    // Refused, with the code.
    let unknown = uuid::Uuid::from_u128(1 << 90).to_string();
    let refusals = [
        ("run.cancel", "R-7", "id_malformed"),
        ("run.cancel", unknown.as_str(), "id_unknown"),
        ("lease.release", unknown.as_str(), "id_unknown"),
        ("service.stop", unknown.as_str(), "id_unknown"),
        ("run.start", unknown.as_str(), "agent_not_found"),
        ("issue.comment", unknown.as_str(), "issue_not_found"),
        ("agent.comment", unknown.as_str(), "permission_denied"),
        ("run.teleport", unknown.as_str(), "illegal_state"),
    ];
    for (kind, target, code) in refusals {
        let row = bench.ask(kind, target, json!({ "body": "x" }));
        assert_eq!((row.status, row.error_code.as_deref()), (Refused, Some(code)), "{kind}");
    }
    // Once the run has ended; a second cancel is accepted too, a third has nothing to stop.
    let run = bench.executing("plain", None);
    let cancel = bench.ask("run.cancel", &run.text(), json!({}));
    let again = bench.ask("run.cancel", &run.text(), json!({ "grace_ms": 1 }));
    assert_eq!((cancel.status, again.status), (Accepted, Accepted));
    assert_eq!(bench.run(run).stop_grace_ms, Some(1), "a second stop shortens the grace");
    bench.ends(run, exit(None, Some("SIGKILL"), EndedBy::Stop, Some(("operator", true))));
    assert_eq!((status(&bench, &cancel), status(&bench, &again)), (Done, Done));
    assert_eq!(bench.ask("run.cancel", &run.text(), json!({})).error_code.as_deref(), Some("illegal_state"));
    // A service: ready, then stopped, then restarted in vain.
    let db = bench.service("db").id.text();
    let start = bench.ask("service.start", &db, json!({}));
    assert_eq!(start.status, Accepted);
    bench.ready_all();
    assert_eq!(status(&bench, &start), Done);
    assert_eq!(bench.ask("service.start", &db, json!({})).status, Done, "it runs already");
    let restart = bench.ask("service.restart", &db, json!({}));
    bench.service_ends("db", Some(0));
    assert_eq!((status(&bench, &restart), bench.service("db").generation), (Accepted, 2));
    bench.service_ends("db", Some(1));
    assert_eq!(status(&bench, &restart), Failed);
    assert_eq!(
        (bench.service("db").status, bench.service("db").generation),
        (ServiceStatus::Failed, 2),
        "not for ever"
    );
    // The last word counts: a stop during a restart ends in a stop.
    bench.ask("service.start", &db, json!({}));
    bench.ready_all();
    let restart = bench.ask("service.restart", &db, json!({}));
    let stop = bench.ask("service.stop", &db, json!({}));
    assert_eq!((restart.status, stop.status), (Accepted, Accepted));
    bench.service_ends("db", Some(0));
    assert_eq!((status(&bench, &restart), status(&bench, &stop)), (Failed, Done));
    assert_eq!(bench.service("db").status, ServiceStatus::Stopped);
    // Too late.
    let late = bench.request("issue.create", |r| r.expires_at = UnixMillis(5));
    let id = late.id;
    bench.decide(&crate::dispatch::input::Input::Request(Box::new(late), crate::dispatch::input::Prepared::Nothing));
    assert_eq!(bench.state.requests[&id].status, Expired);
}

#[test]
fn a_lease_whose_driver_never_answers_is_cleaned_up() {
    let mut bench = Bench::new(4);
    let run = bench.start("plain", None);
    let lease = bench.run(run).lease_id.unwrap();
    let asked = bench.action(ActionKind::AcquireLease, &lease.text()).unwrap();
    bench.wait(5 * 60_000);
    assert_eq!(verdict(&bench, run), (RunStatus::Failed, Some("lease_acquire_failed")));
    assert_eq!(bench.state.leases[&lease].status, LeaseStatus::PendingCleanup);
    // Granted after all: it is given back at once, by the name the driver gave it.
    let provider_lease_id = Some("box-7".to_owned());
    bench.fact(Fact::LeaseAcquired {
        action: asked,
        lease,
        provider_lease_id,
        expires_at: None,
        facts: serde_json::Value::Null,
        provider: "local".into(),
        resumed: false,
    });
    let row = &bench.state.leases[&lease];
    assert_eq!((row.status, row.provider_lease_id.as_deref()), (LeaseStatus::Releasing, Some("box-7")));
    let action = bench.action(ActionKind::ReleaseLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseReleased { action, lease });
    assert_eq!(bench.state.leases[&lease].status, LeaseStatus::Failed);
}

#[test]
fn only_the_config_that_was_shown_is_accepted() {
    let key = setup::PROJECTS[0];
    let mut read = setup::config(key);
    read.config.agents[0].env.insert("MODE".into(), wharf_model::config::EnvValue::Text("other".into()));
    let hash = read.config.executable_hash();
    let shown = [(json!({ "executable_hash": "of another" }), false), (json!({ "executable_hash": hash }), true)];
    for (args, accepted) in shown.into_iter().chain([(json!({}), true)]) {
        let mut bench = Bench::new(4);
        let before = bench.state.projects[&read.project_uuid].accepted_executable_hash.clone();
        let row = bench.request("config.accept", |r| r.args = args.clone());
        bench.decide(&Input::Request(Box::new(row.clone()), Prepared::Config(Box::new(read.clone()))));
        let answer = &bench.state.requests[&row.id];
        let now = &bench.state.projects[&read.project_uuid].accepted_executable_hash;
        if accepted {
            assert_eq!((answer.error_code.as_deref(), now.as_ref()), (None, Some(&hash)), "{args}");
        } else {
            assert_eq!((answer.status, now), (RequestStatus::Refused, &before), "{args}");
            assert_eq!(answer.error_code.as_deref(), Some("changed_since_preview"), "{args}");
        }
    }
}
