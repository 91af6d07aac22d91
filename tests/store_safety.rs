//! The store's safety, seen from outside: backups, damage, lost syncs and full disks with the real program.
#![allow(clippy::unwrap_used, reason = "a test ends with a panic")]

mod cli_common;
#[path = "support/disk.rs"]
mod disk;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cli_common::{Ended, Place, Serving, skipped};
use disk::{Small, fill, spoil};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(20);

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A place with one issue, whose orchestrator was killed: its commits stand in the journal.
fn crashed() -> Place {
    let place = Place::new();
    let serving = place.serve();
    place.wharf(&["issue", "new", "One"]).expect(0);
    place.wharf(&["issue", "new", "Two"]).expect(0);
    // Dropping it kills it.
    drop(serving);
    place
}

fn issues(place: &Place) -> usize {
    place.wharf(&["issues", "--json"]).expect(0).json()["issues"].as_array().unwrap().len()
}

fn check<'a>(doctor: &'a Value, name: &str) -> &'a Value {
    let checks = doctor["checks"].as_array().unwrap();
    checks.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no check {name} in {doctor}"))
}

fn quarantined(place: &Place) -> Vec<PathBuf> {
    fs::read_dir(place.data().join("quarantine")).into_iter().flatten().map(|e| e.unwrap().path()).collect()
}

#[test]
fn a_backup_is_made_beside_a_living_orchestrator_and_put_back_without_one() {
    let place = Place::new();
    place.wharf(&["backup"]).expect(6);
    let serving = place.serve();
    place.wharf(&["issue", "new", "One"]).expect(0);
    let made = place.wharf(&["backup", "--json"]).expect(0).json();
    let path = made["path"].as_str().unwrap().to_owned();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(&path).unwrap().len(), made["bytes"].as_u64().unwrap());
    let elsewhere = place.data().join("elsewhere.db");
    let elsewhere = elsewhere.to_str().unwrap();
    assert_eq!(place.wharf(&["backup", elsewhere]).expect(0).out.trim(), elsewhere);
    let again = place.wharf(&["backup", elsewhere, "--json"]).expect(4).error();
    assert!(again["message"].as_str().unwrap().contains("replaces nothing"), "{again}");
    let trail = place.wharf(&["activity", "kind:store.*", "--json"]).expect(0).json();
    assert_eq!(trail["activity"].as_array().unwrap().len(), 2);
    assert_eq!(trail["activity"][1]["details"]["path"], path.as_str());

    place.wharf(&["issue", "new", "Two"]).expect(0);
    let held = place.wharf(&["restore", &path, "--yes", "--json"]).expect(4).error();
    assert_eq!(held["code"], "store_locked");
    assert_eq!(serving.end(), Some(143));
    assert_eq!(place.wharf(&["restore", &path, "--json"]).expect(9).error()["code"], "not_confirmed");
    assert_eq!(issues(&place), 2);
    let put_back = place.wharf(&["restore", &path, "--yes", "--json"]).expect(0).json();
    assert!(Path::new(put_back["aside"].as_str().unwrap()).join("wharf.db").exists());
    assert_eq!(issues(&place), 1);
    let next = place.wharf(&["issue", "new", "Three"]).expect(0).out;
    assert!(next.contains("SHOP-3"), "a number was given out twice: {next}");
    let trail = place.wharf(&["activity", "kind:store.restored", "--json"]).expect(0).json();
    assert_eq!(trail["activity"][0]["actor"], "ops");
    place.wharf(&["doctor"]).expect(0);
}

#[test]
fn a_cut_journal_is_refused_explained_and_mended_with_a_copy_kept() {
    let place = crashed();
    let journal = place.data().join("wharf.db-wal");
    File::options().write(true).open(&journal).unwrap().set_len(32 + 4_120 * 3).unwrap();
    let before = fs::read(&journal).unwrap();
    for args in [vec!["runs"], vec!["issue", "new", "Three"], vec!["serve"]] {
        let ended: Ended = place.wharf(&args).expect(6);
        assert!(ended.err.contains("wharf.db-wal") && ended.err.contains("damaged"), "{args:?}: {}", ended.err);
        assert!(ended.err.contains("wharf doctor --repair"), "{args:?}: {}", ended.err);
    }
    let told = place.wharf(&["doctor", "--json"]).expect(8).json();
    assert_eq!(check(&told, "store")["level"], "failed");
    assert!(fs::read(&journal).unwrap() == before, "it was changed");
    let mended = place.wharf(&["doctor", "--repair", "--json"]).expect(0).json();
    let said = check(&mended, "repaired")["message"].as_str().unwrap();
    assert!(said.contains("goes on from the last commit before"), "{said}");
    assert!(quarantined(&place).iter().any(|dir| fs::read(dir.join("wharf.db-wal")).is_ok_and(|b| b == before)));
    place.wharf(&["issue", "new", "Three"]).expect(0);
    place.wharf(&["doctor"]).expect(0);
}

