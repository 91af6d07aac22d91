//! The ledger: runs, the open ones first, then the ended ones, each newest first.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use wharf_model::column::{Cell, Column};
use wharf_model::rules::queue;
use wharf_model::*;

use super::{Conditions, PAGE_LIMIT, Page, anywhere, first};
use crate::{Reader, StoreError};

wharf_model::row! {
    /// A run as lists show it; names stand in place of ids where people read them.
    append RunLine in "runs" {
        id: RunId,
        number: i64,
        project_id: ProjectId,
        agent_id: AgentId,
        agent: Option<String>,
        issue_id: Option<IssueId>,
        issue: Option<String>,
        issue_title: Option<String>,
        environment_id: Option<EnvironmentId>,
        environment: Option<String>,
        lease_id: Option<LeaseId>,
        lease_number: Option<i64>,
        workspace_id: Option<WorkspaceId>,
        workspace_number: Option<i64>,
        status: RunStatus,
        step: Option<Step>,
        invocation_source: InvocationSource,
        priority: i64,
        queued_at: UnixMillis,
        due_at: Option<UnixMillis>,
        started_at: Option<UnixMillis>,
        finished_at: Option<UnixMillis>,
        deadline_at: Option<UnixMillis>,
        stop_reason: Option<StopReason>,
        stop_requested_at: Option<UnixMillis>,
        stop_grace_ms: Option<i64>,
        attempt: u32,
        exit_code: Option<i32>,
        signal: Option<String>,
        error_code: Option<String>,
        error: Option<String>,
        observation: Observation,
        liveness_state: Option<LivenessState>,
        next_action: Option<String>,
        retry_of_run_id: Option<RunId>,
        retry_of_number: Option<i64>,
        lineage: RunId,
        stdout_bytes: Option<i64>,
        stderr_bytes: Option<i64>,
        log_sha256: Option<String>,
        last_output_at: Option<UnixMillis>,
        last_output_bytes: i64,
        version: i64,
        queue_position: Option<i64>,
    }
}

pub(super) const SELECT: &str = "SELECT r.id, r.number, r.project_id, r.agent_id, a.name, r.issue_id, i.identifier, \
    i.title, r.environment_id, e.name, r.lease_id, l.number, r.workspace_id, w.number, r.status, r.step, \
    r.invocation_source, r.priority, r.queued_at, r.due_at, r.started_at, r.finished_at, r.deadline_at, \
    r.stop_reason, r.stop_requested_at, r.stop_grace_ms, r.attempt, r.exit_code, r.signal, r.error_code, r.error, r.observation, \
    r.liveness_state, r.next_action, r.retry_of_run_id, p.number, r.lineage, r.stdout_bytes, r.stderr_bytes, \
    r.log_sha256, r.last_output_at, r.last_output_bytes, r.version, NULL FROM runs r \
    LEFT JOIN agents a ON a.id = r.agent_id LEFT JOIN issues i ON i.id = r.issue_id \
    LEFT JOIN environments e ON e.id = r.environment_id LEFT JOIN environment_leases l ON l.id = r.lease_id \
    LEFT JOIN execution_workspaces w ON w.id = r.workspace_id LEFT JOIN runs p ON p.id = r.retry_of_run_id";

/// Joins that a count with a text needs.
const COUNT_JOINS: &str = "LEFT JOIN agents a ON a.id = r.agent_id LEFT JOIN issues i ON i.id = r.issue_id";

const OPEN: &str = "r.status IN ('queued', 'scheduled_retry', 'running')";
const ENDED: &str = "r.status NOT IN ('queued', 'scheduled_retry', 'running')";

/// Which runs are shown. Empty sets and absent values let everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RunFilter {
    /// Any of these states.
    pub statuses: Vec<RunStatus>,
    /// Of this agent.
    pub agent: Option<AgentId>,
    /// On this issue.
    pub issue: Option<IssueId>,
    /// In this environment.
    pub environment: Option<EnvironmentId>,
    /// In this workspace.
    pub workspace: Option<WorkspaceId>,
    /// Of this chain of retries.
    pub lineage: Option<RunId>,
    /// Queued at or after.
    pub since: Option<UnixMillis>,
    /// Queued before.
    pub until: Option<UnixMillis>,
    /// In the number, agent, issue, title, error or next action, whatever the case of its ASCII letters.
    pub text: Option<String>,
}

