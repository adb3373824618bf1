//! What can go wrong: at start ([`EngineError`], read by a person) and in a statement ([`QueryError`],
//! read by a ClickHouse client, with ClickHouse's own error codes).

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::StatusCode;

/// Why the engine could not be started or stopped. Each text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine library is not where it should be.
    #[error(
        "the warehouse engine is not installed: {path} does not exist. Run scripts/fetch-engine.sh, which installs it."
    )]
    LibraryMissing {
        /// Where the library was looked for.
        path: PathBuf,
    },
    /// The file is there, but it cannot be loaded.
    #[error(
        "the warehouse engine at {path} cannot be loaded: {reason}. Delete its folder and run scripts/fetch-engine.sh again; it needs Linux with glibc on x86-64."
    )]
    LibraryUnusable {
        /// The library file.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The library is another release than the one this program was tested with.
    #[error(
        "the warehouse engine at {path} is version {found}, this program needs {expected}. Run scripts/fetch-engine.sh, which installs the right one."
    )]
    WrongVersion {
        /// The library file.
        path: PathBuf,
        /// The version it says it is.
        found: String,
        /// The version needed.
        expected: &'static str,
    },
    /// The processor cannot run the library.
    #[error(
        "this processor has no AVX2, which the warehouse engine needs. Use a machine with AVX2 (Intel since 2013, AMD since 2015; in a virtual machine choose the CPU type `host`)."
    )]
    UnsupportedProcessor,
    /// A value in [`crate::EngineConfig`] cannot work.
    #[error("the engine setting `{field}` is wrong: {problem}")]
    BadConfig {
        /// The field of [`crate::EngineConfig`].
        field: &'static str,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// One process can hold one storage folder, so one engine.
    #[error("an engine is already running in this process; shut it down before starting another one")]
    AlreadyRunning,
    /// Another process has the folder open.
    #[error(
        "the warehouse folder {path} is in use by another process. Stop that process (is `affilitrack run` still running?) or choose another data folder."
    )]
    Locked {
        /// The data folder.
        path: PathBuf,
    },
    /// The data folder cannot be made or read.
    #[error(
        "the warehouse folder {path} cannot be used: {source}. Check that it is a folder this user may write to, and that the disk is not full."
    )]
    DataFolder {
        /// The data folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The engine refused to open the folder. It writes its reason to standard error only.
    #[error(
        "the engine could not open the warehouse folder {path}; its reason is on standard error just above this message"
    )]
    Open {
        /// The data folder.
        path: PathBuf,
    },
    /// A statement that the start needs failed.
    #[error("the engine could not be prepared: {0}")]
    Prepare(#[from] QueryError),
    /// The endpoint's address cannot be listened on.
    #[error("the warehouse endpoint cannot listen on {address}: {source}. Choose another port, or 0 for any free one.")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The runtime ended, or a thread of the engine died, in the middle of a start or shutdown.
    #[error("the engine's work was interrupted: {0}")]
    Interrupted(String),
}

/// ClickHouse's error codes that this endpoint raises itself. The engine raises many more.
pub(crate) mod code {
    pub(crate) const BAD_ARGUMENTS: u32 = 36;
    pub(crate) const CHECKSUM_DOES_NOT_MATCH: u32 = 40;
    pub(crate) const SYNTAX_ERROR: u32 = 62;
    pub(crate) const TOO_MANY_SIMULTANEOUS_QUERIES: u32 = 202;
    pub(crate) const ABORTED: u32 = 236;
    pub(crate) const CANNOT_DECOMPRESS: u32 = 271;
    pub(crate) const TOO_MANY_BYTES: u32 = 307;
    pub(crate) const UNKNOWN_CODEC: u32 = 432;
    pub(crate) const AUTHENTICATION_FAILED: u32 = 516;
    pub(crate) const UNKNOWN_EXCEPTION: u32 = 1002;
}

/// A statement that failed, with ClickHouse's error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// ClickHouse's error code, for example 60 for an unknown table.
    pub code: u32,
    /// ClickHouse's text: `Code: 60. DB::Exception: ...`.
    pub message: String,
}

impl QueryError {
    /// An error of this endpoint, worded like one of the engine.
    pub(crate) fn new(code: u32, text: impl std::fmt::Display) -> Self {
        let message = format!("Code: {code}. DB::Exception: {text}");
        Self { code, message }
    }

    /// An error text of the engine. Not every text carries a code; a client expects one always.
    pub(crate) fn from_engine(text: &str) -> Self {
        let text = text.trim();
        match read_code(text) {
            Some(code) => Self { code, message: text.to_owned() },
            None => Self::new(code::UNKNOWN_EXCEPTION, text),
        }
    }

    /// The endpoint is being stopped.
    pub(crate) fn shutting_down() -> Self {
        Self::new(code::ABORTED, "The warehouse is shutting down.")
    }

    /// Too much is running and waiting already.
    pub(crate) fn busy(text: impl std::fmt::Display) -> Self {
        Self::new(code::TOO_MANY_SIMULTANEOUS_QUERIES, text)
    }

    /// The HTTP status that goes with the code. Clients decide by the code; the status is for people and proxies.
    pub(crate) fn status(&self) -> StatusCode {
        match self.code {
            code::AUTHENTICATION_FAILED => StatusCode::FORBIDDEN,
            code::TOO_MANY_SIMULTANEOUS_QUERIES | code::ABORTED => StatusCode::SERVICE_UNAVAILABLE,
            code::TOO_MANY_BYTES => StatusCode::PAYLOAD_TOO_LARGE,
            60 | 81 => StatusCode::NOT_FOUND,
            // Syntax, types, names, values: the statement is wrong, not the warehouse.
            6 | 16 | 27 | 36 | 38 | 40 | 42 | 43 | 46 | 47 | 50 | 53 | 57 | 62 | 70 | 72 | 115 | 271 | 432 | 456
            | 457 => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The number in `Code: 60. DB::Exception: ...`.
fn read_code(text: &str) -> Option<u32> {
    let start = text.find("Code: ")? + "Code: ".len();
    let digits = text[start..].split(|character: char| !character.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_code_of_an_engine_text() {
        let error = QueryError::from_engine("Code: 60. DB::Exception: Unknown table. (UNKNOWN_TABLE)\n");
        assert_eq!(error.code, 60);
        assert_eq!(error.status(), StatusCode::NOT_FOUND);
        assert!(error.message.ends_with("(UNKNOWN_TABLE)"));
    }

    #[test]
    fn gives_a_code_to_a_text_without_one() {
        let error = QueryError::from_engine("Invalid or closed connection");
        assert_eq!(error.code, code::UNKNOWN_EXCEPTION);
        assert_eq!(error.message, "Code: 1002. DB::Exception: Invalid or closed connection");
    }

    #[test]
    fn every_start_error_says_what_to_do() {
        let missing = EngineError::LibraryMissing { path: "/nowhere/libchdb.so".into() };
        assert!(missing.to_string().contains("scripts/fetch-engine.sh"));
        let locked = EngineError::Locked { path: "/data".into() };
        assert!(locked.to_string().contains("another process"));
    }
}
