//! What the screens and the command line ask: plain rows, joined with the names people read.
//!
//! Lists page by key, newest first; every page is a transaction of its own.

mod activity;
mod closing;
mod diff;
mod environment;
mod header;
mod issue;
mod lease;
mod lease_trail;
mod named;
mod people;
mod request;
mod retention;
mod run;
mod run_detail;
mod service;
mod snapshot;
mod workspace;

pub use activity::*;
pub use closing::*;
pub use diff::*;
pub use header::*;
pub use issue::*;
pub use lease::*;
pub use lease_trail::*;
pub use named::*;
pub use people::*;
pub use request::*;
pub use retention::*;
pub use run::*;
pub use run_detail::*;
pub use service::*;
pub use snapshot::*;
pub use workspace::*;

use rusqlite::Connection;
use wharf_model::column::{Cell, Column, Row};

use crate::cell::{BadRow, Bound, cell, columns, read_at};

/// Rows of a list, and where the next page begins.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Page<T, C> {
    /// Rows, newest first.
    pub rows: Vec<T>,
    /// Hand this in to go on; none when the list has ended.
    pub next: Option<C>,
}

/// Conditions of a query, with the values they compare to.
#[derive(Default)]
pub(crate) struct Conditions {
    terms: Vec<String>,
    values: Vec<Cell>,
}

impl Conditions {
    pub(crate) fn term(&mut self, sql: &str) {
        self.terms.push(sql.to_owned());
    }

    pub(crate) fn with(&mut self, sql: &str, values: impl IntoIterator<Item = Cell>) {
        self.terms.push(sql.to_owned());
        self.values.extend(values);
    }

    /// `column = value`, when there is a value.
    pub(crate) fn equal<T: Column>(&mut self, column: &str, value: Option<&T>) {
        if let Some(value) = value {
            self.with(&format!("{column} = ?"), [value.to_cell()]);
        }
    }

    pub(crate) fn sql(&self) -> String {
        if self.terms.is_empty() { String::new() } else { format!("WHERE {}", self.terms.join(" AND ")) }
    }

    /// Runs `select WHERE … tail` and reads its rows.
    pub(crate) fn run<T>(
        &self,
        conn: &Connection,
        select: &str,
        tail: &str,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let sql = format!("{select} {} {tail}", self.sql());
        #[cfg(test)]
        crate::view_test::SEEN.with_borrow_mut(|seen| seen.iter_mut().for_each(|s| s.push(sql.clone())));
        conn.prepare_cached(&sql)?.query_map(rusqlite::params_from_iter(self.values.iter().map(Bound)), read)?.collect()
    }
}

/// Reads one column by the model's rules.
pub(crate) fn column<T: Column>(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<T> {
    T::from_cell(cell(row, at)?).map_err(|message| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(BadRow(message)))
    })
}

/// `SELECT` of a row type under the name `t`, followed by more columns and joins.
pub(crate) fn select<R: Row>(more: &str, joins: &str) -> String {
    format!("SELECT {}{more} FROM {} t {joins}", columns::<R>("t."), R::TABLE)
}

/// The row type at the beginning of a result.
pub(crate) fn first<R: Row>(row: &rusqlite::Row<'_>) -> rusqlite::Result<R> {
    read_at(row, 0)
}

/// A pattern that finds `text` anywhere.
pub(crate) fn anywhere(text: &str) -> Cell {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    Cell::Text(pattern)
}

/// Most rows a page may have.
pub const PAGE_LIMIT: usize = 1_000;

/// A page's size in SQL: one row more than asked for, which tells whether there is a next page.
pub(crate) fn one_more(limit: usize) -> i64 {
    limit.clamp(1, PAGE_LIMIT) as i64 + 1
}

/// Cuts the extra row off and makes the cursor of the last one that stays.
pub(crate) fn page<T, C>(mut rows: Vec<T>, limit: usize, cursor: impl Fn(&T) -> C) -> Page<T, C> {
    let limit = limit.clamp(1, PAGE_LIMIT);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = if more { rows.last().map(cursor) } else { None };
    Page { rows, next }
}
