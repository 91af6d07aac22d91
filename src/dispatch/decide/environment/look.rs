//! Environments that are looked at, and agents that are tried in them.

use serde_json::{Value, json};
use wharf_model::config::Adapter;
use wharf_model::{
    ActionId, ActionKind, ActionRow, ActionStatus, AgentRow, AgentStatus, EnvironmentRow, EnvironmentStatus, LeaseEnd,
    LeaseId, LeaseRow, LeaseStatus, RequestId, RequestKind, RequestRow, RequestStatus, UnixMillis,
};

use super::super::{Deciding, about, is_open, lease};
use super::{answer, edit, finish, named};
use crate::dispatch::input::{Actor, Refusal};
use crate::environment::driver::{Check, Level};

/// Time after which nobody waits for a probe any more; its executor's own limit is shorter.
const PROBE_LIMIT_MS: i64 = 2 * 60_000;
/// The same for a test, which waits for a slot and a place first.
const TEST_LIMIT_MS: i64 = 15 * 60_000;
/// What a failed test may be called by; other findings are the adapter's.
const CODES: &[&str] = &[
    "unsupported_environment",
    "unsupported_adapter_environment",
    "probe_failed",
    "lease_acquire_failed",
    "transport_resolution_failed",
    "workspace_realization_failed",
    "command_not_found",
    "command_not_executable",
    "auth_required",
];

/// `environment.probe`: of one that is saved, or of settings that are not.
pub(super) fn probe(d: &mut Deciding<'_, '_>, row: &RequestRow) -> Result<Value, Refusal> {
    let request = row.id.text();
    if row.target_id.is_none() && row.args.get("environment").is_none() {
        let unsaved = edit::described(d, row, "unsaved", 0)?;
        let args = json!({ "request": request, "environment": serde_json::to_value(&unsaved).unwrap_or_default() });
        let action = d.intend(ActionKind::Probe, "request", &request, 1, None, Some(args));
        return Ok(json!({ "action_id": action.text() }));
    }
    let environment = named(d, row)?;
    let args = json!({ "request": request, "of": environment.driver_config() });
    let action = d.intend(ActionKind::Probe, "environment", &environment.id.text(), 1, None, Some(args));
    let mut result = answer(&environment);
    result["action_id"] = json!(action.text());
    Ok(result)
}

/// `environment.test`: an agent, or an adapter alone, in a place that is acquired for it and given back.
pub(super) fn test(d: &mut Deciding<'_, '_>, row: &RequestRow) -> Result<Value, Refusal> {
    let environment = named(d, row)?;
    if environment.status != EnvironmentStatus::Active {
        let message = format!("environment {} is {}; restore it first", environment.name, environment.status);
        return Err(Refusal::new("environment_inactive", message));
    }
    let agent = match row.args.get("agent").and_then(Value::as_str) {
        Some(named) => Some(agent(d, &environment, row, named)?),
        None => None,
    };
    let adapter = row.args.get("adapter").and_then(Value::as_str).or(agent.as_ref().map(|a| a.adapter_type.as_str()));
    let Some(adapter) = adapter else {
        return Err(Refusal::new("agent_not_found", "the request names neither an agent nor an adapter to be tested"));
    };
    if Adapter::parse(adapter).is_none() {
        let message = format!("adapter {adapter:?} is not known, so it cannot run in environment {}", environment.name);
        return Err(Refusal::new("unsupported_adapter_environment", message));
    }
    let lease = lease::ask_for_request(d, row.id, &environment);
    let mut result = answer(&environment);
    result["lease_id"] = json!(lease.text());
    result["lease"] = json!(d.tx.get::<LeaseRow>(lease).map(|l| wharf_model::Kind::Lease.number(l.number)));
    result["adapter"] = json!(adapter);
    result["agent_id"] = json!(agent.map(|a| a.id.text()));
    Ok(result)
}

