//! The verbs on services through the whole program, with real servers.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod cli_common;

use std::time::{Duration, Instant};

use cli_common::Place;
use serde_json::Value;

const CONFIG: &str = r#"
[project]
key = "SHOP"

[[agent]]
name = "uses"
adapter = "process"
grace = "2s"
services = ["web", "own"]
[agent.config]
command = "sh"
args = ["-c", "echo ready; exec sleep 60"]

[[agent]]
name = "short"
adapter = "process"
services = ["each"]
[agent.config]
command = "true"

[[agent]]
name = "reports"
adapter = "process"
grace = "2s"
[agent.config]
command = "sh"
args = ["-c", "wharf report-service preview --url http://127.0.0.1:4000/ --port 4000 --provider-ref dev-7; exec sleep 60"]

[[service]]
name = "db"
command = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "{{port}}"]
port = "auto"
ready = { http = "http://127.0.0.1:{{port}}/", timeout = "60s", interval = "50ms" }
stop = { grace = "2s" }
restart = { policy = "on_failure", backoff = "50ms", max = 3, within = "10m" }

[[service]]
name = "web"
command = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "{{port}}"]
port = "auto"
ready = { http = "http://127.0.0.1:{{port}}/", timeout = "60s", interval = "50ms" }
stop = { grace = "2s" }
depends_on = ["db"]

[[service]]
name = "own"
command = ["sh", "-c", "exec sleep 60"]
reuse = "execution_workspace"
stop = { grace = "1s" }

[[service]]
name = "each"
command = ["sh", "-c", "exec sleep 60"]
reuse = "run"
stop = { policy = "on_run_finish", grace = "1s" }

[[service]]
name = "mute"
command = ["sleep", "60"]
port = "auto"
ready = { http = "http://127.0.0.1:{{port}}/", timeout = "300ms", interval = "50ms" }
stop = { grace = "1s" }

[[service]]
name = "crash"
command = ["sh", "-c", "echo dead >&2; exit 7"]
port = "auto"
ready = { http = "http://127.0.0.1:{{port}}/", timeout = "60s", interval = "50ms" }
restart = { policy = "on_failure", backoff = "20ms", max = 2, within = "60s" }

[[service]]
name = "lame"
command = ["sleep", "60"]
depends_on = ["broken"]

[[service]]
name = "broken"
command = ["sh", "-c", "exit 3"]
port = "auto"
ready = { http = "http://127.0.0.1:{{port}}/", timeout = "60s", interval = "50ms" }
"#;

/// A project with these services; none where there is no python3, which is said.
fn place() -> Option<Place> {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        cli_common::skipped("there is no python3 here");
        return None;
    }
    let place = Place::bare();
    place.config(CONFIG);
    place.git(&["init", "-q", "-b", "main"]);
    place.git(&["add", "-A"]);
    place.git(&["commit", "-q", "-m", "first"]);
    Some(place)
}

fn service(place: &Place, name: &str) -> Value {
    let all = place.wharf(&["services", "--all", "--json"]).expect(0).json();
    let found = all["services"].as_array().unwrap().iter().find(|s| s["name"] == name).cloned();
    found.unwrap_or(Value::Null)
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_mins(1), "{what} does not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn nothing_lives(place: &Place) {
    let live = place.wharf(&["services", "status:live", "--json"]).expect(0).json();
    assert_eq!(live["services"].as_array().map(Vec::len), Some(0), "{live}");
}

#[test]
fn what_a_service_takes_is_listed_while_it_runs_and_unknown_afterwards() {
    let Some(place) = place() else { return };
    place.wharf(&["service", "start", "db"]).expect(0);
    let list = place.wharf(&["services"]).expect(0).out;
    let mut lines = list.lines();
    let header = lines.next().unwrap();
    for column in ["CPU", "MEM", "UP", "STOPS", "RESTARTS"] {
        assert!(header.split_whitespace().any(|word| word == column), "{column}: {list}");
    }
    let line = lines.find(|l| l.contains(" db ")).unwrap();
    assert!(line.contains(" MB ") && line.ends_with(" 0"), "{list}");
    let db = service(&place, "db");
    assert!(db["memory_bytes"].as_u64() > Some(0) && db["processes"].as_u64() > Some(0), "{db}");
    assert!(db["cpu_permille"].is_u64() && db["uptime_ms"].as_u64() > Some(0) && db["restarts"] == 0, "{db}");
    let shown = place.wharf(&["show", db["number"].as_str().unwrap(), "--json"]).expect(0).json();
    assert!(shown["service"]["memory_bytes"].is_u64(), "{shown}");
    place.wharf(&["service", "stop", "db", "--yes"]).expect(0);
    let db = service(&place, "db");
    for figure in ["memory_bytes", "processes", "cpu_permille", "uptime_ms"] {
        assert!(db[figure].is_null(), "{figure}: {db}");
    }
    let list = place.wharf(&["services", "--no-header"]).expect(0).out;
    let line = list.lines().find(|l| l.contains(" db ")).unwrap();
    assert_eq!(line.matches('–').count(), 6, "health, port, URL and figures of what has ended: {list}");
}

