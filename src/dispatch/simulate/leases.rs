//! The life of leases, decision by decision: lines, policies, renewal, ends.

use serde_json::{Value, json};
use wharf_model::shim::EndedBy;
use wharf_model::*;

use super::bench::{Bench, exit};
use crate::dispatch::input::{Fact, LeaseSeen};
use crate::environment::driver::Queue;

/// Keeping of the simulated environments, and the life of their leases (`setup::environments`).
const KEEP_MS: i64 = 60_000;
const TTL_MS: i64 = 60_000;

fn lease(bench: &Bench, id: LeaseId) -> &LeaseRow {
    &bench.state.leases[&id]
}

/// Starts a run whose lease its driver grants under a name, and brings it to its adapter.
fn holds(bench: &mut Bench, agent: &str, place: &str) -> (RunId, LeaseId) {
    let run = bench.start(agent, None);
    grant(bench, run, place);
    let cwd = format!("/w/{run}");
    bench.make_workspace(run, &cwd);
    (run, bench.run(run).lease_id.unwrap())
}

fn grant(bench: &mut Bench, run: RunId, place: &str) {
    let lease = bench.run(run).lease_id.unwrap();
    let action = bench.action(ActionKind::AcquireLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseAcquired {
        action,
        lease,
        provider: "remote".into(),
        provider_lease_id: Some(place.into()),
        expires_at: None,
        facts: Value::Null,
        resumed: bench.state.leases[&lease].resumed_from.is_some(),
    });
}

fn ends(bench: &mut Bench, run: RunId, code: i32) {
    bench.ends(run, exit(Some(code), None, EndedBy::Itself, None));
}

fn laid_by(bench: &mut Bench, lease: LeaseId, failed: Option<&str>) {
    let action = bench.action(ActionKind::ReleaseLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseLaidBy { action, lease, failed: failed.map(str::to_owned) });
}

fn released(bench: &mut Bench, lease: LeaseId) {
    let action = bench.action(ActionKind::ReleaseLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseReleased { action, lease });
}

#[test]
fn who_waits_longest_has_the_next_slot() {
    let mut bench = Bench::new(8);
    let (first, held) = holds(&mut bench, "remote", "a");
    let waiting: Vec<RunId> = (0..3).map(|_| bench.start("remote", None)).collect();
    let status = |bench: &Bench, run: RunId| lease(bench, bench.run(run).lease_id.unwrap()).status;
    assert!(waiting.iter().all(|run| status(&bench, *run) == LeaseStatus::Waiting));
    assert!(waiting.iter().all(|run| bench.run(*run).step == Some(Step::Acquire)));
    // One that leaves the line does so at once, and nobody loses a place by it.
    bench.ask("run.cancel", &waiting[0].text(), json!({}));
    assert_eq!(bench.status(waiting[0]), RunStatus::Cancelled);
    assert_eq!(status(&bench, waiting[0]), LeaseStatus::Failed);
    ends(&mut bench, first, 0);
    assert_eq!(status(&bench, waiting[1]), LeaseStatus::Waiting, "the slot is free once it was given back");
    released(&mut bench, held);
    assert_eq!(status(&bench, waiting[1]), LeaseStatus::Acquiring);
    assert_eq!(status(&bench, waiting[2]), LeaseStatus::Waiting);
    let fences = [held, bench.run(waiting[1]).lease_id.unwrap()].map(|l| lease(&bench, l).fence.unwrap());
    assert!(fences[0] < fences[1], "{fences:?}");
}

#[test]
fn nobody_waits_for_a_slot_longer_than_a_day() {
    let mut bench = Bench::new(8);
    let (_, held) = holds(&mut bench, "remote", "a");
    let run = bench.start("remote", None);
    bench.wait(24 * 60 * 60_000);
    assert_eq!(bench.run(run).error_code.as_deref(), Some("lease_wait_deadline"));
    assert_eq!(bench.lease(run).status, LeaseStatus::Failed);
    assert_eq!(lease(&bench, held).status, LeaseStatus::Active);
}

