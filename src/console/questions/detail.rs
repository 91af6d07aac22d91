//! Every fact of one run, in blocks.

use std::path::Path;

use wharf_model::shim::LimitsReport;
use wharf_model::{Kind, OperationStatus, RunStatus, UnixMillis};
use wharf_store::view;
use wharf_ui::format::{self, Zone};
use wharf_ui::rows::{ActivityLine, DeadlineLine, Fact, FactBlock, RunDetail, RunLine, SpanLine, StepLine};

use super::rows::{self, fact, phase_words, step_words};
use crate::why::{self, Line, Why};

/// Everything known of a run.
pub fn run(detail: &view::RunDetail, why: &Why, data: &Path, now: UnixMillis, zone: Zone) -> RunDetail {
    let mut line = rows::run(&detail.line);
    line.halted = rows::halted_now(data, &detail.line);
    line.terminal = rows::has_terminal_now(data, &detail.line);
    line.limit_ms = detail.run.timeout_ms;
    RunDetail {
        facts: facts(detail, &line, now, zone),
        line,
        steps: detail.steps.iter().map(|s| step(s, detail)).collect(),
        spans: spans(detail),
        why: account(why, now, zone),
        deadlines: deadlines(detail),
        activity: detail.activity.iter().rev().map(event).collect(),
    }
}

/// Why it stands as it does, in blocks.
fn account(why: &Why, now: UnixMillis, zone: Zone) -> Vec<FactBlock> {
    // What is said at length goes on in the rows below.
    let whole = |label: &str, value: &str| Fact { bad: true, ..fact(label, value.to_owned(), "") };
    let lines = |title: &str, lines: &[Line]| {
        let row = |(at, line): (usize, &Line)| {
            let label = if at == 0 { title.to_owned() } else { String::new() };
            if line.label == title {
                fact(&label, line.value.clone(), line.remark.clone())
            } else {
                fact(&label, format!("{}: {}", line.label, line.value), line.remark.clone())
            }
        };
        FactBlock { facts: lines.iter().enumerate().map(row).collect() }
    };
    let mut rule = vec![fact("RULE", why.rule.clone(), "")];
    if let Some(at) = why.since {
        rule.push(fact("since", format::moment(at, now, zone), format::duration(at.until(now))));
    }
    if let Some((at, what)) = &why.until {
        rule.push(fact("until", format::moment(*at, now, zone), what.clone()));
    }
    let blocks = [
        FactBlock { facts: vec![whole("", &why.verdict)] },
        FactBlock { facts: rule },
        lines("EVIDENCE", &why.evidence),
        lines("NOT CAUSE", &why.not_the_cause),
        lines("WORKSPACE", &why.workspace),
        lines("ENVIRONMENT", &why.environment),
        lines("YOU CAN", &why.can_do),
    ];
    blocks.into_iter().filter(|b| !b.facts.is_empty()).collect()
}

/// An entry of the run's own trail: what was done belongs to its words.
fn event(row: &wharf_model::ActivityRow) -> ActivityLine {
    let line = rows::activity(0, row);
    let details =
        if line.details.is_empty() { line.action.clone() } else { format!("{}: {}", line.action, line.details) };
    ActivityLine { details, ..line }
}

fn step(row: &wharf_model::StepRow, detail: &view::RunDetail) -> StepLine {
    let number = match row.step {
        wharf_model::Step::Acquire => detail.lease.as_ref().map(|l| Kind::Lease.number(l.lease.number)),
        wharf_model::Step::Realise => detail.workspace.as_ref().map(|w| Kind::Workspace.number(w.number)),
        _ => None,
    };
    let title = step_words(row.step).to_owned();
    let error = row.outcome.clone().filter(|_| rows::step_failed(row.status));
    StepLine {
        name: row.step.to_string(),
        title: number.map_or(title.clone(), |n| format!("{title} {n}")),
        status: row.status.to_string(),
        started_at: row.started_at,
        finished_at: row.finished_at,
        deadline_at: row.deadline_at,
        error,
    }
}

