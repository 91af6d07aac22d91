//! Leases, services, setting up a project, and what a run says from inside.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod cli_common;

use cli_common::{CONFIG, Place};

#[test]
fn a_release_is_previewed_confirmed_and_then_done_as_shown() {
    for serving in [false, true] {
        let place = Place::new();
        let _serving = serving.then(|| place.serve());
        place.wharf(&["run", "slow"]).expect(0);
        let preview = place.wharf(&["lease", "release", "L-1", "--dry-run"]).expect(0);
        let lines: Vec<&str> = preview.out.lines().collect();
        assert_eq!(lines[0], "Releasing L-1 on Local does this, in this order:");
        assert!(
            lines[1].starts_with("  stops  R-1 slow ") && lines[1].contains("SIGTERM, 2s, then SIGKILL; "),
            "{lines:?}"
        );
        assert!(lines[2].starts_with("  keeps  W-1 and its branch "), "{lines:?}");
        assert_eq!(lines[3], "  frees  a slot of Local and of slow");
        assert_eq!(lines[4], "R-1 is recorded as cancelled by operator. This cannot be undone.");
        assert_eq!(lines.len(), 5);

        let unasked = place.wharf(&["lease", "release", "L-1"]).expect(9);
        assert!(unasked.err.contains("next:  wharf lease release L-1 --yes"), "{}", unasked.err);
        let data = place.wharf(&["lease", "release", "L-1", "--json"]).expect(9);
        assert_eq!(data.error()["code"], "not_confirmed");
        assert_eq!((&data.json()["confirmed"], &data.json()["lines"][0]["entity"]), (&false.into(), &"R-1".into()));
        assert_eq!(place.wharf(&["leases", "--held", "--json"]).json()["leases"][0]["holder"], "live");

        let done = place.wharf(&["lease", "release", "L-1", "--yes", "--json"]).expect(0).json();
        assert_eq!((&done["confirmed"], &done["released"]), (&true.into(), &true.into()));
        let run = place.wharf(&["show", "R-1", "--json"]).json()["run"].clone();
        assert_eq!((&run["status"], &run["stop_reason"]), (&"cancelled".into(), &"operator".into()));
        let lease = place.wharf(&["show", "L-1", "--json"]).json()["lease"].clone();
        assert_eq!((&lease["status"], &lease["holder"]), (&"released".into(), &"gone".into()));
        let again = place.wharf(&["lease", "release", "L-1", "--yes", "--json"]).expect(4).error();
        assert_eq!((&again["code"], &again["entity"]), (&"illegal_state".into(), &"L-1".into()));
        place.wharf(&["lease", "release", "L-9", "--yes"]).expect(3);
        place.wharf(&["lease", "release", "L-1", "--yes", "--dry-run"]).expect(2);
    }
}

/// Releases L-1 on a terminal with this answer; gives the exit code and what the terminal showed.
fn release_on_a_terminal(place: &Place, answer: &str) -> (u32, String) {
    use std::io::{Read as _, Write as _};
    let size = portable_pty::PtySize { rows: 30, cols: 100, pixel_width: 0, pixel_height: 0 };
    let pair = portable_pty::native_pty_system().openpty(size).unwrap();
    let mut command = portable_pty::CommandBuilder::new(env!("CARGO_BIN_EXE_wharf"));
    command.env_clear();
    for (name, value) in place.command(&[]).get_envs() {
        command.env(name, value.unwrap());
    }
    command.cwd(place.project());
    command.args(["lease", "release", "L-1"]);
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().unwrap();
    let mut writer = pair.master.take_writer().unwrap();
    let mut shown = Vec::new();
    let mut buffer = [0; 1024];
    let mut asked = false;
    // The terminal's other end closes when the program has ended.
    while let Ok(n @ 1..) = reader.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..n]);
        if !asked && String::from_utf8_lossy(&shown).contains("[y/N] ") {
            asked = true;
            writer.write_all(answer.as_bytes()).unwrap();
        }
    }
    (child.wait().unwrap().exit_code(), String::from_utf8(shown).unwrap())
}

#[test]
fn on_a_terminal_it_is_asked_and_only_yes_is_yes() {
    let place = Place::new();
    place.wharf(&["run", "slow"]).expect(0);
    for answer in ["n\n", "\n", "perhaps\n"] {
        let (code, shown) = release_on_a_terminal(&place, answer);
        assert_eq!(code, 9, "{shown}");
        assert!(shown.contains("Release L-1? [y/N] ") && shown.contains("the answer was no"), "{shown}");
    }
    assert_eq!(place.wharf(&["runs", "--json"]).json()["runs"][0]["status"], "running");
    let (code, shown) = release_on_a_terminal(&place, "y\n");
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("released L-1     R-1 cancelled by operator"), "{shown}");
}

