//! Sealing: the segments of a log that nobody writes any more are compressed, one after the other.
//!
//! A segment is written beside the old one under another name, synced, read back and compared, and
//! renamed into place. The old one stays until [`remove_unsealed`]: at every moment the log can be read.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use zstd_safe::{CCtx, CParameter};

use super::fold::TEMPORARY;
use super::frame::{SEGMENT_HEADER, sealed_name, segment_name};
use super::item::{Position, Step, UNKNOWN};
use super::read::LogReader;
use super::sealed::{BLOCK_MAX, BLOCK_MIN, Block, HEADER_LEN, SKIP_INDEX, Sealed, SealedHeader};
use super::segments::{LogError, Segments};

const LEVEL: i32 = 1;
const SEEK_TABLE: u32 = 0x184D_2A5E;
const SEEK_FOOTER: u32 = 0x8F92_EAB1;

/// What has just become durable in the sealing of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealPoint {
    /// It is compressed, under another name.
    Compressed,
    /// What was written was read back and is the same.
    Verified,
    /// It has its name.
    Renamed,
}

/// What sealing a log came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SealedBytes {
    /// Bytes of the log.
    pub from: u64,
    /// Bytes of its sealed segments.
    pub to: u64,
}

/// Seals every segment in `dir` that is not sealed yet, and tells each step. It may be cut off at any
/// moment and be called again.
///
/// # Errors
/// What the file system says; no segment is lost or changed by it.
pub fn seal(dir: &Path, mut point: impl FnMut(SealPoint)) -> Result<SealedBytes, LogError> {
    let mut reader = LogReader::open(dir)?;
    reader.set_live(false);
    let mut bytes = SealedBytes::default();
    for ix in 0..reader.segments.count() {
        let segment = reader.segments.get(ix);
        let to = dir.join(sealed_name(segment.number));
        bytes.from += segment.len;
        if dir.join(segment_name(segment.number)).exists() {
            let cuts = cuts(&mut reader, ix)?;
            let temporary = dir.join(format!("{}.tmp", sealed_name(segment.number)));
            let failed = |what| move |path: &Path, source| LogError::Io { what, path: path.to_owned(), source };
            write(&mut reader, ix, cuts, &temporary).map_err(|e| e.or_at("write", &temporary))?;
            point(SealPoint::Compressed);
            verify(&mut reader, ix, &temporary).map_err(|e| e.or_at("verify", &temporary))?;
            point(SealPoint::Verified);
            std::fs::rename(&temporary, &to).map_err(|e| failed("rename")(&temporary, e))?;
            sync_dir(dir).map_err(|e| failed("sync")(dir, e))?;
            point(SealPoint::Renamed);
        }
        bytes.to += std::fs::metadata(&to).map_or(0, |m| m.len());
    }
    Ok(bytes)
}

/// Removes the segments of which a sealed one is there and whole, those that a sealed fold stands for, and
/// what a sealing or a folding that was cut off left behind.
///
/// # Errors
/// What the file system says.
pub fn remove_unsealed(dir: &Path) -> Result<(), LogError> {
    let failed = |what, path: &Path, source| LogError::Io { what, path: path.to_owned(), source };
    let listed = Segments::open(dir)?;
    for entry in std::fs::read_dir(dir).map_err(|e| failed("list", dir, e))? {
        let entry = entry.map_err(|e| failed("list", dir, e))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = entry.path();
        let plain = super::frame::segment_number(name);
        let goes = match plain.or_else(|| super::frame::sealed_number(name)) {
            Some(number) if listed.index_of(number).is_none() => is_folded(dir, &listed, number),
            Some(number) => plain.is_some() && is_sealed(dir, number, &path),
            None => {
                name == TEMPORARY || name.strip_suffix(".tmp").is_some_and(|n| super::frame::sealed_number(n).is_some())
            }
        };
        if goes {
            std::fs::remove_file(&path).map_err(|e| failed("remove", &path, e))?;
        }
    }
    sync_dir(dir).map_err(|e| failed("sync", dir, e))
}

/// Whether the sealed segment is there, is not damaged as far as its header and index tell, and has
/// the length of the old one.
fn is_sealed(dir: &Path, number: u32, old: &Path) -> bool {
    let sealed = File::open(dir.join(sealed_name(number))).and_then(Sealed::open);
    let len = std::fs::metadata(old).map(|m| m.len());
    matches!((sealed, len), (Ok(sealed), Ok(len)) if !sealed.is_harmed() && sealed.len() == len)
}

