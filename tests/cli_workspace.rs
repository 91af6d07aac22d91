//! `wharf workspace …` and `wharf workspaces --reap` through the real program, on a real repository.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

#[path = "cli_common/mod.rs"]
mod common;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::Place;
use serde_json::Value;

const CONFIG: &str = r#"
[project]
key = "SHOP"
[workspace]
cleanup = "echo cleaned; echo cleaned >> ../../../cleanups"
teardown = "echo cannot >&2; exit 4"
[[job]]
name = "build"
command = "echo building in $WHARF_WORKSPACE_BRANCH; pwd; exit 5"
cwd = "sub"
env = { COLOUR = "blue" }
[[job]]
name = "colour"
command = ["sh", "-c", "printf \"$COLOUR\""]
env = { COLOUR = "blue" }
[[job]]
name = "slow"
command = "exec sleep 30"
timeout = "200ms"
[[job]]
name = "killed"
command = "kill -KILL $$"
[[job]]
name = "long"
command = "trap '' TERM; echo $$ > ../../../long; sleep 60 & echo $! >> ../../../long; wait; sleep 60"
[[agent]]
name = "writer"
adapter = "process"
services = ["web"]
[agent.config]
command = "sh"
args = ["-c", "mkdir -p sub; echo new > notes.md; echo changed > tracked; echo x > sub/out.log; echo done"]
[[agent]]
name = "slow"
adapter = "process"
grace = "1s"
[agent.config]
command = "sleep"
args = ["30"]
[[service]]
name = "web"
command = ["sh", "-c", "echo serving; exec sleep 60"]
reuse = "execution_workspace"
ready = "none"
stop = { policy = "manual", grace = "1s" }
"#;

/// Asks until there is an answer, where no event tells.
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn place() -> Place {
    let place = Place::new();
    place.config(CONFIG);
    std::fs::write(place.project().join("tracked"), "first\n").unwrap();
    std::fs::write(place.project().join(".gitignore"), "*.log\n").unwrap();
    place.git(&["add", "-A"]);
    place.git(&["commit", "-q", "-m", "second"]);
    place
}

/// A workspace that its run has left, with something new and something changed in it.
fn left(place: &Place) -> PathBuf {
    place.wharf(&["issue", "new", "Find synonyms"]).expect(0);
    place.wharf(&["run", "writer", "--issue", "SHOP-1", "--wait"]).expect(0);
    let row = workspace(place);
    assert_eq!(row["status"], "idle");
    PathBuf::from(row["cwd"].as_str().unwrap())
}

fn workspace(place: &Place) -> Value {
    let all = place.wharf(&["workspaces", "--archived", "--json"]).expect(0).json();
    all["workspaces"].as_array().unwrap().last().unwrap().clone()
}

fn read(path: &std::path::Path, name: &str) -> String {
    std::fs::read_to_string(path.join(name)).unwrap_or_else(|e| panic!("{}/{name}: {e}", path.display()))
}

