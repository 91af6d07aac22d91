//! What would happen, before it happens: `y` does it, Enter does not, Esc keeps things as they are.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;
use serde_json::Value;
use wharf_model::UnixMillis;

use super::After;
use crate::app::App;
use crate::draw::Canvas;
use crate::effect::Question;
use crate::env::Outbox;
use crate::format;
use crate::layout;
use crate::msg::Answer;
use crate::rows::{Preview, PreviewVerb};
use crate::text;
use crate::theme::{Ground, Ink};

/// Keys pressed sooner after the preview's appearance are dropped: nobody has read it yet.
pub const READ_MS: i64 = 150;

/// One thing to be confirmed, with its own preview and its own request.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Asks for the preview.
    pub question: Question,
    /// Name of the thing: `R-1042`.
    pub name: String,
    /// Type and id for the request.
    pub target: (&'static str, String),
    /// What would happen, once known.
    pub preview: Option<Result<Preview, String>>,
}

/// The dialog.
#[derive(Debug, Clone, PartialEq)]
pub struct Confirm {
    /// `Cancel R-1042`.
    pub title: String,
    /// Verb in lower case: `cancel`.
    pub verb: &'static str,
    /// The verb as a noun at the beginning of a sentence: `Cancelling`.
    pub doing: &'static str,
    /// Kind of the request.
    pub kind: &'static str,
    /// Its arguments.
    pub args: Value,
    /// What it is done to.
    pub items: Vec<Item>,
    /// A word about it before the lines: its holder is gone, things have changed.
    pub said: String,
    shown_at: Option<UnixMillis>,
    scroll: usize,
    asked_at: UnixMillis,
}

fn capital(verb: &str) -> String {
    let mut head = verb.chars();
    head.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(head).collect()
}

impl Confirm {
    /// Asks for the previews.
    pub fn open(
        words: (&'static str, &'static str),
        kind: &'static str,
        args: Value,
        items: Vec<Item>,
        now: UnixMillis,
        out: &mut Outbox,
    ) -> Self {
        for item in &items {
            out.ask(item.question.clone());
        }
        Self::unasked(words, kind, args, items, now)
    }

    /// For what is done without a question: kept to be shown with [`Confirm::again`] when it is refused.
    pub fn unasked(
        (verb, doing): (&'static str, &'static str),
        kind: &'static str,
        args: Value,
        items: Vec<Item>,
        now: UnixMillis,
    ) -> Self {
        let capital = capital(verb);
        let title = match items.as_slice() {
            [one] => format!("{capital} {}", one.name),
            many => format!("{capital} {} marked", many.len()),
        };
        Self { title, verb, doing, kind, args, items, said: String::new(), shown_at: None, scroll: 0, asked_at: now }
    }

    /// Asks again, because what it showed has changed meanwhile.
    pub fn again(&mut self, now: UnixMillis, out: &mut Outbox) {
        self.shown_at = None;
        self.asked_at = now;
        "Things have changed meanwhile; this is what would happen now.".clone_into(&mut self.said);
        for item in &mut self.items {
            item.preview = None;
            out.ask(item.question.clone());
        }
    }

    /// Takes a preview.
    pub fn answer(&mut self, question: &Question, answer: &Result<Answer, String>, now: UnixMillis) {
        let preview = match answer {
            Ok(Answer::Preview(preview)) => Ok(preview.clone()),
            Ok(_) => return,
            Err(words) => Err(words.clone()),
        };
        for item in self.items.iter_mut().filter(|i| i.question == *question) {
            // A preview that differs from the one on the screen has to be read anew.
            if item.preview.as_ref() != Some(&preview) {
                item.preview = Some(preview.clone());
                self.shown_at = None;
            }
        }
        if self.shown_at.is_none() && self.items.iter().all(|i| i.preview.is_some()) {
            self.shown_at = Some(now);
        }
    }

