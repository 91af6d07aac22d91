//! Windows of lines against a plain model of what lines are.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

use std::path::Path;

use proptest::prelude::*;
use wharf_store::log::*;

const OWNER: LogOwner = LogOwner { uuid: [7; 16], attempt: 1 };

#[derive(Debug, Clone, PartialEq)]
struct Expected {
    stream: Stream,
    key: LineKey,
    offset: u64,
    ns: u64,
    bytes: Vec<u8>,
    unterminated: bool,
}

/// Lines of all output streams, in the order of their first bytes.
fn model(frames: &[(Stream, Vec<u8>)]) -> Vec<Expected> {
    let mut lines: Vec<Expected> = Vec::new();
    let mut open: std::collections::HashMap<Stream, usize> = std::collections::HashMap::new();
    let mut offsets: std::collections::HashMap<Stream, u64> = std::collections::HashMap::new();
    for (n, (stream, payload)) in frames.iter().enumerate() {
        for (index, byte) in payload.iter().enumerate() {
            let offset = offsets.entry(*stream).or_default();
            let ix = *open.entry(*stream).or_insert_with(|| {
                lines.push(Expected {
                    stream: *stream,
                    key: LineKey { seq: n as u64 + 1, index: index as u32 },
                    offset: *offset,
                    ns: n as u64 * 10,
                    bytes: vec![],
                    unterminated: true,
                });
                lines.len() - 1
            });
            *offset += 1;
            if *byte == b'\n' {
                lines[ix].unterminated = false;
                open.remove(stream);
            } else {
                lines[ix].bytes.push(*byte);
            }
        }
    }
    lines
}

fn write(dir: &Path, frames: &[(Stream, Vec<u8>)], segment: u64) -> LogWriter {
    let mut w = LogWriter::create(dir, OWNER, 5_000, segment).unwrap();
    for (n, (stream, payload)) in frames.iter().enumerate() {
        w.append(*stream, 0, payload, n as u64 * 10).unwrap();
    }
    w
}

fn plain(line: &Line) -> Expected {
    assert!(!line.headless && !line.cut && line.len_known);
    assert_eq!(line.len, line.bytes.len() as u64);
    let Line { stream, key, offset, ns, unterminated, .. } = *line;
    Expected { stream, key, offset, ns, bytes: line.bytes.clone(), unterminated }
}

fn all(window: &Window) -> Vec<Expected> {
    window.lines.iter().map(plain).collect()
}

