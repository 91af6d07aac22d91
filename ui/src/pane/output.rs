//! What a child printed: follow, wrap, times, streams, search, jump, selection.
//!
//! The pane keeps a window of lines around the view and asks for more at its edges; the log itself
//! stays where it is. The view is bound to a line, so new output, wrap and resize do not move it.

use std::collections::{BTreeMap, VecDeque};

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use regex::Regex;
use unicode_segmentation::UnicodeSegmentation;
use wharf_model::UnixMillis;

use crate::ansi::{self, Printed};
use crate::draw::Canvas;
use crate::effect::{Owner, Position, Question, Streams};
use crate::env::{Env, Outbox};
use crate::format;
use crate::input::LineEdit;
use crate::rows::*;
use crate::text;
use crate::theme::{Ground, Ink};

/// Lines asked for at once.
const CHUNK: u32 = 600;
/// Lines kept around the view.
const WINDOW_MAX: usize = 6000;
/// Matching lines remembered.
const HITS_MAX: u32 = 10_000;

/// What stands before each line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Times {
    /// Nothing.
    Off,
    /// `12:04:31.120`.
    #[default]
    Clock,
    /// Time since the process began.
    SinceStart,
    /// Time since the line before.
    Between,
}

impl Times {
    const fn word(self) -> &'static str {
        match self {
            Self::Off => "no times",
            Self::Clock => "clock",
            Self::SinceStart => "since start",
            Self::Between => "between lines",
        }
    }
    const fn next(self) -> Self {
        match self {
            Self::Off => Self::Clock,
            Self::Clock => Self::SinceStart,
            Self::SinceStart => Self::Between,
            Self::Between => Self::Off,
        }
    }
}

/// A place in the text of the log: line number, byte within its plain text.
pub type Spot = (u64, usize);

#[derive(Debug, Clone)]
struct Search {
    words: String,
    regex: Regex,
    hits: Vec<u64>,
    total: u64,
    percent: u8,
    current: Option<u64>,
    wrapped: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Typing {
    Search(LineEdit),
    Jump(LineEdit),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum RowKind {
    Note(String),
    Text { from: usize, to: usize, first: bool, last: bool },
}

/// One row of the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ScreenRow {
    line: u64,
    sub: usize,
    kind: RowKind,
}

/// One stream on the screen.
#[derive(Debug, Clone)]
pub struct OutputPane {
    owner: Owner,
    streams: Streams,
    wrap: bool,
    times: Times,
    follow: bool,
    lines: VecDeque<OutputLine>,
    notes: BTreeMap<u64, Vec<String>>,
    total_lines: u64,
    total_bytes: u64,
    state: OutputState,
    started_at: Option<UnixMillis>,
    /// First row shown, when not following.
    top: (u64, usize),
    sideways: usize,
    known: bool,
    error: Option<String>,
    asked_at: Option<UnixMillis>,
    search: Option<Search>,
    typing: Option<Typing>,
    selection: Option<(Spot, Spot)>,
    dragging: bool,
    jump_target: bool,
    drawn_note: Option<u64>,
    /// Lines before this one, or behind that one, were asked for and did not come: not asked again by itself.
    floor: Option<u64>,
    ceiling: Option<u64>,
    /// The terminal has no room for times.
    narrow: bool,
}

/// The regular expression of a search: without case unless a capital is typed.
pub fn smart_case(words: &str) -> Result<(String, Regex), String> {
    let pattern = if words.chars().any(char::is_uppercase) { words.to_owned() } else { format!("(?i){words}") };
    let regex = regex::RegexBuilder::new(&pattern)
        .size_limit(1 << 20)
        .build()
        .map_err(|e| e.to_string().lines().last().unwrap_or("not a regular expression").trim().to_owned())?;
    Ok((pattern, regex))
}

impl OutputPane {
    /// Opens at the end, following.
    pub fn new(owner: Owner) -> Self {
        Self {
            owner,
            streams: Streams::Both,
            wrap: true,
            times: Times::Clock,
            follow: true,
            lines: VecDeque::new(),
            notes: BTreeMap::new(),
            total_lines: 0,
            total_bytes: 0,
            state: OutputState::Reading,
            started_at: None,
            top: (0, 0),
            sideways: 0,
            known: false,
            error: None,
            asked_at: None,
            search: None,
            typing: None,
            selection: None,
            dragging: false,
            jump_target: false,
            drawn_note: None,
            floor: None,
            ceiling: None,
            narrow: false,
        }
    }

