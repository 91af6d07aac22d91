//! Writing cells: clipped, width-aware, with our own characters mapped to ASCII when asked for.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use unicode_segmentation::UnicodeSegmentation;

use crate::glyph::{Class, ascii};
use crate::text;
use crate::theme::{Ground, Ink, Theme};

/// A buffer with a theme. Nothing outside it writes a cell.
pub struct Canvas<'a> {
    buf: &'a mut Buffer,
    /// Colours.
    pub theme: Theme,
    /// Use the ASCII set.
    pub ascii: bool,
}

/// How a title rule's right end is coloured.
pub type RightEnd<'a> = (&'a str, Ink);

impl<'a> Canvas<'a> {
    /// Draws into `buf`.
    pub fn new(buf: &'a mut Buffer, theme: Theme, ascii: bool) -> Self {
        Self { buf, theme, ascii }
    }

    /// The whole drawing area.
    pub fn area(&self) -> Rect {
        self.buf.area
    }

    /// Style of a token.
    pub fn ink(&self, ink: Ink) -> Style {
        self.theme.ink(ink)
    }

    /// Style of a token, bold.
    pub fn bold(&self, ink: Ink) -> Style {
        self.theme.ink(ink).add_modifier(Modifier::BOLD)
    }

    /// Writes at most `max` cells of our own words; returns the column behind the last one.
    pub fn put(&mut self, x: u16, y: u16, max: u16, words: &str, style: Style) -> u16 {
        self.write(x, y, max, words, style, self.ascii)
    }

    /// Writes what a child printed: never mapped, but as safe as all else.
    pub fn put_raw(&mut self, x: u16, y: u16, max: u16, words: &str, style: Style) -> u16 {
        self.write(x, y, max, words, style, false)
    }

    fn write(&mut self, mut x: u16, y: u16, max: u16, words: &str, style: Style, map: bool) -> u16 {
        let area = self.buf.area;
        if y < area.top() || y >= area.bottom() {
            return x;
        }
        let end = x.saturating_add(max).min(area.right());
        for grapheme in words.graphemes(true) {
            let cells = text::cells(grapheme) as u16;
            if cells == 0 {
                continue;
            }
            if x + cells > end {
                // A wide character at the edge becomes a blank.
                if x < end && cells == 2 {
                    self.set(x, y, " ", style);
                    x += 1;
                }
                break;
            }
            let mut symbol = text::safe(grapheme);
            if map && let Some(plain) = ascii(symbol) {
                symbol = plain;
            }
            self.set(x, y, symbol, style);
            if cells == 2 {
                // Hidden under the wide character; a blank, as ratatui's own writers leave it.
                self.set(x + 1, y, " ", style);
            }
            x += cells;
        }
        x
    }

    fn set(&mut self, x: u16, y: u16, symbol: &str, style: Style) {
        if let Some(cell) = self.buf.cell_mut((x, y)) {
            cell.set_symbol(symbol);
            cell.set_style(style);
        }
    }

    /// Writes right-aligned, ending before column `right`.
    pub fn put_right(&mut self, right: u16, y: u16, max: u16, words: &str, style: Style) {
        let cut = text::cut_end(words, usize::from(max));
        let x = right.saturating_sub(text::width(&cut) as u16);
        self.put(x, y, max, &cut, style);
    }

    /// Blanks an area.
    pub fn clear(&mut self, area: Rect, style: Style) {
        let area = area.intersection(self.buf.area);
        for y in area.top()..area.bottom() {
            // A wide character that began before the area has lost its second half.
            if let Some(before) = area.x.checked_sub(1).and_then(|x| self.buf.cell_mut((x, y)))
                && text::cells(before.symbol()) == 2
            {
                before.set_symbol(" ");
            }
            for x in area.left()..area.right() {
                if let Some(cell) = self.buf.cell_mut((x, y)) {
                    cell.reset();
                    cell.set_style(style);
                }
            }
        }
    }

    /// What went wrong, wrapped, where the thing would be.
    pub fn trouble(&mut self, area: Rect, words: &str) {
        let style = self.ink(Ink::Bad);
        let line = format!("✗ {words}");
        let rows = text::wrap(&line, usize::from(area.width.saturating_sub(2)));
        for (y, (from, to)) in (area.top()..area.bottom()).zip(rows) {
            self.put(area.x + 1, y, area.width.saturating_sub(1), &line[from..to], style);
        }
    }

    /// Lays a style over the cells of an area without changing their characters.
    pub fn tint(&mut self, area: Rect, style: Style) {
        let area = area.intersection(self.buf.area);
        self.buf.set_style(area, style);
    }

