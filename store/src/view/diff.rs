//! What has to be known to tell what a workspace, or a run in it, has changed.

use rusqlite::Connection;
use wharf_model::column::Column;
use wharf_model::*;

use super::{Conditions, RunLine, first, run, select};
use crate::{Reader, StoreError, load};

/// Records of a run's checkout that are read: one for its begin and one for its end in each attempt.
const RECORDS_MAX: i64 = 64;

/// A workspace with the newest of its snapshots.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkspaceGround {
    /// The row.
    pub workspace: WorkspaceRow,
    /// The newest snapshot that is still kept.
    pub snapshot: Option<SnapshotRow>,
}

/// At which commit a run's checkout stood: the outer option says whether that was noted.
pub type NotedHead = Option<Option<String>>;

/// A run with what is known of its workspace and of its neighbours there.
#[derive(Debug, Clone, PartialEq)]
pub struct RunGround {
    /// The run.
    pub line: RunLine,
    /// Where it works; none before that was chosen.
    pub place: Option<WorkspaceGround>,
    /// Where its checkout stood when it began.
    pub began: NotedHead,
    /// Where it stood when it had ended.
    pub ended: NotedHead,
    /// Number of the newest run that worked there before it.
    pub earlier: Option<i64>,
    /// Number of the first run that worked there after it.
    pub later: Option<i64>,
}

fn ground(conn: &Connection, id: WorkspaceId) -> rusqlite::Result<Option<WorkspaceGround>> {
    let Some(workspace) = load::by_id::<WorkspaceRow>(conn, &id.text())? else { return Ok(None) };
    let mut kept = Conditions::default();
    kept.equal("t.workspace_id", Some(&id));
    kept.with("t.status = ?", [SnapshotStatus::Kept.to_cell()]);
    let newest = "ORDER BY t.ordinal DESC LIMIT 1";
    let snapshot = kept.run(conn, &select::<SnapshotRow>("", ""), newest, first::<SnapshotRow>)?.pop();
    Ok(Some(WorkspaceGround { workspace, snapshot }))
}

/// The nearest run in the same workspace on one side of a number, among those that have begun.
fn neighbour(conn: &Connection, id: WorkspaceId, number: i64, later: bool) -> rusqlite::Result<Option<i64>> {
    let sql = if later {
        "SELECT min(number) FROM runs WHERE workspace_id = ?1 AND number > ?2 AND started_at IS NOT NULL"
    } else {
        "SELECT max(number) FROM runs WHERE workspace_id = ?1 AND number < ?2 AND started_at IS NOT NULL"
    };
    conn.prepare_cached(sql)?.query_row((id.text(), number), |row| row.get(0))
}

impl Reader {
    /// A workspace and what of it is kept.
    pub fn workspace_ground(&self, id: WorkspaceId) -> Result<Option<WorkspaceGround>, StoreError> {
        self.read(|conn| ground(conn, id))
    }

    /// A run, its workspace, and where that stood when it began and ended.
    pub fn run_ground(&self, id: RunId) -> Result<Option<RunGround>, StoreError> {
        self.read(|conn| {
            let mut one = Conditions::default();
            one.equal("r.id", Some(&id));
            let Some(line) = one.run(conn, run::SELECT, "", first::<RunLine>)?.pop() else { return Ok(None) };
            let tail = "WHERE run_id = ?1 AND event_type = 'checkout' ORDER BY seq LIMIT ?2";
            let records: Vec<RunEventRow> = load::rows(conn, tail, (id.text(), RECORDS_MAX))?;
            let of = |moment: CheckoutMoment| -> NotedHead {
                // Of the attempt that counts, as it was seen first.
                let noted = records.iter().filter_map(|r| r.payload.as_ref()).find(|p| {
                    p["moment"].as_str() == Some(moment.as_str()) && p["attempt"].as_u64() == Some(line.attempt.into())
                })?;
                Some(noted["head"].as_str().map(str::to_owned))
            };
            let (began, ended) = (of(CheckoutMoment::Began), of(CheckoutMoment::Ended));
            let (mut place, mut earlier, mut later) = (None, None, None);
            if let Some(workspace) = line.workspace_id {
                place = ground(conn, workspace)?;
                earlier = neighbour(conn, workspace, line.number, false)?;
                later = neighbour(conn, workspace, line.number, true)?;
            }
            Ok(Some(RunGround { line, place, began, ended, earlier, later }))
        })
    }
}
