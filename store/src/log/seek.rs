//! Finding a place in a log without reading the whole of it.
//!
//! Only headers are read, and only those of one segment behind the nearest mark. Marks are kept
//! for at most [`SEGMENTS_KEPT`] segments, at most [`MARKS_KEPT`] each: under half a megabyte.

use std::collections::BTreeMap;

use super::frame::{FrameHeader, Stream};
use super::item::{Position, Step, UNKNOWN};
use super::read::LogReader;
use super::segments::{Head, LogError};

/// Segments whose marks are kept.
const SEGMENTS_KEPT: usize = 16;
/// Marks kept of one segment; beyond that every second one is dropped.
const MARKS_KEPT: usize = 256;
/// Least distance of two marks, in bytes.
const STRIDE: u64 = 128 * 1024;

/// Known frame borders, by segment.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    by_segment: BTreeMap<u32, SegmentMarks>,
    /// Numbers of segments, the one not used for longest first.
    used: Vec<u32>,
}

#[derive(Debug)]
struct SegmentMarks {
    stride: u64,
    marks: Vec<Position>,
}

impl Marks {
    fn of(&mut self, segment: u32) -> &mut SegmentMarks {
        self.used.retain(|n| *n != segment);
        self.used.push(segment);
        if self.used.len() > SEGMENTS_KEPT {
            let oldest = self.used.remove(0);
            self.by_segment.remove(&oldest);
        }
        self.by_segment.entry(segment).or_insert_with(|| SegmentMarks { stride: STRIDE, marks: Vec::new() })
    }
}

impl SegmentMarks {
    fn note(&mut self, pos: &Position) {
        if self.marks.last().is_some_and(|m| pos.at < m.at + self.stride) {
            return;
        }
        self.marks.push(*pos);
        if self.marks.len() > MARKS_KEPT {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride *= 2;
        }
    }
}

impl LogReader {
    /// The position of the frame `seq`; of the next one there is when that is missing, and the
    /// end when it is not written yet.
    ///
    /// # Errors
    /// What the file system says.
    pub fn at_seq(&mut self, seq: u64) -> Result<Position, LogError> {
        self.refresh()?;
        let mut ix = 0;
        for (i, segment) in self.segments.all().iter().enumerate() {
            if let Head::Good(head) = segment.head
                && head.first_seq <= seq
            {
                ix = i;
            }
        }
        self.find(ix, |p| p.seq != 0 && p.seq <= seq, |h, _| h.seq >= seq)
    }

    /// The position of the frame with byte `offset` of `stream`, or of the next one of that
    /// stream when these bytes are missing; the end when they are not written yet.
    ///
    /// # Errors
    /// What the file system says.
    pub fn at_offset(&mut self, stream: Stream, offset: u64) -> Result<Position, LogError> {
        self.refresh()?;
        // The last segment whose first frame of the stream does not begin behind the offset.
        let (mut low, mut high) = (0, self.segments.count());
        while high - low > 1 {
            let mid = low + (high - low) / 2;
            match self.first_of(mid, high, stream)? {
                Some((ix, first)) if first <= offset => low = ix,
                Some(_) | None => high = mid,
            }
        }
        let known = |p: &Position| p.offset(stream).is_some_and(|o| o <= offset);
        self.find(low, known, |h, _| h.stream == stream.number() && h.offset + h.advance() > offset)
    }

    /// The position of the first frame written `ns` nanoseconds after the shim's start or later.
    ///
    /// # Errors
    /// What the file system says.
    pub fn at_ns(&mut self, ns: u64) -> Result<Position, LogError> {
        self.refresh()?;
        let (mut low, mut high) = (0, self.segments.count());
        while high - low > 1 {
            let mid = low + (high - low) / 2;
            let mut pos = self.start_of_segment(mid);
            match self.head_on(&mut pos)? {
                Some(head) if head.ns < ns => low = mid,
                Some(_) | None => high = mid,
            }
        }
        self.find(low, |p| p.ns < ns, |h, _| h.ns >= ns)
    }

    /// As [`LogReader::at_ns`] for a wall time in milliseconds, by the wall clock at the shim's start.
    ///
    /// # Errors
    /// What the file system says.
    pub fn at_wall_ms(&mut self, wall_ms: i64) -> Result<Position, LogError> {
        let since = i128::from(wall_ms) - i128::from(self.wall_ms_at_start().unwrap_or(0));
        self.at_ns(u64::try_from(since.max(0) * 1_000_000).unwrap_or(u64::MAX))
    }

