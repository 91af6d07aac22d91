//! Figures of wharf as ratios to what the machine can do, measured in the same minutes.
//!
//! `cargo bench --bench wharf` measures all of them, `cargo bench --bench wharf -- p4 t3` some;
//! PERFORMANCE.md beside this file tells what each is and what it was.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement ends where something is not as it must be")]

mod console;
mod limits;
mod measure;
mod million;
mod place;
#[path = "../support/pty.rs"]
mod pty;
mod runs;
mod screen;
mod shim;
mod worktrees;

use std::time::Instant;

/// What can be asked for: its names, and what measures it.
type Group = (&'static [&'static str], fn());

const GROUPS: &[Group] = &[
    (&["p4", "p5", "p6", "t5"], shim::throughput),
    (&["p7", "t15"], shim::memory),
    (&["p3"], shim::large_parent),
    (&["t10"], shim::stubborn),
    (&["t3", "p1"], runs::one_at_a_time),
    (&["t4", "p2"], runs::many),
    (&["t8"], runs::inserted),
    (&["w1"], worktrees::large),
    (&["p13"], screen::frames),
    (&["t14"], screen::size),
    (&["t1"], console::first_frame),
    (&["t1", "t12"], million::ledger),
    (&["t2", "p16"], console::idle),
    (&["p17"], console::line_to_screen),
    (&["t7", "t6", "p8", "p14"], console::under_floods),
];

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        // The orchestrator that is measured in this process starts this program as its shim.
        Some("shim") => std::process::exit(wharf::shim::main(args.get(1).map(AsRef::as_ref))),
        Some("child") => return place::child(&args[1..]),
        _ => {}
    }
    // `cargo test --all-targets` runs benches too, without this word: nothing is measured then.
    let Some(at) = args.iter().position(|a| a == "--bench") else {
        println!("run with `cargo bench --bench wharf [-- NAME ...]`");
        return;
    };
    args.remove(at);
    let known = |name: &str| GROUPS.iter().any(|(names, _)| names.contains(&name));
    if let Some(unknown) = args.iter().find(|a| !known(a)) {
        let names: Vec<&str> = GROUPS.iter().flat_map(|(names, _)| names.iter().copied()).collect();
        println!("there is no figure {unknown}; there are {}", names.join(" "));
        std::process::exit(2);
    }
    println!("{}", limits::machine());
    for (names, measure) in GROUPS {
        if args.is_empty() || names.iter().any(|n| args.iter().any(|a| a == n)) {
            let began = Instant::now();
            measure();
            println!("      ({} in {:.1} s, load {})", names.join(" "), began.elapsed().as_secs_f64(), limits::load());
        }
    }
}
