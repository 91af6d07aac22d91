//! Lines for panes: some of them at a time, from anywhere in a log, in bounded memory.
//!
//! Lines belong to a stream and are ordered by the moment of their first byte; frames of other
//! streams between do not split them. Bytes stay bytes: no decoding, `\r` stays, `\n` is cut off.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::collect::Collect;
use super::index::LineIndex;
use super::item::{Item, Position, StreamSet};
use super::line::{Anchor, LineKey, Window};
use super::read::LogReader;
use super::scan::{Scan, TextStep, for_starts};
use super::segments::LogError;

/// Lines one window may hold.
pub const WINDOW_LINES: usize = 4096;
/// Bytes of lines one window may hold; a window that would be larger ends early.
pub const WINDOW_BYTES: usize = 4 << 20;
/// Bytes of the files one call reads at most, unless [`LogLines::set_budget`] says otherwise.
pub const SCAN_BYTES: u64 = 64 << 20;
const BACK_FIRST: u64 = 256 * 1024;

/// Lines of one log.
#[derive(Debug)]
pub struct LogLines {
    pub(crate) reader: LogReader,
    pub(super) index: LineIndex,
    pub(super) cap: usize,
    pub(super) budget: u64,
    pub(super) cache: Option<PathBuf>,
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
                    Item::Frame(f) => {
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
}
