//! `wharf workspaces`.

use wharf_model::filter::{Field, Status};
use wharf_model::*;
use wharf_store::view::*;

use super::{duration, listed, some};
use crate::cli::context::Context;
use crate::cli::docs::*;
use crate::cli::error::Result;
use crate::cli::filter::{self, Knows, Row};
use crate::cli::list::{self, ListArgs};
use crate::cli::table::{Cell, Table};
use crate::clock;

/// What the list can be asked for.
pub const WORKSPACES: Knows = Knows {
    rows: "workspaces",
    statuses: &[Status::Live, Status::Active, Status::Idle, Status::Archived, Status::Failed, Status::Missing],
    fields: &[Field::Issue, Field::Environment, Field::Workspace, Field::Kind],
    figures: false,
};

impl Row for WorkspaceItem {
    fn is(&self, status: Status) -> bool {
        let is = self.workspace.status;
        match status {
            Status::Live => is != WorkspaceStatus::Archived,
            Status::Active => is == WorkspaceStatus::Active,
            Status::Idle => is == WorkspaceStatus::Idle,
            Status::Archived => is == WorkspaceStatus::Archived,
            Status::Failed => matches!(is, WorkspaceStatus::Failed | WorkspaceStatus::CleanupFailed),
            Status::Missing => is == WorkspaceStatus::Missing,
            _ => false,
        }
    }
    fn field(&self, field: Field) -> Vec<String> {
        match field {
            Field::Issue => some(self.issue.as_ref()),
            Field::Environment => some(self.environment.as_ref()),
            Field::Workspace => vec![Kind::Workspace.number(self.workspace.number), self.workspace.name.clone()],
            Field::Kind => vec![self.workspace.mode.to_string()],
            Field::Agent | Field::Run | Field::Lease | Field::Service | Field::By | Field::Error | Field::Health => {
                Vec::new()
            }
        }
    }
    fn began(&self) -> UnixMillis {
        self.workspace.created_at
    }
    fn words(&self) -> Vec<String> {
        let w = &self.workspace;
        let more = [w.branch_name.clone(), w.cwd.clone(), self.issue.clone(), w.failure_reason.clone()];
        self.field(Field::Workspace).into_iter().chain(more.into_iter().flatten()).collect()
    }
}

/// Lists workspaces, newest first.
pub fn workspaces(context: &Context, args: &ListArgs, archived: bool) -> Result<u8> {
    let ready = filter::read(context, &args.filter, &WORKSPACES)?;
    let wanted =
        archived || ready.terms().any(|(t, _)| matches!(t, filter::Test::Status(s) if s.contains(&Status::Archived)));
    let hidden_by = match (wanted, args.filter.is_empty()) {
        (true, _) => "the filter",
        (false, true) => "being archived (--archived shows them)",
        (false, false) => "the filter or being archived (--archived shows those)",
    };
    let query = WorkspaceQuery { archived: true, ..WorkspaceQuery::default() };
    let passes = |row: &WorkspaceItem| (wanted || row.is(Status::Live)) && ready.passes(row);
    let listed = listed(context, args, |reader, at, n| reader.workspaces(&query, at, n), passes)?;
    let now = clock::now();
    list::print(context, args, "workspaces", hidden_by, &listed, WorkspaceDoc::new, |rows| {
        let mut table =
            Table::new(&["WS", "BRANCH", "BASE", "STATUS", "USED", "ISSUE", "ENV", "LAST RUN", "OWNER", "PATH"]);
        for row in rows {
            let w = &row.workspace;
            let (class, word) = workspace_state(w);
            table.row(vec![
                Cell::text(Kind::Workspace.number(w.number)),
                Cell::text(w.branch_name.clone().unwrap_or_else(|| w.name.clone())),
                Cell::maybe(w.base_ref.clone()),
                Cell::state(class, word),
                duration(Some(w.last_used_at.until(now))),
                Cell::maybe(row.issue.clone()),
                Cell::maybe(row.environment.clone()),
                Cell::maybe(row.last_run_number.map(|n| Kind::Run.number(n))),
                Cell::text(if w.created_by_runtime { "ours" } else { "yours" }),
                Cell::maybe(w.cwd.clone()),
            ]);
        }
        table
    })
}
