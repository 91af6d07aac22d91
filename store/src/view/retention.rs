//! What may be removed: logs of runs that ended long ago, and what belongs to no row.

use std::collections::BTreeSet;

use wharf_model::{RunId, UnixMillis};

use super::column;
use crate::{Reader, StoreError};

/// Rows looked up in one transaction.
const AT_ONCE: usize = 500;

/// Logs that are kept, of runs for which nothing is left to do.
const KEPT: &str = "SELECT id, number, finished_at FROM runs \
     WHERE log_ref IS NOT NULL AND log_deleted_at IS NULL AND finished_at <= ?1 \
     AND status NOT IN ('queued', 'scheduled_retry', 'running') \
     AND id NOT IN (SELECT entity_id FROM actions WHERE status IN ('pending', 'performing')) \
     ORDER BY finished_at LIMIT ?2";

/// A log that is kept and whose run has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLog {
    /// Whose.
    pub run: RunId,
    /// Its number.
    pub number: i64,
    /// When the run ended.
    pub finished_at: UnixMillis,
}

impl Reader {
    /// Logs of runs that ended at this moment or before and for which nothing is left to do, the oldest
    /// first. The second value says that there are more.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn logs_kept_since(&self, until: UnixMillis, limit: usize) -> Result<(Vec<KeptLog>, bool), StoreError> {
        let mut found = self.read(|conn| {
            conn.prepare_cached(KEPT)?
                .query_map((until.0, limit.saturating_add(1) as i64), |row| {
                    Ok(KeptLog { run: column(row, 0)?, number: row.get(1)?, finished_at: column(row, 2)? })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        let more = found.len() > limit;
        found.truncate(limit);
        Ok((found, more))
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
    use super::*;
    use crate::state_test::make;

    #[test]
    fn old_logs_are_found_by_their_index() {
        let (dir, _writer, _) = make::store();
        let reader = Reader::open(dir.path()).unwrap();
        assert_eq!(reader.logs_kept_since(UnixMillis(i64::MAX), 5).unwrap(), (vec![], false));
        let plan: Vec<String> = reader
            .connection()
            .prepare(&format!("EXPLAIN QUERY PLAN {KEPT}"))
            .unwrap()
            .query_map((1, 2), |row| row.get(3))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert!(plan.iter().any(|p| p.contains("runs_logs_kept")), "{plan:?}");
        assert!(plan.iter().all(|p| !p.starts_with("SCAN runs")), "{plan:?}");
    }

    #[test]
    fn ids_without_a_row_are_told() {
        let (dir, _writer, _) = make::store();
        let reader = Reader::open(dir.path()).unwrap();
        let ids: Vec<String> = (0..1200).map(|n| format!("no-{n}")).collect();
        assert_eq!(reader.without_row(&ids).unwrap().len(), 1200);
    }
}