#[test]
fn what_is_needed_starts_first_and_is_named_when_it_stops() {
    let Some(place) = place() else { return };
    for serving in [false, true] {
        let _serving = serving.then(|| place.serve());
        let web = place.wharf(&["service", "start", "web", "--json"]).expect(0).json()["service"].clone();
        let db = service(&place, "db");
        assert_eq!((&web["status"], &db["status"]), (&"running".into(), &"running".into()));
        assert!(db["ready_at"].as_str() <= web["ready_at"].as_str(), "{db} {web}");
        let (web, db) = (web["number"].as_str().unwrap().to_owned(), db["number"].as_str().unwrap().to_owned());
        let would = place.wharf(&["service", "stop", "db", "--dry-run"]).expect(0);
        let expected = format!("stops  {db} db\nkeeps  {web} web needs {db} db and goes on without it\n");
        assert_eq!(would.out, expected);
        let not = place.wharf(&["service", "stop", "db"]).expect(9);
        assert!(not.err.contains("there is no terminal to ask on"), "{}", not.err);
        assert_eq!(place.wharf(&["service", "stop", "db", "--json"]).expect(9).error()["code"], "not_confirmed");
        assert_eq!(service(&place, "db")["status"], "running", "nobody confirmed it");
        let stopped = place.wharf(&["service", "stop", "db", "--yes"]).expect(0);
        assert!(stopped.err.contains(&format!("{web} web needs {db} db and goes on without it")), "{}", stopped.err);
        assert_eq!(service(&place, "web")["status"], "running");
        place.wharf(&["service", "stop", &web]).expect(0);
        let nothing = place.wharf(&["service", "stop", "db", "--dry-run", "--json"]).expect(4).error();
        assert_eq!((&nothing["code"], &nothing["entity"]), (&"illegal_state".into(), &db.into()));
        nothing_lives(&place);
    }
}

#[test]
fn a_needed_one_that_fails_is_the_reason_of_the_one_that_waits() {
    let Some(place) = place() else { return };
    let lame = place.wharf(&["service", "start", "lame"]).expect(8);
    let broken = service(&place, "broken")["number"].as_str().unwrap().to_owned();
    let lines: Vec<&str> = lame.err.lines().collect();
    assert!(lines[0].contains("lame failed: it needs broken") && lines[0].contains(&broken), "{lines:?}");
    assert!(lines.iter().any(|l| l.starts_with("next:  wharf service logs S-")), "{lines:?}");
    nothing_lives(&place);
}

#[test]
fn a_command_that_ends_again_and_again_is_parked_until_somebody_starts_it() {
    let Some(place) = place() else { return };
    for round in 1..=2 {
        let parked = place.wharf(&["service", "start", "crash", "--json"]).expect(8).error();
        assert_eq!(parked["code"], "service_crash_loop", "{parked}");
        let words = parked["message"].as_str().unwrap();
        assert!(words.contains("crash failed: the command ended 3 times within 60s, restarts are used up"), "{words}");
        assert!(words.contains("exit 7"), "what it ended with is told: {words}");
        let row = service(&place, "crash");
        assert_eq!((&row["status"], &row["generation"]), (&"failed".into(), &(3 * round).into()));
    }
    let number = service(&place, "crash")["number"].as_str().unwrap().to_owned();
    let people = place.wharf(&["service", "restart", "crash"]).expect(8);
    assert!(people.err.contains(&format!("wharf service restart {number}")), "{}", people.err);
    assert!(people.err.lines().any(|l| l.starts_with("cause: at last: ")), "{}", people.err);
    let why = place.wharf(&["service", "why", "crash"]).expect(0).out;
    assert!(why.contains("RULE ") && why.contains(&format!("wharf service restart {number}")), "{why}");
    let data = place.wharf(&["service", "why", &number, "--json"]).expect(0).json();
    assert_eq!((&data["schema"], &data["trouble"]), (&"wharf.service_why/1".into(), &true.into()));
    let activity = place.wharf(&["activity", "--json"]).expect(0).json();
    let told = |what: &str| activity["activity"].as_array().unwrap().iter().filter(|a| a["action"] == what).count();
    assert_eq!((told("service.parked"), told("service.restarted")), (3, 6));
    nothing_lives(&place);
}

