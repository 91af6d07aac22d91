//! A sealed segment: its bytes in independent zstd frames, any of which can be read by itself.
//!
//! ```text
//! skippable 50   header, 128 bytes: sizes, where the index is, the segment's own header, CRC-32C
//! zstd frame …   64 KiB of the segment or a little more each, beginning at a frame of the log, with checksum
//! skippable 51   index: for each zstd frame its place and the position of the log there, CRC-32C
//! skippable 5E   seek table of the zstd seekable format, for other programs
//! ```
//!
//! `zstd -d` gives back the segment, byte for byte. Readers see the same places as before: bytes of a
//! zstd frame that is damaged read as zeros, in which no frame of the log can be found, so they are
//! told as damage like any other.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use zstd_safe::DCtx;

use super::frame::{SEGMENT_HEADER, STREAMS};
use super::item::{Position, UNKNOWN};

/// Least bytes of a segment in one zstd frame, but for the last.
pub(crate) const BLOCK_MIN: u64 = 64 * 1024;
/// Most bytes of a segment in one zstd frame.
pub(crate) const BLOCK_MAX: u64 = 512 * 1024;
pub(crate) const HEADER_LEN: usize = 128;
pub(crate) const ENTRY_LEN: usize = 8 * (4 + STREAMS);
pub(crate) const SKIP_HEADER: u32 = 0x184D_2A50;
pub(crate) const SKIP_INDEX: u32 = 0x184D_2A51;
const MAGIC: &[u8; 8] = b"WHARFSEA";
const VERSION: u16 = 1;
/// Decompressed zstd frames kept.
const CACHED: usize = 4;
/// Longest zstd frame, with room for what cannot be compressed.
const COMPRESSED_MAX: usize = BLOCK_MAX as usize + 4096;

/// The first bytes of a sealed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedHeader {
    pub blocks: u32,
    /// Bytes of the segment.
    pub len: u64,
    /// Bytes of this file.
    pub file_len: u64,
    /// Where the index stands.
    pub index_at: u64,
    /// The segment's own header, as far as it had one.
    pub head: [u8; SEGMENT_HEADER],
}

impl SealedHeader {
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut b = [0; HEADER_LEN];
        b[0..4].copy_from_slice(&SKIP_HEADER.to_le_bytes());
        b[4..8].copy_from_slice(&(HEADER_LEN as u32 - 8).to_le_bytes());
        b[8..16].copy_from_slice(MAGIC);
        b[16..18].copy_from_slice(&VERSION.to_le_bytes());
        b[20..24].copy_from_slice(&self.blocks.to_le_bytes());
        b[24..32].copy_from_slice(&self.len.to_le_bytes());
        b[32..40].copy_from_slice(&self.file_len.to_le_bytes());
        b[40..48].copy_from_slice(&self.index_at.to_le_bytes());
        b[48..112].copy_from_slice(&self.head);
        let crc = crc32c::crc32c(&b[..124]);
        b[124..].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// `None` when it is damaged.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] for a sound header of a later version.
    fn decode(b: &[u8]) -> io::Result<Option<Self>> {
        let Some(b) = b.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        if b[8..16] != *MAGIC || crc32c::crc32c(&b[..124]) != word(b, 124) {
            return Ok(None);
        }
        let version = u16::from_le_bytes([b[16], b[17]]);
        if version != VERSION {
            let words = format!("sealed segment has format version {version}, this program reads {VERSION}");
            return Err(io::Error::new(io::ErrorKind::Unsupported, words));
        }
        let mut head = [0; SEGMENT_HEADER];
        head.copy_from_slice(&b[48..112]);
        Ok(Some(Self { blocks: word(b, 20), len: long(b, 24), file_len: long(b, 32), index_at: long(b, 40), head }))
    }
}

/// One zstd frame, and the log's position where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    /// Place in this file.
    pub file_at: u64,
    /// Place in the segment.
    pub at: u64,
    /// As a [`Position`]; a `seq` of 0 says that none is known.
    pub seq: u64,
    pub ns: u64,
    pub offsets: [u64; STREAMS],
}

