//! What dispatch decides about services, one input after the other.

use serde_json::{Value, json};
use wharf_model::rules::service_desired::is_reported;
use wharf_model::rules::service_restart::CRASH_LOOP;
use wharf_model::shim::EndedBy;
use wharf_model::state::{AnyRow, Change, Tx};
use wharf_model::*;

use crate::dispatch::decide::Deciding;
use crate::dispatch::input::{Fact, Input, Prepared};
use crate::dispatch::simulate::bench::{Bench, exit};
use crate::dispatch::simulate::setup;
use ServiceStatus::{Backoff, Failed, Running, Starting, Stopped, Stopping};

mod in_order;

/// A run that waits for its services.
fn waiting(bench: &mut Bench, agent: &str, issue: Option<&str>) -> RunId {
    let run = bench.start(agent, issue);
    bench.grant(run);
    bench.make_workspace(run, &format!("/w/{run}"));
    run
}

fn ready(bench: &mut Bench, name: &str) {
    let (service, generation) = (bench.service(name).id, bench.service(name).generation);
    bench.fact(Fact::ServiceReady { service, generation });
}

fn health(bench: &mut Bench, name: &str, health: Health, evidence: &str) {
    let (service, generation) = (bench.service(name).id, bench.service(name).generation);
    bench.fact(Fact::ServiceHealth { service, generation, health, evidence: Some(evidence.into()) });
}

/// Whether a process of its current generation is intended.
fn is_intended(bench: &Bench, name: &str) -> bool {
    bench.action(ActionKind::StartService, &bench.service(name).id.text()).is_some()
}

/// Names of what the last decision wrote into the audit trail.
fn activity(bench: &Bench) -> Vec<String> {
    let all =
        bench.changes.iter().filter_map(|c| if let Change::Activity(a) = c { Some(a.action.clone()) } else { None });
    all.collect()
}

fn ask(bench: &mut Bench, kind: &str, name: &str, args: Value) -> RequestRow {
    let id = bench.service(name).id.text();
    bench.ask(kind, &id, args)
}

#[test]
fn what_is_needed_comes_first_and_is_seen_from_the_first_moment() {
    let mut bench = Bench::new(4);
    let run = waiting(&mut bench, "builder", None);
    let status = |bench: &Bench| ["api", "cache", "base", "db"].map(|name| bench.service(name).status);
    let intended = |bench: &Bench| ["api", "cache", "base", "db"].map(|name| is_intended(bench, name));
    assert_eq!(status(&bench), [Starting; 4]);
    assert_eq!(intended(&bench), [false, false, true, true]);
    let needs = |bench: &Bench, name: &str| bench.service(name).waits_for.clone().unwrap();
    assert_eq!(needs(&bench, "api"), json!([bench.service("cache").id.text(), bench.service("db").id.text()]));
    ready(&mut bench, "db");
    assert!(!is_intended(&bench, "api"), "the other is not ready yet");
    ready(&mut bench, "base");
    assert_eq!(intended(&bench), [false, true, true, true]);
    ready(&mut bench, "cache");
    assert!(is_intended(&bench, "api"));
    ready(&mut bench, "api");
    assert_eq!(bench.run(run).step, Some(Step::Target), "it uses another one as well");
    ready(&mut bench, "flaky");
    assert_eq!(bench.run(run).step, Some(Step::Execute));
    assert_eq!(bench.service("cache").started_by_run_id, Some(run));
}

#[test]
fn a_service_that_is_needed_and_fails_is_named_by_those_that_wait() {
    let mut bench = Bench::new(4);
    let run = waiting(&mut bench, "builder", None);
    let number = |bench: &Bench, name: &str| Kind::Service.number(bench.service(name).number);
    bench.service_ends("base", Some(3));
    let (base, cache) = (number(&bench, "base"), number(&bench, "cache"));
    let why = bench.service("cache").error.clone().unwrap();
    assert_eq!(why, format!("it needs base ({base}), which did not become ready: exit 3"));
    let why = bench.service("api").error.clone().unwrap();
    assert!(why.starts_with(&format!("it needs cache ({cache}), which did not become ready: it needs base")), "{why}");
    assert_eq!(["api", "cache", "base"].map(|n| bench.service(n).status), [Failed; 3]);
    let ended = bench.run(run);
    assert_eq!((ended.status, ended.error_code.as_deref()), (RunStatus::Failed, Some("service_start_failed")));
    assert!(ended.error.as_ref().unwrap().contains("base"), "{:?}", ended.error);
    // What is still starting has nobody any more: `db` stays by its policy, `flaky` goes.
    assert_eq!((bench.service("db").status, bench.service("flaky").status), (Starting, Stopping));
}

#[test]
fn a_service_that_is_needed_is_used() {
    let mut bench = Bench::new(4);
    let run = bench.executing_with("builder", &["db", "base", "cache", "api", "flaky"]);
    bench.ends(run, exit(Some(0), None, EndedBy::Itself, None));
    assert!(bench.service("api").idle_deadline_at.is_some());
    assert_eq!(["cache", "base", "db"].map(|n| bench.service(n).status), [Running; 3]);
    assert_eq!(bench.service("base").idle_deadline_at, None);
    bench.wait(20_000);
    assert_eq!((bench.service("api").status, bench.service("cache").status), (Stopping, Running));
    bench.service_ends("api", Some(0));
    assert_eq!((bench.service("cache").status, bench.service("db").status), (Stopping, Running));
    assert_eq!(bench.service("base").idle_deadline_at, None, "until that has ended");
    bench.service_ends("cache", Some(0));
    assert!(bench.service("base").idle_deadline_at.is_some());
    bench.wait(20_000);
    assert_eq!(bench.service("base").stop_reason.as_deref(), Some("idle"));
}

