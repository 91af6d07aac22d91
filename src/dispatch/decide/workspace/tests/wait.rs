//! Runs that meet a workspace which is just being archived or brought back.

use super::*;

/// What is being done to the workspace that a run comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Archive,
    Restore,
}

/// How that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Done,
    FailedInPlace,
    FailedHalfMoved,
}

/// A run that waits for a workspace; the action on that.
fn waiting(doing: Doing) -> (Bench, WorkspaceId, RunId, ActionId) {
    let (mut bench, id) = idle();
    archive(&mut bench, id);
    let mut action = removal(&bench, id).unwrap();
    if doing == Doing::Restore {
        moved(&mut bench, id);
        let row = ask(&mut bench, "workspace.restore", id, json!({}), Prepared::Kept(kept()));
        assert_eq!(row.status, RequestStatus::Accepted, "{:?}", row.error);
        action = bench.action(ActionKind::RestoreWorkspace, &id.text()).unwrap();
    }
    let run = bench.start("plain", None);
    bench.grant(run);
    comes_to(&mut bench, run, id);
    (bench, id, run, action)
}

fn comes_to(bench: &mut Bench, run: RunId, id: WorkspaceId) {
    let cwd = bench.state.workspaces[&id].cwd.clone().unwrap();
    bench.make_workspace(run, &cwd);
}

fn step(bench: &Bench, run: RunId) -> &StepRow {
    &bench.state.steps[&StepId(run, Step::Realise)]
}

fn making(bench: &Bench, run: RunId) -> Option<ActionId> {
    bench.action(ActionKind::RealiseWorkspace, &run.text())
}

fn end(bench: &mut Bench, id: WorkspaceId, action: ActionId, doing: Doing, ends: Ends) {
    let message = "it is in use".to_owned();
    let fact = match (doing, ends) {
        (Doing::Archive, Ends::Done) => {
            moved(bench, id);
            return;
        }
        (Doing::Restore, Ends::Done) => {
            Fact::WorkspaceRestored { action, workspace: id, back: Box::new(RestoredWorkspace::default()) }
        }
        (_, ends) => {
            let in_place = ends == Ends::FailedInPlace;
            Fact::WorkspaceWorkFailed { action, workspace: id, message, in_place }
        }
    };
    bench.fact(fact);
}

#[test]
fn a_run_waits_with_a_reason_and_a_deadline() {
    for doing in [Doing::Archive, Doing::Restore] {
        let (bench, id, run, _) = waiting(doing);
        let (row, step) = (bench.run(run), step(&bench, run));
        assert_eq!((row.status, row.step, row.workspace_id), (RunStatus::Running, Some(Step::Realise), None));
        assert_eq!(making(&bench, run), None, "nobody makes anything meanwhile");
        let waits = &step.detail.as_ref().unwrap()["waits_for"];
        let until = if doing == Doing::Archive { "archived" } else { "restored" };
        assert_eq!(
            (&waits["workspace"], &waits["until"], &waits["asked_by"]),
            (&json!("W-1"), &json!(until), &json!("mo"))
        );
        let own = bench.state.workspaces[&id].deadline_at.unwrap();
        assert!(step.deadline_at.unwrap() > own, "the workspace's own end comes first");
        assert!(sweep::next_deadline(&bench.state).is_some_and(|at| at <= own));
    }
}

#[test]
fn it_goes_on_when_that_has_ended_whatever_came_of_it() {
    // What was archived is history, so its run gets a new one; what is there is joined.
    let table = [
        (Doing::Archive, Ends::Done, WorkspaceStatus::Archived, Some(false)),
        (Doing::Archive, Ends::FailedInPlace, WorkspaceStatus::Idle, Some(true)),
        (Doing::Archive, Ends::FailedHalfMoved, WorkspaceStatus::CleanupFailed, None),
        (Doing::Restore, Ends::Done, WorkspaceStatus::Idle, Some(true)),
        (Doing::Restore, Ends::FailedInPlace, WorkspaceStatus::Archived, Some(false)),
    ];
    for (doing, ends, left, joins) in table {
        let what = format!("{doing:?} {ends:?}");
        let (mut bench, id, run, action) = waiting(doing);
        end(&mut bench, id, action, doing, ends);
        assert_eq!(status(&bench, id), left, "{what}");
        assert!(making(&bench, run).is_some(), "{what}: told by the very fact");
        assert_eq!(step(&bench, run).detail, None, "{what}");
        let limit = Step::Realise.deadline_ms().unwrap();
        assert_eq!(step(&bench, run).deadline_at, Some(bench.now.plus(limit)), "{what}: it has all its time");
        comes_to(&mut bench, run, id);
        match joins {
            Some(joins) => assert_eq!(bench.run(run).workspace_id == Some(id), joins, "{what}"),
            None => {
                assert_eq!(bench.status(run), RunStatus::Failed, "{what}");
                assert!(bench.run(run).error.as_ref().unwrap().contains("wharf workspace archive W-1"), "{what}");
            }
        }
    }
}

