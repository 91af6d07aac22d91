//! Which queued run may start: machine, agent, issue and the place where it works must all have room.

use std::collections::BTreeMap;

use serde_json::json;
use wharf_model::rules::queue;
use wharf_model::state::State;
use wharf_model::{
    AgentId, AgentRow, AgentRuntimeRow, AgentStatus, IssueId, IssueRow, IssueStatus, RunId, RunRow, RunStatus,
    WakeupRow, WakeupStatus,
};

use super::place::{self, Place};
use super::{Deciding, finish, steps};

/// Claims as many queued runs as there is room for.
pub(crate) fn claim_ready(d: &mut Deciding<'_, '_>) {
    // A run that ends while it is claimed leaves room at once. Each round claims or refuses one run or more,
    // and none of them queues again, so the queue's length bounds the rounds.
    loop {
        let (ready, refused) = candidates(d.state());
        if ready.is_empty() && refused.is_empty() {
            return;
        }
        for (run, why) in refused {
            finish::cancel_queued(d, run, "illegal_state", &why, None);
        }
        for run in ready {
            claim(d, run);
        }
    }
}

/// What is taken at the moment, and by whom, as the number of the run.
#[derive(Default)]
struct Taken {
    machine: i64,
    agents: BTreeMap<AgentId, i64>,
    issues: BTreeMap<IssueId, i64>,
    places: BTreeMap<Place, i64>,
}

/// What a queued run waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gate {
    /// For a run of any kind to end: so many may run on this machine.
    Machine { limit: i64 },
    /// For a run of its agent to end.
    Agent { limit: i64 },
    /// For this run on its issue to end.
    Issue { holder: i64 },
    /// For this run to leave the place where it works.
    Place { place: Place, holder: i64 },
    /// For nothing but the orchestrator's next decision.
    Open,
}

/// Whether a run gets the room that it needs.
enum Admitted {
    Yes,
    NotYet(Gate),
    /// It would wait for somebody, and its project wants nobody to.
    Never(String),
}

impl Taken {
    fn by(state: &State) -> Self {
        let mut taken = Self::default();
        for run in state.runs.values().filter(|r| r.status == RunStatus::Running) {
            taken.add(run, place::held(state, run));
        }
        taken
    }

    fn add(&mut self, run: &RunRow, places: impl IntoIterator<Item = Place>) {
        self.machine += 1;
        *self.agents.entry(run.agent_id).or_default() += 1;
        self.issues.extend(run.issue_id.map(|issue| (issue, run.number)));
        self.places.extend(places.into_iter().map(|place| (place, run.number)));
    }

    /// Takes the room that a run needs, if there is: of the machine, its agent, its issue and its place.
    fn admit(&mut self, state: &State, run: &RunRow) -> Admitted {
        let limit = state.agents.get(&run.agent_id).map_or(20, |a| a.concurrent_runs.clamp(1, 50));
        if self.machine >= state.concurrent_runs {
            return Admitted::NotYet(Gate::Machine { limit: state.concurrent_runs });
        }
        if self.agents.get(&run.agent_id).is_some_and(|running| *running >= limit) {
            return Admitted::NotYet(Gate::Agent { limit });
        }
        if let Some(&holder) = run.issue_id.and_then(|issue| self.issues.get(&issue)) {
            return Admitted::NotYet(Gate::Issue { holder });
        }
        // Last, since it takes the longest to say.
        let place = place::of(state, run);
        let held = place.as_ref().and_then(|place| Some((place.clone(), *self.places.get(place)?)));
        if let Some((place, holder)) = held {
            let never = place::refuses(state, run).then(|| place::taken_words(&place, holder));
            return never.map_or(Admitted::NotYet(Gate::Place { place, holder }), Admitted::Never);
        }
        self.add(run, place);
        Admitted::Yes
    }
}

/// The queue in its order.
fn queue_of(state: &State) -> Vec<&RunRow> {
    let mut queued: Vec<&RunRow> = state.runs.values().filter(|r| r.status == RunStatus::Queued).collect();
    queued.sort_by_key(|r| queue::order(issue_status(state, r), r.priority, r.number));
    queued
}