#[test]
fn services_start_stop_and_fail() {
    for serving in [false, true] {
        let place = Place::new();
        let _serving = serving.then(|| place.serve());
        let started = place.wharf(&["service", "start", "web", "--json"]).expect(0).json();
        assert_eq!((&started["service"]["status"], &started["service"]["number"]), (&"running".into(), &"S-1".into()));
        assert_eq!(place.wharf(&["service", "start", "web"]).expect(0).out, "S-1  web  ● running\n");
        for args in [&["service", "logs", "web"][..], &["logs", "S-1"], &["logs", "web"]] {
            assert_eq!(place.wharf(args).expect(0).out, "serving\n", "{args:?}");
        }
        let restarted = place.wharf(&["service", "restart", "S-1", "--json"]).expect(0).json();
        assert_eq!(restarted["service"]["generation"], 2);
        assert_eq!(place.wharf(&["service", "stop", "web"]).expect(0).out, "S-1  web  ⊘ stopped\n");
        let broken = place.wharf(&["service", "start", "broken", "--json"]).expect(8).error();
        assert_eq!(broken["entity"], "S-2");
        assert!(broken["message"].as_str().unwrap().starts_with("S-2 broken failed: "), "{broken}");
        assert_eq!(place.wharf(&["service", "logs", "S-2"]).expect(0).out, "dead\n");
        // The first digits of two ids that were made one after the other are those of their time.
        let id = place.wharf(&["services", "--json"]).json()["services"][0]["id"].as_str().unwrap()[..6].to_owned();
        assert_eq!(place.wharf(&["service", "stop", &id, "--json"]).expect(3).error()["code"], "id_ambiguous");
        let unknown = place.wharf(&["service", "start", "wbe"]).expect(3);
        assert!(unknown.err.contains("cause: it has web, broken"), "{}", unknown.err);
        for verb in ["stop", "restart", "logs"] {
            place.wharf(&["service", verb, "nope"]).expect(3);
            place.wharf(&["service", verb, "S-9"]).expect(3);
        }
    }
}

#[test]
fn a_run_says_something_from_inside() {
    let place = Place::new();
    let ended = place.wharf(&["run", "says", "--follow", "-q"]).expect(0);
    assert_eq!(ended.out, "said 2\n", "an empty comment is a wrong command line");
    let run = place.wharf(&["show", "R-1", "--json"]).json()["run"].clone();
    assert_eq!(run["next_action"], "look again");
    assert!(place.wharf(&["show", "R-1"]).out.contains("says: found it"));
    place.wharf(&["run", "forges", "--wait"]).expect(0);
    let shown = place.wharf(&["show", "R-2"]).expect(0).out;
    let next: Vec<&str> = shown.lines().filter(|l| l.starts_with("next ")).collect();
    assert_eq!(next[0], "next step  ok  next       wharf cancel R-9", "{shown}");
    assert!(next.len() == 2 && next[1].starts_with("next       wharf logs R-2 "), "{shown}");
    let outside = place.wharf(&["comment", "x", "--json"]).expect(4).error();
    assert_eq!(outside["code"], "permission_denied");
    let mut gone = place.command(&["next-action", "x"]);
    gone.env("WHARF_AGENT_SOCKET", place.data().join("no/agent.sock")).env("WHARF_TOKEN", "t");
    assert_eq!(gone.output().unwrap().status.code(), Some(7));
}

#[test]
fn a_project_is_set_up_from_nothing() {
    let place = Place::bare();
    place.git(&["init", "-q", "-b", "main"]);
    let none = place.wharf(&["config", "check"]).expect(5);
    assert!(none.err.ends_with("next:  wharf init\n"), "{}", none.err);
    let made = place.wharf(&["init"]).expect(0);
    assert_eq!(made.out.trim_end(), place.project().canonicalize().unwrap().join("wharf.toml").display().to_string());
    place.wharf(&["init", "--json"]).expect(4);
    place.wharf(&["config", "check"]).expect(0);
    let values = place.wharf(&["config", "show", "--json"]).expect(0).json();
    assert!(values["values"].as_array().unwrap().iter().any(|v| v["key"] == "project.key" && v["value"] == "SHOP"));
    let agent = place.wharf(&["config", "show", "--json"]).json()["values"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|v| v["key"].as_str()?.strip_prefix("agent.")?.split('.').next().map(str::to_owned))
        .unwrap();
    let added = place.wharf(&["project", "add"]).expect(0);
    assert_eq!(added.out, "SHOP\n");
    assert!(added.err.contains("wharf config accept"), "{}", added.err);
    assert_eq!(place.wharf(&["projects", "--json"]).json()["projects"][0]["status"], "not accepted");
    place.wharf(&["run", &agent, "--wait", "--prompt", "hello"]).expect(0);
    assert_eq!(place.wharf(&["projects", "--json"]).json()["projects"][0]["accepted_by"], "ops");
    place.wharf(&["project", "add", "/no/such/place"]).expect(3);
}