impl Block {
    pub fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut b = [0; ENTRY_LEN];
        let words = [self.file_at, self.at, self.seq, self.ns].into_iter().chain(self.offsets);
        for (part, word) in b.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *part = word.to_le_bytes();
        }
        b
    }

    fn decode(b: &[u8; ENTRY_LEN]) -> Self {
        let offsets = std::array::from_fn(|i| long(b, 32 + 8 * i));
        Self { file_at: long(b, 0), at: long(b, 8), seq: long(b, 16), ns: long(b, 24), offsets }
    }

    fn bare(file_at: u64, at: u64) -> Self {
        Self { file_at, at, seq: 0, ns: 0, offsets: [UNKNOWN; STREAMS] }
    }
}

/// Reads a sealed segment as if it were not.
pub(crate) struct Sealed {
    file: File,
    /// Bytes of the segment; where some are lost for good, at least one more than there are.
    len: u64,
    head: Option<[u8; SEGMENT_HEADER]>,
    blocks: Vec<Block>,
    /// End of the last zstd frame.
    blocks_end: u64,
    /// Bytes of the segment in those zstd frames.
    covered: u64,
    harmed: bool,
    context: DCtx<'static>,
    cache: Vec<(usize, Vec<u8>)>,
    compressed: Vec<u8>,
    read: u64,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealed").field("len", &self.len).field("blocks", &self.blocks.len()).finish_non_exhaustive()
    }
}

impl Sealed {
    /// Reads the header and the index; what is damaged is found again from the zstd frames themselves.
    ///
    /// # Errors
    /// What the file system says, and [`io::ErrorKind::Unsupported`] for a later format.
    pub fn open(file: File) -> io::Result<Self> {
        let file_len = file.metadata()?.len();
        let mut first = [0; HEADER_LEN];
        let n = read_full(&file, 0, &mut first)?;
        let header = SealedHeader::decode(&first[..n])?;
        let mut sealed = Self {
            file,
            len: 0,
            head: header.map(|h| h.head),
            blocks: Vec::new(),
            blocks_end: HEADER_LEN as u64,
            covered: 0,
            harmed: false,
            context: DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?,
            cache: Vec::new(),
            compressed: Vec::new(),
            read: n as u64,
        };
        if !header.is_some_and(|h| h.file_len == file_len && sealed.load_index(&h).unwrap_or(false)) {
            sealed.scan(file_len, header.map(|h| h.len))?;
        }
        Ok(sealed)
    }

    /// Bytes of the segment.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The segment's own header, without decompressing anything; `None` when it was damaged.
    pub fn head(&self) -> Option<[u8; SEGMENT_HEADER]> {
        self.head
    }

    /// Some bytes of the segment are known to be lost.
    pub fn is_harmed(&self) -> bool {
        self.harmed
    }

    /// Places at which a reader may begin, in order.
    pub fn marks(&self, segment: u32) -> impl DoubleEndedIterator<Item = Position> {
        self.blocks.iter().filter(|b| b.seq != 0).map(move |b| Position {
            segment,
            at: b.at,
            seq: b.seq,
            ns: b.ns,
            offsets: b.offsets,
        })
    }

    /// Bytes of the file read since the last call.
    pub fn take_read(&mut self) -> u64 {
        std::mem::take(&mut self.read)
    }

