//! Leases: a row before the driver is called, granted with a fence, given back without fail.

mod give_back;
mod keep;
mod line;
mod local;
mod renew;

use serde_json::{Value, json};
use wharf_model::rules::lease as rule;
use wharf_model::{
    ActionId, ActionKind, ActionStatus, CleanupStatus, EnvironmentRow, LeaseEnd, LeaseId, LeasePolicy, LeaseRow,
    LeaseStatus, ProjectId, RequestId, RunId, RunRow, RunStatus, Step, StepId, StepRow, StepStatus, UnixMillis,
    WorkspaceId,
};

use super::{Deciding, about, environment, finish, steps};
use crate::dispatch::input::Actor;
use crate::environment::driver::Queue;

pub(crate) use give_back::{give_back, park, release_failed, released};
pub(crate) use keep::place_gone;
pub(crate) use keep::{at_end_of_run, laid_by, over as keeping_over};
pub(crate) use line::{promote, wait_over};
pub(crate) use local::ensure_local;
pub(crate) use renew::{begin, extended, look, not_extended, observed};

/// How long a run waits for a slot, or in a queue of the provider: as long as in the queue of runs (contracts 5).
const WAIT_MS: i64 = 24 * 60 * 60_000;
/// Time after which no call of a driver for a lease is still under way (`run/lease.rs`).
const CALL_OVER_MS: i64 = 5 * 60_000;
/// Time in which a driver acquires (contracts 5).
const ACQUIRING_MS: i64 = 5 * 60_000;

/// Asks for a lease. The row stands before anybody is called; without a free slot it waits in line.
pub(crate) fn ask(d: &mut Deciding<'_, '_>, run_id: RunId, environment: &EnvironmentRow) {
    let Some(run) = d.tx.get::<RunRow>(run_id).cloned() else { return };
    if d.state().open_leases_of(run_id).any(|l| l.environment_id == environment.id) {
        return;
    }
    let id: LeaseId = d.id();
    let now = d.now();
    let waits = !line::has_room(d, environment);
    // What is kept goes over before the new row stands: two open leases never hold one place.
    let workspace = run.issue_id.and_then(|i| d.state().issues.get(&i)).and_then(|i| i.execution_workspace_id);
    let kept = if waits { None } else { keep::hand_over(d, environment, workspace, id) };
    let number = d.tx.next_number("lease");
    let status = if waits { LeaseStatus::Waiting } else { LeaseStatus::Acquiring };
    let mut row = LeaseRow {
        run_id: Some(run_id),
        issue_id: run.issue_id,
        execution_workspace_id: workspace,
        deadline_at: Some(now.plus(WAIT_MS)),
        ..LeaseRow::asked(id, number, environment, status, now)
    };
    if !waits {
        grant(d, &mut row, environment, kept);
    }
    d.tx.put(row.clone());
    d.tx.update::<RunRow>(run_id, |r| r.lease_id = Some(id));
    if waits {
        line::wait(d, &row, environment);
    } else {
        d.intend(ActionKind::AcquireLease, "lease", &id.text(), 1, row.fence, None);
    }
}

/// Fills in what a grant of a slot gives: the fence, the settings of now, and what an earlier lease left.
fn grant(d: &mut Deciding<'_, '_>, row: &mut LeaseRow, environment: &EnvironmentRow, kept: Option<LeaseRow>) {
    let mut fence = 0;
    d.tx.update::<EnvironmentRow>(environment.id, |e| {
        e.fence_counter += 1;
        fence = e.fence_counter;
    });
    row.status = LeaseStatus::Acquiring;
    row.fence = Some(fence);
    row.config = Some(environment.driver_config());
    if row.run_id.is_some() {
        row.lease_policy = environment.lease_policy;
    }
    row.deadline_at = Some(d.now().plus(ACQUIRING_MS));
    if let Some(kept) = kept {
        row.resumed_from = Some(kept.id);
        row.provider = kept.provider;
        row.provider_lease_id = kept.provider_lease_id;
        row.metadata = kept.metadata;
    }
}

/// What a driver granted.
pub(crate) struct Granted<'a> {
    /// Who provides it.
    pub provider: &'a str,
    /// The provider's own id of it.
    pub provider_lease_id: Option<&'a str>,
    /// When the provider takes it back.
    pub expires_at: Option<UnixMillis>,
    /// The driver's own.
    pub facts: &'a Value,
    /// It is what an earlier lease held.
    pub resumed: bool,
}

