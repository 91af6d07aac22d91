//! What a running run does, and what it waits for in its step.

use serde_json::Value;
use wharf_model::{Kind, LeaseStatus, Observation, ServiceStatus, Step, UnixMillis};
use wharf_store::StoreError;

use super::workspace::under_way;
use super::{Around, Line, Why, began, is_orchestrated, number, silence};
use crate::console::halted_now;

pub(super) fn of(around: &Around<'_>) -> Result<Why, StoreError> {
    let detail = around.detail;
    let run = &detail.run;
    let name = number(detail);
    let step = run.step.unwrap_or(Step::Resolve);
    let row = detail.steps.iter().find(|s| s.step == step);
    let mut why = Why {
        since: began(detail, step).or(run.started_at),
        until: row.and_then(|s| s.deadline_at).map(|at| (at, "the step is given up then".to_owned())),
        can_do: vec![Line::new(format!("wharf cancel {name}"), "stop it", "")],
        ..Why::default()
    };
    if let Some(asked) = run.stop_requested_at {
        let by = run.stop_requested_by.clone().unwrap_or_else(|| "wharf".to_owned());
        let reason = run.stop_reason.map_or_else(String::new, |r| format!(" ({})", r.as_str().replace('_', " ")));
        why.verdict = format!("{name} is STOPPING: {by} asked for that{reason}.");
        "SIGTERM to all of it, SIGKILL to what is left when the grace is over".clone_into(&mut why.rule);
        why.since = Some(asked);
        why.until = run.deadline_at.map(|at| (at, "killed then".to_owned()));
        why.evidence.push(Line::new("step", step.as_str(), ""));
        return Ok(why);
    }
    if run.observation == Observation::Unknown {
        let evidence = run.observation_evidence.clone().unwrap_or_else(|| "it cannot be asked".to_owned());
        why.verdict = format!("{name} is UNKNOWN: whether it lives cannot be told.");
        "a look that fails is no death: it stays as it is until it is certain".clone_into(&mut why.rule);
        why.evidence.push(Line::new("evidence", evidence, ""));
        why.can_do = vec![
            Line::new(format!("wharf resolve {name} keep"), "leave it as it is", ""),
            Line::new(format!("wharf resolve {name} lost"), "give it up, and stop whatever lives of it", ""),
        ];
        return Ok(why);
    }
    step_words(around, step, &mut why)?;
    why.evidence.insert(0, Line::new("step", format!("{} of 7, {}", step.ordinal() + 1, step.as_str()), ""));
    if is_orchestrated(around.data) {
        why.not_the_cause.push(Line::new("orchestrator", "there is one", ""));
    } else {
        why.evidence.push(Line::new("orchestrator", "there is none", "steps go on when there is one again"));
        why.can_do.insert(0, Line::new("wharf serve", "orchestrate without a screen", ""));
    }
    Ok(why)
}

fn step_words(around: &Around<'_>, step: Step, why: &mut Why) -> Result<(), StoreError> {
    let detail = around.detail;
    let name = number(detail);
    let environment = detail.line.environment.clone().unwrap_or_else(|| "its environment".to_owned());
    match step {
        Step::Resolve | Step::Check => {
            why.verdict = format!("{name} is STARTING: its environment is chosen and checked.");
            "the first that says something decides; it must be active and take this adapter".clone_into(&mut why.rule);
        }
        Step::Acquire => acquire(around, why, &environment),
        Step::Realise if waits_for(around).is_some() => between(around, why),
        Step::Realise => {
            let workspace = detail.workspace.as_ref().map(|w| Kind::Workspace.number(w.number));
            let workspace = workspace.unwrap_or_else(|| "its workspace".to_owned());
            let operation = under_way(around);
            let far = operation.as_ref().and_then(|(_, far)| *far).map_or_else(String::new, |p| format!(", {p}"));
            why.verdict = format!("{name} is STARTING: realising {workspace}{far}.");
            "the workspace is made and provisioned before anything runs in it".clone_into(&mut why.rule);
            match operation {
                Some((line, _)) => {
                    let log = line.label.split(' ').next().unwrap_or_default().to_owned();
                    why.evidence.push(line);
                    why.can_do.push(Line::new(format!("wharf logs {log} -f"), "follow what it prints", ""));
                }
                None => why.evidence.push(Line::new("waits for", "the lock on the repository, or the disk", "")),
            }
        }
        Step::Target => {
            let waiting = detail.services.iter().filter(|s| s.service.status != ServiceStatus::Running);
            let waiting: Vec<Line> = waiting
                .map(|item| {
                    let row = &item.service;
                    let name = format!("{} {}", Kind::Service.number(row.number), row.name);
                    Line::new(name, row.status.as_str(), row.error.clone().unwrap_or_default())
                })
                .collect();
            let names: Vec<&str> = waiting.iter().map(|l| l.label.as_str()).collect();
            let names = if names.is_empty() { "its services".to_owned() } else { names.join(", ") };
            why.verdict = format!("{name} is STARTING: waits for {names}.");
            "every service that its agent names is ready before it starts".clone_into(&mut why.rule);
            why.evidence.extend(waiting);
        }
        Step::Execute => execute(around, why)?,
        Step::Finish => {
            why.verdict = format!("{name} is ENDING: what it held is given back.");
            "leases, services and locks go back before a run is called ended".clone_into(&mut why.rule);
        }
    }
    Ok(())
}

