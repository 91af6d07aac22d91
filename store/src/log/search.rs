//! Finding bytes in the output of a run, forward or backward, a bounded piece at a time.

use std::collections::VecDeque;

use memchr::memmem;

use super::frame::{FLAG_GAP, FrameHeader, Stream};
use super::index::{TEXTS, text_index};
use super::item::{Position, Step, StreamSet};
use super::line::LineKey;
use super::raw::bytes_before;
use super::read::LogReader;
use super::segments::LogError;
use super::window::{LogLines, SCAN_BYTES};

/// Longest text that can be searched for, in bytes.
pub const NEEDLE_MAX: usize = 1024;
/// Bytes of the files that a backward search takes at once.
const BLOCK: u64 = 4 << 20;

/// Why a search cannot begin.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NeedleError {
    /// Nothing to search for.
    #[error("the text to search for is empty; type at least one character")]
    Empty,
    /// Too long.
    #[error("the text to search for has {0} bytes; at most {NEEDLE_MAX} can be searched for")]
    Long(usize),
}

/// What is searched for. Matches of one needle never overlap within a frame.
#[derive(Debug, Clone)]
pub struct Needle {
    bytes: Vec<u8>,
    finder: Option<memmem::Finder<'static>>,
}

impl Needle {
    /// A needle of these bytes; with `any_case` the letters A to Z match in both cases.
    ///
    /// # Errors
    /// An empty needle, or one above [`NEEDLE_MAX`].
    pub fn new(bytes: &[u8], any_case: bool) -> Result<Self, NeedleError> {
        match bytes.len() {
            0 => Err(NeedleError::Empty),
            long if long > NEEDLE_MAX => Err(NeedleError::Long(long)),
            _ if any_case && bytes.iter().any(u8::is_ascii_alphabetic) => {
                Ok(Self { bytes: bytes.to_ascii_lowercase(), finder: None })
            }
            _ => Ok(Self { bytes: bytes.to_vec(), finder: Some(memmem::Finder::new(bytes).into_owned()) }),
        }
    }

    /// Place of the first match in `hay`.
    fn find(&self, hay: &[u8]) -> Option<usize> {
        let Some(finder) = &self.finder else { return self.find_any_case(hay) };
        finder.find(hay)
    }

    fn find_any_case(&self, hay: &[u8]) -> Option<usize> {
        let last = hay.len().checked_sub(self.bytes.len())?;
        // The rarest kind of byte leads: one that has no case, else the last.
        let lead = self.bytes.iter().rposition(|b| !b.is_ascii_alphabetic() && *b != b' ');
        let lead = lead.unwrap_or(self.bytes.len() - 1);
        let byte = self.bytes[lead];
        memchr::memchr2_iter(byte, byte.to_ascii_uppercase(), &hay[lead..=last + lead])
            .find(|at| hay[*at..*at + self.bytes.len()].eq_ignore_ascii_case(&self.bytes))
    }
}

/// One match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Its stream.
    pub stream: Stream,
    /// Offset of its first byte in the stream; show it with [`super::Anchor::Offset`].
    pub offset: u64,
    /// Number of the frame in which it ends.
    pub seq: u64,
}

/// Where a search goes on.
#[derive(Debug, Clone, Copy)]
pub struct SearchPlace {
    pos: Position,
    /// Matches in frame `.0` at offsets up to (forward) or from (backward) `.1` were given already.
    given: Option<(u64, u64)>,
}

/// What one call found.
#[derive(Debug)]
pub struct Found {
    /// Matches, in the direction of the search.
    pub hits: Vec<Hit>,
    /// Where to go on.
    pub next: SearchPlace,
    /// Bytes of the files looked through by this call.
    pub bytes: u64,
    /// The end (or, backward, the beginning) was reached.
    pub done: bool,
}

