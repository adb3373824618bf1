//! The endpoint seen through the official client: whatever the product does with a ClickHouse server must do the same
//! here. One engine serves the whole file, because a process can hold one storage folder; each test has tables of its
//! own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use clickhouse::{Client, Compression, Row};
use engine::Engine;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use support::{client, error_code};
use tokio::runtime::Runtime;
use tokio::time::Instant;

struct Shared {
    runtime: Runtime,
    engine: Engine,
    _data: tempfile::TempDir,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let data = tempfile::tempdir().unwrap();
        let started = Instant::now();
        let engine =
            runtime.block_on(Engine::start(support::config(data.path()))).unwrap_or_else(|error| panic!("{error}"));
        eprintln!("engine ready after {} ms", started.elapsed().as_millis());
        Shared { runtime, engine, _data: data }
    })
}

/// Runs a test on the shared engine.
fn with_client(test: impl AsyncFnOnce(Client)) {
    let shared = shared();
    shared.runtime.block_on(async {
        let limit = Duration::from_secs(120);
        tokio::time::timeout(limit, test(client(&shared.engine))).await.expect("the test hangs");
    });
}

async fn run(client: &Client, sql: &str) {
    client.query(sql).execute().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn one<T: clickhouse::RowOwned + clickhouse::RowRead>(client: &Client, sql: &str) -> T {
    client.query(sql).fetch_one().await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Pair {
    id: u64,
    name: String,
}

fn pair(id: u64) -> Pair {
    Pair { id, name: format!("name {id}") }
}

async fn insert_pairs(client: &Client, table: &str, ids: std::ops::Range<u64>) -> clickhouse::error::Result<()> {
    let mut insert = client.insert::<Pair>(table).await?;
    for id in ids {
        insert.write(&pair(id)).await?;
    }
    insert.end().await
}

#[test]
fn tables_inserts_and_selects_in_every_mode_of_the_client() {
    with_client(async |client| {
        let modes = [
            (Compression::Lz4, true),
            (Compression::Lz4, false),
            (Compression::None, true),
            (Compression::None, false),
        ];
        for (number, (compression, validation)) in modes.into_iter().enumerate() {
            let client = client.clone().with_compression(compression).with_validation(validation);
            let table = format!("modes_{number}");
            run(&client, &format!("CREATE TABLE {table} (id UInt64, name String) ENGINE = MergeTree ORDER BY id"))
                .await;
            insert_pairs(&client, &table, 0..500).await.unwrap();
            let rows =
                client.query(&format!("SELECT ?fields FROM {table} ORDER BY id")).fetch_all::<Pair>().await.unwrap();
            assert_eq!(rows, (0..500).map(pair).collect::<Vec<_>>());
            let none =
                client.query(&format!("SELECT ?fields FROM {table} WHERE id > 900")).fetch_all::<Pair>().await.unwrap();
            assert!(none.is_empty());
            run(&client, &format!("DROP TABLE {table}")).await;
        }
    });
}

#[test]
fn inserts_of_100_000_rows_arrive_whole() {
    with_client(async |client| {
        for (compression, table) in [(Compression::Lz4, "large_lz4"), (Compression::None, "large_plain")] {
            let client = client.clone().with_compression(compression);
            run(&client, &format!("CREATE TABLE {table} (id UInt64, name String) ENGINE = MergeTree ORDER BY id"))
                .await;
            let started = Instant::now();
            for batch in [0..100_000, 100_000..200_000] {
                insert_pairs(&client, table, batch).await.unwrap();
            }
            eprintln!("200,000 rows, {compression:?}: {} ms", started.elapsed().as_millis());
            let (count, sum, names) =
                one::<(u64, u64, u64)>(&client, &format!("SELECT count(), sum(id), uniqExact(name) FROM {table}"))
                    .await;
            assert_eq!((count, sum, names), (200_000, 199_999 * 100_000, 200_000));
        }
    });
}

#[test]
fn insert_select_and_values_work() {
    with_client(async |client| {
        run(
            &client,
            "CREATE TABLE plain_inserts (id UInt64, name String DEFAULT 'none') ENGINE = MergeTree ORDER BY id",
        )
        .await;
        run(&client, "INSERT INTO plain_inserts SELECT number, toString(number) FROM numbers(10)").await;
        run(&client, "INSERT INTO plain_inserts (id) VALUES (10), (11)").await;
        run(&client, "INSERT INTO plain_inserts VALUES (12, 'a; b')").await;
        let names: Vec<String> = client
            .query("SELECT name FROM plain_inserts WHERE id >= ? ORDER BY id")
            .bind(10)
            .fetch_all()
            .await
            .unwrap();
        assert_eq!(names, ["none", "none", "a; b"]);
    });
}

#[test]
fn binds_and_parameters_are_data() {
    with_client(async |client| {
        let awkward = "it's \\ `tick` \"q\" ? \n\t {x:String} ; --";
        let text: String = client.query("SELECT ?").bind(awkward).fetch_one().await.unwrap();
        assert_eq!(text, awkward);
        let count: u64 = client
            .query("SELECT count() FROM numbers(100) WHERE number IN ? AND toString(number) IN ?")
            .bind(vec![1u64, 2, 3, 200])
            .bind(["2", "3", "4"])
            .fetch_one()
            .await
            .unwrap();
        assert_eq!(count, 2);
        let (text, number, list): (String, i64, u64) = client
            .query("SELECT {text:String}, {number:Int64}, arraySum({list:Array(UInt32)})")
            .param("text", awkward)
            .param("number", -7)
            .param("list", vec![1, 2, 3])
            .fetch_one()
            .await
            .unwrap();
        assert_eq!((text.as_str(), number, list), (awkward, -7, 6));
        let error = client.query("SELECT {n:UInt8}").param("n", "many").fetch_one::<u8>().await.unwrap_err();
        assert_eq!(error_code(&error), Some(457), "{error}");
    });
}

#[test]
fn a_cursor_streams_millions_of_rows() {
    with_client(async |client| {
        for validation in [true, false] {
            let client = client.clone().with_validation(validation);
            let started = Instant::now();
            let mut cursor = client.query("SELECT number FROM numbers(3000000)").fetch::<u64>().unwrap();
            let (mut expected, mut first) = (0u64, None);
            while let Some(number) = cursor.next().await.unwrap() {
                first.get_or_insert_with(|| started.elapsed());
                assert_eq!(number, expected);
                expected += 1;
            }
            assert_eq!(expected, 3_000_000);
            eprintln!("3,000,000 rows: first after {:?}, all after {:?}", first.unwrap(), started.elapsed());
        }
    });
}

/// A block without rows must not look like the end of the answer.
#[test]
fn rows_behind_empty_blocks_are_not_lost() {
    with_client(async |client| {
        run(&client, "CREATE TABLE sparse (n UInt64) ENGINE = MergeTree ORDER BY n").await;
        run(&client, "INSERT INTO sparse SELECT number FROM numbers(1000000)").await;
        for validation in [true, false] {
            let client = client.clone().with_validation(validation).with_setting("max_block_size", "1000");
            for from in ["sparse", "numbers(1000000)"] {
                let column = if from == "sparse" { "n" } else { "number" };
                let sql = format!(
                    "SELECT {column} AS n FROM {from} WHERE n % 250000 = 249999 SETTINGS optimize_move_to_prewhere = 0"
                );
                let rows: Vec<u64> = client.query(&sql).fetch_all().await.unwrap();
                assert_eq!(rows, [249_999, 499_999, 749_999, 999_999], "{from}, validation {validation}");
            }
        }
    });
}

#[test]
fn errors_before_the_first_row_carry_code_and_text() {
    with_client(async |client| {
        let cases = [
            ("SELECT * FROM no_such_table", 60),
            ("SELEC 1", 62),
            ("", 62),
            ("SELECT no_such_column", 47),
            ("SELECT throwIf(number = 3, 'too late') FROM numbers(10)", 395),
            ("SELECT 1 FROM no_such_database.t", 81),
            ("CREATE TABLE bad (a NoType) ENGINE = MergeTree ORDER BY a", 50),
        ];
        for (sql, code) in cases {
            let error = client.query(sql).fetch_all::<u8>().await.unwrap_err();
            assert_eq!(error_code(&error), Some(code), "{sql}: {error}");
            assert!(error.to_string().contains("DB::Exception: "), "{error}");
        }
        let error = client.with_database("absent").query("SELECT 1").fetch_one::<u8>().await.unwrap_err();
        assert_eq!(error_code(&error), Some(81), "{error}");
    });
}

/// The engine leaves the head of a failed answer in the connection; the next answer must not start with it.
#[test]
fn an_error_in_the_middle_of_an_answer_is_seen_and_leaves_nothing_behind() {
    with_client(async |client| {
        for round in 0..30u64 {
            let mut cursor = client
                .query("SELECT number, throwIf(number = ?) FROM numbers(1000000)")
                .bind(300_000 + round)
                .fetch::<(u64, u8)>()
                .unwrap();
            let mut rows = 0;
            let error = loop {
                match cursor.next().await {
                    Ok(Some(_)) => rows += 1,
                    Ok(None) => panic!("the answer ended as if it were whole, after {rows} rows"),
                    Err(error) => break error,
                }
            };
            assert!(rows > 0, "some rows come before the error");
            assert_eq!(error_code(&error), Some(395), "{error}");
            let bytes = client.query("SELECT 'clean'").fetch_bytes("TabSeparated").unwrap().collect().await.unwrap();
            assert_eq!(bytes, "clean\n");
        }
    });
}

#[test]
fn an_unknown_setting_is_refused_and_a_known_one_ends_with_its_request() {
    with_client(async |client| {
        let error = client.query("SELECT 1").with_setting("no_such_setting", "1").fetch_one::<u8>().await.unwrap_err();
        assert_eq!(error_code(&error), Some(115), "{error}");
        let sql = "SELECT toUInt64(getSetting('max_block_size')), toUInt64(getSetting('max_threads'))";
        let plain: (u64, u64) = client.query(sql).fetch_one().await.unwrap();
        for _ in 0..20 {
            let set: (u64, u64) = client
                .query(sql)
                .with_setting("max_block_size", "77")
                .with_setting("max_threads", "3")
                .fetch_one()
                .await
                .unwrap();
            assert_eq!(set, (77, 3));
            assert_eq!(client.query(sql).fetch_one::<(u64, u64)>().await.unwrap(), plain);
        }
    });
}

#[test]
fn nothing_of_a_request_stays_on_its_connection() {
    with_client(async |client| {
        run(&client, "CREATE TABLE leaks (id UInt64, name String) ENGINE = MergeTree ORDER BY id").await;
        for _ in 0..10 {
            let error = client
                .query("INSERT INTO leaks VALUES (1, 'a')")
                .with_setting("readonly", "1")
                .execute()
                .await
                .unwrap_err();
            assert_eq!(error_code(&error), Some(164), "{error}");
            let _: u8 = client.query("SELECT 1").with_setting("readonly", "1").fetch_one().await.unwrap();
            run(&client, "SET max_block_size = 5").await;
            run(&client, "USE system").await;
            run(&client, "CREATE TEMPORARY TABLE hidden (a UInt8)").await;
        }
        insert_pairs(&client, "leaks", 0..1).await.unwrap();
        for _ in 0..10 {
            let (database, block): (String, u64) =
                one(&client, "SELECT currentDatabase(), toUInt64(getSetting('max_block_size'))").await;
            assert_eq!(database, "warehouse");
            assert_ne!(block, 5);
            let error = client.query("SELECT * FROM hidden").fetch_all::<u8>().await.unwrap_err();
            assert_eq!(error_code(&error), Some(60), "{error}");
        }
    });
}

#[test]
fn several_statements_at_once_are_refused_and_none_runs() {
    with_client(async |client| {
        run(&client, "CREATE TABLE victim (id UInt64) ENGINE = MergeTree ORDER BY id").await;
        for sql in [
            "SELECT 1; SELECT 2",
            "SELECT 1; DROP TABLE victim",
            "DROP TABLE victim; garbage (",
            "INSERT INTO victim VALUES (1); DROP TABLE victim",
            "DROP TABLE victim PARALLEL WITH DROP TABLE victim",
        ] {
            let error = client.query(sql).execute().await.unwrap_err();
            assert_eq!(error_code(&error), Some(62), "{sql}: {error}");
        }
        assert_eq!(one::<u64>(&client, "SELECT count() FROM victim").await, 0);
        assert_eq!(one::<u8>(&client, "SELECT 1; \n").await, 1);
        assert_eq!(one::<String>(&client, "SELECT 'a;b' -- c;d").await, "a;b");
    });
}

#[test]
fn without_the_key_nothing_runs() {
    with_client(async |client| {
        for wrong in [client.clone().with_password("wrong"), Client::default().with_url(shared().engine.url())] {
            let error = wrong.query("SELECT 1").fetch_one::<u8>().await.unwrap_err();
            assert_eq!(error_code(&error), Some(516), "{error}");
        }
        assert_eq!(one::<u8>(&client.clone().with_user("default"), "SELECT 1").await, 1);
        let (status, body) = raw("GET", "ping", &[], Bytes::new()).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "Ok.\n"));
    });
}

