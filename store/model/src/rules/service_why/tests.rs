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
