//! A log of 2 GiB costs little memory and little time: open it, show its end, jump to its middle.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed step of a test is a failed test, and the figures are for its reader"
)]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use wharf_store::log::*;

const DIR: &str = "WHARF_TEST_LARGE_LOG";
const SIZE: u64 = 2 << 30;
const NEEDED: u64 = 6 << 30;
const GROWTH_KIB: u64 = 16 * 1024;
/// Bytes that showing one place may read.
const READ_MAX: u64 = 4 << 20;

/// Peak and current resident memory of this process, KiB.
fn memory() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (field("VmHWM:"), field("VmRSS:"))
}

/// 256 KiB frames of lines of 128 bytes, each with its number.
fn write(dir: &Path) -> u64 {
    // Few segments keep the writer from waiting for the disk.
    let mut w = LogWriter::create(dir, LogOwner { uuid: [1; 16], attempt: 1 }, 0, 600 << 20).unwrap();
    let mut payload = vec![b'.'; PAYLOAD_MAX];
    for line in payload.chunks_exact_mut(128) {
        line[127] = b'\n';
    }
    let mut frames = 0;
    while w.total_bytes() < SIZE {
        let text = format!("frame {frames:08} ");
        payload[..text.len()].copy_from_slice(text.as_bytes());
        w.append(Stream::Stdout, 0, &payload, frames * 1_000_000).unwrap();
        frames += 1;
    }
    frames
}

fn measured(dir: &Path) {
    // Code and allocator are warm before the first figure is taken.
    let small = tempfile::tempdir().unwrap();
    let mut w = LogWriter::create(small.path(), LogOwner { uuid: [2; 16], attempt: 1 }, 0, 1 << 20).unwrap();
    w.append(Stream::Stdout, 0, b"line\n", 0).unwrap();
    LogLines::open(small.path(), 4096, None).unwrap().tail_lines(10, StreamSet::OUTPUT).unwrap();
    let (peak, _) = memory();

    let begun = Instant::now();
    let mut log = LogLines::open(dir, 4096, None).unwrap();
    let tail = log.tail_lines(50, StreamSet::OUTPUT).unwrap();
    assert_eq!(tail.lines.len(), 50);
    let opened = begun.elapsed();
    let cost = log.reader().bytes_read();
    assert!(cost < READ_MAX, "{cost} bytes were read to show the end");
    let begun = Instant::now();
    let middle = log.window(Anchor::Part(500_000), 50, StreamSet::OUTPUT).unwrap();
    assert_eq!(middle.lines.len(), 50);
    let jumped = begun.elapsed();
    let cost = log.reader().bytes_read() - cost;
    assert!(cost < READ_MAX, "{cost} bytes were read to jump to the middle");
    let wanted = middle.lines[0].key.seq;
    assert!((4000..4200).contains(&wanted), "{wanted}");
    for place in [
        Anchor::Ns((wanted - 1) * 1_000_000),
        Anchor::Offset(Stream::Stdout, (wanted - 1) * PAYLOAD_MAX as u64),
        Anchor::Key(LineKey { seq: wanted, index: 0 }),
    ] {
        let window = log.window(place, 1, StreamSet::OUTPUT).unwrap();
        assert!(window.lines[0].bytes.starts_with(format!("frame {:08} ", wanted - 1).as_bytes()), "{place:?}");
    }
    let up = log.before(middle.lines[0].key, 500, StreamSet::OUTPUT).unwrap();
    assert_eq!(up.lines.len(), 500);
    let counted = log.count(256 << 20).unwrap();
    assert!(counted.bytes >= 256 << 20);
    let needle = Needle::new(b"frame 00004100 ", false).unwrap();
    let place = log.search_place(LineKey { seq: 4000, index: 0 }).unwrap();
    let found = log.search_forward(&needle, StreamSet::OUTPUT, place, 1, 256 << 20).unwrap();
    assert_eq!(found.hits[0].seq, 4101);
    let (after, now) = memory();
    assert!(after - peak < GROWTH_KIB, "peak memory grew by {} KiB", after - peak);
    println!("peak +{} KiB, now {now} KiB; opened at its end in {opened:?}, middle in {jumped:?}", after - peak);
}

#[test]
fn two_gibibytes_are_opened_and_jumped_in_within_sixteen_mebibytes() {
    if let Some(dir) = std::env::var_os(DIR) {
        return measured(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let disk = rustix::fs::statvfs(dir.path()).unwrap();
    let free = disk.f_bavail * disk.f_frsize;
    if free < NEEDED {
        let why = format!("{} has {free} bytes free, {NEEDED} are needed", dir.path().display());
        let _ = writeln!(std::io::stderr(), "SKIPPED log_large: {why}");
        return;
    }
    let begun = Instant::now();
    write(dir.path());
    println!("written in {:?}", begun.elapsed());
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "two_gibibytes_are_opened_and_jumped_in_within_sixteen_mebibytes", "--nocapture"])
        .env(DIR, dir.path())
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&out.stdout));
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
