//! What only the real broker can show.

use super::live::{LiveListener, LivePublisher};
use super::test_broker::TestTopics;
use super::*;
use crate::event_log::partition_of;
use crate::fold_store::Visible;
use crate::live::{Change, Heard, LiveHub, LiveSignal};
use domain::ids::{AffiliateId, Mode, Timestamp};
use rdkafka::admin::{AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::atomic::AtomicU32;

const PATIENCE: Duration = Duration::from_secs(120);

fn record(partition: u16, text: &str) -> NewRecord {
    NewRecord { partition, bytes: text.as_bytes().to_vec() }
}

async fn create(topics: &TestTopics, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (setting, value) in settings {
        topic = topic.set(setting, value);
    }
    let created = topics.admin().create_topics(&[topic], &AdminOptions::new()).await.unwrap();
    assert!(created.iter().all(Result::is_ok), "{created:?}");
}

#[tokio::test]
async fn migrating_again_changes_nothing_and_everything_that_differs_is_named() {
    let topics = TestTopics::named();
    let name = &topics.settings.events_topic;
    assert!(matches!(check(&topics.settings).await, Err(TopicError::Missing { .. })));
    migrate(&topics.settings).await.unwrap();
    migrate(&topics.settings).await.unwrap();

    let wrong = AlterConfig::new(ResourceSpecifier::Topic(name))
        .set("cleanup.policy", "compact")
        .set("retention.ms", "604800000")
        .set("max.message.bytes", "1000");
    topics.admin().alter_configs(&[wrong], &AdminOptions::new()).await.unwrap();
    let mut words = String::new();
    // The broker tells its new settings a moment later.
    for _ in 0..100 {
        words = migrate(&topics.settings).await.err().map_or(String::new(), |error| error.to_string());
        if words.lines().count() == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let brokers = &topics.settings.brokers;
    assert!(
        words.contains(&format!("topic {name}: cleanup.policy: found compact, wanted delete. Repair: ")),
        "{words}"
    );
    let repair = format!(
        "topic {name}: retention.ms: found 604800000, wanted -1. Repair: kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics --entity-name {name} --add-config retention.ms=-1"
    );
    assert!(words.contains(&repair), "{words}");
    assert!(words.contains("max.message.bytes: found 1000, wanted at least 4259840"), "{words}");
}

#[tokio::test]
async fn another_partition_count_is_refused() {
    let topics = TestTopics::named();
    create(&topics, &topics.settings.events_topic, 3, &[("retention.ms", "-1")]).await;
    let words = migrate(&topics.settings).await.unwrap_err().to_string();
    assert!(
        words.contains("partitions: found 3, wanted 16. A log's partition count never changes in place"),
        "{words}"
    );
}

#[tokio::test]
async fn without_topics_the_words_say_what_to_run() {
    let topics = TestTopics::named();
    let log = KafkaLog::open(topics.settings.clone()).unwrap();
    let words = log.bounds(0).await.unwrap_err().to_string();
    assert!(words.contains("Run: affilitrack migrate"), "{words}");
}

#[tokio::test]
async fn what_another_process_appends_is_heard_of_and_read() {
    let topics = TestTopics::made().await;
    let (writer, reader) = (KafkaLog::open(topics.settings.clone()), KafkaLog::open(topics.settings.clone()));
    let (writer, reader) = (writer.unwrap(), reader.unwrap());
    let mut next = 0;
    assert!(reader.read(1, 0, 10, 1000).await.unwrap().is_empty());
    for number in 0..20_u64 {
        writer.append(record(1, &number.to_string())).await.unwrap();
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let appended = reader.appended();
                let records = reader.read(1, next, 10, 1000).await.unwrap();
                if let Some(last) = records.last() {
                    next = last.offset + 1;
                    return records;
                }
                appended.await;
            }
        });
        let found = found.await.expect("it is told of every append");
        assert_eq!(found[0].bytes, number.to_string().as_bytes());
    }
}

