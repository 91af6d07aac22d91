//! Programs of different versions on one data directory: shims that outlive an upgrade, consoles whose
//! binary is gone, command lines that are newer than the orchestrator.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};

use serde_json::{Value, json};
use wharf::process::signal::{self, Signal};
use wharf::process::{identity, lock};
use wharf_model::*;

use crate::orchestrator::*;

/// Takes the place of a shim that was killed: its lock, its id, its socket. It greets with these versions,
/// says that its child runs, and at once how that ended.
/// It lives until the sender is dropped.
fn forge(dir: &Path, versions: Value, child: shim::ChildRef) -> (std::thread::JoinHandle<Vec<Value>>, Sender<()>) {
    // Its lock is what tells that it lives; id.json still names the one before.
    let _old = fs::remove_file(dir.join("ctl.sock"));
    let listener = UnixListener::bind(dir.join("ctl.sock")).unwrap();
    let held = fs::File::options().write(true).open(dir.join("shim.lock")).unwrap();
    assert!(lock::try_lock(&held).unwrap());
    let (alive, over) = channel::<()>();
    let forger = std::thread::spawn(move || {
        let mut heard = Vec::new();
        let (stream, _) = listener.accept().unwrap();
        let mut out = stream.try_clone().unwrap();
        let mut say = move |message: Value| writeln!(out, "{message}").unwrap();
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let message: Value = serde_json::from_str(&line).unwrap();
            let what = message["t"].as_str().unwrap().to_owned();
            heard.push(message);
            match what.as_str() {
                "hello" => say(json!({
                    "t": "welcome", "v": 1, "versions": versions, "id": "forged", "state": "running", "seq": 3,
                    "offsets": { "stdout": 7, "stderr": 4, "control": 99 }, "of_a_later_version": { "x": 1 },
                })),
                "watch" => {
                    say(json!({ "t": "started", "child": child, "at_ms": 5 }));
                    let exit = json!({
                        "t": "exited",
                        "exit": {
                            "t": "exit", "v": 1, "code": 9, "signal": null, "core": false, "by": "self", "stop": null,
                            "streams": {}, "leaky": false, "started_ms": 5, "ended_ms": 6,
                            "rusage": { "user_us": 0, "sys_us": 0, "maxrss_kib": 0 }, "oom": false, "spawn_error": null,
                        },
                    });
                    say(exit);
                }
                _ => say(json!({ "t": "ok" })),
            }
        }
        // Nothing is ever sent: this waits for the end of the sender.
        let _end = over.recv();
        drop(held);
        heard
    });
    (forger, alive)
}

#[test]
fn shims_of_other_versions_are_adopted_by_what_both_speak() {
    for versions in [json!([1]), json!([1, 2]), json!([])] {
        let site = Site::plain(&agent("one", "grace = \"100ms\"", "echo $$ >> $ROOT/starts; exec sleep 600"));
        let first = site.start();
        let run = site.begin_run("one");
        site.started(run);
        let (dir, _) = site.shims().remove(0);
        let keeper = site.shim_of(run);
        let id: Value = serde_json::from_slice(&fs::read(dir.join("id.json")).unwrap()).unwrap();
        let child: shim::ChildRef = serde_json::from_value(id["child"].clone()).unwrap();
        first.kill();
        signal::send(keeper, Signal::KILL).unwrap();
        eventually("the shim's end", || (!identity::is_alive(keeper).unwrap()).then_some(()));
        let (forged, alive) = forge(&dir, versions.clone(), child);
        let _next = site.start();
        let row = site.wait("its end", || Some(site.run(run).run).filter(|r| r.status.is_terminal()));
        assert_eq!((row.status, row.exit_code), (RunStatus::Failed, Some(9)), "{versions}: {:?}", row.error);
        assert_eq!(site.noted(run, "run.adopted"), 1, "{versions}");
        let told = site.events(run).into_iter().find(|e| e.message.contains("adopted")).unwrap();
        assert_eq!(told.payload.unwrap()["continues_at_byte"], 11, "its streams, not its control frames");
        drop(alive);
        let heard = forged.join().unwrap();
        assert_eq!(heard[0]["v"], 1, "greeted with the highest version spoken here");
        assert_eq!(site.lines("starts").len(), 1);
    }
}

