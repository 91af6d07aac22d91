//! What a child printed: follow, wrap, times, streams, search, jump, selection.
//!
//! The pane keeps a window of lines around the view and asks for more at its edges; the log itself
//! stays where it is. The view is bound to a line, so new output, wrap and resize do not move it.

use std::collections::{BTreeMap, VecDeque};

use ratatui::layout::Rect;
use regex::Regex;
use wharf_model::UnixMillis;

use crate::ansi::{self};
use crate::effect::{LinePlace, Owner, Position, Question, Streams};
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

/// A place in the text of the log: a line, byte within its plain text.
pub type Spot = (LinePlace, usize);

#[derive(Debug, Clone)]
struct Search {
    words: String,
    regex: Regex,
    hits: Vec<LinePlace>,
    total: u64,
    percent: u8,
    current: Option<LinePlace>,
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
    line: LinePlace,
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
    notes: BTreeMap<LinePlace, Vec<String>>,
    /// Lines of the log stand before, or behind, those kept here.
    above: bool,
    below: bool,
    counted: Counted,
    /// Counting failed: not asked again by itself.
    uncounted: bool,
    total_bytes: u64,
    state: OutputState,
    started_at: Option<UnixMillis>,
    /// Which start of the owner the lines are of.
    generation: u32,
    /// First row shown, when not following.
    top: (LinePlace, usize),
    sideways: usize,
    known: bool,
    error: Option<String>,
    asked_at: Option<UnixMillis>,
    search: Option<Search>,
    typing: Option<Typing>,
    selection: Option<(Spot, Spot)>,
    dragging: bool,
    /// A line that is to be shown once it comes.
    jump_to: Option<LinePlace>,
    /// A line that is to be shown once lines are counted as far as that.
    jump_number: Option<u64>,
    drawn_note: Option<LinePlace>,
    /// Lines before this one, or behind that one, were asked for and did not come: not asked again by itself.
    floor: Option<LinePlace>,
    ceiling: Option<LinePlace>,
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
            above: false,
            below: false,
            counted: Counted::default(),
            uncounted: false,
            total_bytes: 0,
            state: OutputState::Reading,
            started_at: None,
            generation: 0,
            top: (LinePlace::default(), 0),
            sideways: 0,
            known: false,
            error: None,
            asked_at: None,
            search: None,
            typing: None,
            selection: None,
            dragging: false,
            jump_to: None,
            jump_number: None,
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

    /// First line shown, for `$PAGER`; none at the end.
    pub fn place(&self) -> Option<LinePlace> {
        (!self.follow).then_some(self.top.0)
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
        if let Some(number) = self.jump_number {
            out.ask_once(self.question(Position::Line(number)));
        }
        let (Some(first), Some(last)) = (self.lines.front(), self.lines.back()) else { return };
        if self.counted.percent < 100 && !self.uncounted {
            out.ask_once(Question::Count { owner: self.owner, streams: self.streams, at: first.place });
        }
        let rows = usize::from(area.height).max(20);
        let view = if self.follow { self.lines.len() - 1 } else { self.first_at_or_behind(self.top.0) };
        if self.above && self.floor != Some(first.place) && view < 2 * rows {
            out.ask_once(self.question(Position::Before(first.place)));
        }
        if self.below && self.ceiling != Some(last.place) {
            let behind = self.lines_below(self.lines.len() - 1);
            if self.follow && behind.is_none_or(|n| n > u64::from(CHUNK) * 4) {
                out.ask_once(self.question(Position::End));
            } else if self.follow || self.lines.len() - 1 - view.min(self.lines.len() - 1) < 2 * rows {
                out.ask_once(self.question(Position::From(last.place)));
            }
        }
    }

    /// The log has grown.
    pub fn grew(&mut self, out: &mut Outbox) {
        self.ceiling = None;
        match self.lines.back() {
            Some(last) => out.ask(self.question(Position::From(last.place))),
            None => out.ask(self.question(Position::End)),
        }
    }

    /// Lines of the log behind the one at this index, when they are counted.
    fn lines_below(&self, index: usize) -> Option<u64> {
        let number = self.lines.get(index)?.number?;
        (self.counted.percent == 100).then(|| self.counted.lines.saturating_sub(number + 1))
    }

