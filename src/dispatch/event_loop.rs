//! The loop around the core: take inputs, decide, commit once, answer, let actions be performed.
//!
//! It runs on a thread of its own, which owns the only read-write connection. It never waits for
//! git, the network, a child or a log: whatever takes time is an executor's.

mod adoption;
mod begin;
mod clocks;
mod commit;
mod inbox;
mod requests;
#[cfg(test)]
mod tests;
mod trouble;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use wharf_model::state::State;
use wharf_model::{ActionId, ActionStatus, RequestId};
use wharf_store::{StoreError, Writer};

use self::adoption::ADOPTION_LIMIT;
use self::begin::StoreWatch;
pub use self::begin::{Dispatcher, Prepare, Reign, Setup};
use self::clocks::Clocks;
use self::commit::Pending;
use self::inbox::Envelope;
pub use self::inbox::{Inbox, Told};
use self::trouble::{TIDY, TRY_AGAIN};

use super::decide::{late, sweep};
use super::election::Elected;
use super::input::{Input, Occurrence, Prepared};
use super::perform::Perform;
use super::recovery::Recovering;
use super::room::Room;
use crate::clock;

/// Inputs of one transaction.
const BATCH: usize = 256;
/// Time spent on deciding before a commit.
const BATCH_TIME: Duration = Duration::from_millis(2);
/// Longest wait while a deadline is open, so that a step of the clock is noticed soon.
const CLOCK_LOOK: Duration = Duration::from_mins(1);
/// Why a reign ended that somebody asked to end.
pub const ASKED_TO_STOP: &str = "asked to stop";

struct Loop {
    setup: Setup,
    writer: Writer,
    state: State,
    receiver: mpsc::Receiver<Envelope>,
    inbox: Inbox,
    publish: watch::Sender<Reign>,
    performer: Box<dyn Perform>,
    prepare: Arc<dyn Prepare>,
    /// Requests whose files are being read.
    preparing: BTreeSet<RequestId>,
    /// Actions of earlier reigns that have not reported yet.
    looking: BTreeSet<ActionId>,
    /// What the start finds, until it has been told.
    recovering: Option<Recovering>,
    clocks: Clocks,
    /// What the loop has to tell itself.
    own: Vec<Input>,
    /// How much of that is in the turn under way.
    own_told: usize,
    adopted: bool,
    commits: u64,
    /// State of the store at the last look for requests; none when it must be looked at again.
    data_version: Option<i64>,
    /// When the last commit was done.
    committed: Option<Instant>,
    began: Instant,
    stop: bool,
    /// Why nothing can be written just now.
    trouble: Option<String>,
    /// When the journal was looked at, and whether it was too large and somebody in the way.
    tidied: Instant,
    untidy: bool,
    elected: Elected,
    room: Room,
    _store_watch: StoreWatch,
}