#[test]
fn a_clean_up_that_fails_holds_up_nobody() {
    let mut bench = Bench::new(8);
    let (first, held) = holds(&mut bench, "remote", "a");
    let next = bench.start("remote", None);
    ends(&mut bench, first, 0);
    let action = bench.action(ActionKind::ReleaseLease, &held.text()).unwrap();
    bench.fact(Fact::LeaseReleaseFailed { action, lease: held, message: "away".into() });
    assert_eq!(lease(&bench, held).status, LeaseStatus::PendingCleanup);
    assert_eq!(bench.lease(next).status, LeaseStatus::Acquiring);
    // It fails four times more and succeeds then; each try is later than the one before.
    for minutes in [1, 2, 4, 8] {
        bench.wait(minutes * 60_000 - 1);
        assert_eq!(lease(&bench, held).status, LeaseStatus::PendingCleanup, "before {minutes} min");
        bench.wait(1);
        assert_eq!(lease(&bench, held).status, LeaseStatus::Releasing, "after {minutes} min");
        let action = bench.action(ActionKind::ReleaseLease, &held.text()).unwrap();
        bench.fact(Fact::LeaseReleaseFailed { action, lease: held, message: "away".into() });
    }
    assert_eq!(lease(&bench, held).cleanup_error.as_deref(), Some("away"));
    bench.wait(16 * 60_000);
    released(&mut bench, held);
    let row = lease(&bench, held);
    assert_eq!((row.status, row.cleanup_status), (LeaseStatus::Released, Some(CleanupStatus::Success)));
    assert_eq!(row.cleanup_attempts, 6);
}

#[test]
fn what_was_handed_over_and_is_gone_is_named_no_more() {
    let mut bench = Bench::new(8);
    let (first, held) = holds(&mut bench, "pooled", "a");
    ends(&mut bench, first, 0);
    laid_by(&mut bench, held, None);
    let second = bench.start("pooled", None);
    let id = bench.run(second).lease_id.unwrap();
    assert_eq!(lease(&bench, id).provider_lease_id.as_deref(), Some("a"));
    bench.fact(Fact::LeasePlaceGone { lease: id });
    let row = lease(&bench, id);
    assert_eq!((row.status, row.resumed_from, &row.provider_lease_id), (LeaseStatus::Acquiring, None, &None));
    assert_eq!(row.metadata, None);
    // Said again, or too late, it changes nothing of a place of its own.
    grant(&mut bench, second, "b");
    bench.fact(Fact::LeasePlaceGone { lease: id });
    assert_eq!(lease(&bench, id).provider_lease_id.as_deref(), Some("b"));
}

#[test]
fn what_is_reused_goes_over_to_the_next_run() {
    let mut bench = Bench::new(8);
    let (first, held) = holds(&mut bench, "pooled", "a");
    ends(&mut bench, first, 3);
    assert_eq!(lease(&bench, held).status, LeaseStatus::Retained, "reuse does not depend on the outcome");
    laid_by(&mut bench, held, None);
    let second = bench.start("pooled", None);
    let taken = bench.lease(second).clone();
    assert_eq!((taken.resumed_from, taken.provider_lease_id.as_deref()), (Some(held), Some("a")));
    assert_eq!(lease(&bench, held).status, LeaseStatus::Released);
    assert!(lease(&bench, held).fence < taken.fence);
    grant(&mut bench, second, "a");
    assert_eq!(bench.lease(second).status, LeaseStatus::Active);
    // While it is in use, another gets one of its own.
    let third = bench.start("pooled", None);
    assert_eq!(bench.lease(third).resumed_from, None);
}

#[test]
fn what_could_not_be_laid_by_is_not_reused() {
    let mut bench = Bench::new(8);
    let (first, held) = holds(&mut bench, "pooled", "a");
    ends(&mut bench, first, 0);
    laid_by(&mut bench, held, Some("it cannot be paused"));
    assert_eq!(lease(&bench, held).status, LeaseStatus::Releasing);
    let second = bench.start("pooled", None);
    assert_eq!(bench.lease(second).resumed_from, None);
}

