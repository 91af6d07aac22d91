//! Runs: their lines in the ledger, and what filters ask of them.

use crate::console::questions::filter::{Facts, run_words};
use crate::dispatch::perform::shim_dir;
use crate::process::halted;
use crate::process::halted::{Halted, HaltedBy};
use crate::process::shim_dir::read_spec;
use std::path::Path;
use wharf_model::filter::Field;
use wharf_model::{Kind, Observation, RunStatus, Step, StepStatus, UnixMillis};
use wharf_store::view;
use wharf_ui::rows;
use wharf_ui::rows::{IssueName, RunLine};

/// A run in the ledger.
pub fn run(line: &view::RunLine) -> RunLine {
    let waits_for = match (line.queue_position, line.due_at) {
        (Some(place), _) => Some(format!("place {place} in line")),
        (None, _) => None,
    };
    RunLine {
        id: line.id,
        number: line.number,
        version: line.version,
        status: line.status,
        step: line.step.map(|s| s.to_string()),
        agent: line.agent.clone().unwrap_or_else(|| "–".to_owned()),
        issue: line
            .issue
            .clone()
            .map(|identifier| IssueName { identifier, title: line.issue_title.clone().unwrap_or_default() }),
        environment: line.environment.clone(),
        queued_at: line.queued_at,
        started_at: line.started_at,
        finished_at: line.finished_at,
        last_output_at: line.last_output_at,
        liveness: None,
        halted: None,
        terminal: false,
        question: None,
        doing: None,
        waits_for,
        due_at: line.due_at,
        stop_requested_at: line.stop_requested_at,
        stop_deadline_at: line.stop_requested_at.zip(line.stop_grace_ms).map(|(at, grace)| at.plus(grace)),
        stop_reason: line.stop_reason.map(|s| s.to_string()),
        limit_ms: None,
        exit_code: line.exit_code,
        signal: line.signal.clone(),
        // A process that said itself how it went is known by its exit code.
        error_code: line.error_code.clone().filter(|_| line.exit_code.is_none_or(|code| code == 0)),
        outcome: line.liveness_state.map(|s| s.as_str().replace('_', " ")),
        unknown: line.observation == Observation::Unknown && !line.status.is_terminal(),
        lease: None,
        services: Vec::new(),
        workspace: line.workspace_number.map(|n| Kind::Workspace.number(n)),
        cost_microusd: None,
    }
}

/// A halt in the screens' words.
pub fn halted_words(halted: Halted) -> rows::Halted {
    let by = match halted.by {
        HaltedBy::Signal(since) => rows::HaltedBy::Signal(since.map(|(signal, ms)| (signal, UnixMillis(ms)))),
        HaltedBy::Tracer(tracer) => rows::HaltedBy::Tracer(tracer),
    };
    rows::Halted { pid: halted.pid, by }
}

/// How the process of a run stands still now, when it does: looked up in the run's directory.
pub fn halted_now(data: &Path, line: &view::RunLine) -> Option<rows::Halted> {
    if line.status != RunStatus::Running {
        return None;
    }
    let dir = shim_dir("run", &line.id.text(), line.attempt)?;
    halted::of(&data.join(dir)).map(halted_words)
}

/// Whether a run's process has a terminal that can be attached to now: looked up in the run's directory.
pub fn has_terminal_now(data: &Path, line: &view::RunLine) -> bool {
    line.status == RunStatus::Running
        && shim_dir("run", &line.id.text(), line.attempt)
            .is_some_and(|dir| read_spec(&data.join(dir)).is_ok_and(|spec| spec.tty.is_some()))
}

/// What a filter compares of a run.
pub fn run_facts(line: &view::RunLine, now: UnixMillis) -> Facts {
    let unknown = line.observation == Observation::Unknown && !line.status.is_terminal();
    let names = [
        (Field::Run, Some(Kind::Run.number(line.number))),
        (Field::Agent, line.agent.clone()),
        (Field::Issue, line.issue.clone()),
        (Field::Environment, line.environment.clone()),
        (Field::Lease, line.lease_number.map(|n| Kind::Lease.number(n))),
        (Field::Workspace, line.workspace_number.map(|n| Kind::Workspace.number(n))),
        (Field::Kind, Some(line.invocation_source.to_string())),
        (Field::Error, line.error_code.clone()),
    ];
    let mut words = vec![Kind::Run.number(line.number)];
    let texts = [&line.agent, &line.issue, &line.issue_title, &line.error, &line.error_code, &line.next_action];
    words.extend(texts.into_iter().flatten().cloned());
    Facts {
        statuses: run_words(line.status, line.stop_requested_at.is_some() && !line.status.is_terminal(), unknown),
        fields: names.into_iter().filter_map(|(f, v)| Some((f, v?))).collect(),
        began: Some(line.queued_at),
        took_ms: line.started_at.map(|s| s.until(line.finished_at.unwrap_or(now))),
        exit: line.exit_code,
        cost: None,
        words,
    }
}

/// A step's title.
pub const fn step_words(step: Step) -> &'static str {
    match step {
        Step::Resolve => "resolve the environment",
        Step::Check => "check the environment",
        Step::Acquire => "acquire the lease",
        Step::Realise => "realise the workspace",
        Step::Target => "start services",
        Step::Execute => "run the agent",
        Step::Finish => "finish",
    }
}

/// Whether a step ended badly.
pub const fn step_failed(status: StepStatus) -> bool {
    matches!(status, StepStatus::Failed)
}
