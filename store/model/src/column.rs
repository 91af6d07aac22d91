//! How a value stands in a column, and the macro that declares a row once for all rooms.

use serde_json::Value;

use crate::time::UnixMillis;

/// What a column holds. The store turns it into SQLite's values and back.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing known, or nothing to say.
    Null,
    /// Numbers, moments, durations, sizes, yes and no.
    Int(i64),
    /// Text: ids, words, JSON.
    Text(String),
}

/// A type that stands in one column.
pub trait Column: Sized {
    /// The stored form.
    fn to_cell(&self) -> Cell;
    /// Reads the stored form; the error says what was expected.
    fn from_cell(cell: Cell) -> Result<Self, String>;
}

fn wrong<T>(expected: &str, cell: &Cell) -> Result<T, String> {
    Err(format!("expected {expected}, found {cell:?}"))
}

macro_rules! int_column {
    ($($t:ty),+) => {$(
        impl Column for $t {
            fn to_cell(&self) -> Cell { Cell::Int(i64::try_from(*self).unwrap_or(i64::MAX)) }
            fn from_cell(cell: Cell) -> Result<Self, String> {
                match cell {
                    Cell::Int(n) => Self::try_from(n).map_err(|_| format!("{n} is out of range")),
                    other => wrong("a number", &other),
                }
            }
        }
    )+};
}
int_column!(i64, i32, u32, u64);

impl Column for bool {
    fn to_cell(&self) -> Cell {
        Cell::Int(i64::from(*self))
    }
    fn from_cell(cell: Cell) -> Result<Self, String> {
        match cell {
            Cell::Int(0) => Ok(false),
            Cell::Int(1) => Ok(true),
            other => wrong("0 or 1", &other),
        }
    }
}

impl Column for String {
    fn to_cell(&self) -> Cell {
        Cell::Text(self.clone())
    }
    fn from_cell(cell: Cell) -> Result<Self, String> {
        match cell {
            Cell::Text(text) => Ok(text),
            other => wrong("text", &other),
        }
    }
}

impl Column for UnixMillis {
    fn to_cell(&self) -> Cell {
        Cell::Int(self.0)
    }
    fn from_cell(cell: Cell) -> Result<Self, String> {
        i64::from_cell(cell).map(Self)
    }
}

impl Column for Value {
    fn to_cell(&self) -> Cell {
        Cell::Text(self.to_string())
    }
    fn from_cell(cell: Cell) -> Result<Self, String> {
        match cell {
            Cell::Text(text) => serde_json::from_str(&text).map_err(|e| format!("expected JSON: {e}")),
            other => wrong("JSON", &other),
        }
    }
}

impl<T: Column> Column for Option<T> {
    fn to_cell(&self) -> Cell {
        self.as_ref().map_or(Cell::Null, Column::to_cell)
    }
    fn from_cell(cell: Cell) -> Result<Self, String> {
        match cell {
            Cell::Null => Ok(None),
            other => T::from_cell(other).map(Some),
        }
    }
}

/// A set of columns of one table, by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Columns(u128);

impl Columns {
    /// No column.
    pub const NONE: Self = Self(0);

    /// The set with this column; a table has at most 128.
    pub const fn with(self, column: usize) -> Self {
        Self(self.0 | 1 << column)
    }

    /// All of both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The places, in order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..128).filter(move |column| self.0 & (1 << column) != 0)
    }
}

/// A row of one table: its columns in order, as cells.
pub trait Row: Sized + Clone {
    /// Table.
    const TABLE: &'static str;
    /// Columns, in the order of `cells`; the first one is the key.
    const COLUMNS: &'static [&'static str];
    /// The row's cells.
    fn cells(&self) -> Vec<Cell>;
    /// One cell; none when there is no such column.
    fn cell(&self, column: usize) -> Option<Cell>;
    /// Columns in which two rows differ.
    fn differing(&self, other: &Self) -> Columns;
    /// Reads a row; `next` yields the cells in order. The error names the column.
    fn read(next: &mut dyn FnMut() -> Cell) -> Result<Self, String>;
}

/// A row that changes: identified, versioned, dated.
pub trait Entity: Row + PartialEq {
    /// Type of its key.
    type Id: Copy + Ord + Column + std::fmt::Debug;
    /// Its key.
    fn id(&self) -> Self::Id;
    /// How often it was written.
    fn version(&self) -> i64;
    /// Marks a write: version up by one, dated.
    fn touch(&mut self, now: UnixMillis);
}

/// Declares a row struct with its table; with `entity`, also its key and version.
#[macro_export]
macro_rules! row {
    ($(#[$meta:meta])* entity $name:ident in $table:literal key $key:ident: $id:ty { $($(#[$fmeta:meta])* $field:ident: $ty:ty),+ $(,)? }) => {
        $crate::row! { $(#[$meta])* append $name in $table { $key: $id, $($(#[$fmeta])* $field: $ty,)+ version: i64, created_at: $crate::UnixMillis, updated_at: $crate::UnixMillis } }
        impl $crate::column::Entity for $name {
            type Id = $id;
            fn id(&self) -> $id { self.$key }
            fn version(&self) -> i64 { self.version }
            fn touch(&mut self, now: $crate::UnixMillis) {
                if self.version == 0 { self.created_at = now; }
                self.version += 1;
                self.updated_at = now;
            }
        }
    };
    ($(#[$meta:meta])* append $name:ident in $table:literal { $($(#[$fmeta:meta])* $field:ident: $ty:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $name { $($(#[$fmeta])* #[doc = concat!("Column `", stringify!($field), "`.")] pub $field: $ty),+ }
        impl $crate::column::Row for $name {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [&'static str] = &[$(stringify!($field)),+];
            fn cells(&self) -> Vec<$crate::column::Cell> {
                vec![$($crate::column::Column::to_cell(&self.$field)),+]
            }
            fn cell(&self, column: usize) -> Option<$crate::column::Cell> {
                let cells: &[fn(&Self) -> $crate::column::Cell] =
                    &[$(|row| $crate::column::Column::to_cell(&row.$field)),+];
                cells.get(column).map(|cell| cell(self))
            }
            fn differing(&self, other: &Self) -> $crate::column::Columns {
                let mut at = 0;
                let mut all = $crate::column::Columns::NONE;
                $(if self.$field != other.$field {
                    all = all.with(at);
                }
                at += 1;)+
                debug_assert_eq!(at, Self::COLUMNS.len());
                all
            }
            fn read(next: &mut dyn FnMut() -> $crate::column::Cell) -> Result<Self, String> {
                Ok(Self { $($field: $crate::column::Column::from_cell(next())
                    .map_err(|e| format!(concat!($table, ".", stringify!($field), ": {}"), e))?),+ })
            }
        }
    };
}