#[test]
fn a_workspace_is_archived_as_it_was_shown_and_comes_back_whole() {
    let place = place();
    let serving = place.serve();
    let cwd = left(&place);
    let shown = place.wharf(&["workspace", "archive", "W-1", "--dry-run"]).expect(0).out;
    for line in [
        "the close check says: warnings",
        "▲ a service runs for it",
        "S-1 web",
        "▲ issue SHOP-1 is still",
        "▲ 1 changed file ",
        "tracked",
        "▲ 1 untracked",
        "notes.md",
        "✓ made by wharf, mark and path agree",
        "stops    S-1 web",
        "keeps    all but ignored files as snapshot W-1.1",
        "keeps    what these leave of the ignored files in the trash until",
        "runs     echo cannot >&2; exit 4   limit 10m",
        "removes  the worktree",
    ] {
        assert!(shown.contains(line), "{line:?} is missing in\n{shown}");
    }
    assert!(cwd.join("notes.md").exists(), "nothing was done");
    // Nobody confirmed it.
    let not = place.wharf(&["workspace", "archive", "W-1"]).expect(9);
    assert!(not.err.contains("there is no terminal to ask on"), "{}", not.err);
    assert_eq!(place.wharf(&["workspace", "archive", "W-1", "--json"]).expect(9).error_in_lines(), "not_confirmed");

    let done = place.wharf(&["workspace", "archive", "W-1", "--yes"]).expect(0);
    assert!(done.err.contains("archived W-1"), "{}", done.err);
    assert!(done.err.contains("teardown failed") && done.err.contains("cannot"), "{}", done.err);
    assert!(!cwd.exists());
    let row = workspace(&place);
    assert_eq!(row["status"], "archived");
    assert_eq!(place.wharf(&["services", "--json"]).expect(0).json()["services"][0]["status"], "stopped");
    let again = place.wharf(&["workspace", "archive", "W-1", "--yes"]).expect(4);
    assert!(again.err.contains("archived already"), "{}", again.err);
    let refused = place.wharf(&["workspace", "job", "W-1", "build"]).expect(4);
    assert!(refused.err.contains("wharf workspace restore W-1"), "{}", refused.err);

    let back = place.wharf(&["workspace", "restore", "W-1"]).expect(0);
    assert!(back.out.starts_with("W-1  "), "{}", back.out);
    assert_eq!((read(&cwd, "notes.md"), read(&cwd, "tracked")), ("new\n".to_owned(), "changed\n".to_owned()));
    assert_eq!(read(&cwd, "sub/out.log"), "x\n", "what git ignores came back as well");
    assert_eq!(workspace(&place)["status"], "idle");
    drop(serving);
}

#[test]
fn a_snapshot_is_put_back_and_what_was_there_is_kept() {
    let place = place();
    let cwd = left(&place);
    let made = place.wharf(&["workspace", "snapshot", "W-1", "--reason", "before it"]).expect(0);
    assert!(made.out.starts_with("W-1.1  "), "{}", made.out);
    std::fs::write(cwd.join("notes.md"), "later\n").unwrap();
    let unknown = place.wharf(&["workspace", "restore", "W-1.7"]).expect(3);
    assert!(unknown.err.contains("kept are W-1.1"), "{}", unknown.err);
    place.wharf(&["workspace", "restore", "W-1"]).expect(4);
    let would = place.wharf(&["workspace", "restore", "W-1.1", "--dry-run"]).expect(0).out;
    assert!(would.contains("what is there now as snapshot W-1.2") && would.contains("of snapshot W-1.1"), "{would}");
    let not = place.wharf(&["workspace", "restore", "W-1.1"]).expect(9);
    assert!(not.out.contains("of snapshot W-1.1") && not.err.contains("no terminal to ask on"), "{not:?}");
    assert_eq!(place.wharf(&["workspace", "restore", "W-1.1", "--json"]).expect(9).error_in_lines(), "not_confirmed");
    assert_eq!(read(&cwd, "notes.md"), "later\n", "nobody confirmed it");
    place.wharf(&["workspace", "restore", "W-1.1", "--yes"]).expect(0);
    assert_eq!(read(&cwd, "notes.md"), "new\n");
    let undone = place.wharf(&["workspace", "restore", "W-1.2", "--yes"]).expect(0);
    assert!(undone.out.starts_with("W-1  "), "{}", undone.out);
    assert_eq!(read(&cwd, "notes.md"), "later\n", "the way back has one of its own");
}

#[test]
fn what_blocks_is_told_and_nothing_is_touched() {
    let place = place();
    let serving = place.serve();
    place.wharf(&["issue", "new", "Slow"]).expect(0);
    place.wharf(&["run", "slow", "--issue", "SHOP-1"]).expect(0);
    let blocked = place.wharf(&["workspace", "archive", "W-1", "--yes"]).expect(4);
    assert!(blocked.out.contains("✗ a run works in it") && blocked.out.contains("R-1"), "{}", blocked.out);
    let document = place.wharf(&["workspace", "archive", "W-1", "--dry-run", "--json"]).expect(0).json();
    assert_eq!(document["workspaces"][0]["check"]["verdict"], "blocked");
    place.wharf(&["workspace", "archive", "W-9", "--yes"]).expect(3);
    place.wharf(&["cancel", "R-1"]).expect(0);
    drop(serving);
}

