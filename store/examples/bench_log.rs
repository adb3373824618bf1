//! Appends per second of the local log, beside a bare group commit with the same SQLite
//! settings: a thread, a channel, no checksum, no trait.
//!
//! `cargo run --release -p store --example bench_log [appends per writer]`
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![allow(clippy::unwrap_used, reason = "a measurement may end loudly")]

use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use store::event_log::{EventLog, NewRecord};
use store::local_log::LocalLog;
use tokio::sync::oneshot;

const WRITERS: u64 = 64;
const BODY_BYTES: usize = 1024;
const PARTITIONS: u64 = 16;

type Waiting = (i64, Vec<u8>, oneshot::Sender<i64>);

/// The bare group commit.
fn baseline_thread(mut connection: Connection, queue: Receiver<Waiting>) {
    let mut ends = [0_i64; PARTITIONS as usize];
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        while batch.len() < 1024 {
            let Ok(next) = queue.try_recv() else { break };
            batch.push(next);
        }
        let transaction = connection.transaction().unwrap();
        let mut answers = Vec::with_capacity(batch.len());
        {
            let mut insert = transaction.prepare_cached("insert into records (id, body) values (?1, ?2)").unwrap();
            for (partition, body, reply) in batch {
                let end = &mut ends[partition as usize];
                insert.execute(((partition << 48) | *end, body)).unwrap();
                answers.push((reply, *end));
                *end += 1;
            }
        }
        transaction.commit().unwrap();
        for (reply, offset) in answers {
            reply.send(offset).unwrap();
        }
    }
}

fn open_baseline(path: &Path) -> SyncSender<Waiting> {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "page_size", 8192).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.pragma_update(None, "synchronous", "full").unwrap();
    connection.execute_batch("create table records (id integer primary key, body blob not null) strict").unwrap();
    let (sender, queue) = sync_channel(8_192);
    std::thread::spawn(move || baseline_thread(connection, queue));
    sender
}

/// Runs the writers and returns how long they took.
async fn measure<F: Future<Output = ()> + Send + 'static>(append: impl Fn(u64, u64) -> F, each: u64) -> Duration {
    let started = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(append(writer, each));
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    started.elapsed()
}

async fn measure_log(folder: &Path, each: u64) -> u64 {
    let log = Arc::new(LocalLog::open(&folder.join("log.db")).unwrap());
    let append = |writer: u64, each: u64| {
        let log = Arc::clone(&log);
        async move {
            for _ in 0..each {
                log.append(NewRecord { partition: (writer % PARTITIONS) as u16, bytes: vec![7; BODY_BYTES] })
                    .await
                    .unwrap();
            }
        }
    };
    per_second(measure(append, each).await, each)
}

async fn measure_baseline(folder: &Path, each: u64) -> u64 {
    let sender = open_baseline(&folder.join("baseline.db"));
    let append = |writer: u64, each: u64| {
        let sender = sender.clone();
        async move {
            for _ in 0..each {
                let (reply, answer) = oneshot::channel();
                sender.send(((writer % PARTITIONS) as i64, vec![7; BODY_BYTES], reply)).unwrap();
                answer.await.unwrap();
            }
        }
    };
    per_second(measure(append, each).await, each)
}

fn per_second(took: Duration, each: u64) -> u64 {
    WRITERS * each * 1_000_000 / (took.as_micros() as u64).max(1)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let each = std::env::args().nth(1).map_or(1_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir_in(".").unwrap();
    // Alternating rounds, so that a slow moment of the machine meets both.
    let mut rounds = Vec::new();
    for round in 0..3 {
        let place = folder.path().join(round.to_string());
        std::fs::create_dir(&place).unwrap();
        let baseline = measure_baseline(&place, each).await;
        let log = measure_log(&place, each).await;
        println!("round {round}: log {log}/s, baseline {baseline}/s, log = {} % of baseline", log * 100 / baseline);
        rounds.push((log, baseline));
    }
    rounds.sort_by_key(|(log, baseline)| log * 1000 / baseline);
    let (log, baseline) = rounds[1];
    println!(
        "{WRITERS} writers, {BODY_BYTES} bytes, {each} appends each; median: log {log}/s, baseline {baseline}/s, ratio {} %",
        log * 100 / baseline
    );
}
