//! The lines that are kept around the view: asking for them, taking them, letting them go.

use ratatui::layout::Rect;

use super::{CHUNK, OutputPane, WINDOW_MAX};
use crate::effect::{Position, Question};
use crate::env::{Env, Outbox};
use crate::rows::OutputLines;

impl OutputPane {
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
}
