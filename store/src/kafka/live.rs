//! The live signal over Kafka: the processor says what became visible, every process that shows
//! pages hears all of it.
//!
//! Copies and late messages are harmless: what is visible only ever rises. When messages may have
//! been lost, the listener is told to look anew.

use super::context::{Context, Health};
use super::producer::{SendError, Sender};
use super::settings::KafkaSettings;
use crate::event_log::{LogError, partition_of};
use crate::fold_store::Visible;
use crate::live::{Announce, Hold, LiveHub, LiveSignal};
use domain::ids::{AffiliateId, Mode, PARTITIONS, Timestamp, VendorId};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Signals of one message.
const SIGNALS: usize = 500;
/// Fetched ahead per partition, in KiB.
const QUEUE_KIB: u32 = 1024;
/// The broker answers a fetch at the end after this long.
const FETCH_WAIT: Duration = Duration::from_millis(250);
const ASK_PATIENCE: Duration = Duration::from_secs(5);
/// After an error.
const PAUSE: Duration = Duration::from_millis(200);

/// One message. All messages about a log partition are in one topic partition, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Announcement {
    /// Partition of the log.
    partition: u16,
    /// Everything below is visible; none when more signals of the same move follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_offset: Option<u64>,
    /// When that moved.
    at: Timestamp,
    /// Whose data changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    signals: Vec<Signal>,
    /// Something was left out: look at everything anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    all: bool,
    /// Something is missing in the warehouse, or is there again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held: Option<Held>,
}

/// What of a partition may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Held {
    /// Nothing from this offset on; and when it was visible.
    From(u64, Timestamp),
    /// Everything again. Whose figures changed is in the signals.
    No,
}

/// One [`LiveSignal`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Signal {
    vendor: VendorId,
    mode: Mode,
    affiliates: BTreeSet<AffiliateId>,
    next_offset: u64,
}

/// Says what became visible.
pub struct LivePublisher {
    sender: Sender,
    /// A message may have been lost, also by an earlier process.
    lost: AtomicBool,
}

impl LivePublisher {
    /// Needs no broker yet. Its first announcement makes every listener look anew.
    pub fn open(settings: &KafkaSettings) -> Result<LivePublisher, LogError> {
        let health = Arc::new(Health::default());
        let sender = Sender::new(settings.producer(None), &settings.live_topic, health)?;
        Ok(LivePublisher { sender, lost: AtomicBool::new(true) })
    }

    /// Hands the announcement over; does not wait until it is there. What cannot be handed over
    /// is made up for by the next one.
    pub fn announce(&self, signals: Vec<LiveSignal>, moved: &[(u16, Visible)]) {
        let mut lost = self.lost.swap(false, Ordering::Relaxed);
        for announcement in announcements(signals, moved) {
            let result = self.send(&announcement, lost);
            lost = match result {
                Ok(()) => false,
                // The messages of the producer that ended may be gone.
                Err(SendError::Rebuilt) => self.send(&announcement, true).is_err(),
                Err(_) => true,
            };
        }
        if lost {
            self.lost.store(true, Ordering::Relaxed);
        }
    }

    fn publish_held(&self, partition: u16, held: Held, signals: Vec<Signal>) {
        let at = Timestamp::default();
        let announcement = Announcement { partition, next_offset: None, at, signals, all: false, held: Some(held) };
        if let Err(error) = self.send(&announcement, false) {
            self.lost.store(true, Ordering::Relaxed);
            tracing::error!(partition, "pages could not be told what of partition {partition} is missing: {error:?}");
        }
    }

    fn send(&self, announcement: &Announcement, all: bool) -> Result<(), SendError> {
        let announcement = Announcement { all, ..announcement.clone() };
        let bytes = serde_json::to_vec(&announcement)
            .map_err(|_| SendError::Kafka(KafkaError::MessageProduction(RDKafkaErrorCode::InvalidArgument)))?;
        self.sender.enqueue(announcement.partition, &[], &bytes).map(|_report| ())
    }
}

impl Announce for LivePublisher {
    fn announce(&self, signals: Vec<LiveSignal>, moved: &[(u16, Visible)]) {
        LivePublisher::announce(self, signals, moved);
    }
}

impl Hold for LivePublisher {
    fn hold(&self, partition: u16, upto: Visible) {
        self.publish_held(partition, Held::From(upto.next_offset, upto.at), Vec::new());
    }

