//! The one instance of a plugin with its settings: started when it is needed, shared by every call, started again
//! with growing pauses when it crashes, and given up in the end.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

pub use super::begin::Unavailable;
use super::connection::Connection;
use super::hello::Hello;
use super::keeping::{self, chance};
use super::life::{CRASHES_MAX, Event, Life, State};
use super::notes::Notes;
use super::process::Launch;
use super::shared::lock;
use super::{READY_LIMIT, now_ms};
use crate::environment::secrets::Resolved;

/// One that nobody has asked for so long is ended.
const IDLE_LIMIT: Duration = Duration::from_mins(5);

/// A worker that answers.
#[derive(Debug, Clone)]
pub struct Ready {
    /// To ask it.
    pub connection: Arc<Connection>,
    /// What it can do.
    pub hello: Arc<Hello>,
}

/// A plugin's process over all of its instances.
#[derive(Debug)]
pub struct Worker {
    pub(super) launch: Launch,
    pub(super) driver: String,
    pub(super) state: PathBuf,
    /// Where it is remembered what it can do.
    pub(super) memory: PathBuf,
    inner: Mutex<Inner>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Inner {
    life: Life,
    /// Number of the last start.
    start: u64,
    current: Option<Ready>,
    /// What it said it can do, when it last said so.
    hello: Option<Arc<Hello>>,
    notes: Notes,
    last_end: Option<Unavailable>,
    used_at: u64,
}

impl Worker {
    /// One that is stopped. `state` is a directory of the plugin's own, `memory` a file of ours.
    pub fn new(launch: Launch, driver: &str, state: &Path, memory: &Path) -> Arc<Self> {
        let hello = Hello::recall(memory).map(Arc::new);
        Arc::new(Self {
            launch,
            driver: driver.to_owned(),
            state: state.to_owned(),
            memory: memory.to_owned(),
            inner: Mutex::new(Inner { hello, ..Inner::default() }),
            changed: watch::Sender::new(()),
        })
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        lock(&self.inner).life.state
    }

    /// What it said it can do, when it last was asked.
    pub fn hello(&self) -> Option<Arc<Hello>> {
        lock(&self.inner).hello.clone()
    }

    /// What was noted of its instance, or of the last one when none runs.
    pub fn notes(&self) -> Notes {
        let inner = lock(&self.inner);
        inner.current.as_ref().map_or_else(|| inner.notes.clone(), |ready| ready.connection.notes())
    }

    /// When it was last needed, in milliseconds of a clock that only rises.
    pub(super) fn used_at(&self) -> u64 {
        lock(&self.inner).used_at
    }

    /// Waits until it can be asked, [`READY_LIMIT`] at most; starts it where that is needed and allowed, at most once.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(self: &Arc<Self>, secrets: &Resolved) -> Result<Ready, Unavailable> {
        let end = tokio::time::Instant::now() + READY_LIMIT;
        let mut awaited = None;
        loop {
            let mut changed = self.changed.subscribe();
            let due = match self.step(&mut awaited, secrets) {
                Step::Ready(ready) => return Ok(ready),
                Step::Unavailable(why) => return Err(why),
                Step::Wait => end,
                Step::Until(due) => end.min(tokio::time::Instant::now() + Duration::from_millis(due)),
            };
            let _due = tokio::time::timeout_at(due, changed.changed()).await;
            if tokio::time::Instant::now() >= end {
                let words = format!(
                    "the plugin was not ready within {} s{}",
                    READY_LIMIT.as_secs(),
                    self.notes().words(secrets)
                );
                return Err(Unavailable { is_refusal: false, words });
            }
        }
    }

