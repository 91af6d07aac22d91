//! The byte layout of segments and frames: encode, decode, checksums. No IO here.

use std::io;

/// Longest payload of one frame, in bytes.
pub const PAYLOAD_MAX: usize = 262_144;
/// Length of a frame header, in bytes.
pub const FRAME_HEADER: usize = 40;
/// Length of a segment header as written by version 1, in bytes.
pub const SEGMENT_HEADER: usize = 64;
/// First four bytes of each frame.
pub const FRAME_MAGIC: [u8; 4] = *b"WLF1";
/// First eight bytes of each segment.
pub const SEGMENT_MAGIC: [u8; 8] = *b"WHARFLOG";
/// Version of the segment format that is written, and the newest that is read.
pub const VERSION: u16 = 1;
/// Flag: secret values in the payload were replaced by asterisks.
pub const FLAG_REDACTED: u8 = 1;
/// Flag: the payload is a JSON record `{bytes, reason}` about bytes that were not kept. Such a
/// payload is no part of its stream: offsets count kept bytes only.
pub const FLAG_GAP: u8 = 2;
/// Flag of a segment: it stands for segments that are not kept any more. The numbers that are missing
/// in it are those of frames of output, which its gap records count in `frames`; offsets behind such a
/// record go on where the streams did.
pub const SEGMENT_FOLDED: u32 = 1;
/// Number of streams this version knows; their numbers are `0..STREAMS`.
pub const STREAMS: usize = 6;

/// What a frame carries. Readers skip frames of any other number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Stream {
    /// JSON records of the shim itself.
    Control = 0,
    /// The child's standard output.
    Stdout = 1,
    /// The child's standard error.
    Stderr = 2,
    /// Output of the child's terminal.
    Terminal = 3,
    /// JSON messages of a `wharf` inside the run.
    Agent = 4,
    /// What an operator typed into the terminal.
    Input = 5,
}

impl Stream {
    /// All streams in the order of their numbers.
    pub const ALL: [Self; STREAMS] =
        [Self::Control, Self::Stdout, Self::Stderr, Self::Terminal, Self::Agent, Self::Input];

    /// The stream with this number; `None` for one of a later version.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Number in the file, also an index below [`STREAMS`].
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Index into arrays of length [`STREAMS`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Name used in exit frames and replies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Terminal => "terminal",
            Self::Agent => "agent",
            Self::Input => "input",
        }
    }
}

/// Header of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Length of the header in the file; frames begin there.
    pub header_len: u16,
    /// [`SEGMENT_FOLDED`].
    pub flags: u32,
    /// UUID of the run, service or operation.
    pub uuid: [u8; 16],
    /// Attempt or generation of the owner.
    pub attempt: u32,
    /// Number of the segment, from 1.
    pub number: u32,
    /// Number of the last segment that a folded one stands for; 0 in any other.
    pub through: u32,
    /// `seq` of the first frame in it.
    pub first_seq: u64,
    /// Wall time at which the shim started, milliseconds.
    pub wall_ms: i64,
}

impl SegmentHeader {
    /// The header as bytes, checksum included.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut b = [0u8; SEGMENT_HEADER];
        b[0..8].copy_from_slice(&SEGMENT_MAGIC);
        b[8..10].copy_from_slice(&VERSION.to_le_bytes());
        b[10..12].copy_from_slice(&self.header_len.to_le_bytes());
        b[12..16].copy_from_slice(&self.flags.to_le_bytes());
        b[16..32].copy_from_slice(&self.uuid);
        b[32..36].copy_from_slice(&self.attempt.to_le_bytes());
        b[36..40].copy_from_slice(&self.number.to_le_bytes());
        b[40..48].copy_from_slice(&self.first_seq.to_le_bytes());
        b[48..56].copy_from_slice(&self.wall_ms.to_le_bytes());
        b[56..60].copy_from_slice(&self.through.to_le_bytes());
        let crc = crc32c::crc32c(&b);
        b[60..64].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for wrong magic, length or checksum, and
    /// [`io::ErrorKind::Unsupported`] for a sound header of a later version.
    pub fn decode(bytes: &[u8]) -> io::Result<Self> {
        let Some(b) = bytes.first_chunk::<SEGMENT_HEADER>() else {
            return Err(bad("segment header is incomplete"));
        };
        if b[0..8] != SEGMENT_MAGIC {
            return Err(bad("file does not begin with a segment header"));
        }
        let mut zeroed = *b;
        zeroed[60..64].fill(0);
        if crc32c::crc32c(&zeroed) != u32_at(b, 60) {
            return Err(bad("checksum of the segment header does not match"));
        }
        let version = u16_at(b, 8);
        if version == 0 || version > VERSION {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("segment has format version {version}, this program reads up to {VERSION}"),
            ));
        }
        let header_len = u16_at(b, 10);
        if usize::from(header_len) < SEGMENT_HEADER {
            return Err(bad("segment header names an impossible length"));
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&b[16..32]);
        Ok(Self {
            header_len,
            flags: u32_at(b, 12),
            uuid,
            attempt: u32_at(b, 32),
            number: u32_at(b, 36),
            through: u32_at(b, 56),
            first_seq: u64_at(b, 40),
            wall_ms: u64_at(b, 48).cast_signed(),
        })
    }
}

