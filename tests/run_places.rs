//! Runs in environments beside Local, from the config to the results: whole programs, real places.

#![allow(clippy::unwrap_used, reason = "a test ends with a panic")]

#[path = "support/orchestrator.rs"]
mod orchestrator;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use orchestrator::{LIMIT, Site, agent, within};
use serde_json::{Value, json};
use wharf::process::signal;
use wharf_model::*;
use wharf_store::log::{LogReader, Stream, StreamSet, copy_to};

/// Says that the running test shows nothing here.
fn skipped(why: &str) {
    let test = std::thread::current();
    let _ = writeln!(std::io::stderr(), "SKIPPED {}: {why}", test.name().unwrap_or("a test"));
}

/// An environment of a test.
#[derive(Clone)]
struct Kind {
    /// Its table.
    config: String,
    /// Its files are those of this machine.
    shares_files: bool,
    /// In words, as messages name it.
    name: &'static str,
}

/// A sandbox of bubblewrap's; none where it cannot be had.
fn sandbox() -> Option<Kind> {
    let works = Command::new("bwrap").args(["--ro-bind", "/", "/", "--unshare-pid", "true"]).output();
    if !works.is_ok_and(|o| o.status.success()) {
        skipped("bubblewrap cannot make a sandbox here");
        return None;
    }
    let config = "[[environment]]\nname = \"box\"\ndriver = \"sandbox\"\n[environment.config]\n\
                  provider = \"bubblewrap\"\nnetwork = \"none\"\n";
    Some(Kind { config: config.into(), shares_files: true, name: "box (sandbox)" })
}

/// Places of the example plugin: files are carried there and back.
fn plugin() -> Option<Kind> {
    if !Command::new("python3").arg("--version").output().is_ok_and(|o| o.status.success()) {
        skipped("there is no python3");
        return None;
    }
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/plugins/places.py");
    let config = format!(
        "[[environment]]\nname = \"box\"\ndriver = \"plugin\"\n[environment.config]\ncommand = [\"python3\", \"{}\"]\n\
         driver = \"places\"\n[environment.config.config]\nroot = \"$ROOT/places\"\n",
        program.display()
    );
    Some(Kind { config, shares_files: false, name: "box (plugin)" })
}

/// Every kind that works here.
fn kinds() -> Vec<Kind> {
    [sandbox(), plugin()].into_iter().flatten().collect()
}

/// An agent that runs a script in the environment.
fn placed(script: &str, more: &str) -> String {
    agent("worker", &format!("environment = \"box\"\n{more}"), script)
}

fn realisation(site: &Site, run: RunId) -> Value {
    site.run(run).lease.unwrap().lease.realisation.expect("the lease keeps what was realised")
}

