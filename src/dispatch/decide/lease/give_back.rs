//! Giving a lease back: once, without fail, and never an obstacle for another.

use serde_json::json;
use wharf_model::rules::lease as rule;
use wharf_model::{ActionId, ActionKind, ActionStatus, CleanupStatus, LeaseEnd, LeaseId, LeaseRow, LeaseStatus};

use super::super::{Deciding, is_open};
use super::{leave_queue, of};
use crate::dispatch::input::Actor;

/// Time a driver has to give a lease back.
pub(super) const RELEASING_MS: i64 = 2 * 60_000;

/// Nothing more is expected of what was asked of the driver so far.
pub(super) fn supersede_actions(d: &mut Deciding<'_, '_>, id: LeaseId) {
    let text = id.text();
    let open: Vec<ActionId> = d
        .state()
        .actions
        .values()
        .filter(|a| a.entity_type == "lease" && a.entity_id == text && is_open(a.status))
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
                l.renew_at = None;
                // One that is kept has left its slot to others; until it is laid by it has not.
                if lease.status == LeaseStatus::Active || lease.deadline_at.is_some() {
                    l.retain_until = None;
                }
                l.queue = None;
                l.cleanup_attempts += 1;
            });
            supersede_actions(d, id);
            let kind = if lease.destroying { ActionKind::DestroyLease } else { ActionKind::ReleaseLease };
            d.intend(kind, "lease", &id.text(), 1, lease.fence, None);
        }
        LeaseStatus::Waiting => {
            d.tx.update::<LeaseRow>(id, |l| {
                l.status = LeaseStatus::Failed;
                l.end_reason = Some(LeaseEnd::Failed);
                l.failure_reason = reason;
                l.released_at = Some(now);
                l.deadline_at = None;
            });
            ended_without(d, id);
        }
        // The driver is being asked: `acquired` gives it back when it answers, `unanswered` when it does not.
        LeaseStatus::Acquiring => leave_queue(d, id),
        LeaseStatus::Releasing | LeaseStatus::Released | LeaseStatus::Expired | LeaseStatus::Failed => {}
    }
}

/// Tells the trail of a lease that ended before it held anything.
pub(super) fn ended_without(d: &mut Deciding<'_, '_>, id: LeaseId) {
    let Some(lease) = d.tx.get::<LeaseRow>(id).cloned() else { return };
    let details = json!({
        "environmentId": lease.environment_id.text(), "leasePolicy": lease.lease_policy.as_str(), "status": "failed",
        "failureReason": lease.failure_reason, "held": false,
    });
    d.activity(&Actor::system(), "environment.lease_released", &of(d, &lease), Some(details));
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
        l.cleanup_error = None;
    });
    supersede_actions(d, id);
    let details = json!({
        "environmentId": lease.environment_id.text(), "driver": lease.provider, "leasePolicy": lease.lease_policy.as_str(),
        "status": end.as_str(), "failureReason": lease.failure_reason,
    });
    d.activity(&Actor::system(), "environment.lease_released", &of(d, &lease), Some(details));
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
    let next = rule::next_try(tries, d.now());
    d.tx.update::<LeaseRow>(id, |l| {
        l.status = LeaseStatus::PendingCleanup;
        l.cleanup_status = Some(CleanupStatus::Failed);
        l.cleanup_error = Some(message.to_owned());
        l.next_try_at = next;
        l.deadline_at = None;
    });
    let details = json!({ "code": "lease_cleanup_failed", "error": message, "attempt": tries });
    d.activity(&Actor::system(), "environment.lease_cleanup_failed", &of(d, &lease), Some(details));
}
