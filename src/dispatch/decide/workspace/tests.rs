//! Workspaces after their runs, one input after the other.

use serde_json::{Value, json};
use wharf_model::config::Retention;
use wharf_model::rules::close_check::Found;
use wharf_model::rules::trash::{self, TrashItem, TrashKind};
use wharf_model::*;

use crate::dispatch::decide::sweep;
use crate::dispatch::input::{
    ArchivedWorkspace, CloseRead, Fact, GcKept, GcPlan, Input, KeptOf, OperationEnd, Prepared, ReapCandidate, ReapRead,
    RestoredWorkspace, TakenSnapshot,
};
use crate::dispatch::simulate::bench::{Bench, exit};
use crate::dispatch::simulate::workspaces::found;

fn kept() -> Retention {
    Retention { run_logs_ms: None, snapshots_ms: Some(9_000), workspaces_after_close_ms: Some(5_000) }
}

/// A bench with a workspace in which a run has ended.
fn idle() -> (Bench, WorkspaceId) {
    let mut bench = Bench::new(4);
    let run = bench.executing("plain", None);
    bench.ends(run, exit(Some(0), None, shim::EndedBy::Itself, None));
    let id = bench.run(run).workspace_id.unwrap();
    assert_eq!(bench.state.workspaces[&id].status, WorkspaceStatus::Idle);
    (bench, id)
}

fn ask(bench: &mut Bench, kind: &str, id: WorkspaceId, args: Value, prepared: Prepared) -> RequestRow {
    let row = bench.request(kind, |r| {
        r.target_type = Some("workspace".into());
        r.target_id = Some(id.text());
        r.args = args;
    });
    bench.decide(&Input::Request(Box::new(row.clone()), prepared));
    bench.state.requests[&row.id].clone()
}

fn close(found: Found) -> Prepared {
    Prepared::Close(Box::new(CloseRead { found, retention: kept() }))
}

fn archive(bench: &mut Bench, id: WorkspaceId) -> RequestRow {
    ask(bench, "workspace.archive", id, json!({}), close(found(false)))
}

fn removal(bench: &Bench, id: WorkspaceId) -> Option<ActionId> {
    bench.action(ActionKind::RemoveWorkspace, &id.text())
}

fn status(bench: &Bench, id: WorkspaceId) -> WorkspaceStatus {
    bench.state.workspaces[&id].status
}

fn snapshot(bench: &Bench, action: ActionId) -> Box<TakenSnapshot> {
    let args = bench.state.actions[&action].args.clone().unwrap();
    Box::new(TakenSnapshot {
        id: args["snapshot"].as_str().unwrap().parse().unwrap(),
        reason: "before archiving".into(),
        ref_name: "refs/wharf/snapshots/x".into(),
        commit: "c".into(),
        head: None,
        branch: None,
        files: 3,
        bytes: 4,
        metadata: json!({}),
    })
}

fn moved(bench: &mut Bench, id: WorkspaceId) -> ActionId {
    let action = removal(bench, id).unwrap();
    let snapshot = snapshot(bench, action);
    bench.fact(Fact::SnapshotTaken { action, workspace: id, snapshot });
    let gone = ArchivedWorkspace { trash_path: Some("/w/.trash/x".into()), ..ArchivedWorkspace::default() };
    bench.fact(Fact::WorkspaceArchived { action, workspace: id, gone: Box::new(gone) });
    action
}

#[test]
fn an_archive_keeps_a_snapshot_and_says_where_the_directory_lies_and_until_when() {
    let (mut bench, id) = idle();
    let row = archive(&mut bench, id);
    assert_eq!(row.status, RequestStatus::Accepted, "{:?}", row.error);
    assert_eq!(status(&bench, id), WorkspaceStatus::Archiving);
    assert!(bench.state.workspaces[&id].deadline_at.is_some_and(|at| at >= bench.now.plus(15 * 60_000)));
    let asked = archive(&mut bench, id);
    assert_eq!(asked.status, RequestStatus::Refused, "one at a time");
    moved(&mut bench, id);
    let workspace = &bench.state.workspaces[&id];
    assert_eq!(workspace.status, WorkspaceStatus::Archived);
    assert_eq!(workspace.trash_path.as_deref(), Some("/w/.trash/x"));
    assert_eq!((workspace.trash_until, workspace.trash_bytes), (Some(bench.now.plus(5_000)), Some(10)));
    assert_eq!((workspace.deadline_at, workspace.metadata.clone()), (None, None));
    let kept = bench.state.snapshots.values().next().unwrap();
    assert_eq!((kept.ordinal, kept.expires_at), (1, Some(bench.now.plus(9_000))));
    assert_eq!(bench.state.requests[&row.id].status, RequestStatus::Done);
}

