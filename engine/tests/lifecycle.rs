//! Starting, stopping, and the limits: what needs an engine of its own. A process can hold one at a time, so these
//! tests take turns.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine::{Engine, EngineConfig, EngineError};
use support::{client, config, error_code};
use tokio::runtime::Runtime;
use tokio::time::Instant;

fn alone(test: impl AsyncFnOnce(&Path)) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    Runtime::new().unwrap().block_on(async {
        tokio::time::timeout(Duration::from_secs(120), test(folder.path())).await.expect("the test hangs");
    });
}

async fn start(config: EngineConfig) -> Engine {
    let started = Instant::now();
    let engine = Engine::start(config).await.unwrap_or_else(|error| panic!("{error}"));
    eprintln!("ready after {} ms", started.elapsed().as_millis());
    engine
}

async fn stop(engine: Engine) -> Duration {
    let started = Instant::now();
    engine.shutdown().await.unwrap();
    eprintln!("stopped after {} ms", started.elapsed().as_millis());
    started.elapsed()
}

#[test]
fn data_is_there_after_a_restart() {
    alone(async |folder| {
        for round in 0..4u64 {
            let engine = start(config(folder)).await;
            let client = client(&engine);
            client
                .query("CREATE TABLE IF NOT EXISTS kept (n UInt64) ENGINE = MergeTree ORDER BY n")
                .execute()
                .await
                .unwrap();
            let count: u64 = client.query("SELECT count() FROM kept").fetch_one().await.unwrap();
            assert_eq!(count, round * 1000);
            client.query("INSERT INTO kept SELECT number FROM numbers(1000)").execute().await.unwrap();
            stop(engine).await;
        }
    });
}

#[test]
fn the_folder_is_locked_while_open_and_free_afterwards() {
    alone(async |folder| {
        let engine = start(config(folder)).await;
        let status = File::open(folder.join("status")).unwrap();
        assert!(status.try_lock().is_err(), "the engine holds its lock");
        let second = Engine::start(config(folder)).await.unwrap_err();
        assert!(matches!(second, EngineError::AlreadyRunning), "{second}");
        stop(engine).await;
        // Locks belong to an open file, so this one stands for another process.
        let status = File::create(folder.join("status")).unwrap();
        status.try_lock().unwrap();
        let locked = Engine::start(config(folder)).await.unwrap_err();
        assert!(matches!(locked, EngineError::Locked { .. }), "{locked}");
        drop(status);
        stop(start(config(folder)).await).await;
    });
}

#[test]
fn a_start_that_fails_can_be_repeated() {
    alone(async |folder| {
        let file = folder.join("file");
        std::fs::write(&file, "not a folder").unwrap();
        let error = Engine::start(config(&file)).await.unwrap_err();
        assert!(matches!(error, EngineError::DataFolder { .. }), "{error}");
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let on_taken_port = EngineConfig { listen: taken.local_addr().unwrap(), ..config(folder) };
        let error = Engine::start(on_taken_port).await.unwrap_err();
        assert!(matches!(error, EngineError::Listen { .. }), "{error}");
        stop(start(config(folder)).await).await;
    });
}

#[test]
fn more_requests_than_may_wait_are_refused_at_once() {
    alone(async |folder| {
        let engine = start(EngineConfig { connections: 1, max_waiting: 1, ..config(folder) }).await;
        let client = client(&engine);
        let queries = (0..6).map(|_| {
            let client = client.clone();
            async move { client.query("SELECT sleep(1)").fetch_one::<u8>().await }
        });
        let results = futures::future::join_all(queries).await;
        let refused: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        assert_eq!(refused.len(), 4, "one runs, one waits: {refused:?}");
        assert!(refused.iter().all(|error| error_code(error) == Some(202)), "{refused:?}");
        assert_eq!(client.query("SELECT 1").fetch_one::<u8>().await.unwrap(), 1);
        stop(engine).await;
    });
}

