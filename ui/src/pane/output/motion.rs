//! Follow, scroll, and the switches: wrap, times, streams.

use ratatui::layout::Rect;

use super::OutputPane;
use crate::ansi;
use crate::effect::Position;
use crate::env::{Env, Outbox};

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

    pub(super) fn go_line(&mut self, line: u64, out: &mut Outbox) {
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
}
