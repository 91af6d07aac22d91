//! One run with everything around it; long texts and events come when they are asked for.

use wharf_model::column::Column;
use wharf_model::*;

use super::{
    Conditions, LeaseItem, OperationItem, Page, RunLine, ServiceItem, column, first, lease, one_more, page, run,
    select, service, workspace,
};
use crate::{Reader, StoreError, load};

/// Rows of the audit trail, comments and operations that a run's own screen shows at once.
const AROUND: i64 = 200;

/// One run of a lineage.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ChainItem {
    /// The run.
    pub id: RunId,
    /// Its number.
    pub number: i64,
    /// Where it is.
    pub status: RunStatus,
}

/// Runs of a lineage that are told.
const CHAIN_MAX: i64 = 50;

/// A run and what belongs to it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct RunDetail {
    /// The whole row.
    pub run: RunRow,
    /// The same with names.
    pub line: RunLine,
    /// Every run of its lineage, itself included, oldest first: what was tried for the same work.
    pub chain: Vec<ChainItem>,
    /// Its steps, in order.
    pub steps: Vec<StepRow>,
    /// Its wake.
    pub wakeup: Option<WakeupRow>,
    /// Its lease.
    pub lease: Option<LeaseItem>,
    /// Its workspace.
    pub workspace: Option<WorkspaceRow>,
    /// Operations that prepared its workspace, newest first.
    pub operations: Vec<OperationItem>,
    /// Services it uses.
    pub services: Vec<ServiceItem>,
    /// Its audit trail, newest first.
    pub activity: Vec<ActivityRow>,
    /// Comments it wrote, oldest first.
    pub comments: Vec<CommentRow>,
    /// Its texts, with their sizes in bytes.
    pub texts: Vec<(RunTextKind, i64)>,
}

impl Reader {
    /// A run and what belongs to it, all of one moment.
    pub fn run_detail(&self, id: RunId) -> Result<Option<RunDetail>, StoreError> {
        let key = id.text();
        self.read(|conn| {
            let Some(run) = load::by_id::<RunRow>(conn, &key)? else { return Ok(None) };
            let mut one = Conditions::default();
            one.equal("r.id", Some(&id));
            let Some(line) = one.run(conn, run::SELECT, "", first::<RunLine>)?.pop() else { return Ok(None) };
            let chain = conn
                .prepare_cached("SELECT id, number, status FROM runs WHERE lineage = ?1 ORDER BY number LIMIT ?2")?
                .query_map((run.lineage.text(), CHAIN_MAX), |row| {
                    Ok(ChainItem { id: column(row, 0)?, number: row.get(1)?, status: column(row, 2)? })
                })?
                .collect::<Result<_, _>>()?;
            let mut steps: Vec<StepRow> = load::rows(conn, "WHERE run_id = ?1", [&key])?;
            steps.sort_by_key(|s| s.step.ordinal());
            let lease = match run.lease_id {
                Some(lease) => lease::by_id(conn, lease)?,
                None => None,
            };
            let workspace = match run.workspace_id {
                Some(workspace) => load::by_id(conn, &workspace.text())?,
                None => None,
            };
            let wakeup = match run.wakeup_request_id {
                Some(wakeup) => load::by_id(conn, &wakeup.text())?,
                None => None,
            };
            let mut of_run = Conditions::default();
            of_run.equal("t.run_id", Some(&id));
            let operations = workspace::operations(conn, &of_run, AROUND)?;
            let services = service::used_by(conn, id)?;
            let activity = load::rows(conn, "WHERE run_id = ?1 ORDER BY rowid DESC LIMIT ?2", (&key, AROUND))?;
            let comments = load::rows(conn, "WHERE run_id = ?1 ORDER BY created_at, rowid LIMIT ?2", (&key, AROUND))?;
            let texts = conn
                .prepare_cached("SELECT kind, octet_length(body) FROM run_texts WHERE run_id = ?1")?
                .query_map([&key], |row| Ok((column(row, 0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            Ok(Some(RunDetail {
                run,
                line,
                chain,
                steps,
                wakeup,
                lease,
                workspace,
                operations,
                services,
                activity,
                comments,
                texts,
            }))
        })
    }

    /// A long text of a run.
    pub fn run_text(&self, id: RunId, kind: RunTextKind) -> Result<Option<String>, StoreError> {
        self.read(|conn| {
            let rows: Vec<RunTextRow> =
                load::rows(conn, "WHERE run_id = ?1 AND kind = ?2", (id.text(), kind.as_str()))?;
            Ok(rows.into_iter().next().map(|row| row.body))
        })
    }

    /// Events of a run after a number, oldest first; the cursor is the last number given.
    pub fn run_events(&self, id: RunId, after: i64, limit: usize) -> Result<Page<RunEventRow, i64>, StoreError> {
        self.read(|conn| {
            let mut all = Conditions::default();
            all.equal("t.run_id", Some(&id));
            all.with("t.seq > ?", [after.to_cell()]);
            let tail = format!("ORDER BY t.seq LIMIT {}", one_more(limit));
            let rows = all.run(conn, &select::<RunEventRow>("", ""), &tail, first::<RunEventRow>)?;
            Ok(page(rows, limit, |e| e.seq))
        })
    }
}
