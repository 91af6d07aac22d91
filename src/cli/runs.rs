//! `wharf runs`: the ledger as a list.

use wharf_model::filter::{Field, Status, Test};
use wharf_model::{Kind, LivenessState, Observation, RunStatus, UnixMillis};
use wharf_store::Reader;
use wharf_store::view::{RunCursor, RunFilter, RunLine, RunQuery};
use wharf_ui::format;

use super::context::Context;
use super::error::Result;
use super::filter::{self, Knows, Ready, Row};
use super::list::{self, ListArgs, Listed, collect, wrong_cursor};
use super::run_doc::{RunDoc, shown};
use super::table::{Cell, Table};
use crate::clock;
use crate::why;

/// What the list can be asked for.
pub const KNOWS: Knows = Knows {
    rows: "runs",
    statuses: &[
        Status::Live,
        Status::Ended,
        Status::Queued,
        Status::Parked,
        Status::Running,
        Status::Stopping,
        Status::Done,
        Status::Failed,
        Status::Cancelled,
        Status::TimedOut,
        Status::Lost,
        Status::Unknown,
    ],
    fields: &[
        Field::Agent,
        Field::Issue,
        Field::Environment,
        Field::Run,
        Field::Lease,
        Field::Workspace,
        Field::Kind,
        Field::Error,
    ],
    figures: true,
};

impl Row for RunLine {
    fn is(&self, status: Status) -> bool {
        match status {
            Status::Live => !self.status.is_terminal(),
            Status::Ended => self.status.is_terminal(),
            Status::Queued => self.status == RunStatus::Queued,
            Status::Parked => self.status == RunStatus::ScheduledRetry,
            Status::Running => self.status == RunStatus::Running,
            Status::Stopping => self.status == RunStatus::Running && self.stop_requested_at.is_some(),
            Status::Done => self.status == RunStatus::Succeeded,
            // As in the mock-up: whatever ended badly, time-outs and losses among it.
            Status::Failed => matches!(self.status, RunStatus::Failed | RunStatus::TimedOut | RunStatus::Lost),
            Status::Cancelled => self.status == RunStatus::Cancelled,
            Status::TimedOut => self.status == RunStatus::TimedOut,
            Status::Lost => self.status == RunStatus::Lost,
            Status::Unknown => self.status == RunStatus::Running && self.observation == Observation::Unknown,
            _ => false,
        }
    }

    fn field(&self, field: Field) -> Vec<String> {
        let number = |kind: Kind, n: Option<i64>| n.map(|n| kind.number(n));
        let value = match field {
            Field::Agent => self.agent.clone(),
            Field::Issue => self.issue.clone(),
            Field::Environment => self.environment.clone(),
            Field::Run => number(Kind::Run, Some(self.number)),
            Field::Lease => number(Kind::Lease, self.lease_number),
            Field::Workspace => number(Kind::Workspace, self.workspace_number),
            Field::Kind => Some(self.invocation_source.to_string()),
            Field::Error => self.error_code.clone(),
            Field::Service | Field::By | Field::Health => None,
        };
        value.into_iter().collect()
    }

    fn began(&self) -> UnixMillis {
        self.queued_at
    }

    fn took(&self, now: UnixMillis) -> Option<i64> {
        self.started_at.map(|s| s.until(self.finished_at.unwrap_or(now)))
    }

    fn exit(&self) -> Option<i32> {
        self.exit_code
    }

    fn words(&self) -> Vec<String> {
        let mut words = vec![Kind::Run.number(self.number)];
        words.extend(
            [&self.agent, &self.issue, &self.issue_title, &self.error, &self.error_code, &self.next_action]
                .into_iter()
                .flatten()
                .cloned(),
        );
        words.extend(self.liveness_state.map(LivenessState::as_str).map(str::to_owned));
        words
    }
}

/// What of a filter the store answers from its indexes; the rest is judged row by row.
fn query(ready: &Ready) -> RunQuery {
    let mut filter = RunFilter::default();
    for (test, exclude) in ready.terms() {
        if exclude {
            continue;
        }
        match test {
            Test::Status(words) if filter.statuses.is_empty() => {
                filter.statuses = words.iter().flat_map(|w| stored(*w)).copied().collect();
            }
            Test::Since(when) => filter.since = filter.since.max(Some(ready.moment(*when))),
            Test::Until(when) => {
                let until = ready.moment(*when);
                filter.until = Some(filter.until.map_or(until, |u| u.min(until)));
            }
            _ => {}
        }
    }
    filter.statuses.sort_unstable();
    filter.statuses.dedup();
    RunQuery { filter, ..RunQuery::default() }
}

