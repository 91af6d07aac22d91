//! What may be removed: logs of runs, operations and starts of services that ended long ago, and what
//! belongs to no row.

use std::collections::BTreeSet;

use wharf_model::column::Column;
use wharf_model::{OperationId, RunId, ServiceId, UnixMillis};

use super::column;
use crate::{Reader, StoreError};

/// Rows looked up in one transaction.
const AT_ONCE: usize = 500;

/// Logs that are kept, of runs for which nothing is left to do; those that an open run goes on from stay.
const KEPT: &str = "SELECT id, number, finished_at FROM runs \
     WHERE log_ref IS NOT NULL AND log_deleted_at IS NULL AND finished_at <= ?1 \
     AND status NOT IN ('queued', 'scheduled_retry', 'running') \
     AND lineage NOT IN (SELECT lineage FROM runs WHERE status IN ('queued', 'scheduled_retry', 'running')) \
     AND id NOT IN (SELECT entity_id FROM actions WHERE status IN ('pending', 'performing')) \
     ORDER BY finished_at LIMIT ?2";

/// The same of operations; what an open run has done stays with it.
const KEPT_OPERATIONS: &str = "SELECT id, number, finished_at FROM workspace_operations \
     WHERE log_ref IS NOT NULL AND log_deleted_at IS NULL AND finished_at <= ?1 \
     AND status NOT IN ('queued', 'running') \
     AND (run_id IS NULL OR run_id NOT IN \
         (SELECT id FROM runs WHERE status IN ('queued', 'scheduled_retry', 'running'))) \
     AND id NOT IN (SELECT entity_id FROM actions WHERE status IN ('pending', 'performing')) \
     ORDER BY finished_at LIMIT ?2";

/// Services that were started and of which no open run is a user or has started it.
const SERVICES: &str = "SELECT id, number, coalesce(log_deleted_generation, 0), \
     CASE WHEN status IN ('starting', 'running', 'stopping') THEN generation - 1 ELSE generation END \
     FROM workspace_runtime_services \
     WHERE generation > coalesce(log_deleted_generation, 0) \
     AND id NOT IN (SELECT service_id FROM service_users) \
     AND (started_by_run_id IS NULL OR started_by_run_id NOT IN \
         (SELECT id FROM runs WHERE status IN ('queued', 'scheduled_retry', 'running'))) \
     ORDER BY number";

/// A log that is kept, of something that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLog<Id> {
    /// Whose.
    pub of: Id,
    /// Its number.
    pub number: i64,
    /// When it ended.
    pub finished_at: UnixMillis,
}

/// Starts of a service that have ended and whose logs may be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedStarts {
    /// Which service.
    pub service: ServiceId,
    /// Its number.
    pub number: i64,
    /// The starts, in their order; none of them has anything left to do.
    pub starts: std::ops::RangeInclusive<u32>,
}

/// Logs, the oldest first, and whether there are more.
pub type Kept<Id> = (Vec<KeptLog<Id>>, bool);

