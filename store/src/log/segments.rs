//! The segment files of one directory: which there are, how long they are, reading bytes of them.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::frame::{
    SEGMENT_FOLDED, SEGMENT_HEADER, SegmentHeader, sealed_name, sealed_number, segment_name, segment_number,
};
use super::item::Position;
use super::sealed::Sealed;

/// Why a log cannot be read at all. Damage inside a log is no error: it is reported as a gap.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The directory holds no segment.
    #[error("{} holds no log: no file out.NNNNNN.wlog is in it", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// A newer program wrote it.
    #[error("cannot read the log {}: {message}; read it with the version that wrote it", path.display())]
    Version {
        /// The segment.
        path: PathBuf,
        /// The versions.
        message: String,
    },
    /// A record inside the log is not what it should be.
    #[error("frame {seq} of the log in {}: {message}", dir.display())]
    Record {
        /// The log's directory.
        dir: PathBuf,
        /// The frame.
        seq: u64,
        /// What is wrong with it.
        message: String,
    },
    /// Writing a copy of the stream failed.
    #[error("cannot write the output of the log: {0}")]
    Output(io::Error),
}

impl LogError {
    /// Whether a segment that was there is not, or is another file now: it was folded meanwhile.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// That a segment is not what was listed.
pub(crate) fn gone(path: PathBuf) -> LogError {
    LogError::Io { what: "find the segment", path, source: io::ErrorKind::NotFound.into() }
}

/// What is known of a segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    Good(SegmentHeader),
    /// Not all of it is there yet.
    Short,
    Damaged,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub number: u32,
    /// Bytes of the segments before it.
    pub start: u64,
    pub len: u64,
    pub head: Head,
    /// It is compressed: it never grows.
    pub sealed: bool,
    /// Number of its file; 0 of a sealed one.
    ino: u64,
}

impl Segment {
    /// Whether it stands for segments that are not kept any more.
    pub fn is_folded(&self) -> bool {
        matches!(self.head, Head::Good(h) if h.flags & SEGMENT_FOLDED != 0)
    }

    /// Number of the last segment that it stands for.
    pub fn through(&self) -> u32 {
        match self.head {
            Head::Good(h) => h.through.max(self.number),
            Head::Short | Head::Damaged => self.number,
        }
    }

    /// Place of the first frame.
    pub fn body(&self) -> u64 {
        match self.head {
            Head::Good(h) => u64::from(h.header_len),
            Head::Short | Head::Damaged => SEGMENT_HEADER as u64,
        }
    }
}

/// Times that segments are listed anew at once: a writer folds them much more slowly.
pub(crate) const RELISTS: usize = 16;

/// The file of a segment.
#[derive(Debug)]
enum Source {
    Plain(File),
    Sealed(Box<Sealed>),
}

/// Segments in order of their numbers, with one file kept open.
#[derive(Debug)]
pub(crate) struct Segments {
    dir: PathBuf,
    list: Vec<Segment>,
    open: Option<(u32, Source)>,
    read: u64,
}