#[test]
fn it_fails_at_its_deadline_only_and_the_place_goes_on() {
    let (mut bench, id, run, _) = waiting(Doing::Restore);
    let until = step(&bench, run).deadline_at.unwrap();
    bench.wait(bench.now.until(until) - 1);
    assert_eq!(bench.status(run), RunStatus::Running);
    assert_eq!(status(&bench, id), WorkspaceStatus::Realising, "files may be written there at this moment");
    bench.wait(1);
    assert_eq!(bench.status(run), RunStatus::Failed);
    assert_eq!(bench.run(run).error_code.as_deref(), Some("workspace_wait_deadline"));
    assert!(bench.run(run).error.as_ref().unwrap().contains("wharf show W-1"));
    // An archive whose end is not seen ends first, by its own deadline: its run is told why and need not wait longer.
    let (mut bench, id, run, _) = waiting(Doing::Archive);
    let own = bench.state.workspaces[&id].deadline_at.unwrap();
    bench.wait(bench.now.until(own));
    assert_eq!((status(&bench, id), bench.status(run)), (WorkspaceStatus::CleanupFailed, RunStatus::Running));
    assert!(making(&bench, run).is_some());
}

#[test]
fn a_run_that_waits_can_be_cancelled_and_holds_nothing() {
    let (mut bench, id, run, _) = waiting(Doing::Archive);
    let lease = bench.run(run).lease_id.unwrap();
    assert_eq!(bench.ask("run.cancel", &run.text(), json!({})).status, RequestStatus::Done);
    assert_eq!(bench.status(run), RunStatus::Cancelled);
    assert_eq!(bench.state.leases[&lease].status, LeaseStatus::Releasing);
    moved(&mut bench, id);
    assert_eq!((making(&bench, run), bench.status(run)), (None, RunStatus::Cancelled));
}

#[test]
fn neither_waits_for_the_other() {
    // The close check counts runs that work in a workspace: one that waits for it does not, so a try that failed can be
    // followed by the next one while the run still has not come.
    let (mut bench, id, run, action) = waiting(Doing::Archive);
    bench.state.steps.get_mut(&StepId(run, Step::Realise)).unwrap().started_at = Some(bench.now);
    let rows = crate::dispatch::decide::workspace::gather(&bench.state, id).unwrap();
    assert!(rows.around().live_runs.is_empty() && rows.around().leases.is_empty());
    end(&mut bench, id, action, Doing::Archive, Ends::FailedInPlace);
    let again = archive(&mut bench, id);
    assert_eq!(again.status, RequestStatus::Accepted, "{:?}", again.error);
    comes_to(&mut bench, run, id);
    assert_eq!((bench.status(run), making(&bench, run)), (RunStatus::Running, None), "it waits once more");
    // Two that wait both go on.
    let other = bench.start("plain", None);
    bench.grant(other);
    comes_to(&mut bench, other, id);
    moved(&mut bench, id);
    assert!(making(&bench, run).is_some() && making(&bench, other).is_some());
}

#[test]
fn what_the_executor_says_that_came_too_early_ends_nothing() {
    let (mut bench, id) = idle();
    archive(&mut bench, id);
    let run = bench.start("plain", None);
    bench.grant(run);
    let action = making(&bench, run).unwrap();
    comes_to(&mut bench, run, id);
    assert_eq!(bench.state.actions[&action].status, ActionStatus::Superseded);
    let message = "the run waits for it".to_owned();
    let failed = Fact::WorkspaceFailed { action, run, attempt: 1, message, cause: None, stands: None };
    bench.fact(failed.clone());
    assert_eq!(bench.status(run), RunStatus::Running);
    // Nor once another one is at it, and the action has left memory as it does with each commit.
    bench.state.actions.remove(&action);
    bench.fact(failed.clone());
    assert_eq!(bench.status(run), RunStatus::Running);
    moved(&mut bench, id);
    bench.fact(failed);
    assert_eq!(bench.status(run), RunStatus::Running);
    assert!(making(&bench, run).is_some());
    // A new reign performs what is open, and goes on where the one before it did not come to that.
    bench.decide(&Input::Begin);
    assert!(making(&bench, run).is_some());
}