#[test]
fn a_shim_that_speaks_nothing_we_know_is_in_doubt_and_not_lost() {
    let site = Site::plain(&agent("one", "grace = \"100ms\"", "exec sleep 600"));
    let first = site.start();
    let run = site.begin_run("one");
    site.started(run);
    let (dir, _) = site.shims().remove(0);
    let keeper = site.shim_of(run);
    first.kill();
    signal::send(keeper, Signal::KILL).unwrap();
    eventually("the shim's end", || (!identity::is_alive(keeper).unwrap()).then_some(()));
    let child = shim::ChildRef { pid: 1, start_ticks: 1, pgid: 1, sid: 1 };
    let (_forged, _alive) = forge(&dir, json!([7]), child);
    let _next = site.start();
    let row = site.wait("doubt", || Some(site.run(run).run).filter(|r| r.observation == Observation::Unknown));
    assert_eq!(row.status, RunStatus::Running);
    let why = row.observation_evidence.unwrap();
    // The forger answers one connection; on later ones it says nothing at all.
    assert!(why.contains("holds its lock"), "{why}");
}

#[test]
fn a_run_starts_from_a_program_whose_file_was_replaced_or_deleted() {
    for replaced in [false, true] {
        let site = Site::plain(&agent("one", "", "echo $$ >> $ROOT/starts"));
        let program = site.path("wharf-old");
        fs::copy(WHARF, &program).unwrap();
        let mut it = site.spawn_program(&program, &["serve"], &[]);
        assert!(it.wait_until_reigning(), "{}", it.said());
        fs::remove_file(&program).unwrap();
        if replaced {
            fs::write(&program, "#!/bin/sh\nexit 1\n").unwrap();
        }
        let row = site.settled(site.begin_run("one"));
        assert_eq!(row.status, RunStatus::Succeeded, "{:?}", row.error);
        assert_eq!(site.lines("starts").len(), 1);
        it.stop();
    }
}

#[test]
fn a_store_of_a_newer_program_is_refused_and_left_as_it_is() {
    let site = Site::plain(&agent("one", "", "true"));
    let it = site.start();
    assert_eq!(site.settled(site.begin_run("one")).status, RunStatus::Succeeded);
    it.stop();
    let version = site.data.join("VERSION");
    fs::write(&version, "2").unwrap();
    let before = fs::read(site.data.join("wharf.db")).unwrap();
    for args in [&["serve"][..], &["runs"], &["cancel", "R-1"], &["serve", "--take-over"]] {
        let mut refused = site.spawn_with(args, &[]);
        let status = refused.wait_for_end();
        assert_eq!(status.code(), Some(6), "{args:?}: {}", refused.said());
        assert!(refused.said().contains("newer"), "{args:?}: {}", refused.said());
    }
    assert_eq!(fs::read(site.data.join("wharf.db")).unwrap(), before, "nothing was written");
    assert_eq!(fs::read_to_string(&version).unwrap(), "2");
}

#[test]
fn a_newer_store_beneath_a_living_orchestrator_is_not_read_by_an_older_command() {
    let site = Site::plain(&agent("one", "", "true"));
    let it = site.start();
    assert_eq!(site.settled(site.begin_run("one")).status, RunStatus::Succeeded);
    // The command line reads what the orchestrator of the same version keeps.
    let mut reads = site.spawn_with(&["runs", "--json"], &[]);
    assert_eq!(reads.wait_for_end().code(), Some(0), "{}", reads.said());
    // To a command that is older than the store it is as it would be to a newer one that it cannot read.
    fs::write(site.data.join("VERSION"), "2").unwrap();
    let mut refused = site.spawn_with(&["cancel", "R-1"], &[]);
    assert_eq!(refused.wait_for_end().code(), Some(6), "{}", refused.said());
    fs::write(site.data.join("VERSION"), "1").unwrap();
    assert_eq!(site.settled(site.begin_run("one")).status, RunStatus::Succeeded, "the orchestrator goes on");
    it.stop();
}
