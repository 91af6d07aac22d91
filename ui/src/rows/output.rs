//! Lines of a log, and what a search in it found.

use wharf_model::UnixMillis;

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
    /// Number within the chosen streams, from 0.
    pub number: u64,
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
    /// Stands before the line of this number.
    pub before: u64,
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
    /// Lines of the chosen streams so far.
    pub total_lines: u64,
    /// Bytes of the chosen streams so far.
    pub total_bytes: u64,
    /// What has become of it.
    pub state: OutputState,
    /// When the owner's process began, for times since then.
    pub started_at: Option<UnixMillis>,
    /// Which start of the owner these are of; lines of two starts never stand together.
    pub generation: u32,
}

/// Where a search found something.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchHits {
    /// Numbers of matching lines, rising, at most as many as were asked for.
    pub lines: Vec<u64>,
    /// All matching lines.
    pub total: u64,
    /// Share of the log that was searched, in percent; below 100 the answer is preliminary.
    pub percent: u8,
}