#[test]
fn a_damaged_table_is_found_after_a_crash_without_keeping_anybody_from_starting() {
    let place = crashed();
    let copy = place.wharf(&["backup"]).expect(0).out.trim().to_owned();
    // A reign that ends in order has copied everything back; the next one is killed.
    drop(place.serve());
    spoil(&place.data());
    let serving = place.serve();
    let found = || {
        let trail = place.wharf(&["activity", "kind:store.checked", "--json"]).expect(0).json();
        trail["activity"].as_array().unwrap().first().cloned()
    };
    wait("the finding", || found().is_some());
    assert!(found().unwrap()["details"]["finding"].as_str().unwrap().contains("issue_comments"));
    place.wharf(&["issue", "new", "Three"]).expect(0);
    drop(serving);
    let told = place.wharf(&["doctor", "--json"]).expect(8).json();
    assert!(check(&told, "store")["hint"].as_str().unwrap().contains(&copy), "{told}");
    // A table comes back from nothing but a backup: it says so, and touches nothing.
    let left = place.wharf(&["doctor", "--repair", "--json"]).expect(8).json();
    assert!(check(&left, "not repaired")["hint"].as_str().unwrap().contains("wharf restore"), "{left}");
    assert_eq!(place.wharf(&["backup", "--json"]).expect(6).error()["code"], "store_damaged");
    place.wharf(&["restore", &copy, "--yes"]).expect(0);
    place.wharf(&["doctor"]).expect(0);
    assert_eq!(issues(&place), 2);
}

#[test]
fn the_doctor_mends_rights_half_made_files_and_a_spoilt_version() {
    let place = Place::new();
    place.wharf(&["issue", "new", "One"]).expect(0);
    let data = place.data();
    cli_common::chmod(&data, 0o775);
    cli_common::chmod(&data.join("wharf.db"), 0o644);
    fs::write(data.join("VERSION"), "what\n").unwrap();
    fs::create_dir_all(data.join("backups")).unwrap();
    fs::write(data.join("backups/wharf-x.db.partial"), "half").unwrap();
    place.wharf(&["runs"]).expect(6);
    let told = place.wharf(&["doctor", "--json"]).expect(8).json();
    for name in ["store", "rights", "unfinished"] {
        assert_ne!(check(&told, name)["level"], "ok", "{name}: {told}");
    }
    let mended = place.wharf(&["doctor", "--repair", "--json"]).expect(0).json();
    let done = mended["checks"].as_array().unwrap().iter().filter(|c| c["name"] == "repaired").count();
    assert!(done >= 4, "{mended}");
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(fs::read_to_string(data.join("VERSION")).unwrap(), "1\n");
    assert!(quarantined(&place).iter().any(|d| fs::read(d.join("VERSION")).is_ok_and(|b| b == b"what\n")));
    assert!(quarantined(&place).iter().any(|d| d.join("wharf-x.db.partial").exists()));
    assert_eq!(issues(&place), 1);
    // Beside somebody who writes it is not done.
    let serving = place.serve();
    place.wharf(&["doctor", "--repair"]).expect(4);
    drop(serving);
}

