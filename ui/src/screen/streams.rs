//! Output panes of one screen: the one shown first, then those seen before it, each with its place.

use ratatui::layout::Rect;

use super::Motion;
use crate::effect::{Owner, Question};
use crate::env::Outbox;
use crate::msg::Answer;
use crate::pane::output::OutputPane;

/// Streams whose place is remembered.
const PANES_MAX: usize = 12;

/// The panes.
#[derive(Debug, Clone, Default)]
pub struct Streams {
    panes: Vec<OutputPane>,
    /// None of them was shown by the last frame.
    away: bool,
}

impl Streams {
    /// Brings the pane of this owner to the front; a new one takes the switches of the one before.
    ///
    /// One that stood behind has heard of nothing: what was printed meanwhile is asked for.
    pub fn choose(&mut self, owner: Owner, out: &mut Outbox) {
        if let Some(first) = self.panes.first_mut().filter(|p| p.owner() == owner) {
            if std::mem::take(&mut self.away) {
                first.catch_up(out);
            }
            return;
        }
        self.away = false;
        let mut pane = match self.panes.iter().position(|p| p.owner() == owner) {
            Some(at) => self.panes.remove(at),
            None => self.panes.first().map_or_else(|| OutputPane::new(owner), |p| p.like(owner)),
        };
        pane.catch_up(out);
        self.panes.insert(0, pane);
        self.panes.truncate(PANES_MAX);
    }

    /// No pane is shown.
    pub const fn leave(&mut self) {
        self.away = true;
    }

    /// The pane in front, when it is this owner's.
    pub fn shown(&self, owner: Owner) -> Option<&OutputPane> {
        self.panes.first().filter(|p| p.owner() == owner)
    }

    /// The pane in front, to act on, when it is this owner's.
    pub fn shown_mut(&mut self, owner: Owner) -> Option<&mut OutputPane> {
        self.panes.first_mut().filter(|p| p.owner() == owner)
    }

    /// Takes lines and matches, whichever pane they belong to.
    pub fn answer(&mut self, question: &Question, answer: &Result<Answer, String>, out: &mut Outbox, area: Rect) {
        let (Question::Output { owner, .. } | Question::Count { owner, .. } | Question::Search { owner, .. }) =
            question
        else {
            return;
        };
        let Some(pane) = self.panes.iter_mut().find(|p| p.owner() == *owner) else { return };
        match (question, answer) {
            (Question::Output { .. }, Ok(Answer::Output(lines))) => pane.answer(question, Ok(lines)),
            (Question::Output { .. }, Err(words)) => pane.answer(question, Err(words)),
            (Question::Count { .. }, Ok(Answer::Counted(counted))) => pane.counted(question, Ok(*counted)),
            (Question::Count { .. }, Err(_)) => pane.counted(question, Err(())),
            (Question::Search { .. }, Ok(Answer::Search(hits))) => pane.found(question, hits, out, area),
            _ => {}
        }
    }
}

/// Moves the text of a stream.
pub fn motion(pane: &mut OutputPane, motion: Motion, area: Rect, out: &mut Outbox) {
    let page = pane.page(area);
    match motion {
        Motion::Rows(n) => pane.scroll(n, area),
        Motion::HalfPages(n) => pane.scroll(n * (page / 2).max(1), area),
        Motion::Pages(n) => pane.scroll(n * page, area),
        Motion::First => pane.first(out),
        Motion::Last => pane.follow(),
        Motion::Sideways(n) => pane.sideways(n * 8),
    }
}

/// Where a scrolled text of rows is after a motion; the caller clamps it to its end.
pub fn scrolled(at: usize, motion: Motion, height: u16) -> usize {
    let page = i64::from(height.max(3)) - 2;
    let by = match motion {
        Motion::Rows(n) => n,
        Motion::HalfPages(n) => n * (page / 2).max(1),
        Motion::Pages(n) => n * page,
        Motion::First => i64::MIN,
        Motion::Last => i64::MAX,
        Motion::Sideways(_) => 0,
    };
    (at as i64).saturating_add(by).clamp(0, 100_000) as usize
}
