//! Selecting text with the mouse.

use ratatui::layout::Rect;

use super::{OutputPane, RowKind, Spot};
use crate::ansi;
use crate::text;

/// Phase of a drag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drag {
    /// The button went down.
    Begin,
    /// It moves.
    Move,
    /// It went up.
    End,
}

impl OutputPane {
    /// Begins, continues or ends a selection with the mouse. Gives the text when it has ended.
    pub fn drag(&mut self, column: u16, row: u16, phase: Drag, area: Rect) -> Option<String> {
        match phase {
            Drag::Begin => {
                self.selection = None;
                self.dragging = Self::content(area).contains((column, row).into());
                if self.dragging
                    && let Some(spot) = self.spot(column, row, area)
                {
                    self.let_go(area);
                    self.selection = Some((spot, spot));
                }
                None
            }
            Drag::Move if self.dragging => {
                if row < area.y {
                    self.scroll(-1, area);
                } else if row >= Self::content(area).bottom() {
                    self.scroll(1, area);
                }
                let content = Self::content(area);
                let row = row.clamp(content.y, content.bottom().saturating_sub(1).max(content.y));
                if let (Some(spot), Some((_, head))) = (self.spot(column, row, area), self.selection.as_mut()) {
                    *head = spot;
                }
                None
            }
            Drag::End if std::mem::take(&mut self.dragging) => {
                let moved = self.selection.is_some_and(|(a, b)| a != b);
                if !moved {
                    self.selection = None;
                }
                self.selected_text()
            }
            _ => None,
        }
    }

    fn spot(&self, column: u16, row: u16, area: Rect) -> Option<Spot> {
        let content = Self::content(area);
        let rows = self.visible(content.width, usize::from(content.height));
        let at = rows.get(usize::from(row.checked_sub(content.y)?))?;
        let RowKind::Text { from, to, .. } = at.kind else { return Some((at.line, 0)) };
        let plain = ansi::plain(&self.get(at.line)?.bytes);
        let cells = usize::from(column.saturating_sub(content.x + self.gutter(content.width))) + self.sideways;
        Some((at.line, from + text::head(plain.get(from..to)?, cells).len()))
    }

    /// The selected text: no gutter, no times, no breaks of our own.
    pub fn selected_text(&self) -> Option<String> {
        let (a, b) = self.selection?;
        let (from, to) = if a <= b { (a, b) } else { (b, a) };
        let mut out = String::new();
        for line in self.lines.iter().filter(|l| (from.0..=to.0).contains(&l.place)) {
            let plain = ansi::plain(&line.bytes);
            let start = if line.place == from.0 { from.1.min(plain.len()) } else { 0 };
            let end = if line.place == to.0 { to.1.min(plain.len()) } else { plain.len() };
            if line.place > from.0 {
                out.push('\n');
            }
            out.push_str(plain.get(start..end).unwrap_or_default());
        }
        (!out.is_empty()).then_some(out)
    }
}
