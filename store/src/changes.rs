//! Noticing that another connection or process has committed, without asking again and again.
//!
//! The kernel tells of writes to the journal. A write comes a little before its commit can be
//! seen, and the last step of a commit is one the kernel does not tell of; so whoever commits with
//! this package touches the journal afterwards. Others do not: after a write the store is asked
//! again for a while, at growing intervals. A change that is seen does not end this: the write may
//! have been that of the next commit, which nothing else would tell of.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use crate::{Reader, StoreError, directory};

/// Interval of asking where the kernel does not tell of writes.
const POLL: Duration = Duration::from_millis(250);
/// First interval of asking after a write that is no commit yet.
const FIRST: Duration = Duration::from_micros(250);
/// How long after the last write a commit of another program is waited for; a busy disk may take this long.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of events read at once.
const BUFFER: usize = 4096;
/// Reads of events at one look; more than this waits for the next look.
const READS: usize = 64;

/// What a look has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// Something was committed since the last look that said so.
    Changed,
    /// Something is being written: look again after this time, or at the next event.
    LookAgain(Duration),
    /// Nothing: wait for an event.
    Quiet,
}

/// Tells when the store has changed.
pub struct ChangeSignal {
    reader: Reader,
    /// Events of the data directory; none where the kernel gives none.
    events: Option<OwnedFd>,
    seen: i64,
    /// Last write whose commit may not have been seen yet, and the next interval.
    written: Option<(Instant, Duration)>,
}

impl ChangeSignal {
    /// Watches the store in a data directory; changes from now on are told.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        // Watch first, look second: no change falls in between.
        let events = watch(dir).ok();
        let reader = Reader::open(dir)?;
        let seen = reader.data_version()?;
        // A write from before the watch may still become a commit.
        let written = Some((Instant::now(), FIRST));
        Ok(Self { reader, events, seen, written })
    }

    #[cfg(test)]
    fn open_without_events(dir: &Path) -> Result<Self, StoreError> {
        let reader = Reader::open(dir)?;
        let seen = reader.data_version()?;
        Ok(Self { reader, events: None, seen, written: None })
    }

    /// What becomes readable at a write, for an event loop; none: call [`Self::check`] every 250 ms instead.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.events.as_ref().map(AsFd::as_fd)
    }

    /// Looks without waiting. Where nothing was written, the store is not asked.
    pub fn check(&mut self) -> Result<Checked, StoreError> {
        let now = Instant::now();
        match &self.events {
            Some(events) => {
                if drain(events) {
                    self.written = Some((now, FIRST));
                }
                if self.written.is_none() {
                    return Ok(Checked::Quiet);
                }
            }
            None => self.written = None,
        }
        let found = self.reader.data_version()?;
        if found != self.seen {
            self.seen = found;
            return Ok(Checked::Changed);
        }
        let Some((since, interval)) = self.written else { return Ok(Checked::LookAgain(POLL)) };
        if now.duration_since(since) > PATIENCE {
            self.written = None;
            return Ok(Checked::Quiet);
        }
        self.written = Some((since, (interval * 2).min(POLL)));
        Ok(Checked::LookAgain(interval))
    }

    /// Waits for a change; says whether there was one within the time.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, StoreError> {
        let until = Instant::now() + timeout;
        loop {
            let pause = match self.check()? {
                Checked::Changed => return Ok(true),
                Checked::LookAgain(interval) => interval,
                Checked::Quiet => timeout,
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.pause(pause.min(left));
        }
    }

    fn pause(&self, time: Duration) {
        let Some(events) = &self.events else { return std::thread::sleep(time) };
        let limit = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        // A signal only ends the pause early; the loop around it keeps the time.
        let _ = poll(&mut [PollFd::new(events, PollFlags::IN)], Some(&limit));
    }
}

/// Tells every signal, of every process, that the database at this path has a new commit that can be seen.
pub(crate) fn tell(database: &Path) {
    let mut journal = database.as_os_str().to_owned();
    journal.push("-wal");
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
    // By its path: a descriptor opened and closed would be one more thing beside SQLite. Whoever is not told asks.
    let _ = rustix::fs::utimensat(rustix::fs::CWD, &journal, &times, rustix::fs::AtFlags::empty());
}

/// Watches the directory, not the journal itself: so a journal that is replaced is watched at once.
fn watch(dir: &Path) -> rustix::io::Result<OwnedFd> {
    let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let what = inotify::WatchFlags::MODIFY
        | inotify::WatchFlags::ATTRIB
        | inotify::WatchFlags::CREATE
        | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&events, dir, what)?;
    Ok(events)
}

