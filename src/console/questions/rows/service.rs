//! Services: their lines, and what filters ask of them.

use super::fact;
use crate::console::questions::filter::Facts;
use wharf_model::config::{RestartPolicy, ServiceConfig};
use wharf_model::filter::{Field, Filter, Status, Test};
use wharf_model::rules::service_desired;
use wharf_model::rules::service_off::mark;
use wharf_model::rules::service_why::{Around, ending, why};
use wharf_model::{Health, Kind, Lifecycle, ReuseScope, ServiceRow, ServiceStatus, StopPolicy, UnixMillis};
use wharf_store::view;
use wharf_ui::format;
use wharf_ui::glyph::Class;
use wharf_ui::rows::{Fact, FactBlock, ServiceLine};

/// Class and word of a service's state.
pub const fn service_state(status: ServiceStatus, health: Health, idle: bool) -> (Class, &'static str) {
    match status {
        ServiceStatus::Starting => (Class::Waits, "starting"),
        ServiceStatus::Running if matches!(health, Health::Unhealthy) => (Class::Doubtful, "unhealthy"),
        ServiceStatus::Running if idle => (Class::Clock, "idle"),
        ServiceStatus::Running => (Class::Alive, "running"),
        ServiceStatus::Stopping => (Class::Ending, "stopping"),
        ServiceStatus::Backoff => (Class::Clock, "backoff"),
        ServiceStatus::Stopped => (Class::Chosen, "stopped"),
        ServiceStatus::Failed => (Class::Bad, "failed"),
    }
}

/// Who shares a service, in words.
pub const fn scope_words(scope: ReuseScope) -> &'static str {
    match scope {
        ReuseScope::ProjectWorkspace => "project",
        ReuseScope::ExecutionWorkspace => "workspace",
        ReuseScope::Agent => "agent",
        ReuseScope::Run => "run",
    }
}

/// When a service stops, in words.
pub fn stop_words(lifecycle: Lifecycle, policy: StopPolicy, idle_ms: Option<i64>) -> String {
    match (lifecycle, policy) {
        (Lifecycle::Ephemeral, _) | (_, StopPolicy::OnRunFinish) => "with its run".to_owned(),
        (_, StopPolicy::IdleTimeout) => format!("idle {}", format::duration(idle_ms.unwrap_or(1_800_000))),
        (_, StopPolicy::Manual) => "by hand".to_owned(),
    }
}

/// Health in words; empty for one that does not run and did not fail.
pub fn health_words(row: &ServiceRow) -> String {
    match (row.status, row.health) {
        (ServiceStatus::Starting, _) => "waiting".to_owned(),
        (ServiceStatus::Running, health) => health.to_string(),
        (ServiceStatus::Failed | ServiceStatus::Backoff, _) => ending(row).unwrap_or_else(|| "failed".to_owned()),
        (ServiceStatus::Stopping | ServiceStatus::Stopped, _) => String::new(),
    }
}

/// Restarts that count now, and how many may.
pub fn restarts(row: &ServiceRow) -> (u32, u32) {
    let count = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    let restart = serde_json::from_value::<ServiceConfig>(row.config.clone()).map(|c| c.restart).ok();
    match restart {
        Some(restart) if restart.policy != RestartPolicy::Never || service_desired::is_kept(row) => {
            let counted = row.restart_times.as_ref().and_then(|t| t.as_array()).map_or(0, Vec::len);
            (u32::try_from(counted).unwrap_or(u32::MAX), restart.max)
        }
        _ => (count(row.restarts), 0),
    }
}

/// When it is started again, for one that is between two starts.
fn retries_at(row: &ServiceRow) -> Option<UnixMillis> {
    row.deadline_at.filter(|_| row.status == ServiceStatus::Backoff)
}

/// A service.
pub fn service(item: &view::ServiceItem, now: UnixMillis) -> ServiceLine {
    let row = &item.service;
    let (class, word) = match (row.status, mark(row)) {
        // That it is well does not say that it is what the config has now.
        (ServiceStatus::Running, Some(mark)) => (Class::Doubtful, mark),
        _ => service_state(row.status, row.health, row.idle_deadline_at.is_some()),
    };
    let page = why(row, &Around { now, ..Around::default() });
    let config = serde_json::from_value::<ServiceConfig>(row.config.clone()).ok();
    ServiceLine {
        id: row.id,
        number: row.number,
        version: row.version,
        name: row.name.clone(),
        scope: item.scope_words(),
        class,
        word: word.to_owned(),
        live: row.status.is_open(),
        health: health_words(row),
        case: page.case,
        why: row.error.clone().or_else(|| row.health_evidence.clone()),
        port: row.port.and_then(|p| u16::try_from(p).ok()).filter(|_| row.status.is_live()),
        url: row.url.clone(),
        cwd: row.cwd.clone(),
        pid: row.process_pid.and_then(|p| u32::try_from(p).ok()),
        generation: row.generation,
        figures: None,
        ready_ms: config.as_ref().and_then(|c| i64::try_from(c.ready.timeout_ms).ok()),
        started_at: row.started_at.filter(|_| row.status.is_live()),
        users: item.users.iter().map(|u| Kind::Run.number(u.run_number)).collect(),
        stop_policy: stop_words(row.lifecycle, row.stop_policy, row.idle_ms),
        ends: service_desired::after_last(row),
        stops_at: row.idle_deadline_at,
        retries_at: retries_at(row),
        stopped_at: row.stopped_at,
        desired: row.desired.as_str().to_owned(),
        desired_by: row.desired_by.clone(),
        waits_for: item.waits_for().map(crate::service::why::named).collect(),
        dependents: item.dependents.iter().map(crate::service::why::named).collect(),
        restarts: restarts(row),
        stranger: None,
        facts: facts(item, word),
    }
}

