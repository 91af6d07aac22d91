//! `wharf serve` as a service: its unit file, and what a restart of the service leaves alone.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod cli_common;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cli_common::{Place, skipped};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn the_unit_file_is_printed_with_this_program_and_kills_no_shim() {
    let place = Place::new();
    let unit = place.wharf(&["serve", "--print-unit"]).expect(0);
    assert_eq!(unit.err, "");
    let lines: Vec<&str> = unit.out.lines().collect();
    let program = std::fs::canonicalize(env!("CARGO_BIN_EXE_wharf")).unwrap();
    let start = format!("ExecStart={} serve", program.display());
    let more = ["DelegateSubgroup=wharf", "SuccessExitStatus=143 130", "RestartPreventExitStatus=5 6 7"];
    for wanted in [start.as_str(), "KillMode=process", "Delegate=yes", "[Install]"].into_iter().chain(more) {
        assert!(lines.contains(&wanted), "{wanted} in {}", unit.out);
    }
    assert!(!place.data().exists(), "printing it makes no store");
    // The manager's own judgement, where there is one.
    let file = place.project().join("wharf.service");
    std::fs::write(&file, unit.out).unwrap();
    let verify = Command::new("systemd-analyze").args(["verify", "--user"]).arg(&file).stdin(Stdio::null()).output();
    match verify {
        Ok(verify) if verify.status.success() => {}
        Ok(verify) => {
            let said = String::from_utf8_lossy(&verify.stderr).into_owned();
            assert!(!said.contains("wharf.service:"), "{said}");
            skipped(&format!("systemd-analyze cannot judge units here: {said}"));
        }
        Err(error) => skipped(&format!("no systemd-analyze ({error})")),
    }
}

#[test]
fn doctor_says_what_a_logout_does() {
    let place = Place::new();
    let checks = place.wharf(&["doctor", "--json"]).json();
    let session = checks["checks"].as_array().unwrap().iter().find(|c| c["name"] == "session").unwrap().clone();
    let words = session["message"].as_str().unwrap();
    let known = ["go on", "no login manager", "container", "logout ends", "cannot be told"];
    assert!(known.iter().any(|k| words.contains(k)), "{words}");
}

/// A unit of the user's own service manager; gone with the test.
struct Unit {
    name: String,
    file: PathBuf,
}

impl Unit {
    fn systemctl(args: &[&str]) -> bool {
        let mut command = Command::new("systemctl");
        command.arg("--user").args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|s| s.success())
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        Self::systemctl(&["stop", &self.name]);
        let _ = std::fs::remove_file(&self.file);
        Self::systemctl(&["daemon-reload"]);
    }
}

#[test]
fn a_restart_by_the_service_manager_ends_no_run() {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|p| p.is_dir());
    let Some(runtime) = runtime.filter(|_| Unit::systemctl(&["show-environment"])) else {
        skipped("no service manager of this user runs here");
        return;
    };
    let place = Place::new();
    let text = place.wharf(&["serve", "--print-unit"]).expect(0).out;
    let data = format!("Environment=\"WHARF_DATA_DIR={}\"\nKillMode=", place.data().display());
    let name = format!("wharf-test-{}.service", std::process::id());
    let dir = runtime.join("systemd/user");
    std::fs::create_dir_all(&dir).unwrap();
    let unit = Unit { file: dir.join(&name), name };
    std::fs::write(&unit.file, text.replacen("KillMode=", &data, 1)).unwrap();
    assert!(Unit::systemctl(&["daemon-reload"]) && Unit::systemctl(&["start", &unit.name]));
    place.wharf(&["run", "slow"]).expect(0);
    assert!(Unit::systemctl(&["restart", &unit.name]));
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let adopted = place.wharf(&["activity", "kind:run.adopted", "--json"]).json();
        if adopted["activity"].as_array().is_some_and(|a| !a.is_empty()) {
            break;
        }
        assert!(Instant::now() < end, "the run was not adopted");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(place.wharf(&["show", "R-1", "--json"]).json()["run"]["status"], "running");
    place.wharf(&["cancel", "R-1", "--grace", "0s"]).expect(0);
}

/// Holds a program at the first step it notes: the note goes into a pipe that nobody reads yet.
fn held_at_its_first_step(place: &Place, signal: Signal) -> Option<i32> {
    let pipe = place.project().join("steps");
    let _ = std::fs::remove_file(&pipe);
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from(0o600)).unwrap();
    let lock = place.data().join("orchestrator.lock");
    let _ = std::fs::remove_file(&lock);
    let mut command = place.command(&["serve"]);
    command.env("WHARF_KILL_POINT_LOG", &pipe).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let pid = Pid::from_child(&child);
    let mut serving = cli_common::Serving::of(child);
    let end = Instant::now() + Duration::from_secs(20);
    while !lock.exists() {
        assert!(Instant::now() < end, "it never came to take the lock");
        std::thread::sleep(Duration::from_millis(2));
    }
    kill_process(pid, signal).unwrap();
    // Read to its end, so that no later step is held either.
    let reading = std::thread::spawn(move || {
        // Where the signal has ended it nobody writes, and the file must not be waited for.
        let flags = rustix::fs::OFlags::RDWR;
        let file = rustix::fs::open(&pipe, flags, rustix::fs::Mode::empty()).unwrap();
        let mut steps = std::io::BufReader::new(std::fs::File::from(file));
        let mut first = String::new();
        while std::io::BufRead::read_line(&mut steps, &mut first).is_ok_and(|n| n > 0) && !first.ends_with("over\n") {}
        first
    });
    let code = serving.wait(Duration::from_secs(20));
    let mut over = std::fs::File::options().write(true).open(place.project().join("steps")).unwrap();
    std::io::Write::write_all(&mut over, b"over\n").unwrap();
    let steps = reading.join().unwrap();
    assert!(code.is_none() || steps.starts_with("elect.locked\n"), "{steps}");
    code
}

#[test]
fn a_signal_in_its_first_moments_ends_it_in_order() {
    let place = Place::new();
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        assert_eq!(held_at_its_first_step(&place, signal), Some(code), "{signal:?}");
    }
}
