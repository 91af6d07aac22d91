//! Numbers of lines: how many are counted, which number a line has, how long a line is.

use super::index::{Counted, text_index};
use super::item::StreamSet;
use super::line::{Line, LineKey, Window};
use super::raw::Gap;
use super::scan::{Scan, TextStep, for_starts};
use super::segments::LogError;
use super::window::LogLines;

impl LogLines {
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
                    end = head.offset.saturating_add(u64::from(head.len));
                }
                // The line was cut off here.
                TextStep::Gap(Gap::Declared { seq, .. }) if seq > line.key.seq => {
                    return Ok(Some(end.saturating_sub(line.offset)));
                }
                TextStep::Gap(_) | TextStep::Other => {}
                TextStep::End(_) => break,
            }
        }
        Ok(None)
    }

    pub(super) fn number(&mut self, window: &mut Window, streams: StreamSet) -> Result<(), LogError> {
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
}
