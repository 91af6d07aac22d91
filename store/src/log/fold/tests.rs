//! Logs of which only the head and the newest part are kept, whole and harmed.

use std::path::Path;

use super::super::append::{LogOwner, LogWriter};
use super::super::frame::FRAME_HEADER;
use super::super::item::{Item, StreamSet};
use super::super::raw::{Gap, copy_to};
use super::super::read::LogReader;
use super::*;

const OWNER: LogOwner = LogOwner { uuid: [3; 16], attempt: 2 };
const SEGMENT: u64 = 2_000;

fn byte(offset: u64) -> u8 {
    (offset % 251) as u8
}

/// A log of a head and a newest part of four segments, with a control record now and then.
fn flood(dir: &Path, frames: u64, mut each: impl FnMut(u64)) -> LogWriter {
    let mut log = LogWriter::create(dir, OWNER, 0, 1 << 20).unwrap();
    let mut at = 0u64;
    for i in 0..frames {
        if i == 20 {
            log.keep_newest(SEGMENT, 4 * SEGMENT);
        }
        let bytes: Vec<u8> = (at..at + 100).map(byte).collect();
        at += 100;
        log.append(if i % 5 == 4 { Stream::Stderr } else { Stream::Stdout }, 0, &bytes, i).unwrap();
        if i % 50 == 0 {
            log.append(Stream::Control, 0, br#"{"t":"x"}"#, i).unwrap();
        }
        each(i);
    }
    log
}

fn disk(dir: &Path) -> u64 {
    std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum()
}

/// Kept and missing bytes of both streams; numbers that gaps stand for, and frames that are there.
fn account(dir: &Path) -> ([u64; 2], [u64; 2], u64, u64, u64) {
    let mut reader = LogReader::open(dir).unwrap();
    let mut pos = reader.start();
    let (mut kept, mut missing, mut stood, mut there, mut controls) = ([0; 2], [0; 2], 0, 0, 0);
    loop {
        match reader.next(&mut pos).unwrap() {
            Item::End(_) => return (kept, missing, stood, there, controls),
            Item::Damage(damage) => panic!("{damage:?}"),
            Item::Frame(f) => {
                there += 1;
                if f.stream == Stream::Control {
                    controls += 1;
                    continue;
                }
                let s = f.stream.index() - 1;
                assert_eq!(f.head.offset, kept[s] + missing[s], "offsets are true");
                if f.head.flags & FLAG_GAP == 0 {
                    kept[s] += f.payload.len() as u64;
                } else {
                    let gap: serde_json::Value = serde_json::from_slice(f.payload).unwrap();
                    assert_eq!(gap["reason"], "quota");
                    missing[s] += gap["bytes"].as_u64().unwrap();
                    stood += gap["frames"].as_u64().unwrap() - 1;
                }
            }
        }
    }
}

#[test]
fn every_byte_and_number_is_kept_or_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut most = 0;
    let log = flood(dir.path(), 1_000, |_| most = most.max(disk(dir.path())));
    assert!(most < 20 * 141 + 4 * SEGMENT + 3_000, "bounded at every moment: {most}");
    assert_eq!(log.total_bytes(), disk(dir.path()));
    let (kept, missing, stood, there, controls) = account(dir.path());
    assert_eq!([kept[0] + missing[0], kept[1] + missing[1]], [80_000, 20_000]);
    assert_eq!([log.dropped()[1], log.dropped()[2]], missing);
    assert_eq!((there + stood, controls), (log.seq(), 20), "no number is without account");
    let kept_tail = kept[0] + kept[1] - 2_000;
    assert!(kept_tail > 3 * SEGMENT / 2, "the newest part is well filled: {kept_tail}");
    let mut out = Vec::new();
    let mut reader = LogReader::open(dir.path()).unwrap();
    let start = reader.start();
    let copied = copy_to(&mut reader, &mut out, StreamSet::OUTPUT, start, u64::MAX).unwrap();
    assert_eq!(copied.gap_count, 2, "{:?}", copied.gaps);
    assert!(copied.gaps.iter().all(|g| matches!(g, Gap::Declared { .. })));
    assert!(out[..2_000].iter().zip(0..).all(|(b, at)| *b == byte(at)));
    let tail = out.len() as u64 - 2_000;
    assert!(out[2_000..].iter().zip(100_000 - tail..).all(|(b, at)| *b == byte(at)), "the last bytes");
}

