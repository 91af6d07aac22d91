//! Follow, scroll, and the switches: wrap, times, streams.

use ratatui::layout::Rect;

use super::OutputPane;
use crate::ansi;
use crate::effect::{LinePlace, Position};
use crate::env::{Env, Outbox};
use crate::rows::Counted;

impl OutputPane {
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
        if self.follow && !self.above && self.visible(width, height + 1).len() <= height {
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
    pub(super) fn go_to(&mut self, place: LinePlace, out: &mut Outbox) {
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
    pub(super) fn go_line(&mut self, number: u64, out: &mut Outbox) {
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
}
