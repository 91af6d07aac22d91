//! Reading frames in order, over all segments, of a finished log or of one that is being written.
//!
//! Memory: one buffer for the longest frame, one of 64 KiB while looking for the end of damage,
//! and the marks of `super::seek`.

use std::path::Path;

use super::frame::{FRAME_HEADER, FRAME_MAGIC, FrameHeader, PAYLOAD_MAX, STREAMS, Stream};
use super::seek::Marks;
use super::segments::{Head, LogError, Segments};

/// Longest frame in a file.
const FRAME_MAX: usize = FRAME_HEADER + PAYLOAD_MAX;
/// Bytes read at once where payloads are skipped.
const SKIP_CHUNK: usize = 16 * 1024;
const SCAN_CHUNK: usize = 64 * 1024;
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

/// What [`LogReader::read_from`] found.
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

/// Reads the log of one directory.
#[derive(Debug)]
pub struct LogReader {
    pub(crate) segments: Segments,
    pub(crate) marks: Marks,
    live: bool,
    buf: Vec<u8>,
    buf_segment: u32,
    buf_at: u64,
    /// Range of the payload of the last frame in `buf`.
    payload: std::ops::Range<usize>,
    /// The frame before was passed over without its payload.
    skipped: bool,
    /// Bytes worth reading where the next frame is passed over as well.
    skip_ahead: usize,
    /// A frame that was taken at its header's word, and where it ends by that.
    unproven: Option<(Position, u64)>,
    /// Bytes at the end of the log in which no frame was found: segment, place, length then.
    dead_end: Option<(u32, u64, u64)>,
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
            self.segments.grow()?;
            if self.segments.count() == before {
                break;
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

    /// One frame on. Without `check` a frame is taken at the word of its header, as long as that
    /// fits to what was before; its payload is not read.
    pub(crate) fn step(&mut self, pos: &mut Position, check: bool) -> Result<Step, LogError> {
        let mut again = false;
        loop {
            let Some(ix) = self.segments.index_of(pos.segment) else {
                return Err(LogError::Io {
                    what: "find the segment",
                    path: self.segments.path(pos.segment),
                    source: std::io::ErrorKind::NotFound.into(),
                });
            };
            let segment = self.segments.get(ix);
            let last = self.segments.is_last(ix);
            if pos.at == 0 {
                match self.enter(ix, pos) {
                    Some(step) => return Ok(step),
                    None if pos.at > 0 => continue,
                    None if self.segments.grow()? => continue,
                    None if segment.len == 0 => return Ok(Step::End(Tail::Clean)),
                    None => return Ok(Step::End(torn(segment.number, 0, segment.len))),
                }
            }
            let left = segment.len.saturating_sub(pos.at);
            if left == 0 {
                if !last {
                    pos.segment = self.segments.get(ix + 1).number;
                    pos.at = 0;
                } else if !self.segments.grow()? {
                    return Ok(Step::End(Tail::Clean));
                }
                continue;
            }
            match self.frame_at(pos, segment.len, check || again)? {
                Found::Frame(head) if pos.seq != 0 && head.seq > pos.seq => {
                    if self.doubt(pos) {
                        again = true;
                        continue;
                    }
                    let from = std::mem::replace(&mut pos.seq, head.seq);
                    return Ok(Step::Damage(Damage {
                        segment: pos.segment,
                        at: pos.at,
                        bytes: 0,
                        seq_from: from,
                        seq_to: head.seq,
                    }));
                }
                Found::Frame(head) => {
                    let before = *pos;
                    pos.pass(&head);
                    let proven = check || again;
                    self.unproven = (!proven).then_some((before, pos.at));
                    if std::mem::take(&mut again) {
                        // It was given out before the doubt.
                        continue;
                    }
                    return Ok(Step::Frame(head));
                }
                // A frame that is not all there yet.
                Found::Open if last => {
                    if self.segments.grow()? {
                        continue;
                    }
                    if self.live {
                        return Ok(Step::End(torn(segment.number, pos.at, left)));
                    }
                }
                Found::Open | Found::Bad => {}
            }
            if self.doubt(pos) {
                again = true;
                continue;
            }
            if let Some(step) = self.pass_damage(ix, pos)? {
                return Ok(step);
            }
        }
    }

    /// Before damage is believed behind a frame that nobody has checked, back to that frame: its
    /// length may be what is wrong.
    fn doubt(&mut self, pos: &mut Position) -> bool {
        let Some((before, end)) = self.unproven.take() else { return false };
        let follows = before.segment == pos.segment && end == pos.at;
        if follows {
            *pos = before;
        }
        follows
    }

    /// Passes the header of a segment; a step when there is something to tell. `pos` stays before
    /// a header that is not whole yet.
    fn enter(&self, ix: usize, pos: &mut Position) -> Option<Step> {
        let segment = self.segments.get(ix);
        let damage = |bytes, seq_from, seq_to| {
            Some(Step::Damage(Damage { segment: segment.number, at: 0, bytes, seq_from, seq_to }))
        };
        match segment.head {
            Head::Good(head) => {
                let expected = std::mem::replace(&mut pos.seq, head.first_seq);
                pos.at = segment.body();
                if expected != 0 && expected < head.first_seq {
                    return damage(0, expected, head.first_seq);
                }
                None
            }
            Head::Short if self.segments.is_last(ix) => None,
            Head::Short | Head::Damaged => {
                let bytes = segment.body().min(segment.len);
                pos.at = segment.body();
                damage(bytes, pos.seq, pos.seq)
            }
        }
    }

    /// Judges the bytes at `pos`.
    fn frame_at(&mut self, pos: &Position, len: u64, check: bool) -> Result<Found, LogError> {
        let left = len - pos.at;
        if left < FRAME_HEADER as u64 {
            return Ok(Found::Open);
        }
        // A second look, past the buffer, before anything is called damaged.
        for fresh in [false, true] {
            let ahead = if self.skipped { self.skip_ahead } else { FRAME_MAX };
            self.load(pos, FRAME_HEADER, ahead, fresh)?;
            let Some(head) = self.head_in_buf(pos) else { continue };
            let expected = pos.seq == 0 || head.seq == pos.seq;
            if head.size() > left {
                if expected && fresh {
                    return Ok(Found::Open);
                }
                continue;
            }
            self.skipped = !check;
            if self.skipped && pos.seq != 0 && expected && offset_fits(pos, &head) {
                self.payload = 0..0;
                // Behind a long frame nothing of what was read ahead can be used.
                self.skip_ahead = if head.size() > SKIP_CHUNK as u64 { FRAME_HEADER } else { SKIP_CHUNK };
                return Ok(Found::Frame(head));
            }
            self.load(pos, head.size() as usize, FRAME_MAX, fresh)?;
            let Some(again) = self.head_in_buf(pos) else { continue };
            let begin = (pos.at - self.buf_at) as usize + FRAME_HEADER;
            let range = begin..begin + again.len as usize;
            if self.buf.get(range.clone()).is_some_and(|p| again.verify(p)) && again.seq >= pos.seq {
                self.payload = range;
                return Ok(Found::Frame(again));
            }
        }
        Ok(Found::Bad)
    }

    /// Looks for the next frame behind damage at `pos` and moves there.
    fn pass_damage(&mut self, ix: usize, pos: &mut Position) -> Result<Option<Step>, LogError> {
        let segment = self.segments.get(ix);
        let last = self.segments.is_last(ix);
        let left = segment.len - pos.at;
        let here = (segment.number, pos.at, segment.len);
        let found = if self.dead_end == Some(here) { None } else { self.resync(pos, segment.len)? };
        let (to, seq_to) = match found {
            Some((at, head)) => (at, head.seq),
            None if !last => (segment.len, pos.seq),
            None if self.segments.grow()? => return Ok(None),
            None => {
                self.dead_end = Some(here);
                return Ok(Some(Step::End(torn(segment.number, pos.at, left))));
            }
        };
        let damage = Damage { segment: segment.number, at: pos.at, bytes: to - pos.at, seq_from: pos.seq, seq_to };
        pos.at = to;
        pos.seq = seq_to;
        Ok(Some(Step::Damage(damage)))
    }

    /// The first frame behind `pos` whose checksum holds and whose numbers can follow: output may
    /// itself contain frames of another log, and those must not be taken for ours.
    fn resync(&mut self, pos: &Position, len: u64) -> Result<Option<(u64, FrameHeader)>, LogError> {
        let mut chunk = vec![0; SCAN_CHUNK];
        let finder = memchr::memmem::Finder::new(&FRAME_MAGIC);
        let mut at = pos.at + 1;
        while at + FRAME_HEADER as u64 <= len {
            let read = self.segments.read_at(pos.segment, at, &mut chunk)?;
            for hit in finder.find_iter(&chunk[..read]) {
                let place = at + hit as u64;
                if let Some(head) = self.candidate(pos, place, len)? {
                    return Ok(Some((place, head)));
                }
            }
            if read < FRAME_HEADER {
                break;
            }
            // Keep the bytes in which a magic could have begun.
            at += (read - (FRAME_MAGIC.len() - 1)) as u64;
        }
        Ok(None)
    }

    fn candidate(&mut self, pos: &Position, place: u64, len: u64) -> Result<Option<FrameHeader>, LogError> {
        if place + FRAME_HEADER as u64 > len {
            return Ok(None);
        }
        let there = Position { at: place, ..*pos };
        self.load(&there, FRAME_HEADER, SKIP_CHUNK, false)?;
        let Some(head) = self.head_in_buf(&there) else { return Ok(None) };
        let lost = place - pos.at;
        let seq_fits = pos.seq == 0 || (head.seq >= pos.seq && head.seq - pos.seq <= lost / FRAME_HEADER as u64);
        let known = Stream::from_number(head.stream).map_or(UNKNOWN, |s| pos.offsets[s.index()]);
        let offset_fits = known == UNKNOWN || (head.offset >= known && head.offset - known <= lost);
        if !seq_fits || !offset_fits || head.ns < pos.ns || place + head.size() > len {
            return Ok(None);
        }
        self.load(&there, head.size() as usize, FRAME_MAX, false)?;
        let begin = (place - self.buf_at) as usize + FRAME_HEADER;
        let sound = self.buf.get(begin..begin + head.len as usize).is_some_and(|p| head.verify(p));
        Ok(sound.then_some(head))
    }

    /// Makes the buffer cover `need` bytes at `pos`, or as many as there are; reads `ahead` bytes
    /// when it has to read.
    fn load(&mut self, pos: &Position, need: usize, ahead: usize, fresh: bool) -> Result<(), LogError> {
        let covered = self.buf_segment == pos.segment
            && pos.at >= self.buf_at
            && pos.at + need as u64 <= self.buf_at + self.buf.len() as u64;
        if covered && !fresh {
            return Ok(());
        }
        self.buf.resize(need.max(ahead), 0);
        self.buf_segment = pos.segment;
        self.buf_at = pos.at;
        let read = self.segments.read_at(pos.segment, pos.at, &mut self.buf)?;
        self.buf.truncate(read);
        Ok(())
    }

    fn head_in_buf(&self, pos: &Position) -> Option<FrameHeader> {
        let begin = (pos.at - self.buf_at) as usize;
        self.buf.get(begin..)?.first_chunk::<FRAME_HEADER>().and_then(FrameHeader::decode)
    }

    fn header(&self) -> Option<super::SegmentHeader> {
        self.segments.all().iter().find_map(|s| match s.head {
            Head::Good(h) => Some(h),
            Head::Short | Head::Damaged => None,
        })
    }
}

enum Found {
    Frame(FrameHeader),
    /// The file ends before the frame does.
    Open,
    Bad,
}

fn offset_fits(pos: &Position, head: &FrameHeader) -> bool {
    let known = Stream::from_number(head.stream).map_or(UNKNOWN, |s| pos.offsets[s.index()]);
    known == UNKNOWN || known == head.offset
}

fn torn(segment: u32, at: u64, bytes: u64) -> Tail {
    Tail::Torn { segment, at, bytes }
}

fn start_of(segments: &Segments) -> Position {
    let first = segments.get(0);
    // A log whose first segments are gone begins in the midst of its streams.
    let whole = first.number <= 1;
    let offsets = [if whole { 0 } else { UNKNOWN }; STREAMS];
    Position { segment: first.number, at: 0, seq: u64::from(whole), ns: 0, offsets }
}
