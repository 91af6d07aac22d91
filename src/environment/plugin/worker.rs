//! The one instance of a plugin with its settings: started when it is needed, shared by every call, started again
//! with growing pauses when it crashes, and given up in the end.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use super::connection::{CallError, Connection};
use super::hello::{self, Hello, method};
use super::life::{CRASHES_MAX, Event, Life, State};
use super::notes::Notes;
use super::process::Launch;
use super::pump::lock;
use super::{READY_LIMIT, now_ms};

/// One that nobody has asked for so long is ended.
const IDLE_LIMIT: Duration = Duration::from_secs(300);
/// Pause between two looks whether it is idle.
const IDLE_LOOK: Duration = Duration::from_secs(30);

/// Why a worker cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// Trying again changes nothing: it does not fit, or is not there.
    pub is_refusal: bool,
    /// In words, with the end of its error output.
    pub words: String,
}

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
    launch: Launch,
    driver: String,
    state: PathBuf,
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
    /// One that is stopped. `state` is a directory of the plugin's own.
    pub fn new(launch: Launch, driver: &str, state: &Path) -> Arc<Self> {
        let (driver, state) = (driver.to_owned(), state.to_owned());
        Arc::new(Self { launch, driver, state, inner: Mutex::default(), changed: watch::Sender::new(()) })
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        lock(&self.inner).life.state
    }

    /// What it said it can do, when it last was asked.
    pub fn hello(&self) -> Option<Arc<Hello>> {
        lock(&self.inner).hello.clone()
    }

    /// What was noted of it.
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
    pub async fn ready(self: &Arc<Self>, config: &Value) -> Result<Ready, Unavailable> {
        let end = tokio::time::Instant::now() + READY_LIMIT;
        let mut awaited = None;
        loop {
            let mut changed = self.changed.subscribe();
            let due = match self.step(&mut awaited, config) {
                Step::Ready(ready) => return Ok(ready),
                Step::Unavailable(why) => return Err(why),
                Step::Wait => end,
                Step::Until(due) => end.min(tokio::time::Instant::now() + Duration::from_millis(due)),
            };
            let _due = tokio::time::timeout_at(due, changed.changed()).await;
            if tokio::time::Instant::now() >= end {
                let words =
                    format!("the plugin was not ready within {} s{}", READY_LIMIT.as_secs(), self.notes().words());
                return Err(Unavailable { is_refusal: false, words });
            }
        }
    }

    fn step(self: &Arc<Self>, awaited: &mut Option<u64>, config: &Value) -> Step {
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
                tokio::spawn(start(Arc::clone(self), inner.start, config.clone()));
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
    fn ended(&self, start: u64, notes: Option<Notes>, why: Unavailable) {
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

/// A number from 0 to 1 that nobody can foresee, as far as that matters for a pause.
fn chance() -> f64 {
    f64::from(uuid::Uuid::now_v7().as_bytes()[15]) / 255.0
}

/// Starts an instance and has it introduce itself.
///
/// # Errors
/// Why it cannot be used, with what was noted; it is gone then.
pub async fn begin(
    launch: &Launch,
    driver: &str,
    state: &Path,
    config: &Value,
    notes: Notes,
) -> Result<(Connection, Hello), (Unavailable, Notes)> {
    let refused = |words: String| Unavailable { is_refusal: true, words };
    let connection = match Connection::start(launch, notes.clone()).await {
        Ok(connection) => connection,
        Err(words) => return Err((refused(words), notes)),
    };
    let asked = connection.call(method::INITIALIZE, &hello::params(driver, config, state), Some(READY_LIMIT)).await;
    let why = match asked {
        Ok(answer) => match Hello::read(&answer).and_then(|hello| hello.driver(driver).map(|_| ()).map(|()| hello)) {
            Ok(hello) => return Ok((connection, hello)),
            Err(words) => refused(words),
        },
        Err(CallError::Rpc(error)) => refused(format!("it refuses to begin: {} ({})", error.message, error.code)),
        Err(CallError::Late(limit)) => {
            let words = format!("it did not answer initialize within {} s", limit.as_secs());
            Unavailable { is_refusal: false, words }
        }
        Err(CallError::Gone(words) | CallError::Unsent(words)) => Unavailable { is_refusal: false, words },
    };
    connection.kill("it cannot be used");
    connection.wait().await;
    let notes = connection.notes();
    let words = format!("the plugin {} cannot be used: {}{}", launch.shown(), why.words, notes.words());
    Err((Unavailable { words, ..why }, notes))
}

async fn start(worker: Arc<Worker>, start: u64, config: Value) {
    let notes = lock(&worker.inner).notes.clone();
    let (connection, hello) = match begin(&worker.launch, &worker.driver, &worker.state, &config, notes).await {
        Ok(begun) => begun,
        Err((why, notes)) => return worker.ended(start, Some(notes), why),
    };
    let mut end = connection.watch_end();
    let hello = Arc::new(hello);
    let is_wanted = {
        let mut inner = lock(&worker.inner);
        inner.hello = Some(Arc::clone(&hello));
        let is_wanted = inner.life.take(Event::Ready, now_ms());
        if is_wanted {
            inner.current = Some(Ready { connection: Arc::new(connection), hello });
        }
        is_wanted
    };
    if !is_wanted {
        // Its end was asked for while it began; dropping the connection has brought it about.
        let why = Unavailable { is_refusal: false, words: "it was asked to end".into() };
        return worker.ended(start, None, why);
    }
    worker.changed.send_replace(());
    // From here on the worker may be dropped by all who use it, and its instance with it.
    let weak = Arc::downgrade(&worker);
    drop(worker);
    loop {
        let ended = tokio::time::timeout(IDLE_LOOK, end.wait_for(Option::is_some)).await;
        let ended = ended.map(|end| end.map(|words| words.clone().unwrap_or_default()));
        let words = match ended {
            Err(_look) => {
                let Some(worker) = weak.upgrade() else { return };
                if worker.is_idle() {
                    worker.close().await;
                }
                continue;
            }
            Ok(Ok(words)) => words,
            Ok(Err(_)) => "it is gone".to_owned(),
        };
        let Some(worker) = weak.upgrade() else { return };
        let noted = worker.notes().words();
        let why = Unavailable { is_refusal: false, words: format!("the plugin ended: {words}{noted}") };
        return worker.ended(start, None, why);
    }
}

impl Worker {
    /// Whether nobody asks it anything, for long.
    fn is_idle(&self) -> bool {
        let inner = lock(&self.inner);
        let asked = inner.current.as_ref().is_some_and(|ready| Arc::strong_count(&ready.connection) > 1);
        !asked && now_ms().saturating_sub(inner.used_at) >= IDLE_LIMIT.as_millis() as u64
    }
}
