//! Search in paths and lines: all of what is unfolded.

use crossterm::event::{KeyCode, KeyEvent};
use regex::Regex;

use super::{At, DiffPane, Row};
use crate::input::LineEdit;
use crate::pane::output::smart_case;

/// What is searched for.
#[derive(Debug, Clone)]
pub(super) struct Search {
    pub words: String,
    pub regex: Regex,
    /// Where it was found, in the order of the screen.
    pub hits: Vec<At>,
    pub wrapped: bool,
}

/// The line being typed.
#[derive(Debug, Clone)]
pub(super) struct Typing(pub LineEdit);

impl DiffPane {
    /// Opens the search line.
    pub fn edit_search(&mut self) {
        let old = self.search.as_ref().map(|s| s.words.clone()).unwrap_or_default();
        self.typing = Some(Typing(LineEdit::new(old)));
    }

    /// Whether a line is being typed.
    pub const fn is_typing(&self) -> bool {
        self.typing.is_some()
    }

    /// Whether `n` and `N` have somewhere to go.
    pub const fn has_search(&self) -> bool {
        self.search.is_some()
    }

    /// Drops the innermost of typing and search; `false` when there was nothing.
    pub fn drop_one(&mut self) -> bool {
        self.typing.take().is_some() || self.search.take().is_some()
    }

    /// Inserts a pasted text into the line being typed.
    pub fn paste(&mut self, words: &str) {
        if let Some(Typing(edit)) = &mut self.typing {
            edit.insert(words);
        }
    }

    /// A key while a line is being typed. Gives words to say, when there is something wrong.
    pub fn key(&mut self, key: KeyEvent) -> Option<String> {
        match key.code {
            KeyCode::Esc => self.typing = None,
            KeyCode::Enter => {
                let words = self.typing.take()?.0.text().to_owned();
                if words.is_empty() {
                    self.search = None;
                    return None;
                }
                match smart_case(&words) {
                    Ok((_, regex)) => {
                        self.search = Some(Search { words, regex, hits: Vec::new(), wrapped: false });
                        self.find_hits();
                        self.go_hit(false, true);
                    }
                    Err(why) => {
                        let told = format!("Cannot search for {words:?}: {why}");
                        self.typing = Some(Typing(LineEdit::new(words)));
                        return Some(told);
                    }
                }
            }
            _ => {
                if let Some(Typing(edit)) = &mut self.typing {
                    edit.key(key);
                }
            }
        }
        None
    }

    /// To the next match, or the one before; wraps round.
    pub fn next_hit(&mut self, back: bool) {
        self.go_hit(back, false);
    }

    fn go_hit(&mut self, back: bool, here_too: bool) {
        let at = self.cursor;
        let Some(search) = &mut self.search else { return };
        let next = if back {
            search.hits.iter().rev().find(|h| **h < at)
        } else {
            search.hits.iter().find(|h| **h > at || here_too && **h == at)
        };
        search.wrapped = next.is_none();
        let around = if back { search.hits.last() } else { search.hits.first() };
        if let Some(to) = next.or(around).copied() {
            self.go(to);
        }
    }

    /// Looks through what is there now.
    pub(super) fn find_hits(&mut self) {
        let Some(regex) = self.search.as_ref().map(|s| s.regex.clone()) else { return };
        let mut hits = Vec::new();
        if let Some(listing) = self.listed() {
            let found = |f: &crate::rows::DiffFile| regex.is_match(&f.path);
            hits.extend(listing.files.iter().enumerate().filter(|(_, f)| found(f)).map(|(i, _)| At::File(i)));
        }
        let found = |row: &Row| match *row {
            Row::Line(f, h, l) => self
                .hunks(f)
                .and_then(|hunks| hunks.hunks.get(h)?.lines.get(l))
                .is_some_and(|line| regex.is_match(&line.text)),
            _ => false,
        };
        hits.extend(self.rows.iter().enumerate().filter(|(_, row)| found(row)).map(|(i, _)| At::Row(i)));
        if let Some(search) = &mut self.search {
            search.hits = hits;
        }
    }
}
