//! Being the orchestrator, or waiting to become it, beside the screen.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender as Plain, channel};
use std::time::{Duration, Instant};

use wharf_store::StoreError;

use super::events::{Event, Sender, Trouble};
use crate::dispatch::election::{self, Holder};
use crate::dispatch::event_loop::Dispatcher;
use crate::dispatch::orchestrator::{Begun, MachineLimits, begin};

/// How often a lock that another process holds is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long is waited before a reign that could not begin, or ended by itself, is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the dispatcher may take to end.
const END_LIMIT: Duration = Duration::from_secs(3);

/// Who the orchestrator is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// This console.
    Ours,
    /// Another process; what is known of it.
    Another(Option<Holder>),
    /// Nobody: this console cannot be, and why.
    Nobody(String),
}

enum Ask {
    /// End the reign and say so.
    End(Plain<()>),
    /// The reign has ended by itself.
    Over(String),
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
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("executor")
        .enable_all()
        .build()
    {
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
    loop {
        let wait = match attempt(data, limits, &runtime) {
            Ok(Begun::Reigning(dispatcher)) => {
                tell(Standing::Ours);
                tell_damage(data, events);
                match reign(dispatcher, &runtime, asked, over, events) {
                    Ended::Asked(done) => {
                        let _ = done.send(());
                        return;
                    }
                    Ended::ByItself(why) => {
                        tracing::error!(%why, "the reign has ended");
                        tell(Standing::Nobody(why));
                        AGAIN
                    }
                }
            }
            Ok(Begun::Held(holder)) => {
                if tell(Standing::Another(holder)) {
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
        match asked.recv_timeout(wait) {
            Ok(Ask::End(done)) => {
                let _ = done.send(());
                return;
            }
            Err(RecvTimeoutError::Disconnected) => return,
            // The last word of an earlier reign.
            Ok(Ask::Over(_)) | Err(RecvTimeoutError::Timeout) => {}
        }
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
fn attempt(data: &Path, limits: &MachineLimits, runtime: &tokio::runtime::Runtime) -> Result<Begun, StoreError> {
    let held = election::holder(data)
        .map_err(|e| StoreError::io(&election::path(data), "look at the orchestrator's lock", e))?;
    if let Some(holder) = held {
        return Ok(Begun::Held(holder));
    }
    let _inside = runtime.enter();
    begin(data, limits)
}

enum Ended {
    Asked(Plain<()>),
    ByItself(String),
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
        let (mut trouble, mut finding) = (None, None);
        let why = loop {
            let now = watch.borrow_and_update().clone();
            // A reign that is over tries nothing any more.
            let now_trouble = now.trouble.filter(|_| now.ended.is_none());
            // What finds the queue full is told with the next change.
            if now_trouble != trouble && events.try_send(Event::Trouble(Trouble::Writing, now_trouble.clone())).is_ok()
            {
                trouble = now_trouble;
            }
            let words = now.finding.as_deref().map(damage_words);
            if now.finding != finding && events.try_send(Event::Trouble(Trouble::Damage, words)).is_ok() {
                finding = now.finding;
            }
            if let Some(why) = now.ended {
                break why;
            }
            if watch.changed().await.is_err() {
                break "the dispatch thread is gone".to_owned();
            }
        };
        // The console may be gone by now.
        let _ = over.send(Ask::Over(why));
    });
    match asked.recv() {
        Ok(Ask::End(done)) => {
            runtime.block_on(async {
                // A queue that stays full, and a loop that has ended, end with the process.
                let _late = tokio::time::timeout(END_LIMIT, dispatcher.inbox.stop()).await;
            });
            let until = Instant::now() + END_LIMIT;
            loop {
                match asked.recv_timeout(until.saturating_duration_since(Instant::now())) {
                    Ok(Ask::Over(_)) => {
                        dispatcher.join();
                        return Ended::Asked(done);
                    }
                    Ok(Ask::End(_)) => {}
                    Err(_) => return Ended::Asked(done),
                }
            }
        }
        Ok(Ask::Over(why)) => {
            dispatcher.join();
            Ended::ByItself(why)
        }
        Err(_) => Ended::ByItself("the console is gone".to_owned()),
    }
}
