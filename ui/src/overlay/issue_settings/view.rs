//! Drawing: a row for each setting, with what is in force beside it, and below what is wrong or follows.

use ratatui::layout::Rect;

use super::{IssueSettingsForm, NONE, SETTINGS};
use crate::app::App;
use crate::draw::Canvas;
use crate::layout;
use crate::text;
use crate::theme::{Ground, Ink};

/// Cells of the names, and of the values.
const NAME: u16 = 13;
const VALUE: u16 = 27;

impl IssueSettingsForm {
    /// Draws.
    pub fn view(&self, app: &App, canvas: &mut Canvas<'_>) {
        let (columns, rows) = app.env.size;
        let area = layout::dialog(columns, rows, 100, 18);
        let title = match self.form() {
            Some(form) => format!("Workspace settings of {} {}", form.identifier, form.title),
            None => format!("Workspace settings of {}", self.issue),
        };
        let inner = canvas.dialog(area, &title, &self.same());
        if inner.height < 3 {
            return;
        }
        let (ground, key, dim) = canvas.dialog_inks();
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        let put = |canvas: &mut Canvas<'_>, x: u16, y: u16, room: u16, words: &str, style| {
            let words = text::cut_end(words, usize::from(room)).into_owned();
            canvas.put(x, y, room, &words, style);
        };
        let keys_y = inner.bottom() - 1;
        let hints = match () {
            () if self.sent.is_some() => "waiting for the answer   Esc close, it is carried out all the same",
            () if self.is_typed() => "ctrl-s save   Tab next field   ctrl-u empty: leaves it to others   Esc drop",
            () => "ctrl-s save  ←→ choose  letters find  Backspace none  Tab next  Esc drop",
        };
        put(canvas, x, keys_y, width, hints, dim);
        let form = match &self.known {
            None => return put(canvas, x, inner.y, width, "reading…", dim),
            Some(Err(words)) => {
                let bad = ground.patch(canvas.ink(Ink::Bad));
                return put(canvas, x, inner.y, width, &format!("✗ {words}"), bad);
            }
            Some(Ok(form)) => form,
        };
        let mut y = inner.y;
        if inner.height >= 14 {
            let of = form.agent.as_ref().map_or_else(String::new, |agent| format!(", for runs of {agent}"));
            put(canvas, x + NAME, y, VALUE, "THE ISSUE SAYS", dim);
            put(
                canvas,
                x + NAME + VALUE + 2,
                y,
                width.saturating_sub(NAME + VALUE + 2),
                &format!("IN FORCE NOW{of}"),
                dim,
            );
            y += 1;
        }
        // Where not all fit, the one that is changed does.
        let room = usize::from(keys_y.saturating_sub(y)).saturating_sub(2).max(1);
        let first = (self.field + 1).saturating_sub(room).min(SETTINGS.len().saturating_sub(room));
        let warn = ground.patch(canvas.ink(Ink::Warn));
        for (at, setting) in SETTINGS.iter().enumerate().skip(first).take(room) {
            let on = at == self.field;
            let bad = self.wrong.as_ref().is_some_and(|(field, _)| *field == Some(at));
            put(
                canvas,
                x,
                y,
                NAME - 1,
                setting.name,
                if bad {
                    warn
                } else if on {
                    key
                } else {
                    dim
                },
            );
            let value = &self.values[at];
            let shown = if on && self.is_typed() {
                value.shown(usize::from(VALUE - 1))
            } else if value.text().is_empty() {
                NONE.to_owned()
            } else {
                value.text().to_owned()
            };
            let style = if value.text().is_empty() && !on { dim } else { ground };
            let fold = if self.options(at).len() > 1 { " ▾" } else { "" };
            let shown = format!("{}{fold}", text::cut_middle(&shown, usize::from(VALUE) - text::width(fold)));
            canvas.put(x + NAME, y, VALUE, &shown, style);
            if on {
                canvas.select(Rect::new(x + NAME, y, VALUE, 1), Ground::Selection);
            }
            if let Some(now) = form.in_force.iter().find(|f| f.key == setting.key) {
                let room = width.saturating_sub(NAME + VALUE + 2);
                let from = format!("   {}", now.from);
                let value = now.value.as_deref().unwrap_or("–").replace('\n', " ");
                let value = text::cut_middle(&value, usize::from(room).saturating_sub(text::width(&from))).into_owned();
                put(canvas, x + NAME + VALUE + 2, y, room, &format!("{value}{from}"), dim);
            }
            y += 1;
        }
        if first + room < SETTINGS.len() || first > 0 {
            let range = format!("{}–{} of {}", first + 1, (first + room).min(SETTINGS.len()), SETTINGS.len());
            canvas.put_right(inner.right() - 1, keys_y, 12, &range, dim);
        }
        y += u16::from(y + 2 < keys_y);
        for (words, style) in self.words(ground, warn) {
            let mut lines = text::wrap(&words, usize::from(width.saturating_sub(2)));
            lines.truncate(2);
            for (i, (from, to)) in lines.into_iter().enumerate() {
                if y < keys_y {
                    let lead = if i == 0 { "▲ " } else { "  " };
                    put(canvas, x, y, width, &format!("{lead}{}", &words[from..to]), style);
                    y += 1;
                }
            }
        }
    }

    /// What is to be said below the fields, the most pressing first.
    fn words(
        &self,
        ground: ratatui::style::Style,
        warn: ratatui::style::Style,
    ) -> Vec<(String, ratatui::style::Style)> {
        let mut out = Vec::new();
        if let Some((field, words)) = &self.wrong {
            let name = field.map_or_else(String::new, |at| format!("{}: ", SETTINGS[at].name));
            out.push((format!("{name}{words}"), warn));
        }
        if self.changed {
            let words = "It was changed meanwhile: read what is in force now; ctrl-s saves what you have changed";
            out.push((words.to_owned(), warn));
        }
        let workspace = self.form().and_then(|f| f.workspace.as_ref());
        let follows = ["environment", "provision", "teardown", "cleanup"];
        if let Some(workspace) = workspace.filter(|_| self.patch().keys().any(|key| follows.contains(&key.as_str()))) {
            out.push((format!("{workspace} follows: its environment and commands are changed with it."), ground));
        }
        out
    }
}
