//! Query text with its binds, kept apart until the client puts them together.

use super::rows::clamp_time;
use domain::ids::Timestamp;

/// A value in the place of a `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number without sign.
    Unsigned(u64),
    /// A number with sign.
    Signed(i64),
    /// A text.
    Text(String),
    /// A list of numbers.
    Numbers(Vec<u64>),
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Unsigned(number)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Signed(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<Vec<u64>> for Value {
    fn from(numbers: Vec<u64>) -> Value {
        Value::Numbers(numbers)
    }
}

/// A statement and its binds. Text is only ever pushed from this crate's own literals; whatever
/// comes from outside is bound.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sql {
    text: String,
    binds: Vec<Value>,
}

impl Sql {
    /// Starts with a text.
    pub fn new(text: &str) -> Sql {
        let mut sql = Sql::default();
        sql.push(text);
        sql
    }

    /// Adds text without a `?` of its own.
    pub fn push(&mut self, text: &str) -> &mut Sql {
        debug_assert!(!text.contains('?'), "a bind is added with `bind`");
        self.text.push_str(text);
        self
    }

    /// Adds a `?` and its value.
    pub fn bind(&mut self, value: impl Into<Value>) -> &mut Sql {
        self.text.push('?');
        self.binds.push(value.into());
        self
    }

    /// Adds a moment as the tables store it. Moments the tables cannot hold are moved to the
    /// nearest one they can, as the inserts do.
    pub fn bind_time(&mut self, time: Timestamp) -> &mut Sql {
        self.push("fromUnixTimestamp64Milli(").bind(clamp_time(time)).push(", 'UTC')")
    }

    /// The text with its `?`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The values in the order of the `?`.
    pub fn binds(&self) -> &[Value] {
        &self.binds
    }

    /// The query of the client.
    pub(crate) fn query(&self, client: &clickhouse::Client) -> clickhouse::query::Query {
        self.binds.iter().fold(client.query(&self.text), |query, value| match value {
            Value::Unsigned(number) => query.bind(number),
            Value::Signed(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
            Value::Numbers(numbers) => query.bind(numbers),
        })
    }
}
