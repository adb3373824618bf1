//! Every process is stopped in order and started again, one at a time.

use super::scene::Scene;
use anyhow::Result;
use tokio::time::Instant;

/// An upgrade, and the way back.
const PASSES: usize = 2;
/// A delivery that met a process that went away is sent again; there is always another one that takes it. Attempts, with
/// one to spare.
const MOST_ATTEMPTS: u64 = 3;

/// As an upgrade does it and its rollback: `migrate`, then one process after another. The load goes on.
pub async fn over(scene: &mut Scene) -> Result<()> {
    let mut cluster = scene.cluster(Vec::new()).await?;
    let rate = 20;
    let load = scene.load(&cluster, scene.amount(400, 5_000), rate).await?;
    load.wait_for_percent(5).await?;
    for pass in 1..=PASSES {
        let began = Instant::now();
        cluster.migrate().await?;
        let mut late = Vec::new();
        for member in cluster.members() {
            if !member.stop().await? {
                late.push(member.name.clone());
            }
            member.start().await?;
        }
        scene.expect(late.is_empty(), format!("did not end within a minute of SIGTERM: {late:?}"));
        cluster.check_running()?;
        scene.expect(!load.is_sent(), "the load ended before every process was replaced: nothing was shown by it");
        scene.say(format!(
            "pass {pass}: every process was stopped and started again in {} ms",
            began.elapsed().as_millis()
        ));
    }
    load.wait_for_percent(100).await?;
    let record = load.sender.record();
    scene.say(format!(
        "{} deliveries put off or broken; the longest took {} ms and {} attempts",
        record.put_off + record.broken,
        record.longest.as_millis(),
        record.most_attempts
    ));
    scene.expect(
        record.most_attempts <= MOST_ATTEMPTS,
        format!("a delivery was put off {} times in a row", record.most_attempts),
    );
    scene.finish(cluster, load).await
}
