//! The journal (WAL): what it must still hold, and how large it may get.
//!
//! SQLite takes a journal up to its first broken frame and calls the rest a commit that never ended. That is right
//! after a loss of power, and wrong after a flipped bit or a cut file: commits that were acknowledged would be gone
//! without a word. Two things tell the cases apart: the shared index knows how many frames were committed, and behind
//! a commit that never ended there is none that did.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use crate::{StoreError, directory};

/// The WAL is never truncated below this, and has this much room from the start.
pub(crate) const ROOM_BYTES: i64 = 8 << 20;
/// Frames in the WAL after which a commit copies them back: about 4 MiB.
const CHECKPOINT_FRAMES: i32 = 1000;
/// Frames after which a commit insists that readers let go: about 64 MiB.
const INSIST_FRAMES: i32 = 16_000;
/// How long it insists: a read transaction is stopped after [`crate::open::READ_LIMIT_MS`].
const INSIST: Duration = Duration::from_millis(150);
/// Least time between two attempts, so that a reader that cannot be stopped does not slow down every commit.
const INSIST_AGAIN: Duration = Duration::from_millis(250);

thread_local! {
    /// How long this thread waits for locks of others; none: as long as usual.
    static PATIENCE: Cell<Option<Duration>> = const { Cell::new(None) };
    static INSISTED: Cell<Option<Instant>> = const { Cell::new(None) };
    /// The disk did not keep what was copied back; told once.
    static LOST: Cell<bool> = const { Cell::new(false) };
}

/// Whether the disk failed to keep what this thread copied back since the last question. The error of the commit that
/// this happened after does not say so.
pub(crate) fn take_lost() -> bool {
    LOST.take()
}

/// How long this thread waits for another connection's lock just now.
pub(crate) fn patience(usual: Duration) -> Duration {
    PATIENCE.get().unwrap_or(usual)
}

/// Copies pages back after commits, and says so when the disk does not keep them: SQLite's own way would not.
pub(crate) fn watch(conn: &Connection) {
    conn.wal_hook(Some(after_commit));
}