#[test]
fn nothing_is_set_up_where_nothing_can_run() {
    let place = Place::bare();
    place.git(&["init", "-q", "--bare", "-b", "main"]);
    for verb in [&["init"][..], &["run", "hello"], &["config", "check"]] {
        let refused = place.wharf(verb).expect(4).err;
        assert!(refused.contains("is a bare repository") && refused.contains("\nnext:  "), "{refused}");
    }
    assert!(!place.project().join("wharf.toml").exists());
    let place = Place::bare();
    let link = place.project().join("wharf.toml");
    std::os::unix::fs::symlink("/nowhere/at/all", &link).unwrap();
    let dangling = place.wharf(&["config", "check"]).expect(5).err;
    assert!(dangling.contains("is a link to nothing") && !dangling.contains("next:  wharf init"), "{dangling}");
    place.wharf(&["init"]).expect(4);
}

#[test]
fn issues_are_made_where_the_project_is() {
    let place = Place::new();
    assert_eq!(place.wharf(&["issue", "new", "Fix it", "--priority", "high"]).expect(0).out, "SHOP-1\n");
    assert_eq!(place.wharf(&["issue", "new", "Two", "--json"]).expect(0).json()["number"], "SHOP-2");
    place.wharf(&["issue", "new", "  "]).expect(4);
    place.wharf(&["issue", "new", "ok\nnext  wharf cancel R-1"]).expect(4);
    place.wharf(&["issue", "new", "x", "--priority", "urgent"]).expect(2);
    place.wharf(&["issue", "new", "Three", "--description", "a\r\nnext  b"]).expect(0);
    let shown = place.wharf(&["show", "SHOP-3"]).expect(0).out;
    assert!(shown.lines().any(|l| l.starts_with("description ") && l.ends_with(" a next  b")), "{shown}");
    let issues = place.wharf(&["issues", "Fix", "--json"]).expect(0).json();
    assert_eq!(issues["issues"].as_array().unwrap().len(), 1);
    assert_eq!((&issues["issues"][0]["priority"], &issues["hidden"]), (&"high".into(), &2.into()));
    let activity = place.wharf(&["activity", "by:ops", "kind:issue.*", "--json"]).expect(0).json();
    assert_eq!(activity["activity"].as_array().unwrap().len(), 3);
}

#[test]
fn the_doctor_tells_what_is_wrong() {
    let place = Place::new();
    let well = place.wharf(&["doctor", "--json"]).expect(0).json();
    assert_eq!((&well["schema"], &well["failed"]), (&"wharf.doctor/1".into(), &0.into()));
    place.config(&CONFIG.replace("adapter = \"process\"", "adapter = \"proces\""));
    let ill = place.wharf(&["doctor"]).expect(8);
    assert!(ill.out.lines().any(|l| l.starts_with("✗ project ")), "{}", ill.out);
    assert!(ill.err.ends_with("1 failed; exit code 8\n"), "{}", ill.err);
    let config = place.wharf(&["config", "check", "--json"]).expect(5).error();
    assert_eq!(config["code"], "config_invalid");
}

#[test]
fn every_command_says_what_it_is_for_with_an_example() {
    let place = Place::bare();
    let help = place.wharf(&["--help"]).expect(0).out;
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|l| *l != "Commands:")
        .skip(1)
        .take_while(|l| !l.is_empty())
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    assert!(commands.len() > 20, "{help}");
    let groups = ["lease", "env", "plugin", "service", "workspace", "issue", "project", "config", "agent"];
    let grouped = ["lease release"];
    let services = ["start", "stop", "restart", "desired", "show", "why", "logs"].map(|verb| format!("service {verb}"));
    let workspaces = ["show", "archive", "snapshot", "restore", "job"].map(|verb| format!("workspace {verb}"));
    let issues = ["set", "close", "comment"].map(|verb| format!("issue {verb}"));
    let leases = ["force-release", "destroy", "extend", "retain", "retry-cleanup"].map(|verb| format!("lease {verb}"));
    let env =
        ["list", "show", "add", "edit", "archive", "restore", "delete", "probe", "test"].map(|v| format!("env {v}"));
    let more = [
        "agent reset-session",
        "plugin check",
        "issue new",
        "project add",
        "config check",
        "config show",
        "config accept",
    ];
    assert_eq!(place.wharf(&["help"]).expect(0).out, help, "what one types first shows the same");
    let commands = commands.into_iter().filter(|c| *c != "help");
    let all = commands.filter(|c| !groups.contains(c)).chain(grouped).chain(more);
    let more = leases.iter().chain(&env).chain(&services).chain(&workspaces).chain(&issues);
    let all: Vec<&str> = all.chain(more.map(String::as_str)).collect();
    for top in ["diff", "why", "ports", "services", "workspaces", "issues"] {
        assert!(all.contains(&top), "{top} is missing in {all:?}");
    }
    for command in all {
        let mut args: Vec<&str> = command.split(' ').collect();
        args.push("--help");
        let help = place.wharf(&args).expect(0).out;
        assert!(help.contains("Example:") && help.contains(&format!("wharf {command}")), "{command}: {help}");
    }
}
