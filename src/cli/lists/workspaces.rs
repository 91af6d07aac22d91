//! `wharf workspaces`.

use wharf_model::filter::{Field, Status};
use wharf_model::*;
use wharf_store::view::*;
use wharf_ui::format;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{duration, listed, some};
use crate::cli::context::Context;
use crate::cli::docs::*;
use crate::cli::error::Result;
use crate::cli::filter::{self, Knows, Row};
use crate::cli::list::{self, ListArgs};
use crate::cli::table::{Cell, Table};
use crate::clock;
use crate::console::workspace_facts;
use crate::gc::strays;
use crate::workspace::inventory::Stock;

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

/// Looking into directories takes no longer than this altogether; what comes after is unknown.
const INVENTORY: Duration = Duration::from_mins(1);
/// Nor longer than this for one of them.
const INVENTORY_ONE: Duration = Duration::from_secs(15);

/// What the directories of these hold, as far as there is time.
fn inventory(context: &Context, rows: &[WorkspaceItem]) -> Result<HashMap<WorkspaceId, Stock>> {
    let mut found = HashMap::new();
    let Some(reader) = context.reader()? else { return Ok(found) };
    let until = Instant::now() + INVENTORY;
    let mut late = 0;
    for row in rows.iter().map(|item| &item.workspace) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            late += 1;
        } else if let Some(stock) = workspace_facts::stock(&reader, row, left.min(INVENTORY_ONE))? {
            found.insert(row.id, stock);
        }
    }
    if late > 0 {
        context.remark(&format!("{late} were not looked at: looking takes {}s at most", INVENTORY.as_secs()));
    }
    Ok(found)
}

/// Says that there is something in trashes that no row knows; the doctor names it, with what removes it.
fn unknown_trash(context: &Context) -> Result<()> {
    let Some(reader) = context.reader()? else { return Ok(()) };
    let (found, _) = strays::find(&reader, Duration::ZERO)?;
    for one in &found {
        let whose = one.number.as_ref().map_or_else(String::new, |number| format!(", of {number}"));
        context.remark(&format!("no row knows {}{whose}", one.stray.places().join(", ")));
    }
    if !found.is_empty() {
        context.remark("wharf doctor tells how large that is and what removes it; nothing does by itself");
    }
    Ok(())
}

/// `yes`, `no`, and where it is not known nothing.
fn merged(stock: Option<&Stock>) -> Cell {
    Cell::maybe(stock.and_then(|s| s.merged).map(|merged| if merged { "yes" } else { "no" }.to_owned()))
}

/// Lists workspaces, newest first; `with_inventory` looks into their directories.
pub fn workspaces(context: &Context, args: &ListArgs, archived: bool, with_inventory: bool) -> Result<u8> {
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
    let stocks = if with_inventory { inventory(context, &listed.rows)? } else { HashMap::new() };
    if with_inventory {
        unknown_trash(context)?;
    }
    let doc = |row: &WorkspaceItem| WorkspaceDoc::new(row, stocks.get(&row.workspace.id));
    list::print(context, args, "workspaces", hidden_by, &listed, doc, |rows| {
        let (first, figures, last) = (
            ["WS", "BRANCH", "BASE", "STATUS"].as_slice(),
            ["DIRTY", "NEW", "AHEAD", "BEHIND", "MERGED", "SIZE"].as_slice(),
            ["USED", "ISSUE", "ENV", "LAST RUN", "OWNER", "PATH"].as_slice(),
        );
        let heads = if with_inventory { [first, figures, last].concat() } else { [first, last].concat() };
        let mut table = Table::new(&heads);
        for row in rows {
            let w = &row.workspace;
            let stock = stocks.get(&w.id);
            let (class, word) = workspace_state(row);
            let count = |of: fn(&Stock) -> Option<u64>| Cell::figure(stock.and_then(of).map(format::count));
            let mut cells = vec![
                Cell::text(Kind::Workspace.number(w.number)),
                Cell::text(w.branch_name.clone().unwrap_or_else(|| w.name.clone())),
                Cell::maybe(w.base_ref.clone()),
                Cell::state(class, word),
            ];
            if with_inventory {
                cells.extend([
                    count(|s| s.changed),
                    count(|s| s.untracked),
                    count(|s| s.ahead),
                    count(|s| s.behind),
                    merged(stock),
                    Cell::figure(stock.and_then(|s| s.bytes).map(format::size)),
                ]);
            }
            cells.extend([
                duration(Some(w.last_used_at.until(now))),
                Cell::maybe(row.issue.clone()),
                Cell::maybe(row.environment.clone()),
                Cell::maybe(row.last_run_number.map(|n| Kind::Run.number(n))),
                Cell::text(if w.created_by_runtime { "ours" } else { "yours" }),
                Cell::maybe(w.cwd.clone()),
            ]);
            table.row(cells);
        }
        table
    })
}
