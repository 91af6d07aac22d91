//! What a start makes of what it finds, told with the evidence; and runs that only the operator can judge.

use std::fs;

use serde_json::json;
use wharf::process::signal::{self, Signal};
use wharf_model::*;
use wharf_store::view::ActivityQuery;

use crate::orchestrator::*;

const WAITS: &str = "echo $$ >> $ROOT/starts; echo hello; read go < $ROOT/gate-$WHARF_RUN_NUMBER; echo bye; exit 3";

fn recovered(site: &Site) -> Option<serde_json::Value> {
    let query = ActivityQuery { action: Some("orchestrator.elected".into()), ..ActivityQuery::default() };
    site.activity(&query).into_iter().next().and_then(|a| a.details)
}

#[test]
fn a_start_tells_of_what_prepares_workspaces_too() {
    let provision = "trap '' TERM; echo $$ >> $ROOT/provisions; read go < $ROOT/gate-$WHARF_AGENT_NAME";
    let names = ["lives", "ends", "breaks"];
    let agents: String = names.iter().map(|name| agent(name, "", "echo done")).collect();
    let site = Site::git(&format!("[workspace]\nprovision = \"{provision}\"\n{agents}"));
    for name in names {
        site.gate(&format!("gate-{name}"));
    }
    let first = site.start();
    let runs: Vec<RunId> = names.iter().map(|name| site.begin_run(name)).collect();
    eventually("three commands", || (site.lines("provisions").len() == 3).then_some(()));
    let provisions: Vec<OperationRow> = runs
        .iter()
        .map(|run| {
            let all = site.operations(*run).into_iter().map(|item| item.operation);
            all.into_iter().find(|o| o.phase == OperationPhase::WorkspaceProvision).unwrap()
        })
        .collect();
    let shim = |n: usize| {
        let id = provisions[n].id.text();
        let dir = site.shims().into_iter().find(|(_, spec)| spec.id == id).unwrap().0;
        let text = fs::read_to_string(dir.join("id.json")).unwrap();
        (dir, serde_json::from_str::<wharf_model::shim::IdFile>(&text).unwrap().shim)
    };
    let (ending, killed) = (shim(1).0, shim(2).1);
    first.kill();
    site.open_gate("gate-ends");
    eventually("the record", || wharf_store::log::last_exit_frame(&ending).ok().flatten());
    assert!(signal::send(killed, Signal::KILL).unwrap());
    let _next = site.start();
    let told = site.wait("the summary", || recovered(&site));
    let of = |n: usize| {
        let number = format!("O-{}", provisions[n].number);
        let found = told["found"].as_array().unwrap().iter().find(|f| f["number"] == number);
        let found = found.unwrap_or_else(|| panic!("{number} is not in {told}"));
        (found["verdict"].as_str().unwrap().to_owned(), found["words"].as_str().unwrap().to_owned())
    };
    assert_eq!(of(0), ("adopted".into(), "from byte 0".into()));
    assert_eq!(of(1), ("ended".into(), "exit 0".into()));
    let (verdict, words) = of(2);
    assert!(verdict == "lost" && words.contains("died without an exit record"), "{words}");
    assert_eq!((&told["adopted"], &told["ended"], &told["lost"]), (&json!(1), &json!(1), &json!(1)), "{told}");
    site.open_gate("gate-lives");
    let ends: Vec<RunStatus> = runs.iter().map(|run| site.settled(*run).status).collect();
    assert_eq!(ends, [RunStatus::Succeeded, RunStatus::Succeeded, RunStatus::Failed]);
    let row = site.operations(runs[2]).into_iter().map(|item| item.operation).find(|o| o.id == provisions[2].id);
    assert_eq!(row.unwrap().status, OperationStatus::Lost);
    assert_eq!(site.lines("provisions").len(), 3, "none was begun twice");
    site.assert_nothing_open("after all");
}

