//! Everything that was said in this session, and the conditions that hold with what to do about them.

use crossterm::event::{KeyCode, KeyEvent};

use super::{After, toast};
use crate::app::App;
use crate::draw::Canvas;
use crate::format;
use crate::layout;
use crate::text;
use crate::theme::{Ground, Ink};

/// The messages.
#[derive(Debug, Clone, Default)]
pub struct Messages {
    scroll: usize,
}

/// What is said, in rows.
fn lines(app: &App) -> Vec<(String, Ink)> {
    let columns = app.env.size.0;
    let width = usize::from(columns.min(100)).saturating_sub(4);
    let mut lines: Vec<(String, Ink)> = Vec::new();
    for banner in &app.banners {
        let (glyph, ink) = toast::mark(banner.tone);
        let advice = banner.advice.lines().map(|line| format!("  {line}"));
        for words in std::iter::once(format!("{glyph} {}", banner.text)).chain(advice) {
            lines.extend(text::wrap(&words, width).into_iter().map(|(a, b)| (words[a..b].to_owned(), ink)));
        }
    }
    for toast in app.toasts.iter().rev() {
        let (glyph, ink) = toast::mark(toast.tone);
        let words = format!("{}  {glyph} {}", format::moment(toast.at, app.env.now, app.env.zone), toast.words);
        lines.extend(text::wrap(&words, width).into_iter().map(|(a, b)| (words[a..b].to_owned(), ink)));
    }
    if lines.is_empty() {
        lines.push(("Nothing has been said yet.".to_owned(), Ink::Dim));
    }
    lines
}

impl Messages {
    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent, app: &App) -> After {
        match key.code {
            KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | 'i') => return After::Closes,
            KeyCode::Down | KeyCode::Char('j') => {
                let (columns, rows) = app.env.size;
                let length = lines(app).len();
                let room = usize::from(layout::dialog(columns, rows, 100, length as u16 + 3).height.saturating_sub(3));
                self.scroll = (self.scroll + 1).min(length.saturating_sub(room.max(1)));
            }
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            _ => {}
        }
        After::Stays
    }

    /// Draws.
    pub fn view(&self, app: &App, canvas: &mut Canvas<'_>) {
        let (columns, rows) = app.env.size;
        let lines = lines(app);
        let area = layout::dialog(columns, rows, 100, lines.len() as u16 + 3);
        let room = usize::from(area.height.saturating_sub(3)).max(1);
        let scroll = self.scroll.min(lines.len().saturating_sub(room));
        let inner =
            canvas.dialog(area, "Messages", &format!("{} of {}", (scroll + room).min(lines.len()), lines.len()));
        let ground = canvas.theme.ground(Ground::Dialog);
        for (i, (words, ink)) in lines.iter().skip(scroll).take(room).enumerate() {
            let style = ground.patch(canvas.ink(*ink));
            canvas.put(inner.x + 1, inner.y + i as u16, inner.width.saturating_sub(2), words, style);
        }
        let dim = ground.patch(canvas.ink(Ink::Dim));
        if inner.height > 1 {
            canvas.put(inner.x + 1, inner.bottom() - 1, inner.width.saturating_sub(2), "↑↓ scroll   Esc close", dim);
        }
    }
}