#[test]
fn statements_that_take_too_long_or_too_much_memory_fail_alone() {
    alone(async |folder| {
        let limits = EngineConfig {
            query_timeout: Duration::from_millis(1500),
            max_memory_bytes: 700 * 1024 * 1024,
            ..config(folder)
        };
        let engine = start(limits).await;
        let client = client(&engine);
        let slow = "SELECT max(cityHash64(number, number * 3)) FROM numbers(100000000000)";
        let error = client.query(slow).fetch_one::<u64>().await.unwrap_err();
        assert_eq!(error_code(&error), Some(159), "{error}");
        let large = "SELECT length(groupArray(number)) FROM numbers(200000000)";
        let error = client.query(large).fetch_one::<u64>().await.unwrap_err();
        assert!(matches!(error_code(&error), Some(241 | 159)), "{error}");
        assert_eq!(client.query("SELECT 1").fetch_one::<u8>().await.unwrap(), 1);
        stop(engine).await;
    });
}

#[test]
fn a_reader_that_stops_reading_loses_its_statement_not_the_pool() {
    alone(async |folder| {
        let engine =
            start(EngineConfig { connections: 1, query_timeout: Duration::from_secs(2), ..config(folder) }).await;
        let client = client(&engine);
        let mut stalled = client.query("SELECT number FROM system.numbers").fetch::<u64>().unwrap();
        assert_eq!(stalled.next().await.unwrap(), Some(0));
        // The only connection is taken by the stalled answer until its time is up.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert_eq!(client.query("SELECT 1").fetch_one::<u8>().await.unwrap(), 1);
        drop(stalled);
        stop(engine).await;
    });
}

#[test]
fn a_shutdown_lets_statements_end_and_then_cuts_them_off() {
    alone(async |folder| {
        let engine = start(EngineConfig { query_timeout: Duration::from_secs(60), ..config(folder) }).await;
        let client = client(&engine);
        let running = tokio::spawn({
            let client = client.clone();
            async move { client.query("SELECT sleep(1)").fetch_one::<u8>().await }
        });
        let mut endless = client.query("SELECT number FROM system.numbers").fetch::<u64>().unwrap();
        assert_eq!(endless.next().await.unwrap(), Some(0));
        tokio::time::sleep(Duration::from_millis(200)).await;
        let took = stop(engine).await;
        assert!(took < Duration::from_secs(15), "the endless answer is cut off after the drain, took {took:?}");
        assert_eq!(running.await.unwrap().unwrap(), 0, "a short statement ends in peace");
        let error = loop {
            match endless.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("half an answer must not look whole"),
                Err(error) => break error,
            }
        };
        eprintln!("the endless answer ended with: {error}");
        stop(start(config(folder)).await).await;
    });
}

/// Resident memory of this process in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn thousands_of_statements_do_not_grow_the_process() {
    alone(async |folder| {
        let engine = start(config(folder)).await;
        let client = client(&engine);
        client.query("CREATE TABLE many (n UInt64) ENGINE = MergeTree ORDER BY n").execute().await.unwrap();
        let round = async |count: u64| {
            for number in 0..count {
                let sum: u64 =
                    client.query("SELECT sum(number) + ? FROM numbers(1000)").bind(number).fetch_one().await.unwrap();
                assert_eq!(sum, 499_500 + number);
                // A failed statement replaces its connection.
                client.query("SELECT throwIf(1)").fetch_one::<u8>().await.unwrap_err();
                if number % 20 == 0 {
                    let mut insert = client.insert::<Number>("many").await.unwrap();
                    insert.write(&Number { n: number }).await.unwrap();
                    insert.end().await.unwrap();
                }
            }
        };
        round(300).await;
        let (before, started) = (resident_kib(), Instant::now());
        round(1500).await;
        let grown = resident_kib().saturating_sub(before);
        eprintln!("3,075 statements in {:?}, resident {before} KiB, grown by {grown} KiB", started.elapsed());
        assert!(grown < 60_000, "grown by {grown} KiB");
        stop(engine).await;
    });
}

#[derive(clickhouse::Row, serde::Serialize)]
struct Number {
    n: u64,
}
