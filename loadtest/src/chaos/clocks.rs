//! Clocks that are wrong in single processes.

use super::kafka::post;
use super::scene::Scene;
use anyhow::{Context, Result, bail};
use corpus::client::Http;
use std::path::Path;
use tokio::process::Command;

/// What puts a process's clock ahead, as C, because it must be there before everything else in the process.
const SOURCE: &str = include_str!("clock.c");

/// Settings that put the time of day of a process so many seconds ahead. What measures durations stays right.
pub async fn ahead(folder: &Path, seconds: i64) -> Result<Vec<(String, String)>> {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    if !library.exists() {
        std::fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
        let output = compiler.output().await.context("a C compiler is needed: apt-get install gcc")?;
        if !output.status.success() {
            bail!("clock.c: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    Ok(vec![
        ("LD_PRELOAD".to_owned(), library.display().to_string()),
        ("CHAOS_CLOCK_AHEAD_S".to_owned(), seconds.to_string()),
    ])
}

/// Edges are four minutes apart from the true time in both directions, all others five. One processor jumps back.
/// Signatures of an edge are believed for five minutes; beyond that it refuses, which is asked as well.
pub async fn differ(scene: &mut Scene) -> Result<()> {
    let mut cluster = scene.cluster(Vec::new()).await?;
    for member in cluster.members() {
        let minutes = if member.command() == "ingest" { 4 } else { 5 };
        let sign = if member.name.ends_with('1') { 1 } else { -1 };
        let clock = ahead(&scene.folder, sign * minutes * 60).await?;
        member.stop().await?;
        member.options().environment.extend(clock);
        member.start().await?;
    }
    let load = scene.load(&cluster, scene.amount(500, 4_000), 50).await?;
    load.wait_for_percent(40).await?;
    for member in cluster.members().iter_mut().filter(|member| member.name == "process-1" || member.name == "serve-1") {
        member.kill().await?;
        let clock = ahead(&scene.folder, -300).await?;
        member.options().environment.extend(clock);
        member.start().await?;
    }
    let (vendor, event) = (&load.live[0], &load.plan.vendors[0].events[0]);
    let http = Http::default();
    let mut refused = 0;
    // The first edge is four minutes ahead: for it this signature is more than six minutes old; the other is right.
    for _ in 0..4 {
        let (status, _) = post(&http, &vendor.endpoint_url, &vendor.secret, event.body.clone(), -150).await;
        refused += u64::from((400..500).contains(&status));
        scene.delivered_beside(0, 1, u64::from(status == 200));
    }
    scene.say("edges are 4 minutes ahead and behind, all others 5; process-1 and serve-1 jumped back by 10 minutes");
    scene.say(format!("{refused} of 4 deliveries signed too long ago for one edge were refused there"));
    scene.expect(refused > 0, "no edge refused a signature that is too old by its clock");
    scene.finish(cluster, load).await
}