impl Segments {
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        let mut tries = 0;
        loop {
            match Self::list(dir) {
                // Folded since it was listed.
                Err(e) if e.is_gone() && dir.exists() && tries < RELISTS => tries += 1,
                done => return done,
            }
        }
    }

    fn list(dir: &Path) -> Result<Self, LogError> {
        let failed = |source| LogError::Io { what: "list the log directory", path: dir.to_owned(), source };
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            numbers.extend(name.to_str().and_then(|n| segment_number(n).or_else(|| sealed_number(n))));
        }
        numbers.sort_unstable();
        numbers.dedup();
        let mut all = Self { dir: dir.to_owned(), list: Vec::with_capacity(numbers.len()), open: None, read: 0 };
        for number in numbers {
            // One that a fold stands for stays for a moment, or after a crash.
            if all.list.last().is_none_or(|s| number > s.through()) {
                let segment = all.inspect(number, all.bytes())?;
                all.list.push(segment);
            }
        }
        if all.list.is_empty() {
            return Err(LogError::Missing { dir: dir.to_owned() });
        }
        Ok(all)
    }

    /// Lists the segments anew, after some were folded.
    pub fn relist(&mut self) -> Result<(), LogError> {
        let read = self.read;
        *self = Self::open(&self.dir.clone())?;
        self.read += read;
        Ok(())
    }

    pub fn count(&self) -> usize {
        self.list.len()
    }

    pub fn get(&self, ix: usize) -> Segment {
        self.list[ix]
    }

    pub fn index_of(&self, number: u32) -> Option<usize> {
        self.list.binary_search_by_key(&number, |s| s.number).ok()
    }

    /// Number of the first frame behind a segment, as the next one's header tells.
    pub fn first_seq_behind(&self, ix: usize) -> u64 {
        match self.list.get(ix + 1).map(|s| s.head) {
            Some(Head::Good(head)) => head.first_seq,
            _ => u64::MAX,
        }
    }

    pub fn is_last(&self, ix: usize) -> bool {
        ix + 1 == self.list.len()
    }

    pub fn all(&self) -> &[Segment] {
        &self.list
    }

    /// Bytes of all segments together.
    pub fn bytes(&self) -> u64 {
        self.list.last().map_or(0, |s| s.start + s.len)
    }

    /// Bytes read from the files so far.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    pub fn path(&self, number: u32) -> PathBuf {
        self.dir.join(segment_name(number))
    }

    /// Looks for more bytes and more segments; true when there are any. A segment that has a
    /// successor never grows again, so its length is read after the successor was seen.
    pub fn grow(&mut self) -> Result<bool, LogError> {
        let last = self.list.len() - 1;
        let (number, known) = (self.list[last].number, self.list[last].len);
        let there = |n: u32| self.path(n).exists() || self.dir.join(sealed_name(n)).exists();
        let next = self.list[last].through().checked_add(1).filter(|n| there(*n));
        if self.list[last].sealed && next.is_none() {
            return Ok(false);
        }
        if next.is_none() && !self.is_same(last) {
            return Err(gone(self.path(number)));
        }
        let now = self.inspect(number, self.list[last].start)?;
        let headed = self.list[last].head != now.head;
        self.list[last] = now;
        if let Some(next) = next {
            let segment = self.inspect(next, self.bytes())?;
            self.list.push(segment);
        }
        Ok(next.is_some() || headed || now.len != known)
    }

    /// Whether the file of a segment is still the one that was listed. A sealed one takes its place
    /// with the same content.
    fn is_same(&self, ix: usize) -> bool {
        let segment = self.list[ix];
        segment.sealed
            || std::fs::metadata(self.path(segment.number))
                .map_or_else(|_| self.dir.join(sealed_name(segment.number)).exists(), |m| m.ino() == segment.ino)
    }

    /// Reads at `at` until `buf` is full or the file ends; the count of bytes read.
    pub fn read_at(&mut self, number: u32, at: u64, buf: &mut [u8]) -> Result<usize, LogError> {
        let path = self.path(number);
        let file = match self.source(number)? {
            Source::Plain(file) => file,
            Source::Sealed(sealed) => {
                let done = sealed.read_at(at, buf).map_err(|source| LogError::Io {
                    what: "read the sealed log",
                    path,
                    source,
                })?;
                let read = sealed.take_read();
                self.read += read;
                return Ok(done);
            }
        };
        let mut done = 0;
        while done < buf.len() {
            match file.read_at(&mut buf[done..], at + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(LogError::Io { what: "read the log", path, source }),
            }
        }
        self.read += done as u64;
        Ok(done)
    }

    /// Whether bytes of a sealed segment are known to be lost.
    pub fn is_harmed(&mut self, ix: usize) -> Result<bool, LogError> {
        let segment = self.list[ix];
        if !segment.sealed {
            return Ok(false);
        }
        Ok(matches!(self.source(segment.number)?, Source::Sealed(sealed) if sealed.is_harmed()))
    }

    /// The last place of a sealed segment at which a reader may begin and that is `usable`.
    pub fn sealed_mark(&mut self, ix: usize, usable: impl Fn(&Position) -> bool) -> Result<Option<Position>, LogError> {
        let segment = self.list[ix];
        if !segment.sealed {
            return Ok(None);
        }
        Ok(match self.source(segment.number)? {
            Source::Sealed(sealed) => sealed.marks(segment.number).rev().find(usable),
            Source::Plain(_) => None,
        })
    }

    /// The file of a segment. The one that is not sealed is taken as long as it is there.
    fn source(&mut self, number: u32) -> Result<&mut Source, LogError> {
        if self.open.as_ref().is_none_or(|(n, _)| *n != number) {
            let path = self.path(number);
            let source = match File::open(&path) {
                Ok(file) => {
                    let known = self.index_of(number).map(|ix| self.list[ix]).filter(|s| !s.sealed);
                    if known.is_some_and(|s| file.metadata().is_ok_and(|m| m.ino() != s.ino)) {
                        return Err(gone(path));
                    }
                    Source::Plain(file)
                }
                Err(source) if source.kind() == io::ErrorKind::NotFound => self.sealed(number, source)?,
                Err(source) => return Err(LogError::Io { what: "open the log", path, source }),
            };
            self.open = Some((number, source));
        }
        // The line above has just filled it.
        Ok(&mut self.open.as_mut().expect("a file is open").1)
    }

    fn sealed(&mut self, number: u32, absent: io::Error) -> Result<Source, LogError> {
        let path = self.dir.join(sealed_name(number));
        let mut sealed = match File::open(&path).and_then(Sealed::open) {
            Ok(sealed) => sealed,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(LogError::Io { what: "open the log", path: self.path(number), source: absent });
            }
            Err(e) if e.kind() == io::ErrorKind::Unsupported => {
                return Err(LogError::Version { path, message: e.to_string() });
            }
            Err(source) => return Err(LogError::Io { what: "open the sealed log", path, source }),
        };
        self.read += sealed.take_read();
        Ok(Source::Sealed(Box::new(sealed)))
    }

    fn inspect(&mut self, number: u32, start: u64) -> Result<Segment, LogError> {
        let path = self.path(number);
        let (len, ino, sealed, kept, harmed) = match self.source(number)? {
            Source::Plain(file) => match file.metadata() {
                Ok(meta) => (meta.len(), meta.ino(), false, None, false),
                Err(source) => return Err(LogError::Io { what: "look at the log", path, source }),
            },
            Source::Sealed(sealed) => (sealed.len(), 0, true, sealed.head(), sealed.is_harmed()),
        };
        let mut bytes = [0; SEGMENT_HEADER];
        let read = match kept {
            Some(head) => {
                bytes = head;
                SEGMENT_HEADER.min(usize::try_from(len).unwrap_or(SEGMENT_HEADER))
            }
            None => self.read_at(number, 0, &mut bytes)?,
        };
        let head = if read < SEGMENT_HEADER {
            Head::Short
        } else {
            match SegmentHeader::decode(&bytes) {
                Ok(header) => Head::Good(header),
                Err(e) if e.kind() == io::ErrorKind::Unsupported => {
                    return Err(LogError::Version { path, message: e.to_string() });
                }
                Err(_) => Head::Damaged,
            }
        };
        // The rest of it is lost, not still to come.
        let head = if harmed && head == Head::Short { Head::Damaged } else { head };
        Ok(Segment { number, start, len, head, sealed, ino })
    }
}