fn spans(detail: &view::RunDetail) -> Vec<SpanLine> {
    let mut spans: Vec<SpanLine> = detail
        .operations
        .iter()
        .rev()
        .map(|item| {
            let row = &item.operation;
            let command = row.command.as_deref().and_then(|c| c.lines().next()).unwrap_or_default();
            let title = format!("{} {}", Kind::Operation.number(row.number), phase_words(row.phase));
            SpanLine {
                step: wharf_model::Step::Realise.to_string(),
                title: if command.is_empty() { title } else { format!("{title}: {command}") },
                started_at: row.started_at,
                finished_at: row.finished_at,
                failed: matches!(row.status, OperationStatus::Failed | OperationStatus::Lost),
            }
        })
        .collect();
    spans.extend(detail.services.iter().filter_map(|item| {
        let row = &item.service;
        Some(SpanLine {
            step: wharf_model::Step::Target.to_string(),
            title: format!("{} {}", Kind::Service.number(row.number), row.name),
            started_at: row.started_at?,
            finished_at: row.ready_at.or(row.stopped_at),
            failed: row.status == wharf_model::ServiceStatus::Failed,
        })
    }));
    spans
}

fn deadlines(detail: &view::RunDetail) -> Vec<DeadlineLine> {
    let run = &detail.run;
    if run.status.is_terminal() {
        return Vec::new();
    }
    let mut out = Vec::new();
    if let Some(at) = run.deadline_at {
        let (name, allowed_ms) = match run.status {
            RunStatus::Running if run.stop_requested_at.is_some() => ("stopped by then", run.stop_grace_ms),
            RunStatus::Running => ("run limit", run.timeout_ms),
            _ => ("waits at most until", None),
        };
        out.push(DeadlineLine { name: name.to_owned(), allowed_ms, at, remark: String::new() });
    }
    out.extend(detail.steps.iter().filter(|s| s.finished_at.is_none()).filter_map(|s| {
        let allowed_ms = s.step.deadline_ms();
        Some(DeadlineLine { name: format!("step {}", s.step), allowed_ms, at: s.deadline_at?, remark: String::new() })
    }));
    out
}

fn facts(detail: &view::RunDetail, line: &RunLine, now: UnixMillis, zone: Zone) -> Vec<FactBlock> {
    let blocks = [
        asked(detail, now, zone),
        process(detail, line, now, zone),
        ended(detail, now, zone),
        place(detail, zone),
        output(detail),
        usage(detail),
    ];
    blocks.into_iter().filter(|facts| !facts.is_empty()).map(|facts| FactBlock { facts }).collect()
}

fn asked(detail: &view::RunDetail, now: UnixMillis, zone: Zone) -> Vec<Fact> {
    let run = &detail.run;
    // Number, state and moments stand above these: the pane knows them from the list.
    let mut out = Vec::new();
    if let Some(step) = run.step.filter(|_| run.status == RunStatus::Running) {
        let began = detail.steps.iter().find(|s| s.step == step).and_then(|s| s.started_at);
        let since = began.map(|at| format!("for {}", format::duration(at.until(now))));
        out.push(fact("step", format!("{} of 7, {}", step.ordinal() + 1, step_words(step)), since.unwrap_or_default()));
    }
    let by = detail.wakeup.as_ref().and_then(|w| w.requested_by_actor_id.clone()).unwrap_or_else(|| "wharf".to_owned());
    let how = run.invocation_source.as_str().replace('_', " ");
    out.push(fact("asked by", format!("{by}, {how}"), format::full(run.queued_at, zone)));
    out.push(fact("agent", detail.line.agent.clone().unwrap_or_default(), ""));
    if let Some(issue) = &detail.line.issue {
        out.push(fact("issue", issue.clone(), detail.line.issue_title.clone().unwrap_or_default()));
    }
    if run.attempt > 1 {
        out.push(fact("attempt", run.attempt.to_string(), ""));
    }
    if let Some(number) = detail.line.retry_of_number {
        out.push(fact("retry of", Kind::Run.number(number), run.scheduled_retry_reason.clone().unwrap_or_default()));
    }
    if detail.chain.len() > 1 {
        let words = detail.chain.iter().map(|c| {
            let here = if c.id == run.id { " (this)" } else { "" };
            format!("{} {}{here}", Kind::Run.number(c.number), c.status.as_str().replace('_', " "))
        });
        out.push(fact("lineage", words.collect::<Vec<_>>().join(" \u{2192} "), ""));
    }
    if let Some(next) = &run.next_action {
        out.push(fact("next action", next.clone(), ""));
    }
    out
}

