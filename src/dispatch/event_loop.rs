//! The loop around the core: take inputs, decide, commit once, answer, let actions be performed.
//!
//! It runs on a thread of its own, which owns the only read-write connection. It never waits for
//! git, the network, a child or a log: whatever takes time is an executor's.

mod adoption;
mod begin;
mod clocks;
mod inbox;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;
use wharf_model::state::{AnyRow, Change, Decided, State};
use wharf_model::{
    ActionId, ActionRow, ActionStatus, RequestId, RequestKind, RequestRow, RequestStatus, RunId, RunTextKind,
};
use wharf_store::{ApplyError, StoreError, Writer};

use self::adoption::ADOPTION_LIMIT;
use self::begin::StoreWatch;
pub use self::begin::{Dispatcher, Prepare, Reign, Setup};
use self::clocks::Clocks;
use self::inbox::Envelope;
pub use self::inbox::{Inbox, Told};

use super::committed;
use super::decide::late;
use super::decide::{decide, sweep};
use super::election::Elected;
use super::input::{Fact, Input, Occurrence, Prepared, Refusal};
use super::perform::{Perform, job};
use super::recovery::Recovering;
use crate::clock;
use crate::process::kill_point::kill_point;

/// Inputs of one transaction.
const BATCH: usize = 256;
/// Time spent on deciding before a commit.
const BATCH_TIME: Duration = Duration::from_millis(2);
/// Least time between two commits, in which other processes can take the write lock.
const BREATH: Duration = Duration::from_micros(500);
/// Least time between two looks at the size of the journal.
const TIDY: Duration = Duration::from_secs(1);
/// Pause before a store that takes no writes is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(200);
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
    _elected: Elected,
    _store_watch: StoreWatch,
}

struct Pending {
    decided: Decided,
    reply: Option<oneshot::Sender<Told>>,
    told: Told,
    /// The request that was decided, to be refused where the store refuses what it changes.
    request: Option<Box<RequestRow>>,
    /// The reading of the clocks that this decision deals with.
    clocks: Option<clock::Reading>,
}

