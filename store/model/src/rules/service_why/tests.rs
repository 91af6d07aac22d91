use serde_json::json;

use super::*;
use crate::Health;
use crate::config::{EnvValue, Live, LiveCheck, RestartConfig};
use crate::rules::service_restart::CRASH_LOOP;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn config() -> ServiceConfig {
    let mut config = ServiceConfig::new("worker".into(), CommandLine::Shell("node worker.js".into()));
    config.env.insert("NODE_ENV".into(), EnvValue::Text("development".into()));
    config
}

fn row(config: &ServiceConfig) -> ServiceRow {
    ServiceRow {
        number: 11,
        name: config.name.clone(),
        status: ServiceStatus::Failed,
        health: Health::Unhealthy,
        generation: 1,
        command: "node worker.js".into(),
        config: serde_json::to_value(config).unwrap(),
        exit_code: Some(1),
        error_code: Some("service_start_failed".into()),
        error: Some("exit 1; its last error output: REDIS_URL is not set".into()),
        started_at: Some(NOW.plus(-400)),
        stopped_at: Some(NOW),
        ..super::super::test_rows::service()
    }
}

fn around() -> Around {
    Around { now: NOW, config: Some(("/srv/shop/wharf.toml".into(), 58)), ..Around::default() }
}

fn evidence<'a>(why: &'a Why, label: &str) -> Option<&'a str> {
    why.evidence.iter().find(|(l, _)| l == label).map(|(_, v)| v.as_str())
}

fn keys(why: &Why) -> Vec<Key> {
    why.actions.iter().map(|a| a.key).collect()
}

/// Every state, with the case it comes to.
#[test]
fn each_state_has_its_case() {
    type Change = fn(&mut ServiceRow, &mut Around);
    let table: &[(&str, Case, Change)] = &[
        ("healthy", Case::Healthy, |r, _| (r.status, r.health) = (ServiceStatus::Running, Health::Healthy)),
        ("runs", Case::Unjudged, |r, _| (r.status, r.health) = (ServiceStatus::Running, Health::Unknown)),
        ("unhealthy", Case::Unhealthy, |r, _| (r.status, r.health) = (ServiceStatus::Running, Health::Unhealthy)),
        ("starting", Case::Starting, |r, _| r.status = ServiceStatus::Starting),
        ("waiting", Case::Waiting, |r, a| {
            r.status = ServiceStatus::Starting;
            a.waits_for.push(Other { name: "S-3 db".into(), state: "starting".into() });
        }),
        ("stopping", Case::Stopping, |r, _| {
            (r.status, r.deadline_at) = (ServiceStatus::Stopping, Some(NOW.plus(5_000)));
        }),
        ("not ended", Case::StopOverdue, |r, _| r.status = ServiceStatus::Stopping),
        ("backoff", Case::Backoff, |r, _| r.status = ServiceStatus::Backoff),
        ("stopped", Case::Stopped, |r, _| r.status = ServiceStatus::Stopped),
        ("off", Case::Off, |r, _| {
            r.status = ServiceStatus::Stopped;
            r.config["disabled"] = json!("not on laptops");
        }),
        ("port taken", Case::PortTaken, |r, _| r.error_code = Some("port_in_use".into())),
        ("never ready", Case::NeverReady, |r, _| r.error_code = Some("service_not_ready".into())),
        ("no directory", Case::CannotStart, |r, _| r.error_code = Some("cwd_missing".into())),
        ("never ran", Case::CannotStart, |r, _| {
            (r.exit_code, r.error) = (None, Some("links to another checkout".into()));
        }),
        ("lost", Case::Lost, |r, _| r.error_code = Some("process_lost".into())),
        ("ended", Case::Ended, |_, _| {}),
        ("parked", Case::Parked, |r, _| r.error_code = Some(CRASH_LOOP.into())),
        ("kept by an adapter", Case::Unhealthy, |r, _| {
            (r.status, r.provider) = (ServiceStatus::Running, "adapter".into());
        }),
    ];
    for (name, case, change) in table {
        let (mut row, mut around) = (row(&config()), around());
        change(&mut row, &mut around);
        let why = why(&row, &around);
        assert_eq!(why.case, *case, "{name}: {why:?}");
        assert!(why.verdict.starts_with("S-11 ") && !why.rule.is_empty(), "{name}: {why:?}");
        let trouble = case.is_trouble();
        assert!(!trouble || !why.evidence.is_empty(), "{name}: nothing was seen: {why:?}");
        assert!(!trouble || !why.actions.is_empty(), "{name}: nothing can be done: {why:?}");
        let mut keys = keys(&why);
        keys.sort_by_key(|k| *k as u8);
        keys.dedup();
        assert_eq!(keys.len(), why.actions.len(), "{name}: one key twice");
    }
}