/// Restarts that nobody asked for, since somebody last started it.
fn restarted(row: &ServiceRow) -> String {
    match row.restarts {
        0 => String::new(),
        n => format!("{} by itself since somebody started it", format::plural(n.unsigned_abs(), "restart")),
    }
}

/// What the screen does not say by itself.
fn facts(item: &view::ServiceItem, word: &str) -> Vec<FactBlock> {
    let row = &item.service;
    let unwell = row.health == Health::Unhealthy || row.status == ServiceStatus::Failed;
    let evidence = row.health_evidence.clone().or_else(|| row.error.clone()).unwrap_or_default();
    let mut first = vec![
        fact("SERVICE", Kind::Service.number(row.number), row.id.text()),
        fact("status", word, ending(row).unwrap_or_default()),
        Fact { bad: unwell, ..fact("health", row.health.as_str(), if unwell { evidence } else { String::new() }) },
        fact("starts", row.generation.to_string(), restarted(row)),
    ];
    if let Some(hash) = &row.env_fingerprint {
        first.push(fact("environment", hash.chars().take(12).collect::<String>(), "hash of what it was started with"));
    }
    let mut second = vec![
        fact("COMMAND", row.command.clone(), ""),
        fact("directory", row.cwd.clone(), ""),
        fact("scope", scope_words(row.scope_type), format!("{}, {}", row.lifecycle, item.project)),
    ];
    if service_desired::is_reported(row) {
        second.push(fact("kept by", "its adapter", row.provider_ref.clone().unwrap_or_default()));
    }
    let needs: Vec<String> =
        item.needs.iter().map(|o| format!("{} {}", crate::service::why::named(o), o.status)).collect();
    if !needs.is_empty() {
        second.push(fact("needs", needs.join(", "), ""));
    }
    vec![FactBlock { facts: first }, FactBlock { facts: second }]
}

/// Whether a filter asks for services of runs that have ended: by their state, or by what they belonged to.
pub fn wants_past_services(filter: &Filter) -> bool {
    let asks = |test: &Test| match test {
        Test::Status(wanted) => wanted.iter().any(|w| matches!(w, Status::Ended | Status::Stopped | Status::Failed)),
        Test::Field(field, _) => matches!(field, Field::Service | Field::Run | Field::Workspace | Field::Error),
        _ => false,
    };
    filter.terms.iter().any(|term| !term.exclude && asks(&term.test))
}

/// What a filter compares of a service.
pub fn service_facts(item: &view::ServiceItem, now: UnixMillis) -> Facts {
    let row = &item.service;
    let own = match row.status {
        ServiceStatus::Starting => Status::Starting,
        ServiceStatus::Running => Status::Running,
        ServiceStatus::Stopping => Status::Stopping,
        ServiceStatus::Backoff => Status::Backoff,
        ServiceStatus::Stopped => Status::Stopped,
        ServiceStatus::Failed => Status::Failed,
    };
    let mut statuses = vec![own, if row.status.is_open() { Status::Live } else { Status::Ended }];
    if row.health == Health::Unhealthy {
        statuses.push(Status::Unhealthy);
    }
    if row.idle_deadline_at.is_some() {
        statuses.push(Status::Idle);
    }
    let mut fields = vec![
        (Field::Service, row.name.clone()),
        (Field::Service, Kind::Service.number(row.number)),
        (Field::Kind, scope_words(row.scope_type).to_owned()),
        (Field::Health, row.health.to_string()),
    ];
    fields.extend(item.users.iter().map(|u| (Field::Run, Kind::Run.number(u.run_number))));
    fields.extend(item.run.map(|(number, _)| (Field::Run, Kind::Run.number(number))));
    fields.extend(item.workspace_number.map(|n| (Field::Workspace, Kind::Workspace.number(n))));
    fields.extend(row.error_code.clone().map(|c| (Field::Error, c)));
    let began = row.started_at.unwrap_or(row.created_at);
    Facts {
        statuses,
        words: vec![row.name.clone(), row.command.clone(), row.error.clone().unwrap_or_default()],
        fields,
        began: Some(began),
        took_ms: Some(began.until(row.stopped_at.unwrap_or(now))),
        exit: row.exit_code,
        cost: None,
    }
}