    fn release(&self, partition: u16, vendors: &BTreeSet<(VendorId, Mode)>) {
        let signal = |(vendor, mode): &(VendorId, Mode)| Signal {
            vendor: *vendor,
            mode: *mode,
            affiliates: BTreeSet::new(),
            next_offset: 0,
        };
        let signals: Vec<Signal> = vendors.iter().map(signal).collect();
        let mut pieces: Vec<Vec<Signal>> = signals.chunks(SIGNALS).map(<[Signal]>::to_vec).collect();
        if pieces.is_empty() {
            pieces.push(Vec::new());
        }
        for piece in pieces {
            self.publish_held(partition, Held::No, piece);
        }
    }
}

/// Cuts one announcement into messages. A partition's visible offset moves with its last message,
/// after every cache heard what changed.
fn announcements(signals: Vec<LiveSignal>, moved: &[(u16, Visible)]) -> Vec<Announcement> {
    let mut by_partition: BTreeMap<u16, Vec<Signal>> = BTreeMap::new();
    for signal in signals {
        let LiveSignal { vendor, mode, affiliates, next_offset } = signal;
        let signal = Signal { vendor, mode, affiliates, next_offset };
        by_partition.entry(partition_of(vendor)).or_default().push(signal);
    }
    let moved: BTreeMap<u16, Visible> = moved.iter().copied().collect();
    let partitions: BTreeSet<u16> = by_partition.keys().chain(moved.keys()).copied().collect();
    let mut messages = Vec::new();
    for partition in partitions {
        let visible = moved.get(&partition);
        let at = visible.map_or(Timestamp::default(), |visible| visible.at);
        let signals = by_partition.remove(&partition).unwrap_or_default();
        let mut pieces: Vec<Vec<Signal>> = signals.chunks(SIGNALS).map(<[Signal]>::to_vec).collect();
        let last = pieces.pop().unwrap_or_default();
        let message =
            |signals, next_offset| Announcement { partition, next_offset, at, signals, all: false, held: None };
        messages.extend(pieces.into_iter().map(|piece| message(piece, None)));
        messages.push(message(last, visible.map(|visible| visible.next_offset)));
    }
    messages
}

/// Hears what became visible.
pub struct LiveListener {
    topic: String,
    consumer: Arc<StreamConsumer<Context>>,
}

impl LiveListener {
    /// Listens from now on. Read what is visible after this returned: nothing is missed between.
    pub async fn open(settings: &KafkaSettings) -> Result<LiveListener, LogError> {
        let mut config = settings.consumer(QUEUE_KIB, FETCH_WAIT);
        config.set("enable.partition.eof", "false");
        let consumer = StreamConsumer::from_config_and_context(&config, Context { health: Arc::default() })
            .map_err(|error| anyhow::Error::new(error).context("the Kafka consumer cannot be built"))?;
        let listener = LiveListener { topic: settings.live_topic.clone(), consumer: Arc::new(consumer) };
        listener.move_to_end().await?;
        Ok(listener)
    }