/// Where a page of runs goes on: below this number, among the open or the ended ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct RunCursor {
    /// Still among the open ones.
    pub open: bool,
    /// Below this number.
    pub below: i64,
}

/// A question for runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RunQuery {
    /// Of this company.
    pub company: Option<CompanyId>,
    /// Of this project.
    pub project: Option<ProjectId>,
    /// Which ones.
    pub filter: RunFilter,
}

/// How many runs there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Runs that the filter lets through.
    pub shown: i64,
    /// Runs that it hides.
    pub hidden: i64,
    /// Whether counting stopped at the limit, so that both are lower bounds.
    pub at_least: bool,
}

/// Numbers a search looks through before it asks the clock whether to go on.
const WINDOW: i64 = 5_000;
/// How long a search for rare rows goes on before it hands out what it found.
const SEARCH: Duration = Duration::from_millis(60);
/// How far the order of queueing may differ from the order of numbers after the wall clock stepped.
const SLACK: i64 = 2_000;
/// Rows up to which counts are exact.
const COUNT_LIMIT: i64 = 100_000;
/// Queued runs whose position is told.
const QUEUE_LIMIT: i64 = 10_000;

impl RunQuery {
    /// The conditions; with `indexed`, the most telling one may choose the index, and no other.
    ///
    /// The database keeps no statistics, so it would take any: the company's, say, which is that of all runs.
    fn conditions(&self, indexed: bool) -> Conditions {
        let narrow: [(&str, Option<Cell>); 7] = [
            ("lineage", self.filter.lineage.as_ref().map(Column::to_cell)),
            ("issue_id", self.filter.issue.as_ref().map(Column::to_cell)),
            ("workspace_id", self.filter.workspace.as_ref().map(Column::to_cell)),
            ("agent_id", self.filter.agent.as_ref().map(Column::to_cell)),
            ("environment_id", self.filter.environment.as_ref().map(Column::to_cell)),
            ("project_id", self.project.as_ref().map(Column::to_cell)),
            ("company_id", self.company.as_ref().map(Column::to_cell)),
        ];
        let mut all = Conditions::default();
        let mut free = indexed;
        for (column, value) in narrow {
            if let Some(value) = value {
                all.with(&format!("{}r.{column} = ?", if free { "" } else { "+" }), [value]);
                free = false;
            }
        }
        if let Some(since) = self.filter.since {
            all.with("+r.queued_at >= ?", [since.to_cell()]);
        }
        if let Some(until) = self.filter.until {
            all.with("+r.queued_at < ?", [until.to_cell()]);
        }
        if let Some(text) = self.filter.text.as_deref().filter(|t| !t.is_empty()) {
            let found =
                ["'R-' || r.number", "a.name", "i.identifier", "i.title", "r.error", "r.error_code", "r.next_action"]
                    .map(|column| format!("{column} LIKE ? ESCAPE '\\'"));
            all.with(&format!("({})", found.join(" OR ")), vec![anywhere(text); found.len()]);
        }
        all
    }

    fn tells_more_than_project(&self) -> bool {
        let f = &self.filter;
        f.lineage.is_some()
            || f.issue.is_some()
            || f.workspace.is_some()
            || f.agent.is_some()
            || f.environment.is_some()
    }

    fn open_statuses(&self) -> bool {
        self.filter.statuses.is_empty() || self.filter.statuses.iter().any(|s| !s.is_terminal())
    }

    fn ended_statuses(&self) -> bool {
        self.filter.statuses.is_empty() || self.filter.statuses.iter().any(|s| s.is_terminal())
    }

    /// Whether one index answers the ended part, so that no row is read that is not shown.
    fn is_direct(&self) -> bool {
        let f = &self.filter;
        let narrowed = [
            !f.statuses.is_empty(),
            f.agent.is_some(),
            f.issue.is_some(),
            f.environment.is_some(),
            f.workspace.is_some(),
            f.lineage.is_some(),
            self.project.is_some(),
        ];
        f.text.is_none() && f.since.is_none() && f.until.is_none() && narrowed.iter().filter(|n| **n).count() <= 1
    }

