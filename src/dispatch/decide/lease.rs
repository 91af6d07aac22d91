//! Leases: a row before the driver is called, granted with a fence, given back without fail.

use serde_json::{Value, json};
use wharf_model::{
    ActionId, ActionKind, ActionStatus, CleanupStatus, CompanyId, Driver, EnvironmentId, EnvironmentRow, LeaseEnd,
    LeaseId, LeasePolicy, LeaseRow, LeaseStatus, RequestId, RunId, RunRow, RunStatus, Step, StepStatus, UnixMillis,
};

use super::{Deciding, about, environment, finish, steps};
use crate::dispatch::input::Actor;

/// Time a driver has to give a lease back.
const RELEASING_MS: i64 = 2 * 60_000;
/// First delay before a failed clean-up is tried again; doubles up to [`CLEANUP_DELAY_MAX_MS`].
const CLEANUP_DELAY_MS: i64 = 60_000;
const CLEANUP_DELAY_MAX_MS: i64 = 60 * 60_000;
/// Tries after which a clean-up waits for an operator.
pub(crate) const CLEANUP_TRIES_MAX: i64 = 12;

/// The company's own environment, made when it is first needed; there is never a second one.
pub(crate) fn ensure_local(d: &mut Deciding<'_, '_>, company: CompanyId) -> EnvironmentRow {
    let found = d.state().environments.values().find(|e| e.company_id == company && e.driver == Driver::Local).cloned();
    if let Some(found) = found {
        return found;
    }
    let id: EnvironmentId = d.id();
    let number = d.tx.next_number("environment");
    let now = d.now();
    d.tx.put(EnvironmentRow {
        description: Some("This machine, without a sandbox".into()),
        metadata: Some(json!({ "managedByWharf": true, "defaultForCompany": true })),
        ..EnvironmentRow::new(id, number, company, "Local", Driver::Local, now)
    });
    let row = d.tx.get::<EnvironmentRow>(id).cloned();
    let Some(row) = row else { unreachable!("a row that was just put is there") };
    d.activity(&Actor::system(), "environment.created", &about::environment(&row), None);
    row
}

/// Asks the driver for a lease; the row stands before the driver is called.
pub(crate) fn ask(d: &mut Deciding<'_, '_>, run_id: RunId, environment: &EnvironmentRow) {
    let Some(run) = d.tx.get::<RunRow>(run_id).cloned() else { return };
    if d.state().open_leases_of(run_id).any(|l| l.environment_id == environment.id) {
        return;
    }
    let id: LeaseId = d.id();
    let number = d.tx.next_number("lease");
    let now = d.now();
    d.tx.put(LeaseRow {
        run_id: Some(run_id),
        issue_id: run.issue_id,
        deadline_at: Step::Acquire.deadline_ms().map(|ms| now.plus(ms)),
        metadata: Some(json!({ "driver": environment.driver.as_str() })),
        ..LeaseRow::asked(id, number, environment, LeaseStatus::Acquiring, now)
    });
    d.tx.update::<RunRow>(run_id, |r| r.lease_id = Some(id));
    d.intend(ActionKind::AcquireLease, "lease", &id.text(), run.attempt, None, None);
}

/// What a driver granted.
pub(crate) struct Granted<'a> {
    /// The provider's own id of it.
    pub provider_lease_id: Option<&'a str>,
    /// When the provider takes it back.
    pub expires_at: Option<UnixMillis>,
    /// The driver's own.
    pub facts: &'a Value,
}