/// Stored states in which a run of this state is.
fn stored(status: Status) -> &'static [RunStatus] {
    use RunStatus as S;
    match status {
        Status::Live => &[S::Queued, S::ScheduledRetry, S::Running],
        Status::Ended => &[S::Succeeded, S::Failed, S::Cancelled, S::TimedOut, S::Lost],
        Status::Queued => &[S::Queued],
        Status::Parked => &[S::ScheduledRetry],
        Status::Running | Status::Stopping | Status::Unknown => &[S::Running],
        Status::Done => &[S::Succeeded],
        Status::Failed => &[S::Failed, S::TimedOut, S::Lost],
        Status::Cancelled => &[S::Cancelled],
        Status::TimedOut => &[S::TimedOut],
        Status::Lost => &[S::Lost],
        _ => &[],
    }
}

/// Lists runs: the open ones first, then the ended ones, each newest first.
pub fn runs(context: &Context, args: &ListArgs) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &KNOWS)?;
    let after = args.after.as_deref().map(cursor).transpose()?;
    let reader = context.reader()?;
    let listed = match &reader {
        Some(reader) => listed(reader, &ready, after, args.limit())?,
        None => Listed::none(),
    };
    let now = clock::now();
    list::print(
        context,
        args,
        "runs",
        "the filter",
        &listed,
        |row| RunDoc::new(&context.data, row, now),
        |rows| table(context, reader.as_ref(), rows, now),
    )
}

fn listed(reader: &Reader, ready: &Ready, after: Option<RunCursor>, limit: usize) -> Result<Listed<RunLine>> {
    let query = query(ready);
    let page = |at: Option<RunCursor>, n: usize| Ok(reader.runs(&query, at, n)?);
    let mut listed = collect(after, limit, cursor_text, page, |row| ready.passes(row))?;
    if let Some(hidden) = listed.hidden.filter(|_| !ready.is_empty()) {
        // What the store kept out by its indexes is hidden too.
        let counts = reader.run_counts(&query)?;
        listed.hidden = (!counts.at_least).then_some(hidden + counts.hidden);
    }
    Ok(listed)
}

fn table(context: &Context, reader: Option<&Reader>, rows: &[RunLine], now: UnixMillis) -> Table {
    let mut table = Table::new(&["RUN", "STATUS", "AGENT", "ISSUE", "ENV", "OUTCOME", "TOOK", "ENDED"]);
    for row in rows {
        let mut line = shown(&context.data, row);
        line.doing = reader.and_then(|r| why::doing(r, &context.data, row).ok()?).map(|(words, _)| words);
        let (class, word) = line.state();
        let outcome = if line.is_live() { line.now_words(now, context.zone()) } else { line.outcome_words().0 };
        table.row(vec![
            Cell::text(Kind::Run.number(row.number)),
            Cell::state(class, word),
            Cell::maybe(row.agent.clone()),
            Cell::maybe(row.issue.clone()),
            Cell::maybe(row.environment.clone()),
            Cell::text(outcome),
            Cell::figure(row.took(now).map(format::took)),
            Cell::figure(row.finished_at.map(|at| format::duration(at.until(now)))),
        ]);
    }
    table
}

fn cursor_text(cursor: RunCursor) -> String {
    format!("{}{}", if cursor.open { 'o' } else { 'e' }, cursor.below)
}

fn cursor(text: &str) -> Result<RunCursor> {
    let (open, below) = match (text.strip_prefix('o'), text.strip_prefix('e')) {
        (Some(below), _) => (true, below),
        (None, Some(below)) => (false, below),
        (None, None) => return Err(wrong_cursor(text)),
    };
    let below = below.parse().map_err(|_| wrong_cursor(text))?;
    Ok(RunCursor { open, below })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::run_line;

    #[test]
    fn cursors_come_back() {
        for cursor in [RunCursor { open: true, below: 12 }, RunCursor { open: false, below: 1 }] {
            assert_eq!(super::cursor(&cursor_text(cursor)).unwrap(), cursor);
        }
        assert!(super::cursor("é1").is_err() && super::cursor("o").is_err() && super::cursor("").is_err());
    }

    #[test]
    fn every_status_of_the_list_is_answered_alike_by_store_and_row() {
        for status in KNOWS.statuses {
            for stored_as in RunStatus::ALL {
                let line = RunLine {
                    status: *stored_as,
                    stop_requested_at: Some(UnixMillis(1)),
                    observation: Observation::Unknown,
                    ..run_line()
                };
                assert_eq!(line.is(*status), stored(*status).contains(stored_as), "{status} {stored_as}");
            }
        }
    }
}
