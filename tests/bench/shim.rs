//! The shim: what passes through it, what it costs, how it ends a tree.

use std::path::Path;
use std::time::Instant;

use wharf_model::shim::{Control, ControlReply};

use crate::limits;
use crate::measure::{self, Series, Target};
use crate::place::{WHARF, directory, flood_args, shim, this};

/// Bytes of one flood.
const FLOOD: u64 = 256 << 20;
const MIB: f64 = (1 << 20) as f64;

fn through_shim(root: &Path, line: usize) -> f64 {
    let argv = argv(FLOOD, line);
    let began = Instant::now();
    shim(root, &argv, 1_000).finish(FLOOD);
    FLOOD as f64 / MIB / began.elapsed().as_secs_f64()
}

fn argv(bytes: u64, line: usize) -> Vec<String> {
    let mut argv = vec![this().to_str().unwrap().to_owned()];
    argv.extend(flood_args(bytes, line));
    argv
}

/// P4, P5, P6, T5.
pub fn throughput() {
    let root = directory();
    let copy = || limits::copy_loop(root.path(), &this(), &flood_args(FLOOD, 110), FLOOD, None);
    let what = "one run, lines of 110 B, start and exit frame included / copy loop of 64 KiB";
    measure::rate("P4", &format!("(T5) {what}"), "MiB/s", Target::Least(0.7), copy, || through_shim(root.path(), 110));
    let synced = || limits::copy_loop(root.path(), &this(), &flood_args(FLOOD, 110), FLOOD, Some(8 << 20));
    let what = "the same / copy loop of 64 KiB that syncs every 8 MiB, as the log must";
    measure::rate("P4", what, "MiB/s", Target::Least(0.7), synced, || through_shim(root.path(), 110));
    let long = || through_shim(root.path(), 110);
    let what = "lines of 2 B / lines of 110 B";
    measure::rate("P5", what, "MiB/s", Target::Least(0.8), long, || through_shim(root.path(), 2));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(8) as f64;
    let what = "eight floods at once, sum / copy loop x cores";
    let limit = || copy() * cores;
    measure::rate("P6", what, "MiB/s", Target::Least(0.5), limit, || {
        let each = FLOOD / 4;
        let argv = argv(each, 110);
        let began = Instant::now();
        let all: Vec<_> = (0..8).map(|_| shim(root.path(), &argv, 1_000)).collect();
        for one in all {
            one.finish(each);
        }
        (8 * each) as f64 / MIB / began.elapsed().as_secs_f64()
    });
}

/// T15, P7: private memory of a shim whose child is quiet, and of one that has passed a flood.
pub fn memory() {
    let root = directory();
    // Pages of a program that was just linked count as dirty until they are on the disk.
    std::fs::File::open(WHARF).unwrap().sync_all().unwrap();
    for (what, bytes) in [("after start", 1_u64), ("after 64 MiB of output", 64 << 20)] {
        let script = format!("head -c {bytes} /dev/zero; exec sleep 60");
        let argv = ["sh", "-c", &script].map(str::to_owned);
        let mut dirty = Vec::new();
        for _ in 0..measure::ROUNDS {
            let shimmed = shim(root.path(), &argv, 0);
            let mut client = shimmed.watch();
            loop {
                match client.ask(&Control::Status).unwrap() {
                    ControlReply::Status { offsets, .. } if offsets["stdout"] == bytes => break,
                    ControlReply::Status { .. } => std::thread::sleep(std::time::Duration::from_millis(2)),
                    other => panic!("{other:?}"),
                }
            }
            dirty.push(private_dirty_mib(shimmed.shim.pid()));
            client.ask(&Control::Stop { reason: "operator".into(), grace_ms: 0 }).unwrap();
            shimmed.finish(bytes);
        }
        let series = Series::new(dirty);
        measure::times("T15", &format!("(P7) private dirty memory {what}"), "MiB", Some(Target::Most(1.0)), &series);
    }
}

fn private_dirty_mib(pid: i32) -> f64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find(|l| l.starts_with("Private_Dirty:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// P3: starts of a shim by a process with 1 GiB resident, beside one with 10 MiB.
pub fn large_parent() {
    let root = directory();
    let held = |bytes: usize| {
        let mut memory = vec![0_u8; bytes];
        for page in memory.chunks_mut(4096) {
            page[0] = 1;
        }
        memory
    };
    let starts = |memory: &[u8]| {
        let rate = limits::per_second(|| shim(root.path(), &["true".to_owned()], 1_000).finish(0));
        assert!(memory[0] == 1);
        rate
    };
    let what = "starts of a shim with 1 GiB resident / with 10 MiB";
    let small = || starts(&held(10 << 20));
    measure::rate("P3", what, "/s", Target::Least(0.9), small, || starts(&held(1 << 30)));
}

/// T10, P22: a tree that ignores SIGTERM and leaves by setsid.
pub fn stubborn() {
    const GRACE_MS: u64 = 500;
    let root = directory();
    // Twenty processes that ignore SIGTERM, half of them in sessions of their own.
    let script = "trap '' TERM HUP INT; for i in 1 2 3 4 5; do (sleep 300) & setsid sh -c 'trap \"\" TERM; sleep 300' & \
                  (setsid setsid sh -c 'trap \"\" TERM; sleep 301; sleep 300') & done; echo up; sleep 300; sleep 300";
    let argv = ["sh", "-c", script].map(str::to_owned);
    let mut beyond = Vec::new();
    for _ in 0..measure::ROUNDS {
        let shimmed = shim(root.path(), &argv, GRACE_MS);
        let mut client = shimmed.watch();
        loop {
            match client.ask(&Control::Status).unwrap() {
                ControlReply::Status { offsets, .. } if offsets["stdout"] == 3 => break,
                ControlReply::Status { .. } => std::thread::sleep(std::time::Duration::from_millis(2)),
                other => panic!("{other:?}"),
            }
        }
        let tag = format!("bench/{}", shimmed.dir.parent().unwrap().file_name().unwrap().to_str().unwrap());
        let began = Instant::now();
        client.ask(&Control::Stop { reason: "operator".into(), grace_ms: GRACE_MS }).unwrap();
        shimmed.finish(3);
        beyond.push(began.elapsed().as_secs_f64() * 1e3 - GRACE_MS as f64);
        let left = wharf::process::descendants::by_tag(&tag).unwrap().found;
        assert!(left.is_empty(), "alive after the end: {left:?}");
    }
    let what = "(P22) stop of a stubborn tree of about 26, exit frame durable, beyond the grace";
    measure::times("T10", what, "ms", Some(Target::Most(1_000.0)), &Series::new(beyond));
}
