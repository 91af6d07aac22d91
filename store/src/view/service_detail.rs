//! What is known of one service beside its row, and the ports that all services have or want.

use rusqlite::Connection;
use serde::Serialize;
use wharf_model::column::{Cell, Row};
use wharf_model::config::Port;
use wharf_model::*;

use super::service::ServiceItem;
use super::{Conditions, column, first, select};
use crate::{Reader, StoreError};

/// Runs that used a service once, at most: the newest.
const PAST_MAX: i64 = 200;
/// Services whose ports are looked at, at most: all that may have a process, and the newest.
const PORTS_MAX: i64 = 500;

/// A service with its whole surroundings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceDetail {
    /// As in lists.
    pub item: ServiceItem,
    /// Where its project is.
    pub project_path: Option<String>,
    /// Runs that use it or used it, those that use it first, then the newest.
    pub runs: Vec<ServiceRun>,
}

/// A run that uses a service, or has used it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceRun {
    /// Its number.
    pub number: i64,
    /// Its agent.
    pub agent: Option<String>,
    /// Identifier of its issue.
    pub issue: Option<String>,
    /// How it stands.
    pub status: RunStatus,
    /// When it began to use the service.
    pub since: UnixMillis,
    /// When it ended; it left the service with its end.
    pub finished_at: Option<UnixMillis>,
    /// Whether the service ran before.
    pub reused: bool,
    /// It uses it now.
    pub uses: bool,
}

/// A port that a service has, had, or is configured to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServicePort {
    /// The service.
    pub id: ServiceId,
    /// Its number.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// Key of its project.
    pub project: Option<String>,
    /// Number of its workspace.
    pub workspace_number: Option<i64>,
    /// Where it is in its life.
    pub status: ServiceStatus,
    /// Start number of its process.
    pub generation: u32,
    /// The port that it has, or had at its last start.
    pub port: Option<i64>,
    /// The port that its config fixes.
    pub fixed: Option<i64>,
    /// Its process.
    pub process_pid: Option<i32>,
    /// When it last had its port.
    pub last_used_at: UnixMillis,
}

fn runs(conn: &Connection, id: ServiceId) -> rusqlite::Result<Vec<ServiceRun>> {
    let mut ask = conn.prepare_cached(&format!(
        "SELECT r.number, a.name, i.identifier, r.status, u.since, r.finished_at, u.reused, u.uses FROM \
         (SELECT service_id, run_id, since, reused, 1 AS uses FROM service_users WHERE service_id = ?1 \
          UNION ALL SELECT service_id, run_id, since, reused, 0 FROM service_past_users p WHERE service_id = ?1 \
          AND NOT EXISTS (SELECT 1 FROM service_users n WHERE n.service_id = p.service_id AND n.run_id = p.run_id)) u \
         JOIN runs r ON r.id = u.run_id LEFT JOIN agents a ON a.id = r.agent_id LEFT JOIN issues i ON i.id = r.issue_id \
         ORDER BY u.uses DESC, r.number DESC LIMIT {PAST_MAX}"
    ))?;
    let rows = ask.query_map([id.text()], |row| {
        Ok(ServiceRun {
            number: column(row, 0)?,
            agent: column(row, 1)?,
            issue: column(row, 2)?,
            status: column(row, 3)?,
            since: column(row, 4)?,
            finished_at: column(row, 5)?,
            reused: column(row, 6)?,
            uses: column(row, 7)?,
        })
    })?;
    rows.collect()
}

fn fixed(service: &ServiceRow) -> Option<i64> {
    match serde_json::from_value(service.config.get("port")?.clone()) {
        Ok(Port::Fixed { port, .. }) => Some(i64::from(port)),
        _ => None,
    }
}

fn with_port(row: &rusqlite::Row<'_>) -> rusqlite::Result<ServicePort> {
    let service: ServiceRow = first(row)?;
    let n = ServiceRow::COLUMNS.len();
    Ok(ServicePort {
        id: service.id,
        number: service.number,
        project: column(row, n)?,
        workspace_number: column(row, n + 1)?,
        status: service.status,
        generation: service.generation,
        port: service.port,
        fixed: fixed(&service),
        process_pid: service.process_pid,
        last_used_at: service.stopped_at.unwrap_or(service.last_used_at),
        name: service.name,
    })
}

impl Reader {
    /// Everything around one service.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn service_detail(&self, id: ServiceId) -> Result<Option<ServiceDetail>, StoreError> {
        let Some(item) = self.service(id)? else { return Ok(None) };
        let project_path = self.project(item.service.project_id)?.map(|p| p.path);
        let runs = self.read(|conn| runs(conn, id))?;
        Ok(Some(ServiceDetail { item, project_path, runs }))
    }

    /// Ports that services of all projects have, had or want: of all that may have a process, and of the newest.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn service_ports(&self) -> Result<Vec<ServicePort>, StoreError> {
        let joins = "LEFT JOIN projects p ON p.id = t.project_id \
            LEFT JOIN execution_workspaces w ON w.id = t.execution_workspace_id";
        let sql = select::<ServiceRow>(", p.key, w.number", joins);
        let mut ports: Vec<ServicePort> = self.read(|conn| {
            let mut live = Conditions::default();
            live.term("t.status IN ('starting', 'running', 'stopping')");
            let mut found = live.run(conn, &sql, "ORDER BY t.number DESC", with_port)?;
            let mut newest = Conditions::default();
            newest.with("t.number < ?", [Cell::Int(i64::MAX)]);
            let more = newest.run(conn, &sql, &format!("ORDER BY t.number DESC LIMIT {PORTS_MAX}"), with_port)?;
            found.extend(more.into_iter().filter(|s| !s.status.is_live()));
            Ok(found)
        })?;
        ports.retain(|s| s.port.is_some() || s.fixed.is_some());
        Ok(ports)
    }
}