#[test]
fn a_start_tells_what_became_of_everything_that_was_open() {
    let config = format!(
        "[workspace]\nconcurrency = \"allow\"\n{}{}",
        agent("waits", "grace = \"100ms\"\nservices = [\"web\"]", WAITS),
        listener("web", "stop = { policy = \"manual\" }")
    );
    let site = Site::plain(&config);
    for n in 1..=4 {
        site.gate(&format!("gate-R-{n}"));
    }
    let first = site.start();
    let runs: Vec<RunId> = (0..4).map(|_| site.begin_run("waits")).collect();
    for run in &runs {
        site.started(*run);
    }
    eventually("four starts", || (site.lines("starts").len() == 4).then_some(()));
    let shims: Vec<_> = runs.iter().map(|r| site.shim_of(*r)).collect();
    let dirs: Vec<_> =
        runs.iter().map(|r| site.shims().into_iter().find(|(_, spec)| spec.id == r.text()).unwrap().0).collect();
    first.kill();
    // One lives, one ends, one loses its shim, one loses its directory.
    site.open_gate("gate-R-2");
    eventually("the record", || wharf_store::log::last_exit_frame(&dirs[1]).ok().flatten());
    assert!(signal::send(shims[2], Signal::KILL).unwrap());
    fs::remove_dir_all(&dirs[3]).unwrap();
    let _next = site.start();
    let told = site.wait("the summary", || recovered(&site));
    assert_eq!(
        (&told["adopted"], &told["ended"], &told["lost"], &told["unknown"]),
        (&json!(2), &json!(1), &json!(2), &json!(0)),
        "{told}"
    );
    let of = |number: &str| {
        let found = told["found"].as_array().unwrap().iter().find(|f| f["number"] == number).unwrap();
        (found["verdict"].as_str().unwrap().to_owned(), found["words"].as_str().unwrap().to_owned())
    };
    assert_eq!(of("R-1"), ("adopted".into(), "from byte 6".into()));
    assert_eq!(of("R-2"), ("ended".into(), "exit 3".into()));
    assert_eq!(of("S-1").0, "adopted");
    let (verdict, words) = of("R-3");
    assert_eq!(verdict, "lost");
    for part in ["shim.lock is free", "id.json names shim", "same boot", "found by its tag and stopped"] {
        assert!(words.contains(part), "{words}");
    }
    let (verdict, words) = of("R-4");
    assert_eq!(verdict, "lost");
    assert!(words.contains("was removed while it lived") && words.contains("found by its tag"), "{words}");
    for run in [runs[2], runs[3]] {
        let row = site.wait("the loss", || Some(site.run(run).run).filter(|r| r.status.is_terminal()));
        assert_eq!((row.status, row.error_code.as_deref()), (RunStatus::Lost, Some("process_lost")));
        assert_eq!(site.processes_of(&row), Vec::<String>::new(), "nothing of it lives on");
    }
    let adopted = site.events(runs[0]).into_iter().find(|e| e.message.contains("adopted")).unwrap();
    assert!(adopted.message.contains("continues at byte 6"), "{}", adopted.message);
    assert_eq!(adopted.payload.unwrap()["continues_at_byte"], 6);
    site.open_gate("gate-R-1");
    assert_eq!(site.settled(runs[0]).exit_code, Some(3));
    assert_eq!(site.lines("starts").len(), 4, "none was started again");
}

#[test]
fn a_run_whose_directory_is_removed_while_it_is_watched_still_ends() {
    let site = Site::plain(&agent("waits", "", WAITS));
    site.gate("gate-R-1");
    let _it = site.start();
    let run = site.begin_run("waits");
    site.started(run);
    let (dir, _) = site.shims().remove(0);
    fs::remove_dir_all(&dir).unwrap();
    site.open_gate("gate-R-1");
    let row = site.wait("its end", || Some(site.run(run).run).filter(|r| r.status.is_terminal()));
    // Its shim told the end itself, or could not: either way it is no start that never happened.
    assert!(matches!(row.status, RunStatus::Failed | RunStatus::Lost), "{:?}", row.error);
    assert_ne!(row.error_code.as_deref(), Some("exec_failed"), "{:?}", row.error);
    assert_eq!(site.lines("starts").len(), 1);
}

