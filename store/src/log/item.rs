//! What a log is made of for its readers: places, frames, gaps, ends.

use super::frame::{FrameHeader, STREAMS, Stream};

/// Offset of a stream that is not known at a position.
pub(crate) const UNKNOWN: u64 = u64::MAX;

/// A set of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSet(u8);

impl StreamSet {
    /// All streams this version knows.
    pub const ALL: Self = Self(0b11_1111);
    /// What the child wrote: stdout, stderr and terminal.
    pub const OUTPUT: Self = Self(0b1110);

    /// The set of these streams.
    pub fn of(streams: &[Stream]) -> Self {
        Self(streams.iter().fold(0, |set, s| set | 1 << s.number()))
    }

    /// Whether the stream with this number is in the set.
    pub fn has(self, number: u8) -> bool {
        number < 8 && self.0 & (1 << number) != 0
    }

    /// The streams of this set that are also in `other`.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// A place between two frames. Good for the reader that gave it and any other of the same log;
/// to keep one beyond the process, keep [`Position::seq`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub(crate) segment: u32,
    /// Place in the segment; 0 stands before its header.
    pub(crate) at: u64,
    /// Number that the next frame should have; 0 when unknown.
    pub(crate) seq: u64,
    /// Time of the frame before.
    pub(crate) ns: u64,
    pub(crate) offsets: [u64; STREAMS],
}

impl Position {
    /// Number of the next frame; 0 when it is not known.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Offset in `stream` at this position, where known.
    pub fn offset(&self, stream: Stream) -> Option<u64> {
        Some(self.offsets[stream.index()]).filter(|o| *o != UNKNOWN)
    }

    pub(crate) fn pass(&mut self, head: &FrameHeader) {
        self.at += head.size();
        self.seq = head.seq + 1;
        self.ns = head.ns;
        if let Some(stream) = Stream::from_number(head.stream) {
            self.offsets[stream.index()] = head.offset + head.advance();
        }
    }
}

/// Bytes of the files that hold no frame, or numbers that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Segment it was met in.
    pub segment: u32,
    /// Place in that file.
    pub at: u64,
    /// Bytes passed over.
    pub bytes: u64,
    /// First frame number that is missing; 0 when unknown.
    pub seq_from: u64,
    /// Number of the next frame that is there; 0 when unknown. Equal to `seq_from` when no frame is missing.
    pub seq_to: u64,
}

/// How a log ends at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Behind a whole frame.
    Clean,
    /// Bytes follow the last whole frame: the frame being written now, or what was left of it
    /// when the writer died.
    Torn {
        /// Segment that ends so.
        segment: u32,
        /// Where the log is cut.
        at: u64,
        /// Bytes behind the cut.
        bytes: u64,
    },
}

/// One frame, borrowed from the reader.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Its header.
    pub head: FrameHeader,
    /// Its stream.
    pub stream: Stream,
    /// Its payload.
    pub payload: &'a [u8],
}

/// One frame that owns its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedFrame {
    /// Its header.
    pub head: FrameHeader,
    /// Its stream.
    pub stream: Stream,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// What comes next in a log.
#[derive(Debug)]
pub enum Item<'a> {
    /// A frame whose checksum holds.
    Frame(Frame<'a>),
    /// A gap.
    Damage(Damage),
    /// Nothing so far; the same position may be tried again later.
    End(Tail),
}

/// What [`LogReader::read_from`](super::LogReader::read_from) found.
#[derive(Debug)]
pub struct Batch {
    /// Whole frames in order.
    pub frames: Vec<OwnedFrame>,
    /// Gaps met on the way.
    pub damage: Vec<Damage>,
    /// Where to go on.
    pub next: Position,
    /// Set when there is nothing more at the moment.
    pub tail: Option<Tail>,
}

/// A step of the reader: as [`Item`], with the payload left in the buffer.
#[derive(Debug)]
pub(crate) enum Step {
    Frame(FrameHeader),
    Damage(Damage),
    End(Tail),
}