    pub(crate) fn open_rows(&self, conn: &Connection, below: i64, limit: i64) -> rusqlite::Result<Vec<RunLine>> {
        let mut all = self.conditions(false);
        all.term(OPEN);
        if !self.filter.statuses.is_empty() {
            all.with(
                &format!("+r.status IN ({})", holes(self.filter.statuses.len())),
                self.filter.statuses.iter().map(Column::to_cell),
            );
        }
        all.with("r.number < ?", [Cell::Int(below)]);
        let select = SELECT.replacen("FROM runs r", "FROM runs r INDEXED BY runs_open", 1);
        all.run(conn, &select, &format!("ORDER BY r.number DESC LIMIT {limit}"), first)
    }

    /// Ended rows with numbers from `from` to below `below`.
    pub(crate) fn ended_rows(
        &self,
        conn: &Connection,
        from: i64,
        below: i64,
        limit: i64,
    ) -> rusqlite::Result<Vec<RunLine>> {
        let mut rows = Vec::new();
        let ended: Vec<Option<RunStatus>> = if self.filter.statuses.is_empty() {
            vec![None]
        } else {
            self.filter.statuses.iter().filter(|s| s.is_terminal()).copied().map(Some).collect()
        };
        // One question for each state: each is answered by one index, however rare the state.
        for status in &ended {
            // A state has an index of its own; where something tells more than the project, that one is better.
            let by_status = status.is_some() && !self.tells_more_than_project();
            let mut all = self.conditions(!by_status);
            match status {
                Some(status) => all.equal(if by_status { "r.status" } else { "+r.status" }, Some(status)),
                None => all.term(ENDED),
            }
            all.with("r.number < ? AND r.number >= ?", [Cell::Int(below), Cell::Int(from)]);
            rows.extend(all.run(conn, SELECT, &format!("ORDER BY r.number DESC LIMIT {limit}"), first::<RunLine>)?);
        }
        if ended.len() > 1 {
            rows.sort_by_key(|r| std::cmp::Reverse(r.number));
            rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        Ok(rows)
    }
}

fn holes(n: usize) -> String {
    vec!["?"; n].join(", ")
}

impl Reader {
    /// A page of runs: the open ones first, then the ended ones, each newest first.
    ///
    /// A search for rare rows among very many may give a short page with a cursor: go on with it.
    pub fn runs(
        &self,
        query: &RunQuery,
        after: Option<RunCursor>,
        limit: usize,
    ) -> Result<Page<RunLine, RunCursor>, StoreError> {
        let limit = limit.clamp(1, PAGE_LIMIT);
        let want = limit as i64 + 1;
        let begun = Instant::now();
        let mut rows = Vec::new();
        let start = after.unwrap_or(RunCursor { open: true, below: i64::MAX });
        if start.open && query.open_statuses() {
            rows = self.read(|conn| query.open_rows(conn, start.below, want))?;
        }
        let mut next = None;
        if query.ended_statuses() && rows.len() <= limit {
            let (low, high) = self.read(|conn| bounds(conn, &query.filter))?;
            let mut below = if start.open { high + 1 } else { start.below.min(high + 1) };
            while rows.len() <= limit && below > low {
                let missing = want - rows.len() as i64;
                let from = if query.is_direct() { low } else { (below - WINDOW).max(low) };
                let ended = self.read(|conn| query.ended_rows(conn, from, below, missing))?;
                // One that ended between the two questions is in both answers: the later one is true.
                let numbers: BTreeSet<i64> = ended.iter().map(|r| r.number).collect();
                rows.retain(|r| !numbers.contains(&r.number));
                rows.extend(ended);
                below = from;
                if rows.len() <= limit && below > low && begun.elapsed() > SEARCH {
                    next = Some(RunCursor { open: false, below });
                    break;
                }
            }
        }
        if rows.len() > limit {
            rows.truncate(limit);
            next = rows.last().map(|r| RunCursor { open: !r.status.is_terminal(), below: r.number });
        }
        self.fill_positions(&mut rows)?;
        Ok(Page { rows, next })
    }

