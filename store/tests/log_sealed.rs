//! Sealed logs against the same logs before: nothing a reader is told changes, and whatever happens to
//! a sealed file, what it gives is either the same or said to be damaged.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed step of a test is a failed test, and the figures are for its reader"
)]

use std::path::Path;

use proptest::prelude::*;
use wharf_store::log::frame::{sealed_name, segment_name};
use wharf_store::log::*;

const OWNER: LogOwner = LogOwner { uuid: [7; 16], attempt: 1 };

/// Writes a log of text with few and many letters, some control frames, and an exit frame.
fn write(dir: &Path, frames: &[(Stream, usize, u8)], segment: u64) {
    let mut w = LogWriter::create(dir, OWNER, 5_000, segment).unwrap();
    let mut noise = 1u32;
    for (n, (stream, len, kind)) in frames.iter().enumerate() {
        let payload: Vec<u8> = (0..*len)
            .map(|i| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                match (kind, i % 60) {
                    (0, _) => (noise >> 24) as u8,
                    (_, 59) => b'\n',
                    (_, at) => b'a' + ((at as u32 + (noise >> 30)) % 26) as u8,
                }
            })
            .collect();
        w.append(*stream, 0, &payload, n as u64 * 1_000).unwrap();
    }
    w.append(Stream::Control, 0, br#"{"t":"exit"}"#, 1 << 40).unwrap();
    w.sync().unwrap();
}

/// Everything a reader is told, and where it was.
fn told(dir: &Path) -> (Vec<OwnedFrame>, Vec<Damage>, Tail, Vec<Position>) {
    let mut reader = LogReader::open(dir).unwrap();
    reader.set_live(false);
    let (mut frames, mut damage, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let mut pos = reader.start();
    loop {
        places.push(pos);
        match reader.next(&mut pos).unwrap() {
            Item::Frame(f) => frames.push(OwnedFrame { head: f.head, stream: f.stream, payload: f.payload.to_vec() }),
            Item::Damage(d) => damage.push(d),
            Item::End(tail) => return (frames, damage, tail, places),
        }
        assert!(damage.len() < 10_000, "damage has no end");
    }
}

fn sealed_whole(dir: &Path) {
    let mut points = Vec::new();
    let bytes = seal(dir, |p| points.push(p)).unwrap();
    assert!(points.chunks(3).all(|p| p == [SealPoint::Compressed, SealPoint::Verified, SealPoint::Renamed]));
    assert!(bytes.from > 0 && bytes.to > 0);
}

fn files(dir: &Path) -> Vec<String> {
    let mut all: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

fn frames() -> impl Strategy<Value = Vec<(Stream, usize, u8)>> {
    let stream = prop::sample::select(vec![Stream::Stdout, Stream::Stderr, Stream::Agent, Stream::Control]);
    let len = prop_oneof![4 => 0usize..400, 2 => 20_000usize..90_000, 1 => Just(PAYLOAD_MAX)];
    prop::collection::vec((stream, len, 0u8..3), 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sealed_log_tells_the_same(frames in frames(), segment in 1_000u64..400_000, keep in any::<u64>()) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &frames, segment);
        let before = told(dir.path());
        let mut reader = LogReader::open(dir.path()).unwrap();
        let hashes = reader.hashes(|_| true).unwrap().unwrap();
        let parts: Vec<_> = (0..5u32).map(|p| reader.at_part(p * 250_000).unwrap()).collect();
        let tail = LogLines::open(dir.path(), 100, None).unwrap().tail_lines(20, StreamSet::OUTPUT).unwrap().lines;
        // One that is open all the while sees nothing of it.
        let mut open = LogReader::open(dir.path()).unwrap();
        let mut open_at = open.start();
        open.next(&mut open_at).unwrap();

        sealed_whole(dir.path());
        let names = files(dir.path());
        let segments: Vec<_> = names.iter().filter(|n| frame::segment_number(n).is_some()).cloned().collect();
        prop_assert_eq!(names.len(), 2 * segments.len(), "both are there until the row says so");
        for (n, name) in segments.iter().enumerate().filter(|(n, _)| keep >> (n % 64) & 1 == 0) {
            prop_assert!(dir.path().join(sealed_name(n as u32 + 1)).exists());
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
        prop_assert_eq!(&told(dir.path()), &before, "some of them sealed");
        remove_unsealed(dir.path()).unwrap();
        prop_assert!(files(dir.path()).iter().all(|n| frame::sealed_number(n).is_some()));
        prop_assert_eq!(&told(dir.path()), &before, "all of them sealed");

        let mut reader = LogReader::open(dir.path()).unwrap();
        prop_assert_eq!(reader.hashes(|_| true).unwrap().unwrap(), hashes);
        prop_assert_eq!((0..5u32).map(|p| reader.at_part(p * 250_000).unwrap()).map(|p| p.seq()).collect::<Vec<_>>(),
            parts.iter().map(Position::seq).collect::<Vec<_>>());
        let mut lines = LogLines::open(dir.path(), 100, None).unwrap();
        prop_assert_eq!(lines.tail_lines(20, StreamSet::OUTPUT).unwrap().lines, tail);
        for frame in &before.0 {
            let mut pos = reader.at_seq(frame.head.seq).unwrap();
            let Item::Frame(found) = reader.next(&mut pos).unwrap() else { panic!("frame {}", frame.head.seq) };
            prop_assert_eq!(found.head, frame.head);
            if frame.head.advance() > 0 {
                let mut pos = reader.at_offset(frame.stream, frame.head.offset).unwrap();
                let Item::Frame(found) = reader.next(&mut pos).unwrap() else { panic!("frame {}", frame.head.seq) };
                prop_assert_eq!(found.head, frame.head);
            }
        }
        let mut rest = 1;
        while let Item::Frame(_) = open.next(&mut open_at).unwrap() {
            rest += 1;
        }
        prop_assert_eq!(rest, before.0.len());
        // Sealing what is sealed changes nothing.
        let sealed: Vec<_> = files(dir.path()).iter().map(|n| std::fs::read(dir.path().join(n)).unwrap()).collect();
        seal(dir.path(), |_| panic!("nothing is left to seal")).unwrap();
        prop_assert_eq!(files(dir.path()).iter().map(|n| std::fs::read(dir.path().join(n)).unwrap()).collect::<Vec<_>>(), sealed);
    }

    #[test]
    fn whatever_is_cut_or_flipped_is_told(
        frames in frames(), segment in 1_000u64..400_000, which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>(), at_edge in 0u8..4,
    ) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &frames, segment);
        let before = told(dir.path());
        sealed_whole(dir.path());
        remove_unsealed(dir.path()).unwrap();
        let names = files(dir.path());
        let file = dir.path().join(&names[which.index(names.len())]);
        let mut bytes = std::fs::read(&file).unwrap();
        let at = match at_edge { 0 => at.index(bytes.len().min(200)), _ => at.index(bytes.len()) };
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        std::fs::write(&file, &bytes).unwrap();
        same_or_told(dir.path(), &before.0)?;
        // Windows and searches come to an end as well.
        let mut lines = LogLines::open(dir.path(), 100, None).unwrap();
        lines.set_live(false);
        lines.tail_lines(20, StreamSet::OUTPUT).unwrap();
        lines.window(Anchor::Part(500_000), 20, StreamSet::OUTPUT).unwrap();
        lines.count(u64::MAX).unwrap();
    }
}

