//! Columns, what stands in their cells, and how wide they are.

use crate::env::Env;
use crate::glyph::Class;
use crate::theme::Ink;

/// What stands in a cell.
#[derive(Debug, Clone)]
pub enum Cell {
    /// Words, cut at their end.
    Words(String, Ink),
    /// Words, cut in the middle: paths, branches, URLs.
    Middle(String, Ink),
    /// Figures, right-aligned.
    Right(String, Ink),
    /// Glyph and word of a state, and whether it is live.
    State(Class, String, bool),
}

impl Cell {
    /// Glyph of a state, with its word where the terminal has room for words.
    pub fn state(class: Class, word: &str, live: bool, env: &Env) -> Self {
        Self::State(class, if env.size.0 >= 70 { word.to_owned() } else { String::new() }, live)
    }

    /// Figures, or a dash where there are none.
    pub fn known(words: Option<String>, ink: Ink) -> Self {
        Self::Right(words.unwrap_or_else(|| "–".to_owned()), ink)
    }
}

/// One column. `min` is what it may shrink to; 0 lets it vanish.
pub struct Column<R> {
    /// Head over live rows.
    pub head: &'static str,
    /// Head over ended rows, when it differs.
    pub ended_head: &'static str,
    /// Its wish in cells.
    pub width: u16,
    /// Least width; at 0 it goes entirely.
    pub min: u16,
    /// Shrinks in rising order; 0 never shrinks.
    pub shrink: u8,
    /// Takes what is left over.
    pub grows: bool,
    /// Head and figures stand right.
    pub right: bool,
    /// Its content.
    pub cell: fn(&R, &Env) -> Cell,
}

impl<R> Column<R> {
    /// Words on the left.
    pub fn new(head: &'static str, width: u16, min: u16, shrink: u8, cell: fn(&R, &Env) -> Cell) -> Self {
        Self { head, ended_head: "", width, min, shrink, grows: false, right: false, cell }
    }

    /// Figures on the right, which go whole or stay whole.
    pub fn figures(head: &'static str, width: u16, shrink: u8, cell: fn(&R, &Env) -> Cell) -> Self {
        Self { right: true, ..Self::new(head, width, 0, shrink, cell) }
    }

    /// The state: its glyph never goes, its word only where no words are shown.
    pub fn status(words: bool, width: u16, cell: fn(&R, &Env) -> Cell) -> Self {
        let width = if words { width } else { 1 };
        Self::new(if words { "STATUS" } else { "" }, width, width, 0, cell)
    }

    /// With another head over ended rows.
    #[must_use]
    pub fn ended(self, head: &'static str) -> Self {
        Self { ended_head: head, ..self }
    }

    /// Takes what is left over.
    #[must_use]
    pub fn grows(self) -> Self {
        Self { grows: true, ..self }
    }
}

/// Cells that the longest name among rows needs, at least `least`: names of entities are never cut.
pub fn longest<'a, R: 'a>(rows: impl IntoIterator<Item = &'a R>, least: u16, name: impl Fn(&R) -> String) -> u16 {
    rows.into_iter().map(|r| crate::text::width(&name(r)) as u16).max().unwrap_or(0).max(least)
}

/// Widths of the columns in `total` cells: cursor and mark take two, two cells stand between.
pub fn fit<R>(columns: &[Column<R>], total: u16) -> Vec<u16> {
    let mut widths: Vec<u16> = columns.iter().map(|c| c.width).collect();
    let needed = |w: &[u16]| 2 + w.iter().filter(|w| **w > 0).map(|w| w + 2).sum::<u16>().saturating_sub(2);
    let mut order: Vec<usize> = (0..columns.len()).filter(|i| columns[*i].shrink > 0).collect();
    order.sort_by_key(|i| columns[*i].shrink);
    for i in order {
        let over = needed(&widths).saturating_sub(total);
        if over == 0 {
            break;
        }
        if columns[i].min == 0 {
            widths[i] = 0;
        } else {
            widths[i] = widths[i].saturating_sub(over).max(columns[i].min);
        }
    }
    // One cell of margin at the right where there is room for it.
    let spare = total.saturating_sub(needed(&widths));
    if let Some(i) = columns.iter().position(|c| c.grows)
        && widths[i] > 0
    {
        let margin = u16::from(spare > 0 && total != 80);
        widths[i] += spare - margin.min(spare);
    }
    widths
}
