//! Frames written are the frames read: over segments, after cuts and flipped bits, and while the
//! writer is at work.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use wharf_store::log::{Damage, FLAG_GAP, Item, LogOwner, LogReader, LogWriter, OwnedFrame, PAYLOAD_MAX, Stream, Tail};

const OWNER: LogOwner = LogOwner { uuid: [7; 16], attempt: 1 };

type Plan = Vec<(u8, Vec<u8>, u64)>;

fn plan() -> impl Strategy<Value = Plan> {
    let payload = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..60),
        1 => prop::collection::vec(any::<u8>(), 200..3000),
        1 => Just(b"WLF1WLF1WLF1".to_vec()),
    ];
    prop::collection::vec((0u8..6, payload, 0u64..5), 1..40)
}

fn write(dir: &Path, plan: &Plan, segment: u64) {
    let mut w = LogWriter::create(dir, OWNER, 1_000, segment).unwrap();
    let mut ns = 0;
    for (n, (stream, payload, step)) in plan.iter().enumerate() {
        ns += step;
        let seq = w.append(Stream::from_number(*stream).unwrap(), 0, payload, ns).unwrap();
        assert_eq!(seq, n as u64 + 1);
    }
}

fn read_all(dir: &Path, live: bool) -> (Vec<OwnedFrame>, Vec<Damage>, Tail) {
    let mut r = LogReader::open(dir).unwrap();
    r.set_live(live);
    let b = r.read_from(r.start(), usize::MAX).unwrap();
    (b.frames, b.damage, b.tail.unwrap())
}

fn same(frame: &OwnedFrame, plan: &Plan) -> bool {
    let (stream, payload, _) = &plan[frame.head.seq as usize - 1];
    frame.head.stream == *stream && frame.payload == *payload
}

fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read_and_found(plan in plan(), segment in 100u64..4000) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &plan, segment);
        let (frames, damage, tail) = read_all(dir.path(), true);
        prop_assert_eq!(frames.len(), plan.len());
        prop_assert!(damage.is_empty() && tail == Tail::Clean);
        prop_assert!(frames.iter().all(|f| same(f, &plan)));

        let mut r = LogReader::open(dir.path()).unwrap();
        for f in frames.iter().rev() {
            prop_assert_eq!(r.at_seq(f.head.seq).unwrap().seq(), f.head.seq);
            let first = frames.iter().find(|g| g.head.ns >= f.head.ns).unwrap();
            prop_assert_eq!(r.at_ns(f.head.ns).unwrap().seq(), first.head.seq);
            if !f.payload.is_empty() {
                let last = f.head.offset + f.payload.len() as u64 - 1;
                prop_assert_eq!(r.at_offset(f.stream, f.head.offset).unwrap().seq(), f.head.seq);
                prop_assert_eq!(r.at_offset(f.stream, last).unwrap().seq(), f.head.seq);
            }
        }
        let end = r.end().unwrap();
        prop_assert_eq!(end.seq(), plan.len() as u64 + 1);
        prop_assert_eq!(r.at_seq(u64::MAX).unwrap().seq(), end.seq());
        prop_assert_eq!(r.at_offset(Stream::Stdout, u64::MAX).unwrap().seq(), end.seq());
        prop_assert_eq!(r.at_part(0).unwrap().seq(), 1);
        prop_assert_eq!(r.at_part(1_000_000).unwrap().seq(), end.seq());
    }

    #[test]
    fn a_cut_leaves_exactly_the_whole_frames(plan in plan(), segment in 100u64..4000, cut in any::<prop::sample::Index>()) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &plan, segment);
        let (whole, _, _) = read_all(dir.path(), false);
        let last = segments(dir.path()).pop().unwrap();
        let bytes = std::fs::read(&last).unwrap();
        let keep = cut.index(bytes.len() + 1);
        std::fs::File::options().write(true).open(&last).unwrap().set_len(keep as u64).unwrap();
        // Frames of the last segment, by their lengths.
        let in_last = whole.iter().rev().scan(bytes.len() - 64, |left, f| {
            *left = left.checked_sub(40 + f.payload.len())?;
            Some(*left + 64 + 40 + f.payload.len())
        }).collect::<Vec<_>>();
        let gone = in_last.iter().filter(|end| **end > keep).count();
        let expected = &whole[..whole.len() - gone];
        for live in [true, false] {
            let (frames, damage, tail) = read_all(dir.path(), live);
            prop_assert_eq!(&frames[..], expected);
            prop_assert!(damage.is_empty(), "{:?}", damage);
            let good = in_last.iter().copied().filter(|end| *end <= keep).max().unwrap_or(64);
            let rest = if keep < 64 { keep } else { keep - good };
            match tail {
                Tail::Clean => prop_assert_eq!(rest, 0),
                Tail::Torn { bytes, .. } => prop_assert_eq!(bytes, rest as u64),
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_always_found_and_costs_one_frame(
        plan in plan(), segment in 100u64..4000,
        file in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &plan, segment);
        let all = segments(dir.path());
        let file = &all[file.index(all.len())];
        let mut bytes = std::fs::read(file).unwrap();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(file, &bytes).unwrap();
        let (frames, damage, tail) = read_all(dir.path(), false);
        prop_assert!(!damage.is_empty() || tail != Tail::Clean, "bit {} of {:?}", bit, file);
        prop_assert!(frames.iter().all(|f| same(f, &plan)));
        let lost = plan.len() - frames.len();
        prop_assert_eq!(lost, usize::from(bit / 8 >= 64));
        // Walking by headers alone finds every other frame as well.
        let mut r = LogReader::open(dir.path()).unwrap();
        r.set_live(false);
        for f in &frames {
            prop_assert_eq!(r.at_seq(f.head.seq).unwrap().seq(), f.head.seq);
        }
    }
}