    /// Lays the selection over a row. High contrast, sixteen colours and none take it whole; else status colours stay.
    pub fn select(&mut self, area: Rect, ground: Ground) {
        let style = self.theme.ground(ground);
        let area = area.intersection(self.buf.area);
        let whole = self.theme.variant == crate::theme::Variant::HighContrast;
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                if let Some(cell) = self.buf.cell_mut((x, y)) {
                    let keep = !whole && cell.fg != self.theme.ink(Ink::Text).fg.unwrap_or_default();
                    let fg = cell.fg;
                    cell.set_style(style);
                    if keep && style.fg.is_some() {
                        cell.fg = fg;
                    }
                }
            }
        }
    }

    /// Draws a foreign widget, clipped.
    pub fn widget(&mut self, area: Rect, widget: impl ratatui::widgets::Widget) {
        let area = area.intersection(self.buf.area);
        if !area.is_empty() {
            widget.render(area, self.buf);
        }
    }

    /// Draws what lies under a dialog dim.
    pub fn dim_all(&mut self) {
        let dim = self.theme.ink(Ink::Dim);
        for cell in &mut self.buf.content {
            let symbol = cell.symbol().to_owned();
            cell.reset();
            cell.set_symbol(&symbol);
            cell.set_style(dim);
        }
    }

    /// A title rule: `━ Runs ━━━━━ 1–40 of 1,042 ━`.
    pub fn title_rule(&mut self, area: Rect, title: &str, right: &[RightEnd<'_>], focused: bool) {
        if area.width == 0 {
            return;
        }
        let (line, rule) = if focused { ("━", self.ink(Ink::Accent)) } else { ("─", self.ink(Ink::Rule)) };
        let title_style = if focused { self.bold(Ink::Text) } else { self.ink(Ink::Text) };
        for x in area.left()..area.right() {
            self.put(x, area.y, 1, line, rule);
        }
        let ends: usize = right.iter().map(|(words, _)| text::width(words) + 3).sum();
        let ends = if ends + 8 <= usize::from(area.width) { ends as u16 } else { 0 };
        let room = area.width.saturating_sub(4 + ends);
        if room > 0 && !title.is_empty() {
            let cut = text::cut_end(title, usize::from(room)).into_owned();
            self.put(area.x + 1, area.y, room + 2, &format!(" {cut} "), title_style);
        }
        if ends > 0 {
            let mut x = area.right() - ends;
            for (words, ink) in right {
                let style = self.ink(*ink);
                x = self.put(x, area.y, ends, &format!(" {words} "), style);
                x += 1;
            }
        }
    }

    /// A dialog's frame with a title above and words below at the right; returns the area inside.
    pub fn dialog(&mut self, area: Rect, title: &str, below: &str) -> Rect {
        let area = area.intersection(self.buf.area);
        let ground = self.theme.ground(Ground::Dialog);
        self.clear(area, ground);
        if area.width < 4 || area.height < 3 {
            return Rect::new(area.x, area.y, 0, 0);
        }
        let rule = ground.patch(Style { fg: self.ink(Ink::Rule).fg, ..Style::new() });
        let (last_x, last_y) = (area.right() - 1, area.bottom() - 1);
        for x in area.x + 1..last_x {
            self.put(x, area.y, 1, "─", rule);
            self.put(x, last_y, 1, "─", rule);
        }
        for y in area.y + 1..last_y {
            self.put(area.x, y, 1, "│", rule);
            self.put(last_x, y, 1, "│", rule);
        }
        for (x, y, corner) in
            [(area.x, area.y, "┌"), (last_x, area.y, "┐"), (area.x, last_y, "└"), (last_x, last_y, "┘")]
        {
            self.put(x, y, 1, corner, rule);
        }
        let room = area.width.saturating_sub(6);
        let head = text::cut_end(title, usize::from(room)).into_owned();
        self.put(area.x + 2, area.y, room + 2, &format!(" {head} "), ground.add_modifier(Modifier::BOLD));
        if !below.is_empty() {
            let foot = text::cut_end(below, usize::from(room)).into_owned();
            self.put_right(last_x - 1, last_y, room + 2, &format!(" {foot} "), ground);
        }
        Rect::new(area.x + 1, area.y + 1, area.width - 2, area.height - 2)
    }

    /// What is written with in a dialog: words, keys, and what explains.
    pub fn dialog_inks(&self) -> (Style, Style, Style) {
        let ground = self.theme.ground(Ground::Dialog);
        (ground, ground.patch(self.bold(Ink::Accent)), ground.patch(self.ink(Ink::Dim)))
    }

    /// Glyph and word of a state.
    pub fn state(&mut self, x: u16, y: u16, max: u16, class: Class, word: &str, live: bool) -> u16 {
        let glyph = self.ink(class.ink());
        let style = match class {
            Class::NeedsPerson => self.bold(Ink::Warn),
            _ if live => self.ink(Ink::Text),
            _ => self.ink(Ink::Dim),
        };
        let x = self.put(x, y, max.min(1), class.glyph(), glyph);
        if word.is_empty() || max < 3 { x } else { self.put(x + 1, y, max - 2, word, style) }
    }
}
