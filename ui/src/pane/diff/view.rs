//! Drawing: summary, files, hunks with both line numbers, the state row.

use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use unicode_segmentation::UnicodeSegmentation;

use super::{At, DiffPane, REMARKS_MAX, Row, motion};
use crate::draw::Canvas;
use crate::env::Env;
use crate::format;
use crate::rows::{DiffFile, DiffKind, DiffLine, DiffListing};
use crate::text;
use crate::theme::{Ground, Ink};

/// Cells of the two number columns, at least.
const OLD: u16 = 6;
const NEW: u16 = 5;

impl DiffPane {
    /// Draws everything.
    pub fn view(&self, env: &Env, canvas: &mut Canvas<'_>, area: Rect, focused: bool) {
        if area.height == 0 || area.width < 20 {
            return;
        }
        let dim = canvas.ink(Ink::Dim);
        match &self.listing {
            None => {
                let age = self.asked_at.map_or(0, |at| at.until(env.now));
                let words = if age >= 1000 { format!("reading… {}s", age / 1000) } else { "reading…".to_owned() };
                canvas.put(area.x + 1, area.y, area.width - 1, &words, dim);
            }
            Some(Err(words)) => canvas.trouble(area, words),
            Some(Ok(listing)) => self.view_listing(listing, env, canvas, area, focused),
        }
    }

    fn view_listing(&self, listing: &DiffListing, env: &Env, canvas: &mut Canvas<'_>, area: Rect, focused: bool) {
        let room = motion::room(area, listing.files.len(), listing.remarks.len(), self.rows.len());
        head(listing, canvas, Rect { height: room.head, ..area });
        if listing.files.is_empty() {
            let dim = canvas.ink(Ink::Dim);
            if area.height > room.head + 1 {
                let words = "Nothing differs.";
                canvas.put(area.x + 1, area.y + room.head + 1, area.width - 1, words, dim);
            }
        }
        let files = Rect { y: area.y + room.head, height: room.files, ..area };
        for (i, file) in listing.files.iter().enumerate().skip(self.top_file).take(usize::from(room.files)) {
            let row = Rect { y: files.y + (i - self.top_file) as u16, height: 1, ..files };
            self.file(file, canvas, row);
            self.select(At::File(i), canvas, row, focused);
        }
        let below = Rect { y: files.bottom() + 1, height: room.rows, ..area };
        for (i, row) in self.rows.iter().enumerate().skip(self.top_row).take(usize::from(room.rows)) {
            let place = Rect { y: below.y + (i - self.top_row) as u16, height: 1, ..below };
            match *row {
                Row::Blank => {}
                Row::Head(f, h) => self.hunk_head(listing, f, h, canvas, place),
                Row::Line(f, h, l) => {
                    let line = self.hunks(f).and_then(|hunks| hunks.hunks.get(h)?.lines.get(l));
                    if let Some(line) = line {
                        self.line(line, canvas, place);
                    }
                }
                Row::Words(f) => self.words(listing, f, canvas, place),
            }
            self.select(At::Row(i), canvas, place, focused);
        }
        if area.height > room.head {
            self.state(listing, env, canvas, Rect { y: area.bottom() - 1, height: 1, ..area });
        }
    }

    fn select(&self, at: At, canvas: &mut Canvas<'_>, row: Rect, focused: bool) {
        if self.cursor == at {
            canvas.select(row, if focused { Ground::Selection } else { Ground::SelectionWeak });
        }
    }

    fn file(&self, file: &DiffFile, canvas: &mut Canvas<'_>, row: Rect) {
        let (x, y, right) = (row.x + 1, row.y, row.right() - 1);
        let dim = canvas.ink(Ink::Dim);
        canvas.put(x, y, 1, if self.is_unfolded(&file.path) { "▾" } else { "▸" }, dim);
        let letter = match file.letter {
            'A' | '?' => Ink::Ok,
            'D' => Ink::Bad,
            'U' => Ink::Warn,
            _ => Ink::Dim,
        };
        let letter = canvas.ink(letter);
        canvas.put_right(right, y, 1, &file.letter.to_string(), letter);
        let mut end = right.saturating_sub(3);
        if let Some((added, removed)) = file.counts {
            let (add, del) = (canvas.ink(Ink::DiffAdd), canvas.ink(Ink::DiffDel));
            let removed = format!("−{removed}");
            canvas.put_right(end, y, 8, &removed, del);
            end = end.saturating_sub((text::width(&removed) as u16).max(2) + 2);
            let added = format!("+{added}");
            canvas.put_right(end, y, 8, &added, add);
            end = end.saturating_sub(text::width(&added) as u16);
        } else {
            let room = row.width / 2;
            let words = text::cut_end(&file.note, usize::from(room)).into_owned();
            canvas.put_right(end, y, room, &words, dim);
            end = end.saturating_sub(text::width(&words) as u16);
        }
        let room = end.saturating_sub(x + 3);
        let name = match &file.old_path {
            Some(old) => format!("{old} → {}", file.path),
            None => file.path.clone(),
        };
        let name = text::cut_middle(&name, usize::from(room)).into_owned();
        let ink = canvas.ink(if file.letter == 'D' { Ink::Dim } else { Ink::Text });
        self.searched(canvas, x + 2, y, room, &name, ink);
    }