    /// The position of the frame that holds the byte at this part of the files, in millionths.
    ///
    /// # Errors
    /// What the file system says.
    pub fn at_part(&mut self, millionths: u32) -> Result<Position, LogError> {
        self.refresh()?;
        let target = u128::from(self.total_bytes()) * u128::from(millionths.min(1_000_000)) / 1_000_000;
        self.at_byte(target as u64)
    }

    /// The position behind the last whole frame.
    ///
    /// # Errors
    /// What the file system says.
    pub fn end(&mut self) -> Result<Position, LogError> {
        self.refresh()?;
        self.find(self.segments.count() - 1, |_| true, |_, _| false)
    }

    /// A position at least `bytes` of the files before `pos`, or the start.
    pub(crate) fn back_from(&mut self, pos: &Position, bytes: u64) -> Result<Position, LogError> {
        let here = self.bytes_before(pos);
        if here <= bytes { Ok(self.start()) } else { self.at_byte(here - bytes) }
    }

    /// Bytes of the files before `pos`.
    pub(crate) fn bytes_before(&self, pos: &Position) -> u64 {
        self.segments.index_of(pos.segment).map_or(0, |ix| self.segments.get(ix).start) + pos.at
    }

    fn at_byte(&mut self, place: u64) -> Result<Position, LogError> {
        let ix = self.segments.all().partition_point(|s| s.start <= place).saturating_sub(1);
        let target = place - self.segments.get(ix).start;
        self.find(ix, |p| p.at <= target, |h, at| at + h.size() > target)
    }

    pub(crate) fn start_of_segment(&self, ix: usize) -> Position {
        let mut pos = self.start();
        if ix > 0 {
            pos = Position { segment: self.segments.get(ix).number, at: 0, seq: 0, ns: 0, offsets: [UNKNOWN; 6] };
        }
        pos
    }

    /// Walks from the last usable mark of a segment to the first frame that is a `hit`; the
    /// position before it, or the end of the log.
    fn find(
        &mut self,
        ix: usize,
        usable: impl Fn(&Position) -> bool,
        hit: impl Fn(&FrameHeader, u64) -> bool,
    ) -> Result<Position, LogError> {
        let first = self.start_of_segment(ix);
        let marks = self.marks.of(first.segment);
        let known = marks.marks.iter().rev().find(|m| usable(m)).copied();
        let sealed = self.segments.sealed_mark(ix, &usable)?;
        let nearest = if sealed.map(|m| m.at) > known.map(|m| m.at) { sealed } else { known };
        let mut pos = nearest.unwrap_or(first);
        loop {
            let before = pos;
            match self.step(&mut pos, false)? {
                Step::Frame(head) => {
                    let at = pos.at - head.size();
                    // The step may have passed a segment's header on its way.
                    let here = Position { segment: pos.segment, at, seq: head.seq, ..before };
                    if hit(&head, at) {
                        return Ok(here);
                    }
                    // Its own beginning is sure, its end is not before the next frame fits.
                    self.marks.of(pos.segment).note(&here);
                }
                Step::Damage(_) => {}
                Step::End(_) => return Ok(pos),
            }
        }
    }

    /// Offset of the first frame of `stream` at or behind segment `ix` and before `until`, with
    /// the segment it is in.
    fn first_of(&mut self, ix: usize, until: usize, stream: Stream) -> Result<Option<(usize, u64)>, LogError> {
        let mut pos = self.start_of_segment(ix);
        while let Some(head) = self.head_on(&mut pos)? {
            let Some(now) = self.segments.index_of(pos.segment).filter(|n| *n < until) else { break };
            if head.stream == stream.number() && head.advance() > 0 {
                return Ok(Some((now, head.offset)));
            }
        }
        Ok(None)
    }

    fn head_on(&mut self, pos: &mut Position) -> Result<Option<FrameHeader>, LogError> {
        loop {
            match self.step(pos, false)? {
                Step::Frame(head) => return Ok(Some(head)),
                Step::Damage(_) => {}
                Step::End(_) => return Ok(None),
            }
        }
    }
}
