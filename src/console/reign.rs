//! Being the orchestrator, or waiting to become it, beside the screen.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender as Plain, channel};
use std::time::{Duration, Instant};

use wharf_store::StoreError;

use super::events::{Event, Sender, Trouble};
use crate::clock;
use crate::dispatch::election;
use crate::dispatch::event_loop::Dispatcher;
use crate::dispatch::orchestrator::{Begun, MachineLimits, TakeOver, begin, part_of, take_over};
use crate::dispatch::take_over::Seat;

/// How often a lock that another process holds is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often it is looked whether the holder answers.
const SILENCE_LOOK: Duration = Duration::from_secs(2);
/// A request that waits longer makes its holder silent.
const SILENT_MS: i64 = 5_000;
/// How long is waited before a reign that could not begin, or ended by itself, is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the dispatcher may take to end.
const END_LIMIT: Duration = Duration::from_secs(3);
/// Pause before what found the console's queue full is told again.
const TELL_AGAIN: Duration = Duration::from_millis(50);

/// Who the orchestrator is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// This console.
    Ours,
    /// Another process; what is known of it, and the request that it does not answer.
    Another(Seat, Option<i64>),
    /// Nobody: this console cannot be, and why.
    Nobody(String),
    /// This console was it, and another one has begun to reign meanwhile.
    Deposed(String),
}

enum Ask {
    /// End the reign and say so.
    End(Plain<()>),
    /// End the holder of the lock that was shown, and reign in its place.
    TakeOver(String),
    /// The reign has ended by itself, and whether that is because another one began.
    Over(String, bool),
}

/// The thread that stands for election.
pub struct Throne {
    ask: Plain<Ask>,
}

impl Throne {
    /// Begins to stand, at once and whenever the lock is free.
    ///
    /// # Errors
    /// No thread could be had.
    pub fn start(data: PathBuf, limits: MachineLimits, events: Sender) -> std::io::Result<Self> {
        let (ask, asked) = channel();
        let over = ask.clone();
        std::thread::Builder::new()
            .name("reign".into())
            .spawn(move || stand(&data, &limits, &events, &asked, &over))?;
        Ok(Self { ask })
    }

    /// Ends the process that was shown as the holder of the lock and begins to reign; what comes of it is told as an
    /// event.
    pub fn take_over(&self, shown: String) {
        // The thread lives as long as this handle.
        let _ = self.ask.send(Ask::TakeOver(shown));
    }

    /// Ends the reign, if there is one, and gives the lock back; waits a bounded time for it.
    pub fn end(&self) {
        let (done, ended) = channel();
        if self.ask.send(Ask::End(done)).is_ok() {
            // Late or gone: the kernel gives the lock back with the process.
            let _ = ended.recv_timeout(END_LIMIT);
        }
    }
}

