//! Clocks that are wrong, with Debian's libfaketime in single processes.

use super::kafka::post;
use super::scene::Scene;
use anyhow::{Context, Result};
use corpus::client::Http;
use std::path::Path;

/// Where Debian puts it.
const FAKETIME: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"];

/// Settings that put a process's clock so much ahead (`+1d`, `-300s`). What measures durations stays right.
pub fn ahead(offset: &str) -> Result<Vec<(String, String)>> {
    let library = FAKETIME.iter().find(|path| Path::new(path).exists());
    let library = library.context("faketime is not installed: apt-get install faketime")?;
    let pairs = [("LD_PRELOAD", *library), ("FAKETIME", offset), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec())
}

/// So many days ahead.
pub fn days(days: i64) -> String {
    format!("+{days}d")
}

/// Edges are four minutes apart from the true time in both directions, all others five. One processor jumps back.
/// Signatures of an edge are believed for five minutes; beyond that it refuses, which is asked as well.
pub async fn differ(scene: &mut Scene) -> Result<()> {
    let mut cluster = scene.cluster(Vec::new()).await?;
    for member in cluster.members() {
        let minutes = if member.command() == "ingest" { 4 } else { 5 };
        let sign = if member.name.ends_with('1') { '+' } else { '-' };
        let clock = ahead(&format!("{sign}{}s", minutes * 60))?;
        member.stop().await?;
        member.options().environment.extend(clock);
        member.start().await?;
    }
    let load = scene.load(&cluster, scene.amount(500, 4_000), 50).await?;
    load.wait_for_percent(40).await?;
    for member in cluster.members().iter_mut().filter(|member| member.name == "process-1" || member.name == "serve-1") {
        member.kill().await?;
        let clock = ahead("-300s")?;
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