#[test]
fn a_job_tells_its_output_and_its_code() {
    let place = place();
    let cwd = left(&place);
    let done = place.wharf(&["workspace", "job", "W-1", "build"]).expect(5);
    let sub = cwd.join("sub").canonicalize().unwrap();
    assert_eq!(done.out, format!("building in SHOP-1-find-synonyms\n{}\n", sub.display()));
    assert_eq!(place.wharf(&["workspace", "job", "W-1", "colour"]).expect(0).out, "blue");
    let late = place.wharf(&["workspace", "job", "W-1", "slow"]).expect(124);
    assert!(late.err.contains("it took longer than 200ms"), "{}", late.err);
    place.wharf(&["workspace", "job", "W-1", "killed"]).expect(137);
    let unknown = place.wharf(&["workspace", "job", "W-1", "nothing"]).expect(3);
    assert!(unknown.err.contains("build, colour, slow, killed"), "{}", unknown.err);
    let document = place.wharf(&["workspace", "job", "W-1", "build", "--json"]).expect(5).json();
    assert_eq!((&document["status"], &document["exit_code"]), (&"failed".into(), &5.into()));
    let number = document["operation"].as_str().unwrap();
    let log = place.wharf(&["logs", number]).expect(0).out;
    assert!(log.starts_with("building in"), "{log}");
}

#[test]
fn a_running_job_is_stopped_with_all_that_it_started() {
    let place = place();
    left(&place);
    let serving = place.serve();
    let refused = place.wharf(&["workspace", "job", "W-1", "long", "--stop"]).expect(4);
    assert!(refused.err.contains("long does not run in W-1"), "{}", refused.err);
    let follower = place.command(&["workspace", "job", "W-1", "long"]).stderr(Stdio::piped()).spawn().unwrap();
    let at = place.project().join("long");
    let pids = eventually("the job and its child", || {
        let text = std::fs::read_to_string(&at).ok()?;
        let pids: Vec<i32> = text.lines().filter_map(|l| l.parse().ok()).collect();
        (pids.len() == 2).then_some(pids)
    });
    // It does not listen to SIGTERM, so it is killed when the grace is over.
    let stopped = place.wharf(&["workspace", "job", "W-1", "long", "--stop", "--grace", "1s"]).expect(0);
    assert!(stopped.err.contains("stopping O-") && stopped.err.contains("long in W-1: stopped by"), "{}", stopped.err);
    for pid in pids {
        assert!(!PathBuf::from(format!("/proc/{pid}")).exists(), "nothing of it lives");
    }
    let followed = follower.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&followed.stderr);
    assert_eq!(followed.status.code(), Some(130), "{said}");
    assert!(said.contains("stopped by"), "{said}");
    // Begun and asked without waiting, and told as a document.
    place.wharf(&["workspace", "job", "W-1", "long", "--detach"]).expect(0);
    let document =
        place.wharf(&["workspace", "job", "W-1", "long", "--stop", "--grace", "0s", "--json"]).expect(0).json();
    assert_eq!((&document["job"], &document["status"]), (&"long".into(), &"failed".into()));
    assert!(document["error"].as_str().unwrap().starts_with("stopped by "), "{document}");
    drop(serving);
}

#[test]
fn an_open_issue_keeps_its_workspace_from_being_reaped() {
    let place = place();
    left(&place);
    let listed = place.wharf(&["workspaces", "--reap", "--dry-run"]).expect(0).out;
    assert!(listed.contains("W-1") && listed.contains("stays") && listed.contains("its issue is open"), "{listed}");
    let document = place.wharf(&["workspaces", "--reap", "--yes", "--json"]).expect(0).json();
    assert_eq!(document["workspaces"][0]["goes"], false);
    assert_eq!(workspace(&place)["status"], "idle");
    place.wharf(&["workspaces", "--dry-run"]).expect(2);
    // What would not be minded is not taken: all would go, not those that were meant.
    for more in [&["issue:SHOP-1"][..], &["--archived"], &["--after", "3"], &["-n", "1"]] {
        let refused = place.wharf(&[&["workspaces", "--reap", "--yes"], more].concat()).expect(2);
        assert!(refused.err.contains("cannot be used with"), "{}", refused.err);
    }
}