#[test]
fn one_that_ends_is_started_again_until_its_restarts_are_used_up() {
    let mut bench = Bench::new(4);
    let run = bench.executing_with("builder", &["db", "base", "cache", "api", "flaky"]);
    for (restart, pause) in [(1, 500), (2, 1_000), (3, 2_000)] {
        bench.service_ends("flaky", Some(i32::from(restart == 2)));
        let flaky = bench.service("flaky");
        assert_eq!((flaky.status, flaky.deadline_at), (Backoff, Some(bench.now.plus(pause))));
        bench.wait(pause - 1);
        assert_eq!(bench.service("flaky").status, Backoff);
        bench.wait(1);
        assert_eq!(activity(&bench), ["service.restarted"]);
        let flaky = bench.service("flaky");
        assert_eq!((flaky.status, flaky.generation, flaky.restarts), (Starting, 1 + restart, i64::from(restart)));
        ready(&mut bench, "flaky");
    }
    bench.service_ends("flaky", Some(7));
    assert_eq!(activity(&bench), ["service.parked"]);
    let flaky = bench.service("flaky");
    assert_eq!((flaky.status, flaky.error_code.as_deref()), (Failed, Some(CRASH_LOOP)));
    let why = "the command ended 4 times within 60s, restarts are used up; at last: exit 7";
    assert_eq!(flaky.error.as_deref(), Some(why));
    assert_eq!(bench.status(run), RunStatus::Running, "the run goes on without it");
    // By hand it begins anew, with a budget of its own.
    let start = ask(&mut bench, "service.start", "flaky", json!({}));
    let flaky = bench.service("flaky");
    assert_eq!((start.status, flaky.restarts, flaky.restart_times.clone()), (RequestStatus::Accepted, 0, None));
    ready(&mut bench, "flaky");
    bench.service_ends("flaky", Some(7));
    assert_eq!(bench.service("flaky").status, Backoff);
}

#[test]
fn who_waits_goes_on_waiting_until_it_is_parked() {
    let mut bench = Bench::new(4);
    let run = waiting(&mut bench, "builder", None);
    for name in ["db", "base", "cache"] {
        ready(&mut bench, name);
    }
    for pause in [500, 1_000, 2_000] {
        bench.service_ends("api", Some(0));
        assert_eq!((bench.service("api").status, bench.status(run)), (Backoff, RunStatus::Running));
        bench.wait(pause);
    }
    bench.service_ends("api", Some(0));
    let ended = bench.run(run);
    assert_eq!((ended.status, ended.error_code.as_deref()), (RunStatus::Failed, Some(CRASH_LOOP)));
    // Whoever wants it later is told so, and who can mend it.
    let next = waiting(&mut bench, "builder", None);
    let number = Kind::Service.number(bench.service("api").number);
    let why = bench.run(next).error.clone().unwrap();
    assert!(why.contains(&format!("`wharf service restart {number}` starts it again")), "{why}");
    // What cannot pass by trying again is not tried again.
    let mut bench = Bench::new(4);
    let run = waiting(&mut bench, "builder", None);
    let flaky = bench.service("flaky").clone();
    let action = bench.action(ActionKind::StartService, &flaky.id.text()).unwrap();
    bench.fact(Fact::ServiceEnded {
        action,
        service: flaky.id,
        generation: 1,
        exit: None,
        code: Some("cwd_missing".into()),
        message: Some("gone".into()),
    });
    assert_eq!((bench.service("flaky").status, bench.status(run)), (Failed, RunStatus::Failed));
}

#[test]
fn a_start_that_takes_too_long_counts_as_well() {
    let mut bench = Bench::new(4);
    let run = waiting(&mut bench, "builder", None);
    bench.wait(25_000);
    // `base` has no policy: whoever waits for it fails, and with the run everything else goes.
    assert_eq!((bench.status(run), bench.service("flaky").status), (RunStatus::Failed, Stopping));
    assert_eq!(bench.service("base").stop_reason.as_deref(), Some("start_timeout"));
    let mut bench = Bench::new(4);
    let run = waiting(&mut bench, "builder", None);
    for name in ["db", "base", "cache", "api"] {
        ready(&mut bench, name);
    }
    bench.wait(25_000);
    assert_eq!((bench.service("flaky").status, bench.status(run)), (Stopping, RunStatus::Running));
    bench.service_ends("flaky", Some(0));
    let flaky = bench.service("flaky");
    assert_eq!((flaky.status, flaky.error_code.as_deref()), (Backoff, Some("service_not_ready")));
    // An operator's word ends that.
    ask(&mut bench, "service.stop", "flaky", json!({}));
    assert_eq!((bench.service("flaky").status, bench.status(run)), (Stopped, RunStatus::Failed));
}