    /// A pane for another owner with the same switches.
    pub fn like(&self, owner: Owner) -> Self {
        Self { streams: self.streams, wrap: self.wrap, times: self.times, ..Self::new(owner) }
    }

    /// Whose output it is.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Which streams are shown.
    pub fn streams(&self) -> Streams {
        self.streams
    }

    /// First line shown, for `$PAGER`.
    pub fn line(&self) -> u64 {
        if self.follow { self.total_lines.saturating_sub(1) } else { self.top.0 }
    }

    /// The line being typed, for the hint row.
    pub fn is_typing(&self) -> bool {
        self.typing.is_some()
    }

    /// Whether `n` and `N` have somewhere to go.
    pub fn has_search(&self) -> bool {
        self.search.is_some()
    }

    /// Whether something is selected.
    pub fn has_selection(&self) -> bool {
        self.selection.is_some()
    }

    fn question(&self, from: Position) -> Question {
        Question::Output { owner: self.owner, streams: self.streams, from, lines: CHUNK }
    }

    /// Asks for what the view lacks.
    pub fn settle(&mut self, env: &Env, out: &mut Outbox, area: Rect) {
        self.narrow = env.size.0 < 80;
        if !self.known && self.error.is_none() {
            self.asked_at.get_or_insert(env.now);
            out.ask_once(self.question(Position::End));
            return;
        }
        let (Some(first), Some(last)) = (self.lines.front().map(|l| l.number), self.lines.back().map(|l| l.number))
        else {
            return;
        };
        let rows = u64::from(area.height).max(20);
        let view = if self.follow { last } else { self.top.0 };
        if first > 0 && self.floor != Some(first) && view.saturating_sub(first) < 2 * rows {
            out.ask_once(self.question(Position::Line(first.saturating_sub(u64::from(CHUNK)))));
        }
        if last + 1 < self.total_lines && self.ceiling != Some(last) {
            if self.follow && self.total_lines - last > u64::from(CHUNK) * 4 {
                out.ask_once(self.question(Position::End));
            } else if self.follow || last.saturating_sub(view) < 2 * rows {
                out.ask_once(self.question(Position::Line(last)));
            }
        }
    }

    /// The log has grown.
    pub fn grew(&mut self, out: &mut Outbox) {
        self.ceiling = None;
        match self.lines.back() {
            Some(last) => out.ask(self.question(Position::Line(last.number))),
            None => out.ask(self.question(Position::End)),
        }
    }

    /// Takes lines; answers to questions of other switches are left aside.
    pub fn answer(&mut self, question: &Question, answer: Result<&OutputLines, &String>) {
        let Question::Output { owner, streams, from, .. } = question else { return };
        if *owner != self.owner || *streams != self.streams {
            return;
        }
        let part = match answer {
            Ok(part) => part,
            Err(words) => {
                self.error = Some(words.clone());
                return;
            }
        };
        self.error = None;
        self.known = true;
        self.total_lines = part.total_lines;
        self.total_bytes = part.total_bytes;
        self.state = part.state.clone();
        self.started_at = part.started_at.or(self.started_at);
        let ends = (self.lines.front().map(|l| l.number), self.lines.back().map(|l| l.number));
        let jump = matches!(from, Position::Time(_) | Position::Percent(_))
            || (self.jump_target && matches!(from, Position::Line(_)));
        if let (Some(new_first), Some(new_last)) =
            (part.lines.first().map(|l| l.number), part.lines.last().map(|l| l.number))
        {
            let joins = match (self.lines.front(), self.lines.back()) {
                (Some(a), Some(b)) => new_first <= b.number + 1 && new_last + 1 >= a.number,
                _ => false,
            };
            if joins {
                while self.lines.back().is_some_and(|l| l.number >= new_first)
                    && self.lines.front().is_some_and(|l| l.number < new_first)
                {
                    // Lines behind what came are kept when they go on without a hole.
                    if self.lines.back().is_some_and(|l| l.number <= new_last) {
                        self.lines.pop_back();
                    } else {
                        break;
                    }
                }
                let have_first = self.lines.front().map(|l| l.number);
                let have_last = self.lines.back().map(|l| l.number);
                for line in part.lines.iter().rev() {
                    if have_first.is_some_and(|f| line.number < f) {
                        self.lines.push_front(line.clone());
                    }
                }
                for line in &part.lines {
                    if have_last.is_none_or(|l| line.number > l) {
                        self.lines.push_back(line.clone());
                    } else if let Some(at) = self.lines.iter_mut().find(|l| l.number == line.number) {
                        *at = line.clone();
                    }
                }
            } else {
                if *from == Position::End
                    && let Some(last) = self.lines.back()
                    && new_first > last.number + 1
                {
                    self.drawn_note = Some(new_first);
                }
                self.lines = part.lines.iter().cloned().collect();
            }
            if jump {
                self.follow = false;
                self.jump_target = false;
                let wanted = if let Position::Line(n) = from { (*n).clamp(new_first, new_last) } else { new_first };
                self.top = (wanted, 0);
            }
            self.trim();
        }
        if let (Position::Line(n), (Some(front), Some(back))) = (*from, ends)
            && (self.lines.front().map(|l| l.number), self.lines.back().map(|l| l.number)) == (Some(front), Some(back))
        {
            if n < front {
                self.floor = Some(front);
            } else {
                self.ceiling = Some(back);
            }
        }
        let first = self.lines.front().map_or(0, |l| l.number);
        for note in &part.notes {
            let words = self.notes.entry(note.before).or_default();
            if !words.contains(&note.text) {
                words.push(note.text.clone());
            }
        }
        self.notes = self.notes.split_off(&first);
    }

