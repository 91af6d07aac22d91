//! Gathering the lines of one window.

use super::index::{TEXTS, text_index};
use super::item::StreamSet;
use super::line::{Line, LineKey, Window};
use super::raw::Gap;
use super::scan::{Scan, TextStep};
use super::segments::LogError;
use super::window::{LogLines, WINDOW_BYTES, WINDOW_LINES};

/// Bytes read behind the last wanted line's beginning to find its end.
const LAST_LINE_BYTES: u64 = 1 << 20;
const GAPS_LISTED: usize = 100;

/// What to collect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Collect {
    pub from: LineKey,
    /// Lines from `from` on that are passed over.
    pub skip: u64,
    pub n: usize,
    pub streams: StreamSet,
    /// Take what is inside a line at the beginning for a line.
    pub headless: bool,
}

impl LogLines {
    pub(super) fn collect(&mut self, mut scan: Scan, ask: Collect) -> Result<Window, LogError> {
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
                    // What comes behind it is no part of the line before it.
                    if let Gap::Declared { stream, .. } = gap
                        && let Some(ix) = text_index(stream.number()).and_then(|t| current[t].take())
                    {
                        window.lines[ix].break_off();
                    }
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
                window.lines[ix].break_off();
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
                            broken: false,
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

impl Line {
    /// Ends it where bytes are missing.
    fn break_off(&mut self) {
        self.unterminated = true;
        self.broken = true;
        self.len_known = true;
    }

    /// Adds a part of the line; bytes that were kept of it.
    fn extend(&mut self, part: &[u8], cap: usize) -> usize {
        let keep = part.len().min(cap - self.bytes.len().min(cap));
        self.bytes.extend_from_slice(&part[..keep]);
        self.len += part.len() as u64;
        self.cut = self.len > self.bytes.len() as u64;
        keep
    }
}