/// The driver granted it.
pub(crate) fn acquired(d: &mut Deciding<'_, '_>, action: ActionId, id: LeaseId, granted: Granted<'_>) {
    let Granted { provider_lease_id, expires_at, facts } = granted;
    d.end_action(action, ActionStatus::Done, None);
    let Some(lease) = d.tx.get::<LeaseRow>(id).cloned() else { return };
    if lease.status == LeaseStatus::PendingCleanup && lease.acquired_at.is_none() {
        // Granted after all: nobody waits for it any more, but now it can be named when it is given back.
        let now = d.now();
        d.tx.update::<LeaseRow>(id, |l| {
            l.provider_lease_id = provider_lease_id.map(str::to_owned);
            l.acquired_at = Some(now);
            l.metadata = Some(facts.clone());
        });
        give_back(d, id, LeaseEnd::Failed, None);
        return;
    }
    if lease.status != LeaseStatus::Acquiring {
        return;
    }
    let now = d.now();
    let mut fence = 0;
    d.tx.update::<EnvironmentRow>(lease.environment_id, |e| {
        e.fence_counter += 1;
        fence = e.fence_counter;
    });
    let ttl = d.state().environments.get(&lease.environment_id).map_or(600_000, |e| e.ttl_ms);
    d.tx.update::<LeaseRow>(id, |l| {
        l.status = LeaseStatus::Active;
        l.fence = Some(fence);
        l.provider_lease_id = provider_lease_id.map(str::to_owned);
        l.acquired_at = Some(now);
        l.last_used_at = Some(now);
        // A local lease lives as long as its run; only a provider's own expiry is kept here.
        l.expires_at = expires_at.or((l.provider != "local").then(|| now.plus(ttl)));
        l.deadline_at = None;
        l.metadata = Some(facts.clone());
    });
    let project = lease.run_id.and_then(|r| d.state().runs.get(&r)).map(|r| r.project_id);
    let details = json!({
        "environmentId": lease.environment_id.text(), "driver": lease.provider, "leasePolicy": lease.lease_policy.as_str(),
        "provider": lease.provider, "issueId": lease.issue_id.map(wharf_model::IssueId::text), "fence": fence,
    });
    d.activity(&Actor::system(), "environment.lease_acquired", &about::lease(&lease, project), Some(details));
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
    d.tx.update::<RunRow>(run.id, |r| r.fence = Some(fence));
    steps::end(d, run.id, Step::Acquire, StepStatus::Succeeded, wharf_model::Kind::Lease.number(lease.number));
    steps::realise(d, run.id);
}

/// The driver refused.
pub(crate) fn refused(d: &mut Deciding<'_, '_>, action: ActionId, id: LeaseId, code: &str, message: &str) {
    d.end_action(action, ActionStatus::Failed, Some(message.to_owned()));
    let Some(lease) = d.tx.get::<LeaseRow>(id).cloned() else { return };
    if lease.status != LeaseStatus::Acquiring {
        return;
    }
    let now = d.now();
    d.tx.update::<LeaseRow>(id, |l| {
        l.status = LeaseStatus::Failed;
        l.end_reason = Some(LeaseEnd::Failed);
        l.failure_reason = Some(message.to_owned());
        l.released_at = Some(now);
        l.deadline_at = None;
    });
    if let Some(run) = lease.run_id {
        let detail = d
            .state()
            .environments
            .get(&lease.environment_id)
            .map_or(Value::Null, |e| steps::environment_detail(e, Some(message)));
        finish::setup_failed(d, run, Step::Acquire, code, message, detail);
    }
}

/// The driver has not answered in time. What it did is not known, so the lease is given back as if granted.
pub(crate) fn unanswered(d: &mut Deciding<'_, '_>, id: LeaseId) {
    let Some(lease) = d.tx.get::<LeaseRow>(id).filter(|l| l.status == LeaseStatus::Acquiring).cloned() else { return };
    let message = "the driver did not answer in time";
    let next = d.now().plus(CLEANUP_DELAY_MS);
    d.tx.update::<LeaseRow>(id, |l| {
        l.status = LeaseStatus::PendingCleanup;
        l.end_reason = Some(LeaseEnd::Failed);
        l.failure_reason = Some(message.to_owned());
        l.cleanup_status = Some(CleanupStatus::Pending);
        l.next_try_at = Some(next);
        l.deadline_at = None;
    });
    supersede_actions(d, id);
    if let Some(run) = lease.run_id {
        let waits = |r: &RunRow| r.step == Some(Step::Acquire) && r.lease_id == Some(id);
        if d.tx.get::<RunRow>(run).is_some_and(waits) {
            finish::setup_failed(d, run, Step::Acquire, "lease_acquire_failed", message, Value::Null);
        }
    }
}

/// Nothing more is expected of what was asked of the driver so far.
fn supersede_actions(d: &mut Deciding<'_, '_>, id: LeaseId) {
    let text = id.text();
    let open: Vec<ActionId> = d
        .state()
        .actions
        .values()
        .filter(|a| a.entity_type == "lease" && a.entity_id == text && super::is_open(a.status))
        .map(|a| a.id)
        .collect();
    for action in open {
        d.end_action(action, ActionStatus::Superseded, None);
    }
}