fn stand(data: &Path, limits: &MachineLimits, events: &Sender, asked: &Receiver<Ask>, over: &Plain<Ask>) {
    let mut runtime = match threads() {
        Ok(runtime) => runtime,
        Err(error) => {
            let words = format!("cannot start the threads that keep runs: {error}");
            let _ = events.send(Event::Standing(Standing::Nobody(words)));
            return;
        }
    };
    let mut told: Option<Standing> = None;
    let mut tell = |standing: Standing| {
        let new = told.as_ref() != Some(&standing);
        if new {
            told = Some(standing.clone());
            let _ = events.send(Event::Standing(standing));
        }
        new
    };
    let mut silence = Silence::default();
    let mut begun = attempt(data, limits, &runtime);
    loop {
        let wait = match begun {
            Ok(Begun::Reigning(dispatcher)) => {
                tell(Standing::Ours);
                tell_damage(data, events);
                match reign(dispatcher, &runtime, asked, over, events) {
                    Ended::Asked(done) => {
                        let _ = done.send(());
                        return;
                    }
                    Ended::ByItself(why, deposed) => {
                        tracing::error!(%why, "the reign has ended");
                        // Whoever kept runs in that reign must not go on beside the next one.
                        if let Ok(fresh) = threads() {
                            std::mem::replace(&mut runtime, fresh).shutdown_background();
                        }
                        tell(if deposed { Standing::Deposed(why) } else { Standing::Nobody(why) });
                        if deposed { LOOK } else { AGAIN }
                    }
                }
            }
            Ok(Begun::Held(holder)) => {
                let silent = silence.look(data);
                if tell(Standing::Another(Seat::of(holder), silent)) {
                    tell_damage(data, events);
                }
                LOOK
            }
            Err(error) => {
                tracing::error!(%error, "cannot become orchestrator");
                tell(Standing::Nobody(error.to_string()));
                AGAIN
            }
        };
        begun = match asked.recv_timeout(wait) {
            Ok(Ask::End(done)) => {
                let _ = done.send(());
                return;
            }
            Ok(Ask::TakeOver(shown)) => {
                let _inside = runtime.enter();
                match take_over(data, limits, &crate::user::name(), Some(&shown)) {
                    Ok(begun) => Ok(begun),
                    Err(error) => {
                        let words = format!("Not taken over: {error}");
                        let _ = events.send(Event::Toast(wharf_ui::msg::Tone::Bad, words));
                        attempt(data, limits, &runtime)
                    }
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
            // The last word of an earlier reign.
            Ok(Ask::Over(..)) | Err(RecvTimeoutError::Timeout) => attempt(data, limits, &runtime),
        };
    }
}

/// Threads for the executors of one reign.
fn threads() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("executor").enable_all().build()
}

/// Whether the holder of the lock answers what is asked of it.
#[derive(Default)]
struct Silence {
    looked: Option<Instant>,
    request: Option<i64>,
}

impl Silence {
    /// Number of the oldest request that waits too long.
    fn look(&mut self, data: &Path) -> Option<i64> {
        if self.looked.is_some_and(|at| at.elapsed() < SILENCE_LOOK) {
            return self.request;
        }
        self.looked = Some(Instant::now());
        let query = wharf_store::view::RequestQuery { open_only: true };
        let open = wharf_store::Reader::open(data).and_then(|reader| reader.requests(query, None, 100));
        let late = |r: &wharf_model::RequestRow| {
            let waits = r.created_at.until(clock::now());
            r.status == wharf_model::RequestStatus::Pending && waits > SILENT_MS && r.expires_at > clock::now()
        };
        // A store that cannot be read now says nothing about anybody.
        self.request = open.ok().and_then(|page| page.rows.iter().filter(|r| late(r)).map(|r| r.number).min());
        self.request
    }
}

/// Tells of damage that an earlier look through the store has found and nobody has mended.
fn tell_damage(data: &Path, events: &Sender) {
    let found = wharf_store::Reader::open(data).and_then(|reader| reader.store_finding());
    if let Ok(Some(finding)) = found {
        let _ = events.send(Event::Trouble(Trouble::Damage, Some(damage_words(&finding))));
    }
}

fn damage_words(finding: &str) -> String {
    format!("{finding}\nStop wharf, then wharf doctor --repair; or put a backup back with wharf restore.")
}

/// Begins a reign where the lock is free; only looks at it where it is not.
fn attempt(data: &Path, limits: &MachineLimits, runtime: &tokio::runtime::Runtime) -> Result<Begun, TakeOver> {
    let held = election::holder(data)
        .map_err(|e| StoreError::io(&election::path(data), "look at the orchestrator's lock", e))?;
    if let Some(holder) = held {
        return Ok(Begun::Held(holder));
    }
    if let Some(tag) = part_of() {
        return Err(TakeOver::Inside(tag));
    }
    let _inside = runtime.enter();
    Ok(begin(data, limits)?)
}

enum Ended {
    Asked(Plain<()>),
    ByItself(String, bool),
}

fn reign(
    dispatcher: Dispatcher,
    runtime: &tokio::runtime::Runtime,
    asked: &Receiver<Ask>,
    over: &Plain<Ask>,
    events: &Sender,
) -> Ended {
    let mut watch = dispatcher.reign.clone();
    let (over, events) = (over.clone(), events.clone());
    // One task turns the watch into a message, so that this thread waits for one thing only.
    runtime.spawn(async move {
        let (mut trouble, mut finding, mut need) = (None, None, None);
        let mut told = false;
        let why = loop {
            let now = watch.borrow_and_update().clone();
            // A reign that is over tries nothing any more.
            let now_trouble = now.trouble.filter(|_| now.ended.is_none());
            // What finds the queue full is told a moment later.
            if now_trouble != trouble && events.try_send(Event::Trouble(Trouble::Writing, now_trouble.clone())).is_ok()
            {
                trouble.clone_from(&now_trouble);
            }
            let now_need = now.need.filter(|_| now.ended.is_none());
            if now_need != need && events.try_send(Event::Need(now_need.clone())).is_ok() {
                need.clone_from(&now_need);
            }
            let words = now.finding.as_deref().map(damage_words);
            if now.finding != finding && events.try_send(Event::Trouble(Trouble::Damage, words)).is_ok() {
                finding.clone_from(&now.finding);
            }
            if let Some(recovery) = now.recovery.filter(|r| !told && !r.found.is_empty()) {
                told = true;
                let events = events.clone();
                // The loop drains its queue; a full one is waited for beside the executors.
                let _beside = tokio::task::spawn_blocking(move || events.send(Event::Recovered(recovery)).is_ok());
            }
            if let Some(why) = now.ended {
                break (why, now.deposed);
            }
            let is_told = now_trouble == trouble && now_need == need && now.finding == finding;
            let changed = if is_told {
                watch.changed().await
            } else {
                tokio::time::timeout(TELL_AGAIN, watch.changed()).await.unwrap_or(Ok(()))
            };
            if changed.is_err() {
                break ("the dispatch thread is gone".to_owned(), false);
            }
        };
        // The console may be gone by now.
        let _ = over.send(Ask::Over(why.0, why.1));
    });
    let ask = loop {
        match asked.recv() {
            // It is taken already.
            Ok(Ask::TakeOver(_)) => {}
            other => break other,
        }
    };
    match ask {
        Ok(Ask::End(done)) => {
            runtime.block_on(async {
                // A queue that stays full, and a loop that has ended, end with the process.
                let _late = tokio::time::timeout(END_LIMIT, dispatcher.inbox.stop()).await;
            });
            let until = Instant::now() + END_LIMIT;
            loop {
                match asked.recv_timeout(until.saturating_duration_since(Instant::now())) {
                    Ok(Ask::Over(..)) => {
                        dispatcher.join();
                        return Ended::Asked(done);
                    }
                    Ok(Ask::End(_) | Ask::TakeOver(_)) => {}
                    Err(_) => return Ended::Asked(done),
                }
            }
        }
        Ok(Ask::Over(why, deposed)) => {
            dispatcher.join();
            Ended::ByItself(why, deposed)
        }
        Ok(Ask::TakeOver(_)) | Err(_) => Ended::ByItself("the console is gone".to_owned(), false),
    }
}
