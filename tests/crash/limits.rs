//! Limits are never exceeded, and who waits is taken in order.

use serde_json::json;
use wharf_model::*;

use crate::orchestrator::*;

/// Notes when it begins and ends, and waits at its own gate.
const GATED: &str = "echo begin $WHARF_RUN_NUMBER >> $ROOT/course; read go < $ROOT/gate-$WHARF_RUN_NUMBER; \
                     echo end $WHARF_RUN_NUMBER >> $ROOT/course";

/// The most that ran at one moment, by what they noted.
fn most_at_once(lines: &[String]) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for line in lines {
        now = if line.starts_with("begin") { now + 1 } else { now - 1 };
        most = most.max(now);
    }
    most
}

fn site(more: &str, machine: u32) -> Site {
    let config = format!("[workspace]\nconcurrency = \"allow\"\n{}", agent("one", more, GATED));
    let site = Site::plain(&config);
    site.configure_machine(&format!("[limits]\nconcurrent_runs = {machine}\n"));
    for n in 1..=6 {
        site.gate(&format!("gate-R-{n}"));
    }
    site
}

fn running(site: &Site) -> Vec<i64> {
    let all = site.all_runs();
    all.iter().filter(|r| r.status == RunStatus::Running).map(|r| r.number).collect()
}

#[test]
fn neither_the_agents_nor_the_machines_limit_is_exceeded_and_the_oldest_goes_first() {
    for (more, machine, limit) in [("concurrent_runs = 1", 8, 1), ("concurrent_runs = 20", 2, 2)] {
        let site = site(more, machine);
        let it = site.start();
        let runs: Vec<RunId> = (0..5).map(|_| site.begin_run("one")).collect();
        site.started(runs[limit - 1]);
        assert_eq!(running(&site), (1..=limit as i64).collect::<Vec<_>>());
        // A new orchestrator keeps to the limit as well.
        it.kill();
        let _next = site.start();
        for (i, run) in runs.iter().enumerate() {
            site.open_gate(&format!("gate-R-{}", i + 1));
            site.settled(*run);
            if let Some(next) = runs.get(i + limit) {
                site.started(*next);
            }
            assert!(running(&site).len() <= limit, "{:?}", running(&site));
        }
        let course = site.lines("course");
        assert_eq!(most_at_once(&course), limit, "{course:?}");
        let begun: Vec<&String> = course.iter().filter(|l| l.starts_with("begin")).collect();
        if limit == 1 {
            assert_eq!(begun, ["begin R-1", "begin R-2", "begin R-3", "begin R-4", "begin R-5"]);
        }
        assert_eq!(begun.len(), 5);
        site.assert_nothing_open("after all");
    }
}

#[test]
fn a_run_with_an_issue_goes_before_one_without_and_one_issue_has_one_run() {
    let site = site("concurrent_runs = 20", 2);
    let _it = site.start();
    let first = site.begin_run("one");
    let second = site.begin_run("one");
    site.started(second);
    let project = site.run(first).run.project_id;
    let issue = |title: &str, priority: &str| {
        let args = json!({ "title": title, "priority": priority });
        let row = site.finished(site.send("issue.create", Some(("project", project.text())), args));
        row.result.unwrap()["issue"].as_str().unwrap().to_owned()
    };
    let (low, urgent) = (issue("later", "low"), issue("now", "critical"));
    let asked = |issue: Option<&str>| {
        let args = issue.map_or_else(|| json!({}), |i| json!({ "issue": i }));
        site.run_of(site.ask_run("one", args))
    };
    let (plain, late, now, now_again) = (asked(None), asked(Some(&low)), asked(Some(&urgent)), asked(Some(&urgent)));
    assert!(running(&site) == [1, 2]);
    site.open_gate("gate-R-1");
    site.started(now);
    site.open_gate("gate-R-2");
    // The second run of the urgent issue waits for the first one; the other issue goes before it.
    site.started(late);
    assert_eq!(site.run(now_again).run.status, RunStatus::Queued);
    site.open_gate("gate-R-5");
    site.started(now_again);
    assert_eq!(site.run(plain).run.status, RunStatus::Queued);
    site.open_gate("gate-R-4");
    site.started(plain);
    site.open_gate("gate-R-6");
    site.open_gate("gate-R-3");
    for run in [first, second, plain, late, now, now_again] {
        assert_eq!(site.settled(run).status, RunStatus::Succeeded);
    }
    site.assert_nothing_open("after all");
}

#[test]
fn runs_in_one_shared_checkout_follow_one_another() {
    let site = Site::plain(&agent("one", "", GATED));
    for n in 1..=3 {
        site.gate(&format!("gate-R-{n}"));
    }
    let _it = site.start();
    let runs: Vec<RunId> = (0..3).map(|_| site.begin_run("one")).collect();
    for (i, run) in runs.iter().enumerate() {
        site.started(*run);
        assert_eq!(running(&site), [i as i64 + 1]);
        site.open_gate(&format!("gate-R-{}", i + 1));
        site.settled(*run);
    }
    assert_eq!(most_at_once(&site.lines("course")), 1);
}
