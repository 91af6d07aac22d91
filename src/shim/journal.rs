//! The log as the shim writes it: frames in order, a full disk waited out, synced in time.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;

use serde_json::{Value, json};
use wharf_store::log::{LogOwner, LogWriter, Stream};

use super::clock;
use crate::process::writeback;

/// Time between two tries while the disk refuses.
const RETRY_NS: u64 = clock::ms(100);
/// Oldest unsynced frame.
const SYNC_NS: u64 = clock::ms(1_000);
/// Most unsynced bytes.
const SYNC_BYTES: u64 = 8 << 20;
/// Bytes after which the kernel is asked to begin writing them.
const WRITEBACK_BYTES: u64 = 1 << 20;
/// Most control frames that wait for room. A run makes a handful; an operator who sends signals
/// in a loop to a run on a full disk loses the record of some.
const QUEUE_MAX: usize = 256;

/// What the last write said about the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// It takes bytes.
    Ok,
    /// It has no room.
    Full,
    /// It refuses for another reason.
    Failed,
}

impl Disk {
    /// The word of the control protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Full => "full",
            Self::Failed => "failed",
        }
    }
}

/// Whether bytes were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// They are in the log.
    Yes,
    /// Nothing is; the caller keeps them and tries again.
    NotNow,
}

/// Appends to the log and keeps what cannot be appended now.
#[derive(Debug)]
pub struct Journal {
    log: LogWriter,
    start_boot_ns: u64,
    queue: VecDeque<Vec<u8>>,
    left_out: u64,
    /// Set while the disk refuses: when to try again.
    retry_at: Option<u64>,
    refused: Disk,
    /// Awake time of the oldest frame that is not synced.
    unsynced_since: Option<u64>,
    /// A failed sync is in the records, or waits to be.
    told_sync_failed: bool,
    /// Up to where in the segment the kernel was asked to begin writing.
    begun: u64,
}

