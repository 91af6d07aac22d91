//! A run is stopped wherever it is: soon, wholly, and without taking others along.

use std::time::{Duration, Instant};

use wharf_model::*;

use crate::orchestrator::*;

/// What a stop may take beyond its grace.
const MARGIN: Duration = Duration::from_secs(1);

/// Cancels and gives the row of the ended run with the time that it took.
fn cancel(site: &Site, run: RunId, grace_ms: i64) -> (RunRow, Duration) {
    let began = Instant::now();
    let request = site.cancel(run, grace_ms);
    let row = site.wait("the end of a stopped run", || {
        let row = site.run(run).run;
        row.status.is_terminal().then_some(row)
    });
    let took = began.elapsed();
    assert_eq!(site.finished(request).status, RequestStatus::Done);
    site.settled(run);
    (row, took)
}

fn assert_cancelled(row: &RunRow, took: Duration, grace: Duration) {
    assert_eq!((row.status, row.error_code.as_deref()), (RunStatus::Cancelled, Some("cancelled")), "{:?}", row.error);
    assert!(took < grace + MARGIN, "{took:?}");
}

#[test]
fn a_queued_run_is_cancelled_at_once_and_never_starts() {
    let script = "echo $$ >> $ROOT/starts; read go < $ROOT/gate";
    let site = Site::plain(&agent("one", "concurrent_runs = 1", script));
    site.gate("gate");
    let _it = site.start();
    let first = site.begin_run("one");
    site.started(first);
    let second = site.begin_run("one");
    let (row, took) = cancel(&site, second, 10_000);
    assert_cancelled(&row, took, Duration::ZERO);
    assert_eq!((row.attempt, row.process_pid, row.lease_id), (0, None, None));
    site.open_gate("gate");
    assert_eq!(site.settled(first).status, RunStatus::Succeeded);
    assert_eq!(site.lines("starts").len(), 1);
    site.assert_nothing_open("after both");
}

#[test]
fn a_run_whose_workspace_is_being_provisioned_is_stopped_with_what_provisions_it() {
    let provision = "trap '' TERM; echo $$ >> $ROOT/provisions; echo ready > $ROOT/gate; while :; do sleep 1; done";
    let config = format!("[workspace]\nprovision = \"{provision}\"\n{}", agent("one", "", "echo $$ >> $ROOT/starts"));
    let site = Site::git(&config);
    let gate = site.gate("gate");
    let _it = site.start();
    let run = site.begin_run("one");
    within("the provision command", LIMIT, move || std::fs::read(gate).unwrap());
    let (row, took) = cancel(&site, run, 300);
    assert_cancelled(&row, took, Duration::from_millis(300));
    for operation in site.operations(run) {
        let tag = format!("operation/{}", operation.operation.id);
        assert_eq!(site.tagged(&tag), Vec::<String>::new());
        assert_ne!(operation.operation.status, OperationStatus::Running);
    }
    assert_eq!(site.lines("starts").len(), 0, "the run itself never started");
    let detail = site.run(run);
    assert_eq!(detail.lease.unwrap().lease.status, LeaseStatus::Released);
    let cwd = detail.workspace.unwrap().cwd.unwrap();
    assert!(std::path::Path::new(&cwd).join("wharf.toml").exists(), "the worktree is kept");
    site.assert_nothing_open("after the stop");
}

#[test]
fn a_run_that_waits_for_a_service_is_stopped_and_leaves_it() {
    let service = "[[service]]\nname = \"slow\"\ncommand = [\"sh\", \"-c\", \"echo up > $ROOT/gate; sleep 60\"]\n\
                   port = \"auto\"\nready = { http = \"http://127.0.0.1:{{port}}/\", timeout = \"20s\" }\n\
                   stop = { policy = \"on_run_finish\", grace = \"1s\" }\n";
    let site = Site::plain(&format!("{}{service}", agent("one", "services = [\"slow\"]", "echo $$ >> $ROOT/starts")));
    let gate = site.gate("gate");
    let _it = site.start();
    let run = site.begin_run("one");
    within("the service", LIMIT, move || std::fs::read(gate).unwrap());
    assert_eq!(site.run(run).run.step, Some(Step::Target));
    let (row, took) = cancel(&site, run, 200);
    assert_cancelled(&row, took, Duration::from_millis(200));
    let slow = site.wait("the service's end", || {
        let item = site.service("slow");
        (item.service.status == ServiceStatus::Stopped).then_some(item)
    });
    assert!(slow.users.is_empty());
    assert_eq!(site.processes_of_service(&slow.service), Vec::<String>::new());
    assert_eq!(site.lines("starts").len(), 0);
    site.assert_nothing_open("after the stop");
}