/// What a run wrote to its standard output.
fn printed(site: &Site, row: &RunRow) -> String {
    let mut log = LogReader::open(&site.data.join(row.log_ref.as_ref().unwrap())).unwrap();
    let (mut bytes, start) = (Vec::new(), log.start());
    copy_to(&mut log, &mut bytes, StreamSet::of(&[Stream::Stdout]), start, u64::MAX).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_run_works_where_its_lease_leads_and_its_results_are_here_when_it_has_ended() {
    for kind in kinds() {
        let script = "echo \"$WHARF_ENVIRONMENT_DRIVER $PWD $WHARF_WORKSPACE_CWD ${WHARF_AGENT_SOCKET:+talks}\"; \
                      cat provisioned; echo made > result; echo said >&2; exit 0";
        let provision = "[workspace]\nprovision = \"echo $WHARF_WORKSPACE_CWD > provisioned\"\n";
        let site = Site::git(&format!("{provision}{}{}", placed(script, ""), kind.config));
        let _serve = site.start();
        let run = site.begin_run("worker");
        let row = site.settled(run);
        assert_eq!((row.status, row.exit_code), (RunStatus::Succeeded, Some(0)), "{}: {:?}", kind.name, row.error);
        let detail = site.run(run);
        let workspace = detail.workspace.unwrap();
        let cwd = workspace.cwd.clone().unwrap();
        let realised = realisation(&site, run);
        let there = realised["result"]["cwd"].as_str().unwrap().to_owned();
        assert_eq!(there == cwd, kind.shares_files, "{}: {there}", kind.name);
        // It was told where it was, in the words of there.
        let said = printed(&site, &row);
        let driver = kind.name.split(['(', ')']).nth(1).unwrap();
        let talks = if kind.shares_files { "talks" } else { "" };
        assert_eq!(said, format!("{driver} {there} {there} {talks}\n{there}\n"), "{}", kind.name);
        // And what it made is here.
        assert_eq!(fs::read_to_string(Path::new(&cwd).join("result")).unwrap(), "made\n", "{}", kind.name);
        let operation = detail.operations.iter().find(|o| o.operation.phase == OperationPhase::WorkspaceProvision);
        assert_eq!(operation.unwrap().operation.status, OperationStatus::Succeeded);
        assert_eq!(realised["collected"].is_object(), !kind.shares_files, "{}: {realised}", kind.name);
        assert!(site.processes_of(&site.run(run).run).is_empty());
        site.assert_nothing_open(kind.name);
    }
}

#[test]
fn a_provision_that_fails_there_says_where_and_why_in_one_line() {
    for kind in kinds() {
        let provision =
            "[workspace]\nprovision = \"echo begin >&2; echo fatal: no compiler >&2; echo more >&2; exit 3\"\n";
        let site = Site::git(&format!("{provision}{}{}", placed("true", ""), kind.config));
        let _serve = site.start();
        let row = site.settled(site.begin_run("worker"));
        assert_eq!(row.status, RunStatus::Failed);
        assert_eq!(row.error_code.as_deref(), Some("workspace_realization_failed"), "{}: {:?}", kind.name, row.error);
        let error = row.error.unwrap();
        assert!(error.ends_with(&format!("in {}: exit 3: fatal: no compiler", kind.name)), "{error}");
        site.assert_nothing_open(kind.name);
    }
}

#[test]
fn a_run_that_is_cancelled_leaves_nothing_there() {
    for kind in kinds() {
        // One of its processes has a session of its own and does not listen.
        let script = "setsid sh -c \"trap '' TERM; echo deaf >> beats; while :; do sleep 0.1; done\" & \
                      trap '' TERM; while :; do sleep 0.1; done";
        let site = Site::git(&format!("{}{}", placed(script, "grace = \"300ms\"\n"), kind.config));
        let _serve = site.start();
        let run = site.begin_run("worker");
        site.started(run);
        let there = realisation(&site, run)["result"]["cwd"].as_str().unwrap().to_owned();
        site.wait_and_look("the deaf one", || Path::new(&there).join("beats").exists().then_some(()));
        site.cancel(run, 300);
        let row = site.settled(run);
        assert_eq!(row.status, RunStatus::Cancelled, "{}: {:?}", kind.name, row.error);
        assert_eq!(site.processes_of(&row), Vec::<String>::new(), "{}", kind.name);
        site.assert_nothing_open(kind.name);
    }
}

#[test]
fn a_run_goes_on_when_its_orchestrator_is_killed_and_its_results_still_come() {
    for kind in kinds() {
        let script =
            "echo $$ >> starts; echo before; while [ ! -e go ]; do sleep 0.05; done; echo after; echo made > result";
        let site = Site::git(&format!("{}{}", placed(script, ""), kind.config));
        let serve = site.start();
        let run = site.begin_run("worker");
        site.started(run);
        let there = realisation(&site, run)["result"]["cwd"].as_str().unwrap().to_owned();
        site.wait_and_look("its first line", || Path::new(&there).join("starts").exists().then_some(()));
        serve.kill();
        let _serve = site.start();
        site.wait("its adoption", || (site.noted(run, "run.adopted") == 1).then_some(()));
        let go = Path::new(&there).join("go");
        within("the gate", LIMIT, move || fs::write(go, "").unwrap());
        let row = site.settled(run);
        assert_eq!(row.status, RunStatus::Succeeded, "{}: {:?}", kind.name, row.error);
        let cwd = site.run(run).workspace.unwrap().cwd.unwrap();
        assert_eq!(fs::read_to_string(Path::new(&cwd).join("result")).unwrap(), "made\n", "{}", kind.name);
        assert_eq!(fs::read_to_string(Path::new(&cwd).join("starts")).unwrap().lines().count(), 1, "{}", kind.name);
        assert_eq!(row.stdout_bytes, Some("before\nafter\n".len() as i64), "{}", kind.name);
        site.assert_nothing_open(kind.name);
    }
}

#[test]
fn results_still_come_when_the_orchestrator_is_killed_between_the_end_and_them() {
    let Some(kind) = plugin() else { return };
    for point in ["run.end_seen", "run.collected", "workspace.realised_there", "workspace.provisioned"] {
        let provision = "[workspace]\nprovision = \"echo once >> provisions\"\n";
        let script = "echo $$ >> starts; echo made > result; exit 5";
        let site = Site::git(&format!("{provision}{}{}", placed(script, ""), kind.config));
        let mut dies = site.spawn(&[("WHARF_KILL_POINT", point)]);
        assert!(dies.wait_until_reigning());
        let run = site.begin_run("worker");
        dies.wait_for_end();
        let _serve = site.start();
        let row = site.settled(run);
        assert_eq!((row.status, row.exit_code), (RunStatus::Failed, Some(5)), "{point}: {:?}", row.error);
        let cwd = site.run(run).workspace.unwrap().cwd.unwrap();
        let read = |name: &str| fs::read_to_string(Path::new(&cwd).join(name)).unwrap_or_default();
        assert_eq!(read("result"), "made\n", "{point}");
        assert_eq!(read("starts").lines().count(), 1, "{point}: it was started once");
        assert_eq!(read("provisions"), "once\n", "{point}: it was provisioned once");
        site.assert_nothing_open(point);
    }
}

#[test]
fn of_a_run_whose_shim_died_nothing_lives_there_and_its_work_is_not_lost() {
    for (kind, alone) in kinds().into_iter().flat_map(|kind| [(kind.clone(), false), (kind, true)]) {
        let script = "echo made > result; echo on >> beats; while :; do sleep 0.1; done";
        let site = Site::git(&format!("{}{}", placed(script, "grace = \"300ms\"\n"), kind.config));
        let mut serve = site.start();
        let run = site.begin_run("worker");
        site.started(run);
        let there = realisation(&site, run)["result"]["cwd"].as_str().unwrap().to_owned();
        site.wait_and_look("its first beat", || Path::new(&there).join("beats").exists().then_some(()));
        let shim = site.shim_of(run);
        if alone {
            serve.kill();
            signal::send(shim, signal::Signal::KILL).unwrap();
            serve = site.start();
        } else {
            signal::send(shim, signal::Signal::KILL).unwrap();
        }
        let row = site.settled(run);
        assert_eq!(row.status, RunStatus::Lost, "{}: {:?}", kind.name, row.error);
        let evidence = row.error.clone().unwrap();
        assert_eq!(evidence.contains("what it changed was brought back"), !kind.shares_files, "{evidence}");
        assert!(site.processes_of(&row).is_empty(), "{}", kind.name);
        let cwd = site.run(run).workspace.unwrap().cwd.unwrap();
        assert_eq!(fs::read_to_string(Path::new(&cwd).join("result")).unwrap(), "made\n", "{}", kind.name);
        site.assert_nothing_open(kind.name);
        drop(serve);
    }
}

#[test]
fn an_adapter_is_tried_where_the_environment_leads_and_nothing_of_it_stays() {
    for kind in kinds() {
        let missing =
            "[[agent]]\nname = \"missing\"\nadapter = \"process\"\n[agent.config]\ncommand = \"no-such-program\"\n";
        let site = Site::git(&format!("{}{missing}{}", placed("true", ""), kind.config));
        let _serve = site.start();
        site.finished(site.send("config.accept", None, json!({ "path": site.project })));
        for (agent, finding) in [("worker", None), ("missing", Some("command_not_found"))] {
            let state = site.open_rows();
            let environment = state.environments.values().find(|e| e.name == "box").unwrap().id;
            let id = state.agents.values().find(|a| a.name == agent).unwrap().id;
            let target = Some(("environment", environment.text()));
            let answer = site.finished(site.send("environment.test", target, json!({ "agent": id.text() })));
            let checks = answer.result.as_ref().unwrap()["checks"].as_array().cloned().unwrap();
            let of = |level: &str| {
                let of = checks.iter().filter(|c| c["level"] == level);
                of.map(|c| c["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            assert_eq!(of("error"), finding.into_iter().collect::<Vec<_>>(), "{}: {checks:#?}", kind.name);
            for code in ["workspace", "target", "terminal", "starts", "writable"] {
                assert!(of("ok").contains(&code.to_owned()), "{}: no {code} in {checks:#?}", kind.name);
            }
        }
        site.wait("the end of its lease", || site.open_rows().leases.is_empty().then_some(()));
        assert!(fs::read_dir(site.data.join("tmp")).unwrap().next().is_none(), "{}", kind.name);
    }
}

#[test]
fn a_service_of_this_machine_that_may_not_be_reached_is_told_and_stops_nothing() {
    let Some(kind) = sandbox() else { return };
    let web = "[[service]]\nname = \"web\"\ncommand = [\"sleep\", \"60\"]\nready = \"none\"\n\
               stop = { policy = \"on_run_finish\", grace = \"1s\" }\n";
    for (network, told) in [("none", 1), ("host", 0)] {
        let config = kind.config.replace("network = \"none\"", &format!("network = \"{network}\""));
        let site = Site::git(&format!("{}{web}{config}", placed("true", "services = [\"web\"]\n")));
        let _serve = site.start();
        let run = site.begin_run("worker");
        let row = site.settled(run);
        assert_eq!(row.status, RunStatus::Succeeded, "{:?}", row.error);
        let events = site.ask(|r| r.run_events(run, 0, 100)).rows;
        let warnings: Vec<_> =
            events.iter().filter(|e| e.message.contains("service web listens on this machine")).collect();
        assert_eq!(warnings.len(), told, "{network}: {events:#?}");
    }
}
