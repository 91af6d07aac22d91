//! F21 to F27: floods, endless lines, bytes that mean something to a terminal, and readers that stand still.

use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use wharf::process::signal::{self, Signal};
use wharf_model::*;
use wharf_store::log::{Item, LogReader, Stream, StreamSet};

use super::child::{End, LINE_MIN, Plan, Side};
use super::ground::{Ground, config, is_exhaustive, is_quiet};
use crate::orchestrator::{LIMIT, agent, eventually};
use crate::pty::{Console, stream};

/// Peak memory of a process that is its own, KiB.
fn peak_kib(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
pub fn f21_eight_floods_at_once() {
    // In the long form a minute of it; else so much that it takes longer than one look.
    let lines = if is_exhaustive() { u64::MAX } else { 30_000 };
    let flood = Plan::new(21).lines(lines, 0).batch(40).end(End::Never);
    let mut ground = Ground::new("f21", 21, &config(&[("flood", "concurrent_runs = 20", &flood)]));
    ground.reign();
    let runs = ground.begin("flood", 8);
    for run in &runs {
        ground.site.started(*run);
    }
    ground.look("in the flood");
    if is_exhaustive() {
        std::thread::sleep(Duration::from_mins(1));
    }
    for run in &runs {
        ground.wrote(*run, 2_000_000);
    }
    let shims: Vec<i32> = runs.iter().map(|run| super::nemesis::shim_of(&ground.dir(*run)).unwrap().pid).collect();
    for (run, shim) in runs.iter().zip(shims) {
        let peak = peak_kib(shim).unwrap();
        assert!(peak < 64 * 1024, "the shim of {run} took {peak} KiB");
    }
    for run in &runs {
        ground.site.cancel(*run, 2_000);
    }
    for run in &runs {
        ground.site.wait_at_most(3 * LIMIT, "the end of a flood", || {
            ground.site.run(*run).run.status.is_terminal().then_some(())
        });
    }
    let world = ground.settle(&runs);
    for run in &world.runs {
        assert_eq!(run.row.status, RunStatus::Cancelled);
        assert!(run.children[0].1.taken[0] > 100_000, "{} wrote", run.name());
    }
}

/// Runs a script whose output is known and compares every byte; gives the shim's peak memory.
fn compare(ground: &mut Ground, agent: &str, expected: impl Fn(u64) -> u8, length: u64) -> u64 {
    let run = ground.begin(agent, 1)[0];
    let done = ground.site.path(&format!("{agent}.done"));
    eventually("its last output", || done.exists().then_some(()));
    let peak = super::nemesis::shim_of(&ground.dir(run)).and_then(|shim| peak_kib(shim.pid)).unwrap_or(0);
    std::fs::write(ground.site.path(&format!("{agent}.go")), "").unwrap();
    ground.settle(&[run]);
    let dir = ground.dir(run);
    let mut log = LogReader::open(&dir).unwrap();
    let mut position = log.start();
    let mut at = 0;
    while let Item::Frame(frame) = log.next_of(&mut position, StreamSet::of(&[Stream::Stdout])).unwrap() {
        let wrong = frame.payload.iter().zip(at..).find(|(byte, at)| **byte != expected(*at));
        assert_eq!(wrong, None, "{agent}: byte and offset");
        at += frame.payload.len() as u64;
    }
    assert_eq!(at, length, "{agent}");
    peak
}

#[test]
pub fn f22_one_endless_line_and_nothing_but_newlines() {
    let mib = if is_exhaustive() { 1_024 } else { 24 };
    let bytes = mib << 20;
    let waits = |name: &str| format!("; touch $ROOT/{name}.done; while [ ! -e $ROOT/{name}.go ]; do sleep 0.01; done");
    let line = format!("head -c {bytes} /dev/zero | tr '\\0' x{}", waits("line"));
    let newlines = format!("head -c {} /dev/zero | tr '\\0' '\\n'{}", bytes / 4, waits("newlines"));
    let mut ground = Ground::new("f22", 22, &(agent("line", "", &line) + &agent("newlines", "", &newlines)));
    ground.reign();
    for (name, byte, length) in [("line", b'x', bytes), ("newlines", b'\n', bytes / 4)] {
        let peak = compare(&mut ground, name, |_| byte, length);
        assert!(peak < 64 * 1024, "{name}: the shim took {peak} KiB");
    }
    // What is shown of it is cut, what is stored is not.
    let run = ground.site.all_runs()[0].id;
    let mut lines = wharf_store::log::LogLines::open(&ground.dir(run), 64 * 1024, None).unwrap();
    let window = lines.tail_lines(10, StreamSet::OUTPUT).unwrap();
    let longest = window.lines.iter().map(|l| l.bytes.len()).max().unwrap();
    assert!(longest <= 64 * 1024, "a line of {longest} bytes is handed to the screen");
}

#[test]
pub fn f23_bytes_that_are_no_text() {
    // Every byte, broken characters, lone surrogates, overlong forms, half a character at each write's border.
    let program = "binmode STDOUT; $| = 1; my $s = 23; my $b = ''; for (1..3000) { $s = ($s * 1103515245 + 12345) & 0x7fffffff; \
                   $b .= chr(($s >> 16) & 255) } $b .= qq(\\xed\\xa0\\x80\\xc0\\xaf\\xff\\xfe\\x00\\xf4\\x90\\x80\\x80); \
                   open(my $f, '>', '$ROOT/copy'); binmode $f; for (1..30) { print $f $b; print $f qq(\\xe2\\x82); \
                   print $b; print qq(\\xe2\\x82); } close $f; exit 3";
    let program = serde_json::to_string(program).unwrap();
    let config = format!(
        "[[agent]]\nname = \"noise\"\nadapter = \"process\"\n[agent.config]\ncommand = \"perl\"\nargs = [\"-e\", {program}]\nstdin = \"none\"\n"
    );
    let mut ground = Ground::new("f23", 23, &config);
    let root = ground.site.root.path().canonicalize().unwrap();
    let mut console = Console::open_at(&root, 100, 30, &[], &[]);
    console.see("No runs yet.");
    let runs = ground.begin("noise", 1);
    let world = ground.settle(&runs);
    assert_eq!(world.runs[0].row.exit_code, Some(3), "{:?}", world.runs[0].row.error);
    let copy = std::fs::read(ground.site.path("copy")).unwrap();
    assert!(copy.len() > 90_000);
    assert!(stream(&ground.dir(runs[0]), Stream::Stdout) == copy, "every byte is kept");
    // It is shown, with marks for what is no text, and the screen goes on.
    console.see("✗ failed");
    console.wait("a replacement", |s| s.contains('\u{fffd}') || s.contains('·') || s.contains('.'));
    console.see("R-1");
    console.send("Q");
    assert_eq!(console.wait_end(), 0);
    assert!(!ground.site.log().contains("panicked"));
}

#[test]
pub fn f24_orders_to_a_terminal_never_reach_the_operators() {
    let mut evil = String::from("printf 'before\\n");
    for order in [
        "\\033[2J",
        "\\033[?1049h",
        "\\033]0;stolen title\\007",
        "\\033]52;c;c3RvbGVu\\007",
        "\\033]8;;http://evil/\\033\\\\link\\033]8;;\\033\\\\",
        "\\033P$q\"p\\033\\\\",
        "\\033[c",
        "\\033[6n",
        "\\033[40;90H@@@",
        "\\033[?25l",
        "\\033[?1000h",
        "\\033c",
        "\\033(0",
        "\\233 2J",
    ] {
        evil.push_str(order);
        evil.push_str("\\n");
    }
    // An order without an end, long.
    evil.push_str(
        "after\\n'; printf '\\033]0;'; head -c 3000000 /dev/zero | tr '\\0' A; printf '\\033['; \
                   head -c 1000000 /dev/zero | tr '\\0' 1; printf '\\nlast words\\n'",
    );
    let mut ground = Ground::new("f24", 24, &agent("evil", "", &evil));
    let root = ground.site.root.path().canonicalize().unwrap();
    let mut console = Console::open_at(&root, 120, 40, &[], &[]);
    console.see("No runs yet.");
    // Its own orders until now: what a run prints must add none of these kinds.
    let own = console.sent().len();
    let runs = ground.begin("evil", 1);
    let world = ground.settle(&runs);
    assert_eq!(world.runs[0].row.status, RunStatus::Succeeded);
    console.see("✓ done");
    console.see("last words");
    let screen = console.screen();
    assert!(screen.contains("R-1") && screen.contains("Ledger"), "the frame stands:\n{screen}");
    let sent = console.sent()[own..].to_vec();
    let orders: [&[u8]; 9] = [
        b"\x1b]0;stolen",
        b"\x1b]52;",
        b"http://evil",
        b"\x1bP$q",
        b"\x1b[?1049h",
        b"\x1b[?1000h",
        b"\x1bc",
        b"\x1b(0",
        b"\x9b2J",
    ];
    for order in orders {
        let found = sent.windows(order.len()).any(|w| w == order);
        assert!(!found, "{:?} reached the terminal", String::from_utf8_lossy(order));
    }
    console.send("Q");
    assert_eq!(console.wait_end(), 0);
    console.assert_restored();
}

#[test]
pub fn f25_wide_joined_and_overwritten_text() {
    let updates = 100_000;
    let script = format!(
        "printf '漢字漢字漢字漢字 e\\314\\201e\\314\\201 👩‍👩‍👧‍👦 שלום \\342\\200\\217 a\\342\\200\\213b \\t tab\\n'; \
         perl -e '$| = 0; print \"\\r$_ of {updates}\" for 1..{updates}; print \"\\nend of it\\n\"'"
    );
    let mut ground = Ground::new("f25", 25, &agent("bar", "", &script));
    let root = ground.site.root.path().canonicalize().unwrap();
    let mut console = Console::open_at(&root, 120, 40, &[], &[]);
    console.see("No runs yet.");
    let runs = ground.begin("bar", 1);
    ground.settle(&runs);
    console.see("✓ done");
    console.see("end of it");
    let screen = console.see(&format!("{updates} of {updates}"));
    assert!(!screen.contains(&format!("{} of {updates}", updates - 1)), "only the last state is shown:\n{screen}");
    let rows: Vec<&str> = screen.lines().collect();
    assert!(rows.len() <= 40 && screen.contains("漢字"), "{screen}");
    console.send("Q");
    assert_eq!(console.wait_end(), 0);
    console.assert_restored();
}

#[test]
pub fn f26_the_order_of_two_streams() {
    // A gap between every two writes. On a busy machine a shim may wake up late and find both, so the
    // gaps are wide there.
    let gap = Duration::from_millis(if is_quiet() { 2 } else { 20 });
    let pairs = 40;
    let plan = Plan::new(26).lines(pairs, pairs).line_bytes(LINE_MIN).pause(gap);
    let mut ground = Ground::new("f26", 26, &config(&[("both", "", &plan)]));
    ground.reign();
    let runs = ground.begin("both", 1);
    ground.settle(&runs);
    let mut log = LogReader::open(&ground.dir(runs[0])).unwrap();
    let mut position = log.start();
    let mut order = Vec::new();
    while let Item::Frame(frame) = log.next_of(&mut position, StreamSet::OUTPUT).unwrap() {
        for line in frame.payload.chunks(LINE_MIN) {
            let side = if frame.stream == Side::Out.stream() { Side::Out } else { Side::Err };
            let seq: u64 = String::from_utf8_lossy(&line[4..14]).parse().unwrap();
            order.push((seq, side));
        }
    }
    assert_eq!(order.len() as u64, 2 * pairs);
    for side in Side::BOTH {
        let seqs: Vec<u64> = order.iter().filter(|(_, s)| *s == side).map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, (0..pairs).collect::<Vec<_>>(), "{side:?} by itself");
    }
    let swapped = order.windows(2).filter(|pair| pair[0] > pair[1]).count();
    let may = if is_quiet() { 0 } else { 4 };
    assert!(swapped <= may, "{swapped} of {} pairs are swapped: {order:?}", order.len());
}