impl Pending {
    fn of(decided: Decided) -> Self {
        Self { decided, reply: None, told: Told::default(), request: None, clocks: None }
    }
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
        let due = sweep::next_deadline(&self.state).map(|due| {
            let ms = clock::now().until(due).max(1);
            // Wall clocks step, and timers do not count the time a machine sleeps: a long wait is looked at now and
            // then.
            Duration::from_millis(u64::try_from(ms).unwrap_or(1)).min(CLOCK_LOOK)
        });
        tidy.into_iter().chain(due).min()
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
                    if let Prepared::Gc(plan) = &mut prepared {
                        // A log whose row cannot be read stays; `wharf doctor` tells of it.
                        let mut rows = Vec::with_capacity(plan.logs.len());
                        for log in std::mem::take(&mut plan.logs) {
                            if self.ensure_run(log.id)? {
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
        if may_sweep && self.recovering.is_some() {
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

    /// Whether anything can be written by now; if not, what was told is told again by whoever told it, and what waits
    /// in the store is read again.
    fn try_again(&mut self, envelopes: &[Envelope]) -> Result<(), StoreError> {
        let tried = self.writer.try_write();
        if tried.is_err() {
            for envelope in envelopes {
                match envelope {
                    Envelope::Stop => self.stop = true,
                    Envelope::Prepared(row, _) => {
                        self.preparing.remove(&row.id);
                    }
                    Envelope::Input(..) | Envelope::Wake => {}
                }
            }
        }
        tried
    }

    /// Brings a journal that has grown back to its size once nothing waits.
    fn tidy_journal(&mut self) {
        if !self.receiver.is_empty() || self.trouble.is_some() || self.tidied.elapsed() < TIDY {
            return;
        }
        self.tidied = Instant::now();
        match self.writer.shrink_journal() {
            Ok(small) => self.untidy = !small,
            Err(error) => tracing::warn!(%error, "the journal stays as large as it is"),
        }
    }

    /// Says, once, that nothing can be written, and that it can again.
    fn set_trouble(&mut self, trouble: Option<String>) {
        if self.trouble == trouble {
            return;
        }
        match &trouble {
            Some(why) => tracing::error!(%why, "nothing can be written; it is tried again"),
            None => tracing::info!("the store takes writes again"),
        }
        self.trouble.clone_from(&trouble);
        self.publish.send_modify(|r| r.trouble = trouble);
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

    /// Whether another connection has committed since the last look, or that look left requests.
    fn others_wrote(&mut self) -> Result<bool, StoreError> {
        let found = self.writer.data_version()?;
        Ok(self.data_version.replace(found) != Some(found))
    }

    fn take_request(&mut self, batch: &mut Vec<Pending>, row: RequestRow) -> Result<(), StoreError> {
        // Answered in this very turn, whose commit is still to come: the store does not know it yet.
        let answered = self.state.requests.get(&row.id).is_some_and(|r| r.status != RequestStatus::Pending);
        if answered || self.preparing.contains(&row.id) {
            return Ok(());
        }
        kill_point("request.inserted");
        if let Some(recovering) = &mut self.recovering {
            recovering.requests += 1;
        }
        let needs = matches!(
            RequestKind::parse(&row.kind),
            Some(
                RequestKind::ProjectAdd | RequestKind::ConfigAccept | RequestKind::RunStart | RequestKind::ServiceStart
            )
        ) && row.args.get("path").is_some()
            || RequestKind::parse(&row.kind) == Some(RequestKind::GcRun);
        if needs {
            self.preparing.insert(row.id);
            // Known from now on, so that the sweep lets it expire when its files cannot be read in time.
            self.state.load(AnyRow::Request(Box::new(row.clone())));
            let known = self.state.projects.iter().map(|(id, p)| (*id, p.into())).collect();
            let (prepare, sender) = (Arc::clone(&self.prepare), self.inbox.sender.clone());
            self.performer.blocking(Box::new(move || {
                let prepared = prepare.prepare(&row, &known);
                kill_point("config.read");
                // The queue is drained by the loop; an error says that it has ended.
                let _ended = sender.blocking_send(Envelope::Prepared(Box::new(row), prepared));
            }));
            return Ok(());
        }
        self.take_prepared(batch, Box::new(row), Prepared::Nothing)
    }

    /// Decides a request with what was read for it. One whose target cannot be read from the store is refused: it
    /// must end neither this reign nor, waiting in the store, every one after it.
    fn take_prepared(
        &mut self,
        batch: &mut Vec<Pending>,
        row: Box<RequestRow>,
        prepared: Prepared,
    ) -> Result<(), StoreError> {
        let expired = row.expires_at <= clock::now();
        match if expired { Ok(()) } else { self.ensure(&row) } {
            Ok(()) => self.decide_into(batch, &Input::Request(row, prepared), None),
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::error!(%error, request = row.number, "what a request is about cannot be read; it is refused");
                let target = row.target_id.as_deref().unwrap_or_default();
                let message = format!("the row of {target} cannot be read ({error}); `wharf doctor` says what to do");
                self.refuse_into(batch, &row, &Refusal::new("store_damaged", message));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Refuses a request whose own decision cannot be had.
    fn refuse_into(&mut self, batch: &mut Vec<Pending>, row: &RequestRow, refusal: &Refusal) {
        let mut new_id = Uuid::now_v7;
        let decided = super::decide::refuse(&mut self.state, row, refusal, clock::now(), &mut new_id);
        batch.push(Pending::of(decided));
    }

    /// Loads the row that a request is about when it has ended and left memory.
    fn ensure(&mut self, row: &RequestRow) -> Result<(), StoreError> {
        let (Some(kind), Some(id)) = (row.target_type.as_deref(), row.target_id.as_deref()) else { return Ok(()) };
        if Uuid::parse_str(id).is_err() {
            return Ok(());
        }
        let here = match kind {
            "run" => id.parse().is_ok_and(|id| self.state.runs.contains_key(&id)),
            "lease" => id.parse().is_ok_and(|id| self.state.leases.contains_key(&id)),
            "issue" => id.parse().is_ok_and(|id| self.state.issues.contains_key(&id)),
            _ => true,
        };
        if !here && let Some(row) = self.writer.load_entity(kind, id)? {
            self.state.load(row);
        }
        Ok(())
    }

    /// The same for an ended run, with the number of its last event, so that what comes late is kept behind it.
    /// Says whether it is here now: one that cannot be read is told and left alone.
    fn ensure_run(&mut self, id: RunId) -> Result<bool, StoreError> {
        if self.state.runs.contains_key(&id) {
            return Ok(true);
        }
        match self.writer.load_entity("run", &id.text()) {
            Ok(Some(row)) => {
                let seq = self.writer.last_event(id)?;
                self.state.load(row);
                self.state.event_seq.insert(id, seq);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::error!(%error, run = %id, "the row of an ended run cannot be read");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn decide_into(&mut self, batch: &mut Vec<Pending>, input: &Input, reply: Option<oneshot::Sender<Told>>) {
        if let Input::Fact(Fact::StoreDamageFound { finding }) = input {
            self.publish.send_modify(|r| r.finding = Some(finding.clone()));
        }
        let mut new_id = Uuid::now_v7;
        let (decided, defect) = decide(&mut self.state, input, clock::now(), &mut new_id);
        if let Some(defect) = defect {
            tracing::error!(%defect, ?input, "a decision was taken back: it broke a rule");
            if let Input::Request(row, _) = input {
                self.refuse_into(batch, row, &Refusal::new("internal", format!("this is a defect of wharf: {defect}")));
            }
        }
        let told = match input {
            Input::Fact(Fact::WorkspacePlanned { run, .. } | Fact::OperationPlanned { run, .. }) => {
                let row = self.state.runs.get(run);
                let over = row.is_none_or(|r| r.status.is_terminal() || r.stop_requested_at.is_some());
                Told { workspace: row.and_then(|r| r.workspace_id), over }
            }
            _ => Told::default(),
        };
        let request = if let Input::Request(row, _) = input { Some(row.clone()) } else { None };
        batch.push(Pending { reply, told, request, ..Pending::of(decided) });
    }

    /// Writes what was decided; then, and only for what was written, answers and lets actions be performed.
    fn commit(&mut self, batch: Vec<Pending>) -> Result<(), StoreError> {
        let changes: Vec<&[Change]> = batch.iter().map(|p| p.decided.changes.as_slice()).collect();
        let mut outcomes = Vec::new();
        if changes.iter().any(|c| !c.is_empty()) {
            self.breathe();
            outcomes = self.writer.commit(&changes)?;
            self.commits += 1;
            committed::pass(&changes);
            self.committed = Some(Instant::now());
        }
        let written = |i: usize| outcomes.get(i).is_none_or(Result::is_ok);
        // Each once, as the last decision of the batch left it.
        let mut actions: BTreeMap<ActionId, &ActionRow> = BTreeMap::new();
        for (_, pending) in batch.iter().enumerate().filter(|(i, _)| written(*i)) {
            actions.extend(pending.decided.actions().map(|action| (action.id, action)));
            self.stop |= pending.decided.changes.iter().any(asks_to_stop);
            if let Some(reading) = pending.clocks {
                self.clocks.minded(reading);
            }
        }
        for (id, action) in actions {
            // Decided later in the same batch to be done with it.
            let still = self.state.actions.get(&id).is_some_and(|a| a.status == ActionStatus::Performing);
            if still && action.status == ActionStatus::Performing {
                self.perform(action);
            }
        }
        let mut refused = Vec::new();
        for (i, pending) in batch.into_iter().enumerate() {
            match outcomes.get(i) {
                // Without an answer whoever told it tells it again.
                Some(Err(error)) => refused.push((error, pending.request)),
                _ => {
                    if let Some(reply) = pending.reply {
                        // Whoever told it may have ended meanwhile.
                        let _gone = reply.send(pending.told);
                    }
                }
            }
        }
        if !refused.is_empty() {
            self.refused_by_store(refused)?;
        }
        self.state.forget_ended();
        self.tell_watchers();
        Ok(())
    }

    /// Some of a batch was not written, and memory has it: memory is rebuilt. Requests whose changes the store will
    /// never take are refused; those that it did not come to are read again.
    fn refused_by_store(&mut self, refused: Vec<(&ApplyError, Option<Box<RequestRow>>)>) -> Result<(), StoreError> {
        let errors: Vec<String> = refused.iter().map(|(error, _)| error.to_string()).collect();
        tracing::error!(refused = ?errors, "the store holds other rows than memory; memory is rebuilt");
        self.rebuild()?;
        self.data_version = None;
        self.inbox.wake();
        let mut batch = Vec::new();
        for (error, request) in refused {
            if let Some(row) = request
                && !matches!(error, ApplyError::NotReached { .. })
            {
                let message = format!("the store does not take what it changes ({error}); this is a defect of wharf");
                self.refuse_into(&mut batch, &row, &Refusal::new("internal", message));
            }
        }
        // A refusal is about the request alone, and has none to be refused after it.
        if batch.is_empty() { Ok(()) } else { self.commit(batch) }
    }

    /// Waits only where commits follow one another without a pause of their own.
    fn breathe(&self) {
        if let Some(left) = self.committed.and_then(|at| BREATH.checked_sub(at.elapsed())) {
            std::thread::sleep(left);
        }
    }

    fn perform(&mut self, action: &ActionRow) {
        let run = action.entity_id.parse::<RunId>().ok();
        let prompt = match run.filter(|_| action.kind == wharf_model::ActionKind::SpawnShim) {
            Some(run) => self.prompt(run).map_err(|e| format!("its prompt cannot be read: {e}")),
            None => Ok(None),
        };
        let gone = "what it was about is gone".to_owned();
        match prompt.and_then(|prompt| job(&self.state, action, prompt).ok_or(gone)) {
            Ok(job) => self.performer.perform(action.clone(), job),
            Err(error) => {
                tracing::warn!(action = ?action.id, kind = %action.kind, %error, "it cannot be performed");
                self.own.push(Input::Fact(Fact::ActionFailed { action: action.id, error }));
            }
        }
    }

    /// What a run is asked to do; one that follows another is asked the same.
    fn prompt(&self, run: RunId) -> Result<Option<String>, StoreError> {
        let text = |run| self.writer.run_text(run, RunTextKind::Prompt);
        let lineage = self.state.runs.get(&run).map(|r| r.lineage).filter(|first| *first != run);
        match (text(run)?, lineage) {
            (None, Some(first)) => text(first),
            (own, _) => Ok(own),
        }
    }

    fn tell_watchers(&mut self) {
        let (commits, state) = (self.commits, &self.state);
        let live_runs = state.runs.values().filter(|r| !r.status.is_terminal()).count();
        let live_services = state.services.values().filter(|s| s.status.is_live()).count();
        let busy = state.requests.len() + state.actions.values().filter(|a| !sweep::is_late(a)).count();
        self.publish.send_if_modified(|r| {
            let changed = r.commits != commits || r.live_runs != live_runs || r.busy != busy;
            r.commits = commits;
            r.live_runs = live_runs;
            r.live_services = live_services;
            r.busy = busy;
            changed
        });
    }

    /// Rebuilds memory from the store, which is the truth.
    fn rebuild(&mut self) -> Result<(), StoreError> {
        let epoch = self.state.epoch;
        self.state = self.writer.load_state()?;
        self.state.epoch = epoch;
        self.state.concurrent_runs = self.setup.concurrent_runs;
        Ok(())
    }

    /// After a failed commit nothing of the batch was written. Says whether the reign goes on: it does while the same
    /// write may succeed later, and ends where the store can be trusted no more.
    fn recover(&mut self, error: &StoreError) -> bool {
        if error.may_pass() {
            self.set_trouble(Some(error.to_string()));
        } else {
            tracing::error!(%error, "the store refused a commit");
        }
        if matches!(error, StoreError::StaleEpoch { .. } | StoreError::Suspect { .. } | StoreError::Damaged { .. }) {
            return false;
        }
        for wait in [TRY_AGAIN, Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)] {
            std::thread::sleep(wait);
            if self.rebuild().is_ok() {
                self.data_version = None;
                // What was told in the failed batch is observed again by performing it again.
                self.inbox.wake();
                let _full = self.inbox.sender.try_send(Envelope::Input(Input::Begin, None));
                return true;
            }
        }
        false
    }
}

/// Whether a change accepts that the reign ends.
fn asks_to_stop(change: &Change) -> bool {
    matches!(change, Change::Put { row: AnyRow::Request(row), .. }
        if RequestKind::parse(&row.kind) == Some(RequestKind::OrchestratorStop)
            && matches!(row.status, RequestStatus::Accepted | RequestStatus::Done))
}
