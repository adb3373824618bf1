//! Disks without room.

use super::broker::Broker;
use super::scene::{Load, Scene};
use crate::vendors::Target;
use anyhow::{Result, ensure};
use corpus::client::Http;
use corpus::cluster::free_port;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;
use tokio::time::Instant;

/// How long the disk stays full.
const FULL: Duration = Duration::from_secs(6);
/// How soon after there is room again deliveries are acknowledged.
const RESUMES_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take until something is refused.
const REFUSES_WITHIN: Duration = Duration::from_secs(60);

/// A small disk in memory. Unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    async fn mount(path: &Path, megabytes: u32) -> Result<SmallDisk> {
        std::fs::create_dir_all(path)?;
        let size = format!("size={megabytes}m");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).status().await?;
        ensure!(status.success(), "a small disk cannot be mounted: this fault needs root (run it with sudo)");
        Ok(SmallDisk(path.to_owned()))
    }

    /// Takes all room that is left.
    fn fill(&self) -> Result<()> {
        let mut file = std::fs::File::create(self.0.join("ballast"))?;
        for chunk in [vec![0_u8; 1 << 20], vec![0; 4096], vec![0; 1]] {
            while file.write_all(&chunk).is_ok() {}
        }
        Ok(())
    }

    /// Gives it back.
    fn empty(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.0.join("ballast"))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Even while something still has a file open there.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// One process with everything in its data folder.
pub async fn full(scene: &mut Scene) -> Result<()> {
    let data_dir = scene.folder.join("data");
    let disk = SmallDisk::mount(&data_dir, 192).await?;
    let mut product = scene.alone(data_dir, free_port()?).await?;
    let target = Target { http: Http::default(), socket: product.socket(), url: product.url().to_owned() };
    let load = scene.load_on(target, scene.amount(700, 2_000), 25).await?;
    load.wait_for_percent(25).await?;
    fill_and_empty(scene, &load, &[&disk]).await?;
    product.check_running()?;
    scene.finish_alone(product, load).await
}

/// The broker is away, and the spools cannot grow.
pub async fn spool_full(scene: &mut Scene) -> Result<()> {
    let broker = Broker::start(&scene.folder, &scene.options.kafka_libs).await?;
    let first = SmallDisk::mount(&scene.folder.join("ingest-1"), 24).await?;
    let second = SmallDisk::mount(&scene.folder.join("ingest-2"), 24).await?;
    let mut cluster = scene.cluster(vec![broker.environment()]).await?;
    let load = scene.load(&cluster, scene.amount(600, 2_000), 15).await?;
    scene.copies_are_stored();
    load.wait_for_percent(15).await?;
    broker.line().cut();
    tokio::time::sleep(Duration::from_secs(5)).await;
    fill_and_empty(scene, &load, &[&first, &second]).await?;
    broker.line().mend();
    cluster.check_running()?;
    scene.finish(cluster, load).await
}

async fn fill_and_empty(scene: &mut Scene, load: &Load, disks: &[&SmallDisk]) -> Result<()> {
    let before = load.sender.record().put_off;
    for disk in disks {
        disk.fill()?;
    }
    let began = Instant::now();
    while load.sender.record().put_off == before {
        ensure!(began.elapsed() < REFUSES_WITHIN, "nothing was refused on a full disk");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(FULL).await;
    let refused = load.sender.record().put_off - before;
    for disk in disks {
        disk.empty()?;
    }
    let (acknowledged, began) = (load.acknowledged(), Instant::now());
    while load.acknowledged() == acknowledged && began.elapsed() < REFUSES_WITHIN {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scene.say(format!(
        "disk full: {refused} put off; {} ms after there was room the next was acknowledged",
        began.elapsed().as_millis()
    ));
    scene.expect(began.elapsed() <= RESUMES_WITHIN, "it did not resume within 30 s");
    Ok(())
}
