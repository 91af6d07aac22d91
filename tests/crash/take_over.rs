//! A stopped holder is named at once and ended only on request; one that wakes up too late is refused.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use wharf::process::signal::Signal;
use wharf_model::*;
use wharf_store::view::ActivityQuery;

use crate::orchestrator::*;

const PATIENT: &str = "echo $$ >> $ROOT/starts; echo before; read go < $ROOT/gate; echo after";

fn acts(site: &Site, action: &str) -> Vec<ActivityRow> {
    site.activity(&ActivityQuery { action: Some(action.into()), ..ActivityQuery::default() })
}

#[test]
fn a_stopped_holder_is_named_at_once_and_ended_on_request() {
    let site = Site::plain(&agent("one", "", PATIENT));
    site.gate("gate");
    let mut first = site.start();
    let run = site.begin_run("one");
    site.started(run);
    first.signal(Signal::STOP);
    let pid = first.pid().to_string();
    for args in [&["serve"][..], &["cancel", "R-1"], &["run", "one", "--prompt", "x"], &["resolve", "R-1", "keep"]] {
        let began = Instant::now();
        let mut second = site.spawn_with(args, &[]);
        let status = second.wait_for_end();
        let said = second.said();
        assert!(began.elapsed() < Duration::from_secs(2), "{args:?}: {:?}", began.elapsed());
        assert_eq!(status.code(), Some(7), "{args:?}: {said}");
        assert!(said.contains(&pid) && said.contains("is stopped (T)") && said.contains("take-over"), "{said}");
    }
    // Nothing was left behind by those who gave up at once.
    assert_eq!(site.open_rows().requests.len(), 0);
    let mut next = site.spawn_with(&["serve", "--take-over"], &[]);
    assert!(next.wait_until_reigning(), "{}", next.said());
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&first.wait_for_end()), Some(9));
    site.wait("the adoption", || (site.noted(run, "run.adopted") == 1).then_some(()));
    let took = acts(&site, "orchestrator.took_over");
    assert_eq!(took.len(), 1);
    let details = took[0].details.clone().unwrap();
    assert_eq!((details["pid"].to_string(), details["state"].as_str()), (pid, Some("is stopped (T)")));
    site.open_gate("gate");
    assert_eq!(site.settled(run).status, RunStatus::Succeeded);
    assert_eq!(site.lines("starts").len(), 1);
    next.stop();
}

#[test]
fn a_healthy_holder_is_ended_only_when_that_is_confirmed() {
    let site = Site::plain(&agent("one", "", "true"));
    let mut first = site.start();
    let mut second = site.spawn_with(&["serve", "--take-over"], &[]);
    assert_eq!(second.wait_for_end().code(), Some(9), "{}", second.said());
    assert!(!first.has_ended());
    let mut third = site.spawn_with(&["serve", "--take-over", "--yes"], &[]);
    assert!(third.wait_until_reigning(), "{}", third.said());
    assert!(first.ends_soon());
    assert_eq!(site.settled(site.begin_run("one")).status, RunStatus::Succeeded);
    third.stop();
    // Where nobody holds it, there is nobody to be confirmed.
    let mut fourth = site.spawn_with(&["serve", "--take-over"], &[]);
    assert!(fourth.wait_until_reigning(), "{}", fourth.said());
}

#[test]
fn one_that_wakes_up_after_its_lock_file_was_deleted_is_refused_by_the_epoch() {
    let site = Site::plain(&agent("one", "", PATIENT));
    site.gate("gate");
    let mut first = site.start();
    let run = site.begin_run("one");
    site.started(run);
    first.signal(Signal::STOP);
    fs::remove_file(site.data.join("orchestrator.lock")).unwrap();
    let mut second = site.spawn(&[]);
    assert!(second.wait_until_reigning());
    site.wait("the adoption", || (site.noted(run, "run.adopted") == 1).then_some(()));
    first.signal(Signal::CONT);
    // It learns of it by the first thing anybody writes, also when that is not for it.
    let project = site.run(run).run.project_id;
    let asked = site.send("issue.create", Some(("project", project.text())), json!({ "title": "a" }));
    assert_eq!(site.answered(asked).status, RequestStatus::Done);
    let status = first.wait_for_end();
    assert_eq!(status.code(), Some(6), "{}", first.said());
    assert!(first.said().contains("took over"), "{}", first.said());
    site.open_gate("gate");
    let row = site.settled(run);
    assert_eq!((row.status, row.attempt), (RunStatus::Succeeded, 1));
    assert_eq!((site.lines("starts").len(), site.noted(run, "run.ended")), (1, 1));
}

#[test]
fn the_lock_file_of_a_copied_directory_names_a_process_that_is_left_alone() {
    let site = Site::plain(&agent("one", "", "true"));
    let mut first = site.start();
    assert_eq!(site.settled(site.begin_run("one")).status, RunStatus::Succeeded);
    let copy = site.path("copy");
    fs::create_dir(&copy).unwrap();
    std::os::unix::fs::PermissionsExt::set_mode(&mut fs::metadata(&copy).unwrap().permissions(), 0o700);
    fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    fs::copy(site.data.join("orchestrator.lock"), copy.join("orchestrator.lock")).unwrap();
    // The copy's lock is free, whatever its text says; and whoever names the first one by it is no proof.
    let data = copy.to_str().unwrap();
    let mut second = site.spawn_with(&["serve", "--take-over", "--yes", "--data-dir", data], &[]);
    assert!(second.wait_until_reigning(), "{}", second.said());
    assert!(!first.has_ended());
    second.stop();
    first.stop();
}
