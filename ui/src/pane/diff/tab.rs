//! The tab of a screen that shows what its selected thing has changed.

use ratatui::layout::Rect;

use super::DiffPane;
use crate::effect::{DiffOf, Question};
use crate::env::{Env, Outbox};
use crate::msg::Answer;

/// The pane shown, and the one before it where that was left.
#[derive(Debug, Clone, Default)]
pub struct DiffTab {
    pane: Option<DiffPane>,
    /// Another tab has been shown since.
    away: bool,
}

impl DiffTab {
    /// The pane, when the tab is shown.
    pub fn shown(&self) -> Option<&DiffPane> {
        self.pane.as_ref().filter(|_| !self.away)
    }

    /// The pane, to act on, when the tab is shown.
    pub fn shown_mut(&mut self) -> Option<&mut DiffPane> {
        self.pane.as_mut().filter(|_| !self.away)
    }

    /// Another tab is shown.
    pub fn leave(&mut self) {
        self.away = true;
    }

    /// It is shown, of this: what was seen before is read again, in the place where it was left.
    pub fn want(&mut self, of: DiffOf, live: bool, env: &Env, out: &mut Outbox, area: Rect) {
        let back = std::mem::take(&mut self.away);
        let pane = match &mut self.pane {
            Some(pane) if pane.of() == of => {
                if back {
                    pane.again(env, out);
                }
                pane
            }
            other => other.insert(DiffPane::new(of)),
        };
        pane.settle(live, env, out, area);
    }

    /// Takes what answers a question of its own.
    pub fn answer(&mut self, question: &Question, answer: &Result<Answer, String>) {
        if let Some(pane) = &mut self.pane {
            pane.answer(question, answer);
        }
    }
}