#[test]
fn a_log_inside_a_damaged_frame_is_not_taken_for_ours() {
    let inner = tempfile::tempdir().unwrap();
    let mut w = LogWriter::create(inner.path(), OWNER, 0, 1 << 20).unwrap();
    for n in 0..50 {
        w.append(Stream::Stdout, 0, format!("inner {n}\n").as_bytes(), 1_000_000 + n).unwrap();
    }
    let nested = std::fs::read(segments(inner.path()).pop().unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut w = LogWriter::create(dir.path(), OWNER, 0, 1 << 20).unwrap();
    for n in 0..60 {
        w.append(Stream::Stdout, 0, format!("outer {n}\n").as_bytes(), n).unwrap();
    }
    let hurt = w.total_bytes() + 41;
    w.append(Stream::Stdout, 0, &nested, 100).unwrap();
    w.append(Stream::Stdout, 0, b"last\n", 101).unwrap();
    let file = segments(dir.path()).pop().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[hurt as usize] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (frames, damage, tail) = read_all(dir.path(), true);
    assert_eq!(frames.len(), 61);
    assert_eq!(frames[60].payload, b"last\n");
    assert_eq!((damage.len(), damage[0].seq_from, damage[0].seq_to, tail), (1, 61, 62, Tail::Clean));
}

#[test]
fn a_reader_follows_a_writer_without_seeing_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = LogWriter::create(dir.path(), OWNER, 0, 300_000).unwrap();
    let done = AtomicBool::new(false);
    let total = 4000u64;
    std::thread::scope(|scope| {
        let done = &done;
        scope.spawn(move || {
            let big = vec![b'x'; PAYLOAD_MAX];
            for n in 0..total {
                let len = if n % 97 == 0 { PAYLOAD_MAX } else { (n * 37 % 900) as usize };
                w.append(Stream::Stdout, 0, &big[..len], n).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        let mut r = LogReader::open(dir.path()).unwrap();
        let mut seen = 0;
        loop {
            let finished = done.load(Ordering::Acquire);
            let batch = r.poll_new(1 << 20).unwrap();
            assert!(batch.damage.is_empty(), "{:?}", batch.damage);
            for f in &batch.frames {
                seen += 1;
                assert_eq!(f.head.seq, seen);
            }
            if finished && batch.frames.is_empty() {
                assert_eq!(batch.tail, Some(Tail::Clean));
                break;
            }
        }
        assert_eq!(seen, total);
    });
}

#[test]
fn a_half_written_frame_is_read_once_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = LogWriter::create(dir.path(), OWNER, 0, 1 << 20).unwrap();
    w.append(Stream::Stdout, 0, b"first", 0).unwrap();
    w.append(Stream::Stdout, 0, b"second", 0).unwrap();
    let file = segments(dir.path()).pop().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let begin = 64 + 45;
    for keep in begin..bytes.len() {
        std::fs::write(&file, &bytes[..keep]).unwrap();
        let mut r = LogReader::open(dir.path()).unwrap();
        let batch = r.poll_new(1000).unwrap();
        assert_eq!((batch.frames.len(), batch.damage.len()), (1, 0), "{keep}");
        let expected = if keep == begin {
            Tail::Clean
        } else {
            Tail::Torn { segment: 1, at: begin as u64, bytes: (keep - begin) as u64 }
        };
        assert_eq!(batch.tail, Some(expected));
        // Another attempt of the writer may bring other bytes.
        let mut other =
            wharf_store::log::FrameHeader { stream: 2, flags: FLAG_GAP, len: 2, seq: 2, ns: 0, offset: 0, crc: 0 }
                .encode(b"{}")
                .to_vec();
        other.extend_from_slice(b"{}");
        std::fs::write(&file, [&bytes[..begin], &other[..]].concat()).unwrap();
        let batch = r.poll_new(1000).unwrap();
        assert_eq!((batch.frames.len(), batch.damage.len(), batch.tail), (1, 0, Some(Tail::Clean)));
        assert_eq!(batch.frames[0].payload, b"{}");
    }
}

#[test]
fn frames_of_unknown_streams_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = LogWriter::create(dir.path(), OWNER, 0, 1 << 20).unwrap();
    w.append(Stream::Stdout, 0, b"a", 0).unwrap();
    let file = segments(dir.path()).pop().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    for (stream, seq) in [(9u8, 2u64), (1, 3)] {
        let head = wharf_store::log::FrameHeader { stream, flags: 0, len: 1, seq, ns: 0, offset: seq - 2, crc: 0 };
        bytes.extend_from_slice(&head.encode(b"z"));
        bytes.push(b'z');
    }
    std::fs::write(&file, bytes).unwrap();
    let mut r = LogReader::open(dir.path()).unwrap();
    let mut pos = r.start();
    let mut seqs = Vec::new();
    while let Item::Frame(f) = r.next(&mut pos).unwrap() {
        seqs.push(f.head.seq);
    }
    assert_eq!(seqs, [1, 3]);
}

#[test]
fn a_missing_segment_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = LogWriter::create(dir.path(), OWNER, 0, 100).unwrap();
    for _ in 0..4 {
        w.append(Stream::Stdout, 0, b"abc", 0).unwrap();
    }
    std::fs::remove_file(&segments(dir.path())[1]).unwrap();
    let (frames, damage, tail) = read_all(dir.path(), true);
    assert_eq!(frames.iter().map(|f| f.head.seq).collect::<Vec<_>>(), [1, 3, 4]);
    assert_eq!((damage.len(), damage[0].seq_from, damage[0].seq_to, tail), (1, 2, 3, Tail::Clean));
    let empty = tempfile::tempdir().unwrap();
    assert!(LogReader::open(empty.path()).unwrap_err().to_string().contains("holds no log"));
}