fn frames() -> impl Strategy<Value = Vec<(Stream, Vec<u8>)>> {
    let byte = prop_oneof![3 => Just(b'\n'), 1 => Just(b'\r'), 1 => Just(0u8), 1 => Just(0xff), 6 => Just(b'a')];
    let stream = prop::sample::select(vec![Stream::Stdout, Stream::Stderr, Stream::Terminal, Stream::Control]);
    prop::collection::vec((stream, prop::collection::vec(byte, 0..12)), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn windows_show_the_lines_of_the_model(
        frames in frames(), segment in 100u64..2000, set in 1u8..8, n in 1usize..9, at in any::<prop::sample::Index>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &frames, segment);
        let streams: Vec<_> = [Stream::Stdout, Stream::Stderr, Stream::Terminal]
            .into_iter().enumerate().filter(|(n, _)| set & (1 << n) != 0).map(|(_, s)| s).collect();
        let expected: Vec<_> = model(&frames).into_iter().filter(|l| streams.contains(&l.stream)).collect();
        let set = StreamSet::of(&streams);
        let mut log = LogLines::open(dir.path(), 1000, None).unwrap();

        // From the start in pages, from the end in pages.
        let (mut found, mut key) = (Vec::new(), LineKey::START);
        loop {
            let window = log.window(Anchor::Key(key), n, set).unwrap();
            prop_assert!(window.gaps.is_empty() && !(window.limited && window.tail.is_none()));
            found.extend(all(&window));
            key = window.next;
            if window.lines.len() < n { break }
        }
        prop_assert_eq!(&found, &expected);
        let (mut found, mut key) = (Vec::new(), LineKey::END);
        loop {
            let window = log.before(key, n, set).unwrap();
            found.splice(0..0, all(&window));
            match window.lines.first() { Some(l) => key = l.key, None => break }
        }
        prop_assert_eq!(&found, &expected);

        if expected.is_empty() { return Ok(()) }
        let at = at.index(expected.len());
        let want = &expected[at..(at + n).min(expected.len())];
        let window = log.window(Anchor::Number(at as u64), n, set).unwrap();
        prop_assert_eq!(&all(&window)[..], want);
        prop_assert!(window.lines.iter().zip(at as u64..).all(|(l, n)| l.number == Some(n)));
        let tail = log.tail_lines(n, set).unwrap();
        let first = expected.len().saturating_sub(n);
        prop_assert_eq!(&all(&tail)[..], &expected[first..]);
        log.count(u64::MAX).unwrap();
        prop_assert_eq!(log.lines_counted(set), expected.len() as u64);
        let tail = log.tail_lines(n, set).unwrap();
        prop_assert_eq!(tail.lines[0].number, Some(first as u64));
        // Any byte of the line finds it.
        let line = &expected[at];
        let length = log.measure(&window.lines[0]).unwrap();
        prop_assert_eq!(length, (!line.unterminated).then_some(line.bytes.len() as u64));
        for inside in [0, line.bytes.len() as u64 / 2, (line.bytes.len() as u64).saturating_sub(1)] {
            let window = log.window(Anchor::Offset(line.stream, line.offset + inside), n, set).unwrap();
            prop_assert_eq!(&all(&window)[..], want);
        }
        let window = log.window(Anchor::Ns(line.ns), 1, set).unwrap();
        let since = expected.iter().find(|l| l.ns >= line.ns).unwrap();
        prop_assert_eq!(&all(&window)[0], since);
        prop_assert_eq!(log.window(Anchor::Number(expected.len() as u64), n, set).unwrap().lines.len(), 0);
    }
}

#[test]
fn interleaved_lines_stay_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (o, e) = (Stream::Stdout, Stream::Stderr);
    let frames = [
        (o, b"one ".to_vec()),
        (e, b"bad\r\nworse".to_vec()),
        (o, b"line\ntwo\n\xff\0x".to_vec()),
        (e, b"\n".to_vec()),
    ];
    let mut w = write(dir.path(), &frames, 1 << 20);
    let mut log = LogLines::open(dir.path(), 100, None).unwrap();
    let texts = |w: &Window| w.lines.iter().map(|l| l.bytes.clone()).collect::<Vec<_>>();
    let window = log.window(Anchor::Start, 10, StreamSet::OUTPUT).unwrap();
    assert_eq!(texts(&window), [&b"one line"[..], b"bad\r", b"worse", b"two", b"\xff\0x"]);
    assert_eq!(window.lines[0].wall_ms, Some(5_000));
    assert!(window.lines[4].unterminated && !window.lines[2].unterminated);
    // The open line grows.
    w.append(o, 0, b" more\nlast\n", 99).unwrap();
    let window = log.window(Anchor::Key(window.lines[4].key), 10, StreamSet::OUTPUT).unwrap();
    assert_eq!(texts(&window), [&b"\xff\0x more"[..], b"last"]);
}

