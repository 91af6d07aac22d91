//! What goes on between two commits: when live runs last printed, whether their processes stand still,
//! and that the log on the screen has grown. Looked at only while it is shown.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify;
use wharf_model::shim::ProcessRef;
use wharf_model::{RunId, UnixMillis};
use wharf_store::log::frame::segment_number;
use wharf_ui::effect::Owner;

use super::events::{Event, Sender};
use crate::dispatch::perform::shim_dir;
use crate::process::halted::{self, Halted};
use crate::process::shim_dir::read_spec;

/// Live runs whose logs are looked at, at most: more do not fit on a screen.
const RUNS_MAX: usize = 200;
/// Time between two words about the same log, at least; the first one is told at once.
const PACE: Duration = Duration::from_millis(12);
/// Bytes of events read at once, and reads at one look.
const BUFFER: usize = 4096;
const READS: usize = 256;

/// Live runs on the screen, with the last output and the halt of each.
#[derive(Debug, Clone, Default)]
pub struct LiveRuns {
    data: PathBuf,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Logs of operations that tell how far they are, each with when it was written to.
    logs: Arc<Mutex<Vec<(PathBuf, Option<UnixMillis>)>>>,
    /// Wakes the thread that looks again; none where nobody draws.
    wake: Option<SyncSender<()>>,
}

/// What is seen of a live run beside its row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sight {
    /// When it last printed.
    pub printed: Option<UnixMillis>,
    /// How its process stands still, when it does.
    pub halted: Option<Halted>,
    /// It has a terminal.
    pub terminal: bool,
}

#[derive(Debug, Clone)]
struct Seen {
    run: RunId,
    dir: PathBuf,
    /// What stays the same for an attempt, once it is known.
    fixed: Option<Fixed>,
    sight: Sight,
}

/// What never changes of a process.
#[derive(Debug, Clone, Copy)]
struct Fixed {
    child: ProcessRef,
    terminal: bool,
}

impl Fixed {
    fn read(dir: &Path) -> Option<Self> {
        let child = halted::child(dir)?;
        Some(Self { child, terminal: read_spec(dir).is_ok_and(|spec| spec.tty.is_some()) })
    }
}

impl Seen {
    fn look(&self) -> Sight {
        Sight {
            printed: last_output(&self.dir),
            halted: self.fixed.and_then(|fixed| halted::look(&self.dir, fixed.child)),
            terminal: self.fixed.is_some_and(|fixed| fixed.terminal),
        }
    }
}

impl LiveRuns {
    /// None yet.
    pub fn new(data: &Path) -> Self {
        Self { data: data.to_owned(), seen: Arc::default(), logs: Arc::default(), wake: None }
    }

