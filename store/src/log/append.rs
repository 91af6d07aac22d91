//! The writer of a framed log: one process, one thread, blocking.
//!
//! A frame is written with one vectored write straight from the caller's buffer; nothing is
//! buffered here and nothing is allocated for a frame. Whatever goes wrong, the file ends behind
//! the last whole frame again before another one is written.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};

use super::fold::{Ring, Tally};
use super::frame::{
    FRAME_HEADER, FrameHeader, PAYLOAD_MAX, SEGMENT_FOLDED, SEGMENT_HEADER, STREAMS, SegmentHeader, Stream,
    segment_name,
};

/// Room beyond the size of a segment that control frames may use, so that the exit frame on a
/// full disk needs no new file.
const CONTROL_ROOM: u64 = 64 * 1024;

/// Whose log it is; stands in each segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOwner {
    /// UUID of the run, service or operation, as bytes.
    pub uuid: [u8; 16],
    /// Attempt of a run or operation, generation of a service.
    pub attempt: u32,
}

/// Appends frames to the segments of one directory.
#[derive(Debug)]
pub struct LogWriter {
    dir: OwnedFd,
    file: File,
    owner: LogOwner,
    wall_ms: i64,
    segment_bytes: u64,
    segment: u32,
    /// End of the last whole frame in the current segment.
    end: u64,
    /// The file may reach beyond `end` because cutting it failed.
    ragged: bool,
    /// A segment was created whose name is not durable yet.
    dir_dirty: bool,
    seq: u64,
    ns: u64,
    offsets: [u64; STREAMS],
    unsynced: u64,
    /// What the first sync that failed said.
    sync_failed: Option<String>,
    /// Bytes in segments before the current one.
    closed_bytes: u64,
    /// The newest part, once only that is kept.
    ring: Option<Ring>,
}

