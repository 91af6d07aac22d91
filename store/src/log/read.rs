//! Reading frames in order, over all segments, of a finished log or of one that is being written.
//!
//! Memory: one buffer for the longest frame, one of 64 KiB while looking for the end of damage,
//! and the marks of `super::seek`.

use std::path::Path;

use super::frame::{FRAME_HEADER, STREAMS, Stream};
use super::item::{Batch, Frame, Item, OwnedFrame, Position, Step, StreamSet, UNKNOWN};
use super::seek::Marks;
use super::segments::{Head, LogError, Segments};
use super::step::SKIP_CHUNK;

/// Reads the log of one directory.
#[derive(Debug)]
pub struct LogReader {
    pub(crate) segments: Segments,
    pub(crate) marks: Marks,
    pub(super) live: bool,
    pub(super) buf: Vec<u8>,
    pub(super) buf_segment: u32,
    pub(super) buf_at: u64,
    /// Range of the payload of the last frame in `buf`.
    pub(super) payload: std::ops::Range<usize>,
    /// The frame before was passed over without its payload.
    pub(super) skipped: bool,
    /// Bytes worth reading where the next frame is passed over as well.
    pub(super) skip_ahead: usize,
    /// A frame that was taken at its header's word, and where it ends by that.
    pub(super) unproven: Option<(Position, u64)>,
    /// Bytes at the end of the log in which no frame was found: segment, place, length then.
    pub(super) dead_end: Option<(u32, u64, u64)>,
    follow: Position,
}

impl LogReader {
    /// Opens the log in `dir`, as one that may still be written.
    ///
    /// # Errors
    /// No segment in it, a later format, or what the file system says.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        let segments = Segments::open(dir)?;
        let follow = start_of(&segments);
        Ok(Self {
            segments,
            marks: Marks::default(),
            live: true,
            buf: Vec::new(),
            buf_segment: 0,
            buf_at: 0,
            payload: 0..0,
            skipped: false,
            skip_ahead: SKIP_CHUNK,
            unproven: None,
            dead_end: None,
            follow,
        })
    }

    /// Says whether a writer may still be at work (the default). In a log that nobody writes any
    /// more, a last frame that reaches beyond the file is searched for frames behind a damaged length.
    pub fn set_live(&mut self, live: bool) {
        self.live = live;
        self.dead_end = None;
    }

    /// The position before the first frame.
    pub fn start(&self) -> Position {
        start_of(&self.segments)
    }

    /// Bytes of all segments together, as last seen.
    pub fn total_bytes(&self) -> u64 {
        self.segments.bytes()
    }

    /// Bytes read from the files since it was opened: what the reader has cost so far.
    pub fn bytes_read(&self) -> u64 {
        self.segments.bytes_read()
    }

    /// Wall time at which the shim started, milliseconds; `None` when no segment header tells.
    pub fn wall_ms_at_start(&self) -> Option<i64> {
        self.header().map(|h| h.wall_ms)
    }

    /// Owner's UUID and attempt; `None` when no segment header tells.
    pub fn owner(&self) -> Option<super::LogOwner> {
        self.header().map(|h| super::LogOwner { uuid: h.uuid, attempt: h.attempt })
    }

    /// Looks for bytes and segments that were added since.
    ///
    /// # Errors
    /// What the file system says.
    pub fn refresh(&mut self) -> Result<(), LogError> {
        // Each round takes in one more segment; a writer cannot make them as fast as that.
        for _ in 0..1_000_000 {
            let before = self.segments.count();
            match self.segments.grow() {
                Ok(_) if self.segments.count() == before => break,
                Ok(_) => {}
                // Folded meanwhile. The list is whole then, and growing goes on from there.
                Err(e) if e.is_gone() => {
                    let mut end = self.follow;
                    self.relist(&mut end)?;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// The next frame of a known stream, gap or end; moves `pos` behind it. At an end `pos`
    /// stays, and the next call looks again.
    ///
    /// # Errors
    /// What the file system says.
    pub fn next(&mut self, pos: &mut Position) -> Result<Item<'_>, LogError> {
        self.next_of(pos, StreamSet::ALL)
    }

    /// As [`LogReader::next`], for some streams. All frames are checked, since a damaged
    /// header may name the wrong stream.
    ///
    /// # Errors
    /// What the file system says.
    pub fn next_of(&mut self, pos: &mut Position, streams: StreamSet) -> Result<Item<'_>, LogError> {
        loop {
            match self.step(pos, true)? {
                Step::Damage(damage) => return Ok(Item::Damage(damage)),
                Step::End(tail) => return Ok(Item::End(tail)),
                Step::Frame(head) if !streams.has(head.stream) => {}
                Step::Frame(head) => {
                    if let Some(stream) = Stream::from_number(head.stream) {
                        return Ok(Item::Frame(Frame { head, stream, payload: &self.buf[self.payload.clone()] }));
                    }
                }
            }
        }
    }

    /// Whole frames from `pos` on, until their payloads reach `max_bytes` (at least one frame) or
    /// the log ends.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read_from(&mut self, pos: Position, max_bytes: usize) -> Result<Batch, LogError> {
        let mut batch = Batch { frames: Vec::new(), damage: Vec::new(), next: pos, tail: None };
        let mut bytes = 0;
        while bytes < max_bytes.max(1) {
            let mut next = batch.next;
            match self.next(&mut next)? {
                Item::Frame(f) => {
                    bytes += FRAME_HEADER + f.payload.len();
                    batch.frames.push(OwnedFrame { head: f.head, stream: f.stream, payload: f.payload.to_vec() });
                }
                Item::Damage(damage) => {
                    bytes += FRAME_HEADER;
                    batch.damage.push(damage);
                }
                Item::End(tail) => batch.tail = Some(tail),
            }
            batch.next = next;
            if batch.tail.is_some() {
                break;
            }
        }
        Ok(batch)
    }

    /// What was added since the last call (from the beginning at first), up to `max_bytes`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn poll_new(&mut self, max_bytes: usize) -> Result<Batch, LogError> {
        let batch = self.read_from(self.follow, max_bytes)?;
        self.follow = batch.next;
        Ok(batch)
    }

    /// Lets [`LogReader::poll_new`] go on from here.
    pub fn follow_from(&mut self, pos: Position) {
        self.follow = pos;
    }

    /// Payload of the frame that [`LogReader::step`] has just given.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.buf[self.payload.clone()]
    }

    fn header(&self) -> Option<super::SegmentHeader> {
        self.segments.all().iter().find_map(|s| match s.head {
            Head::Good(h) => Some(h),
            Head::Short | Head::Damaged => None,
        })
    }
}

fn start_of(segments: &Segments) -> Position {
    let first = segments.get(0);
    // A log whose first segments are gone begins in the midst of its streams.
    let whole = first.number <= 1;
    let offsets = [if whole { 0 } else { UNKNOWN }; STREAMS];
    Position { segment: first.number, at: 0, seq: u64::from(whole), ns: 0, offsets }
}
