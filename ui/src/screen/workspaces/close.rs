//! The close check as it stands: what is in the way, and what archiving would do.

use ratatui::layout::Rect;
use ratatui::style::Style;
use wharf_model::rules::close_check::CloseVerdict;

use super::Workspaces;
use crate::draw::Canvas;
use crate::env::Env;
use crate::format;
use crate::pane::close::{CloseRow, checked, effects, found};
use crate::rows::close_class;
use crate::screen::browse::Browse as _;
use crate::theme::Ink;

fn rows(screen: &Workspaces, env: &Env, width: u16) -> Vec<CloseRow> {
    let Some(Ok(check)) = screen.mine(screen.close.as_ref()) else { return Vec::new() };
    // Beyond this a line is hard to read.
    let room = usize::from(width.saturating_sub(2)).min(110);
    let age = check.preview.at.until(env.now);
    let when = format!("{}, {}", check.verdict.as_str(), checked(check.preview.at, env.zone));
    let ago = if age >= 2_000 { format!(" ({} ago)", format::duration(age)) } else { String::new() };
    let says = "The close check says".to_owned();
    let mut rows = vec![CloseRow::Head(says, close_class(check.verdict), when + &ago)];
    rows.push(CloseRow::Blank);
    let mut quiet = check.clone();
    // The head says when.
    for item in quiet.items.iter_mut().filter(|i| i.names.is_empty()) {
        item.names.push(' ');
    }
    rows.extend(found(&quiet, None, env.zone, room));
    rows.push(CloseRow::Blank);
    match &check.preview.refused {
        Some(why) => {
            let head = if check.verdict == CloseVerdict::Blocked { "It is not archived: " } else { "" };
            rows.push(CloseRow::Words(format!("{head}{why}"), Ink::Bad));
        }
        None => {
            rows.push(CloseRow::Words("What archiving it would do:".to_owned(), Ink::Text));
            rows.extend(effects(check, None, room));
            rows.push(CloseRow::Blank);
            rows.push(CloseRow::Words(
                "x archives it, after asking with what stands here by then.".to_owned(),
                Ink::Dim,
            ));
        }
    }
    rows
}

/// How far it can be scrolled.
pub(super) fn clamp(screen: &Workspaces, env: &Env, content: Rect) -> usize {
    let rows = rows(screen, env, content.width).len();
    screen.base().scroll.min(rows.saturating_sub(usize::from(content.height)))
}

/// Draws it.
pub(super) fn view(screen: &Workspaces, env: &Env, canvas: &mut Canvas<'_>, content: Rect) {
    let dim = canvas.ink(Ink::Dim);
    match screen.mine(screen.close.as_ref()) {
        Some(Err(words)) => return canvas.trouble(content, words),
        None => {
            let since = screen.close_asked.map_or(0, |at| at.until(env.now));
            let words = format!("looking into its directory… {}", format::duration(since));
            canvas.put(content.x + 1, content.y, content.width.saturating_sub(1), &words, dim);
            return;
        }
        Some(Ok(_)) => {}
    }
    let rows = rows(screen, env, content.width);
    let plain = Style::new().patch(canvas.ink(Ink::Text));
    let shown = rows.iter().skip(screen.base().scroll).take(usize::from(content.height));
    for (y, row) in (content.y..).zip(shown) {
        row.view(canvas, content.x + 1, y, content.width.saturating_sub(2), plain);
    }
    let more = rows.len().saturating_sub(screen.base().scroll + usize::from(content.height));
    if more > 0 {
        canvas.put_right(content.right(), content.bottom() - 1, 24, &format!("{more} more rows: j"), dim);
    }
}