#[test]
fn a_repeated_insert_with_the_same_token_counts_once() {
    with_client(async |client| {
        run(
            &client,
            "CREATE TABLE tokens (id UInt64, name String) ENGINE = MergeTree ORDER BY id
             SETTINGS non_replicated_deduplication_window = 100",
        )
        .await;
        for (token, ids) in [("a", 0..10), ("a", 0..10), ("b", 10..20), ("b", 10..20), ("c", 0..10)] {
            let client = client.clone().with_setting("insert_deduplication_token", token);
            insert_pairs(&client, "tokens", ids).await.unwrap();
        }
        assert_eq!(one::<u64>(&client, "SELECT count() FROM tokens").await, 30, "tokens a, b and c, 10 rows each");
    });
}

#[test]
fn final_shows_the_last_version_of_a_replaced_row() {
    with_client(async |client| {
        run(
            &client,
            "CREATE TABLE versions (id UInt64, version UInt64, name String) ENGINE = ReplacingMergeTree(version) ORDER BY id",
        )
        .await;
        for version in 0..5 {
            run(&client, &format!("INSERT INTO versions SELECT number, {version}, 'v{version}' FROM numbers(100)"))
                .await;
        }
        let (rows, names): (u64, String) =
            one(&client, "SELECT count(), arrayStringConcat(groupUniqArray(name)) FROM versions FINAL").await;
        assert_eq!((rows, names), (100, "v4".to_owned()));
    });
}

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Every {
    moment: i64,
    currency: [u8; 3],
    kind: i8,
    reason: String,
    flags: Vec<String>,
    numbers: Vec<i64>,
    amount: i64,
    wide: i128,
    maybe: Option<u32>,
    yes: bool,
}

