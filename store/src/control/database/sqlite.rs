//! Statements on SQLite.

use super::{Cell, Database, DatabaseError, DatabaseResult, Row, Value, refused, shortened};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement};

/// A transaction of a SQLite connection.
pub(in crate::control) struct SqliteDatabase<'a>(pub(in crate::control) &'a Connection);

impl Database for SqliteDatabase<'_> {
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> DatabaseResult<u64> {
        let mut statement = self.0.prepare_cached(sql).map_err(|error| refused(sql, error.to_string()))?;
        bind(&mut statement, sql, values)?;
        let changed = statement.raw_execute().map_err(|error| refused(sql, error.to_string()))?;
        Ok(changed as u64)
    }

    fn query(&self, sql: &str, values: &[Value<'_>]) -> DatabaseResult<Vec<Row>> {
        let failed = |error: rusqlite::Error| refused(sql, error.to_string());
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        bind(&mut statement, sql, values)?;
        let columns = statement.column_count();
        let name = sql.into();
        let mut found = statement.raw_query();
        let mut rows = Vec::new();
        while let Some(row) = found.next().map_err(failed)? {
            let cells = (0..columns).map(|index| cell(sql, index, row.get_ref(index).map_err(failed)?));
            rows.push(Row::new(std::sync::Arc::clone(&name), cells.collect::<DatabaseResult<_>>()?));
        }
        Ok(rows)
    }

    fn row_lock(&self) -> &'static str {
        ""
    }

    fn lock_table(&self, _table: &str) -> DatabaseResult<()> {
        Ok(())
    }

    fn own_ids(&self) -> &'static str {
        ""
    }

    fn raise_ids(&self, table: &str, id: u64) -> DatabaseResult<()> {
        let values = [Value::from(table), Value::from(id)];
        self.execute("update sqlite_sequence set seq = ?2 where name = ?1 and seq < ?2", &values)?;
        // A table that never had a row is not counted yet.
        self.execute(
            "insert into sqlite_sequence (name, seq) select ?1, ?2
             where not exists (select 1 from sqlite_sequence where name = ?1)",
            &values,
        )?;
        Ok(())
    }
}

fn bind(statement: &mut Statement<'_>, sql: &str, values: &[Value<'_>]) -> DatabaseResult<()> {
    if statement.parameter_count() != values.len() {
        let message = format!("{} placeholders, {} values", statement.parameter_count(), values.len());
        return Err(refused(sql, message));
    }
    for (place, value) in (1..).zip(values) {
        let bound = match value {
            Value::Null(_) => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::TooLarge(number) => {
                return Err(DatabaseError::TooLarge { statement: shortened(sql), place, number: *number });
            }
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        };
        statement
            .raw_bind_parameter(place, ToSqlOutput::Borrowed(bound))
            .map_err(|error| refused(sql, error.to_string()))?;
    }
    Ok(())
}

fn cell(sql: &str, index: usize, value: ValueRef<'_>) -> DatabaseResult<Cell> {
    let wrong = |found| DatabaseError::Column { statement: shortened(sql), index, found, expected: "UTF-8 text" };
    match value {
        ValueRef::Null => Ok(Cell::Null),
        ValueRef::Integer(number) => Ok(Cell::Integer(number)),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).map_err(|_| wrong("text that is not UTF-8"))?;
            Ok(Cell::Text(text.to_owned()))
        }
        ValueRef::Blob(bytes) => Ok(Cell::Bytes(bytes.to_vec())),
        ValueRef::Real(_) => Err(wrong("a float")),
    }
}
