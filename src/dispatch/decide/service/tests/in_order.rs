//! Stopping a service that others need, and what becomes of those when it goes by itself.

use super::*;

const CHAIN: [&str; 4] = ["api", "cache", "base", "db"];

/// A chain that runs: api needs cache and db, cache needs base.
fn chain() -> Bench {
    let mut bench = Bench::new(4);
    bench.executing_with("builder", &["db", "base", "cache", "api", "flaky"]);
    bench
}

fn states(bench: &Bench) -> [ServiceStatus; 4] {
    CHAIN.map(|name| bench.service(name).status)
}

fn stop(bench: &mut Bench, name: &str, dependents: &str) -> RequestRow {
    ask(bench, "service.stop", name, json!({ "dependents": dependents }))
}

fn now(bench: &Bench, row: &RequestRow) -> (RequestStatus, Option<String>) {
    let row = &bench.state.requests[&row.id];
    (row.status, row.error_code.clone())
}

#[test]
fn one_that_others_need_is_not_stopped_without_a_word_about_them() {
    for (name, refused) in [("base", Some("cache")), ("cache", Some("api")), ("db", Some("api")), ("api", None)] {
        let mut bench = chain();
        let row = ask(&mut bench, "service.stop", name, json!({}));
        assert_eq!(row.status == RequestStatus::Refused, refused.is_some(), "{name}: {:?}", row.error);
        if let Some(other) = refused {
            let (words, number) = (row.error.unwrap(), Kind::Service.number(bench.service(other).number));
            assert!(words.contains(&format!("{number} {other} needs")), "{words}");
            assert!(words.contains("--with-dependents") && words.contains("--yes"), "{words}");
            assert_eq!(states(&bench), [Running; 4], "{name}");
        }
    }
    // One whose dependents do not run is needed by nobody.
    let mut bench = chain();
    stop(&mut bench, "api", "leave");
    bench.service_ends("api", Some(0));
    assert_eq!(ask(&mut bench, "service.stop", "db", json!({})).status, RequestStatus::Accepted);
}

#[test]
fn they_are_stopped_first_one_after_the_other() {
    let mut bench = chain();
    let row = stop(&mut bench, "base", "stop");
    assert_eq!(row.status, RequestStatus::Accepted, "{:?}", row.error);
    let names: Vec<Value> =
        row.result.as_ref().unwrap()["services"].as_array().unwrap().iter().map(|s| s["name"].clone()).collect();
    assert_eq!(names, ["api", "cache", "base"]);
    assert_eq!(states(&bench), [Stopping, Running, Running, Running]);
    // A new reign goes on with it.
    bench.decide(&Input::Begin);
    assert_eq!(states(&bench), [Stopping, Running, Running, Running]);
    bench.service_ends("api", Some(0));
    assert_eq!(states(&bench), [Stopped, Stopping, Running, Running], "what api needs beside it stays");
    bench.service_ends("cache", Some(0));
    assert_eq!(states(&bench), [Stopped, Stopped, Stopping, Running]);
    assert_eq!(now(&bench, &row).0, RequestStatus::Accepted);
    bench.service_ends("base", Some(0));
    assert_eq!(now(&bench, &row), (RequestStatus::Done, None));
}

#[test]
fn what_has_no_process_is_passed_over_at_once() {
    let mut bench = Bench::new(4);
    waiting(&mut bench, "builder", None);
    for name in ["db", "base"] {
        ready(&mut bench, name);
    }
    // api waits for cache, and has no process yet.
    assert_eq!(states(&bench), [Starting, Starting, Running, Running]);
    let row = stop(&mut bench, "base", "stop");
    assert_eq!(states(&bench)[..2], [Stopped, Stopping]);
    bench.service_ends("cache", Some(0));
    bench.service_ends("base", Some(0));
    assert_eq!(now(&bench, &row), (RequestStatus::Done, None));
}

#[test]
fn one_that_begins_to_need_it_meanwhile_ends_the_rest_of_the_stop() {
    let mut bench = chain();
    let row = stop(&mut bench, "base", "stop");
    assert_eq!(ask(&mut bench, "service.start", "kept", json!({})).status, RequestStatus::Accepted);
    bench.service_ends("api", Some(0));
    bench.service_ends("cache", Some(0));
    assert_eq!(now(&bench, &row), (RequestStatus::Failed, Some("service_start_failed".into())));
    assert!(bench.state.requests[&row.id].error.as_ref().unwrap().contains("kept was started meanwhile"));
    assert_eq!(bench.service("base").status, Running);
}