#[test]
fn every_column_type_of_the_product_comes_back_as_it_went_in() {
    with_client(async |client| {
        run(
            &client,
            "CREATE TABLE every (moment DateTime64(3, 'UTC'), currency FixedString(3), kind Enum8('sale' = 1, 'refund' = -2),
             reason LowCardinality(String), flags Array(LowCardinality(String)), numbers Array(Int64), amount Int64,
             wide Int128, maybe Nullable(UInt32), yes Bool) ENGINE = MergeTree ORDER BY moment",
        )
        .await;
        let rows = vec![
            Every {
                moment: 1_763_715_600_123,
                currency: *b"usd",
                kind: 1,
                reason: String::new(),
                flags: vec![],
                numbers: vec![],
                amount: i64::MAX,
                wide: i128::MAX,
                maybe: None,
                yes: false,
            },
            Every {
                moment: 1_763_715_600_124,
                currency: *b"jpy",
                kind: -2,
                reason: "Grüße ☕".to_owned(),
                flags: vec!["a".to_owned(), "b;'c".to_owned(), "a".to_owned()],
                numbers: vec![i64::MIN, 0, i64::MAX],
                amount: i64::MIN,
                wide: -1,
                maybe: Some(7),
                yes: true,
            },
        ];
        for compression in [Compression::Lz4, Compression::None] {
            let client = client.clone().with_compression(compression);
            let mut insert = client.insert::<Every>("every").await.unwrap();
            for row in &rows {
                insert.write(row).await.unwrap();
            }
            insert.end().await.unwrap();
            let found: Vec<Every> =
                client.query("SELECT ?fields FROM every ORDER BY moment").fetch_all().await.unwrap();
            assert_eq!(found, rows);
            let kinds: Vec<String> =
                client.query("SELECT toString(kind) FROM every ORDER BY moment").fetch_all().await.unwrap();
            assert_eq!(kinds, ["sale", "refund"]);
            run(&client, "TRUNCATE TABLE every").await;
        }
    });
}

