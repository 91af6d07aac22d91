//! Runs outlive the orchestrator that started them, and are found again as they are.

use std::fs;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wharf_model::*;
use wharf_store::view::ActivityQuery;

use crate::orchestrator::*;

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The child's own word: the copy it kept of what it printed.
fn assert_same_bytes(site: &Site, row: &RunRow, copy: &str) {
    let copy = fs::read(site.path(copy)).unwrap();
    assert!(!copy.is_empty());
    assert_eq!(row.stdout_bytes, i64::try_from(copy.len()).ok());
    assert_eq!(row.stdout_sha256.as_deref(), Some(sha256(&copy).as_str()));
}

#[test]
fn a_run_that_prints_is_adopted_with_every_byte() {
    let script = "echo $$ >> $ROOT/starts; (i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i of many; \
                  [ $i -ne 100 ] || read go < $ROOT/first; [ $i -ne 250 ] || read go < $ROOT/second; done) \
                  | tee $ROOT/copy; exit 7";
    let site = Site::git(&agent("printer", "", script));
    site.gate("first");
    site.gate("second");
    let first = site.start();
    let run = site.begin_run("printer");
    site.started(run);
    site.open_gate("first");
    // While it prints.
    first.kill();
    let second = site.start();
    site.wait("the adoption", || (site.noted(run, "run.adopted") == 1).then_some(()));
    second.kill();
    let _third = site.start();
    site.wait("the second adoption", || (site.noted(run, "run.adopted") == 2).then_some(()));
    site.open_gate("second");
    let row = site.settled(run);
    assert_eq!((row.status, row.exit_code), (RunStatus::Failed, Some(7)), "{:?}", row.error);
    assert_eq!(site.lines("starts").len(), 1, "one start");
    assert_eq!((row.attempt, site.noted(run, "run.started"), site.noted(run, "run.ended")), (1, 1, 1));
    assert_same_bytes(&site, &row, "copy");
    assert_eq!(site.processes_of(&row), Vec::<String>::new());
    site.assert_nothing_open("after the end");
}

#[test]
fn a_run_that_ends_while_nobody_is_there_is_finished_from_its_record() {
    let script = "echo $$ >> $ROOT/starts; read go < $ROOT/gate; echo done | tee $ROOT/copy; exit 3";
    let site = Site::plain(&agent("ender", "", script));
    site.gate("gate");
    let first = site.start();
    let run = site.begin_run("ender");
    let pid = site.started(run).process_pid.unwrap();
    first.kill();
    site.open_gate("gate");
    let (dir, _) = site.shims().remove(0);
    let ended = eventually("the exit record", || wharf_store::log::last_exit_frame(&dir).ok().flatten());
    eventually("the shim's own end", || {
        let it = wharf::process::identity::process(pid).unwrap();
        (it.is_none() && site.tagged(&format!("run/{run}/1")).is_empty()).then_some(())
    });
    // The moment of the end is the record's, not that of its discovery.
    std::thread::sleep(Duration::from_millis(300));
    let _second = site.start();
    let row = site.settled(run);
    assert_eq!((row.status, row.exit_code), (RunStatus::Failed, Some(3)));
    assert_eq!(row.finished_at, Some(UnixMillis(ended.ended_ms)));
    assert!(row.updated_at.0 >= ended.ended_ms + 300, "it was noted later");
    assert_eq!(site.lines("starts").len(), 1);
    assert_eq!(site.noted(run, "run.ended"), 1);
    assert_same_bytes(&site, &row, "copy");
    site.assert_nothing_open("after the end");
}

#[test]
fn a_recovery_that_is_killed_again_and_again_ends_like_one() {
    let script = "echo $$ >> $ROOT/starts; read go < $ROOT/gate; echo bye | tee $ROOT/copy; exit 5";
    let site = Site::git(&agent("patient", "", script));
    site.gate("gate");
    let first = site.start();
    let run = site.begin_run("patient");
    site.started(run);
    first.kill();
    for round in 0..12_u64 {
        let next = site.spawn(&[]);
        // Any moment of a recovery will do; these are spread over it.
        std::thread::sleep(Duration::from_millis(round * 7));
        next.kill();
    }
    site.open_gate("gate");
    for round in 0..8_u64 {
        let next = site.spawn(&[]);
        std::thread::sleep(Duration::from_millis(5 + round * 9));
        next.kill();
    }
    let _last = site.start();
    let row = site.settled(run);
    assert_eq!((row.status, row.exit_code), (RunStatus::Failed, Some(5)));
    assert_eq!((site.lines("starts").len(), site.noted(run, "run.ended")), (1, 1));
    assert_same_bytes(&site, &row, "copy");
    site.assert_nothing_open("after the end");
}

#[test]
fn many_runs_that_write_much_lose_nothing_when_the_orchestrator_dies() {
    const RUNS: usize = 8;
    let script = "yes $WHARF_RUN_NUMBER of many | head -c 2000000 | tee $ROOT/copy-$WHARF_RUN_NUMBER; sleep 0.3; \
                  yes and more | head -c 700001 | tee -a $ROOT/copy-$WHARF_RUN_NUMBER; exit ${WHARF_RUN_NUMBER#R-}";
    let site = Site::plain(&format!("[workspace]\nconcurrency = \"allow\"\n{}", agent("writer", "", script)));
    let mut it = site.start();
    let runs: Vec<RunId> = (0..RUNS).map(|_| site.begin_run("writer")).collect();
    for run in &runs[..3] {
        site.wait("its start", || site.run(*run).run.process_pid.is_some().then_some(()));
        it.kill();
        it = site.start();
    }
    for (i, run) in runs.into_iter().enumerate() {
        let number = i32::try_from(i).unwrap() + 1;
        let row = site.settled(run);
        assert_eq!((row.status, row.exit_code, row.attempt), (RunStatus::Failed, Some(number), 1), "{:?}", row.error);
        assert_same_bytes(&site, &row, &format!("copy-R-{number}"));
        assert_eq!(site.noted(run, "run.ended"), 1);
    }
    site.assert_nothing_open("after all");
}
