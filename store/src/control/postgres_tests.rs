//! What only a database that several processes share can get wrong.

use super::backend::{Backend, Reach};
use super::conformance::*;
use super::conformance_decisions::decide;
use super::conformance_mail_choices::switched_off_by_link;
use super::conformance_people::{mail, session_of};
use super::conformance_portal::portal_session_of;
use super::conformance_stripe::connected as connected_with_key;
use super::test_places::{PostgresPlace, may_block};
use super::*;
use crate::postgres::{PostgresError, PostgresPool, PostgresSettings, migrate};
use crate::secrets::system_random;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

const LONG: Duration = Duration::from_secs(30);

fn affiliate(key: &str) -> Value {
    json!({"decide":"affiliate","key":key})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_processes_decide_at_once_and_no_number_is_missing() {
    let place = PostgresPlace::new();
    let stores = [place.open().await, place.open().await, place.open().await];
    let (acme, globex) = (vendor(&*stores[0], "acme").await, vendor(&*stores[1], "globex").await);
    let mut people = JoinSet::new();
    for person in 0..6 {
        let store = Arc::clone(&stores[person % stores.len()]);
        people.spawn(async move {
            for round in 0..8 {
                let vendor = if round % 2 == 0 { acme } else { globex };
                let rule = json!({"decide":"rule","scope":{"affiliate":"shared"},"percent":"1"});
                let decisions = json!([affiliate(&format!("p{person}r{round}")), affiliate("shared"), rule]);
                let decided = decide(&*store, vendor, decisions, NOW).await.unwrap();
                assert_eq!(decided.last_seq, decided.first_seq + 2);
                // One that fails must not leave a gap.
                decide(&*store, vendor, json!([affiliate("fine"), affiliate(" ")]), NOW).await.unwrap_err();
            }
        });
    }
    people.join_all().await;
    let pending = stores[2].pending_decisions(10_000).await.unwrap();
    for (vendor, slug) in [(acme, "acme"), (globex, "globex")] {
        let numbers: Vec<u64> = pending.iter().filter(|one| one.vendor == vendor).map(|one| one.seq).collect();
        assert_eq!(numbers, (1..=72).collect::<Vec<_>>(), "in the order in which the relay takes them");
        let scope = scope(&*stores[0], slug).await;
        assert_eq!(stores[1].affiliates(&scope).await.unwrap().len(), 25);
        let revisions: Vec<u32> = stores[2].rules(&scope).await.unwrap().iter().map(|info| info.rule.rev).collect();
        assert_eq!(revisions, (1..=24).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_processes_connect_one_account_at_once() {
    let place = PostgresPlace::new();
    let stores = [place.open().await, place.open().await];
    vendor(&*stores[0], "acme").await;
    let mut people = JoinSet::new();
    for person in 0..6 {
        let store = Arc::clone(&stores[person % stores.len()]);
        people.spawn(
            async move { store.connect(stripe("acme", &format!("whsec_{person}")), "test", NOW).await.unwrap() },
        );
    }
    let connected = people.join_all().await;
    assert!(connected.iter().all(|one| *one == connected[0]), "{connected:?}");
    let directory = stores[0].endpoint_directory().await.unwrap();
    assert_eq!((directory.len(), directory[0].secrets.len()), (1, 6));
    let told = stores[1].pending_decisions(100).await.unwrap();
    assert_eq!(told.iter().map(|one| one.seq).collect::<Vec<_>>(), [1], "nothing changed after the first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keys_are_rotated_and_vendors_forgotten_while_others_write() {
    let place = PostgresPlace::new();
    let (older, newer) = (MasterKeys::from_bytes(&[[9; 32], [7; 32]]), MasterKeys::from_bytes(&[[7; 32], [9; 32]]));
    let stores = [place.open_with(older.clone()).await.unwrap(), place.open_with(older).await.unwrap()];
    let mut people = JoinSet::new();
    for person in 0..4 {
        let (store, newer) = (Arc::clone(&stores[person % stores.len()]), newer.clone());
        people.spawn(async move {
            for round in 0..6 {
                let slug = format!("v{}", (person + round) % 3);
                // Whoever comes while the vendor is being forgotten hears that there is none.
                match store.connect(stripe(&slug, &format!("whsec_{person}")), "test", NOW).await {
                    Ok(connected) if person == 0 => match store.forget_vendor(connected.vendor, "test", NOW).await {
                        Ok(()) | Err(ControlError::NotFound(_)) => {}
                        Err(error) => panic!("{error}"),
                    },
                    Ok(_) | Err(ControlError::NotFound(_)) => {}
                    Err(error) => panic!("{error}"),
                }
                if person == 1 {
                    store.rotate_master_key(newer.clone(), "test", NOW).await.unwrap();
                }
            }
        });
    }
    people.join_all().await;
    stores[0].rotate_master_key(newer, "test", NOW).await.unwrap();
    let mut by_vendor: BTreeMap<VendorId, Vec<u64>> = BTreeMap::new();
    for one in stores[0].pending_decisions(10_000).await.unwrap() {
        by_vendor.entry(one.vendor).or_default().push(one.seq);
    }
    assert!(!by_vendor.is_empty());
    for (vendor, numbers) in by_vendor {
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "vendor {vendor}");
    }
    let only_newest = place.open_with(MasterKeys::from_bytes(&[[9; 32]])).await.unwrap();
    only_newest.endpoint_directory().await.unwrap();
}

#[tokio::test]
async fn a_process_hears_what_another_one_changed() {
    let place = PostgresPlace::new();
    let (here, there) = (place.open().await, place.open().await);
    let mut changed = here.changed();
    here.decisions_pending().await; // after a start
    there.connect(stripe("acme", "whsec_1"), "test", NOW).await.unwrap();
    tokio::time::timeout(LONG, changed.changed()).await.expect("within seconds").unwrap();
    tokio::time::timeout(LONG, here.decisions_pending()).await.expect("within seconds");
    // What it did itself it hears at once, and not again when it looks.
    here.connect(stripe("acme", "whsec_2"), "test", NOW).await.unwrap();
    assert!(changed.has_changed().unwrap());
    assert_eq!(*changed.borrow_and_update(), 2);
    there.connect(stripe("acme", "whsec_3"), "test", NOW).await.unwrap();
    tokio::time::timeout(LONG, changed.changed()).await.expect("within seconds").unwrap();
    assert_eq!(*changed.borrow_and_update(), 3);
}

#[tokio::test]
async fn one_process_relays_until_its_lease_ends() {
    let place = PostgresPlace::new();
    let (first, second) = (place.open().await, place.open().await);
    let acme = vendor(&*first, "acme").await;
    decide(&*first, acme, json!([affiliate("a"), affiliate("b")]), NOW).await.unwrap();
    let taken = first.pending_decisions(10).await.unwrap();
    assert_eq!(taken.len(), 2);
    assert!(second.pending_decisions(10).await.unwrap().is_empty(), "the other one relays");
    assert_eq!(first.pending_decisions(10).await.unwrap(), taken, "asking again keeps the lease");
    assert_eq!(second.pending_count(acme).await.unwrap(), 2, "they are counted all the same");

    place.batch("update relay_lease set held_until = 0");
    assert_eq!(second.pending_decisions(10).await.unwrap(), taken);
    assert!(first.pending_decisions(10).await.unwrap().is_empty());
    // The one that was overtaken has appended them too, and says so late.
    second.mark_sent(&[taken[0].id]).await.unwrap();
    first.mark_sent(&[taken[0].id, taken[1].id]).await.unwrap();
    assert!(second.pending_decisions(10).await.unwrap().is_empty());
}

/// Two relays, each of which loses its lease again and again in the middle of its work. The log may get a number twice,
/// but never one before the one below it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_log_never_gets_a_number_before_the_one_below_it() {
    const DECISIONS: u64 = 60;
    let place = PostgresPlace::new();
    let stores = [place.open().await, place.open().await];
    let vendors = [vendor(&*stores[0], "acme").await, vendor(&*stores[0], "globex").await];
    let log: Arc<Mutex<Vec<(VendorId, u64)>>> = Arc::default();
    let mut relays = JoinSet::new();
    for store in &stores {
        let (store, log) = (Arc::clone(store), Arc::clone(&log));
        relays.spawn(async move {
            loop {
                for one in store.pending_decisions(7).await.unwrap() {
                    log.lock().unwrap().push((one.vendor, one.seq));
                    tokio::task::yield_now().await;
                    store.mark_sent(&[one.id]).await.unwrap();
                }
                let mut left = 0;
                for vendor in vendors {
                    left += store.pending_count(vendor).await.unwrap();
                }
                let newest = log.lock().unwrap().iter().filter(|(_, seq)| *seq == DECISIONS).count();
                if left == 0 && newest >= vendors.len() {
                    return;
                }
            }
        });
    }
    for number in 0..DECISIONS {
        for (store, vendor) in stores.iter().zip(vendors) {
            decide(&**store, vendor, json!([affiliate(&format!("a{number}"))]), NOW).await.unwrap();
        }
        place.batch("update relay_lease set held_until = 0");
    }
    while !relays.is_empty() {
        place.batch("update relay_lease set held_until = 0");
        tokio::select! {
            done = relays.join_next() => done.unwrap().unwrap(),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    }
    for vendor in vendors {
        let mut newest = 0;
        for (_, seq) in log.lock().unwrap().iter().filter(|(of, _)| *of == vendor) {
            assert!(*seq <= newest + 1, "{seq} came after {newest}");
            newest = newest.max(*seq);
        }
        assert_eq!(newest, DECISIONS);
    }
}

#[tokio::test]
async fn a_pool_or_schema_that_the_store_cannot_work_on_is_refused_with_words() {
    let place = PostgresPlace::new();
    let open = async |pool| PostgresControlStore::open(pool, keys(), system_random()).await.err().unwrap().to_string();
    let words = open(place.pool()).await;
    let needed = POSTGRES_MIGRATIONS.len();
    let said = format!("has version 0, this binary needs {needed}: run `affilitrack migrate` first");
    assert!(words.contains(&said), "{words}");
    place.open().await;
    let blind = PostgresSettings { all_tenants: false, ..place.settings() };
    let words = open(may_block(|| PostgresPool::connect(blind)).unwrap()).await;
    assert!(words.contains("set all_tenants for its pool"), "{words}");
}

/// A role that may do everything with the rows that it sees, and is not the owner of the tables.
struct Stranger<'a> {
    place: &'a PostgresPlace,
    role: String,
}

impl Stranger<'_> {
    fn new(place: &PostgresPlace) -> Stranger<'_> {
        let schema = place.settings().schema;
        let role = format!("{schema}_stranger");
        place.batch(&format!(
            "create role {role} nologin; grant {role} to current_user;
             grant usage on schema {schema} to {role};
             grant select, insert, update, delete on all tables in schema {schema} to {role}"
        ));
        Stranger { place, role }
    }
}

impl Drop for Stranger<'_> {
    fn drop(&mut self) {
        self.place.batch(&format!("drop owned by {0}; drop role {0}", self.role));
    }
}

