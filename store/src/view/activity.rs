//! The audit trail, newest first.

use rusqlite::Connection;
use wharf_model::column::{Cell, Column, Row};
use wharf_model::*;

use super::{Conditions, Page, first, one_more, page, select};
use crate::{Reader, StoreError};

/// Which rows of the audit trail are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ActivityQuery {
    /// Of this company.
    pub company: Option<CompanyId>,
    /// Of this project.
    pub project: Option<ProjectId>,
    /// About this row: its kind and key.
    pub entity: Option<(String, String)>,
    /// About this run or by it.
    pub run: Option<RunId>,
    /// By this actor.
    pub actor: Option<(ActorType, String)>,
    /// This action, such as `run.ended`.
    pub action: Option<String>,
    /// At or after.
    pub since: Option<UnixMillis>,
    /// Before.
    pub until: Option<UnixMillis>,
}

/// Rows by which the order of writing may differ from the order of time after the wall clock stepped.
const SLACK: i64 = 2_000;

impl ActivityQuery {
    pub(crate) fn rows(&self, conn: &Connection, below: i64, limit: i64) -> rusqlite::Result<Vec<(i64, ActivityRow)>> {
        let mut all = Conditions::default();
        if let Some((kind, id)) = &self.entity {
            all.equal("t.entity_type", Some(kind));
            all.equal("t.entity_id", Some(id));
        }
        if let Some((kind, id)) = &self.actor {
            all.equal("t.actor_type", Some(kind));
            all.equal("t.actor_id", Some(id));
        }
        all.equal("t.run_id", self.run.as_ref());
        all.equal("t.action", self.action.as_ref());
        // Without statistics the database would take any index: the most telling one is left to it.
        let narrow = self.entity.is_some() || self.actor.is_some() || self.run.is_some() || self.action.is_some();
        let column = |free: bool, name: &str| if free { format!("t.{name}") } else { format!("+t.{name}") };
        all.equal(&column(!narrow, "project_id"), self.project.as_ref());
        all.equal(&column(!narrow && self.project.is_none(), "company_id"), self.company.as_ref());
        if let Some(since) = self.since {
            all.with("+t.created_at >= ?", [since.to_cell()]);
            all.with(
                "t.rowid >= ifnull((SELECT rowid FROM activity WHERE created_at >= ? ORDER BY created_at LIMIT 1), \
                 (SELECT max(rowid) FROM activity)) - ?",
                [since.to_cell(), Cell::Int(SLACK)],
            );
        }
        if let Some(until) = self.until {
            all.with("+t.created_at < ?", [until.to_cell()]);
            all.with(
                "t.rowid <= ifnull((SELECT rowid FROM activity WHERE created_at < ? ORDER BY created_at DESC LIMIT 1), 0) + ?",
                [until.to_cell(), Cell::Int(SLACK)],
            );
        }
        all.with("t.rowid < ?", [Cell::Int(below)]);
        all.run(conn, &select::<ActivityRow>(", t.rowid", ""), &format!("ORDER BY t.rowid DESC LIMIT {limit}"), |row| {
            Ok((row.get(ActivityRow::COLUMNS.len())?, first(row)?))
        })
    }
}

impl Reader {
    /// A page of the audit trail, newest first; the cursor is a row's position.
    pub fn activity(
        &self,
        query: &ActivityQuery,
        below: Option<i64>,
        limit: usize,
    ) -> Result<Page<ActivityRow, i64>, StoreError> {
        let Page { rows, next } = self.activity_placed(query, below, limit)?;
        Ok(Page { rows: rows.into_iter().map(|(_, row)| row).collect(), next })
    }

    /// The same, each row with its position: that never changes and rises with each entry.
    pub fn activity_placed(
        &self,
        query: &ActivityQuery,
        below: Option<i64>,
        limit: usize,
    ) -> Result<Page<(i64, ActivityRow), i64>, StoreError> {
        let rows = self.read(|conn| query.rows(conn, below.unwrap_or(i64::MAX), one_more(limit)))?;
        Ok(page(rows, limit, |(position, _)| *position))
    }
}