    fn index_of(&self, place: LinePlace) -> Option<usize> {
        self.lines.binary_search_by_key(&place, |l| l.place).ok()
    }

    fn first_at_or_behind(&self, place: LinePlace) -> usize {
        self.lines.partition_point(|l| l.place < place)
    }

    fn get(&self, place: LinePlace) -> Option<&OutputLine> {
        self.lines.get(self.index_of(place)?)
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
        for words in self.notes.get(&line.place).into_iter().flatten() {
            rows.push(ScreenRow { line: line.place, sub: rows.len(), kind: RowKind::Note(words.clone()) });
        }
        if self.drawn_note == Some(line.place) {
            let words = "not all was drawn: jumped to the end".to_owned();
            rows.push(ScreenRow { line: line.place, sub: rows.len(), kind: RowKind::Note(words) });
        }
        let plain = ansi::plain(&line.bytes);
        let parts = if self.wrap { text::wrap(&plain, self.text_width(width)) } else { vec![(0, plain.len())] };
        let n = parts.len();
        for (i, (from, to)) in parts.into_iter().enumerate() {
            let kind = RowKind::Text { from, to, first: i == 0, last: i + 1 == n };
            rows.push(ScreenRow { line: line.place, sub: rows.len(), kind });
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
        for line in self.lines.iter().skip(self.first_at_or_behind(self.top.0)) {
            let from = if line.place == self.top.0 { self.top.1 } else { 0 };
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
        (self.jump_to, self.jump_number) = (None, None);
        if self.below || self.lines.is_empty() {
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
                let before = self.first_at_or_behind(self.top.0).checked_sub(1);
                let Some(above) = before.and_then(|i| self.lines.get(i)) else { break };
                self.top = (above.place, self.rows_of(above, width).len());
            }
        }
        while left > 0 {
            let Some(index) = self.index_of(self.top.0) else { break };
            let Some(line) = self.lines.get(index) else { break };
            let rows = self.rows_of(line, width).len();
            if self.top.1 + 1 < rows {
                let step = ((rows - 1 - self.top.1) as i64).min(left);
                self.top.1 += step as usize;
                left -= step;
            } else if let Some(next) = self.lines.get(index + 1) {
                self.top = (next.place, 0);
                left -= 1;
            } else {
                break;
            }
        }
        // The end of the log is in view: hold on to it again.
        if by > 0 && !self.below {
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
        self.follow = false;
        (self.jump_to, self.jump_number) = (None, None);
        match self.lines.front().filter(|_| !self.above) {
            Some(first) => self.top = (first.place, 0),
            None => out.ask(self.question(Position::Start)),
        }
    }

    /// To the line at a place.
    fn go_to(&mut self, place: LinePlace, out: &mut Outbox) {
        self.follow = false;
        self.jump_number = None;
        if self.get(place).is_some() {
            self.jump_to = None;
            self.top = (place, 0);
        } else {
            self.jump_to = Some(place);
            out.ask(self.question(Position::From(place)));
        }
    }

    /// To the line of a number, at once when it is here, else when lines are counted so far.
    fn go_line(&mut self, number: u64, out: &mut Outbox) {
        self.follow = false;
        self.jump_to = None;
        let index = self.lines.front().and_then(|l| l.number).and_then(|first| number.checked_sub(first));
        if let Some(line) = index.and_then(|i| self.lines.get(usize::try_from(i).unwrap_or(usize::MAX))) {
            self.jump_number = None;
            self.top = (line.place, 0);
        } else {
            self.jump_number = Some(number);
            out.ask(self.question(Position::Line(number)));
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
        (self.counted, self.uncounted) = (Counted::default(), false);
        (self.jump_to, self.jump_number) = (None, None);
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
        for line in self.lines.iter().filter(|l| (from.0..=to.0).contains(&l.place)) {
            let plain = ansi::plain(&line.bytes);
            let start = if line.place == from.0 { from.1.min(plain.len()) } else { 0 };
            let end = if line.place == to.0 { to.1.min(plain.len()) } else { plain.len() };
            if line.place > from.0 {
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
mod take;
#[cfg(test)]
mod tests;
mod view;

pub use search::smart_case;
