//! Drawing: heads and rows.

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::column::fit;
use super::{Cell, Column, Entry, Row, Table};
use crate::draw::Canvas;
use crate::env::Env;
use crate::text;
use crate::theme::{Ground, Ink};

impl<R: Row> Table<R> {
    /// Draws head and rows into `area`, whose first row is the head.
    pub fn view(
        &self,
        env: &Env,
        canvas: &mut Canvas<'_>,
        area: Rect,
        columns: &[Column<R>],
        focused: bool,
        second_heads: bool,
    ) {
        if area.height == 0 || area.width < 8 {
            return;
        }
        let widths = fit(columns, area.width);
        let entries = self.entries(second_heads);
        let height = usize::from(area.height - 1);
        let first_is_ended = match entries.get(self.top) {
            Some(Entry::Row(i)) => !(self.rows[*i].is_live() || self.held == Some(self.rows[*i].number())),
            Some(Entry::EndedHead) => true,
            None => false,
        };
        head(canvas, area, columns, &widths, first_is_ended);
        for (row, entry) in entries.iter().skip(self.top).take(height).enumerate() {
            let y = area.y + 1 + row as u16;
            let line = Rect::new(area.x, y, area.width, 1);
            match entry {
                Entry::EndedHead if !self.ended_title.is_empty() => {
                    let dim = canvas.ink(Ink::Dim);
                    canvas.put(area.x + 2, y, area.width - 2, self.ended_title, dim);
                }
                Entry::EndedHead => head(canvas, line, columns, &widths, true),
                Entry::Row(i) => self.row(env, canvas, line, columns, &widths, &self.rows[*i], focused),
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one row of one drawing; a struct for one caller would say less")]
    fn row(
        &self,
        env: &Env,
        canvas: &mut Canvas<'_>,
        line: Rect,
        columns: &[Column<R>],
        widths: &[u16],
        row: &R,
        focused: bool,
    ) {
        let on = Some(row.number()) == self.cursor;
        let marked = self.marks.contains(&row.number());
        let mut x = line.x + 2;
        for (column, width) in columns.iter().zip(widths) {
            if *width == 0 {
                continue;
            }
            match (column.cell)(row, env) {
                Cell::Words(words, ink) => {
                    let style = if on && column.shrink == 0 && focused { canvas.bold(ink) } else { canvas.ink(ink) };
                    let cut = text::cut_end(&words, usize::from(*width)).into_owned();
                    canvas.put(x, line.y, *width, &cut, style);
                }
                Cell::Middle(words, ink) => {
                    let style = canvas.ink(ink);
                    let cut = text::cut_middle(&words, usize::from(*width)).into_owned();
                    canvas.put(x, line.y, *width, &cut, style);
                }
                Cell::Right(words, ink) => {
                    let style = canvas.ink(ink);
                    canvas.put_right(x + width, line.y, *width, &words, style);
                }
                Cell::State(class, word, live) => {
                    let word = text::cut_end(&word, usize::from(width.saturating_sub(2))).into_owned();
                    canvas.state(x, line.y, *width, class, &word, live);
                }
            }
            x += width + 2;
        }
        if marked {
            canvas.tint(line, canvas.theme.ground(Ground::Marked));
            let style = canvas.ink(Ink::Warn);
            canvas.put(line.x + 1, line.y, 1, "◆", style);
        }
        if on {
            canvas.select(line, if focused { Ground::Selection } else { Ground::SelectionWeak });
            let style = Style { fg: canvas.ink(Ink::Accent).fg, ..Style::new() };
            canvas.put(line.x, line.y, 1, "▸", style);
        }
    }
}

fn head<R>(canvas: &mut Canvas<'_>, area: Rect, columns: &[Column<R>], widths: &[u16], ended: bool) {
    let style = canvas.ink(Ink::Dim);
    let mut x = area.x + 2;
    for (column, width) in columns.iter().zip(widths) {
        if *width == 0 {
            continue;
        }
        let words = if ended && !column.ended_head.is_empty() { column.ended_head } else { column.head };
        if column.right {
            canvas.put_right(x + width, area.y, *width, words, style);
        } else {
            canvas.put(x, area.y, *width, words, style);
        }
        x += width + 2;
    }
}
