//! Statements on Postgres.

use super::{Cell, Database, DatabaseError, DatabaseResult, Kind, Row, Value, refused, shortened};
use crate::postgres::PostgresConnection;
use postgres::types::{ToSql, Type};
use std::cell::RefCell;
use std::sync::Arc;

/// A transaction of a Postgres connection.
pub(in crate::control) struct PostgresDatabase<'a>(RefCell<&'a mut PostgresConnection>);

impl<'a> PostgresDatabase<'a> {
    /// Statements of the transaction that is open on this connection. Whoever began it ends it.
    pub(in crate::control) fn new(connection: &'a mut PostgresConnection) -> PostgresDatabase<'a> {
        PostgresDatabase(RefCell::new(connection))
    }
}

impl Database for PostgresDatabase<'_> {
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> DatabaseResult<u64> {
        let bound = bound(sql, values)?;
        let changed = self.0.borrow_mut().execute(&numbered(sql), &borrowed(&bound));
        changed.map_err(|error| refused(sql, error.to_string()))
    }

    fn query(&self, sql: &str, values: &[Value<'_>]) -> DatabaseResult<Vec<Row>> {
        let bound = bound(sql, values)?;
        let found = self.0.borrow_mut().query(&numbered(sql), &borrowed(&bound));
        let found = found.map_err(|error| refused(sql, error.to_string()))?;
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

    fn lock_table(&self, table: &str) -> DatabaseResult<()> {
        self.execute(&format!("lock table {table} in exclusive mode"), &[])?;
        Ok(())
    }

    fn own_ids(&self) -> &'static str {
        " overriding system value"
    }

    fn raise_ids(&self, table: &str, id: u64) -> DatabaseResult<()> {
        let sql = "select setval(pg_get_serial_sequence(?1::text, 'id'), ?2::bigint)
             where coalesce(pg_sequence_last_value(pg_get_serial_sequence(?1::text, 'id')::regclass), 0) < ?2::bigint
               and ?2::bigint > 0";
        self.query(sql, &[Value::from(table), Value::from(id)])?;
        Ok(())
    }
}

type Bound<'a> = Box<dyn ToSql + Sync + 'a>;

fn bound<'a>(sql: &str, values: &'a [Value<'_>]) -> DatabaseResult<Vec<Bound<'a>>> {
    let bind = |(place, value): (usize, &'a Value<'_>)| -> DatabaseResult<Bound<'a>> {
        Ok(match value {
            Value::Null(Kind::Integer) => Box::new(None::<i64>),
            Value::Null(Kind::Text) => Box::new(None::<&str>),
            Value::Null(Kind::Bytes) => Box::new(None::<&[u8]>),
            Value::Integer(number) => Box::new(*number),
            Value::TooLarge(number) => {
                return Err(DatabaseError::TooLarge { statement: shortened(sql), place, number: *number });
            }
            Value::Text(text) => Box::new(text.as_ref()),
            Value::Bytes(bytes) => Box::new(bytes.as_ref()),
        })
    };
    (1..).zip(values).map(bind).collect()
}

fn borrowed<'a>(bound: &'a [Bound<'_>]) -> Vec<&'a (dyn ToSql + Sync)> {
    bound.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
}

/// `?1` as Postgres writes it, `$1`. No statement has a question mark in a text. Nothing is remembered: beside a round
/// trip it costs nothing, and the connection remembers what it has prepared.
fn numbered(sql: &str) -> String {
    sql.replace('?', "$")
}

fn cell(sql: &str, row: &postgres::Row, index: usize) -> DatabaseResult<Cell> {
    let failed = |error: postgres::Error| refused(sql, error.to_string());
    let cell = match *row.columns()[index].type_() {
        Type::INT8 => row.try_get::<_, Option<i64>>(index).map_err(failed)?.map(Cell::Integer),
        Type::BOOL => row.try_get::<_, Option<bool>>(index).map_err(failed)?.map(|flag| Cell::Integer(flag.into())),
        Type::TEXT => row.try_get::<_, Option<String>>(index).map_err(failed)?.map(Cell::Text),
        Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(index).map_err(failed)?.map(Cell::Bytes),
        _ => {
            return Err(DatabaseError::Column {
                statement: shortened(sql),
                index,
                found: "of another type",
                expected: "an integer of 64 bits, text or bytes",
            });
        }
    };
    Ok(cell.unwrap_or(Cell::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_written_as_postgres_does() {
        let written = "select ?2 from t where id = ?1 or x in (?10, '')";
        assert_eq!(numbered(written), "select $2 from t where id = $1 or x in ($10, '')");
    }

    #[test]
    fn a_number_that_is_too_large_is_named_by_its_place() {
        let words = bound("select ?1, ?2", &[Value::Integer(1), Value::TooLarge(u64::MAX)]).err().unwrap().to_string();
        assert_eq!(words, "`select ?1, ?2`: value 2 is 18446744073709551615, which is more than a column holds");
    }
}
