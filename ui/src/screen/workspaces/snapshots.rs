//! Snapshots of a workspace: what is kept of it, since when, why, and until when.

use ratatui::layout::Rect;
use wharf_model::UnixMillis;

use super::Workspaces;
use crate::draw::Canvas;
use crate::env::Env;
use crate::format;
use crate::glyph::Class;
use crate::pane::facts;
use crate::rows::*;
use crate::screen::browse::{Browse as _, fact};
use crate::text;
use crate::theme::{Ground, Ink};

/// `W-7.2`.
pub(super) fn name(workspace: &WorkspaceLine, snapshot: &SnapshotLine) -> String {
    format!("W-{}.{}", workspace.number, snapshot.ordinal)
}

/// `12:04:30` today, `Nov 19` this year, `2025-11` before: eight cells.
pub(super) fn day_or_clock(at: UnixMillis, env: &Env) -> String {
    let words = format::moment(at, env.now, env.zone);
    if text::width(&words) <= 9 {
        return words;
    }
    match words.rsplit_once(' ') {
        Some((day, _)) => day.to_owned(),
        None => words.chars().take(7).collect(),
    }
}

/// `09:43:31  5 files  62 KB`.
pub(super) fn words(snapshot: &SnapshotLine, env: &Env) -> String {
    let at = day_or_clock(snapshot.at, env);
    format!("{at:<8}  {}  {}", format::plural(snapshot.files, "file"), format::size(snapshot.bytes))
}

/// Until when it is kept, or that it is not there any more.
fn until(snapshot: &SnapshotLine, env: &Env) -> String {
    match (snapshot.removed_at, snapshot.until) {
        (Some(at), _) => format!("removed {}", day_or_clock(at, env)),
        (None, Some(at)) => format!("until {}", day_or_clock(at, env)),
        (None, None) => "kept".to_owned(),
    }
}

/// Rows of the list, the rest is for the chosen one.
fn rows_of(n: usize, height: u16) -> u16 {
    (n as u16).min((height / 2).max(1))
}

/// Draws the list with its cursor, and what is known of the chosen one.
pub(super) fn view(screen: &Workspaces, line: &WorkspaceLine, env: &Env, canvas: &mut Canvas<'_>, content: Rect) {
    let all = screen.snapshots();
    let Some(chosen) = screen.snapshot_shown() else { return };
    let at = all.iter().position(|s| s.id == chosen.id).unwrap_or(0);
    let rows = rows_of(all.len(), content.height);
    let first = (at + 1).saturating_sub(usize::from(rows));
    let focused = screen.base().list.detail;
    let names = all.iter().map(|s| text::width(&name(line, s))).max().unwrap_or(0) as u16;
    for (i, snapshot) in all.iter().enumerate().skip(first).take(usize::from(rows)) {
        let row = Rect::new(content.x, content.y + (i - first) as u16, content.width, 1);
        view_row(snapshot, &name(line, snapshot), names, env, canvas, row);
        if i == at {
            canvas.select(row, if focused { Ground::Selection } else { Ground::SelectionWeak });
            let accent = canvas.ink(Ink::Accent);
            canvas.put(row.x, row.y, 1, "▸", accent);
        }
    }
    if content.height <= rows + 1 {
        return;
    }
    let title = format!("{} · {}", name(line, chosen), chosen.reason);
    let right = if all.len() > usize::from(rows) { format!("{} of {}", at + 1, all.len()) } else { until(chosen, env) };
    canvas.title_rule(Rect::new(content.x, content.y + rows, content.width, 1), &title, &[(&right, Ink::Dim)], false);
    let below = Rect::new(content.x, content.y + rows + 1, content.width, content.height - rows - 1);
    facts::view(canvas, below, &[FactBlock { facts: about(chosen, env) }], 0);
}

fn about(snapshot: &SnapshotLine, env: &Env) -> Vec<Fact> {
    let mut all = vec![fact("made", format::full(snapshot.at, env.zone), snapshot.run.clone().unwrap_or_default())];
    let files = format!("{}, {}", format::plural(snapshot.files, "file"), format::size(snapshot.bytes));
    all.push(fact("keeps", files, "all that is tracked, and what is new"));
    if let Some(branch) = &snapshot.branch {
        all.push(fact("branch", branch.clone(), ""));
    }
    match (snapshot.removed_at, snapshot.until) {
        (Some(at), _) => all.push(fact("removed", format::full(at, env.zone), "nothing of it can be brought back")),
        (None, Some(at)) => all.push(fact("kept until", format::full(at, env.zone), "")),
        (None, None) => all.push(fact("kept", "for ever", "")),
    }
    if let Some(at) = snapshot.restored_at {
        all.push(fact("restored", format::full(at, env.zone), ""));
    }
    if snapshot.removed_at.is_none() {
        all.push(fact("", "R brings the workspace back to it; a preview comes first.", ""));
    }
    all
}

/// `W-7.2  09:43:31  5 files   62 KB  before the lost run was cleared       until Dec 21`.
fn view_row(snapshot: &SnapshotLine, name: &str, names: u16, env: &Env, canvas: &mut Canvas<'_>, row: Rect) {
    let (ink, dim) = if snapshot.removed_at.is_some() {
        (canvas.ink(Ink::Dim), canvas.ink(Ink::Dim))
    } else {
        (canvas.ink(Ink::Text), canvas.ink(Ink::Dim))
    };
    let glyph = if snapshot.removed_at.is_some() { Class::Chosen } else { Class::Good };
    let style = canvas.ink(glyph.ink());
    let mut x = row.x + 2;
    canvas.put(x, row.y, 1, glyph.glyph(), style);
    x += 2;
    canvas.put(x, row.y, names, name, ink);
    x += names + 2;
    canvas.put(x, row.y, 9, &day_or_clock(snapshot.at, env), dim);
    x += 10;
    canvas.put_right(x + 10, row.y, 10, &format::plural(snapshot.files, "file"), ink);
    x += 12;
    canvas.put_right(x + 7, row.y, 7, &format::size(snapshot.bytes), dim);
    x += 9;
    let end = until(snapshot, env);
    let end_width = text::width(&end) as u16;
    let room = row.right().saturating_sub(x + end_width + 3);
    if room >= 8 {
        let words = text::cut_end(&snapshot.reason, usize::from(room)).into_owned();
        canvas.put(x, row.y, room, &words, ink);
    }
    canvas.put_right(row.right().saturating_sub(1), row.y, end_width, &end, dim);
}