/// Every frame that is given is one that was written, and when any is missing a gap was told.
fn same_or_told(dir: &Path, before: &[OwnedFrame]) -> Result<(), TestCaseError> {
    let (after, damage, ..) = told(dir);
    prop_assert!(after.windows(2).all(|w| w[0].head.seq < w[1].head.seq));
    for frame in &after {
        prop_assert_eq!(frame, &before[frame.head.seq as usize - 1]);
    }
    prop_assert!(after.len() == before.len() || !damage.is_empty(), "{} of {}", after.len(), before.len());
    Ok(())
}

#[test]
fn bits_and_lengths_all_over_a_small_sealed_file() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[(Stream::Stdout, 90, 1), (Stream::Stderr, 20, 0)], 1 << 20);
    let before = told(dir.path());
    seal(dir.path(), |_| ()).unwrap();
    remove_unsealed(dir.path()).unwrap();
    let file = dir.path().join(sealed_name(1));
    let good = std::fs::read(&file).unwrap();
    for len in (0..good.len()).step_by(3) {
        std::fs::write(&file, &good[..len]).unwrap();
        same_or_told(dir.path(), &before.0).unwrap();
    }
    // Every byte, each time another of its bits.
    for bit in (0..good.len() * 8).step_by(7) {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&file, &bad).unwrap();
        same_or_told(dir.path(), &before.0).unwrap();
    }
}