const TENANT_TABLES: &str = "select table_name::text from information_schema.columns
     where table_schema = current_schema() and column_name = 'vendor' order by 1";

#[tokio::test]
async fn an_unprivileged_role_sees_no_foreign_row() {
    let place = PostgresPlace::new();
    let store = place.open().await;
    let mut vendors = Vec::new();
    for slug in ["acme", "globex"] {
        let with_key = ConnectRequest { key: Some(SecretText::new("rk_test_1")), ..stripe(slug, "whsec_1") };
        let vendor = store.connect(with_key, "test", NOW).await.unwrap().vendor;
        let everything = json!([
            {"decide":"affiliate","key":"a","email":"a@example.com"}, {"decide":"map","code":"C","coupon_id":"c","affiliate":"a"},
            {"decide":"rule","scope":"vendor","percent":"1"}, {"decide":"policy","hold_days":1},
            {"decide":"review","mode":"live","purchase":"inv:1","verdict":"hold","reason":"r"},
            {"decide":"adjust","mode":"live","affiliate":"a","currency":"usd","commission_minor":1,"reason":"r"},
            {"decide":"campaign","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z","expected_percent":500},
        ]);
        decide(&*store, vendor, everything, NOW).await.unwrap();
        store.create_api_key(vendor, Mode::Live, "x", "test", NOW).await.unwrap();
        store.put_failures(vendor, &format!("endpoint-of-{slug}"), "writer", "[]", NOW).await.unwrap();
        store.enqueue_mail(mail(slug, Some(vendor)), NOW).await.unwrap();
        let scope = store.admin_scope(&LocalAdmin::for_local_socket(), slug, Mode::Live).await.unwrap().unwrap();
        store.label_alert(&scope, 1, AlertLabel::Fraud, "test", NOW).await.unwrap();
        let owner = session_of(&*store, &format!("{slug}@example.com")).await.person().unwrap();
        let guest = portal_session_of(&*store, slug, "a").await;
        store.set_payout_address(&guest, "somewhere", NOW).await.unwrap();
        switched_off_by_link(&*store, vendor, &guest, "a@example.com").await;
        store.note_broken(vendor, "endpoint", NOW, Vec::new(), NOW).await.unwrap();
        connected_with_key(&*store, slug).await;
        store.add_member(vendor, owner, Role::Owner, "test", NOW).await.unwrap();
        vendors.push(vendor);
    }
    store.create_login_token(NOW).await.unwrap();
    let tables = place.texts(TENANT_TABLES);
    assert_eq!(tables.len(), 31, "{tables:?}");
    let stranger = Stranger::new(&place);
    let (acme, globex) = (vendors[0], vendors[1]);
    let blind = PostgresSettings { pool_size: 1, all_tenants: false, ..place.settings() };
    let (role, tables) = (&stranger.role, &tables);
    may_block(|| {
        let pool = PostgresPool::connect(blind)?;
        pool.run(|connection| connection.batch(&format!("set role {role}")))?;
        let count = |vendor: Option<VendorId>, sql: &str| {
            let counted = |connection: &mut crate::postgres::PostgresConnection| {
                Ok::<i64, PostgresError>(connection.query_one(sql, &[])?.get(0))
            };
            match vendor {
                Some(vendor) => pool.vendor_snapshot(vendor, counted),
                None => pool.snapshot(counted),
            }
        };
        let wiring = ["vendors", "login_tokens", "people", "person_sessions", "person_identities", "session_cookies"];
        for table in tables.iter().map(String::as_str).chain(wiring) {
            assert_eq!(count(None, &format!("select count(*) from {table}"))?, 0, "{table} without a tenant");
        }
        assert_eq!(count(Some(acme), "select count(*) from vendors")?, 1);
        assert_eq!(count(Some(acme), "select count(*) from login_tokens")?, 0);
        for table in tables {
            let own = count(Some(acme), &format!("select count(*) from {table} where vendor = {acme}"))?;
            let seen = count(Some(acme), &format!("select count(*) from {table}"))?;
            assert!(own > 0 && own == seen, "{table}: {own} own rows, {seen} seen");
            let change = format!("update {table} set vendor = vendor where vendor = {globex}");
            assert_eq!(pool.vendor_transaction(acme, |connection| connection.execute(&change, &[]))?, 0, "{table}");
        }
        let foreign = format!("insert into affiliates (vendor, key, name, created_at) values ({globex}, 'x', 'x', 0)");
        let refused = pool.vendor_transaction(acme, |connection| connection.execute(&foreign, &[])).unwrap_err();
        assert!(refused.to_string().contains("violates row-level security policy"), "{refused}");
        Ok::<(), PostgresError>(())
    })
    .unwrap();
}

