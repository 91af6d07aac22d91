//! What every screen with a list shares: the table, its filter line, its pages, the split and the focus.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;
use wharf_model::filter::{FIELDS, Filter, FilterError, Status};

use super::{FocusMove, Motion, Spot};
use crate::draw::Canvas;
use crate::effect::Question;
use crate::env::{Env, Outbox};
use crate::format;
use crate::input::LineEdit;
use crate::layout::{self, Split, Wish};
use crate::pane::table::{Column, PAGE, Row, Table};
use crate::rows::Page;
use crate::text;
use crate::theme::{Ground, Ink};

/// Keys of the filter line, as the hint row tells them.
pub const TYPING_HINTS: &[(&str, &str)] =
    &[("Tab", "complete"), ("Enter", "keep"), ("Esc", "drop"), ("↑↓", "choose"), ("-", "exclude"), ("\"…\"", "text")];

/// Makes the question for one page.
pub type AskPage = fn(Filter, Option<i64>, u32) -> Question;

/// A filter being typed.
#[derive(Debug, Clone)]
struct FilterLine {
    edit: LineEdit,
    before: (String, Filter),
    error: Option<FilterError>,
    chosen: usize,
    /// Values of fields, as the rows had them before anything was typed.
    known: Vec<(&'static str, Vec<String>)>,
}

/// A list with its filter and the place of its detail.
#[derive(Debug, Clone)]
pub struct Listing<R> {
    /// Rows, cursor, marks.
    pub table: Table<R>,
    /// The detail has the focus.
    pub detail: bool,
    /// The focused pane takes the body.
    pub zoom: bool,
    /// The list stands beside its detail where there is room.
    pub beside: bool,
    /// What is said of hidden rows while nothing is filtered: `archived hidden`.
    pub left_out: &'static str,
    /// How those are shown, where nothing else is: `/ status:archived shows them`.
    pub left_out_how: &'static str,
    share: u16,
    title: &'static str,
    ask: AskPage,
    filter: Filter,
    filter_text: String,
    line: Option<FilterLine>,
    error: Option<String>,
    /// A row to select when the next first page has it, and the filter that finds it when that has not.
    wanted: Option<Wanted>,
}

/// A row that is looked for.
#[derive(Debug, Clone)]
struct Wanted {
    number: i64,
    narrow: String,
    missed: bool,
}

impl<R: Row> Listing<R> {
    /// An empty list.
    pub fn new(title: &'static str, beside: bool, ask: AskPage) -> Self {
        Self {
            table: Table::default(),
            detail: false,
            zoom: false,
            beside,
            left_out: "hidden",
            left_out_how: "",
            share: 49,
            title,
            ask,
            filter: Filter::default(),
            filter_text: String::new(),
            line: None,
            error: None,
            wanted: None,
        }
    }

    /// Where list and detail are now.
    pub fn layout(&self, env: &Env) -> Split {
        let (columns, rows) = env.size;
        let body = layout::bands(columns, rows, env.banner).map_or(Rect::ZERO, |b| b.body);
        let wish = Wish {
            beside: self.beside,
            share: self.share,
            zoom: self.zoom,
            detail: self.detail,
            any: !self.table.rows().is_empty(),
        };
        layout::split(body, columns, rows, wish)
    }

    /// Rows of the list that hold entities.
    pub fn height(&self, env: &Env) -> usize {
        usize::from(self.layout(env).list.height.saturating_sub(2))
    }

    /// The row of the screen on which the cursor stands, and the column behind the list.
    pub fn cursor_row(&self, env: &Env) -> Option<(u16, u16)> {
        let split = self.layout(env);
        let number = self.table.selected()?.number();
        let height = usize::from(split.list.height.saturating_sub(2));
        let row = (0..height).find(|row| self.table.at(*row, split.second_heads) == Some(number))?;
        Some((split.list.y + 2 + row as u16, split.list.right()))
    }

    /// Asks for the first page again.
    pub fn refresh(&self, out: &mut Outbox) {
        out.ask((self.ask)(self.filter.clone(), None, PAGE));
    }

