//! Statements on Postgres.

use super::{Cell, Database, DatabaseError, DatabaseResult, Kind, Row, Value, refused, shortened};
use postgres::Transaction;
use postgres::types::{ToSql, Type};
use std::cell::RefCell;
use std::sync::Arc;

/// A transaction of a Postgres connection.
pub(in crate::control) struct PostgresDatabase<'a, 'c>(RefCell<&'a mut Transaction<'c>>);

impl<'a, 'c> PostgresDatabase<'a, 'c> {
    /// Statements on this transaction. Whoever began it ends it.
    pub(in crate::control) fn new(transaction: &'a mut Transaction<'c>) -> PostgresDatabase<'a, 'c> {
        PostgresDatabase(RefCell::new(transaction))
    }
}

impl Database for PostgresDatabase<'_, '_> {
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> DatabaseResult<u64> {
        let bound = bound(sql, values)?;
        self.0.borrow_mut().execute_typed(&numbered(sql), &typed(&bound)).map_err(|error| refused(sql, words(&error)))
    }

    fn query(&self, sql: &str, values: &[Value<'_>]) -> DatabaseResult<Vec<Row>> {
        let bound = bound(sql, values)?;
        let found = self.0.borrow_mut().query_typed(&numbered(sql), &typed(&bound));
        let found = found.map_err(|error| refused(sql, words(&error)))?;
        let name: Arc<str> = sql.into();
        let row = |row: postgres::Row| {
            let cells = (0..row.len()).map(|index| cell(sql, &row, index)).collect::<DatabaseResult<_>>()?;
            Ok(Row::new(Arc::clone(&name), cells))
        };
        found.into_iter().map(row).collect()
    }

    fn row_lock(&self) -> &'static str {
        " for update"
    }
}

/// A value as the driver takes it, with its type: the server then has to guess none, and a statement needs one round
/// trip instead of two.
type Bound<'a> = (Box<dyn ToSql + Sync + 'a>, Type);

fn bound<'a>(sql: &str, values: &'a [Value<'_>]) -> DatabaseResult<Vec<Bound<'a>>> {
    let bind = |(place, value): (usize, &'a Value<'_>)| -> DatabaseResult<Bound<'a>> {
        Ok(match value {
            Value::Null(Kind::Integer) => (Box::new(None::<i64>), Type::INT8),
            Value::Null(Kind::Text) => (Box::new(None::<&str>), Type::TEXT),
            Value::Null(Kind::Bytes) => (Box::new(None::<&[u8]>), Type::BYTEA),
            Value::Integer(number) => (Box::new(*number), Type::INT8),
            Value::TooLarge(number) => {
                return Err(DatabaseError::TooLarge { statement: shortened(sql), place, number: *number });
            }
            Value::Text(text) => (Box::new(text.as_ref()), Type::TEXT),
            Value::Bytes(bytes) => (Box::new(bytes.as_ref()), Type::BYTEA),
        })
    };
    (1..).zip(values).map(bind).collect()
}

fn typed<'a>(bound: &'a [Bound<'_>]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    bound.iter().map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone())).collect()
}

/// `?1` as Postgres writes it, `$1`. No statement has a question mark in a text.
fn numbered(sql: &str) -> String {
    sql.replace('?', "$")
}

fn cell(sql: &str, row: &postgres::Row, index: usize) -> DatabaseResult<Cell> {
    let failed = |error: postgres::Error| refused(sql, words(&error));
    let cell = match *row.columns()[index].type_() {
        Type::INT8 => row.try_get::<_, Option<i64>>(index).map_err(failed)?.map(Cell::Integer),
        Type::INT4 => row.try_get::<_, Option<i32>>(index).map_err(failed)?.map(|number| Cell::Integer(number.into())),
        Type::BOOL => row.try_get::<_, Option<bool>>(index).map_err(failed)?.map(|flag| Cell::Integer(flag.into())),
        Type::TEXT => row.try_get::<_, Option<String>>(index).map_err(failed)?.map(Cell::Text),
        Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(index).map_err(failed)?.map(Cell::Bytes),
        _ => {
            return Err(DatabaseError::Column {
                statement: shortened(sql),
                index,
                found: "of another type",
                expected: "an integer, text or bytes",
            });
        }
    };
    Ok(cell.unwrap_or(Cell::Null))
}

/// What the server said, with its code. Its details would show values of rows.
fn words(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} ({})", said.message(), said.code().code()),
        None => match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_written_as_postgres_does() {
        assert_eq!(
            numbered("select ?2 from t where id = ?1 or x in (?10, '')"),
            "select $2 from t where id = $1 or x in ($10, '')"
        );
    }

    #[test]
    fn a_number_that_is_too_large_is_named_by_its_place() {
        let words = bound("select ?1, ?2", &[Value::Integer(1), Value::TooLarge(u64::MAX)]).err().unwrap().to_string();
        assert_eq!(words, "`select ?1, ?2`: value 2 is 18446744073709551615, which is more than a column holds");
    }
}