#[test]
fn what_changed_since_the_preview_is_not_archived() {
    let (mut bench, id) = idle();
    let args = json!({ "fingerprint": "clean" });
    let row = ask(&mut bench, "workspace.archive", id, args.clone(), close(found(true)));
    assert_eq!(row.error_code.as_deref(), Some("changed_since_preview"));
    let row = bench.request("workspace.archive", |r| {
        r.target_id = Some(id.text());
        r.expect = Some(json!([{ "id": id.text(), "version": 99 }]));
    });
    bench.decide(&Input::Request(Box::new(row.clone()), close(found(false))));
    assert_eq!(bench.state.requests[&row.id].error_code.as_deref(), Some("changed_since_preview"));
    let row = ask(&mut bench, "workspace.archive", id, args, close(found(false)));
    assert_eq!(row.status, RequestStatus::Accepted);
}

#[test]
fn a_live_run_blocks_and_none_begins_in_what_is_being_archived() {
    let mut bench = Bench::new(4);
    let run = bench.executing("plain", None);
    let id = bench.run(run).workspace_id.unwrap();
    let row = archive(&mut bench, id);
    assert_eq!(row.error_code.as_deref(), Some("illegal_state"));
    assert!(row.error.unwrap().contains("a run works in it (R-1)"));
    bench.ends(run, exit(Some(0), None, shim::EndedBy::Itself, None));
    archive(&mut bench, id);
    let cwd = bench.state.workspaces[&id].cwd.clone().unwrap();
    let late = bench.start("plain", None);
    bench.grant(late);
    bench.make_workspace(late, &cwd);
    assert_eq!((bench.status(late), bench.run(late).workspace_id), (RunStatus::Running, None), "it waits");
    assert_eq!(status(&bench, id), WorkspaceStatus::Archiving);
    // What was archived is history: whoever works there again has a workspace of its own.
    moved(&mut bench, id);
    bench.make_workspace(late, &cwd);
    assert_eq!(bench.run(late).step, Some(Step::Execute));
    assert!(bench.run(late).workspace_id.is_some_and(|own| own != id));
    assert_eq!(status(&bench, id), WorkspaceStatus::Archived);
}

#[test]
fn its_services_have_ended_before_it_is_moved() {
    let (mut bench, id) = idle();
    let user = bench.executing("tester", None);
    let service = bench.service("web").id;
    // One that was started for it.
    let row = bench.state.services.get_mut(&service).unwrap();
    row.scope_type = ReuseScope::ExecutionWorkspace;
    row.scope_id = id.text();
    let row = archive(&mut bench, id);
    assert_eq!(row.status, RequestStatus::Accepted, "{:?}", row.error);
    assert_eq!(bench.state.services[&service].status, ServiceStatus::Stopping);
    assert_eq!(removal(&bench, id), None, "it waits");
    bench.service_ends("web", Some(0));
    assert!(removal(&bench, id).is_some());
    assert_eq!(bench.status(user), RunStatus::Running, "whoever used it goes on");
}

#[test]
fn a_service_that_does_not_end_leaves_the_workspace_where_it_is() {
    let (mut bench, id) = idle();
    bench.executing("tester", None);
    let service = bench.service("web").id;
    let row = bench.state.services.get_mut(&service).unwrap();
    row.scope_type = ReuseScope::ExecutionWorkspace;
    row.scope_id = id.text();
    let row = archive(&mut bench, id);
    bench.wait(60_000);
    assert_eq!(status(&bench, id), WorkspaceStatus::Idle, "nothing of it has moved");
    let why = bench.state.workspaces[&id].failure_reason.clone().unwrap();
    assert!(why.contains("web has not been seen to end"), "{why}");
    let request = &bench.state.requests[&row.id];
    assert_eq!(
        (request.status, request.error_code.as_deref()),
        (RequestStatus::Failed, Some("workspace_cleanup_failed"))
    );
}