    /// Takes a page when it answers what is asked now. Says whether it did.
    pub fn answer(&mut self, question: &Question, page: Result<Page<R>, String>) -> bool {
        if *question == (self.ask)(self.filter.clone(), None, PAGE) {
            match page {
                Ok(page) => {
                    self.error = None;
                    self.table.first_page(page);
                    if let Some(wanted) = &mut self.wanted {
                        wanted.missed = !self.table.select(wanted.number);
                    }
                    self.wanted = self.wanted.take().filter(|w| w.missed);
                }
                Err(words) => self.error = Some(words),
            }
            return true;
        }
        let further = self.table.rows().last().map(Row::number);
        if further.is_some() && *question == (self.ask)(self.filter.clone(), further, PAGE) {
            match page {
                Ok(page) => self.table.further_page(page),
                Err(words) => self.error = Some(words),
            }
            return true;
        }
        false
    }

    /// Brings the cursor into view and asks for the page it nears.
    pub fn settle(&mut self, env: &Env, out: &mut Outbox) {
        if self.wanted.as_ref().is_some_and(|w| w.missed)
            && let Some(wanted) = self.wanted.take()
        {
            // The words were made of a field and numbers, so they parse.
            let _ = self.set_filter(&wanted.narrow, out);
        }
        let split = self.layout(env);
        let height = usize::from(split.list.height.saturating_sub(2));
        if height > 0 {
            self.table.settle(height, split.second_heads);
        }
        if !self.table.known && self.error.is_none() {
            out.ask_once((self.ask)(self.filter.clone(), None, PAGE));
        } else if let Some(after) = self.table.wants_more(height) {
            out.ask_once((self.ask)(self.filter.clone(), Some(after), PAGE));
        }
    }

    /// Moves the cursor.
    pub fn motion(&mut self, motion: Motion, env: &Env) {
        let height = self.height(env).max(1) as i64;
        match motion {
            Motion::Rows(n) => self.table.step(n),
            Motion::HalfPages(n) => self.table.step(n * (height / 2).max(1)),
            Motion::Pages(n) => self.table.step(n * (height - 2).max(1)),
            Motion::First => self.table.end(false),
            Motion::Last => self.table.end(true),
            Motion::Sideways(_) => {}
        }
    }

    /// Moves the focus between list and detail.
    pub fn focus(&mut self, to: FocusMove) {
        self.detail = match to {
            FocusMove::Next | FocusMove::Previous => !self.detail,
            FocusMove::List => false,
            FocusMove::Detail => true,
        } && !self.table.rows().is_empty();
    }

    /// Drops marks, then zoom, then goes to the list.
    pub fn back(&mut self) -> bool {
        if !self.table.marks.is_empty() {
            self.table.marks.clear();
        } else if self.zoom {
            self.zoom = false;
        } else if self.detail {
            self.detail = false;
        } else {
            return false;
        }
        true
    }

    /// Moves the split by percent.
    pub fn split(&mut self, by: i16) {
        self.share = self.share.saturating_add_signed(by).clamp(30, 70);
    }

    /// The filter in force.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Puts a filter in force.
    pub fn set_filter(&mut self, words: &str, out: &mut Outbox) -> Result<(), FilterError> {
        let filter = Filter::parse(words)?;
        words.trim().clone_into(&mut self.filter_text);
        if filter != self.filter {
            self.filter = filter;
            self.table.clear();
            self.error = None;
            self.refresh(out);
        }
        Ok(())
    }

    /// Brings one row to the cursor, or narrows the list to several. `field` finds them by name: `run`.
    /// A name with a colon is a filter of its own: `issue:SHOP-17`.
    ///
    /// A row that is not among those known is looked for in the next answer first, then with a filter.
    pub fn find(&mut self, field: &str, names: &[String], out: &mut Outbox) {
        self.line = None;
        self.detail = false;
        let narrow = format!("{field}:{}", names.join(","));
        let number = |name: &String| name.rsplit_once('-').and_then(|(_, n)| n.parse::<i64>().ok());
        match names {
            [filter] if filter.contains(':') => {
                let _ = self.set_filter(filter, out);
            }
            [one] => match number(one) {
                Some(number) if self.table.select(number) => self.wanted = None,
                Some(number) => self.wanted = Some(Wanted { number, narrow, missed: false }),
                None => {
                    let _ = self.set_filter(&narrow, out);
                }
            },
            _ => {
                // Names that the filter's language cannot say leave the list as it is.
                let _ = self.set_filter(&narrow, out);
            }
        }
    }

    /// Brings a row to the cursor that has just come into being; where the filter hides it, the list stays as it is.
    pub fn expect(&mut self, number: i64) {
        if !self.table.select(number) {
            self.wanted = Some(Wanted { number, narrow: self.filter_text.clone(), missed: false });
        }
    }

    /// Where the list is, to come back to.
    pub fn spot(&self) -> Spot {
        Spot { filter: self.filter_text.clone(), number: self.table.selected().map(Row::number), detail: self.detail }
    }