impl Loop {
    fn run(mut self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => return self.end(&format!("cannot make a timer: {error}")),
        };
        self.looking = self
            .state
            .actions
            .values()
            .filter(|a| matches!(a.status, ActionStatus::Pending | ActionStatus::Performing))
            .map(|a| a.id)
            .collect();
        self.recovering = Some(Recovering::begin(&self.state, self.looking.iter().copied()));
        let mut first = vec![Envelope::Input(Input::Begin, None)];
        first.extend(self.setup.began_by.take().map(|how| Envelope::Input(Input::Occurred(how), None)));
        first.push(Envelope::Wake);
        loop {
            let envelopes = if first.is_empty() {
                let Some(envelopes) = runtime.block_on(self.gather()) else { break };
                envelopes
            } else {
                std::mem::take(&mut first)
            };
            let turned = self.turn(envelopes);
            if let Err(error) = turned
                && !self.recover(&error)
            {
                let deposed = matches!(error, StoreError::StaleEpoch { .. });
                self.publish.send_modify(|r| r.deposed = deposed);
                return self.end(&error.to_string());
            }
            if self.stop {
                break;
            }
            self.tidy_journal();
        }
        self.end(ASKED_TO_STOP);
    }

    fn end(mut self, why: &str) {
        tracing::info!(why, "dispatch ends");
        if why == ASKED_TO_STOP
            && let Err(error) = self.writer.end_reign()
        {
            tracing::warn!(%error, "the end of the reign is not noted; the next start looks through the store");
        }
        self.receiver.close();
        self.publish.send_modify(|r| r.ended = Some(why.to_owned()));
    }

    /// Waits for something to do: an input, or the next deadline.
    async fn gather(&mut self) -> Option<Vec<Envelope>> {
        // Kept until it is durable.
        self.own_told = self.own.len();
        let mut envelopes: Vec<Envelope> = self.own.iter().map(|i| Envelope::Input(i.clone(), None)).collect();
        if envelopes.is_empty() {
            envelopes.push(self.next().await?);
        }
        while envelopes.len() < BATCH {
            match self.receiver.try_recv() {
                Ok(envelope) => envelopes.push(envelope),
                Err(_) => break,
            }
        }
        Some(envelopes)
    }

    async fn next(&mut self) -> Option<Envelope> {
        Some(match self.patience() {
            Some(wait) => match tokio::time::timeout(wait, self.receiver.recv()).await {
                Ok(envelope) => envelope?,
                Err(_) => Envelope::Input(Input::Sweep, None),
            },
            None => self.receiver.recv().await?,
        })
    }

    /// How long nothing need be done; none when nothing waits for time to pass.
    fn patience(&self) -> Option<Duration> {
        if self.trouble.is_some() {
            return Some(TRY_AGAIN);
        }
        if !self.adopted {
            return Some(ADOPTION_LIMIT.saturating_sub(self.began.elapsed()).max(Duration::from_millis(10)));
        }
        let tidy = self.untidy.then_some(TIDY);
        let told = self
            .recovering
            .as_ref()
            .map(|_| ADOPTION_LIMIT.saturating_sub(self.began.elapsed()).max(Duration::from_millis(10)));
        let due = sweep::next_deadline(&self.state).map(|due| {
            let ms = clock::now().until(due).max(1);
            // Wall clocks step, and timers do not count the time a machine sleeps: a long wait is looked at now and
            // then.
            Duration::from_millis(u64::try_from(ms).unwrap_or(1)).min(CLOCK_LOOK)
        });
        [tidy, told, due].into_iter().flatten().min()
    }

    /// One turn: decide, commit, answer, perform.
    fn turn(&mut self, envelopes: Vec<Envelope>) -> Result<(), StoreError> {
        if self.trouble.is_some() {
            self.try_again(&envelopes)?;
        }
        let began = Instant::now();
        let mut batch: Vec<Pending> = Vec::new();
        let mut wake = false;
        // Before anything is judged by the time.
        self.mind_the_clock(&mut batch);
        for envelope in envelopes {
            match envelope {
                Envelope::Wake => wake = true,
                Envelope::Stop => self.stop = true,
                Envelope::Prepared(row, mut prepared) => {
                    self.preparing.remove(&row.id);
                    // It may have expired while its files were read.
                    if !self.state.requests.contains_key(&row.id) {
                        continue;
                    }
                    if let Some(refusal) = self.overtaken(&row, &prepared)? {
                        self.refuse_into(&mut batch, &row, &refusal);
                        continue;
                    }
                    if let Prepared::Gc(plan) = &mut prepared {
                        // A log whose row cannot be read stays; `wharf doctor` tells of it.
                        let mut rows = Vec::with_capacity(plan.logs.len());
                        for log in std::mem::take(&mut plan.logs) {
                            if self.ensure_owner(log.owner)? {
                                rows.push(log);
                            }
                        }
                        plan.logs = rows;
                    }
                    self.take_prepared(&mut batch, row, prepared)?;
                }
                Envelope::Input(input, reply) => {
                    if matches!(input, Input::Sweep) && !self.may_sweep() {
                        continue;
                    }
                    self.note_adoption(&input);
                    if let Input::Fact(fact) = &input
                        && let Some(of) = late::of_run(fact)
                    {
                        self.ensure_run(of.run)?;
                    }
                    self.decide_into(&mut batch, &input, reply);
                }
            }
            if began.elapsed() > BATCH_TIME {
                self.commit(std::mem::take(&mut batch))?;
            }
        }
        // Its own commits wake it as well; only others' can hold requests.
        if wake && self.others_wrote()? {
            // Whoever wrote may be a successor: an empty commit checks the epoch and writes nothing.
            self.writer.commit(&[Vec::new()])?;
            // What was just decided must not be read as waiting once more.
            self.commit(std::mem::take(&mut batch))?;
            // Those whose files are being read still wait in the store.
            let rows = self.writer.pending_requests(BATCH + self.preparing.len())?;
            let more = rows.len() >= BATCH + self.preparing.len();
            for row in rows {
                self.take_request(&mut batch, row)?;
            }
            if more {
                self.data_version = None;
                self.inbox.wake();
            }
        }
        let may_sweep = self.may_sweep();
        // What prepares a workspace is judged last: its run is looked at before it.
        let all_told = self.recovering.as_ref().is_some_and(Recovering::is_settled);
        if may_sweep && (all_told || self.began.elapsed() >= ADOPTION_LIMIT) {
            self.recovered(&mut batch);
        }
        if may_sweep && sweep::next_deadline(&self.state).is_some_and(|due| due <= clock::now()) {
            self.decide_into(&mut batch, &Input::Sweep, None);
        }
        self.commit(batch)?;
        self.own.drain(..std::mem::take(&mut self.own_told));
        self.set_trouble(None);
        Ok(())
    }

    /// Compares the clocks; what they moved by is dealt with before anything is overdue by it.
    fn mind_the_clock(&mut self, batch: &mut Vec<Pending>) {
        let now = clock::read();
        if let Some(moved) = self.clocks.look(now) {
            tracing::warn!(?moved, "the clock was set, or the machine slept");
            let (step_ms, slept_ms) = (moved.step_ms, moved.slept_ms);
            self.decide_into(batch, &Input::Occurred(Occurrence::ClockMoved { step_ms, slept_ms }), None);
            if let Some(decided) = batch.last_mut() {
                decided.clocks = Some(now);
            }
        }
    }
}
