//! Roles in processes of their own, as far as they can be tried without what they share.

use crate::instance::binary;
use std::process::Command;

const SHARED: [(&str, &str); 4] = [
    ("AFFILITRACK_KAFKA_BROKERS", "127.0.0.1:1"),
    ("AFFILITRACK_POSTGRES_URL", "postgres://nobody:hunter2@127.0.0.1:1/nothing"),
    ("AFFILITRACK_WAREHOUSE_EMBEDDED", "off"),
    ("AFFILITRACK_WAREHOUSE_URL", "http://127.0.0.1:1"),
];

/// What a role says that cannot begin.
fn refusal(role: &str, environment: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.arg(role).env("DATA_DIR", folder.path().join("data")).env("PORT", "0");
    let output = command.envs(environment.iter().copied()).output().unwrap();
    assert!(!output.status.success(), "{role} must not begin");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_role_says_at_once_everything_that_it_still_needs() {
    for role in ["ingest", "process", "serve", "migrate"] {
        let words = refusal(role, &[]);
        for setting in ["AFFILITRACK_KAFKA_BROKERS", "AFFILITRACK_POSTGRES_URL", "AFFILITRACK_WAREHOUSE_URL"] {
            assert!(words.contains(setting), "{role}: {words}");
        }
    }
}

#[test]
fn roles_without_a_common_master_key_are_refused() {
    for role in ["ingest", "process", "serve"] {
        let words = refusal(role, &SHARED);
        assert!(words.contains("AFFILITRACK_MASTER_KEY") && words.contains("openssl rand -hex 32"), "{role}: {words}");
    }
}

#[test]
fn who_does_not_answer_is_named_and_no_password_is_repeated() {
    let words = refusal("migrate", &SHARED);
    assert!(words.contains("Kafka at 127.0.0.1:1 does not answer"), "{words}");
    let key = ("AFFILITRACK_MASTER_KEY", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
    // An edge takes deliveries without Kafka, but must know endpoints.
    let words = refusal("ingest", &[&SHARED[..], &[key]].concat());
    assert!(words.contains("starting without Kafka") && words.contains("127.0.0.1:1"), "{words}");
    assert!(words.to_lowercase().contains("postgres") && !words.contains("hunter2"), "{words}");
    let words = refusal("warehouse", &[]);
    assert!(words.contains("AFFILITRACK_WAREHOUSE_PASSWORD"), "{words}");
}
