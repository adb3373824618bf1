//! One process becomes several.

use super::rebuilt::look;
use super::scene::{Scene, settle_patiently};
use crate::vendors::Target;
use anyhow::{Context, Result};
use corpus::client::Http;
use corpus::cluster::free_port;

/// Events of each vendor that arrive once more afterwards.
const AGAIN: usize = 10;

/// Log and control store of a stopped process are brought over to Kafka and Postgres; two of each role go on behind the
/// same address, fold everything again into an empty warehouse, and get some events once more.
pub async fn to_roles(scene: &mut Scene) -> Result<()> {
    let (data_dir, port) = (scene.folder.join("run-1"), free_port()?);
    let product = scene.alone(data_dir.clone(), port).await?;
    let target = Target { http: Http::default(), socket: product.socket(), url: product.url().to_owned() };
    let load = scene.load_on(target, scene.amount(600, 5_000), 150).await?;
    load.wait_for_percent(100).await?;
    settle_patiently(&load.live).await?;
    let before = look(&load).await?;
    let in_order = product.stop().await?;
    scene.expect(in_order, "the process did not end within a minute of SIGTERM");
    let key = std::fs::read_to_string(data_dir.join("master.key")).context("the key of the data folder")?;
    let key = ("AFFILITRACK_MASTER_KEY".to_owned(), key.trim().to_owned());
    let cluster = scene.cluster_from(Some(data_dir.clone()), port, vec![key]).await?;
    settle_patiently(&load.live).await?;
    cluster.compare_with(&data_dir).await?;
    let after = look(&load).await?;
    scene.say(format!("{} lines in one process, {} in the roles", before.lines, after.lines));
    scene.expect(before.lines == after.lines && before.lines > 0, "the roles made other lines");
    scene.expect(before.outcomes == after.outcomes, format!("{:?} became {:?}", before.outcomes, after.outcomes));
    for vendor in 0..load.live.len() {
        for event in 0..AGAIN {
            load.sender.deliver(vendor, event, false).await?;
        }
    }
    let again = scene.alone(data_dir, free_port()?).await.map(|_| ()).map_err(|error| error.to_string());
    let is_refused = again.as_ref().is_err_and(|words| words.contains("was brought over"));
    scene.expect(is_refused, format!("a start on the folder that was brought over: {again:?}"));
    scene.finish(cluster, load).await
}