/// Whether a fold that is sealed and whole stands for a segment: readers pass over it.
fn is_folded(dir: &Path, listed: &Segments, number: u32) -> bool {
    let before = listed.all().partition_point(|s| s.number < number);
    let Some(fold) = before.checked_sub(1).map(|ix| listed.get(ix)) else { return false };
    let sealed = File::open(dir.join(sealed_name(fold.number))).and_then(Sealed::open);
    fold.is_folded() && fold.through() >= number && sealed.is_ok_and(|sealed| !sealed.is_harmed())
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// An error of the log itself, or of the file that is being made.
enum Failed {
    Log(LogError),
    File(io::Error),
}

impl Failed {
    fn or_at(self, what: &'static str, path: &Path) -> LogError {
        match self {
            Self::Log(error) => error,
            Self::File(source) => LogError::Io { what, path: path.to_owned(), source },
        }
    }
}

impl From<LogError> for Failed {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

/// Where zstd frames begin: at frames of the log, at least [`BLOCK_MIN`] apart, or within damage.
fn cuts(reader: &mut LogReader, ix: usize) -> Result<Vec<Block>, LogError> {
    let segment = reader.segments.get(ix);
    let mut pos = reader.start_of_segment(ix);
    let mut cuts: Vec<Block> = Vec::new();
    let mut cut = |at: u64, pos: Option<&Position>| {
        let mut last = cuts.last().map_or(0, |c| c.at);
        if cuts.is_empty() {
            cuts.push(Block { file_at: 0, at: 0, seq: 0, ns: 0, offsets: [UNKNOWN; super::frame::STREAMS] });
        }
        while at - last > BLOCK_MAX {
            last += BLOCK_MIN;
            cuts.push(Block { at: last, seq: 0, ..cuts[0] });
        }
        if let Some(pos) = pos.filter(|_| at - last >= BLOCK_MIN) {
            cuts.push(Block { file_at: 0, at, seq: pos.seq, ns: pos.ns, offsets: pos.offsets });
        }
    };
    loop {
        if let Step::End(_) = reader.step(&mut pos, true)? {
            break;
        }
        if pos.segment != segment.number || pos.at >= segment.len {
            break;
        }
        cut(pos.at, Some(&pos));
    }
    if segment.len > 0 {
        cut(segment.len, None);
    }
    Ok(cuts)
}

fn zstd_error(code: zstd_safe::ErrorCode) -> io::Error {
    io::Error::other(format!("zstd: {}", zstd_safe::get_error_name(code)))
}

fn write(reader: &mut LogReader, ix: usize, mut blocks: Vec<Block>, path: &Path) -> Result<(), Failed> {
    let segment = reader.segments.get(ix);
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut out = BufWriter::with_capacity(256 * 1024, file);
    out.write_all(&[0; HEADER_LEN])?;
    let mut context = CCtx::try_create().ok_or(io::Error::from(io::ErrorKind::OutOfMemory))?;
    context.set_parameter(CParameter::CompressionLevel(LEVEL)).map_err(zstd_error)?;
    context.set_parameter(CParameter::ChecksumFlag(true)).map_err(zstd_error)?;
    let mut at = HEADER_LEN as u64;
    let mut head = [0; SEGMENT_HEADER];
    // Compressed and uncompressed size of each part of the file, as other programs want it.
    let mut sizes = vec![(HEADER_LEN as u32, 0u32)];
    let (mut plain, mut packed) = (Vec::new(), Vec::new());
    for n in 0..blocks.len() {
        let to = blocks.get(n + 1).map_or(segment.len, |b| b.at);
        plain.resize((to - blocks[n].at) as usize, 0);
        if reader.segments.read_at(segment.number, blocks[n].at, &mut plain)? < plain.len() {
            return Err(io::Error::other("the segment has become shorter while it was being sealed").into());
        }
        if n == 0 {
            let n = plain.len().min(SEGMENT_HEADER);
            head[..n].copy_from_slice(&plain[..n]);
        }
        packed.clear();
        packed.reserve(zstd_safe::compress_bound(plain.len()));
        context.compress2(&mut packed, &plain).map_err(zstd_error)?;
        out.write_all(&packed)?;
        blocks[n].file_at = at;
        at += packed.len() as u64;
        sizes.push((packed.len() as u32, plain.len() as u32));
    }
    let index_at = at;
    let mut index: Vec<u8> = blocks.iter().flat_map(Block::encode).collect();
    index.extend_from_slice(&crc32c::crc32c(&index).to_le_bytes());
    sizes.push((index.len() as u32 + 8, 0));
    skippable(&mut out, SKIP_INDEX, &index)?;
    let mut table: Vec<u8> = sizes.iter().flat_map(|(c, d)| [c.to_le_bytes(), d.to_le_bytes()]).flatten().collect();
    table.extend_from_slice(&(sizes.len() as u32).to_le_bytes());
    table.push(0);
    table.extend_from_slice(&SEEK_FOOTER.to_le_bytes());
    skippable(&mut out, SEEK_TABLE, &table)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    let file_len = file.metadata()?.len();
    let header = SealedHeader { blocks: blocks.len() as u32, len: segment.len, file_len, index_at, head };
    file.write_all_at(&header.encode(), 0)?;
    Ok(file.sync_all()?)
}

fn skippable(out: &mut impl Write, magic: u32, body: &[u8]) -> io::Result<()> {
    out.write_all(&magic.to_le_bytes())?;
    out.write_all(&(body.len() as u32).to_le_bytes())?;
    out.write_all(body)
}

/// Reads both and compares them.
fn verify(reader: &mut LogReader, ix: usize, path: &Path) -> Result<(), Failed> {
    let segment = reader.segments.get(ix);
    let mut sealed = Sealed::open(File::open(path)?)?;
    let (mut a, mut b) = (vec![0; BLOCK_MAX as usize], vec![0; BLOCK_MAX as usize]);
    let mut at = 0;
    let mut same = sealed.len() == segment.len;
    while same && at < segment.len {
        let n = sealed.read_at(at, &mut a)?;
        let m = reader.segments.read_at(segment.number, at, &mut b)?;
        same = n > 0 && n == m && a[..n] == b[..m];
        at += n as u64;
    }
    if !same || sealed.is_harmed() {
        return Err(io::Error::other("what was written is not what was sealed; the old segment stays").into());
    }
    Ok(())
}
