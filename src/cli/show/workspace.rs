//! `wharf workspace show W-7`: what is in it, why it is as it is, what was done in it, what is kept of it.

use std::time::Duration;

use serde::Serialize;
use wharf_model::rules::trash::{self, TrashKind};
use wharf_model::{Kind, WorkspaceId, WorkspaceRow, WorkspaceStatus};
use wharf_store::Reader;
use wharf_store::view::{OperationItem, OperationQuery, SnapshotItem, WorkspaceItem};
use wharf_ui::format;
use wharf_ui::rows::{FactBlock, WorkspaceDetail};
use wharf_ui::screen::browse::fact;

use super::lease::facts;
use super::{one_line, print_tidy};
use crate::cli::context::Context;
use crate::cli::docs::{OperationDoc, SnapshotDoc, WorkspaceDoc, workspace_state};
use crate::cli::error::{CliError, Result, exit};
use crate::clock;
use crate::console::workspace_facts::{Known, detail, operation as operation_line, stock};
use crate::workspace::inventory::Stock;

/// Longest look into its directory.
const LOOK: Duration = Duration::from_secs(20);
/// Operations and snapshots that are shown.
const ROWS: usize = 50;

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    workspace: WorkspaceDoc,
    /// Why it is as it is, as it is told to people.
    why: Vec<String>,
    issues: Vec<String>,
    services: Vec<String>,
    operations: Vec<OperationDoc>,
    snapshots: Vec<SnapshotDoc>,
}

/// Everything that is shown.
struct Shown {
    item: WorkspaceItem,
    detail: WorkspaceDetail,
    stock: Option<Stock>,
    operations: Vec<OperationItem>,
    snapshots: Vec<SnapshotItem>,
}

/// Shows a workspace. Looks into its directory, within bounds: what takes longer is unknown.
pub fn show(context: &Context, reader: &Reader, id: WorkspaceId) -> Result<u8> {
    let gone = || CliError::internal("the workspace is not in the store any more");
    let item = reader.workspace(id)?.ok_or_else(gone)?;
    let stock = stock(reader, &item.workspace, LOOK)?;
    let known = Known { stock: stock.clone().map(|stock| (stock, Duration::ZERO)), ..Known::default() };
    let detail = detail(reader, id, &known, clock::now(), context.zone())?.ok_or_else(gone)?;
    let query = OperationQuery { workspace: Some(id), run: None };
    let operations = reader.operations(&query, None, ROWS)?.rows;
    let shown = Shown { item, detail, stock, operations, snapshots: reader.snapshots(id, ROWS)? };
    if context.global.json {
        context.document(&shown.document())?;
        return Ok(exit::DONE);
    }
    print_tidy(context, &text(context, &shown))
}

impl Shown {
    fn document(&self) -> Document {
        let why = |f: &wharf_ui::rows::Fact| {
            let words = [f.label.as_str(), f.value.as_str(), f.remark.as_str()];
            words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(": ")
        };
        Document {
            schema: "wharf.workspace/1",
            workspace: WorkspaceDoc::new(&self.item, self.stock.as_ref()),
            why: self.detail.why.iter().map(why).collect(),
            issues: self.detail.issues.clone(),
            services: self.detail.services.clone(),
            operations: self.operations.iter().map(OperationDoc::new).collect(),
            snapshots: self.snapshots.iter().map(SnapshotDoc::new).collect(),
        }
    }
}