/// A run whose shim is stopped when the next orchestrator looks for it.
fn in_doubt(site: &Site) -> (RunId, shim::ProcessRef, Orchestrator) {
    site.gate("gate-R-1");
    let first = site.start();
    let run = site.begin_run("waits");
    site.started(run);
    eventually("its start", || (site.lines("starts").len() == 1).then_some(()));
    first.kill();
    let keeper = site.shim_of(run);
    assert!(signal::send(keeper, Signal::STOP).unwrap());
    let next = site.start();
    let row = site.wait("doubt", || Some(site.run(run).run).filter(|r| r.observation == Observation::Unknown));
    assert_eq!(row.status, RunStatus::Running);
    let why = row.observation_evidence.unwrap();
    assert!(why.contains("is stopped (T)") && why.contains("does not answer"), "{why}");
    let step = site.run(run).steps.into_iter().find(|s| s.step == Step::Execute).unwrap();
    assert!(step.deadline_at.is_some(), "doubt has a deadline");
    (run, keeper, next)
}

#[test]
fn a_run_in_doubt_is_kept_and_can_be_judged_again() {
    let site = Site::plain(&agent("waits", "", WAITS));
    let (run, keeper, _it) = in_doubt(&site);
    assert_eq!(site.wait("the summary", || recovered(&site))["unknown"], 1);
    let kept = site.spawn_with(&["resolve", "R-1", "keep"], &[]).wait_for_end();
    assert_eq!(kept.code(), Some(0));
    assert_eq!(site.noted(run, "run.resolved"), 1);
    assert!(signal::send(keeper, Signal::CONT).unwrap());
    site.wait("its answer", || (site.run(run).run.observation == Observation::Live).then_some(()));
    // What can be judged is not decided by hand.
    let mut refused = site.spawn_with(&["resolve", "R-1", "lost"], &[]);
    assert_eq!(refused.wait_for_end().code(), Some(4), "{}", refused.said());
    site.open_gate("gate-R-1");
    assert_eq!(site.settled(run).exit_code, Some(3));
    assert_eq!((site.lines("starts").len(), site.noted(run, "run.ended")), (1, 1));
}

#[test]
fn a_run_in_doubt_is_given_up_and_nothing_of_it_lives_on() {
    let site = Site::plain(&agent("waits", "retry_lost = true", WAITS));
    let (run, keeper, _it) = in_doubt(&site);
    let mut lost = site.spawn_with(&["resolve", "R-1", "lost"], &[]);
    assert_eq!(lost.wait_for_end().code(), Some(0), "{}", lost.said());
    let row = site.run(run).run;
    assert_eq!((row.status, row.error_code.as_deref()), (RunStatus::Lost, Some("process_lost")));
    assert!(row.error.as_ref().unwrap().contains("given up by"), "{:?}", row.error);
    site.wait("its processes' end", || {
        let gone = site.processes_of(&row).is_empty() && !wharf::process::identity::is_alive(keeper).unwrap();
        (gone && site.open_rows().actions.is_empty()).then_some(())
    });
    assert_eq!(site.run(run).lease.unwrap().lease.status, LeaseStatus::Failed);
    assert_eq!(site.all_runs().len(), 1, "who gives it up starts it anew, or does not");
    // What its watcher saw afterwards is kept, and changes nothing.
    let late = site.wait("the late word", || site.events(run).into_iter().find(|e| e.event_type == "late"));
    assert!(late.message.contains("late and without effect"), "{}", late.message);
    assert_eq!((site.run(run).run.status, site.noted(run, "run.ended")), (RunStatus::Lost, 1));
    site.assert_nothing_open("after it was given up");
}
