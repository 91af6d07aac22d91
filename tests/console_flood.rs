//! The screen answers while runs print as fast as they can.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on ends, and says what it measured"
)]

#[path = "support/pty.rs"]
mod pty;

use std::time::{Duration, Instant};

use pty::{Console, Place, config, read};

/// Floods at once, each with an end of its own should the test not end it.
const FLOODS: usize = 3;
const FLOOD: &str =
    "i=0; while [ $i -lt 40 ]; do i=$((i+1)); yes \"a line that says nothing\" | head -c 20000000; done";

fn resident_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn keys_are_answered_and_memory_stays_under_floods() {
    let place = Place::new(Some(&config(&[("flood", FLOOD)])));
    let mut console = Console::open(&place, 160, 45);
    console.see("No runs yet.");
    for n in 1..=FLOODS {
        console.send("n");
        console.see("slots used");
        console.send("go");
        console.see("--prompt …");
        console.send("\r");
        console.see(&format!("R-{n}"));
    }
    console.see("a line that says nothing");
    let before = resident_kib(console.pid());
    let mut worst = Duration::ZERO;
    for _ in 0..15 {
        let asked = Instant::now();
        console.send("?");
        console.see("Help");
        worst = worst.max(asked.elapsed());
        console.send("\x1b");
        console.gone("Help");
    }
    let grown = resident_kib(console.pid()).saturating_sub(before);
    // A debug build on a shared machine: bounds that only a screen that waits for output would miss.
    assert!(worst < Duration::from_secs(2), "a key was answered after {worst:?}");
    assert!(grown < 64 * 1024, "the console grew by {grown} KiB");
    eprintln!("worst key {worst:?}, grown {grown} KiB");
    console.send("q");
    console.see("Quit wharf?");
    console.send("s");
    console.see("stop all and quit");
    read();
    console.send("y");
    assert_eq!(console.wait_end(), 0);
    place.wait_empty();
}
