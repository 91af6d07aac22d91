//! Counting lines: a sparse table of how many began before which place.
//!
//! It grows forward while somebody wants numbers, holds at most [`MARKS_KEPT`] marks of about
//! 112 bytes (0.9 MiB), and can be kept in a file that may be deleted at any time.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::append::LogOwner;
use super::frame::{FLAG_GAP, STREAMS};
use super::item::{Item, Position, StreamSet};
use super::read::LogReader;
use super::segments::LogError;

/// Streams that have lines: stdout, stderr, terminal.
pub(crate) const TEXTS: usize = 3;
/// Marks kept; beyond that every second one is dropped and their distance doubled.
const MARKS_KEPT: usize = 8192;
/// Distance of two marks at first, in bytes of the files.
const STRIDE: u64 = 64 * 1024;
const MAGIC: &[u8; 8] = b"WHARFLIX";
/// Since 2 a gap record ends the line before it.
const VERSION: u32 = 2;
const MARK_WORDS: usize = 4 + STREAMS + TEXTS + 1;
const FILE_HEAD: usize = 8 + 4 + 16 + 4 + 8 + 4;

/// Index of a text stream; `None` for others.
pub(crate) fn text_index(number: u8) -> Option<usize> {
    (1..=TEXTS as u8).contains(&number).then(|| usize::from(number) - 1)
}

/// Lines that begin in `payload`, and whether its last line goes on.
fn count(payload: &[u8], open: bool) -> (u64, bool) {
    let Some((last, rest)) = payload.split_last() else { return (0, open) };
    let inner = memchr::memchr_iter(b'\n', rest).count() as u64;
    (inner + u64::from(!open), *last != b'\n')
}

/// A place with the number of lines that began before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LineMark {
    pub pos: Position,
    pub starts: [u64; TEXTS],
    /// Whether the last line of the stream had not ended here.
    pub open: [bool; TEXTS],
    /// Bytes of the files before it.
    pub bytes: u64,
}

impl LineMark {
    pub fn lines(&self, streams: StreamSet) -> u64 {
        (0..TEXTS).filter(|t| streams.has(*t as u8 + 1)).map(|t| self.starts[t]).sum()
    }
}

/// How far lines are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Bytes of the files looked through.
    pub bytes: u64,
    /// Bytes there are.
    pub of_bytes: u64,
    /// Everything there is at the moment has been counted.
    pub complete: bool,
}

/// The table of one log.
#[derive(Debug)]
pub(crate) struct LineIndex {
    stride: u64,
    marks: Vec<LineMark>,
    head: LineMark,
}

impl LineIndex {
    pub fn new(start: Position) -> Self {
        let first = LineMark { pos: start, starts: [0; TEXTS], open: [false; TEXTS], bytes: 0 };
        Self { stride: STRIDE, marks: vec![first], head: first }
    }

    /// Counts on, through at most about `budget` bytes.
    pub fn advance(&mut self, reader: &mut LogReader, budget: u64) -> Result<Counted, LogError> {
        let begin = self.head.bytes;
        let mut complete = false;
        while !complete && self.head.bytes.saturating_sub(begin) < budget {
            let before = self.head.pos.offsets;
            match reader.next_of(&mut self.head.pos, StreamSet::OUTPUT)? {
                Item::End(_) => complete = true,
                Item::Damage(_) => {}
                Item::Frame(f) if f.head.flags & FLAG_GAP != 0 => {
                    if let Some(t) = text_index(f.head.stream) {
                        self.head.open[t] = false;
                    }
                }
                Item::Frame(f) => {
                    if let Some(t) = text_index(f.head.stream) {
                        // Where bytes are missing the line before is over.
                        let open = self.head.open[t] && before[f.stream.index()] == f.head.offset;
                        let (starts, open) = count(f.payload, open);
                        self.head.starts[t] += starts;
                        self.head.open[t] = open;
                    }
                }
            }
            self.head.bytes = reader.bytes_before(&self.head.pos);
            self.note();
        }
        Ok(Counted { bytes: self.head.bytes, of_bytes: reader.total_bytes(), complete })
    }

    /// How far it is counted.
    pub fn head(&self) -> &LineMark {
        &self.head
    }

    /// The last mark before which at most `number` lines began.
    pub fn before_line(&self, streams: StreamSet, number: u64) -> LineMark {
        let after = self.marks.partition_point(|m| m.lines(streams) <= number);
        self.marks[after.saturating_sub(1)]
    }

    /// The last mark at or before the frame `seq`; `None` when counting has not come to it.
    pub fn before_seq(&self, seq: u64) -> Option<LineMark> {
        if self.head.pos.seq < seq {
            return None;
        }
        let after = self.marks.partition_point(|m| m.pos.seq <= seq);
        Some(self.marks[after.saturating_sub(1)])
    }

