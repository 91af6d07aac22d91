//! `wharf gc`: what it lists is what it removes, and what is gone is said in words.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

#[path = "cli_common/mod.rs"]
mod common;

use std::path::Path;

use common::Place;
use serde_json::Value;

fn keep(place: &Place, config: &str) {
    let home = place.data().parent().unwrap().join("home/.config/wharf");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join("config.toml"), config).unwrap();
}

fn gc(place: &Place, args: &[&str]) -> Value {
    place.wharf(&[&["gc", "--json"], args].concat()).expect(0).json()
}

fn touch(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "x").unwrap();
}

#[test]
fn the_dry_run_lists_what_the_real_one_removes() {
    let place = Place::new();
    place.wharf(&["run", "good", "--prompt", "hello", "--wait"]).expect(0);
    assert!(place.wharf(&["logs", "R-1"]).expect(0).out.contains("hello"));
    let run = place.wharf(&["show", "R-1", "--json"]).expect(0).json()["run"].clone();
    let id = run["id"].as_str().unwrap().to_owned();
    let log = place.data().join(format!("runs/{}/{id}", &id[34..]));
    assert!(log.join("a1/out.000001.wlog").exists());

    // Not old enough, and never old enough.
    for config in ["", "[retention]\nrun_logs = \"30d\"\n", "[retention]\nrun_logs = \"0s\"\n"] {
        keep(&place, config);
        let listed = gc(&place, &["--dry-run"]);
        assert_eq!(listed["logs"].as_array().unwrap().len(), 0, "{config}: {listed}");
    }
    assert_eq!(gc(&place, &["--dry-run"])["keep_ms"], Value::Null);

    let stray = "0193a4e0-0000-7000-8000-0000000000a1";
    touch(&place.data().join(format!("runs/a1/{stray}/a1/spec.json")));
    touch(&place.data().join(format!("cache/runs-a2-{}a2-a1.lines", &stray[..34])));
    touch(&place.data().join(format!("cache/runs-{}-{id}-a1.lines", &id[34..])));
    touch(&place.data().join("cache/somebody's file"));
    keep(&place, "[retention]\nrun_logs = \"1s\"\n");
    let begun = std::time::Instant::now();
    let listed = loop {
        let listed = gc(&place, &["--dry-run"]);
        // The run's, and that of the operation that made its worktree.
        if listed["logs"].as_array().unwrap().len() == 2 {
            break listed;
        }
        assert!(begun.elapsed().as_secs() < 30, "it does not become due: {listed}");
    };
    assert_eq!((&listed["logs"][0]["number"], &listed["logs"][1]["number"]), (&"R-1".into(), &"O-1".into()));
    assert!(listed["bytes"].as_u64().unwrap() > 0 && log.exists(), "nothing is removed yet");
    assert_eq!(listed["cache"].as_array().unwrap().len(), 2, "{listed}");
    assert_eq!(listed["orphans"], serde_json::json!([format!("runs/a1/{stray}")]));

    let removed = gc(&place, &[]);
    for what in ["logs", "bytes", "cache", "orphans", "keep_ms", "more"] {
        assert_eq!(removed[what], listed[what], "{what}");
    }
    assert!(!log.exists());
    let left: Vec<_> = std::fs::read_dir(place.data().join("cache")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["somebody's file"]);
    assert!(place.data().join(format!("runs/a1/{stray}/a1/spec.json")).exists(), "an orphan is only reported");

    // The row stays and says what has become of the log.
    let told = place.wharf(&["logs", "R-1"]).expect(0);
    assert_eq!(told.out, "");
    assert!(told.err.contains("the log of R-1 was removed") && told.err.contains("older than 1s"), "{}", told.err);
    let lines = place.wharf(&["logs", "R-1", "--json"]).expect(0).json()["lines"].clone();
    assert_eq!(lines, serde_json::json!([]));
    let after = place.wharf(&["show", "R-1", "--json"]).expect(0).json()["run"].clone();
    assert_eq!((&after["status"], &after["log_sha256"]), (&run["status"], &run["log_sha256"]));
    let activity = place.wharf(&["activity", "kind:store.collected", "--json"]).expect(0).json();
    assert_eq!(activity["activity"].as_array().unwrap().len(), 1, "{activity}");
    assert_eq!(activity["activity"][0]["details"]["logs"], 2);
    let told = place.wharf(&["logs", "O-1"]).expect(0);
    assert!(told.out.is_empty() && told.err.contains("the log of O-1 was removed"), "{}", told.err);
    // Nothing is left to remove.
    let again = gc(&place, &[]);
    assert_eq!((again["logs"].as_array().unwrap().len(), again["cache"].as_array().unwrap().len()), (0, 0));
    let words = place.wharf(&["gc", "--dry-run"]).expect(0).out;
    assert!(words.contains("0 logs") && words.contains("no row knows it"), "{words}");
}

