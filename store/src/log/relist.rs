//! A reader whose segments were folded while it read: finding its place again.

use super::item::Position;
use super::read::LogReader;
use super::seek::Marks;
use super::segments::{Head, LogError};

impl LogReader {
    /// Lists the segments anew and moves `pos` to the frame with its number, or to the first behind it.
    pub(super) fn relist(&mut self, pos: &mut Position) -> Result<(), LogError> {
        self.segments.relist()?;
        self.marks = Marks::default();
        self.forget();
        if self.segments.index_of(pos.segment).is_some_and(|ix| !self.segments.get(ix).is_folded()) {
            return Ok(());
        }
        let begins_before = |head: Head| matches!(head, Head::Good(h) if pos.seq != 0 && h.first_seq <= pos.seq);
        let by_seq = self.segments.all().iter().rposition(|s| begins_before(s.head));
        let by_number = self.segments.all().partition_point(|s| s.number < pos.segment);
        let ix = by_seq.unwrap_or(by_number).min(self.segments.count() - 1);
        let segment = self.segments.get(ix);
        pos.segment = segment.number;
        if pos.seq == 0 {
            pos.at = 0;
        } else {
            pos.at = segment.body();
            if segment.is_folded() {
                self.place_in_fold(pos)?;
            }
        }
        Ok(())
    }

    /// Moves a position that was made before a segment was folded to where its frame would stand now;
    /// false when it is there already.
    pub(super) fn place_in_fold(&mut self, pos: &mut Position) -> Result<bool, LogError> {
        let Some(ix) = self.segments.index_of(pos.segment) else { return Ok(false) };
        let segment = self.segments.get(ix);
        let mut walk = Position { at: segment.body(), seq: 0, ns: 0, ..*pos };
        while walk.at < segment.len {
            let before = walk;
            let mut next = walk;
            match self.step_sound(&mut next, segment.len)? {
                Some(seq) if seq < pos.seq => walk = Position { at: next.at, ..before },
                // Here, or damaged from here on.
                _ => break,
            }
        }
        let moved = walk.at != pos.at;
        pos.at = walk.at;
        Ok(moved)
    }

    fn forget(&mut self) {
        self.buf.clear();
        self.buf_segment = 0;
        self.payload = 0..0;
        self.unproven = None;
        self.dead_end = None;
    }
}
