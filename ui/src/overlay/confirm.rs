//! What would happen, before it happens: `y` does it, Enter does not, Esc keeps things as they are.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
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
use crate::rows::{Expect, Preview, PreviewVerb};
use crate::text;
use crate::theme::{Ground, Ink};

mod close;
mod several;

pub use close::Close;

/// Keys pressed sooner after the preview's appearance are dropped: nobody has read it yet.
pub const READ_MS: i64 = 150;

/// One thing to be confirmed, with its own preview and its own request.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Asks for the preview.
    pub question: Question,
    /// Name of the thing: `R-1042`.
    pub name: String,
    /// Type and id for the request; an empty id for what concerns no single thing.
    pub target: (&'static str, String),
    /// What would happen, once known.
    pub preview: Option<Result<Preview, String>>,
}

/// A request that goes with what is confirmed, and not before.
#[derive(Debug, Clone, PartialEq)]
pub struct Also {
    /// What it is, for the message.
    pub title: String,
    /// Its kind.
    pub kind: &'static str,
    /// What it is done to.
    pub target: (&'static str, String),
    /// Its arguments.
    pub args: Value,
    /// The versions that were seen.
    pub expect: Vec<Expect>,
    /// The line that tells of it: what, and how.
    pub line: (String, String),
}

/// Said when what was shown is not so any more.
const CHANGED: &str = "Things have changed meanwhile; this is what would happen now.";

/// Whether both say the same, whenever they were made.
fn same(one: &Result<Preview, String>, other: &Result<Preview, String>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => Preview { at: other.at, ..one.clone() } == *other,
        (one, other) => one == other,
    }
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
    /// What is to be typed instead of `y`, since it removes what cannot be brought back: a number, a count.
    pub typed: Option<String>,
    /// How many things it removes is to be typed, which the preview tells.
    pub counted: bool,
    /// Close checks of workspaces, which are shown before what would happen.
    pub close: Option<Close>,
    written: String,
    /// What is asked together with it, once it is confirmed: of things that need no preview of their own.
    pub also: Vec<Also>,
    /// The lines as they were before things changed.
    before: Vec<(&'static str, String, String)>,
    shown_at: Option<UnixMillis>,
    scroll: usize,
    asked_at: UnixMillis,
}

/// Columns of the dialog, where there is room for them.
const DIALOG_WIDTH: u16 = 80;

/// The dialog on a terminal.
struct Measured {
    area: Rect,
    /// Verb as it is shown, verb that it belongs to, what, how, whether it has changed.
    rows: Vec<(&'static str, &'static str, String, String, bool)>,
    notes: Vec<String>,
    /// Rows of `rows` that are shown at once.
    space: usize,
    /// Cells before `how`.
    first: usize,
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
        Self {
            title,
            verb,
            doing,
            kind,
            args,
            items,
            said: String::new(),
            typed: None,
            counted: false,
            close: None,
            also: Vec::new(),
            written: String::new(),
            before: Vec::new(),
            shown_at: None,
            scroll: 0,
            asked_at: now,
        }
    }

    /// Wants its number typed, or how many there are, instead of `y`.
    #[must_use]
    pub fn wants_typing(mut self) -> Self {
        self.typed = Some(match self.items.as_slice() {
            [one] => one.name.clone(),
            many => many.len().to_string(),
        });
        self
    }

    /// Wants the number of things typed that it removes, as the preview counts them.
    #[must_use]
    pub fn wants_count(self) -> Self {
        Self { counted: true, ..self }
    }

    /// Asks again, because what it showed has changed meanwhile.
    pub fn again(&mut self, now: UnixMillis, out: &mut Outbox) {
        self.before = self.lines();
        if let Some(close) = &mut self.close {
            close.again();
        }
        self.written.clear();
        self.shown_at = None;
        self.asked_at = now;
        CHANGED.clone_into(&mut self.said);
        for item in &mut self.items {
            item.preview = None;
            out.ask(item.question.clone());
        }
    }

