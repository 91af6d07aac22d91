//! A place that holds the only copy of what a run changed outlives the run.

use serde_json::json;
use wharf_model::shim::EndedBy;
use wharf_model::{ActionKind, LeaseId, LeasePolicy, LeaseStatus, RunId, RunStatus};

use super::KEEP_MS;
use crate::dispatch::input::{Fact, RunOutput};
use crate::dispatch::simulate::bench::{Bench, exit};
use crate::environment::driver::Collected;

/// A run that works in a place, and its lease.
fn executing(agent: &str) -> (Bench, RunId, LeaseId) {
    let mut bench = Bench::new(4);
    let run = bench.start(agent, None);
    let lease = bench.run(run).lease_id.unwrap();
    let action = bench.action(ActionKind::AcquireLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseAcquired {
        action,
        lease,
        provider: "remote".into(),
        provider_lease_id: Some("a".into()),
        expires_at: None,
        facts: json!({}),
        resumed: false,
    });
    bench.make_workspace(run, "/w/x");
    if agent == "remote" {
        // Otherwise it would be kept for a while because its run failed.
        bench.state.leases.get_mut(&lease).unwrap().lease_policy = LeasePolicy::Ephemeral;
    }
    (bench, run, lease)
}

fn ended(bench: &mut Bench, run: RunId, code: i32, collected: Option<Result<Collected, String>>) {
    let action = bench.action(ActionKind::SpawnShim, &run.text()).unwrap();
    let exit = Box::new(exit(Some(code), None, EndedBy::Itself, None));
    bench.fact(Fact::RunEnded { action, run, attempt: 1, exit, output: RunOutput::default(), collected });
}

fn lost(bench: &mut Bench, run: RunId, collected: Option<Result<Collected, String>>) {
    let action = bench.action(ActionKind::SpawnShim, &run.text()).unwrap();
    let (evidence, output) = ("no exit record".to_owned(), RunOutput::default());
    bench.fact(Fact::RunLost { action, run, attempt: 1, evidence, output, collected });
}

/// It is kept for a week, and no other run gets it.
fn is_kept(bench: &mut Bench, lease: LeaseId) {
    let until = Some(bench.now.plus(KEEP_MS));
    let row = &bench.state.leases[&lease];
    assert_eq!((row.status, row.retain_until), (LeaseStatus::Retained, until));
    assert_eq!(row.lease_policy, LeasePolicy::RetainOnFailure);
    let action = bench.action(ActionKind::ReleaseLease, &lease.text()).unwrap();
    assert!(bench.state.actions[&action].args.as_ref().is_some_and(|args| args["keep"] == true));
    bench.fact(Fact::LeaseLaidBy { action, lease, failed: None });
    let next = bench.start("pooled", None);
    assert_eq!(bench.lease(next).resumed_from, None);
    bench.wait(KEEP_MS - 1);
    assert_eq!(bench.state.leases[&lease].status, LeaseStatus::Retained);
    bench.wait(1);
    assert_eq!(bench.state.leases[&lease].status, LeaseStatus::Releasing);
}

#[test]
fn results_that_were_not_brought_back_keep_their_place() {
    let refused = || Some(Err("its directory is gone".to_owned()));
    for agent in ["remote", "pooled"] {
        for code in [0, 3] {
            let (mut bench, run, lease) = executing(agent);
            ended(&mut bench, run, code, refused());
            let said = if code == 0 { "results_not_collected" } else { "adapter_failed" };
            assert_eq!(bench.run(run).error_code.as_deref(), Some(said));
            is_kept(&mut bench, lease);
        }
        let (mut bench, run, lease) = executing(agent);
        lost(&mut bench, run, refused());
        assert_eq!(bench.status(run), RunStatus::Lost);
        is_kept(&mut bench, lease);
    }
}

#[test]
fn a_run_that_is_given_up_keeps_its_place_unless_its_files_are_here() {
    for (sync, kept) in [("ssh_git_import_export", true), ("none", false)] {
        let (mut bench, run, lease) = executing("remote");
        bench.state.leases.get_mut(&lease).unwrap().realisation = Some(json!({ "result": { "sync": sync } }));
        bench.fact(Fact::RunObserved { run, attempt: 1, unknown: Some("no route".into()) });
        bench.ask("run.resolve", &run.text(), json!({ "verdict": "lost" }));
        assert_eq!(bench.status(run), RunStatus::Lost);
        if kept {
            is_kept(&mut bench, lease);
        } else {
            assert_eq!(bench.state.leases[&lease].status, LeaseStatus::Releasing);
        }
    }
}

#[test]
fn what_is_here_keeps_no_place() {
    let brought = || Some(Ok(Collected::default()));
    let (mut bench, run, lease) = executing("remote");
    ended(&mut bench, run, 0, brought());
    assert_eq!(bench.state.leases[&lease].status, LeaseStatus::Releasing);
    let (mut bench, run, lease) = executing("remote");
    lost(&mut bench, run, brought());
    assert_eq!(bench.state.leases[&lease].status, LeaseStatus::Releasing);
    assert_eq!(bench.state.leases[&lease].lease_policy, LeasePolicy::Ephemeral);
    // One that was taken from its run meanwhile is not touched.
    let (mut bench, run, lease) = executing("remote");
    bench.state.leases.get_mut(&lease).unwrap().run_id = None;
    ended(&mut bench, run, 0, Some(Err("its lease is gone".into())));
    assert_eq!(bench.state.leases[&lease].retain_until, None);
}