    /// The last mark at which line `number` of one stream (by its text index) had not ended.
    pub fn before_end(&self, text: usize, number: u64) -> LineMark {
        let ended = |m: &LineMark| m.starts[text] > number + 1 || (m.starts[text] == number + 1 && !m.open[text]);
        let after = self.marks.partition_point(|m| !ended(m));
        self.marks[after.saturating_sub(1)]
    }

    fn note(&mut self) {
        // The first mark always stands, so there is a last one.
        if self.marks.last().is_some_and(|m| self.head.bytes < m.bytes + self.stride) {
            return;
        }
        self.marks.push(self.head);
        if self.marks.len() > MARKS_KEPT {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride *= 2;
        }
    }

    /// Writes the table to `path` through a temporary file beside it, mode 0600.
    pub fn save(&self, owner: LogOwner, path: &Path) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(FILE_HEAD + (self.marks.len() + 1) * MARK_WORDS * 8 + 4);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&owner.uuid);
        bytes.extend_from_slice(&owner.attempt.to_le_bytes());
        bytes.extend_from_slice(&self.stride.to_le_bytes());
        bytes.extend_from_slice(&(self.marks.len() as u32).to_le_bytes());
        for mark in self.marks.iter().chain([&self.head]) {
            for word in to_words(mark) {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        let temporary = path.with_extension(format!("tmp{}", std::process::id()));
        let written = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| file.write_all(&bytes))
            .and_then(|()| std::fs::rename(&temporary, path));
        if written.is_err() {
            // Best effort: the error that matters is the first.
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }

    /// Reads a table back; `None` when there is none, or it is not one of this log as it is now.
    pub fn load(path: &Path, reader: &LogReader) -> Option<Self> {
        let limit = (FILE_HEAD + (MARKS_KEPT + 2) * MARK_WORDS * 8 + 4) as u64;
        let mut bytes = Vec::new();
        File::open(path).ok()?.take(limit + 1).read_to_end(&mut bytes).ok()?;
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if body.len() < FILE_HEAD || body[..8] != *MAGIC || crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let owner = reader.owner()?;
        let number = |at: usize| body[at..].first_chunk().map(|b| u32::from_le_bytes(*b));
        if number(8)? != VERSION || body[12..28] != owner.uuid || number(28)? != owner.attempt {
            return None;
        }
        let stride = u64::from_le_bytes(*body[32..].first_chunk()?);
        let (words, rest) = body[FILE_HEAD..].as_chunks::<{ MARK_WORDS * 8 }>();
        if !rest.is_empty() || words.len() != number(40)? as usize + 1 || words.len() < 2 || stride < STRIDE {
            return None;
        }
        let mut marks: Vec<_> = words.iter().map(from_words).collect();
        let head = marks.pop()?;
        let segment = reader.segments.get(reader.segments.index_of(head.pos.segment)?);
        let sound = marks[0] == Self::new(reader.start()).head
            && head.pos.at <= segment.len
            && head.bytes == reader.bytes_before(&head.pos)
            && marks.windows(2).all(|m| m[0].bytes <= m[1].bytes && m[0].pos.seq <= m[1].pos.seq);
        sound.then_some(Self { stride, marks, head })
    }
}

fn to_words(mark: &LineMark) -> [u64; MARK_WORDS] {
    let mut words = [0; MARK_WORDS];
    let open = mark.open.iter().rev().fold(0, |bits, open| bits << 1 | u64::from(*open));
    words[0] = u64::from(mark.pos.segment) | open << 32;
    words[1..4].copy_from_slice(&[mark.pos.at, mark.pos.seq, mark.pos.ns]);
    words[4..4 + STREAMS].copy_from_slice(&mark.pos.offsets);
    words[4 + STREAMS..4 + STREAMS + TEXTS].copy_from_slice(&mark.starts);
    words[MARK_WORDS - 1] = mark.bytes;
    words
}

fn from_words(bytes: &[u8; MARK_WORDS * 8]) -> LineMark {
    let mut words = [0; MARK_WORDS];
    for (word, part) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*part);
    }
    let mut offsets = [0; STREAMS];
    offsets.copy_from_slice(&words[4..4 + STREAMS]);
    let mut starts = [0; TEXTS];
    starts.copy_from_slice(&words[4 + STREAMS..4 + STREAMS + TEXTS]);
    let pos = Position { segment: words[0] as u32, at: words[1], seq: words[2], ns: words[3], offsets };
    let open = std::array::from_fn(|t| words[0] >> (32 + t) & 1 == 1);
    LineMark { pos, starts, open, bytes: words[MARK_WORDS - 1] }
}
