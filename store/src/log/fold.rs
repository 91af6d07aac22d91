//! Keeping the newest part of a log: old segments are folded into one that declares what is gone.
//!
//! Of the folded segments stay all records that are no output, and for each stream of output one gap
//! record that counts its missing bytes and frames. The fold keeps the name of the oldest segment it
//! stands for, so that a reader always finds the way on, and tells in its header the number of the
//! youngest. It is written under another name, synced and renamed into place, so a crash at any moment
//! leaves a whole log: a segment that a fold stands for and that was not removed yet is passed over.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::frame::{FLAG_GAP, FRAME_HEADER, FrameHeader, STREAMS, SegmentHeader, Stream, segment_name};

/// Name under which a fold is written.
const TEMPORARY: &str = "out.fold.tmp";

/// What a segment holds of one stream of output.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    pub bytes: u64,
    frames: u64,
    /// Offset of the first byte.
    offset: u64,
    last_seq: u64,
    last_ns: u64,
}

impl Part {
    fn and(self, later: Self) -> Self {
        match (self.frames, later.frames) {
            (0, _) => later,
            (_, 0) => self,
            _ => Self {
                bytes: self.bytes + later.bytes,
                frames: self.frames + later.frames,
                offset: self.offset,
                ..later
            },
        }
    }

    /// The gap record that stands for it, under the number of its last frame.
    fn gap(&self, stream: usize) -> Vec<u8> {
        let payload = format!(r#"{{"bytes":{},"reason":"quota","frames":{}}}"#, self.bytes, self.frames);
        let head = FrameHeader {
            stream: stream as u8,
            flags: FLAG_GAP,
            len: payload.len() as u32,
            seq: self.last_seq,
            ns: self.last_ns,
            offset: self.offset,
            crc: 0,
        };
        let mut frame = head.encode(payload.as_bytes()).to_vec();
        frame.extend_from_slice(payload.as_bytes());
        frame
    }
}

/// A segment behind the head of the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    pub number: u32,
    pub len: u64,
    pub first_seq: u64,
    pub parts: [Part; STREAMS],
}

impl Tally {
    pub fn new(number: u32, first_seq: u64) -> Self {
        Self { number, len: 0, first_seq, parts: [Part::default(); STREAMS] }
    }

    /// Notes a frame that was appended.
    pub fn note(&mut self, head: &FrameHeader) {
        if is_output(head.stream) && head.flags & FLAG_GAP == 0 {
            let one = Part {
                bytes: u64::from(head.len),
                frames: 1,
                offset: head.offset,
                last_seq: head.seq,
                last_ns: head.ns,
            };
            let part = &mut self.parts[usize::from(head.stream)];
            *part = part.and(one);
        }
    }
}

/// The segments that hold the newest part of a log, and the fold before them.
#[derive(Debug)]
pub(super) struct Ring {
    pub max_bytes: u64,
    /// Oldest first; not the one that is being written.
    pub closed: VecDeque<Tally>,
    /// The one that is being written; none while that still belongs to the head.
    pub current: Option<Tally>,
    folded: Option<Tally>,
}

impl Ring {
    pub fn new(max_bytes: u64) -> Self {
        Self { max_bytes, closed: VecDeque::new(), current: None, folded: None }
    }

    /// Bytes of the closed segments, without the fold.
    pub fn closed_bytes(&self) -> u64 {
        self.closed.iter().map(|c| c.len).sum()
    }

    /// Bytes of each stream that are not in the log any more.
    pub fn dropped(&self) -> [u64; STREAMS] {
        self.folded.map_or([0; STREAMS], |f| f.parts.map(|p| p.bytes))
    }