fn after_commit(wal: &Wal, frames: i32) -> rusqlite::Result<()> {
    use rusqlite::hooks::CheckpointMode::{PASSIVE, RESTART};
    if frames < CHECKPOINT_FRAMES {
        return Ok(());
    }
    let due = INSISTED.get().is_none_or(|at| at.elapsed() >= INSIST_AGAIN);
    let result = if frames >= INSIST_FRAMES && due {
        PATIENCE.set(Some(INSIST));
        let result = wal.checkpoint_v2(RESTART);
        PATIENCE.set(None);
        INSISTED.set(Some(Instant::now()));
        result
    } else {
        wal.checkpoint_v2(PASSIVE)
    };
    match result {
        // What was to be copied may be gone from memory and never have reached the disk.
        Err(error) if crate::suspect::is_lost_sync(&error) => {
            LOST.set(true);
            Err(error)
        }
        // A full disk or a reader in the way: the journal keeps everything, and the next commit tries again.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Writes something small, durably, while this epoch reigns; says whether it did.
pub(crate) fn mark(conn: &Connection, epoch: i64) -> rusqlite::Result<bool> {
    let round = "INSERT INTO meta (key, value) SELECT 'journal_round', 1 FROM meta WHERE key = 'epoch' AND value = ?1 \
                 ON CONFLICT (key) DO UPDATE SET value = value + 1";
    conn.execute(round, [epoch]).map(|rows| rows == 1)
}

/// Brings the file back to its room when it has grown, in a quiet moment. Says whether it is small now.
pub(crate) fn shrink(dir: &Path, conn: &Connection, epoch: i64) -> rusqlite::Result<bool> {
    let grown = || std::fs::metadata(directory::journal(dir)).is_ok_and(|m| m.len() > ROOM_BYTES as u64);
    if !grown() {
        return Ok(true);
    }
    PATIENCE.set(Some(Duration::ZERO));
    let all = conn.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| Ok(row.get::<_, i64>(0)? == 0));
    PATIENCE.set(None);
    if matches!(all, Ok(true)) {
        // The first commit of a new round cuts the file to its limit; what changes nothing would be none.
        mark(conn, epoch)?;
    }
    all.map(|all| all && !grown())
}

/// What is in the way of trusting the journal, in words; none when nothing is.
///
/// To be asked before SQLite opens the store: it would make the shared index anew from what is left. Other processes
/// may write meanwhile, so what looks broken must look the same twice.
pub(crate) fn broken(dir: &Path) -> Result<Option<String>, StoreError> {
    twice(|| {
        let path = directory::journal(dir);
        // First, so that the journal holds at least what it speaks of.
        let index = Index::read(dir);
        let scan = Scan::read(&path).map_err(|e| StoreError::io(&path, "cannot be read", e))?;
        Ok(scan.against(index))
    })
}

/// The part of [`broken`] that a mere reader asks: whether the shared index knows of more than there is.
pub(crate) fn lost(dir: &Path) -> Result<Option<String>, StoreError> {
    twice(|| {
        let path = directory::journal(dir);
        let Some(index) = Index::read(dir).filter(|i| i.needs_journal()) else { return Ok(None) };
        let scan = Scan::read(&path).map_err(|e| StoreError::io(&path, "cannot be read", e))?;
        Ok(scan.against(Some(index)))
    })
}

/// Looks until two looks say the same; several that differ are the sight of somebody who writes.
fn twice(look: impl Fn() -> Result<Option<String>, StoreError>) -> Result<Option<String>, StoreError> {
    const LOOKS: u32 = 4;
    let mut last = None;
    for _ in 0..LOOKS {
        let found = look()?;
        if found.is_none() || found == last {
            return Ok(found);
        }
        last = found;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(None)
}

/// Pages that the committed part of the journal holds.
pub(crate) fn pages(dir: &Path) -> Result<BTreeSet<u32>, StoreError> {
    let path = directory::journal(dir);
    Scan::read(&path).map(|s| s.pages).map_err(|e| StoreError::io(&path, "cannot be read", e))
}

/// What the shared index (`-shm`) says about the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Index {
    salt: [u8; 8],
    /// Frames that were committed.
    frames: u32,
    /// Of these, how many were copied back into the database.
    copied: u32,
}

impl Index {
    fn read(dir: &Path) -> Option<Self> {
        let mut bytes = [0u8; 100];
        crate::probe::file(&dir.join("wharf.db-shm")).ok()?.read_exact_at(&mut bytes, 0).ok()?;
        // Two copies, the second for those who read while the first is written.
        let initialised = bytes[12] == 1;
        if bytes[..48] != bytes[48..96] || !initialised {
            return None;
        }
        let native = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut salt = [0u8; 8];
        salt.copy_from_slice(&bytes[32..40]);
        Some(Self { salt, frames: native(16), copied: native(96) })
    }

    /// Whether frames of the journal are needed: the database does not have them yet.
    const fn needs_journal(self) -> bool {
        self.frames > self.copied
    }
}

/// What stands in the journal.
#[derive(Debug, Default)]
struct Scan {
    /// Size of the file.
    bytes: u64,
    /// How its header is.
    head: Head,
    /// Frames up to the last commit that is whole.
    committed: u32,
    /// Commits behind the first broken frame.
    behind: u32,
    /// Number of the last of them.
    last_behind: u32,
    pages: BTreeSet<u32>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// There is none yet: an empty file, or room that nobody has used.
    #[default]
    None,
    /// It is broken, though frames follow.
    Broken,
    Good([u8; 8]),
}

const HEADER: usize = 32;
const FRAME: usize = 24;

impl Scan {
    fn read(path: &Path) -> io::Result<Self> {
        // SQLite holds no locks on the journal itself: it may be closed again.
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(e),
        };
        let mut scan = Self { bytes: file.metadata()?.len(), ..Self::default() };
        let mut file = BufReader::with_capacity(1 << 18, file);
        let mut header = [0u8; HEADER];
        if !fill(&mut file, &mut header)? {
            return Ok(scan);
        }
        let mut frame = [0u8; FRAME];
        let Some((page, mut sum)) = checked_header(&header) else {
            let used = fill(&mut file, &mut frame)? && frame != [0; FRAME];
            scan.head = if used { Head::Broken } else { Head::None };
            return Ok(scan);
        };
        let mut salt = [0u8; 8];
        salt.copy_from_slice(&header[16..24]);
        scan.head = Head::Good(salt);
        let mut body = vec![0u8; page];
        let mut open: Vec<u32> = Vec::new();
        let mut number = 0u32;
        loop {
            if !fill(&mut file, &mut frame)? {
                return Ok(scan);
            }
            if frame[8..16] != salt || big(&frame, 0) == 0 || !fill(&mut file, &mut body)? {
                break;
            }
            let next = add(add(sum, &frame[..8], sum.big), &body, sum.big);
            if (next.a, next.b) != (big(&frame, 16), big(&frame, 20)) {
                // The next look begins behind this frame.
                scan.note_behind(&frame, number + 1);
                break;
            }
            sum = next;
            number += 1;
            open.push(big(&frame, 0));
            if big(&frame, 4) > 0 {
                scan.committed = number;
                scan.pages.extend(open.drain(..));
            }
        }
        scan.look_behind(&mut file, salt, page)?;
        Ok(scan)
    }

    /// Looks at the heads of the frames behind the first broken one.
    fn look_behind(&mut self, file: &mut BufReader<File>, salt: [u8; 8], page: usize) -> io::Result<()> {
        let size = (FRAME + page) as u64;
        let at = file.stream_position()?.saturating_sub(HEADER as u64);
        let mut number = u32::try_from(at.div_ceil(size)).unwrap_or(u32::MAX);
        let mut frame = [0u8; FRAME];
        loop {
            let to = HEADER as u64 + u64::from(number) * size;
            let from = file.stream_position()?;
            file.seek_relative(to.cast_signed() - from.cast_signed())?;
            if !fill(file, &mut frame)? {
                return Ok(());
            }
            number += 1;
            if frame[8..16] == salt {
                self.note_behind(&frame, number);
            } else if frame == [0; FRAME] {
                // Room that nobody has used yet.
                return Ok(());
            }
        }
    }

    fn note_behind(&mut self, frame: &[u8; FRAME], number: u32) {
        if big(frame, 4) > 0 {
            self.behind += 1;
            self.last_behind = number;
        }
    }

    fn against(&self, index: Option<Index>) -> Option<String> {
        match (self.head, index) {
            (Head::Broken, index) if index.is_none_or(Index::needs_journal) => {
                Some("its first bytes are not those of a journal, though commits follow them".to_owned())
            }
            (Head::None, Some(index)) if index.needs_journal() => Some(format!(
                "{} pages of commits that only it held are gone, {} bytes are left",
                index.frames - index.copied,
                self.bytes
            )),
            (Head::Good(salt), Some(index)) if index.salt == salt && index.needs_journal() => (self.committed
                < index.frames)
                .then(|| format!("{} of {} pages of its commits can be read", self.committed, index.frames)),
            // Everything up to there was copied back.
            (Head::Good(salt), Some(index)) if index.salt == salt && self.last_behind <= index.frames => None,
            // The second of two commits is begun only once the first is on the disk.
            (Head::Good(_), _) if self.behind > 1 => Some(format!(
                "it is broken behind page {} of its commits, and {} commits follow",
                self.committed, self.behind
            )),
            _ => None,
        }
    }
}

