//! The beginning of the log moved past what was folded.

use super::broker::Broker;
use super::scene::{Scene, page_of, settle_patiently, value_of};
use crate::verify::{Verdict, compare_ledgers, read_ledger};
use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tokio::time::Instant;

/// How long the alarm may take, with a debug build on a busy machine.
const ALARM_WITHIN: Duration = Duration::from_secs(60);
/// For how long the partition must go on refusing.
const GOES_ON_REFUSING: Duration = Duration::from_secs(12);
/// Events of each vendor that arrive while no processor runs.
const MORE: usize = 5;

/// Records are deleted that no processor has folded. Their partition refuses in words; the others go on.
pub async fn moved(scene: &mut Scene) -> Result<()> {
    let broker = Broker::start(&scene.folder, &scene.options.kafka_libs).await?;
    let mut cluster = scene.cluster(vec![broker.environment()]).await?;
    let topic = value_of(cluster.environment(), "AFFILITRACK_KAFKA_TOPIC")?;
    let load = scene.load(&cluster, scene.amount(400, 2_000), 80).await?;
    load.wait_for_percent(100).await?;
    settle_patiently(&load.live).await?;
    for member in cluster.members().iter_mut().filter(|member| member.command() == "process") {
        member.stop().await?;
    }
    let before = broker.ends(&topic).await?;
    for event in 0..MORE {
        load.sender.deliver(0, event, false).await?;
    }
    let after = broker.ends(&topic).await?;
    let grown = before.iter().zip(&after).find(|((_, before), (_, after))| before < after);
    let (partition, position, end) =
        grown.map(|((partition, before), (_, after))| (*partition, *before, *after)).context("no partition grew")?;
    for vendor in 1..load.live.len() {
        for event in 0..MORE {
            load.sender.deliver(vendor, event, false).await?;
        }
    }
    let vendor = &load.live[0];
    let outcomes = vendor.api.get(&["outcomes"], &[]).await?;
    broker.delete_records(&topic, partition, end - 1).await?;
    scene.say(format!("partition {partition} was folded up to {position}; its records before {} are deleted", end - 1));
    let mut ports = Vec::new();
    for member in cluster.members().iter_mut().filter(|member| member.command() == "process") {
        member.launch()?;
        ports.push(member.port());
    }
    let words = wait_for_alarm(&ports, partition, ALARM_WITHIN).await?;
    scene.say(format!("/readyz: {}", words.trim()));
    tokio::time::sleep(GOES_ON_REFUSING).await;
    wait_for_alarm(&ports, partition, GOES_ON_REFUSING).await?;
    let now = vendor.api.get(&["outcomes"], &[]).await?;
    scene.expect(
        now["records"] == outcomes["records"],
        format!("it jumped: {} became {}", outcomes["records"], now["records"]),
    );
    let shares = (1..load.live.len()).filter(|number| load.live[*number].slug != vendor.slug);
    let mut verdict = Verdict::default();
    for number in shares {
        settle_patiently(&load.live[number..=number]).await?;
        let got = read_ledger(&load.live[number].api).await?;
        compare_ledgers(&load.live[number].slug, &load.plan.vendors[number].expected, &got, &mut verdict);
    }
    scene
        .say(format!("the other vendors: {} figures, difference: {} cents", verdict.figures, verdict.difference_minor));
    for problem in verdict.problems {
        scene.wrong(problem);
    }
    cluster.stop().await?;
    Ok(())
}

/// The words with which one of the processors says that the partition stopped.
async fn wait_for_alarm(ports: &[u16], partition: u16, within: Duration) -> Result<String> {
    let deadline = Instant::now() + within;
    let beginning = format!("partition {partition} stopped:");
    loop {
        for port in ports {
            if let Ok((503, text)) = page_of(*port, "/readyz").await
                && let Some(line) = text.lines().find(|line| line.starts_with(&beginning))
            {
                return Ok(line.to_owned());
            }
        }
        ensure!(Instant::now() < deadline, "no processor says on /readyz that partition {partition} stopped");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