    fn trim(&mut self) {
        while self.lines.len() > WINDOW_MAX {
            let (Some(first), Some(last)) = (self.lines.front().map(|l| l.number), self.lines.back().map(|l| l.number))
            else {
                return;
            };
            let view = if self.follow { last } else { self.top.0.clamp(first, last) };
            if view - first > last - view {
                self.lines.pop_front();
            } else {
                self.lines.pop_back();
            }
        }
    }

    fn get(&self, number: u64) -> Option<&OutputLine> {
        let first = self.lines.front()?.number;
        self.lines.get(number.checked_sub(first)? as usize).filter(|l| l.number == number)
    }

    fn gutter(&self, width: u16) -> u16 {
        if self.times_shown(width) == Times::Off { 2 } else { 15 }
    }

    fn times_shown(&self, width: u16) -> Times {
        if width < 50 || self.narrow { Times::Off } else { self.times }
    }

    fn text_width(&self, width: u16) -> usize {
        usize::from(width.saturating_sub(self.gutter(width) + 1)).max(2)
    }

    fn rows_of(&self, line: &OutputLine, width: u16) -> Vec<ScreenRow> {
        let mut rows = Vec::new();
        for words in self.notes.get(&line.number).into_iter().flatten() {
            rows.push(ScreenRow { line: line.number, sub: rows.len(), kind: RowKind::Note(words.clone()) });
        }
        if self.drawn_note == Some(line.number) {
            let words = "not all was drawn: jumped to the end".to_owned();
            rows.push(ScreenRow { line: line.number, sub: rows.len(), kind: RowKind::Note(words) });
        }
        let plain = ansi::plain(&line.bytes);
        let parts = if self.wrap { text::wrap(&plain, self.text_width(width)) } else { vec![(0, plain.len())] };
        let n = parts.len();
        for (i, (from, to)) in parts.into_iter().enumerate() {
            let kind = RowKind::Text { from, to, first: i == 0, last: i + 1 == n };
            rows.push(ScreenRow { line: line.number, sub: rows.len(), kind });
        }
        rows
    }

    /// Rows on the screen, first to last.
    fn visible(&self, width: u16, height: usize) -> Vec<ScreenRow> {
        let mut rows: Vec<ScreenRow> = Vec::new();
        if self.follow {
            for line in self.lines.iter().rev() {
                let mut more = self.rows_of(line, width);
                more.extend(rows);
                rows = more;
                if rows.len() >= height {
                    break;
                }
            }
            let extra = rows.len().saturating_sub(height);
            rows.drain(..extra);
            return rows;
        }
        let first = self.lines.front().map_or(0, |l| l.number);
        let skip = self.top.0.saturating_sub(first) as usize;
        for line in self.lines.iter().skip(skip) {
            let from = if line.number == self.top.0 { self.top.1 } else { 0 };
            rows.extend(self.rows_of(line, width).into_iter().skip(from));
            if rows.len() >= height {
                break;
            }
        }
        rows.truncate(height);
        rows
    }

    fn content(area: Rect) -> Rect {
        Rect::new(area.x, area.y, area.width, area.height.saturating_sub(1))
    }

    /// Stops following, with the view where it is.
    pub fn let_go(&mut self, area: Rect) {
        if self.follow {
            let content = Self::content(area);
            if let Some(row) = self.visible(content.width, usize::from(content.height)).first() {
                self.top = (row.line, row.sub);
            }
            self.follow = false;
        }
    }

