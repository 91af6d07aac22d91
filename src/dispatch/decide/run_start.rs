//! `run.start`: a wake and a queued run, or a refusal that says why.

use serde_json::{Value, json};
use wharf_model::config::AgentConfig;
use wharf_model::{
    AgentId, AgentRow, DeadlineKind, EnvironmentId, EnvironmentStatus, InvocationSource, IssueId, IssueRow,
    IssueStatus, Kind, Priority, ProjectRow, RequestOrigin, RequestRow, RunId, RunRow, RunTextKind, TriggerDetail,
    WakeupId, WakeupRow,
};

use super::{Deciding, about, lease, place};
use crate::dispatch::input::{Actor, Refusal};

/// How long a run may wait in the queue.
pub(crate) const QUEUE_LIMIT_MS: i64 = 24 * 60 * 60_000;
/// Longest prompt, in bytes.
const PROMPT_MAX_BYTES: usize = 1 << 20;

/// Accepts the request: `target` is the agent; args: prompt, issue, environment.
pub(crate) fn accept(
    d: &mut Deciding<'_, '_>,
    row: &RequestRow,
    agent_id: AgentId,
    actor: &Actor,
) -> Result<Value, Refusal> {
    let agent =
        d.tx.get::<AgentRow>(agent_id)
            .cloned()
            .ok_or_else(|| Refusal::new("agent_not_found", "there is no such agent in the accepted config"))?;
    if !agent.status.is_invokable() {
        let why = agent.status_reason.clone().map(|r| format!(": {r}")).unwrap_or_default();
        return Err(Refusal::new("agent_not_invokable", format!("agent {} is {}{why}", agent.name, agent.status)));
    }
    let project =
        d.tx.get::<ProjectRow>(agent.project_id)
            .filter(|p| p.removed_at.is_none())
            .cloned()
            .ok_or_else(|| Refusal::new("id_unknown", format!("the project of agent {} was removed", agent.name)))?;
    if project.accepted_executable_hash.is_none() {
        return Err(Refusal::new("config_not_accepted", format!("the config of {} was never accepted", project.key)));
    }
    let issue = issue(d, row, &agent)?;
    let environment = environment(d, row, &agent)?;
    let prompt = prompt(row, &agent)?;
    let number = |name: &str| agent.config.get(name).and_then(Value::as_i64);
    let timeout_ms = number("timeout_ms").filter(|ms| *ms > 0);
    let grace_ms = number("grace_ms").unwrap_or(15_000);
    let priority = issue.as_ref().map_or(4, |i| match i.priority {
        Priority::Critical => 0,
        Priority::High => 1,
        Priority::Medium => 2,
        Priority::Low => 3,
    });
    let now = d.now();
    let id: RunId = d.id();
    let wakeup: WakeupId = d.id();
    let run_number = d.tx.next_number("run");
    d.tx.put(WakeupRow {
        source: InvocationSource::OnDemand,
        trigger_detail: trigger(row.origin),
        reason: row.args.get("reason").and_then(Value::as_str).map(str::to_owned),
        payload: Some(json!({ "issueId": issue.as_ref().map(|i| i.id.text()), "request": row.id.text() })),
        requested_by_actor_type: row.actor_type,
        requested_by_actor_id: Some(row.actor_id.clone()),
        idempotency_key: row.idempotency_key.clone(),
        ..WakeupRow::queued(wakeup, agent.company_id, agent_id, id, now)
    });
    d.tx.put(RunRow {
        issue_id: issue.as_ref().map(|i| i.id),
        invocation_source: InvocationSource::OnDemand,
        trigger_detail: trigger(row.origin),
        wakeup_request_id: Some(wakeup),
        priority,
        deadline_at: Some(now.plus(QUEUE_LIMIT_MS)),
        deadline_kind: Some(DeadlineKind::Wall),
        environment_id: environment,
        timeout_ms,
        grace_ms,
        ..RunRow::queued(id, run_number, &agent, now)
    });
    if let Some(prompt) = prompt {
        d.tx.text(id, RunTextKind::Prompt, prompt);
    }
    place::check_free(d.state(), id)?;
    let label = Kind::Run.number(run_number);
    d.tx.event(id, "lifecycle", "info", format!("queued by {}", actor.id), None);
    if let Some(run) = d.tx.get::<RunRow>(id).cloned() {
        let details = json!({ "agent": agent.name, "issue": issue.map(|i| i.identifier) });
        d.activity(actor, "run.queued", &about::run(&run), Some(details));
    }
    Ok(json!({ "run_id": id.text(), "run": label }))
}

fn trigger(origin: RequestOrigin) -> TriggerDetail {
    match origin {
        RequestOrigin::Console | RequestOrigin::Cli => TriggerDetail::Manual,
        RequestOrigin::Agent => TriggerDetail::Callback,
        RequestOrigin::Timer => TriggerDetail::System,
    }
}

fn issue(d: &Deciding<'_, '_>, row: &RequestRow, agent: &AgentRow) -> Result<Option<IssueRow>, Refusal> {
    let Some(text) = row.args.get("issue").and_then(Value::as_str) else { return Ok(None) };
    let found = match text.parse::<IssueId>() {
        Ok(id) => d.tx.get::<IssueRow>(id).cloned(),
        Err(_) => d.state().issues.values().find(|i| i.identifier.eq_ignore_ascii_case(text)).cloned(),
    };
    let found = found.filter(|i| i.project_id == agent.project_id);
    let Some(issue) = found else {
        return Err(Refusal::new("issue_not_found", format!("this project has no open issue {text}")));
    };
    if matches!(issue.status, IssueStatus::Done | IssueStatus::Cancelled) {
        let message = format!("{} is {}; reopen it before a run works on it", issue.identifier, issue.status);
        return Err(Refusal::new("issue_terminal_status", message));
    }
    Ok(Some(issue))
}

fn environment(d: &mut Deciding<'_, '_>, row: &RequestRow, agent: &AgentRow) -> Result<Option<EnvironmentId>, Refusal> {
    let Some(name) = row.args.get("environment").and_then(Value::as_str) else { return Ok(None) };
    let found = d.state().environments.values().find(|e| {
        e.company_id == agent.company_id
            && e.status != EnvironmentStatus::Deleted
            && (e.name == name || e.id.text() == name || Kind::Environment.number(e.number) == name)
    });
    match found {
        Some(environment) => Ok(Some(environment.id)),
        // The company's own is made when it is first wanted.
        None if name == "Local" => Ok(Some(lease::ensure_local(d, agent.company_id).id)),
        None => Err(Refusal::new("environment_not_found", format!("this company has no environment {name}"))),
    }
}

fn prompt(row: &RequestRow, agent: &AgentRow) -> Result<Option<String>, Refusal> {
    let given = row.args.get("prompt").and_then(Value::as_str).map(str::to_owned);
    // A config that cannot be read says so at the start of the run.
    let config = serde_json::from_value::<AgentConfig>(agent.config.clone()).ok();
    if given.is_some()
        && let Some(why) = config.and_then(|config| config.takes_no_prompt())
    {
        let message = format!("agent {} takes no prompt: {}; {}", agent.name, why.cause(), why.advice());
        return Err(Refusal::new("illegal_state", message));
    }
    let prompt = given.or_else(|| agent.config.pointer("/prompt/text").and_then(Value::as_str).map(str::to_owned));
    if prompt.as_ref().is_some_and(|p| p.len() > PROMPT_MAX_BYTES) {
        return Err(Refusal::new(
            "illegal_state",
            "the prompt is longer than 1 MiB; put it into a file of the repository",
        ));
    }
    Ok(prompt)
}