#[test]
fn a_segment_that_stayed_behind_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = None;
    let log = flood(dir.path(), 300, |i| {
        if i == 100 {
            let youngest = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).max().unwrap();
            old = Some((youngest.clone(), std::fs::read(youngest).unwrap()));
        }
    });
    let before = account(dir.path());
    let (path, bytes) = old.unwrap();
    assert!(!path.exists());
    std::fs::write(path, bytes).unwrap();
    std::fs::write(dir.path().join(TEMPORARY), b"half a fold").unwrap();
    assert_eq!(account(dir.path()), before);
    assert_eq!(before.2 + before.3, log.seq());
}

#[test]
fn a_reader_that_is_overtaken_sees_one_gap_and_no_damage() {
    for pace in [1, 7, 40, 150, 400] {
        let dir = tempfile::tempdir().unwrap();
        let mut reader: Option<(LogReader, super::super::item::Position)> = None;
        let mut seen = Vec::new();
        let mut last = 0;
        let mut read = |budget: usize| {
            let (reader, pos) = reader.get_or_insert_with(|| {
                let reader = LogReader::open(dir.path()).unwrap();
                let start = reader.start();
                (reader, start)
            });
            for _ in 0..budget {
                match reader.next(pos).unwrap() {
                    Item::End(_) => break,
                    Item::Damage(damage) => panic!("pace {pace}: {damage:?}"),
                    Item::Frame(f) => {
                        assert!(f.head.seq > last, "pace {pace}: {} after {last}", f.head.seq);
                        last = f.head.seq;
                        if f.head.flags & FLAG_GAP == 0 && f.stream == Stream::Stdout {
                            seen.push(f.payload.to_vec());
                        }
                    }
                }
            }
        };
        let log = flood(dir.path(), 1_000, |i| {
            if i % pace == 0 {
                read(8);
            }
        });
        read(usize::MAX);
        assert_eq!(last, log.seq(), "pace {pace}: it comes to the end");
        assert!(seen.len() > 50, "pace {pace}: {}", seen.len());
    }
}

#[test]
fn a_folded_log_is_sealed_as_any_other() {
    let dir = tempfile::tempdir().unwrap();
    drop(flood(dir.path(), 1_000, |_| ()));
    let before = account(dir.path());
    super::super::seal(dir.path(), |_| ()).unwrap();
    super::super::remove_unsealed(dir.path()).unwrap();
    assert!(std::fs::read_dir(dir.path()).unwrap().all(|e| {
        let name = e.unwrap().file_name();
        super::super::frame::sealed_number(name.to_str().unwrap()).is_some()
    }));
    assert_eq!(account(dir.path()), before);
}

#[test]
fn places_in_what_is_gone_lead_to_what_follows() {
    let dir = tempfile::tempdir().unwrap();
    let log = flood(dir.path(), 1_000, |_| ());
    let dropped = log.dropped()[1];
    let mut reader = LogReader::open(dir.path()).unwrap();
    for offset in [1_600, 40_000, 1_599 + dropped] {
        let mut pos = reader.at_offset(Stream::Stdout, offset).unwrap();
        match reader.next_of(&mut pos, StreamSet::of(&[Stream::Stdout])).unwrap() {
            Item::Frame(f) => assert_eq!(f.head.offset, 1_600 + dropped, "for {offset}"),
            other => panic!("{other:?}"),
        }
    }
    let mut pos = reader.at_seq(500).unwrap();
    assert!(matches!(reader.next(&mut pos).unwrap(), Item::Frame(f) if f.head.seq >= 500));
}