#[test]
fn the_last_one_may_leave_while_it_is_stopped_to_be_started_again() {
    let again = |order: [&str; 2], how: &str| {
        let mut bench = Bench::new(4);
        let run = bench.executing_with("builder", &["db", "base", "cache", "api", "flaky"]);
        for name in order {
            match how {
                "unhealthy" => health(&mut bench, name, Health::Unhealthy, "no answer, 3 times"),
                _ => drop(ask(&mut bench, "service.restart", name, json!({}))),
            }
            assert_eq!(bench.service(name).stop_reason.as_deref(), Some(how));
        }
        bench.ends(run, exit(Some(0), None, EndedBy::Itself, None));
        bench
    };
    for how in ["unhealthy", "restart"] {
        // By its policy it stops with its last user: nothing is started again.
        let mut bench = again(["flaky", "api"], how);
        assert_eq!((bench.service("flaky").status, bench.service("api").status), (Stopping, Stopping));
        bench.service_ends("flaky", Some(0));
        let flaky = bench.service("flaky");
        assert_eq!((flaky.status, flaky.stop_reason.as_deref()), (Stopped, Some("unused")), "{how}");
        // With an idle time it comes back and stops once that is over.
        let idle = bench.service("api").idle_deadline_at;
        assert_eq!(idle, Some(bench.now.plus(20_000)), "{how}");
        bench.service_ends("api", Some(0));
        bench.wait(500);
        assert_eq!((bench.service("api").status, bench.service("api").idle_deadline_at), (Starting, idle), "{how}");
        ready(&mut bench, "api");
        bench.wait(19_500);
        assert_eq!(bench.service("api").stop_reason.as_deref(), Some("idle"), "{how}");
        // One whose idle time is over before it has ended is not started again.
        let mut bench = again(["flaky", "api"], how);
        bench.now = bench.now.plus(20_000);
        let api = bench.service("api").id;
        bench.state.services.get_mut(&api).unwrap().deadline_at = Some(bench.now.plus(1_000));
        bench.wait(0);
        bench.service_ends("api", Some(0));
        let api = bench.service("api");
        assert_eq!((api.status, api.stop_reason.as_deref()), (Stopped, Some("idle")), "{how}");
    }
}

#[test]
fn one_that_an_operator_started_stops_by_its_idle_time_as_well() {
    let mut bench = Bench::new(4);
    ask(&mut bench, "service.start", "web", json!({}));
    ready(&mut bench, "web");
    assert_eq!(bench.service("web").idle_deadline_at, Some(bench.now.plus(20_000)));
    // Started anew, it counts anew, from when it is ready.
    bench.wait(15_000);
    ask(&mut bench, "service.restart", "web", json!({}));
    bench.service_ends("web", Some(0));
    assert_eq!((bench.service("web").status, bench.service("web").idle_deadline_at), (Starting, None));
    bench.now = bench.now.plus(5_000);
    ready(&mut bench, "web");
    assert_eq!(bench.service("web").idle_deadline_at, Some(bench.now.plus(20_000)));
    // An earlier reign may have counted nothing.
    let web = bench.service("web").id;
    bench.state.services.get_mut(&web).unwrap().idle_deadline_at = None;
    bench.wait(0);
    let over = bench.service("web").idle_deadline_at;
    assert_eq!(over, Some(bench.now.plus(20_000)));
    // What is used counts down nothing.
    let run = bench.executing_with("fixer", &["once", "tmp"]);
    assert_eq!(bench.service("web").idle_deadline_at, None);
    bench.wait(60_000);
    assert_eq!(bench.service("web").status, Running);
    bench.ends(run, exit(Some(0), None, EndedBy::Itself, None));
    bench.wait(20_000);
    assert_eq!(bench.service("web").stop_reason.as_deref(), Some("idle"));
}

#[test]
fn one_of_a_run_that_is_over_is_not_started_by_hand() {
    let mut bench = Bench::new(4);
    let run = bench.executing_with("fixer", &["web", "once", "tmp"]);
    let tmp = bench.service("tmp").id.text();
    assert_eq!(bench.ask("service.restart", &tmp, json!({})).status, RequestStatus::Accepted, "its run goes on");
    bench.service_ends("tmp", Some(0));
    ready(&mut bench, "tmp");
    bench.ends(run, exit(Some(0), None, EndedBy::Itself, None));
    bench.service_ends("tmp", Some(0));
    assert_eq!(bench.service("tmp").status, Stopped);
    for kind in ["service.start", "service.restart"] {
        let why = bench.ask(kind, &tmp, json!({})).error.unwrap();
        assert!(why.contains("belonged to R-1, which has ended"), "{kind}: {why}");
    }
}

/// A start comes to its end with this code and message; its process was stopped by its executor where it had one.
fn fails(bench: &mut Bench, name: &str, code: &str, message: &str, ran: bool) {
    let (service, generation) = (bench.service(name).id, bench.service(name).generation);
    let action = bench.action(ActionKind::StartService, &service.text()).unwrap_or(ActionId::NIL);
    let exit = ran.then(|| Box::new(exit(None, Some("SIGTERM"), EndedBy::Stop, None)));
    let (code, message) = (Some(code.to_owned()), Some(message.to_owned()));
    bench.fact(Fact::ServiceEnded { action, service, generation, exit, code, message });
}

#[test]
fn why_one_is_parked_is_what_its_last_start_came_to() {
    let mut bench = Bench::new(4);
    bench.executing_with("builder", &["db", "base", "cache", "api", "flaky"]);
    for _ in 0..3 {
        health(&mut bench, "flaky", Health::Unhealthy, "http 500, 3 times");
        bench.service_ends("flaky", Some(0));
        bench.wait(5_000);
        assert_eq!(bench.service("flaky").health_evidence.as_deref(), Some("it was unhealthy: http 500, 3 times"));
        ready(&mut bench, "flaky");
        assert_eq!(bench.service("flaky").health_evidence, None);
    }
    health(&mut bench, "flaky", Health::Unhealthy, "http 500, 3 times");
    bench.service_ends("flaky", Some(0));
    let flaky = bench.service("flaky");
    let why = "it failed 4 times within 60s, restarts are used up; at last: it was unhealthy: http 500, 3 times";
    assert_eq!((flaky.status, flaky.error.as_deref()), (Failed, Some(why)), "its command never ended by itself");
    // One that is never ready is stopped by its executor, which is told as such.
    ask(&mut bench, "service.start", "flaky", json!({}));
    for _ in 0..4 {
        fails(&mut bench, "flaky", "service_not_ready", "it did not answer in time: refused", true);
        bench.wait(5_000);
    }
    let flaky = bench.service("flaky");
    assert!(flaky.error.as_ref().unwrap().starts_with("it failed 4 times within 60s"), "{:?}", flaky.error);
    assert!(flaky.error.as_ref().unwrap().ends_with("; at last: it did not answer in time: refused"));
    assert_eq!(flaky.stop_reason.as_deref(), Some("start_timeout"));
}

