//! Whose turn it is: `process` roles share the partitions as members of one consumer group.
//!
//! The group only spreads the work. Two members that both think a partition is theirs do no harm:
//! the fold store's compare-and-set lets one of them write. So nothing is read or committed here;
//! the client joins, holds its partitions paused, and tells which they are.

use super::settings::KafkaSettings;
use crate::event_log::LogError;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// How often the client is served; it learns of a change at most this late.
const POLL: Duration = Duration::from_millis(100);
/// A member that is not heard of for this long loses its partitions to the others.
const SESSION_MS: u32 = 10_000;

/// How a group hands out partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Assignment {
    /// Only what has to move moves.
    #[default]
    Cooperative,
    /// Everybody gives everything back at each change.
    Range,
}

impl Assignment {
    fn name(self) -> &'static str {
        match self {
            Assignment::Cooperative => "cooperative-sticky",
            Assignment::Range => "range",
        }
    }
}

/// A member of the group, until it is dropped or left.
pub struct Membership {
    owned: watch::Receiver<BTreeSet<u16>>,
    leave: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Membership {
    /// Joins; the first partitions come within some seconds.
    pub fn join(settings: &KafkaSettings, group: &str, assignment: Assignment) -> Result<Membership, LogError> {
        let (sender, owned) = watch::channel(BTreeSet::new());
        let consumer = Member::from_config_and_context(&config(settings, group, assignment), MemberContext(sender))
            .map_err(|error| anyhow::Error::new(error).context("the group member cannot be built"))?;
        consumer.subscribe(&[&settings.events_topic]).map_err(anyhow::Error::from)?;
        let leave = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&leave);
        let thread = std::thread::Builder::new()
            .name("kafka-member".to_owned())
            .spawn(move || serve(consumer, &until))
            .map_err(anyhow::Error::from)?;
        Ok(Membership { owned, leave, thread: Mutex::new(Some(thread)) })
    }

    /// The partitions that are this member's, now and after every change.
    pub fn owned(&self) -> watch::Receiver<BTreeSet<u16>> {
        self.owned.clone()
    }

    /// Leaves the group, so that the others take over at once. Blocks until that is said.
    pub fn leave(&self) {
        self.leave.store(true, Ordering::Relaxed);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::Relaxed);
    }
}

type Member = BaseConsumer<MemberContext>;

fn config(settings: &KafkaSettings, group: &str, assignment: Assignment) -> ClientConfig {
    let mut config = settings.client();
    config
        .set("group.id", group)
        .set("partition.assignment.strategy", assignment.name())
        .set("session.timeout.ms", SESSION_MS.to_string())
        .set("heartbeat.interval.ms", "1000")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Nothing is read here; where a paused partition would begin does not matter.
        .set("auto.offset.reset", "latest")
        .set_log_level(RDKafkaLogLevel::Warning);
    config
}

#[expect(clippy::disallowed_methods, reason = "the member has a thread of its own")]
fn serve(consumer: Member, leave: &AtomicBool) {
    while !leave.load(Ordering::Relaxed) {
        match consumer.poll(POLL) {
            // A record that slipped in before its partition was paused: somebody else reads it.
            None | Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(error = %error, "group membership: {error}");
                std::thread::sleep(POLL);
            }
        }
    }
    // Tells the group; the partitions are given back while this runs.
    consumer.unsubscribe();
    drop(consumer);
}

/// Keeps the set of owned partitions true.
struct MemberContext(watch::Sender<BTreeSet<u16>>);

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, "librdkafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(error = %error, "librdkafka: {reason}");
    }
}

impl ConsumerContext for MemberContext {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        // Before the group hears that it is free: whoever gets it next starts after us.
        match rebalance {
            Rebalance::Revoke(list) => {
                let gone = numbers(list);
                self.0.send_modify(|owned| owned.retain(|partition| !gone.contains(partition)));
            }
            Rebalance::Error(_) => self.0.send_modify(BTreeSet::clear),
            Rebalance::Assign(_) => {}
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            if let Err(error) = consumer.pause(list) {
                tracing::debug!(error = %error, "a partition is read without need: {error}");
            }
            self.0.send_modify(|owned| owned.extend(numbers(list)));
        }
    }
}

fn numbers(list: &TopicPartitionList) -> BTreeSet<u16> {
    list.elements().iter().filter_map(|element| u16::try_from(element.partition()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_log::all_partitions;
    use crate::kafka::test_broker::TestTopics;

    const PATIENCE: Duration = Duration::from_secs(60);

    async fn until(
        owned: &mut watch::Receiver<BTreeSet<u16>>,
        right: impl FnMut(&BTreeSet<u16>) -> bool,
    ) -> BTreeSet<u16> {
        let reached = tokio::time::timeout(PATIENCE, owned.wait_for(right)).await;
        reached.expect("in time").expect("the member lives").clone()
    }

    async fn leave(member: &Arc<Membership>) {
        let member = Arc::clone(member);
        tokio::task::spawn_blocking(move || member.leave()).await.unwrap();
    }

    /// Alone a member has everything; two share it, each partition once; who stays takes over.
    async fn partitions_are_shared_and_handed_over(assignment: Assignment) {
        let topics = TestTopics::made().await;
        let group = format!("{}-{}", topics.settings.events_topic, assignment.name());
        let join = || Arc::new(Membership::join(&topics.settings, &group, assignment).unwrap());
        let first = join();
        let mut of_first = first.owned();
        until(&mut of_first, |owned| *owned == all_partitions()).await;
        let second = join();
        let mut of_second = second.owned();
        let mine = until(&mut of_second, |owned| owned.len() == 8).await;
        let theirs = until(&mut of_first, |owned| owned.len() == 8).await;
        assert!(mine.is_disjoint(&theirs));
        leave(&first).await;
        assert!(of_first.borrow().is_empty(), "who left has nothing");
        until(&mut of_second, |owned| *owned == all_partitions()).await;
        leave(&second).await;
    }

    #[tokio::test]
    async fn members_share_partitions_cooperatively() {
        partitions_are_shared_and_handed_over(Assignment::Cooperative).await;
    }

    #[tokio::test]
    async fn members_share_partitions_by_range() {
        partitions_are_shared_and_handed_over(Assignment::Range).await;
    }
}
