//! What a lease holds after its run: given back, or kept for a later lease or for the operator.

use serde_json::json;
use wharf_model::rules::lease::{AfterRun, after_run, may_resume};
use wharf_model::{
    ActionId, ActionKind, ActionStatus, Driver, EnvironmentRow, Kind, LeaseEnd, LeaseId, LeasePolicy, LeaseRow,
    LeaseStatus, UnixMillis, WorkspaceId,
};

use super::super::Deciding;
use super::give_back::{self, RELEASING_MS, give_back};
use super::of;
use crate::dispatch::input::Actor;

/// The run of a lease has ended: it is given back, or kept by its policy or the operator's wish.
pub(crate) fn at_end_of_run(d: &mut Deciding<'_, '_>, id: LeaseId, end: LeaseEnd, reason: Option<String>) {
    let Some(lease) = d.tx.get::<LeaseRow>(id).cloned() else { return };
    if lease.status != LeaseStatus::Active || lease.end_reason.is_some() {
        if !super::nobody_asks(d, id) {
            give_back(d, id, end, reason);
        }
        return;
    }
    let environment = d.state().environments.get(&lease.environment_id).cloned();
    let driver = environment.as_ref().map_or(Driver::Local, |e| e.driver);
    let keep_ms = environment.as_ref().map_or(0, |e| e.keep_ms);
    // Only the workspace that its issue goes on with is ever asked for again.
    let issue = lease.issue_id.and_then(|i| d.state().issues.get(&i)).and_then(|i| i.execution_workspace_id);
    let by_workspace = lease.lease_policy == LeasePolicy::ReuseByExecutionWorkspace && lease.retain_until.is_none();
    if by_workspace && (issue.is_none() || issue != lease.execution_workspace_id) {
        give_back(d, id, end, reason);
        return;
    }
    match after_run(&lease, driver, end, keep_ms, d.now()) {
        AfterRun::Release => give_back(d, id, end, reason),
        AfterRun::Keep(until) => keep(d, &lease, end, reason, until),
    }
}

fn keep(d: &mut Deciding<'_, '_>, lease: &LeaseRow, end: LeaseEnd, reason: Option<String>, until: UnixMillis) {
    let now = d.now();
    let here = lease.provider_lease_id.is_none();
    d.tx.update::<LeaseRow>(lease.id, |l| {
        l.status = LeaseStatus::Retained;
        l.end_reason = Some(end);
        if reason.is_some() {
            l.failure_reason = reason;
        }
        l.retain_until = Some(until);
        l.renew_at = None;
        l.expires_at = None;
        l.last_used_at = Some(now);
        // Until it is laid by it still takes up its slot.
        l.deadline_at = (!here).then(|| now.plus(RELEASING_MS));
    });
    let Some(lease) = d.tx.get::<LeaseRow>(lease.id).cloned() else { return };
    let details = json!({
        "environmentId": lease.environment_id.text(), "leasePolicy": lease.lease_policy.as_str(),
        "end": end.as_str(), "until": until.rfc3339(), "failureReason": lease.failure_reason,
    });
    d.activity(&Actor::system(), "environment.lease_retained", &of(d, &lease), Some(details));
    if !here {
        let args = json!({ "keep": true });
        d.intend(ActionKind::ReleaseLease, "lease", &lease.id.text(), 1, lease.fence, Some(args));
    }
}

/// What a lease holds was laid by, or could not be.
pub(crate) fn laid_by(d: &mut Deciding<'_, '_>, action: ActionId, id: LeaseId, failed: Option<&str>) {
    let status = if failed.is_some() { ActionStatus::Failed } else { ActionStatus::Done };
    d.end_action(action, status, failed.map(str::to_owned));
    let Some(lease) = d.tx.get::<LeaseRow>(id).filter(|l| l.status == LeaseStatus::Retained).cloned() else { return };
    d.tx.update::<LeaseRow>(id, |l| {
        l.deadline_at = None;
        l.cleanup_error = failed.map(|why| format!("it could not be laid by: {why}"));
    });
    let reused = matches!(lease.lease_policy, LeasePolicy::ReuseByEnvironment | LeasePolicy::ReuseByExecutionWorkspace);
    if failed.is_some() && reused {
        // Nobody may take over what is in a state that nobody knows.
        let end = lease.end_reason.unwrap_or(LeaseEnd::Released);
        give_back(d, id, end, failed.map(str::to_owned));
    }
}