    /// Reads bytes of the segment; zeros where they are lost. The count is short only at its end.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read_at(&mut self, at: u64, buf: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX).min(buf.len());
        let mut done = 0;
        while done < want {
            let here = at + done as u64;
            let part = &mut buf[done..want];
            if here >= self.covered {
                part.fill(0);
                done = want;
                continue;
            }
            let ix = self.blocks.partition_point(|b| b.at <= here) - 1;
            let skip = (here - self.blocks[ix].at) as usize;
            let block = self.block(ix)?;
            let n = (block.len() - skip).min(part.len());
            part[..n].copy_from_slice(&block[skip..skip + n]);
            done += n;
        }
        Ok(want)
    }

    /// One zstd frame, decompressed; zeros when it is damaged.
    fn block(&mut self, ix: usize) -> io::Result<&[u8]> {
        if let Some(found) = self.cache.iter().position(|(n, _)| *n == ix) {
            let found = self.cache.remove(found);
            self.cache.push(found);
        } else {
            let begin = self.blocks[ix];
            let next = self.blocks.get(ix + 1);
            let (end, to) = (next.map_or(self.blocks_end, |b| b.file_at), next.map_or(self.covered, |b| b.at));
            let mut bytes = if self.cache.len() < CACHED { Vec::new() } else { self.cache.remove(0).1 };
            bytes.clear();
            bytes.resize((to - begin.at) as usize, 0);
            self.compressed.resize((end - begin.file_at) as usize, 0);
            let n = read_full(&self.file, begin.file_at, &mut self.compressed)?;
            self.read += n as u64;
            if self.context.decompress(&mut bytes[..], &self.compressed[..n]) != Ok(bytes.len()) {
                self.harmed = true;
                bytes.fill(0);
            }
            self.cache.push((ix, bytes));
        }
        Ok(self.cache.last().map_or(&[], |(_, bytes)| bytes))
    }

    /// Whether the index is whole and fits; only then it is used.
    fn load_index(&mut self, header: &SealedHeader) -> io::Result<bool> {
        let len = 8 + header.blocks as usize * ENTRY_LEN + 4;
        if header.index_at.saturating_add(len as u64) > header.file_len {
            return Ok(false);
        }
        let mut bytes = vec![0; len];
        let n = read_full(&self.file, header.index_at, &mut bytes)?;
        self.read += n as u64;
        let (body, crc) = bytes.split_at(len - 4);
        if n < len || word(body, 0) != SKIP_INDEX || crc32c::crc32c(&body[8..]) != word(crc, 0) {
            return Ok(false);
        }
        let blocks: Vec<_> = body[8..].as_chunks::<ENTRY_LEN>().0.iter().map(Block::decode).collect();
        let ends = blocks.iter().skip(1).map(|b| (b.file_at, b.at)).chain([(header.index_at, header.len)]);
        let begins = blocks.first().is_none_or(|b| (b.file_at, b.at) == (HEADER_LEN as u64, 0));
        let fits = blocks.iter().zip(ends).all(|(b, (file_at, at))| {
            b.file_at < file_at && file_at - b.file_at <= COMPRESSED_MAX as u64 && b.at < at && at - b.at <= BLOCK_MAX
        });
        if !begins || !fits || (blocks.is_empty() && header.len > 0) {
            return Ok(false);
        }
        (self.blocks, self.blocks_end) = (blocks, header.index_at);
        (self.len, self.covered) = (header.len, header.len);
        Ok(true)
    }

    /// Finds the zstd frames one after the other. What is behind one that cannot be passed is lost.
    fn scan(&mut self, file_len: u64, len: Option<u64>) -> io::Result<()> {
        let mut at = HEADER_LEN as u64;
        let mut covered = 0;
        let mut chunk = vec![0; COMPRESSED_MAX];
        let mut whole = false;
        while at < file_len {
            let n = read_full(&self.file, at, &mut chunk)?;
            self.read += n as u64;
            if n >= 4 && word(&chunk, 0) == SKIP_INDEX {
                whole = true;
                break;
            }
            let Ok(compressed) = zstd_safe::find_frame_compressed_size(&chunk[..n]) else { break };
            let Ok(Some(size)) = zstd_safe::get_frame_content_size(&chunk[..n]) else { break };
            if compressed == 0 || size == 0 || size > BLOCK_MAX {
                break;
            }
            self.blocks.push(Block::bare(at, covered));
            at += compressed as u64;
            covered += size;
        }
        (self.blocks_end, self.covered) = (at, covered);
        // Its true length is lost when both are: one byte more stands for what is missing.
        self.len = len.unwrap_or(covered + u64::from(!whole)).max(covered);
        self.harmed = self.len > covered;
        Ok(())
    }
}

fn read_full(file: &File, at: u64, buf: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match file.read_at(&mut buf[done..], at + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Four bytes as a number; 0 where there are not so many.
fn word(b: &[u8], at: usize) -> u32 {
    b.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
}

fn long(b: &[u8], at: usize) -> u64 {
    b.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}