impl LogWriter {
    /// Begins a log in `dir`, which must exist and hold no log yet. A segment is closed once a
    /// frame would make it longer than `segment_bytes`; each holds at least one frame.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when the directory has a first segment, and whatever the
    /// file system says.
    pub fn create(dir: &Path, owner: LogOwner, wall_ms_at_start: i64, segment_bytes: u64) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir_fd = rustix::fs::open(dir, flags, Mode::empty())
            .map_err(|e| named(e.into(), &format!("cannot open the log directory {}", dir.display())))?;
        let header = segment_header(owner, 1, 1, wall_ms_at_start);
        let file = create_segment(&dir_fd, &header)
            .map_err(|e| named(e, &format!("cannot begin the log in {}", dir.display())))?;
        Ok(Self {
            dir: dir_fd,
            file,
            owner,
            wall_ms: wall_ms_at_start,
            segment_bytes,
            segment: 1,
            end: SEGMENT_HEADER as u64,
            ragged: false,
            dir_dirty: true,
            seq: 0,
            ns: 0,
            offsets: [0; STREAMS],
            unsynced: SEGMENT_HEADER as u64,
            sync_failed: None,
            closed_bytes: 0,
            ring: None,
        })
    }

    /// What is in the log so far stays; of what follows only the newest segments do, of `segment_bytes`
    /// each and at most `max_bytes` together. The output before them is dropped and declared by gap
    /// records; everything that is no output stays. A second call changes nothing.
    pub fn keep_newest(&mut self, segment_bytes: u64, max_bytes: u64) {
        if self.ring.is_none() {
            self.segment_bytes = segment_bytes;
            self.ring = Some(Ring::new(max_bytes));
        }
    }

    /// Bytes of each stream that were appended and are not kept any more, by stream number.
    pub fn dropped(&self) -> [u64; STREAMS] {
        self.ring.as_ref().map_or([0; STREAMS], Ring::dropped)
    }

    /// Appends one frame and returns its `seq`. Time never runs backwards in a log: a smaller
    /// `ns_since_start` than that of the frame before is raised to it.
    ///
    /// # Errors
    /// After any error nothing of the frame is in the log and no number was used: the caller may
    /// append the same frame again later (a full disk), or give up. A payload above
    /// [`PAYLOAD_MAX`] is [`io::ErrorKind::InvalidInput`].
    pub fn append(&mut self, stream: Stream, flags: u8, payload: &[u8], ns_since_start: u64) -> io::Result<u64> {
        if payload.len() > PAYLOAD_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a frame of {} bytes is above the limit of {PAYLOAD_MAX}", payload.len()),
            ));
        }
        self.make_even()?;
        let size = (FRAME_HEADER + payload.len()) as u64;
        if self.must_roll(stream, size) {
            self.roll()?;
        }
        let header = FrameHeader {
            stream: stream.number(),
            flags,
            len: payload.len() as u32,
            seq: self.seq + 1,
            ns: ns_since_start.max(self.ns),
            offset: self.offsets[stream.index()],
            crc: 0,
        };
        let head = header.encode(payload);
        if let Err(error) = write_all_at(&self.file, [&head, payload], self.end) {
            self.ragged = true;
            // A failure here stays noted in `ragged` and is met again by the next append.
            let _ = self.make_even();
            return Err(error);
        }
        self.end += size;
        self.unsynced += size;
        self.seq = header.seq;
        self.ns = header.ns;
        self.offsets[stream.index()] += header.advance();
        if let Some(current) = self.ring.as_mut().and_then(|r| r.current.as_mut()) {
            current.note(&header);
        }
        Ok(header.seq)
    }

    /// Makes all frames appended so far durable.
    ///
    /// # Errors
    /// What the kernel says. Bytes then still count as not synced, and [`LogWriter::sync_failed`] stays.
    pub fn sync(&mut self) -> io::Result<()> {
        let synced = self.try_sync();
        if let Err(error) = &synced {
            self.sync_failed.get_or_insert_with(|| error.to_string());
        }
        synced
    }

    /// What the first sync that failed said, by whoever it was asked for. The kernel tells of lost bytes once and may
    /// have dropped them: a later success says nothing about those.
    pub fn sync_failed(&self) -> Option<&str> {
        self.sync_failed.as_deref()
    }

    fn try_sync(&mut self) -> io::Result<()> {
        rustix::fs::fdatasync(&self.file)?;
        if self.dir_dirty {
            rustix::fs::fsync(&self.dir)?;
            self.dir_dirty = false;
        }
        self.unsynced = 0;
        Ok(())
    }

    /// The segment that is being written, and where its last whole frame ends.
    pub fn written(&self) -> (BorrowedFd<'_>, u64) {
        (self.file.as_fd(), self.end)
    }

    /// Bytes written since the last [`LogWriter::sync`] that succeeded.
    pub fn bytes_unsynced(&self) -> u64 {
        self.unsynced
    }

    /// Bytes appended of each stream, by stream number.
    pub fn offsets(&self) -> [u64; STREAMS] {
        self.offsets
    }

    /// Number of the last frame; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Bytes of all segments together, headers included.
    pub fn total_bytes(&self) -> u64 {
        self.closed_bytes + self.end
    }

    /// Number of the segment that is being written.
    pub fn segment(&self) -> u32 {
        self.segment
    }

    fn must_roll(&self, stream: Stream, size: u64) -> bool {
        let empty = self.end == SEGMENT_HEADER as u64;
        let limit = match stream {
            Stream::Control => self.segment_bytes.saturating_add(CONTROL_ROOM),
            _ => self.segment_bytes,
        };
        // The head and the newest part share no segment.
        let leaves_head = stream != Stream::Control && self.ring.as_ref().is_some_and(|r| r.current.is_none());
        !empty && (leaves_head || self.end.saturating_add(size) > limit)
    }

    /// Closes the current segment and begins the next; on an error the current one stays.
    fn roll(&mut self) -> io::Result<()> {
        let number = self
            .segment
            .checked_add(1)
            .ok_or_else(|| io::Error::new(io::ErrorKind::QuotaExceeded, "the log has no segment numbers left"))?;
        if self.unsynced > 0 {
            self.sync()?;
        }
        self.make_room()?;
        let file = create_segment(&self.dir, &segment_header(self.owner, number, self.seq + 1, self.wall_ms))?;
        self.file = file;
        self.segment = number;
        self.closed_bytes += self.end;
        if let Some(ring) = &mut self.ring {
            let closed = ring.current.replace(Tally::new(number, self.seq + 1));
            ring.closed.extend(closed.map(|c| Tally { len: self.end, ..c }));
        }
        self.end = SEGMENT_HEADER as u64;
        self.unsynced = self.end;
        self.dir_dirty = true;
        Ok(())
    }

    /// Folds old segments of the newest part until one more has room in it.
    fn make_room(&mut self) -> io::Result<()> {
        let Some(ring) = self.ring.as_mut().filter(|r| r.current.is_some()) else { return Ok(()) };
        let header = SegmentHeader { flags: SEGMENT_FOLDED, ..segment_header(self.owner, 0, 0, self.wall_ms) };
        while !ring.closed.is_empty() && ring.closed_bytes() + self.end + self.segment_bytes > ring.max_bytes {
            let (went, came) = ring.fold_oldest(&self.dir, header)?;
            self.closed_bytes = self.closed_bytes + came - went;
            self.dir_dirty = true;
        }
        Ok(())
    }

    fn make_even(&mut self) -> io::Result<()> {
        if self.ragged {
            rustix::fs::ftruncate(&self.file, self.end)?;
            self.ragged = false;
        }
        Ok(())
    }
}