    /// Follows the end.
    pub fn follow(&mut self) {
        self.follow = true;
        self.selection = None;
        self.drawn_note = None;
        if self.lines.back().is_none_or(|l| l.number + 1 < self.total_lines) {
            self.known = false;
        }
    }

    /// Follow on, off.
    pub fn toggle_follow(&mut self, area: Rect) {
        if self.follow { self.let_go(area) } else { self.follow() }
    }

    /// Moves the view by rows; reaching the last row follows again.
    pub fn scroll(&mut self, by: i64, area: Rect) {
        let content = Self::content(area);
        let (width, height) = (content.width, usize::from(content.height));
        if self.lines.is_empty() || height == 0 || (self.follow && by >= 0) {
            return;
        }
        self.let_go(area);
        let mut left = by;
        while left < 0 {
            if self.top.1 > 0 {
                let step = (self.top.1 as i64).min(-left);
                self.top.1 -= step as usize;
                left += step;
            } else {
                let Some(above) = self.top.0.checked_sub(1).and_then(|n| self.get(n)) else { break };
                self.top = (above.number, self.rows_of(above, width).len());
            }
        }
        while left > 0 {
            let Some(line) = self.get(self.top.0) else { break };
            let rows = self.rows_of(line, width).len();
            if self.top.1 + 1 < rows {
                let step = ((rows - 1 - self.top.1) as i64).min(left);
                self.top.1 += step as usize;
                left -= step;
            } else if self.get(self.top.0 + 1).is_some() {
                self.top = (self.top.0 + 1, 0);
                left -= 1;
            } else {
                break;
            }
        }
        // The end of the log is in view: hold on to it again.
        let at_end = self.lines.back().is_some_and(|l| l.number + 1 >= self.total_lines);
        if by > 0 && at_end {
            let rows = self.visible(width, height + 1);
            if rows.len() <= height {
                self.follow = true;
            }
        }
    }

    /// A page is what is shown less two rows.
    pub fn page(&self, area: Rect) -> i64 {
        i64::from(Self::content(area).height).saturating_sub(2).max(1)
    }

    /// To the first line.
    pub fn first(&mut self, out: &mut Outbox) {
        self.go_line(0, out);
    }

    fn go_line(&mut self, line: u64, out: &mut Outbox) {
        self.follow = false;
        let line = line.min(self.total_lines.saturating_sub(1));
        if self.get(line).is_some() {
            self.top = (line, 0);
        } else {
            self.jump_target = true;
            out.ask(self.question(Position::Line(line)));
        }
    }

    /// Sideways, when lines are not wrapped.
    pub fn sideways(&mut self, by: i64) {
        if !self.wrap {
            self.sideways = (self.sideways as i64 + by).clamp(0, ansi::LINE_MAX_BYTES as i64) as usize;
        }
    }

    /// Wrap on, off.
    pub fn toggle_wrap(&mut self) {
        self.wrap = !self.wrap;
        self.sideways = 0;
        self.top.1 = 0;
    }

    /// Off, clock, since start, between lines.
    pub fn cycle_times(&mut self) {
        self.times = self.times.next();
    }

    /// Both, stdout, stderr; the view stays at its moment.
    pub fn cycle_streams(&mut self, env: &Env, out: &mut Outbox) {
        let at = if self.follow { None } else { self.get(self.top.0).map(|l| l.at) };
        self.streams = self.streams.next();
        self.lines.clear();
        self.notes.clear();
        (self.floor, self.ceiling) = (None, None);
        self.selection = None;
        self.total_lines = 0;
        self.asked_at = Some(env.now);
        let again = self.search.as_ref().map(|s| s.words.clone());
        if let Some(at) = at {
            self.known = true;
            out.ask(self.question(Position::Time(at)));
        } else {
            self.known = false;
        }
        if let Some(words) = again {
            self.start_search(&words, out);
        }
    }

    /// Opens the search line.
    pub fn edit_search(&mut self) {
        let old = self.search.as_ref().map(|s| s.words.clone()).unwrap_or_default();
        self.typing = Some(Typing::Search(LineEdit::new(old)));
    }

    /// Opens the jump line.
    pub fn edit_jump(&mut self) {
        self.typing = Some(Typing::Jump(LineEdit::default()));
    }

    /// Drops the innermost of typing, selection, search; `false` when there was nothing.
    pub fn drop_one(&mut self) -> bool {
        self.typing.take().is_some() || self.selection.take().is_some() || self.search.take().is_some()
    }