/// Header of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Number of the stream; may be one that this version does not know.
    pub stream: u8,
    /// [`FLAG_REDACTED`], [`FLAG_GAP`].
    pub flags: u8,
    /// Length of the payload, at most [`PAYLOAD_MAX`].
    pub len: u32,
    /// Number of the frame, from 1, without holes over all segments.
    pub seq: u64,
    /// Nanoseconds since the shim's start (boot clock).
    pub ns: u64,
    /// Offset of the first payload byte in its stream.
    pub offset: u64,
    /// Checksum over header and payload as found in the file; ignored by [`FrameHeader::encode`].
    pub crc: u32,
}

impl FrameHeader {
    /// The header as bytes with the checksum over itself and `payload`.
    pub fn encode(&self, payload: &[u8]) -> [u8; FRAME_HEADER] {
        let mut b = self.unchecked();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&b), payload);
        b[12..16].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// Reads a header without looking at the payload. `None` when no frame can begin like this:
    /// wrong magic, a length above the limit, reserved bytes that are not zero, or numbers behind which none
    /// can follow.
    pub fn decode(b: &[u8; FRAME_HEADER]) -> Option<Self> {
        let len = u32_at(b, 8);
        if b[0..4] != FRAME_MAGIC || len as usize > PAYLOAD_MAX || b[6..8] != [0, 0] {
            return None;
        }
        let (seq, offset) = (u64_at(b, 16), u64_at(b, 32));
        let flags = b[5];
        // No log comes this far; readers count on from both. What stands for lost bytes may not know where they were.
        let nowhere = flags & FLAG_GAP != 0 && offset == u64::MAX;
        if seq == u64::MAX || offset >= u64::MAX - u64::from(len) && !nowhere {
            return None;
        }
        Some(Self { stream: b[4], flags, len, crc: u32_at(b, 12), seq, ns: u64_at(b, 24), offset })
    }

    /// Whether the checksum holds for this header and `payload`.
    pub fn verify(&self, payload: &[u8]) -> bool {
        payload.len() == self.len as usize
            && crc32c::crc32c_append(crc32c::crc32c(&self.unchecked()), payload) == self.crc
    }

    /// Bytes the whole frame takes in its file.
    pub fn size(&self) -> u64 {
        FRAME_HEADER as u64 + u64::from(self.len)
    }

    /// Bytes by which the frame moves its stream on: none for a gap record.
    pub fn advance(&self) -> u64 {
        if self.flags & FLAG_GAP == 0 { u64::from(self.len) } else { 0 }
    }

    fn unchecked(&self) -> [u8; FRAME_HEADER] {
        let mut b = [0u8; FRAME_HEADER];
        b[0..4].copy_from_slice(&FRAME_MAGIC);
        b[4] = self.stream;
        b[5] = self.flags;
        b[8..12].copy_from_slice(&self.len.to_le_bytes());
        b[16..24].copy_from_slice(&self.seq.to_le_bytes());
        b[24..32].copy_from_slice(&self.ns.to_le_bytes());
        b[32..40].copy_from_slice(&self.offset.to_le_bytes());
        b
    }
}

/// Name of the segment file with this number.
pub fn segment_name(number: u32) -> String {
    format!("out.{number:06}.wlog")
}