#[test]
fn a_kept_place_that_is_refused_is_given_back() {
    let mut bench = Bench::new(8);
    let (first, held) = holds(&mut bench, "pooled", "a");
    ends(&mut bench, first, 0);
    laid_by(&mut bench, held, None);
    let second = bench.start("pooled", None);
    let taken = bench.run(second).lease_id.unwrap();
    let action = bench.action(ActionKind::AcquireLease, &taken.text()).unwrap();
    let code = "lease_acquire_failed".to_owned();
    bench.fact(Fact::LeaseRefused { action, lease: taken, code, message: "no".into() });
    assert_eq!(bench.status(second), RunStatus::Failed);
    assert_eq!(lease(&bench, taken).status, LeaseStatus::Releasing, "what the first one held is still there");
    released(&mut bench, taken);
    assert_eq!(lease(&bench, taken).status, LeaseStatus::Failed);
}

#[test]
fn what_failed_is_kept_for_the_operator_and_then_given_back() {
    let mut bench = Bench::new(8);
    let (run, held) = holds(&mut bench, "remote", "a");
    ends(&mut bench, run, 1);
    laid_by(&mut bench, held, None);
    let next = bench.start("remote", None);
    assert_eq!(bench.lease(next).resumed_from, None, "it is kept for the operator");
    assert_eq!(bench.lease(next).status, LeaseStatus::Acquiring, "and takes up no slot");
    bench.wait(KEEP_MS);
    assert_eq!(lease(&bench, held).status, LeaseStatus::Releasing);
    released(&mut bench, held);
    assert_eq!(lease(&bench, held).status, LeaseStatus::Failed);
}

#[test]
fn a_living_holder_is_renewed_and_never_loses_its_lease() {
    let mut bench = Bench::new(8);
    let (run, held) = holds(&mut bench, "remote", "a");
    for _ in 0..5 {
        bench.wait(TTL_MS / 3);
        let until = bench.now.plus(TTL_MS);
        let action = bench.action(ActionKind::ExtendLease, &held.text()).unwrap();
        bench.fact(Fact::LeaseExtended { action, lease: held, until });
        assert_eq!(lease(&bench, held).expires_at, Some(until));
    }
    // Nobody answers any more: it is overdue, asked about, and still its holder's.
    bench.wait(100 * TTL_MS);
    bench.wait(100 * TTL_MS);
    assert!(bench.action(ActionKind::ObserveLease, &held.text()).is_some());
    assert_eq!((lease(&bench, held).status, bench.status(run)), (LeaseStatus::Active, RunStatus::Running));
}

#[test]
fn a_holder_that_cannot_be_judged_keeps_its_lease() {
    let mut bench = Bench::new(8);
    let (run, held) = holds(&mut bench, "remote", "a");
    bench.fact(Fact::RunObserved { run, attempt: 1, unknown: Some("no answer".into()) });
    bench.wait(50 * TTL_MS);
    assert_eq!(lease(&bench, held).status, LeaseStatus::Active);
    assert!(bench.action(ActionKind::ExtendLease, &held.text()).is_some(), "it may live, so it is renewed");
    assert_eq!(bench.run(run).stop_requested_at, None);
}

