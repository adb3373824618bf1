//! Pool and migrations, on a real server.

use super::test_server::TestSchema;
use super::*;
use domain::ids::VendorId;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

const FIRST: Migration =
    Migration { version: 1, name: "0001_first", sql: "create table a (x bigint);", oldest_reader: 1 };
const SECOND: Migration =
    Migration { version: 2, name: "0002_second", sql: "create table b (y bigint);", oldest_reader: 1 };
const BROKEN: Migration = Migration { sql: "create table b (y bigint); nonsense;", ..SECOND };
const SWEEPING: Migration = Migration { sql: "alter table a rename x to z;", oldest_reader: 2, ..SECOND };

fn count(pool: &PostgresPool, sql: &str) -> i64 {
    pool.run(|connection| Ok::<_, PostgresError>(connection.query_one(sql, &[])?.get(0))).unwrap()
}

fn failed<T: std::fmt::Debug>(result: Result<T, PostgresError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn steps_are_applied_once_and_in_order() {
    let schema = TestSchema::new();
    let pool = schema.pool();
    assert!(failed(check(&pool, &[FIRST])).contains("has version 0, this binary needs 1: run `affilitrack migrate`"));
    migrate(&pool, &[FIRST]).unwrap();
    migrate(&pool, &[FIRST, SECOND]).unwrap();
    migrate(&pool, &[FIRST, SECOND]).unwrap();
    check(&pool, &[FIRST, SECOND]).unwrap();
    assert_eq!(count(&pool, "select count(*) from schema_migrations"), 2);
    assert_eq!(count(&pool, "select count(*) from b"), 0);
}

#[test]
fn many_may_migrate_at_once() {
    let schema = TestSchema::new();
    std::thread::scope(|scope| {
        let tries: Vec<_> = (0..6).map(|_| scope.spawn(|| migrate(&schema.pool(), &[FIRST, SECOND]))).collect();
        for one in tries {
            one.join().unwrap().unwrap();
        }
    });
    assert_eq!(count(&schema.pool(), "select count(*) from schema_migrations"), 2);
}

#[test]
fn the_previous_release_runs_on_a_schema_that_was_only_added_to() {
    let schema = TestSchema::new();
    migrate(&schema.pool(), &[FIRST, SECOND]).unwrap();
    migrate(&schema.pool(), &[FIRST]).unwrap();
    check(&schema.pool(), &[FIRST]).unwrap();
}

#[test]
fn a_schema_that_this_binary_cannot_run_on_is_refused_with_words() {
    let schema = TestSchema::new();
    migrate(&schema.pool(), &[FIRST, SWEEPING]).unwrap();
    for refused in [migrate(&schema.pool(), &[FIRST]), check(&schema.pool(), &[FIRST])] {
        let words = failed(refused);
        assert!(
            words.contains("has version 2 and wants a binary that knows at least version 2; this one knows versions up to 1: start the newer binary"),
            "{words}"
        );
    }
}

#[test]
fn a_step_that_was_edited_afterwards_is_refused() {
    let schema = TestSchema::new();
    migrate(&schema.pool(), &[FIRST, SECOND]).unwrap();
    let words = failed(migrate(&schema.pool(), &[FIRST, SWEEPING]));
    assert!(words.contains("migration 2 (0002_second)") && words.contains("never edited"), "{words}");
}

#[test]
fn a_step_that_fails_leaves_nothing_behind() {
    let schema = TestSchema::new();
    let pool = schema.pool();
    let words = failed(migrate(&pool, &[FIRST, BROKEN]));
    assert!(words.contains("migration 2 (0002_second)") && words.contains("syntax error"), "{words}");
    assert_eq!(count(&pool, "select count(*) from schema_migrations"), 1);
    migrate(&pool, &[FIRST, SECOND]).unwrap();
}

/// As SIGKILL of whoever migrates, or a cut line: the server ends the transaction of a connection that is gone.
#[test]
fn a_step_whose_connection_breaks_leaves_the_schema_of_before() {
    const LONG: Migration = Migration { sql: "create table b (y bigint); select pg_sleep(600);", ..SECOND };
    let schema = TestSchema::new();
    migrate(&schema.pool(), &[FIRST]).unwrap();
    let settings = PostgresSettings { application_name: schema.settings().schema, ..schema.settings() };
    let migrating = PostgresPool::connect(settings.clone()).unwrap();
    let watching = schema.pool();
    let sleeping =
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and wait_event = 'PgSleep'";
    std::thread::scope(|scope| {
        let step = scope.spawn(|| migrate(&migrating, &[FIRST, LONG]));
        let broken = || watching.run(|connection| connection.execute(sleeping, &[&settings.application_name])).unwrap();
        while broken() == 0 {
            assert!(!step.is_finished());
            std::thread::yield_now();
        }
        step.join().unwrap().unwrap_err();
    });
    assert_eq!(count(&watching, "select count(*) from schema_migrations"), 1);
    check(&watching, &[FIRST]).unwrap();
    migrate(&watching, &[FIRST, SECOND]).unwrap();
    assert_eq!(count(&watching, "select count(*) from b"), 0);
}

#[test]
fn a_failed_transaction_leaves_nothing_and_its_connection_is_used_again() {
    let schema = TestSchema::new();
    let pool = PostgresPool::connect(PostgresSettings { pool_size: 1, ..schema.settings() }).unwrap();
    migrate(&pool, &[FIRST]).unwrap();
    let refused = pool.transaction(|connection| {
        connection.execute("insert into a (x) values ($1)", &[&1_i64])?;
        connection.execute("insert into nowhere (x) values ($1)", &[&1_i64])
    });
    assert!(failed(refused).contains("relation \"nowhere\" does not exist (42P01)"));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.transaction::<(), PostgresError>(|connection| {
            connection.execute("insert into a (x) values ($1)", &[&2_i64])?;
            panic!("in the middle");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(count(&pool, "select count(*) from a"), 0);
    pool.transaction(|connection| connection.execute("insert into a (x) values ($1)", &[&3_i64])).unwrap();
    assert_eq!(count(&pool, "select count(*) from a"), 1);
    let written = pool.snapshot(|connection| connection.execute("insert into a (x) values ($1)", &[&4_i64]));
    assert!(failed(written).contains("read-only transaction"));
}

#[test]
fn the_pool_has_a_limit_and_a_wait_has_an_end() {
    let schema = TestSchema::new();
    let wait_timeout = Duration::from_millis(50);
    let pool = PostgresPool::connect(PostgresSettings { pool_size: 2, wait_timeout, ..schema.settings() }).unwrap();
    let (holding, held) = sync_channel(2);
    std::thread::scope(|scope| {
        let mut release = Vec::new();
        for _ in 0..2 {
            let (sender, receiver) = sync_channel::<()>(1);
            let (pool, holding) = (&pool, holding.clone());
            release.push(sender);
            scope.spawn(move || {
                pool.run(|_| {
                    holding.send(()).unwrap();
                    receiver.recv().unwrap();
                    Ok::<_, PostgresError>(())
                })
            });
        }
        held.recv().unwrap();
        held.recv().unwrap();
        let words = failed(pool.run(|_| Ok::<_, PostgresError>(())));
        assert!(words.starts_with("all 2 connections to Postgres at") && words.contains("busy for 50 ms"), "{words}");
        for sender in release {
            sender.send(()).unwrap();
        }
    });
    assert_eq!(count(&pool, "select 1::bigint"), 1);
}

/// As after a restart of the server: every connection of the pool is dead, and nobody told it.
#[test]
fn dead_connections_are_thrown_away() {
    let schema = TestSchema::new();
    let settings = PostgresSettings { application_name: schema.settings().schema, ..schema.settings() };
    let pool = PostgresPool::connect(settings.clone()).unwrap();
    let both = std::sync::Barrier::new(2);
    let hold = || {
        pool.run(|_| {
            both.wait();
            Ok::<_, PostgresError>(())
        })
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(hold);
        hold().unwrap();
        other.join().unwrap().unwrap();
    });
    let killer = PostgresPool::connect(schema.settings()).unwrap();
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1";
    let killed = killer.run(|connection| connection.execute(kill, &[&settings.application_name])).unwrap();
    assert_eq!(killed, 2);
    pool.snapshot(|connection| connection.query("select 1", &[])).unwrap();
    assert_eq!(count(&pool, "select 1::bigint"), 1);
}

#[test]
fn a_statement_has_a_limit() {
    let schema = TestSchema::new();
    let statement_timeout = Duration::from_secs(1);
    let pool = PostgresPool::connect(PostgresSettings { statement_timeout, ..schema.settings() }).unwrap();
    let words = failed(pool.run(|connection| connection.query("select pg_sleep(60)", &[])));
    assert!(words.contains("statement timeout"), "{words}");
    pool.run(|connection| connection.query("select 1", &[])).unwrap();
}

#[test]
fn a_tenant_is_named_for_one_transaction_only() {
    let schema = TestSchema::new();
    let pool = PostgresPool::connect(PostgresSettings { pool_size: 1, ..schema.settings() }).unwrap();
    let read = "select current_setting('affilitrack.all') || current_setting('affilitrack.vendor', true)";
    let named: String = pool
        .vendor_snapshot(VendorId(7), |connection| Ok::<_, PostgresError>(connection.query_one(read, &[])?.get(0)))
        .unwrap();
    assert_eq!(named, "off7");
    let after: String = pool.run(|connection| Ok::<_, PostgresError>(connection.query_one(read, &[])?.get(0))).unwrap();
    assert_eq!(after, "on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pool_works_inside_a_runtime_too() {
    let schema = TestSchema::new();
    let pool = schema.pool();
    assert_eq!(count(&pool, "select 1::bigint"), 1);
    let shared = Arc::clone(&pool);
    let counted = tokio::task::spawn_blocking(move || count(&shared, "select 2::bigint")).await.unwrap();
    assert_eq!(counted, 2);
    drop(pool);
}

#[test]
fn settings_are_judged_and_keep_their_secret() {
    let settings = PostgresSettings::new("postgres://me:geheim@127.0.0.1:1/db", "at_fold");
    assert!(!format!("{settings:?}").contains("geheim"));
    let words = failed(PostgresPool::connect(settings.clone()).map(|_| ()));
    assert!(
        words.starts_with("cannot connect to Postgres at 127.0.0.1:1/db: ") && !words.contains("geheim"),
        "{words}"
    );
    for schema in ["", "Fold", "1a", "a b", "a\"b", &"a".repeat(49)] {
        let wrong = PostgresSettings { schema: schema.to_owned(), ..settings.clone() };
        assert!(failed(PostgresPool::connect(wrong).map(|_| ())).contains("schema name"));
    }
    let wrong = PostgresSettings { pool_size: 0, ..settings.clone() };
    assert!(failed(PostgresPool::connect(wrong).map(|_| ())).contains("at least one"));
    let wrong = PostgresSettings { url: "nonsense geheim".to_owned(), ..settings.clone() };
    assert!(!failed(PostgresPool::connect(wrong).map(|_| ())).contains("geheim"));
    let url = "postgres://me:geheim@h/db?sslmode=verify-full".to_owned();
    let words = failed(PostgresPool::connect(PostgresSettings { url, ..settings }).map(|_| ()));
    assert!(words.contains("set postgres.tls") && !words.contains("geheim"), "{words}");
}
