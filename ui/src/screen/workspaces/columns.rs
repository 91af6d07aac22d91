//! Columns of the list: what is in a workspace, and whose it is.

use super::name;
use crate::env::Env;
use crate::format;
use crate::layout::Split;
use crate::pane::table::{Cell, Column, longest};
use crate::rows::WorkspaceLine;
use crate::theme::Ink;

/// Time since it was used last.
pub(super) fn used(workspace: &WorkspaceLine, env: &Env) -> String {
    format::duration(workspace.used_at.unwrap_or(workspace.created_at).until(env.now))
}

fn ink(workspace: &WorkspaceLine) -> Ink {
    if workspace.live { Ink::Text } else { Ink::Dim }
}

/// What is not known is a dash, never a zero.
fn figure(n: Option<u64>, live: bool) -> Cell {
    let ink = match n {
        Some(1..) if live => Ink::Warn,
        _ => Ink::Dim,
    };
    Cell::Right(n.map_or_else(|| "–".to_owned(), short), ink)
}

/// A count as short as a list needs it: figures are never cut, since what is left of one is another.
fn short(n: u64) -> String {
    if (10_000..100_000).contains(&n) { format!("{} K", (n + 500) / 1000) } else { format::count_short(n) }
}

/// Cells that the longest of these counts takes.
fn cells(rows: &[WorkspaceLine], least: u16, count: impl Fn(&WorkspaceLine) -> Option<u64>) -> u16 {
    longest(rows, least, |w| count(w).map(short).unwrap_or_default())
}

/// As drawn: who shrinks first is owner, place, issue, base, behind, branch, size.
pub(super) fn columns(rows: &[WorkspaceLine], env: &Env, split: &Split) -> Vec<Column<WorkspaceLine>> {
    let wide = env.size.0 >= 130;
    let workspace = longest(rows, 4, name);
    let issue = longest(rows, 7, |w| w.issue.clone().unwrap_or_default()).min(14);
    let status = longest(rows, 9, |w| format!("● {}", w.word)).min(16);
    let place = longest(rows, 5, |w| w.environment.clone().unwrap_or_default()).min(12);
    // Where there is room, no branch is cut; more than the longest one needs is left to the right.
    let branch = if wide { longest(rows, 20, |w| w.branch.clone().unwrap_or_default()).min(64) } else { 27 };
    let size = longest(rows, 6, |w| w.size_bytes.map(format::size).unwrap_or_default());
    let branches =
        |w: &WorkspaceLine, _: &Env| Cell::Middle(w.branch.clone().unwrap_or_else(|| w.path.clone()), ink(w));
    let branches = Column::new("BRANCH", branch, 16, 6, branches);
    let mut columns = vec![
        Column::new("WS", workspace, workspace, 0, |w: &WorkspaceLine, _| Cell::Words(name(w), Ink::Text)),
        if wide { branches } else { branches.grows() },
    ];
    if wide {
        columns.push(Column::new("BASE", 6, 0, 4, |w, _| {
            let base = w.base.as_deref().map_or("–", |b| b.split('@').next().unwrap_or(b));
            Cell::Words(base.to_owned(), Ink::Dim)
        }));
    }
    columns.push(Column::status(split.words, status, |w, env| Cell::state(w.class, &w.word, w.live, env)));
    columns.push(Column::figures("DIRTY", cells(rows, 5, |w| w.dirty), 9, |w, _| figure(w.dirty, w.live)));
    columns.push(Column::figures("NEW", cells(rows, if wide { 4 } else { 3 }, |w| w.untracked), 8, |w, _| {
        figure(w.untracked, w.live)
    }));
    columns.push(Column::figures("AHEAD", cells(rows, 5, |w| w.ahead), 8, |w, _| figure(w.ahead, w.live)));
    if wide {
        columns.push(Column::figures("BEHIND", 6, 5, |w, _| Cell::known(w.behind.map(short), Ink::Dim)));
    }
    columns.push(Column::figures("AGE", 5, 10, |w, env| Cell::Right(used(w, env), Ink::Dim)));
    columns.push(Column::figures("SIZE", if wide { 7 } else { size }, 7, |w, _| {
        Cell::known(w.size_bytes.map(format::size), Ink::Dim)
    }));
    if wide {
        columns.push(Column::new("ISSUE", issue, 0, 3, |w, _| {
            Cell::Words(w.issue.clone().unwrap_or_else(|| "–".to_owned()), Ink::Dim)
        }));
        columns.push(Column::new("ENV", place, 0, 2, |w, _| {
            Cell::Words(w.environment.clone().unwrap_or_else(|| "–".to_owned()), Ink::Dim)
        }));
        columns.push(Column::new("OWNER", 5, 0, 1, |w, _| {
            Cell::Words(if w.ours { "ours" } else { "yours" }.to_owned(), Ink::Dim)
        }));
    }
    columns
}