    /// Inserts a pasted text into the line being typed.
    pub fn paste(&mut self, words: &str) {
        if let Some(Typing::Search(edit) | Typing::Jump(edit)) = &mut self.typing {
            edit.insert(words);
        }
    }

    /// A key while a line is being typed. Gives words to say, when there is something wrong.
    pub fn key(&mut self, key: KeyEvent, env: &Env, out: &mut Outbox) -> Option<String> {
        match key.code {
            KeyCode::Esc => self.typing = None,
            KeyCode::Enter => match self.typing.take() {
                Some(Typing::Search(edit)) => {
                    let words = edit.text().to_owned();
                    if words.is_empty() {
                        self.search = None;
                    } else if let Some(why) = self.start_search(&words, out) {
                        self.typing = Some(Typing::Search(edit));
                        return Some(format!("Cannot search for {words:?}: {why}"));
                    }
                }
                Some(Typing::Jump(edit)) => {
                    if let Err(why) = self.jump(edit.text(), env, out) {
                        self.typing = Some(Typing::Jump(edit));
                        return Some(why);
                    }
                }
                None => {}
            },
            _ => {
                if let Some(Typing::Search(edit) | Typing::Jump(edit)) = &mut self.typing {
                    edit.key(key);
                }
            }
        }
        None
    }

    fn start_search(&mut self, words: &str, out: &mut Outbox) -> Option<String> {
        match smart_case(words) {
            Err(why) => Some(why),
            Ok((pattern, regex)) => {
                let hits = Vec::new();
                self.search = Some(Search {
                    words: words.to_owned(),
                    regex,
                    hits,
                    total: 0,
                    percent: 0,
                    current: None,
                    wrapped: false,
                });
                out.ask(Question::Search { owner: self.owner, streams: self.streams, pattern, limit: HITS_MAX });
                None
            }
        }
    }

    /// Takes what a search found and goes to the first match at or behind the view.
    pub fn found(&mut self, question: &Question, hits: &SearchHits, out: &mut Outbox, area: Rect) {
        let Question::Search { owner, streams, pattern, .. } = question else { return };
        let here = self.line_in_view(area);
        let Some(search) = &mut self.search else { return };
        let same = smart_case(&search.words).is_ok_and(|(p, _)| p == *pattern);
        if *owner != self.owner || *streams != self.streams || !same {
            return;
        }
        search.hits.clone_from(&hits.lines);
        search.total = hits.total;
        search.percent = hits.percent;
        if search.current.is_none() {
            let first = search.hits.iter().copied().find(|n| *n >= here).or(search.hits.last().copied());
            if let Some(line) = first {
                search.current = Some(line);
                self.show_line(line, out, area);
            }
        }
    }

    fn line_in_view(&self, area: Rect) -> u64 {
        let content = Self::content(area);
        self.visible(content.width, usize::from(content.height)).first().map_or(0, |r| r.line)
    }

    fn show_line(&mut self, line: u64, out: &mut Outbox, area: Rect) {
        let content = Self::content(area);
        let shown = self.visible(content.width, usize::from(content.height)).iter().any(|r| r.line == line);
        self.let_go(area);
        if !shown {
            self.go_line(line, out);
            // A third of the page above the match tells what led to it.
            self.scroll_up_only(i64::from(content.height / 3), area);
        }
    }

    fn scroll_up_only(&mut self, by: i64, area: Rect) {
        if !self.jump_target {
            self.scroll(-by, area);
        }
    }

    /// Next or previous matching line; wraps round.
    pub fn next_hit(&mut self, back: bool, out: &mut Outbox, area: Rect) {
        let here = self.line_in_view(area);
        let Some(search) = &mut self.search else { return };
        if search.hits.is_empty() {
            return;
        }
        let from = search.current.unwrap_or(here);
        let next = if back {
            search.hits.iter().rev().copied().find(|n| *n < from)
        } else {
            search.hits.iter().copied().find(|n| *n > from)
        };
        search.wrapped = next.is_none();
        let line = next.unwrap_or(if back { search.hits[search.hits.len() - 1] } else { search.hits[0] });
        search.current = Some(line);
        self.show_line(line, out, area);
    }

