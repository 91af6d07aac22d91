//! The operator's verbs on leases, with the real program.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod cli_common;

use cli_common::{CONFIG, Place};

fn lease(place: &Place, number: &str) -> serde_json::Value {
    place.wharf(&["show", number, "--json"]).expect(0).json()
}

#[test]
fn several_are_released_after_one_preview() {
    let place = Place::new();
    let _serving = place.serve();
    place.config(&CONFIG.replace("grace = \"2s\"", "grace = \"2s\"\nconcurrent_runs = 3"));
    place.wharf(&["config", "accept"]);
    for _ in 0..2 {
        place.wharf(&["run", "slow"]).expect(0);
    }
    place.wharf(&["run", "good", "--wait"]).expect(0);
    let preview = place.wharf(&["lease", "release", "L-1", "L-2", "L-3", "--dry-run"]).expect(0).out;
    assert!(preview.starts_with("Releasing 3 leases does this, in this order:\n"), "{preview}");
    for words in ["stops  R-1 slow", "stops  R-2 slow", "leaves L-3", "R-2 is recorded as cancelled by operator"] {
        assert!(preview.contains(words), "{words}: {preview}");
    }
    let unasked = place.wharf(&["lease", "release", "L-1", "L-2"]).expect(9);
    assert!(unasked.err.contains("next:  wharf lease release L-1 L-2 --yes"), "{}", unasked.err);
    let done = place.wharf(&["lease", "release", "L-1", "L-2", "L-3", "--yes", "--json"]).expect(8).json();
    assert_eq!((&done["schema"], &done["verb"]), (&"wharf.lease_verb/1".into(), &"release".into()));
    let all: Vec<(&str, bool)> = done["leases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| (l["lease"].as_str().unwrap(), l["done"].as_bool().unwrap()))
        .collect();
    assert_eq!(all, [("L-1", true), ("L-2", true), ("L-3", false)]);
    assert_eq!(done["leases"][2]["error"]["code"], "illegal_state");
    for number in ["R-1", "R-2"] {
        assert_eq!(place.wharf(&["show", number, "--json"]).json()["run"]["status"], "cancelled");
    }
    assert_eq!(place.wharf(&["leases", "--held", "--json"]).json()["leases"].as_array().unwrap().len(), 0);
}

#[test]
fn force_says_how_long_it_waits() {
    let place = Place::new();
    place.wharf(&["run", "slow"]).expect(0);
    for args in [&["lease", "force-release", "L-1"][..], &["lease", "release", "--force", "L-1"]] {
        let mut args = args.to_vec();
        args.push("--dry-run");
        let preview = place.wharf(&args).expect(0).out;
        assert!(preview.contains("waits  for the end of R-1"), "{preview}");
        assert!(preview.contains("at most 17s, then goes on without it"), "{preview}");
    }
    let done = place.wharf(&["lease", "force-release", "L-1", "--yes"]).expect(0);
    assert!(done.err.contains("released L-1     R-1 cancelled by operator"), "{}", done.err);
    let document = lease(&place, "L-1");
    assert_eq!(document["lease"]["status"], "released");
    let told: Vec<&str> =
        document["history"].as_array().unwrap().iter().map(|h| h["action"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        [
            "environment.lease_acquired",
            "workspace.realised",
            "environment.lease_released",
            "environment.lease_released"
        ],
        "asked by the operator, done by the driver"
    );
    assert_eq!(document["history"][2]["details"]["force"], true);
}

#[test]
fn what_cannot_be_done_is_said_in_words() {
    let place = Place::new();
    place.wharf(&["run", "slow"]).expect(0);
    let refused = place.wharf(&["lease", "extend", "L-1", "--by", "30m"]).expect(4);
    assert!(refused.err.contains("L-1 on Local has no expiry: it lives as long as its run"), "{}", refused.err);
    let refused = place.wharf(&["lease", "retry-cleanup", "L-1", "--json"]).expect(4).error();
    assert_eq!((&refused["code"], &refused["entity"]), (&"illegal_state".into(), &"L-1".into()));
    place.wharf(&["lease", "extend", "L-1"]).expect(2);
    place.wharf(&["lease", "retain", "L-1"]).expect(2);
    place.wharf(&["lease", "retain", "L-1", "--until", "tomorrow"]).expect(2);
    place.wharf(&["lease", "retain", "L-1", "--for", "1h", "--until", "18:00"]).expect(2);
    place.wharf(&["lease", "destroy", "L-7"]).expect(3);
    place.wharf(&["shell", "L-7"]).expect(3);
    let destroying = place.wharf(&["lease", "destroy", "L-1"]).expect(9);
    assert!(destroying.err.contains("What L-1 held cannot be brought back"), "{}", destroying.err);
    place.wharf(&["lease", "destroy", "L-1", "--yes"]).expect(0);
    assert_eq!(lease(&place, "L-1")["lease"]["status"], "released");
    let refused = place.wharf(&["lease", "destroy", "L-1", "--yes"]).expect(4);
    assert!(refused.err.contains("there is nothing to destroy"), "{}", refused.err);
    let refused = place.wharf(&["shell", "L-1"]).expect(4);
    assert!(refused.err.contains("no shell can be opened in L-1"), "{}", refused.err);
}

#[test]
fn a_lease_that_is_to_be_kept_outlives_its_run() {
    let place = Place::new();
    let _serving = place.serve();
    place.wharf(&["run", "slow"]).expect(0);
    let kept = place.wharf(&["lease", "retain", "L-1", "--for", "2h", "--json"]).expect(0).json();
    assert_eq!((&kept["leases"][0]["done"], &kept["confirmed"]), (&true.into(), &true.into()));
    place.wharf(&["cancel", "R-1"]).expect(0);
    let document = lease(&place, "L-1");
    assert_eq!(document["lease"]["status"], "retained");
    assert_eq!(document["lease"]["holder"], "gone");
    let shown = place.wharf(&["show", "L-1"]).expect(0).out;
    for words in ["retained on Local", "kept until", "history", "environment.lease_retained", "wharf shell L-1"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let again = place.wharf(&["lease", "retain", "L-1", "--for", "1h"]).expect(4);
    assert!(again.err.contains("it is kept until"), "{}", again.err);
    place.wharf(&["lease", "release", "L-1", "--yes"]).expect(0);
    assert_eq!(lease(&place, "L-1")["lease"]["status"], "released");
}

#[test]
fn a_shell_in_a_lease_is_where_its_run_is() {
    let place = Place::new();
    let _serving = place.serve();
    place.wharf(&["run", "slow"]).expect(0);
    let cwd = place.wharf(&["show", "W-1", "--json"]).json()["workspace"]["cwd"].as_str().unwrap().to_owned();
    let script =
        "pwd; echo $WHARF_RUN_NUMBER $WHARF_ENVIRONMENT_NAME ${WHARF_LEASE_FENCE:-none}; echo ${SECRET:-unset}; exit 7";
    let mut command = place.command(&["shell", "L-1"]);
    command.env("SHELL", "/bin/sh").env("SECRET", "of the operator");
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(7), "the shell's own code");
    let out = String::from_utf8(ended.stdout).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines, [cwd.as_str(), "R-1 Local 1", "unset"], "few of the operator's variables get through");
    let trail = place.wharf(&["activity", "kind:environment.lease_shell", "--json"]).expect(0).json();
    assert_eq!(trail["activity"][0]["number"], "L-1");
    place.wharf(&["cancel", "R-1"]).expect(0);
    place.wharf(&["shell", "L-1"]).expect(4);
}

#[test]
fn leases_are_listed_with_who_holds_them() {
    let place = Place::new();
    let _serving = place.serve();
    place.wharf(&["run", "slow"]).expect(0);
    let list = place.wharf(&["leases"]).expect(0).out;
    let head = list.lines().next().unwrap();
    for column in ["LEASE", "DRIVER", "POLICY", "HOLDER IS", "ACQUIRED", "EXPIRES IN", "CLEAN-UP"] {
        assert!(head.contains(column), "{column}: {head}");
    }
    let row = &place.wharf(&["leases", "--json"]).expect(0).json()["leases"][0];
    assert_eq!((&row["holder"], &row["driver"]), (&"live".into(), &"local".into()));
    assert!(row["holder_evidence"].as_str().unwrap().contains("its shim was seen"));
}