/// Begins to give a lease back, with the end it will have.
pub(crate) fn give_back(d: &mut Deciding<'_, '_>, id: LeaseId, end: LeaseEnd, reason: Option<String>) {
    let Some(lease) = d.tx.get::<LeaseRow>(id).cloned() else { return };
    let now = d.now();
    match lease.status {
        LeaseStatus::Active | LeaseStatus::Retained | LeaseStatus::PendingCleanup => {
            d.tx.update::<LeaseRow>(id, |l| {
                l.status = LeaseStatus::Releasing;
                l.end_reason.get_or_insert(end);
                if l.failure_reason.is_none() {
                    l.failure_reason = reason;
                }
                l.deadline_at = Some(now.plus(RELEASING_MS));
                l.next_try_at = None;
                l.cleanup_attempts += 1;
            });
            supersede_actions(d, id);
            d.intend(ActionKind::ReleaseLease, "lease", &id.text(), 1, lease.fence, None);
        }
        LeaseStatus::Waiting => {
            d.tx.update::<LeaseRow>(id, |l| {
                l.status = LeaseStatus::Failed;
                l.end_reason = Some(LeaseEnd::Failed);
                l.failure_reason = reason;
                l.released_at = Some(now);
            });
        }
        // The driver is being asked: `acquired` gives it back when it answers, `unanswered` when it does not.
        LeaseStatus::Acquiring
        | LeaseStatus::Releasing
        | LeaseStatus::Released
        | LeaseStatus::Expired
        | LeaseStatus::Failed => {}
    }
}

/// The driver gave it back.
pub(crate) fn released(d: &mut Deciding<'_, '_>, action: ActionId, id: LeaseId) {
    d.end_action(action, ActionStatus::Done, None);
    let Some(lease) = d.tx.get::<LeaseRow>(id).cloned() else { return };
    if lease.status != LeaseStatus::Releasing {
        return;
    }
    let now = d.now();
    let end = lease.end_reason.unwrap_or(LeaseEnd::Released);
    d.tx.update::<LeaseRow>(id, |l| {
        l.status = match end {
            LeaseEnd::Released => LeaseStatus::Released,
            LeaseEnd::Failed => LeaseStatus::Failed,
            LeaseEnd::Expired => LeaseStatus::Expired,
        };
        l.end_reason = Some(end);
        l.released_at = Some(now);
        l.deadline_at = None;
        l.cleanup_status = (l.provider != "local").then_some(CleanupStatus::Success);
    });
    supersede_actions(d, id);
    let project = lease.run_id.and_then(|r| d.state().runs.get(&r)).map(|r| r.project_id);
    let details = json!({
        "environmentId": lease.environment_id.text(), "driver": lease.provider, "leasePolicy": lease.lease_policy.as_str(),
        "status": end.as_str(), "failureReason": lease.failure_reason,
    });
    d.activity(&Actor::system(), "environment.lease_released", &about::lease(&lease, project), Some(details));
}

/// Giving it back failed; it waits and is tried again. Never an obstacle for another lease.
pub(crate) fn release_failed(d: &mut Deciding<'_, '_>, action: ActionId, id: LeaseId, message: &str) {
    d.end_action(action, ActionStatus::Failed, Some(message.to_owned()));
    park(d, id, message);
}

/// Puts a lease that could not be given back into the clean-up queue.
pub(crate) fn park(d: &mut Deciding<'_, '_>, id: LeaseId, message: &str) {
    let Some(lease) = d.tx.get::<LeaseRow>(id).cloned() else { return };
    if lease.status != LeaseStatus::Releasing {
        return;
    }
    let tries = lease.cleanup_attempts;
    let delay = CLEANUP_DELAY_MS.saturating_mul(1 << tries.clamp(1, 7).saturating_sub(1)).min(CLEANUP_DELAY_MAX_MS);
    let next = (tries < CLEANUP_TRIES_MAX).then(|| d.now().plus(delay));
    d.tx.update::<LeaseRow>(id, |l| {
        l.status = LeaseStatus::PendingCleanup;
        l.cleanup_status = Some(CleanupStatus::Failed);
        l.failure_reason = Some(message.to_owned());
        l.next_try_at = next;
        l.deadline_at = None;
    });
    let project = lease.run_id.and_then(|r| d.state().runs.get(&r)).map(|r| r.project_id);
    let details = json!({ "code": "lease_cleanup_failed", "error": message, "attempt": tries });
    d.activity(&Actor::system(), "environment.lease_cleanup_failed", &about::lease(&lease, project), Some(details));
}

/// Asks the driver for a lease that no run holds: for a test, by the request that it belongs to.
pub(crate) fn ask_for_request(d: &mut Deciding<'_, '_>, request: RequestId, environment: &EnvironmentRow) -> LeaseId {
    let id: LeaseId = d.id();
    let number = d.tx.next_number("lease");
    let now = d.now();
    d.tx.put(LeaseRow {
        request_id: Some(request),
        // Whatever a test leaves behind is of no use to anybody.
        lease_policy: LeasePolicy::Ephemeral,
        config: Some(environment.driver_config()),
        deadline_at: Step::Acquire.deadline_ms().map(|ms| now.plus(ms)),
        metadata: Some(json!({ "driver": environment.driver.as_str() })),
        ..LeaseRow::asked(id, number, environment, LeaseStatus::Acquiring, now)
    });
    d.intend(ActionKind::AcquireLease, "lease", &id.text(), 1, None, None);
    id
}