    fn jump(&mut self, words: &str, env: &Env, out: &mut Outbox) -> Result<(), String> {
        let words = words.trim();
        let wrong = || format!("{words:?} is no place; write 12:04, +90s, line 500 or 40 %");
        if let Some(n) = words.strip_prefix("line").or_else(|| words.strip_prefix('#')) {
            let n: u64 = n.trim().replace(',', "").parse().map_err(|_| wrong())?;
            self.go_line(n.saturating_sub(1), out);
        } else if let Some(n) = words.strip_suffix('%') {
            let n: u8 = n.trim().parse().ok().filter(|n| *n <= 100).ok_or_else(wrong)?;
            self.follow = false;
            out.ask(self.question(Position::Percent(n)));
        } else if let Some(after) = words.strip_prefix('+') {
            let ms = wharf_model::filter::duration_ms(after).ok_or_else(wrong)?;
            let start =
                self.started_at.or_else(|| self.lines.front().map(|l| l.at)).ok_or("nothing has been printed yet")?;
            self.follow = false;
            out.ask(self.question(Position::Time(start.plus(ms))));
        } else {
            let filter = wharf_model::filter::Filter::parse(&format!("since:{words}")).map_err(|_| wrong())?;
            let Some(wharf_model::filter::Test::Since(when)) = filter.terms.first().map(|t| &t.test) else {
                return Err(wrong());
            };
            let east = if env.zone.utc { 0 } else { env.zone.east_seconds };
            // A clock time means the day on which this was printed.
            let base = self.started_at.or_else(|| self.lines.front().map(|l| l.at)).unwrap_or(env.now);
            let at = match when {
                wharf_model::filter::When::Clock(_) => when.resolve(base, east),
                _ => when.resolve(env.now, east),
            };
            self.follow = false;
            out.ask(self.question(Position::Time(at)));
        }
        Ok(())
    }

    /// Begins, continues or ends a selection with the mouse. Gives the text when it has ended.
    pub fn drag(&mut self, column: u16, row: u16, phase: Drag, area: Rect) -> Option<String> {
        match phase {
            Drag::Begin => {
                self.selection = None;
                self.dragging = Self::content(area).contains((column, row).into());
                if self.dragging
                    && let Some(spot) = self.spot(column, row, area)
                {
                    self.let_go(area);
                    self.selection = Some((spot, spot));
                }
                None
            }
            Drag::Move if self.dragging => {
                if row < area.y {
                    self.scroll(-1, area);
                } else if row >= Self::content(area).bottom() {
                    self.scroll(1, area);
                }
                let content = Self::content(area);
                let row = row.clamp(content.y, content.bottom().saturating_sub(1).max(content.y));
                if let (Some(spot), Some((_, head))) = (self.spot(column, row, area), self.selection.as_mut()) {
                    *head = spot;
                }
                None
            }
            Drag::End if std::mem::take(&mut self.dragging) => {
                let moved = self.selection.is_some_and(|(a, b)| a != b);
                if !moved {
                    self.selection = None;
                }
                self.selected_text()
            }
            _ => None,
        }
    }

    fn spot(&self, column: u16, row: u16, area: Rect) -> Option<Spot> {
        let content = Self::content(area);
        let rows = self.visible(content.width, usize::from(content.height));
        let at = rows.get(usize::from(row.checked_sub(content.y)?))?;
        let RowKind::Text { from, to, .. } = at.kind else { return Some((at.line, 0)) };
        let plain = ansi::plain(&self.get(at.line)?.bytes);
        let cells = usize::from(column.saturating_sub(content.x + self.gutter(content.width))) + self.sideways;
        Some((at.line, from + text::head(plain.get(from..to)?, cells).len()))
    }

    /// The selected text: no gutter, no times, no breaks of our own.
    pub fn selected_text(&self) -> Option<String> {
        let (a, b) = self.selection?;
        let (from, to) = if a <= b { (a, b) } else { (b, a) };
        let mut out = String::new();
        for line in self.lines.iter().filter(|l| (from.0..=to.0).contains(&l.number)) {
            let plain = ansi::plain(&line.bytes);
            let start = if line.number == from.0 { from.1.min(plain.len()) } else { 0 };
            let end = if line.number == to.0 { to.1.min(plain.len()) } else { plain.len() };
            if line.number > from.0 {
                out.push('\n');
            }
            out.push_str(plain.get(start..end).unwrap_or_default());
        }
        (!out.is_empty()).then_some(out)
    }

    /// What the title rule says at its right.
    pub fn state_words(&self, env: &Env, silent: Option<i64>) -> (String, Ink) {
        match &self.state {
            _ if !self.known => ("reading".to_owned(), Ink::Dim),
            OutputState::Reading => ("reading".to_owned(), Ink::Dim),
            OutputState::Live => match silent {
                Some(ms) if ms > 60_000 => (format!("silent {}", format::duration(ms)), Ink::Warn),
                _ => ("live".to_owned(), Ink::Ok),
            },
            OutputState::Ended { at, .. } => (format!("ended {}", format::moment(*at, env.now, env.zone)), Ink::Dim),
            OutputState::Lost => ("lost".to_owned(), Ink::Bad),
            OutputState::Behind(bytes) => (format!("behind {}", format::size(*bytes)), Ink::Info),
        }
    }

