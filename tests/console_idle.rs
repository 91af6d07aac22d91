//! An idle console does nothing: no question to the store, hardly a wake-up.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "support/pty.rs"]
mod pty;

use std::collections::BTreeMap;
use std::time::Duration;

use pty::{Console, Place, config};

/// How often each thread of a process has gone to sleep, by its name.
fn sleeps(pid: i32) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim().to_owned();
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let count = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
        *out.entry(name).or_default() += count.and_then(|c| c.trim().parse::<u64>().ok()).unwrap_or(0);
    }
    out
}

fn observe(console: &Console, seconds: u64) -> (BTreeMap<String, u64>, u64) {
    let before = sleeps(console.pid());
    // The time itself is what is measured.
    std::thread::sleep(Duration::from_secs(seconds));
    let after = sleeps(console.pid());
    let more: BTreeMap<String, u64> = after
        .iter()
        .map(|(name, n)| (name.clone(), n.saturating_sub(before.get(name).copied().unwrap_or(0))))
        .collect();
    let all = more.values().sum();
    (more, all)
}

/// Threads that ask the store or read logs: each question wakes one of them.
const ASKING: [&str; 5] = ["rows", "logs", "searches", "requests", "changes"];

/// Holds that a console asks nothing for so many seconds on end. For some seconds after the last commit the
/// next one is looked for, and helper threads that nobody needs any more end: a few spans may pass before.
fn comes_to_rest(console: &Console, seconds: u64, wakeups_max: u64) {
    let mut said = String::new();
    let _settled = observe(console, 6);
    for _ in 0..3 {
        let (more, all) = observe(console, seconds);
        if all <= wakeups_max && ASKING.iter().all(|name| more.get(*name) == Some(&0)) {
            return;
        }
        said.push_str(&format!("{all} wake-ups in {seconds} s: {more:?}\n"));
    }
    panic!("it never came to rest:\n{said}");
}

#[test]
fn an_empty_console_asks_nothing_and_sleeps() {
    let place = Place::new(Some(&config(&[("printer", "true")])));
    let mut console = Console::open(&place, 160, 45);
    console.see("No runs yet.");
    console.see("0 running");
    comes_to_rest(&console, 5, 5);
    console.send("q");
    assert_eq!(console.wait_end(), 0);
}

#[test]
fn a_console_with_ended_runs_only_counts_their_ages() {
    let place = Place::new(Some(&config(&[("printer", "echo once")])));
    let mut console = Console::open(&place, 160, 45);
    console.see("No runs yet.");
    console.send("n");
    console.see("slots used");
    console.send("go");
    console.see("--prompt …");
    console.send("\r");
    console.see("✓ done");
    console.see("once");
    comes_to_rest(&console, 10, 20);
    console.send("q");
    assert_eq!(console.wait_end(), 0);
}
