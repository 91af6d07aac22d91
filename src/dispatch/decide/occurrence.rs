//! What happens to a reign itself: how it began, what it found, how its clocks moved.

use serde_json::{Value, json};
use wharf_model::rules::service_restart;
use wharf_model::{
    ActionId, ActionRow, DeadlineKind, LeaseId, LeaseRow, LeaseStatus, OperationId, OperationRow, RequestId,
    RequestRow, RequestStatus, RunId, RunRow, ServiceId, ServiceRow, StepId, StepRow, WorkspaceId, WorkspaceRow,
};

use super::{About, Deciding, is_open};
use crate::dispatch::input::{Actor, Occurrence, Recovery, Verdict};

pub(crate) fn occurred(d: &mut Deciding<'_, '_>, occurrence: &Occurrence) {
    match occurrence {
        Occurrence::TookOver { by, before } => {
            let actor = Actor { kind: wharf_model::ActorType::Operator, id: by.clone() };
            note(d, &actor, "orchestrator.took_over", before.clone());
        }
        Occurrence::ClockMoved { step_ms, slept_ms } => clock_moved(d, *step_ms, *slept_ms),
        Occurrence::Recovered(recovery) => recovered(d, recovery),
    }
}

/// A row of the audit trail about the orchestrator; a store without any company has nobody to tell.
fn note(d: &mut Deciding<'_, '_>, actor: &Actor, action: &str, details: Value) {
    let Some(company) = d.state().companies.keys().next().copied() else { return };
    let id = d.state().epoch.to_string();
    let about = About { entity: "orchestrator", id, number: None, company, project: None, run: None };
    d.activity(actor, action, &about, Some(details));
}

/// Deadlines are wall times. Those that count time awake keep what was left of them: they move by what
/// the wall clock gained on time awake. Those of the world outside (queues, requests, providers) stay.
fn clock_moved(d: &mut Deciding<'_, '_>, step_ms: i64, slept_ms: i64) {
    let gap = step_ms.saturating_add(slept_ms);
    let moved = if gap == 0 || mutant!(ClockIgnored) { 0 } else { shift(d, gap) };
    let system = Actor::system();
    if slept_ms != 0 {
        note(d, &system, "clock.suspended", json!({ "slept_ms": slept_ms, "deadlines_moved": moved }));
    }
    if step_ms != 0 {
        note(d, &system, "clock.stepped", json!({ "by_ms": step_ms, "deadlines_moved": moved }));
    }
}

/// Moves every open deadline that counts time awake; says how many.
fn shift(d: &mut Deciding<'_, '_>, gap: i64) -> u64 {
    let mut count = 0;
    let now = d.now();
    let mut later = |at: &mut Option<wharf_model::UnixMillis>| {
        if let Some(at) = at {
            *at = at.plus(gap);
            count += 1;
        }
    };
    let s = d.state();
    let runs: Vec<RunId> = s.runs.values().filter(|r| !r.status.is_terminal()).map(|r| r.id).collect();
    let steps: Vec<StepId> = s.steps.values().filter(|t| t.deadline_at.is_some()).map(|t| t.id).collect();
    let leases: Vec<LeaseId> = s.leases.values().filter(|l| !l.status.is_terminal()).map(|l| l.id).collect();
    let accepted = |r: &&RequestRow| r.status == RequestStatus::Accepted;
    let waiting: Vec<RequestId> = s.requests.values().filter(accepted).map(|r| r.id).collect();
    let services: Vec<ServiceId> = s.services.values().filter(|v| v.status.is_open()).map(|v| v.id).collect();
    let restarted: Vec<ServiceId> = s.services.values().filter(|v| v.restart_times.is_some()).map(|v| v.id).collect();
    let operations: Vec<OperationId> = s.operations.values().map(|o| o.id).collect();
    let workspaces: Vec<WorkspaceId> =
        s.workspaces.values().filter(|w| w.deadline_at.is_some()).map(|w| w.id).collect();
    let actions: Vec<ActionId> = s.actions.values().filter(|a| is_open(a.status)).map(|a| a.id).collect();
    for id in runs {
        d.tx.update::<RunRow>(id, |r| {
            if r.deadline_kind == Some(DeadlineKind::Awake) {
                later(&mut r.deadline_at);
            }
            // A back-off.
            later(&mut r.due_at);
        });
    }
    for id in steps {
        d.tx.update::<StepRow>(id, |t| later(&mut t.deadline_at));
    }
    for id in leases {
        d.tx.update::<LeaseRow>(id, |l| {
            later(&mut l.next_try_at);
            if l.status != LeaseStatus::Active {
                later(&mut l.deadline_at);
                return;
            }
            // The end of an active one is its provider's, by the wall clock, and nobody knows how far off it is now:
            // it is renewed at once. One without a run is ours alone.
            if l.request_id.is_some() {
                later(&mut l.expires_at);
            }
            l.renew_at = l.renew_at.map(|_| now);
        });
    }
    for id in waiting {
        d.tx.update::<RequestRow>(id, |r| super::lease_verb::shift(r, gap));
    }
    for id in services {
        d.tx.update::<ServiceRow>(id, |v| {
            later(&mut v.deadline_at);
            later(&mut v.idle_deadline_at);
        });
    }
    // Their budgets count time awake too, also while they do not run.
    for id in restarted {
        d.tx.update::<ServiceRow>(id, |v| {
            let mut times = service_restart::times(v.restart_times.as_ref());
            for at in &mut times {
                *at = at.plus(gap);
            }
            v.restart_times = service_restart::to_row(&times);
        });
    }
    for id in operations {
        d.tx.update::<OperationRow>(id, |o| later(&mut o.deadline_at));
    }
    for id in workspaces {
        d.tx.update::<WorkspaceRow>(id, |w| later(&mut w.deadline_at));
    }
    for id in actions {
        d.tx.update::<ActionRow>(id, |a| later(&mut a.next_try_at));
    }
    count
}