/// The agent that a test names, by id or by name in the company.
fn agent(
    d: &Deciding<'_, '_>,
    environment: &EnvironmentRow,
    row: &RequestRow,
    named: &str,
) -> Result<AgentRow, Refusal> {
    let project = row.args.get("project").and_then(Value::as_str);
    let found: Vec<&AgentRow> = d
        .state()
        .agents
        .values()
        .filter(|a| a.company_id == environment.company_id && a.status != AgentStatus::Archived)
        .filter(|a| a.id.text() == named || (a.name == named && project.is_none_or(|p| a.project_id.text() == p)))
        .collect();
    match found.as_slice() {
        [one] if one.status == AgentStatus::PendingApproval => Err(Refusal::new(
            "agent_not_invokable",
            format!("agent {} stands in a config that is not accepted yet; wharf config accept", one.name),
        )),
        [one] => Ok((*one).clone()),
        [] => Err(Refusal::new("agent_not_found", format!("no agent of this company is called {named}"))),
        _ => Err(Refusal::new("id_ambiguous", format!("several projects have an agent {named}; give its id"))),
    }
}

/// A lease that was acquired for a test: what it is for can begin. Says whether somebody waits for it.
pub(crate) fn try_out(d: &mut Deciding<'_, '_>, lease: LeaseId, request: RequestId) -> bool {
    let Some(row) = d.tx.get::<RequestRow>(request).filter(|r| r.status == RequestStatus::Accepted) else {
        return false;
    };
    let agent = row.result.as_ref().map(|r| r["agent_id"].clone()).unwrap_or_default();
    let fence = d.tx.get::<LeaseRow>(lease).and_then(|l| l.fence);
    let args = json!({ "agent": agent, "request": request.text() });
    d.intend(ActionKind::TestEnvironment, "lease", &lease.text(), 1, fence, Some(args));
    true
}

/// What was found, as it is kept and answered.
fn findings(checks: &[Check], took_ms: i64) -> (bool, Value) {
    let ok = checks.iter().all(|c| c.level != Level::Error);
    (ok, json!({ "ok": ok, "took_ms": took_ms, "checks": checks }))
}

/// What failed, in words.
fn failed(checks: &[Check]) -> String {
    let wrong: Vec<String> =
        checks.iter().filter(|c| c.level == Level::Error).map(|c| format!("{}: {}", c.code, c.message)).collect();
    wrong.join("; ")
}

/// An environment was looked at.
pub(crate) fn probed(d: &mut Deciding<'_, '_>, action: ActionId, checks: &[Check], took_ms: i64) {
    let Some(intended) = d.tx.get::<ActionRow>(action).cloned() else { return };
    if !d.end_action(action, ActionStatus::Done, None) {
        return;
    }
    let args = intended.args.clone().unwrap_or_default();
    let request = args["request"].as_str().and_then(|t| t.parse::<RequestId>().ok());
    let request = request.and_then(|id| d.tx.get::<RequestRow>(id)).cloned();
    let actor = request.as_ref().map_or_else(Actor::system, |r| Actor { kind: r.actor_type, id: r.actor_id.clone() });
    let (ok, mut found) = findings(checks, took_ms);
    let wrong: Vec<&str> = checks.iter().filter(|c| c.level == Level::Error).map(|c| c.code.as_str()).collect();
    let details = json!({ "ok": ok, "took_ms": took_ms, "checks": checks.len(), "failed": wrong });
    found["at"] = json!(d.now().0);
    match args.get("environment").cloned().and_then(|row| serde_json::from_value::<EnvironmentRow>(row).ok()) {
        Some(unsaved) => {
            let mut about = about::environment(&unsaved);
            about.number = None;
            d.activity(&actor, "environment.probed_unsaved", &about, Some(details));
        }
        None => {
            let id = intended.entity_id.parse().ok();
            let row = id.and_then(|id| d.tx.get::<EnvironmentRow>(id)).cloned();
            if let Some(row) = row.filter(|row| row.status != EnvironmentStatus::Deleted) {
                // Of other settings than those of now it says nothing.
                if args.get("of").is_none_or(|of| *of == row.driver_config()) {
                    d.tx.update::<EnvironmentRow>(row.id, |e| e.probe = Some(found.clone()));
                }
                d.activity(&actor, "environment.probed", &about::environment(&row), Some(details));
            }
        }
    }
    if let Some(request) = request {
        let mut result = request.result.clone().unwrap_or_default();
        merge(&mut result, found);
        let error = (!ok).then(|| ("probe_failed".to_owned(), failed(checks)));
        finish(d, &request, Some(result), error);
    }
}

