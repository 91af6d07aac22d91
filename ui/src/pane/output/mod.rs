//! What a child printed: follow, wrap, times, streams, search, jump, selection.
//!
//! The pane keeps a window of lines around the view and asks for more at its edges; the log itself
//! stays where it is. The view is bound to a line, so new output, wrap and resize do not move it.

use std::collections::{BTreeMap, VecDeque};

use ratatui::layout::Rect;
use regex::Regex;
use wharf_model::UnixMillis;

use crate::ansi;
use crate::effect::{LinePlace, Owner, Position, Question, Streams};
use crate::input::LineEdit;
use crate::rows::*;
use crate::text;

/// Lines asked for at once.
const CHUNK: u32 = 600;
/// Lines kept around the view.
const WINDOW_MAX: usize = 6000;
/// Bytes of them: long lines leave room for fewer.
const WINDOW_BYTES_MAX: usize = 8 << 20;
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
    /// The child wrote to a terminal.
    terminal: bool,
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
            terminal: false,
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
}

mod motion;
mod search;
mod select;
mod take;
#[cfg(test)]
mod tests;
mod view;
mod window;

pub use search::smart_case;
pub use select::Drag;
pub use view::live_words;