    /// None yet, with a thread that looks again whenever [`LiveRuns::look`] asks: a directory on a slow disk must not
    /// keep the screen from drawing. What has changed is told as [`Event::StoreChanged`], since the rows that show it
    /// are to be asked for again.
    ///
    /// # Errors
    /// No thread could be had.
    pub fn start(data: &Path, events: Sender) -> io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let live = Self::new(data);
        // Without the sender: the thread ends with the last of those that may ask.
        let looked_at = live.clone();
        std::thread::Builder::new().name("sights".into()).spawn(move || {
            while woken.recv().is_ok() {
                if looked_at.changed() && events.send(Event::StoreChanged).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { wake: Some(wake), ..live })
    }

    /// They are still on the screen: looks again, beside whoever asks.
    pub fn look(&self) {
        let shown = !self.seen.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
            || !self.logs.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if let Some(wake) = self.wake.as_ref().filter(|_| shown) {
            // One look that is due already will see it as well.
            let _ = wake.try_send(());
        }
    }

    /// Says which runs are shown, each with its attempt; gives what is seen of them.
    pub fn show(&self, runs: &[(RunId, u32)]) -> HashMap<RunId, Sight> {
        let known: HashMap<PathBuf, Fixed> = self.seen().into_iter().filter_map(|s| Some((s.dir, s.fixed?))).collect();
        let found: Vec<Seen> = runs
            .iter()
            .take(RUNS_MAX)
            .filter_map(|(run, attempt)| {
                let dir = self.data.join(shim_dir("run", &run.text(), *attempt)?);
                let fixed = known.get(&dir).copied().or_else(|| Fixed::read(&dir));
                let seen = Seen { run: *run, dir, fixed, sight: Sight::default() };
                Some(Seen { sight: seen.look(), ..seen })
            })
            .collect();
        let sights = found.iter().map(|s| (s.run, s.sight.clone())).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = found;
        sights
    }

    /// Says which operations are shown with how far they are, by the directories of their logs.
    pub fn show_operations(&self, logs: Vec<PathBuf>) {
        let found = logs.into_iter().take(RUNS_MAX).map(|dir| (last_output(&dir), dir)).map(|(at, dir)| (dir, at));
        *self.logs.lock().unwrap_or_else(PoisonError::into_inner) = found.collect();
    }

    /// Looks at once; whether one of them has printed, was stopped or let go since it was shown.
    fn changed(&self) -> bool {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.seen().iter().any(|s| s.look() != s.sight) || logs.iter().any(|(dir, at)| last_output(dir) != *at)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// When the newest segment of a log was last written to.
pub(crate) fn last_output(dir: &Path) -> Option<UnixMillis> {
    let newest = std::fs::read_dir(dir)
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((segment_number(entry.file_name().to_str()?)?, entry))
        })
        .max_by_key(|(number, _)| *number)?;
    let written = newest.1.metadata().ok()?.modified().ok()?;
    let ms = written.duration_since(UNIX_EPOCH).ok()?.as_millis();
    Some(UnixMillis(i64::try_from(ms).ok()?))
}

/// Watches the directory of the one log that is on the screen.
#[derive(Debug, Clone)]
pub struct Growth {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    wanted: Mutex<Option<(Owner, PathBuf)>>,
    wake: OwnedFd,
}

impl Growth {
    /// Begins, with nothing to watch.
    ///
    /// # Errors
    /// No thread or no descriptor could be had.
    pub fn start(events: Sender) -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { wanted: Mutex::new(None), wake });
        let inner = Arc::clone(&shared);
        std::thread::Builder::new().name("growth".into()).spawn(move || {
            if let Err(error) = watch(&inner, &events) {
                tracing::warn!(%error, "logs cannot be watched; output is seen when something else changes");
            }
        })?;
        Ok(Self { shared })
    }

    /// Watches this log and no other, or none.
    pub fn watch(&self, log: Option<(Owner, PathBuf)>) {
        let mut wanted = self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if *wanted != log {
            *wanted = log;
            // A full counter wakes as well.
            let _ = rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes());
        }
    }

    /// Whose log is watched.
    pub fn owner(&self) -> Option<Owner> {
        self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(owner, _)| *owner)
    }
}

