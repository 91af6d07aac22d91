//! Adding one row to `requests`: all that other processes than the orchestrator may write.

use std::path::{Path, PathBuf};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params_from_iter};
use serde_json::Value;
use wharf_model::column::Row;
use wharf_model::{ActorType, Kind, RequestId, RequestOrigin, RequestRow, RequestStatus, UnixMillis};

use crate::cell::{Bound, columns, read_at};
use crate::{StoreError, changes, open};

/// What is asked, before it has a number.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRequest {
    /// Kind, such as `run.cancel`.
    pub kind: String,
    /// Kind of the row it is about.
    pub target_type: Option<String>,
    /// Key of the row it is about.
    pub target_id: Option<String>,
    /// Arguments.
    pub args: Value,
    /// Versions that the preview showed.
    pub expect: Option<Value>,
    /// Who asks.
    pub actor_type: ActorType,
    /// Who asks, by name.
    pub actor_id: String,
    /// From where.
    pub origin: RequestOrigin,
    /// Makes a repeated send the same request.
    pub idempotency_key: Option<String>,
    /// Moment of asking.
    pub now: UnixMillis,
    /// When it is too late to begin with it.
    pub expires_at: UnixMillis,
}

/// A connection that adds requests and nothing else.
pub struct RequestSender {
    path: PathBuf,
    conn: Connection,
}

impl RequestSender {
    /// Opens a store that another process made.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let (path, conn) = open::open_for_requests(dir)?;
        conn.authorizer(Some(only_requests)).map_err(|e| StoreError::sqlite(&path, e))?;
        Ok(Self { path, conn })
    }

    /// Adds a request durably and gives its row. Waits at most five seconds for the store.
    ///
    /// A key of idempotency that this actor used before gives the earlier row when it asked for the same, and
    /// [`StoreError::IdempotencyConflict`] when it did not.
    pub fn send(&mut self, request: &NewRequest) -> Result<RequestRow, StoreError> {
        send(&self.path, &mut self.conn, request)
    }
}

/// What this connection may do: read, and add request rows.
fn only_requests(asked: AuthContext<'_>) -> Authorization {
    match asked.action {
        AuthAction::Read { .. }
        | AuthAction::Select
        | AuthAction::Function { .. }
        | AuthAction::Transaction { .. }
        | AuthAction::Insert { table_name: RequestRow::TABLE } => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

pub(crate) fn send(path: &Path, conn: &mut Connection, new: &NewRequest) -> Result<RequestRow, StoreError> {
    let fail = |e| StoreError::sqlite(path, e);
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    if let Some(key) = &new.idempotency_key
        && let Some(earlier) = used_before(&tx, new, key).map_err(fail)?
    {
        let same = earlier.kind == new.kind
            && earlier.args == new.args
            && earlier.target_type == new.target_type
            && earlier.target_id == new.target_id;
        return if same {
            Ok(earlier)
        } else {
            let number = Kind::Request.number(earlier.number);
            Err(StoreError::IdempotencyConflict { key: key.clone(), number })
        };
    }
    // Also past the counter: rows may have been removed since.
    let last: i64 = tx
        .query_row(
            "SELECT max(ifnull((SELECT max(number) FROM requests), 0), \
                        ifnull((SELECT value FROM counters WHERE name = 'request'), 0))",
            [],
            |row| row.get(0),
        )
        .map_err(fail)?;
    let row = RequestRow {
        id: RequestId(uuid::Uuid::now_v7()),
        number: last + 1,
        kind: new.kind.clone(),
        target_type: new.target_type.clone(),
        target_id: new.target_id.clone(),
        args: new.args.clone(),
        expect: new.expect.clone(),
        actor_type: new.actor_type,
        actor_id: new.actor_id.clone(),
        origin: new.origin,
        idempotency_key: new.idempotency_key.clone(),
        status: RequestStatus::Pending,
        expires_at: new.expires_at,
        answered_at: None,
        finished_at: None,
        result: None,
        error_code: None,
        error: None,
        version: 1,
        created_at: new.now,
        updated_at: new.now,
    };
    let holes = vec!["?"; RequestRow::COLUMNS.len()].join(", ");
    let sql = format!("INSERT INTO requests ({}) VALUES ({holes})", columns::<RequestRow>(""));
    tx.prepare_cached(&sql)
        .and_then(|mut insert| insert.execute(params_from_iter(row.cells().iter().map(Bound))))
        .map_err(fail)?;
    tx.commit().map_err(fail)?;
    changes::tell(path);
    Ok(row)
}

fn used_before(conn: &Connection, new: &NewRequest, key: &str) -> rusqlite::Result<Option<RequestRow>> {
    let sql = format!(
        "SELECT {} FROM requests WHERE actor_type = ?1 AND actor_id = ?2 AND idempotency_key = ?3",
        columns::<RequestRow>("")
    );
    conn.prepare_cached(&sql)?
        .query_row((new.actor_type.as_str(), &new.actor_id, key), |row| read_at(row, 0))
        .optional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_test::make;

    #[test]
    fn nothing_but_requests_can_be_written() {
        let (dir, _writer, _) = make::store();
        let sender = RequestSender::open(dir.path()).unwrap();
        for sql in [
            "UPDATE requests SET status = 'done'",
            "DELETE FROM requests",
            "INSERT INTO counters VALUES ('run', 9)",
            "UPDATE meta SET value = 9",
            "DROP TABLE requests",
            "PRAGMA user_version = 9",
            "ATTACH ':memory:' AS other",
        ] {
            let error = StoreError::sqlite(dir.path(), sender.conn.execute_batch(sql).unwrap_err());
            assert_eq!(error.code(), "store_read_only", "{sql}: {error}");
        }
    }
}