#[test]
fn a_failed_one_goes_on_in_the_same_place_when_it_is_asked_for_again() {
    let (mut bench, id) = idle();
    archive(&mut bench, id);
    let first = removal(&bench, id).unwrap();
    let trash = bench.state.actions[&first].args.clone().unwrap()["trash"].clone();
    bench.fact(Fact::WorkspaceWorkFailed {
        action: first,
        workspace: id,
        message: "it is in use".into(),
        in_place: false,
    });
    assert_eq!(status(&bench, id), WorkspaceStatus::CleanupFailed);
    assert_eq!(bench.state.workspaces[&id].failure_reason.as_deref(), Some("it is in use"));
    let again = archive(&mut bench, id);
    assert_eq!(again.status, RequestStatus::Accepted, "{:?}", again.error);
    let second = removal(&bench, id).unwrap();
    assert_ne!(first, second);
    assert_eq!(bench.state.actions[&second].args.clone().unwrap()["trash"], trash);
}

#[test]
fn one_that_is_in_its_place_may_be_worked_in_when_archiving_failed() {
    let (mut bench, id) = idle();
    archive(&mut bench, id);
    let action = removal(&bench, id).unwrap();
    let trash = bench.state.actions[&action].args.clone().unwrap()["trash"].clone();
    bench.fact(Fact::WorkspaceWorkFailed { action, workspace: id, message: "it is locked".into(), in_place: true });
    assert_eq!(status(&bench, id), WorkspaceStatus::Idle);
    assert_eq!(bench.state.workspaces[&id].failure_reason.as_deref(), Some("it is locked"));
    assert_eq!(super::closed_to_runs(&bench.state, id), None);
    archive(&mut bench, id);
    let again = removal(&bench, id).unwrap();
    assert_eq!(bench.state.actions[&again].args.clone().unwrap()["trash"], trash);
}

#[test]
fn one_that_is_still_being_restored_stays_closed_when_its_time_is_over() {
    let (mut bench, id) = idle();
    archive(&mut bench, id);
    moved(&mut bench, id);
    ask(&mut bench, "workspace.restore", id, json!({}), Prepared::Kept(kept()));
    bench.wait(20 * 60_000);
    assert_eq!(status(&bench, id), WorkspaceStatus::Realising);
    assert!(super::between(&bench.state, id).is_some());
    let action = bench.action(ActionKind::RestoreWorkspace, &id.text()).unwrap();
    bench.fact(Fact::WorkspaceRestored { action, workspace: id, back: Box::default() });
    assert_eq!(status(&bench, id), WorkspaceStatus::Idle);
}

#[test]
fn what_was_moved_after_it_was_given_up_counts_all_the_same() {
    let (mut bench, id) = idle();
    archive(&mut bench, id);
    let action = removal(&bench, id).unwrap();
    bench.wait(100 * 60_000);
    assert_eq!(status(&bench, id), WorkspaceStatus::CleanupFailed);
    assert!(sweep::next_deadline(&bench.state).is_none_or(|at| at > bench.now));
    let gone = ArchivedWorkspace { trash_path: Some("/w/.trash/x".into()), ..ArchivedWorkspace::default() };
    bench.fact(Fact::WorkspaceArchived { action, workspace: id, gone: Box::new(gone) });
    assert_eq!(status(&bench, id), WorkspaceStatus::Archived);
}

#[test]
fn an_archived_one_comes_back_out_of_the_trash() {
    let (mut bench, id) = idle();
    archive(&mut bench, id);
    moved(&mut bench, id);
    let row = ask(&mut bench, "workspace.restore", id, json!({}), Prepared::Kept(kept()));
    assert_eq!(
        (row.status, status(&bench, id)),
        (RequestStatus::Accepted, WorkspaceStatus::Realising),
        "{:?}",
        row.error
    );
    let action = bench.action(ActionKind::RestoreWorkspace, &id.text()).unwrap();
    assert_eq!(bench.state.actions[&action].args.clone().unwrap()["from"], "trash");
    bench.fact(Fact::WorkspaceRestored { action, workspace: id, back: Box::default() });
    let workspace = &bench.state.workspaces[&id];
    assert_eq!(
        (workspace.status, workspace.trash_path.clone(), workspace.closed_at),
        (WorkspaceStatus::Idle, None, None)
    );
    assert_eq!(bench.state.requests[&row.id].status, RequestStatus::Done);
}