#[test]
fn sums_in_128_bits_do_not_wrap() {
    with_client(async |client| {
        let sum: i128 =
            one(&client, "SELECT sum(toInt128(x)) FROM (SELECT toInt64(9223372036854775807) AS x FROM numbers(3))")
                .await;
        assert_eq!(sum, i128::from(i64::MAX) * 3);
        let sum: i128 =
            one(&client, "SELECT sum(toInt128(x)) FROM (SELECT toInt64(-9223372036854775808) AS x FROM numbers(3))")
                .await;
        assert_eq!(sum, i128::from(i64::MIN) * 3);
    });
}

#[test]
fn abandoned_cursors_give_their_connections_back() {
    with_client(async |client| {
        for _ in 0..40 {
            let mut cursor = client.query("SELECT number FROM system.numbers").fetch::<u64>().unwrap();
            assert_eq!(cursor.next().await.unwrap(), Some(0));
        }
        let started = Instant::now();
        let queries = (0..12).map(|number| {
            let client = client.clone();
            async move { client.query("SELECT toUInt64(?)").bind(number).fetch_one::<u64>().await.unwrap() }
        });
        let answers = futures::future::join_all(queries).await;
        assert_eq!(answers, (0..12).collect::<Vec<_>>());
        assert!(started.elapsed() < Duration::from_secs(10), "took {:?}", started.elapsed());
    });
}