/// What its step says of the workspace that it waits for.
fn waits_for<'d>(around: &Around<'d>) -> Option<&'d Value> {
    let step = around.detail.steps.iter().find(|s| s.step == Step::Realise)?;
    step.detail.as_ref()?.get("waits_for").filter(|waits| waits.is_object())
}

/// It came to a workspace that is just being archived or brought back.
fn between(around: &Around<'_>, why: &mut Why) {
    let Some(waits) = waits_for(around) else { return };
    let text = |key: &str| waits[key].as_str().unwrap_or_default();
    let (workspace, until) = (text("workspace"), text("until"));
    let at = waits["asked_at"].as_i64().map(|at| format!("at {}", UnixMillis(at).rfc3339())).unwrap_or_default();
    let since = waits["asked_by"].as_str().map_or_else(String::new, |by| format!(", since {by} asked for that"));
    why.verdict = format!("{} WAITS for {workspace} to be {until}{since}.", number(around.detail));
    let rule = match until {
        "archived" => {
            "it goes on by itself then, in a workspace of its own; in this one where that could not be archived"
        }
        _ => "it goes on by itself then, in this workspace; in one of its own where that could not be brought back",
    };
    rule.clone_into(&mut why.rule);
    why.since = waits["since"].as_i64().map(UnixMillis).or(why.since);
    why.evidence.push(Line::new("waits for", format!("{workspace} to be {until}"), at));
    why.evidence.push(Line::new("directory", text("place"), "where this run is to work"));
    why.can_do.push(Line::new(format!("wharf show {workspace}"), "see how far that is", ""));
}

fn acquire(around: &Around<'_>, why: &mut Why, environment: &str) {
    let detail = around.detail;
    let name = number(detail);
    let Some(item) = &detail.lease else {
        why.verdict = format!("{name} is STARTING: asks for a lease of {environment}.");
        "a run works under a lease of its environment".clone_into(&mut why.rule);
        return;
    };
    let row = &item.lease;
    let lease = Kind::Lease.number(row.number);
    if row.status == LeaseStatus::Waiting {
        let place = detail.line.queue_position.map_or_else(String::new, |n| format!(", place {n} in line"));
        why.verdict = format!("{name} WAITS for a slot of {environment}{place}.");
        why.rule = format!("`slots` of environment {environment}");
        why.can_do.push(Line::new(format!("wharf leases --held env:{environment}"), "see who has the slots", ""));
    } else {
        why.verdict = format!("{name} is STARTING: {environment} is asked for a place.");
        "the lease's row stands before its provider is called".clone_into(&mut why.rule);
    }
    why.evidence.push(Line::new("lease", format!("{lease} {}", row.status), environment));
}

fn execute(around: &Around<'_>, why: &mut Why) -> Result<(), StoreError> {
    let detail = around.detail;
    let run = &detail.run;
    let name = number(detail);
    let halted = halted_now(around.data, &detail.line);
    why.verdict = match (&halted, run.process_pid) {
        (Some(_), _) => format!("{name} STANDS STILL: its process lives and does not go on."),
        (None, Some(pid)) => format!("{name} is RUNNING: process {pid} works."),
        (None, None) => format!("{name} is STARTING: its process is about to begin."),
    };
    why.rule = match run.timeout_ms {
        Some(_) => "it may run until its time is over".to_owned(),
        None => "it may run as long as it wants".to_owned(),
    };
    why.until = run.deadline_at.map(|at| (at, "its time is over then".to_owned()));
    if let Some(pid) = run.process_pid {
        why.evidence.push(Line::new("process", pid.to_string(), "alive when last looked at"));
    }
    match halted {
        // Why it is silent is known then.
        Some(halted) => why.evidence.push(Line::new("state", halted.word(), halted.advice())),
        None => silence::add(around, why)?,
    }
    for item in &detail.services {
        let row = &item.service;
        let name = format!("{} {}", Kind::Service.number(row.number), row.name);
        why.not_the_cause.push(Line::new("service", name, row.status.as_str()));
    }
    why.can_do.insert(0, Line::new(format!("wharf logs {name} -f"), "follow what it prints", ""));
    why.can_do.push(Line::new(format!("wharf shell {name}"), "open a shell where it works", ""));
    Ok(())
}
