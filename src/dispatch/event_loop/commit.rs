//! Deciding inputs, writing what was decided in one commit, and what follows once it is durable.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::Uuid;
use wharf_model::state::{AnyRow, Change, Decided};
use wharf_model::{
    ActionId, ActionKind, ActionRow, ActionStatus, LeaseRow, LeaseStatus, RequestKind, RequestRow, RequestStatus,
    RunId, RunTextKind,
};
use wharf_store::{ApplyError, StoreError};

use super::{Loop, Told};
use crate::clock;
use crate::dispatch::committed;
use crate::dispatch::decide::{self, decide, sweep};
use crate::dispatch::input::{Fact, Input, OperationOwner, Refusal};
use crate::dispatch::perform::job;

/// Least time between two commits, in which other processes can take the write lock.
const BREATH: Duration = Duration::from_micros(500);

/// An input that was decided and is not written yet.
pub(super) struct Pending {
    pub(super) decided: Decided,
    reply: Option<oneshot::Sender<Told>>,
    told: Told,
    /// The request that was decided, to be refused where the store refuses what it changes.
    request: Option<Box<RequestRow>>,
    /// The reading of the clocks that this decision deals with.
    pub(super) clocks: Option<clock::Reading>,
}

impl Pending {
    pub(super) fn of(decided: Decided) -> Self {
        Self { decided, reply: None, told: Told::default(), request: None, clocks: None }
    }
}

impl Loop {
    pub(super) fn decide_into(
        &mut self,
        batch: &mut Vec<Pending>,
        input: &Input,
        reply: Option<oneshot::Sender<Told>>,
    ) {
        if let Input::Fact(Fact::StoreDamageFound { finding }) = input {
            self.publish.send_modify(|r| r.finding = Some(finding.clone()));
        }
        if let Input::Fact(fact) = input
            && self.room.heard(fact, &self.state)
        {
            self.declare();
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
                Told { workspace: row.and_then(|r| r.workspace_id), over, ..Told::default() }
            }
            Input::Fact(Fact::RunNoted { run, attempt, .. }) => {
                let row = self.state.runs.get(run).filter(|r| r.attempt == *attempt && !r.status.is_terminal());
                let over = row.is_none_or(|r| r.stop_requested_at.is_some());
                Told { over, ended: row.is_none(), ..Told::default() }
            }
            Input::Fact(
                Fact::OwnOperationPlanned { owner: OperationOwner { action, .. }, .. }
                | Fact::SnapshotTaken { action, .. }
                | Fact::WorkspaceMoves { action, .. }
                | Fact::WorkspaceParked { action, .. },
            ) => {
                let open = self.state.actions.get(action).is_some_and(|a| decide::is_open(a.status));
                Told { over: !open, ..Told::default() }
            }
            Input::Fact(Fact::LeaseQueued { lease, .. } | Fact::LeasePlaceGone { lease }) => {
                let waits = |l: &LeaseRow| l.status == LeaseStatus::Acquiring && l.end_reason.is_none();
                let waits = self.state.leases.get(lease).is_some_and(waits);
                Told { over: !waits, ..Told::default() }
            }
            _ => Told::default(),
        };
        let request = if let Input::Request(row, _) = input { Some(row.clone()) } else { None };
        batch.push(Pending { reply, told, request, ..Pending::of(decided) });
    }

    /// Writes what was decided; then, and only for what was written, answers and lets actions be performed.
    pub(super) fn commit(&mut self, batch: Vec<Pending>) -> Result<(), StoreError> {
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
                // Without a good answer whoever told it tells it again.
                Some(Err(error)) => {
                    if let Some(reply) = pending.reply.filter(|_| !matches!(error, ApplyError::NotReached { .. })) {
                        let _gone = reply.send(Told { refused: true, ..Told::default() });
                    }
                    refused.push((error, pending.request));
                }
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
        let prompt = match run.filter(|_| action.kind == ActionKind::SpawnShim) {
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
}

/// Whether a change accepts that the reign ends.
fn asks_to_stop(change: &Change) -> bool {
    matches!(change, Change::Put { row: AnyRow::Request(row), .. }
        if RequestKind::parse(&row.kind) == Some(RequestKind::OrchestratorStop)
            && matches!(row.status, RequestStatus::Accepted | RequestStatus::Done))
}