#[test]
fn a_line_of_a_hundred_megabytes_is_cut_and_measured() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = LogWriter::create(dir.path(), OWNER, 0, 64 << 20).unwrap();
    w.append(Stream::Stdout, 0, b"before\n", 0).unwrap();
    let part = vec![b'x'; PAYLOAD_MAX];
    for _ in 0..400 {
        w.append(Stream::Stdout, 0, &part, 1).unwrap();
    }
    w.append(Stream::Stdout, 0, b"\nafter\n", 2).unwrap();
    let mut log = LogLines::open(dir.path(), 1000, None).unwrap();
    let set = StreamSet::OUTPUT;
    // Showing the first line costs no reading of the second.
    let window = log.window(Anchor::Start, 1, set).unwrap();
    assert_eq!(window.lines[0].bytes, b"before");
    // Within the usual budget its end is not found, with a larger one it is.
    let window = log.window(Anchor::Number(1), 2, set).unwrap();
    assert!(window.limited && window.lines[0].cut && !window.lines[0].len_known);
    let long = window.lines[0].clone();
    log.count(10 << 20).unwrap();
    assert_eq!(log.measure(&long).unwrap(), None);
    log.count(u64::MAX).unwrap();
    assert_eq!(log.measure(&long).unwrap(), Some(400 * PAYLOAD_MAX as u64));
    assert_eq!(log.tail_lines(1, set).unwrap().lines[0].bytes, b"after");
    let window = log.tail_lines(2, set).unwrap();
    assert_eq!((window.lines.len(), window.limited), (1, true));
    let inside = log.before(window.lines[0].key, 1, set).unwrap();
    assert!(inside.lines[0].headless && inside.lines[0].bytes.len() == 1000);
    log.set_budget(200 << 20);
    let window = log.window(Anchor::Start, 3, set).unwrap();
    let long = &window.lines[1];
    assert_eq!((long.bytes.len(), long.len, long.cut, long.len_known), (1000, 400 * PAYLOAD_MAX as u64, true, true));
    assert_eq!(window.lines[2].bytes, b"after");
    assert_eq!(log.tail_lines(3, set).unwrap().lines[0].bytes, b"before");
}

#[test]
fn counts_are_kept_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let log_dir = dir.path().join("log");
    std::fs::create_dir(&log_dir).unwrap();
    let cache = dir.path().join("lines.idx");
    let frames: Vec<_> =
        (0..2000).map(|n| (Stream::Stdout, format!("line {n} {}\n", "y".repeat(200)).into_bytes())).collect();
    let mut w = write(&log_dir, &frames, 100_000);
    let set = StreamSet::OUTPUT;
    let mut log = LogLines::open(&log_dir, 100, Some(&cache)).unwrap();
    let part = log.count(1000).unwrap();
    assert!(!part.complete && part.bytes < part.of_bytes);
    log.save_index().unwrap();
    assert_eq!(LogLines::open(&log_dir, 100, Some(&cache)).unwrap().lines_counted(set), log.lines_counted(set));
    log.count(u64::MAX).unwrap();
    log.save_index().unwrap();
    w.append(Stream::Stdout, 0, b"new\n", 1 << 30).unwrap();
    let mut again = LogLines::open(&log_dir, 100, Some(&cache)).unwrap();
    assert_eq!(again.lines_counted(set), 2000);
    let window = again.window(Anchor::Number(1500), 1, set).unwrap();
    assert!(window.lines[0].bytes.starts_with(b"line 1500 "));
    again.count(u64::MAX).unwrap();
    assert_eq!(again.lines_counted(set), 2001);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file is left");
    // Each damaged byte makes it void, and so does another log.
    let good = std::fs::read(&cache).unwrap();
    for at in (0..good.len()).step_by(97) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&cache, &bad).unwrap();
        assert_eq!(LogLines::open(&log_dir, 100, Some(&cache)).unwrap().lines_counted(set), 0, "{at}");
    }
    std::fs::write(&cache, &good).unwrap();
    std::fs::remove_file(log_dir.join("out.000003.wlog")).unwrap();
    assert_eq!(LogLines::open(&log_dir, 100, Some(&cache)).unwrap().lines_counted(set), 0);
}

#[test]
fn a_hole_ends_the_line_and_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let o = Stream::Stdout;
    let mut w =
        write(dir.path(), &[(o, b"a\nbe".to_vec()), (o, b"gone\nx".to_vec()), (o, b"on\nc\n".to_vec())], 1 << 20);
    w.append(o, FLAG_GAP, br#"{"bytes":5,"reason":"disk"}"#, 50).unwrap();
    w.append(o, 0, b"d\n", 60).unwrap();
    let file = dir.path().join("out.000001.wlog");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[64 + 44 + 42] ^= 8;
    std::fs::write(&file, bytes).unwrap();
    let mut log = LogLines::open(dir.path(), 100, None).unwrap();
    let window = log.window(Anchor::Start, 10, StreamSet::OUTPUT).unwrap();
    let texts: Vec<_> = window.lines.iter().map(|l| l.bytes.as_slice()).collect();
    assert_eq!(texts, [&b"a"[..], b"be", b"on", b"c", b"d"]);
    assert!(window.lines[1].unterminated);
    assert!(matches!(window.gaps[..], [Gap::Damage(_), Gap::Declared { bytes: Some(5), .. }]));
    log.count(u64::MAX).unwrap();
    assert_eq!(log.lines_counted(StreamSet::OUTPUT), 5);
}

