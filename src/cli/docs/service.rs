//! Services and ports in documents.

use serde::Serialize;
use wharf_model::config::ServiceConfig;
use wharf_model::rules::port_board::{PortRow, PortState};
use wharf_model::rules::service_off;
use wharf_model::{Kind, UnixMillis};
use wharf_store::view::{OtherService, ServiceItem};
use wharf_ui::glyph::Class;

use super::service_state;
use crate::cli::run_doc::{class_word, time};
use crate::process::usage::Usage;

/// A service in a document.
#[derive(Debug, Serialize)]
pub struct ServiceDoc {
    id: String,
    number: String,
    name: String,
    status: String,
    class: &'static str,
    since: Option<String>,
    until: Option<String>,
    health: String,
    health_since: Option<String>,
    health_evidence: Option<String>,
    desired: String,
    desired_by: Option<String>,
    project: String,
    workspace: Option<String>,
    switched_off: Option<String>,
    scope: String,
    lifecycle: String,
    provider: String,
    provider_ref: Option<String>,
    generation: u32,
    command: String,
    cwd: String,
    port: Option<i64>,
    url: Option<String>,
    process_pid: Option<i32>,
    processes: Option<u32>,
    cpu_permille: Option<u32>,
    memory_bytes: Option<u64>,
    uptime_ms: Option<i64>,
    env_fingerprint: Option<String>,
    users: Vec<String>,
    needs: Vec<String>,
    waits_for: Vec<String>,
    needed_by: Vec<String>,
    stop_policy: String,
    idle_ms: Option<i64>,
    idle_stop_at: Option<String>,
    restart_policy: Option<String>,
    restarts: i64,
    restarts_counted: usize,
    restarts_max: Option<u32>,
    retry_at: Option<String>,
    started_at: Option<String>,
    ready_at: Option<String>,
    stopped_at: Option<String>,
    exit_code: Option<i32>,
    signal: Option<String>,
    stop_reason: Option<String>,
    error_code: Option<String>,
    error: Option<String>,
    version: i64,
}

fn numbers<'a>(services: impl IntoIterator<Item = &'a OtherService>) -> Vec<String> {
    services.into_iter().map(|s| Kind::Service.number(s.number)).collect()
}

impl ServiceDoc {
    /// The document of a service whose processes were not looked at.
    pub fn new(item: &ServiceItem) -> Self {
        Self::measured(item, None, crate::clock::now())
    }

    /// The document of a service, with what its processes were seen to take and how long they have been there by now.
    pub fn measured(item: &ServiceItem, usage: Option<&Usage>, now: UnixMillis) -> Self {
        let s = &item.service;
        let restart = serde_json::from_value::<ServiceConfig>(s.config.clone()).map(|c| c.restart).ok();
        let retry_at = s.deadline_at.filter(|_| s.status == wharf_model::ServiceStatus::Backoff);
        Self {
            id: s.id.text(),
            number: Kind::Service.number(s.number),
            name: s.name.clone(),
            status: s.status.to_string(),
            class: class_word(service_state(s).0),
            since: time(s.stopped_at.filter(|_| !s.status.is_live()).or(s.ready_at).or(s.started_at)),
            until: time(s.idle_deadline_at.or(s.deadline_at)),
            health: s.health.to_string(),
            health_since: time(s.health_since),
            health_evidence: s.health_evidence.clone(),
            desired: s.desired.to_string(),
            desired_by: s.desired_by.clone(),
            project: item.project.clone(),
            workspace: item.workspace_number.map(|n| Kind::Workspace.number(n)),
            switched_off: service_off::off(s).map(str::to_owned),
            scope: s.scope_type.to_string(),
            lifecycle: s.lifecycle.to_string(),
            provider: s.provider.clone(),
            provider_ref: s.provider_ref.clone(),
            generation: s.generation,
            command: s.command.clone(),
            cwd: s.cwd.clone(),
            port: s.port,
            url: s.url.clone(),
            process_pid: s.process_pid,
            processes: usage.map(|u| u.processes),
            cpu_permille: usage.and_then(|u| u.cpu_permille),
            memory_bytes: usage.map(|u| u.memory_bytes),
            uptime_ms: s.started_at.filter(|_| s.status.is_live()).map(|at| at.until(now)),
            env_fingerprint: s.env_fingerprint.clone(),
            users: item.users.iter().map(|u| Kind::Run.number(u.run_number)).collect(),
            needs: numbers(&item.needs),
            waits_for: numbers(item.waits_for()),
            needed_by: numbers(&item.dependents),
            stop_policy: s.stop_policy.to_string(),
            idle_ms: s.idle_ms,
            idle_stop_at: time(s.idle_deadline_at),
            restart_policy: restart.as_ref().map(|r| r.policy.to_string()),
            restarts: s.restarts,
            restarts_counted: s.restart_times.as_ref().and_then(|t| t.as_array()).map_or(0, Vec::len),
            restarts_max: restart.map(|r| r.max),
            retry_at: time(retry_at),
            started_at: time(s.started_at),
            ready_at: time(s.ready_at),
            stopped_at: time(s.stopped_at),
            exit_code: s.exit_code,
            signal: s.signal.clone(),
            stop_reason: s.stop_reason.clone(),
            error_code: s.error_code.clone(),
            error: s.error.clone(),
            version: s.version,
        }
    }
}

/// Class of a port's state.
pub const fn port_class(state: PortState) -> Class {
    match state {
        PortState::Ours => Class::Good,
        PortState::Asked => Class::Waits,
        PortState::Stranger => Class::NeedsPerson,
        PortState::Unknown => Class::Unknown,
        PortState::Free => Class::Chosen,
    }
}

/// A port in a document.
#[derive(Debug, Serialize)]
pub struct PortDoc {
    port: u16,
    state: &'static str,
    class: &'static str,
    service: String,
    services: Vec<String>,
    listener: Option<String>,
    process_pid: Option<i32>,
    command: Option<String>,
    user: Option<String>,
    since: Option<String>,
    until: Option<String>,
    evidence: String,
    looked_at: Option<String>,
}

impl PortDoc {
    /// The document of a row of the board.
    pub fn new(row: &PortRow, now: UnixMillis) -> Self {
        let by = row.by.as_ref();
        Self {
            port: row.port,
            state: row.state.as_str(),
            class: class_word(port_class(row.state)),
            service: row.service.clone(),
            services: row.numbers.iter().map(|n| Kind::Service.number(*n)).collect(),
            listener: row.listener.clone(),
            process_pid: by.and_then(|b| b.pid),
            command: by.map(|b| b.command.clone()).filter(|c| !c.is_empty()),
            user: by.map(|b| b.user.clone()),
            since: by.and_then(|b| time(b.since)),
            until: None,
            evidence: row.told(now),
            looked_at: time(row.looked_at),
        }
    }
}