/// The page of the drawing.
#[test]
fn a_crash_loop_is_told_with_what_it_misses() {
    let mut config = config();
    config.restart = RestartConfig { policy: RestartPolicy::OnFailure, backoff_ms: 1_000, max: 5, within_ms: 60_000 };
    config.desired = Desired::Running;
    let mut row = row(&config);
    row.restart_times = Some(json!([1, 2, 3, 4, 5]));
    row.error_code = Some(CRASH_LOOP.into());
    let reason = "the command ended 6 times within 60s, restarts are used up; at last: ";
    row.error = Some(format!("{reason}{}", row.error.unwrap()));
    row.desired = Desired::Running;
    let why = why(&row, &around());
    assert_eq!(why.case, Case::Parked);
    assert_eq!(why.verdict, "S-11 FAILED: the command ended 6 times within 60s, restarts are used up.");
    assert_eq!(why.rule, ["crash loop: restart budget 5 within 60s (wharf.toml line 58)"]);
    assert_eq!((why.since, &why.until), (Some(NOW), &Until::YouAct));
    assert_eq!(evidence(&why, "last exit"), Some("code 1 after 0.4s"));
    assert_eq!(evidence(&why, "last line"), Some("stderr: REDIS_URL is not set"));
    assert_eq!(
        evidence(&why, "environment"),
        Some("its config passes 2 names, REDIS_URL is not among them"),
        "NODE_ENV and TERM"
    );
    assert_eq!(evidence(&why, "wanted"), Some("running"));
    assert_eq!(keys(&why), [Key::Restart, Key::Open, Key::Stop]);
    assert_eq!(why.actions[0].remark, "resets the budget");
    assert_eq!(why.actions[0].command, "wharf service restart S-11");
    assert_eq!(why.actions[1].does, "open wharf.toml at line 58");
    assert_eq!(why.actions[2].remark, "desired running → stopped");
}

#[test]
fn an_unhealthy_one_is_told_with_its_checks_and_what_is_well() {
    let mut config = config();
    config.live = Some(Live::new(LiveCheck::Http("http://127.0.0.1:{{port}}/".into())));
    let mut row = row(&config);
    (row.status, row.health, row.port, row.process_pid) =
        (ServiceStatus::Running, Health::Unhealthy, Some(3_000), Some(77));
    row.health_evidence = Some("http 503 from http://127.0.0.1:3000/ in 12 ms".into());
    row.health_since = Some(NOW.plus(-60_000));
    let page = why(&row, &Around { users: vec!["R-4".into()], ..around() });
    let rule = "liveness: http http://127.0.0.1:3000/, 3 failed checks in a row, one each 10s (wharf.toml line 58)";
    assert_eq!(page.rule, [rule]);
    assert_eq!(page.since, Some(NOW.plus(-60_000)));
    assert_eq!(evidence(&page, "last check"), Some("http 503 from http://127.0.0.1:3000/ in 12 ms"));
    assert_eq!(evidence(&page, "used by"), Some("R-4"));
    assert_eq!(page.fine, ["its process lives, pid 77", "nobody else is known to hold port 3000"]);
    let stranger = Some((3_000, "pid 812 postgres".into()));
    let page = why(&row, &Around { stranger, ..around() });
    assert!(evidence(&page, "port 3000").is_some_and(|e| e.contains("pid 812 postgres")), "{page:?}");
    assert_eq!(page.fine.len(), 1);
}

#[test]
fn what_is_wanted_and_is_not_so_is_said_with_who_wanted_it() {
    let mut row = row(&config());
    (row.status, row.desired, row.desired_by) = (ServiceStatus::Stopped, Desired::Running, Some("operator".to_owned()));
    assert_eq!(evidence(&why(&row, &around()), "wanted"), Some("running, by operator"));
    row.desired = Desired::Manual;
    assert_eq!(evidence(&why(&row, &around()), "wanted"), None);
}

#[test]
fn a_missing_variable_is_told_only_of_one_that_is_not_passed() {
    for (line, name) in [
        ("REDIS_URL is not set", Some("REDIS_URL")),
        ("KeyError: 'API_KEY' not found", Some("API_KEY")),
        ("Error: required environment variable \"DATABASE_URL\" missing", Some("DATABASE_URL")),
        ("ECONNREFUSED: connection refused", None),
        ("module REDIS_CLIENT loaded", None),
        ("file not found", None),
    ] {
        assert_eq!(unset_variable(line).as_deref(), name, "{line}");
    }
    let mut row = row(&config());
    row.error = Some("exit 1; its last error output: NODE_ENV is not set\nNODE_ENV is required".into());
    let page = why(&row, &around());
    assert_eq!(evidence(&page, "last line"), Some("stderr: NODE_ENV is required"));
    assert_eq!(evidence(&page, "environment"), None);
}