#[test]
fn a_gap_that_moves_no_offset_keeps_the_lines_around_it_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (o, e) = (Stream::Stdout, Stream::Stderr);
    let mut w = LogWriter::create(dir.path(), OWNER, 5_000, 1 << 20).unwrap();
    let gap = br#"{"bytes":5,"reason":"disk"}"#;
    let mut at = 0;
    let mut put = |stream, flags, bytes: &[u8]| {
        at += 10;
        w.append(stream, flags, bytes, at).unwrap();
    };
    put(o, 0, b"one\nhalf a li");
    put(e, 0, b"between");
    put(o, FLAG_GAP, gap);
    put(e, 0, b" them\n");
    put(o, 0, b"ne of another\nlast\n");
    // A gap at the end of a line changes nothing.
    put(o, FLAG_GAP, gap);
    put(o, 0, b"whole\n");
    let expected: [&[u8]; 6] = [b"one", b"half a li", b"between them", b"ne of another", b"last", b"whole"];
    let mut log = LogLines::open(dir.path(), 100, None).unwrap();
    let both = StreamSet::OUTPUT;
    let texts = |w: &Window| w.lines.iter().map(|l| l.bytes.clone()).collect::<Vec<_>>();
    let window = log.window(Anchor::Start, 10, both).unwrap();
    assert_eq!(texts(&window), expected);
    let broken: Vec<bool> = window.lines.iter().map(|l| l.broken).collect();
    assert_eq!(broken, [false, true, false, false, false, false]);
    assert!(window.lines[1].unterminated && window.lines[1].len == 9 && window.lines[1].len_known);
    let Gap::Declared { seq, bytes: Some(5), .. } = window.gaps[0] else { panic!("{:?}", window.gaps) };
    assert!(window.lines[1].key.seq < seq && seq < window.lines[3].key.seq, "it is said between them");
    // From every place forward, and backward in steps of every size.
    for at in 0..expected.len() {
        let window = log
            .window(
                Anchor::Key(
                    LogLines::open(dir.path(), 100, None).unwrap().window(Anchor::Start, 10, both).unwrap().lines[at]
                        .key,
                ),
                10,
                both,
            )
            .unwrap();
        assert_eq!(texts(&window), expected[at..]);
    }
    for n in 1..=expected.len() {
        let (mut found, mut key) = (Vec::new(), LineKey::END);
        loop {
            let window = log.before(key, n, both).unwrap();
            found.splice(0..0, texts(&window));
            let Some(first) = window.lines.first() else { break };
            key = first.key;
        }
        assert_eq!(found, expected, "{n} at a time");
    }
    log.count(u64::MAX).unwrap();
    assert_eq!((log.lines_counted(both), log.lines_counted(StreamSet::of(&[o]))), (6, 5));
    for (number, text) in expected.iter().enumerate() {
        let window = log.window(Anchor::Number(number as u64), 1, both).unwrap();
        assert_eq!((texts(&window)[0].as_slice(), window.lines[0].number), (*text, Some(number as u64)));
    }
    let half = log.window(Anchor::Number(1), 1, both).unwrap().lines.remove(0);
    assert_eq!(log.measure(&half).unwrap(), Some(9));
    // What is only next to one another because of the gap is not found as one.
    let found = |log: &mut LogLines, text: &str| {
        let needle = Needle::new(text.as_bytes(), true).unwrap();
        let place = log.search_place(LineKey::START).unwrap();
        let forward = log.search_forward(&needle, both, place, 10, u64::MAX).unwrap().hits.len();
        let place = log.search_place(LineKey::END).unwrap();
        (forward, log.search_backward(&needle, both, place, 10, u64::MAX).unwrap().hits.len())
    };
    assert_eq!(found(&mut log, "a line of"), (0, 0));
    assert_eq!(found(&mut log, "between them"), (1, 1));
    assert_eq!(found(&mut log, "ne of"), (1, 1));
}