#[test]
fn what_cannot_be_brought_back_is_where_it_was() {
    let (mut bench, id) = idle();
    archive(&mut bench, id);
    moved(&mut bench, id);
    let row = ask(&mut bench, "workspace.restore", id, json!({}), Prepared::Kept(kept()));
    let action = bench.action(ActionKind::RestoreWorkspace, &id.text()).unwrap();
    bench.fact(Fact::WorkspaceWorkFailed {
        action,
        workspace: id,
        message: "its path is taken".into(),
        in_place: false,
    });
    assert_eq!(status(&bench, id), WorkspaceStatus::Archived);
    assert!(bench.state.workspaces[&id].trash_path.is_some());
    let request = &bench.state.requests[&row.id];
    assert_eq!(request.error_code.as_deref(), Some("workspace_restore_failed"));
}

#[test]
fn a_snapshot_goes_into_a_resting_workspace_and_nowhere_else() {
    let (mut bench, id) = idle();
    let row = ask(&mut bench, "workspace.snapshot", id, json!({ "reason": "so" }), Prepared::Kept(kept()));
    let action = bench.action(ActionKind::SnapshotWorkspace, &id.text()).unwrap();
    let blocked = archive(&mut bench, id);
    assert!(blocked.error.unwrap().contains("snapshot workspace"), "it is under way");
    let taken = snapshot(&bench, action);
    let snapshot = taken.id;
    bench.fact(Fact::SnapshotTaken { action, workspace: id, snapshot: taken });
    assert_eq!(bench.state.requests[&row.id].result.clone().unwrap()["snapshot"], "W-1.1");
    let without = ask(&mut bench, "workspace.restore", id, json!({}), Prepared::Kept(kept()));
    assert!(without.error.unwrap().contains("name the snapshot"));
    let args = json!({ "snapshot": snapshot.text() });
    let row = ask(&mut bench, "workspace.restore", id, args.clone(), Prepared::Kept(kept()));
    assert_eq!(row.status, RequestStatus::Accepted, "{:?}", row.error);
    let action = bench.action(ActionKind::RestoreWorkspace, &id.text()).unwrap();
    let back = RestoredWorkspace { snapshot: Some(snapshot), ..RestoredWorkspace::default() };
    bench.fact(Fact::WorkspaceRestored { action, workspace: id, back: Box::new(back) });
    assert_eq!(status(&bench, id), WorkspaceStatus::Idle);
    assert!(bench.state.snapshots[&snapshot].restored_at.is_some());
    archive(&mut bench, id);
    let row = ask(&mut bench, "workspace.restore", id, args, Prepared::Kept(kept()));
    assert_eq!(row.status, RequestStatus::Refused);
}

fn job(bench: &mut Bench, id: WorkspaceId, name: &str) -> RequestRow {
    ask(bench, "workspace.run_job", id, json!({ "job": name }), Prepared::Nothing)
}

#[test]
fn a_job_is_an_operation_before_it_is_a_process() {
    let (mut bench, id) = idle();
    assert_eq!(job(&mut bench, id, "nothing").error_code.as_deref(), Some("id_unknown"));
    let row = job(&mut bench, id, "migrate");
    let answer = row.result.unwrap();
    let operation: OperationId = answer["operation_id"].as_str().unwrap().parse().unwrap();
    let open = bench.state.operations[&operation].clone();
    assert_eq!((open.phase, open.command.as_deref()), (OperationPhase::WorkspaceJob, Some("./migrate")));
    assert!(job(&mut bench, id, "migrate").error.unwrap().contains("already"));
    assert!(archive(&mut bench, id).error.unwrap().contains("job"), "an operation is under way");
    let action = bench.action(ActionKind::RunJob, &id.text()).unwrap();
    let end = OperationEnd { status: OperationStatus::Failed, exit_code: Some(3), ..OperationEnd::default() };
    bench.fact(Fact::OperationEnded { operation, end });
    bench.fact(Fact::ActionDone { action });
    assert_eq!(bench.state.operations[&operation].exit_code, Some(3));
    assert_eq!(bench.state.requests[&row.id].status, RequestStatus::Done);
    archive(&mut bench, id);
    assert!(job(&mut bench, id, "migrate").error.unwrap().contains("archiving"));
    moved(&mut bench, id);
    assert!(job(&mut bench, id, "migrate").error.unwrap().contains("wharf workspace restore W-1"));
}

