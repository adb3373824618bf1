//! The fold store is lost and made again from the log.

use super::scene::{Load, Scene, drop_schema, settle_patiently};
use crate::verify::{Verdict, verify};
use anyhow::Result;
use corpus::cluster::Cluster;

/// Everything is folded, the fold store dropped, everything folded again into the same tables of the warehouse, and
/// then more deliveries arrive.
pub async fn fold_schema_dropped(scene: &mut Scene) -> Result<()> {
    let mut cluster = scene.cluster(Vec::new()).await?;
    let load = scene.load(&cluster, scene.amount(400, 4_000), 80).await?;
    load.wait_for_percent(100).await?;
    settle_patiently(&load.live).await?;
    let before = look(&load).await?;
    fold_again(&mut cluster).await?;
    settle_patiently(&load.live).await?;
    let after = look(&load).await?;
    scene.say(format!("folded again from the beginning: {} lines before, {} after", before.lines, after.lines));
    scene.expect(before.lines == after.lines && before.lines > 0, "folding again made other lines");
    scene.expect(before.outcomes == after.outcomes, format!("{:?} became {:?}", before.outcomes, after.outcomes));
    scene.finish(cluster, load).await
}

/// Stops who works with the fold store, drops it, makes it again, and starts them.
pub async fn fold_again(cluster: &mut Cluster) -> Result<()> {
    stop_all_but_edges(cluster).await?;
    drop_schema(cluster.environment(), "fold").await?;
    cluster.migrate().await?;
    start_all_but_edges(cluster).await
}

/// Ends whoever works with the fold store.
pub async fn stop_all_but_edges(cluster: &mut Cluster) -> Result<()> {
    for member in cluster.members().iter_mut().filter(|member| member.command() != "ingest") {
        member.stop().await?;
    }
    Ok(())
}

/// Starts them again.
pub async fn start_all_but_edges(cluster: &mut Cluster) -> Result<()> {
    for member in cluster.members().iter_mut().filter(|member| member.command() != "ingest") {
        member.start().await?;
    }
    Ok(())
}

/// What the product says now.
pub async fn look(load: &Load) -> Result<Verdict> {
    verify(&load.plan, &load.live, &load.sender.record()).await
}
