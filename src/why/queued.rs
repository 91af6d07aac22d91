//! Why a run has not begun: the gate that it waits at, by the rule that claims runs.

use wharf_model::{Kind, RunStatus};
use wharf_store::StoreError;

use super::{Around, Line, Why, is_orchestrated, machine_limit, number};
use crate::dispatch::decide::claim::{self, Gate};
use crate::dispatch::decide::place::Place;

pub(super) fn of(around: &Around<'_>) -> Result<Why, StoreError> {
    let run = &around.detail.run;
    let name = number(around.detail);
    let mut why = Why {
        since: Some(run.queued_at),
        until: run.deadline_at.map(|at| (at, "given up then".to_owned())),
        can_do: vec![Line::new(format!("wharf cancel {name}"), "take it out of the queue", "")],
        ..Why::default()
    };
    if run.status == RunStatus::ScheduledRetry {
        let reason = run.scheduled_retry_reason.as_deref().unwrap_or("a failure").replace('_', " ");
        why.verdict = format!("{name} is PARKED: it follows a run that ended by {reason}, and is not due yet.");
        "a retry waits for its time, then it queues like any other run".clone_into(&mut why.rule);
        why.until = run.due_at.map(|at| (at, "due then".to_owned()));
        return Ok(why);
    }
    if !is_orchestrated(around.data) {
        why.verdict = format!("{name} is QUEUED: nobody orchestrates at the moment.");
        "runs are started by the process that holds the data directory's lock".clone_into(&mut why.rule);
        why.can_do.insert(0, Line::new("wharf serve", "orchestrate without a screen", ""));
        why.can_do.insert(0, Line::new("wharf", "open the console, which orchestrates", ""));
        return Ok(why);
    }
    let mut state = around.reader.open_rows()?;
    state.concurrent_runs = machine_limit();
    let gate = claim::gate(&state, run.id).unwrap_or(Gate::Open);
    let holder = |n: i64| Kind::Run.number(n);
    let agent = around.detail.line.agent.clone().unwrap_or_default();
    let (waits, rule) = match &gate {
        Gate::Machine { limit } => (
            format!("{limit} runs run already, as many as this machine may"),
            format!("[limits] concurrent_runs = {limit}"),
        ),
        Gate::Agent { limit } => (
            format!("{agent} is busy with {limit} of {limit} runs"),
            format!("concurrent_runs = {limit} of agent {agent}"),
        ),
        Gate::Issue { holder: by } => {
            let issue = around.detail.line.issue.clone().unwrap_or_else(|| "its issue".to_owned());
            (format!("{} works on {issue}", holder(*by)), "one run at a time works on an issue".to_owned())
        }
        Gate::Place { place, holder: by } => {
            let place = match place {
                Place::Checkout(_) => "the project's own checkout".to_owned(),
                Place::Branch(_, branch) => format!("the worktree of branch {branch}"),
                Place::Home(_) => "the agent's home".to_owned(),
                Place::Session(directory) => format!("{directory}, the directory of its agent's session"),
            };
            let rule = "[workspace] concurrency = \"serialise\": runs that share a place follow one another";
            (format!("{} works in {place}", holder(*by)), rule.to_owned())
        }
        Gate::Open => ("nothing but the orchestrator's next look".to_owned(), "it is its turn".to_owned()),
    };
    why.verdict = match gate {
        Gate::Open => format!("{name} is QUEUED, and its turn has come."),
        _ => format!("{name} is QUEUED: {waits}."),
    };
    why.rule = rule;
    if let Gate::Issue { holder: by } | Gate::Place { holder: by, .. } = gate {
        why.evidence.push(Line::new("waits for", holder(by), waits));
        why.can_do.push(Line::new(format!("wharf why {}", holder(by)), "see what that one does", ""));
        why.can_do.push(Line::new(format!("wharf cancel {}", holder(by)), "stop that one", ""));
    } else {
        why.evidence.push(Line::new("waits for", waits, ""));
    }
    let running = state.runs.values().filter(|r| r.status == RunStatus::Running);
    let (all, of_agent) = running.fold((0, 0), |(all, own), r| (all + 1, own + i64::from(r.agent_id == run.agent_id)));
    let queue = state.runs.values().filter(|r| r.status == RunStatus::Queued).count();
    why.not_the_cause.push(Line::new("orchestrator", "there is one", ""));
    let limit = state.concurrent_runs;
    if !matches!(gate, Gate::Machine { .. }) {
        why.not_the_cause.push(Line::new("machine", format!("{all} of {limit} runs"), ""));
        if !matches!(gate, Gate::Agent { .. }) {
            let own = state.agents.get(&run.agent_id).map_or(20, |a| a.concurrent_runs);
            why.not_the_cause.push(Line::new("agent", format!("{of_agent} of {own} runs"), agent));
        }
    }
    why.evidence.push(Line::new("in the queue", queue.to_string(), ""));
    Ok(why)
}