#[test]
fn a_store_that_is_gone_is_never_begun_anew() {
    type Deed = fn(&Path);
    let deeds: [(&str, Deed); 4] = [
        ("gone", |dir| fs::remove_file(dir.join("wharf.db")).unwrap()),
        ("empty", |dir| fs::write(dir.join("wharf.db"), "").unwrap()),
        ("text", |dir| fs::write(dir.join("wharf.db"), "hello\n".repeat(1_000)).unwrap()),
        ("half", |dir| {
            for file in ["wharf.db-wal", "wharf.db-shm"] {
                let _ = fs::remove_file(dir.join(file));
            }
            File::options().write(true).open(dir.join("wharf.db")).unwrap().set_len(20_000).unwrap();
        }),
    ];
    let place = Place::new();
    place.wharf(&["issue", "new", "One"]).expect(0);
    let copy = place.wharf(&["backup"]).expect(0).out.trim().to_owned();
    for (name, deed) in deeds {
        deed(&place.data());
        for args in [vec!["runs"], vec!["issue", "new", "Two"], vec!["serve"], vec!["backup"]] {
            let ended = place.wharf(&args).expect(6);
            assert!(ended.err.contains("wharf.db") && ended.err.contains("restore"), "{name} {args:?}: {}", ended.err);
        }
        let told = place.wharf(&["doctor", "--repair", "--json"]).expect(8).json();
        let restore = format!("wharf restore {copy}");
        for (check_name, level) in [("not repaired", "failed"), ("store", "failed")] {
            let it = check(&told, check_name);
            assert_eq!((&it["level"], &it["hint"]), (&level.into(), &restore.as_str().into()), "{name}: {told}");
        }
        place.wharf(&["restore", &copy, "--yes"]).expect(0);
        assert_eq!(issues(&place), 1, "{name}");
    }
}

#[test]
fn what_is_no_backup_is_said_of_the_file_and_makes_nothing() {
    let place = Place::new();
    let file = place.project().join("text.db");
    fs::write(&file, "hello\n".repeat(1_000)).unwrap();
    let file = file.to_str().unwrap();
    for more in [&["--yes"][..], &[]] {
        for (name, code) in [(file, 6), ("missing.db", 3)] {
            let mut args = vec!["restore", name];
            args.extend(more);
            let refused = place.wharf(&args).expect(code).err;
            assert!(refused.starts_with("error: /") && refused.contains(name), "{refused}");
            assert!(refused.contains("\nnext:  name a") && !refused.contains("doctor"), "{refused}");
            assert!(!place.data().exists(), "{args:?}");
        }
    }
}

fn serve_with(place: &Place, variables: &[(&str, &Path)], log: &Path) -> Serving {
    let mut command = place.command(&["serve"]);
    command.stdout(Stdio::null()).stderr(File::create(log).unwrap()).envs(variables.iter().copied());
    let serving = Serving::of(command.spawn().unwrap());
    wait("serve", || fs::read_to_string(log).unwrap().contains("orchestrating"));
    serving
}

#[test]
fn after_a_lost_sync_the_orchestrator_ends_with_the_reason_and_the_next_one_reads_everything_back() {
    let place = Place::new();
    place.wharf(&["issue", "new", "One"]).expect(0);
    let (flag, log) = (place.project().join("lost"), place.project().join("serve.log"));
    let mut serving = serve_with(&place, &[("WHARF_FAULT_LOST_SYNC", &flag)], &log);
    fs::write(&flag, "").unwrap();
    let mut command = place.command(&["issue", "new", "Two", "--json"]);
    let mut asked = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(serving.wait(LIMIT), Some(6));
    fs::remove_file(&flag).unwrap();
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("failed to keep what was written"), "{said}");
    // Whoever waited becomes the orchestrator, which reads all of it back, and then carries the request out.
    let ended = asked.wait().unwrap();
    assert!(ended.success(), "{ended}");
    assert!(!place.data().join("SUSPECT").exists());
    assert_eq!(issues(&place), 2);
    place.wharf(&["doctor"]).expect(0);
}

#[test]
fn a_full_disk_ends_no_orchestrator_and_loses_nothing_that_was_said_to_be_done() {
    let place = Place::new();
    let Some(_small) = Small::at(&place.data()) else { return };
    let log = place.project().join("serve.log");
    let serving = serve_with(&place, &[], &log);
    place.wharf(&["issue", "new", "0"]).expect(0);
    let filler = place.data().join("filler");
    fill(&filler);
    let long = "x".repeat(60_000);
    let mut done = 1;
    let refused = loop {
        let ended = place.wharf(&["issue", "new", &done.to_string(), "-d", &long, "--json"]);
        if ended.code != Some(0) {
            break ended;
        }
        done += 1;
        assert!(done < 1_000, "the disk is never full");
    };
    assert!(done > 10, "the ledger had no room of its own: {done}");
    assert!(matches!(refused.code, Some(6 | 7)), "{refused:?}");
    let told = place.wharf(&["doctor", "--json"]).expect(8).json();
    assert!(check(&told, "data directory")["message"].as_str().unwrap().contains("full"), "{told}");
    fs::remove_file(&filler).unwrap();
    wait("the disk to be taken for good again", || place.wharf(&["issue", "new", "after"]).code == Some(0));
    // What was refused may have been taken up since; what was done is there.
    assert!(issues_all(&place) > done, "{} of {}", issues_all(&place), done + 1);
    assert_eq!(serving.end(), Some(143), "{}", fs::read_to_string(&log).unwrap());
}

