//! What screens of a list with one detail pane share: focus, tabs, facts, a stream, the mouse.
//!
//! A screen says what its rows, tabs and facts are ([`Browse`]); everything a key or a click does then
//! follows from here, the same on each of them.

use crossterm::event::{KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use super::listing::{AskPage, Listing};
use super::streams::{self, Streams};
use super::{FocusMove, Motion, Mouse, Screen, ScreenId, Spot};
use crate::command::Place;
use crate::draw::Canvas;
use crate::effect::{Owner, Question};
use crate::env::{Env, Outbox};
use crate::layout::Split;
use crate::msg::{Answer, Tone};
use crate::pane::facts;
use crate::pane::output::{Drag, OutputPane};
use crate::pane::table::{Column, Row};
use crate::rows::{Fact, FactBlock};
use crate::text;
use crate::theme::Ink;

/// One row of what an empty list teaches: a key, words, what they do.
pub type Teaching = (&'static str, &'static str, &'static str);

/// State that every such screen has.
#[derive(Debug, Clone)]
pub struct Base<R> {
    /// Rows.
    pub list: Listing<R>,
    /// The tab shown.
    pub tab: usize,
    /// Streams of the entities seen.
    pub streams: Streams,
    /// First row of facts shown.
    pub scroll: usize,
    /// The entity that `scroll` belongs to.
    of: Option<i64>,
    clicked: Option<i64>,
}

impl<R: Row> Base<R> {
    /// Nothing known yet.
    pub fn new(title: &'static str, beside: bool, ask: AskPage) -> Self {
        Self {
            list: Listing::new(title, beside, ask),
            tab: 0,
            streams: Streams::default(),
            scroll: 0,
            of: None,
            clicked: None,
        }
    }

    /// With words between live and ended rows.
    #[must_use]
    pub fn ended(mut self, title: &'static str) -> Self {
        self.list.table.ended_title = title;
        self
    }

    /// Shows a tab and gives it the focus.
    pub fn show_tab(&mut self, tab: usize) {
        self.tab = tab;
        self.scroll = 0;
        self.list.focus(FocusMove::Detail);
    }
}

/// What is particular to a screen.
pub trait Browse {
    /// A row of its list.
    type Line: Row;
    /// Which one it is.
    const ID: ScreenId;
    /// Places of the list, the nearest first.
    const LIST: &'static [Place];
    /// The screen's own place, in any pane.
    const OWN: Place;
    /// Names of the tabs; none when there is one content only.
    const TABS: &'static [&'static str];

    /// The common state.
    fn base(&self) -> &Base<Self::Line>;
    /// The common state, to act on.
    fn base_mut(&mut self) -> &mut Base<Self::Line>;
    /// Takes rows that answer a question of its own.
    fn take(&mut self, question: &Question, answer: &Result<Answer, String>);
    /// Columns of the list in this frame.
    fn columns(&self, env: &Env, split: &Split) -> Vec<Column<Self::Line>>;
    /// Name of a row: `L-88`.
    fn name(line: &Self::Line) -> String;
    /// Title of the detail, and what stands at the right of its rule.
    fn title(&self, line: &Self::Line, env: &Env) -> (String, String, Ink);
    /// Facts of the tab shown.
    fn blocks(&self, line: &Self::Line, env: &Env) -> Vec<FactBlock>;
    /// The stream that the tab shows.
    fn stream_owner(&self) -> Option<Owner> {
        None
    }
    /// Where the stream is inside the content.
    fn stream_area(&self, content: Rect) -> Rect {
        content
    }
    /// Whether keys go to the stream when the detail has the focus.
    fn stream_focused(&self) -> bool {
        self.stream_owner().is_some()
    }
    /// A further place that is active in the detail.
    fn detail_place(&self) -> Option<Place> {
        None
    }
    /// Asks for more than the list when it has become visible.
    fn want(&mut self, env: &Env, out: &mut Outbox) {
        let _ = (env, out);
    }
    /// Asks again for more than the list.
    fn want_again(&self, out: &mut Outbox) {
        let _ = out;
    }
    /// A motion in the detail that is not one of facts or stream; `false` leaves it to those.
    fn moved(&mut self, motion: Motion) -> bool {
        let _ = motion;
        false
    }
    /// A motion in the list, after it was done.
    fn list_moved(&mut self, motion: Motion) {
        let _ = motion;
    }
    /// A movement of the focus that stays inside the detail; `false` leaves it to the list.
    fn focused(&mut self, to: FocusMove) -> bool {
        let _ = to;
        false
    }
    /// Draws what lies above the stream in the content.
    fn view_above(&self, env: &Env, canvas: &mut Canvas<'_>, content: Rect) {
        let _ = (env, canvas, content);
    }
    /// Known values of a field, for completion.
    fn values(&self, field: &str) -> Vec<String> {
        let _ = field;
        Vec::new()
    }
    /// What an empty list teaches.
    fn teaching() -> &'static [Teaching];
    /// Names of another screen's things that belong to the selected one.
    fn belongs(&self, to: ScreenId) -> Vec<String> {
        let _ = to;
        Vec::new()
    }
    /// Where a shell opens.
    fn shell(&self) -> Option<Owner> {
        None
    }

    /// The row under the cursor.
    fn selected(&self) -> Option<&Self::Line> {
        self.base().list.table.selected()
    }

    /// Marked rows, else the one under the cursor.
    fn chosen(&self) -> Vec<&Self::Line> {
        let table = &self.base().list.table;
        if table.marks.is_empty() {
            return table.selected().into_iter().collect();
        }
        table.rows().iter().filter(|r| table.marks.contains(&r.number())).collect()
    }

    /// Area of the tab's content: below title rule and tabs.
    fn content(&self, env: &Env) -> Rect {
        let pane = self.base().list.layout(env).pane;
        let above = if Self::TABS.is_empty() { 1 } else { 2 };
        Rect::new(pane.x, pane.y + pane.height.min(above), pane.width, pane.height.saturating_sub(above))
    }
}

/// Spans of a tab row: tab, first column, column behind it.
fn tab_spans(tabs: &[&'static str], pane: Rect) -> Vec<(usize, u16, u16)> {
    let mut x = pane.x;
    tabs.iter()
        .enumerate()
        .map(|(i, title)| {
            let width = title.len() as u16 + 2;
            let span = (i, x, x + width);
            x += width;
            span
        })
        .collect()
}

fn view_pane<B: Browse>(screen: &B, env: &Env, canvas: &mut Canvas<'_>) {
    let base = screen.base();
    let split = base.list.layout(env);
    let area = split.pane;
    if area.is_empty() {
        return;
    }
    if let Some(x) = split.line {
        let rule = canvas.ink(Ink::Rule);
        for y in area.y + 1..area.bottom() {
            canvas.put(x, y, 1, "│", rule);
        }
    }
    let head = Rect { height: 1, ..area };
    let Some(line) = screen.selected() else {
        canvas.title_rule(head, "Nothing selected", &[], base.list.detail);
        return;
    };
    let (title, right, ink) = screen.title(line, env);
    let right: Vec<(&str, Ink)> = if right.is_empty() { Vec::new() } else { vec![(&right, ink)] };
    canvas.title_rule(head, &title, &right, base.list.detail);
    if !B::TABS.is_empty() && area.height > 2 {
        for (i, x, end) in tab_spans(B::TABS, area) {
            if end > area.right() {
                break;
            }
            let on = i == base.tab;
            let style = if on { canvas.bold(Ink::Text) } else { canvas.ink(Ink::Dim) };
            let words = if on { format!("[{}]", B::TABS[i]) } else { format!(" {} ", B::TABS[i]) };
            canvas.put(x, area.y + 1, end - x, &words, style);
        }
    }
    let content = screen.content(env);
    if content.is_empty() {
        return;
    }
    screen.view_above(env, canvas, content);
    match screen.stream_owner() {
        Some(owner) => {
            let area = screen.stream_area(content);
            if let Some(pane) = base.streams.shown(owner)
                && !area.is_empty()
            {
                pane.view(env, canvas, area);
            }
        }
        None => facts::view(canvas, content, &screen.blocks(line, env), base.scroll),
    }
}

fn teach(rows: &[Teaching], canvas: &mut Canvas<'_>, area: Rect) {
    let indent = if area.width >= 78 && area.height >= 30 { 8 } else { 6 };
    let top = area.y + if area.height >= 30 { 10 } else { 3.min(area.height / 4) };
    let (words_ink, dim, key) = (canvas.ink(Ink::Text), canvas.ink(Ink::Dim), canvas.bold(Ink::Accent));
    let room = area.width.saturating_sub(indent);
    for (i, (letter, words, rest)) in rows.iter().enumerate() {
        let y = top + i as u16;
        if y >= area.bottom() {
            return;
        }
        let x = area.x + indent;
        let mut at = if letter.is_empty() { x } else { canvas.put(x, y, room, letter, key) + 3 };
        at = canvas.put(at, y, area.right().saturating_sub(at), words, words_ink);
        canvas.put(at, y, area.right().saturating_sub(at), rest, dim);
    }
}

impl<B: Browse> Screen for B {
    fn places(&self, _env: &Env) -> Vec<Place> {
        if !self.base().list.detail {
            return B::LIST.to_vec();
        }
        let mut places: Vec<Place> = self.detail_place().into_iter().collect();
        if self.stream_focused() {
            places.push(Place::Stream);
        }
        places.extend([Place::Text, B::OWN]);
        places
    }

    fn refresh(&mut self, _env: &Env, out: &mut Outbox) {
        self.base().list.refresh(out);
        self.want_again(out);
    }

    fn answer(&mut self, question: &Question, answer: &Result<Answer, String>, env: &Env, out: &mut Outbox) {
        self.take(question, answer);
        let area = self.stream_area(self.content(env));
        self.base_mut().streams.answer(question, answer, out, area);
    }

    fn settle(&mut self, env: &Env, out: &mut Outbox) {
        self.base_mut().list.settle(env, out);
        let number = self.selected().map(Row::number);
        if self.base().of != number {
            self.base_mut().of = number;
            self.base_mut().scroll = 0;
        }
        let content = self.content(env);
        if content.is_empty() || number.is_none() {
            return;
        }
        self.want(env, out);
        if let Some(owner) = self.stream_owner() {
            let area = self.stream_area(content);
            self.base_mut().streams.choose(owner);
            if let Some(pane) = self.base_mut().streams.shown_mut(owner)
                && !area.is_empty()
            {
                pane.settle(env, out, area);
            }
        } else if let Some(line) = self.selected() {
            let scroll = facts::clamp(self.base().scroll, &self.blocks(line, env), content.height);
            self.base_mut().scroll = scroll;
        }
    }

    fn motion(&mut self, motion: Motion, env: &Env, out: &mut Outbox) {
        if !self.base().list.detail {
            self.base_mut().list.motion(motion, env);
            self.list_moved(motion);
            return;
        }
        if self.moved(motion) {
            return;
        }
        let content = self.content(env);
        match self.stream_owner() {
            Some(owner) => {
                let area = self.stream_area(content);
                if let Some(pane) = self.base_mut().streams.shown_mut(owner) {
                    streams::motion(pane, motion, area, out);
                }
            }
            None => self.base_mut().scroll = streams::scrolled(self.base().scroll, motion, content.height),
        }
    }

    fn focus(&mut self, to: FocusMove, _env: &Env) {
        if !self.focused(to) {
            self.base_mut().list.focus(to);
        }
    }

    fn is_typing(&self) -> bool {
        self.base().list.is_typing() || self.stream().is_some_and(OutputPane::is_typing)
    }

    fn typing_hints(&self) -> &'static [(&'static str, &'static str)] {
        if self.base().list.is_typing() { super::listing::TYPING_HINTS } else { &[("Enter", "take"), ("Esc", "drop")] }
    }

    fn key(&mut self, key: KeyEvent, env: &Env, out: &mut Outbox) -> Option<(Tone, String)> {
        if self.base().list.is_typing() {
            let known: Vec<(&str, Vec<String>)> =
                wharf_model::filter::FIELDS.iter().map(|(f, _)| (*f, self.values(f))).collect();
            let find =
                |field: &str| known.iter().find(|(f, _)| *f == field).map(|(_, v)| v.clone()).unwrap_or_default();
            self.base_mut().list.key(key, &find, out);
            return None;
        }
        let (pane, _) = self.stream_mut(env)?;
        pane.key(key, env, out).map(|words| (Tone::Warn, words))
    }

    fn paste(&mut self, words: &str, env: &Env, out: &mut Outbox) {
        if self.base().list.is_typing() {
            self.base_mut().list.paste(words, out);
        } else if let Some((pane, _)) = self.stream_mut(env) {
            pane.paste(words);
        }
    }

    fn back(&mut self) -> bool {
        if self.base().list.detail
            && let Some(owner) = self.stream_owner()
            && self.base_mut().streams.shown_mut(owner).is_some_and(OutputPane::drop_one)
        {
            return true;
        }
        // Zoom comes before what lies inside the detail.
        if !self.base().list.zoom && self.base().list.detail && self.focused(FocusMove::List) {
            return true;
        }
        self.base_mut().list.back()
    }

    fn tab(&mut self, back: bool) {
        let n = B::TABS.len();
        if n > 0 {
            let at = self.base().tab;
            self.base_mut().tab = if back { (at + n - 1) % n } else { (at + 1) % n };
            self.base_mut().scroll = 0;
        }
    }

    fn zoom(&mut self) {
        self.base_mut().list.zoom = !self.base().list.zoom;
    }

    fn split(&mut self, by: i16) {
        self.base_mut().list.split(by);
    }

    fn mouse(&mut self, event: MouseEvent, env: &Env, out: &mut Outbox) -> Mouse {
        let (x, y) = (event.column, event.row);
        let split = self.base().list.layout(env);
        let in_list = split.list.contains((x, y).into());
        let in_pane = split.pane.contains((x, y).into());
        let area = self.stream_area(self.content(env));
        let owner = self.stream_owner();
        let drag = |phase, this: &mut Self| {
            owner.and_then(|o| this.base_mut().streams.shown_mut(o)).and_then(|pane| pane.drag(x, y, phase, area))
        };
        match event.kind {
            MouseEventKind::ScrollUp | MouseEventKind::ScrollDown => {
                let by = if event.kind == MouseEventKind::ScrollUp { -3 } else { 3 };
                if in_list {
                    let height = self.base().list.height(env);
                    self.base_mut().list.table.scroll(by, height, split.second_heads);
                    self.list_moved(Motion::Rows(by));
                } else if in_pane && let Some(owner) = owner {
                    if let Some(pane) = self.base_mut().streams.shown_mut(owner) {
                        streams::motion(pane, Motion::Rows(by), area, out);
                    }
                } else if in_pane {
                    let scroll = self.base().scroll.saturating_add_signed(by as isize);
                    self.base_mut().scroll = scroll;
                }
            }
            MouseEventKind::Down(MouseButton::Left) if in_list => {
                let base = self.base_mut();
                base.list.detail = false;
                if y >= split.list.y + 2
                    && let Some(number) = base.list.table.at(usize::from(y - split.list.y - 2), split.second_heads)
                {
                    base.list.table.select(number);
                    if base.clicked == Some(number) {
                        base.list.focus(FocusMove::Detail);
                    }
                    base.clicked = Some(number);
                    self.list_moved(Motion::Rows(1));
                }
            }
            MouseEventKind::Down(MouseButton::Left) if in_pane => {
                let base = self.base_mut();
                base.clicked = None;
                base.list.focus(FocusMove::Detail);
                let hit = tab_spans(B::TABS, split.pane).into_iter().find(|(_, a, b)| (*a..*b).contains(&x));
                match hit {
                    Some((tab, ..)) if y == split.pane.y + 1 => base.show_tab(tab),
                    _ => {
                        drag(Drag::Begin, self);
                    }
                }
            }
            MouseEventKind::Drag(MouseButton::Left) => {
                drag(Drag::Move, self);
            }
            MouseEventKind::Up(MouseButton::Left) => {
                if let Some(words) = drag(Drag::End, self) {
                    return Mouse::Copied(words);
                }
            }
            _ => {}
        }
        Mouse::Done
    }

    fn copy(&self) -> Option<String> {
        if self.base().list.detail
            && let Some(words) = self.stream().and_then(OutputPane::selected_text)
        {
            return Some(words);
        }
        self.subject()
    }

    fn subject(&self) -> Option<String> {
        self.selected().map(B::name)
    }

    fn owner(&self) -> Option<Owner> {
        self.shell()
    }

    fn has_places(&self) -> bool {
        B::ID != ScreenId::Activity
    }

    fn edit_filter(&mut self) {
        self.base_mut().list.edit_filter();
    }

    fn mark(&mut self) {
        self.base_mut().list.table.mark();
    }

    fn invert_marks(&mut self) {
        self.base_mut().list.table.invert_marks();
    }

    fn stream(&self) -> Option<&OutputPane> {
        self.selected()?;
        self.stream_owner().and_then(|owner| self.base().streams.shown(owner))
    }

    fn stream_mut(&mut self, env: &Env) -> Option<(&mut OutputPane, Rect)> {
        self.selected()?;
        let area = self.stream_area(self.content(env));
        let owner = self.stream_owner()?;
        self.base_mut().streams.shown_mut(owner).map(|pane| (pane, area))
    }

    fn output_grew(&mut self, owner: Owner, out: &mut Outbox) {
        if self.stream_owner() == Some(owner)
            && let Some(pane) = self.base_mut().streams.shown_mut(owner)
        {
            pane.grew(out);
        }
    }

    fn cursor_row(&self, env: &Env) -> Option<(u16, u16)> {
        self.base().list.cursor_row(env)
    }

    fn links(&self, to: ScreenId) -> Vec<String> {
        self.belongs(to)
    }

    fn find(&mut self, names: &[String], out: &mut Outbox) {
        self.base_mut().list.find(B::ID.field(), names, out);
    }

    fn spot(&self) -> Spot {
        self.base().list.spot()
    }

    fn restore(&mut self, spot: &Spot, out: &mut Outbox) {
        self.base_mut().list.restore(spot, out);
    }

    fn view(&self, env: &Env, canvas: &mut Canvas<'_>, _body: Rect) {
        let split = self.base().list.layout(env);
        let columns = self.columns(env, &split);
        view_pane(self, env, canvas);
        let find = |field: &str| self.values(field);
        self.base().list.view(env, canvas, &columns, &find, &|canvas, area| teach(B::teaching(), canvas, area));
    }

    fn is_empty(&self) -> bool {
        let list = &self.base().list;
        list.table.known && list.table.rows().is_empty() && list.filter().is_empty()
    }
}

/// A fact without bad news.
pub fn fact(label: &str, value: impl Into<String>, remark: impl Into<String>) -> Fact {
    Fact { label: label.to_owned(), value: value.into(), remark: remark.into(), bad: false }
}

/// What the screen says of a thing, and what else the shell knows of it.
///
/// Facts of the same label are shown once: the shell's where the screen has no remark of its own, which
/// only counts times. The rest stands below the screen's, block by block.
pub fn merged(mut own: Vec<FactBlock>, more: &[FactBlock]) -> Vec<FactBlock> {
    let same = |a: &Fact, b: &Fact| !a.label.is_empty() && a.label.eq_ignore_ascii_case(&b.label);
    for fact in own.iter_mut().flat_map(|b| &mut b.facts).filter(|f| f.remark.is_empty()) {
        let theirs = more.iter().flat_map(|b| &b.facts).find(|f| same(f, fact) && !f.remark.is_empty());
        if let Some(theirs) = theirs {
            fact.value.clone_from(&theirs.value);
            fact.remark.clone_from(&theirs.remark);
            fact.bad |= theirs.bad;
        }
    }
    for (i, block) in more.iter().enumerate() {
        let known = |f: &Fact| own.iter().flat_map(|b| &b.facts).any(|o| same(o, f));
        let mut rest = Vec::new();
        let mut dropped = false;
        for fact in &block.facts {
            // Rows without a label belong to the one above.
            dropped = if fact.label.is_empty() { dropped } else { known(fact) };
            if !dropped {
                rest.push(fact.clone());
            }
        }
        match own.get_mut(i) {
            Some(block) => block.facts.extend(rest),
            None => own.push(FactBlock { facts: rest }),
        }
    }
    own
}

/// A long text as rows of facts of this many cells, the label before the first.
pub fn prose(label: &str, words: &str, room: usize) -> Vec<Fact> {
    text::wrap(words, room.max(10))
        .into_iter()
        .enumerate()
        .map(|(i, (from, to))| fact(if i == 0 { label } else { "" }, &words[from..to], ""))
        .collect()
}

/// First word of `R-1042 fixer SHOP-17`, when it is a number of that kind.
pub fn number_in(words: &str, letter: char) -> Option<String> {
    let first = words.split_whitespace().next()?;
    let figures = first.strip_prefix(letter)?.strip_prefix('-')?;
    (!figures.is_empty() && figures.bytes().all(|b| b.is_ascii_digit())).then(|| first.to_owned())
}

/// Values of one field, sorted, each once, at most fifty.
pub fn distinct(values: impl Iterator<Item = String>) -> Vec<String> {
    let mut values: Vec<String> = values.filter(|v| !v.is_empty()).collect();
    values.sort();
    values.dedup();
    values.truncate(50);
    values
}
