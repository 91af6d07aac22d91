//! Stops, time-outs, leftovers: nothing of a run lives on.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod shim_common;

use std::time::{Duration, Instant};

use shim_common::{Place, eventually};
use wharf::process::{halted, signal};
use wharf_model::shim::*;
use wharf_store::log::Stream;

fn stop(reason: &str, grace_ms: u64) -> Control {
    Control::Stop { reason: reason.to_owned(), grace_ms }
}

fn wall_ms() -> i64 {
    wharf::clock::now().0
}

#[test]
fn a_stop_is_delivered_and_reported() {
    let mut place = Place::sh("trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.05; done");
    place.start();
    let mut client = place.watch();
    place.wait_for_text("up");
    assert_eq!(client.ask(&stop("operator", 10_000)).unwrap(), ControlReply::Ok);
    let told = loop {
        match client.next_push(shim_common::LIMIT).unwrap() {
            Some(ControlReply::Exited { exit }) => break *exit,
            Some(_) => {}
            None => panic!("the end was not told"),
        }
    };
    let frame = place.finish();
    assert_eq!(told, frame);
    assert_eq!((frame.code, frame.by), (Some(4), EndedBy::Stop));
    let report = frame.stop.unwrap();
    assert_eq!((report.reason.as_str(), report.delivered, report.killed), ("operator", true, 0));
    assert!(place.text(Stream::Stdout).ends_with("bye\n"));
    assert_eq!(place.records("stop_requested").len(), 1);
}

#[test]
fn a_tree_that_hides_and_ignores_is_gone_in_time() {
    let mut place = Place::sh(
        "trap '' TERM HUP INT\n\
         setsid sh -c \"trap '' TERM; (setsid sh -c \\\"trap '' TERM; exec >/dev/null 2>&1 <&-; while :; do sleep 0.2; done\\\" &) ; \
         while :; do sleep 0.2; done\" &\n\
         echo up; while :; do sleep 0.1; done",
    );
    place.start();
    let mut client = place.watch();
    place.wait_for_text("up");
    eventually("the hidden processes", || (place.tagged().len() >= 4).then_some(()));
    let asked = Instant::now();
    client.ask(&stop("operator", 400)).unwrap();
    let frame = place.finish();
    let took = asked.elapsed();
    assert_eq!(place.tagged(), Vec::<String>::new());
    assert!(took >= Duration::from_millis(400) && took < Duration::from_millis(1_400), "{took:?}");
    assert_eq!((frame.signal.as_deref(), frame.by), (Some("SIGKILL"), EndedBy::Stop));
    assert!(frame.stop.unwrap().killed >= 3);
}

#[test]
fn a_stopped_process_can_be_stopped() {
    let mut place = Place::sh("trap 'exit 5' TERM; echo up; kill -STOP $$; while :; do sleep 0.05; done");
    place.start();
    let mut client = place.watch();
    place.wait_for_text("up");
    client.ask(&stop("operator", 10_000)).unwrap();
    assert_eq!(place.finish().code, Some(5));
}

#[test]
fn a_halt_is_told_in_the_log_and_in_the_identity_while_it_lasts() {
    let mut place = Place::sh("echo up; kill -STOP $$; echo on; kill -TSTP $$; exit 6");
    place.start();
    place.wait_for_text("up");
    let id = || -> IdFile { serde_json::from_slice(&std::fs::read(place.dir.join("id.json")).unwrap()).unwrap() };
    let before = wall_ms();
    for (n, signal) in ["SIGSTOP", "SIGTSTP"].into_iter().enumerate() {
        let stopped = eventually("the halt", || id().stopped.filter(|s| s.signal == signal));
        assert!(stopped.at_ms <= wall_ms() && stopped.at_ms > before - 60_000, "{stopped:?}");
        let child = id().child.unwrap();
        assert_eq!(halted::of(&place.dir).map(|h| h.pid), Some(child.pid), "the kernel agrees");
        // The log is read while it is written: what is there is whole.
        let told = eventually("the record", || place.records("child_stopped").get(n).cloned());
        assert_eq!((told["signal"].as_str(), told["at_ms"].as_i64()), (Some(signal), Some(stopped.at_ms)));
        let child = ProcessRef { pid: child.pid, start_ticks: child.start_ticks };
        assert!(signal::send(child, signal::Signal::CONT).unwrap());
        if n == 0 {
            place.wait_for_text("on");
        }
    }
    assert_eq!(place.finish().code, Some(6));
    let continued = place.records("child_continued");
    assert_eq!(continued[0]["signal"], "SIGSTOP");
    assert!(continued[0]["for_ms"].as_i64().unwrap() >= 0);
    assert_eq!(place.records("child_stopped").len(), 2, "each is told once");
}

#[test]
fn a_child_that_stops_itself_in_a_loop_is_told_at_a_pace() {
    // Others let it go as fast as it stops.
    let mut place = Place::sh(
        "(for i in $(seq 400); do kill -CONT $$; done) & i=0; while [ $i -lt 40 ]; do i=$((i+1)); kill -STOP $$; done; \
         kill -CONT $$; wait; exit 3",
    );
    place.spec.timeout_ms = Some(1_500);
    place.spec.grace_ms = 300;
    let frame = place.run();
    let told = place.records("child_stopped").len();
    // Halts that were over before anybody looked are none to tell of.
    assert!(told <= 20, "{told}");
    assert!(frame.code == Some(3) || frame.by == EndedBy::Timeout, "{frame:?}");
}