#[test]
fn who_holds_a_port_is_told_with_how_to_end_it() {
    let mut bench = Bench::new(4);
    ask(&mut bench, "service.start", "web", json!({}));
    ask(&mut bench, "service.start", "db", json!({}));
    let (web, db) = (bench.service("web").id, bench.service("db").id);
    bench.state.services.get_mut(&web).unwrap().port = Some(45_001);
    bench.state.services.get_mut(&db).unwrap().config["port"] = json!({ "fixed": { "port": 45_001, "env": "PORT" } });
    fails(&mut bench, "db", "port_in_use", "port 45001 is in use by process 9", false);
    let number = Kind::Service.number(bench.service("web").number);
    let why = format!("port 45001 is in use by process 9; it is {number} web: `wharf service stop {number}` ends it");
    assert_eq!(bench.service("db").error, Some(why));
    // Of somebody else's process nothing is said.
    ask(&mut bench, "service.stop", "web", json!({}));
    bench.service_ends("web", Some(0));
    ask(&mut bench, "service.start", "db", json!({}));
    fails(&mut bench, "db", "port_in_use", "port 45001 is in use by process 9", false);
    assert_eq!(bench.service("db").error.as_deref(), Some("port 45001 is in use by process 9"));
}

#[test]
fn one_that_is_found_starting_is_looked_at_before_its_time_is_over() {
    let mut bench = Bench::new(4);
    ask(&mut bench, "service.start", "web", json!({}));
    let (service, generation) = (bench.service("web").id, bench.service("web").generation);
    bench.now = bench.now.plus(3_600_000);
    let child = shim::ChildRef { pid: 9, start_ticks: 9, pgid: 9, sid: 9 };
    let (port, url, fingerprint) = (None, None, None);
    bench.fact(Fact::ServiceStarted { service, generation, child, port, url, fingerprint, adopted: true });
    bench.wait(24_000);
    assert_eq!(bench.service("web").status, Starting);
    bench.wait(1_000);
    assert_eq!(bench.service("web").stop_reason.as_deref(), Some("start_timeout"));
}

#[test]
fn one_that_does_not_answer_is_shown_and_restarted_by_its_policy() {
    let mut bench = Bench::new(4);
    bench.executing_with("builder", &["db", "base", "cache", "api", "flaky"]);
    health(&mut bench, "base", Health::Unhealthy, "no answer, 3 times");
    let base = bench.service("base");
    assert_eq!((base.status, base.health), (Running, Health::Unhealthy), "no policy: it stays under control");
    assert_eq!(base.health_evidence.as_deref(), Some("no answer, 3 times"));
    // Where nobody has said how it is judged, a light look ends nothing.
    let cache = bench.service("cache").id;
    bench.state.services.get_mut(&cache).unwrap().config["live"] = Value::Null;
    health(&mut bench, "cache", Health::Unhealthy, "no answer");
    assert_eq!((bench.service("cache").status, bench.service("cache").health), (Running, Health::Unhealthy));
    // One that is switched off would not come back.
    let flaky = bench.service("flaky").id;
    bench.state.services.get_mut(&flaky).unwrap().config["disabled"] = json!("broken");
    health(&mut bench, "flaky", Health::Unhealthy, "no answer, 3 times");
    assert_eq!((bench.service("flaky").status, bench.service("flaky").health), (Running, Health::Unhealthy));
    health(&mut bench, "api", Health::Unhealthy, "HTTP 500, 3 times");
    assert_eq!(activity(&bench), ["service.unhealthy"]);
    let api = bench.service("api");
    assert_eq!((api.status, api.stop_reason.as_deref()), (Stopping, Some("unhealthy")));
    bench.service_ends("api", Some(0));
    let api = bench.service("api");
    assert_eq!((api.status, api.error.as_deref()), (Backoff, Some("it was unhealthy: HTTP 500, 3 times")));
    bench.wait(500);
    assert_eq!((bench.service("api").status, bench.service("api").restarts), (Starting, 1));
    assert_eq!(bench.state.users_of(bench.service("api").id).count(), 1, "it keeps its users");
    // A stop by hand in between is the last word.
    ready(&mut bench, "api");
    health(&mut bench, "api", Health::Unhealthy, "again");
    ask(&mut bench, "service.stop", "api", json!({}));
    bench.service_ends("api", Some(0));
    assert_eq!(bench.service("api").status, Stopped);
}

