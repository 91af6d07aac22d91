//! Drawing: rows with their gutter, the state row, the words of the title rule.

use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use unicode_segmentation::UnicodeSegmentation;

use super::{OutputPane, RowKind, Times, Typing};
use crate::ansi::{self, Printed};
use crate::draw::Canvas;
use crate::effect::LinePlace;
use crate::env::Env;
use crate::format;
use crate::rows::{OutputState, Stream};
use crate::text;
use crate::theme::{Ground, Ink};

/// What is said of one that may print, with the time since its last byte.
pub fn live_words(silent: Option<i64>) -> (String, Ink) {
    match silent {
        Some(ms) if ms > 60_000 => (format!("silent {}", format::duration(ms)), Ink::Warn),
        _ => ("live".to_owned(), Ink::Ok),
    }
}

impl OutputPane {
    /// What the title rule says at its right.
    pub fn state_words(&self, env: &Env, silent: Option<i64>) -> (String, Ink) {
        let (words, ink) = self.bare_state_words(env, silent);
        if self.terminal { (format!("terminal, {words}"), ink) } else { (words, ink) }
    }

    fn bare_state_words(&self, env: &Env, silent: Option<i64>) -> (String, Ink) {
        match &self.state {
            _ if !self.known => ("reading".to_owned(), Ink::Dim),
            OutputState::Reading => ("reading".to_owned(), Ink::Dim),
            OutputState::Live => live_words(silent),
            OutputState::Ended { at, .. } => (format!("ended {}", format::moment(*at, env.now, env.zone)), Ink::Dim),
            OutputState::Lost => ("lost".to_owned(), Ink::Bad),
            OutputState::Removed { .. } => ("log removed".to_owned(), Ink::Dim),
            OutputState::Behind(bytes) => (format!("behind {}", format::size(*bytes)), Ink::Info),
        }
    }

    pub(super) fn right_words(&self, env: &Env, area: Rect) -> String {
        if let Some(search) = &self.search {
            let at = search.current.and_then(|c| search.hits.iter().position(|n| *n == c));
            let tail = if search.percent < 100 {
                format!(" · in the first {} %", search.percent)
            } else if search.wrapped {
                " · wrapped round".to_owned()
            } else {
                String::new()
            };
            return match at {
                Some(i) => format!(
                    "/{} · {} of {}{tail}",
                    search.words,
                    format::count(i as u64 + 1),
                    format::count(search.total)
                ),
                None if search.percent < 100 => format!("/{}{tail}", search.words),
                None => format!("/{} · no match", search.words),
            };
        }
        if !self.known {
            return "not following".to_owned();
        }
        match &self.state {
            OutputState::Ended { at, how } if self.follow => {
                format!("ended {}, {how}", format::moment(*at, env.now, env.zone))
            }
            OutputState::Lost if self.follow => "ended, lost".to_owned(),
            OutputState::Removed { .. } => "ended, its log was removed".to_owned(),
            _ if self.follow => "▼ following".to_owned(),
            _ => {
                let content = Self::content(area);
                let rows = self.visible(content.width, usize::from(content.height));
                let last = rows.last().and_then(|r| self.index_of(r.line));
                let at = last.and_then(|i| self.lines.get(i));
                let at = at.map_or_else(String::new, |l| format!(" at {}", format::clock(l.at, env.zone)));
                let below = match last.and_then(|i| self.lines_below(i)) {
                    None | Some(0) => String::new(),
                    Some(n) => format!(" · {} below", format::plural(n, "line")),
                };
                let ended = matches!(self.state, OutputState::Ended { .. } | OutputState::Lost);
                format!("stopped{at}{below} · G {}", if ended { "to the end" } else { "follows" })
            }
        }
    }

    /// Draws content and state row.
    pub fn view(&self, env: &Env, canvas: &mut Canvas<'_>, area: Rect) {
        let content = Self::content(area);
        if area.height == 0 || area.width < 6 {
            return;
        }
        if let Some(words) = &self.error {
            canvas.trouble(content, words);
        } else if !self.known {
            let age = self.asked_at.map_or(0, |at| at.until(env.now));
            if age >= 100 {
                let dim = canvas.ink(Ink::Dim);
                canvas.put(
                    area.x + 1,
                    area.y,
                    area.width - 1,
                    &format!("reading… {}.{}s", age / 1000, age % 1000 / 100),
                    dim,
                );
            }
        } else if self.lines.is_empty() {
            let dim = canvas.ink(Ink::Dim);
            let words = match &self.state {
                OutputState::Live | OutputState::Reading => "Nothing has been printed yet.".to_owned(),
                OutputState::Removed { at, why } => {
                    let at = format::moment(*at, env.now, env.zone);
                    format!("Its log was removed {at}: {why}.")
                }
                _ => "Nothing was printed.".to_owned(),
            };
            canvas.put(area.x + 1, area.y, area.width - 1, &words, dim);
        } else {
            self.view_rows(env, canvas, content);
        }
        self.view_state_row(env, canvas, area);
    }