impl Journal {
    /// Begins the log of a directory.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(dir: &Path, owner: LogOwner, segment_bytes: u64) -> io::Result<Self> {
        let log = LogWriter::create(dir, owner, clock::wall_ms(), segment_bytes)?;
        Ok(Self {
            log,
            start_boot_ns: clock::boot_ns(),
            queue: VecDeque::new(),
            left_out: 0,
            retry_at: None,
            refused: Disk::Ok,
            unsynced_since: None,
            told_sync_failed: false,
            begun: 0,
        })
    }

    /// Records something about the run; kept for later when the disk refuses.
    pub fn control(&mut self, record: &Value) {
        // A `Value` with string keys always serialises.
        let payload = record.to_string().into_bytes();
        if self.retry_at.is_none() && self.queue.is_empty() && self.append(Stream::Control, 0, &payload) == Taken::Yes {
            return;
        }
        if self.queue.len() < QUEUE_MAX { self.queue.push_back(payload) } else { self.left_out += 1 }
    }

    /// Appends bytes of a stream as one frame, unless the disk refuses.
    pub fn data(&mut self, stream: Stream, flags: u8, bytes: &[u8]) -> Taken {
        if self.is_blocked() {
            return Taken::NotNow;
        }
        self.append(stream, flags, bytes)
    }

    /// Whether the disk refuses, or records still wait.
    pub fn is_blocked(&self) -> bool {
        self.retry_at.is_some() || !self.queue.is_empty()
    }

    /// State of the disk.
    pub fn disk(&self) -> Disk {
        match (self.retry_at, self.log.sync_failed().is_some()) {
            (Some(_), _) => self.refused,
            (None, true) => Disk::Failed,
            (None, false) => Disk::Ok,
        }
    }

    /// Says whether a retry is due, and allows it: the next `data` or `flush` tries the disk.
    pub fn begin_retry(&mut self, now: u64) -> bool {
        let due = self.retry_at.is_some_and(|at| now >= at);
        if due {
            self.retry_at = None;
        }
        due
    }

    /// Tries a frame that was refused before, ahead of the records that wait. Only right after
    /// [`Journal::begin_retry`] said yes.
    pub fn retry_data(&mut self, stream: Stream, flags: u8, bytes: &[u8]) -> Taken {
        self.append(stream, flags, bytes)
    }

    /// Writes the records that wait, oldest first; says whether none is left.
    pub fn flush(&mut self) -> bool {
        while self.retry_at.is_none()
            && let Some(payload) = self.queue.pop_front()
        {
            if self.append(Stream::Control, 0, &payload) == Taken::NotNow {
                self.queue.push_front(payload);
            }
        }
        if self.queue.is_empty() && self.retry_at.is_none() && self.left_out > 0 {
            let records = std::mem::take(&mut self.left_out);
            self.control(&json!({"t": "gap", "records": records, "reason": "disk_full"}));
        }
        !self.is_blocked()
    }

    /// Syncs when the oldest frame is a second old or much is unsynced.
    pub fn sync_if_due(&mut self, now: u64) {
        let due = self.unsynced_since.is_some_and(|since| now >= since + SYNC_NS);
        // Where syncs fail, the bytes stay unsynced: not at each turn then.
        if due || (self.log.bytes_unsynced() >= SYNC_BYTES && self.log.sync_failed().is_none()) {
            self.sync();
        }
    }

    /// Syncs now. A failure is recorded and stays in [`Journal::disk`]: after a failed sync the
    /// kernel may have dropped the bytes, so a later success proves nothing about them.
    pub fn sync(&mut self) {
        self.unsynced_since = None;
        // Noted by the log.
        let _ = self.log.sync();
        self.tell_sync_failed();
    }

    /// What the first failed sync said: some of the log may not be durable.
    pub fn sync_failed(&self) -> Option<String> {
        self.log.sync_failed().map(str::to_owned)
    }

    fn tell_sync_failed(&mut self) {
        if let Some(message) = self.log.sync_failed().filter(|_| !self.told_sync_failed) {
            let record = json!({"t": "sync_failed", "message": message});
            self.told_sync_failed = true;
            self.control(&record);
        }
    }

    /// When [`Journal::begin_retry`] or [`Journal::sync_if_due`] have something to do next.
    pub fn next_due(&self) -> Option<u64> {
        match (self.retry_at, self.unsynced_since.map(|since| since + SYNC_NS)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Number of the last frame.
    pub fn seq(&self) -> u64 {
        self.log.seq()
    }

    /// From now on keeps only the newest output, at most about `max_bytes` of it, in whole segments.
    pub fn keep_newest(&mut self, segment_bytes: u64, max_bytes: u64) {
        self.log.keep_newest(segment_bytes, max_bytes);
    }

    /// Whether output that was in the log is not kept any more.
    pub fn has_dropped(&self) -> bool {
        self.log.dropped().iter().any(|bytes| *bytes > 0)
    }

    /// Bytes kept of one stream.
    pub fn kept(&self, stream: Stream) -> u64 {
        self.log.offsets()[stream.index()] - self.log.dropped()[stream.index()]
    }

    /// How far each of the child's streams has come in the log, in bytes, by name.
    pub fn offsets(&self, streams: impl Iterator<Item = Stream>) -> BTreeMap<String, u64> {
        let offsets = self.log.offsets();
        streams.map(|s| (s.name().to_owned(), offsets[s.index()])).collect()
    }

    /// Lets the disk work while the child prints on, so that a sync has little left to wait for.
    fn begin_writeback(&mut self) {
        let (file, end) = self.log.written();
        if end < self.begun {
            self.begun = 0;
        }
        if end - self.begun >= WRITEBACK_BYTES {
            writeback::begin(file, self.begun, end - self.begun);
            self.begun = end;
        }
    }

    fn append(&mut self, stream: Stream, flags: u8, payload: &[u8]) -> Taken {
        let ns = clock::boot_ns().saturating_sub(self.start_boot_ns);
        match self.log.append(stream, flags, payload, ns) {
            Ok(_) => {
                self.unsynced_since.get_or_insert_with(clock::awake_ns);
                self.begin_writeback();
                Taken::Yes
            }
            Err(error) => {
                self.refused = if is_full(&error) { Disk::Full } else { Disk::Failed };
                self.retry_at = Some(clock::awake_ns() + RETRY_NS);
                // A segment is synced before the next one is begun.
                self.tell_sync_failed();
                Taken::NotNow
            }
        }
    }
}

/// Whether an error says that there is no room: on the disk, in a quota, or below a limit of file size.
pub fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::StorageFull | K::QuotaExceeded | K::FileTooLarge)
}