fn issues_all(place: &Place) -> usize {
    let document = place.wharf(&["issues", "--json", "--limit", "1000"]).expect(0).json();
    document["issues"].as_array().unwrap().len()
}

#[test]
fn a_limit_on_the_size_of_files_ends_no_orchestrator() {
    let place = Place::new();
    place.wharf(&["issue", "new", "0"]).expect(0);
    let log = place.project().join("serve.log");
    let program = env!("CARGO_BIN_EXE_wharf");
    let command = place.command(&[]);
    let mut limited = Command::new("prlimit");
    limited.arg("--fsize=65536:65536").arg(program).arg("serve");
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            limited.env(name, value);
        }
    }
    limited.current_dir(place.project()).stdin(Stdio::null()).stdout(Stdio::null());
    let Ok(child) = limited.stderr(File::create(&log).unwrap()).spawn() else {
        skipped("there is no prlimit here");
        return;
    };
    // It cannot even note that its reign begins, and says so; what is there stays as it is.
    let mut serving = Serving::of(child);
    assert_eq!(serving.wait(LIMIT), Some(6), "{}", fs::read_to_string(&log).unwrap());
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("took no write") || said.contains("no room"), "{said}");
    assert_eq!(issues(&place), 1);
    place.wharf(&["issue", "new", "1"]).expect(0);
}

#[test]
fn the_doctor_sees_damaged_logs_and_shims_that_nobody_knows() {
    let place = Place::new();
    place.wharf(&["run", "good", "--prompt", "some words", "--wait"]).expect(0);
    place.wharf(&["doctor"]).expect(0);
    let log = find(&place.data().join("runs"), "wlog").expect("a log");
    let file = File::options().read(true).write(true).open(&log).unwrap();
    let length = file.metadata().unwrap().len();
    // In the first frame: what is lost of the last one is a torn end.
    let (mut byte, at) = ([0], 120);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    let unknown = "run-01900000-0000-7000-8000-000000000001-1";
    std::os::unix::fs::symlink("/nowhere", place.data().join("live").join(unknown)).unwrap();
    let told = place.wharf(&["doctor", "--json"]).expect(0).json();
    assert!(check(&told, "logs")["message"].as_str().unwrap().contains("R-1 (1 gaps"), "{told}");
    assert!(check(&told, "leftovers")["message"].as_str().unwrap().contains("01900000"), "{told}");
    // A log that is cut in the middle of a frame.
    file.set_len(length - 5).unwrap();
    let told = place.wharf(&["doctor", "--json"]).expect(0).json();
    assert!(check(&told, "logs")["message"].as_str().unwrap().contains("torn end"), "{told}");
}

fn find(dir: &Path, extension: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?;
    entries.flatten().map(|e| e.path()).find_map(|path| {
        if path.is_dir() {
            find(&path, extension)
        } else {
            path.extension().is_some_and(|e| e == extension).then_some(path)
        }
    })
}

#[test]
fn the_doctor_explains_limits_that_runs_would_meet() {
    let place = Place::new();
    let limited = |limit: &str| {
        let command = place.command(&[]);
        let mut limited = Command::new("prlimit");
        limited.args([limit, env!("CARGO_BIN_EXE_wharf"), "doctor", "--json"]);
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                limited.env(name, value);
            }
        }
        limited.current_dir(place.project()).stdin(Stdio::null()).output().ok()
    };
    for (limit, level, words) in [
        ("--nofile=64:64", "failed", "only 64 files"),
        ("--nofile=512:512", "warning", "512"),
        ("--fsize=1048576", "failed", "1048576 bytes"),
    ] {
        let Some(output) = limited(limit) else {
            skipped("there is no prlimit here");
            return;
        };
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = check(&told, "limits");
        assert_eq!(found["level"], level, "{limit}: {told}");
        assert!(found["message"].as_str().unwrap().contains(words), "{found}");
        assert_eq!(output.status.code(), Some(if level == "failed" { 8 } else { 0 }), "{told}");
    }
}
