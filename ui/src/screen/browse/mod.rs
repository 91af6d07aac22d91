//! What screens of a list with one detail pane share: focus, tabs, facts, a stream, the mouse.
//!
//! A screen says what its rows, tabs and facts are ([`Browse`]); everything a key or a click does then
//! follows from here, the same on each of them.

use ratatui::layout::Rect;

use super::listing::{AskPage, Listing};
use super::streams::Streams;
use super::{FocusMove, Handles, Motion, ScreenId};
use crate::command::Place;
use crate::draw::Canvas;
use crate::effect::{Owner, Question};
use crate::env::{Env, Outbox};
use crate::layout::Split;
use crate::msg::Answer;
use crate::pane::diff::DiffPane;
use crate::pane::table::{Column, Row};
use crate::rows::{FactBlock, Page};
use crate::theme::Ink;

mod facts;
mod screen;
mod view;

pub use facts::{distinct, fact, merged, number_in, prose, state_fact};

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

    /// Marked rows, else the one under the cursor.
    pub fn chosen(&self) -> Vec<&R> {
        let table = &self.list.table;
        if table.marks.is_empty() {
            return table.selected().into_iter().collect();
        }
        table.rows().iter().filter(|r| table.marks.contains(&r.number())).collect()
    }

    /// Why a verb has nothing to act on, where it is for another reason than an empty list.
    pub fn why_none(&self) -> Option<String> {
        let table = &self.list.table;
        if !table.marks.is_empty() {
            let hidden = self.chosen().is_empty();
            return hidden.then(|| "the filter hides all that is marked; Esc drops the marks".to_owned());
        }
        table.slipped().then(|| "what was selected has left the list; move the cursor to choose another".to_owned())
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
    type Line: Row + Clone;
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
    /// Its rows in an answer that has such.
    fn page(answer: &Answer) -> Option<&Page<Self::Line>>;
    /// The list has taken the rows that answer this question.
    fn listed(&mut self, question: &Question) {
        let _ = question;
    }
    /// Takes what answers a question of its own beyond the list.
    fn take(&mut self, question: &Question, answer: &Result<Answer, String>) {
        let _ = (question, answer);
    }
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
    /// Whether the detail has the focus, not a list beside it.
    fn pane_focused(&self) -> bool {
        self.base().list.detail
    }
    /// Whether the names of the tabs are shown, or only that of the one that is on, in the title.
    fn has_tab_row(&self, env: &Env) -> bool {
        let _ = env;
        !Self::TABS.is_empty()
    }
    /// The detail was clicked into.
    fn pane_clicked(&mut self) {}
    /// What the tab shown says as one text, for copying.
    fn text(&self) -> Option<String> {
        None
    }
    /// What a row is called and where it is, for copying.
    fn handles_of(&self, line: &Self::Line) -> Handles {
        Handles { number: Self::name(line), ..Handles::default() }
    }
    /// The same of what is under a cursor inside the detail, where there is one.
    fn inner_handles(&self) -> Option<Handles> {
        None
    }
    /// What a tab of facts says as one text; none for a tab that is none.
    fn facts_text(&self, line: &Self::Line, env: &Env) -> Option<String> {
        let _ = (line, env);
        None
    }
    /// Draws what stands beside list and detail.
    fn view_beside(&self, env: &Env, canvas: &mut Canvas<'_>) {
        let _ = (env, canvas);
    }
    /// A click or turn of the wheel that is in neither list nor detail; `false` when nothing is there.
    fn clicked_beside(&mut self, x: u16, y: u16, wheel: i64, env: &Env) -> bool {
        let _ = (x, y, wheel, env);
        false
    }
    /// What was changed, when the tab shows it.
    fn changes(&self) -> Option<&DiffPane> {
        None
    }
    /// The same, to act on.
    fn changes_mut(&mut self) -> Option<&mut DiffPane> {
        None
    }
    /// Drops the innermost thing inside the detail that is no stream's; `false` when there was nothing.
    fn drop_inner(&mut self) -> bool {
        self.changes_mut().is_some_and(DiffPane::drop_one)
    }
    /// A further place that is active in the detail.
    fn detail_place(&self) -> Option<Place> {
        None
    }
    /// The screen is shown after another one was.
    fn comes_back(&mut self) {}
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
    /// Draws the content of a tab without a stream.
    fn view_content(&self, line: &Self::Line, env: &Env, canvas: &mut Canvas<'_>, content: Rect) {
        crate::pane::facts::view(canvas, content, &self.blocks(line, env), self.base().scroll);
    }
    /// How far that content can be scrolled, at most to `scroll`.
    fn clamp(&self, line: &Self::Line, env: &Env, content: Rect) -> usize {
        crate::pane::facts::clamp(self.base().scroll, &self.blocks(line, env), content)
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
    /// Title and words of the detail while nothing is selected.
    fn unselected() -> (&'static str, &'static [&'static str]) {
        ("Nothing selected", &[])
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

    /// The row that verbs, titles and links mean: the one under the cursor that is seen.
    fn meant(&self) -> Option<&Self::Line> {
        self.selected()
    }

    /// Rows that a verb acts on: the marked ones, else the one under the cursor that is seen.
    fn chosen(&self) -> Vec<&Self::Line> {
        self.base().chosen()
    }

    /// Why a verb has nothing to act on, or must not act yet.
    fn why_none(&self) -> Option<String> {
        self.base().why_none()
    }

    /// Area of the tab's content: below title rule and tabs.
    fn content(&self, env: &Env) -> Rect {
        let pane = self.base().list.layout(env).pane;
        let above = if self.has_tab_row(env) { 2 } else { 1 };
        Rect::new(pane.x, pane.y + pane.height.min(above), pane.width, pane.height.saturating_sub(above))
    }
}
