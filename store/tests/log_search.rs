//! Searching against a plain search in the joined stream.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

use proptest::prelude::*;
use wharf_store::log::*;

const OWNER: LogOwner = LogOwner { uuid: [7; 16], attempt: 1 };

fn write(frames: &[(Stream, Vec<u8>)], segment: u64) -> (tempfile::TempDir, LogLines) {
    let dir = tempfile::tempdir().unwrap();
    let mut w = LogWriter::create(dir.path(), OWNER, 0, segment).unwrap();
    for (n, (stream, payload)) in frames.iter().enumerate() {
        w.append(*stream, 0, payload, n as u64).unwrap();
    }
    let log = LogLines::open(dir.path(), 100, None).unwrap();
    (dir, log)
}

/// Every place where the needle stands in the stream, with overlaps.
fn plain(frames: &[(Stream, Vec<u8>)], stream: Stream, needle: &[u8], any_case: bool) -> Vec<u64> {
    let all: Vec<u8> = frames.iter().filter(|f| f.0 == stream).flat_map(|f| f.1.clone()).collect();
    let same = |w: &[u8]| if any_case { w.eq_ignore_ascii_case(needle) } else { w == needle };
    (0..all.len()).filter(|at| all.get(*at..at + needle.len()).is_some_and(same)).map(|at| at as u64).collect()
}

fn forward(log: &mut LogLines, needle: &Needle, set: StreamSet, max: usize, budget: u64) -> Vec<Hit> {
    let mut place = log.search_place(LineKey::START).unwrap();
    let mut hits = Vec::new();
    for _ in 0..10_000 {
        let found = log.search_forward(needle, set, place, max, budget).unwrap();
        assert!(found.hits.len() <= max);
        hits.extend(found.hits);
        place = found.next;
        if found.done {
            return hits;
        }
    }
    panic!("the search does not end");
}

fn backward(log: &mut LogLines, needle: &Needle, set: StreamSet, max: usize, budget: u64) -> Vec<Hit> {
    let mut place = log.search_place(LineKey::END).unwrap();
    let mut hits = Vec::new();
    for _ in 0..10_000 {
        let found = log.search_backward(needle, set, place, max, budget).unwrap();
        assert!(found.hits.len() <= max);
        hits.extend(found.hits);
        place = found.next;
        if found.done {
            return hits;
        }
    }
    panic!("the search does not end");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_matches_are_found_both_ways(
        frames in prop::collection::vec((prop::sample::select(vec![Stream::Stdout, Stream::Stderr]),
            prop::collection::vec(prop::sample::select(b"abxX\n".to_vec()), 0..9)), 1..50),
        needle in prop::sample::select(vec!["ab", "x", "abx", "b\nax", "aabb"]),
        any_case in any::<bool>(), max in 1usize..5, budget in 50u64..2000, segment in 100u64..2000,
    ) {
        // None of these overlaps with itself, so that every place counts.
        let (_dir, mut log) = write(&frames, segment);
        let find = Needle::new(needle.as_bytes(), any_case).unwrap();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let expected = plain(&frames, stream, needle.as_bytes(), any_case);
            let set = StreamSet::of(&[stream]);
            let hits = forward(&mut log, &find, set, max, budget);
            prop_assert_eq!(hits.iter().map(|h| h.offset).collect::<Vec<_>>(), expected.clone());
            let mut hits = backward(&mut log, &find, set, max, budget);
            hits.reverse();
            prop_assert_eq!(hits.iter().map(|h| h.offset).collect::<Vec<_>>(), expected);
        }
        let both = forward(&mut log, &find, StreamSet::OUTPUT, 10_000, u64::MAX);
        let mut back = backward(&mut log, &find, StreamSet::OUTPUT, max, budget);
        back.reverse();
        prop_assert_eq!(back, both);
    }
}

#[test]
fn a_search_begins_at_the_line_asked_for() {
    let (_dir, mut log) =
        write(&[(Stream::Stdout, b"hit 0\nhit 1\nhit 2\n".to_vec()), (Stream::Stdout, b"hit 3\n".to_vec())], 1 << 20);
    let lines = log.window(Anchor::Number(1), 2, StreamSet::OUTPUT).unwrap().lines;
    let needle = Needle::new(b"HIT", true).unwrap();
    let place = log.search_place(lines[0].key).unwrap();
    let found = log.search_forward(&needle, StreamSet::OUTPUT, place, 10, u64::MAX).unwrap();
    assert_eq!(found.hits.iter().map(|h| h.offset).collect::<Vec<_>>(), [6, 12, 18]);
    let found = log.search_backward(&needle, StreamSet::OUTPUT, place, 10, u64::MAX).unwrap();
    assert_eq!(found.hits.iter().map(|h| h.offset).collect::<Vec<_>>(), [0]);
    assert!(found.done);
    let window = log.window(Anchor::Offset(Stream::Stdout, 13), 1, StreamSet::OUTPUT).unwrap();
    assert_eq!(window.lines[0].bytes, b"hit 2");
}

#[test]
fn needles_have_bounds() {
    assert_eq!(Needle::new(b"", false).unwrap_err(), NeedleError::Empty);
    assert_eq!(Needle::new(&[1; NEEDLE_MAX + 1], true).unwrap_err(), NeedleError::Long(1025));
}