/// What a start found: one row that tells all of it, where there was anything to tell.
fn recovered(d: &mut Deciding<'_, '_>, recovery: &Recovery) {
    if recovery.found.is_empty() {
        return;
    }
    let count = |verdict| recovery.found.iter().filter(|f| f.verdict == verdict).count();
    let found: Vec<Value> = recovery
        .found
        .iter()
        .take(200)
        .map(|f| json!({ "entity": f.entity, "number": f.number, "verdict": f.verdict.as_str(), "words": f.words }))
        .collect();
    let details = json!({
        "adopted": count(Verdict::Adopted), "ended": count(Verdict::Ended), "started": count(Verdict::Started),
        "lost": count(Verdict::Lost), "unknown": count(Verdict::Unknown), "requests": recovery.requests,
        "took_ms": recovery.took_ms, "found": found,
    });
    note(d, &Actor::system(), "orchestrator.elected", details);
}

#[cfg(test)]
mod tests {
    use wharf_model::state::{State, Tx};
    use wharf_model::*;

    use super::*;

    /// A state in which every kind of deadline is open.
    fn open() -> State {
        let mut state = State::default();
        let mut tx = Tx::new(&mut state, UnixMillis(0));
        let id = uuid::Uuid::from_u128;
        tx.put(ActionRow {
            id: ActionId(id(1)),
            kind: ActionKind::SealLog,
            entity_type: "run".into(),
            entity_id: id(2).to_string(),
            attempt: 1,
            fence: None,
            epoch_created: 1,
            status: ActionStatus::Pending,
            tries: 1,
            next_try_at: Some(UnixMillis(1_000)),
            last_error: None,
            args: None,
            version: 0,
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
        });
        tx.put(StepRow {
            id: StepId(RunId(id(2)), Step::Realise),
            run_id: RunId(id(2)),
            step: Step::Realise,
            status: StepStatus::Running,
            attempt: 1,
            started_at: Some(UnixMillis(0)),
            finished_at: None,
            deadline_at: Some(UnixMillis(2_000)),
            outcome: None,
            detail: None,
            version: 0,
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
        });
        tx.finish().unwrap();
        state
    }

    #[test]
    fn what_is_left_of_a_deadline_stays_whatever_the_clock_does() {
        for (step, slept) in [(3_600_000, 0), (-3_600_000, 0), (0, 8 * 3_600_000), (-5_000, 60_000)] {
            let mut state = open();
            let mut ids = uuid::Uuid::nil;
            let mut d = Deciding { tx: Tx::new(&mut state, UnixMillis(100)), new_id: &mut ids };
            occurred(&mut d, &Occurrence::ClockMoved { step_ms: step, slept_ms: slept });
            d.tx.finish().unwrap();
            let due = state.actions.values().next().unwrap().next_try_at.unwrap();
            let deadline = state.steps.values().next().unwrap().deadline_at.unwrap();
            assert_eq!((due.0 - step - slept, deadline.0 - step - slept), (1_000, 2_000));
        }
    }
}