/// Fills a buffer; says whether there was that much.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

fn big(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The running checksum of a journal.
#[derive(Debug, Clone, Copy)]
struct Sum {
    a: u32,
    b: u32,
    /// Order of the bytes in which words are added.
    big: bool,
}

fn add(sum: Sum, bytes: &[u8], big: bool) -> Sum {
    let (mut a, mut b) = (sum.a, sum.b);
    for words in bytes.chunks_exact(8) {
        let word = |at: usize| {
            let four = [words[at], words[at + 1], words[at + 2], words[at + 3]];
            if big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
        };
        a = a.wrapping_add(word(0)).wrapping_add(b);
        b = b.wrapping_add(word(4)).wrapping_add(a);
    }
    Sum { a, b, big }
}

/// Size of a page and the checksum so far, when the header is whole.
fn checked_header(header: &[u8; HEADER]) -> Option<(usize, Sum)> {
    let big_words = match big(header, 0) {
        0x377f_0682 => false,
        0x377f_0683 => true,
        _ => return None,
    };
    let sum = add(Sum { a: 0, b: 0, big: big_words }, &header[..24], big_words);
    let page = usize::try_from(big(header, 8)).ok()?;
    let whole = (sum.a, sum.b) == (big(header, 24), big(header, 28));
    (whole && page.is_power_of_two() && (512..=65_536).contains(&page)).then_some((page, sum))
}