    fn step(self: &Arc<Self>, awaited: &mut Option<u64>, secrets: &Resolved) -> Step {
        let now = now_ms();
        let mut inner = lock(&self.inner);
        inner.used_at = now;
        inner.life.take(Event::Due, now);
        match (inner.life.state, &inner.current) {
            (State::Running { .. }, Some(ready)) => Step::Ready(ready.clone()),
            // The start that this call waited for has failed: it is told, not tried again.
            (State::Stopped | State::Crashed | State::Backoff { .. } | State::Failed, _)
                if *awaited == Some(inner.start) =>
            {
                Step::Unavailable(inner.why())
            }
            (State::Failed, _) => Step::Unavailable(inner.why()),
            (State::Backoff { until }, _) if until - now > READY_LIMIT.as_millis() as u64 => {
                Step::Unavailable(inner.why())
            }
            (State::Backoff { until }, _) => Step::Until(until - now),
            (State::Stopped | State::Crashed, _) => {
                inner.life.take(Event::Start, now);
                inner.start += 1;
                *awaited = Some(inner.start);
                tokio::spawn(keeping::keep(Arc::clone(self), inner.start, secrets.clone()));
                Step::Wait
            }
            (State::Starting, _) => {
                *awaited = Some(inner.start);
                Step::Wait
            }
            _ => Step::Wait,
        }
    }

    /// Takes the end of a start or of an instance.
    pub(super) fn ended(&self, start: u64, notes: Option<Notes>, why: Unavailable) {
        let chance = chance();
        {
            let mut inner = lock(&self.inner);
            if inner.start != start {
                return;
            }
            if let Some(notes) = notes.or_else(|| inner.current.as_ref().map(|ready| ready.connection.notes())) {
                inner.notes = notes;
            }
            inner.current = None;
            inner.last_end = Some(why);
            inner.life.take(Event::Ended { chance }, now_ms());
        }
        self.changed.send_replace(());
    }

    /// Ends it in order; returns when it is gone.
    pub async fn close(&self) {
        let current = {
            let mut inner = lock(&self.inner);
            let stopping = inner.life.take(Event::Stop, now_ms());
            inner.current.as_ref().filter(|_| stopping).map(|ready| Arc::clone(&ready.connection))
        };
        self.changed.send_replace(());
        if let Some(connection) = current {
            connection.shutdown().await;
        }
    }

    /// Whether nobody asks it anything, for long.
    pub(super) fn is_idle(&self) -> bool {
        let inner = lock(&self.inner);
        let asked = inner.current.as_ref().is_some_and(|ready| Arc::strong_count(&ready.connection) > 1);
        !asked && now_ms().saturating_sub(inner.used_at) >= IDLE_LIMIT.as_millis() as u64
    }

    /// Its instance, when a call was given up before it was answered, and nothing was heard of it for so long.
    pub(super) fn doubtful(&self, silence: Duration) -> Option<Arc<Connection>> {
        let inner = lock(&self.inner);
        let connection = &inner.current.as_ref()?.connection;
        (connection.owes_answers() && connection.silent_for() >= silence).then(|| Arc::clone(connection))
    }

    /// Takes what an instance said of itself, and it as the current one; false when it is not wanted any more.
    pub(super) fn is_up(&self, connection: Connection, hello: Arc<Hello>) -> bool {
        let mut inner = lock(&self.inner);
        inner.hello = Some(Arc::clone(&hello));
        let is_wanted = inner.life.take(Event::Ready, now_ms());
        if is_wanted {
            inner.current = Some(Ready { connection: Arc::new(connection), hello });
        }
        drop(inner);
        self.changed.send_replace(());
        is_wanted
    }

    /// It has been seen to work elsewhere: crashes that were counted are forgotten.
    pub fn mended(&self) {
        lock(&self.inner).life.take(Event::Mended, now_ms());
        self.changed.send_replace(());
    }
}

enum Step {
    Ready(Ready),
    Unavailable(Unavailable),
    Wait,
    Until(u64),
}

impl Inner {
    fn why(&self) -> Unavailable {
        let last =
            self.last_end.clone().unwrap_or(Unavailable { is_refusal: false, words: "it is not running".into() });
        let words = match self.life.state {
            State::Failed => format!(
                "the plugin is given up after {CRASHES_MAX} crashes; mend it, then probe the environment: {}",
                last.words
            ),
            State::Backoff { until } => format!(
                "the plugin has ended {} times in a row and is started again in {:.1} s: {}",
                self.life.crashes,
                until.saturating_sub(now_ms()) as f64 / 1_000.0,
                last.words
            ),
            _ => last.words,
        };
        Unavailable { is_refusal: last.is_refusal && self.life.state != State::Failed, words }
    }
}
