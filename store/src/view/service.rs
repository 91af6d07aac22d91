//! Services with who uses them, what they wait for and who needs them.

use rusqlite::Connection;
use serde::Serialize;
use wharf_model::column::{Cell, Column, Row};
use wharf_model::rules::service_restart;
use wharf_model::*;

use super::{Conditions, Page, column, first, one_more, page, select};
use crate::{Reader, StoreError};

/// A service with the names around it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceItem {
    /// The row.
    pub service: ServiceRow,
    /// Key of its project.
    pub project: String,
    /// Number of its execution workspace.
    pub workspace_number: Option<i64>,
    /// Status of that workspace.
    pub workspace_status: Option<WorkspaceStatus>,
    /// Number and status of the run that it belongs to, where it belongs to one that is still known.
    pub run: Option<(i64, RunStatus)>,
    /// Runs that use it.
    pub users: Vec<ServiceUser>,
    /// Services that it needs, in the order of its config.
    pub needs: Vec<OtherService>,
    /// Services that have not ended and need it.
    pub dependents: Vec<OtherService>,
}

/// Another service, as one of its kind names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OtherService {
    /// Identity.
    pub id: ServiceId,
    /// `S-` number.
    pub number: i64,
    /// Name.
    pub name: String,
    /// Where it is in its life.
    pub status: ServiceStatus,
    /// Why those that need it may suffer, and since when; none while it is well.
    pub ill: Option<(String, Option<UnixMillis>)>,
}

/// A run that uses a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceUser {
    /// Run.
    pub run_id: RunId,
    /// Its number.
    pub run_number: i64,
    /// Its agent.
    pub agent: Option<String>,
    /// Since when.
    pub since: UnixMillis,
    /// Whether the service ran before.
    pub reused: bool,
}

const MORE: &str = ", p.key, w.number, w.status, o.number, o.status";
const JOINS: &str = "LEFT JOIN projects p ON p.id = t.project_id \
    LEFT JOIN execution_workspaces w ON w.id = t.execution_workspace_id \
    LEFT JOIN runs o ON t.scope_type = 'run' AND o.id = t.scope_id";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<ServiceItem> {
    let n = ServiceRow::COLUMNS.len();
    Ok(ServiceItem {
        service: first(row)?,
        project: column(row, n)?,
        workspace_number: column(row, n + 1)?,
        workspace_status: column(row, n + 2)?,
        run: Option::zip(column(row, n + 3)?, column(row, n + 4)?),
        users: Vec::new(),
        needs: Vec::new(),
        dependents: Vec::new(),
    })
}

fn with_users(conn: &Connection, mut items: Vec<ServiceItem>) -> rusqlite::Result<Vec<ServiceItem>> {
    let mut ask = conn.prepare_cached(
        "SELECT u.run_id, r.number, a.name, u.since, u.reused FROM service_users u JOIN runs r ON r.id = u.run_id \
         LEFT JOIN agents a ON a.id = r.agent_id WHERE u.service_id = ?1 ORDER BY r.number",
    )?;
    for item in &mut items {
        item.users = ask
            .query_map([item.service.id.text()], |row| {
                Ok(ServiceUser {
                    run_id: column(row, 0)?,
                    run_number: column(row, 1)?,
                    agent: column(row, 2)?,
                    since: column(row, 3)?,
                    reused: column(row, 4)?,
                })
            })?
            .collect::<Result<_, _>>()?;
    }
    needs(conn, &mut items)?;
    Ok(items)
}

/// What they need, and which of those that have not ended need them.
fn needs(conn: &Connection, items: &mut [ServiceItem]) -> rusqlite::Result<()> {
    let mut other = conn.prepare_cached(&format!("SELECT {OTHER} FROM workspace_runtime_services WHERE id = ?1"))?;
    for item in items.iter_mut() {
        for id in wharf_model::rules::service_order::needs(&item.service) {
            let found = other.query_map([id.text()], other_service)?.next().transpose()?;
            item.needs.extend(found);
        }
    }
    if items.iter().all(|i| !i.service.status.is_open()) {
        return Ok(());
    }
    let mut needing = conn.prepare_cached(&format!(
        "SELECT {OTHER}, waits_for FROM workspace_runtime_services \
         WHERE status IN ('starting', 'running', 'stopping', 'backoff') AND waits_for IS NOT NULL ORDER BY number",
    ))?;
    let needing: Vec<(OtherService, String)> =
        needing.query_map([], |row| Ok((other_service(row)?, column(row, 9)?)))?.collect::<Result<_, _>>()?;
    for item in items.iter_mut().filter(|i| i.service.status.is_open()) {
        let id = item.service.id.text();
        let needs = |listed: &str| serde_json::from_str::<Vec<String>>(listed).is_ok_and(|ids| ids.contains(&id));
        item.dependents = needing.iter().filter(|(_, listed)| needs(listed)).map(|(other, _)| other.clone()).collect();
    }
    Ok(())
}

const OTHER: &str = "id, number, name, status, health, health_since, stopped_at, updated_at, error_code";