#[test]
fn a_service_is_where_it_is_meant_to_be() {
    let mut bench = Bench::new(4);
    assert_eq!(bench.service("kept").status, Stopped);
    let set = ask(&mut bench, "service.set_desired", "kept", json!({ "desired": "running" }));
    assert_eq!(set.status, RequestStatus::Done, "{:?}", set.error);
    assert_eq!(activity(&bench), ["service.desired", "service.started", "service.started"]);
    let kept = bench.service("kept");
    assert_eq!((kept.status, kept.desired_by.as_deref(), kept.started_by_run_id), (Starting, Some("mo"), None));
    bench.ready_all();
    bench.ready_all();
    // It is kept running whatever ends it, with pauses and a budget.
    bench.service_ends("kept", Some(0));
    assert_eq!(bench.service("kept").status, Backoff);
    bench.wait(500);
    bench.ready_all();
    // A reign that finds it stopped starts it.
    let id = bench.service("kept").id;
    bench.service_ends("kept", Some(1));
    bench.state.services.get_mut(&id).unwrap().status = Stopped;
    bench.decide(&Input::Begin);
    assert_eq!(bench.service("kept").status, Starting);
    bench.ready_all();
    // A stop by hand is what is meant from then on, and a start likewise.
    ask(&mut bench, "service.stop", "kept", json!({}));
    bench.service_ends("kept", Some(0));
    assert_eq!((bench.service("kept").status, bench.service("kept").desired), (Stopped, Desired::Stopped));
    ask(&mut bench, "service.start", "kept", json!({}));
    assert_eq!(bench.service("kept").desired, Desired::Running);
    bench.ready_all();
    ask(&mut bench, "service.set_desired", "kept", json!({ "desired": "stopped" }));
    assert_eq!(
        (bench.service("kept").status, bench.service("kept").stop_reason.as_deref()),
        (Stopping, Some("desired"))
    );
    // `manual` is never changed by what is done.
    ask(&mut bench, "service.start", "db", json!({}));
    bench.ready_all();
    assert_eq!(bench.service("db").desired, Desired::Manual);
    ask(&mut bench, "service.stop", "db", json!({}));
    assert_eq!(bench.service("db").desired, Desired::Manual);
    let wrong = ask(&mut bench, "service.set_desired", "db", json!({ "desired": "up" }));
    assert_eq!(wrong.error.as_deref(), Some("a service is meant to be running, stopped or manual, not \"up\""));
}

#[test]
fn one_that_is_meant_to_be_stopped_stops_when_nobody_uses_it() {
    let mut bench = Bench::new(4);
    let run = bench.executing("tester", None);
    let set = ask(&mut bench, "service.set_desired", "db", json!({ "desired": "stopped" }));
    assert!(set.result.unwrap()["note"].as_str().unwrap().ends_with("is in use and stops when the last one leaves it"));
    assert_eq!(bench.service("db").status, Running);
    bench.ends(run, exit(Some(0), None, EndedBy::Itself, None));
    assert_eq!(bench.service("db").status, Stopping);
}

#[test]
fn a_parked_one_stays_parked_although_it_is_meant_to_run() {
    let mut bench = Bench::new(4);
    ask(&mut bench, "service.set_desired", "kept", json!({ "desired": "running" }));
    bench.ready_all();
    bench.ready_all();
    for pause in [500, 1_000, 2_000] {
        bench.service_ends("kept", Some(1));
        bench.wait(pause);
        bench.ready_all();
    }
    bench.service_ends("kept", Some(1));
    assert_eq!(bench.service("kept").error_code.as_deref(), Some(CRASH_LOOP));
    bench.decide(&Input::Begin);
    bench.wait(3_600_000);
    assert_eq!(bench.service("kept").status, Failed);
    ask(&mut bench, "service.restart", "kept", json!({}));
    assert_eq!((bench.service("kept").status, bench.service("kept").restarts), (Starting, 0));
}

#[test]
fn what_an_operator_meant_stays_until_the_config_says_something_new() {
    let mut bench = Bench::new(4);
    let accept = |bench: &mut Bench, desired| {
        let mut read = setup::config("SOLO");
        for service in read.config.services.iter_mut().filter(|s| s.name == "web") {
            service.desired = desired;
        }
        let row = bench.request("config.accept", |_| {});
        bench.decide(&Input::Request(Box::new(row), Prepared::Config(Box::new(read))));
        (bench.service("web").desired, bench.service("web").desired_by.is_some())
    };
    ask(&mut bench, "service.set_desired", "web", json!({ "desired": "running" }));
    assert_eq!(accept(&mut bench, Desired::Manual), (Desired::Running, true), "the file says what it said before");
    assert_eq!(accept(&mut bench, Desired::Stopped), (Desired::Stopped, false));
    assert_eq!(accept(&mut bench, Desired::Running), (Desired::Running, false));
}

#[test]
fn a_stop_names_who_loses_the_service_and_holds_to_what_was_shown() {
    let mut bench = Bench::new(4);
    bench.executing_with("builder", &["db", "base", "cache", "api", "flaky"]);
    let (cache, version) = (bench.service("cache").id, bench.service("cache").version);
    let api = bench.service("api").id;
    let stop = |bench: &mut Bench, expect: Value| {
        let row = bench.request("service.stop", |r| {
            (r.target_id, r.expect) = (Some(cache.text()), Some(expect));
            r.args = json!({ "dependents": "leave" });
        });
        bench.decide(&Input::Request(Box::new(row.clone()), Prepared::Nothing));
        bench.state.requests[&row.id].clone()
    };
    let alone = stop(&mut bench, json!([{ "id": cache.text(), "version": version }]));
    assert_eq!(alone.error_code.as_deref(), Some("changed_since_preview"), "api needs it");
    let shown = json!([{ "id": cache.text(), "version": version }, { "id": api.text(), "version": 0 }]);
    let stopped = stop(&mut bench, shown);
    let number = Kind::Service.number(bench.service("api").number);
    assert_eq!(stopped.result.unwrap()["needed_by"], json!([format!("api ({number})")]));
    assert_eq!((bench.service("cache").status, bench.service("api").status), (Stopping, Running));
}

