//! A list whose cursor belongs to an entity, not to a row: two groups (live, ended), marks, pages.

use std::collections::BTreeSet;

use crate::rows::Page;

mod column;
#[cfg(test)]
mod tests;
mod view;

pub use column::{Cell, Column, fit, longest};

/// Most rows a list keeps; older ones are asked for again when one gets there.
pub const ROWS_MAX: usize = 5000;
/// Rows asked for at once.
pub const PAGE: u32 = 200;
/// Rows the cursor keeps from the edge; short lists cannot spare as many.
const fn margin(height: usize) -> usize {
    match height {
        0..=2 => 0,
        3..=8 => 1,
        _ => 2,
    }
}

/// A row of a list.
pub trait Row {
    /// Number that identifies it within its kind and orders it.
    fn number(&self) -> i64;
    /// Whether it belongs to the upper group.
    fn is_live(&self) -> bool;
    /// Where it stands in that group: the lowest first, then the newest.
    fn rank(&self) -> i64 {
        0
    }
}

/// Where rows stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Row(usize),
    EndedHead,
}

/// The list.
#[derive(Debug, Clone)]
pub struct Table<R> {
    rows: Vec<R>,
    cursor: Option<i64>,
    top: usize,
    /// Numbers of marked rows.
    pub marks: BTreeSet<i64>,
    /// A row that has ended under the cursor and stays where it was until the cursor leaves.
    held: Option<i64>,
    /// The row under the cursor has left the list by itself, and its neighbour took the cursor: nobody has chosen
    /// that one.
    slipped: bool,
    /// Rows that match, as counted.
    pub total: u64,
    /// Rows that the filter hides.
    pub hidden: u64,
    /// More ended rows follow.
    pub more: bool,
    /// Something has been answered.
    pub known: bool,
    /// New rows above the view that the cursor did not follow.
    new_above: usize,
    /// Stands between live and ended rows where columns have no second heads.
    pub ended_title: &'static str,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            cursor: None,
            top: 0,
            marks: BTreeSet::new(),
            held: None,
            slipped: false,
            total: 0,
            hidden: 0,
            more: false,
            known: false,
            new_above: 0,
            ended_title: "",
        }
    }
}

impl<R: Row> Table<R> {
    /// Takes the first page: it replaces all live rows and the ended ones it covers.
    pub fn first_page(&mut self, page: Page<R>) {
        let was_at_top = self.top == 0;
        let before = self.entries(true).iter().position(|e| self.is_cursor(*e));
        let newest_before = self.rows.iter().map(Row::number).max();
        let oldest = page.rows.iter().filter(|r| !r.is_live()).map(Row::number).min();
        let mut rows = page.rows;
        let mut more = page.more;
        if let (true, Some(oldest)) = (page.more, oldest) {
            let have: BTreeSet<i64> = rows.iter().map(Row::number).collect();
            let covered = rows.len();
            rows.extend(
                self.rows.drain(..).filter(|r| !r.is_live() && r.number() < oldest && !have.contains(&r.number())),
            );
            // Behind older rows that are kept stands what stood behind them before.
            if rows.len() > covered {
                more = self.more;
            }
        }
        // A row under the cursor that has just ended stays in its group until the cursor leaves it.
        if let Some(at) = self.cursor
            && self.rows_live(at)
            && rows.iter().any(|r| r.number() == at && !r.is_live())
        {
            self.held = Some(at);
        }
        self.more = more;
        self.set(rows);
        self.total = page.total;
        self.hidden = page.hidden;
        self.known = true;
        if self.cursor.is_none_or(|c| !self.rows.iter().any(|r| r.number() == c)) {
            // A filter that is new empties the list first: then the operator knows that the cursor moves.
            self.slipped = before.is_some() && !self.rows.is_empty();
            // The row is gone: the one that took its place is selected, so that keys do not jump to the top.
            let entries = self.entries(true);
            let at = before.unwrap_or(0).min(entries.len().saturating_sub(1));
            self.cursor = self.row_near(&entries, at);
        }
        if let Some(newest) = newest_before {
            let came = self.rows.iter().filter(|r| r.number() > newest).count();
            if was_at_top {
                self.new_above = 0;
            } else {
                self.new_above += came;
                self.top += came;
            }
        }
    }

