//! Framed logs: the files that hold every byte a run wrote (contracts 6.2).
//!
//! A shim appends through [`LogWriter`]; everyone else reads. Positions handed out are a frame's
//! `seq` or a `(stream, offset)` pair, never a place in a file.

pub mod append;
pub mod exit;
pub mod frame;
pub mod hash;
mod index;
pub mod raw;
pub mod read;
pub mod search;
mod seek;
mod segments;
pub mod window;

pub use append::{LogOwner, LogWriter};
pub use exit::{JsonFrame, JsonFrames, last_exit_frame, started_frame};
pub use frame::{FLAG_GAP, FLAG_REDACTED, FrameHeader, PAYLOAD_MAX, STREAMS, SegmentHeader, Stream};
pub use hash::LogHashes;
pub use index::Counted;
pub use raw::{Copied, Gap, copy_from_offset, copy_to};
pub use read::{Batch, Damage, Frame, Item, LogReader, OwnedFrame, Position, StreamSet, Tail};
pub use search::{Found, Hit, NEEDLE_MAX, Needle, NeedleError, SearchPlace};
pub use segments::LogError;
pub use window::{Anchor, Line, LineKey, LogLines, SCAN_BYTES, WINDOW_BYTES, WINDOW_LINES, Window};
