//! Cells of the model as values of SQLite, and rows read from a statement.

use rusqlite::types::{ToSql, ToSqlOutput, Value, ValueRef};
use wharf_model::column::{Cell, Row};

/// A cell bound to a statement.
pub(crate) struct Bound<'a>(pub &'a Cell);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Cell::Null => ToSqlOutput::Owned(Value::Null),
            Cell::Int(n) => ToSqlOutput::Owned(Value::Integer(*n)),
            Cell::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

/// The cell in a column. Values that no column of ours holds become text that reading will refuse.
pub(crate) fn cell(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Cell> {
    Ok(match row.get_ref(at)? {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(n) => Cell::Int(n),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        other => Cell::Text(format!("{:?}", other.data_type())),
    })
}

/// Reads the row type that begins at column `at`; the error names the column.
pub(crate) fn read_at<R: Row>(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<R> {
    let mut index = at;
    let mut failed = None;
    let read = R::read(&mut || {
        let value = cell(row, index).unwrap_or_else(|e| {
            failed = Some(e);
            Cell::Null
        });
        index += 1;
        value
    });
    if let Some(error) = failed {
        return Err(error);
    }
    read.map_err(|message| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(BadRow(message)))
    })
}

/// A stored row that the model refuses.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadRow(pub String);

/// `a, b, c` of a row type, each with `prefix` before it.
pub(crate) fn columns<R: Row>(prefix: &str) -> String {
    let mut list = String::new();
    for (i, column) in R::COLUMNS.iter().enumerate() {
        if i > 0 {
            list.push_str(", ");
        }
        list.push_str(prefix);
        list.push_str(column);
    }
    list
}
