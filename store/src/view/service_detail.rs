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
            live.term("t.status IN ('starting', 'running', 'stopping', 'backoff')");
            let mut found = live.run(conn, &sql, "ORDER BY t.number DESC", with_port)?;
            let mut newest = Conditions::default();
            newest.with("t.number < ?", [Cell::Int(i64::MAX)]);
            let more = newest.run(conn, &sql, &format!("ORDER BY t.number DESC LIMIT {PORTS_MAX}"), with_port)?;
            found.extend(more.into_iter().filter(|s| !s.status.is_open()));
            Ok(found)
        })?;
        ports.retain(|s| s.port.is_some() || s.fixed.is_some());
        Ok(ports)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wharf_model::state::{State, Tx};

    use super::*;
    use crate::Writer;
    use crate::state_test::make;
    use crate::view::ServiceQuery;

    fn write(writer: &mut Writer, state: &mut State, f: impl FnOnce(&mut Tx<'_>)) {
        let mut tx = Tx::new(state, UnixMillis(50));
        f(&mut tx);
        let changes = tx.finish().unwrap().changes;
        assert_eq!(writer.commit(&[changes]).unwrap(), vec![Ok(())]);
    }

    #[test]
    fn a_service_is_told_with_who_uses_needs_and_has_used_it() {
        let (dir, mut writer, mut state) = make::store();
        let (db, api): (ServiceId, ServiceId) = (make::id(301), make::id(302));
        let (first, second): (RunId, RunId) = (make::id(1001), make::id(1002));
        write(&mut writer, &mut state, |tx| {
            tx.put(make::run(1001, 1));
            tx.put(make::run(1002, 2));
            tx.put(make::service(301, 1));
            tx.put(ServiceRow { name: "api".into(), waits_for: Some(json!([db.text()])), ..make::service(302, 2) });
            tx.add_user(db, first, false);
            tx.add_user(db, second, true);
        });
        let reader = Reader::open(dir.path()).unwrap();
        let names =
            |detail: &ServiceDetail| -> Vec<(i64, bool)> { detail.runs.iter().map(|r| (r.number, r.uses)).collect() };
        let detail = reader.service_detail(db).unwrap().unwrap();
        assert_eq!(names(&detail), [(2, true), (1, true)]);
        assert_eq!(detail.project_path.as_deref(), Some("/shop"));
        assert_eq!(detail.item.dependents.iter().map(|o| o.number).collect::<Vec<_>>(), [2]);
        let waiting = reader.service(api).unwrap().unwrap();
        assert_eq!(waiting.waits_for().map(|o| o.name.as_str()).collect::<Vec<_>>(), ["db"]);

        // Whoever has left is remembered; whoever came back uses it.
        write(&mut writer, &mut state, |tx| {
            tx.remove_user(db, first);
            tx.remove_user(db, second);
        });
        let detail = reader.service_detail(db).unwrap().unwrap();
        assert_eq!(names(&detail), [(2, false), (1, false)]);
        assert_eq!((detail.runs[0].reused, detail.runs[1].reused), (true, false));
        write(&mut writer, &mut state, |tx| {
            tx.add_user(db, first, true);
        });
        let detail = reader.service_detail(db).unwrap().unwrap();
        assert_eq!(names(&detail), [(1, true), (2, false)]);

        // What it needs is there: it waits no more, and needs it all the same.
        write(&mut writer, &mut state, |tx| {
            tx.update::<ServiceRow>(db, |s| s.status = ServiceStatus::Running);
        });
        let listed = reader.services(&ServiceQuery::default(), None, 10).unwrap().rows;
        assert_eq!((listed[0].waits_for().count(), listed[0].needs.len()), (0, 1));
        assert!(reader.service_detail(make::id(9)).unwrap().is_none());
    }

    #[test]
    fn ports_are_those_that_services_have_had_or_are_given_by_their_config() {
        let (dir, mut writer, mut state) = make::store();
        let fixed = json!({ "port": { "fixed": { "port": 8025, "env": "PORT" } } });
        write(&mut writer, &mut state, |tx| {
            tx.put(make::service(301, 1));
            tx.put(ServiceRow { port: None, status: ServiceStatus::Stopped, config: fixed, ..make::service(302, 2) });
            tx.put(ServiceRow { port: None, config: json!({ "port": "none" }), ..make::service(303, 3) });
            tx.put(ServiceRow {
                status: ServiceStatus::Stopped,
                config: json!({ "port": { "auto": { "env": "PORT" } } }),
                ..make::service(304, 4)
            });
        });
        let reader = Reader::open(dir.path()).unwrap();
        let ports: Vec<_> =
            reader.service_ports().unwrap().into_iter().map(|p| (p.number, p.port, p.fixed, p.project)).collect();
        let shop = || Some("SHOP".to_owned());
        assert_eq!(
            ports,
            [(1, Some(5432), None, shop()), (4, Some(5432), None, shop()), (2, None, Some(8025), shop())]
        );
    }

    /// However many services there were, those around one are found by indexes.
    #[test]
    fn services_around_one_are_found_by_an_index() {
        let (dir, ..) = make::store();
        let reader = Reader::open(dir.path()).unwrap();
        for (sql, index) in [
            (
                "SELECT number FROM workspace_runtime_services WHERE status IN ('starting', 'running', 'stopping', 'backoff') \
                 AND waits_for IS NOT NULL ORDER BY number",
                "services_open",
            ),
            ("SELECT 1 FROM service_past_users WHERE service_id = ?1", "PRIMARY KEY"),
            ("SELECT 1 FROM service_users WHERE service_id = ?1", "PRIMARY KEY"),
            ("SELECT id FROM workspace_runtime_services t WHERE t.number < ?1 ORDER BY t.number DESC", "number<?"),
        ] {
            let mut explain = reader.connection().prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let values: Vec<Option<i64>> = vec![None; sql.matches('?').count()];
            let plan: Vec<String> = explain
                .query_map(rusqlite::params_from_iter(values), |row| row.get(3))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            assert!(plan.iter().any(|line| line.contains(index)), "{plan:?}\n{sql}");
        }
    }
}