    fn right_words(&self, env: &Env, area: Rect) -> String {
        if let Some(search) = &self.search {
            let at = search.current.and_then(|c| search.hits.iter().position(|n| *n == c));
            let tail = if search.percent < 100 {
                format!(" · searching {} %", search.percent)
            } else if search.wrapped {
                " · wrapped round".to_owned()
            } else {
                String::new()
            };
            return match at {
                Some(i) => format!(
                    "/{} · {} of {}{tail}",
                    search.words,
                    format::count(i as u64 + 1),
                    format::count(search.total)
                ),
                None if search.percent < 100 => format!("/{}{tail}", search.words),
                None => format!("/{} · no match", search.words),
            };
        }
        if !self.known {
            return "not following".to_owned();
        }
        match &self.state {
            OutputState::Ended { at, how } if self.follow => {
                format!("ended {}, {how}", format::moment(*at, env.now, env.zone))
            }
            OutputState::Lost if self.follow => "ended, lost".to_owned(),
            _ if self.follow => "▼ following".to_owned(),
            _ => {
                let content = Self::content(area);
                let rows = self.visible(content.width, usize::from(content.height));
                let last = rows.last().and_then(|r| self.get(r.line));
                let below = last.map_or(0, |l| self.total_lines.saturating_sub(l.number + 1));
                let at = last.map_or_else(String::new, |l| format!(" at {}", format::clock(l.at, env.zone)));
                format!("stopped{at} · {} lines below · G follows", format::count(below))
            }
        }
    }

    /// Draws content and state row.
    pub fn view(&self, env: &Env, canvas: &mut Canvas<'_>, area: Rect) {
        let content = Self::content(area);
        if area.height == 0 || area.width < 6 {
            return;
        }
        if let Some(words) = &self.error {
            let bad = canvas.ink(Ink::Bad);
            let room = usize::from(area.width.saturating_sub(2));
            for (i, (from, to)) in
                text::wrap(&format!("✗ {words}"), room).into_iter().enumerate().take(usize::from(content.height))
            {
                let line = format!("✗ {words}");
                canvas.put(area.x + 1, area.y + i as u16, area.width - 1, &line[from..to], bad);
            }
        } else if !self.known {
            let age = self.asked_at.map_or(0, |at| at.until(env.now));
            if age >= 100 {
                let dim = canvas.ink(Ink::Dim);
                canvas.put(
                    area.x + 1,
                    area.y,
                    area.width - 1,
                    &format!("reading… {}.{}s", age / 1000, age % 1000 / 100),
                    dim,
                );
            }
        } else if self.lines.is_empty() {
            let dim = canvas.ink(Ink::Dim);
            let words = match self.state {
                OutputState::Live => "Nothing has been printed yet.",
                _ => "Nothing was printed.",
            };
            canvas.put(area.x + 1, area.y, area.width - 1, words, dim);
        } else {
            self.view_rows(env, canvas, content);
        }
        self.view_state_row(env, canvas, area);
    }

    fn view_rows(&self, env: &Env, canvas: &mut Canvas<'_>, content: Rect) {
        let gutter = self.gutter(content.width);
        let times = self.times_shown(content.width);
        let mut parsed: Option<(u64, Printed)> = None;
        for (i, row) in self.visible(content.width, usize::from(content.height)).iter().enumerate() {
            let y = content.y + i as u16;
            let (from, to, first, last) = match &row.kind {
                RowKind::Note(words) => {
                    let dim = canvas.ink(Ink::Dim);
                    let width = usize::from(content.width.saturating_sub(2));
                    let head = text::cut_end(words, width.saturating_sub(8)).into_owned();
                    let used = text::width(&head) + 6;
                    let line = format!("──── {head} {}", "─".repeat(width.saturating_sub(used)));
                    canvas.put(content.x + 1, y, width as u16, &line, dim);
                    continue;
                }
                RowKind::Text { from, to, first, last } => (*from, *to, *first, *last),
            };
            let Some(line) = self.get(row.line) else { continue };
            if parsed.as_ref().is_none_or(|(n, _)| *n != row.line) {
                parsed = Some((row.line, ansi::printed(&line.bytes)));
            }
            let Some((_, printed)) = &parsed else { continue };
            if first && times != Times::Off {
                let words = match times {
                    Times::SinceStart => {
                        let start = self.started_at.unwrap_or(line.at);
                        format::since_start(start.until(line.at))
                    }
                    Times::Between => {
                        let before = row.line.checked_sub(1).and_then(|n| self.get(n)).map_or(line.at, |l| l.at);
                        format::since_start(before.until(line.at))
                    }
                    _ => format::clock_millis(line.at, env.zone),
                };
                let dim = canvas.ink(Ink::Dim);
                canvas.put(content.x + 1, y, 12, &words, dim);
            }
            let (mark, ink) = match line.stream {
                Stream::Stdout => ("▏", Ink::GutterOut),
                Stream::Stderr => ("▌", Ink::GutterErr),
            };
            let style = canvas.ink(ink);
            canvas.put(content.x + gutter - 1, y, 1, mark, style);
            let end = content.right().saturating_sub(1);
            let cut = line.cut && last;
            self.view_text(canvas, (content.x + gutter, y, end), row.line, printed, (from, to), cut);
        }
    }

