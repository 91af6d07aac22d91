//! Signals that end a command in order: whoever orchestrates lets go of it first, and the exit code says
//! which signal it was. A command that does not orchestrate ends at once, as by default.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::error::{CliError, Result};
use crate::dispatch::event_loop::{Inbox, Reign};

/// Time in which a command lets go by itself. One that waits for something else than the store, such as a
/// reader of its output, is taken the reign from then.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time in which a reign ends once it is asked to; a commit may take a while on a slow disk.
const LETTING_GO: Duration = Duration::from_secs(10);
/// Added to a signal's number, as shells do.
const BY_SIGNAL: u8 = 128;
/// Code of the error with which a command is cut off.
pub const CUT_OFF: &str = "interrupted";

/// A signal that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caught {
    /// Its name.
    pub name: &'static str,
    number: u8,
}

impl Caught {
    const INTERRUPT: Self = Self { name: "SIGINT", number: 2 };
    const TERMINATE: Self = Self { name: "SIGTERM", number: 15 };
    const HANG_UP: Self = Self { name: "SIGHUP", number: 1 };

    /// The exit code of whoever ends by it.
    pub const fn code(self) -> u8 {
        BY_SIGNAL + self.number
    }

    /// The error of a command that it cuts off.
    pub fn cut_off(self) -> CliError {
        CliError::new(self.code(), CUT_OFF, format!("{} ended this command before its answer came", self.name))
            .cause(
                "what was accepted goes on: runs and services under their shims, all else with the next orchestrator",
            )
            .next("wharf runs")
    }
}

/// The three signals, heard from the moment this is made.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Begins to hear them; on a runtime.
    ///
    /// # Errors
    /// They cannot be heard.
    pub fn listen() -> Result<Self> {
        let hear =
            |kind| signal(kind).map_err(|e| CliError::internal("signals cannot be received").cause(e.to_string()));
        Ok(Self {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
            hangup: hear(SignalKind::hangup())?,
        })
    }

    /// The next one. A process in the background outlives its terminal: for it a hang-up is none.
    pub async fn next(&mut self, background: bool) -> Caught {
        tokio::select! {
            _ = self.interrupt.recv() => Caught::INTERRUPT,
            _ = self.terminate.recv() => Caught::TERMINATE,
            _ = self.hangup.recv(), if !background => Caught::HANG_UP,
        }
    }
}

/// What a signal ends.
enum Stand {
    /// Nothing but the process.
    Alone,
    /// The store is being opened; what comes now is followed once that is done.
    Opening,
    /// A reign.
    Reigns(Inbox, watch::Receiver<Reign>),
}

/// The signals of a command that may orchestrate for a while.
#[derive(Clone)]
pub struct Watch {
    shared: Arc<Shared>,
}

struct Shared {
    stand: Mutex<Stand>,
    caught: watch::Sender<Option<Caught>>,
}

impl Watch {
    /// Hears them from now on, and follows what comes once the store is open. There is one in a process.
    ///
    /// # Errors
    /// They cannot be heard, or no thread could be had.
    pub fn opening() -> Result<Self> {
        static KEPT: Mutex<Option<Watch>> = Mutex::new(None);
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watch) = &*kept {
            watch.set(Stand::Opening);
            return Ok(watch.clone());
        }
        let watch = Self::begin()?;
        *kept = Some(watch.clone());
        Ok(watch)
    }

    fn begin() -> Result<Self> {
        let failed = |e: std::io::Error| CliError::internal("signals cannot be received").cause(e.to_string());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let signals = {
            let _inside = runtime.enter();
            Signals::listen()?
        };
        let shared = Arc::new(Shared { stand: Mutex::new(Stand::Opening), caught: watch::Sender::new(None) });
        let watch = Self { shared };
        let theirs = watch.clone();
        // A thread of its own: it must act when everything else waits.
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || runtime.block_on(theirs.follow(signals)))
            .map_err(failed)?;
        Ok(watch)
    }

    /// Says that this process orchestrates.
    pub fn reigns(&self, inbox: Inbox, reign: watch::Receiver<Reign>) {
        self.set(Stand::Reigns(inbox, reign));
    }

    /// Says that it does not, or no more; a signal that came meanwhile ends the process.
    pub fn alone(&self) {
        self.set(Stand::Alone);
        if let Some(caught) = self.caught() {
            std::process::exit(i32::from(caught.code()));
        }
    }

    /// The signal that has come, if one has.
    pub fn caught(&self) -> Option<Caught> {
        *self.shared.caught.borrow()
    }

    /// Waits until one comes.
    pub async fn comes(&self) {
        let mut caught = self.shared.caught.subscribe();
        // The sender lives in the same place as this.
        let _ = caught.wait_for(Option::is_some).await;
    }

    fn set(&self, stand: Stand) {
        *self.shared.stand.lock().unwrap_or_else(PoisonError::into_inner) = stand;
    }

    async fn follow(self, mut signals: Signals) {
        let caught = signals.next(false).await;
        tracing::info!(name = caught.name, "a signal ends the command");
        let alone = {
            let stand = self.shared.stand.lock().unwrap_or_else(PoisonError::into_inner);
            // Under the lock: whoever becomes alone after this looks for what was caught.
            self.shared.caught.send_replace(Some(caught));
            matches!(*stand, Stand::Alone)
        };
        if !alone {
            tokio::select! {
                () = self.let_go() => {}
                // Asked twice, it does not wait for anything. The store takes that as it takes a crash.
                _ = signals.next(false) => {}
            }
        }
        std::process::exit(i32::from(caught.code()));
    }

    /// Waits for the command to let go, and does it in its place when it does not. While the store is being
    /// opened nothing is taken from anybody.
    async fn let_go(&self) {
        loop {
            tokio::time::sleep(PATIENCE).await;
            let reign = match &*self.shared.stand.lock().unwrap_or_else(PoisonError::into_inner) {
                Stand::Alone => return,
                Stand::Opening => continue,
                Stand::Reigns(inbox, reign) => (inbox.clone(), reign.clone()),
            };
            let (inbox, mut reign) = reign;
            let ended = async {
                inbox.stop().await;
                // Its sender goes with the reign.
                while reign.changed().await.is_ok() {}
            };
            let _late = tokio::time::timeout(LETTING_GO, ended).await;
            return;
        }
    }
}
