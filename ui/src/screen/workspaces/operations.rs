//! Operations of a workspace: one row each, above the log of the chosen one.

use ratatui::layout::Rect;

use super::Workspaces;
use crate::draw::Canvas;
use crate::env::Env;
use crate::format;
use crate::rows::OperationLine;
use crate::screen::browse::Browse as _;
use crate::text;
use crate::theme::{Ground, Ink};

/// `0.38s`, `4s` so far, `–`.
pub(super) fn took(operation: &OperationLine, env: &Env) -> String {
    match (operation.started_at, operation.finished_at) {
        (Some(from), Some(to)) => format::fine(from.until(to)),
        (Some(from), None) => format::duration(from.until(env.now)),
        _ => "–".to_owned(),
    }
}

/// How it ended: what went wrong, its exit code, else its state.
pub(super) fn ending(operation: &OperationLine) -> String {
    match (&operation.error, operation.exit_code) {
        (Some(error), _) => error.clone(),
        (None, Some(code)) => format!("exit {code}"),
        (None, None) => match &operation.stopping {
            Some(by) => format!("{} by {by}", operation.word),
            None => operation.word.clone(),
        },
    }
}

/// Draws the operations in the upper rows of the content, and the title rule of the log.
pub(super) fn view(screen: &Workspaces, env: &Env, canvas: &mut Canvas<'_>, content: Rect) {
    let Some(chosen) = screen.operation() else { return };
    let all = screen.operations();
    let rows = screen.list_rows(content.height);
    let at = all.iter().position(|o| o.id == chosen.id).unwrap_or(0);
    let first = (at + 1).saturating_sub(usize::from(rows));
    let phases = all.iter().map(|o| text::width(&o.phase) as u16).max().unwrap_or(0).min(content.width / 3);
    let focused = screen.base().list.detail && !screen.is_deep();
    for (i, operation) in all.iter().enumerate().skip(first).take(usize::from(rows)) {
        let line = Rect::new(content.x, content.y + (i - first) as u16, content.width, 1);
        view_operation(operation, phases, env, canvas, line);
        if i == at {
            canvas.select(line, if focused { Ground::Selection } else { Ground::SelectionWeak });
            let accent = canvas.ink(Ink::Accent);
            canvas.put(line.x, line.y, 1, "▸", accent);
        }
    }
    if content.height > rows {
        let title = format!("O-{} · {}", chosen.number, chosen.phase);
        let more = all.len().saturating_sub(usize::from(rows));
        let right = if more > 0 { format!("{} of {}", at + 1, all.len()) } else { ending(chosen) };
        let line = Rect::new(content.x, content.y + rows, content.width, 1);
        canvas.title_rule(line, &title, &[(&right, Ink::Dim)], screen.base().list.detail && screen.is_deep());
    }
}

/// `  09:37:18  ✓ worktree  git worktree add        0.38s  exit 0`, with `phases` cells for what it was for.
fn view_operation(operation: &OperationLine, phases: u16, env: &Env, canvas: &mut Canvas<'_>, line: Rect) {
    let dim = canvas.ink(Ink::Dim);
    let at = operation.started_at.map_or_else(|| "–".to_owned(), |at| format::moment(at, env.now, env.zone));
    let mut x = line.x + 2;
    if line.width >= 60 {
        canvas.put(x, line.y, 12, &at, dim);
        x += if text::width(&at) > 8 { 14 } else { 10 };
    }
    let end = ending(operation);
    let end_width = (text::width(&end) as u16).clamp(6, (line.width / 3).max(6));
    let right = line.right().saturating_sub(1);
    let end_x = right.saturating_sub(end_width);
    let bad = operation.class == crate::glyph::Class::Bad;
    let end_style = canvas.ink(if bad { Ink::Bad } else { Ink::Dim });
    canvas.put(end_x, line.y, end_width, &text::cut_end(&end, usize::from(end_width)), end_style);
    let took_right = end_x.saturating_sub(2);
    canvas.put_right(took_right, line.y, 6, &took(operation, env), dim);
    let room = took_right.saturating_sub(x + 9);
    let glyph = canvas.ink(operation.class.ink());
    canvas.put(x, line.y, 1, operation.class.glyph(), glyph);
    let style = canvas.ink(Ink::Text);
    let phases = phases.min(room);
    let phase = text::cut_end(&operation.phase, usize::from(phases)).into_owned();
    canvas.put(x + 2, line.y, phases, &phase, style);
    let room = room.saturating_sub(phases + 2);
    if room >= 8 {
        let command = text::cut_middle(&operation.command, usize::from(room)).into_owned();
        canvas.put(x + 4 + phases, line.y, room, &command, dim);
    }
}
