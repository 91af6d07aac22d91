//! Lines for panes: some of them at a time, from anywhere in a log, in bounded memory.
//!
//! Lines belong to a stream and are ordered by the moment of their first byte; frames of other
//! streams between do not split them. Bytes stay bytes: no decoding, `\r` stays, `\n` is cut off.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::frame::{FLAG_GAP, FrameHeader, Stream};
use super::index::{Counted, LineIndex, LineMark, TEXTS, byte_before, text_index};
use super::raw::{Gap, declared};
use super::read::{LogReader, Position, Step, StreamSet, Tail};
use super::segments::LogError;

/// Lines one window may hold.
pub const WINDOW_LINES: usize = 4096;
/// Bytes of lines one window may hold; a window that would be larger ends early.
pub const WINDOW_BYTES: usize = 4 << 20;
/// Bytes of the files one call reads at most, unless [`LogLines::set_budget`] says otherwise.
pub const SCAN_BYTES: u64 = 64 << 20;
/// Bytes read behind the last wanted line's beginning to find its end.
const LAST_LINE_BYTES: u64 = 1 << 20;
const BACK_FIRST: u64 = 256 * 1024;
const GAPS_LISTED: usize = 100;

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

/// Lines of one log.
#[derive(Debug)]
pub struct LogLines {
    pub(crate) reader: LogReader,
    index: LineIndex,
    cap: usize,
    budget: u64,
    cache: Option<PathBuf>,
}

/// A forward scan: a position and whether the line of each stream goes on there, where known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan {
    pub pos: Position,
    pub open: [Option<bool>; TEXTS],
}

impl Scan {
    pub fn at(pos: Position) -> Self {
        Self { pos, open: [None; TEXTS] }
    }

    fn mark(mark: &LineMark) -> Self {
        Self { pos: mark.pos, open: mark.open.map(Some) }
    }
}

/// A step of a scan.
pub(crate) enum TextStep {
    /// A frame of an asked stream; its payload is in the reader. `open`: it begins inside a line.
    Text {
        head: FrameHeader,
        stream: Stream,
        open: bool,
        /// Bytes of the stream before this frame are missing.
        jump: bool,
    },
    Gap(Gap),
    Other,
    End(Tail),
}

impl LogLines {
    /// Opens the log in `dir`. Of each line at most `cap` bytes are kept. With `cache`, a file
    /// that may be missing, line counts are taken from there, and [`LogLines::save_index`] writes it.
    ///
    /// # Errors
    /// As [`LogReader::open`]. A cache that cannot be used is no error.
    pub fn open(dir: &Path, cap: usize, cache: Option<&Path>) -> Result<Self, LogError> {
        let reader = LogReader::open(dir)?;
        let index = cache.and_then(|p| LineIndex::load(p, &reader)).unwrap_or_else(|| LineIndex::new(reader.start()));
        Ok(Self { reader, index, cap, budget: SCAN_BYTES, cache: cache.map(Path::to_owned) })
    }

    /// Sets how many bytes of the files one call reads at most.
    pub fn set_budget(&mut self, bytes: u64) {
        self.budget = bytes.max(BACK_FIRST);
    }

    /// As [`LogReader::set_live`].
    pub fn set_live(&mut self, live: bool) {
        self.reader.set_live(live);
    }

    /// The reader below, for times, sizes and positions.
    pub fn reader(&mut self) -> &mut LogReader {
        &mut self.reader
    }

    /// Counts lines on through at most `budget` bytes of the files.
    ///
    /// # Errors
    /// What the file system says.
    pub fn count(&mut self, budget: u64) -> Result<Counted, LogError> {
        self.index.advance(&mut self.reader, budget)
    }

    /// Lines of these streams counted so far.
    pub fn lines_counted(&self, streams: StreamSet) -> u64 {
        self.index.head().lines(streams)
    }

    /// Share of the files that was counted, in percent.
    pub fn percent_counted(&mut self) -> u8 {
        let of = self.reader.total_bytes().max(1);
        u8::try_from(self.index.head().bytes.saturating_mul(100) / of).unwrap_or(100).min(100)
    }

    /// Keeps the counts in the cache file; nothing happens without one.
    ///
    /// # Errors
    /// What the file system says; the file is written whole or not at all.
    pub fn save_index(&self) -> std::io::Result<()> {
        match (&self.cache, self.reader.owner()) {
            (Some(path), Some(owner)) => self.index.save(owner, path),
            _ => Ok(()),
        }
    }

