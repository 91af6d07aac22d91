//! The program's own log, from the records that the logger keeps.
//!
//! The one place of this crate that reads something no message brought: the widget's records are kept
//! by its library for the whole process, fed by the shell's tracing layer. What is shown of them is
//! still ours: the level of each target, the scroll, and how a record is written.

use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use tui_logger::{ExtLogRecord, LogFormatter, TuiLoggerTargetWidget, TuiLoggerWidget, TuiWidgetEvent, TuiWidgetState};
use unicode_segmentation::UnicodeSegmentation;
use wharf_model::UnixMillis;

use crate::draw::Canvas;
use crate::env::Env;
use crate::format::{self, Zone};
use crate::glyph;
use crate::screen::Motion;
use crate::text;
use crate::theme::{Ink, Theme};

/// Cells of the list of targets: five levels, a colon, the name.
const TARGETS: u16 = 30;
/// Least width at which targets stand beside the records.
const BOTH_MIN: u16 = 78;
/// Cells before a message: clock, level, target.
const BEFORE: usize = 33;

/// The log.
#[derive(Default)]
pub struct OwnLog {
    state: TuiWidgetState,
    scrolled: bool,
    off_hidden: bool,
}

impl std::fmt::Debug for OwnLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnLog")
            .field("scrolled", &self.scrolled)
            .field("off_hidden", &self.off_hidden)
            .finish_non_exhaustive()
    }
}

impl OwnLog {
    /// Shows more (or fewer) levels of the chosen target, as far as they were recorded.
    pub fn level(&self, more: bool) {
        self.state.transition(if more { TuiWidgetEvent::RightKey } else { TuiWidgetEvent::LeftKey });
    }

    /// Hides targets of which nothing is shown, or shows them again; says which.
    pub fn hide_off(&mut self) -> bool {
        self.off_hidden = !self.off_hidden;
        self.state.transition(TuiWidgetEvent::SpaceKey);
        self.off_hidden
    }

    /// To the newest record, which it stays on.
    pub fn follow(&mut self) {
        self.scrolled = false;
        self.state.transition(TuiWidgetEvent::EscapeKey);
    }

    /// Rows choose a target where targets are shown; pages scroll the records.
    pub fn motion(&mut self, motion: Motion, width: u16) {
        let (event, times) = match motion {
            Motion::Rows(n) if width >= BOTH_MIN => {
                (if n < 0 { TuiWidgetEvent::UpKey } else { TuiWidgetEvent::DownKey }, n.unsigned_abs().min(50))
            }
            Motion::Rows(n) | Motion::HalfPages(n) | Motion::Pages(n) => {
                self.scrolled = self.scrolled || n < 0;
                (if n < 0 { TuiWidgetEvent::PrevPageKey } else { TuiWidgetEvent::NextPageKey }, 1)
            }
            Motion::First => {
                self.scrolled = true;
                (TuiWidgetEvent::PrevPageKey, 1)
            }
            Motion::Last => return self.follow(),
            Motion::Sideways(_) => return,
        };
        for _ in 0..times {
            self.state.transition(event);
        }
    }

    /// What the title rule says at its right.
    pub fn state_words(&self) -> (&'static str, Ink) {
        if self.scrolled { ("f follows", Ink::Dim) } else { ("following", Ink::Ok) }
    }

    /// Draws targets, where there is room, and records.
    pub fn view(&self, env: &Env, canvas: &mut Canvas<'_>, area: Rect) {
        // Records wait in a small buffer of the library until somebody asks for them.
        tui_logger::move_events();
        let mut records = area;
        if area.width >= BOTH_MIN {
            let targets = Rect { width: TARGETS, ..area };
            let widget = TuiLoggerTargetWidget::default()
                .style_show(canvas.ink(Ink::Text))
                .style_hide(canvas.ink(Ink::Rule))
                .style_off(canvas.ink(Ink::Rule))
                .highlight_style(canvas.ink(Ink::Accent).add_modifier(Modifier::REVERSED))
                .state(&self.state);
            canvas.widget(targets, widget);
            records = Rect { x: area.x + TARGETS + 1, width: area.width - TARGETS - 1, ..area };
            // Names of targets are not cut by the widget.
            canvas.clear(Rect { x: area.x + TARGETS, width: area.width - TARGETS, ..area }, Style::default());
            let rule = canvas.ink(Ink::Rule);
            for y in area.top()..area.bottom() {
                canvas.put(area.x + TARGETS, y, 1, "│", rule);
            }
        }
        let format = Format { zone: env.zone, theme: env.theme, ascii: env.ascii };
        canvas.widget(records, TuiLoggerWidget::default().formatter(Box::new(format)).state(&self.state));
    }
}

/// How a record is written: `12:04:31.120  INFO  dispatch    granted L-89`.
struct Format {
    zone: Zone,
    theme: Theme,
    ascii: bool,
}

impl Format {
    /// Harmless, and in ASCII when asked for.
    fn plain(&self, words: &str) -> String {
        let one = |g| {
            let safe = text::safe(g);
            if self.ascii { glyph::ascii(safe).unwrap_or(safe) } else { safe }
        };
        words.graphemes(true).map(one).collect()
    }
}

impl LogFormatter for Format {
    fn min_width(&self) -> u16 {
        20
    }

    fn format(&self, width: usize, record: &ExtLogRecord) -> Vec<Line<'_>> {
        let at = UnixMillis(record.timestamp.timestamp().as_millisecond());
        let level = record.level.as_str();
        let ink = match level {
            "ERROR" => Ink::Bad,
            "WARN" => Ink::Warn,
            "INFO" => Ink::Text,
            _ => Ink::Dim,
        };
        let target = self.plain(record.target().rsplit("::").next().unwrap_or_default());
        let message = self.plain(record.msg().trim());
        let dim = self.theme.ink(Ink::Dim);
        let narrow = width < BEFORE + 20;
        let mut head = vec![
            Span::styled(format!(" {}  ", format::clock_millis(at, self.zone)), dim),
            Span::styled(format!("{level:<5} "), self.theme.ink(ink)),
        ];
        let mut before = 21;
        if !narrow {
            head.push(Span::styled(format!("{}  ", text::pad(&text::cut_end(&target, 10), 10)), dim));
            before = BEFORE;
        }
        let room = width.saturating_sub(before + 1).max(8);
        let style = self.theme.ink(ink);
        let mut lines = Vec::new();
        for (from, to) in text::wrap(&message, room) {
            let mut spans =
                if lines.is_empty() { std::mem::take(&mut head) } else { vec![Span::raw(" ".repeat(before))] };
            spans.push(Span::styled(message[from..to].to_owned(), style));
            lines.push(Line::from(spans));
        }
        // The widget counts on one line at least.
        if lines.is_empty() {
            lines.push(Line::from(head));
        }
        lines
    }
}
