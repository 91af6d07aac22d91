//! The exact bytes of streams, for copying out; every gap on the way is reported.

use std::io::Write;

use serde::Deserialize;

use super::frame::{FLAG_GAP, FrameHeader, STREAMS, Stream};
use super::item::{Damage, Frame, Item, Position, Step, StreamSet, Tail};
use super::read::LogReader;
use super::segments::LogError;

/// Gaps listed in one answer; further ones are only counted.
const GAPS_LISTED: usize = 1000;

/// Bytes that are not in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// The shim itself left them out and said so.
    Declared {
        /// Stream they belong to.
        stream: Stream,
        /// Number of the record.
        seq: u64,
        /// How many; `None` when the record does not tell.
        bytes: Option<u64>,
        /// Why, in the shim's words.
        reason: String,
    },
    /// The files are damaged.
    Damage(Damage),
    /// A stream jumps: what stood between was in damaged frames.
    Missing {
        /// The stream.
        stream: Stream,
        /// First offset that is missing.
        from: u64,
        /// First offset that is there again.
        to: u64,
    },
}

/// What a copy did.
#[derive(Debug)]
pub struct Copied {
    /// Payload bytes written.
    pub bytes: u64,
    /// Gaps in order, at most a thousand of them.
    pub gaps: Vec<Gap>,
    /// Gaps altogether.
    pub gap_count: u64,
    /// Where to go on, also for following a live log.
    pub next: Position,
    /// Set when the end was reached; `None` when `max_bytes` was.
    pub tail: Option<Tail>,
}

impl Copied {
    fn gap(&mut self, gap: Gap) {
        self.gap_count += 1;
        if self.gaps.len() < GAPS_LISTED {
            self.gaps.push(gap);
        }
    }
}

#[derive(Deserialize)]
struct GapRecord {
    bytes: Option<u64>,
    #[serde(default)]
    reason: String,
}

impl Frame<'_> {
    /// What a record with [`FLAG_GAP`] declares to be missing.
    pub fn gap(&self) -> Gap {
        declared(self.stream, self.head.seq, self.payload)
    }
}

/// Bytes that a gap record says are missing; 0 when it does not tell.
pub(crate) fn gap_bytes(payload: &[u8]) -> u64 {
    serde_json::from_slice::<GapRecord>(payload).ok().and_then(|record| record.bytes).unwrap_or(0)
}

/// The gap that a record with [`FLAG_GAP`] declares.
pub(crate) fn declared(stream: Stream, seq: u64, payload: &[u8]) -> Gap {
    let record = serde_json::from_slice(payload)
        .unwrap_or_else(|e| GapRecord { bytes: None, reason: format!("the gap record cannot be read: {e}") });
    Gap::Declared { stream, seq, bytes: record.bytes, reason: record.reason }
}

/// Copies the payloads of `streams` in the order of their frames from `from` on, until at least
/// `max_bytes` are written or the log ends. Nothing is added between frames.
///
/// # Errors
/// [`LogError::Output`] when `out` fails (some bytes may have been written), or a failed read.
pub fn copy_to(
    reader: &mut LogReader,
    out: &mut impl Write,
    streams: StreamSet,
    from: Position,
    max_bytes: u64,
) -> Result<Copied, LogError> {
    copy(reader, out, streams, from, max_bytes, 0)
}

/// Copies one stream from exactly `offset` on.
///
/// # Errors
/// As [`copy_to`].
pub fn copy_from_offset(
    reader: &mut LogReader,
    out: &mut impl Write,
    stream: Stream,
    offset: u64,
    max_bytes: u64,
) -> Result<Copied, LogError> {
    let from = reader.at_offset(stream, offset)?;
    copy(reader, out, StreamSet::of(&[stream]), from, max_bytes, offset)
}

fn copy(
    reader: &mut LogReader,
    out: &mut impl Write,
    streams: StreamSet,
    from: Position,
    max_bytes: u64,
    offset: u64,
) -> Result<Copied, LogError> {
    let mut done = Copied { bytes: 0, gaps: Vec::new(), gap_count: 0, next: from, tail: None };
    let mut next = from;
    let mut dropped = [0u64; STREAMS];
    while done.bytes < max_bytes && done.tail.is_none() {
        let before = next.offsets;
        match reader.next_of(&mut next, streams)? {
            Item::Damage(damage) => done.gap(Gap::Damage(damage)),
            Item::End(tail) => done.tail = Some(tail),
            Item::Frame(f) if f.head.flags & FLAG_GAP != 0 => {
                let gap = declared(f.stream, f.head.seq, f.payload);
                if let Gap::Declared { bytes: Some(bytes), .. } = gap {
                    dropped[f.stream.index()] = bytes;
                }
                done.gap(gap);
            }
            Item::Frame(f) => {
                let known = before[f.stream.index()];
                let declared = std::mem::take(&mut dropped[f.stream.index()]);
                // Behind a fold the offsets go on where the stream did.
                if known < f.head.offset && f.head.offset - known != declared {
                    done.gap(Gap::Missing { stream: f.stream, from: known, to: f.head.offset });
                }
                let skip = offset.saturating_sub(f.head.offset).min(f.payload.len() as u64) as usize;
                out.write_all(&f.payload[skip..]).map_err(LogError::Output)?;
                done.bytes += (f.payload.len() - skip) as u64;
            }
        }
        done.next = next;
    }
    Ok(done)
}

/// The last bytes of `stream` before its frame `head`, at most `want`, as far as none is missing between
/// them and the frame. A gap record that stands behind more than `budget` bytes of other streams is not
/// looked for.
pub(crate) fn bytes_before(
    reader: &mut LogReader,
    stream: Stream,
    head: &FrameHeader,
    want: u64,
    budget: u64,
) -> Result<Vec<u8>, LogError> {
    let from = head.offset.saturating_sub(want);
    let mut bytes = Vec::new();
    if from == head.offset {
        return Ok(bytes);
    }
    let mut pos = reader.at_offset(stream, from)?;
    let (mut next, begin) = (from, reader.bytes_before(&pos));
    while reader.bytes_before(&pos).saturating_sub(begin) <= budget {
        let before = pos;
        let found = match reader.step(&mut pos, false)? {
            Step::Frame(found) => found,
            Step::End(_) => break,
            Step::Damage(_) => continue,
        };
        if found.seq >= head.seq {
            break;
        }
        if found.stream != stream.number() {
            continue;
        }
        if found.flags & FLAG_GAP != 0 {
            bytes.clear();
            continue;
        }
        pos = before;
        let Step::Frame(found) = reader.step(&mut pos, true)? else { continue };
        let skip = next.saturating_sub(found.offset).min(u64::from(found.len));
        if found.offset > next {
            bytes.clear();
        }
        bytes.extend_from_slice(&reader.payload()[usize::try_from(skip).unwrap_or(0)..]);
        next = found.offset.saturating_add(u64::from(found.len));
    }
    if next != head.offset {
        bytes.clear();
    }
    Ok(bytes)
}