/// A kept lease is due: laying it by was not answered, or the time for which it is kept is over.
pub(crate) fn over(d: &mut Deciding<'_, '_>, id: LeaseId) {
    let now = d.now();
    let Some(lease) = d.tx.get::<LeaseRow>(id).filter(|l| l.status == LeaseStatus::Retained).cloned() else { return };
    if lease.deadline_at.is_some_and(|at| at <= now) {
        give_back::supersede_actions(d, id);
        d.tx.update::<LeaseRow>(id, |l| {
            l.deadline_at = None;
            l.cleanup_error = Some("laying it by was not answered in time".into());
        });
        let reused =
            matches!(lease.lease_policy, LeasePolicy::ReuseByEnvironment | LeasePolicy::ReuseByExecutionWorkspace);
        if reused {
            // Nobody takes over what may still be stopped by an order of before.
            give_back(d, id, lease.end_reason.unwrap_or(LeaseEnd::Released), None);
            return;
        }
    }
    if lease.retain_until.is_some_and(|at| at <= now) {
        give_back(d, id, lease.end_reason.unwrap_or(LeaseEnd::Released), None);
    }
}

/// What was handed over is gone: the new lease has nothing until its driver grants it something of its own, and
/// whoever gives it back meanwhile must ask for what that acquisition made, not for what is gone.
pub(crate) fn place_gone(d: &mut Deciding<'_, '_>, id: LeaseId) {
    d.tx.update::<LeaseRow>(id, |l| {
        if l.status == LeaseStatus::Acquiring && l.resumed_from.is_some() {
            l.resumed_from = None;
            l.provider_lease_id = None;
            l.metadata = None;
        }
    });
}

/// Takes a kept lease for a new one: what it holds goes over, and it has ended. Those of an older form of the
/// environment are given back meanwhile, since nobody will take them.
pub(super) fn hand_over(
    d: &mut Deciding<'_, '_>,
    environment: &EnvironmentRow,
    workspace: Option<WorkspaceId>,
    to: LeaseId,
) -> Option<LeaseRow> {
    let reused = |l: &LeaseRow| {
        matches!(l.lease_policy, LeasePolicy::ReuseByEnvironment | LeasePolicy::ReuseByExecutionWorkspace)
    };
    let kept: Vec<LeaseRow> = d
        .state()
        .leases
        .values()
        .filter(|l| l.environment_id == environment.id && l.status == LeaseStatus::Retained && reused(l))
        .cloned()
        .collect();
    let settings = environment.driver_config();
    for old in kept.iter().filter(|l| l.config.as_ref() != Some(&settings) && l.deadline_at.is_none()) {
        let reason = Some("the environment's settings have changed".to_owned());
        give_back(d, old.id, old.end_reason.unwrap_or(LeaseEnd::Released), reason);
    }
    // The one that was used last: it is the warmest.
    let taken = kept
        .into_iter()
        .filter(|l| may_resume(l, environment, workspace))
        .max_by_key(|l| (l.last_used_at, l.number))?;
    let now = d.now();
    d.tx.update::<LeaseRow>(taken.id, |l| {
        l.status = LeaseStatus::Released;
        l.end_reason = Some(LeaseEnd::Released);
        l.released_at = Some(now);
        l.retain_until = None;
    });
    give_back::supersede_actions(d, taken.id);
    let details = json!({
        "environmentId": environment.id.text(), "status": "released", "handedOverTo": to.text(),
        "providerLeaseId": taken.provider_lease_id, "lease": Kind::Lease.number(taken.number),
    });
    d.activity(&Actor::system(), "environment.lease_released", &of(d, &taken), Some(details));
    Some(taken)
}
