//! Lines and windows of them: what is asked and what is given.

use super::frame::Stream;
use super::item::Tail;
use super::raw::Gap;

/// Where a line begins: the frame's number and the place in its payload. Ordered as lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineKey {
    /// Number of the frame.
    pub seq: u64,
    /// Index of the line's first byte in its payload.
    pub index: u32,
}

impl LineKey {
    /// Before every line.
    pub const START: Self = Self { seq: 0, index: 0 };
    /// Behind every line.
    pub const END: Self = Self { seq: u64::MAX, index: 0 };
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its stream.
    pub stream: Stream,
    /// Where it begins.
    pub key: LineKey,
    /// Offset of its first byte in its stream.
    pub offset: u64,
    /// Time of its first byte, nanoseconds since the shim's start.
    pub ns: u64,
    /// The same as wall time, milliseconds; `None` when no segment header tells.
    pub wall_ms: Option<i64>,
    /// Its bytes without the line feed, at most the cap.
    pub bytes: Vec<u8>,
    /// Its whole length in bytes, as far as it was read.
    pub len: u64,
    /// `len` is the whole line; false where reading stopped before the line's end.
    pub len_known: bool,
    /// `bytes` is shorter than `len`.
    pub cut: bool,
    /// The line's beginning lies too far back: `bytes` begins somewhere inside it.
    pub headless: bool,
    /// The log ends (or bytes are missing) before a line feed came.
    pub unterminated: bool,
    /// It was cut off by a gap: what is missing behind it never comes, and the next line is another one.
    pub broken: bool,
    /// Number among the lines of the asked streams, from 0; `None` until counting has come here.
    pub number: Option<u64>,
}

/// Some lines in order.
#[derive(Debug)]
pub struct Window {
    /// The lines; fewer than asked when a limit or the log's end was reached.
    pub lines: Vec<Line>,
    /// Gaps met while reading, at most a hundred.
    pub gaps: Vec<Gap>,
    /// Where a forward window would go on: behind the beginning of the last line given. An
    /// unterminated line that may still grow is asked for again by its own key.
    pub next: LineKey,
    /// Set when the end of the log was reached.
    pub tail: Option<Tail>,
    /// Lines behind the last one given were seen.
    pub more: bool,
    /// A limit ended the reading before all asked lines were found: ask again from `next` (or,
    /// going backward, before the first line).
    pub limited: bool,
}

/// A place to show lines from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// The first line.
    Start,
    /// This line, or the first one behind this place.
    Key(LineKey),
    /// The line with this number (from 0) among the asked streams.
    Number(u64),
    /// The first line that began at this time, nanoseconds since the shim's start, or later.
    Ns(u64),
    /// The same by wall time, milliseconds.
    WallMs(i64),
    /// The line that holds this byte of a stream.
    Offset(Stream, u64),
    /// The first line that begins behind this part of the files, in millionths.
    Part(u32),
}