/// An agent's adapter was tried; the place is given back whatever came of it.
pub(crate) fn tested(d: &mut Deciding<'_, '_>, action: ActionId, id: LeaseId, checks: &[Check], took_ms: i64) {
    d.end_action(action, ActionStatus::Done, None);
    let request = d.tx.get::<LeaseRow>(id).and_then(|l| l.request_id);
    lease::give_back(d, id, LeaseEnd::Released, None);
    let Some(request) = request.and_then(|r| d.tx.get::<RequestRow>(r)).cloned() else { return };
    let (ok, mut found) = findings(checks, took_ms);
    found["at"] = json!(d.now().0);
    if let Some(row) = d.tx.get::<LeaseRow>(id).and_then(|l| d.state().environments.get(&l.environment_id)).cloned() {
        let actor = Actor { kind: request.actor_type, id: request.actor_id.clone() };
        let details = json!({ "ok": ok, "took_ms": took_ms, "agent": request.args.get("agent") });
        d.activity(&actor, "environment.tested", &about::environment(&row), Some(details));
    }
    let mut result = request.result.clone().unwrap_or_default();
    merge(&mut result, found);
    let code = checks.iter().find(|c| c.level == Level::Error).map(|c| c.code.as_str());
    let code = code.filter(|code| CODES.contains(code)).unwrap_or("adapter_failed");
    finish(d, &request, Some(result), (!ok).then(|| (code.to_owned(), failed(checks))));
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}

fn since_ms(d: &Deciding<'_, '_>, row: &RequestRow) -> i64 {
    row.answered_at.map_or(0, |at| at.until(d.now()))
}

/// When nobody waits for an accepted probe or test any more.
pub(crate) fn due_at(row: &RequestRow) -> Option<UnixMillis> {
    let limit = match RequestKind::parse(&row.kind)? {
        RequestKind::EnvironmentProbe => PROBE_LIMIT_MS,
        RequestKind::EnvironmentTest => TEST_LIMIT_MS,
        _ => return None,
    };
    row.answered_at.map(|at| at.plus(limit + 1))
}

/// Ends the request of a probe that nobody will answer any more.
pub(super) fn settle_probe(d: &mut Deciding<'_, '_>, row: &RequestRow) {
    let action = row.result.as_ref().and_then(|r| r["action_id"].as_str()).and_then(|t| t.parse::<ActionId>().ok());
    let action = action.and_then(|a| d.tx.get::<ActionRow>(a)).cloned();
    let late = since_ms(d, row) > PROBE_LIMIT_MS;
    let why = match &action {
        Some(action) if is_open(action.status) && !late => return,
        Some(action) => action.last_error.clone(),
        None => None,
    };
    if let Some(action) = action {
        d.end_action(action.id, ActionStatus::Superseded, None);
    }
    let message = why.unwrap_or_else(|| "the probe was not answered in time".to_owned());
    finish(d, row, None, Some(("probe_failed".into(), message)));
}

/// Ends the request of a test whose place was not to be had, or which nobody will answer any more.
pub(super) fn settle_test(d: &mut Deciding<'_, '_>, row: &RequestRow) {
    let lease = row.result.as_ref().and_then(|r| r["lease_id"].as_str()).and_then(|t| t.parse::<LeaseId>().ok());
    let found = lease.and_then(|id| d.tx.get::<LeaseRow>(id)).cloned();
    let failed = |message: Option<String>| {
        let message = message.unwrap_or_else(|| "no place was to be had for the test".to_owned());
        Some(("lease_acquire_failed".to_owned(), message))
    };
    let Some(found) = found else { return finish(d, row, None, failed(None)) };
    let id = found.id.text();
    let trying = d
        .state()
        .actions
        .values()
        .any(|a| a.kind == ActionKind::TestEnvironment && a.entity_id == id && is_open(a.status));
    let late = since_ms(d, row) > TEST_LIMIT_MS;
    match found.status {
        LeaseStatus::Waiting | LeaseStatus::Acquiring if !late => {}
        LeaseStatus::Active if trying && !late => {}
        LeaseStatus::Waiting | LeaseStatus::Acquiring | LeaseStatus::Active => {
            let message = "the test was not answered in time".to_owned();
            lease::give_back(d, found.id, LeaseEnd::Released, Some(message.clone()));
            finish(d, row, None, Some(("timeout".into(), message)));
        }
        _ => finish(d, row, None, failed(found.failure_reason)),
    }
}
