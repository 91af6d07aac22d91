//! Lines of a log, and what a search in it found.

use wharf_model::UnixMillis;

use crate::effect::LinePlace;

/// Which child stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of output as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLine {
    /// Where it begins.
    pub place: LinePlace,
    /// Number within the chosen streams, from 0; none until all lines before it are counted.
    pub number: Option<u64>,
    /// Where it came from.
    pub stream: Stream,
    /// When its first byte was read.
    pub at: UnixMillis,
    /// Its bytes, without the line end.
    pub bytes: Vec<u8>,
    /// Only its beginning is here: it is longer than what is read at once.
    pub cut: bool,
}

/// Words between two lines: a gap in the log, a new attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputNote {
    /// Stands before the line at this place, or before the first one behind it.
    pub before: LinePlace,
    /// What it says.
    pub text: String,
}

/// What has become of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OutputState {
    /// Nothing has been read yet.
    #[default]
    Reading,
    /// The child may print more.
    Live,
    /// The child has ended.
    Ended {
        /// When.
        at: UnixMillis,
        /// How: `exit 0`.
        how: String,
    },
    /// The shim was lost; nothing more will come.
    Lost,
    /// The child has ended, and what it printed was removed.
    Removed {
        /// When it was removed.
        at: UnixMillis,
        /// Why: `older than 30d`.
        why: String,
    },
    /// The reader is this many bytes behind the log's end.
    Behind(u64),
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutputLines {
    /// Consecutive lines.
    pub lines: Vec<OutputLine>,
    /// Words between them.
    pub notes: Vec<OutputNote>,
    /// The first of them is the first of the log.
    pub first: bool,
    /// The last of them is the last so far.
    pub last: bool,
    /// How many lines there are.
    pub counted: Counted,
    /// Bytes of the chosen streams so far.
    pub total_bytes: u64,
    /// What has become of it.
    pub state: OutputState,
    /// When the owner's process began, for times since then.
    pub started_at: Option<UnixMillis>,
    /// It was printed on a terminal of its own: one stream, with whatever a terminal obeys.
    pub terminal: bool,
    /// Which start of the owner these are of; lines of two starts never stand together.
    pub generation: u32,
}

/// How many lines of the chosen streams there are, as far as they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Lines counted.
    pub lines: u64,
    /// Share of the log that was counted, in percent; at 100 these are all lines so far.
    pub percent: u8,
    /// Number of the line that was asked about, when it is known.
    pub number: Option<u64>,
}

impl Counted {
    /// These are all lines there are.
    pub const fn all(lines: u64) -> Self {
        Self { lines, percent: 100, number: None }
    }
}

/// Where a search found something.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchHits {
    /// Places of matching lines, rising, at most as many as were asked for.
    pub lines: Vec<LinePlace>,
    /// All matching lines.
    pub total: u64,
    /// Share of the log that was searched, in percent; below 100 the answer is preliminary.
    pub percent: u8,
}
