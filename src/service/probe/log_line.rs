//! A line of its output as a check: the service's own log is read on from where the last look ended.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use wharf_store::log::{FLAG_GAP, Item, LogError, LogReader, Position, Stream, StreamSet};

/// What may say it.
const STREAMS: [Stream; 3] = [Stream::Stdout, Stream::Stderr, Stream::Terminal];

/// Waits for a text in the output of one process.
#[derive(Debug)]
pub struct LogLine {
    text: String,
    dir: PathBuf,
    log: Option<(LogReader, Position)>,
    seen: [Seen; STREAMS.len()],
    found: bool,
}

impl LogLine {
    /// Will look for `text` (not empty, no line end in it) in the log that `dir` has or will have.
    pub fn new(text: &str, dir: PathBuf) -> Self {
        Self { text: text.to_owned(), dir, log: None, seen: Default::default(), found: false }
    }

    pub(super) fn asked(&self) -> String {
        format!("a line of its output with {:?}", self.text)
    }

    /// Reads what came since the last look, for at most `limit`.
    pub(super) fn look(&mut self, limit: Duration) -> Result<(), String> {
        let end = Instant::now() + limit;
        let failed = |e: LogError| format!("its log cannot be read: {e}");
        if self.log.is_none() {
            match LogReader::open(&self.dir) {
                Ok(log) => {
                    let start = log.start();
                    self.log = Some((log, start));
                }
                // Its shim has not begun one yet.
                Err(LogError::Missing { .. }) => return Err(self.not_yet()),
                Err(error) => return Err(failed(error)),
            }
        }
        if let Some((log, at)) = &mut self.log {
            log.refresh().map_err(failed)?;
            while !self.found && Instant::now() < end {
                match log.next_of(at, StreamSet::OUTPUT).map_err(failed)? {
                    Item::Frame(frame) => {
                        let Some(n) = STREAMS.iter().position(|s| s.number() == frame.head.stream) else { continue };
                        if frame.head.flags & FLAG_GAP == 0 {
                            self.found = self.seen[n].take(frame.payload, self.text.as_bytes());
                        } else {
                            self.seen[n] = Seen::default();
                        }
                    }
                    Item::Damage(_) => self.seen = Default::default(),
                    Item::End(_) => break,
                }
            }
        }
        if self.found { Ok(()) } else { Err(self.not_yet()) }
    }

    fn not_yet(&self) -> String {
        format!("no line of its output has held {:?} yet", self.text)
    }
}

/// The end of a stream so far: as many bytes as could begin the text, without colours.
#[derive(Debug, Default)]
struct Seen {
    tail: Vec<u8>,
    escape: Escape,
}

/// Where in an escape sequence a stream stands.
#[derive(Debug, Default, Clone, Copy)]
enum Escape {
    #[default]
    None,
    Begun,
    Control,
    /// A text for the terminal, and whether an ESC was the last byte of it.
    Text(bool),
}

impl Seen {
    /// Whether the text has come. A text without line ends cannot reach over one, so lines need no cutting.
    fn take(&mut self, bytes: &[u8], text: &[u8]) -> bool {
        self.tail.extend(bytes.iter().copied().filter(|b| self.escape.shows(*b)));
        let found = memchr::memmem::find(&self.tail, text).is_some();
        let over = (self.tail.len() + 1).saturating_sub(text.len().max(1));
        self.tail.drain(..over.min(self.tail.len()));
        found
    }
}

impl Escape {
    /// Whether a byte is text: colours come in the midst of words that people read as one.
    fn shows(&mut self, byte: u8) -> bool {
        const ESC: u8 = 0x1b;
        let (next, shown) = match (*self, byte) {
            // Bytes from the blank on begin a sequence of two or three more.
            (Self::None | Self::Begun | Self::Control, ESC) | (Self::Begun, b' '..=b'/') => (Self::Begun, false),
            // A line end was never part of one: it was cut off.
            (Self::None, _) | (Self::Control | Self::Text(_), b'\n') => (Self::None, true),
            (Self::Begun, b'[') => (Self::Control, false),
            (Self::Begun, b']' | b'P' | b'_' | b'^' | b'X') => (Self::Text(false), false),
            (Self::Begun, _) | (Self::Control, 0x40..=0x7e) | (Self::Text(_), 0x07) | (Self::Text(true), b'\\') => {
                (Self::None, false)
            }
            (Self::Control, _) => (Self::Control, false),
            (Self::Text(_), byte) => (Self::Text(byte == ESC), false),
        };
        *self = next;
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_store::log::{LogOwner, LogWriter};

    fn writer(dir: &std::path::Path, segment_bytes: u64) -> LogWriter {
        LogWriter::create(dir, LogOwner { uuid: [1; 16], attempt: 1 }, 0, segment_bytes).unwrap()
    }

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn a_text_over_frames_and_segments_is_found() {
        for text in ["ready to accept", "r", "y"] {
            let dir = tempfile::tempdir().unwrap();
            let mut line = LogLine::new(text, dir.path().to_owned());
            assert!(line.look(LONG).unwrap_err().contains("no line"), "there is no log yet");
            // Each segment holds one frame.
            let mut log = writer(dir.path(), 64);
            for byte in b"database is " {
                log.append(Stream::Stderr, 0, &[*byte], 1).unwrap();
            }
            assert!(line.look(LONG).is_err(), "{text}");
            for byte in b"ready to accept connections" {
                log.append(Stream::Stderr, 0, &[*byte], 1).unwrap();
                // In between the other stream speaks.
                log.append(Stream::Stdout, 0, b"-", 1).unwrap();
            }
            assert!(log.segment() > 20);
            assert_eq!(line.look(LONG), Ok(()), "{text}");
            assert_eq!(line.look(LONG), Ok(()), "what was found stays found");
        }
    }

    #[test]
    fn what_is_not_one_line_of_one_stream_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut line = LogLine::new("ready to", dir.path().to_owned());
        let mut log = writer(dir.path(), 1 << 20);
        log.append(Stream::Stdout, 0, b"ready\nto ready ", 1).unwrap();
        log.append(Stream::Stderr, 0, b"to", 1).unwrap();
        log.append(Stream::Stdout, FLAG_GAP, br#"{"bytes":9,"reason":"quota"}"#, 1).unwrap();
        log.append(Stream::Stdout, 0, b"to", 1).unwrap();
        log.append(Stream::Control, 0, b"ready to", 1).unwrap();
        assert!(line.look(LONG).is_err());
        log.append(Stream::Stdout, 0, b" ready to go", 1).unwrap();
        assert_eq!(line.look(LONG), Ok(()));
    }

    #[test]
    fn colours_do_not_stand_between_words() {
        let table: [(&[u8], bool); 5] = [
            (b"\x1b[32mready\x1b[39m in \x1b[1m300\x1b[22m ms", true),
            (b"\x1b]8;;http://x\x07ready\x1b]8;;\x1b\\ in 300", true),
            (b"ready\x1b[K in 300", true),
            (b"\x1b]0;ready in 300\x07", false),
            (b"\x1b[12\nready in 300", true),
        ];
        for (bytes, expected) in table {
            for step in [1, 2, 100] {
                let mut seen = Seen::default();
                let found = bytes.chunks(step).filter(|part| seen.take(part, b"ready in 300")).count() > 0;
                assert_eq!(found, expected, "{:?} by {step}", String::from_utf8_lossy(bytes));
                assert!(seen.tail.len() < 12);
            }
        }
    }
}
