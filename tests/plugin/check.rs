//! `wharf plugin check`.

use std::collections::BTreeMap;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{Bench, has_python, until};
use crate::cli_common::Place;

#[test]
fn the_example_does_everything_right() {
    if !has_python() {
        return;
    }
    let (bench, place) = (Bench::new(), Place::bare());
    let program = bench.path("places.py").display().to_string();
    let document = place.wharf(&["plugin", "check", &program, "--json"]).expect(0).json();
    assert_eq!(document["schema"], "wharf.plugin_check/1");
    let levels: BTreeMap<&str, &str> = document["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["code"].as_str().unwrap(), c["level"].as_str().unwrap()))
        .collect();
    assert!(levels.values().all(|level| *level == "ok"), "{document:#}");
    for code in ["acquire_again", "streaming", "cancel", "follow_on", "kept_files", "resume_gone", "shutdown"] {
        assert!(levels.contains_key(code), "{code}: {levels:?}");
    }
    bench.all_gone();
}

#[test]
fn bad_ones_fail_and_say_where() {
    if !has_python() {
        return;
    }
    for (mode, code) in [
        ("crash-start", "initialize"),
        ("other-version", "initialize"),
        ("crash-call", "acquire"),
        ("garbage", "stdout"),
        ("odd-answer", "acquire"),
        ("little", "give_back"),
        ("lost", "execute"),
    ] {
        let (bench, place) = (Bench::new(), Place::bare());
        let program = bench.path("bad.py").display().to_string();
        let args = [
            "plugin",
            "check",
            &program,
            "--json",
            "--timeout",
            "5",
            "--config",
            "{\"token\":{\"env\":\"USER\"}}",
            "--",
            mode,
        ];
        let document = place.wharf(&args).expect(8).json();
        let found = document["checks"].as_array().unwrap().iter().any(|c| c["code"] == code && c["level"] == "error");
        assert!(found, "{mode}: {document:#}");
        bench.all_gone();
    }
    let place = Place::bare();
    place.wharf(&["plugin", "check", "x", "--config", "[]"]).expect(2);
    place.wharf(&["plugin", "check", "x", "--config", "{\"token\":{\"env\":\"NOT_SET\"}}"]).expect(5);
}

#[test]
fn a_plugin_that_ignores_everything_dies_with_who_started_it() {
    if !has_python() {
        return;
    }
    let (bench, place) = (Bench::new(), Place::bare());
    let program = bench.path("bad.py").display().to_string();
    let mut check = place.command(&["plugin", "check", &program, "--", "stubborn"]);
    let mut check = check.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the plugin runs", || bench.starts() == 1 && bench.processes().len() == 2);
    kill_process(Pid::from_child(&check), Signal::KILL).unwrap();
    check.wait().unwrap();
    bench.all_gone();
}

#[test]
fn one_that_is_broken_off_gives_back_what_it_holds() {
    if !has_python() {
        return;
    }
    let (bench, place) = (Bench::new(), Place::bare());
    let (program, root) = (bench.path("places.py").display().to_string(), bench.path("places"));
    let config = serde_json::json!({ "root": root }).to_string();
    let mut check = place.command(&["plugin", "check", &program, "--config", &config]);
    let mut check = check.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let held = || std::fs::read_dir(&root).map_or(0, Iterator::count);
    until("it holds a place", || held() == 1);
    kill_process(Pid::from_child(&check), Signal::INT).unwrap();
    assert_eq!(check.wait().unwrap().code(), Some(130));
    assert_eq!(held(), 0);
    bench.all_gone();
}

#[test]
fn an_author_needs_nothing_but_the_program() {
    let place = Place::bare();
    let protocol = place.wharf(&["plugin", "protocol"]).expect(0).out;
    let example = place.wharf(&["plugin", "example"]).expect(0).out;
    for line in example.lines().filter(|line| line.contains("\"environment")) {
        for name in line.split('"').filter(|word| word.starts_with("environment")) {
            assert!(protocol.contains(&format!("### {name}\n")), "{name} is not described");
        }
    }
}