    /// Folds the oldest closed segment. Gives how many bytes of segments went, and how many came.
    ///
    /// # Errors
    /// What the file system says; then nothing has changed.
    pub fn fold_oldest(&mut self, dir: &OwnedFd, header: SegmentHeader) -> io::Result<(u64, u64)> {
        let Some(oldest) = self.closed.front().copied() else { return Ok((0, 0)) };
        let before = self.folded;
        let mut fold = Tally { len: 0, ..oldest };
        if let Some(before) = before {
            fold.first_seq = before.first_seq;
            fold.number = before.number;
            for (part, old) in fold.parts.iter_mut().zip(before.parts) {
                *part = old.and(*part);
            }
        }
        let header = SegmentHeader { number: fold.number, through: oldest.number, first_seq: fold.first_seq, ..header };
        let written = write(dir, &header, before.as_ref(), &oldest, &fold.parts).and_then(|len| {
            rustix::fs::renameat(dir, TEMPORARY, dir, segment_name(fold.number))?;
            Ok(len)
        });
        fold.len = match written {
            Ok(len) => len,
            Err(error) => {
                // Best effort: the next try begins it anew, and readers do not look at it.
                let _ = rustix::fs::unlinkat(dir, TEMPORARY, AtFlags::empty());
                return Err(error);
            }
        };
        if before.is_some() {
            // Readers pass over it when it stays.
            let _ = rustix::fs::unlinkat(dir, segment_name(oldest.number), AtFlags::empty());
        }
        self.closed.pop_front();
        self.folded = Some(fold);
        Ok((oldest.len + before.map_or(0, |b| b.len), fold.len))
    }
}

fn is_output(stream: u8) -> bool {
    [Stream::Stdout, Stream::Stderr, Stream::Terminal].iter().any(|s| s.number() == stream)
}

/// Writes the fold of `before` and `oldest` under its temporary name, synced; its length.
fn write(
    dir: &OwnedFd,
    header: &SegmentHeader,
    before: Option<&Tally>,
    oldest: &Tally,
    parts: &[Part; STREAMS],
) -> io::Result<u64> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(dir, TEMPORARY, flags, Mode::RUSR | Mode::WUSR)?);
    let mut out = Out { file: BufWriter::new(file), len: 0 };
    out.put(&header.encode())?;
    let mut gaps: Vec<(u64, Vec<u8>)> =
        parts.iter().enumerate().filter(|(_, p)| p.frames > 0).map(|(s, p)| (p.last_seq, p.gap(s))).collect();
    gaps.sort_by_key(|(seq, _)| *seq);
    let mut gaps = gaps.into_iter().peekable();
    for source in before.into_iter().chain([oldest]) {
        let own = before.is_some_and(|b| b.number == source.number).then_some(&source.parts);
        each_kept(dir, source, own, |head, frame| {
            while let Some((_, gap)) = gaps.next_if(|(seq, _)| *seq < head.seq) {
                out.put(&gap)?;
            }
            out.put(frame)
        })?;
    }
    for (_, gap) in gaps {
        out.put(&gap)?;
    }
    out.file.flush()?;
    rustix::fs::fdatasync(out.file.get_ref().as_fd())?;
    Ok(out.len)
}

struct Out {
    file: BufWriter<File>,
    len: u64,
}

impl Out {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

/// Calls `f` with each frame of a segment that stays; `own` are the gaps that an earlier fold wrote.
/// What is damaged has nothing that could be kept.
fn each_kept(
    dir: &OwnedFd,
    segment: &Tally,
    own: Option<&[Part; STREAMS]>,
    mut f: impl FnMut(&FrameHeader, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(dir, segment_name(segment.number), flags, Mode::empty())?);
    let mut file = BufReader::new(file);
    file.seek_relative(super::frame::SEGMENT_HEADER as i64)?;
    let mut at = super::frame::SEGMENT_HEADER as u64;
    let mut frame = vec![0; FRAME_HEADER];
    while at < segment.len {
        frame.resize(FRAME_HEADER, 0);
        file.read_exact(&mut frame)?;
        let Some(head) = frame.first_chunk().and_then(FrameHeader::decode) else { break };
        at += head.size();
        let is_own = head.flags & FLAG_GAP != 0
            && own.and_then(|parts| parts.get(usize::from(head.stream))).is_some_and(|p| p.last_seq == head.seq);
        if is_own || (is_output(head.stream) && head.flags & FLAG_GAP == 0) {
            file.seek_relative(i64::from(head.len))?;
            continue;
        }
        frame.resize(FRAME_HEADER + head.len as usize, 0);
        file.read_exact(&mut frame[FRAME_HEADER..])?;
        if !head.verify(&frame[FRAME_HEADER..]) {
            break;
        }
        f(&head, &frame)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::append::{LogOwner, LogWriter};
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
}