    /// Comes back to where the list was.
    pub fn restore(&mut self, spot: &Spot, out: &mut Outbox) {
        self.line = None;
        self.wanted = None;
        // It was valid when it was in force.
        let _ = self.set_filter(&spot.filter, out);
        if let Some(number) = spot.number
            && !self.table.select(number)
        {
            self.wanted = Some(Wanted { number, narrow: spot.filter.clone(), missed: false });
        }
        self.detail = spot.detail && !self.table.rows().is_empty();
    }

    /// Opens the filter line; `known` are values of fields, for completion.
    pub fn edit_filter(&mut self, known: Vec<(&'static str, Vec<String>)>) {
        let mut edit = LineEdit::new(self.filter_text.clone());
        if !self.filter_text.is_empty() {
            edit.insert(" ");
        }
        self.line = Some(FilterLine {
            edit,
            before: (self.filter_text.clone(), self.filter.clone()),
            error: None,
            chosen: 0,
            known,
        });
    }

    /// Whether the filter line is open.
    pub fn is_typing(&self) -> bool {
        self.line.is_some()
    }

    /// Inserts into the filter line.
    pub fn paste(&mut self, words: &str, out: &mut Outbox) {
        if let Some(line) = &mut self.line {
            line.edit.insert(words);
            self.retry(out);
        }
    }

    /// A key in the filter line.
    pub fn key(&mut self, key: KeyEvent, out: &mut Outbox) {
        let completions = self.completions();
        let Some(line) = &mut self.line else { return };
        match key.code {
            KeyCode::Esc => {
                let (words, _) = line.before.clone();
                self.line = None;
                // It was valid when it was in force.
                let _ = self.set_filter(&words, out);
            }
            KeyCode::Enter => {
                // What was held back as the beginning of a field is meant as it stands.
                let words = line.edit.text().to_owned();
                match self.set_filter(&words, out) {
                    Ok(()) => self.line = None,
                    Err(error) => {
                        if let Some(line) = &mut self.line {
                            line.error = Some(error);
                        }
                    }
                }
            }
            KeyCode::Tab => {
                if let Some((from, word)) = completions.get(line.chosen.min(completions.len().saturating_sub(1))) {
                    line.edit.complete(*from, word);
                    line.chosen = 0;
                    self.retry(out);
                }
            }
            KeyCode::Down => line.chosen = (line.chosen + 1).min(completions.len().saturating_sub(1)),
            KeyCode::Up => line.chosen = line.chosen.saturating_sub(1),
            _ => {
                if line.edit.key(key) {
                    line.chosen = 0;
                    self.retry(out);
                }
            }
        }
    }

    fn retry(&mut self, out: &mut Outbox) {
        let Some(line) = &self.line else { return };
        let words = begun_field(&line.edit).to_owned();
        let result = self.set_filter(&words, out);
        if let Some(line) = &mut self.line {
            line.error = result.err();
        }
    }

    /// Values and fields that go on with what stands before the cursor.
    fn completions(&self) -> Vec<(usize, String)> {
        let Some(line) = &self.line else { return Vec::new() };
        let head = &line.edit.text()[..line.edit.cursor()];
        let word_at = head.rfind(char::is_whitespace).map_or(0, |i| i + 1);
        let word = head[word_at..].trim_start_matches('-');
        let from = head.len() - word.len();
        if let Some((field, part)) = word.split_once(':') {
            let last = part.rsplit(',').next().unwrap_or(part);
            let from = head.len() - last.len();
            let known: Vec<String> = match field {
                "status" => Status::ALL.iter().map(|s| s.as_str().to_owned()).collect(),
                "since" | "until" => ["1h", "2h", "1d", "7d", "today", "yesterday"].map(str::to_owned).to_vec(),
                _ => line.known.iter().find(|(f, _)| *f == field).map(|(_, v)| v.clone()).unwrap_or_default(),
            };
            let lower = last.to_lowercase();
            return known
                .into_iter()
                .filter(|v| v.to_lowercase().starts_with(&lower) && *v != last)
                .map(|v| (from, v))
                .collect();
        }
        FIELDS.iter().filter(|(f, _)| f.starts_with(word)).map(|(f, _)| (from, format!("{f}:"))).collect()
    }

    /// Draws title rule, head, rows, and the filter line when it is open.
    pub fn view(
        &self,
        env: &Env,
        canvas: &mut Canvas<'_>,
        columns: &[Column<R>],
        empty: &dyn Fn(&mut Canvas<'_>, Rect),
    ) {
        let split = self.layout(env);
        let area = split.list;
        if area.is_empty() {
            return;
        }
        let height = usize::from(area.height.saturating_sub(2));
        let mut title = self.title.to_owned();
        if self.line.is_some() {
            title.push_str("  filtering");
        } else if !self.filter_text.is_empty() {
            title.push_str(&format!("  {}", self.filter_text));
        }
        let hidden = if self.filter.is_empty() { self.left_out } else { "hidden" };
        let range = self.table.range_words(height, split.second_heads, hidden);
        let focused = !self.detail;
        canvas.title_rule(Rect { height: 1, ..area }, &title, &[(&range, Ink::Dim)], focused);
        let inner = Rect::new(area.x, area.y + 1, area.width, area.height - 1);
        if let Some(words) = &self.error {
            canvas.trouble(inner, words);
        } else if self.table.rows().is_empty() {
            if self.table.known && self.filter.is_empty() && self.table.hidden > 0 && !self.left_out_how.is_empty() {
                let dim = canvas.ink(Ink::Dim);
                let words = format!("{} {}; {}.", format::count(self.table.hidden), self.left_out, self.left_out_how);
                canvas.put(inner.x + 1, inner.y, inner.width - 1, &words, dim);
            } else if self.table.known && self.filter.is_empty() {
                empty(canvas, inner);
            } else if self.table.known {
                let dim = canvas.ink(Ink::Dim);
                let words =
                    format!("Nothing matches; {} hidden. / changes the filter.", format::count(self.table.hidden));
                canvas.put(inner.x + 1, inner.y, inner.width - 1, &words, dim);
            }
        } else {
            self.table.view(env, canvas, inner, columns, focused, split.second_heads);
        }
        self.view_line(canvas, env);
    }

    fn view_line(&self, canvas: &mut Canvas<'_>, env: &Env) {
        let Some(line) = &self.line else { return };
        let whole = canvas.area();
        let y = whole.bottom().saturating_sub(2);
        let style = canvas.theme.ground(Ground::Dialog);
        canvas.clear(Rect::new(0, y, whole.width, 1), style);
        let accent = style.patch(canvas.bold(Ink::Accent));
        canvas.put(1, y, 1, "/", accent);
        let right = match &line.error {
            Some(error) => error.reason.clone(),
            None if self.table.known => {
                let all = self.table.total + self.table.hidden;
                format!(
                    "{} of {} match · {} hidden",
                    format::count(self.table.total),
                    format::count(all),
                    format::count(self.table.hidden)
                )
            }
            None => "reading…".to_owned(),
        };
        let typed = line.edit.shown(usize::from(whole.width).saturating_sub(4));
        let room = usize::from(whole.width).saturating_sub(text::width(&typed) + 5);
        let end = canvas.put(3, y, whole.width.saturating_sub(4), &typed, style);
        let ink = if line.error.is_some() { Ink::Bad } else { Ink::Dim };
        let right_style = style.patch(canvas.ink(ink));
        if room > 8 && end < whole.width {
            canvas.put_right(whole.width.saturating_sub(1), y, room as u16, &right, right_style);
        }
        let completions = self.completions();
        let rows = completions.len().min(5).min(usize::from(env.size.1).saturating_sub(6));
        if rows == 0 {
            return;
        }
        let width = 46.min(whole.width);
        let area = Rect::new(0, y.saturating_sub(rows as u16 + 2), width, rows as u16 + 2);
        let inner = canvas.dialog(area, "complete", "");
        let first = line.chosen.saturating_sub(rows - 1);
        for (i, (_, word)) in completions.iter().enumerate().skip(first).take(rows) {
            let row = inner.y + (i - first) as u16;
            if i == line.chosen {
                canvas.put(inner.x + 1, row, 1, "▸", accent);
            }
            canvas.put(inner.x + 3, row, inner.width.saturating_sub(4), word, style);
        }
    }
}

/// What has been typed, without a last word that may become the name of a field: as words to look for it
/// would empty the list for the time it takes to type it.
fn begun_field(edit: &LineEdit) -> &str {
    let text = edit.text();
    let at = text.rfind(char::is_whitespace).map_or(0, |i| i + 1);
    let word = text[at..].trim_start_matches('-');
    let begun = edit.cursor() == text.len() && !word.is_empty() && FIELDS.iter().any(|(f, _)| f.starts_with(word));
    if begun { &text[..at] } else { text }
}