fn process(detail: &view::RunDetail, line: &RunLine, now: UnixMillis, zone: Zone) -> Vec<Fact> {
    let run = &detail.run;
    let Some(pid) = run.process_pid else { return Vec::new() };
    let started = run.process_started_at.map(|at| format!("started {}", format::clock_millis(at, zone)));
    let mut out = vec![fact("PROCESS", format!("pid {pid}"), started.unwrap_or_default())];
    if line.terminal {
        out.push(fact("terminal", "tty = true", format!("a attaches, or: wharf attach {}", line.name())));
    }
    if let Some(halted) = &line.halted {
        out.push(Fact { bad: true, ..fact("state", halted.words(now, zone), halted.advice()) });
    }
    if let Some(group) = run.process_group_id {
        out.push(fact("group", group.to_string(), ""));
    }
    let execute = detail.steps.iter().find(|s| s.step == wharf_model::Step::Execute);
    out.extend(execute.and_then(|s| LimitsReport::of_step(s.detail.as_ref())).map(|report| limits(&report)));
    let evidence = run.observation_evidence.clone().unwrap_or_default();
    // What was last observed of one that has ended is its end, which has its own block.
    if !run.status.is_terminal() {
        let bad = run.observation == wharf_model::Observation::Unknown;
        out.push(Fact { bad, ..fact("observed", run.observation.as_str(), evidence) });
    }
    out
}

/// What is capped, by what, and what is not although it was asked.
fn limits(report: &LimitsReport) -> Fact {
    let bad = !report.unenforced.is_empty() || report.oom_kills > 0;
    Fact { bad, ..fact("limits", report.words(), report.killed_words().unwrap_or_default()) }
}

fn ended(detail: &view::RunDetail, now: UnixMillis, zone: Zone) -> Vec<Fact> {
    let run = &detail.run;
    let mut out = Vec::new();
    if let Some(at) = run.stop_requested_at {
        let who = run.stop_requested_by.clone().unwrap_or_default();
        let why = run.stop_reason.map(|r| r.as_str().replace('_', " ")).unwrap_or_default();
        out.push(fact("stop asked", format!("by {who}, {why}"), format::clock(at, zone)));
    }
    if let Some(at) = run.finished_at {
        let took = run.started_at.map(|s| format!("took {}", format::took(s.until(at)))).unwrap_or_default();
        out.push(fact("finished", format::moment(at, now, zone), took));
    }
    if let Some(code) = run.exit_code {
        out.push(Fact { bad: code != 0, ..fact("exit code", code.to_string(), "") });
    }
    if let Some(signal) = &run.signal {
        let why = run.signal_reason.clone().unwrap_or_default();
        out.push(Fact { bad: true, ..fact("signal", signal.clone(), why) });
    }
    if let Some(code) = &run.error_code {
        out.push(Fact { bad: true, ..fact("error", code.replace('_', " "), run.error.clone().unwrap_or_default()) });
    }
    if run.oom {
        let probably = run.signal_reason.as_deref().is_some_and(|why| why.starts_with("probably"));
        let words = format!("the kernel {}ended it for want of memory", if probably { "probably " } else { "" });
        out.push(Fact { bad: true, ..fact("memory", words, "") });
    }
    if let Some(survivors) = run.survivors.as_ref().filter(|s| s.as_array().is_none_or(|a| !a.is_empty())) {
        out.push(Fact { bad: true, ..fact("survivors", rows::details(survivors), "") });
    }
    if let Some(state) = run.liveness_state {
        let why = run.liveness_reason.clone().unwrap_or_default();
        out.push(fact("outcome", state.as_str().replace('_', " "), why));
    }
    if let Some(first) = out.first_mut()
        && run.finished_at.is_some()
    {
        "END".clone_into(&mut first.label);
    }
    out
}

