//! `wharf issues`.

use wharf_model::filter::{Field, Status};
use wharf_model::*;
use wharf_store::view::*;

use super::{listed, number, some};
use crate::cli::context::Context;
use crate::cli::docs::*;
use crate::cli::error::Result;
use crate::cli::filter::{self, Knows, Row};
use crate::cli::list::{self, ListArgs};
use crate::cli::table::{Cell, Table};

/// What the list can be asked for.
pub const ISSUES: Knows = Knows {
    rows: "issues",
    statuses: &[Status::Live, Status::Ended, Status::Done, Status::Cancelled, Status::Running],
    fields: &[Field::Agent, Field::Issue, Field::Run],
    figures: false,
};

impl Row for IssueItem {
    fn is(&self, status: Status) -> bool {
        let is = self.issue.status;
        match status {
            Status::Live => !matches!(is, IssueStatus::Done | IssueStatus::Cancelled),
            Status::Ended => matches!(is, IssueStatus::Done | IssueStatus::Cancelled),
            Status::Done => is == IssueStatus::Done,
            Status::Cancelled => is == IssueStatus::Cancelled,
            Status::Running => self.last_run_status == Some(RunStatus::Running),
            _ => false,
        }
    }
    fn field(&self, field: Field) -> Vec<String> {
        match field {
            Field::Agent => some(self.assignee.as_ref()),
            Field::Issue => vec![self.issue.identifier.clone()],
            Field::Run => number(Kind::Run, self.last_run_number),
            _ => Vec::new(),
        }
    }
    fn began(&self) -> UnixMillis {
        self.issue.created_at
    }
    fn words(&self) -> Vec<String> {
        let i = &self.issue;
        [Some(i.identifier.clone()), Some(i.title.clone()), i.description.clone()].into_iter().flatten().collect()
    }
}

/// Lists issues, newest first.
pub fn issues(context: &Context, args: &ListArgs) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &ISSUES)?;
    let query = IssueQuery::default();
    let listed = listed(context, args, |reader, at, n| reader.issues(&query, at, n), |row| ready.passes(row))?;
    list::print(context, args, "issues", "the filter", &listed, IssueDoc::new, |rows| {
        let mut table = Table::new(&["ISSUE", "STATUS", "PRIO", "AGENT", "LAST RUN", "TITLE"]);
        for row in rows {
            let (class, word) = issue_state(row);
            let last = row.last_run_number.map(|n| {
                let status = row.last_run_status.map(|s| format!(" {}", s.as_str().replace('_', " ")));
                format!("{}{}", Kind::Run.number(n), status.unwrap_or_default())
            });
            table.row(vec![
                Cell::text(row.issue.identifier.clone()),
                Cell::state(class, word),
                Cell::text(row.issue.priority.as_str()),
                Cell::maybe(row.assignee.clone()),
                Cell::maybe(last),
                Cell::text(row.issue.title.clone()),
            ]);
        }
        table
    })
}