#[test]
fn a_tree_that_ignores_every_request_is_gone_when_the_stop_is_told() {
    // A child in the group, one in a session of its own that nobody is the parent of, and the main one.
    let daemon = "use POSIX; exit if fork; POSIX::setsid(); exit if fork; $SIG{TERM} = \"IGNORE\"; close STDOUT; close STDERR; \
                  open(my $f, \">>\", \"$ROOT/daemon\"); print $f \"$$\\n\"; close $f; sleep 600";
    let script = format!(
        "trap '' TERM; echo $$ >> $ROOT/starts; (trap '' TERM; while :; do sleep 1; done) & perl -e '{daemon}'; \
         echo up > $ROOT/gate; while :; do sleep 1; done"
    );
    let site = Site::git(&agent("tree", "", &script));
    let gate = site.gate("gate");
    let it = site.start();
    let run = site.begin_run("tree");
    let started = site.started(run);
    within("the tree", LIMIT, move || std::fs::read(gate).unwrap());
    eventually("the daemon", || (site.lines("daemon").len() == 1).then_some(()));
    assert!(site.processes_of(&started).len() >= 4, "{:?}", site.processes_of(&started));
    let (row, took) = cancel(&site, run, 500);
    assert_cancelled(&row, took, Duration::from_millis(500));
    assert!(took >= Duration::from_millis(500), "the grace was given: {took:?}");
    assert_eq!(site.processes_of(&row), Vec::<String>::new(), "nothing of it lives");
    assert_eq!(row.signal.as_deref(), Some("SIGKILL"));
    assert_eq!((row.stop_reason, row.stop_requested_by.as_deref()), (Some(StopReason::Operator), Some("tester")));
    let detail = site.run(run);
    assert_eq!(detail.lease.unwrap().lease.status, LeaseStatus::Released);
    assert_eq!(detail.workspace.unwrap().status, WorkspaceStatus::Idle);
    site.assert_nothing_open("after the stop");

    // Stopped again, it says that there is nothing to stop.
    let again = site.finished(site.cancel(run, 0));
    assert_eq!((again.status, again.error_code.as_deref()), (RequestStatus::Refused, Some("illegal_state")));
    drop(it);
}

#[test]
fn a_stop_that_was_asked_before_the_orchestrator_died_is_carried_out_by_the_shim() {
    let script = "trap '' TERM; echo $$ >> $ROOT/starts; while :; do sleep 1; done";
    let site = Site::plain(&agent("stubborn", "", script));
    let it = site.start();
    let run = site.begin_run("stubborn");
    let row = site.started(run);
    let request = site.cancel(run, 600);
    site.answered(request);
    let (dir, _) = site.shims().remove(0);
    eventually("the order in the shim's log", || {
        let mut log = wharf_store::log::LogReader::open(&dir).ok()?;
        let start = log.start();
        let frames = log.control_frames(start, 100).ok()?;
        frames.frames.iter().any(|f| f.t() == Some("stop_requested")).then_some(())
    });
    it.kill();
    eventually("the end without an orchestrator", || site.processes_of(&row).is_empty().then_some(()));
    let _next = site.start();
    let row = site.settled(run);
    assert_eq!((row.status, row.signal.as_deref()), (RunStatus::Cancelled, Some("SIGKILL")));
    assert_eq!(site.finished(request).status, RequestStatus::Done);
}

#[test]
fn a_run_that_is_over_its_time_is_timed_out() {
    let site = Site::plain(&agent(
        "slow",
        "timeout = \"300ms\"\ngrace = \"200ms\"",
        "trap '' TERM; while :; do sleep 1; done",
    ));
    let _it = site.start();
    let run = site.begin_run("slow");
    let row = site.settled(run);
    assert_eq!((row.status, row.error_code.as_deref()), (RunStatus::TimedOut, Some("timeout")));
    let ran = row.finished_at.unwrap().0 - row.process_started_at.unwrap().0;
    assert!((500..1_500).contains(&ran), "{ran} ms");
    assert_eq!(site.processes_of(&row), Vec::<String>::new());
}
