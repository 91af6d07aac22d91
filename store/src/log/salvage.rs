//! What is kept of a segment that is folded: its records, read past damage, with a word about what is lost.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{Mode, OFlags};

use super::fold::{Part, Tally, is_output};
use super::frame::{FLAG_GAP, FRAME_HEADER, FRAME_MAGIC, FrameHeader, STREAMS, Stream, segment_name};
use super::item::UNKNOWN;

/// Bytes of a segment read at once.
const AHEAD: usize = 16 * 1024;

/// Calls `f` with each frame of a segment that stays; `own` are the gaps that an earlier fold wrote. Where
/// the segment is damaged it goes on at the next frame that is sound, and a gap record among the control
/// records tells what is lost. `taken` are numbers that records of this fold have.
pub(super) fn each_kept(
    dir: &OwnedFd,
    segment: &Tally,
    own: Option<&[Part; STREAMS]>,
    taken: &[u64],
    mut f: impl FnMut(&FrameHeader, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(dir, segment_name(segment.number), flags, Mode::empty())?);
    let mut source = Source { file, len: segment.len, ahead: Vec::new(), ahead_at: 0 };
    let mut at = super::frame::SEGMENT_HEADER as u64;
    let mut before = FrameHeader { seq: segment.first_seq.saturating_sub(1), ..NOTHING };
    // The last frame, while only its header's word is known, and the one before that.
    let mut unproven: Option<(u64, FrameHeader)> = None;
    let mut frame = Vec::new();
    while at < segment.len {
        let found = source.head(at)?.filter(|h| h.seq > before.seq);
        let mut sound = found.is_some();
        if let Some(head) = found {
            let is_own = head.flags & FLAG_GAP != 0
                && own.and_then(|parts| parts.get(usize::from(head.stream))).is_some_and(|p| p.last_seq == head.seq);
            let goes = is_own || (is_output(head.stream) && head.flags & FLAG_GAP == 0);
            let follows = own.is_none() && head.seq == before.seq + 1;
            if !(goes && follows) {
                sound = source.is_sound(at, &head, &mut frame)?;
                if sound && !goes {
                    f(&head, &frame)?;
                }
            }
            if sound {
                unproven = (goes && follows).then_some((at, before));
                at += head.size();
                before = head;
                continue;
            }
        }
        // The length that led here may be what is wrong.
        if let Some((place, earlier)) = unproven.take()
            && !source.is_sound(place, &before, &mut frame)?
        {
            (at, before) = (place, earlier);
        }
        at = source.pass(at, &before, taken, &mut f)?;
    }
    Ok(())
}

/// A header before any frame.
const NOTHING: FrameHeader = FrameHeader { stream: 0, flags: 0, len: 0, seq: 0, ns: 0, offset: 0, crc: 0 };

/// A closed segment, read a piece at a time.
struct Source {
    file: File,
    len: u64,
    ahead: Vec<u8>,
    ahead_at: u64,
}

impl Source {
    /// The header at a place; none where there is no frame that lies in the segment.
    fn head(&mut self, at: u64) -> io::Result<Option<FrameHeader>> {
        if at + FRAME_HEADER as u64 > self.len {
            return Ok(None);
        }
        let behind = self.ahead_at + self.ahead.len() as u64;
        if at < self.ahead_at || at + FRAME_HEADER as u64 > behind {
            self.ahead.resize(AHEAD.min((self.len - at) as usize), 0);
            self.file.read_exact_at(&mut self.ahead, at)?;
            self.ahead_at = at;
        }
        let head = self.ahead[(at - self.ahead_at) as usize..].first_chunk().and_then(FrameHeader::decode);
        Ok(head.filter(|h| at + h.size() <= self.len))
    }

    /// Reads a whole frame; says whether its checksum holds.
    fn is_sound(&self, at: u64, head: &FrameHeader, frame: &mut Vec<u8>) -> io::Result<bool> {
        frame.resize(head.size() as usize, 0);
        self.file.read_exact_at(frame, at)?;
        Ok(frame.get(FRAME_HEADER..).is_some_and(|payload| head.verify(payload)))
    }

    /// Passes over damage at `from`, behind the frame `before`: gives the place of the next sound frame, or
    /// the end, and a record of what lies between to `f`.
    fn pass(
        &mut self,
        from: u64,
        before: &FrameHeader,
        taken: &[u64],
        f: &mut impl FnMut(&FrameHeader, &[u8]) -> io::Result<()>,
    ) -> io::Result<u64> {
        let finder = memchr::memmem::Finder::new(&FRAME_MAGIC);
        let (mut at, mut frame) = (from + 1, Vec::new());
        let mut next = None;
        while next.is_none() && at + FRAME_HEADER as u64 <= self.len {
            // Makes the piece ahead begin no later than here.
            let _ = self.head(at)?;
            let skip = (at - self.ahead_at) as usize;
            let Some(hit) = finder.find(&self.ahead[skip..]) else {
                at = (self.ahead_at + self.ahead.len() as u64).saturating_sub(FRAME_MAGIC.len() as u64 - 1).max(at + 1);
                continue;
            };
            at += hit as u64;
            if let Some(head) = self.head(at)?.filter(|h| h.seq > before.seq && h.ns >= before.ns) {
                next = self.is_sound(at, &head, &mut frame)?.then_some(head);
            }
            at += u64::from(next.is_none());
        }
        let to = if next.is_some() { at } else { self.len };
        // Its number is one of those that are lost; where all of them are taken the hole speaks for itself.
        let numbers = before.seq + 1..next.map_or(before.seq + 2, |n| n.seq);
        if let Some(seq) = numbers.into_iter().find(|n| !taken.contains(n)) {
            let payload = format!(r#"{{"bytes":{},"reason":"damage"}}"#, to - from);
            let stream = Stream::Control.number();
            let len = payload.len() as u32;
            let head = FrameHeader { stream, flags: FLAG_GAP, len, seq, ns: before.ns, offset: UNKNOWN, crc: 0 };
            let mut record = head.encode(payload.as_bytes()).to_vec();
            record.extend_from_slice(payload.as_bytes());
            f(&head, &record)?;
        }
        Ok(to)
    }
}
