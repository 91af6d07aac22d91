//! A shim that dies takes its record along: its run is lost, never a success, and nothing of it lives on.

use std::time::{Duration, Instant};

use wharf::process::signal::{self, Signal};
use wharf_model::shim::{IdFile, ProcessRef};
use wharf_model::*;

use crate::orchestrator::*;

const TREE: &str =
    "trap '' TERM; (trap '' TERM; setsid sleep 600) & echo $$ >> $ROOT/starts; while :; do echo more; sleep 0.05; done";

fn site() -> Site {
    Site::plain(&format!(
        "[workspace]\nconcurrency = \"allow\"\n{}{}",
        agent("tree", "grace = \"300ms\"", TREE),
        agent("other", "", "read go < $ROOT/gate; echo fine")
    ))
}

/// The shim of a run, as its directory names it.
fn shim_of(site: &Site, run: RunId) -> ProcessRef {
    let (dir, _) = site.shims().into_iter().find(|(_, spec)| spec.id == run.text()).unwrap();
    let id: IdFile = serde_json::from_slice(&std::fs::read(dir.join("id.json")).unwrap()).unwrap();
    id.shim
}

fn assert_lost(site: &Site, run: RunId) {
    let row = site.settled(run);
    assert_eq!((row.status, row.error_code.as_deref(), row.exit_code), (RunStatus::Lost, Some("process_lost"), None));
    assert_eq!(site.processes_of(&row), Vec::<String>::new(), "what it left was found by its tag");
    assert_eq!((site.noted(run, "run.lost"), site.noted(run, "run.ended")), (1, 1));
    assert!(row.stdout_bytes.unwrap() > 0, "what was written until then is kept");
    assert_eq!(site.run(run).lease.unwrap().lease.status, LeaseStatus::Failed);
    assert_eq!(site.lines("starts").len(), 1, "it is not started again");
}

#[test]
fn a_run_whose_shim_dies_is_lost_and_others_go_on() {
    let site = site();
    site.gate("gate");
    let _it = site.start();
    let (run, other) = (site.begin_run("tree"), site.begin_run("other"));
    site.started(run);
    site.started(other);
    eventually("the tree", || (site.processes_of(&site.run(run).run).len() >= 3).then_some(()));
    let began = Instant::now();
    assert!(signal::send(shim_of(&site, run), Signal::KILL).unwrap());
    assert_lost(&site, run);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    site.open_gate("gate");
    assert_eq!(site.settled(other).status, RunStatus::Succeeded);
    site.assert_nothing_open("after both");
}

#[test]
fn a_run_whose_shim_dies_while_nobody_is_there_is_lost_as_well() {
    let site = site();
    let it = site.start();
    let run = site.begin_run("tree");
    site.started(run);
    eventually("the tree", || (site.lines("starts").len() == 1).then_some(()));
    it.kill();
    assert!(signal::send(shim_of(&site, run), Signal::KILL).unwrap());
    let _next = site.start();
    assert_lost(&site, run);
    site.assert_nothing_open("after the end");
}

#[test]
fn a_run_whose_shim_is_stopped_is_not_taken_for_lost() {
    let site = site();
    site.gate("gate");
    let it = site.start();
    let run = site.begin_run("other");
    site.started(run);
    it.kill();
    let shim = shim_of(&site, run);
    assert!(signal::send(shim, Signal::STOP).unwrap());
    let next = site.start();
    // It holds its lock and says nothing: that is no end.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(site.run(run).run.status, RunStatus::Running);
    assert!(signal::send(shim, Signal::CONT).unwrap());
    site.open_gate("gate");
    let row = site.settled(run);
    assert_eq!((row.status, row.exit_code), (RunStatus::Succeeded, Some(0)));
    next.stop();
}

#[test]
fn a_shim_that_dies_between_two_of_its_steps_is_judged_right() {
    // Where it dies, how often the child has run then, and what is known of its end.
    let cases = [
        ("shim.locked", 0, RunStatus::Lost, None),
        ("shim.id_written", 0, RunStatus::Lost, None),
        ("shim.child_spawned", 0, RunStatus::Lost, None),
        ("shim.child_id_written", 0, RunStatus::Lost, None),
        ("shim.first_frame", 1, RunStatus::Lost, None),
        ("shim.exit_frame_written", 1, RunStatus::Failed, Some(7)),
        ("shim.exit_synced", 1, RunStatus::Failed, Some(7)),
        ("shim.exit_json", 1, RunStatus::Failed, Some(7)),
    ];
    std::thread::scope(|scope| {
        for (point, starts, status, exit_code) in cases {
            scope.spawn(move || {
                let site =
                    Site::plain(&agent("one", "grace = \"100ms\"", "echo $$ >> $ROOT/starts; echo hello; exit 7"));
                let mut it = site.spawn(&[("WHARF_KILL_POINT", point)]);
                assert!(it.wait_until_reigning(), "{point}");
                let row = site.settled(site.begin_run("one"));
                assert_eq!((row.status, row.exit_code), (status, exit_code), "{point}: {:?}", row.error);
                assert_eq!((site.lines("starts").len(), row.attempt), (starts, 1), "{point}");
                assert_eq!(site.processes_of(&row), Vec::<String>::new(), "{point}");
                assert_eq!(site.noted(row.id, "run.ended"), 1, "{point}");
                site.wait("the last action", || site.open_rows().actions.is_empty().then_some(()));
                site.assert_nothing_open(point);
            });
        }
    });
}

#[test]
fn a_shim_that_dies_while_it_stops_its_child_leaves_none_of_it() {
    std::thread::scope(|scope| {
        for point in ["shim.stop_recorded", "shim.term_sent", "shim.kill_sent"] {
            scope.spawn(move || {
                let script =
                    "trap '' TERM; (trap '' TERM; sleep 600) & echo $$ >> $ROOT/starts; while :; do sleep 1; done";
                let site = Site::plain(&agent("one", "grace = \"200ms\"", script));
                let mut it = site.spawn(&[("WHARF_KILL_POINT", point)]);
                assert!(it.wait_until_reigning(), "{point}");
                let run = site.begin_run("one");
                site.started(run);
                eventually("the tree", || (site.lines("starts").len() == 1).then_some(()));
                let request = site.cancel(run, 200);
                let row = site.settled(run);
                assert_eq!(row.status, RunStatus::Lost, "{point}: {:?}", row.error);
                assert_eq!(site.finished(request).status, RequestStatus::Done, "{point}");
                assert_eq!(site.processes_of(&row), Vec::<String>::new(), "{point}");
                site.wait("the last action", || site.open_rows().actions.is_empty().then_some(()));
                site.assert_nothing_open(point);
            });
        }
    });
}
