//! The operator's verbs on leases, decision by decision.

use serde_json::{Value, json};
use wharf_model::shim::EndedBy;
use wharf_model::state::Change;
use wharf_model::*;

use super::bench::{Bench, exit};
use crate::dispatch::input::Fact;

const HOUR: i64 = 60 * 60_000;

/// A run that executes in an environment beside this machine, with the lease it holds.
fn holds(bench: &mut Bench, agent: &str) -> (RunId, LeaseId) {
    let run = bench.start(agent, None);
    let lease = bench.run(run).lease_id.unwrap();
    let action = bench.action(ActionKind::AcquireLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseAcquired {
        action,
        lease,
        provider: "remote".into(),
        provider_lease_id: Some(format!("place of {lease}")),
        expires_at: None,
        facts: Value::Null,
        resumed: false,
    });
    bench.make_workspace(run, &format!("/w/{run}"));
    (run, lease)
}

fn ends(bench: &mut Bench, run: RunId) {
    bench.ends(run, exit(None, Some("SIGTERM"), EndedBy::Stop, Some(("operator", true))));
}

fn status(bench: &Bench, lease: LeaseId) -> LeaseStatus {
    bench.state.leases[&lease].status
}

fn told(bench: &Bench, action: &str) -> bool {
    bench
        .changes
        .iter()
        .any(|c| matches!(c, Change::Activity(a) if a.action == action && a.actor_type == ActorType::Operator))
}

fn request(bench: &Bench, row: &RequestRow) -> RequestStatus {
    bench.state.requests[&row.id].status
}

fn doubt(bench: &mut Bench, run: RunId) {
    bench.fact(Fact::RunObserved { run, attempt: 1, unknown: Some("its shim does not answer".into()) });
    assert_eq!(bench.run(run).observation, Observation::Unknown);
}

#[test]
fn a_release_gives_back_what_its_policy_would_have_kept() {
    let mut bench = Bench::new(8);
    let (run, lease) = holds(&mut bench, "pooled");
    let asked = bench.ask("lease.release", &lease.text(), json!({}));
    assert!(told(&bench, "environment.lease_released"));
    assert_eq!((asked.status, status(&bench, lease)), (RequestStatus::Accepted, LeaseStatus::Active));
    ends(&mut bench, run);
    assert_eq!(status(&bench, lease), LeaseStatus::Releasing);
    let action = bench.action(ActionKind::ReleaseLease, &lease.text()).unwrap();
    assert_eq!(bench.state.actions[&action].args, None, "it is not laid by");
    bench.fact(Fact::LeaseReleased { action, lease });
    assert_eq!((status(&bench, lease), request(&bench, &asked)), (LeaseStatus::Released, RequestStatus::Done));
}

#[test]
fn a_forced_release_waits_for_grace_and_limit_only() {
    let mut bench = Bench::new(8);
    let (run, lease) = holds(&mut bench, "remote");
    let grace = bench.run(run).grace_ms;
    let asked = bench.ask("lease.release", &lease.text(), json!({ "force": true }));
    assert!(bench.run(run).stop_requested_at.is_some());
    bench.wait(grace + wharf_model::rules::release::FORCE_LIMIT_MS - 1);
    assert_eq!(status(&bench, lease), LeaseStatus::Active);
    bench.wait(1);
    assert_eq!(status(&bench, lease), LeaseStatus::Releasing, "its run has not ended");
    let action = bench.action(ActionKind::ReleaseLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseReleased { action, lease });
    assert_eq!((status(&bench, lease), request(&bench, &asked)), (LeaseStatus::Released, RequestStatus::Done));
    ends(&mut bench, run);
    assert_eq!(status(&bench, lease), LeaseStatus::Released);
}