fn segment_header(owner: LogOwner, number: u32, first_seq: u64, wall_ms: i64) -> SegmentHeader {
    let LogOwner { uuid, attempt } = owner;
    SegmentHeader { header_len: SEGMENT_HEADER as u16, flags: 0, uuid, attempt, number, through: 0, first_seq, wall_ms }
}

/// Creates a segment with its header; on an error no file is left behind.
fn create_segment(dir: &OwnedFd, header: &SegmentHeader) -> io::Result<File> {
    let name = segment_name(header.number);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, &name, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|e| named(e.into(), &format!("cannot create {name}")))?;
    let file = File::from(fd);
    if let Err(error) = write_all_at(&file, [&header.encode(), &[]], 0) {
        // Best effort: a leftover is met as "already exists" by the next try.
        let _ = rustix::fs::unlinkat(dir, &name, AtFlags::empty());
        return Err(named(error, &format!("cannot write the header of {name}")));
    }
    Ok(file)
}

/// Writes both parts at `at`, in one call unless the kernel takes less than all.
fn write_all_at(file: &File, parts: [&[u8]; 2], at: u64) -> io::Result<()> {
    let total = parts[0].len() + parts[1].len();
    let mut done = 0;
    while done < total {
        let first = &parts[0][done.min(parts[0].len())..];
        let second = &parts[1][done.saturating_sub(parts[0].len())..];
        match rustix::io::pwritev(file, &[IoSlice::new(first), IoSlice::new(second)], at + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => done += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Puts words before an error and keeps its kind; the kernel's number stays in its text.
fn named(error: io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::frame::FLAG_GAP;
    use super::*;

    const OWNER: LogOwner = LogOwner { uuid: [3; 16], attempt: 2 };

    #[test]
    fn numbers_offsets_and_sizes() {
        let dir = tempfile::tempdir().unwrap();
        let mut w = LogWriter::create(dir.path(), OWNER, 1000, 300).unwrap();
        assert_eq!(w.append(Stream::Stdout, 0, b"abc", 5).unwrap(), 1);
        assert_eq!(w.append(Stream::Stderr, 0, b"de", 4).unwrap(), 2);
        assert_eq!(w.append(Stream::Stdout, FLAG_GAP, b"{}", 6).unwrap(), 3);
        assert_eq!(w.append(Stream::Stdout, 0, &[7; 200], 7).unwrap(), 4);
        assert_eq!(w.offsets(), [0, 203, 2, 0, 0, 0]);
        assert_eq!((w.segment(), w.seq()), (2, 4));
        let sizes: u64 = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert_eq!(w.total_bytes(), sizes);
        assert!(w.bytes_unsynced() > 0);
        w.sync().unwrap();
        assert_eq!(w.bytes_unsynced(), 0);
        let first = dir.path().join("out.000001.wlog");
        assert_eq!(std::fs::metadata(&first).unwrap().permissions().mode() & 0o777, 0o600);
        let bytes = std::fs::read(&first).unwrap();
        // The second frame asked for an earlier time than the first.
        assert_eq!(bytes[64 + 43 + 24..][..8], 5u64.to_le_bytes());
    }

    #[test]
    fn a_used_directory_and_a_long_payload_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut w = LogWriter::create(dir.path(), OWNER, 0, 1 << 20).unwrap();
        let again = LogWriter::create(dir.path(), OWNER, 0, 1 << 20).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let long = vec![0; PAYLOAD_MAX + 1];
        assert_eq!(w.append(Stream::Stdout, 0, &long, 0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(w.append(Stream::Stdout, 0, &long[1..], 0).unwrap(), 1);
    }

    #[test]
    fn an_exit_frame_needs_no_new_segment() {
        let dir = tempfile::tempdir().unwrap();
        let mut w = LogWriter::create(dir.path(), OWNER, 0, 200).unwrap();
        w.append(Stream::Stdout, 0, &[1; 90], 0).unwrap();
        w.append(Stream::Control, 0, &[b' '; 500], 0).unwrap();
        assert_eq!(w.segment(), 1);
        w.append(Stream::Stdout, 0, b"x", 0).unwrap();
        assert_eq!(w.segment(), 2);
    }

    #[test]
    fn a_sync_that_failed_is_not_forgotten_by_one_that_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let mut w = LogWriter::create(dir.path(), OWNER, 0, 200).unwrap();
        assert_eq!(w.sync_failed(), None);
        // A device takes bytes and refuses to sync them.
        let device = File::options().write(true).open("/dev/null").unwrap();
        let file = std::mem::replace(&mut w.file, device);
        w.append(Stream::Stdout, 0, &[1; 90], 0).unwrap();
        assert!(w.append(Stream::Stdout, 0, &[2; 90], 0).is_err(), "the next segment needs a sync");
        let said = w.sync_failed().unwrap().to_owned();
        w.file = file;
        assert_eq!(w.append(Stream::Stdout, 0, &[2; 90], 0).unwrap(), 2);
        w.sync().unwrap();
        assert_eq!(w.sync_failed(), Some(said.as_str()));
    }

    #[test]
    fn a_segment_that_cannot_be_made_costs_no_number() {
        let dir = tempfile::tempdir().unwrap();
        let mut w = LogWriter::create(dir.path(), OWNER, 0, 200).unwrap();
        w.append(Stream::Stdout, 0, &[1; 90], 0).unwrap();
        let next = dir.path().join("out.000002.wlog");
        std::fs::write(&next, b"in the way").unwrap();
        let error = w.append(Stream::Stdout, 0, &[2; 90], 0).unwrap_err();
        assert!(error.to_string().contains("out.000002.wlog"), "{error}");
        assert_eq!((w.seq(), w.segment(), w.offsets()[1]), (1, 1, 90));
        std::fs::remove_file(&next).unwrap();
        assert_eq!(w.append(Stream::Stdout, 0, &[2; 90], 0).unwrap(), 2);
        assert_eq!(w.segment(), 2);
    }
}