    /// At most `n` lines of `streams` from `anchor` on.
    ///
    /// # Errors
    /// What the file system says.
    pub fn window(&mut self, anchor: Anchor, n: usize, streams: StreamSet) -> Result<Window, LogError> {
        let streams = streams.and(StreamSet::OUTPUT);
        let (scan, from, skip) = match anchor {
            Anchor::Start => (Scan::at(self.reader.start()), LineKey::START, 0),
            Anchor::Key(key) => (Scan::at(self.reader.at_seq(key.seq)?), key, 0),
            Anchor::Ns(ns) => (Scan::at(self.reader.at_ns(ns)?), LineKey::START, 0),
            Anchor::WallMs(ms) => (Scan::at(self.reader.at_wall_ms(ms)?), LineKey::START, 0),
            Anchor::Part(part) => (Scan::at(self.reader.at_part(part)?), LineKey::START, 0),
            Anchor::Number(number) => {
                if self.lines_counted(streams) <= number {
                    let counted = self.count(self.budget)?;
                    if self.lines_counted(streams) <= number && !counted.complete {
                        let next = LineKey { seq: self.index.head().pos.seq, index: 0 };
                        return Ok(Window {
                            lines: vec![],
                            gaps: vec![],
                            next,
                            tail: None,
                            more: false,
                            limited: true,
                        });
                    }
                }
                let mark = self.index.before_line(streams, number);
                (Scan::mark(&mark), LineKey::START, number - mark.lines(streams))
            }
            Anchor::Offset(stream, offset) => {
                let pos = self.reader.at_offset(stream, offset)?;
                let mut there = pos;
                let own = StreamSet::of(&[stream]);
                let key = match self.reader.next_of(&mut there, own)? {
                    super::read::Item::Frame(f) => {
                        let index = offset.saturating_sub(f.head.offset).min(u64::from(u32::MAX)) as u32;
                        LineKey { seq: f.head.seq, index: index + 1 }
                    }
                    _ => LineKey::END,
                };
                let before = self.before(key, 1, own)?;
                let key = before.lines.first().map_or(key, |l| l.key);
                (Scan::at(self.reader.at_seq(key.seq)?), key, 0)
            }
        };
        let mut window = self.collect(scan, Collect { from, skip, n, streams, headless: false })?;
        self.number(&mut window, streams)?;
        Ok(window)
    }

    /// The last `n` lines of `streams`, without reading what is before them.
    ///
    /// # Errors
    /// What the file system says.
    pub fn tail_lines(&mut self, n: usize, streams: StreamSet) -> Result<Window, LogError> {
        self.before(LineKey::END, n, streams)
    }

    /// The `n` lines of `streams` before `key`, in order, read from there backward. When the
    /// nearest line begins further back than one call may read, a `headless` line is given.
    ///
    /// # Errors
    /// What the file system says.
    pub fn before(&mut self, key: LineKey, n: usize, streams: StreamSet) -> Result<Window, LogError> {
        let streams = streams.and(StreamSet::OUTPUT);
        let n = n.min(WINDOW_LINES);
        let end = self.reader.at_seq(key.seq)?;
        // The frame itself may hold lines before the key.
        let reach = 40 + super::frame::PAYLOAD_MAX as u64;
        // What a writer adds meanwhile is not run after.
        let last = key.seq.min(end.seq);
        let mut back = BACK_FIRST;
        loop {
            let start = self.reader.back_from(&end, back)?;
            let mut starts: VecDeque<(Position, LineKey)> = VecDeque::with_capacity(n.min(256));
            let mut scan = Scan::at(start);
            let mut text = false;
            while scan.pos.seq <= last {
                let before = scan.pos;
                match self.text_step(&mut scan, streams)? {
                    TextStep::End(_) => break,
                    TextStep::Text { head, open, .. } => {
                        text = true;
                        for_starts(self.reader.payload(), open, |index| {
                            let found = LineKey { seq: head.seq, index };
                            if found < key {
                                if starts.len() == n {
                                    starts.pop_front();
                                }
                                starts.push_back((before, found));
                            }
                        });
                    }
                    TextStep::Gap(_) | TextStep::Other => {}
                }
            }
            let exhausted = back >= self.budget;
            let all = start == self.reader.start();
            if starts.len() < n && !all && !exhausted {
                back = (back * 4).min(self.budget);
                continue;
            }
            let mut window = if let Some((pos, first)) = starts.front().copied() {
                let n = starts.len();
                self.collect(Scan::at(pos), Collect { from: first, skip: 0, n, streams, headless: false })?
            } else if text && exhausted {
                let near = self.reader.back_from(&end, reach)?;
                self.collect(Scan::at(near), Collect { from: LineKey::START, skip: 0, n: 1, streams, headless: true })?
            } else {
                Window { lines: vec![], gaps: vec![], next: key, tail: None, more: false, limited: false }
            };
            window.limited = window.lines.len() < n && !all;
            self.number(&mut window, streams)?;
            return Ok(window);
        }
    }

