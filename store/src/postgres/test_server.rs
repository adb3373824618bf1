//! The Postgres of the tests: each test has a schema of its own, which is dropped after it.

use super::{PostgresPool, PostgresSettings};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const URL_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.cache/services/postgres/url");
const INSTRUCTION: &str = "run: bash scripts/services/postgres.sh start";

static MADE: AtomicU32 = AtomicU32::new(0);

/// URL of the test server.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
pub(crate) fn url() -> String {
    std::env::var("AFFILITRACK_TEST_POSTGRES_URL").unwrap_or_else(|_| own_url())
}

/// URL of the server that the script starts.
pub(crate) fn own_url() -> String {
    match std::fs::read_to_string(Path::new(URL_FILE)) {
        Ok(url) => url.trim().to_owned(),
        Err(_) => panic!("there is no Postgres for the tests. {INSTRUCTION}"),
    }
}

/// The authority that signed the certificate of the server that the script starts, which is for `localhost` only.
pub(crate) fn authority() -> std::path::PathBuf {
    let file = Path::new(URL_FILE).with_file_name("ca.pem");
    assert!(
        file.exists(),
        "the tests of encrypted connections need the server of this project, with a certificate. {INSTRUCTION} (stop it first, if an older one runs)"
    );
    file
}

/// A schema name that no other test has, in no other run.
pub(crate) struct TestSchema {
    name: String,
}

impl TestSchema {
    /// Takes a name; nothing is made in the database.
    #[expect(clippy::disallowed_methods, reason = "a name that no other run has")]
    pub(crate) fn new() -> TestSchema {
        let mut random = [0_u8; 6];
        getrandom::fill(&mut random).expect("the system gives random bytes");
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        TestSchema { name: format!("test_{}_{number}", hex::encode(random)) }
    }

    /// Settings for this schema.
    pub(crate) fn settings(&self) -> PostgresSettings {
        PostgresSettings::new(&url(), &self.name)
    }

    /// A pool on this schema.
    pub(crate) fn pool(&self) -> Arc<PostgresPool> {
        PostgresPool::connect(self.settings()).unwrap_or_else(|error| panic!("{error}. {INSTRUCTION}"))
    }
}

impl Drop for TestSchema {
    fn drop(&mut self) {
        let settings = PostgresSettings { pool_size: 1, ..self.settings() };
        let dropped = PostgresPool::connect(settings).and_then(|pool| {
            pool.run(|connection| connection.batch(&format!("drop schema if exists {} cascade", self.name)))
        });
        if let Err(error) = dropped
            && !std::thread::panicking()
        {
            panic!("schema {} is left in the test server: {error}", self.name);
        }
    }
}