    /// Takes a further page of ended rows.
    pub fn further_page(&mut self, page: Page<R>) {
        let have: BTreeSet<i64> = self.rows.iter().map(Row::number).collect();
        let mut rows = std::mem::take(&mut self.rows);
        rows.extend(page.rows.into_iter().filter(|r| !have.contains(&r.number())));
        // A page without anything new ends it, or it would be asked for without end.
        self.more = page.more && rows.len() > have.len() && rows.len() < ROWS_MAX;
        self.total = page.total;
        self.hidden = page.hidden;
        self.set(rows);
    }

    fn set(&mut self, mut rows: Vec<R>) {
        let held = self.held;
        let live = |r: &R| r.is_live() || held == Some(r.number());
        rows.sort_by_key(|r| (!live(r), if live(r) { r.rank() } else { 0 }, std::cmp::Reverse(r.number())));
        rows.truncate(ROWS_MAX);
        self.rows = rows;
    }

    fn rows_live(&self, number: i64) -> bool {
        self.held == Some(number) || self.rows.iter().any(|r| r.number() == number && r.is_live())
    }

    /// Rows in their order.
    pub fn rows(&self) -> &[R] {
        &self.rows
    }

    /// Changes what rows say beside what orders them.
    pub fn each(&mut self, change: impl FnMut(&mut R)) {
        self.rows.iter_mut().for_each(change);
    }

    /// Rows that all of it takes.
    pub fn height_wanted(&self, second_heads: bool) -> u16 {
        u16::try_from(self.entries(second_heads).len()).unwrap_or(u16::MAX)
    }

    /// Rows that are on the screen, as far as a list of this height has them.
    pub fn shown(&self, height: usize) -> &[R] {
        let from = self.top.min(self.rows.len());
        &self.rows[from..(from + height).min(self.rows.len())]
    }