#[test]
fn an_end_that_the_provider_sets_ends_the_run_in_words() {
    let mut bench = Bench::new(8);
    let (run, held) = holds(&mut bench, "remote", "a");
    bench.wait(TTL_MS / 3);
    let action = bench.action(ActionKind::ExtendLease, &held.text()).unwrap();
    let latest = Some(bench.now.plus(5_000));
    bench.fact(Fact::LeaseNotExtended { action, lease: held, latest, message: "no more".into() });
    assert!(lease(&bench, held).failure_reason.as_deref().is_some_and(|r| r.contains("no more")));
    bench.wait(4_999);
    assert_eq!(bench.run(run).stop_requested_at, None);
    bench.wait(1);
    assert_eq!(bench.run(run).stop_reason, Some(StopReason::Deadline));
    bench.ends(run, exit(Some(0), None, EndedBy::Stop, Some(("deadline", true))));
    assert_eq!(bench.status(run), RunStatus::Cancelled);
    let number = Kind::Lease.number(lease(&bench, held).number);
    assert!(bench.run(run).error.as_deref().is_some_and(|e| e.contains(&number)), "{:?}", bench.run(run).error);
    released(&mut bench, held);
    assert_eq!(lease(&bench, held).status, LeaseStatus::Expired);
}

#[test]
fn what_a_provider_lost_is_no_longer_held() {
    let mut bench = Bench::new(8);
    let (run, held) = holds(&mut bench, "remote", "a");
    let action = ActionId(uuid::Uuid::from_u128(999));
    bench.fact(Fact::LeaseObserved { action, lease: held, seen: LeaseSeen::Unknown("no controller".into()) });
    bench.wait(1);
    assert_eq!(bench.run(run).stop_requested_at, None, "not to be told is not to be gone");
    bench.fact(Fact::LeaseObserved { action, lease: held, seen: LeaseSeen::Gone });
    bench.wait(1);
    assert_eq!(bench.run(run).stop_reason, Some(StopReason::Deadline));
}

#[test]
fn in_a_providers_queue_a_run_waits_and_can_leave() {
    let mut bench = Bench::new(8);
    let run = bench.start("remote", None);
    let asked = bench.run(run).lease_id.unwrap();
    let queue = Queue { provider_lease_id: None, reason: "12 before it".into(), position: Some(13), expected_at: None };
    bench.fact(Fact::LeaseQueued { lease: asked, queue });
    bench.wait(60 * 60_000);
    assert_eq!(bench.status(run), RunStatus::Running, "an hour in the queue is no failure");
    bench.ask("run.cancel", &run.text(), json!({}));
    assert_eq!(bench.status(run), RunStatus::Cancelled);
    assert_eq!(lease(&bench, asked).status, LeaseStatus::Acquiring, "its executor is told first");
    let action = bench.action(ActionKind::AcquireLease, &asked.text()).unwrap();
    let (code, message) = ("cancelled".to_owned(), "nobody waits".to_owned());
    bench.fact(Fact::LeaseRefused { action, lease: asked, code, message });
    assert_eq!(lease(&bench, asked).status, LeaseStatus::Releasing, "what stands in the queue is taken out");
    released(&mut bench, asked);
    assert_eq!(lease(&bench, asked).status, LeaseStatus::Failed);
}

#[test]
fn a_refusal_after_a_lost_answer_proves_nothing() {
    let mut bench = Bench::new(8);
    let run = bench.start("remote", None);
    let asked = bench.run(run).lease_id.unwrap();
    bench.decide(&crate::dispatch::input::Input::Begin);
    let action = bench.action(ActionKind::AcquireLease, &asked.text()).unwrap();
    let (code, message) = ("lease_acquire_failed".to_owned(), "no room".to_owned());
    bench.fact(Fact::LeaseRefused { action, lease: asked, code, message });
    assert_eq!(bench.status(run), RunStatus::Failed);
    assert_eq!(lease(&bench, asked).status, LeaseStatus::Releasing);
}

#[test]
fn settings_that_changed_are_not_taken_over() {
    let mut bench = Bench::new(8);
    let (first, held) = holds(&mut bench, "pooled", "a");
    ends(&mut bench, first, 0);
    laid_by(&mut bench, held, None);
    let environment = lease(&bench, held).environment_id;
    if let Some(row) = bench.state.environments.get_mut(&environment) {
        row.config = json!({ "config": { "command": "other", "driver": "pool" } });
    }
    let second = bench.start("pooled", None);
    assert_eq!(bench.lease(second).resumed_from, None);
    assert_eq!(lease(&bench, held).status, LeaseStatus::Releasing, "nobody would take it");
}

