//! A scan forward through the frames that carry text.

use super::frame::{FLAG_GAP, FrameHeader, Stream};
use super::index::{LineMark, TEXTS, text_index};
use super::item::{Position, Step, StreamSet, Tail};
use super::raw::{Gap, bytes_before, declared};
use super::segments::LogError;
use super::window::LogLines;

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

    pub fn mark(mark: &LineMark) -> Self {
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
            scan.open[t] = Some(false);
            return Ok(TextStep::Gap(declared(stream, head.seq, self.reader.payload())));
        }
        let jump = before.offset(stream).is_some_and(|o| o != head.offset);
        let open = if let Some(open) = scan.open[t] {
            open && !jump
        } else {
            let last = bytes_before(&mut self.reader, stream, &head, 1, self.budget)?.pop();
            // Looking elsewhere has cost the reader its buffer.
            let mut again = before;
            while again.seq <= head.seq && !matches!(self.reader.step(&mut again, true)?, Step::Frame(_)) {}
            last.is_some_and(|b| b != b'\n')
        };
        scan.open[t] = Some(self.reader.payload().last().map_or(open, |b| *b != b'\n'));
        Ok(TextStep::Text { head, stream, open, jump })
    }
}

/// Calls `f` with the place of each line that begins in `payload`.
pub(super) fn for_starts(payload: &[u8], open: bool, mut f: impl FnMut(u32)) {
    let Some((_, rest)) = payload.split_last() else { return };
    if !open {
        f(0);
    }
    memchr::memchr_iter(b'\n', rest).for_each(|n| f(n as u32 + 1));
}
