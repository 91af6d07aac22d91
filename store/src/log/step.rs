//! One frame on: judging the bytes at a position, passing segment headers, what is in the buffer.

use super::frame::{FLAG_GAP, FRAME_HEADER, FrameHeader, PAYLOAD_MAX, Stream};
use super::item::{Damage, Position, Step, Tail, UNKNOWN};
use super::raw::gap_bytes;
use super::read::LogReader;
use super::segments::{Head, LogError, RELISTS, gone};

/// Longest frame in a file.
pub(super) const FRAME_MAX: usize = FRAME_HEADER + PAYLOAD_MAX;
/// Bytes read at once where payloads are skipped.
pub(super) const SKIP_CHUNK: usize = 16 * 1024;

impl LogReader {
    /// One frame on. Without `check` a frame is taken at the word of its header, as long as that
    /// fits to what was before; its payload is not read.
    pub(crate) fn step(&mut self, pos: &mut Position, check: bool) -> Result<Step, LogError> {
        let mut tries = 0;
        loop {
            match self.step_listed(pos, check) {
                Err(error) if error.is_gone() && tries < RELISTS => self.relist(pos)?,
                done => return done,
            }
            tries += 1;
        }
    }

    fn step_listed(&mut self, pos: &mut Position, check: bool) -> Result<Step, LogError> {
        let mut again = false;
        loop {
            let Some(ix) = self.segments.index_of(pos.segment) else {
                return Err(gone(self.segments.path(pos.segment)));
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
                // What is missing in a fold is counted by its gap records.
                Found::Frame(head) if pos.seq != 0 && head.seq > pos.seq && !segment.is_folded() => {
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
                    let gone = if segment.is_folded() { self.dropped(pos, segment.len, &head)? } else { 0 };
                    pos.pass(&head);
                    if let Some(stream) = Stream::from_number(head.stream).filter(|_| gone > 0) {
                        let offset = &mut pos.offsets[stream.index()];
                        *offset = offset.saturating_add(gone);
                    }
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
                    if self.live && !segment.sealed {
                        return Ok(Step::End(torn(segment.number, pos.at, left)));
                    }
                }
                Found::Open | Found::Bad => {}
            }
            if self.doubt(pos) {
                again = true;
                continue;
            }
            if segment.is_folded() && self.place_in_fold(pos)? {
                continue;
            }
            if let Some(step) = self.pass_damage(ix, pos)? {
                return Ok(step);
            }
        }
    }

    /// Bytes by which a gap record of a fold moves its stream on.
    fn dropped(&mut self, pos: &Position, len: u64, head: &FrameHeader) -> Result<u64, LogError> {
        if head.flags & FLAG_GAP == 0 {
            return Ok(0);
        }
        if self.payload.is_empty() && !matches!(self.frame_at(pos, len, true)?, Found::Frame(_)) {
            return Ok(0);
        }
        Ok(gap_bytes(self.payload()))
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

    /// Passes one frame whose checksum holds and gives its number.
    pub(super) fn step_sound(&mut self, pos: &mut Position, len: u64) -> Result<Option<u64>, LogError> {
        match self.frame_at(pos, len, true)? {
            Found::Frame(head) => {
                pos.at += head.size();
                Ok(Some(head.seq))
            }
            Found::Open | Found::Bad => Ok(None),
        }
    }

    /// Makes the buffer cover `need` bytes at `pos`, or as many as there are; reads `ahead` bytes
    /// when it has to read.
    pub(super) fn load(&mut self, pos: &Position, need: usize, ahead: usize, fresh: bool) -> Result<(), LogError> {
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

    pub(super) fn head_in_buf(&self, pos: &Position) -> Option<FrameHeader> {
        let begin = (pos.at - self.buf_at) as usize;
        self.buf.get(begin..)?.first_chunk::<FRAME_HEADER>().and_then(FrameHeader::decode)
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

pub(super) fn torn(segment: u32, at: u64, bytes: u64) -> Tail {
    Tail::Torn { segment, at, bytes }
}