    fn hunk_head(&self, listing: &DiffListing, f: usize, h: usize, canvas: &mut Canvas<'_>, row: Rect) {
        let Some((hunks, file)) = self.hunks(f).zip(listing.files.get(f)) else { return };
        let Some(hunk) = hunks.hunks.get(h) else { return };
        let ((old, old_n), (new, new_n)) = (hunk.old, hunk.new);
        let place = format!("@@ −{old},{old_n} +{new},{new_n}");
        let (dim, accent) = (canvas.ink(Ink::Dim), canvas.ink(Ink::Accent));
        let room = row.width.saturating_sub(text::width(&place) as u16 + 3);
        let count = format!("   hunk {} of {}", h + 1, hunks.hunks.len());
        let name = text::cut_middle(&file.path, usize::from(room).saturating_sub(text::width(&count))).into_owned();
        let x = canvas.put(row.x + 1, row.y, room, &name, accent);
        canvas.put(x, row.y, room.saturating_sub(x - row.x - 1), &count, dim);
        canvas.put_right(row.right() - 1, row.y, row.width / 2, &place, dim);
    }

    fn words(&self, listing: &DiffListing, f: usize, canvas: &mut Canvas<'_>, row: Rect) {
        let Some(file) = listing.files.get(f) else { return };
        let (words, ink) = match self.lines.get(&file.path) {
            None => ("reading…", Ink::Dim),
            Some((_, Err(words))) => (words.as_str(), Ink::Bad),
            Some((_, Ok(lines))) => (lines.remark.as_deref().unwrap_or("nothing in it differs"), Ink::Dim),
        };
        let style = canvas.ink(ink);
        let accent = canvas.ink(Ink::Accent);
        let room = row.width.saturating_sub(1);
        let name = text::cut_middle(&file.path, usize::from(room / 2)).into_owned();
        let x = canvas.put(row.x + 1, row.y, room, &name, accent);
        canvas.put(x + 3, row.y, row.right().saturating_sub(x + 3), words, style);
    }

    fn line(&self, line: &DiffLine, canvas: &mut Canvas<'_>, row: Rect) {
        let dim = canvas.ink(Ink::Dim);
        let digits = |n: Option<u32>| n.map_or_else(String::new, |n| n.to_string());
        let (old, new) = (digits(line.old), digits(line.new));
        let (x, y) = (row.x, row.y);
        let old_end = x + OLD.max(old.len() as u16 + 1);
        let new_end = old_end + NEW.max(new.len() as u16 + 1);
        canvas.put_right(old_end, y, OLD + 4, &old, dim);
        canvas.put_right(new_end, y, NEW + 4, &new, dim);
        let (sign, ink, ground) = match line.kind {
            DiffKind::Context => (" ", Ink::Text, Ground::Match),
            DiffKind::Added => ("+", Ink::DiffAdd, Ground::DiffAddWord),
            DiffKind::Removed => ("−", Ink::DiffDel, Ground::DiffDelWord),
        };
        let style = canvas.ink(ink);
        canvas.put(new_end + 1, y, 1, sign, style);
        let from = new_end + 4;
        let room = row.right().saturating_sub(from);
        let marked = canvas.theme.ground(ground);
        let hits = self.hits_in(&line.text);
        let found = canvas.theme.ground(Ground::Match);
        let style_of = |at: usize| -> Style {
            let within = |ranges: &[std::ops::Range<usize>]| ranges.iter().any(|r| r.contains(&at));
            if within(&hits) {
                style.patch(found)
            } else if within(&line.marks) {
                style.patch(marked)
            } else {
                style
            }
        };
        let x = self.scrolled(canvas, from, y, room, &line.text, style_of);
        if line.unended && x + 2 < row.right() {
            canvas.put(x + 1, y, row.right() - x - 1, "no line break at the end", dim);
        }
    }

    /// Writes a text from the cell on that is scrolled to; returns the column behind it.
    fn scrolled(
        &self,
        canvas: &mut Canvas<'_>,
        from: u16,
        y: u16,
        room: u16,
        words: &str,
        style_of: impl Fn(usize) -> Style,
    ) -> u16 {
        let mut cell = 0usize;
        let mut x = from;
        let end = from + room;
        for (at, grapheme) in words.grapheme_indices(true) {
            let width = text::cells(grapheme);
            if cell >= self.sideways && x < end {
                x = canvas.put_raw(x, y, end - x, grapheme, style_of(at));
            }
            cell += width;
            if x >= end {
                // What goes on is said.
                if cell < text::width(words) + self.sideways && at + grapheme.len() < words.len() {
                    let dim = canvas.ink(Ink::Dim);
                    canvas.put(end - 1, y, 1, "…", dim);
                }
                break;
            }
        }
        x
    }

