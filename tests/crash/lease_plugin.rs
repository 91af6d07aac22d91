//! A provider that fails, is late, or dies in the middle of a call: seen by a plugin that notes every call.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wharf_model::*;

use super::leases::{assert_nothing_left, config, leases};
use crate::engines::{Engine, Grounds};
use crate::orchestrator::eventually;

fn grounds() -> Option<Grounds> {
    Engine::Plugin.site_or_skip("", &config(Engine::Plugin))
}

/// Leases that a call was made for.
fn told(grounds: &Grounds, method: &str) -> Vec<Value> {
    grounds.witness().calls(method).into_iter().map(|call| call["lease"].clone()).collect()
}

#[test]
fn a_release_that_fails_five_times_succeeds_in_the_end() {
    let Some(grounds) = grounds() else { return };
    let (site, witness) = (&grounds.site, grounds.witness());
    witness.fail("environmentReleaseLease", 5, "the pool is being counted");
    let _it = site.start();
    let run = site.begin_run("worker");
    let row = site.wait("the end of the run", || Some(site.run(run).run).filter(|r| r.status.is_terminal()));
    assert_eq!((row.status, row.exit_code), (RunStatus::Failed, Some(7)), "clean-up changes no outcome");
    for attempt in 1..=5 {
        let lease = site.wait("the clean-up to wait", || {
            leases(site).pop().filter(|l| l.status == LeaseStatus::PendingCleanup && l.cleanup_attempts == attempt)
        });
        let why = lease.cleanup_error.clone().or(lease.failure_reason.clone()).unwrap_or_default();
        assert!(why.contains("the pool is being counted"), "try {attempt}: {lease:?}");
        assert!(lease.next_try_at.is_some(), "it is tried again by itself as well");
        assert_eq!(witness.places().len(), 1, "it is still there");
        let asked = site.send("lease.retry_cleanup", Some(("lease", lease.id.text())), json!({}));
        let answer = site.answered(asked);
        assert_ne!(answer.status, RequestStatus::Refused, "{answer:?}");
    }
    let lease = site.wait("its end", || leases(site).pop().filter(|l| l.status.is_terminal()));
    assert_eq!((lease.status, lease.cleanup_status), (LeaseStatus::Failed, Some(CleanupStatus::Success)));
    assert_eq!(told(&grounds, "environmentReleaseLease").len(), 6);
    site.wait("rest", || site.open_rows().actions.is_empty().then_some(()));
    assert_nothing_left(&grounds, "after the sixth try");
}

#[test]
fn a_plugin_that_dies_after_its_work_is_asked_again_and_makes_no_second_place() {
    let Some(grounds) = grounds() else { return };
    let (site, witness) = (&grounds.site, grounds.witness());
    let dies = json!({ "dies": true, "after": true });
    for method in ["environmentAcquireLease", "environmentReleaseLease"] {
        witness.order(method, std::slice::from_ref(&dies));
    }
    let _it = site.start();
    let run = site.begin_run("worker");
    let row = site.wait_and_look("the end of the run", || Some(site.run(run).run).filter(|r| r.status.is_terminal()));
    assert_eq!((row.status, row.exit_code), (RunStatus::Failed, Some(7)), "{:?}: {:?}", row.error_code, row.error);
    assert_eq!(site.lines("out/starts").len(), 1);
    let acquired: BTreeSet<String> = told(&grounds, "environmentAcquireLease").iter().map(Value::to_string).collect();
    assert_eq!(acquired.len(), 1, "it was asked again for the same lease: {acquired:?}");
    // Its release had taken effect although nobody heard of it.
    eventually("the end of the place", || witness.places().is_empty().then_some(()));
    let lease = site.wait_and_look("what came of the release", || {
        let over = |l: &LeaseRow| l.status.is_terminal() || l.status == LeaseStatus::PendingCleanup;
        leases(site).pop().filter(over)
    });
    if lease.status == LeaseStatus::PendingCleanup {
        site.send("lease.retry_cleanup", Some(("lease", lease.id.text())), json!({}));
    }
    site.wait_and_look("its end", || leases(site).pop().filter(|l| l.status.is_terminal()));
    site.wait_and_look("rest", || site.open_rows().actions.is_empty().then_some(()));
    assert_nothing_left(&grounds, "after two deaths of the plugin");
}

#[test]
fn an_answer_that_comes_after_the_death_of_who_asked_is_found_again() {
    let Some(grounds) = grounds() else { return };
    let (site, witness) = (&grounds.site, grounds.witness());
    witness.order("environmentAcquireLease", &[json!({ "late": 30, "after": true })]);
    let it = site.start();
    let run = site.begin_run("worker");
    eventually("the place", || (witness.places().len() == 1).then_some(()));
    it.kill();
    let before = leases(site).pop().unwrap();
    assert_eq!((before.status, before.provider_lease_id.clone()), (LeaseStatus::Acquiring, None));
    let _second = site.start();
    let row = site.settled(run);
    assert_eq!((row.status, row.exit_code, row.attempt), (RunStatus::Failed, Some(7), 1));
    assert_eq!(leases(site).len(), 1);
    assert_nothing_left(&grounds, "after a lost answer");
}

#[test]
fn a_garbled_answer_is_unknown_and_asked_again() {
    let Some(grounds) = grounds() else { return };
    let (site, witness) = (&grounds.site, grounds.witness());
    witness.order("environmentAcquireLease", &[json!({ "garbage": true, "dies": true })]);
    let _it = site.start();
    let run = site.begin_run("worker");
    let row = site.settled(run);
    assert_eq!((row.status, row.exit_code), (RunStatus::Failed, Some(7)), "{:?}: {:?}", row.error_code, row.error);
    assert!(told(&grounds, "environmentAcquireLease").len() >= 2);
    assert_nothing_left(&grounds, "after a garbled answer");
}

#[test]
fn a_run_that_is_stopped_while_its_place_is_being_made_leaves_none() {
    let Some(grounds) = grounds() else { return };
    let (site, witness) = (&grounds.site, grounds.witness());
    witness.order("environmentAcquireLease", &[json!({ "late": 2, "after": true })]);
    let _it = site.start();
    let run = site.begin_run("worker");
    eventually("the place", || (witness.places().len() == 1).then_some(()));
    site.cancel(run, 0);
    let row = site.settled(run);
    assert_eq!(row.status, RunStatus::Cancelled, "{:?}", row.error);
    assert!(site.lines("out/starts").is_empty(), "nothing was started");
    site.wait_and_look("rest", || site.open_rows().actions.is_empty().then_some(()));
    assert_nothing_left(&grounds, "after a cancelled acquisition");
}
