//! What a child printed: follow, wrap, times, streams, search, jump, selection.
//!
//! The pane keeps a window of lines around the view and asks for more at its edges; the log itself
//! stays where it is. The view is bound to a line, so new output, wrap and resize do not move it.

use std::collections::{BTreeMap, VecDeque};

use ratatui::layout::Rect;
use regex::Regex;
use wharf_model::UnixMillis;

use crate::ansi::{self};
use crate::effect::{Owner, Position, Question, Streams};
use crate::env::{Env, Outbox};
use crate::input::LineEdit;
use crate::rows::*;
use crate::text;

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
    /// Which start of the owner the lines are of.
    generation: u32,
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
            generation: 0,
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
        if part.generation < self.generation {
            // Asked for before it was started again.
            return;
        }
        if self.known && part.generation > self.generation {
            self.begin_anew();
            if *from != Position::End {
                // A place in the log of before; the end of the new one is asked for instead.
                self.generation = part.generation;
                self.known = false;
                return;
            }
        }
        self.generation = part.generation;
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

    /// Forgets the lines of an earlier start: their numbers mean nothing in the new log.
    fn begin_anew(&mut self) {
        self.lines.clear();
        self.notes.clear();
        self.started_at = None;
        self.top = (0, 0);
        (self.floor, self.ceiling, self.drawn_note) = (None, None, None);
        self.selection = None;
        self.dragging = false;
        self.jump_target = false;
        self.follow = true;
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
        if self.follow
            && self.lines.front().is_some_and(|l| l.number == 0)
            && self.visible(width, height + 1).len() <= height
        {
            // All of it is in view: there is nowhere to go.
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

mod search;
#[cfg(test)]
mod tests;
mod view;

pub use search::smart_case;
pub use view::live_words;