/// Number in the name of a segment file; `None` for any other file.
pub fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("out.")?.strip_suffix(".wlog")?;
    let plain = digits.len() >= 6 && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// Name of the sealed file of the segment with this number.
pub fn sealed_name(number: u32) -> String {
    format!("{}.zst", segment_name(number))
}

/// Number in the name of a sealed segment; `None` for any other file.
pub fn sealed_number(name: &str) -> Option<u32> {
    segment_number(name.strip_suffix(".zst")?)
}

fn bad(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn array_at<const N: usize>(b: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&b[at..at + N]);
    out
}

fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(b, at))
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(b, at))
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(b, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> FrameHeader {
        FrameHeader { stream: 1, flags: FLAG_REDACTED, len: 5, seq: 7, ns: 11, offset: 13, crc: 0 }
    }

    #[test]
    fn frame_layout_is_the_agreed_one() {
        let b = header().encode(b"hello");
        assert_eq!(&b[0..4], b"WLF1");
        assert_eq!((b[4], b[5], b[6], b[7]), (1, 1, 0, 0));
        assert_eq!(b[8..12], 5u32.to_le_bytes());
        assert_eq!(b[16..24], 7u64.to_le_bytes());
        assert_eq!(b[24..32], 11u64.to_le_bytes());
        assert_eq!(b[32..40], 13u64.to_le_bytes());
        let mut whole = b.to_vec();
        whole[12..16].fill(0);
        whole.extend_from_slice(b"hello");
        assert_eq!(b[12..16], crc32c::crc32c(&whole).to_le_bytes());
        let read = FrameHeader::decode(&b).unwrap();
        assert!(read.verify(b"hello"));
        assert!(!read.verify(b"hellO"));
        assert!(!read.verify(b"hell"));
    }

    #[test]
    fn numbers_that_readers_cannot_count_on_from_are_no_frame() {
        for (seq, offset, good) in [
            (u64::MAX, 0, false),
            (u64::MAX - 1, 0, true),
            (1, u64::MAX, false),
            (1, u64::MAX - 5, false),
            (1, u64::MAX - 6, true),
        ] {
            let b = FrameHeader { seq, offset, ..header() }.encode(b"hello");
            assert_eq!(FrameHeader::decode(&b).is_some(), good, "{seq} {offset}");
        }
    }

    #[test]
    fn segment_header_survives_and_detects_each_flipped_bit() {
        let h = SegmentHeader {
            header_len: 64,
            flags: 0,
            uuid: [9; 16],
            attempt: 2,
            number: 3,
            through: 0,
            first_seq: 4,
            wall_ms: -5,
        };
        let b = h.encode();
        assert_eq!(SegmentHeader::decode(&b).unwrap(), h);
        for bit in 0..b.len() * 8 {
            let mut c = b;
            c[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&c).is_err(), "bit {bit}");
        }
        assert!(SegmentHeader::decode(&b[..63]).is_err());
    }

    #[test]
    fn later_versions_are_refused_by_name() {
        let mut b = [0; 64];
        b[0..8].copy_from_slice(&SEGMENT_MAGIC);
        b[8] = 2;
        b[10] = 64;
        let crc = crc32c::crc32c(&b);
        b[60..64].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&b).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn names_of_segments() {
        assert_eq!(segment_name(1), "out.000001.wlog");
        assert_eq!(segment_number("out.000012.wlog"), Some(12));
        assert_eq!(segment_number("out.1234567.wlog"), Some(1_234_567));
        assert_eq!(sealed_name(12), "out.000012.wlog.zst");
        assert_eq!((sealed_number("out.000012.wlog.zst"), sealed_number("out.000012.wlog")), (Some(12), None));
        for other in ["out.1.wlog", "out.00000x.wlog", "out.000001.wlog.zst", "x.out.000001.wlog", "out.+00001.wlog"] {
            assert_eq!(segment_number(other), None, "{other}");
        }
    }

    #[test]
    fn stream_numbers_are_the_agreed_ones() {
        let names: Vec<_> = Stream::ALL.iter().map(|s| (s.number(), s.name())).collect();
        assert_eq!(names, [(0, "control"), (1, "stdout"), (2, "stderr"), (3, "terminal"), (4, "agent"), (5, "input")]);
        assert_eq!(Stream::from_number(6), None);
    }
}