#[test]
fn only_what_is_clean_and_due_is_reaped() {
    let (mut bench, clean) = idle();
    let run = bench.executing("plain", None);
    bench.ends(run, exit(Some(0), None, shim::EndedBy::Itself, None));
    let dirty = bench.run(run).workspace_id.unwrap();
    let candidate = |bench: &Bench, id: WorkspaceId, found: Option<Found>, stays: Option<&str>| ReapCandidate {
        workspace: id,
        version: bench.state.workspaces[&id].version,
        closed_at: Some(UnixMillis(1)),
        eligible_at: Some(UnixMillis(77)),
        found,
        stays: stays.map(str::to_owned),
    };
    let candidates =
        vec![candidate(&bench, clean, Some(found(false)), None), candidate(&bench, dirty, Some(found(true)), None)];
    let read = ReapRead { candidates, retention: kept() };
    let row = bench.request("workspace.reap", |_| {});
    bench.decide(&Input::Request(Box::new(row.clone()), Prepared::Reap(Box::new(read))));
    let request = bench.state.requests[&row.id].clone();
    assert_eq!(request.status, RequestStatus::Accepted);
    let result = request.result.unwrap();
    assert_eq!((&result["archived"][0]["workspace"], &result["stays"][0]["workspace"]), (&json!("W-1"), &json!("W-2")));
    assert_eq!(result["stays"][0]["reason"], "1 changed file (a)");
    assert_eq!(bench.state.workspaces[&dirty].cleanup_eligible_at, Some(UnixMillis(77)));
    moved(&mut bench, clean);
    assert_eq!(bench.state.requests[&row.id].status, RequestStatus::Done);
    // Named with another version than was judged, it stays.
    let named = bench.request("workspace.reap", |r| r.expect = Some(json!([{ "id": dirty.text(), "version": 1 }])));
    let read = ReapRead { candidates: vec![candidate(&bench, dirty, Some(found(false)), None)], retention: kept() };
    bench.decide(&Input::Request(Box::new(named.clone()), Prepared::Reap(Box::new(read))));
    let result = bench.state.requests[&named.id].result.clone().unwrap();
    assert_eq!(result["stays"][0]["reason"], "it has changed since the preview");
}

#[test]
fn the_trash_is_emptied_once_its_time_is_over_and_not_while_it_is_needed() {
    let (mut bench, id) = idle();
    archive(&mut bench, id);
    moved(&mut bench, id);
    let plan = |bench: &Bench| {
        let snapshot = bench.state.snapshots.values().next().unwrap().id;
        let kept = |of, place: &str| GcKept {
            of,
            number: "W-1".into(),
            place: place.into(),
            repo: "/p".into(),
            bytes: None,
            due_at: UnixMillis(0),
        };
        let kept = vec![kept(KeptOf::Trash(id), "/w/.trash/x"), kept(KeptOf::Snapshot(snapshot), "refs/x")];
        Prepared::Gc(Box::new(GcPlan { kept, ..GcPlan::default() }))
    };
    let gc = |bench: &mut Bench| {
        let (row, plan) = (bench.request("gc.run", |_| {}), plan(bench));
        bench.decide(&Input::Request(Box::new(row.clone()), plan));
        bench.state.requests[&row.id].clone()
    };
    assert_eq!(gc(&mut bench).result.unwrap()["kept"], json!([]), "it is not due");
    bench.wait(5_000);
    let row = gc(&mut bench);
    assert_eq!(row.result.unwrap()["kept"].as_array().unwrap().len(), 1, "the snapshot is kept longer");
    let action = bench.action(ActionKind::EmptyTrash, "x").unwrap();
    let refused = ask(&mut bench, "workspace.restore", id, json!({}), Prepared::Kept(kept()));
    assert!(refused.error.unwrap().contains("just being emptied"));
    assert!(bench.state.workspaces[&id].trash_path.is_some(), "the row says so once it is gone");
    // Something is mounted in it: who asked is told, and who asks again does not wait for the hour.
    let error = "something is mounted at /w/.trash/x/mnt: unmount it first".to_owned();
    for _ in 0..9 {
        bench.fact(Fact::ActionFailed { action, error: error.clone() });
    }
    let first = &bench.state.requests[&row.id];
    assert!(first.status == RequestStatus::Failed && first.error.as_deref().unwrap().contains(&error), "{first:?}");
    let refused = ask(&mut bench, "workspace.restore", id, json!({}), Prepared::Kept(kept()));
    assert!(refused.error.unwrap().contains("could not be emptied: something is mounted at"));
    let row = gc(&mut bench);
    assert_eq!(row.result.as_ref().unwrap()["kept"].as_array().unwrap().len(), 1, "it is tried at once");
    assert_eq!(bench.state.actions[&action].status, ActionStatus::Performing);
    bench.fact(Fact::TrashEmptied { action });
    assert_eq!(bench.state.workspaces[&id].trash_path, None);
    assert_eq!(bench.state.requests[&row.id].status, RequestStatus::Done);
    // The snapshot is left: it comes back from that.
    let row = ask(&mut bench, "workspace.restore", id, json!({}), Prepared::Kept(kept()));
    assert_eq!(row.result.unwrap()["snapshot"], "W-1.1");
}

