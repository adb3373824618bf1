//! Postgres is away.

use super::line::Line;
use super::scene::{Scene, service};
use anyhow::{Context, Result};
use std::time::Duration;

/// How long it is away.
const AWAY: Duration = Duration::from_secs(20);

/// A line before Postgres, and the setting that makes the product use it.
pub async fn line() -> Result<(Line, (String, String))> {
    let mut url = url::Url::parse(&service("AFFILITRACK_POSTGRES_URL")?)?;
    let real = format!("{}:{}", url.host_str().unwrap_or("127.0.0.1"), url.port().unwrap_or(5432));
    let line = Line::to(&real).await?;
    url.set_port(Some(line.port())).ok().context("the address of Postgres has no port")?;
    Ok((line, ("AFFILITRACK_POSTGRES_URL".to_owned(), url.to_string())))
}

/// Connections break and new ones are refused. Edges know their endpoints and go on acknowledging.
pub async fn away(scene: &mut Scene) -> Result<()> {
    let (line, environment) = line().await?;
    let mut cluster = scene.cluster(vec![environment]).await?;
    let load = scene.load(&cluster, scene.amount(600, 2_800), 15).await?;
    for percent in [15, 60].into_iter().take(scene.amount(1, 2)) {
        load.wait_for_percent(percent).await?;
        let before = load.sender.record();
        line.cut();
        tokio::time::sleep(AWAY).await;
        let after = load.sender.record();
        line.mend();
        let count = |record: &crate::sender::Record| record.acknowledged_copies.values().sum::<u64>();
        let (acknowledged, put_off) = (count(&after) - count(&before), after.put_off - before.put_off);
        scene.say(format!("away for {} s: {acknowledged} acknowledged meanwhile, {put_off} put off", AWAY.as_secs()));
        scene.expect(acknowledged > 0, "nothing was acknowledged while Postgres was away");
        scene.expect(put_off == 0, format!("{put_off} deliveries were put off while Postgres was away"));
        cluster.check_running()?;
    }
    scene.finish(cluster, load).await
}