fn text(context: &Context, shown: &Shown) -> String {
    let (now, zone) = (clock::now(), context.zone());
    let row = &shown.item.workspace;
    let number = Kind::Workspace.number(row.number);
    let (class, word) = workspace_state(&shown.item);
    let mut out = format!("{number}  {} {word}, {}\n\n", class.glyph(), row.mode.as_str().replace('_', " "));
    let mut first = Vec::new();
    let mut add = |label: &str, value: Option<String>, remark: &str| {
        first.extend(value.map(|value| fact(label, value, remark)));
    };
    let made = |ours: bool| if ours { "made by wharf" } else { "was there before" };
    add("branch", row.branch_name.clone(), made(row.branch_created_by_runtime));
    let base = row.base_ref.clone().or_else(|| row.base_commit.as_ref().map(|c| c.chars().take(7).collect()));
    add("base", base, row.base_commit.as_deref().filter(|_| row.base_ref.is_some()).unwrap_or_default());
    add("directory", row.cwd.clone(), if row.created_by_runtime { "made by wharf" } else { "yours: never removed" });
    for (i, issue) in shown.detail.issues.iter().enumerate() {
        add(if i == 0 { "issue" } else { "" }, Some(issue.clone()), "");
    }
    add("environment", shown.item.environment.clone(), "");
    add("runs", Some(shown.detail.runs.join(" · ")).filter(|runs| !runs.is_empty()), "");
    add("services", Some(shown.detail.services.join(", ")).filter(|all| !all.is_empty()), "");
    add("made", Some(format::full(row.created_at, zone)), "");
    add("last used", Some(format::full(row.last_used_at, zone)), "");
    let mut blocks = vec![FactBlock { facts: first }];
    blocks.extend(shown.stock.as_ref().map(inventory));
    facts(&mut out, &blocks);
    if !shown.detail.why.is_empty() {
        out.push_str("\nwhy\n");
        facts(&mut out, &[FactBlock { facts: shown.detail.why.clone() }]);
    }
    if !shown.operations.is_empty() {
        out.push_str("\noperations\n");
    }
    for operation in shown.operations.iter().rev() {
        let o = &operation.operation;
        let took = o.finished_at.map_or_else(|| "runs".to_owned(), |at| format::fine(o.started_at.until(at)));
        let end = o.error.clone().or_else(|| o.exit_code.map(|code| format!("exit {code}"))).unwrap_or_default();
        let at = format::moment(o.started_at, now, zone);
        let name = Kind::Operation.number(o.number);
        let line = format!("  {name:<6} {at}  {:<9} {}", o.status.as_str(), operation_line(operation).words());
        out.push_str(one_line(format!("{line}  {took}  {end}").trim_end()).as_str());
        out.push('\n');
    }
    out.push_str(&in_trash(context, row));
    if !shown.snapshots.is_empty() {
        out.push_str("\nsnapshots\n");
    }
    for item in &shown.snapshots {
        let s = &item.snapshot;
        let counted = |n: i64| u64::try_from(n).unwrap_or(0);
        let until = match (s.removed_at, s.expires_at) {
            (Some(at), _) => format!("removed {}", format::moment(at, now, zone)),
            (None, Some(at)) => format!("kept until {}", format::day(at, zone)),
            (None, None) => "kept".to_owned(),
        };
        let at = format::moment(s.created_at, now, zone);
        let size = format!("{}, {}", format::plural(counted(s.files), "file"), format::size(counted(s.bytes)));
        out.push_str(&format!("  {:<8} {at}  {size}  {until}  {}\n", item.number(), one_line(&s.reason)));
    }
    out.push_str(&format!("\nnext  {}\n", next(shown, &number).join("    ")));
    out
}

/// Everything of it that lies in a trash, with its name and until when.
fn in_trash(context: &Context, row: &WorkspaceRow) -> String {
    let items = trash::items(row);
    let mut out = String::new();
    if !items.is_empty() {
        out.push_str("\nin the trash\n");
    }
    for item in items {
        let what = match item.kind {
            TrashKind::Directory => "directory",
            TrashKind::Entry => "git's entry",
        };
        let size = item.bytes.and_then(|n| u64::try_from(n).ok()).map_or_else(|| "–".to_owned(), format::size);
        let until = item.until.map_or_else(
            || "kept for ever".to_owned(),
            |at| format!("kept until {}", format::full(at, context.zone())),
        );
        out.push_str(&one_line(&format!("  {}  {what}  {size}  {until}  {}", item.name(), item.place)));
        out.push('\n');
    }
    out
}

/// What its directory holds; what is not known is said so.
fn inventory(stock: &Stock) -> FactBlock {
    let count = |n: Option<u64>| n.map_or_else(|| "unknown".to_owned(), format::count);
    let changed = format!("{} changed, {} untracked", count(stock.changed), count(stock.untracked));
    let commits = format!("{} ahead, {} behind", count(stock.ahead), count(stock.behind));
    let size = || fact("size", stock.bytes.map_or_else(|| "unknown".to_owned(), format::size), "");
    if [stock.changed, stock.untracked, stock.ahead, stock.behind].iter().all(Option::is_none) && stock.merged.is_none()
    {
        let why = stock.unknown.first().map_or("why is not known", String::as_str);
        return FactBlock { facts: vec![fact("git", "tells nothing", one_line(why)), size()] };
    }
    let merged = match stock.merged {
        Some(true) => "all of it is in its base",
        Some(false) => "not all of it is in its base",
        None => "unknown",
    };
    FactBlock {
        facts: vec![fact("files", changed, ""), fact("commits", commits, ""), fact("merged", merged, ""), size()],
    }
}

/// What can be done with it.
fn next(shown: &Shown, number: &str) -> Vec<String> {
    let row = &shown.item.workspace;
    let kept = shown.snapshots.iter().find(|s| s.snapshot.status == wharf_model::SnapshotStatus::Kept);
    match row.status {
        WorkspaceStatus::Archived | WorkspaceStatus::Missing if row.trash_path.is_some() || kept.is_some() => {
            vec![format!("wharf workspace restore {number}")]
        }
        WorkspaceStatus::Archived | WorkspaceStatus::Missing => vec!["wharf workspaces".to_owned()],
        _ => {
            let mut next = vec![format!("wharf shell {number}"), format!("wharf workspace archive {number} --dry-run")];
            next.extend(kept.map(|s| format!("wharf workspace restore {}", s.number())));
            next
        }
    }
}
