//! One connection, with the statements that it has prepared.

use super::{PostgresError, PostgresSettings};
use postgres::error::Severity;
use postgres::types::ToSql;
use postgres::{Client, Row, Statement};
use std::collections::HashMap;

/// How many prepared statements a connection keeps. Far more than the stores have.
const STATEMENTS: usize = 512;

/// A connection that was taken from the pool. Each text is prepared once per connection.
pub struct PostgresConnection {
    client: Client,
    statements: HashMap<String, Statement>,
    broken: bool,
}

impl PostgresConnection {
    /// Sets the limits and the schema of a fresh connection, and how statements are planned.
    ///
    /// The stores look everything up by key. A plan made while a table was small, or one that reads a table as a whole
    /// because a thousand keys are asked for at once, would make every batch cost more as the store grows. So plans
    /// are made anew for each call and joins go through indexes.
    pub(super) fn prepare_session(
        mut client: Client,
        settings: &PostgresSettings,
    ) -> Result<PostgresConnection, postgres::Error> {
        let limit_ms = settings.statement_timeout.as_millis().max(1);
        let all = if settings.all_tenants { "on" } else { "off" };
        client.batch_execute(&format!(
            "set statement_timeout = {limit_ms};
             set lock_timeout = {limit_ms};
             set idle_in_transaction_session_timeout = {limit_ms};
             set synchronous_commit = on;
             set plan_cache_mode = force_custom_plan;
             set enable_hashjoin = off;
             set enable_mergejoin = off;
             set jit = off;
             set timezone = 'UTC';
             set search_path = {};
             set affilitrack.\"all\" = '{all}'",
            settings.schema
        ))?;
        Ok(PostgresConnection { client, statements: HashMap::new(), broken: false })
    }

    fn statement(&mut self, sql: &str) -> Result<Statement, PostgresError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        if self.statements.len() >= STATEMENTS {
            self.statements.clear();
        }
        let prepared = self.client.prepare(sql);
        let statement = self.judge(prepared)?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Remembers an error after which the connection is of no use.
    fn judge<T>(&mut self, result: Result<T, postgres::Error>) -> Result<T, PostgresError> {
        if let Err(error) = &result {
            self.broken |= match error.as_db_error() {
                Some(said) => matches!(said.parsed_severity(), Some(Severity::Fatal | Severity::Panic)),
                None => self.client.is_closed(),
            };
        }
        Ok(result?)
    }

    /// Runs a statement and returns how many rows it changed.
    pub fn execute(&mut self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, PostgresError> {
        let statement = self.statement(sql)?;
        let result = self.client.execute(&statement, values);
        self.judge(result)
    }

    /// Runs a statement and returns its rows.
    pub fn query(&mut self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, PostgresError> {
        let statement = self.statement(sql)?;
        let result = self.client.query(&statement, values);
        self.judge(result)
    }

    /// Runs a statement that returns one row.
    pub fn query_one(&mut self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Row, PostgresError> {
        let statement = self.statement(sql)?;
        let result = self.client.query_one(&statement, values);
        self.judge(result)
    }

    /// Runs a statement that returns one row or none.
    pub fn query_optional(&mut self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, PostgresError> {
        let statement = self.statement(sql)?;
        let result = self.client.query_opt(&statement, values);
        self.judge(result)
    }

    /// Runs statements without values, in one round trip. Inside `run` they must not leave a transaction open.
    pub fn batch(&mut self, sql: &str) -> Result<(), PostgresError> {
        let result = self.client.batch_execute(sql);
        self.judge(result)
    }

    /// Whether the connection is known to be of no use.
    pub(super) fn is_broken(&self) -> bool {
        self.broken || self.client.is_closed()
    }
}