#[test]
pub fn f27_a_reader_that_stands_still() {
    let plan = Plan::new(27).lines(40_000, 0).batch(40).gate(100, "gate").exit(9);
    let mut ground = Ground::new("f27", 27, &config(&[("writer", "", &plan)]));
    ground.reign();
    let root = ground.site.root.path().canonicalize().unwrap();
    let mut console = Console::open_at(&root, 120, 40, &[], &[]);
    console.see("No runs yet.");
    let runs = ground.begin("writer", 1);
    console.see("out 0000000");
    let reader = wharf::process::identity::process(console.pid()).unwrap().unwrap();
    ground.nemesis.signal("the console", reader, Signal::STOP);
    ground.open("gate");
    let world = ground.settle(&runs);
    assert_eq!((world.runs[0].row.exit_code, world.runs[0].children.len()), (Some(9), 1));
    assert!(signal::send(reader, Signal::CONT).unwrap());
    console.see("✗ failed");
    // It catches up with what was written meanwhile.
    console.see("0000039999 ");
    console.send("Q");
    assert_eq!(console.wait_end(), 0);
}

#[test]
pub fn f27_a_reader_that_holds_the_file_open_and_reads_a_byte_at_a_time() {
    let plan = Plan::new(28).lines(20_000, 10).batch(40).exit(9);
    let mut ground = Ground::new("f27-slow", 28, &config(&[("writer", "", &plan)]));
    ground.reign();
    let runs = ground.begin("writer", 1);
    ground.site.started(runs[0]);
    let log = eventually("its log", || std::fs::File::open(super::nemesis::log_of(&ground.dir(runs[0]))).ok());
    let reading = std::thread::spawn(move || {
        let mut byte = [0u8];
        (0..2_000u64).filter(|at| log.read_at(&mut byte, *at).is_ok()).count()
    });
    let world = ground.settle(&runs);
    assert_eq!(reading.join().unwrap(), 2_000);
    assert_eq!(world.runs[0].row.exit_code, Some(9));
}
