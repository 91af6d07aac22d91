//! Runs outlive the orchestrator that started them, and are found again as they are.

use std::fs;

use sha2::{Digest as _, Sha256};
use wharf_model::*;

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