#[test]
fn a_directory_that_is_gone_is_noticed_and_may_come_back() {
    let (mut bench, id) = idle();
    let version = bench.state.workspaces[&id].version;
    bench.fact(Fact::WorkspaceSeen { workspace: id, version: version - 1, there: false });
    assert_eq!(status(&bench, id), WorkspaceStatus::Idle, "what was looked at is another one");
    bench.fact(Fact::WorkspaceSeen { workspace: id, version, there: false });
    assert_eq!(status(&bench, id), WorkspaceStatus::Missing);
    let refused = ask(&mut bench, "workspace.restore", id, json!({}), Prepared::Kept(kept()));
    assert!(refused.error.unwrap().contains("nothing of W-1 is kept"));
    let version = bench.state.workspaces[&id].version;
    bench.fact(Fact::WorkspaceSeen { workspace: id, version, there: true });
    assert_eq!(status(&bench, id), WorkspaceStatus::Idle);
    assert_eq!(bench.state.workspaces[&id].failure_reason, None);
}

/// The snapshot that was taken with the first archive.
fn first_snapshot(bench: &Bench) -> String {
    bench.state.snapshots.values().min_by_key(|s| s.ordinal).unwrap().id.text()
}

fn archived_into(bench: &mut Bench, id: WorkspaceId, place: Option<&str>) {
    let row = archive(bench, id);
    assert_eq!(row.status, RequestStatus::Accepted, "{:?}", row.error);
    let action = removal(bench, id).unwrap();
    let gone = ArchivedWorkspace { trash_path: place.map(str::to_owned), ..ArchivedWorkspace::default() };
    bench.fact(Fact::WorkspaceArchived { action, workspace: id, gone: Box::new(gone) });
}

fn restored_fresh(bench: &mut Bench, id: WorkspaceId) {
    let snapshot = first_snapshot(bench);
    let row = ask(bench, "workspace.restore", id, json!({ "snapshot": snapshot }), Prepared::Kept(kept()));
    assert_eq!(row.status, RequestStatus::Accepted, "{:?}", row.error);
    let action = bench.action(ActionKind::RestoreWorkspace, &id.text()).unwrap();
    let args = bench.state.actions[&action].args.clone().unwrap();
    assert_eq!((&args["from"], &args["trash_path"]), (&json!("fresh"), &json!(null)));
    let back = RestoredWorkspace { snapshot: snapshot.parse().ok(), ..RestoredWorkspace::default() };
    bench.fact(Fact::WorkspaceRestored { action, workspace: id, back: Box::new(back) });
    assert_eq!(status(bench, id), WorkspaceStatus::Idle);
}

fn places(bench: &Bench, id: WorkspaceId) -> Vec<String> {
    trash::items(&bench.state.workspaces[&id]).into_iter().map(|i| i.place).collect()
}