#[test]
fn what_one_lease_holds_is_not_given_to_another() {
    let mut bench = Bench::new(8);
    let (_, held) = holds(&mut bench, "pooled", "a");
    let second = bench.start("pooled", None);
    grant(&mut bench, second, "a");
    assert_eq!(bench.status(second), RunStatus::Failed);
    assert!(bench.run(second).error.as_deref().is_some_and(|e| e.contains("a second time")));
    assert_eq!(bench.lease(second).status, LeaseStatus::Failed, "and is not taken from who has it by giving it back");
    assert_eq!(lease(&bench, held).status, LeaseStatus::Active);
}

#[test]
fn who_was_stopped_while_a_driver_was_asked_does_not_stay_in_its_queue() {
    let mut bench = Bench::new(8);
    let run = bench.start("remote", None);
    let asked = bench.run(run).lease_id.unwrap();
    bench.ask("run.cancel", &run.text(), json!({}));
    assert_eq!(bench.status(run), RunStatus::Cancelled, "nobody waits for the driver's answer");
    let queue = Queue { provider_lease_id: None, reason: "busy".into(), position: None, expected_at: None };
    bench.fact(Fact::LeaseQueued { lease: asked, queue });
    assert!(lease(&bench, asked).end_reason.is_some(), "its executor is told that it is over");
}

#[test]
fn asking_for_too_much_takes_nothing_from_a_living_holder() {
    let mut bench = Bench::new(8);
    let (run, held) = holds(&mut bench, "remote", "a");
    let before = lease(&bench, held).clone();
    let row = bench.ask("lease.extend", &held.text(), json!({ "by_ms": 4 * 3_600_000 }));
    let action = bench.action(ActionKind::ExtendLease, &held.text()).unwrap();
    let latest = Some(bench.now.plus(3_600_000));
    bench.fact(Fact::LeaseNotExtended { action, lease: held, latest, message: "an hour at most".into() });
    let answer = &bench.state.requests[&row.id];
    assert_eq!((answer.status, answer.error.as_deref()), (RequestStatus::Failed, Some("an hour at most")));
    let now = lease(&bench, held);
    assert_eq!((now.expires_at, now.renew_at, now.deadline_at), (before.expires_at, before.renew_at, None));
    assert_eq!(bench.run(run).stop_requested_at, None);
}

#[test]
fn the_most_that_a_provider_gives_is_asked_for_before_the_end() {
    let mut bench = Bench::new(8);
    let (run, held) = holds(&mut bench, "remote", "a");
    bench.wait(TTL_MS / 3);
    let action = bench.action(ActionKind::ExtendLease, &held.text()).unwrap();
    let latest = bench.now.plus(30_000);
    bench.fact(Fact::LeaseNotExtended { action, lease: held, latest: Some(latest), message: "no more".into() });
    let action = bench.action(ActionKind::ExtendLease, &held.text()).unwrap();
    bench.fact(Fact::LeaseExtended { action, lease: held, until: latest });
    assert_eq!(lease(&bench, held).deadline_at, Some(latest));
    bench.wait(30_000);
    assert_eq!(bench.run(run).stop_reason, Some(StopReason::Deadline));
}

#[test]
fn what_nobody_wants_is_not_tried_again() {
    let mut bench = Bench::new(8);
    let run = bench.start("remote", None);
    let asked = bench.run(run).lease_id.unwrap();
    let action = bench.action(ActionKind::AcquireLease, &asked.text()).unwrap();
    bench.fact(Fact::ActionFailed { action, error: "away".into() });
    bench.ask("run.cancel", &run.text(), json!({}));
    assert_eq!(lease(&bench, asked).status, LeaseStatus::Releasing, "what the first try may have made is given back");
    assert!(bench.action(ActionKind::AcquireLease, &asked.text()).is_none());
}