    /// Asks what stopping services with those that need them would do instead, or without.
    fn turn_dependents(&mut self, app: &mut App) {
        let with = self.stops_dependents();
        if with.is_none() {
            return;
        }
        for item in &mut self.items {
            item.question = match (&item.question, with) {
                (Question::StopPreview(id), Some(false)) => Question::StopAllPreview(*id),
                (Question::StopAllPreview(id), Some(true)) => Question::StopPreview(*id),
                _ => continue,
            };
            item.preview = None;
            app.outbox.ask(item.question.clone());
        }
        // It is another question, so nothing in it has changed meanwhile.
        self.before.clear();
        self.said.clear();
        (self.shown_at, self.asked_at, self.scroll) = (None, app.env.now, 0);
    }

    /// Whether services that need the one to be stopped are stopped with it; none where there is no such question.
    fn stops_dependents(&self) -> Option<bool> {
        let all = self.items.iter().any(|i| matches!(i.question, Question::StopAllPreview(_)));
        let needed = self.doable().any(|(item, preview)| {
            matches!(item.question, Question::StopPreview(_))
                && preview.args.iter().any(|(key, _)| *key == "dependents")
        });
        (all || needed).then_some(all)
    }

    /// Takes a preview, whoever asked for it: the screen below looks again from time to time.
    pub fn answer(&mut self, question: &Question, answer: &Result<Answer, String>, now: UnixMillis) {
        let Some(at) = self.items.iter().position(|i| i.question == *question) else { return };
        let (preview, check) = match answer {
            Ok(Answer::Preview(preview)) => (Ok(preview.clone()), None),
            Ok(Answer::CloseCheck(check)) if self.close.is_some() => (Ok(check.preview.clone()), Some(check.as_ref())),
            Ok(_) => return,
            Err(words) => (Err(words.clone()), None),
        };
        let shown = self.items[at].preview.as_ref();
        let is_same = shown.is_some_and(|shown| same(shown, &preview))
            && self.close.as_ref().is_none_or(|close| close.is_same(at, check));
        if !is_same {
            // What was shown is not replaced in silence: a `y` may be on its way that means what stood there.
            if shown.is_some() {
                // What nobody had the time to read is nothing to compare with.
                if self.before.is_empty() || self.shown_at.is_some_and(|at| at.until(now) >= READ_MS) {
                    self.before = self.lines();
                }
                if let Some(close) = &mut self.close {
                    close.was(at);
                }
                CHANGED.clone_into(&mut self.said);
                self.written.clear();
            }
            self.shown_at = None;
        }
        if let Some(close) = &mut self.close {
            close.take(at, check);
        }
        self.items[at].preview = Some(preview);
        if self.shown_at.is_none() && self.items.iter().all(|i| i.preview.is_some()) {
            self.shown_at = Some(now);
            if self.counted {
                let lines = self.doable().flat_map(|(_, preview)| &preview.lines);
                self.typed = Some(lines.filter(|l| l.verb == PreviewVerb::Removes).count().to_string());
                self.written.clear();
            }
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
        let read = self.shown_at.is_some_and(|at| at.until(app.env.now) >= READ_MS);
        if let Some(wanted) = self.typed.clone() {
            match key.code {
                KeyCode::Char(c) if read => self.written.push(c),
                KeyCode::Backspace => drop(self.written.pop()),
                KeyCode::Enter if read && self.written.trim().eq_ignore_ascii_case(&wanted) => {
                    return self.confirm(app);
                }
                _ => {}
            }
            if matches!(key.code, KeyCode::Char(_) | KeyCode::Backspace | KeyCode::Enter) {
                return After::Stays;
            }
        }
        match key.code {
            KeyCode::Esc | KeyCode::Char('n') => return After::Closes,
            KeyCode::Down => {
                let (rows, space) = match &self.close {
                    Some(close) => close.extent(self, app),
                    None => {
                        let measured = self.measure(app.env.size);
                        (measured.rows.len(), measured.space)
                    }
                };
                self.scroll = (self.scroll + 1).min(rows.saturating_sub(space));
            }
            KeyCode::Up => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Char('Y') if self.close.is_some() => {
                if let Some(close) = &self.close {
                    let words = close.text(self, app);
                    app.copy(words);
                }
            }
            KeyCode::Enter | KeyCode::Char('v') if self.close.is_some() => return close::follow(self, key.code, app),
            KeyCode::Char('Y') => {
                let words: Vec<String> =
                    self.lines().into_iter().map(|(verb, what, how)| format!("{verb:<9} {what}  {how}")).collect();
                app.copy(format!("{}\n{}", self.title, words.join("\n")));
            }
            KeyCode::Char('d') => self.turn_dependents(app),
            KeyCode::Char('y') if read => return self.confirm(app),
            _ => {}
        }
        After::Stays
    }

    /// Sends one request for each that can be done.
    fn confirm(&self, app: &mut App) -> After {
        let todo: Vec<(Item, Preview)> = self.doable().map(|(i, p)| (i.clone(), p.clone())).collect();
        if todo.is_empty() || self.typed.as_deref() == Some("0") {
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
            // What is asked of everything has no target.
            let target = Some(item.target.clone()).filter(|(_, id)| !id.is_empty());
            let tag = app.outbox.request(title.clone(), self.kind, target, args, preview.expect.clone());
            let close = self.close.as_ref().map(|close| close.only(&item, &self.items));
            let mut alone = Self { items: vec![item], title, close, also: Vec::new(), ..self.clone() };
            if alone.typed.is_some() && !alone.counted {
                alone = alone.wants_typing();
            }
            app.confirmed(tag, alone);
        }
        for also in self.also.clone() {
            app.outbox.request(also.title, also.kind, Some(also.target), also.args, also.expect);
        }
        After::Closes
    }

    fn lines(&self) -> Vec<(&'static str, String, String)> {
        let mut lines = Vec::new();
        for item in &self.items {
            match &item.preview {
                None => lines.push(("", format!("reading {}…", item.name), String::new())),
                Some(Err(words)) => lines.push(("", item.name.clone(), words.clone())),
                Some(Ok(preview)) => match &preview.refused {
                    // Of what is kept, and why, is told where nothing else can be done.
                    Some(why) if !self.counted => {
                        lines.push((PreviewVerb::Leaves.word(), item.name.clone(), why.clone()));
                    }
                    _ => lines
                        .extend(self.lines_of(item, preview).map(|l| (l.verb.word(), l.what.clone(), l.how.clone()))),
                },
            }
        }
        let also = self.also.iter().map(|a| (PreviewVerb::Records.word(), a.line.0.clone(), a.line.1.clone()));
        lines.extend(also);
        lines
    }

    /// Rows of the dialog on a terminal of this size, and how many of them there is room for.
    fn measure(&self, (columns, rows): (u16, u16)) -> Measured {
        let width = DIALOG_WIDTH.min(columns);
        let room = usize::from(width.saturating_sub(4));
        let each = room.saturating_sub(12);
        let first = (each * 15 / 32).max(10).min(each);
        let wrapped = |words: &str, room: usize| -> Vec<String> {
            text::wrap(words, room.max(1)).into_iter().map(|(a, b)| words[a..b].to_owned()).collect()
        };
        let mut out = Vec::new();
        for (verb, what, how) in self.lines() {
            let changed = !self.before.is_empty() && !self.before.contains(&(verb, what.clone(), how.clone()));
            let whole = how.is_empty() || how.starts_with(['/', '~']);
            let whats = wrapped(&what, if how.is_empty() { each } else { first.saturating_sub(2) });
            // Both ends of a path tell which it is.
            let hows = if whole {
                vec![text::cut_middle(&how, each.saturating_sub(first)).into_owned()]
            } else {
                wrapped(&how, each.saturating_sub(first))
            };
            // What is agreed to is shown whole: it takes as many rows as it needs.
            for i in 0..whats.len().max(hows.len()).max(1) {
                let part = |of: &[String]| of.get(i).cloned().unwrap_or_default();
                out.push((if i == 0 { verb } else { "" }, verb, part(&whats), part(&hows), changed));
            }
        }
        let mut notes: Vec<String> = Vec::new();
        if self.counted {
            let refused = self.items.iter().filter_map(|i| i.preview.as_ref()?.as_ref().ok()?.refused.clone());
            notes.extend(refused);
        }
        notes.extend(self.notes());
        let notes: Vec<String> = notes.into_iter().flat_map(|note| wrapped(&note, room)).collect();
        let height = out.len() + notes.len() + usize::from(!notes.is_empty()) + 8;
        let area = layout::dialog(columns, rows, width, u16::try_from(height).unwrap_or(u16::MAX));
        let inner = usize::from(area.height.saturating_sub(2));
        let head = if inner > 6 { 3 } else { 0 };
        let space = inner.saturating_sub(1 + head).saturating_sub(notes.len() + 2).max(1);
        Measured { area, rows: out, notes, space, first }
    }

    /// Draws.
    pub fn view(&self, app: &App, canvas: &mut Canvas<'_>) {
        if let Some(close) = &self.close {
            return close.view(self, app, canvas);
        }
        let Measured { area, rows: lines, notes: note_rows, space, first } = self.measure(app.env.size);
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
        let scroll = self.scroll.min(lines.len().saturating_sub(space));
        let dim = style(canvas, Ink::Dim);
        for (verb, of, what, how, changed) in lines.iter().skip(scroll).take(space) {
            if y >= keys_y {
                break;
            }
            let ink = match *of {
                "stops" | "removes" => Ink::Bad,
                "keeps" => Ink::Ok,
                _ => Ink::Text,
            };
            let weigh = |style: Style| if *changed { style.add_modifier(Modifier::BOLD) } else { style };
            let verb_style = weigh(style(canvas, ink));
            canvas.put(x + 2, y, 9, verb, verb_style);
            let each = width.saturating_sub(12);
            canvas.put(x + 12, y, each, what, weigh(ground));
            canvas.put(x + 12 + first as u16, y, each.saturating_sub(first as u16), how, weigh(dim));
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
        if let (Some(wanted), true) = (&self.typed, able > 0 && self.shown_at.is_some()) {
            at = canvas.put(at, keys_y, width, &format!("type {wanted} and Enter to {}: ", self.verb), ground);
            at = canvas.put(at, keys_y, inner.right().saturating_sub(at), &format!("{}▏", self.written), key) + 2;
        } else if able > 0 && self.shown_at.is_some() {
            at = canvas.put(at, keys_y, width, "y", key);
            let what = if self.items.len() == 1 { what } else { format!("{able} of {}", self.items.len()) };
            at = canvas.put(at + 1, keys_y, width, &format!("{} {what}", self.verb), ground) + 4;
        }
        if let Some(with) = self.stops_dependents() {
            at = canvas.put(at, keys_y, inner.right().saturating_sub(at), "d", key);
            let words = if with { "alone" } else { "with those that need it" };
            at = canvas.put(at + 1, keys_y, inner.right().saturating_sub(at + 1), words, ground) + 4;
        }
        at = canvas.put(at, keys_y, inner.right().saturating_sub(at), "Esc", key);
        canvas.put(
            at + 1,
            keys_y,
            inner.right().saturating_sub(at + 1),
            if self.items.len() == 1 { "keep it" } else { "keep them" },
            dim,
        );
        // That there is more to read comes before how to copy it.
        let more = (lines.len() > space)
            .then(|| format!("↑↓ {}–{} of {}", scroll + 1, (scroll + space).min(lines.len()), lines.len()));
        if Rect::new(at, keys_y, 30, 1).right() < inner.right() || more.is_some() {
            canvas.put_right(inner.right() - 1, keys_y, 20, more.as_deref().unwrap_or("Y copy as text"), dim);
        }
    }
}
