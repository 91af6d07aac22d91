//! The lines that are kept around the view: asking for them.

use ratatui::layout::Rect;

use super::{CHUNK, OutputPane};
use crate::effect::{Position, Question};
use crate::env::{Env, Outbox};

impl OutputPane {
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
        if self.known && self.counted.percent < 100 && !self.uncounted {
            let at = self.lines.front().map(|l| l.place).unwrap_or_default();
            out.ask_once(Question::Count { owner: self.owner, streams: self.streams, at });
        }
        let (Some(first), Some(last)) = (self.lines.front(), self.lines.back()) else { return };
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

    /// It is shown again after it was not: what it knows may be old. One that knows nothing asks by itself.
    pub fn catch_up(&mut self, out: &mut Outbox) {
        if self.known {
            self.grew(out);
        }
    }

    /// Lines of the log behind the one at this index, when they are counted.
    pub(super) fn lines_below(&self, index: usize) -> Option<u64> {
        let number = self.lines.get(index)?.number?;
        (self.counted.percent == 100).then(|| self.counted.lines.saturating_sub(number + 1))
    }
}
