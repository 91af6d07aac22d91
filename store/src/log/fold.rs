//! Keeping the newest part of a log: old segments are folded into one that declares what is gone.
//!
//! Of the folded segments stay all records that are no output, and for each stream of output one gap
//! record that counts its missing bytes and frames. The fold keeps the name of the oldest segment it
//! stands for, so that a reader always finds the way on, and tells in its header the number of the
//! youngest. It is written under another name, synced and renamed into place, so a crash at any moment
//! leaves a whole log: a segment that a fold stands for and that was not removed yet is passed over.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::frame::{FLAG_GAP, FrameHeader, STREAMS, SegmentHeader, Stream, segment_name};
use super::salvage::each_kept;

/// Name under which a fold is written.
pub(super) const TEMPORARY: &str = "out.fold.tmp";

/// What a segment holds of one stream of output.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    pub bytes: u64,
    frames: u64,
    /// Offset of the first byte.
    offset: u64,
    pub last_seq: u64,
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

pub(super) fn is_output(stream: u8) -> bool {
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
    let taken: Vec<u64> = gaps.iter().map(|(seq, _)| *seq).collect();
    let mut gaps = gaps.into_iter().peekable();
    for source in before.into_iter().chain([oldest]) {
        let own = before.is_some_and(|b| b.number == source.number).then_some(&source.parts);
        each_kept(dir, source, own, &taken, |head, frame| {
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

#[cfg(test)]
mod tests;