    fn view_rows(&self, env: &Env, canvas: &mut Canvas<'_>, content: Rect) {
        let gutter = self.gutter(content.width);
        let times = self.times_shown(content.width);
        let mut parsed: Option<(LinePlace, Printed)> = None;
        for (i, row) in self.visible(content.width, usize::from(content.height)).iter().enumerate() {
            let y = content.y + i as u16;
            let (from, to, first, last) = match &row.kind {
                RowKind::Note(words) => {
                    let dim = canvas.ink(Ink::Dim);
                    let width = usize::from(content.width.saturating_sub(2));
                    let head = text::cut_end(words, width.saturating_sub(8)).into_owned();
                    let used = text::width(&head) + 6;
                    let line = format!("──── {head} {}", "─".repeat(width.saturating_sub(used)));
                    canvas.put(content.x + 1, y, width as u16, &line, dim);
                    continue;
                }
                RowKind::Text { from, to, first, last } => (*from, *to, *first, *last),
            };
            let Some(line) = self.get(row.line) else { continue };
            if parsed.as_ref().is_none_or(|(n, _)| *n != row.line) {
                parsed = Some((row.line, ansi::printed(&line.bytes)));
            }
            let Some((_, printed)) = &parsed else { continue };
            if first && times != Times::Off {
                let words = match times {
                    Times::SinceStart => {
                        let start = self.started_at.unwrap_or(line.at);
                        format::since_start(start.until(line.at))
                    }
                    Times::Between => {
                        let before = self.index_of(row.line).and_then(|i| self.lines.get(i.checked_sub(1)?));
                        let before = before.map_or(line.at, |l| l.at);
                        format::since_start(before.until(line.at))
                    }
                    _ => format::clock_millis(line.at, env.zone),
                };
                let dim = canvas.ink(Ink::Dim);
                canvas.put(content.x + 1, y, 12, &words, dim);
            }
            let (mark, ink) = match line.stream {
                Stream::Stdout => ("▏", Ink::GutterOut),
                Stream::Stderr => ("▌", Ink::GutterErr),
            };
            let style = canvas.ink(ink);
            canvas.put(content.x + gutter - 1, y, 1, mark, style);
            let end = content.right().saturating_sub(1);
            let cut = line.cut && last;
            self.view_text(canvas, (content.x + gutter, y, end), row.line, printed, (from, to), cut);
        }
    }

    fn view_text(
        &self,
        canvas: &mut Canvas<'_>,
        (mut x, y, end): (u16, u16, u16),
        place: LinePlace,
        printed: &Printed,
        (from, to): (usize, usize),
        cut: bool,
    ) {
        let base = canvas.ink(Ink::Text);
        let matches: Vec<(usize, usize)> = match &self.search {
            Some(s) => s
                .regex
                .find_iter(&printed.text)
                .filter(|m| !m.is_empty())
                .take(200)
                .map(|m| (m.start(), m.end()))
                .collect(),
            None => Vec::new(),
        };
        let current = self.search.as_ref().is_some_and(|s| s.current == Some(place));
        let selected = self.selection.map(|(a, b)| if a <= b { (a, b) } else { (b, a) });
        let part = printed.text.get(from..to).unwrap_or_default();
        let part = if self.sideways > 0 { &part[text::head(part, self.sideways).len()..] } else { part };
        let offset = to.saturating_sub(part.len());
        for (at, grapheme) in part.grapheme_indices(true) {
            if x >= end {
                break;
            }
            let byte = offset + at;
            let mut style = base.patch(canvas.theme.depth.of_child(printed.style_at(byte)));
            if matches.iter().any(|(a, b)| (*a..*b).contains(&byte)) {
                style = style.patch(canvas.theme.ground(if current { Ground::MatchCurrent } else { Ground::Match }));
            }
            if selected.is_some_and(|(a, b)| (place, byte) >= a && (place, byte) < b) {
                style = style.patch(canvas.theme.ground(Ground::Selection)).remove_modifier(Modifier::UNDERLINED);
            }
            x = canvas.put_raw(x, y, end - x, grapheme, style);
        }
        if cut && x < end {
            let style: Style = canvas.ink(Ink::Dim);
            canvas.put(x, y, end - x, "… line goes on", style);
        }
    }

    fn view_state_row(&self, env: &Env, canvas: &mut Canvas<'_>, area: Rect) {
        let y = area.bottom() - 1;
        let dim = canvas.ink(Ink::Dim);
        if let Some(Typing::Search(edit) | Typing::Jump(edit)) = &self.typing {
            let sign = if matches!(self.typing, Some(Typing::Search(_))) { "/" } else { "Jump to" };
            let room = usize::from(area.width).saturating_sub(sign.len() + 4);
            let accent = canvas.bold(Ink::Accent);
            let x = canvas.put(area.x + 1, y, area.width - 1, sign, accent);
            let style = canvas.ink(Ink::Text);
            canvas.put(x + 1, y, room as u16, &edit.shown(room), style);
            return;
        }
        let wrap = if self.wrap { "wrap" } else { "no wrap" };
        let streams = match (self.known, self.terminal) {
            (false, _) => "–",
            (true, true) => "terminal",
            (true, false) => self.streams.word(),
        };
        let mut left = vec![streams.to_owned(), wrap.to_owned(), self.times_shown(area.width).word().to_owned()];
        if self.known {
            match (self.counted.percent, self.jump_number) {
                (100.., _) => left.push(format::plural(self.counted.lines, "line")),
                // What somebody waits for goes last.
                (percent, Some(number)) => {
                    let line = format::count(number.saturating_add(1));
                    left.insert(0, format!("counting to line {line}, {percent} %"));
                }
                (percent, None) => {
                    left.push(format!("{}+ lines, {percent} % counted", format::count(self.counted.lines)));
                }
            }
            left.push(format::size(self.total_bytes));
        } else {
            left.push("size not known yet".to_owned());
        }
        let right = self.right_words(env, area);
        let room = usize::from(area.width.saturating_sub(2));
        let right = text::cut_end(&right, room).into_owned();
        let space = room.saturating_sub(text::width(&right) + 1);
        // What does not fit goes whole, the size first.
        while left.len() > 1 && text::width(&left.join(" · ")) > space {
            left.pop();
        }
        let left = text::cut_end(&left.join(" · "), space).into_owned();
        canvas.put(area.x + 1, y, area.width - 1, &left, dim);
        canvas.put_right(area.right() - 1, y, room as u16, &right, dim);
    }
}