#[test]
fn a_trash_of_an_earlier_archive_is_known_until_it_is_emptied_or_comes_back() {
    const FIRST: &str = "/w/.trash/0199-first";
    const SECOND: &str = "/w/.trash/0199-second";
    let (mut bench, id) = idle();
    archive(&mut bench, id);
    moved(&mut bench, id);
    bench.state.workspaces.get_mut(&id).unwrap().trash_path = Some(FIRST.into());
    restored_fresh(&mut bench, id);
    assert_eq!((places(&bench, id), bench.state.workspaces[&id].trash_path.clone()), (vec![FIRST.into()], None));
    // While it is there its place is not free for what lies in the trash.
    let named = json!({ "trash": "0199-first" });
    let refused = ask(&mut bench, "workspace.restore", id, named.clone(), Prepared::Kept(kept()));
    assert!(refused.error.unwrap().contains("`wharf workspace archive W-1` first"));
    archived_into(&mut bench, id, Some(SECOND));
    assert_eq!(places(&bench, id), [SECOND, FIRST]);
    let wrong = ask(&mut bench, "workspace.restore", id, json!({ "trash": "third" }), Prepared::Kept(kept()));
    assert!(wrong.error.unwrap().contains("which has 0199-second, 0199-first"));
    // The older one comes back: the newer one stays known.
    let row = ask(&mut bench, "workspace.restore", id, named, Prepared::Kept(kept()));
    assert_eq!(row.status, RequestStatus::Accepted, "{:?}", row.error);
    let action = bench.action(ActionKind::RestoreWorkspace, &id.text()).unwrap();
    assert_eq!(bench.state.actions[&action].args.clone().unwrap()["trash_path"], FIRST);
    bench.fact(Fact::WorkspaceRestored { action, workspace: id, back: Box::default() });
    assert_eq!(places(&bench, id), [SECOND]);
    // Its time comes although the workspace is in use; what is going does not come back.
    bench.wait(5_000);
    let kept_now = |of, place: &str| GcKept {
        of,
        number: "W-1".into(),
        place: place.into(),
        repo: "/p".into(),
        bytes: None,
        due_at: UnixMillis(0),
    };
    let plan = |of| Prepared::Gc(Box::new(GcPlan { kept: vec![of], ..GcPlan::default() }));
    let row = bench.request("gc.run", |_| {});
    bench.decide(&Input::Request(Box::new(row.clone()), plan(kept_now(KeptOf::Trash(id), SECOND))));
    let action = bench.action(ActionKind::EmptyTrash, "0199-second").unwrap();
    let again = bench.request("gc.run", |_| {});
    bench.decide(&Input::Request(Box::new(again.clone()), plan(kept_now(KeptOf::Trash(id), SECOND))));
    assert_eq!(bench.state.requests[&again.id].result.clone().unwrap()["kept"], json!([]), "once");
    // Nobody waits for that: it may be archived meanwhile.
    archived_into(&mut bench, id, None);
    let going = ask(&mut bench, "workspace.restore", id, json!({ "trash": "0199-second" }), Prepared::Kept(kept()));
    assert!(going.error.unwrap().contains("just being emptied"));
    bench.fact(Fact::TrashEmptied { action });
    assert_eq!(places(&bench, id), Vec::<String>::new());
}

#[test]
fn what_git_had_of_a_directory_that_was_gone_has_the_same_time() {
    const PLACE: &str = "/p/.git/wharf/trash/0199-entry";
    let (mut bench, id) = idle();
    archive(&mut bench, id);
    let action = removal(&bench, id).unwrap();
    for _ in 0..2 {
        bench.fact(Fact::WorkspaceParked { action, workspace: id, place: PLACE.into() });
        bench.wait(10);
    }
    bench.fact(Fact::WorkspaceArchived { action, workspace: id, gone: Box::default() });
    let items = trash::items(&bench.state.workspaces[&id]);
    let until = Some(bench.now.plus(5_000 - 20));
    assert_eq!(items, [TrashItem { kind: TrashKind::Entry, place: PLACE.into(), until, bytes: None }]);
    let refused = ask(&mut bench, "workspace.restore", id, json!({}), Prepared::Kept(kept()));
    assert!(refused.error.unwrap().contains("nothing of W-1 is kept"), "it is no directory");
    bench.wait(5_000);
    let due = GcKept {
        of: KeptOf::Trash(id),
        number: "W-1".into(),
        place: PLACE.into(),
        repo: "/p".into(),
        bytes: None,
        due_at: UnixMillis(0),
    };
    let row = bench.request("gc.run", |_| {});
    let plan = Prepared::Gc(Box::new(GcPlan { kept: vec![due], ..GcPlan::default() }));
    bench.decide(&Input::Request(Box::new(row.clone()), plan));
    let action = bench.action(ActionKind::EmptyTrash, "0199-entry").unwrap();
    assert_eq!(bench.state.actions[&action].args.clone().unwrap()["what"], "entry");
    bench.fact(Fact::TrashEmptied { action });
    assert_eq!(bench.state.requests[&row.id].status, RequestStatus::Done);
    assert!(bench.state.workspaces.get(&id).is_none_or(|w| trash::items(w).is_empty()));
}

mod job_stop;
mod wait;