#[tokio::test]
async fn the_key_is_the_vendor() {
    let topics = TestTopics::made().await;
    let log = KafkaLog::open(topics.settings.clone()).unwrap();
    log.append(record(2, r#"{"v":1,"vendor":4711,"kind":"delivery"}"#)).await.unwrap();
    log.append(record(2, "no record")).await.unwrap();
    let consumer: BaseConsumer = topics.settings.consumer(64, FETCH_WAIT).create().unwrap();
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(&topics.settings.events_topic, 2, Offset::Beginning).unwrap();
    consumer.assign(&places).unwrap();
    let mut keys = Vec::new();
    while keys.len() < 2 {
        if let Ok(message) = consumer.poll(PATIENCE).expect("both are there") {
            keys.push(message.key().unwrap_or_default().to_vec());
        }
    }
    assert_eq!(keys, [b"4711".to_vec(), Vec::new()]);
}

#[tokio::test]
async fn a_beginning_that_was_removed_is_never_jumped_over() {
    let topics = TestTopics::made().await;
    let log = KafkaLog::open(topics.settings.clone()).unwrap();
    for number in 0..10 {
        log.append(record(0, &number.to_string())).await.unwrap();
    }
    assert_eq!(log.read(0, 0, 2, 1000).await.unwrap().len(), 2);
    let mut until = TopicPartitionList::new();
    until.add_partition_offset(&topics.settings.events_topic, 0, Offset::Offset(6)).unwrap();
    topics.admin().delete_records(&until, &AdminOptions::new()).await.unwrap();
    let another = KafkaLog::open(topics.settings.clone()).unwrap();
    let error = another.read(0, 2, 10, 1000).await.unwrap_err();
    assert!(matches!(error, LogError::OutOfRange { offset: 2, start: 6, end: 10, .. }), "{error}");
    assert_eq!(error.to_string(), "partition 0 has no offset 2: the log holds 6 up to, not including, 10");
    assert_eq!(another.read(0, 6, 10, 1000).await.unwrap()[0].offset, 6);
}

#[tokio::test]
async fn places_without_a_record_are_damage() {
    let topics = TestTopics::made().await;
    let producer: BaseProducer = {
        let mut config = topics.settings.client();
        config.set("transactional.id", &topics.settings.events_topic).create().unwrap()
    };
    let (name, settings) = (topics.settings.events_topic.clone(), topics.settings.clone());
    tokio::task::spawn_blocking(move || {
        producer.init_transactions(PATIENCE).unwrap();
        for text in ["a", "b"] {
            producer.begin_transaction().unwrap();
            producer.send(BaseRecord::<[u8], str>::to(&name).partition(0).payload(text)).unwrap();
            producer.commit_transaction(PATIENCE).unwrap();
        }
    })
    .await
    .unwrap();
    // The places: a, the mark of its transaction, b, the mark of its transaction.
    let log = KafkaLog::open(settings).unwrap();
    assert_eq!(log.read(0, 0, 10, 1000).await.unwrap().len(), 1);
    let error = log.read(0, 1, 10, 1000).await.unwrap_err();
    assert!(matches!(error, LogError::Damaged { partition: 0, offset: 1, .. }), "{error}");
    assert!(error.to_string().contains("the next place is 2"), "{error}");
    let error = log.read(0, 3, 10, 1000).await.unwrap_err();
    assert!(matches!(error, LogError::Damaged { offset: 3, .. }), "at the end too: {error}");
}

#[tokio::test]
async fn every_listener_hears_what_became_visible() {
    let topics = TestTopics::made().await;
    let (vendor, heard_of) = (VendorId(5), Arc::new(AtomicU32::new(0)));
    let partition = partition_of(vendor);
    let publisher = LivePublisher::open(&topics.settings).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    let mut hubs = Vec::new();
    for _ in 0..2 {
        let listener = LiveListener::open(&topics.settings).await.unwrap();
        let changed = Arc::clone(&heard_of);
        let on_change = move |_: Change<'_>| {
            changed.fetch_add(1, Ordering::Relaxed);
        };
        let hub = Arc::new(LiveHub::new([], Box::new(on_change)));
        hubs.push(Arc::clone(&hub));
        tasks.spawn(async move { listener.run(&hub, &|| {}).await });
    }
    let mut pages: Vec<_> = hubs.iter().map(|hub| hub.subscribe()).collect();
    let signal = LiveSignal { vendor, mode: Mode::Test, affiliates: [AffiliateId(0)].into(), next_offset: 8 };
    let visible = Visible { next_offset: 8, at: Timestamp(77) };
    publisher.announce(vec![signal.clone()], &[(partition, visible)]);
    for (page, hub) in pages.iter_mut().zip(&hubs) {
        assert_eq!(tokio::time::timeout(PATIENCE, page.recv()).await.unwrap().unwrap(), Heard::Signal(signal.clone()));
        assert_eq!(hub.visible(partition), visible);
    }
    assert_eq!(heard_of.load(Ordering::Relaxed), 2, "caches were told");
}
