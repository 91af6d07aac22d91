//! Search and jumps: the lines being typed, matches, places in time and share.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;
use regex::Regex;

use super::{HITS_MAX, OutputPane, Search, Typing};
use crate::effect::{LinePlace, Position, Question};
use crate::env::{Env, Outbox};
use crate::input::LineEdit;
use crate::rows::SearchHits;

/// The regular expression of a search: without case unless a capital is typed.
pub fn smart_case(words: &str) -> Result<(String, Regex), String> {
    let pattern = if words.chars().any(char::is_uppercase) { words.to_owned() } else { format!("(?i){words}") };
    let regex = regex::RegexBuilder::new(&pattern)
        .size_limit(1 << 20)
        .build()
        .map_err(|e| e.to_string().lines().last().unwrap_or("not a regular expression").trim().to_owned())?;
    Ok((pattern, regex))
}

impl OutputPane {
    /// Opens the search line.
    pub fn edit_search(&mut self) {
        let old = self.search.as_ref().map(|s| s.words.clone()).unwrap_or_default();
        self.typing = Some(Typing::Search(LineEdit::new(old)));
    }

    /// Opens the jump line.
    pub fn edit_jump(&mut self) {
        self.typing = Some(Typing::Jump(LineEdit::default()));
    }

    /// Drops the innermost of typing, selection, search; `false` when there was nothing.
    pub fn drop_one(&mut self) -> bool {
        self.typing.take().is_some() || self.selection.take().is_some() || self.search.take().is_some()
    }

    /// Inserts a pasted text into the line being typed.
    pub fn paste(&mut self, words: &str) {
        if let Some(Typing::Search(edit) | Typing::Jump(edit)) = &mut self.typing {
            edit.insert(words);
        }
    }

    /// A key while a line is being typed. Gives words to say, when there is something wrong.
    pub fn key(&mut self, key: KeyEvent, env: &Env, out: &mut Outbox) -> Option<String> {
        match key.code {
            KeyCode::Esc => self.typing = None,
            KeyCode::Enter => match self.typing.take() {
                Some(Typing::Search(edit)) => {
                    let words = edit.text().to_owned();
                    if words.is_empty() {
                        self.search = None;
                    } else if let Some(why) = self.start_search(&words, out) {
                        self.typing = Some(Typing::Search(edit));
                        return Some(format!("Cannot search for {words:?}: {why}"));
                    }
                }
                Some(Typing::Jump(edit)) => {
                    if let Err(why) = self.jump(edit.text(), env, out) {
                        self.typing = Some(Typing::Jump(edit));
                        return Some(why);
                    }
                }
                None => {}
            },
            _ => {
                if let Some(Typing::Search(edit) | Typing::Jump(edit)) = &mut self.typing {
                    edit.key(key);
                }
            }
        }
        None
    }

    pub(super) fn start_search(&mut self, words: &str, out: &mut Outbox) -> Option<String> {
        match smart_case(words) {
            Err(why) => Some(why),
            Ok((pattern, regex)) => {
                let hits = Vec::new();
                self.search = Some(Search {
                    words: words.to_owned(),
                    regex,
                    hits,
                    total: 0,
                    percent: 0,
                    current: None,
                    wrapped: false,
                });
                out.ask(Question::Search { owner: self.owner, streams: self.streams, pattern, limit: HITS_MAX });
                None
            }
        }
    }

    /// Takes what a search found and goes to the first match at or behind the view.
    pub fn found(&mut self, question: &Question, hits: &SearchHits, out: &mut Outbox, area: Rect) {
        let Question::Search { owner, streams, pattern, .. } = question else { return };
        let here = self.line_in_view(area);
        let Some(search) = &mut self.search else { return };
        let same = smart_case(&search.words).is_ok_and(|(p, _)| p == *pattern);
        if *owner != self.owner || *streams != self.streams || !same {
            return;
        }
        search.hits.clone_from(&hits.lines);
        search.total = hits.total;
        search.percent = hits.percent;
        if search.current.is_none() {
            let first = search.hits.iter().copied().find(|n| *n >= here).or(search.hits.last().copied());
            if let Some(line) = first {
                search.current = Some(line);
                self.show_line(line, out, area);
            }
        }
    }

    fn line_in_view(&self, area: Rect) -> LinePlace {
        let content = Self::content(area);
        self.visible(content.width, usize::from(content.height)).first().map_or(LinePlace::default(), |r| r.line)
    }

    fn show_line(&mut self, line: LinePlace, out: &mut Outbox, area: Rect) {
        let content = Self::content(area);
        let shown = self.visible(content.width, usize::from(content.height)).iter().any(|r| r.line == line);
        self.let_go(area);
        if !shown {
            self.go_to(line, out);
            // A third of the page above the match tells what led to it.
            self.scroll_up_only(i64::from(content.height / 3), area);
        }
    }

    fn scroll_up_only(&mut self, by: i64, area: Rect) {
        if self.jump_to.is_none() {
            self.scroll(-by, area);
        }
    }

    /// Next or previous matching line; wraps round.
    pub fn next_hit(&mut self, back: bool, out: &mut Outbox, area: Rect) {
        let here = self.line_in_view(area);
        let Some(search) = &mut self.search else { return };
        if search.hits.is_empty() {
            return;
        }
        let from = search.current.unwrap_or(here);
        let next = if back {
            search.hits.iter().rev().copied().find(|n| *n < from)
        } else {
            search.hits.iter().copied().find(|n| *n > from)
        };
        search.wrapped = next.is_none();
        let line = next.unwrap_or(if back { search.hits[search.hits.len() - 1] } else { search.hits[0] });
        search.current = Some(line);
        self.show_line(line, out, area);
    }

    pub(super) fn jump(&mut self, words: &str, env: &Env, out: &mut Outbox) -> Result<(), String> {
        let words = words.trim();
        let wrong = || format!("{words:?} is no place; write 12:04, +90s, line 500 or 40 %");
        if let Some(n) = words.strip_prefix("line").or_else(|| words.strip_prefix('#')) {
            let n: u64 = n.trim().replace(',', "").parse().map_err(|_| wrong())?;
            self.go_line(n.saturating_sub(1), out);
        } else if let Some(n) = words.strip_suffix('%') {
            let n: u8 = n.trim().parse().ok().filter(|n| *n <= 100).ok_or_else(wrong)?;
            self.leave_for(Position::Percent(n), out);
        } else if let Some(after) = words.strip_prefix('+') {
            let ms = wharf_model::filter::duration_ms(after).ok_or_else(wrong)?;
            let start =
                self.started_at.or_else(|| self.lines.front().map(|l| l.at)).ok_or("nothing has been printed yet")?;
            self.leave_for(Position::Time(start.plus(ms)), out);
        } else {
            let filter = wharf_model::filter::Filter::parse(&format!("since:{words}")).map_err(|_| wrong())?;
            let Some(wharf_model::filter::Test::Since(when)) = filter.terms.first().map(|t| &t.test) else {
                return Err(wrong());
            };
            let east = if env.zone.utc { 0 } else { env.zone.east_seconds };
            // A clock time means the day on which this was printed.
            let base = self.started_at.or_else(|| self.lines.front().map(|l| l.at)).unwrap_or(env.now);
            let at = match when {
                wharf_model::filter::When::Clock(_) => when.resolve(base, east),
                _ => when.resolve(env.now, east),
            };
            self.leave_for(Position::Time(at), out);
        }
        Ok(())
    }

    fn leave_for(&mut self, there: Position, out: &mut Outbox) {
        self.follow = false;
        (self.jump_to, self.jump_number) = (None, None);
        out.ask(self.question(there));
    }
}
