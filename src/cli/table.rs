//! Tables for people: on a terminal with colour and cut to its width, elsewhere plain and whole.

use std::io::IsTerminal as _;

use wharf_ui::glyph::{self, Class};
use wharf_ui::text::width;

use super::context::{Context, print};
use super::error::Result;

/// One cell.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    text: String,
    class: Option<Class>,
    right: bool,
}

impl Cell {
    /// Text at the left.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Text that may be missing.
    pub fn maybe(text: Option<impl Into<String>>) -> Self {
        Self::text(text.map_or_else(|| "–".to_owned(), Into::into))
    }

    /// A figure, at the right.
    pub fn figure(text: Option<String>) -> Self {
        Self { text: text.unwrap_or_else(|| "–".to_owned()), class: None, right: true }
    }

    /// A state: glyph and word in the colour of its class.
    pub fn state(class: Class, word: &str) -> Self {
        Self { text: format!("{} {word}", class.glyph()), class: Some(class), right: false }
    }
}

/// A table with a header.
#[derive(Debug, Clone)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; it has one cell for each column.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Prints it; an empty one prints nothing.
    pub fn print(&self, context: &Context, header: bool) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let columns = std::io::stdout()
            .is_terminal()
            .then(|| crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns)))
            .flatten()
            .filter(|columns| *columns > 0);
        let style = Style { colour: context.colour(), ascii: context.global.ascii, columns };
        print(self.render(header, style).as_bytes())
    }

    fn render(&self, header: bool, style: Style) -> String {
        let shown: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(|cell| tidy(&cell.text, style.ascii)).collect()).collect();
        let widths: Vec<usize> = (0..self.header.len())
            .map(|i| {
                let cells = shown.iter().filter_map(|row| row.get(i)).map(|text| width(text));
                cells.chain(header.then(|| width(self.header[i]))).max().unwrap_or(0)
            })
            .collect();
        let mut out = String::new();
        if header {
            let right: Vec<bool> = (0..self.header.len())
                .map(|i| self.rows.first().and_then(|r| r.get(i)).is_some_and(|c| c.right))
                .collect();
            let cells = self.header.iter().zip(&right).map(|(text, right)| ((*text).to_owned(), *right, None));
            line(&mut out, cells, &widths, style);
        }
        for (row, texts) in self.rows.iter().zip(shown) {
            let cells = row.iter().zip(texts).map(|(cell, text)| (text, cell.right, cell.class));
            line(&mut out, cells, &widths, style);
        }
        out
    }
}

/// How a table is printed.
#[derive(Debug, Clone, Copy)]
struct Style {
    colour: bool,
    ascii: bool,
    /// Width of the terminal; none: nothing is cut.
    columns: Option<usize>,
}

fn line(out: &mut String, cells: impl Iterator<Item = (String, bool, Option<Class>)>, widths: &[usize], style: Style) {
    let mut used = 0;
    let mut text = String::new();
    for (i, ((cell, right, class), room)) in cells.zip(widths).enumerate() {
        let gap = if i == 0 { 0 } else { 2 };
        let left = style.columns.map_or(usize::MAX, |columns| columns.saturating_sub(used + gap));
        if left == 0 {
            break;
        }
        let cell = if width(&cell) > left { cut(&cell, left, style.ascii) } else { cell };
        let pad = " ".repeat(room.min(&left).saturating_sub(width(&cell)));
        let painted = match class.filter(|_| style.colour) {
            Some(class) => format!("\u{1b}[{}m{cell}\u{1b}[0m", sgr(class)),
            None => cell,
        };
        text.push_str(&" ".repeat(gap));
        text.push_str(&if right { format!("{pad}{painted}") } else { format!("{painted}{pad}") });
        used += gap + room;
    }
    out.push_str(text.trim_end());
    out.push('\n');
}

/// Text of strangers without characters that a terminal obeys; with `ascii`, glyphs replaced.
pub fn tidy(text: &str, ascii: bool) -> String {
    let harmless = crate::config::harmless(text);
    if !ascii {
        return harmless;
    }
    harmless
        .chars()
        .map(|c| glyph::ascii(c.encode_utf8(&mut [0; 4])).map_or_else(|| c.to_string(), str::to_owned))
        .collect()
}

fn cut(text: &str, room: usize, ascii: bool) -> String {
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = width(c.encode_utf8(&mut [0; 4]));
        if used + w + 1 > room {
            break;
        }
        out.push(c);
        used += w;
    }
    out.push(if ascii { '~' } else { '…' });
    out
}

/// The colour of a class, from the sixteen that every terminal has.
pub const fn sgr(class: Class) -> &'static str {
    match class {
        Class::Alive | Class::Good => "32",
        Class::Doubtful | Class::NeedsPerson | Class::Ending | Class::Unknown => "33",
        Class::Clock => "36",
        Class::Waits | Class::Chosen => "2",
        Class::Bad => "31",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["RUN", "STATUS", "TOOK", "ERROR"]);
        table.row(vec![
            Cell::text("R-1"),
            Cell::state(Class::Bad, "failed"),
            Cell::figure(Some("0m04".into())),
            Cell::text("a long\u{1b}[31m story"),
        ]);
        table.row(vec![Cell::text("R-12"), Cell::state(Class::Good, "done"), Cell::figure(None), Cell::text("")]);
        table
    }

    #[test]
    fn plain_ones_are_whole_and_harmless() {
        let style = Style { colour: false, ascii: false, columns: None };
        let expected = "RUN   STATUS    TOOK  ERROR\nR-1   ✗ failed  0m04  a long·[31m story\nR-12  ✓ done       –\n";
        assert_eq!(table().render(true, style), expected);
        let style = Style { ascii: true, ..style };
        assert_eq!(table().render(false, style), "R-1   x failed  0m04  a long-[31m story\nR-12  + done       -\n");
    }

    #[test]
    fn on_a_terminal_they_are_coloured_and_cut() {
        let style = Style { colour: true, ascii: false, columns: Some(26) };
        let shown = table().render(false, style);
        assert!(shown.contains("\u{1b}[31m✗ failed\u{1b}[0m"), "{shown:?}");
        assert!(shown.contains("a l…"), "{shown:?}");
    }
}
