//! Services: their lines, and what filters ask of them.

use super::fact;
use crate::console::questions::filter::Facts;
use wharf_model::filter::{Field, Status};
use wharf_model::{Desired, Health, Kind, Lifecycle, ReuseScope, ServiceStatus, StopPolicy, UnixMillis};
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

/// A service.
pub fn service(item: &view::ServiceItem) -> ServiceLine {
    let row = &item.service;
    let (class, word) = service_state(row.status, row.health, row.idle_deadline_at.is_some());
    let why = row.error.clone().or_else(|| row.error_code.as_ref().map(|c| c.replace('_', " ")));
    let ended = match (&row.signal, row.exit_code) {
        (Some(signal), _) => Some(signal.clone()),
        (None, Some(code)) => Some(format!("exit {code}")),
        (None, None) => None,
    };
    let scope = match row.scope_type {
        ReuseScope::ProjectWorkspace => item.project.clone(),
        ReuseScope::ExecutionWorkspace => {
            item.workspace_number.map_or_else(|| "workspace".to_owned(), |n| Kind::Workspace.number(n))
        }
        other => scope_words(other).to_owned(),
    };
    let users: Vec<String> = item.users.iter().map(|u| Kind::Run.number(u.run_number)).collect();
    let facts = vec![
        FactBlock {
            facts: vec![
                fact("SERVICE", Kind::Service.number(row.number), row.id.text()),
                fact("status", word, ended.clone().unwrap_or_default()),
                Fact {
                    bad: row.health == Health::Unhealthy || row.status == ServiceStatus::Failed,
                    ..fact("health", row.health.as_str(), why.clone().unwrap_or_default())
                },
                fact(
                    "wanted",
                    row.desired.as_str(),
                    format!("started {}", format::plural(u64::from(row.generation), "time")),
                ),
            ],
        },
        FactBlock {
            facts: vec![
                fact("COMMAND", row.command.clone(), ""),
                fact("directory", row.cwd.clone(), ""),
                fact("scope", scope_words(row.scope_type), format!("{}, {}", row.lifecycle, item.project)),
                fact("stops", stop_words(row.lifecycle, row.stop_policy, row.idle_ms), ""),
                fact("used by", if users.is_empty() { "no run".to_owned() } else { users.join(", ") }, ""),
            ],
        },
    ];
    ServiceLine {
        id: row.id,
        number: row.number,
        version: row.version,
        name: row.name.clone(),
        scope,
        class,
        word: word.to_owned(),
        live: row.status.is_live(),
        health: row.health.to_string(),
        why,
        port: row.port.and_then(|p| u16::try_from(p).ok()),
        url: row.url.clone(),
        pid: row.process_pid.and_then(|p| u32::try_from(p).ok()),
        started_at: row.started_at.filter(|_| row.status.is_live()),
        users,
        stop_policy: stop_words(row.lifecycle, row.stop_policy, row.idle_ms),
        stops_at: row.idle_deadline_at,
        desired: match row.desired {
            Desired::Running => "running",
            Desired::Stopped => "stopped",
            Desired::Manual => "manual",
        }
        .to_owned(),
        restarts: (row.generation.saturating_sub(1), 0),
        stranger: row.error_code.as_deref().filter(|c| *c == "port_owned_by_other").and(row.error.clone()),
        facts,
    }
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
    let mut statuses = vec![own, if row.status.is_live() { Status::Live } else { Status::Ended }];
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
    ];
    fields.extend(item.users.iter().map(|u| (Field::Run, Kind::Run.number(u.run_number))));
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
