//! The warehouse is put back to an older state under running processes: it is noticed, pages show the truth up to before the
//! loss meanwhile, also those of a process that starts just then, and what is missing is inserted again.

use super::scene::{Load, Scene, drop_warehouse, in_warehouse, page_of, service, value_of};
use super::statements::{Front, Mishap};
use anyhow::{Result, ensure};
use corpus::cluster::Cluster;
use std::time::Duration;
use tokio::time::Instant;

/// How soon a loss must be repaired, from the moment of the loss.
const REPAIRED_WITHIN: Duration = Duration::from_secs(300);
/// How often the processes ask the warehouse here, in seconds; three minutes unless told.
const VERIFY_EVERY_S: &str = "2";
/// A signal takes this long at most to every process that shows pages, and a lost one a little longer.
const TOLD_WITHIN: Duration = Duration::from_secs(8);

/// How the warehouse is told to delete rows.
const DELETE_IN: &str = "alter table";

/// The newest part of the lines, the newest purchases, everything.
pub async fn put_back(scene: &mut Scene) -> Result<()> {
    let front = Front::of(&service("AFFILITRACK_WAREHOUSE_URL")?).await?;
    let environment = vec![
        ("AFFILITRACK_WAREHOUSE_URL".to_owned(), front.url()),
        ("AFFILITRACK_PROCESSOR_VERIFY_EVERY_S".to_owned(), VERIFY_EVERY_S.to_owned()),
    ];
    let mut cluster = scene.cluster(environment).await?;
    let late = cluster.add("serve")?;
    let load = scene.load(&cluster, scene.amount(900, 6_000), 12).await?;
    let database = value_of(cluster.environment(), "AFFILITRACK_WAREHOUSE_DATABASE")?;
    let newest = delete(&database, "ledger_lines", 20);
    let purchases = delete(&database, "purchases", 40);
    load.wait_for_percent(25).await?;
    lose(scene, &mut cluster, &load, &front, Loss { words: "the newest lines", statements: vec![newest] }, Some(late))
        .await?;
    load.wait_for_percent(50).await?;
    lose(scene, &mut cluster, &load, &front, Loss { words: "the newest purchases", statements: vec![purchases] }, None)
        .await?;
    load.wait_for_percent(75).await?;
    lose(scene, &mut cluster, &load, &front, Loss { words: "the whole database", statements: Vec::new() }, None)
        .await?;
    scene.finish(cluster, load).await
}

/// What an older copy does not have: everything from records above a place.
fn delete(database: &str, table: &str, above: u64) -> String {
    format!("{DELETE_IN} {database}.{table} delete where src_off > {above} settings mutations_sync = 2")
}

struct Loss {
    words: &'static str,
    /// None: the database is dropped and made again.
    statements: Vec<String>,
}

async fn lose(
    scene: &mut Scene,
    cluster: &mut Cluster,
    load: &Load,
    front: &Front,
    loss: Loss,
    starts_late: Option<usize>,
) -> Result<()> {
    let began = Instant::now();
    load.watcher.blind(true);
    // Nothing can be inserted, so that it stays as it is until it was looked at.
    front.set(Mishap::RefuseInserts);
    for statement in &loss.statements {
        in_warehouse(statement).await?;
    }
    if loss.statements.is_empty() {
        drop_warehouse(cluster.environment()).await?;
        cluster.migrate().await?;
    }
    let noticed =
        until_all(cluster, "process", began, |(status, text)| *status == 503 && text.contains("the warehouse")).await?;
    // Some partitions a moment later than the first.
    tokio::time::sleep(TOLD_WITHIN).await;
    load.watcher.blind(false);
    if let Some(late) = starts_late {
        cluster.members()[late].start().await?;
        compare_pages(scene, cluster, load, late).await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    front.set(Mishap::None);
    let repaired = until_all(cluster, "process", began, |(status, _)| *status == 200).await?;
    scene.say(format!(
        "{}: noticed after {} ms by a processor, all there again after {} ms (goal 5 minutes, asking every {VERIFY_EVERY_S} s instead of 180 s)",
        loss.words,
        noticed.as_millis(),
        repaired.as_millis()
    ));
    cluster.check_running()?;
    Ok(())
}

/// Waits until every process of a role, or the first for what is noticed, says so on `/readyz`.
async fn until_all(
    cluster: &mut Cluster,
    command: &str,
    began: Instant,
    holds: impl Fn(&(u16, String)) -> bool,
) -> Result<Duration> {
    let ports: Vec<u16> = cluster
        .members()
        .iter()
        .filter(|member| member.command() == command)
        .map(corpus::cluster::Member::port)
        .collect();
    loop {
        let mut held = Vec::new();
        for port in &ports {
            held.push(holds(&page_of(*port, "/readyz").await?));
        }
        let is_enough =
            if holds(&(200, String::new())) { held.iter().all(|one| *one) } else { held.iter().any(|one| *one) };
        if is_enough {
            return Ok(began.elapsed());
        }
        ensure!(began.elapsed() < REPAIRED_WITHIN, "not within {} s", REPAIRED_WITHIN.as_secs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A process that starts while something is missing shows what the others show: the position before the loss.
async fn compare_pages(scene: &mut Scene, cluster: &mut Cluster, load: &Load, late: usize) -> Result<()> {
    let ports: Vec<u16> = cluster
        .members()
        .iter()
        .enumerate()
        .filter(|(number, member)| member.command() == "serve" || *number == late)
        .map(|(_, member)| member.port())
        .collect();
    let mut held = 0;
    for vendor in load.live.iter() {
        let mut marks = Vec::new();
        for port in &ports {
            let api = vendor.api.at(&format!("http://127.0.0.1:{port}"));
            let answer = api.get(&["totals"], &[("group", "affiliate")]).await?;
            marks.push((answer["watermark"]["next_offset"].clone(), answer["rows"].clone()));
            let status = api.get(&["status"], &[]).await?;
            held += u64::from(status["settled"] == false);
        }
        let first = &marks[0];
        scene.expect(
            marks.iter().all(|one| one == first),
            format!("{}: processes show different figures while something is missing: {marks:?}", vendor.slug),
        );
    }
    scene.say(format!("a process that started meanwhile showed the same as the others ({held} answers said that more is known than shown)"));
    Ok(())
}