#[test]
fn all_services_of_a_workspace_are_stopped_and_stay_so() {
    let mut bench = Bench::new(4);
    let run = bench.executing_with("builder", &["db", "base", "cache", "api", "flaky"]);
    let workspace = bench.run(run).workspace_id.unwrap();
    ask(&mut bench, "service.set_desired", "flaky", json!({ "desired": "running" }));
    // Another project's service that runs inside the workspace's directory, and one that only sounds like it.
    let cwd = bench.state.workspaces[&workspace].cwd.clone().unwrap();
    for (name, place) in [("db", format!("{cwd}/data")), ("base", format!("{cwd}x"))] {
        let id = bench.service(name).id;
        bench.state.services.get_mut(&id).unwrap().cwd = place;
    }
    let mut ids = || uuid::Uuid::from_u128(1 << 100);
    let mut d = Deciding { tx: Tx::new(&mut bench.state, bench.now), new_id: &mut ids };
    let stopped = super::stop_all_of_workspace(&mut d, workspace, "archive");
    d.tx.finish().unwrap();
    assert_eq!(stopped.len(), 2);
    assert_eq!(["flaky", "db", "base"].map(|n| bench.service(n).status), [Stopping, Stopping, Running]);
    assert_eq!(bench.service("flaky").desired, Desired::Stopped);
    assert_eq!(bench.service("flaky").stop_reason.as_deref(), Some("archive"));
}

#[test]
fn verbs_on_a_workspace_concern_all_of_its_services() {
    let mut bench = Bench::new(4);
    let run = bench.executing_with("builder", &["db", "base", "cache", "api", "flaky"]);
    let workspace = bench.run(run).workspace_id.unwrap().text();
    bench.ends(run, exit(Some(0), None, EndedBy::Itself, None));
    bench.service_ends("flaky", Some(0));
    let verb = |bench: &mut Bench, kind: &str| {
        let row = bench.request(kind, |r| {
            r.target_type = Some("workspace".into());
            r.target_id = Some(workspace.clone());
        });
        bench.decide(&Input::Request(Box::new(row.clone()), Prepared::Nothing));
        bench.state.requests[&row.id].clone()
    };
    let start = verb(&mut bench, "service.start");
    assert_eq!(
        (start.status, start.result.clone().unwrap()["services"].as_array().unwrap().len()),
        (RequestStatus::Accepted, 1)
    );
    assert_eq!((bench.service("flaky").status, bench.service("flaky").started_by_run_id), (Starting, None));
    ready(&mut bench, "flaky");
    assert_eq!(bench.state.requests[&start.id].status, RequestStatus::Done);
    let stop = verb(&mut bench, "service.stop");
    assert_eq!(
        (bench.service("flaky").status, bench.state.requests[&stop.id].status),
        (Stopping, RequestStatus::Accepted)
    );
    bench.service_ends("flaky", Some(0));
    assert_eq!(bench.state.requests[&stop.id].status, RequestStatus::Done);
    let nothing = verb(&mut bench, "service.stop");
    assert_eq!(nothing.error.as_deref(), Some("W-1 has no service: nothing of it runs"));
}

#[test]
fn the_newest_of_a_key_is_the_one_that_counts() {
    let mut bench = Bench::new(4);
    let newest = bench.service("db").clone();
    let older = ServiceRow { id: ServiceId(uuid::Uuid::from_u128(1 << 90)), number: 0, ..newest.clone() };
    bench.state.load(AnyRow::Service(Box::new(older.clone())));
    let start = bench.ask("service.start", &older.id.text(), json!({}));
    assert_eq!(start.result.unwrap()["service_id"], newest.id.text());
    assert_eq!((bench.state.services[&older.id].status, bench.service("db").status), (Stopped, Starting));
    bench.ready_all();
    let run = bench.executing("tester", None);
    assert!(bench.state.services_of(run).all(|s| s != older.id));
    // The older one can still be stopped where it runs.
    bench.state.services.get_mut(&older.id).unwrap().status = Running;
    assert_eq!(bench.ask("service.stop", &older.id.text(), json!({})).status, RequestStatus::Accepted);
}

#[test]
fn services_of_a_workspace_that_is_gone_stay_manageable() {
    let mut bench = Bench::new(4);
    let run = bench.executing_with("builder", &["db", "base", "cache", "api", "flaky"]);
    let workspace = bench.run(run).workspace_id.unwrap();
    bench.state.workspaces.get_mut(&workspace).unwrap().status = WorkspaceStatus::Missing;
    for kind in ["service.restart", "service.start"] {
        if kind == "service.start" {
            ask(&mut bench, "service.stop", "flaky", json!({}));
            bench.service_ends("flaky", Some(0));
        }
        let row = ask(&mut bench, kind, "flaky", json!({}));
        assert_eq!(row.error_code.as_deref(), Some("cwd_missing"), "{kind}");
        let why = row.error.unwrap();
        assert!(why.contains("its workspace W-1 is missing") && why.ends_with("it can still be stopped"), "{why}");
    }
    assert_eq!(bench.service("flaky").status, Stopped);
}

fn report(bench: &mut Bench, run: RunId, seq: i64, body: Value) -> Option<String> {
    let (message_id, kind) = (format!("m{seq}"), "report_service".to_owned());
    bench.fact(Fact::AgentSaid { run, attempt: 1, seq, message_id, kind, body });
    bench.changes.iter().find_map(|c| match c {
        Change::Event(e) if e.event_type == "agent.report_service" && e.level == "warn" => Some(e.message.clone()),
        _ => None,
    })
}

