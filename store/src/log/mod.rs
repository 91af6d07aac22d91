//! Framed logs: the files that hold every byte a run wrote (contracts 6.2).
//!
//! A shim appends through [`LogWriter`]; everyone else reads. Positions handed out are a frame's
//! `seq` or a `(stream, offset)` pair, never a place in a file.

pub mod append;
mod collect;
mod damage;
pub mod exit;
mod fold;
pub mod frame;
pub mod hash;
mod index;
pub mod item;
pub mod line;
mod number;
mod overwritten;
pub mod raw;
pub mod read;
mod relist;
mod salvage;
mod scan;
pub mod seal;
mod sealed;
pub mod search;
mod seek;
mod segments;
mod step;
pub mod window;

pub use append::{LogOwner, LogWriter};
pub use exit::{JsonFrame, JsonFrames, last_exit_frame};
pub use frame::{FLAG_GAP, FLAG_REDACTED, FrameHeader, PAYLOAD_MAX, STREAMS, SegmentHeader, Stream};
pub use hash::LogHashes;
pub use index::Counted;
pub use item::{Batch, Damage, Frame, Item, OwnedFrame, Position, StreamSet, Tail};
pub use line::{Anchor, Line, LineKey, Window};
pub use raw::{Copied, Gap, copy_from_offset, copy_to};
pub use read::LogReader;
pub use seal::{SealPoint, SealedBytes, remove_unsealed, seal};
pub use search::{Found, Hit, NEEDLE_MAX, Needle, NeedleError, SearchPlace};
pub use segments::LogError;
pub use window::{LogLines, SCAN_BYTES, WINDOW_BYTES, WINDOW_LINES};
