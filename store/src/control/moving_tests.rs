//! A store that moved from its file to Postgres is the same store.

use super::conformance::{NOW, keys, scope, stripe, vendor};
use super::conformance_decisions::decide;
use super::moving::{TABLES, move_to_postgres};
use super::test_places::{PostgresPlace, may_block};
use super::*;
use crate::postgres::{PostgresPool, migrate};
use crate::secrets::system_random;
use serde_json::json;
use std::path::{Path, PathBuf};

/// A file with something in most tables, and a vendor that was removed.
async fn filled(folder: &Path) -> PathBuf {
    let file = folder.join("control.db");
    let store = SqliteControlStore::open(&file, keys(), system_random()).unwrap();
    let acme = store.connect(stripe("acme", "whsec_one"), "test", NOW).await.unwrap();
    let acme_id = vendor(&store, "acme").await;
    let decisions = json!([
        {"decide":"affiliate","key":"aff_maya","name":"Maya","suspended":false},
        {"decide":"map","code":"MAYA20","coupon_id":"c20","affiliate":"aff_maya"},
        {"decide":"rule","scope":{"affiliate":"aff_maya"},"percent":"12.5"},
        {"decide":"adjust","mode":"live","affiliate":"aff_maya","currency":"USD","commission_minor":-500,"reason":"r"},
    ]);
    decide(&store, acme_id, decisions, NOW).await.unwrap();
    for number in 0..1_200 {
        let name = json!([{"decide":"affiliate","key":format!("aff_{number}"),"name":"x","suspended":false}]);
        decide(&store, acme_id, name, NOW).await.unwrap();
    }
    store.put_failures(acme_id, &acme.endpoint_id, "one", "[1]", NOW).await.unwrap();
    store.create_login_token(NOW).await.unwrap();
    let gone = vendor(&store, "gone").await;
    store.forget_vendor(gone, "test", NOW).await.unwrap();
    file
}

async fn target(place: &PostgresPlace) -> std::sync::Arc<PostgresPool> {
    let pool = place.pool();
    may_block(|| migrate(&pool, &POSTGRES_MIGRATIONS)).unwrap();
    pool
}

#[tokio::test]
async fn a_store_that_moved_has_every_row_and_goes_on_counting() {
    let (folder, place) = (tempfile::tempdir().unwrap(), PostgresPlace::new());
    let file = filled(folder.path()).await;
    let pool = target(&place).await;
    let rows = may_block(|| move_to_postgres(&file, &pool)).unwrap();
    assert!(rows > 3_600, "{rows}");
    let connection = rusqlite::Connection::open(&file).unwrap();
    for table in TABLES {
        let count = format!("select count(*) from {table}");
        let before: i64 = connection.query_row(&count, [], |row| row.get(0)).unwrap();
        let after = place.texts(&format!("select count(*)::text from {table}"));
        assert_eq!(after, [before.to_string()], "{table}");
    }
    let (before, after) = (SqliteControlStore::open(&file, keys(), system_random()).unwrap(), place.open().await);
    let both: [&dyn ControlStore; 2] = [&before, &*after];
    let mut seen = Vec::new();
    for store in both {
        let own = scope(store, "acme").await;
        seen.push(format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            store.vendors().await.unwrap(),
            store.endpoint_directory().await.unwrap(),
            store.affiliates(&own).await.unwrap(),
            store.mappings(&own).await.unwrap(),
            store.rules(&own).await.unwrap(),
            store.pending_decisions(10_000).await.unwrap(),
            store.audit_log(&own, None, 100).await.unwrap(),
        ));
    }
    assert_eq!(seen[0], seen[1]);
    let opened = after.endpoint_directory().await.unwrap();
    assert_eq!(opened[0].secrets[0].expose(), "whsec_one", "what is sealed opens under its old ids");
    let mut next = Vec::new();
    for store in both {
        let id = vendor(store, "next").await;
        let decided =
            decide(store, vendor(store, "acme").await, json!([{"decide":"map","code":"B","affiliate":null}]), NOW);
        next.push((id, decided.await.unwrap().last_seq));
    }
    assert_eq!(next[0], next[1], "the number of the vendor that was removed is not given out again");
}

#[tokio::test]
async fn a_schema_that_holds_something_is_refused() {
    let (folder, place) = (tempfile::tempdir().unwrap(), PostgresPlace::new());
    let file = filled(folder.path()).await;
    let pool = target(&place).await;
    may_block(|| move_to_postgres(&file, &pool)).unwrap();
    let words = may_block(|| move_to_postgres(&file, &pool)).unwrap_err().to_string();
    assert!(words.starts_with("postgres.schema: ") && words.contains("holds vendors already"), "{words}");
}

#[tokio::test]
async fn every_table_of_the_file_is_brought_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = filled(folder.path()).await;
    let connection = rusqlite::Connection::open(&file).unwrap();
    let mut statement =
        connection.prepare("select name from sqlite_master where type = 'table' and name not like 'sqlite_%' and name <> 'schema_version'").unwrap();
    let mut found: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut listed = TABLES.to_vec();
    found.sort();
    listed.sort_unstable();
    assert_eq!(found, listed);
}
