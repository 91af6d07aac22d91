//! Requests that wait in the store, and the rows that they and late facts are about.

use std::sync::Arc;

use uuid::Uuid;
use wharf_model::state::AnyRow;
use wharf_model::{RequestKind, RequestRow, RequestStatus, RunId};
use wharf_store::StoreError;

use super::inbox::Envelope;
use super::{Loop, Pending};
use crate::clock;
use crate::dispatch::decide::{self, service};
use crate::dispatch::input::{Input, LogOwner, Prepared, Refusal};
use crate::process::kill_point::kill_point;

impl Loop {
    /// Whether another connection has committed since the last look, or that look left requests.
    pub(super) fn others_wrote(&mut self) -> Result<bool, StoreError> {
        let found = self.writer.data_version()?;
        Ok(self.data_version.replace(found) != Some(found))
    }

    pub(super) fn take_request(&mut self, batch: &mut Vec<Pending>, row: RequestRow) -> Result<(), StoreError> {
        // Answered in this very turn, whose commit is still to come: the store does not know it yet.
        let answered = self.state.requests.get(&row.id).is_some_and(|r| r.status != RequestStatus::Pending);
        if answered || self.preparing.contains(&row.id) {
            return Ok(());
        }
        kill_point("request.inserted");
        if let Some(recovering) = &mut self.recovering {
            recovering.requests += 1;
        }
        let needs = needs_reading(&row);
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

    /// Why a request to start a service is not carried out although its files were read: a later one has stopped that
    /// service meanwhile, and the last word counts. By the rows of requests, so that it holds over a reign's end: this
    /// turn's are in memory, those of before in the store.
    pub(super) fn overtaken(&self, row: &RequestRow, prepared: &Prepared) -> Result<Option<Refusal>, StoreError> {
        if !service::is_start(row) {
            return Ok(None);
        }
        let written = self.writer.answered_after(row.number, service::STOPS)?;
        let here = self.state.requests.values().filter(|r| r.number > row.number);
        Ok(service::overtaken(&self.state, row, prepared, here.chain(&written)))
    }

    /// Decides a request with what was read for it. One whose target cannot be read from the store is refused: it
    /// must end neither this reign nor, waiting in the store, every one after it.
    pub(super) fn take_prepared(
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
    pub(super) fn refuse_into(&mut self, batch: &mut Vec<Pending>, row: &RequestRow, refusal: &Refusal) {
        let mut new_id = Uuid::now_v7;
        let decided = decide::refuse(&mut self.state, row, refusal, clock::now(), &mut new_id);
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
            "workspace" => id.parse().is_ok_and(|id| self.state.workspaces.contains_key(&id)),
            _ => true,
        };
        if !here && let Some(row) = self.writer.load_entity(kind, id)? {
            self.state.load(row);
        }
        Ok(())
    }

    /// The same for an ended run, with the number of its last event, so that what comes late is kept behind it.
    /// Says whether it is here now: one that cannot be read is told and left alone.
    pub(super) fn ensure_run(&mut self, id: RunId) -> Result<bool, StoreError> {
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

    /// Loads whose log may be removed, where it has ended and left memory; says whether it is here now.
    pub(super) fn ensure_owner(&mut self, owner: LogOwner) -> Result<bool, StoreError> {
        let here = match owner {
            LogOwner::Run(id) => return self.ensure_run(id),
            LogOwner::Operation(id) => self.state.operations.contains_key(&id),
            LogOwner::Service(id, _) => self.state.services.contains_key(&id),
        };
        if here {
            return Ok(true);
        }
        match self.writer.load_entity(owner.entity(), &owner.id()) {
            Ok(Some(row)) => {
                self.state.load(row);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::error!(%error, owner = ?owner, "the row of a log cannot be read");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether something beside the store must be read before a request can be decided.
fn needs_reading(row: &RequestRow) -> bool {
    let Some(kind) = RequestKind::parse(&row.kind) else { return false };
    match kind {
        RequestKind::ServiceStart | RequestKind::ServiceRestart => {
            // Whether the directory of a service that is named by its id is there.
            row.args.get("path").is_some() || (row.target_type.as_deref() == Some("service") && row.target_id.is_some())
        }
        RequestKind::ProjectAdd | RequestKind::ConfigAccept | RequestKind::RunStart => row.args.get("path").is_some(),
        RequestKind::GcRun
        | RequestKind::IssueUpdate
        | RequestKind::WorkspaceArchive
        | RequestKind::WorkspaceSnapshot
        | RequestKind::WorkspaceRestore
        | RequestKind::WorkspaceReap => true,
        _ => false,
    }
}