impl Granted<'_> {
    fn write(&self, l: &mut LeaseRow, now: UnixMillis) {
        self.provider.clone_into(&mut l.provider);
        l.provider_lease_id = self.provider_lease_id.map(str::to_owned);
        l.acquired_at = Some(now);
        l.queue = None;
        if !self.facts.is_null() {
            l.metadata = Some(self.facts.clone());
        }
        if !self.resumed {
            l.resumed_from = None;
        }
    }
}

/// The driver granted it.
pub(crate) fn acquired(d: &mut Deciding<'_, '_>, action: ActionId, id: LeaseId, granted: &Granted<'_>) {
    d.end_action(action, ActionStatus::Done, None);
    let Some(lease) = d.tx.get::<LeaseRow>(id).cloned() else { return };
    let now = d.now();
    if matches!(lease.status, LeaseStatus::PendingCleanup | LeaseStatus::Releasing) && lease.acquired_at.is_none() {
        // Granted after all: nobody waits for it any more, but now it can be named when it is given back.
        d.tx.update::<LeaseRow>(id, |l| granted.write(l, now));
        if lease.status == LeaseStatus::PendingCleanup {
            give_back(d, id, LeaseEnd::Failed, None);
        }
        return;
    }
    if lease.status != LeaseStatus::Acquiring {
        return;
    }
    if let Some(other) = held_by_another(d, &lease, granted) {
        // It is not given back: that would take it from who holds it.
        let number = wharf_model::Kind::Lease.number(other);
        let message = format!("the provider gave what {number} holds a second time");
        d.tx.update::<LeaseRow>(id, |l| {
            l.status = LeaseStatus::Failed;
            l.end_reason = Some(LeaseEnd::Failed);
            l.failure_reason = Some(message.clone());
            l.released_at = Some(now);
            l.deadline_at = None;
            l.provider_lease_id = None;
        });
        give_back::ended_without(d, id);
        not_had(d, &lease, "lease_acquire_failed", &message);
        return;
    }
    let of_lease = d.state().environments.get(&lease.environment_id).cloned();
    let ttl = of_lease.as_ref().map_or(600_000, |e| e.ttl_ms);
    // A local lease lives as long as its run: there is nobody who could take it back.
    let lives = of_lease.as_ref().is_none_or(|e| e.driver != wharf_model::Driver::Local);
    d.tx.update::<LeaseRow>(id, |l| {
        granted.write(l, now);
        l.status = LeaseStatus::Active;
        l.last_used_at = Some(now);
        l.expires_at = granted.expires_at.or(lives.then(|| now.plus(ttl)));
        l.renew_at = lives.then(|| rule::renew_at(now, ttl));
        l.deadline_at = None;
    });
    let Some(lease) = d.tx.get::<LeaseRow>(id).cloned() else { return };
    let details = json!({
        "environmentId": lease.environment_id.text(),
        "driver": of_lease.as_ref().map(|e| e.driver.as_str()),
        "leasePolicy": lease.lease_policy.as_str(), "provider": lease.provider, "providerLeaseId": lease.provider_lease_id,
        "executionWorkspaceId": lease.execution_workspace_id.map(WorkspaceId::text),
        "issueId": lease.issue_id.map(wharf_model::IssueId::text), "fence": lease.fence, "resumed": granted.resumed,
    });
    d.activity(&Actor::system(), "environment.lease_acquired", &of(d, &lease), Some(details));
    let Some(run) = lease.run_id.and_then(|r| d.tx.get::<RunRow>(r)).cloned() else {
        let wanted = lease.request_id.is_some_and(|request| environment::try_out(d, id, request));
        if !wanted {
            give_back(d, id, LeaseEnd::Released, None);
        }
        return;
    };
    if run.status != RunStatus::Running || run.step != Some(Step::Acquire) {
        give_back(d, id, LeaseEnd::Released, None);
        return;
    }
    d.tx.update::<RunRow>(run.id, |r| r.fence = lease.fence);
    let number = wharf_model::Kind::Lease.number(lease.number);
    let outcome = if granted.resumed { format!("{number} resumed") } else { number };
    steps::end(d, run.id, Step::Acquire, StepStatus::Succeeded, outcome);
    steps::realise(d, run.id);
}

/// The open lease of the same environment that holds what is granted, if there is one.
fn held_by_another(d: &Deciding<'_, '_>, lease: &LeaseRow, granted: &Granted<'_>) -> Option<i64> {
    let place = granted.provider_lease_id?;
    let holds = |l: &&LeaseRow| {
        l.id != lease.id
            && l.environment_id == lease.environment_id
            && !l.status.is_terminal()
            && l.provider_lease_id.as_deref() == Some(place)
    };
    d.state().leases.values().find(holds).map(|l| l.number)
}

