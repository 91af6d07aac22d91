//! How a run ended, and by which of its steps.

use wharf_model::{Kind, RunStatus, StepStatus};

use super::{Around, Line, Why, number};

pub(super) fn of(around: &Around<'_>) -> Why {
    let detail = around.detail;
    let run = &detail.run;
    let name = number(detail);
    let cause = run.error.as_deref().and_then(|e| e.lines().next()).map(str::to_owned);
    let because = cause.clone().map_or_else(|| ".".to_owned(), |cause| format!(": {cause}"));
    let (word, rule) = match run.status {
        RunStatus::Succeeded => ("SUCCEEDED", "its process ended with exit code 0"),
        RunStatus::Cancelled => ("was CANCELLED", "a stop was asked and delivered before it ended by itself"),
        RunStatus::TimedOut => ("TIMED OUT", "its time was over, and it was stopped"),
        RunStatus::Lost => ("is LOST", "its keeper is gone and left no record of how it ended"),
        RunStatus::Failed if run.process_pid.is_none() => ("FAILED", "no process was started: the step says why"),
        RunStatus::Failed if run.signal.is_some() => ("FAILED", "its process was killed by a signal"),
        _ => ("FAILED", "its process ended with another exit code than 0, or its adapter said so"),
    };
    let mut why = Why {
        verdict: if run.status == RunStatus::Succeeded {
            format!("{name} {word}.")
        } else {
            format!("{name} {word}{because}")
        },
        rule: rule.to_owned(),
        since: run.finished_at,
        ..Why::default()
    };
    for step in detail.steps.iter().filter(|s| s.status == StepStatus::Failed) {
        why.evidence.push(Line::new(format!("step {}", step.step), step.outcome.clone().unwrap_or_default(), ""));
    }
    if let Some(code) = run.exit_code {
        why.evidence.push(Line::new("exit code", code.to_string(), ""));
    }
    if let Some(signal) = &run.signal {
        why.evidence.push(Line::new("signal", signal.clone(), run.signal_reason.clone().unwrap_or_default()));
    }
    if let Some(code) = &run.error_code {
        why.evidence.push(Line::new("error", code.clone(), cause.unwrap_or_default()));
    }
    if let Some(by) = &run.stop_requested_by {
        why.evidence.push(Line::new("stop asked", format!("by {by}"), ""));
    }
    if let Some(state) = run.liveness_state {
        let reason = run.liveness_reason.clone().unwrap_or_default();
        why.evidence.push(Line::new("outcome", state.as_str().replace('_', " "), reason));
    }
    for item in detail.operations.iter().filter(|o| o.operation.error.is_some()) {
        let row = &item.operation;
        let label = format!("{} {}", Kind::Operation.number(row.number), row.phase.as_str().replace('_', " "));
        why.evidence.push(Line::new(label, row.error.clone().unwrap_or_default(), ""));
        why.can_do.push(Line::new(
            format!("wharf logs {}", Kind::Operation.number(row.number)),
            "read what it printed",
            "",
        ));
    }
    let after = detail.chain.iter().filter(|c| c.number > run.number).map(|c| Kind::Run.number(c.number));
    let after: Vec<String> = after.collect();
    if !after.is_empty() {
        why.evidence.push(Line::new("followed by", after.join(", "), "for the same work"));
    }
    for step in detail.steps.iter().filter(|s| s.status == StepStatus::Succeeded) {
        why.not_the_cause.push(Line::new(step.step.as_str(), step.outcome.clone().unwrap_or_default(), ""));
    }
    why.can_do.insert(0, Line::new(format!("wharf logs {name}"), "read what it printed", ""));
    if let Some(agent) = &detail.line.agent {
        let issue = detail.line.issue.as_ref().map_or_else(String::new, |issue| format!(" --issue {issue}"));
        why.can_do.push(Line::new(format!("wharf run {agent}{issue}"), "start it again", ""));
    }
    why
}
