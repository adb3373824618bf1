//! `affilitrack migrate --from FOLDER`: an installation of one process becomes one of several roles. The log moves with
//! every record at its own offset, the control store with its ids; everything else is folded from them again.

use crate::base::blocking;
use crate::data_folder::{DataFolder, Found};
use crate::migrate::Migrated;
use crate::socket::refuse_second_process;
use anyhow::{Context, ensure};
use domain::ids::PARTITIONS;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use store::fold_store::{FoldStore, Position, SentSums, SqliteFoldStore};
use store::kafka::{Copied, copy_log};
use store::local_log::LocalLog;

/// Copies log and control store of a stopped process.
///
/// # Errors
/// A folder that is not ours or in use, places that hold something else, what the parts say.
pub async fn bring_over(dir: &Path, outside: &Migrated) -> anyhow::Result<()> {
    let folder = stopped(dir)?;
    let fold = Arc::clone(&outside.fold);
    let folded = blocking(move || positions(fold.as_ref())).await?;
    ensure!(
        folded.iter().all(|position| position.next_offset == 0),
        "the fold store in Postgres has folded records already: name schemas that hold nothing in postgres.schema"
    );
    let log = LocalLog::open(&folder.log()).context("the log of the data folder")?;
    let copied = copy_log(&log, &outside.kafka, &mut show).await;
    log.shutdown().await;
    println!("Log: {} records are in topic {}", copied?, outside.kafka.events_topic);
    let (file, pool) = (folder.control(), Arc::clone(&outside.control));
    let rows = blocking(move || store::control::move_to_postgres(&file, &pool)).await?;
    std::fs::write(folder.moved(), format!("topic {}\n", outside.kafka.events_topic))
        .context("a note in the folder")?;
    println!("Control store: {rows} rows copied");
    println!(
        "\nNow give every process the master key of {} as AFFILITRACK_MASTER_KEY. Start `affilitrack process` first; \
         when it has folded everything, `affilitrack migrate --from {} --compare` compares. Then start the other roles.",
        folder.master_key().display(),
        dir.display()
    );
    Ok(())
}

/// Says whether the roles have folded from the copy what the data folder has.
///
/// # Errors
/// When they have not, or not yet; both folders must be readable.
pub async fn compare(dir: &Path, outside: &Migrated) -> anyhow::Result<()> {
    let folder = stopped(dir)?;
    let after = Arc::clone(&outside.fold);
    let (before, after) = blocking(move || -> anyhow::Result<_> {
        let before = SqliteFoldStore::open(&folder.fold())?;
        Ok((Folded::of(&before)?, Folded::of(after.as_ref())?))
    })
    .await?;
    for (partition, (before, after)) in (0_u16..).zip(before.positions.iter().zip(&after.positions)) {
        ensure!(
            after.next_offset >= before.next_offset,
            "partition {partition}: {} of {} records are folded yet. Try again later",
            after.next_offset,
            before.next_offset
        );
        ensure!(
            after.next_offset > before.next_offset || after.chain == before.chain,
            "partition {partition}: other records were folded than those of the data folder"
        );
    }
    ensure!(
        before.positions.iter().zip(&after.positions).all(|(before, after)| before.next_offset == after.next_offset),
        "more was folded since than the data folder has, so sums cannot be compared any more; what is compared is the \
         moment after the move"
    );
    let ended = before.tally.outcomes.iter().zip(&after.tally.outcomes).find(|(before, after)| before != after);
    ensure!(before.tally == after.tally, "records ended otherwise than in the data folder; the first: {ended:?}");
    ensure!(after.waits == 0, "{} lines and rows are on their way to the warehouse. Try again later", after.waits);
    let words =
        |sums: &SentSums| format!("{} lines, {} purchase rows, commission {}", sums.lines, sums.rows, sums.commission);
    ensure!(
        before.sent == after.sent,
        "the sums differ. In the data folder: {}; now: {}",
        words(&before.sent),
        words(&after.sent)
    );
    println!("Nothing differs: {} (minor units of all currencies together)", words(&after.sent));
    Ok(())
}

/// What a fold store has, in sums.
struct Folded {
    positions: Vec<Position>,
    tally: store::fold_store::Tally,
    sent: SentSums,
    waits: u64,
}

impl Folded {
    fn of(store: &dyn FoldStore) -> anyhow::Result<Folded> {
        let mut sent = SentSums::default();
        for partition in 0..PARTITIONS {
            store.sent(partition)?.iter().for_each(|range| sent.absorb(&range.sums));
        }
        let mut tally = store.tally()?;
        // An outcome that no record has any more may still have a row.
        tally.outcomes.retain(|(_, _, count)| *count != 0);
        tally.outcomes.sort();
        tally.records.retain(|(_, records)| *records > 0);
        tally.records.sort_unstable();
        Ok(Folded { positions: positions(store)?, tally, sent, waits: store.outbox_len()? })
    }
}

fn positions(store: &dyn FoldStore) -> anyhow::Result<Vec<Position>> {
    (0..PARTITIONS).map(|partition| Ok(store.position(partition)?)).collect()
}

fn stopped(dir: &Path) -> anyhow::Result<DataFolder> {
    ensure!(DataFolder::inspect(dir)? == Found::Ours, "{} is not there or empty", dir.display());
    let folder = DataFolder::open(dir)?;
    refuse_second_process(&folder.socket())?;
    Ok(folder)
}

/// One line per partition that has records, rewritten while it is copied.
fn show(copied: Copied) {
    let Copied { partition, records, of } = copied;
    if of > 0 {
        let end = if records == of { "\n" } else { "\r" };
        print!("partition {partition}: {records} of {of} records{end}");
        // What cannot be shown is no reason to stop.
        let _ = std::io::stdout().flush();
    }
}
