//! What the statements of the control store run on: one open transaction, of either backend.
//!
//! Each statement is written once, in the SQL that SQLite and Postgres share: numbered placeholders (`?1`),
//! `on conflict ... do update`, `returning`, a name for every subquery, and no function that only one of them has
//! (`max(a, b)`, `datetime()`). A value that may be absent is compared before it is asked for (`id = ?2 or ?2 is null`):
//! Postgres takes its type from the first place. There are three types: integers of 64 bits (a flag is 0 or 1, a time is milliseconds),
//! text, and bytes.

mod postgres;
mod sqlite;

pub(super) use postgres::PostgresDatabase;
pub(super) use sqlite::SqliteDatabase;

use std::borrow::Cow;
use std::sync::Arc;

/// What went wrong with a statement. No message carries a value.
#[derive(Debug, thiserror::Error)]
pub(super) enum DatabaseError {
    /// The database refused it, or could not be reached.
    #[error("`{statement}`: {message}")]
    Refused {
        /// The statement.
        statement: String,
        /// What the database said.
        message: String,
    },
    /// A number that no column can hold.
    #[error("`{statement}`: value {place} is {number}, which is more than a column holds")]
    TooLarge {
        /// The statement.
        statement: String,
        /// Which placeholder, from 1.
        place: usize,
        /// The number.
        number: u64,
    },
    /// A column holds something else than the code expects.
    #[error("`{statement}`: column {index} is {found}, expected {expected}")]
    Column {
        /// The statement.
        statement: String,
        /// Which column, from 0.
        index: usize,
        /// What is there.
        found: &'static str,
        /// What should be.
        expected: &'static str,
    },
    /// A row that must be there is not.
    #[error("`{statement}`: no row, expected one")]
    NoRow {
        /// The statement.
        statement: String,
    },
}

impl From<DatabaseError> for super::ControlError {
    fn from(error: DatabaseError) -> Self {
        super::ControlError::Failed(error.into())
    }
}

/// Result of a statement.
pub(super) type DatabaseResult<T> = Result<T, DatabaseError>;

/// An open transaction.
pub(super) trait Database {
    /// Runs a statement that gives no rows. Returns how many it changed.
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> DatabaseResult<u64>;
    /// Runs a statement and takes all its rows.
    fn query(&self, sql: &str, values: &[Value<'_>]) -> DatabaseResult<Vec<Row>>;
    /// What stands at the end of a `select` whose rows nobody else may change until the transaction ends: nothing
    /// where one transaction writes at a time.
    fn row_lock(&self) -> &'static str;
    /// Until the transaction ends nobody else changes a table, adds to it or locks one of its rows: nothing to do where
    /// one transaction writes at a time.
    fn lock_table(&self, table: &str) -> DatabaseResult<()>;
    /// What stands after the columns of an `insert` that brings its own id into a column that counts by itself.
    fn own_ids(&self) -> &'static str;
    /// Ids that a table's column counts by itself are above this one from now on. Never lowers.
    fn raise_ids(&self, table: &str, id: u64) -> DatabaseResult<()>;
}

impl dyn Database + '_ {
    /// The first row, if there is one.
    pub(super) fn query_optional(&self, sql: &str, values: &[Value<'_>]) -> DatabaseResult<Option<Row>> {
        Ok(self.query(sql, values)?.into_iter().next())
    }

    /// The first row, which must be there.
    pub(super) fn query_one(&self, sql: &str, values: &[Value<'_>]) -> DatabaseResult<Row> {
        self.query_optional(sql, values)?.ok_or_else(|| DatabaseError::NoRow { statement: shortened(sql) })
    }
}

/// Values for the placeholders of a statement, in order.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::control::database::Value::from($value)),*] };
}
pub(super) use values;

/// A type of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// 64 bits with a sign.
    Integer,
    /// UTF-8.
    Text,
    /// Anything.
    Bytes,
}

/// A value for a placeholder. Even one that is absent has a type: Postgres asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Absent.
    Null(Kind),
    /// A number, a time, an id, a flag.
    Integer(i64),
    /// A number that no column can hold; refused when it is used.
    TooLarge(u64),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
}

/// A Rust type that has one type of columns.
pub(super) trait HasKind {
    /// Which.
    const KIND: Kind;
}

macro_rules! value_from {
    ($($type:ty, $kind:ident, $name:ident => $value:expr;)*) => {$(
        impl<'a> From<$type> for Value<'a> {
            fn from($name: $type) -> Value<'a> { $value }
        }
        impl<'a> HasKind for $type {
            const KIND: Kind = Kind::$kind;
        }
    )*};
}

value_from! {
    i64, Integer, number => Value::Integer(number);
    u64, Integer, number => i64::try_from(number).map_or(Value::TooLarge(number), Value::Integer);
    u32, Integer, number => Value::Integer(number.into());
    u16, Integer, number => Value::Integer(number.into());
    bool, Integer, flag => Value::Integer(flag.into());
    &'a str, Text, text => Value::Text(Cow::Borrowed(text));
    &'a String, Text, text => Value::Text(Cow::Borrowed(text));
    String, Text, text => Value::Text(Cow::Owned(text));
    Vec<u8>, Bytes, bytes => Value::Bytes(Cow::Owned(bytes));
    [u8; 32], Bytes, bytes => Value::Bytes(Cow::Owned(bytes.to_vec()));
}

