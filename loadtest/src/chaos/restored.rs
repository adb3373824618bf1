//! Postgres is lost and restored from a backup that was taken under load, by the script that operators use.

use super::rebuilt::{start_all_but_edges, stop_all_but_edges};
use super::scene::{Scene, drop_schema, drop_warehouse, service, value_of};
use anyhow::{Context, Result, ensure};
use corpus::cluster::Cluster;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;
use tokio::time::Instant;

/// Saved while deliveries and decisions go on, restored twice: the warehouse is newer than the fold store the first time,
/// and gone the second time. What was decided after the backup is taken from the log.
pub async fn from_backup(scene: &mut Scene) -> Result<()> {
    let mut cluster = scene.cluster(Vec::new()).await?;
    let file = scene.folder.join("backup.dump");
    let load = scene.load(&cluster, scene.amount(900, 6_000), 30).await?;
    load.wait_for_percent(25).await?;
    run_script(&cluster, "save", &file).await?;
    for (percent, is_warehouse_lost) in [(50, false), (75, true)] {
        load.wait_for_percent(percent).await?;
        let (began, decisions) = (Instant::now(), load.sender.record().decisions);
        restore(&mut cluster, &file, is_warehouse_lost).await?;
        let warehouse = if is_warehouse_lost { "gone" } else { "newer than the fold store" };
        scene.say(format!(
            "restored after {percent} % of the load ({decisions} decisions made, saved at 25 %), the warehouse {warehouse}: {} ms",
            began.elapsed().as_millis()
        ));
    }
    scene.finish(cluster, load).await
}

/// As docs/OPERATIONS.md says: stop all but the edges, lose, restore, migrate, start, then the edges one after another.
async fn restore(cluster: &mut Cluster, file: &Path, is_warehouse_lost: bool) -> Result<()> {
    stop_all_but_edges(cluster).await?;
    for store in ["fold", "control"] {
        drop_schema(cluster.environment(), store).await?;
    }
    if is_warehouse_lost {
        drop_warehouse(cluster.environment()).await?;
    }
    run_script(cluster, "restore", file).await?;
    cluster.migrate().await?;
    start_all_but_edges(cluster).await?;
    for member in cluster.members().iter_mut().filter(|member| member.command() == "ingest") {
        member.stop().await?;
        member.start().await?;
    }
    Ok(())
}

async fn run_script(cluster: &Cluster, action: &str, file: &Path) -> Result<()> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scripts/backup-cluster.sh");
    let output = Command::new("bash")
        .arg(&script)
        .arg(action)
        .arg(file)
        .env("AFFILITRACK_POSTGRES_URL", service("AFFILITRACK_POSTGRES_URL")?)
        .env("AFFILITRACK_POSTGRES_SCHEMA", value_of(cluster.environment(), "AFFILITRACK_POSTGRES_SCHEMA")?)
        .stdin(Stdio::null())
        .output()
        .await
        .context("bash")?;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{} {action}: {words}", script.display());
    Ok(())
}
