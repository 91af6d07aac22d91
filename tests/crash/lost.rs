//! A shim that dies takes its record along: its run is lost, never a success, and nothing of it lives on.

use std::time::{Duration, Instant};

use wharf::process::signal::{self, Signal};
use wharf_model::shim::{IdFile, ProcessRef};
use wharf_model::*;

use super::adopt::noted;
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
    assert_eq!((noted(site, run, "run.lost"), noted(site, run, "run.ended")), (1, 1));
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