#[test]
fn an_insert_that_is_dropped_or_damaged_writes_nothing() {
    with_client(async |client| {
        run(&client, "CREATE TABLE dropped (id UInt64, name String) ENGINE = MergeTree ORDER BY id").await;
        // Below and above what the endpoint holds before it takes a connection.
        for rows in [1_000u64, 200_000] {
            let mut insert = client.insert::<Pair>("dropped").await.unwrap();
            for id in 0..rows {
                insert.write(&pair(id)).await.unwrap();
            }
            drop(insert);
        }
        let (status, text) =
            raw_insert("dropped", true, b"not a compressed block, but long enough for a header".to_vec()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
        let mut row = 5u64.to_le_bytes().to_vec();
        row.extend_from_slice(b"\x09too short");
        row.truncate(row.len() - 3);
        let (status, text) = raw_insert("dropped", false, row).await;
        assert!(!status.is_success(), "{text}");
        assert!(text.contains("DB::Exception"), "{text}");
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(one::<u64>(&client, "SELECT count() FROM dropped").await, 0);
        insert_pairs(&client, "dropped", 0..3).await.unwrap();
        assert_eq!(one::<u64>(&client, "SELECT count() FROM dropped").await, 3);
    });
}

#[test]
fn a_bad_checksum_has_its_own_code() {
    with_client(async |client| {
        run(&client, "CREATE TABLE checksums (id UInt64, name String) ENGINE = MergeTree ORDER BY id").await;
        let mut block = vec![0u8; 16];
        block.extend_from_slice(&[0x02, 14, 0, 0, 0, 5, 0, 0, 0]);
        block.extend_from_slice(b"money");
        let (status, text) = raw_insert("checksums", true, block).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(text.starts_with("Code: 40. "), "{text}");
    });
}

#[test]
fn bad_requests_say_what_is_wrong() {
    with_client(async |_| {
        let cases: [(&str, &[u8], StatusCode, &str); 6] = [
            ("session_id=a", b"SELECT 1", StatusCode::BAD_REQUEST, "session_id is not supported"),
            ("compress=1", b"SELECT 1", StatusCode::BAD_REQUEST, "compress is not supported"),
            ("max_threads%3D1%3B=1", b"SELECT 1", StatusCode::BAD_REQUEST, "not the name of a setting"),
            ("", b"SELECT '\xff'", StatusCode::BAD_REQUEST, "not valid UTF-8"),
            ("query=SELECT+1;", b"SELECT 2", StatusCode::BAD_REQUEST, "one at a time"),
            ("", &[b' '; 17 * 1024 * 1024], StatusCode::PAYLOAD_TOO_LARGE, "too large"),
        ];
        for (query, body, expected, text) in cases {
            let path = format!("?{query}");
            let (status, answer) =
                raw("POST", &path, &[("X-ClickHouse-Key", support::KEY)], Bytes::from_static(body)).await;
            assert_eq!(status, expected, "{query}: {answer}");
            assert!(answer.contains(text), "{query}: {answer}");
        }
        let (status, _) = raw("GET", "?query=SELECT+1", &[("X-ClickHouse-Key", support::KEY)], Bytes::new()).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    });
}

#[test]
fn other_formats_and_statements_answer_whole() {
    with_client(async |client| {
        let json = client
            .query("SELECT number AS n FROM numbers(100000)")
            .fetch_bytes("JSON")
            .unwrap()
            .collect()
            .await
            .unwrap();
        let text = std::str::from_utf8(&json).unwrap();
        assert_eq!(text.matches("\"meta\"").count(), 1, "one document");
        assert!(text.contains("\"rows\": 100000"));
        let csv = client
            .query("SELECT 1 AS a FORMAT CSVWithNames")
            .fetch_bytes("RowBinary")
            .unwrap()
            .collect()
            .await
            .unwrap();
        assert_eq!(csv, "\"a\"\n1\n");
        let lines = client
            .query("SELECT number FROM numbers(200000)")
            .fetch_bytes("JSONEachRow")
            .unwrap()
            .collect()
            .await
            .unwrap();
        assert_eq!(lines.iter().filter(|&&byte| byte == b'\n').count(), 200_000);
        run(&client, "CREATE TABLE described (id UInt64) ENGINE = MergeTree ORDER BY id").await;
        let shown: Vec<String> = client.query("SHOW TABLES LIKE 'described'").fetch_all().await.unwrap();
        assert_eq!(shown, ["described"]);
        run(&client, "OPTIMIZE TABLE described FINAL").await;
    });
}

#[test]
fn sixteen_readers_and_a_writer_work_side_by_side() {
    with_client(async |client| {
        run(&client, "CREATE TABLE busy (id UInt64, name String) ENGINE = MergeTree ORDER BY id").await;
        let started = Instant::now();
        let until = started + Duration::from_secs(3);
        let writer = {
            let client = client.clone();
            tokio::spawn(async move {
                let mut written = 0;
                while Instant::now() < until {
                    insert_pairs(&client, "busy", written..written + 1000).await.unwrap();
                    written += 1000;
                }
                written
            })
        };
        let readers = (0..16).map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let (mut reads, mut last) = (0u64, 0);
                while Instant::now() < until {
                    let (count, sum): (u64, u64) = one(&client, "SELECT count(), sum(id) FROM busy").await;
                    assert!(count >= last && count % 1000 == 0, "{count} rows after {last}");
                    assert_eq!(sum, count * count.saturating_sub(1) / 2);
                    last = count;
                    reads += 1;
                }
                reads
            })
        });
        let reads: u64 = futures::future::join_all(readers).await.into_iter().map(Result::unwrap).sum();
        let written = writer.await.unwrap();
        eprintln!("{reads} reads and {written} written rows in {:?}", started.elapsed());
        assert!(reads > 16 && written >= 1000);
        assert_eq!(one::<u64>(&client, "SELECT count() FROM busy").await, written);
    });
}

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct LedgerLine {
    vendor_id: u64,
    livemode: u8,
    occurred_at: i64,
    affiliate_id: u64,
    src_off: u64,
    ord: u32,
    src_part: u16,
    r#gen: u16,
    booked_at: i64,
    sale_at: i64,
    connection_id: u64,
    purchase_id: u64,
    kind: i8,
    code_id: u64,
    currency: [u8; 3],
    redemptions: i8,
    conversions: i8,
    gross: i64,
    net: i64,
    commission: i64,
    rule_rev: u32,
}

