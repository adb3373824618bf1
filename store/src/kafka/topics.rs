//! Makes the topics, and refuses what is there but different: a topic that forgets or merges
//! records is no log.

use super::context::{Context, Health};
use super::settings::{KafkaSettings, MAX_MESSAGE_BYTES};
use domain::ids::PARTITIONS;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{Producer, ThreadedProducer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// One question to the broker.
const ASK_PATIENCE: Duration = Duration::from_secs(10);
/// Another broker may let us in where one did not; but not much later.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(2);
/// What the client library says nothing about: the broker hangs up without a word.
const OTHER_PROTOCOL: &str = "if it runs, this port of it may be for another kafka.security_protocol";
/// A topic that was made has a leader everywhere after at most this many looks ...
const LEADER_LOOKS: u32 = 100;
/// ... this far apart.
const LEADER_PAUSE: Duration = Duration::from_millis(100);

/// Why the topics cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// No answer.
    #[error("Kafka at {brokers} does not answer: {reason}")]
    Unreachable {
        /// Addresses.
        brokers: String,
        /// What was seen.
        reason: String,
    },
    /// It answers, but does not let us in, or is not whom we believe.
    #[error("Kafka at {brokers}: {reason}")]
    Refused {
        /// Addresses.
        brokers: String,
        /// What was seen, and which settings to look at.
        reason: String,
    },
    /// Not there.
    #[error("topic {topic} is not there. Run: affilitrack migrate")]
    Missing {
        /// Its name.
        topic: String,
    },
    /// Could not be made.
    #[error("topic {topic} could not be created: {reason}")]
    NotCreated {
        /// Its name.
        topic: String,
        /// What the broker said.
        reason: String,
    },
    /// There, but not as the log needs it: every difference, each with its repair.
    #[error("{}", .0.join("\n"))]
    Different(Vec<String>),
}

/// Creates what is missing and checks what is there. Changes nothing that exists.
pub async fn migrate(settings: &KafkaSettings) -> Result<(), TopicError> {
    let broker = Broker::connect(settings)?;
    for wanted in wanted_topics(settings) {
        if broker.partitions(&wanted.name).await?.is_empty() {
            broker.create(&wanted).await?;
        }
    }
    check(settings).await
}

/// Checks that the topics are there and as they must be.
pub async fn check(settings: &KafkaSettings) -> Result<(), TopicError> {
    let broker = Broker::connect(settings)?;
    let mut differences = Vec::new();
    for wanted in wanted_topics(settings) {
        let partitions = broker.partitions(&wanted.name).await?;
        if partitions.is_empty() {
            return Err(TopicError::Missing { topic: wanted.name });
        }
        let found = broker.configuration(&wanted.name).await?;
        differences.extend(layout_differences(&wanted, &partitions, &settings.brokers));
        differences.extend(setting_differences(&wanted, &found, &settings.brokers));
    }
    if differences.is_empty() { Ok(()) } else { Err(TopicError::Different(differences)) }
}

/// What a setting must be.
enum Must {
    Be(String),
    BeAtLeast(u64),
}

/// What a topic must be like.
struct WantedTopic {
    name: String,
    replication_factor: u16,
    settings: Vec<(&'static str, Must)>,
}

fn wanted_topics(settings: &KafkaSettings) -> [WantedTopic; 2] {
    let milliseconds = |time: Option<Duration>| time.map_or("-1".to_owned(), |time| time.as_millis().to_string());
    let live_retention = milliseconds(Some(settings.live_retention));
    let events = WantedTopic {
        name: settings.events_topic.clone(),
        replication_factor: settings.replication_factor,
        settings: vec![
            ("cleanup.policy", Must::Be("delete".to_owned())),
            ("retention.ms", Must::Be(milliseconds(settings.events_retention))),
            ("retention.bytes", Must::Be("-1".to_owned())),
            ("max.message.bytes", Must::BeAtLeast(MAX_MESSAGE_BYTES as u64)),
            ("min.insync.replicas", Must::Be(settings.min_insync_replicas.to_string())),
            // A leader that missed records would take them back.
            ("unclean.leader.election.enable", Must::Be("false".to_owned())),
            // The broker's own time: a record of a machine whose clock is wrong is a record all the same.
            ("message.timestamp.type", Must::Be("LogAppendTime".to_owned())),
        ],
    };
    let live = WantedTopic {
        name: settings.live_topic.clone(),
        replication_factor: settings.replication_factor,
        settings: vec![
            ("cleanup.policy", Must::Be("delete".to_owned())),
            ("retention.ms", Must::Be(live_retention.clone())),
            // Only whole segments are removed.
            ("segment.ms", Must::Be(live_retention)),
        ],
    };
    [events, live]
}

/// Partitions and copies. Neither can be changed by a setting.
fn layout_differences(wanted: &WantedTopic, found: &[FoundPartition], brokers: &str) -> Vec<String> {
    let name = &wanted.name;
    let mut differences = Vec::new();
    if found.len() != usize::from(PARTITIONS) {
        differences.push(format!(
            "topic {name}: partitions: found {}, wanted {PARTITIONS}. A log's partition count never changes in place: configure another topic name, or, if it holds nothing, remove it and migrate again: kafka-topics.sh --bootstrap-server {brokers} --delete --topic {name}",
            found.len()
        ));
    }
    let fewest = found.iter().map(|one| one.replicas).min().unwrap_or_default();
    if fewest < usize::from(wanted.replication_factor) {
        differences.push(format!(
            "topic {name}: replication factor: found {fewest}, wanted {}. Repair: kafka-reassign-partitions.sh --bootstrap-server {brokers} --execute --reassignment-json-file FILE",
            wanted.replication_factor
        ));
    }
    differences
}

fn setting_differences(wanted: &WantedTopic, found: &BTreeMap<String, String>, brokers: &str) -> Vec<String> {
    let name = &wanted.name;
    let mut differences = Vec::new();
    for (setting, must) in &wanted.settings {
        let found = found.get(*setting).map_or("nothing", String::as_str);
        let (is_right, words, value) = match must {
            Must::Be(value) => (found == value, value.clone(), value.clone()),
            Must::BeAtLeast(least) => {
                let is_right = found.parse::<u64>().is_ok_and(|found| found >= *least);
                (is_right, format!("at least {least}"), least.to_string())
            }
        };
        if !is_right {
            differences.push(format!(
                "topic {name}: {setting}: found {found}, wanted {words}. Repair: kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics --entity-name {name} --add-config {setting}={value}"
            ));
        }
    }
    differences
}

/// A partition as the broker has it.
struct FoundPartition {
    replicas: usize,
    has_leader: bool,
}

/// Asks and tells the broker.
struct Broker {
    brokers: String,
    admin: AdminClient<Context>,
    /// Asks what is there. An admin client does not hear why it is not let in; a producer does.
    probe: Arc<ThreadedProducer<Context>>,
    health: Arc<Health>,
}

impl Broker {
    fn connect(settings: &KafkaSettings) -> Result<Broker, TopicError> {
        let brokers = settings.brokers.clone();
        let health = Arc::<Health>::default();
        let context = || Context { health: Arc::clone(&health) };
        let built = settings
            .client()
            .create_with_context(context())
            .and_then(|admin| Ok((admin, settings.client().create_with_context(context())?)));
        match built {
            Ok((admin, probe)) => Ok(Broker { brokers, admin, probe: Arc::new(probe), health }),
            Err(error) => Err(TopicError::Unreachable { brokers, reason: error.to_string() }),
        }
    }