impl LogLines {
    /// A place to search from: forward from this line on, backward from before it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn search_place(&mut self, key: LineKey) -> Result<SearchPlace, LogError> {
        let pos = self.reader.at_seq(key.seq)?;
        let mut ahead = pos;
        // What is before the line in its frame counts as given, and so does, backward, what is behind.
        let given = match self.reader.step(&mut ahead, true)? {
            Step::Frame(head) if head.seq == key.seq => Some((head.seq, head.offset + u64::from(key.index))),
            Step::Frame(_) | Step::Damage(_) | Step::End(_) => None,
        };
        Ok(SearchPlace { pos, given })
    }

    /// Searches on from `from`: at most `max` matches, through about `budget` bytes of the files.
    ///
    /// # Errors
    /// What the file system says.
    pub fn search_forward(
        &mut self,
        needle: &Needle,
        streams: StreamSet,
        from: SearchPlace,
        max: usize,
        budget: u64,
    ) -> Result<Found, LogError> {
        let mut found = Found { hits: Vec::new(), next: from, bytes: 0, done: false };
        let mut carry = Carry::default();
        let begin = self.reader.bytes_before(&from.pos);
        // `given` stands for the place itself here: one before it was seen.
        while found.bytes < budget && found.hits.len() < max {
            let before = found.next.pos;
            let mut pos = before;
            match frame(&mut self.reader, &mut carry, needle, streams, &mut pos)? {
                Seen::End => {
                    found.done = true;
                    break;
                }
                Seen::Other => {}
                Seen::Text(head, stream) => {
                    let mut last = None;
                    each(self.reader.payload(), &head, stream, &mut carry, needle, |hit| {
                        let old = found.next.given.is_some_and(|(seq, o)| seq == hit.seq && hit.offset < o);
                        if !old && found.hits.len() < max {
                            found.hits.push(hit);
                            last = Some(hit);
                        }
                    });
                    if found.hits.len() == max
                        && let Some(hit) = last
                    {
                        // The frame may hold more: it is looked at again, from behind this match.
                        found.next = SearchPlace { pos: before, given: Some((hit.seq, hit.offset + 1)) };
                        break;
                    }
                }
            }
            found.next = SearchPlace { pos, given: None };
            found.bytes = self.reader.bytes_before(&pos).saturating_sub(begin);
        }
        Ok(found)
    }

    /// Searches backward from `from`: at most `max` matches, the nearest first, through about
    /// `budget` bytes of the files (at least one block of 4 MiB).
    ///
    /// # Errors
    /// What the file system says.
    pub fn search_backward(
        &mut self,
        needle: &Needle,
        streams: StreamSet,
        from: SearchPlace,
        max: usize,
        budget: u64,
    ) -> Result<Found, LogError> {
        let mut found = Found { hits: Vec::new(), next: from, bytes: 0, done: false };
        while found.bytes < budget.max(1) && found.hits.len() < max && !found.done {
            let until = found.next;
            let start = self.reader.back_from(&until.pos, BLOCK)?;
            let room = max - found.hits.len();
            let mut kept: VecDeque<(Position, Hit)> = VecDeque::new();
            let mut dropped = false;
            let mut carry = Carry::default();
            let mut pos = start;
            // The frame at the place itself may hold matches that were not given yet.
            let last = until.given.map_or(until.pos.seq.saturating_sub(1), |(seq, _)| seq);
            while pos.seq <= last {
                let before = pos;
                match frame(&mut self.reader, &mut carry, needle, streams, &mut pos)? {
                    Seen::End => break,
                    Seen::Text(head, _) if head.seq > last => break,
                    Seen::Other => {}
                    Seen::Text(head, stream) => {
                        each(self.reader.payload(), &head, stream, &mut carry, needle, |hit| {
                            if until.given.is_some_and(|(seq, o)| seq == hit.seq && hit.offset >= o) {
                                return;
                            }
                            if kept.len() == room {
                                kept.pop_front();
                                dropped = true;
                            }
                            kept.push_back((before, hit));
                        });
                    }
                }
            }
            found.bytes += self.reader.bytes_before(&until.pos) - self.reader.bytes_before(&start);
            found.next = SearchPlace { pos: start, given: None };
            found.done = start == self.reader.start();
            if dropped && let Some((pos, hit)) = kept.front() {
                found.next = SearchPlace { pos: *pos, given: Some((hit.seq, hit.offset)) };
                found.done = false;
            }
            found.hits.extend(kept.into_iter().rev().map(|(_, hit)| hit));
        }
        Ok(found)
    }
}

/// The last bytes of each stream, for matches over the border of frames.
#[derive(Default)]
struct Carry {
    bytes: [Option<Vec<u8>>; TEXTS],
}

enum Seen {
    Text(FrameHeader, Stream),
    Other,
    End,
}

/// One frame on; before the first one of a stream the bytes in front of it are fetched.
fn frame(
    reader: &mut LogReader,
    carry: &mut Carry,
    needle: &Needle,
    streams: StreamSet,
    pos: &mut Position,
) -> Result<Seen, LogError> {
    let before = *pos;
    let head = match reader.step(pos, true)? {
        Step::Frame(head) => head,
        Step::Damage(_) => return Ok(Seen::Other),
        Step::End(_) => return Ok(Seen::End),
    };
    let (Some(stream), Some(t)) = (Stream::from_number(head.stream), text_index(head.stream)) else {
        return Ok(Seen::Other);
    };
    if !streams.has(head.stream) {
        return Ok(Seen::Other);
    }
    if head.flags & FLAG_GAP != 0 {
        // Nothing goes on behind what is missing.
        carry.bytes[t] = Some(Vec::new());
        return Ok(Seen::Other);
    }
    if before.offset(stream).is_some_and(|o| o != head.offset) {
        carry.bytes[t] = Some(Vec::new());
    }
    if carry.bytes[t].is_none() {
        let bytes = bytes_before(reader, stream, &head, needle.bytes.len() as u64 - 1, SCAN_BYTES)?;
        // The look back has cost the reader its buffer.
        let mut again = before;
        while again.seq <= head.seq && !matches!(reader.step(&mut again, true)?, Step::Frame(_)) {}
        carry.bytes[t] = Some(bytes);
    }
    Ok(Seen::Text(head, stream))
}

/// Calls `f` for each match that ends in `payload`, then keeps its last bytes.
fn each(
    payload: &[u8],
    head: &FrameHeader,
    stream: Stream,
    carry: &mut Carry,
    needle: &Needle,
    mut f: impl FnMut(Hit),
) {
    let n = needle.bytes.len();
    let Some(carried) = text_index(head.stream).and_then(|t| carry.bytes[t].as_mut()) else { return };
    let mut hit = |offset| f(Hit { stream, offset, seq: head.seq });
    let before = carried.len();
    carried.extend_from_slice(&payload[..payload.len().min(n - 1)]);
    let mut at = 0;
    while at < before
        && let Some(place) = needle.find(&carried[at..])
        && at + place < before
    {
        at += place;
        hit(head.offset - (before - at) as u64);
        at += n;
    }
    // A match over the border has used up some bytes of the payload.
    let mut at = at.saturating_sub(before);
    while let Some(place) = payload.get(at..).and_then(|rest| needle.find(rest)) {
        at += place;
        hit(head.offset + at as u64);
        at += n;
    }
    if payload.len() >= n - 1 {
        carried.clear();
        carried.extend_from_slice(&payload[payload.len() - (n - 1)..]);
    } else {
        let surplus = carried.len().saturating_sub(n - 1);
        carried.drain(..surplus);
    }
}
