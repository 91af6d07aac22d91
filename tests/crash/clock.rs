//! Clocks that are set and machines that sleep: no time-out comes early by them.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use wharf_model::*;
use wharf_store::view::ActivityQuery;

use crate::orchestrator::*;

const HOUR: i64 = 3_600_000;

/// Sets the clocks of a site's programs: the wall clock ahead by `wall`, `slept` of it asleep.
fn set(site: &Site, wall: i64, slept: i64) {
    let fresh = site.path("clock.new");
    fs::write(&fresh, format!("{wall} {slept}\n")).unwrap();
    fs::rename(fresh, site.path("clock")).unwrap();
}

fn noted(site: &Site, action: &str) -> Option<serde_json::Value> {
    let query = ActivityQuery { action: Some(action.into()), ..ActivityQuery::default() };
    site.activity(&query).into_iter().next().and_then(|a| a.details)
}

/// Lets an orchestrator look at its clocks: something is asked of it.
fn poke(site: &Site, project: ProjectId) {
    let now = wharf::clock::now();
    let row = wharf_store::RequestSender::open(&site.data)
        .unwrap()
        .send(&wharf_store::NewRequest {
            kind: "issue.create".into(),
            target_type: Some("project".into()),
            target_id: Some(project.text()),
            args: json!({ "title": "look" }),
            expect: None,
            actor_type: ActorType::Operator,
            actor_id: "tester".into(),
            origin: RequestOrigin::Cli,
            idempotency_key: None,
            now,
            // Far beyond every jump of these tests: what is asked must not expire by them.
            expires_at: now.plus(1_000 * HOUR),
        })
        .unwrap();
    site.answered(row.id);
}

#[test]
fn a_step_and_a_sleep_move_the_deadlines_of_what_is_awake() {
    let site = Site::plain(&agent("one", "timeout = \"30m\"", "read go < $ROOT/gate"));
    site.gate("gate");
    set(&site, 0, 0);
    let clock = site.path("clock");
    let mut it = site.spawn(&[("WHARF_TEST_CLOCK", clock.to_str().unwrap())]);
    assert!(it.wait_until_reigning());
    let run = site.begin_run("one");
    let row = site.started(run);
    let (deadline, project) = (row.deadline_at.unwrap(), row.project_id);
    // Eight hours asleep: the wall clock goes on meanwhile.
    set(&site, 8 * HOUR, 8 * HOUR);
    poke(&site, project);
    let slept = site.wait("the sleep", || noted(&site, "clock.suspended"));
    assert!((slept["slept_ms"].as_i64().unwrap() - 8 * HOUR).abs() < 2_000, "{slept}");
    let after = site.run(run).run;
    assert_eq!(after.status, RunStatus::Running);
    assert!((after.deadline_at.unwrap().0 - deadline.0 - 8 * HOUR).abs() < 2_000, "moved by what was slept");
    assert!(noted(&site, "clock.stepped").is_none());
    // An hour forward, then three back: the time-out stays as far away as it was.
    for (wall, by) in [(9 * HOUR, HOUR), (6 * HOUR, -3 * HOUR)] {
        let before = site.run(run).run.deadline_at.unwrap();
        set(&site, wall, 8 * HOUR);
        poke(&site, project);
        let stepped = site.wait("the step", || {
            noted(&site, "clock.stepped").filter(|d| (d["by_ms"].as_i64().unwrap() - by).abs() < 2_000)
        });
        assert!(stepped["deadlines_moved"].as_u64().unwrap() >= 1, "{stepped}");
        let after = site.run(run).run;
        assert_eq!((after.status, after.stop_reason), (RunStatus::Running, None));
        assert!((after.deadline_at.unwrap().0 - before.0 - by).abs() < 2_000);
    }
    site.open_gate("gate");
    assert_eq!(site.settled(run).status, RunStatus::Succeeded);
}

#[test]
fn a_time_out_still_comes_when_its_time_awake_is_over() {
    let site = Site::plain(&agent("one", "timeout = \"3s\"\ngrace = \"100ms\"", "exec sleep 600"));
    set(&site, 0, 0);
    let clock = site.path("clock");
    let mut it = site.spawn(&[("WHARF_TEST_CLOCK", clock.to_str().unwrap())]);
    assert!(it.wait_until_reigning());
    let began = Instant::now();
    let run = site.begin_run("one");
    site.started(run);
    set(&site, -24 * HOUR, 0);
    let row = site.settled(run);
    assert_eq!(row.status, RunStatus::TimedOut, "{:?}", row.error);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
