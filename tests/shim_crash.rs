//! Shims that die, directories used twice, starts that never happen: the verdict is right.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod shim_common;

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use shim_common::{LIMIT, Place, WHARF, eventually};
use wharf::process::adopt::{Verdict, judge, judge_at_boot};
use wharf::process::{identity, lock, signal, terminate};
use wharf_model::shim::*;

#[test]
fn a_directory_is_used_once() {
    let mut place = Place::sh("echo up; exec sleep 60");
    place.start();
    let mut client = place.watch();
    let mut second = Place::sh("echo second");
    second.dir.clone_from(&place.dir);
    second.message.env.insert("WHARF_TAG".to_owned(), place.spec.tag.clone());
    second.spawn();
    assert_eq!(second.wait().code(), Some(EXIT_DIRECTORY_USED));
    client.ask(&Control::Stop { reason: "operator".to_owned(), grace_ms: 1_000 }).unwrap();
    place.finish();
    second.spawn();
    assert_eq!(second.wait().code(), Some(EXIT_DIRECTORY_USED), "also after the end");
    assert_eq!(place.records("started").len(), 1);
}

#[test]
fn no_whole_message_leaves_no_trace() {
    for part in [&b""[..], b"{\"env\":{\"PATH\":\"/bin\"},\"std", b"{"] {
        let place = Place::sh("echo never");
        place.write();
        let before = names(&place);
        let mut shim = Command::new(WHARF)
            .arg("shim")
            .arg(&place.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        shim.stdin.take().unwrap().write_all(part).unwrap();
        assert!(shim.wait().unwrap().success());
        assert_eq!(names(&place), before);
        assert_eq!(judge(&place.dir).unwrap(), Verdict::NeverStarted);
    }
}

#[test]
fn a_shim_that_cannot_say_who_it_is_starts_nothing_and_says_so() {
    let mut place = Place::sh("echo never");
    place.write();
    // The name under which its identity is written first is taken.
    std::fs::create_dir(place.dir.join(".id.json.new")).unwrap();
    place.spawn();
    assert_eq!(place.wait().code(), Some(103));
    let error = place.exit().spawn_error.unwrap();
    assert_eq!(error.code, "exec_failed");
    assert!(error.message.contains("identity"), "{}", error.message);

    // Neither can that be written: then it is as if it had never been.
    let mut place = Place::sh("echo never");
    place.write();
    std::fs::create_dir(place.dir.join(".id.json.new")).unwrap();
    std::fs::create_dir(place.dir.join(".exit.json.new")).unwrap();
    place.spawn();
    assert_eq!(place.wait().code(), Some(103));
    assert_eq!(judge(&place.dir).unwrap(), Verdict::NeverStarted);
}

#[test]
fn a_shim_that_begins_and_ends_is_never_taken_for_a_dead_one() {
    for _ in 0..20 {
        let mut place = Place::new(&["true"]);
        place.start();
        eventually("the end", || match judge(&place.dir).unwrap() {
            Verdict::Ended(_) => Some(()),
            Verdict::NeverStarted | Verdict::Live(_) => None,
            other => panic!("{other:?}"),
        });
        assert!(place.wait().success());
    }
}

fn names(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(&place.dir).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_broken_spec_is_refused_without_a_trace() {
    let mut place = Place::sh("echo never");
    place.write();
    std::fs::write(place.dir.join("spec.json"), "{").unwrap();
    place.spawn();
    assert_eq!(place.wait().code(), Some(wharf::shim::EXIT_SPEC_REFUSED));
    assert!(place.errors().contains("spec.json does not read"), "{}", place.errors());
    assert!(!place.dir.join("shim.lock").exists());
}

/// Starts a shim that dies at a kill point.
fn die_at(place: &mut Place, point: &str) {
    place.write();
    let mut shim = Command::new(WHARF)
        .arg("shim")
        .arg(&place.dir)
        .env_clear()
        .env("WHARF_KILL_POINT", point)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let message = serde_json::to_vec(&place.message).unwrap();
    shim.stdin.take().unwrap().write_all(&message).unwrap();
    if matches!(point, "shim.stop_recorded" | "shim.term_sent" | "shim.kill_sent") {
        let mut client = place.connect(5);
        place.wait_for_text("up");
        let _ = client.ask(&Control::Stop { reason: "operator".to_owned(), grace_ms: 50 });
    }
    let status = shim.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "{point} was not reached: {status}");
}

#[test]
fn a_shim_that_dies_anywhere_is_recognised() {
    // name, whether the id was written, whether it names a child, whether the end is known
    let table = [
        ("shim.locked", false, false, false),
        ("shim.id_written", true, false, false),
        ("shim.child_spawned", true, false, false),
        ("shim.child_id_written", true, true, false),
        ("shim.first_frame", true, true, false),
        ("shim.stop_recorded", true, true, false),
        ("shim.term_sent", true, true, false),
        ("shim.kill_sent", true, true, false),
        ("shim.exit_frame_written", true, true, true),
        ("shim.exit_synced", true, true, true),
        ("shim.exit_json", true, true, true),
    ];
    for (point, has_id, has_child, has_end) in table {
        let ends = has_end;
        let mut place = if ends {
            Place::sh("echo up; exit 3")
        } else {
            Place::sh("trap '' TERM; echo up; echo ran > ran; while :; do sleep 0.05; done")
        };
        die_at(&mut place, point);
        eventually("the lock to be free", || {
            (lock::probe(&place.dir.join("shim.lock")).unwrap() != Some(lock::LockState::Held)).then_some(())
        });
        match judge(&place.dir).unwrap() {
            Verdict::Ended(frame) => {
                assert!(has_end, "{point}");
                assert_eq!((frame.code, frame.by), (Some(3), EndedBy::Itself), "{point}");
            }
            Verdict::ShimLost { id } => {
                assert!(!has_end, "{point}");
                assert_eq!(id.is_some(), has_id, "{point}");
                let child = id.and_then(|id| id.child);
                assert_eq!(child.is_some(), has_child, "{point}");
            }
            other => panic!("{point}: {other:?}"),
        }
        if matches!(point, "shim.child_spawned" | "shim.child_id_written") {
            // The child was never let go, so it ends by itself and has run nothing.
            eventually("the held child to end", || place.tagged().is_empty().then_some(()));
            assert!(!place.root.path().join("ran").exists(), "{point}");
        }
        let done = terminate::tagged(&place.spec.tag, Duration::from_millis(20), &[]).unwrap();
        assert!(done.survivors.is_empty(), "{point}: {done:?}");
        assert_eq!(judge_at_boot(&place.dir, "another-boot").unwrap() == Verdict::OtherBoot, !has_end, "{point}");
    }
}

#[test]
fn a_living_shim_is_recognised_and_a_killed_one_is_lost() {
    let mut place = Place::sh("echo up; exec sleep 60");
    place.write();
    assert_eq!(judge(&place.dir).unwrap(), Verdict::NeverStarted);
    assert_eq!(judge_at_boot(&place.dir, "another-boot").unwrap(), Verdict::OtherBoot);
    place.spawn();
    drop(place.watch());
    place.wait_for_text("up");
    let Verdict::Live(Some(id)) = judge(&place.dir).unwrap() else { panic!("not seen alive") };
    assert_eq!(id.shim.pid, place.shim.as_ref().unwrap().pid());
    assert_eq!(id.boot_id, identity::boot_id().unwrap());
    let child = id.child.unwrap();
    assert_eq!(child.pgid, child.pid);
    assert!(signal::send(id.shim, signal::Signal::KILL).unwrap());
    place.wait();
    match judge(&place.dir).unwrap() {
        Verdict::ShimLost { id: Some(lost) } => assert_eq!(lost, id),
        other => panic!("{other:?}"),
    }
    assert_eq!(place.tagged().len(), 1, "the child lives on and is found by its tag");
    let done = terminate::tagged(&place.spec.tag, LIMIT, &[]).unwrap();
    assert_eq!((done.asked, done.killed, done.survivors.len()), (1, 0, 0));
}

#[test]
fn a_directory_can_be_made_again_until_it_is_taken() {
    let mut place = Place::sh("exit 0");
    place.write();
    std::fs::remove_file(place.dir.join("spec.json")).unwrap();
    place.write();
    place.spawn();
    place.finish();
    let again = wharf::process::shim_dir::write_shim_dir(&place.dir, &place.spec).unwrap_err();
    assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists);

    let live = place.root.path().join("live");
    let link = wharf::process::shim_dir::link_live(&live, &place.spec, &place.dir).unwrap();
    assert_eq!(wharf::process::shim_dir::link_live(&live, &place.spec, &place.dir).unwrap(), link);
    assert_eq!(link, live.join(format!("run-{}-1", place.spec.id)));
    assert!(matches!(judge(&link).unwrap(), Verdict::Ended(_)), "a link is as good as the directory");
    let elsewhere = wharf::process::shim_dir::link_live(&live, &place.spec, place.root.path());
    assert_eq!(elsewhere.unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    wharf::process::shim_dir::unlink_live(&link).unwrap();
    wharf::process::shim_dir::unlink_live(&link).unwrap();
}

#[test]
fn a_stopped_shim_gives_no_answer_and_is_still_alive() {
    let mut place = Place::sh("exec sleep 60");
    place.start();
    let mut client = place.watch();
    let Verdict::Live(Some(id)) = judge(&place.dir).unwrap() else { panic!("not seen alive") };
    signal::send(id.shim, signal::Signal::STOP).unwrap();
    let answer = wharf::process::client::ControlClient::connect(&place.dir, 5, Duration::from_millis(100));
    assert!(matches!(answer, Err(wharf::process::client::ClientError::NoAnswer(_))), "{answer:?}");
    assert!(matches!(judge(&place.dir).unwrap(), Verdict::Live(Some(_))));
    signal::send(id.shim, signal::Signal::CONT).unwrap();
    client.ask(&Control::Stop { reason: "operator".to_owned(), grace_ms: 1_000 }).unwrap();
    assert_eq!(place.finish().by, EndedBy::Stop);
}

#[test]
fn a_missing_directory_is_an_error_and_no_verdict() {
    assert!(judge(std::path::Path::new("/no/such/dir")).is_err());
}