#[test]
fn what_it_needs_and_is_not_well_is_named_with_since_when() {
    let db = Need { name: "S-3 db".into(), state: "parked".into(), since: Some(NOW.plus(-600_000)) };
    let clock = NOW.plus(-600_000).rfc3339()[11..19].to_owned();
    let words = format!("S-3 db, which is parked since {clock} UTC, 10m ago");
    let around = Around { needs: vec![db], ..around() };
    let mut row = row(&config());
    let table = [
        // Status, health, whether it is named, whether as the reason.
        (ServiceStatus::Running, Health::Healthy, true, false),
        (ServiceStatus::Running, Health::Unhealthy, true, true),
        (ServiceStatus::Backoff, Health::Unhealthy, true, true),
        (ServiceStatus::Failed, Health::Unhealthy, true, true),
        (ServiceStatus::Stopped, Health::Unknown, false, false),
    ];
    for (status, health, named, blamed) in table {
        (row.status, row.health) = (status, health);
        if status == ServiceStatus::Stopped {
            (row.error, row.error_code, row.exit_code) = (None, None, None);
        }
        let page = why(&row, &around);
        assert_eq!(evidence(&page, "needs") == Some(&*words), named, "{status} {health}: {page:?}");
        let reason = page.rule.iter().any(|r| r.contains(&words));
        assert_eq!(reason, blamed, "{status} {health}: {page:?}");
    }
}

#[test]
fn spans_are_short() {
    let spans = [400, 9_000, 60_000, 90_000, 600_000, 7_200_000].map(span);
    assert_eq!(spans, ["0.4s", "9s", "60s", "90s", "10m", "2h"]);
}

fn parked(error: &str) -> ServiceRow {
    let mut config = config();
    config.restart = RestartConfig { policy: RestartPolicy::OnFailure, backoff_ms: 1_000, max: 2, within_ms: 60_000 };
    let (error_code, error) = (Some(CRASH_LOOP.into()), Some(error.into()));
    ServiceRow { error_code, error, restart_times: Some(json!([1, 2])), ..row(&config) }
}

#[test]
fn a_parked_one_names_what_its_last_start_came_to() {
    let port = "it failed 3 times within 60s, restarts are used up; at last: port 45001 is in use by process 9 (api) of \
        user 1000; it is S-3 api: `wharf service stop S-3` ends it";
    let mut row = parked(port);
    row.exit_code = None;
    let page = why(&row, &around());
    assert_eq!(page.verdict, "S-11 FAILED: it failed 3 times within 60s, restarts are used up.");
    let error = evidence(&page, "error").unwrap();
    assert!(error.starts_with("port 45001 is in use by process 9") && error.ends_with("stop S-3` ends it"), "{error}");
    assert!(page.actions.iter().any(|a| a.remark.starts_with("give it another port")), "{page:?}");
    let mut row =
        parked("it failed 3 times within 126s, restarts are used up; at last: it was unhealthy: http 500, 3 times");
    (row.exit_code, row.signal, row.stop_reason) = (None, Some("SIGTERM".into()), Some("unhealthy".into()));
    let page = why(&row, &around());
    assert_eq!(page.verdict, "S-11 FAILED: it failed 3 times within 126s, restarts are used up.");
    assert_eq!(evidence(&page, "error"), Some("it was unhealthy: http 500, 3 times"));
    assert_eq!(evidence(&page, "last exit"), Some("stopped by wharf with SIGTERM after 0.4s"));
    // One that ended by itself says so by its exit alone.
    let page = why(&parked("the command ended 3 times within 60s, restarts are used up; at last: exit 1"), &around());
    assert_eq!((evidence(&page, "error"), evidence(&page, "last exit")), (None, Some("code 1 after 0.4s")));
}

#[test]
fn how_it_ended_does_not_blame_others_for_our_own_stop() {
    let with = |stop_reason: Option<&str>, code: &str, signal: Option<&str>, exit_code| ServiceRow {
        stop_reason: stop_reason.map(str::to_owned),
        error_code: Some(code.into()),
        signal: signal.map(str::to_owned),
        exit_code,
        ..row(&config())
    };
    let table = [
        (with(Some("start_timeout"), CRASH_LOOP, Some("SIGTERM"), None), "not ready"),
        (with(Some("unhealthy"), CRASH_LOOP, Some("SIGTERM"), None), "unhealthy"),
        (with(None, "service_not_ready", Some("SIGTERM"), None), "not ready"),
        (with(None, "service_start_failed", Some("SIGKILL"), None), "SIGKILL"),
        (with(None, "service_start_failed", None, Some(3)), "exit 3"),
    ];
    for (row, expected) in table {
        assert_eq!(ending(&row).as_deref(), Some(expected), "{row:?}");
    }
}