#[test]
fn a_stopped_child_is_still_ended_by_its_time_out() {
    let mut place = Place::sh("trap 'exit 7' TERM; echo up; kill -STOP $$; while :; do sleep 0.05; done");
    place.spec.timeout_ms = Some(400);
    place.spec.grace_ms = 10_000;
    let frame = place.run();
    assert_eq!((frame.code, frame.by), (Some(7), EndedBy::Timeout));
    assert_eq!(place.records("child_stopped").len(), 1);
}

#[test]
fn a_repeated_stop_shortens_and_never_lengthens() {
    let mut place = Place::sh("trap '' TERM; echo up; while :; do sleep 0.05; done");
    place.start();
    let mut client = place.watch();
    place.wait_for_text("up");
    client.ask(&stop("operator", 60_000)).unwrap();
    client.ask(&stop("again", 300)).unwrap();
    let asked = Instant::now();
    client.ask(&stop("later", 60_000)).unwrap();
    let frame = place.finish();
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert_eq!(frame.stop.unwrap().reason, "operator");
    assert_eq!(place.records("stop_requested").len(), 2, "what changes nothing is not recorded");
}

#[test]
fn time_is_kept_without_anyone() {
    let mut place = Place::sh("sleep 60");
    place.spec.timeout_ms = Some(200);
    let begun = Instant::now();
    let frame = place.run();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!((frame.signal.as_deref(), frame.by), (Some("SIGTERM"), EndedBy::Timeout));
    assert_eq!(frame.stop.unwrap().reason, "timeout");
}

#[test]
fn a_deadline_can_be_removed_and_set() {
    let mut place = Place::sh("echo up; sleep 60");
    place.spec.timeout_ms = Some(60_000);
    place.start();
    let mut client = place.watch();
    client.ask(&Control::Deadline { at_ms: None }).unwrap();
    client.ask(&Control::Deadline { at_ms: Some(0) }).unwrap();
    assert_eq!(place.finish().by, EndedBy::Timeout);
}

#[test]
fn a_descendant_that_holds_a_stream_makes_a_leak_and_is_ended() {
    let mut place = Place::sh("(trap 'echo late; exit' TERM; while :; do sleep 0.02; done) & echo done; exit 3");
    let frame = place.run();
    assert_eq!((frame.code, frame.by, frame.leaky), (Some(3), EndedBy::Itself, true));
    assert_eq!(place.text(Stream::Stdout), "done\nlate\n");
    assert!(frame.streams["stdout"].closed);
    let left = frame.stop.unwrap();
    assert_eq!((left.reason.as_str(), left.delivered, left.killed), ("leftover", false, 0));
    assert_eq!(place.records("leaky").len(), 1);
    assert_eq!(place.tagged(), Vec::<String>::new());
}

#[test]
fn a_silent_leftover_is_no_leak_and_is_ended_too() {
    let mut place = Place::sh("setsid sleep 60 >/dev/null 2>&1 </dev/null & exit 0");
    let begun = Instant::now();
    let frame = place.run();
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!((frame.code, frame.leaky), (Some(0), false));
    assert_eq!(place.tagged(), Vec::<String>::new());
}

#[test]
fn one_that_may_stay_stays_and_is_recorded() {
    let mut place = Place::sh("sleep 61 >/dev/null 2>&1 </dev/null & echo up; while :; do read x </dev/zero; done");
    place.spec.keep = vec!["sleep".to_owned()];
    place.start();
    let mut client = place.watch();
    place.wait_for_text("up");
    eventually("the one to be kept", || place.tagged().contains(&"sleep".to_owned()).then_some(()));
    client.ask(&stop("operator", 200)).unwrap();
    let frame = place.finish();
    assert_eq!(frame.by, EndedBy::Stop);
    assert_eq!(frame.stop.unwrap().survivors, ["sleep"]);
    assert_eq!(place.tagged(), ["sleep"]);
}

#[test]
fn ending_the_shim_politely_ends_the_run() {
    let mut place = Place::sh("echo up; sleep 60");
    place.start();
    drop(place.watch());
    let shim = wharf::process::identity::process(place.shim.as_ref().unwrap().pid()).unwrap().unwrap();
    wharf::process::signal::send(shim, wharf::process::signal::Signal::HUP).unwrap();
    wharf::process::signal::send(shim, wharf::process::signal::Signal::TERM).unwrap();
    let frame = place.finish();
    assert_eq!((frame.by, frame.signal.as_deref()), (EndedBy::Stop, Some("SIGTERM")));
    assert_eq!(frame.stop.unwrap().reason, "shim_terminated");
}

#[test]
fn a_bounded_fork_bomb_is_ended() {
    // Each process of the tree keeps starting short-lived ones until it is killed.
    let mut place = Place::sh(
        "trap '' TERM; n=0; while [ $n -lt 40 ]; do (trap '' TERM; while :; do (sleep 0.01); done) & n=$((n+1)); done; \
         echo up; wait",
    );
    place.start();
    let mut client = place.watch();
    place.wait_for_text("up");
    let asked = Instant::now();
    client.ask(&stop("operator", 100)).unwrap();
    place.finish();
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_eq!(place.tagged(), Vec::<String>::new());
}