/// Takes the events that wait; whether one of them was a write to the journal.
fn drain(events: &OwnedFd) -> bool {
    let mut buffer = [MaybeUninit::<u8>::uninit(); BUFFER];
    let mut reader = inotify::Reader::new(events, &mut buffer);
    let name = directory::journal(Path::new(""));
    let mut written = false;
    for _ in 0..READS * BUFFER {
        // An error means that nothing waits any more.
        let Ok(event) = reader.next() else { break };
        written |= event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW)
            || event.file_name().is_some_and(|n| n.to_bytes() == name.as_os_str().as_encoded_bytes());
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_test::make;
    use crate::{NewRequest, RequestSender};
    use wharf_model::state::{Change, Tx};
    use wharf_model::{ActorType, RequestOrigin, UnixMillis};

    fn ask(dir: &Path) {
        let request = NewRequest {
            kind: "run.start".into(),
            target_type: None,
            target_id: None,
            args: serde_json::json!({}),
            expect: None,
            actor_type: ActorType::Operator,
            actor_id: "ada".into(),
            origin: RequestOrigin::Cli,
            idempotency_key: None,
            now: UnixMillis(1),
            expires_at: UnixMillis(2),
        };
        RequestSender::open(dir).unwrap().send(&request).unwrap();
    }

    #[test]
    fn a_commit_of_the_writer_is_told_soon() {
        let (dir, mut writer, mut state) = make::store();
        let mut signal = ChangeSignal::open(dir.path()).unwrap();
        assert!(signal.fd().is_some());
        let mut best = Duration::MAX;
        for _ in 0..10 {
            let mut tx = Tx::new(&mut state, UnixMillis(3));
            tx.next_number("run");
            let changes = tx.finish().unwrap().changes;
            let committed = std::thread::scope(|scope| {
                let writer = &mut writer;
                let commit = scope.spawn(move || {
                    writer.commit(&[changes]).unwrap();
                    Instant::now()
                });
                assert!(signal.wait(Duration::from_secs(10)).unwrap());
                let seen = Instant::now();
                seen.saturating_duration_since(commit.join().unwrap())
            });
            best = best.min(committed);
        }
        // The machine may be busy, so not every round counts; a poll of 250 ms would never reach this.
        assert!(best < Duration::from_millis(20), "{best:?}");
    }

    #[test]
    fn a_request_of_another_connection_is_told() {
        let (dir, writer, _) = make::store();
        let mut signal = ChangeSignal::open(dir.path()).unwrap();
        let before = writer.data_version().unwrap();
        ask(dir.path());
        assert!(signal.wait(Duration::from_secs(10)).unwrap());
        assert_ne!(writer.data_version().unwrap(), before);
        assert!(!signal.wait(Duration::from_millis(30)).unwrap(), "one change is told once");
    }

    #[test]
    fn a_commit_whose_write_was_told_together_with_an_earlier_change_is_not_missed() {
        let (dir, mut writer, _) = make::store();
        let mut signal = ChangeSignal::open(dir.path()).unwrap();
        let mut commit = |value| writer.commit(&[vec![Change::Counter { name: "run".into(), value }]]).unwrap();
        commit(1);
        assert_eq!(signal.check().unwrap(), Checked::Changed);
        commit(2);
        // As if this write had been there already at the look before, and its commit had not.
        assert!(drain(signal.events.as_ref().unwrap()));
        assert!(signal.wait(Duration::from_secs(4)).unwrap());
        assert!(!signal.wait(Duration::from_millis(30)).unwrap(), "it is told once");
    }

    #[test]
    fn a_commit_that_came_long_after_its_write_is_told() {
        let (dir, mut writer, _) = make::store();
        let mut signal = ChangeSignal::open(dir.path()).unwrap();
        writer.commit(&[vec![Change::Counter { name: "run".into(), value: 1 }]]).unwrap();
        // As if the writes had been given up already when the disk was done with them.
        drain(signal.events.as_ref().unwrap());
        signal.written = None;
        tell(&directory::database(dir.path()));
        assert!(signal.wait(Duration::from_secs(10)).unwrap());
    }

    #[test]
    fn nothing_is_asked_while_nothing_is_written() {
        let (dir, _writer, _) = make::store();
        let mut signal = ChangeSignal::open(dir.path()).unwrap();
        assert!(matches!(signal.check().unwrap(), Checked::LookAgain(_)), "one may have been written just before");
        signal.written = None;
        assert_eq!(signal.check().unwrap(), Checked::Quiet);
        std::fs::write(dir.path().join("other"), "x").unwrap();
        assert_eq!(signal.check().unwrap(), Checked::Quiet);
    }

    #[test]
    fn without_events_it_asks_now_and_then() {
        let (dir, mut writer, _) = make::store();
        let mut signal = ChangeSignal::open_without_events(dir.path()).unwrap();
        assert_eq!(signal.check().unwrap(), Checked::LookAgain(POLL));
        writer.commit(&[vec![Change::Counter { name: "run".into(), value: 1 }]]).unwrap();
        assert!(signal.wait(Duration::from_secs(10)).unwrap());
    }
}