#[test]
fn a_sealing_that_was_cut_off_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[(Stream::Stdout, 100_000, 1); 3], 120_000);
    let before = told(dir.path());
    let temporary = dir.path().join(format!("{}.tmp", sealed_name(1)));
    std::fs::write(&temporary, b"the beginning of").unwrap();
    // A sealed file that is not what its segment is: never the reason to remove that.
    std::fs::write(dir.path().join(sealed_name(2)), b"half a file").unwrap();
    remove_unsealed(dir.path()).unwrap();
    assert!(dir.path().join(segment_name(2)).exists() && !temporary.exists());
    assert_eq!(told(dir.path()), before);
    seal(dir.path(), |_| ()).unwrap();
    remove_unsealed(dir.path()).unwrap();
    assert_eq!(files(dir.path()), [sealed_name(1), sealed_name(2), sealed_name(3)]);
    assert_eq!(told(dir.path()), before);
}

#[test]
fn any_program_that_knows_zstd_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[(Stream::Stdout, 100_000, 1); 5], 1 << 20);
    let plain = std::fs::read(dir.path().join(segment_name(1))).unwrap();
    seal(dir.path(), |_| ()).unwrap();
    let sealed = std::fs::read(dir.path().join(sealed_name(1))).unwrap();
    let mut out = Vec::with_capacity(plain.len());
    zstd_safe::decompress(&mut out, &sealed).unwrap();
    assert!(out == plain);
    // The seek table at its end names every part of the file.
    let n = u32::from_le_bytes(*sealed[sealed.len() - 9..].first_chunk().unwrap()) as usize;
    assert_eq!(sealed[sealed.len() - 4..], 0x8F92_EAB1_u32.to_le_bytes());
    let table = &sealed[sealed.len() - 9 - 8 * n..sealed.len() - 9];
    let sizes: Vec<_> = table.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b) as usize).collect();
    let (packed, unpacked): (Vec<usize>, Vec<usize>) = sizes.as_chunks::<2>().0.iter().map(|[c, d]| (*c, *d)).unzip();
    assert_eq!(packed.iter().sum::<usize>(), sealed.len() - 8 - 8 * n - 9);
    assert_eq!(unpacked.iter().sum::<usize>(), plain.len());
}

#[test]
fn sealing_costs_little_of_what_one_stream_would_save() {
    let dir = tempfile::tempdir().unwrap();
    let mut w = LogWriter::create(dir.path(), OWNER, 0, 8 << 20).unwrap();
    let mut noise = 7u32;
    let words = ["checkout", "test", "passed", "failed in", "retrying", "src/cart.rs", "warning:", "ok"];
    for n in 0..60_000u64 {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let word = |shift: u32| words[(noise >> shift) as usize % words.len()];
        let line = format!(
            "2026-11-29T01:28:{:02}.{:03}Z {} {} {} took {} ms\n",
            n % 60,
            n % 997,
            word(8),
            word(16),
            word(24),
            noise >> 20
        );
        w.append(Stream::Stdout, 0, line.as_bytes(), n * 1_000).unwrap();
    }
    let plain = std::fs::read(dir.path().join(segment_name(1))).unwrap();
    let mut stream = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
    zstd_safe::compress(&mut stream, &plain, 1).unwrap();
    let begun = std::time::Instant::now();
    let bytes = seal(dir.path(), |_| ()).unwrap();
    let took = begun.elapsed();
    let sealed = std::fs::metadata(dir.path().join(sealed_name(1))).unwrap().len();
    let ratio = |len: u64| plain.len() as f64 / len as f64;
    println!("{bytes:?} in {took:?}; ratio {:.2}, as one stream {:.2}", ratio(sealed), ratio(stream.len() as u64));
    assert!(ratio(sealed) >= 0.9 * ratio(stream.len() as u64), "{sealed} against {}", stream.len());
    // A place in it is found without unpacking what is before.
    remove_unsealed(dir.path()).unwrap();
    let mut reader = LogReader::open(dir.path()).unwrap();
    let opened = reader.bytes_read();
    let mut middle = reader.at_seq(30_000).unwrap();
    let Item::Frame(frame) = reader.next(&mut middle).unwrap() else { panic!("frame 30000 is there") };
    assert_eq!(frame.head.seq, 30_000);
    let cost = reader.bytes_read() - opened;
    assert!(cost < sealed / 10, "{cost} of {sealed} bytes were read for one frame");
    let end = reader.end().unwrap();
    assert_eq!(end.seq(), 60_001);
}
