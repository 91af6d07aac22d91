//! `wharf why`, through the real program.

#![allow(clippy::unwrap_used, reason = "a test ends with a panic")]

mod cli_common;

use std::time::{Duration, Instant};

use cli_common::{CONFIG, Place};
use serde_json::Value;

fn why(place: &Place, run: &str) -> Value {
    place.wharf(&["why", run, "--json"]).expect(0).json()
}

fn has(document: &Value, block: &str, words: &str) -> bool {
    document[block].as_array().unwrap().iter().any(|l| l.to_string().contains(words))
}

#[test]
fn an_ended_run_tells_its_outcome_its_place_and_who_chose_its_environment() {
    let place = Place::new();
    let written = CONFIG.replacen("name = \"three\"", "name = \"three\"\nenvironment = \"Local\"", 1);
    place.config(&written);
    place.wharf(&["run", "three", "--wait"]).expect(3);
    let document = why(&place, "R-1");
    assert_eq!(document["schema"], "wharf.why/1");
    assert_eq!(document["verdict"], "R-1 FAILED: exit 3.".trim_end_matches('.'), "{document}");
    assert!(has(&document, "evidence", "exit code") && has(&document, "not_the_cause", "realise"), "{document}");
    assert!(has(&document, "workspace", "a worktree of the project"), "{document}");
    let choice = &document["environment"];
    assert_eq!((&choice["rule"], &choice["environment"]), (&"agent".into(), &"Local".into()));
    let rules: Vec<(&str, &str)> = choice["looked_at"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| (l["rule"].as_str().unwrap(), l["verdict"].as_str().unwrap()))
        .collect();
    assert_eq!(
        rules,
        [
            ("request", "silent"),
            ("workspace", "silent"),
            ("issue", "silent"),
            ("project", "silent"),
            ("agent", "chosen"),
            ("company", "overruled")
        ]
    );
    // People read the line at which it stands.
    let line = written.lines().position(|l| l == "environment = \"Local\"").unwrap() + 1;
    let text = place.wharf(&["why", "R-1"]).expect(0).out;
    assert!(text.contains(&format!("agent.three.environment: Local (wharf.toml line {line})")), "{text}");
    for title in ["RULE", "SINCE", "EVIDENCE", "NOT THE CAUSE", "WHERE", "ENVIRONMENT", "WHAT YOU CAN DO"] {
        assert!(text.contains(&format!("\n{title}\n")), "{title}: {text}");
    }
    place.wharf(&["why", "R-9"]).expect(3);
}