    /// The whole length of a line whose `len` is not known, by the counts: without reading all of
    /// it. `None` until lines are counted up to its end.
    ///
    /// # Errors
    /// What the file system says.
    pub fn measure(&mut self, line: &Line) -> Result<Option<u64>, LogError> {
        let own = StreamSet::of(&[line.stream]);
        let Some(text) = text_index(line.stream.number()).filter(|_| !line.headless) else { return Ok(None) };
        let Some(number) = self.number_of(line.key, own)? else { return Ok(None) };
        let mark = self.index.before_end(text, number);
        let begun = mark.starts[text] > number;
        let mut scan = if begun { Scan::mark(&mark) } else { Scan::at(self.reader.at_seq(line.key.seq)?) };
        let counted = self.index.head().pos.seq;
        let mut end = if begun { mark.pos.offset(line.stream).unwrap_or(line.offset) } else { line.offset };
        while scan.pos.seq < counted {
            match self.text_step(&mut scan, own)? {
                TextStep::Text { head, open, .. } => {
                    let first = head.seq == line.key.seq;
                    if !open && !first {
                        return Ok(Some(end.saturating_sub(line.offset)));
                    }
                    let skip = if first { line.key.index as usize } else { 0 };
                    let rest = self.reader.payload().get(skip..).unwrap_or_default();
                    if let Some(feed) = memchr::memchr(b'\n', rest) {
                        return Ok(Some(head.offset + (skip + feed) as u64 - line.offset));
                    }
                    end = head.offset + u64::from(head.len);
                }
                TextStep::Gap(_) | TextStep::Other => {}
                TextStep::End(_) => break,
            }
        }
        Ok(None)
    }

    fn number(&mut self, window: &mut Window, streams: StreamSet) -> Result<(), LogError> {
        let Some(first) = window.lines.first().filter(|l| !l.headless).map(|l| l.key) else { return Ok(()) };
        let Some(number) = self.number_of(first, streams)? else { return Ok(()) };
        for (line, number) in window.lines.iter_mut().zip(number..) {
            line.number = Some(number);
        }
        Ok(())
    }

    /// Number of the line at `first`, when counting has come that far.
    ///
    /// # Errors
    /// What the file system says.
    pub fn number_of(&mut self, first: LineKey, streams: StreamSet) -> Result<Option<u64>, LogError> {
        let Some(mark) = self.index.before_seq(first.seq) else { return Ok(None) };
        let mut number = mark.lines(streams);
        let mut scan = Scan::mark(&mark);
        while scan.pos.seq <= first.seq {
            match self.text_step(&mut scan, streams)? {
                TextStep::Text { head, open, .. } => for_starts(self.reader.payload(), open, |index| {
                    number += u64::from(LineKey { seq: head.seq, index } < first);
                }),
                TextStep::Gap(_) | TextStep::Other => {}
                TextStep::End(_) => break,
            }
        }
        Ok(Some(number))
    }

    /// One frame on; afterwards the scan knows whether the frame's last line goes on.
    pub(crate) fn text_step(&mut self, scan: &mut Scan, streams: StreamSet) -> Result<TextStep, LogError> {
        let before = scan.pos;
        let head = match self.reader.step(&mut scan.pos, true)? {
            Step::Frame(head) => head,
            Step::Damage(damage) => return Ok(TextStep::Gap(Gap::Damage(damage))),
            Step::End(tail) => return Ok(TextStep::End(tail)),
        };
        let (Some(stream), Some(t)) = (Stream::from_number(head.stream), text_index(head.stream)) else {
            return Ok(TextStep::Other);
        };
        if !streams.has(head.stream) {
            return Ok(TextStep::Other);
        }
        if head.flags & FLAG_GAP != 0 {
            return Ok(TextStep::Gap(declared(stream, head.seq, self.reader.payload())));
        }
        let jump = before.offset(stream).is_some_and(|o| o != head.offset);
        let open = if let Some(open) = scan.open[t] {
            open && !jump
        } else {
            let last = byte_before(&mut self.reader, stream, head.offset)?;
            // Looking elsewhere has cost the reader its buffer.
            let mut again = before;
            while again.seq <= head.seq && !matches!(self.reader.step(&mut again, true)?, Step::Frame(_)) {}
            last.is_some_and(|b| b != b'\n')
        };
        scan.open[t] = Some(self.reader.payload().last().map_or(open, |b| *b != b'\n'));
        Ok(TextStep::Text { head, stream, open, jump })
    }

