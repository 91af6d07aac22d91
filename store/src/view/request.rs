//! Requests: what waits for an answer, and what was answered.

use rusqlite::Connection;
use wharf_model::column::Cell;
use wharf_model::*;

use super::{Conditions, Page, first, one_more, page, select};
use crate::{Reader, StoreError, load};

/// Which requests are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RequestQuery {
    /// Only those that are not finished.
    pub open_only: bool,
}

impl RequestQuery {
    pub(crate) fn rows(self, conn: &Connection, below: i64, limit: i64) -> rusqlite::Result<Vec<RequestRow>> {
        let mut all = Conditions::default();
        if self.open_only {
            all.term("t.status IN ('pending', 'accepted')");
        }
        all.with("t.number < ?", [Cell::Int(below)]);
        all.run(conn, &select::<RequestRow>("", ""), &format!("ORDER BY t.number DESC LIMIT {limit}"), first)
    }
}

impl Reader {
    /// A page of requests, newest first; the cursor is a number.
    pub fn requests(
        &self,
        query: RequestQuery,
        below: Option<i64>,
        limit: usize,
    ) -> Result<Page<RequestRow, i64>, StoreError> {
        let rows = self.read(|conn| query.rows(conn, below.unwrap_or(i64::MAX), one_more(limit)))?;
        Ok(page(rows, limit, |r| r.number))
    }

    /// One request: how its answer is awaited.
    pub fn request(&self, id: RequestId) -> Result<Option<RequestRow>, StoreError> {
        self.read(|conn| load::by_id(conn, &id.text()))
    }
}