#[test]
fn a_holder_in_doubt_is_waited_for_until_it_is_asked_twice() {
    let mut bench = Bench::new(8);
    let (run, lease) = holds(&mut bench, "remote");
    doubt(&mut bench, run);
    let first = bench.ask("lease.release", &lease.text(), json!({ "force": true }));
    let until = first.result.as_ref().unwrap()["at_latest"].as_i64().map(UnixMillis);
    assert_eq!(until, bench.state.leases[&lease].expires_at);
    assert_eq!(crate::dispatch::decide::sweep::next_deadline(&bench.state).map(|at| at <= until.unwrap()), Some(true));
    assert_eq!(status(&bench, lease), LeaseStatus::Active);
    let second = bench.ask("lease.release", &lease.text(), json!({ "force": true }));
    assert_eq!(status(&bench, lease), LeaseStatus::Releasing);
    let action = bench.action(ActionKind::ReleaseLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseReleased { action, lease });
    assert_eq!([request(&bench, &first), request(&bench, &second)], [RequestStatus::Done; 2]);

    // Asked once it goes when the lease expires.
    let (run, lease) = holds(&mut bench, "pooled");
    doubt(&mut bench, run);
    let asked = bench.ask("lease.release", &lease.text(), json!({ "force": true }));
    let left = bench.now.until(UnixMillis(asked.result.unwrap()["at_latest"].as_i64().unwrap()));
    bench.wait(left - 1);
    assert_eq!(status(&bench, lease), LeaseStatus::Active);
    bench.wait(1);
    assert_eq!(status(&bench, lease), LeaseStatus::Releasing);
}

#[test]
fn what_is_destroyed_is_removed_after_its_run() {
    let mut bench = Bench::new(8);
    let (run, lease) = holds(&mut bench, "pooled");
    let asked = bench.ask("lease.destroy", &lease.text(), json!({}));
    assert!(told(&bench, "environment.lease_destroyed"));
    ends(&mut bench, run);
    assert_eq!(status(&bench, lease), LeaseStatus::Releasing);
    assert_eq!(bench.action(ActionKind::ReleaseLease, &lease.text()), None, "nobody gives back what is removed");
    let action = bench.action(ActionKind::DestroyLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseReleased { action, lease });
    assert!(told(&bench, "environment.lease_destroyed"), "and that it has happened");
    assert_eq!((status(&bench, lease), request(&bench, &asked)), (LeaseStatus::Released, RequestStatus::Done));
    let again = bench.ask("lease.destroy", &lease.text(), json!({}));
    assert_eq!(again.error_code.as_deref(), Some("illegal_state"));
}

#[test]
fn a_removal_that_fails_waits_for_its_clean_up() {
    let mut bench = Bench::new(8);
    let (run, lease) = holds(&mut bench, "pooled");
    bench.ends(run, exit(Some(0), None, EndedBy::Itself, None));
    assert_eq!(status(&bench, lease), LeaseStatus::Retained);
    let asked = bench.ask("lease.destroy", &lease.text(), json!({}));
    let action = bench.action(ActionKind::DestroyLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseReleaseFailed { action, lease, message: "away".into() });
    let row = bench.state.requests[&asked.id].clone();
    assert_eq!((row.status, row.error.as_deref()), (RequestStatus::Failed, Some("away")));
    assert_eq!(status(&bench, lease), LeaseStatus::PendingCleanup);

    // By hand it is tried at once, and its tries begin anew where they were given up.
    bench.state.leases.get_mut(&lease).unwrap().cleanup_attempts = wharf_model::rules::lease::CLEANUP_TRIES_MAX;
    let asked = bench.ask("lease.retry_cleanup", &lease.text(), json!({}));
    assert!(told(&bench, "environment.lease_cleanup_retried"));
    assert_eq!(bench.state.leases[&lease].cleanup_attempts, 1);
    let action = bench.action(ActionKind::DestroyLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseReleased { action, lease });
    assert_eq!(request(&bench, &asked), RequestStatus::Done);
    let refused = bench.ask("lease.retry_cleanup", &lease.text(), json!({}));
    assert_eq!(refused.status, RequestStatus::Refused);
}