#[tokio::test]
async fn a_read_for_a_tenant_is_held_to_it_even_when_the_statement_forgets_it() {
    let place = PostgresPlace::new();
    let store = place.open().await;
    let (acme, globex) = (vendor(&*store, "acme").await, vendor(&*store, "globex").await);
    decide(&*store, acme, json!([affiliate("a")]), NOW).await.unwrap();
    decide(&*store, globex, json!([affiliate("b"), affiliate("c")]), NOW).await.unwrap();
    let seen = async |reach| {
        let all = |database: &dyn database::Database| {
            Ok(database.query_one("select count(*) from affiliates", &[])?.get::<i64>(0)?)
        };
        store.backend.read(reach, all).await.unwrap()
    };
    assert_eq!((seen(Reach::Tenant(acme)).await, seen(Reach::Wiring).await), (1, 3));
}

#[tokio::test]
async fn every_table_is_under_row_level_security() {
    let place = PostgresPlace::new();
    place.open().await;
    let free = place.texts(
        "select relname::text from pg_class where relnamespace = current_schema()::regnamespace and relkind = 'r'
           and not (relrowsecurity and relforcerowsecurity) order by 1",
    );
    assert_eq!(free, ["changes", "relay_lease", "schema_migrations"], "a new table needs a policy");
}

