//! Processors end without a word, or stand still and go on later.

use super::log_lines::folds_in;
use super::scene::Scene;
use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tokio::time::Instant;

/// How long the others may take to notice that one stands still: its session, and what they need to share.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(120);

/// Who is killed together: a processor, the other, what shows pages, both processors, one of each, all.
const VICTIMS: [&[&str]; 6] = [
    &["process-1"],
    &["serve-1"],
    &["process-1", "process-2"],
    &["process-2"],
    &["process-2", "serve-2"],
    &["process-1", "process-2", "serve-1", "serve-2"],
];

/// Processors and what shows pages are killed at random instants, one or several at once.
pub async fn killed(scene: &mut Scene) -> Result<()> {
    let mut cluster = scene.cluster(Vec::new()).await?;
    let kills = scene.amount(VICTIMS.len(), 36);
    let load = scene.load(&cluster, scene.amount(500, 6_000), 30).await?;
    for number in 0..kills {
        load.wait_for_percent((number * 90 / kills) as u64).await?;
        tokio::time::sleep(scene.pause_ms(300)).await;
        let victims = VICTIMS[number % VICTIMS.len()];
        cluster.check_running()?;
        for member in cluster.members().iter_mut().filter(|member| victims.contains(&member.name.as_str())) {
            member.kill().await?;
        }
        tokio::time::sleep(scene.pause_ms(1_500)).await;
        for member in cluster.members().iter_mut().filter(|member| victims.contains(&member.name.as_str())) {
            member.start().await?;
        }
    }
    scene.say(format!("killed at {kills} instants, together in turn: {VICTIMS:?}"));
    scene.finish(cluster, load).await
}

/// A processor stands still for longer than its session. When it goes on, what it had read is old.
pub async fn frozen(scene: &mut Scene) -> Result<()> {
    let mut cluster = scene.cluster(Vec::new()).await?;
    let rounds = scene.amount(1, 6);
    let load = scene.load(&cluster, scene.amount(600, 6_000), 25).await?;
    for round in 0..rounds {
        load.wait_for_percent((10 + round * 80 / rounds) as u64).await?;
        let (victim, heir) = if round % 2 == 0 { ("process-1", "process-2") } else { ("process-2", "process-1") };
        let before = folds_in(&scene.folder).len();
        let member = cluster.members().iter_mut().find(|member| member.name == victim);
        let product = member.and_then(|member| member.product()).context("the victim does not run")?;
        product.freeze().await?;
        let began = Instant::now();
        let taken = loop {
            let said = folds_in(&scene.folder);
            let took_all = |folds: &super::log_lines::Folds| folds.process == heir && folds.partitions.len() == 16;
            if said[before.min(said.len())..].iter().any(took_all) {
                break began.elapsed();
            }
            ensure!(began.elapsed() < TAKEN_OVER_WITHIN, "{heir} did not take the partitions over");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        // Some rounds of folding under the new owner.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let product = cluster.members().iter_mut().find(|member| member.name == victim);
        product.and_then(|member| member.product()).context("the victim does not run")?.thaw().await?;
        scene.say(format!("{victim} stood still; {heir} had its partitions after {} ms", taken.as_millis()));
    }
    scene.finish(cluster, load).await
}
