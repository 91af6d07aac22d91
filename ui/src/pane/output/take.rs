//! Answers: how lines that come join those that are kept.

use super::{OutputPane, WINDOW_BYTES_MAX, WINDOW_MAX};
use crate::effect::{LinePlace, Position, Question};
use crate::rows::{Counted, OutputLines};

/// Lines that are kept whatever their length.
const SCREEN_LINES: usize = 200;

impl OutputPane {
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
                self.jump_number = None;
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
        self.counted = part.counted;
        self.total_bytes = part.total_bytes;
        self.terminal |= part.terminal;
        self.state = part.state.clone();
        self.started_at = part.started_at.or(self.started_at);
        match *from {
            Position::Before(place) => self.join_above(place, part),
            Position::From(place) if self.jump_to == Some(place) => self.land(part),
            Position::From(place) => self.join_below(place, part),
            Position::Line(number) if self.jump_number == Some(number) => self.land(part),
            // Somebody has gone elsewhere meanwhile.
            Position::Line(_) => {}
            Position::Start | Position::Time(_) | Position::Percent(_) => self.land(part),
            Position::End => self.join_end(part),
        }
        self.fill_numbers();
        self.trim();
        self.keep_notes(part);
    }

    /// Takes how far lines are counted.
    pub fn counted(&mut self, question: &Question, answer: Result<Counted, ()>) {
        let Question::Count { owner, streams, at } = question else { return };
        if *owner != self.owner || *streams != self.streams {
            return;
        }
        let Ok(counted) = answer else {
            self.uncounted = true;
            return;
        };
        self.counted = counted;
        let index = self.index_of(*at);
        if let Some(line) = index.and_then(|i| self.lines.get_mut(i)) {
            line.number = line.number.or(counted.number);
        }
        self.fill_numbers();
    }

    /// Lines in front of the first one that is kept.
    fn join_above(&mut self, place: LinePlace, part: &OutputLines) {
        if self.lines.front().is_none_or(|l| l.place != place) {
            // The window has moved since it was asked.
            return;
        }
        self.above = !part.first;
        if part.lines.first().is_none_or(|l| l.place >= place) {
            self.floor = Some(place);
        }
        for line in part.lines.iter().rev().filter(|l| l.place < place) {
            self.lines.push_front(line.clone());
        }
    }

    /// Lines from one that is kept on.
    fn join_below(&mut self, place: LinePlace, part: &OutputLines) {
        let Some(last) = self.lines.back().map(|l| l.place) else { return };
        if self.index_of(place).is_none() {
            return;
        }
        for line in &part.lines {
            if line.place > last {
                self.lines.push_back(line.clone());
            } else if let Some(at) = self.index_of(line.place) {
                // It may have grown.
                self.lines[at] = line.clone();
            }
        }
        let end = part.lines.last().map_or(place, |l| l.place);
        if end >= last {
            self.below = !part.last;
        }
        if self.lines.back().is_some_and(|l| l.place == last) {
            self.ceiling = Some(last);
        }
    }

    /// The last lines there are: joined when they begin among those that are kept.
    fn join_end(&mut self, part: &OutputLines) {
        let Some(first) = part.lines.first().map(|l| l.place) else {
            self.below = false;
            return;
        };
        if self.index_of(first).is_some() {
            return self.join_below(first, part);
        }
        if self.lines.back().is_some_and(|l| l.place < first) {
            self.drawn_note = Some(first);
        }
        self.replace(part);
    }

    /// Shows these lines from the first one on.
    fn land(&mut self, part: &OutputLines) {
        let Some(first) = part.lines.first() else {
            if part.counted.percent == 100 {
                self.jump_number = None;
            }
            return;
        };
        (self.jump_to, self.jump_number) = (None, None);
        self.follow = false;
        self.top = (first.place, 0);
        self.replace(part);
    }

    fn replace(&mut self, part: &OutputLines) {
        self.lines = part.lines.iter().cloned().collect();
        (self.above, self.below) = (!part.first, !part.last);
        (self.floor, self.ceiling) = (None, None);
    }

    /// Lines follow one another: one that has a number gives all others theirs.
    fn fill_numbers(&mut self) {
        let Some((at, number)) = self.lines.iter().enumerate().find_map(|(i, l)| Some((i as u64, l.number?))) else {
            return;
        };
        let Some(first) = number.checked_sub(at) else { return };
        for (line, number) in self.lines.iter_mut().zip(first..) {
            line.number = Some(number);
        }
    }

    fn keep_notes(&mut self, part: &OutputLines) {
        for note in &part.notes {
            // Behind the last line there is none to stand before: it comes with the next ones.
            let at = self.first_at_or_behind(note.before);
            let Some(place) = self.lines.get(at).map(|l| l.place) else { continue };
            let words = self.notes.entry(place).or_default();
            if !words.contains(&note.text) {
                words.push(note.text.clone());
            }
        }
        if let Some(first) = self.lines.front().map(|l| l.place) {
            self.notes = self.notes.split_off(&first);
        }
    }

    /// Forgets the lines of an earlier start: their places mean nothing in the new log.
    fn begin_anew(&mut self) {
        self.lines.clear();
        self.notes.clear();
        self.started_at = None;
        self.top = (LinePlace::default(), 0);
        (self.floor, self.ceiling, self.drawn_note) = (None, None, None);
        (self.jump_to, self.jump_number) = (None, None);
        (self.above, self.below, self.uncounted) = (false, false, false);
        self.selection = None;
        self.dragging = false;
        self.follow = true;
    }

    fn trim(&mut self) {
        let mut bytes: usize = self.lines.iter().map(|l| l.bytes.len()).sum();
        // A screen full of the longest lines is kept whole.
        while self.lines.len() > WINDOW_MAX || bytes > WINDOW_BYTES_MAX && self.lines.len() > SCREEN_LINES {
            let last = self.lines.len() - 1;
            let view = if self.follow { last } else { self.first_at_or_behind(self.top.0).min(last) };
            if view > last - view {
                bytes -= self.lines.pop_front().map_or(0, |l| l.bytes.len());
                self.above = true;
            } else {
                bytes -= self.lines.pop_back().map_or(0, |l| l.bytes.len());
                self.below = true;
            }
        }
    }
}