    fn collect(&mut self, mut scan: Scan, ask: Collect) -> Result<Window, LogError> {
        let wall = self.reader.wall_ms_at_start();
        let mut ask = Collect { n: ask.n.min(WINDOW_LINES), ..ask };
        let mut window =
            Window { lines: vec![], gaps: vec![], next: ask.from, tail: None, more: false, limited: false };
        let mut current: [Option<usize>; TEXTS] = [None; TEXTS];
        let (mut read, mut behind, mut kept, mut full) = (0u64, 0u64, 0usize, ask.n == 0);
        while !(full && current.iter().all(Option::is_none)) {
            let (head, stream, mut open, jump) = match self.text_step(&mut scan, ask.streams)? {
                TextStep::Text { head, stream, open, jump } => (head, stream, open, jump),
                TextStep::Gap(gap) => {
                    if window.gaps.len() < GAPS_LISTED {
                        window.gaps.push(gap);
                    }
                    continue;
                }
                TextStep::Other => {
                    read += 40;
                    if !full && read > self.budget {
                        window.limited = true;
                        break;
                    }
                    continue;
                }
                TextStep::End(tail) => {
                    window.tail = Some(tail);
                    break;
                }
            };
            let t = usize::from(head.stream) - 1;
            let payload = self.reader.payload();
            read += head.size();
            if jump && let Some(ix) = current[t].take() {
                window.lines[ix].unterminated = true;
                window.lines[ix].len_known = true;
            }
            let mut headless = false;
            if ask.headless && open && current[t].is_none() && !full {
                open = false;
                headless = true;
            }
            let mut at = 0;
            while at < payload.len() {
                if !open {
                    let key = LineKey { seq: head.seq, index: at as u32 };
                    if key >= ask.from && ask.skip > 0 {
                        ask.skip -= 1;
                    } else if key >= ask.from && full {
                        window.more = true;
                        break;
                    } else if key >= ask.from {
                        current[t] = Some(window.lines.len());
                        window.lines.push(Line {
                            stream,
                            key,
                            offset: head.offset + at as u64,
                            ns: head.ns,
                            wall_ms: wall.map(|w| w.saturating_add((head.ns / 1_000_000).cast_signed())),
                            bytes: Vec::new(),
                            len: 0,
                            len_known: false,
                            cut: false,
                            headless: std::mem::take(&mut headless),
                            unterminated: false,
                            number: None,
                        });
                    }
                }
                let end = memchr::memchr(b'\n', &payload[at..]).map(|n| at + n);
                let part = &payload[at..end.unwrap_or(payload.len())];
                if let Some(ix) = current[t] {
                    kept += window.lines[ix].extend(part, self.cap);
                    window.lines[ix].len_known = end.is_some();
                    full |= window.lines.len() == ask.n || kept >= WINDOW_BYTES;
                }
                if end.is_some() {
                    current[t] = None;
                }
                open = false;
                at = end.map_or(payload.len(), |n| n + 1);
                window.next = LineKey { seq: head.seq, index: at as u32 };
            }
            if full {
                behind += head.size();
            }
            if behind > LAST_LINE_BYTES || (!full && read > self.budget) {
                window.limited |= window.lines.len() < ask.n;
                break;
            }
        }
        window.limited |= window.tail.is_none() && window.lines.len() < ask.n;
        if let (Some(_), open) = (window.tail, current) {
            for ix in open.into_iter().flatten() {
                window.lines[ix].unterminated = true;
                window.lines[ix].len_known = true;
            }
        }
        if window.limited && !full {
            window.next = LineKey { seq: scan.pos.seq, index: 0 };
        } else if let Some(last) = window.lines.last() {
            window.next = LineKey { index: last.key.index + 1, ..last.key };
        }
        Ok(window)
    }
}

/// What to collect.
#[derive(Debug, Clone, Copy)]
struct Collect {
    from: LineKey,
    /// Lines from `from` on that are passed over.
    skip: u64,
    n: usize,
    streams: StreamSet,
    /// Take what is inside a line at the beginning for a line.
    headless: bool,
}

impl Line {
    /// Adds a part of the line; bytes that were kept of it.
    fn extend(&mut self, part: &[u8], cap: usize) -> usize {
        let keep = part.len().min(cap - self.bytes.len().min(cap));
        self.bytes.extend_from_slice(&part[..keep]);
        self.len += part.len() as u64;
        self.cut = self.len > self.bytes.len() as u64;
        keep
    }
}

/// Calls `f` with the place of each line that begins in `payload`.
fn for_starts(payload: &[u8], open: bool, mut f: impl FnMut(u32)) {
    let Some((_, rest)) = payload.split_last() else { return };
    if !open {
        f(0);
    }
    memchr::memchr_iter(b'\n', rest).for_each(|n| f(n as u32 + 1));
}