    fn hits_in(&self, words: &str) -> Vec<std::ops::Range<usize>> {
        self.search.as_ref().map_or_else(Vec::new, |s| s.regex.find_iter(words).map(|m| m.range()).take(100).collect())
    }

    fn searched(&self, canvas: &mut Canvas<'_>, x: u16, y: u16, room: u16, words: &str, style: Style) {
        canvas.put_raw(x, y, room, words, style);
        let found = canvas.theme.ground(Ground::Match);
        for hit in self.hits_in(words) {
            let from = x + text::width(&words[..hit.start]) as u16;
            let width = text::width(&words[hit.clone()]) as u16;
            canvas.tint(Rect::new(from, y, width.min((x + room).saturating_sub(from)), 1), found);
        }
    }

    fn state(&self, listing: &DiffListing, env: &Env, canvas: &mut Canvas<'_>, row: Rect) {
        let dim = canvas.ink(Ink::Dim);
        let (x, room) = (row.x + 1, row.width.saturating_sub(2));
        if let Some(typing) = &self.typing {
            let text_ink = canvas.ink(Ink::Text);
            let at = canvas.put(x, row.y, room, "/ ", dim);
            let end = canvas.put(at, row.y, room.saturating_sub(2), typing.0.text(), text_ink);
            canvas.put(end, row.y, 1, " ", text_ink.add_modifier(Modifier::REVERSED));
            return;
        }
        let right = match &self.search {
            Some(search) => {
                let at = search.hits.iter().position(|h| *h == self.cursor);
                let round = if search.wrapped { " · wrapped round" } else { "" };
                match (at, search.hits.len()) {
                    (_, 0) => format!("/{} · no match in what is unfolded", search.words),
                    (Some(i), n) => format!("/{} · {} of {}{round}", search.words, i + 1, format::count(n as u64)),
                    (None, n) => format!("/{} · {} found", search.words, format::count(n as u64)),
                }
            }
            None => format!("read {}", format::clock(listing.read_at, env.zone)),
        };
        let left = match self.cursor {
            At::File(f) if !listing.files.is_empty() => {
                format!("file {} of {}", format::count(f as u64 + 1), format::count(listing.files.len() as u64))
            }
            At::File(_) => String::new(),
            At::Row(r) => {
                let hunk = self.rows.get(..=r).and_then(|rows| {
                    rows.iter().rev().find_map(|row| if let Row::Head(f, h) = *row { Some((f, h)) } else { None })
                });
                let of = hunk.and_then(|(f, h)| Some((h, self.hunks(f)?.hunks.len())));
                of.map_or_else(String::new, |(h, n)| format!("hunk {} of {n}", h + 1))
            }
        };
        let left = if self.sideways > 0 { format!("{left} · from column {}", self.sideways + 1) } else { left };
        canvas.put(x, row.y, room, &left, dim);
        canvas.put_right(row.right() - 1, row.y, room.saturating_sub(text::width(&left) as u16 + 2), &right, dim);
    }
}

/// How much differs, between what, and what has to be known.
fn head(listing: &DiffListing, canvas: &mut Canvas<'_>, area: Rect) {
    let (text_ink, dim) = (canvas.ink(Ink::Text), canvas.ink(Ink::Dim));
    let (add, del) = (canvas.ink(Ink::DiffAdd), canvas.ink(Ink::DiffDel));
    let right = area.right().saturating_sub(1);
    let room = |x: u16| right.saturating_sub(x);
    let (mut added, mut removed, mut all) = (0u64, 0u64, true);
    for file in &listing.files {
        match file.counts {
            Some((a, r)) => (added, removed) = (added + u64::from(a), removed + u64::from(r)),
            None => all &= !file.note.is_empty(),
        }
    }
    let x = area.x + 1;
    let x = canvas.put(x, area.y, room(x), &format::plural(listing.files.len() as u64, "file"), text_ink);
    let x = canvas.put(x + 2, area.y, room(x + 2), &format!("+{}", format::count(added)), add);
    let x = canvas.put(x + 1, area.y, room(x + 1), &format!("−{}", format::count(removed)), del);
    let x = if all { x } else { canvas.put(x, area.y, room(x), " at least", dim) };
    let words = format!("{}   {}", listing.base, listing.end);
    let words = text::cut_end(&words, usize::from(room(x + 3))).into_owned();
    canvas.put(x + 3, area.y, room(x + 3), &words, dim);
    let warn = canvas.ink(Ink::Warn);
    for (i, remark) in listing.remarks.iter().take(REMARKS_MAX).enumerate() {
        let y = area.y + 1 + i as u16;
        if y >= area.bottom() {
            break;
        }
        let more = listing.remarks.len() - REMARKS_MAX.min(listing.remarks.len());
        let more = if i + 1 == REMARKS_MAX && more > 0 { format!(" (and {more} more)") } else { String::new() };
        canvas.put(area.x + 1, y, 1, "▲", warn);
        let width = usize::from(area.width.saturating_sub(4)).saturating_sub(text::width(&more));
        let words = text::cut_end(remark, width).into_owned() + &more;
        canvas.put(area.x + 3, y, area.width.saturating_sub(4), &words, text_ink);
    }
}