#[test]
fn one_that_goes_on_in_an_old_form_is_told_so_and_offered_what_is_possible() {
    let table = [
        (super::service_off::REPLACED, "S-11 is healthy; old form."),
        (super::service_off::REMOVED, "S-11 is healthy; not configured."),
        ("maintenance", "S-11 is healthy; switched off."),
    ];
    for (reason, verdict) in table {
        let mut row = row(&config());
        (row.status, row.health) = (ServiceStatus::Running, Health::Healthy);
        row.config["disabled"] = json!(reason);
        let page = why(&row, &around());
        assert_eq!(page.verdict, verdict);
        assert_eq!(page.until, Until::When("it ends or is stopped; it is not started again".into()));
        assert_eq!(keys(&page), [Key::Stop], "a restart would be refused");
        assert!(evidence(&page, "config").is_some_and(|e| e.contains(reason)), "{page:?}");
        // After its end nothing speaks of a line that is not there.
        row.status = ServiceStatus::Stopped;
        let page = why(&row, &around());
        let line = format!("{:?}", page.until).contains("that line goes");
        assert_eq!((page.case, line), (Case::Off, reason == "maintenance"), "{page:?}");
    }
}

#[test]
fn what_an_adapter_keeps_is_not_offered_our_verbs() {
    let mut row = row(&config());
    (row.status, row.health, row.provider) = (ServiceStatus::Running, Health::Healthy, "adapter".into());
    row.url = Some("http://127.0.0.1:4000/".into());
    let page = why(&row, &Around { users: vec!["R-4".into()], ..around() });
    assert_eq!(keys(&page), [Key::Open]);
    assert!(page.rule[0].starts_with("reported:"), "{page:?}");
    assert_eq!(keys(&why(&row, &around())), [Key::Open, Key::Stop], "its run is over");
}

#[test]
fn rules_say_what_happens() {
    let http = |live: bool| {
        let mut config = config();
        config.ready.check = ReadyCheck::Http("http://127.0.0.1:1/".into());
        config.restart.policy = RestartPolicy::Always;
        config.live = live.then(|| Live::new(LiveCheck::Tcp("a:1".into())));
        config
    };
    // Without `live` a failed look changes nothing.
    let mut it = row(&http(false));
    (it.status, it.health) = (ServiceStatus::Running, Health::Unhealthy);
    let page = why(&it, &around());
    assert_eq!(page.until, Until::When("it answers again; nothing restarts it by itself".into()));
    assert!(page.rule[0].contains("looked at each 30s") && page.rule[0].contains("no liveness check"), "{page:?}");
    it.health = Health::Healthy;
    assert!(why(&it, &around()).rule[0].contains("looked at each 30s"));
    let mut it = row(&http(true));
    (it.status, it.health) = (ServiceStatus::Running, Health::Unhealthy);
    assert_eq!(why(&it, &around()).until, Until::When("it answers again, or is started again by its policy".into()));
    // Starting again, with what it is started again for.
    (it.status, it.restarts, it.restart_times) = (ServiceStatus::Starting, 1, Some(json!([1])));
    it.health_evidence = Some("it was unhealthy: no answer".into());
    let page = why(&it, &around());
    assert!(matches!(&page.until, Until::At(_, then) if then == "then it is started again after a pause"), "{page:?}");
    assert_eq!(evidence(&page, "start before"), Some("it was unhealthy: no answer"));
    assert_eq!(evidence(&page, "restart"), Some("1 of 5"));
    it.restart_times = Some(json!([1, 2, 3, 4, 5]));
    let page = why(&it, &around());
    assert!(matches!(&page.until, Until::At(_, then) if then.starts_with("then it has failed")), "{page:?}");
    // Meant to run, it is started again whatever its policy says.
    let mut it = row(&config());
    (it.status, it.desired) = (ServiceStatus::Backoff, Desired::Running);
    assert!(why(&it, &around()).rule[0].starts_with("desired running: it is started again: pauses from 1s"));
    // A run may use one that is meant to be stopped.
    (it.status, it.desired) = (ServiceStatus::Stopped, Desired::Stopped);
    let page = why(&it, &around());
    assert_eq!(page.until, Until::When("a run wants it".into()));
    assert!(!page.rule[0].contains("refused"), "{page:?}");
}

#[test]
fn one_of_a_run_that_is_over_is_not_offered_a_start() {
    let mut row = row(&config());
    (row.status, row.scope_type) = (ServiceStatus::Stopped, crate::ReuseScope::Run);
    let page = why(&row, &around());
    assert_eq!((keys(&page), &page.until), (Vec::new(), &Until::YouAct), "{page:?}");
    assert!(page.rule[0].starts_with("reuse run:"), "{page:?}");
    let page = why(&row, &Around { users: vec!["R-4".into()], ..around() });
    assert_eq!(keys(&page), [Key::Start], "its run goes on");
}
