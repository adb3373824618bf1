//! Processors that come and go.

use super::log_lines::{folds_in, longest_without_owner_ms};
use super::scene::Scene;
use anyhow::Result;
use std::time::Duration;
use tokio::time::Instant;

/// No partition is nobody's for longer, in milliseconds.
const LONGEST_WITHOUT_OWNER_MS: i64 = 60_000;
/// How many partitions the log has.
const PARTITIONS: u16 = 16;

/// A third processor joins and leaves every two seconds, in order or killed in turn.
pub async fn come_and_go(scene: &mut Scene) -> Result<()> {
    let mut cluster = scene.cluster(Vec::new()).await?;
    let storm = Duration::from_secs(scene.amount(30, 120) as u64);
    let third = cluster.add("process")?;
    let load = scene.load(&cluster, scene.amount(600, 4_800), 15).await?;
    let (began, mut joined) = (Instant::now(), 0);
    while began.elapsed() < storm {
        cluster.members()[third].start().await?;
        joined += 1;
        tokio::time::sleep(Duration::from_secs(2)).await;
        cluster.members()[third].stop().await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    cluster.members()[third].start().await?;
    scene.say(format!("a third processor joined {joined} times and left in order (cooperative assignment)"));
    load.wait_for_percent(100).await?;
    // The last change of hands is over when the figures are right.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let gap = longest_without_owner_ms(&folds_in(&scene.folder), PARTITIONS);
    scene.say(format!("the longest time that a partition was nobody's: {gap} ms"));
    scene.expect(gap <= LONGEST_WITHOUT_OWNER_MS, format!("a partition was nobody's for {gap} ms"));
    scene.finish(cluster, load).await
}
