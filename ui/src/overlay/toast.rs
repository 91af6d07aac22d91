//! Short words about what has been answered or has ended, in a corner; never over the cursor row.

use ratatui::layout::Rect;
use wharf_model::UnixMillis;

use crate::draw::Canvas;
use crate::env::Env;
use crate::msg::Tone;
use crate::text;
use crate::theme::{Ground, Ink};

/// How long good news stay, in milliseconds.
pub const SHOWN_MS: i64 = 4_000;
/// How long bad news stay when nobody reads them.
pub const SHOWN_BAD_MS: i64 = 60_000;
/// Most on the screen at once.
pub const SHOWN_MAX: usize = 3;
/// Most kept for the messages.
pub const KEPT_MAX: usize = 200;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toast {
    /// How it is said.
    pub tone: Tone,
    /// What.
    pub words: String,
    /// When.
    pub at: UnixMillis,
    /// Someone has seen the messages since.
    pub read: bool,
}

impl Toast {
    /// Whether it is still on the screen.
    pub fn is_shown(&self, now: UnixMillis) -> bool {
        let limit = if self.tone >= Tone::Warn { SHOWN_BAD_MS } else { SHOWN_MS };
        !self.read && self.at.until(now) < limit
    }
}

/// Glyph and ink of a tone.
pub const fn mark(tone: Tone) -> (&'static str, Ink) {
    match tone {
        Tone::Good => ("✓", Ink::Ok),
        Tone::Info => ("·", Ink::Info),
        Tone::Warn => ("▲", Ink::Warn),
        Tone::Bad => ("✗", Ink::Bad),
    }
}

/// Draws those that are shown, the newest last.
pub fn view(toasts: &[Toast], env: &Env, canvas: &mut Canvas<'_>, body: Rect, cursor: Option<(u16, u16)>) {
    let shown: Vec<&Toast> = toasts.iter().rev().filter(|t| t.is_shown(env.now)).take(SHOWN_MAX).collect();
    let n = shown.len() as u16;
    if body.width < 20 || body.height < n + 3 {
        return;
    }
    // In the way only where the list reaches under the words.
    let widest = shown.iter().map(|t| text::width(&t.words).min(72) as u16 + 6).max().unwrap_or(0);
    let below = body.bottom() - 1 - n;
    let in_the_way = cursor.is_some_and(|(row, right)| row >= below && right + widest > body.right());
    let bottom = if in_the_way { body.y + 2 + n } else { body.bottom() - 1 };
    for (i, toast) in shown.iter().enumerate() {
        let y = bottom - 1 - i as u16;
        let (glyph, ink) = mark(toast.tone);
        let room = usize::from(body.width.saturating_sub(7).min(72));
        let words = text::cut_end(&toast.words, room).into_owned();
        let width = text::width(&words) as u16 + 6;
        let x = body.right() - width;
        let ground = canvas.theme.ground(Ground::Dialog);
        canvas.clear(Rect::new(x, y, width, 1), ground);
        let style = ground.patch(canvas.ink(ink));
        canvas.put(x, y, 1, "▐", style);
        canvas.put(x + 2, y, 1, glyph, style);
        canvas.put(x + 4, y, width - 4, &words, ground);
    }
}