#[test]
fn time_is_asked_of_the_provider_and_the_request_waits_for_its_word() {
    let mut bench = Bench::new(8);
    let (_, lease) = holds(&mut bench, "remote");
    let before = bench.state.leases[&lease].expires_at.unwrap();
    let asked = bench.ask("lease.extend", &lease.text(), json!({ "by_ms": HOUR }));
    assert!(told(&bench, "environment.lease_extended"));
    assert_eq!(asked.status, RequestStatus::Accepted);
    let action = bench.action(ActionKind::ExtendLease, &lease.text()).unwrap();
    assert_eq!(bench.state.actions[&action].args.as_ref().unwrap()["until"], before.plus(HOUR).0);
    bench.fact(Fact::LeaseExtended { action, lease, until: before.plus(HOUR) });
    assert_eq!(bench.state.leases[&lease].expires_at, Some(before.plus(HOUR)));
    assert_eq!(request(&bench, &asked), RequestStatus::Done);

    let asked = bench.ask("lease.extend", &lease.text(), json!({ "by_ms": HOUR }));
    let action = bench.action(ActionKind::ExtendLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseNotExtended { action, lease, latest: None, message: "no more".into() });
    let row = bench.state.requests[&asked.id].clone();
    assert_eq!((row.status, row.error.as_deref()), (RequestStatus::Failed, Some("no more")));
    for wrong in [json!({}), json!({ "by_ms": 0 }), json!({ "by_ms": "soon" })] {
        assert_eq!(bench.ask("lease.extend", &lease.text(), wrong).status, RequestStatus::Refused);
    }

    let local = bench.executing("plain", None);
    let local = bench.lease(local).id;
    let refused = bench.ask("lease.extend", &local.text(), json!({ "by_ms": HOUR }));
    assert!(refused.error.unwrap().contains("has no expiry"), "of this machine");
}

#[test]
fn the_operators_wish_to_keep_goes_before_any_policy() {
    let mut bench = Bench::new(8);
    let (run, lease) = holds(&mut bench, "remote");
    let until = bench.now.plus(HOUR);
    let asked = bench.ask("lease.retain", &lease.text(), json!({ "until": until.0 }));
    assert!(told(&bench, "environment.lease_retained"));
    assert_eq!(asked.status, RequestStatus::Done);
    bench.ends(run, exit(Some(0), None, EndedBy::Itself, None));
    let row = bench.state.leases[&lease].clone();
    assert_eq!((row.status, row.retain_until), (LeaseStatus::Retained, Some(until)));
    let shorter = bench.ask("lease.retain", &lease.text(), json!({ "until": until.plus(-1).0 }));
    assert_eq!(shorter.status, RequestStatus::Refused);
    bench.ask("lease.extend", &lease.text(), json!({ "by_ms": HOUR }));
    assert_eq!(bench.state.leases[&lease].retain_until, Some(until.plus(HOUR)));
    // It must have been laid by before anybody takes it up again.
    let early = bench.ask("lease.shell", &lease.text(), json!({}));
    assert_eq!(early.status, RequestStatus::Refused);
    let action = bench.action(ActionKind::ReleaseLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseLaidBy { action, lease, failed: None });
    // A shell counts as use, and keeps it as long as it needs at least.
    bench.now = bench.now.plus(10);
    let shell = bench.ask("lease.shell", &lease.text(), json!({}));
    assert!(told(&bench, "environment.lease_shell"));
    assert_eq!(request(&bench, &shell), RequestStatus::Done);
    assert_eq!(bench.state.leases[&lease].last_used_at, Some(bench.now));
    let stale = bench.request("lease.retain", |r| {
        r.target_id = Some(lease.text());
        r.args = json!({ "until": until.plus(3 * HOUR).0 });
        r.expect = Some(json!([{ "id": lease.text(), "version": 1 }]));
    });
    bench.decide(&crate::dispatch::input::Input::Request(
        Box::new(stale.clone()),
        crate::dispatch::input::Prepared::Nothing,
    ));
    assert_eq!(bench.state.requests[&stale.id].error_code.as_deref(), Some("changed_since_preview"));
}
