//! Limits of runs as the command line tells them, and groups that were left behind.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a failed step of a test is a failed test")]

#[path = "cli_common/mod.rs"]
mod common;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::Place;
use serde_json::{Value, json};
use wharf::process::cgroup::{self, Cap};

const CAPPED: &str = r#"
[[agent]]
name = "capped"
adapter = "process"
limits = { processes = 64, memory = "512MiB" }
[agent.config]
command = "sh"
args = ["-c", "exit 3"]
"#;

/// The check of the doctor with this name.
fn check(place: &Place, name: &str) -> Option<Value> {
    let document = place.wharf(&["doctor", "--json"]).expect(0).json();
    document["checks"].as_array().unwrap().iter().find(|c| c["name"] == name).cloned()
}

#[test]
fn what_is_kept_and_what_is_not_stands_in_show_and_doctor() {
    let place = Place::new();
    let config = std::fs::read_to_string(place.project().join("wharf.toml")).unwrap();
    place.config(&format!("{config}{CAPPED}"));
    place.wharf(&["run", "capped", "--wait"]).expect(3);
    let document = place.wharf(&["show", "R-1", "--json"]).expect(0).json();
    let limits = &document["limits"];
    assert_eq!(limits["asked"], json!({ "processes": 64, "memory_bytes": 512 << 20 }));
    let shown = place.wharf(&["show", "R-1"]).expect(0).out;
    let line = shown.lines().find(|l| l.starts_with("limits ")).unwrap().to_owned();
    let doctor = check(&place, "caps of runs").unwrap();
    match limits["by"].as_str() {
        Some(by) if limits["unenforced"] == json!({}) => {
            assert_eq!(line, format!("limits     64 processes, 512 MiB ({by})"));
            assert_eq!(
                (&doctor["level"], &doctor["message"]),
                (&json!("ok"), &json!(format!("memory and processes by {by}")))
            );
        }
        _ => {
            assert!(line.contains("not enforced: "), "{line}");
            assert_eq!(doctor["level"], "warning", "{doctor}");
            eprintln!("the kernel keeps not all of them here: {limits}");
        }
    }
    // One without limits says nothing of them.
    place.wharf(&["run", "good", "--wait"]).expect(0);
    assert_eq!(place.wharf(&["show", "R-2", "--json"]).expect(0).json()["limits"], Value::Null);
    assert!(!place.wharf(&["show", "R-2"]).expect(0).out.contains("limits"));
}

/// A group that goes with the test.
struct Group(PathBuf);

impl Group {
    fn new(parent: &Path) -> Option<Self> {
        let dir = parent.join(cgroup::name("run", &uuid::Uuid::now_v7().to_string(), 1));
        std::fs::create_dir(&dir).ok().map(|()| Self(dir))
    }

    fn age(&self) {
        let long_ago = SystemTime::now() - Duration::from_mins(10);
        std::fs::File::open(&self.0).unwrap().set_modified(long_ago).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn groups_that_were_left_are_told_and_the_empty_ones_removed() {
    let parent = cgroup::places(None, &Cap::ALL).places.first().map(|p| p.parent.clone());
    let made = parent
        .and_then(|parent| Some([(); 4].map(|()| Group::new(&parent))).filter(|all| all.iter().all(Option::is_some)));
    let Some([Some(empty), Some(full), Some(young), Some(kept)]) = made else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: no control group can be made here");
        return;
    };
    let place = Place::new();
    place.wharf(&["run", "good", "--wait"]).expect(0);
    let mut inside = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    std::fs::write(full.0.join("cgroup.procs"), inside.id().to_string()).unwrap();
    for group in [&empty, &full, &kept] {
        group.age();
    }
    // One whose shim may live is not left.
    let name = kept.0.file_name().unwrap().to_str().unwrap().strip_prefix("wharf-").unwrap();
    std::os::unix::fs::symlink("/nowhere", place.data().join("live").join(name)).unwrap();

    let path = |group: &Group| group.0.to_str().unwrap().to_owned();
    let told = check(&place, "groups left").unwrap()["message"].as_str().unwrap().to_owned();
    let is_told = |group: &Group| told.contains(&path(group));
    assert!((is_told(&empty) || !empty.0.exists()) && is_told(&full) && !is_told(&young) && !is_told(&kept), "{told}");
    assert!(told.contains(&format!("{} (1 process)", path(&full))), "{told}");
    let names = |document: Value| -> Vec<String> {
        document["groups"].as_array().unwrap().iter().map(|g| g.as_str().unwrap().to_owned()).collect()
    };
    let listed = names(place.wharf(&["gc", "--dry-run", "--json"]).expect(0).json());
    // Another `wharf gc` of this moment may have been first: groups are the machine's.
    let is_there = empty.0.exists();
    assert!(!is_there || listed.contains(&path(&empty)), "{listed:?}");
    assert!(!listed.contains(&path(&full)), "{listed:?}");
    let removed = names(place.wharf(&["gc", "--json"]).expect(0).json());
    assert!(removed.contains(&path(&empty)) || !is_there || !empty.0.exists(), "{removed:?}");
    assert_eq!([&empty, &full, &young, &kept].map(|g| g.0.exists()), [false, true, true, true]);
    inside.kill().unwrap();
    inside.wait().unwrap();
}
