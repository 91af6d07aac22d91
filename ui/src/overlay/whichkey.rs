//! The ways on from the first key of a chord.

use ratatui::layout::Rect;

use crate::app::App;
use crate::draw::Canvas;
use crate::keymap::{Key, show};
use crate::text;

/// Time after which the popup appears, in milliseconds.
pub const DELAY_MS: i64 = 400;

/// Draws the popup in the lower right corner of the body.
pub fn view(app: &App, canvas: &mut Canvas<'_>, keys: &[Key]) {
    let ways = app.keymap.continuations(&app.places(), keys);
    let (columns, rows) = app.env.size;
    let height = (ways.len() as u16 + 2).min(rows.saturating_sub(2));
    let width = 45.min(columns);
    let area = Rect::new(columns - width, (rows - 1).saturating_sub(height), width, height);
    let inner = canvas.dialog(area, &show(keys), "Esc close");
    let (ground, key_style, dim) = canvas.dialog_inks();
    for (i, (key, command)) in ways.iter().enumerate().take(usize::from(inner.height)) {
        let y = inner.y + i as u16;
        canvas.put(inner.x + 2, y, 10, key, key_style);
        let (words, style) = match (command.legal)(app) {
            Ok(()) => (command.help.to_owned(), ground),
            Err(why) => (format!("{} ({why})", command.help), dim),
        };
        let room = inner.width.saturating_sub(15);
        let words = text::cut_end(&words, usize::from(room)).into_owned();
        canvas.put(inner.x + 14, y, room, &words, style);
    }
}