impl<'a, T: HasKind + Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Value<'a> {
        value.map_or(Value::Null(T::KIND), Into::into)
    }
}

/// What a column of a row holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    /// Nothing.
    Null,
    /// A number.
    Integer(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Cell {
    fn name(&self) -> &'static str {
        match self {
            Cell::Null => "null",
            Cell::Integer(_) => "an integer",
            Cell::Text(_) => "text",
            Cell::Bytes(_) => "bytes",
        }
    }
}

/// A row that a statement gave.
#[derive(Debug)]
pub(super) struct Row {
    statement: Arc<str>,
    cells: Vec<Cell>,
}

impl Row {
    fn new(statement: Arc<str>, cells: Vec<Cell>) -> Row {
        Row { statement, cells }
    }

    /// The value of a column, counted from 0.
    pub(super) fn get<T: FromCell>(&self, index: usize) -> DatabaseResult<T> {
        let wrong = |found| DatabaseError::Column {
            statement: shortened(&self.statement),
            index,
            found,
            expected: T::EXPECTED,
        };
        let cell = self.cells.get(index).ok_or_else(|| wrong("not there"))?;
        T::from_cell(cell).ok_or_else(|| wrong(cell.name()))
    }
}

/// A Rust type that a column can be read as.
pub(super) trait FromCell: Sized {
    /// In words.
    const EXPECTED: &'static str;
    /// The value, when the cell holds one of this type.
    fn from_cell(cell: &Cell) -> Option<Self>;
}

macro_rules! from_cell {
    ($($type:ty, $expected:literal, $pattern:pat => $value:expr;)*) => {$(
        impl FromCell for $type {
            const EXPECTED: &'static str = $expected;
            fn from_cell(cell: &Cell) -> Option<Self> {
                match cell { $pattern => $value, _ => None }
            }
        }
    )*};
}

from_cell! {
    i64, "an integer", Cell::Integer(number) => Some(*number);
    u64, "an integer from 0", Cell::Integer(number) => u64::try_from(*number).ok();
    u32, "an integer of 32 bits from 0", Cell::Integer(number) => u32::try_from(*number).ok();
    u16, "an integer of 16 bits from 0", Cell::Integer(number) => u16::try_from(*number).ok();
    bool, "0 or 1", Cell::Integer(flag @ (0 | 1)) => Some(*flag == 1);
    String, "text", Cell::Text(text) => Some(text.clone());
    Vec<u8>, "bytes", Cell::Bytes(bytes) => Some(bytes.clone());
}

impl<T: FromCell> FromCell for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_cell(cell: &Cell) -> Option<Self> {
        match cell {
            Cell::Null => Some(None),
            cell => T::from_cell(cell).map(Some),
        }
    }
}

const MAX_SHOWN_CHARACTERS: usize = 120;

/// The beginning of a statement, for a message.
fn shortened(sql: &str) -> String {
    let words = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(MAX_SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}...", &words[..end]),
        None => words,
    }
}

fn refused(sql: &str, message: String) -> DatabaseError {
    DatabaseError::Refused { statement: shortened(sql), message }
}

/// Placeholders of a list of `count` values, from `?1`.
pub(super) fn placeholders(count: usize) -> String {
    (1..=count).map(|number| format!("?{number}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_column_names_the_statement_and_no_value() {
        let row =
            Row::new("select a,\n  b from t".into(), vec![Cell::Text("secret".into()), Cell::Null, Cell::Integer(-1)]);
        let words = row.get::<i64>(0).unwrap_err().to_string();
        assert_eq!(words, "`select a, b from t`: column 0 is text, expected an integer");
        assert_eq!(row.get::<Option<i64>>(1).unwrap(), None);
        assert!(row.get::<String>(1).unwrap_err().to_string().contains("column 1 is null, expected text"));
        assert!(row.get::<u64>(2).unwrap_err().to_string().contains("expected an integer from 0"));
        assert!(row.get::<bool>(2).unwrap_err().to_string().contains("expected 0 or 1"));
        assert!(row.get::<i64>(3).unwrap_err().to_string().contains("column 3 is not there"));
    }

    #[test]
    fn a_value_knows_its_type_even_when_it_is_absent() {
        let given: &[Value<'_>] = values![None::<&str>, Some(7_u64), u64::MAX, true];
        assert_eq!(given, [Value::Null(Kind::Text), Value::Integer(7), Value::TooLarge(u64::MAX), Value::Integer(1)]);
    }

    #[test]
    fn a_long_statement_is_shortened() {
        assert_eq!(shortened(&"é".repeat(200)).chars().count(), MAX_SHOWN_CHARACTERS + 3);
        assert_eq!(placeholders(3), "?1, ?2, ?3");
    }
}
