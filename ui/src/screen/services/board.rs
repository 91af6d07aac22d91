//! What stands below the list: the port board, the stop policies, and why one of the services is not well.

use ratatui::layout::Rect;
use wharf_model::rules::port_board::{PortRow, PortState};

use super::Services;
use super::words::{name, policy};
use crate::draw::Canvas;
use crate::env::Env;
use crate::glyph::Class;
use crate::pane::why::{self, By};
use crate::rows::ServiceLine;
use crate::screen::browse::Browse;
use crate::text;
use crate::theme::{Ground, Ink};

/// Columns of the board behind the port: state, service, listener; the evidence takes the rest.
const STATE: u16 = 9;
const SERVICE: u16 = 21;
const LISTENER: u16 = 42;
const EVIDENCE: u16 = 61;
/// Fewest cells of a board with all columns.
const WIDE: u16 = 76;

/// Glyph, colour and word of a state.
const fn state(state: PortState) -> (&'static str, Ink) {
    match state {
        PortState::Ours => (Class::Good.glyph(), Ink::Ok),
        PortState::Asked => (Class::Waits.glyph(), Ink::Dim),
        PortState::Stranger => (Class::NeedsPerson.glyph(), Ink::Warn),
        PortState::Unknown => (Class::Unknown.glyph(), Ink::Warn),
        PortState::Free => ("○", Ink::Dim),
    }
}

/// Rows of the board that are shown, and the first of them.
pub(super) fn window(at: usize, rows: usize, height: usize) -> usize {
    if rows <= height { 0 } else { (at + 1).saturating_sub(height).min(rows - height) }
}

pub(super) fn view(screen: &Services, env: &Env, canvas: &mut Canvas<'_>) {
    let area = screen.base().list.second(env);
    if area.is_empty() {
        return;
    }
    // Beside the detail the whole column is ours.
    let column = env.size.0 >= 130 && !screen.base().list.zoom;
    if !column {
        ports(screen, env, canvas, area);
        return;
    }
    let wish = screen.port_rows().len().max(1) as u16 + 3;
    let board = Rect { height: wish.min((area.height / 2).max(4)).min(area.height), ..area };
    ports(screen, env, canvas, board);
    let rest = Rect { y: board.bottom(), height: area.height - board.height, ..area };
    let used = policies(screen, env, canvas, rest);
    let rest = Rect { y: rest.y + used, height: rest.height - used, ..rest };
    trouble(screen, env, canvas, rest);
}

fn ports(screen: &Services, env: &Env, canvas: &mut Canvas<'_>, area: Rect) {
    let focused = screen.on_board();
    let rows = screen.port_rows();
    let height = usize::from(area.height.saturating_sub(2));
    let first = window(screen.port_at(), rows.len(), height);
    let last = (first + height).min(rows.len());
    let known = match screen.ports() {
        None => "reading".to_owned(),
        Some(_) if rows.len() > height => format!("{}–{last} of {}", first + 1, rows.len()),
        Some(_) => format!("{} known", rows.len()),
    };
    let head = Rect { height: 1, ..area };
    // A stranger is told of although its row is out of sight.
    let unseen = rows.iter().enumerate().filter(|(i, r)| !(first..last).contains(i) && r.state == PortState::Stranger);
    let unseen = crate::format::plural(unseen.count() as u64, "stranger");
    let warn = if unseen.starts_with("0 ") { None } else { Some((unseen.as_str(), Ink::Warn)) };
    let right: Vec<(&str, Ink)> = warn.into_iter().chain([(known.as_str(), Ink::Dim)]).collect();
    canvas.title_rule(head, "Ports, all worktrees", &right, focused);
    let inner = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    if let Some(Err(words)) = screen.ports() {
        canvas.trouble(inner, words);
        return;
    }
    let dim = canvas.ink(Ink::Dim);
    let wide = area.width >= WIDE;
    canvas.put(area.x + 3, inner.y, 4, "PORT", dim);
    for (x, words) in [(STATE, "STATE"), (SERVICE, "SERVICE"), (LISTENER, "LISTENER"), (EVIDENCE, "EVIDENCE")] {
        if wide || x <= SERVICE {
            canvas.put(area.x + x, inner.y, 8.min(area.width.saturating_sub(x)), words, dim);
        }
    }
    let selected = screen.selected().map(|s| s.number);
    for (i, row) in rows.iter().enumerate().take(last).skip(first) {
        let line = Rect { y: inner.y + 1 + (i - first) as u16, height: 1, ..area };
        port(row, env, canvas, line, wide, selected.is_some_and(|n| row.numbers.contains(&n)));
        if focused && i == screen.port_at() {
            canvas.select(line, Ground::Selection);
            let accent = canvas.ink(Ink::Accent);
            canvas.put(line.x, line.y, 1, "▸", accent);
        }
    }
}