    fn unreachable(&self, reason: impl ToString) -> TopicError {
        let brokers = self.brokers.clone();
        match self.health.refusal() {
            Some(reason) => TopicError::Refused { brokers, reason },
            None => {
                let said = self.health.last_said().unwrap_or_else(|| OTHER_PROTOCOL.to_owned());
                TopicError::Unreachable { brokers, reason: format!("{} ({said})", reason.to_string()) }
            }
        }
    }

    /// Resolves when no broker lets us in.
    async fn is_refused(&self) {
        self.health.refused().await;
        tokio::time::sleep(REFUSAL_PATIENCE).await;
    }

    /// Its partitions; empty when there is no such topic.
    async fn partitions(&self, topic: &str) -> Result<Vec<FoundPartition>, TopicError> {
        let (probe, name) = (Arc::clone(&self.probe), topic.to_owned());
        // All topics are asked for: asking for one by name would make some brokers create it.
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = probe.client().fetch_metadata(None, ASK_PATIENCE)?;
            let topic = metadata.topics().iter().find(|topic| topic.name() == name);
            let partitions = topic.map(|topic| topic.partitions()).unwrap_or_default();
            let found = partitions
                .iter()
                .map(|one| FoundPartition { replicas: one.replicas().len(), has_leader: one.leader() >= 0 });
            Ok::<_, rdkafka::error::KafkaError>(found.collect())
        });
        let answer = tokio::select! {
            answer = asked => answer,
            () = self.is_refused() => return Err(self.unreachable("it does not let us in")),
        };
        answer.map_err(|error| self.unreachable(error))?.map_err(|error| self.unreachable(error))
    }

    async fn configuration(&self, topic: &str) -> Result<BTreeMap<String, String>, TopicError> {
        let asked = [ResourceSpecifier::Topic(topic)];
        let answers = self.admin.describe_configs(&asked, &options()).await;
        let answers = answers.map_err(|error| self.unreachable(error))?;
        let mut settings = BTreeMap::new();
        for answer in answers {
            let resource: ConfigResource = answer.map_err(|code: RDKafkaErrorCode| self.unreachable(code))?;
            settings.extend(resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))));
        }
        Ok(settings)
    }

    async fn create(&self, wanted: &WantedTopic) -> Result<(), TopicError> {
        let name = wanted.name.as_str();
        let not_created = |reason: String| TopicError::NotCreated { topic: name.to_owned(), reason };
        let values: Vec<(&str, String)> =
            wanted.settings.iter().map(|(setting, must)| (*setting, must.value())).collect();
        let replication = TopicReplication::Fixed(i32::from(wanted.replication_factor));
        let mut topic = NewTopic::new(name, i32::from(PARTITIONS), replication);
        for (setting, value) in &values {
            topic = topic.set(setting, value);
        }
        let created = self.admin.create_topics(&[topic], &options()).await;
        for result in created.map_err(|error| self.unreachable(error))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(not_created(code.to_string())),
            }
        }
        for _ in 0..LEADER_LOOKS {
            let found = self.partitions(name).await?;
            if !found.is_empty() && found.iter().all(|one| one.has_leader) {
                return Ok(());
            }
            tokio::time::sleep(LEADER_PAUSE).await;
        }
        Err(not_created("its partitions have no leader yet".to_owned()))
    }
}

impl Must {
    fn value(&self) -> String {
        match self {
            Must::Be(value) => value.clone(),
            Must::BeAtLeast(least) => least.to_string(),
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ASK_PATIENCE)).operation_timeout(Some(ASK_PATIENCE))
}