impl Reader {
    /// Logs of runs that ended at this moment or before and for which nothing is left to do, the oldest
    /// first. The second value says that there are more.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn logs_kept_since(&self, until: UnixMillis, limit: usize) -> Result<Kept<RunId>, StoreError> {
        self.kept(KEPT, until, limit)
    }

    /// The same of operations whose run has ended as well.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn operation_logs_kept_since(&self, until: UnixMillis, limit: usize) -> Result<Kept<OperationId>, StoreError> {
        self.kept(KEPT_OPERATIONS, until, limit)
    }

    fn kept<Id: Column>(&self, sql: &str, until: UnixMillis, limit: usize) -> Result<Kept<Id>, StoreError> {
        let mut found = self.read(|conn| {
            conn.prepare_cached(sql)?
                .query_map((until.0, limit.saturating_add(1) as i64), |row| {
                    Ok(KeptLog { of: column(row, 0)?, number: row.get(1)?, finished_at: column(row, 2)? })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        let more = found.len() > limit;
        found.truncate(limit);
        Ok((found, more))
    }

    /// Starts of services that have ended, whose logs were not removed, and that no open run needs.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn ended_starts(&self) -> Result<Vec<EndedStarts>, StoreError> {
        self.read(|conn| {
            let mut busy = conn.prepare_cached(
                "SELECT min(attempt) FROM actions WHERE status IN ('pending', 'performing') \
                 AND entity_type = 'service' AND entity_id = ?1",
            )?;
            let found = conn
                .prepare_cached(SERVICES)?
                .query_map([], |row| {
                    let (gone, last): (u32, u32) = (row.get(2)?, row.get(3)?);
                    Ok(EndedStarts { service: column(row, 0)?, number: row.get(1)?, starts: gone + 1..=last })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let mut ended = Vec::new();
            for one in found {
                // They go in their order, so those behind one that waits wait too.
                let first: Option<u32> = busy.query_row([one.service.text()], |row| row.get(0))?;
                let last = first.map_or(*one.starts.end(), |first| first.saturating_sub(1).min(*one.starts.end()));
                if last >= *one.starts.start() {
                    ended.push(EndedStarts { starts: *one.starts.start()..=last, ..one });
                }
            }
            Ok(ended)
        })
    }

    /// Which of these ids have no row among the runs, services and operations.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn without_row(&self, ids: &[String]) -> Result<BTreeSet<String>, StoreError> {
        let mut without = BTreeSet::new();
        for part in ids.chunks(AT_ONCE) {
            self.read(|conn| {
                let mut known = conn.prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM runs WHERE id = ?1) \
                     OR EXISTS (SELECT 1 FROM workspace_runtime_services WHERE id = ?1) \
                     OR EXISTS (SELECT 1 FROM workspace_operations WHERE id = ?1)",
                )?;
                for id in part {
                    if !known.query_row([id], |row| row.get::<_, bool>(0))? {
                        without.insert(id.clone());
                    }
                }
                Ok(())
            })?;
        }
        Ok(without)
    }
}

#[cfg(test)]
mod tests {
    use wharf_model::state::Tx;
    use wharf_model::*;

    use super::*;
    use crate::state_test::make;

    #[test]
    fn old_logs_are_found_by_their_index() {
        let (dir, _writer, _) = make::store();
        let reader = Reader::open(dir.path()).unwrap();
        assert_eq!(reader.logs_kept_since(UnixMillis(i64::MAX), 5).unwrap(), (vec![], false));
        assert_eq!(reader.operation_logs_kept_since(UnixMillis(i64::MAX), 5).unwrap(), (vec![], false));
        for (sql, index) in [(KEPT, "runs_logs_kept"), (KEPT_OPERATIONS, "operations_logs_kept")] {
            let plan: Vec<String> = reader
                .connection()
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap()
                .query_map((1, 2), |row| row.get(3))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            assert!(plan.iter().any(|p| p.contains(index)), "{plan:?}");
            assert!(
                plan.iter().all(|p| !p.starts_with("SCAN runs") && !p.starts_with("SCAN workspace_op")),
                "{plan:?}"
            );
        }
    }

    /// An operation of a run that has ended, or of none.
    fn operation(n: u128, run: Option<RunId>) -> OperationRow {
        OperationRow {
            id: make::id(n),
            number: n as i64,
            company_id: make::id(1),
            project_id: make::id(1),
            execution_workspace_id: None,
            run_id: run,
            phase: OperationPhase::WorkspaceProvision,
            command: None,
            cwd: None,
            status: OperationStatus::Succeeded,
            attempt: 1,
            exit_code: Some(0),
            signal: None,
            error: None,
            log_ref: Some("somewhere".into()),
            log_deleted_at: None,
            log_deleted_reason: None,
            stdout_excerpt: None,
            stderr_excerpt: None,
            metadata: None,
            started_at: UnixMillis(0),
            finished_at: Some(UnixMillis(10)),
            deadline_at: None,
            version: 0,
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
        }
    }

    #[test]
    fn what_lives_and_what_an_open_run_needs_is_not_among_what_may_go() {
        let (dir, mut writer, mut state) = make::store();
        let run = |n: u128, lineage: u128| RunRow { lineage: make::id(lineage), ..make::run(n, n as i64) };
        let service = |n: u128, generation, by: Option<u128>| ServiceRow {
            status: ServiceStatus::Stopped,
            generation,
            started_by_run_id: by.map(make::id),
            ..make::service(n, n as i64)
        };
        let mut tx = Tx::new(&mut state, UnixMillis(20));
        // Runs 21 and 24 are open, and 24 goes on from 22.
        for (n, lineage) in [(21, 21), (22, 22), (23, 23), (24, 22)] {
            tx.put(run(n, lineage));
        }
        for ended in [22, 23] {
            tx.update::<RunRow>(make::id(ended), |r| r.status = RunStatus::Running);
            tx.update::<RunRow>(make::id(ended), |r| {
                r.status = RunStatus::Succeeded;
                r.log_ref = Some("somewhere".into());
                r.finished_at = Some(UnixMillis(10));
            });
        }
        tx.put(operation(31, Some(make::id(21))));
        tx.put(operation(32, Some(make::id(23))));
        tx.put(operation(33, None));
        // One that lives in its third start, one that has ended, one with a user, one that an open run started,
        // one whose second start has something left to do, one that never started.
        tx.put(service(41, 3, None));
        tx.update::<ServiceRow>(make::id(41), |s| s.status = ServiceStatus::Starting);
        tx.put(ServiceRow { log_deleted_generation: Some(1), ..service(42, 3, Some(23)) });
        tx.put(service(43, 1, None));
        tx.put(service(44, 1, Some(21)));
        tx.put(service(45, 3, None));
        tx.put(service(46, 0, None));
        tx.add_user(make::id(43), make::id(21), false);
        let seal = make::action(51, make::id(45));
        tx.put(ActionRow { kind: ActionKind::SealLog, entity_type: "service".into(), attempt: 2, ..seal });
        let changes = tx.finish().unwrap().changes;
        assert_eq!(writer.commit(&[changes]).unwrap(), vec![Ok(())]);

        let reader = Reader::open(dir.path()).unwrap();
        let runs: Vec<i64> = reader.logs_kept_since(UnixMillis(10), 9).unwrap().0.iter().map(|l| l.number).collect();
        assert_eq!(runs, [23]);
        let (operations, more) = reader.operation_logs_kept_since(UnixMillis(10), 1).unwrap();
        assert!(operations.len() == 1 && more, "{operations:?}");
        let operations = reader.operation_logs_kept_since(UnixMillis(10), 9).unwrap().0;
        let mut found: Vec<i64> = operations.iter().map(|l| l.number).collect();
        found.sort_unstable();
        assert_eq!(found, [32, 33]);
        assert_eq!(reader.operation_logs_kept_since(UnixMillis(9), 9).unwrap(), (vec![], false));
        let starts: Vec<_> = reader.ended_starts().unwrap().into_iter().map(|s| (s.number, s.starts)).collect();
        assert_eq!(starts, [(41, 1..=2), (42, 2..=3), (45, 1..=1)]);
    }

    #[test]
    fn ids_without_a_row_are_told() {
        let (dir, _writer, _) = make::store();
        let reader = Reader::open(dir.path()).unwrap();
        let ids: Vec<String> = (0..1200).map(|n| format!("no-{n}")).collect();
        assert_eq!(reader.without_row(&ids).unwrap().len(), 1200);
    }
}
