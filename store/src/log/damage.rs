//! Where a log is damaged: finding the next frame that can be believed.

use super::frame::{FRAME_HEADER, FRAME_MAGIC, FrameHeader, Stream};
use super::item::{Damage, Position, Step, UNKNOWN};
use super::read::LogReader;
use super::segments::LogError;
use super::step::{FRAME_MAX, SKIP_CHUNK, torn};

const SCAN_CHUNK: usize = 64 * 1024;

impl LogReader {
    /// Looks for the next frame behind damage at `pos` and moves there.
    pub(super) fn pass_damage(&mut self, ix: usize, pos: &mut Position) -> Result<Option<Step>, LogError> {
        let segment = self.segments.get(ix);
        let last = self.segments.is_last(ix);
        let left = segment.len - pos.at;
        let here = (segment.number, pos.at, segment.len);
        let found = if self.dead_end == Some(here) { None } else { self.resync(pos, segment.len)? };
        let (to, seq_to) = match found {
            Some((at, head)) => (at, head.seq),
            // Nothing can follow the last segment, but what is lost of a sealed one is no torn end.
            None if !last || self.segments.is_harmed(ix)? => (segment.len, pos.seq),
            None if self.segments.grow()? => return Ok(None),
            None => {
                self.dead_end = Some(here);
                return Ok(Some(Step::End(torn(segment.number, pos.at, left))));
            }
        };
        let damage = Damage { segment: segment.number, at: pos.at, bytes: to - pos.at, seq_from: pos.seq, seq_to };
        pos.at = to;
        pos.seq = seq_to;
        if segment.is_folded() {
            // What its gap records would have told: how far the streams went on.
            for stream in [Stream::Stdout, Stream::Stderr, Stream::Terminal] {
                pos.offsets[stream.index()] = UNKNOWN;
            }
        }
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
        // In a fold numbers jump by what it stands for, and no further than where the next segment begins.
        let jumps = self.segments.index_of(pos.segment).filter(|ix| self.segments.get(*ix).is_folded());
        let room = match jumps {
            Some(ix) => self.segments.first_seq_behind(ix).saturating_sub(pos.seq).saturating_sub(1),
            None => lost / FRAME_HEADER as u64,
        };
        let seq_fits = pos.seq == 0 || (head.seq >= pos.seq && head.seq - pos.seq <= room);
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
}