#[test]
fn what_is_stopped_together_is_what_was_shown() {
    let mut bench = chain();
    let shown = |bench: &Bench, names: &[&str]| -> Value {
        let mut all: std::collections::BTreeMap<String, i64> =
            names.iter().map(|n| (bench.service(n).id.text(), bench.service(n).version)).collect();
        for name in ["api", "cache", "base"] {
            for user in bench.state.users_of(bench.service(name).id) {
                all.insert(user.text(), 0);
            }
        }
        all.into_iter().map(|(id, version)| json!({ "id": id, "version": version })).collect()
    };
    let base = bench.service("base").id.text();
    let stop = |bench: &mut Bench, expect: Value| {
        let row = bench.request("service.stop", |r| {
            (r.target_id, r.expect) = (Some(base.clone()), Some(expect));
            r.args = json!({ "dependents": "stop" });
        });
        bench.decide(&Input::Request(Box::new(row.clone()), Prepared::Nothing));
        bench.state.requests[&row.id].clone()
    };
    let one_missing = shown(&bench, &["base", "cache"]);
    assert_eq!(stop(&mut bench, one_missing).error_code.as_deref(), Some("changed_since_preview"));
    let all = shown(&bench, &["base", "cache", "api"]);
    let row = stop(&mut bench, all);
    assert_eq!(row.status, RequestStatus::Accepted, "{:?}", row.error);
}

#[test]
fn those_that_need_one_that_goes_by_itself_are_left_alone() {
    // It crashes and is parked: base has no policy, so it has failed; cache is restarted until it is parked.
    let mut bench = chain();
    bench.service_ends("base", Some(1));
    assert_eq!(states(&bench), [Running, Running, Failed, Running]);
    let mut bench = chain();
    for _ in 0..8 {
        match bench.service("cache").status {
            Running | Starting => bench.service_ends("cache", Some(1)),
            _ => bench.wait(61_000 / 8),
        }
    }
    assert_eq!(bench.service("cache").error_code.as_deref(), Some(CRASH_LOOP));
    assert_eq!((bench.service("api").status, bench.service("api").generation), (Running, 1));
    // Nor does a restart by hand restart them.
    let mut bench = chain();
    assert_eq!(ask(&mut bench, "service.restart", "db", json!({})).status, RequestStatus::Accepted);
    bench.service_ends("db", Some(0));
    ready(&mut bench, "db");
    assert_eq!((bench.service("db").generation, bench.service("api").generation), (2, 1));
    assert_eq!(states(&bench), [Running; 4]);
}

#[test]
fn a_second_stop_during_a_stop_is_the_last_word_and_gives_no_second_order() {
    let mut bench = chain();
    let first = ask(&mut bench, "service.stop", "api", json!({}));
    let api = bench.service("api").id.text();
    let order = bench.action(ActionKind::StopShim, &api);
    assert!(order.is_some());
    let again = ask(&mut bench, "service.stop", "api", json!({}));
    let result = again.result.clone().unwrap();
    assert_eq!((&result["already"], &result["force"]), (&json!("stopping"), &json!(false)));
    assert_eq!(bench.action(ActionKind::StopShim, &api), order, "one order");
    // A restart under way becomes a stop.
    let mut bench_restarted = chain();
    ask(&mut bench_restarted, "service.restart", "api", json!({}));
    ask(&mut bench_restarted, "service.stop", "api", json!({}));
    bench_restarted.service_ends("api", Some(0));
    assert_eq!((bench_restarted.service("api").status, bench_restarted.service("api").generation), (Stopped, 1));
    bench.service_ends("api", Some(0));
    for row in [&first, &again] {
        assert_eq!(now(&bench, row), (RequestStatus::Done, None));
    }
    // One whose end is not seen in time is ended by force by the next one.
    let mut bench = chain();
    ask(&mut bench, "service.stop", "api", json!({}));
    bench.wait(3_600_000);
    let forced = ask(&mut bench, "service.stop", "api", json!({}));
    assert_eq!(forced.result.unwrap()["force"], json!(true));
}