    /// Forgets all rows, for a new filter; the cursor finds its entity again when it is still there.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.known = false;
        self.more = false;
        self.top = 0;
        self.new_above = 0;
        self.slipped = false;
    }

    /// The row under the cursor.
    pub fn selected(&self) -> Option<&R> {
        self.rows.iter().find(|r| Some(r.number()) == self.cursor)
    }

    /// Whether the cursor stands on a row that nobody has put it on since the one before left the list.
    pub const fn slipped(&self) -> bool {
        self.slipped
    }

    /// Puts the cursor on an entity, when it is known.
    pub fn select(&mut self, number: i64) -> bool {
        let known = self.rows.iter().any(|r| r.number() == number);
        if known {
            self.move_to(number);
        }
        known
    }

    /// Number to page on from, when the cursor nears the end of what is known.
    pub fn wants_more(&self, height: usize) -> Option<i64> {
        if !self.more || self.rows.len() >= ROWS_MAX {
            return None;
        }
        let at = self.rows.iter().position(|r| Some(r.number()) == self.cursor)?;
        if at + 2 * height.max(10) < self.rows.len() {
            return None;
        }
        self.rows.last().filter(|r| !r.is_live()).map(Row::number)
    }

    fn move_to(&mut self, number: i64) {
        self.slipped = false;
        if self.cursor == Some(number) {
            return;
        }
        self.cursor = Some(number);
        if self.held.take().is_some() {
            let rows = std::mem::take(&mut self.rows);
            self.set(rows);
        }
    }

    /// Moves the cursor by rows; stops at the ends.
    pub fn step(&mut self, by: i64) {
        if self.rows.is_empty() {
            return;
        }
        let at = self.rows.iter().position(|r| Some(r.number()) == self.cursor).unwrap_or(0) as i64;
        let to = at.saturating_add(by).clamp(0, self.rows.len() as i64 - 1) as usize;
        if to == 0 {
            self.new_above = 0;
        }
        self.move_to(self.rows[to].number());
    }

    /// First or last known row.
    pub fn end(&mut self, last: bool) {
        self.step(if last { i64::MAX } else { i64::MIN });
    }

    /// Sets or removes the mark of the cursor row and goes down.
    pub fn mark(&mut self) {
        if let Some(number) = self.selected().map(Row::number) {
            if !self.marks.remove(&number) {
                self.marks.insert(number);
            }
            self.step(1);
        }
    }

    /// Inverts the marks of all known rows.
    pub fn invert_marks(&mut self) {
        self.marks = self.rows.iter().map(Row::number).filter(|n| !self.marks.contains(n)).collect();
    }

    fn entries(&self, second_heads: bool) -> Vec<Entry> {
        let live = self.rows.iter().filter(|r| r.is_live() || self.held == Some(r.number())).count();
        let mut out: Vec<Entry> = (0..live).map(Entry::Row).collect();
        if second_heads && live > 0 && live < self.rows.len() {
            out.push(Entry::EndedHead);
        }
        out.extend((live..self.rows.len()).map(Entry::Row));
        out
    }

    fn is_cursor(&self, entry: Entry) -> bool {
        matches!(entry, Entry::Row(i) if Some(self.rows[i].number()) == self.cursor)
    }

    fn row_near(&self, entries: &[Entry], at: usize) -> Option<i64> {
        entries.iter().skip(at).chain(entries.iter().take(at).rev()).find_map(|e| match e {
            Entry::Row(i) => Some(self.rows[*i].number()),
            Entry::EndedHead => None,
        })
    }

    /// Brings the cursor into view; called after every change, with the rows of the list's area.
    pub fn settle(&mut self, height: usize, second_heads: bool) {
        let entries = self.entries(second_heads);
        let last_top = entries.len().saturating_sub(height);
        self.top = self.top.min(last_top);
        if let Some(at) = entries.iter().position(|e| self.is_cursor(*e)) {
            let margin = margin(height);
            if at < self.top + margin {
                self.top = at.saturating_sub(margin);
            } else if at + margin >= self.top + height {
                self.top = (at + margin + 1).saturating_sub(height).min(last_top);
            }
        }
        if self.top == 0 {
            self.new_above = 0;
        }
    }

    /// Scrolls the view; the cursor stays on its entity as long as it can be seen.
    pub fn scroll(&mut self, by: i64, height: usize, second_heads: bool) {
        let entries = self.entries(second_heads);
        let last_top = entries.len().saturating_sub(height) as i64;
        self.top = (self.top as i64).saturating_add(by).clamp(0, last_top) as usize;
        let Some(at) = entries.iter().position(|e| self.is_cursor(*e)) else { return };
        let margin = margin(height);
        let low = if self.top == 0 { 0 } else { self.top + margin };
        let high = if self.top as i64 == last_top { entries.len() } else { self.top + height.saturating_sub(margin) };
        let wanted = at.clamp(low, high.saturating_sub(1).max(low));
        if wanted != at
            && let Some(number) = self.row_near(&entries, wanted)
        {
            self.move_to(number);
        }
    }

    /// The entity drawn in this row of the list's area.
    pub fn at(&self, row: usize, second_heads: bool) -> Option<i64> {
        match self.entries(second_heads).get(self.top + row)? {
            Entry::Row(i) => Some(self.rows[*i].number()),
            Entry::EndedHead => None,
        }
    }

    /// `1–40 of 1,042`, with what is new above and marked.
    /// `hidden` says what the filter hides, or what is left out without one.
    pub fn range_words(&self, height: usize, second_heads: bool, hidden: &str) -> String {
        let left_out =
            if self.hidden > 0 { format!(" · {} {hidden}", crate::format::count(self.hidden)) } else { String::new() };
        if self.rows.is_empty() {
            return if self.known { format!("0{left_out}") } else { "reading".to_owned() };
        }
        let entries = self.entries(second_heads);
        let shown: Vec<usize> = entries
            .iter()
            .skip(self.top)
            .take(height)
            .filter_map(|e| match e {
                Entry::Row(i) => Some(*i + 1),
                Entry::EndedHead => None,
            })
            .collect();
        let (first, last) = (shown.first().copied().unwrap_or(0), shown.last().copied().unwrap_or(0));
        let mut words = String::new();
        if self.new_above > 0 {
            words.push_str(&format!("{} new above · ", self.new_above));
        }
        if !self.marks.is_empty() {
            let away = self.marks.iter().filter(|n| !self.rows.iter().any(|r| r.number() == **n)).count();
            let away = if away > 0 { format!(", {away} hidden") } else { String::new() };
            words.push_str(&format!("{} marked{away} · ", self.marks.len()));
        }
        // Where not all were counted, what is known is the least there is.
        let at_least = if self.more && self.total <= self.rows.len() as u64 { "+" } else { "" };
        let total = crate::format::count(self.total.max(self.rows.len() as u64));
        words.push_str(&format!("{first}–{last} of {total}{at_least}"));
        words + &left_out
    }
}