/// One set of statements needs one set of tables.
#[tokio::test]
async fn both_databases_have_the_same_tables() {
    let place = PostgresPlace::new();
    place.open().await;
    let there = place.texts(
        "select table_name || '.' || column_name || ' ' ||
           case data_type when 'bigint' then 'INTEGER' when 'text' then 'TEXT' when 'bytea' then 'BLOB' else data_type end ||
           case is_nullable when 'NO' then ' not null' else '' end
         from information_schema.columns where table_schema = current_schema()
           and table_name not in ('changes', 'relay_lease', 'schema_migrations')",
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.db");
    drop(SqliteControlStore::open(&path, keys(), system_random()).unwrap());
    let file = rusqlite::Connection::open(&path).unwrap();
    let mut statement = file
        .prepare(
            "select tables.name || '.' || columns.name || ' ' || columns.type ||
               case when columns.\"notnull\" or columns.pk then ' not null' else '' end
             from sqlite_master as tables join pragma_table_info(tables.name) as columns
             where tables.type = 'table' and tables.name not like 'sqlite_%' and tables.name <> 'schema_version'",
        )
        .unwrap();
    let mut here: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let mut there = there;
    here.sort();
    there.sort();
    assert!(here.len() > 90, "{}", here.len());
    assert_eq!(here, there);
}

#[tokio::test]
async fn a_statement_that_fails_is_named() {
    let place = PostgresPlace::new();
    let store = place.open().await;
    let acme = vendor(&*store, "acme").await;
    migrate_away(&place);
    let words = store.api_keys(&scope(&*store, "acme").await).await.unwrap_err().to_string();
    assert!(words.contains("`select id, name, mode, created_at"), "{words}");
    assert!(words.contains("\"api_keys\" does not exist (42P01)"), "{words}");
    let words = store.revoke_api_key(acme, u64::MAX, "test", NOW).await.unwrap_err().to_string();
    assert!(words.contains("value 2 is 18446744073709551615"), "{words}");
}

fn migrate_away(place: &PostgresPlace) {
    place.batch("alter table api_keys rename to gone");
    let pool = place.pool();
    may_block(|| migrate(&pool, &POSTGRES_MIGRATIONS)).unwrap();
}