#[test]
fn what_is_of_another_company_is_not_reaped_from_here() {
    let place = place();
    left(&place);
    let other = place.project().parent().unwrap().join("other");
    std::fs::create_dir(&other).unwrap();
    let config = CONFIG.replace("key = \"SHOP\"", "key = \"ELSE\"\ncompany = \"other\"");
    std::fs::write(other.join("wharf.toml"), config).unwrap();
    let other = other.to_str().unwrap();
    let listed = |args: &[&str]| {
        let document = place.wharf(&[args, &["workspaces", "--reap", "--dry-run", "--json"]].concat()).expect(0).json();
        document["workspaces"].as_array().unwrap().len()
    };
    // Not known yet, it stands in no company.
    assert_eq!((listed(&[]), listed(&["--project", other])), (1, 1));
    place.wharf(&["project", "add", other]).expect(0);
    assert_eq!((listed(&[]), listed(&["--project", other])), (1, 0));
}

#[test]
fn a_directory_that_somebody_removed_is_missing_and_comes_back_from_its_snapshot() {
    let place = place();
    let cwd = left(&place);
    place.wharf(&["workspace", "snapshot", "W-1"]).expect(0);
    std::fs::remove_dir_all(&cwd).unwrap();
    let serving = place.serve();
    let begun = std::time::Instant::now();
    while workspace(&place)["status"] != "missing" {
        assert!(begun.elapsed().as_secs() < 30, "nobody notices: {}", workspace(&place));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    place.wharf(&["workspace", "restore", "W-1"]).expect(0);
    assert_eq!((read(&cwd, "notes.md"), read(&cwd, "tracked")), ("new\n".to_owned(), "changed\n".to_owned()));
    assert_eq!(workspace(&place)["status"], "idle");
    drop(serving);
}

#[test]
fn the_trash_and_old_snapshots_go_with_time() {
    let place = place();
    place.user_config("[retention]\nsnapshots = \"1s\"\nworkspaces_after_close = \"1s\"\n");
    let cwd = left(&place);
    place.wharf(&["workspace", "archive", "W-1", "--yes"]).expect(0);
    let trash = cwd.parent().unwrap().join(".trash");
    assert!(trash.exists());
    let begun = std::time::Instant::now();
    let listed = loop {
        let listed = place.wharf(&["gc", "--dry-run", "--json"]).expect(0).json();
        if listed["kept"].as_array().unwrap().len() == 2 {
            break listed;
        }
        assert!(begun.elapsed().as_secs() < 30, "it does not become due: {listed}");
    };
    assert_eq!((&listed["kept"][0]["number"], &listed["kept"][1]["number"]), (&"W-1".into(), &"W-1.1".into()));
    let place_of = PathBuf::from(listed["kept"][0]["place"].as_str().unwrap());
    assert!(place_of.exists(), "nothing is removed yet");
    let removed = place.wharf(&["gc", "--json"]).expect(0).json();
    assert_eq!(removed["kept"].as_array().unwrap().len(), 2, "{removed}");
    assert!(!place_of.exists());
    let gone = place.wharf(&["workspace", "restore", "W-1"]).expect(4);
    assert!(gone.err.contains("nothing of W-1 is kept any more"), "{}", gone.err);
}

trait InLines {
    /// Code of the error that stands in the last line.
    fn error_in_lines(&self) -> String;
}

impl InLines for common::Ended {
    fn error_in_lines(&self) -> String {
        let last = self.err.lines().last().unwrap_or_default();
        let error: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        error["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}
