//! What is archived, restored and deleted.

use super::*;

#[test]
fn a_deleted_one_is_found_by_nobody() {
    let mut bench = bench();
    let id = ssh(&mut bench, "box").id;
    bench.ask("environment.delete", "box", json!({}));
    let agent = bench.agent("plain").text();
    for name in ["box", "E-2", &id.text()] {
        let row = bench.ask("run.start", &agent, json!({ "environment": name }));
        assert_eq!(refusal(&row).0, "environment_not_found", "{name}");
    }
    let again = ssh(&mut bench, "box").id;
    let row = bench.ask("run.start", &agent, json!({ "environment": "box" }));
    let run: RunId = row.result.unwrap()["run_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(bench.run(run).environment_id, Some(again));
}

#[test]
fn archiving_tells_who_names_it_and_fails_who_waits_for_it() {
    let mut bench = bench();
    let mut read = with("SOLO", vec![]);
    read.config.agents[2].environment = Some("box".into());
    read.config.project.default_environment = Some("box".into());
    accept(&mut bench, read);
    let row = ssh(&mut bench, "box");
    let expect = json!([{ "id": row.id.text(), "version": row.version }]);
    let request = bench.request("environment.archive", |r| {
        r.target_id = Some(row.id.text());
        r.expect = Some(expect);
    });
    bench.decide(&Input::Request(Box::new(request.clone()), Prepared::Nothing));
    // Two names that the preview did not show.
    assert_eq!(refusal(&bench.state.requests[&request.id]).0, "changed_since_preview");
    let done = bench.ask("environment.archive", "box", json!({}));
    let result = done.result.unwrap();
    assert_eq!(result["named_by"], json!({ "agents": ["plain"], "projects": ["SOLO"] }));
    let run = bench.start("plain", None);
    assert_eq!(
        (bench.status(run), bench.run(run).error_code.as_deref()),
        (RunStatus::Failed, Some("environment_inactive"))
    );
    bench.ask("environment.delete", "box", json!({}));
    let run = bench.start("plain", None);
    assert_eq!(bench.run(run).error_code.as_deref(), Some("environment_not_found"));
}

#[test]
fn a_deletion_waits_for_the_clean_up_that_it_begins() {
    let mut bench = bench();
    let row = ssh(&mut bench, "box");
    let kept = lease(&mut bench, &row, LeaseStatus::Retained);
    let refused = bench.ask("environment.delete", "box", json!({}));
    assert!(refusal(&refused).1.contains("L-1; delete it with clean-up"), "{refused:?}");
    assert_eq!(named(&bench, "box").status, EnvironmentStatus::Active);

    let asked = bench.ask("environment.delete", "box", json!({ "cleanup": true }));
    assert_eq!((asked.status, named(&bench, "box").status), (RequestStatus::Accepted, EnvironmentStatus::Archived));
    assert_eq!(bench.state.leases[&kept].status, LeaseStatus::Releasing);
    assert!(named(&bench, "box").is_being_deleted());
    let action = bench.action(ActionKind::ReleaseLease, &kept.text()).unwrap();
    bench.fact(Fact::LeaseReleaseFailed { action, lease: kept, message: "the host is away".into() });
    let failed = &bench.state.requests[&asked.id];
    assert_eq!((failed.status, failed.error_code.as_deref()), (RequestStatus::Failed, Some("lease_cleanup_failed")));
    assert!(failed.error.as_ref().unwrap().contains("the host is away"), "{failed:?}");
    assert!(named(&bench, "box").is_being_deleted());
    // It is tried again by itself, and then the environment goes.
    bench.wait(24 * 3_600_000);
    let action = bench.action(ActionKind::ReleaseLease, &kept.text()).unwrap();
    bench.fact(Fact::LeaseReleased { action, lease: kept });
    assert_eq!(named(&bench, "box").status, EnvironmentStatus::Deleted);
    assert!(words(&bench).contains(&"environment.deleted".to_owned()));
}

#[test]
fn what_is_restored_in_time_is_not_deleted() {
    let mut bench = bench();
    let row = ssh(&mut bench, "box");
    let kept = lease(&mut bench, &row, LeaseStatus::Retained);
    let asked = bench.ask("environment.delete", "box", json!({ "cleanup": true }));
    assert_eq!(bench.ask("environment.restore", "box", json!({})).status, RequestStatus::Done);
    assert_eq!(bench.state.requests[&asked.id].status, RequestStatus::Failed);
    let action = bench.action(ActionKind::ReleaseLease, &kept.text()).unwrap();
    bench.fact(Fact::LeaseReleased { action, lease: kept });
    let row = named(&bench, "box");
    assert!(row.status == EnvironmentStatus::Active && row.metadata.is_none(), "{row:?}");
}

#[test]
fn who_waits_for_a_slot_fails_with_it_and_who_holds_one_goes_on() {
    let mut bench = bench();
    let row = ssh(&mut bench, "box");
    let runs = [bench.start("plain", None), bench.start("plain", None)];
    for (run, status) in runs.iter().zip([LeaseStatus::Waiting, LeaseStatus::Active]) {
        let id = bench.run(*run).lease_id.unwrap();
        let lease = bench.state.leases.get_mut(&id).unwrap();
        lease.environment_id = row.id;
        lease.status = status;
        bench.state.runs.get_mut(run).unwrap().environment_id = Some(row.id);
    }
    let done = bench.ask("environment.archive", "box", json!({}));
    let effect = done.result.unwrap()["effect"].clone();
    assert_eq!((&effect["fails"], &effect["goes_on"]), (&json!([runs[0].text()]), &json!([runs[1].text()])));
    let failed = bench.run(runs[0]);
    assert_eq!((failed.status, failed.error_code.as_deref()), (RunStatus::Failed, Some("environment_inactive")));
    assert!(failed.error.as_ref().unwrap().contains("was archived while it was waited for"), "{failed:?}");
    assert_eq!(bench.status(runs[1]), RunStatus::Running);
    let held = bench.ask("environment.delete", "box", json!({ "cleanup": true }));
    assert!(refusal(&held).1.contains("is in use by L-2 of R-2"), "{held:?}");
}