#[test]
fn a_fold_that_cannot_be_written_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = flood(dir.path(), 300, |_| ());
    let before = account(dir.path());
    std::fs::create_dir(dir.path().join(TEMPORARY)).unwrap();
    let mut refused = 0;
    for i in 0..40 {
        refused += u64::from(log.append(Stream::Stdout, 0, &[1; 100], i).is_err());
    }
    assert!(refused > 0);
    assert_eq!(account(dir.path()).1, before.1);
    std::fs::remove_dir(dir.path().join(TEMPORARY)).unwrap();
    log.append(Stream::Stdout, 0, &[1; 100], 40).unwrap();
    let after = account(dir.path());
    assert_eq!(after.2 + after.3, log.seq());
}

/// Flips a bit in the file.
fn harm(path: &Path, at: u64) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at as usize] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

/// Segment, place and header of every frame.
fn places(dir: &Path) -> Vec<(u32, u64, FrameHeader)> {
    let mut reader = LogReader::open(dir).unwrap();
    let mut pos = reader.start();
    let mut all = Vec::new();
    while let Item::Frame(f) = reader.next(&mut pos).unwrap() {
        let head = f.head;
        all.push((pos.segment, pos.at - head.size(), head));
    }
    all
}

/// What is read of a log: numbers of the frames, and bytes of damage.
fn read(dir: &Path) -> (Vec<u64>, u64) {
    let mut reader = LogReader::open(dir).unwrap();
    reader.set_live(false);
    let (mut pos, mut seqs, mut harmed) = (reader.start(), Vec::new(), 0);
    loop {
        match reader.next(&mut pos).unwrap() {
            Item::Frame(f) => seqs.push(f.head.seq),
            Item::Damage(d) => harmed += d.bytes,
            Item::End(_) => return (seqs, harmed),
        }
    }
}

#[test]
fn damage_in_a_fold_or_behind_it_costs_what_is_damaged_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    drop(flood(dir.path(), 1_000, |_| ()));
    let all = places(dir.path());
    let fold = LogReader::open(dir.path())
        .unwrap()
        .segments
        .all()
        .iter()
        .position(super::super::segments::Segment::is_folded)
        .unwrap();
    let (fold, behind) = {
        let reader = LogReader::open(dir.path()).unwrap();
        (reader.segments.get(fold).number, reader.segments.get(fold + 1).number)
    };
    let within: Vec<_> = all.iter().filter(|(segment, ..)| [fold, behind].contains(segment)).collect();
    assert!(within.len() > 20, "{}", within.len());
    for (segment, at, head) in within {
        let path = dir.path().join(segment_name(*segment));
        let good = std::fs::read(&path).unwrap();
        // Its length, its number, its payload.
        for place in [at + 8, at + 16, at + FRAME_HEADER as u64] {
            harm(&path, place);
            let (seqs, harmed) = read(dir.path());
            let expected: Vec<u64> = all.iter().map(|(.., h)| h.seq).filter(|seq| *seq != head.seq).collect();
            assert_eq!(seqs, expected, "frame {} of segment {segment} harmed at {place}", head.seq);
            assert_eq!(harmed, head.size());
            std::fs::write(&path, &good).unwrap();
        }
    }
}

#[test]
fn the_streams_go_on_behind_a_fold_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let log = flood(dir.path(), 1_000, |_| ());
    let mut reader = LogReader::open(dir.path()).unwrap();
    let end = reader.end().unwrap();
    assert_eq!((end.offset(Stream::Stdout), end.offset(Stream::Stderr)), (Some(80_000), Some(20_000)));
    assert!(log.dropped()[1] > 0);
}

