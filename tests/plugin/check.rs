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
