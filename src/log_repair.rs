//! `affilitrack log repair`: finds damaged records of a stopped process's log, and sets them aside.

use crate::config::Config;
use anyhow::Context;
use domain::ids::PARTITIONS;
use store::event_log::EventLog;
use store::local_log::LocalLog;

/// How many records one look takes.
const STEP: usize = 10_000;

/// Lists damaged records; with `apply`, replaces each by a record that is refused by name, so
/// that reading goes on and the loss stays listed.
pub async fn run(config: &Config, apply: bool) -> anyhow::Result<()> {
    let dir = &config.data.dir;
    anyhow::ensure!(
        std::os::unix::net::UnixStream::connect(dir.join("affilitrack.sock")).is_err(),
        "an affilitrack process runs on {}; stop it first",
        dir.display()
    );
    let path = dir.join("log.db");
    anyhow::ensure!(path.exists(), "there is no log at {}", path.display());
    let log = LocalLog::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let (mut looked_at, mut damaged) = (0, 0);
    for partition in 0..PARTITIONS {
        let (mut from, end) = log.bounds(partition).await?;
        while from < end {
            let (damage, until) = log.find_damage(partition, from, STEP).await?;
            looked_at += until - from;
            if let Some(damage) = damage {
                damaged += 1;
                println!("partition {partition}, record {}: {}", damage.offset, damage.reason);
                if apply {
                    let note = format!(
                        "{{\"lost\":\"record {} was damaged ({}) and set aside\"}}",
                        damage.offset, damage.reason
                    );
                    log.replace(partition, damage.offset, note.into_bytes()).await?;
                }
                from = damage.offset + 1;
            } else {
                from = until;
            }
        }
    }
    log.shutdown().await;
    println!(
        "{looked_at} records looked at, {damaged} damaged{}",
        if apply && damaged > 0 { ", all set aside" } else { "" }
    );
    anyhow::ensure!(
        damaged == 0 || apply,
        "run again with --apply to set the damaged records aside, and ask the provider to send what they held again"
    );
    Ok(())
}
