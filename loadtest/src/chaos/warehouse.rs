//! The warehouse fails in its ways.

use super::scene::{Load, Scene, service};
use super::statements::{Front, Mishap};
use anyhow::Result;
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer that a page has already shown may take while the warehouse is away.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);

/// How long an insert that was under way may take until what is shown stands still.
const STANDS_STILL_AFTER: Duration = Duration::from_secs(3);
/// Requests are answered by the processes in turn; after so many each has answered.
const TURNS: usize = 6;
/// The question that is asked again and again.
const TOTALS: [(&str, &str); 1] = [("group", "affiliate")];

/// 503 for everything.
pub async fn refuses(scene: &mut Scene) -> Result<()> {
    broken(scene, Mishap::Refuse, true, Duration::from_secs(15)).await
}

/// Nothing is answered. Longer than an insert is waited for.
pub async fn hangs(scene: &mut Scene) -> Result<()> {
    broken(scene, Mishap::Hang, true, Duration::from_secs(70)).await
}

/// Inserts are stored, and nobody hears of it.
pub async fn resets_after_commit(scene: &mut Scene) -> Result<()> {
    broken(scene, Mishap::ResetAfterCommit, false, Duration::from_secs(15)).await
}

/// Inserts are stored and answered late.
pub async fn late(scene: &mut Scene) -> Result<()> {
    broken(scene, Mishap::Late, false, Duration::from_secs(15)).await
}

async fn broken(scene: &mut Scene, mishap: Mishap, asks_cached: bool, lasting: Duration) -> Result<()> {
    let front = Front::of(&service("AFFILITRACK_WAREHOUSE_URL")?).await?;
    let mut cluster = scene.cluster(vec![("AFFILITRACK_WAREHOUSE_URL".to_owned(), front.url())]).await?;
    let rate = 15;
    let deliveries = (lasting.as_secs() + 15) * rate;
    let load = scene.load(&cluster, deliveries as usize, rate).await?;
    load.wait_for_percent(15).await?;
    if asks_cached {
        // What is shown stands still from here on, and every process that shows it has read it once.
        front.set(Mishap::RefuseInserts);
        tokio::time::sleep(STANDS_STILL_AFTER).await;
        show_totals(&load).await?;
    }
    front.set(mishap);
    let before = load.acknowledged();
    if asks_cached {
        ask_while_away(scene, &load, lasting).await?;
    } else {
        tokio::time::sleep(lasting).await;
    }
    cluster.check_running()?;
    front.set(Mishap::None);
    let meanwhile = load.acknowledged() - before;
    scene.say(format!("{} requests of the warehouse met the fault in {} s", front.mishaps(), lasting.as_secs()));
    scene.say(format!("{meanwhile} deliveries acknowledged meanwhile"));
    scene.expect(front.mishaps() > 0, "the fault met nothing");
    scene.expect(meanwhile > 0, "nothing was acknowledged meanwhile");
    scene.finish(cluster, load).await
}

async fn show_totals(load: &Load) -> Result<()> {
    for vendor in load.live.iter() {
        for _ in 0..TURNS {
            vendor.api.get(&["totals"], &TOTALS).await?;
        }
    }
    Ok(())
}

/// What was read before goes on being answered, with the older watermark.
async fn ask_while_away(scene: &mut Scene, load: &Load, lasting: Duration) -> Result<()> {
    let until = Instant::now() + lasting;
    let (mut answered, mut refused, mut slow) = (0_u64, 0_u64, 0_u64);
    while Instant::now() < until {
        for vendor in load.live.iter() {
            for (segments, query) in [(&["status"], &[][..]), (&["totals"], &TOTALS[..])] {
                match tokio::time::timeout(SHOWN_WITHIN, vendor.api.get(segments, query)).await {
                    Ok(Ok(_)) => answered += 1,
                    Ok(Err(_)) => refused += 1,
                    Err(_) => slow += 1,
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    scene.say(format!("status and totals asked meanwhile: {answered} answered, {refused} refused, {slow} slow"));
    scene.expect(
        answered > 0 && refused == 0 && slow == 0,
        "what was shown before could not be read while the warehouse was away",
    );
    Ok(())
}
