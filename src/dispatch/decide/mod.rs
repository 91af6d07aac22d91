//! The pure core: one input, one moment, a state; out come the rows to write and the actions to perform.
//!
//! Nothing here reads a clock, a file or a process. Ids come from the caller, so that a seeded
//! schedule decides the same way twice.

/// Whether a test has switched a fault on here; never so outside tests.
macro_rules! mutant {
    ($fault:ident) => {{
        #[cfg(test)]
        let on = $crate::dispatch::simulate::mutant::is_on($crate::dispatch::simulate::mutant::Mutant::$fault);
        #[cfg(not(test))]
        let on = false;
        on
    }};
}

pub(crate) mod about;
pub mod agent_message;
pub mod cancel;
pub mod claim;
pub mod config;
mod environment;
mod environment_choice;
pub mod finish;
pub mod gc;
mod issue;
pub mod late;
mod lease;
mod lease_verb;
mod limits;
pub mod occurrence;
pub(crate) mod place;
mod ready_comment;
pub mod release;
pub mod request;
pub mod resolve;
pub mod retry;
mod run_checkout;
pub mod run_start;
pub mod seal;
pub(crate) mod service;
mod session;
pub mod steps;
pub mod store;
pub mod sweep;
pub mod workspace;

pub(crate) use service::is_configured;

use serde_json::Value;
use uuid::Uuid;
use wharf_model::state::{Decided, State, Tx};
use wharf_model::{
    ActionId, ActionKind, ActionRow, ActionStatus, ActivityId, ActivityRow, CompanyId, ProjectId, RunId, UnixMillis,
};

use super::input::{Actor, Fact, Input};

/// Where new ids come from.
pub type NewId<'a> = &'a mut dyn FnMut() -> Uuid;

/// One decision under way.
pub struct Deciding<'a, 'i> {
    /// The changes so far, over the state.
    pub tx: Tx<'a>,
    new_id: NewId<'i>,
}

/// What an entity is, for the audit trail and for actions.
#[derive(Debug, Clone)]
pub struct About {
    /// Kind in a word.
    pub entity: &'static str,
    /// UUID.
    pub id: String,
    /// Number for people.
    pub number: Option<String>,
    /// Company.
    pub company: CompanyId,
    /// Project.
    pub project: Option<ProjectId>,
    /// Run concerned.
    pub run: Option<RunId>,
}

impl Deciding<'_, '_> {
    /// The moment of the decision.
    pub fn now(&self) -> UnixMillis {
        self.tx.now
    }

    /// The state as changed so far.
    pub fn state(&self) -> &State {
        self.tx.state()
    }

    /// A fresh id.
    pub fn id<T: From<Uuid>>(&mut self) -> T {
        T::from((self.new_id)())
    }

    /// Adds a row of the audit trail.
    pub fn activity(&mut self, actor: &Actor, action: &str, about: &About, details: Option<Value>) {
        let id: ActivityId = self.id();
        let created_at = self.now();
        let agent_id = about.run.and_then(|run| self.state().runs.get(&run)).map(|run| run.agent_id);
        self.tx.activity(ActivityRow {
            id,
            company_id: about.company,
            project_id: about.project,
            actor_type: actor.kind,
            actor_id: actor.id.clone(),
            action: action.to_owned(),
            entity_type: about.entity.to_owned(),
            entity_id: about.id.clone(),
            entity_number: about.number.clone(),
            run_id: about.run,
            agent_id,
            details,
            created_at,
        });
    }

    /// Intends an effect; it is performed once this decision is durable.
    pub fn intend(
        &mut self,
        kind: ActionKind,
        entity: &str,
        id: &str,
        attempt: u32,
        fence: Option<i64>,
        args: Option<Value>,
    ) -> ActionId {
        let action: ActionId = self.id();
        let epoch = self.state().epoch;
        let now = self.now();
        self.tx.put(ActionRow {
            id: action,
            kind,
            entity_type: entity.to_owned(),
            entity_id: id.to_owned(),
            attempt,
            fence,
            epoch_created: epoch,
            // Performing at once: the commit that holds this row is what allows the effect.
            status: ActionStatus::Performing,
            tries: 1,
            next_try_at: None,
            last_error: None,
            args,
            version: 0,
            created_at: now,
            updated_at: now,
        });
        action
    }

    /// Ends an action; says whether it was still open.
    pub fn end_action(&mut self, action: ActionId, status: ActionStatus, error: Option<String>) -> bool {
        let open = self.tx.get::<ActionRow>(action).is_some_and(|a| is_open(a.status));
        if open {
            self.tx.update::<ActionRow>(action, |a| {
                a.status = status;
                a.last_error = error;
                a.next_try_at = None;
            });
        }
        open
    }
}

