//! How a reign begins, what others see of it, and what goes on beside its loop.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use wharf_model::{ProjectId, RequestRow};
use wharf_store::{ChangeSignal, StoreError, Writer};

use super::Loop;
use super::clocks::Clocks;
use super::inbox::{Envelope, Inbox, TELL_AGAIN};
use crate::clock;
use crate::dispatch::election::{self, DiskNeed, Elected};
use crate::dispatch::input::{Fact, Input, Known, Occurrence, Prepared, Recovery};
use crate::dispatch::perform::Perform;
use crate::dispatch::room::Room;

/// Inputs that may wait; a full queue makes executors wait, never the loop.
const QUEUE: usize = 4096;

/// Longest wait for a change of the store: soon after the end of a reign nothing of it is left.
const WATCH: Duration = Duration::from_secs(20);

/// What others may watch of a reign.
#[derive(Debug, Clone, Default)]
pub struct Reign {
    /// Commits so far: rises with each, so that a screen knows when to ask again.
    pub commits: u64,
    /// Runs that are not in a terminal state.
    pub live_runs: usize,
    /// Services that are live.
    pub live_services: usize,
    /// Requests accepted but not finished, and actions under way.
    pub busy: usize,
    /// Whether everything that was open at the start has been looked at.
    pub adopted: bool,
    /// Why nothing can be written just now; it is tried again and again.
    pub trouble: Option<String>,
    /// What waits for room on the disk.
    pub need: Option<DiskNeed>,
    /// Damage that was found in the store.
    pub finding: Option<String>,
    /// What the start found, once that is so.
    pub recovery: Option<Arc<Recovery>>,
    /// Why the reign ended.
    pub ended: Option<String>,
    /// Whether it ended because another one has begun.
    pub deposed: bool,
}

/// A running dispatcher.
pub struct Dispatcher {
    /// Where facts go.
    pub inbox: Inbox,
    /// What it does.
    pub reign: watch::Receiver<Reign>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What a dispatcher needs beside the store.
pub struct Setup {
    /// Data directory.
    pub data: PathBuf,
    /// Runs that may run at once on this machine.
    pub concurrent_runs: i64,
    /// How the reign began, where it did not find the lock free.
    pub began_by: Option<Occurrence>,
}

/// Reads what a request needs from outside, beside the loop.
pub trait Prepare: Send + Sync + 'static {
    /// Reads the config that `row` is about. `known` tells where projects stood so far.
    fn prepare(&self, row: &RequestRow, known: &BTreeMap<ProjectId, Known>) -> Prepared;
}

impl Dispatcher {
    /// Begins a reign: takes the epoch, loads what is open and performs it anew.
    ///
    /// `performer` gets the inbox, so that its executors can report.
    pub fn begin<P: Perform>(
        setup: Setup,
        elected: Elected,
        prepare: Arc<dyn Prepare>,
        performer: impl FnOnce(Inbox, i64) -> P,
    ) -> Result<Self, StoreError> {
        let data = setup.data.clone();
        let looped = Loop::begin(setup, elected, prepare, performer)?;
        let (inbox, reign) = (looped.inbox.clone(), looped.publish.subscribe());
        let thread = std::thread::Builder::new()
            .name("dispatch".into())
            .spawn(move || looped.run())
            .map_err(|e| StoreError::io(&data, "start the dispatch thread", e))?;
        Ok(Self { inbox, reign, thread: Some(thread) })
    }

    /// Waits until the loop has ended and its lock is given back.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic was logged by the hook; the lock is free either way.
            let _panicked = thread.join();
        }
    }
}

impl Loop {
    /// Takes the epoch and loads what is open; nothing is performed yet.
    pub(super) fn begin<P: Perform>(
        setup: Setup,
        mut elected: Elected,
        prepare: Arc<dyn Prepare>,
        performer: impl FnOnce(Inbox, i64) -> P,
    ) -> Result<Self, StoreError> {
        let mut writer = Writer::open(&setup.data)?;
        let epoch = writer.begin_reign()?;
        elected.begin(epoch).map_err(|e| StoreError::io(&election::path(&setup.data), "note the reign", e))?;
        let mut state = writer.load_state()?;
        state.epoch = epoch;
        state.concurrent_runs = setup.concurrent_runs;
        let (signal, check) = (ChangeSignal::open(&setup.data)?, !writer.ended_cleanly());
        let (sender, receiver) = mpsc::channel(QUEUE);
        let inbox = Inbox { sender };
        let (publish, _) = watch::channel(Reign::default());
        let performer = performer(inbox.clone(), epoch);
        let stopper = watch_store(signal, inbox.clone());
        if check {
            look_through(setup.data.clone(), inbox.clone());
        }
        Ok(Self {
            setup,
            writer,
            state,
            receiver,
            inbox,
            publish,
            performer: Box::new(performer),
            prepare,
            preparing: BTreeSet::new(),
            looking: BTreeSet::new(),
            recovering: None,
            clocks: Clocks::new(clock::read()),
            own: Vec::new(),
            own_told: 0,
            adopted: false,
            commits: 0,
            data_version: None,
            committed: None,
            began: Instant::now(),
            stop: false,
            trouble: None,
            tidied: Instant::now(),
            untidy: false,
            elected,
            room: Room::default(),
            _store_watch: stopper,
        })
    }
}

/// Wakes the loop whenever another process may have inserted a request.
fn watch_store(mut signal: ChangeSignal, inbox: Inbox) -> StoreWatch {
    let (alive, stopped) = std::sync::mpsc::channel::<()>();
    let spawned = std::thread::Builder::new().name("store-watch".into()).spawn(move || {
        loop {
            match signal.wait(WATCH) {
                Ok(true) => inbox.wake(),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "watching the store failed; looking again in a second");
                    std::thread::sleep(Duration::from_secs(1));
                    inbox.wake();
                }
            }
            if stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected) || inbox.sender.is_closed() {
                return;
            }
        }
    });
    if let Err(error) = spawned {
        tracing::error!(%error, "cannot watch the store; requests of other processes are seen late");
    }
    StoreWatch { _alive: alive }
}

/// Looks for damage beside everything else: the reign before this one did not come to its end.
fn look_through(data: PathBuf, inbox: Inbox) {
    let look = move || {
        let found = wharf_store::check(&data, || !inbox.sender.is_closed());
        match found {
            Ok(None) => tracing::info!("the store was looked through after an end out of order, and is whole"),
            Ok(Some(finding)) => {
                tracing::error!(%finding, "the store is damaged");
                let fact = Fact::StoreDamageFound { finding };
                // One that is refused for want of room is told again.
                loop {
                    let (done, committed) = oneshot::channel();
                    let told = Envelope::Input(Input::Fact(fact.clone()), Some(done));
                    if inbox.sender.blocking_send(told).is_err()
                        || committed.blocking_recv().is_ok_and(|told| !told.refused)
                    {
                        return;
                    }
                    std::thread::sleep(TELL_AGAIN);
                }
            }
            Err(error) => tracing::warn!(%error, "the store cannot be looked through"),
        }
    };
    if let Err(error) = std::thread::Builder::new().name("store-check".into()).spawn(look) {
        tracing::warn!(%error, "the store is not looked through");
    }
}

pub(super) struct StoreWatch {
    _alive: std::sync::mpsc::Sender<()>,
}