    fn doable(&self) -> impl Iterator<Item = (&Item, &Preview)> {
        self.items.iter().filter_map(|i| match &i.preview {
            Some(Ok(preview)) if preview.refused.is_none() => Some((i, preview)),
            _ => None,
        })
    }

    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent, app: &mut App) -> After {
        if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
            return After::Stays;
        }
        match key.code {
            KeyCode::Esc | KeyCode::Char('n') => return After::Closes,
            KeyCode::Down => self.scroll = (self.scroll + 1).min(self.lines().len()),
            KeyCode::Up => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Char('Y') => {
                let words: Vec<String> =
                    self.lines().into_iter().map(|(verb, what, how)| format!("{verb:<9} {what}  {how}")).collect();
                app.copy(format!("{}\n{}", self.title, words.join("\n")));
            }
            KeyCode::Char('y') if self.shown_at.is_some_and(|at| at.until(app.env.now) >= READ_MS) => {
                let todo: Vec<(Item, Preview)> = self.doable().map(|(i, p)| (i.clone(), p.clone())).collect();
                if todo.is_empty() {
                    return After::Stays;
                }
                let capital = capital(self.verb);
                for (item, preview) in todo {
                    let title = format!("{capital} {}", item.name);
                    let mut args = self.args.clone();
                    if !args.is_object() {
                        args = Value::Object(serde_json::Map::new());
                    }
                    if let Value::Object(args) = &mut args {
                        let shown = preview.args.iter().map(|(k, v)| ((*k).to_owned(), Value::String(v.clone())));
                        args.extend(shown);
                    }
                    let tag = app.outbox.request(
                        title.clone(),
                        self.kind,
                        Some(item.target.clone()),
                        args,
                        preview.expect.clone(),
                    );
                    let alone = Self { items: vec![item], title, ..self.clone() };
                    app.confirmed(tag, alone);
                }
                return After::Closes;
            }
            _ => {}
        }
        After::Stays
    }

    fn lines(&self) -> Vec<(&'static str, String, String)> {
        let mut lines = Vec::new();
        for item in &self.items {
            match &item.preview {
                None => lines.push(("", format!("reading {}…", item.name), String::new())),
                Some(Err(words)) => lines.push(("", item.name.clone(), words.clone())),
                Some(Ok(preview)) => match &preview.refused {
                    Some(why) => lines.push((PreviewVerb::Leaves.word(), item.name.clone(), why.clone())),
                    None => lines.extend(preview.lines.iter().map(|l| (l.verb.word(), l.what.clone(), l.how.clone()))),
                },
            }
        }
        lines
    }

    /// Draws.
    pub fn view(&self, app: &App, canvas: &mut Canvas<'_>) {
        let (columns, rows) = app.env.size;
        let width = 80.min(columns);
        let room = usize::from(width.saturating_sub(4));
        let lines = self.lines();
        let notes: Vec<String> = self.doable().map(|(_, p)| p.note.clone()).filter(|n| !n.is_empty()).collect();
        let note = notes.first().cloned().unwrap_or_default();
        let note_rows: Vec<String> = if note.is_empty() {
            Vec::new()
        } else {
            text::wrap(&note, room).into_iter().map(|(a, b)| note[a..b].to_owned()).collect()
        };
        let height = lines.len() + note_rows.len() + usize::from(!note_rows.is_empty()) + 8;
        let area = layout::dialog(columns, rows, width, height as u16);
        let read = self.shown_at.map_or_else(
            || format!("reading since {}", format::duration(self.asked_at.until(app.env.now))),
            |at| format!("previewed {}", format::clock(at, app.env.zone)),
        );
        let inner = canvas.dialog(area, &self.title, &read);
        if inner.height < 3 {
            return;
        }
        let ground = canvas.theme.ground(Ground::Dialog);
        let style = |canvas: &Canvas<'_>, ink| ground.patch(canvas.ink(ink));
        let x = inner.x + 1;
        let width = inner.width.saturating_sub(2);
        let what = match self.items.as_slice() {
            [one] => one.name.clone(),
            many => format!("the {} marked", many.len()),
        };
        // The keys always have the last row, whatever has to give way.
        let keys_y = inner.bottom() - 1;
        let mut y = inner.y;
        if inner.height > 6 {
            let warn = style(canvas, Ink::Warn);
            canvas.put(x, y, width, &self.said, warn);
            canvas.put(x, y + 1, width, &format!("{} {what} does this, in this order:", self.doing), ground);
            y += 3;
        }
        let space = usize::from(keys_y.saturating_sub(y)).saturating_sub(note_rows.len() + 2).max(1);
        let scroll = self.scroll.min(lines.len().saturating_sub(space));
        for (verb, what, how) in lines.iter().skip(scroll).take(space) {
            if y >= keys_y {
                break;
            }
            let ink = match *verb {
                "stops" | "removes" => Ink::Bad,
                "keeps" => Ink::Ok,
                _ => Ink::Text,
            };
            let verb_style = style(canvas, ink);
            canvas.put(x + 2, y, 9, verb, verb_style);
            let each = width.saturating_sub(12);
            let first = (each * 15 / 32).max(10).min(each);
            let what = text::cut_end(what, usize::from(if how.is_empty() { each } else { first.saturating_sub(2) }))
                .into_owned();
            canvas.put(x + 12, y, each, &what, ground);
            let how_room = each.saturating_sub(first);
            let dim = style(canvas, Ink::Dim);
            // Both ends of a path tell which it is.
            let cut = if how.starts_with(['/', '~']) { text::cut_middle } else { text::cut_end };
            let how = cut(how, usize::from(how_room)).into_owned();
            canvas.put(x + 12 + first, y, how_room, &how, dim);
            y += 1;
        }
        y += 1;
        for row in note_rows {
            if y >= keys_y {
                break;
            }
            canvas.put(x, y, width, &row, ground);
            y += 1;
        }
        let key = ground.patch(canvas.bold(Ink::Accent));
        let dim = style(canvas, Ink::Dim);
        let able = self.doable().count();
        let mut at = x;
        if able > 0 && self.shown_at.is_some() {
            at = canvas.put(at, keys_y, width, "y", key);
            let what = if self.items.len() == 1 { what } else { format!("{able} of {}", self.items.len()) };
            at = canvas.put(at + 1, keys_y, width, &format!("{} {what}", self.verb), ground) + 4;
        }
        at = canvas.put(at, keys_y, inner.right().saturating_sub(at), "Esc", key);
        canvas.put(
            at + 1,
            keys_y,
            inner.right().saturating_sub(at + 1),
            if self.items.len() == 1 { "keep it" } else { "keep them" },
            dim,
        );
        if Rect::new(at, keys_y, 30, 1).right() < inner.right() {
            canvas.put_right(inner.right() - 1, keys_y, 20, "Y copy as text", dim);
        }
    }
}