/// Runs that may start, and those that are refused with the reason.
fn candidates(state: &State) -> (Vec<RunId>, Vec<(RunId, String)>) {
    let queued = queue_of(state);
    if queued.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let mut taken = Taken::by(state);
    let (mut out, mut refused) = (Vec::new(), Vec::new());
    for run in queued {
        // A run whose agent went away meanwhile is claimed in order to end it.
        match taken.admit(state, run) {
            Admitted::Yes => out.push(run.id),
            Admitted::NotYet(_) => {}
            Admitted::Never(why) => refused.push((run.id, why)),
        }
        if taken.machine >= state.concurrent_runs {
            break;
        }
    }
    (out, refused)
}

/// What a queued run waits for: by the very rule that claims runs, which lets those before it go first.
pub(crate) fn gate(state: &State, id: RunId) -> Option<Gate> {
    let mut taken = Taken::by(state);
    for run in queue_of(state) {
        let admitted = taken.admit(state, run);
        if run.id == id {
            return Some(match admitted {
                Admitted::NotYet(gate) => gate,
                Admitted::Yes | Admitted::Never(_) => Gate::Open,
            });
        }
    }
    None
}

fn issue_status(state: &State, run: &RunRow) -> Option<IssueStatus> {
    run.issue_id.and_then(|i| state.issues.get(&i)).map(|i| i.status)
}

fn claim(d: &mut Deciding<'_, '_>, id: RunId) {
    let Some(run) = d.tx.get::<RunRow>(id).cloned() else { return };
    let now = d.now();
    let agent = d.tx.get::<AgentRow>(run.agent_id).cloned();
    let Some(agent) = agent.filter(|a| a.status.is_invokable()) else {
        let status = d.tx.get::<AgentRow>(run.agent_id).map_or("gone", |a| a.status.as_str());
        finish::cancel_queued(d, id, "agent_not_invokable", &format!("its agent is {status}"), None);
        return;
    };
    if let Some(issue) = run.issue_id {
        let open =
            d.tx.get::<IssueRow>(issue)
                .is_some_and(|i| !matches!(i.status, IssueStatus::Done | IssueStatus::Cancelled));
        if !open {
            finish::cancel_queued(d, id, "issue_terminal_status", "its issue is done or cancelled", None);
            return;
        }
    }
    let attempt = run.attempt + 1;
    d.tx.update::<RunRow>(id, |r| {
        r.status = RunStatus::Running;
        r.attempt = attempt;
        r.started_at.get_or_insert(now);
        r.deadline_at = None;
        r.deadline_kind = None;
    });
    if let Some(wakeup) = run.wakeup_request_id {
        d.tx.update::<WakeupRow>(wakeup, |w| {
            w.status = WakeupStatus::Claimed;
            w.claimed_at = Some(now);
        });
    }
    if let Some(issue) = run.issue_id {
        d.tx.update::<IssueRow>(issue, |i| {
            i.execution_run_id = Some(id);
            i.execution_agent_name_key = Some(agent.name.trim().to_lowercase());
            i.execution_locked_at = Some(now);
            if matches!(i.status, IssueStatus::Backlog | IssueStatus::Todo) {
                i.status = IssueStatus::InProgress;
                i.started_at.get_or_insert(now);
            }
        });
    }
    if d.tx.get::<AgentRuntimeRow>(agent.id).is_none() {
        d.tx.put(AgentRuntimeRow {
            agent_id: agent.id,
            company_id: agent.company_id,
            adapter_type: agent.adapter_type.clone(),
            session_id: None,
            state_json: json!({}),
            last_run_id: None,
            last_run_status: None,
            total_input_tokens: 0,
            total_output_tokens: 0,
            total_cached_input_tokens: 0,
            total_cost_microusd: None,
            last_error: None,
            version: 0,
            created_at: now,
            updated_at: now,
        });
    }
    if agent.status != AgentStatus::Running {
        d.tx.update::<AgentRow>(agent.id, |a| a.status = AgentStatus::Running);
    }
    d.tx.event(id, "lifecycle", "info", format!("claimed, attempt {attempt}"), None);
    steps::lay_out(d, id, attempt);
    steps::enter(d, id);
}