fn watch(shared: &Shared, events: &Sender) -> io::Result<()> {
    let notify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let mut watched: Option<(Owner, PathBuf, i32)> = None;
    let mut told: Option<Instant> = None;
    loop {
        let mut fds = [PollFd::new(&notify, PollFlags::IN), PollFd::new(&shared.wake, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let (grown, woken) = (fds[0].revents(), fds[1].revents());
        if woken.contains(PollFlags::IN) {
            let mut counter = [0u8; 8];
            let _ = rustix::io::read(&shared.wake, &mut counter);
            let wanted = shared.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let same = watched.as_ref().map(|(o, d, _)| (o, d)) == wanted.as_ref().map(|(o, d)| (o, d));
            if !same {
                if let Some((_, _, id)) = watched.take() {
                    // It went with its directory.
                    let _ = inotify::remove_watch(&notify, id);
                }
                if let Some((owner, dir)) = wanted {
                    let what = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE;
                    if let Ok(id) = inotify::add_watch(&notify, &dir, what) {
                        watched = Some((owner, dir, id));
                        // What was written between the reading and the watch.
                        if events.send(Event::OutputGrew(owner)).is_err() {
                            return Ok(());
                        }
                    }
                }
            }
        }
        if grown.contains(PollFlags::IN) {
            // What is written meanwhile is told with it.
            if let Some(early) = told.and_then(|at| PACE.checked_sub(at.elapsed())) {
                std::thread::sleep(early);
            }
            if drain(&notify)
                && let Some((owner, ..)) = &watched
            {
                told = Some(Instant::now());
                if events.send(Event::OutputGrew(*owner)).is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Takes the events that wait; whether one of them was about a segment.
fn drain(notify: &OwnedFd) -> bool {
    let mut buffer = [MaybeUninit::<u8>::uninit(); BUFFER];
    let mut reader = inotify::Reader::new(notify, &mut buffer);
    let mut grown = false;
    for _ in 0..READS * 16 {
        // An error means that nothing waits any more.
        let Ok(event) = reader.next() else { break };
        grown |= event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW)
            || event.file_name().and_then(|n| n.to_str().ok()).is_some_and(|n| segment_number(n).is_some());
    }
    grown
}

#[cfg(test)]
mod tests {
    use super::super::events::mailbox;
    use super::*;

    #[test]
    fn a_log_that_grows_is_told_and_another_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let segment = dir.path().join("out.000001.wlog");
        std::fs::write(&segment, "a").unwrap();
        let (sender, mut mailbox) = mailbox();
        let growth = Growth::start(sender).unwrap();
        let owner = Owner::Run(RunId(uuid::Uuid::from_u128(7)));
        growth.watch(Some((owner, dir.path().to_owned())));
        let told = |event| matches!(event, Some(Event::OutputGrew(o)) if o == owner);
        let limit = Some(Duration::from_secs(10));
        assert!(told(mailbox.next(limit)), "once at the beginning");
        std::fs::write(dir.path().join("exit.json"), "x").unwrap();
        std::fs::write(&segment, "ab").unwrap();
        assert!(told(mailbox.next(limit)));
        growth.watch(None);
        assert_eq!(growth.owner(), None);
    }

    #[test]
    fn the_newest_segment_says_when_a_run_printed_last() {
        let data = tempfile::tempdir().unwrap();
        let run = RunId(uuid::Uuid::from_u128(7));
        let live = LiveRuns::new(data.path());
        assert_eq!(live.show(&[(run, 1)])[&run], Sight::default());
        let dir = data.path().join(shim_dir("run", &run.text(), 1).unwrap());
        std::fs::create_dir_all(&dir).unwrap();
        assert!(!live.changed());
        std::fs::write(dir.join("out.000001.wlog"), "a").unwrap();
        assert!(live.changed());
        assert!(live.show(&[(run, 1)])[&run].printed.is_some());
        assert!(!live.changed());
        live.show(&[]);
        assert!(!live.changed(), "what is not shown is not looked at");
    }

    #[test]
    fn what_goes_on_is_looked_for_beside_whoever_asks_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let (sender, mut mailbox) = mailbox();
        let live = LiveRuns::start(dir.path(), sender).unwrap();
        live.show_operations(vec![dir.path().to_owned()]);
        std::fs::write(dir.path().join("out.000001.wlog"), "a").unwrap();
        live.look();
        let told = mailbox.next(Some(Duration::from_secs(10)));
        assert!(matches!(told, Some(Event::StoreChanged)), "{told:?}");
    }

    #[test]
    fn an_operation_that_goes_on_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let live = LiveRuns::new(dir.path());
        live.show_operations(vec![dir.path().to_owned()]);
        assert!(!live.changed());
        std::fs::write(dir.path().join("out.000001.wlog"), "a").unwrap();
        assert!(live.changed());
        live.show_operations(Vec::new());
        assert!(!live.changed());
    }

    #[test]
    fn a_process_that_is_stopped_and_let_go_is_a_change() {
        use crate::process::signal::{self, Signal};
        use crate::process::{identity, shim_dir::names, stat};
        let data = tempfile::tempdir().unwrap();
        let run = RunId(uuid::Uuid::from_u128(7));
        let dir = data.path().join(shim_dir("run", &run.text(), 1).unwrap());
        std::fs::create_dir_all(&dir).unwrap();
        let mut sleeper = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let child = identity::child(sleeper.id() as i32).unwrap().unwrap();
        let id = wharf_model::shim::IdFile {
            v: 1,
            shim: identity::this_process().unwrap(),
            cgroups: Vec::new(),
            boot_id: identity::boot_id().unwrap(),
            child: Some(child),
            version: "0".into(),
            protocol: 1,
            stopped: None,
        };
        std::fs::write(dir.join(names::ID), serde_json::to_vec(&id).unwrap()).unwrap();
        let live = LiveRuns::new(data.path());
        assert_eq!(live.show(&[(run, 1)])[&run].halted, None);
        assert!(!live.changed());
        let it = ProcessRef { pid: child.pid, start_ticks: child.start_ticks };
        let send = |signal, state: char| {
            signal::send(it, signal).unwrap();
            while stat::read(it.pid).unwrap().unwrap().state != state {
                std::thread::yield_now();
            }
        };
        send(Signal::STOP, 'T');
        assert!(live.changed());
        assert_eq!(live.show(&[(run, 1)])[&run].halted.as_ref().map(|h| h.pid), Some(it.pid));
        assert!(!live.changed());
        send(Signal::CONT, 'S');
        assert!(live.changed());
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
}
