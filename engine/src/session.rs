//! One connection together with what was set on it, so that it can be handed from one request to the next.
//!
//! A request brings settings and a database with it. They are compared with what the connection has, and only the
//! difference is sent: what the request wants is set, what an earlier request left is put back. A connection that
//! cannot be put back (`readonly = 1` forbids its own removal) is closed and replaced, which takes below a
//! millisecond; so is one whose statement failed, because the engine leaves the head of a broken-off answer in
//! the connection's buffer, and the next answer would start with it.

use std::collections::BTreeMap;
use std::ffi::CString;

use crate::error::{QueryError, code};
use crate::ffi::{Api, Connection, Sql};

/// How every connection of an engine is opened.
pub(crate) struct SessionOptions {
    pub(crate) api: &'static Api,
    /// Arguments as on a command line; the first is the program's name.
    pub(crate) arguments: Vec<CString>,
    /// Settings that hold unless a request says otherwise.
    pub(crate) base_settings: BTreeMap<String, String>,
}

/// An open connection and the state that requests left on it.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    database: Option<String>,
    /// Settings that differ from the base settings.
    changed: BTreeMap<String, String>,
}

impl Session {
    /// Opens a connection with the base settings. Blocks.
    pub(crate) fn open(options: &SessionOptions) -> Result<Self, QueryError> {
        let connection = Connection::open(options.api, &options.arguments)
            .ok_or_else(|| QueryError::new(code::ABORTED, "The engine refused a connection; see standard error."))?;
        let mut session = Self { connection, database: None, changed: BTreeMap::new() };
        let assignments = options.base_settings.iter().map(|(name, value)| assignment(name, value));
        session.set(assignments.collect())?;
        Ok(session)
    }

    /// Gives the connection exactly this database and these settings (and the base settings, where not named).
    /// After an error the session must be closed: part of the change may have happened.
    pub(crate) fn prepare(
        &mut self,
        options: &SessionOptions,
        database: &str,
        wanted: &BTreeMap<String, String>,
    ) -> Result<(), QueryError> {
        self.set(changes(&options.base_settings, &self.changed, wanted))?;
        self.changed = wanted.clone();
        if self.database.as_deref() != Some(database) {
            self.execute(&format!("USE {}", quote_identifier(database)))?;
            self.database = Some(database.to_owned());
        }
        Ok(())
    }

    /// Runs a statement without an answer.
    pub(crate) fn execute(&mut self, text: &str) -> Result<(), QueryError> {
        self.connection.run(Sql { text, format: "Null", parameters: &[] }).map(|_| ())
    }

    fn set(&mut self, assignments: Vec<String>) -> Result<(), QueryError> {
        if assignments.is_empty() {
            return Ok(());
        }
        self.execute(&format!("SET {}", assignments.join(", ")))
    }
}

/// The assignments that lead from the settings changed earlier to those wanted now.
fn changes(
    base: &BTreeMap<String, String>,
    changed: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> Vec<String> {
    let stale = changed.keys().filter(|name| !wanted.contains_key(*name));
    let put_back = stale.map(|name| match base.get(name) {
        Some(value) => assignment(name, value),
        None => format!("{name} = DEFAULT"),
    });
    let new = wanted.iter().filter(|(name, value)| changed.get(*name) != Some(value));
    put_back.chain(new.map(|(name, value)| assignment(name, value))).collect()
}

fn assignment(name: &str, value: &str) -> String {
    format!("{name} = '{}'", escape(value, '\''))
}

/// A name in backticks.
pub(crate) fn quote_identifier(name: &str) -> String {
    format!("`{}`", escape(name, '`'))
}

/// Escapes backslashes and the quote.
fn escape(text: &str, quote: char) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\\' || character == quote {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn sends_only_what_differs() {
        let changed = settings(&[("final", "1"), ("max_block_size", "10")]);
        let wanted = settings(&[("final", "1"), ("max_block_size", "20")]);
        assert_eq!(changes(&settings(&[]), &changed, &wanted), ["max_block_size = '20'"]);
        assert!(changes(&settings(&[]), &wanted, &wanted).is_empty());
    }

    #[test]
    fn puts_back_the_base_value_or_the_default() {
        let base = settings(&[("max_threads", "1")]);
        let changed = settings(&[("final", "1"), ("max_threads", "8")]);
        let assignments = changes(&base, &changed, &settings(&[]));
        assert_eq!(assignments, ["final = DEFAULT", "max_threads = '1'"]);
    }

    #[test]
    fn a_value_cannot_leave_its_quotes() {
        assert_eq!(assignment("token", r"a'b\"), r"token = 'a\'b\\'");
        assert_eq!(quote_identifier("a`b"), r"`a\`b`");
    }
}