fn place(detail: &view::RunDetail, zone: Zone) -> Vec<Fact> {
    let run = &detail.run;
    let mut out = Vec::new();
    if let Some(lease) = &detail.lease {
        let row = &lease.lease;
        let since = row.acquired_at.map(|at| format!(", since {}", format::clock(at, zone))).unwrap_or_default();
        let words = format!(
            "{} {}{since}",
            wharf_ui::rows::lease_state(row.status).1,
            wharf_ui::rows::policy_words(row.lease_policy)
        );
        out.push(fact("LEASE", format!("{} on {}", Kind::Lease.number(row.number), lease.environment), words));
    }
    if let Some(row) = &detail.workspace {
        let branch = row.branch_name.clone().unwrap_or_default();
        out.push(fact("workspace", Kind::Workspace.number(row.number), branch));
        out.push(fact("directory", row.cwd.clone().unwrap_or_default(), ""));
        if let Some(remark) = why::remark(&detail.steps) {
            out.push(Fact { bad: true, ..fact("works there", remark, "") });
        }
    }
    for item in &detail.services {
        let state = rows::service_state(item.service.status, item.service.health, false).1;
        let name = format!("{} {}", Kind::Service.number(item.service.number), item.service.name);
        out.push(fact("service", name, format!("{state} {}", item.service.url.clone().unwrap_or_default())));
    }
    if let (Some(before), after) = (&run.session_id_before, &run.session_id_after) {
        out.push(fact("session before", before.clone(), ""));
        if let Some(after) = after {
            out.push(fact("session after", after.clone(), ""));
        }
    } else if let Some(after) = &run.session_id_after {
        out.push(fact("session after", after.clone(), ""));
    }
    out
}

fn output(detail: &view::RunDetail) -> Vec<Fact> {
    let run = &detail.run;
    let mut out = Vec::new();
    let size = |n: Option<i64>| n.map(|n| format::size(n.unsigned_abs()));
    if let Some(bytes) = size(run.stdout_bytes) {
        out.push(fact("stdout", bytes, run.stdout_sha256.clone().map(|h| format!("sha256 {h}")).unwrap_or_default()));
    }
    if let Some(bytes) = size(run.stderr_bytes) {
        out.push(fact("stderr", bytes, run.stderr_sha256.clone().map(|h| format!("sha256 {h}")).unwrap_or_default()));
    }
    if let Some(at) = run.log_deleted_at {
        let why = run.log_deleted_reason.clone().unwrap_or_default();
        out.push(fact("log", format!("removed {}", at.rfc3339()), why));
    } else if let Some(place) = &run.log_ref {
        out.push(fact("log", place.clone(), size(run.log_bytes).unwrap_or_default()));
    }
    if let Some(first) = out.first_mut() {
        first.value = format!("{} {}", first.label, first.value);
        "OUTPUT".clone_into(&mut first.label);
    }
    out
}

fn usage(detail: &view::RunDetail) -> Vec<Fact> {
    let run = &detail.run;
    let mut out = Vec::new();
    if let (Some(user), Some(sys)) = (run.user_us, run.sys_us) {
        let words = format!("{} user, {} system", format::fine(user / 1_000), format::fine(sys / 1_000));
        let memory = run.maxrss_kib.map(|kib| format!("peak {}", format::size(kib.unsigned_abs() * 1_024)));
        out.push(fact("CPU", words, memory.unwrap_or_default()));
    }
    out
}

#[cfg(test)]
mod tests {
    use wharf_model::shim::limit;

    use super::*;

    #[test]
    fn limits_are_told_as_they_are_kept() {
        let asked = [(limit::PROCESSES.to_owned(), 64), (limit::MEMORY.to_owned(), 2 << 30)].into();
        let kept = LimitsReport { asked, by: Some("cgroup v2".into()), ..LimitsReport::default() };
        let told = |report: &LimitsReport| {
            let fact = limits(report);
            (fact.bad, fact.value, fact.remark)
        };
        assert_eq!(told(&kept), (false, "64 processes, 2 GiB (cgroup v2)".into(), String::new()));
        let killed = LimitsReport { oom_kills: 1, ..kept.clone() };
        let cost = "the kernel ended 1 process of it for want of memory";
        assert_eq!(told(&killed), (true, "64 processes, 2 GiB (cgroup v2)".into(), cost.into()));
        let unenforced = [(limit::MEMORY.to_owned(), "no controller".to_owned())].into();
        let (bad, words, _) = told(&LimitsReport { unenforced, ..kept });
        assert_eq!((bad, words.as_str()), (true, "64 processes (cgroup v2); 2 GiB not enforced: no controller"));
    }
}
