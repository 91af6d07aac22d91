//! `on_quota = "head_tail"`: both ends of a flood stay, and what is gone between them is counted.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod shim_common;

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use shim_common::{LIMIT, Place, eventually};
use wharf::process::signal;
use wharf_model::shim::*;
use wharf_store::log::{FLAG_GAP, Item, LogReader, Stream, Tail};

const QUOTA: u64 = 8 << 20;
/// Two streams of 32 MiB: lines of eight bytes that number themselves.
const FLOOD: &str = "seq 1000000 5194303 & seq 1000000 5194303 >&2; wait; exit 3";
const EACH: u64 = 32 << 20;

/// Whether these are the bytes of either stream at an offset.
fn is_flood_at(offset: u64, bytes: &[u8]) -> bool {
    let mut expected = Vec::with_capacity(bytes.len() + 16);
    for line in offset / 8..=(offset + bytes.len() as u64) / 8 {
        writeln!(expected, "{}", 1_000_000 + line).unwrap();
    }
    expected[(offset % 8) as usize..].starts_with(bytes)
}

/// What a log holds of one stream.
#[derive(Debug, Default)]
struct Held {
    kept: u64,
    gaps: Vec<u64>,
}

impl Held {
    fn end(&self) -> u64 {
        self.kept + self.gaps.iter().sum::<u64>()
    }
}

/// Reads a log through, checks each byte against its true offset and that no number is without account.
fn account(dir: &Path) -> ([Held; 2], u64, Vec<String>) {
    let mut reader = LogReader::open(dir).unwrap();
    let mut pos = reader.start();
    let (mut held, mut frames, mut last, mut records) = ([Held::default(), Held::default()], 0, 0, Vec::new());
    loop {
        match reader.next(&mut pos).unwrap() {
            Item::Damage(damage) => panic!("{damage:?}"),
            Item::End(tail) => {
                assert_eq!(frames, last, "each number is there or counted; the end is {tail:?}");
                return (held, last, records);
            }
            Item::Frame(f) => {
                frames += 1;
                assert!(f.head.seq > last);
                last = f.head.seq;
                if f.stream == Stream::Control {
                    let record: serde_json::Value = serde_json::from_slice(f.payload).unwrap();
                    records.push(record["t"].as_str().unwrap().to_owned());
                    continue;
                }
                let one = &mut held[f.stream.index() - 1];
                assert_eq!(f.head.offset, one.end(), "true offsets in {:?}", f.stream);
                if f.head.flags & FLAG_GAP != 0 {
                    let gap: serde_json::Value = serde_json::from_slice(f.payload).unwrap();
                    assert_eq!(gap["reason"], "quota");
                    one.gaps.push(gap["bytes"].as_u64().unwrap());
                    frames += gap["frames"].as_u64().unwrap() - 1;
                } else {
                    assert!(is_flood_at(f.head.offset, f.payload));
                    one.kept += f.payload.len() as u64;
                }
            }
        }
    }
}

fn disk(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    files.filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum()
}

fn place() -> Place {
    let mut place = Place::sh(FLOOD);
    place.spec.log.quota_bytes = Some(QUOTA);
    place.spec.log.on_quota = OnQuota::HeadTail;
    place
}

#[test]
fn both_ends_of_a_flood_stay_and_the_rest_is_counted() {
    let mut place = place();
    let (over, most) = (AtomicBool::new(false), AtomicU64::new(0));
    let dir = place.dir.clone();
    let frame = std::thread::scope(|s| {
        s.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(disk(&dir), Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        place.start();
        let ended = place.wait_for(LIMIT * 6);
        over.store(true, Ordering::Relaxed);
        assert!(ended.success(), "{}", place.errors());
        place.exit()
    });
    assert_eq!((frame.code, frame.by, frame.stop.is_none()), (Some(3), EndedBy::Itself, true));
    let most = most.into_inner();
    assert!(most < QUOTA + (1 << 20), "the disk holds no more than the quota at any time: {most}");
    let (held, _, records) = account(&place.dir);
    for (one, name) in held.iter().zip(["stdout", "stderr"]) {
        assert_eq!(one.end(), EACH, "{name}: every byte is kept or counted");
        assert_eq!(one.gaps.len(), 1, "{name}: one gap");
        assert_eq!(frame.streams[name].bytes, one.kept, "{name}");
    }
    let kept = held[0].kept + held[1].kept;
    assert!(kept <= QUOTA && kept > QUOTA / 8 * 6, "the quota is used: {kept}");
    for t in ["started", "quota", "child_exited", "exit"] {
        assert_eq!(records.iter().filter(|r| *r == t).count(), 1, "{t} in {records:?}");
    }
}

#[test]
fn the_head_is_what_came_first() {
    let mut place = Place::sh("seq 1000000 2048575");
    place.spec.log.quota_bytes = Some(1 << 20);
    place.spec.log.on_quota = OnQuota::HeadTail;
    place.run();
    let (held, ..) = account(&place.dir);
    let bytes = place_bytes(&place.dir);
    assert!(is_flood_at(0, &bytes[..1 << 19]), "half the quota");
    let tail = held[0].kept - (1 << 19);
    assert!(tail >= (1 << 17) * 2, "{tail}");
    assert!(is_flood_at(held[0].end() - tail, &bytes[1 << 19..]));
}

#[test]
fn below_the_quota_nothing_is_different() {
    let mut place = Place::sh("seq 1000000 1089999");
    place.spec.log.quota_bytes = Some(1 << 20);
    place.spec.log.on_quota = OnQuota::HeadTail;
    place.run();
    let (held, ..) = account(&place.dir);
    assert_eq!((held[0].kept, held[0].gaps.len()), (720_000, 0));
    assert!(place.records("quota").is_empty());
}

#[test]
fn a_shim_that_is_killed_leaves_a_readable_log() {
    for after in [5 << 20, 9 << 20, 20 << 20] {
        let mut place = place();
        place.start();
        let mut client = place.connect(place.spec.epoch);
        eventually("the flood", || match client.ask(&Control::Status).ok()? {
            ControlReply::Status { offsets, .. } => (offsets.values().sum::<u64>() > after).then_some(()),
            other => panic!("{other:?}"),
        });
        let shim = wharf::process::identity::process(place.shim.as_ref().unwrap().pid()).unwrap().unwrap();
        signal::send(shim, signal::Signal::KILL).unwrap();
        place.wait();
        let (held, ..) = account(&place.dir);
        assert!(held[0].end() + held[1].end() > after);
        let mut reader = LogReader::open(&place.dir).unwrap();
        let end = reader.end().unwrap();
        let mut at = end;
        assert!(matches!(reader.next(&mut at).unwrap(), Item::End(Tail::Clean | Tail::Torn { .. })));
    }
}

fn place_bytes(dir: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    let mut reader = LogReader::open(dir).unwrap();
    let start = reader.start();
    let streams = wharf_store::log::StreamSet::of(&[Stream::Stdout]);
    wharf_store::log::copy_to(&mut reader, &mut out, streams, start, u64::MAX).unwrap();
    out
}