#[test]
fn a_queued_run_names_who_is_in_its_way() {
    let place = Place::new();
    place.user_config("[limits]\nconcurrent_runs = 8\n");
    place.config(&format!("[workspace]\nmode = \"shared_workspace\"\n{CONFIG}"));
    let serving = place.serve();
    place.wharf(&["run", "slow"]).expect(0);
    place.wharf(&["run", "good"]).expect(0);
    let document = why(&place, "R-2");
    assert_eq!(document["verdict"], "R-2 is QUEUED: R-1 works in the project's own checkout.");
    assert!(document["rule"].as_str().unwrap().contains("serialise"), "{document}");
    assert!(has(&document, "can_do", "wharf cancel R-1") && has(&document, "not_the_cause", "orchestrator"));
    // The one in its way runs; it says what it does.
    let begun = Instant::now();
    let running = loop {
        let document = why(&place, "R-1");
        if document["verdict"].as_str().unwrap().contains("RUNNING") {
            break document;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{document}");
    };
    assert!(has(&running, "evidence", "6 of 7, execute"), "{running}");
    drop(serving);
    // Without anybody who orchestrates, that is why.
    let alone = why(&place, "R-2");
    assert_eq!(alone["verdict"], "R-2 is QUEUED: nobody orchestrates at the moment.", "{alone}");
    for run in ["R-2", "R-1"] {
        place.wharf(&["cancel", run, "--grace", "0s"]).expect(0);
    }
    let ended = why(&place, "R-2");
    assert!(ended["verdict"].as_str().unwrap().starts_with("R-2 was CANCELLED"), "{ended}");
}

#[test]
fn a_run_whose_environment_is_not_there_says_who_named_it() {
    let place = Place::new();
    place.wharf(&["issue", "new", "Fix it"]).expect(0);
    place.wharf(&["env", "add", "gone", "--driver", "ssh", "--set", "host=box.invalid", "--set", "path=/w"]).expect(0);
    place.wharf(&["issue", "set", "SHOP-1", "--environment", "gone"]).expect(0);
    place.wharf(&["env", "archive", "gone", "--yes"]).expect(0);
    place.wharf(&["env", "delete", "gone", "--yes"]).expect(0);
    let failed = place.wharf(&["run", "good", "--issue", "SHOP-1", "--wait"]).expect(125);
    assert!(
        failed.err.contains("its issue (SHOP-1) names environment") && failed.err.contains("wharf issue set SHOP-1")
    );
    let document = why(&place, "R-1");
    assert!(has(&document, "evidence", "environment_not_found"), "{document}");
    assert_eq!(document["environment"]["rule"], "issue");
}

/// A verdict of a running run, once it is given.
fn verdict(place: &Place, run: &str, words: &str) -> Value {
    let begun = Instant::now();
    loop {
        let document = why(place, run);
        if document["verdict"].as_str().unwrap().contains(words) {
            return document;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{words} does not come: {document}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_silent_run_says_since_when_and_whether_it_computes() {
    let place = Place::bare();
    let agent = |name: &str, script: &str, silence: &str| {
        format!(
            "[[agent]]\nname = \"{name}\"\nadapter = \"process\"\ngrace = \"1s\"\nsilence = \"{silence}\"\n\
             [agent.config]\ncommand = \"sh\"\nargs = [\"-c\", \"{script}\"]\n\n"
        )
    };
    let agents = [
        agent("waits", "echo here I am; exec sleep 600", "1s"),
        agent("computes", "while :; do :; done", "1s"),
        agent("patient", "echo hello; exec sleep 600", "0s"),
    ];
    place.config(&format!("[project]\nkey = \"SHOP\"\n[workspace]\nconcurrency = \"allow\"\n\n{}", agents.concat()));
    let serving = place.serve();
    for name in ["waits", "computes", "patient"] {
        place.wharf(&["run", name]).expect(0);
    }
    let waits = verdict(&place, "R-1", "R-1 is SILENT for ");
    assert!(waits["verdict"].as_str().unwrap().contains("alive, but printed nothing and no progress"), "{waits}");
    assert!(waits["rule"].as_str().unwrap().starts_with("silent: no byte for 1s"), "{waits}");
    assert!(has(&waits, "evidence", "stdout: here I am") && has(&waits, "evidence", "1 process"), "{waits}");
    assert!(has(&waits, "evidence", "0.00 cores"), "{waits}");
    let stalled = verdict(&place, "R-1", "R-1 is STALLED for ");
    assert!(waits["since"].is_string() && waits["since"] == stalled["since"], "{waits} {stalled}");
    let computes = verdict(&place, "R-2", "R-2 is SILENT for ");
    assert!(computes["verdict"].as_str().unwrap().ends_with("has printed nothing yet, but it computes."), "{computes}");
    assert!(has(&computes, "evidence", "none so far"), "{computes}");
    // One that may be silent as long as it wants is not called so.
    let patient = verdict(&place, "R-3", "RUNNING");
    assert!(has(&patient, "evidence", "stdout: hello") && !has(&patient, "evidence", "CPU"), "{patient}");
    for run in ["R-1", "R-2", "R-3"] {
        place.wharf(&["cancel", run]).expect(0);
    }
    drop(serving);
}