#[test]
fn what_an_adapter_keeps_is_shown_as_it_is_reported() {
    let mut bench = Bench::new(4);
    let run = bench.executing("plain", None);
    assert_eq!(report(&mut bench, run, 1, json!({ "serviceName": "preview", "url": "http://h/", "port": 4000 })), None);
    let row = bench.service("preview").clone();
    assert!(is_reported(&row));
    assert_eq!((row.status, row.health, row.lifecycle), (Running, Health::Healthy, Lifecycle::Ephemeral));
    assert_eq!((row.scope_type, row.scope_id.clone(), row.port), (ReuseScope::Run, run.text(), Some(4000)));
    assert_eq!(bench.state.users_of(row.id).collect::<Vec<_>>(), [run]);
    // Said again, it is the same one and keeps when it began; what is not said again stays.
    bench.now = bench.now.plus(5_000);
    report(&mut bench, run, 2, json!({ "name": "preview", "health": "unhealthy" }));
    let again = bench.service("preview").clone();
    assert_eq!((again.id, again.started_at, again.created_at), (row.id, row.started_at, row.created_at));
    assert_eq!((again.health, again.url, again.generation), (Health::Unhealthy, Some("http://h/".into()), 1));
    report(&mut bench, run, 3, json!({ "name": "preview", "status": "failed" }));
    assert_eq!(bench.service("preview").status, Failed);
    report(&mut bench, run, 4, json!({ "name": "preview" }));
    assert_eq!((bench.service("preview").status, bench.service("preview").generation), (Running, 2));
    // Wharf neither starts nor stops it, and says who does.
    for kind in ["service.stop", "service.start", "service.restart"] {
        let refused = bench.ask(kind, &row.id.text(), json!({}));
        let why = refused.error.unwrap();
        assert!(why.contains("is kept by agent plain (process)") && why.contains("`wharf cancel R-1`"), "{why}");
    }
    // An id of the adapter's own is a name, also where it is a UUID.
    report(&mut bench, run, 5, json!({ "name": "other", "id": "dev-7", "scope": "agent" }));
    assert_eq!(bench.service("other").provider_ref.as_deref(), Some("dev-7"));
    let id = uuid::Uuid::from_u128(77).to_string();
    report(&mut bench, run, 6, json!({ "name": "third", "id": id }));
    let third = bench.service("third").clone();
    assert_eq!((third.provider_ref.as_deref(), third.id.text() == id), (Some(id.as_str()), false));
    report(&mut bench, run, 7, json!({ "name": "third", "id": id, "url": "http://t/" }));
    report(&mut bench, run, 8, json!({ "name": "third", "id": third.id.text(), "port": 4001 }));
    let again = bench.service("third");
    assert_eq!((again.id, again.url.as_deref(), again.port), (third.id, Some("http://t/"), Some(4001)));
    bench.ends(run, exit(Some(0), None, EndedBy::Itself, None));
    let status = ["preview", "other", "third"].map(|n| bench.service(n).status);
    assert_eq!(status, [Stopped, Running, Stopped], "what belongs to the run ends with it");
}

#[test]
fn what_is_reported_on_its_way_does_not_stay_there() {
    let mut bench = Bench::new(4);
    let run = bench.executing("plain", None);
    for (seq, status) in (1..).zip(["starting", "stopping", "backoff", "running"]) {
        report(&mut bench, run, seq, json!({ "name": status, "status": status, "scope": "agent" }));
    }
    bench.wait(600_000);
    let status = ["starting", "stopping", "backoff", "running"].map(|name| bench.service(name).status);
    assert_eq!(status, [Failed, Stopped, Failed, Running]);
    // Once nobody tells of it any more an operator says that it is over.
    let id = bench.service("running").id.text();
    assert!(bench.ask("service.stop", &id, json!({})).error.unwrap().contains("is kept by"));
    bench.ends(run, exit(Some(0), None, EndedBy::Itself, None));
    assert_eq!(bench.service("running").status, Running);
    let stop = bench.ask("service.stop", &id, json!({}));
    assert_eq!((stop.status, bench.service("running").status), (RequestStatus::Done, Stopped));
    assert_eq!(bench.service("running").stop_reason.as_deref(), Some("operator"));
}

#[test]
fn what_is_reported_never_stands_before_what_we_keep() {
    let mut bench = Bench::new(4);
    let web = bench.service("web").clone();
    let run = bench.executing("plain", None);
    let refused = report(&mut bench, run, 1, json!({ "name": "web", "reuseKey": web.reuse_key })).unwrap();
    assert!(refused.contains("wharf.toml has a service web"), "{refused}");
    report(&mut bench, run, 2, json!({ "name": "preview", "reuseKey": web.reuse_key }));
    let reported = bench.service("preview").clone();
    assert!(is_reported(&reported) && reported.reuse_key == web.reuse_key);
    let set = bench.ask("service.set_desired", &web.id.text(), json!({ "desired": "running" }));
    assert_eq!(set.status, RequestStatus::Done, "{:?}", set.error);
    assert_eq!(bench.state.services[&web.id].status, Starting);
    let by_name = bench.ask("service.start", "web", json!({}));
    assert_eq!(by_name.result.unwrap()["service_id"], web.id.text());
}