    fn view_text(
        &self,
        canvas: &mut Canvas<'_>,
        (mut x, y, end): (u16, u16, u16),
        number: u64,
        printed: &Printed,
        (from, to): (usize, usize),
        cut: bool,
    ) {
        let base = canvas.ink(Ink::Text);
        let matches: Vec<(usize, usize)> = match &self.search {
            Some(s) => s
                .regex
                .find_iter(&printed.text)
                .filter(|m| !m.is_empty())
                .take(200)
                .map(|m| (m.start(), m.end()))
                .collect(),
            None => Vec::new(),
        };
        let current = self.search.as_ref().is_some_and(|s| s.current == Some(number));
        let selected = self.selection.map(|(a, b)| if a <= b { (a, b) } else { (b, a) });
        let part = printed.text.get(from..to).unwrap_or_default();
        let part = if self.sideways > 0 { &part[text::head(part, self.sideways).len()..] } else { part };
        let offset = to.saturating_sub(part.len());
        for (at, grapheme) in part.grapheme_indices(true) {
            if x >= end {
                break;
            }
            let byte = offset + at;
            let mut style = base.patch(printed.style_at(byte));
            if matches.iter().any(|(a, b)| (*a..*b).contains(&byte)) {
                style = style.patch(canvas.theme.ground(if current { Ground::MatchCurrent } else { Ground::Match }));
            }
            if selected.is_some_and(|(a, b)| (number, byte) >= a && (number, byte) < b) {
                style = style.patch(canvas.theme.ground(Ground::Selection)).remove_modifier(Modifier::UNDERLINED);
            }
            x = canvas.put_raw(x, y, end - x, grapheme, style);
        }
        if cut && x < end {
            let style: Style = canvas.ink(Ink::Dim);
            canvas.put(x, y, end - x, "… line goes on", style);
        }
    }

    fn view_state_row(&self, env: &Env, canvas: &mut Canvas<'_>, area: Rect) {
        let y = area.bottom() - 1;
        let dim = canvas.ink(Ink::Dim);
        if let Some(Typing::Search(edit) | Typing::Jump(edit)) = &self.typing {
            let sign = if matches!(self.typing, Some(Typing::Search(_))) { "/" } else { "Jump to" };
            let room = usize::from(area.width).saturating_sub(sign.len() + 4);
            let accent = canvas.bold(Ink::Accent);
            let x = canvas.put(area.x + 1, y, area.width - 1, sign, accent);
            let style = canvas.ink(Ink::Text);
            canvas.put(x + 1, y, room as u16, &edit.shown(room), style);
            return;
        }
        let wrap = if self.wrap { "wrap" } else { "no wrap" };
        let size = if self.known {
            format!("{} lines · {}", format::count(self.total_lines), format::size(self.total_bytes))
        } else {
            "size not known yet".to_owned()
        };
        let streams = if self.known { self.streams.word() } else { "–" };
        let left = format!("{streams} · {wrap} · {} · {size}", self.times_shown(area.width).word());
        let right = self.right_words(env, area);
        let room = usize::from(area.width.saturating_sub(2));
        let right = text::cut_end(&right, room).into_owned();
        let space = room.saturating_sub(text::width(&right) + 1);
        let left = text::cut_end(&left, space).into_owned();
        canvas.put(area.x + 1, y, area.width - 1, &left, dim);
        canvas.put_right(area.right() - 1, y, room as u16, &right, dim);
    }
}

/// Phase of a drag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drag {
    /// The button went down.
    Begin,
    /// It moves.
    Move,
    /// It went up.
    End,
}