#[test]
fn a_compressed_log_is_printed_as_it_was_and_damage_in_it_is_told() {
    let place = Place::new();
    let config =
        common::CONFIG.replace("[\"-c\", \"echo cause >&2; exit 3\"]", "[\"-c\", \"seq 1 60000; seq 1 9 >&2\"]");
    place.config(&config);
    place.wharf(&["run", "three", "--wait"]).expect(0);
    let run = place.wharf(&["show", "R-1", "--json"]).expect(0).json()["run"].clone();
    let id = run["id"].as_str().unwrap().to_owned();
    let dir = place.data().join(format!("runs/{}/{id}/a1", &id[34..]));
    let plain = place.wharf(&["logs", "R-1", "--stdout"]).expect(0).out;
    let expected: String = (1..=60_000).map(|n| format!("{n}\n")).collect();
    assert!(plain == expected);
    let tail = place.wharf(&["logs", "R-1", "--tail", "3", "--stderr"]).expect(0).out;
    assert_eq!(tail, "7\n8\n9\n");
    // Whoever orchestrates next does what is left to do for it.
    let serving = place.serve();
    let begun = std::time::Instant::now();
    while dir.join("out.000001.wlog").exists() {
        assert!(begun.elapsed().as_secs() < 30, "it is not compressed");
        std::thread::yield_now();
    }
    drop(serving);
    let sealed = dir.join("out.000001.wlog.zst");
    let all: &[&[&str]] = &[
        &["logs", "R-1", "--stdout"],
        &["logs", "R-1", "--tail", "3", "--stderr"],
        &["logs", "R-1", "-f", "--stdout"],
    ];
    for (args, was) in all.iter().zip([&plain, &tail, &plain]) {
        let now = place.wharf(args).expect(0);
        assert!(now.out == *was && now.err.is_empty(), "{args:?}: {}", now.err);
    }
    let mut bytes = std::fs::read(&sealed).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&sealed, bytes).unwrap();
    let damaged = place.wharf(&["logs", "R-1", "--stdout"]).expect(0);
    assert!(
        damaged.out.len() < plain.len() && damaged.err.contains("the log is damaged in 1 place"),
        "{}",
        damaged.err
    );
    let lines = place.wharf(&["logs", "R-1", "--timestamps"]).expect(0);
    assert!(lines.err.contains("cannot be read"), "{}", lines.err);
}

#[test]
fn with_a_wrong_config_nothing_is_removed() {
    let place = Place::new();
    place.wharf(&["run", "good", "--prompt", "hello", "--wait"]).expect(0);
    keep(&place, "[retention]\nrun_logs = 5\n");
    for args in [&["gc", "--json"][..], &["gc", "--dry-run", "--json"]] {
        let error = place.wharf(args).expect(5).error();
        assert_eq!(error["code"], "config_invalid");
    }
    assert!(place.wharf(&["logs", "R-1"]).expect(0).out.contains("hello"));
}

/// Waits until a directory holds these files and no others.
fn holds(dir: &Path, names: &[&str]) {
    let begun = std::time::Instant::now();
    loop {
        let mut found: Vec<String> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        if found == names {
            return;
        }
        assert!(begun.elapsed().as_secs() < 30, "{}: {found:?}", dir.display());
        std::thread::yield_now();
    }
}

fn log_of(place: &Place, root: &str, document: &Value, last: &str) -> std::path::PathBuf {
    let id = document["id"].as_str().unwrap();
    place.data().join(format!("{root}/{}/{id}/{last}", &id[34..]))
}

const LOUD: &str = r#"
[workspace]
provision = "seq 1 30000"

[[service]]
name = "loud"
command = ["sh", "-c", "seq 1 30000; exec sleep 60"]
ready = "none"
stop = { grace = "1s" }
"#;

