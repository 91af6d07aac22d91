//! Drawing: title rule, tabs and content of the detail, and what an empty list teaches.

use ratatui::layout::Rect;

use super::{Browse, Teaching};
use crate::draw::Canvas;
use crate::env::Env;
use crate::theme::Ink;

/// Spans of a tab row: tab, first column, column behind it.
pub(super) fn tab_spans(tabs: &[&'static str], pane: Rect) -> Vec<(usize, u16, u16)> {
    let mut x = pane.x;
    tabs.iter()
        .enumerate()
        .map(|(i, title)| {
            let width = title.len() as u16 + 2;
            let span = (i, x, x + width);
            x += width;
            span
        })
        .collect()
}

pub(super) fn view_pane<B: Browse>(screen: &B, env: &Env, canvas: &mut Canvas<'_>) {
    let base = screen.base();
    let split = base.list.layout(env);
    let area = split.pane;
    if area.is_empty() {
        return;
    }
    if let Some(x) = split.line {
        let rule = canvas.ink(Ink::Rule);
        for y in area.y + 1..area.bottom() {
            canvas.put(x, y, 1, "│", rule);
        }
    }
    let head = Rect { height: 1, ..area };
    let Some(line) = screen.selected() else {
        let (title, words) = B::unselected();
        canvas.title_rule(head, title, &[], screen.pane_focused());
        if base.list.table.known && base.list.filter().is_empty() {
            let dim = canvas.ink(Ink::Dim);
            let top = area.y + 11.min(area.height / 3);
            for (y, words) in (top..area.bottom()).zip(words) {
                canvas.put(area.x + 2, y, area.width.saturating_sub(3), words, dim);
            }
        }
        return;
    };
    let (title, right, ink) = screen.title(line, env);
    let right: Vec<(&str, Ink)> = if right.is_empty() { Vec::new() } else { vec![(&right, ink)] };
    canvas.title_rule(head, &title, &right, screen.pane_focused());
    if screen.has_tab_row(env) && area.height > 2 {
        for (i, x, end) in tab_spans(B::TABS, area) {
            if end > area.right() {
                break;
            }
            let on = i == base.tab;
            let style = if on { canvas.bold(Ink::Text) } else { canvas.ink(Ink::Dim) };
            let words = if on { format!("[{}]", B::TABS[i]) } else { format!(" {} ", B::TABS[i]) };
            canvas.put(x, area.y + 1, end - x, &words, style);
        }
    }
    let content = screen.content(env);
    if content.is_empty() {
        return;
    }
    screen.view_above(env, canvas, content);
    match screen.stream_owner() {
        Some(owner) => {
            let area = screen.stream_area(content);
            if let Some(pane) = base.streams.shown(owner)
                && !area.is_empty()
            {
                pane.view(env, canvas, area);
            }
        }
        None => screen.view_content(line, env, canvas, content),
    }
}

pub(super) fn teach(rows: &[Teaching], canvas: &mut Canvas<'_>, area: Rect) {
    let indent = if area.width >= 78 && area.height >= 30 { 8 } else { 6 };
    let top = area.y + if area.height >= 30 { 10 } else { 3.min(area.height / 4) };
    let (words_ink, dim, key) = (canvas.ink(Ink::Text), canvas.ink(Ink::Dim), canvas.bold(Ink::Accent));
    let room = area.width.saturating_sub(indent);
    for (i, (letter, words, rest)) in rows.iter().enumerate() {
        let y = top + i as u16;
        if y >= area.bottom() {
            return;
        }
        let x = area.x + indent;
        let mut at = if letter.is_empty() { x } else { canvas.put(x, y, room, letter, key) + 3 };
        at = canvas.put(at, y, area.right().saturating_sub(at), words, words_ink);
        canvas.put(at, y, area.right().saturating_sub(at), rest, dim);
    }
}
