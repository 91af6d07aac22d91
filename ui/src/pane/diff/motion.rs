//! Where cursor and windows are.

use ratatui::layout::Rect;

use super::{At, DiffPane, REMARKS_MAX, Room, Row};
use crate::screen::Motion;

/// Rows between the cursor and the edge of its window.
const MARGIN: usize = 2;
/// Cells of one step to the side.
const SIDE: i64 = 8;
const SIDEWAYS_MAX: i64 = 100_000;

impl DiffPane {
    /// Fits cursor and windows into the area.
    pub(super) fn fit(&mut self, area: Rect) {
        let (files, remarks) = self.listed().map_or((0, 0), |l| (l.files.len(), l.remarks.len()));
        self.room = room(area, files, remarks, self.rows.len());
        self.cursor = match self.cursor {
            At::Row(_) if self.rows.is_empty() => At::File(0),
            At::Row(r) => At::Row(r.min(self.rows.len() - 1)),
            At::File(f) => At::File(f.min(files.saturating_sub(1))),
        };
        if let Some(path) = self.show.clone()
            && let Some(f) = self.listed().and_then(|l| l.files.iter().position(|file| file.path == path))
            && let Some(row) = self.rows.iter().position(|r| Self::file_of(*r) == Some(f))
        {
            self.top_row = row;
            // Until its lines are there it may still have to give way.
            if self.lines.contains_key(&path) {
                self.show = None;
            }
        }
        match self.cursor {
            At::File(f) => self.top_file = window(self.top_file, f, self.room.files, files),
            At::Row(r) => self.top_row = window(self.top_row, r, self.room.rows, self.rows.len()),
        }
        let last = |n: usize, room: u16| n.saturating_sub(usize::from(room));
        self.top_file = self.top_file.min(last(files, self.room.files));
        self.top_row = self.top_row.min(last(self.rows.len(), self.room.rows));
    }

    /// Moves the cursor, or the lines to the side.
    pub fn motion(&mut self, motion: Motion) {
        let files = self.listed().map_or(0, |l| l.files.len());
        let page = match self.cursor {
            At::File(_) => i64::from(self.room.files.max(3)) - 2,
            At::Row(_) => i64::from(self.room.rows.max(3)) - 2,
        };
        let by = match motion {
            Motion::Rows(n) => n,
            Motion::HalfPages(n) => n * (page / 2).max(1),
            Motion::Pages(n) => n * page.max(1),
            Motion::First => i64::MIN,
            Motion::Last => i64::MAX,
            Motion::Sideways(n) => {
                self.sideways = (self.sideways as i64 + n * SIDE).clamp(0, SIDEWAYS_MAX) as usize;
                return;
            }
        };
        let all = files + self.rows.len();
        let at = match self.cursor {
            At::File(f) => f,
            At::Row(r) => files + r,
        };
        let to = (at as i64).saturating_add(by).clamp(0, (all as i64 - 1).max(0)) as usize;
        self.go(if to < files { At::File(to) } else { At::Row(to - files) });
    }

    /// Puts the cursor somewhere.
    pub(super) fn go(&mut self, to: At) {
        self.show = None;
        self.cursor = to;
    }

    /// To the beginning of the next hunk, or of the one before; `false` when there is none.
    pub fn next_hunk(&mut self, back: bool) -> bool {
        let is_head = |row: &Row| matches!(row, Row::Head(..));
        let to = match self.cursor {
            At::File(_) if back => None,
            // From a file to its own first hunk, else to the first behind it.
            At::File(f) => self
                .rows
                .iter()
                .position(|row| is_head(row) && Self::file_of(*row) >= Some(f))
                .or_else(|| self.rows.iter().position(is_head)),
            At::Row(r) if back => self.rows[..r.min(self.rows.len())].iter().rposition(is_head),
            At::Row(r) => self.rows.iter().skip(r + 1).position(is_head).map(|n| r + 1 + n),
        };
        if let Some(row) = to {
            self.go(At::Row(row));
            // The whole hunk, as far as it fits.
            self.top_row = row;
        }
        to.is_some()
    }

    /// A click: the cursor goes there; on a file it folds or unfolds it.
    pub fn click(&mut self, y: u16, area: Rect) {
        let room = self.room;
        let row = y.saturating_sub(area.y);
        let files = self.listed().map_or(0, |l| l.files.len());
        if let Some(n) = row.checked_sub(room.head).filter(|n| *n < room.files) {
            let at = self.top_file + usize::from(n);
            if at < files {
                self.go(At::File(at));
                self.toggle();
            }
        } else if let Some(n) = row.checked_sub(room.head + room.files + 1).filter(|n| *n < room.rows) {
            let at = self.top_row + usize::from(n);
            if at < self.rows.len() {
                self.go(At::Row(at));
            }
        }
    }
}

/// Divides the area: summary and remarks, files, a blank row, lines, the state row.
/// Files have a third, and what the lines leave.
pub(super) fn room(area: Rect, files: usize, remarks: usize, rows: usize) -> Room {
    let head = (1 + remarks.min(REMARKS_MAX) as u16).min(area.height);
    let rest = area.height.saturating_sub(head + 2);
    let rows = rows.min(usize::from(rest)) as u16;
    let most = (rest / 3).max(3).max(rest - rows);
    let files = (files.min(usize::from(u16::MAX)) as u16).min(most).min(rest);
    Room { head, files, rows: rest - files }
}

/// First row of a window of this height that shows a row, as near to where it was as can be.
fn window(top: usize, at: usize, height: u16, n: usize) -> usize {
    let height = usize::from(height);
    let margin = MARGIN.min(height.saturating_sub(1) / 2);
    let highest = at.saturating_sub(margin);
    let lowest = (at + margin + 1).min(n).saturating_sub(height);
    top.clamp(lowest.min(highest), highest)
}