#[test]
fn logs_of_services_and_operations_are_compressed_and_removed_like_those_of_runs() {
    let place = Place::new();
    place.config(&format!("{}{LOUD}", common::CONFIG));
    let expected: String = (1..=30_000).map(|n| format!("{n}\n")).collect();
    let serving = place.serve();
    place.wharf(&["run", "good", "--prompt", "hello", "--wait"]).expect(0);
    let sealed = ["out.000001.wlog.zst", "shim.lock"];
    let services = place.wharf(&["services", "--json"]).expect(0).json();
    let one = services["services"].as_array().unwrap().iter().find(|s| s["name"] == "loud").unwrap().clone();
    let number = one["number"].as_str().unwrap().to_owned();

    // What a service printed in an ended start is compressed, and is read as it was.
    let mut starts = Vec::new();
    for start in 1..=2 {
        place.wharf(&["service", "start", "loud"]).expect(0);
        let dir = log_of(&place, "services", &one, &format!("g{start}"));
        let begun = std::time::Instant::now();
        while place.wharf(&["service", "logs", "loud"]).expect(0).out != expected {
            assert!(begun.elapsed().as_secs() < 30, "it prints nothing");
        }
        if start == 1 {
            place.wharf(&["service", "stop", "loud"]).expect(0);
            holds(&dir, &sealed);
            assert_eq!(place.wharf(&["service", "logs", "loud"]).expect(0).out, expected);
        }
        starts.push(dir);
    }
    // So is what the workspace's provision printed.
    let show = |name: &str| place.wharf(&["show", name, "--json"]).expect(0).json()["operation"].clone();
    let loud = (1..=4).map(|n| format!("O-{n}")).find(|name| show(name)["phase"] == "workspace_provision").unwrap();
    let provision = log_of(&place, "operations", &show(&loud), "a1");
    holds(&provision, &sealed);
    assert_eq!(place.wharf(&["logs", &loud]).expect(0).out, expected);
    assert_eq!(place.wharf(&["logs", &loud, "--tail", "1"]).expect(0).out, "30000\n");

    // What has ended goes; the start that lives stays, however old its log is.
    keep(&place, "[retention]\nrun_logs = \"1s\"\n");
    let begun = std::time::Instant::now();
    let listed = loop {
        let listed = gc(&place, &["--dry-run"]);
        let logs = listed["logs"].as_array().unwrap();
        let mut what: Vec<&str> = logs.iter().map(|l| l["entity"].as_str().unwrap()).collect();
        what.dedup();
        if what == ["run", "operation", "service"] {
            break listed;
        }
        assert!(begun.elapsed().as_secs() < 30, "it does not become due: {listed}");
    };
    let service = listed["logs"].as_array().unwrap().last().unwrap();
    assert_eq!((&service["number"], &service["start"]), (&number.clone().into(), &1.into()));
    let bytes = std::fs::metadata(starts[0].join(sealed[0])).unwrap().len();
    assert_eq!(service["bytes"], bytes);
    let words = place.wharf(&["gc", "--dry-run"]).expect(0).out;
    assert!(words.contains(&format!("{number} start 1 ")) && words.contains(&format!("{loud} ")), "{words}");
    assert_eq!(gc(&place, &[])["logs"], listed["logs"]);
    assert!(!starts[0].exists() && !provision.exists() && starts[1].join("out.000001.wlog").exists());
    assert_eq!(place.wharf(&["service", "logs", "loud"]).expect(0).out, expected);

    place.wharf(&["service", "stop", "loud"]).expect(0);
    holds(&starts[1], &sealed);
    let begun = std::time::Instant::now();
    while gc(&place, &[])["logs"].as_array().unwrap().is_empty() {
        assert!(begun.elapsed().as_secs() < 30, "it does not become due");
    }
    let told = place.wharf(&["service", "logs", "loud"]).expect(0);
    assert!(told.out.is_empty() && told.err.contains("was removed") && told.err.contains("older than 1s"), "{told:?}");
    // The next start has a log again.
    place.wharf(&["service", "start", "loud"]).expect(0);
    let begun = std::time::Instant::now();
    while place.wharf(&["service", "logs", "loud"]).expect(0).out != expected {
        assert!(begun.elapsed().as_secs() < 30, "it prints nothing");
    }
    place.wharf(&["service", "stop", "loud"]).expect(0);
    drop(serving);
}