#[test]
fn a_start_forgets_the_environment_of_the_one_before() {
    let mut bench = Bench::new(4);
    ask(&mut bench, "service.start", "web", json!({}));
    let web = bench.service("web").id;
    bench.state.services.get_mut(&web).unwrap().env_fingerprint = Some("old".into());
    bench.ready_all();
    ask(&mut bench, "service.restart", "web", json!({}));
    bench.service_ends("web", Some(0));
    assert_eq!((bench.service("web").status, bench.service("web").env_fingerprint.clone()), (Starting, None));
}

#[test]
fn the_same_id_reported_by_another_run_is_another_row() {
    let mut bench = Bench::new(4);
    let id = uuid::Uuid::from_u128(77).to_string();
    let first = bench.executing("plain", None);
    report(&mut bench, first, 1, json!({ "name": "dev", "id": id }));
    let row = bench.service("dev").clone();
    bench.ends(first, exit(Some(0), None, EndedBy::Itself, None));
    // It has ended and left memory; the store still has it.
    bench.state.services.remove(&row.id);
    let next = bench.executing("plain", None);
    assert_eq!(report(&mut bench, next, 1, json!({ "name": "dev", "id": id })), None);
    let other = bench.service("dev").clone();
    assert!(other.id != row.id);
    assert_eq!((other.scope_id, other.started_by_run_id), (next.text(), Some(next)));
    // One that outlives its run goes over to the run that reports it next.
    report(&mut bench, next, 2, json!({ "name": "kept-on", "id": id, "scope": "agent" }));
    let kept = bench.service("kept-on").clone();
    let last = bench.executing("plain", None);
    report(&mut bench, last, 1, json!({ "name": "kept-on", "id": id, "scope": "agent" }));
    assert_eq!((bench.service("kept-on").id, bench.service("kept-on").started_by_run_id), (kept.id, Some(last)));
}

#[test]
fn a_report_that_is_wrong_changes_nothing() {
    let mut bench = Bench::new(4);
    let run = bench.executing("plain", None);
    let web = bench.service("web").clone();
    let table = [
        (json!({ "name": "" }), "it has no name"),
        (json!({ "name": "a b" }), "is no name of a service"),
        (json!({ "name": "a", "url": "javascript:x" }), "does not begin with http:// or https://"),
        (json!({ "name": "a", "url": "http://:80/" }), "names no host"),
        (json!("web"), "a report is an object"),
        (json!({ "name": "x", "status": "up" }), "status is not a word for it: \"up\""),
        (json!({ "name": "x", "port": 0 }), "port is no number from 1 to 65535"),
        (json!({ "name": "x\n", "url": "a" }), "has control characters"),
        (json!({ "name": "x", "url": "u".repeat(2_001) }), "longer than 2000 bytes"),
        (json!({ "name": "x", "id": web.id.text() }), "is a service that wharf itself keeps"),
        (json!({ "name": "web" }), "wharf.toml has a service web"),
    ];
    for (seq, (body, expected)) in (1..).zip(table) {
        let why = report(&mut bench, run, seq, body.clone()).unwrap_or_default();
        assert!(why.contains(expected), "{body}: {why}");
    }
    assert_eq!(bench.service("web"), &web);
    for n in 0..40 {
        report(&mut bench, run, 100 + n, json!({ "name": format!("s{n}") }));
    }
    assert_eq!(bench.state.services.values().filter(|s| is_reported(s)).count(), 32);
}

fn comments(bench: &Bench) -> Vec<String> {
    let all = bench.changes.iter().filter_map(|c| if let Change::Comment(c) = c { Some(c.body.clone()) } else { None });
    all.collect()
}

#[test]
fn an_issue_is_told_once_where_its_run_works() {
    let mut bench = Bench::new(4);
    let issue = bench.issue("SOLO", "medium");
    let run = waiting(&mut bench, "tester", Some(&issue));
    ready(&mut bench, "web");
    let web = bench.service("web").id;
    bench.state.services.get_mut(&web).unwrap().url = Some("http://127.0.0.1:4173/".into());
    assert!(comments(&bench).is_empty(), "not before all are ready");
    ready(&mut bench, "db");
    ready(&mut bench, "own");
    let told = comments(&bench);
    assert_eq!(told.len(), 1);
    let lines: Vec<&str> = told[0].lines().collect();
    assert_eq!(
        lines[..4],
        ["## Workspace ready", "", "- Strategy: `git_worktree`", &format!("- Directory: `/w/{run}`")]
    );
    assert!(lines.contains(&"- Service: web: http://127.0.0.1:4173/"), "{lines:?}");
    assert!(lines.contains(&"- Service: db: running"), "{lines:?}");
    // Its primary address is in what the run is told of its surroundings.
    let context = bench.changes.iter().rev().find_map(|c| match c {
        Change::Text(t) if t.kind == RunTextKind::ContextSnapshot => Some(t.body.clone()),
        _ => None,
    });
    assert!(context.unwrap().contains("\"wharfRuntimePrimaryUrl\":\"http://127.0.0.1:4173/\""));
    // The next run finds all of it there.
    let child = shim::ChildRef { pid: 7, start_ticks: 7, pgid: 7, sid: 7 };
    let at = bench.now;
    bench.fact(Fact::RunStarted { run, attempt: 1, child, boot_id: "b".into(), at, adopted: None, limits: None });
    bench.ends(run, exit(Some(0), None, EndedBy::Itself, None));
    let next = bench.start("fixer", Some(&issue));
    bench.grant(next);
    bench.make_workspace(next, &format!("/w/{run}"));
    bench.ready_all();
    let told = comments(&bench).join("\n");
    assert!(told.is_empty() || told.contains("- Service: web: http://127.0.0.1:4173/ (reused)"), "{told}");
}