    /// Feeds the hub until the future is dropped. `look_anew` is called when something may have
    /// been missed: caches must forget everything and the hub must be told what is visible.
    pub async fn run(&self, hub: &LiveHub, look_anew: &(dyn Fn() + Send + Sync)) {
        loop {
            let error = match self.consumer.recv().await {
                Ok(message) => {
                    hear(message.payload().unwrap_or_default(), hub, look_anew);
                    continue;
                }
                Err(error) => error,
            };
            tracing::debug!(error = %error, "live signals: {error}");
            // The place may be gone: this process slept for longer than signals are kept.
            let place_is_gone = matches!(
                error.rdkafka_error_code(),
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
            );
            if place_is_gone {
                match self.move_to_end().await {
                    Ok(()) => look_anew(),
                    Err(error) => tracing::warn!(error = %error, "live signals are not heard: {error}"),
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Goes on with what comes after now.
    async fn move_to_end(&self) -> Result<(), LogError> {
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        let moved = tokio::task::spawn_blocking(move || {
            let mut places = TopicPartitionList::new();
            for partition in 0..i32::from(PARTITIONS) {
                let (_, end) = consumer.fetch_watermarks(&topic, partition, ASK_PATIENCE)?;
                places.add_partition_offset(&topic, partition, Offset::Offset(end))?;
            }
            consumer.assign(&places)
        });
        let moved: Result<(), KafkaError> = moved.await.map_err(anyhow::Error::from)?;
        moved.map_err(|error| LogError::Unavailable(format!("topic {}: {error}", self.topic)))
    }
}

/// One message.
fn hear(bytes: &[u8], hub: &LiveHub, look_anew: &(dyn Fn() + Send + Sync)) {
    let announcement: Announcement = match serde_json::from_slice(bytes) {
        Ok(announcement) => announcement,
        Err(error) => {
            tracing::warn!(error = %error, "a live signal cannot be read: {error}");
            return look_anew();
        }
    };
    if announcement.all {
        look_anew();
    }
    let Announcement { partition, next_offset, at, signals, held, .. } = announcement;
    match held {
        Some(Held::From(next_offset, at)) => return hub.hold(partition, Visible { next_offset, at }),
        Some(Held::No) => {
            return hub.release(partition, &signals.iter().map(|signal| (signal.vendor, signal.mode)).collect());
        }
        None => {}
    }
    let visible = next_offset.map(|next_offset| Visible { next_offset, at });
    let moved = visible.filter(|visible| visible.next_offset > hub.visible(partition).next_offset);
    let moved: Vec<(u16, Visible)> = moved.map(|visible| (partition, visible)).into_iter().collect();
    let signals = signals.into_iter().map(|signal| {
        let Signal { vendor, mode, affiliates, next_offset } = signal;
        LiveSignal { vendor, mode, affiliates, next_offset }
    });
    hub.announce(signals.collect(), &moved);
}

#[cfg(test)]
mod message_tests {
    use super::*;

    fn signal(vendor: u64) -> LiveSignal {
        LiveSignal { vendor: VendorId(vendor), mode: Mode::Live, affiliates: [AffiliateId(7)].into(), next_offset: 5 }
    }

    #[test]
    fn the_place_moves_only_after_every_signal_of_the_move() {
        let partition = partition_of(VendorId(1));
        let signals: Vec<LiveSignal> = (0..2 * SIGNALS + 1).map(|_| signal(1)).collect();
        let visible = Visible { next_offset: 5, at: Timestamp(9) };
        let messages = announcements(signals, &[(partition, visible)]);
        let places: Vec<Option<u64>> = messages.iter().map(|message| message.next_offset).collect();
        assert_eq!(places, [None, None, Some(5)]);
        assert_eq!(messages.iter().map(|message| message.signals.len()).sum::<usize>(), 2 * SIGNALS + 1);
    }

    #[test]
    fn the_text_of_a_message_stays_as_it_is() {
        let partition = partition_of(VendorId(1));
        let visible = Visible { next_offset: 5, at: Timestamp(9) };
        let text = serde_json::to_string(&announcements(vec![signal(1)], &[(partition, visible)])[0]).unwrap();
        let expected = r#"{"partition":PARTITION,"next_offset":5,"at":9,"signals":[{"vendor":1,"mode":"live","affiliates":[7],"next_offset":5}]}"#;
        assert_eq!(text, expected.replace("PARTITION", &partition.to_string()));
    }

    #[test]
    fn what_is_visible_never_goes_back() {
        let hub = LiveHub::new([(3, Visible { next_offset: 10, at: Timestamp(1) })], Box::new(|_| {}));
        hear(br#"{"partition":3,"next_offset":8,"at":2}"#, &hub, &|| panic!("nothing is missing"));
        assert_eq!(hub.visible(3).next_offset, 10);
        hear(br#"{"partition":3,"next_offset":11,"at":3}"#, &hub, &|| panic!("nothing is missing"));
        assert_eq!(hub.visible(3), Visible { next_offset: 11, at: Timestamp(3) });
    }

    #[test]
    fn what_is_missing_is_held_until_it_is_there_again() {
        let hub = LiveHub::new([(3, Visible { next_offset: 10, at: Timestamp(1) })], Box::new(|_| {}));
        let held = Announcement {
            held: Some(Held::From(4, Timestamp(1))),
            ..announcements(vec![], &[(3, hub.visible(3))])[0].clone()
        };
        hear(&serde_json::to_vec(&held).unwrap(), &hub, &|| panic!("nothing is missing"));
        assert_eq!((hub.visible(3).next_offset, hub.is_held(3)), (4, true));
        let again = Announcement { held: Some(Held::No), ..held };
        hear(&serde_json::to_vec(&again).unwrap(), &hub, &|| panic!("nothing is missing"));
        assert_eq!((hub.visible(3).next_offset, hub.is_held(3)), (10, false));
    }

    #[test]
    fn what_cannot_be_read_or_was_left_out_is_looked_at_anew() {
        let hub = LiveHub::new([], Box::new(|_| {}));
        let looks = AtomicBool::new(false);
        for bytes in [&b"not json"[..], br#"{"partition":3,"at":2,"all":true}"#] {
            looks.store(false, Ordering::Relaxed);
            hear(bytes, &hub, &|| looks.store(true, Ordering::Relaxed));
            assert!(looks.load(Ordering::Relaxed));
        }
    }
}