/// Performs the waiting actions of this kind at once: what they are about is to be stopped, and
/// their executor must look at it again, so that nobody waits for a retry that nobody wants.
pub(crate) fn hurry(d: &mut Deciding<'_, '_>, kind: ActionKind, entity_id: &str) {
    let waiting: Vec<ActionId> = d
        .state()
        .actions
        .values()
        .filter(|a| a.kind == kind && a.entity_id == entity_id && a.status == ActionStatus::Pending)
        .map(|a| a.id)
        .collect();
    for id in waiting {
        d.tx.update::<ActionRow>(id, |a| {
            a.status = ActionStatus::Performing;
            a.next_try_at = None;
        });
    }
}

/// Whether an action is still to be performed or being performed.
pub fn is_open(status: ActionStatus) -> bool {
    matches!(status, ActionStatus::Pending | ActionStatus::Performing)
}

/// Decides one input and makes the changes in `state`.
///
/// The caller writes the changes; if the store refuses them it takes them back with
/// [`Decided::take_back`]. A change that the table of legality forbids is a defect: the input's
/// changes are taken back here, the defect is returned beside an empty decision.
pub fn decide(state: &mut State, input: &Input, now: UnixMillis, new_id: NewId<'_>) -> (Decided, Option<String>) {
    let mut d = Deciding { tx: Tx::new(state, now), new_id };
    match input {
        Input::Begin => sweep::begin(&mut d),
        Input::Sweep => sweep::overdue(&mut d),
        Input::Request(row, prepared) => {
            if let Err(refusal) = request::accept(&mut d, row, prepared) {
                let Deciding { tx, new_id } = d;
                tx.roll_back();
                d = Deciding { tx: Tx::new(state, now), new_id };
                request::refuse(&mut d, row, &refusal);
                return done(d);
            }
        }
        Input::Fact(fact) => on_fact(&mut d, fact),
        Input::Occurred(occurrence) => occurrence::occurred(&mut d, occurrence),
    }
    // Whoever waits for a slot comes before those who are only about to ask for one.
    lease::promote(&mut d);
    service::settle(&mut d);
    service::count_down(&mut d);
    claim::claim_ready(&mut d);
    workspace::carry_on(&mut d);
    request::settle(&mut d);
    done(d)
}

/// Refuses a request outside a decision of its own: the one it would have had broke a rule.
pub fn refuse(
    state: &mut State,
    row: &wharf_model::RequestRow,
    refusal: &super::input::Refusal,
    now: UnixMillis,
    new_id: NewId<'_>,
) -> Decided {
    let mut d = Deciding { tx: Tx::new(state, now), new_id };
    request::refuse(&mut d, row, refusal);
    done(d).0
}

fn done(d: Deciding<'_, '_>) -> (Decided, Option<String>) {
    match d.tx.finish() {
        Ok(decided) => (decided, None),
        Err(illegal) => (Decided::nothing(), Some(illegal.to_string())),
    }
}