/// Changes a lease that has not ended; one that has stays as it is.
pub(crate) fn while_open(d: &mut Deciding<'_, '_>, id: LeaseId, change: impl FnOnce(&mut LeaseRow)) {
    if d.tx.get::<LeaseRow>(id).is_some_and(|l| !l.status.is_terminal()) {
        d.tx.update::<LeaseRow>(id, change);
    }
}

/// How a lease names itself in the audit trail, with the project of its run.
pub(crate) fn of(d: &Deciding<'_, '_>, lease: &LeaseRow) -> super::About {
    about::lease(lease, project(d, lease))
}

fn project(d: &Deciding<'_, '_>, lease: &LeaseRow) -> Option<ProjectId> {
    lease.run_id.and_then(|r| d.state().runs.get(&r)).map(|r| r.project_id)
}

/// The provider has a queue of its own, and the lease stands in it.
pub(crate) fn queued(d: &mut Deciding<'_, '_>, id: LeaseId, queue: &Queue) {
    let Some(lease) = d.tx.get::<LeaseRow>(id).filter(|l| l.status == LeaseStatus::Acquiring).cloned() else { return };
    let now = d.now();
    let first = lease.queue.is_none();
    d.tx.update::<LeaseRow>(id, |l| {
        l.queue = serde_json::to_value(queue).ok();
        if l.provider_lease_id.is_none() {
            l.provider_lease_id.clone_from(&queue.provider_lease_id);
        }
        if first {
            l.deadline_at = Some(now.plus(WAIT_MS));
        }
    });
    let waits = |r: &RunRow| r.status == RunStatus::Running && r.step == Some(Step::Acquire) && r.lease_id == Some(id);
    let wanted = match (lease.run_id, lease.request_id) {
        (Some(run), _) => d.tx.get::<RunRow>(run).is_some_and(waits),
        (None, Some(request)) => d.state().requests.get(&request).is_some_and(|r| !r.status.is_terminal()),
        (None, None) => false,
    };
    if !wanted {
        leave_queue(d, id);
        return;
    }
    if let (true, Some(run)) = (first, lease.run_id) {
        waiting_step(d, run);
        let place = queue.position.map_or_else(String::new, |n| format!(", place {n}"));
        d.tx.event(run, "lease", "info", format!("queued at the provider: {}{place}", queue.reason), None);
    }
}

/// The step waits as long as its lease does, which has a deadline of its own.
fn waiting_step(d: &mut Deciding<'_, '_>, run: RunId) {
    d.tx.update::<StepRow>(StepId(run, Step::Acquire), |s| s.deadline_at = None);
}

/// The driver refused.
pub(crate) fn refused(d: &mut Deciding<'_, '_>, action: ActionId, id: LeaseId, code: &str, message: &str) {
    // An earlier try may have had an answer that was lost: then this one proves nothing about that.
    let once = d.state().actions.get(&action).is_some_and(|a| a.tries <= 1);
    d.end_action(action, ActionStatus::Failed, Some(message.to_owned()));
    let Some(lease) = d.tx.get::<LeaseRow>(id).cloned() else { return };
    if lease.status != LeaseStatus::Acquiring {
        return;
    }
    let now = d.now();
    if !once || lease.provider_lease_id.is_some() || lease.queue.is_some() {
        // There is something at the provider already: what an earlier lease left, or a place in its queue.
        cleanup(d, id, message);
        give_back(d, id, LeaseEnd::Failed, Some(message.to_owned()));
    } else {
        d.tx.update::<LeaseRow>(id, |l| {
            l.status = LeaseStatus::Failed;
            l.end_reason = Some(LeaseEnd::Failed);
            l.failure_reason = Some(message.to_owned());
            l.released_at = Some(now);
            l.deadline_at = None;
            l.queue = None;
        });
        give_back::ended_without(d, id);
    }
    not_had(d, &lease, code, message);
}

/// Whoever waits for the lease is told that it will not come.
fn not_had(d: &mut Deciding<'_, '_>, lease: &LeaseRow, code: &str, message: &str) {
    if let Some(run) = lease.run_id {
        let waits = |r: &RunRow| r.step == Some(Step::Acquire) && r.lease_id == Some(lease.id);
        if d.tx.get::<RunRow>(run).is_some_and(waits) {
            let detail = d
                .state()
                .environments
                .get(&lease.environment_id)
                .map_or(Value::Null, |e| steps::environment_detail(e, Some(message)));
            finish::setup_failed(d, run, Step::Acquire, code, message, detail);
        }
    }
    if let Some(request) = lease.request_id {
        super::request::failed(d, request, code, message);
    }
}

