//! The real broker for tests: where it is, and topics of one's own.

use super::{KafkaSettings, migrate};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use std::path::Path;

/// Topics that nobody else uses; removed in the end.
pub(crate) struct TestTopics {
    pub(crate) settings: KafkaSettings,
}

impl TestTopics {
    /// Names only: nothing is created.
    pub(crate) fn named() -> TestTopics {
        let unique = tempfile::Builder::new().prefix("test-").tempdir().unwrap();
        let name = unique.path().file_name().unwrap().to_str().unwrap().to_owned();
        let settings = KafkaSettings {
            brokers: address(),
            events_topic: format!("{name}.events"),
            live_topic: format!("{name}.live"),
            ..KafkaSettings::default()
        };
        TestTopics { settings }
    }

    /// As `migrate` makes them.
    pub(crate) async fn made() -> TestTopics {
        let topics = TestTopics::named();
        migrate(&topics.settings).await.unwrap();
        topics
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.settings.client().create().unwrap()
    }
}

impl Drop for TestTopics {
    fn drop(&mut self) {
        let (admin, settings) = (self.admin(), self.settings.clone());
        // A runtime cannot be blocked from within.
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let names = [settings.events_topic.as_str(), settings.live_topic.as_str()];
            runtime.block_on(admin.delete_topics(&names, &AdminOptions::new())).is_ok()
        });
        let _ = removed.join();
    }
}

/// Where the broker is, or what to do.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where the broker is")]
fn address() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/services/kafka/address");
    let named = std::env::var("AFFILITRACK_TEST_KAFKA").ok();
    let address = named.or_else(|| std::fs::read_to_string(file).ok());
    let address = address.expect("these tests need Kafka: run: bash scripts/services/kafka.sh start");
    address.trim().to_owned()
}
