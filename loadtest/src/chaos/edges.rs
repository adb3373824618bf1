//! Edges end without a word.

use super::scene::Scene;
use anyhow::Result;

/// Edges are killed at random instants, sometimes the second while the first is away.
pub async fn killed(scene: &mut Scene) -> Result<()> {
    let mut cluster = scene.cluster(Vec::new()).await?;
    let kills = scene.amount(6, 40);
    let load = scene.load(&cluster, scene.amount(500, 6_000), 50).await?;
    for number in 0..kills {
        load.wait_for_percent((number * 90 / kills) as u64).await?;
        tokio::time::sleep(scene.pause_ms(200)).await;
        let both = scene.random.below(3) == 0;
        let first = scene.random.below(2) as usize;
        cluster.check_running()?;
        let victims: &[usize] = if both { &[0, 1] } else { &[first] };
        for victim in victims {
            cluster.members()[*victim].kill().await?;
        }
        tokio::time::sleep(scene.pause_ms(800)).await;
        for victim in victims {
            cluster.members()[*victim].start().await?;
        }
    }
    scene.say(format!("edges killed at {kills} instants"));
    scene.finish(cluster, load).await
}