#[test]
fn a_service_is_kept_where_it_is_meant_to_be() {
    let Some(place) = place() else { return };
    let _serving = place.serve();
    place.wharf(&["service", "start", "db"]).expect(0);
    assert_eq!(service(&place, "db")["desired"], "manual");
    place.wharf(&["service", "stop", "db"]).expect(0);
    let said = place.wharf(&["service", "desired", "db", "running"]).expect(0);
    assert!(said.err.contains(" db is meant to be running"), "{}", said.err);
    let runs = |place: &Place| service(place, "db")["status"] == "running";
    until("the service that is meant to run", || runs(&place));
    // Whatever ends it, it comes back.
    let before = service(&place, "db");
    let pid = rustix::process::Pid::from_raw(i32::try_from(before["process_pid"].as_i64().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until("its next start", || {
        let now = service(&place, "db");
        now["status"] == "running" && now["generation"].as_i64() == before["generation"].as_i64().map(|g| g + 1)
    });
    // A stop by hand is meant from then on.
    place.wharf(&["service", "stop", "db"]).expect(0);
    let stopped = service(&place, "db");
    assert_eq!((&stopped["status"], &stopped["desired"]), (&"stopped".into(), &"stopped".into()));
    place.wharf(&["service", "desired", "db", "up"]).expect(2);
    let manual = place.wharf(&["service", "desired", "db", "manual", "--json"]).expect(0).json();
    assert_eq!((&manual["service"]["desired"], &manual["service"]["status"]), (&"manual".into(), &"stopped".into()));
    nothing_lives(&place);
}

#[test]
fn the_services_of_a_workspace_go_together_and_outlive_its_directory() {
    let Some(place) = place() else { return };
    let _serving = place.serve();
    place.wharf(&["run", "uses"]).expect(0);
    until("the run's services", || ["own", "web"].iter().all(|name| service(&place, name)["status"] == "running"));
    let own = service(&place, "own")["number"].as_str().unwrap().to_owned();
    let would = place.wharf(&["service", "stop", "--workspace", "W-1", "--dry-run"]).expect(0).out;
    assert!(would.contains(&format!("stops  {own} own\nkeeps  R-1 uses uses {own} own")), "{would}");
    let would = place.wharf(&["service", "stop", "--workspace", "W-1", "--dry-run", "--json"]).expect(0).json();
    assert_eq!((&would["services"][0]["service"], &would["services"][0]["users"][0]), (&own.into(), &"R-1".into()));
    let not = place.wharf(&["service", "stop", "--workspace", "W-1"]).expect(9);
    assert!(not.err.contains("R-1 uses uses"), "{}", not.err);
    assert_eq!(service(&place, "own")["status"], "running", "nobody confirmed it");
    let lines = place.wharf(&["service", "stop", "--workspace", "W-1", "--yes"]).expect(0).out;
    place.wharf(&["cancel", "R-1"]).expect(0);
    assert!(lines.contains("  own  ") && !lines.contains("  web  "), "{lines}");
    assert_eq!(service(&place, "own")["status"], "stopped");
    assert_eq!(service(&place, "web")["status"], "running", "it is the project's");
    let none = place.wharf(&["service", "stop", "--workspace", "W-1", "--json"]).expect(4).error();
    assert!(none["message"].as_str().unwrap().contains("W-1 has no service: nothing of it runs"), "{none}");
    let started = place.wharf(&["service", "start", "--workspace", "W-1", "--json"]).expect(0).json();
    assert_eq!(started["services"][0]["name"], "own");
    place.wharf(&["service", "restart", "own", "--workspace", "W-1"]).expect(0);
    place.wharf(&["service", "start", "nope", "--workspace", "W-1"]).expect(4);
    place.wharf(&["service", "start"]).expect(2);
    // Somebody deletes its directory: what runs is not stopped for a start that cannot be, and can be stopped.
    let number = service(&place, "own")["number"].as_str().unwrap().to_owned();
    let cwd = service(&place, "own")["cwd"].as_str().unwrap().to_owned();
    std::fs::remove_dir_all(&cwd).unwrap();
    for verb in ["restart", "start"] {
        let refused = place.wharf(&["service", verb, &number, "--json"]).expect(4).error();
        assert_eq!(refused["code"], "cwd_missing", "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(&cwd), "{refused}");
    }
    assert_eq!(service(&place, "own")["status"], "running");
    for name in [number.as_str(), "web", "db"] {
        place.wharf(&["service", "stop", name]).expect(0);
    }
    nothing_lives(&place);
}

#[test]
fn what_an_adapter_keeps_is_listed_and_not_touched() {
    let Some(place) = place() else { return };
    let _serving = place.serve();
    place.wharf(&["run", "reports"]).expect(0);
    until("the report", || service(&place, "preview")["status"] == "running");
    let row = service(&place, "preview");
    assert_eq!((&row["url"], &row["port"]), (&"http://127.0.0.1:4000/".into(), &4000.into()));
    assert_eq!((&row["health"], &row["users"][0]), (&"healthy".into(), &"R-1".into()));
    let refused = place.wharf(&["service", "stop", "preview", "--json"]).expect(4).error();
    let words = refused["message"].as_str().unwrap();
    assert!(words.contains("kept by agent reports (process), which calls it dev-7"), "{words}");
    assert!(words.contains("`wharf cancel R-1` ends it with its run"), "{words}");
    place.wharf(&["cancel", "R-1"]).expect(0);
    assert_eq!(service(&place, "preview")["status"], "stopped");
    let outside = place.wharf(&["report-service", "x", "--json"]).expect(4).error();
    assert_eq!(outside["code"], "permission_denied");
}

#[test]
fn an_issue_says_where_its_run_works_and_what_runs_there() {
    let Some(place) = place() else { return };
    let _serving = place.serve();
    place.wharf(&["issue", "new", "see"]).expect(0);
    place.wharf(&["run", "uses", "--issue", "SHOP-1"]).expect(0);
    until("the comment", || place.wharf(&["show", "SHOP-1"]).expect(0).out.contains("Workspace ready"));
    let shown = place.wharf(&["show", "SHOP-1"]).expect(0).out;
    let url = service(&place, "web")["url"].as_str().unwrap().to_owned();
    assert!(
        shown.contains(&format!("- Service: web: {url}")) && shown.contains("- Strategy: `git_worktree`"),
        "{shown}"
    );
    place.wharf(&["cancel", "R-1"]).expect(0);
    for name in ["web", "db", "own"] {
        place.wharf(&["service", "stop", name]).expect(0);
    }
    nothing_lives(&place);
}

/// A name means what is live; where that is several, each is told, and none is guessed.
#[test]
fn a_name_means_the_one_that_is_live_and_never_one_of_several() {
    let Some(place) = place() else { return };
    // Nobody has it yet: why its name starts nothing.
    let none = place.wharf(&["service", "start", "own"]).expect(3);
    assert!(none.err.contains("it is kept for each workspace") && none.err.contains("--workspace"), "{}", none.err);
    let _serving = place.serve();
    for run in ["R-1", "R-2"] {
        place.wharf(&["run", "uses"]).expect(0);
        until("the run's services", || {
            let all = place.wharf(&["services", &format!("run:{run}"), "--json"]).expect(0).json();
            let runs = |s: &Value| s["status"] == "running";
            all["services"].as_array().is_some_and(|all| all.len() == 2 && all.iter().all(runs))
        });
    }
    let of = |run: &str| -> String {
        let all = place.wharf(&["services", "service:own", &format!("run:{run}"), "--json"]).expect(0).json();
        all["services"][0]["number"].as_str().unwrap().to_owned()
    };
    let (first, second) = (of("R-1"), of("R-2"));
    assert_ne!(first, second);
    let listed = place.wharf(&["services"]).expect(0).out;
    assert!(listed.contains("SCOPE") && listed.contains("W-1") && listed.contains("W-2"), "{listed}");
    for verb in ["stop", "start", "restart", "why", "show", "logs"] {
        let several = place.wharf(&["service", verb, "own", "--json"]).expect(3).error();
        assert_eq!(several["code"], "id_ambiguous", "{verb}: {several}");
        let words = several["message"].as_str().unwrap();
        for part in [format!("{first} (W-1, running)"), format!("{second} (W-2, running)")] {
            assert!(words.contains(&part), "{several}");
        }
    }
    let several = place.wharf(&["service", "desired", "own", "manual", "--json"]).expect(3).error();
    assert_eq!(several["code"], "id_ambiguous");
    // The newest one ends: the name means the one that lives, not it.
    place.wharf(&["service", "stop", &second, "--yes"]).expect(0);
    let why = place.wharf(&["service", "why", "own", "--json"]).expect(0).json();
    assert_eq!(why["number"], first.as_str());
    let stopped = place.wharf(&["service", "stop", "own", "--yes", "--json"]).expect(0).json();
    assert_eq!(stopped["service"]["number"], first.as_str());
    for run in ["R-1", "R-2"] {
        place.wharf(&["cancel", run]).expect(0);
    }
    // One whose workspace is archived is taken by its name no more.
    place.wharf(&["workspace", "archive", "W-2", "--yes"]).expect(0);
    let started = place.wharf(&["service", "start", "own", "--json"]).expect(0).json();
    assert_eq!(started["service"]["number"], first.as_str());
    // What wharf knows goes on having its name without the file.
    std::fs::remove_file(place.project().join("wharf.toml")).unwrap();
    place.wharf(&["service", "stop", "own"]).expect(0);
    let started = place.wharf(&["service", "start", "own", "--json"]).expect(0).json();
    assert_eq!(started["service"]["number"], first.as_str());
    for name in ["own", "web", "db"] {
        place.wharf(&["service", "stop", name, "--yes"]).expect(0);
    }
    nothing_lives(&place);
}

/// What was a run's own leaves the list with its run, and is found again.
#[test]
fn services_of_ended_runs_are_listed_when_they_are_asked_for() {
    let Some(place) = place() else { return };
    let _serving = place.serve();
    for _ in 0..2 {
        place.wharf(&["run", "short", "--wait"]).expect(0);
    }
    until("the end of their services", || service(&place, "each")["status"] == "stopped");
    let names = |args: &[&str]| -> usize {
        let all = place.wharf(args).expect(0).json();
        all["services"].as_array().unwrap().iter().filter(|s| s["name"] == "each").count()
    };
    until("none that has not ended", || names(&["services", "--json"]) == 0);
    assert_eq!(names(&["services", "--all", "--json"]), 2);
    assert_eq!(names(&["services", "status:ended", "--json"]), 2);
    assert_eq!(names(&["services", "run:R-1", "--json"]), 1);
    let people = place.wharf(&["services"]).expect(0);
    assert!(people.err.contains("2 hidden by their run having ended (--all shows them)"), "{}", people.err);
    // Nobody else can be meant: its past is told of the newest.
    let why = place.wharf(&["service", "why", "each", "--json"]).expect(0).json();
    let newest = place.wharf(&["services", "run:R-2", "--json"]).expect(0).json();
    assert_eq!(why["number"], newest["services"][0]["number"]);
    let start = place.wharf(&["service", "start", "each"]).expect(3);
    assert!(start.err.contains("kept for each run"), "{}", start.err);
}

#[test]
fn the_log_of_an_earlier_start_is_read_by_its_number() {
    let Some(place) = place() else { return };
    place.wharf(&["service", "start", "db"]).expect(0);
    place.wharf(&["service", "restart", "db"]).expect(0);
    let newest = place.wharf(&["service", "logs", "db"]).expect(0);
    assert!(newest.err.contains("start 2 of") && newest.err.contains("--start 1 reads"), "{}", newest.err);
    let first = place.wharf(&["service", "logs", "db", "--start", "1"]).expect(0);
    assert!(!first.out.is_empty() || !first.err.contains("has printed nothing"), "{}", first.err);
    let second = place.wharf(&["service", "logs", "db", "--start", "2"]).expect(0).out;
    assert!(first.out != second, "{second}");
    let none = place.wharf(&["service", "logs", "db", "--start", "3", "--json"]).expect(3).error();
    assert!(none["message"].as_str().unwrap().contains("started 2 times"), "{none}");
    place.wharf(&["service", "logs", "db", "--start", "0"]).expect(2);
    // Nobody orchestrates, and it runs: what is shown may have changed.
    for words in [vec!["services"], vec!["service", "why", "db"]] {
        let told = place.wharf(&words).expect(0).err;
        assert!(told.contains("nobody orchestrates, and the last that was seen was"), "{words:?}: {told}");
    }
    place.wharf(&["service", "stop", "db"]).expect(0);
    // The signal that ended one which never answered was wharf's own, and is not shown as if somebody had killed it.
    place.wharf(&["service", "start", "mute"]).expect(8);
    let listed = place.wharf(&["services", "service:mute"]).expect(0).out;
    assert!(listed.contains("✗ not ready") && !listed.contains("SIGTERM"), "{listed}");
    let told = place.wharf(&["services"]).expect(0).err;
    assert!(!told.contains("nobody orchestrates"), "{told}");
    nothing_lives(&place);
}
