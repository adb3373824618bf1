//! What can go wrong with the warehouse, and whether trying again can help.

use crate::tls;
use domain::ids::VendorId;

/// An error of the warehouse. Its text is for logs, never for people outside.
#[derive(Debug, thiserror::Error)]
pub enum WarehouseError {
    /// It cannot be reached, is busy or did not answer in time. Whether an insert was done is
    /// then unknown: send the same rows with the same token again.
    #[error("the warehouse does not answer while {doing}: {reason}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// What was seen.
        reason: String,
    },
    /// It refused. The same request will be refused again.
    #[error("the warehouse refused while {doing}: {source}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: clickhouse::error::Error,
    },
    /// A row of somebody else came back. It was not returned to the caller; this is a defect.
    #[error("{query} for vendor {vendor} returned a row that is not visible to it")]
    ForeignRow {
        /// Name of the query.
        query: &'static str,
        /// Who asked.
        vendor: VendorId,
    },
    /// The answer has more rows than the query allows; ask for a smaller range.
    #[error("{query} has more than {limit} rows: ask for a shorter range or a coarser grouping")]
    TooManyRows {
        /// Name of the query.
        query: &'static str,
        /// The most it returns.
        limit: usize,
    },
    /// A stored value that this program cannot have written.
    #[error("{query} returned a value that cannot be read: {reason}")]
    Unreadable {
        /// Name of the query.
        query: &'static str,
        /// Which value.
        reason: String,
    },
    /// A row that does not fit its table; nothing of the batch was sent.
    #[error("a ledger line cannot be stored: {0}")]
    Unstorable(String),
    /// The tables were made by a newer program.
    #[error(
        "the warehouse has schema version {found}, this program knows {known}: start the newer program, or give this one a data folder of its own"
    )]
    SchemaTooNew {
        /// Version in the warehouse.
        found: u32,
        /// Newest version known here.
        known: u32,
    },
}

/// Codes of ClickHouse that name a state which passes: CANNOT_WRITE_TO_FILE_DESCRIPTOR (disk full),
/// TIMEOUT_EXCEEDED, TOO_MANY_SIMULTANEOUS_QUERIES, SOCKET_TIMEOUT, NETWORK_ERROR, MEMORY_LIMIT_EXCEEDED,
/// NOT_ENOUGH_SPACE, TOO_MANY_PARTS.
const PASSING_CODES: [u32; 8] = [75, 159, 202, 209, 210, 241, 243, 252];

/// Statuses of an answer that carries no code, from a proxy or a full queue.
const PASSING_STATUSES: [&str; 4] = ["429 ", "502 ", "503 ", "504 "];

impl WarehouseError {
    /// Sorts what the client said by whether trying again can help.
    pub(crate) fn from_client(doing: &'static str, error: clickhouse::error::Error) -> WarehouseError {
        use clickhouse::error::Error;
        match &error {
            Error::Network(source) => {
                let mut reason = format!("{error} ({})", tls::chain(source.as_ref()));
                if let Some(advice) = tls::handshake_advice(source.as_ref(), "warehouse.tls_ca_file") {
                    reason = format!("{reason}: {advice}");
                }
                WarehouseError::Unavailable { doing, reason }
            }
            Error::TimedOut => WarehouseError::Unavailable { doing, reason: error.to_string() },
            Error::BadResponse(text) if is_passing(text) => WarehouseError::Unavailable { doing, reason: text.clone() },
            _ => WarehouseError::Refused { doing, source: error },
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            WarehouseError::Unavailable { .. } => true,
            WarehouseError::Refused { .. }
            | WarehouseError::ForeignRow { .. }
            | WarehouseError::TooManyRows { .. }
            | WarehouseError::Unreadable { .. }
            | WarehouseError::Unstorable(_)
            | WarehouseError::SchemaTooNew { .. } => false,
        }
    }
}

/// Whether the text of an answer begins with a code or status that passes. Only its beginning is looked at: a message
/// quotes the statement and may hold any number.
fn is_passing(text: &str) -> bool {
    let text = text.trim_start();
    match text.strip_prefix("Code: ") {
        Some(rest) => {
            let digits = rest.split(|character: char| !character.is_ascii_digit()).next().unwrap_or_default();
            digits.parse().is_ok_and(|code: u32| PASSING_CODES.contains(&code))
        }
        None => PASSING_STATUSES.iter().any(|status| text.starts_with(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clickhouse::error::Error;

    #[test]
    fn passing_states_are_retried_and_defects_are_not() {
        for (text, retryable) in [
            ("Code: 241. DB::Exception: Memory limit", true),
            ("Code: 2410. DB::Exception: nothing", false),
            ("Code: 62. DB::Exception: Syntax error", false),
            ("503 Service Unavailable", true),
            ("Code: 62. DB::Exception: Syntax error near 503 Code: 241.", false),
        ] {
            let error = WarehouseError::from_client("reading", Error::BadResponse(text.into()));
            assert_eq!(error.is_retryable(), retryable, "{text}");
        }
        assert!(WarehouseError::from_client("reading", Error::TimedOut).is_retryable());
    }
}