    /// One run as lists show it.
    pub fn run_line(&self, id: RunId) -> Result<Option<RunLine>, StoreError> {
        let mut rows = self.read(|conn| {
            let mut one = Conditions::default();
            one.equal("r.id", Some(&id));
            one.run(conn, SELECT, "", first::<RunLine>)
        })?;
        self.fill_positions(&mut rows)?;
        Ok(rows.pop())
    }

    /// How many runs a question shows, and how many its filter hides; exact up to 100 000 and while counting is quick.
    pub fn run_counts(&self, query: &RunQuery) -> Result<Counts, StoreError> {
        let scope = RunQuery { filter: RunFilter::default(), ..query.clone() };
        let counted = |query: &RunQuery| match self.read(|conn| count(conn, query)) {
            Ok(n) => Ok((n, n > COUNT_LIMIT)),
            Err(StoreError::TooSlow { .. }) => Ok((0, true)),
            Err(e) => Err(e),
        };
        let all = counted(&scope)?;
        let shown = if query.filter == RunFilter::default() { all } else { counted(query)? };
        Ok(Counts { shown: shown.0, hidden: (all.0 - shown.0).max(0), at_least: all.1 || shown.1 })
    }

    /// Fills in who waits at which place, in the order in which they are claimed.
    fn fill_positions(&self, rows: &mut [RunLine]) -> Result<(), StoreError> {
        if !rows.iter().any(|r| r.status == RunStatus::Queued) {
            return Ok(());
        }
        let mut queue: Vec<((u8, i64, i64), String)> = self.read(|conn| {
            conn.prepare_cached(
                "SELECT r.id, r.priority, r.number, i.status FROM runs r LEFT JOIN issues i ON i.id = r.issue_id \
                 WHERE r.status IN ('queued', 'scheduled_retry', 'running') AND +r.status = 'queued' \
                 ORDER BY r.number LIMIT ?1",
            )?
            .query_map([QUEUE_LIMIT], |row| {
                let issue = row.get::<_, Option<String>>(3)?.and_then(|status| IssueStatus::parse(&status));
                Ok((queue::order(issue, row.get(1)?, row.get(2)?), row.get(0)?))
            })?
            .collect()
        })?;
        queue.sort_unstable();
        let places: HashMap<&str, i64> = queue.iter().map(|(_, id)| id.as_str()).zip(1..).collect();
        for row in rows {
            row.queue_position = places.get(row.id.text().as_str()).copied();
        }
        Ok(())
    }
}

/// The lowest and the highest number that the times of a question can mean.
fn bounds(conn: &Connection, filter: &RunFilter) -> rusqlite::Result<(i64, i64)> {
    let highest: i64 =
        conn.prepare_cached("SELECT ifnull(max(number), 0) FROM runs")?.query_row([], |row| row.get(0))?;
    let edge = |sql: &str, at: UnixMillis| -> rusqlite::Result<Option<i64>> {
        conn.prepare_cached(sql)?.query_row([at.0], |row| row.get(0)).optional()
    };
    let low = match filter.since {
        Some(at) => edge("SELECT number FROM runs WHERE queued_at >= ?1 ORDER BY queued_at LIMIT 1", at)?
            .map_or(highest + 1, |n| (n - SLACK).max(0)),
        None => 0,
    };
    let high = match filter.until {
        Some(at) => edge("SELECT number FROM runs WHERE queued_at < ?1 ORDER BY queued_at DESC LIMIT 1", at)?
            .map_or(0, |n| (n + SLACK).min(highest)),
        None => highest,
    };
    Ok((low, high))
}

fn count(conn: &Connection, query: &RunQuery) -> rusqlite::Result<i64> {
    let mut all = query.conditions(true);
    if !query.filter.statuses.is_empty() {
        all.with(
            &format!("r.status IN ({})", holes(query.filter.statuses.len())),
            query.filter.statuses.iter().map(Column::to_cell),
        );
    }
    let joins = if query.filter.text.is_some() { COUNT_JOINS } else { "" };
    let rows = all.run(
        conn,
        &format!("SELECT count(*) FROM (SELECT 1 FROM runs r {joins}"),
        &format!("LIMIT {})", COUNT_LIMIT + 1),
        |row| row.get(0),
    )?;
    Ok(rows.first().copied().unwrap_or(0))
}
