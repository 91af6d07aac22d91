//! Services with who uses them.

use rusqlite::Connection;
use serde::Serialize;
use wharf_model::column::{Cell, Column, Row};
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
    /// Runs that use it.
    pub users: Vec<ServiceUser>,
    /// Services that have not ended and need it.
    pub needed_by: Vec<ServiceNeed>,
}

/// A service that needs another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceNeed {
    /// Service.
    pub service_id: ServiceId,
    /// Its number.
    pub number: i64,
    /// Its name.
    pub name: String,
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

const MORE: &str = ", p.key, w.number";
const JOINS: &str = "LEFT JOIN projects p ON p.id = t.project_id \
    LEFT JOIN execution_workspaces w ON w.id = t.execution_workspace_id";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<ServiceItem> {
    let n = ServiceRow::COLUMNS.len();
    Ok(ServiceItem {
        service: first(row)?,
        project: column(row, n)?,
        workspace_number: column(row, n + 1)?,
        users: Vec::new(),
        needed_by: Vec::new(),
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
    // Few services need another one: they are asked for once.
    let mut ask = conn.prepare_cached(
        "SELECT n.value, s.id, s.number, s.name FROM workspace_runtime_services s, json_each(s.waits_for) n \
         WHERE s.waits_for IS NOT NULL AND s.status NOT IN ('stopped', 'failed') ORDER BY s.number",
    )?;
    let needs: Vec<(ServiceId, ServiceNeed)> = ask
        .query_map([], |row| {
            let need = ServiceNeed { service_id: column(row, 1)?, number: column(row, 2)?, name: column(row, 3)? };
            Ok((column(row, 0)?, need))
        })?
        .collect::<Result<_, _>>()?;
    for item in &mut items {
        let own = needs.iter().filter(|(of, _)| *of == item.service.id);
        item.needed_by = own.map(|(_, need)| need.clone()).collect();
    }
    Ok(items)
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
    /// Only those that may have a process, or are about to be started again.
    pub live_only: bool,
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