#[test]
fn damage_in_a_segment_that_is_folded_keeps_the_records_behind_it_and_is_told() {
    let mut told_of_records = 0;
    for (nth, field) in [0, 1, 2].into_iter().flat_map(|nth| [(nth, 8), (nth, 16), (nth, FRAME_HEADER as u64)]) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = flood(dir.path(), 200, |_| ());
        for i in 0..20 {
            let stream = if i % 7 == 2 { Stream::Agent } else { Stream::Stdout };
            log.append(stream, 0, &[b'7'; 100], 200 + i).unwrap();
        }
        let there = places(dir.path());
        let closed = there.last().unwrap().0 - 1;
        let mine: Vec<_> = there.iter().filter(|(segment, ..)| *segment == closed).collect();
        // The first one, a record that stays, the last one.
        let record = mine.iter().position(|(.., h)| !is_output(h.stream)).unwrap();
        let (_, at, harmed) = mine[[0, record, mine.len() - 1][nth]];
        harm(&dir.path().join(segment_name(closed)), at + field);
        for i in 0..200 {
            log.append(Stream::Stdout, 0, &[7; 100], 300 + i).unwrap();
        }
        let reader = LogReader::open(dir.path()).unwrap();
        assert!(reader.segments.index_of(closed).is_none(), "it was folded");
        let (mut told, mut kept) = (Vec::new(), Vec::new());
        let mut reader = LogReader::open(dir.path()).unwrap();
        let (mut pos, mut last) = (reader.start(), 0);
        loop {
            match reader.next(&mut pos).unwrap() {
                Item::End(_) => break,
                Item::Damage(d) => panic!("{d:?}"),
                Item::Frame(f) => {
                    assert!(f.head.seq > last, "numbers rise");
                    last = f.head.seq;
                    if f.stream == Stream::Control && f.head.flags & FLAG_GAP != 0 {
                        told.push(String::from_utf8_lossy(f.payload).into_owned());
                    } else if matches!(f.stream, Stream::Control | Stream::Agent) {
                        kept.push(f.head.seq);
                    }
                }
            }
        }
        // Output that goes anyway is told by its own gap record, which may have this very number.
        let lost = format!(r#"{{"bytes":{},"reason":"damage"}}"#, harmed.size());
        let is_record = !is_output(harmed.stream);
        assert!(told == [lost] || (told.is_empty() && !is_record), "{nth} {field}: {told:?}");
        told_of_records += u64::from(is_record);
        let expected: Vec<u64> =
            there.iter().filter(|(.., h)| !is_output(h.stream) && h.seq != harmed.seq).map(|(.., h)| h.seq).collect();
        assert_eq!(kept, expected, "{nth} {field}");
    }
    assert!(told_of_records > 0);
}

#[test]
fn what_a_fold_stands_for_goes_when_the_log_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    drop(flood(dir.path(), 1_000, |_| ()));
    let before = account(dir.path());
    let (fold, through) = {
        let reader = LogReader::open(dir.path()).unwrap();
        let fold = reader.segments.all().iter().find(|s| s.is_folded()).unwrap();
        (fold.number, fold.through())
    };
    assert!(through > fold + 1);
    // As a crash leaves them: one that was folded and not removed, a fold that was not finished.
    let stale = dir.path().join(segment_name(through - 1));
    std::fs::copy(dir.path().join(segment_name(1)), &stale).unwrap();
    std::fs::write(dir.path().join(TEMPORARY), "half").unwrap();
    assert_eq!(account(dir.path()), before);
    // Before the fold is sealed nothing goes.
    super::super::remove_unsealed(dir.path()).unwrap();
    assert!(stale.exists());
    super::super::seal(dir.path(), |_| ()).unwrap();
    super::super::remove_unsealed(dir.path()).unwrap();
    let left: Vec<String> =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| name.ends_with(".wlog.zst")), "{left:?}");
    assert_eq!(account(dir.path()), before);
}