fn port(row: &PortRow, env: &Env, canvas: &mut Canvas<'_>, line: Rect, wide: bool, ours: bool) {
    let (glyph, ink) = state(row.state);
    let text_ink = if row.state == PortState::Free { Ink::Dim } else { Ink::Text };
    let plain = if ours { canvas.bold(text_ink) } else { canvas.ink(text_ink) };
    let dim = canvas.ink(Ink::Dim);
    canvas.put_right(line.x + 7, line.y, 5, &row.port.to_string(), plain);
    let style = canvas.ink(ink);
    canvas.put(line.x + STATE, line.y, 1, glyph, style);
    let word = if row.state == PortState::Stranger { canvas.bold(Ink::Warn) } else { plain };
    canvas.put(line.x + STATE + 2, line.y, 8, row.state.as_str(), word);
    if !wide {
        let room = usize::from(line.width.saturating_sub(SERVICE));
        let words = match &row.listener {
            Some(who) => format!("{}, {who}", row.service),
            None => row.service.clone(),
        };
        canvas.put(line.x + SERVICE, line.y, room as u16, &text::cut_end(&words, room), plain);
        return;
    }
    let room = LISTENER - SERVICE - 2;
    canvas.put(line.x + SERVICE, line.y, room, &text::cut_end(&row.service, usize::from(room)), plain);
    let room = EVIDENCE - LISTENER - 2;
    let listener = row.listener.as_deref().unwrap_or("–");
    canvas.put(line.x + LISTENER, line.y, room, &text::cut_end(listener, usize::from(room)), plain);
    let room = usize::from(line.width.saturating_sub(EVIDENCE));
    let told = row.told(env.now);
    // What it costs us says more than whose it is, where only one has room.
    let short = told.split_once("; ").filter(|_| text::width(&told) > room && room < 24);
    let told = short.map_or(told.as_str(), |(_, rest)| rest);
    canvas.put(line.x + EVIDENCE, line.y, room as u16, &text::cut_end(told, room), dim);
}

/// One row for each service that is shown; gives the rows taken, a blank one included.
fn policies(screen: &Services, env: &Env, canvas: &mut Canvas<'_>, area: Rect) -> u16 {
    let services: Vec<&ServiceLine> = screen.base().list.table.rows().iter().collect();
    let most = usize::from((area.height / 2).saturating_sub(2)).min(10);
    let shown = services.len().min(most);
    if shown == 0 {
        return 0;
    }
    let more = services.len() - shown;
    let right = if more > 0 { format!("{more} more") } else { String::new() };
    let right: Vec<(&str, Ink)> = if right.is_empty() { Vec::new() } else { vec![(&right, Ink::Dim)] };
    canvas.title_rule(Rect { height: 1, ..area }, "Stop policy", &right, false);
    let (plain, dim) = (canvas.ink(Ink::Text), canvas.ink(Ink::Dim));
    let longest = services.iter().take(shown).map(|s| text::width(&s.name)).max().unwrap_or(0).clamp(12, 20);
    for (y, service) in (area.y + 1..).zip(services.iter().take(shown)) {
        let words = format!("{} {}", name(service), text::cut_end(&service.name, longest));
        let at = area.x + 1 + longest as u16 + 8;
        canvas.put(area.x + 1, y, longest as u16 + 6, &words, if service.live { plain } else { dim });
        let room = area.right().saturating_sub(at);
        canvas.put(at, y, room, &text::cut_end(&policy(service, env), usize::from(room)), dim);
    }
    shown as u16 + 2
}

/// Why the selected service, or the first one that is not well, is as it is.
fn trouble(screen: &Services, env: &Env, canvas: &mut Canvas<'_>, area: Rect) {
    let Some(line) = screen.unwell().filter(|_| area.height >= 4) else { return };
    let title = format!("Why {} {} is not healthy", name(line), line.name);
    canvas.title_rule(Rect { height: 1, ..area }, &title, &[], false);
    let inner = Rect { y: area.y + 1, height: area.height - 1, ..area };
    match screen.detail_of(line.id) {
        Some(detail) => {
            let width = usize::from(area.width.saturating_sub(2));
            let lines = why::lines(&detail.why, env.now, env.zone, width, By::Keys);
            why::view(canvas, inner, &lines, 0);
        }
        None => {
            let dim = canvas.ink(Ink::Dim);
            canvas.put(inner.x + 1, inner.y, inner.width.saturating_sub(1), "reading…", dim);
        }
    }
}
