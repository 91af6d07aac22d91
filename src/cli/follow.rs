//! Copying a log out as it grows, to its end and not further.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use wharf_store::log::{FLAG_GAP, Frame, Item, LogError, LogReader, Position, Stream, Tail};

use super::error::{CliError, Result};
use crate::process::adopt::{self, Verdict};

/// Longest pause between two looks at a log that is being written.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes of events taken at once.
const EVENTS: usize = 4096;

/// A log that is read from a place on, to its end.
pub struct Following {
    reader: LogReader,
    at: Position,
    events: Option<OwnedFd>,
    ended: bool,
    damaged: (u64, u64),
    torn: u64,
}

/// Why nothing follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The writer recorded its end, or is gone.
    Ended,
    /// The caller asked to stop.
    Asked,
}

impl Following {
    /// Opens the log in a directory; none when nothing has been written there yet.
    pub fn open(directory: &Path) -> Result<Option<Self>> {
        // Watch first, look second: nothing falls in between.
        let events = watch(directory);
        match LogReader::open(directory) {
            Ok(reader) => {
                let at = reader.start();
                Ok(Some(Self { reader, at, events, ended: false, damaged: (0, 0), torn: 0 }))
            }
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(log_error(directory, &error)),
        }
    }

    /// Opens it at the last `bytes` of one stream.
    pub fn open_late(directory: &Path, stream: Stream, bytes: u64) -> Result<Option<Self>> {
        let Some(mut following) = Self::open(directory)? else { return Ok(None) };
        let unread = |e: LogError| log_error(directory, &e);
        let end = following.reader.end().map_err(unread)?;
        if let Some(skipped) = end.offset(stream).and_then(|all| all.checked_sub(bytes)).filter(|n| *n > 0) {
            following.at = following.reader.at_offset(stream, skipped).map_err(unread)?;
        }
        Ok(Some(following))
    }

    /// What is ready when something was written; none where the system does not tell.
    pub fn events(&self) -> Option<BorrowedFd<'_>> {
        self.events.as_ref().map(AsFd::as_fd)
    }

    /// Takes the events that are ready.
    pub fn take_events(&self) {
        let Some(events) = &self.events else { return };
        let mut buffer = [MaybeUninit::uninit(); EVENTS];
        let mut read = inotify::Reader::new(events, &mut buffer);
        while read.next().is_ok() {}
    }

    /// Hands out everything that is there now; says whether the end of the writer was among it.
    pub fn drain(&mut self, take: impl FnMut(&Frame<'_>) -> Result<()>) -> Result<bool> {
        self.drain_some(usize::MAX, take).map(|(ended, _)| ended)
    }

    /// Hands out at most so many frames; says whether the end of the writer was among them or before,
    /// and whether there may be more.
    pub fn drain_some(
        &mut self,
        frames: usize,
        mut take: impl FnMut(&Frame<'_>) -> Result<()>,
    ) -> Result<(bool, bool)> {
        self.reader.refresh().map_err(|e| CliError::internal("the log cannot be read").cause(e.to_string()))?;
        for _ in 0..frames {
            match self.reader.next(&mut self.at) {
                Ok(Item::Frame(frame)) => {
                    self.ended |= frame.stream == Stream::Control && is_end(frame.payload);
                    take(&frame)?;
                }
                Ok(Item::Damage(damage)) => {
                    self.damaged.0 += 1;
                    self.damaged.1 += damage.bytes;
                }
                Ok(Item::End(tail)) => {
                    self.torn = match tail {
                        Tail::Clean => 0,
                        Tail::Torn { bytes, .. } => bytes,
                    };
                    return Ok((self.ended, false));
                }
                Err(error) => return Err(CliError::internal("the log cannot be read").cause(error.to_string())),
            }
        }
        Ok((self.ended, true))
    }

    /// Hands out everything until the end. `stop` ends it earlier, after what is there then.
    pub fn run(
        &mut self,
        directory: &Path,
        stop: &AtomicBool,
        mut take: impl FnMut(&Frame<'_>) -> Result<()>,
    ) -> Result<Stop> {
        loop {
            let asked = stop.load(Ordering::Acquire);
            if self.drain(&mut take)? {
                return Ok(Stop::Ended);
            }
            if asked {
                return Ok(Stop::Asked);
            }
            if !self.pause() && is_written_no_more(directory) {
                // Whatever was written before its end is there by now.
                self.drain(&mut take)?;
                return Ok(Stop::Ended);
            }
        }
    }

    /// What is missing of what was handed out, in words; none when nothing is.
    pub fn damage_words(&self) -> Option<String> {
        let (places, bytes) = self.damaged;
        let places = wharf_ui::format::plural(places, "place");
        (self.damaged.0 > 0).then(|| format!("the log is damaged in {places}: {bytes} bytes of it cannot be read"))
    }

    /// Bytes behind the last whole frame, as of the last look: of a log that is written, the frame that comes.
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// Waits for something to be written; says whether there was.
    pub fn pause(&self) -> bool {
        let Some(events) = &self.events else {
            std::thread::sleep(LOOK / 4);
            return false;
        };
        let limit = Timespec { tv_sec: LOOK.as_secs() as i64, tv_nsec: 0 };
        let mut wanted = [PollFd::new(events, PollFlags::IN)];
        let ready = poll(&mut wanted, Some(&limit)).unwrap_or(0) > 0;
        if ready {
            self.take_events();
        }
        ready
    }
}

fn watch(directory: &Path) -> Option<OwnedFd> {
    use inotify::{CreateFlags, WatchFlags};
    let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
    inotify::add_watch(&events, directory, WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO).ok()?;
    Some(events)
}

/// Whether a shim's directory has nobody any more who could write to its log.
pub fn is_over(directory: &Path) -> bool {
    !matches!(adopt::judge(directory), Ok(Verdict::Live(_) | Verdict::NeverStarted))
}

/// Whether nobody writes any more to a log that is there. Beside one, a directory without any sign of a shim is one
/// whose run was finished, not one that never began.
pub fn is_written_no_more(directory: &Path) -> bool {
    !matches!(adopt::judge(directory), Ok(Verdict::Live(_)))
}

/// Whether a record of the control stream is the last one.
fn is_end(payload: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(payload).is_ok_and(|v| v["t"] == "exit")
}

/// Whether there is no log yet.
pub fn is_missing(error: &LogError) -> bool {
    match error {
        LogError::Missing { .. } => true,
        LogError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// A log that cannot be read.
pub fn log_error(directory: &Path, error: &LogError) -> CliError {
    CliError::internal(format!("the log in {} cannot be read", directory.display())).cause(error.to_string())
}

/// What a gap in a stream says.
pub fn gap_words(frame: &Frame<'_>) -> Option<String> {
    if frame.head.flags & FLAG_GAP == 0 {
        return None;
    }
    let said: serde_json::Value = serde_json::from_slice(frame.payload).unwrap_or_default();
    let bytes = said["bytes"].as_u64().map_or_else(|| "some".to_owned(), |b| b.to_string());
    Some(format!(
        "{bytes} bytes of {} are missing: {}",
        stream_word(frame.stream),
        said["reason"].as_str().unwrap_or("unknown")
    ))
}

/// Name of a stream in documents.
pub const fn stream_word(stream: Stream) -> &'static str {
    match stream {
        Stream::Control => "control",
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
        Stream::Terminal => "terminal",
        Stream::Agent => "agent",
        Stream::Input => "input",
    }
}
