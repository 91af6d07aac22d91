//! `wharf service why`: the rule, since when, the evidence, and what can be done.

use serde_json::json;
use wharf_model::config::ServiceConfig;
use wharf_model::rules::service_desired::is_reported;
use wharf_model::rules::service_order::needs;
use wharf_model::rules::service_restart::{is_parked, times};
use wharf_model::{Desired, Health, Kind, ServiceRow, ServiceStatus, StopPolicy};
use wharf_store::Reader;
use wharf_store::view::ServiceItem;

use super::super::context::{Context, print};
use super::super::error::{Result, exit};
use super::named;
use crate::clock;

/// Explains a service.
pub fn why(context: &Context, text: &str) -> Result<u8> {
    let reader = context.reader_for(text)?;
    let item = named(context, &reader, text)?;
    let s = &item.service;
    let number = Kind::Service.number(s.number);
    let (rule, evidence, actions) = (rule(s), evidence(&reader, &item)?, actions(s, &number));
    let since = s.stopped_at.filter(|_| !s.status.is_live()).or(s.ready_at).or(s.started_at).unwrap_or(s.created_at);
    let until = s.deadline_at.or(s.idle_deadline_at);
    if context.global.json {
        context.document(&json!({
            "schema": "wharf.service_why/1", "service": number, "name": s.name, "status": s.status.as_str(),
            "rule": rule, "since": since.rfc3339(), "until": until.map(wharf_model::UnixMillis::rfc3339),
            "evidence": evidence, "actions": actions,
        }))?;
        return Ok(exit::DONE);
    }
    let now = clock::now();
    let span = |ms: i64| wharf_ui::format::duration(ms.max(0));
    let mut out = format!("{number} {} is {}.\n\n", s.name, s.status.as_str().to_uppercase());
    out.push_str(&format!("RULE      {rule}\n"));
    out.push_str(&format!("SINCE     {} ({})\n", since.rfc3339(), span(since.until(now))));
    match until {
        Some(at) => out.push_str(&format!("UNTIL     {} (in {})\n", at.rfc3339(), span(now.until(at)))),
        None => out.push_str("UNTIL     no deadline\n"),
    }
    out.push_str("EVIDENCE\n");
    for line in &evidence {
        out.push_str(&format!("  {line}\n"));
    }
    out.push_str("ACTIONS\n");
    for action in &actions {
        out.push_str(&format!("  {action}\n"));
    }
    print(super::super::table::tidy(out.trim_end(), context.global.ascii).as_bytes())?;
    print(b"\n")?;
    Ok(exit::DONE)
}

/// What decides about it.
fn rule(s: &ServiceRow) -> String {
    if is_reported(s) {
        return "an adapter keeps it: what it reports is shown, and wharf neither starts nor stops it".into();
    }
    let by = s.desired_by.as_ref().map_or_else(|| "wharf.toml".to_owned(), |by| format!("{by}, over wharf.toml"));
    let meant = match s.desired {
        Desired::Manual => "meant to be as people and runs have it".to_owned(),
        Desired::Running => format!("meant to be running ({by}): started whenever it is not, until its restarts are used up"),
        Desired::Stopped => format!("meant to be stopped ({by}): stopped as soon as nobody uses it"),
    };
    let stops = match s.stop_policy {
        StopPolicy::Manual => "stopped by hand",
        StopPolicy::IdleTimeout => "stopped when idle",
        StopPolicy::OnRunFinish => "stopped with its last run",
    };
    let restart = serde_json::from_value::<ServiceConfig>(s.config.clone()).map(|c| c.restart).unwrap_or_default();
    format!(
        "{meant}; {stops}; restart {}, {} within {} s at most",
        restart.policy,
        restart.max,
        restart.within_ms / 1000
    )
}

fn evidence(reader: &Reader, item: &ServiceItem) -> Result<Vec<String>> {
    let s = &item.service;
    let mut lines = Vec::new();
    if let Some(error) = &s.error {
        lines.push(format!("{}: {error}", s.error_code.as_deref().unwrap_or("error")));
    }
    if let Some(evidence) = &s.health_evidence {
        lines.push(format!("health {}: {evidence}", s.health));
    }
    if let Some(reason) = &s.stop_reason {
        lines.push(format!("last stop: {reason}"));
    }
    if let Some(reason) = s.config["disabled"].as_str() {
        lines.push(format!("switched off: {reason}"));
    }
    let restarts = times(s.restart_times.as_ref());
    if s.restarts > 0 || !restarts.is_empty() {
        let counted = restarts.len();
        lines.push(format!("restarted {} times since somebody started it; {counted} of them count", s.restarts));
    }
    for need in needs(s) {
        if let Some(need) = reader.service(need)? {
            let need = &need.service;
            lines.push(format!("needs {} {}: {}", Kind::Service.number(need.number), need.name, need.status));
        }
    }
    lines.extend(item.users.iter().map(|u| format!("used by {}", Kind::Run.number(u.run_number))));
    lines.extend(item.needed_by.iter().map(|n| format!("needed by {} {}", Kind::Service.number(n.number), n.name)));
    if lines.is_empty() {
        lines.push("nobody uses it, and nothing went wrong".into());
    }
    Ok(lines)
}

fn actions(s: &ServiceRow, number: &str) -> Vec<String> {
    let command = |verb: &str, what: &str| format!("wharf service {verb:<22}{what}");
    let mut all = vec![command(&format!("logs {number}"), "what it printed")];
    if is_reported(s) {
        return all;
    }
    match s.status {
        ServiceStatus::Running if s.health == Health::Unhealthy => {
            all.push(command(&format!("restart {number}"), "stops it and starts it again"));
        }
        _ if is_parked(s) => all.push(command(&format!("restart {number}"), "starts it; its restarts count anew")),
        ServiceStatus::Stopped | ServiceStatus::Failed => all.push(command(&format!("start {number}"), "starts it")),
        ServiceStatus::Backoff => all.push(command(&format!("start {number}"), "starts it at once")),
        ServiceStatus::Starting | ServiceStatus::Running | ServiceStatus::Stopping => {}
    }
    if s.status.is_open() {
        all.push(command(&format!("stop {number}"), "stops it"));
    }
    all
}