const LEDGER_LINES: &str = "
CREATE TABLE ledger_lines
(
    vendor_id     UInt64,
    livemode      UInt8,
    occurred_at   DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    affiliate_id  UInt64 CODEC(T64, ZSTD(1)),
    src_off       UInt64 CODEC(Delta, ZSTD(1)),
    ord           UInt32,
    src_part      UInt16,
    gen           UInt16,
    booked_at     DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    sale_at       DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    connection_id UInt64 CODEC(T64, ZSTD(1)),
    purchase_id   UInt64 CODEC(ZSTD(1)),
    kind          Enum8('sale'=1,'refund'=2,'refund_undo'=3,'dispute'=4,'dispute_undo'=5,'credit_note'=6,
                        'void'=7,'move_out'=8,'move_in'=9,'rerate'=10,'manual'=11,'correct'=12,'cap'=13),
    code_id       UInt64 CODEC(T64, ZSTD(1)),
    currency      FixedString(3),
    redemptions   Int8, conversions Int8,
    gross         Int64 CODEC(T64, ZSTD(1)),
    net           Int64 CODEC(T64, ZSTD(1)),
    commission    Int64 CODEC(T64, ZSTD(1)),
    rule_rev      UInt32 CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY (gen, toYYYYMM(occurred_at))
ORDER BY (vendor_id, livemode, toDate(occurred_at), affiliate_id, src_off, ord)
SETTINGS index_granularity = 2048, non_replicated_deduplication_window = 10000,
         fsync_after_insert = 1, fsync_part_directory = 1";

fn ledger_line(number: u64) -> LedgerLine {
    let day_ms = 86_400_000;
    let moment = 1_758_000_000_000 + number as i64 % 60 * day_ms;
    LedgerLine {
        vendor_id: 1 + number % 3,
        livemode: 1,
        occurred_at: moment,
        affiliate_id: number % 5,
        src_off: number,
        ord: 0,
        src_part: 4,
        r#gen: 1,
        booked_at: moment + 1,
        sale_at: moment,
        connection_id: 1,
        purchase_id: number / 2,
        kind: if number.is_multiple_of(7) { 2 } else { 1 },
        code_id: 9,
        currency: *b"usd",
        redemptions: 1,
        conversions: -1,
        gross: number as i64 - 5_000,
        net: number as i64 - 5_000,
        commission: 20,
        rule_rev: 0,
    }
}

#[test]
fn the_ledger_table_takes_copies_and_reads_each_line_once() {
    with_client(async |client| {
        run(&client, LEDGER_LINES).await;
        // The same lines twice, cut at different places, as after a crash.
        for (token, lines) in [("0-6000", 0..6_000), ("6000-10000", 6_000..10_000), ("0-10000", 0..10_000)] {
            let client = client.clone().with_setting("insert_deduplication_token", token);
            let mut insert = client.insert::<LedgerLine>("ledger_lines").await.unwrap();
            for number in lines {
                insert.write(&ledger_line(number)).await.unwrap();
            }
            insert.end().await.unwrap();
        }
        let expected: i128 =
            (0..10_000).map(ledger_line).filter(|line| line.vendor_id == 2).map(|line| i128::from(line.gross)).sum();
        let (lines, gross): (u64, i128) = client
            .query(
                "SELECT count(), sum(toInt128(gross)) FROM ledger_lines FINAL WHERE vendor_id = ? AND livemode = 1
                 SETTINGS do_not_merge_across_partitions_select_final = 1",
            )
            .bind(2u64)
            .fetch_one()
            .await
            .unwrap();
        assert_eq!((lines, gross), (3_333, expected));
        let line: LedgerLine = client
            .query("SELECT ?fields FROM ledger_lines FINAL WHERE vendor_id = ? AND src_off = ?")
            .bind(2u64)
            .bind(7u64)
            .fetch_one()
            .await
            .unwrap();
        assert_eq!(line, ledger_line(7));
    });
}

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Purchase {
    vendor_id: u64,
    livemode: u8,
    r#gen: u16,
    sale_at: i64,
    purchase_id: u64,
    outcome: i8,
    reason: String,
    affiliate_id: u64,
    code_id: u64,
    currency: [u8; 3],
    gross: i64,
    net: i64,
    reversed: i64,
    commission: i64,
    flags: Vec<String>,
    src_off: u64,
}

const PURCHASES: &str = "
CREATE TABLE purchases
(
    vendor_id UInt64, livemode UInt8, gen UInt16, sale_at DateTime64(3,'UTC'), purchase_id UInt64,
    outcome Enum8('credited'=1,'organic'=2,'rejected'=3,'waiting'=4,'merged'=5), reason LowCardinality(String),
    affiliate_id UInt64, code_id UInt64, currency FixedString(3),
    gross Int64, net Int64, reversed Int64, commission Int64, flags Array(LowCardinality(String)), src_off UInt64
)
ENGINE = ReplacingMergeTree ORDER BY (vendor_id, livemode, gen, purchase_id, src_off) SETTINGS index_granularity = 2048";

#[test]
fn the_purchases_table_keeps_one_row_per_change() {
    with_client(async |client| {
        run(&client, PURCHASES).await;
        let row = |purchase_id, src_off, outcome| Purchase {
            vendor_id: 1,
            livemode: 0,
            r#gen: 1,
            sale_at: 1_758_000_000_000,
            purchase_id,
            outcome,
            reason: if outcome == 4 { "unmapped_code".to_owned() } else { String::new() },
            affiliate_id: 3,
            code_id: 4,
            currency: *b"eur",
            gross: 2_900,
            net: 2_320,
            reversed: 0,
            commission: 464,
            flags: vec!["coupon".to_owned()],
            src_off,
        };
        for _ in 0..2 {
            let mut insert = client.insert::<Purchase>("purchases").await.unwrap();
            for (purchase_id, src_off, outcome) in [(1, 10, 4), (1, 12, 1), (2, 11, 2)] {
                insert.write(&row(purchase_id, src_off, outcome)).await.unwrap();
            }
            insert.end().await.unwrap();
        }
        let counts: Vec<(String, u64)> = client
            .query(
                "SELECT toString(last), count() FROM (
                     SELECT argMax(outcome, src_off) AS last FROM purchases FINAL
                     WHERE vendor_id = 1 AND livemode = 0 AND src_off <= ? GROUP BY purchase_id)
                 GROUP BY last",
            )
            .bind(11u64)
            .fetch_all()
            .await
            .unwrap();
        let counts: BTreeMap<_, _> = counts.into_iter().collect();
        assert_eq!(counts, BTreeMap::from([("organic".to_owned(), 1), ("waiting".to_owned(), 1)]));
        let rows: Vec<Purchase> = client
            .query("SELECT ?fields FROM purchases FINAL ORDER BY purchase_id, src_off")
            .fetch_all()
            .await
            .unwrap();
        assert_eq!(rows, [row(1, 10, 4), row(1, 12, 1), row(2, 11, 2)]);
    });
}

/// A request without the client, for what the client would never send.
async fn raw(method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> (StatusCode, String) {
    let mut request = Request::builder().method(method).uri(format!("{}/{path}", shared().engine.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let http = HttpClient::builder(TokioExecutor::new()).build_http();
    let response = http.request(request.body(Full::new(body)).unwrap()).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

async fn raw_insert(table: &str, compressed: bool, body: Vec<u8>) -> (StatusCode, String) {
    let compressed = u8::from(compressed);
    let path = format!("?query=INSERT+INTO+{table}+FORMAT+RowBinary&decompress={compressed}");
    raw("POST", &path, &[("X-ClickHouse-Key", support::KEY)], body.into()).await
}