fn other_service(row: &rusqlite::Row<'_>) -> rusqlite::Result<OtherService> {
    let (status, health): (ServiceStatus, Health) = (column(row, 3)?, column(row, 4)?);
    let (ill_since, stopped_at): (Option<UnixMillis>, Option<UnixMillis>) = (column(row, 5)?, column(row, 6)?);
    let (updated_at, code): (UnixMillis, Option<String>) = (column(row, 7)?, column(row, 8)?);
    let ended = stopped_at.or(Some(updated_at));
    let ill = match status {
        ServiceStatus::Running if health == Health::Unhealthy => Some(("unhealthy", ill_since)),
        ServiceStatus::Running => None,
        ServiceStatus::Starting => Some(("starting", Some(updated_at))),
        ServiceStatus::Stopping => Some(("stopping", Some(updated_at))),
        ServiceStatus::Backoff => Some(("between two starts", ended)),
        ServiceStatus::Failed if code.as_deref() == Some(service_restart::CRASH_LOOP) => Some(("parked", ended)),
        ServiceStatus::Failed => Some(("failed", ended)),
        ServiceStatus::Stopped => Some(("stopped", ended)),
    };
    Ok(OtherService {
        id: column(row, 0)?,
        number: column(row, 1)?,
        name: column(row, 2)?,
        status,
        ill: ill.map(|(word, since)| (word.to_owned(), since)),
    })
}

/// Services that a run uses.
pub(super) fn used_by(conn: &Connection, run: RunId) -> rusqlite::Result<Vec<ServiceItem>> {
    let mut used = Conditions::default();
    used.with("t.id IN (SELECT service_id FROM service_users WHERE run_id = ?)", [run.to_cell()]);
    with_users(conn, used.run(conn, &select::<ServiceRow>(MORE, JOINS), "ORDER BY t.number", read)?)
}

/// Which services are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ServiceQuery {
    /// Of this company.
    pub company: Option<CompanyId>,
    /// Of this project.
    pub project: Option<ProjectId>,
    /// Only those that may have a process.
    pub live_only: bool,
}

impl ServiceItem {
    /// Whether it was one run's own, which has ended, and has ended itself: no run can use it any more.
    pub fn is_over(&self) -> bool {
        self.service.scope_type == ReuseScope::Run
            && !self.service.status.is_open()
            && self.run.is_none_or(|(_, status)| status.is_terminal())
    }

    /// Whether nobody can start it any more: see [`ServiceItem::is_over`], or its workspace is archived.
    pub fn is_of_the_past(&self) -> bool {
        let archived = self.service.scope_type == ReuseScope::ExecutionWorkspace
            && self.workspace_status == Some(WorkspaceStatus::Archived);
        self.is_over() || archived && !self.service.status.is_open()
    }

    /// Who shares it, in words: `SHOP`, `W-7`, `run R-12`, `agent`.
    pub fn scope_words(&self) -> String {
        match self.service.scope_type {
            ReuseScope::ProjectWorkspace => self.project.clone(),
            ReuseScope::ExecutionWorkspace => {
                self.workspace_number.map_or_else(|| "workspace".to_owned(), |n| Kind::Workspace.number(n))
            }
            ReuseScope::Run => {
                self.run.map_or_else(|| "run".to_owned(), |(n, _)| format!("run {}", Kind::Run.number(n)))
            }
            ReuseScope::Agent => "agent".to_owned(),
        }
    }

    /// Services that it waits for before it is started: those of its needs that are not there yet.
    pub fn waits_for(&self) -> impl Iterator<Item = &OtherService> {
        let waits = self.service.status == ServiceStatus::Starting && self.service.process_pid.is_none();
        self.needs.iter().filter(move |o| waits && o.status != ServiceStatus::Running)
    }
}

impl ServiceQuery {
    pub(crate) fn rows(&self, conn: &Connection, below: i64, limit: i64) -> rusqlite::Result<Vec<ServiceItem>> {
        let mut all = Conditions::default();
        if self.live_only {
            all.term("t.status IN ('starting', 'running', 'stopping', 'backoff')");
        }
        all.equal("t.project_id", self.project.as_ref());
        all.equal("t.company_id", self.company.as_ref());
        all.with("t.number < ?", [Cell::Int(below)]);
        all.run(conn, &select::<ServiceRow>(MORE, JOINS), &format!("ORDER BY t.number DESC LIMIT {limit}"), read)
    }
}

impl Reader {
    /// A page of services, newest first; the cursor is a number.
    pub fn services(
        &self,
        query: &ServiceQuery,
        below: Option<i64>,
        limit: usize,
    ) -> Result<Page<ServiceItem, i64>, StoreError> {
        let rows = self.read(|conn| {
            let rows = query.rows(conn, below.unwrap_or(i64::MAX), one_more(limit))?;
            with_users(conn, rows)
        })?;
        Ok(page(rows, limit, |s| s.service.number))
    }

    /// One service.
    pub fn service(&self, id: ServiceId) -> Result<Option<ServiceItem>, StoreError> {
        self.read(|conn| {
            let mut one = Conditions::default();
            one.equal("t.id", Some(&id));
            let rows = one.run(conn, &select::<ServiceRow>(MORE, JOINS), "", read)?;
            Ok(with_users(conn, rows)?.pop())
        })
    }
}