/// What a driver did is not known, or it has a part of it: it is given back as if granted.
fn cleanup(d: &mut Deciding<'_, '_>, id: LeaseId, message: &str) {
    // Not before the driver's last call is certainly over: what that makes must be there to be removed.
    let next = d.now().plus(CALL_OVER_MS);
    d.tx.update::<LeaseRow>(id, |l| {
        l.status = LeaseStatus::PendingCleanup;
        l.end_reason = Some(LeaseEnd::Failed);
        l.failure_reason.get_or_insert_with(|| message.to_owned());
        l.cleanup_status = Some(CleanupStatus::Pending);
        l.cleanup_attempts += 1;
        l.next_try_at = Some(next);
        l.deadline_at = None;
        l.queue = None;
    });
    give_back::supersede_actions(d, id);
    if let Some(lease) = d.tx.get::<LeaseRow>(id).cloned() {
        let details = json!({ "code": "lease_acquire_failed", "error": message, "attempt": 0 });
        d.activity(&Actor::system(), "environment.lease_cleanup_failed", &of(d, &lease), Some(details));
    }
}

/// The driver has not answered in time. What it did is not known, so the lease is given back as if granted.
pub(crate) fn unanswered(d: &mut Deciding<'_, '_>, id: LeaseId) {
    let Some(lease) = d.tx.get::<LeaseRow>(id).filter(|l| l.status == LeaseStatus::Acquiring).cloned() else { return };
    let (code, message) = match &lease.queue {
        _ if lease.end_reason.is_some() => ("lease_acquire_failed", "nobody waits for it any more".to_owned()),
        Some(queue) => {
            let why = queue["reason"].as_str().unwrap_or("it did not say why");
            ("lease_wait_deadline", format!("it stood in the provider's queue for a day: {why}"))
        }
        None => ("lease_acquire_failed", "the driver did not answer in time".to_owned()),
    };
    cleanup(d, id, &message);
    not_had(d, &lease, code, &message);
}

/// Whether a lease whose driver did not answer waits for another try that nobody wants: it is cleaned up after instead.
fn nobody_asks(d: &mut Deciding<'_, '_>, id: LeaseId) -> bool {
    let text = id.text();
    let rests = d
        .state()
        .actions
        .values()
        .any(|a| a.kind == ActionKind::AcquireLease && a.entity_id == text && a.status == ActionStatus::Pending);
    let acquiring = d.tx.get::<LeaseRow>(id).is_some_and(|l| l.status == LeaseStatus::Acquiring);
    if rests && acquiring {
        cleanup(d, id, "nobody waits for it any more");
        give_back(d, id, LeaseEnd::Failed, None);
    }
    rests && acquiring
}

/// Nobody waits for a lease that stands in the provider's queue any more. Its executor, which may be asking at this
/// moment, is told so at its next word and reports back; only then can all that it got be given back.
pub(crate) fn leave_queue(d: &mut Deciding<'_, '_>, id: LeaseId) {
    let soon = d.now().plus(ACQUIRING_MS);
    d.tx.update::<LeaseRow>(id, |l| {
        if l.status == LeaseStatus::Acquiring && l.queue.is_some() {
            l.end_reason = Some(LeaseEnd::Failed);
            l.failure_reason = Some("nobody waits for it any more".into());
            l.deadline_at = Some(soon);
        }
    });
}

/// Asks for a lease that no run holds: for a test, by the request that it belongs to. It stands in line as a run does.
pub(crate) fn ask_for_request(d: &mut Deciding<'_, '_>, request: RequestId, environment: &EnvironmentRow) -> LeaseId {
    let id: LeaseId = d.id();
    let number = d.tx.next_number("lease");
    let now = d.now();
    let waits = !line::has_room(d, environment);
    let status = if waits { LeaseStatus::Waiting } else { LeaseStatus::Acquiring };
    let mut row = LeaseRow {
        request_id: Some(request),
        deadline_at: Some(now.plus(WAIT_MS)),
        // Whatever a test leaves behind is of no use to anybody.
        lease_policy: LeasePolicy::Ephemeral,
        ..LeaseRow::asked(id, number, environment, status, now)
    };
    if !waits {
        grant(d, &mut row, environment, None);
    }
    d.tx.put(row.clone());
    if !waits {
        d.intend(ActionKind::AcquireLease, "lease", &id.text(), 1, row.fence, None);
    }
    id
}