fn on_fact(d: &mut Deciding<'_, '_>, fact: &Fact) {
    // Recorded, and given to those who close what was intended; by attempt and status none of them changes the run.
    if late::note(d, fact) {
        return;
    }
    match fact {
        Fact::LeaseAcquired { action, lease, provider, provider_lease_id, expires_at, facts, resumed } => {
            let granted = lease::Granted {
                provider,
                provider_lease_id: provider_lease_id.as_deref(),
                expires_at: *expires_at,
                facts,
                resumed: *resumed,
            };
            lease::acquired(d, *action, *lease, &granted);
        }
        Fact::LeaseQueued { lease, queue } => lease::queued(d, *lease, queue),
        Fact::LeasePlaceGone { lease } => lease::place_gone(d, *lease),
        Fact::LeaseRefused { action, lease, code, message } => lease::refused(d, *action, *lease, code, message),
        Fact::LeaseLaidBy { action, lease, failed } => lease::laid_by(d, *action, *lease, failed.as_deref()),
        Fact::LeaseExtended { action, lease, until } => lease::extended(d, *action, *lease, *until),
        Fact::LeaseNotExtended { action, lease, latest, message } => {
            lease::not_extended(d, *action, *lease, *latest, message);
        }
        Fact::LeaseObserved { action, lease, seen } => lease::observed(d, *action, *lease, seen),
        Fact::EnvironmentProbed { action, checks, took_ms } => environment::probed(d, *action, checks, *took_ms),
        Fact::EnvironmentTested { action, lease, checks, took_ms } => {
            environment::tested(d, *action, *lease, checks, *took_ms);
        }
        Fact::LeaseReleased { action, lease } => lease::released(d, *action, *lease),
        Fact::LeaseReleaseFailed { action, lease, message } => lease::release_failed(d, *action, *lease, message),
        Fact::WorkspacePlanned { run, attempt, plan } => workspace::planned(d, *run, *attempt, plan),
        Fact::OperationPlanned { run, attempt, operation } => {
            workspace::operation_planned(d, *run, *attempt, operation);
        }
        // Told beside the rows: what a start has found, what waits for the disk. Of a move only the answer counts.
        Fact::OperationObserved { .. } | Fact::DiskWaited { .. } | Fact::WorkspaceMoves { .. } => {}
        Fact::OperationProgress { operation, text } => workspace::operation_goes_on(d, *operation, text),
        Fact::OperationEnded { operation, end } => {
            // What was skipped, and what needs no process, has no log.
            let has_log = |o: &wharf_model::OperationRow| o.log_ref.is_some();
            if end.status != wharf_model::OperationStatus::Skipped && d.tx.get(*operation).is_none_or(has_log) {
                seal::ended(d, "operation", &operation.text(), workspace::OPERATION_ATTEMPT);
            }
            workspace::operation_ended(d, *operation, end);
        }
        Fact::WorkspaceRealised { action, run, attempt, cwd, created, branch_created, base, note, realisation } => {
            let made = workspace::Made {
                cwd,
                created: *created,
                branch_created: *branch_created,
                base: base.as_ref(),
                note,
                realisation: realisation.as_deref(),
            };
            workspace::realised(d, *action, *run, *attempt, &made);
        }
        Fact::WorkspaceFailed { action, run, attempt, message, cause, stands } => {
            let why = (message.as_str(), cause.as_deref());
            workspace::failed(d, *action, *run, *attempt, why, stands.as_deref());
        }
        Fact::RunStarted { run, attempt, child, boot_id, at, adopted, limits: caps } => {
            steps::started(d, *run, *attempt, *child, boot_id, *at, *adopted);
            limits::told(d, *run, *attempt, caps.as_deref());
        }
        Fact::RunEnded { action, run, attempt, exit, output, collected } => {
            finish::ended(d, *action, *run, *attempt, exit, output, collected.as_ref());
        }
        Fact::RunNotStarted { action, run, attempt, code, message } => {
            finish::not_started(d, *action, *run, *attempt, code, message);
        }
        Fact::RunLost { action, run, attempt, evidence, output, collected } => {
            finish::lost(d, *action, *run, *attempt, evidence, output, collected.as_ref());
        }
        Fact::RunObserved { run, attempt, unknown } => steps::observed(d, *run, *attempt, unknown.as_deref()),
        Fact::RunCheckout { run, attempt, moment, head } => {
            run_checkout::told(d, *run, *attempt, *moment, head.as_deref());
        }
        Fact::RunNoted { run, attempt, note } => steps::noted(d, *run, *attempt, note.as_deref()),
        Fact::SnapshotTaken { action, workspace, snapshot } => workspace::taken(d, *action, *workspace, snapshot),
        Fact::WorkspaceParked { action, workspace, place } => workspace::parked(d, *action, *workspace, place),
        Fact::WorkspaceArchived { action, workspace, gone } => workspace::archived(d, *action, *workspace, gone),
        Fact::WorkspaceRestored { action, workspace, back } => workspace::restored(d, *action, *workspace, back),
        Fact::WorkspaceWorkFailed { action, workspace, message, in_place } => {
            workspace::work_failed(d, *action, *workspace, message, *in_place);
        }
        Fact::WorkspaceSeen { workspace, version, there } => workspace::seen(d, *workspace, *version, *there),
        Fact::TrashEmptied { action } => workspace::emptied(d, *action),
        Fact::LogSealed { action, run, log_sha256, stdout_sha256, stderr_sha256, log_bytes } => {
            let hashes =
                seal::Hashes { log: log_sha256, stdout: stdout_sha256, stderr: stderr_sha256, bytes: *log_bytes };
            seal::hashed(d, *action, *run, &hashes);
        }
        Fact::LogCompressed { action, run } => seal::compressed(d, *action, *run),
        Fact::ServicePortReserved { service, generation, port, url } => {
            service::port_reserved(d, *service, *generation, *port, url.clone());
        }
        Fact::ServiceStarted { service, generation, child, port, url, fingerprint, adopted } => {
            let seen = service::Started { child: *child, port: *port, url, fingerprint, adopted: *adopted };
            service::started(d, *service, *generation, &seen);
        }
        Fact::ServiceReady { service, generation } => service::ready(d, *service, *generation),
        Fact::ServiceHealth { service, generation, health, evidence } => {
            service::health_seen(d, *service, *generation, *health, evidence.as_deref());
        }
        Fact::OwnOperationPlanned { owner, operation } => workspace::own_operation_planned(d, owner, operation),
        Fact::ServiceEnded { action, service, generation, exit, code, message } => {
            service::ended(d, *action, *service, *generation, exit.as_deref(), code.clone(), message.clone());
        }
        Fact::AgentSaid { run, attempt, seq, message_id, kind, body } => {
            let said = agent_message::Said { attempt: *attempt, seq: *seq, message_id, kind, body };
            agent_message::said(d, *run, &said);
        }
        Fact::StoreBackedUp { action, path, bytes } => store::backed_up(d, *action, path, *bytes),
        Fact::StoreNotBackedUp { action, code, message } => store::not_backed_up(d, *action, code, message),
        Fact::StoreDamageFound { finding } => store::damage_found(d, finding),
        Fact::ActionDone { action } => {
            d.end_action(*action, ActionStatus::Done, None);
        }
        Fact::ActionFailed { action, error } => sweep::action_failed(d, *action, error),
    }
}
