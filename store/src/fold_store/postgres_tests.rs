//! What only the Postgres fold store does: tenants kept apart by the database, several processes, limits.

use super::conformance::{line, purchase_row};
use super::postgres_store::MIGRATIONS;
use super::*;
use crate::postgres::test_server::TestSchema;
use crate::postgres::{PostgresConnection, PostgresError, PostgresPool, PostgresSettings, migrate};
use ::postgres::{Client, NoTls};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

const OWN: VendorId = VendorId(11);
const FOREIGN: VendorId = VendorId(12);

fn scope(vendor: VendorId) -> Scope {
    Scope { vendor, connection: ConnectionId(vendor.0), mode: Mode::Live }
}

/// A commit that leaves rows of a vendor in every table, but the outbox.
fn rows_of(vendor: VendorId, offset: u64) -> Commit {
    let id = StoryId(vendor.0);
    let story = Story::new(id, scope(vendor), Provider::Stripe);
    let name = |text: &str| format!("{text}:{vendor}");
    let answer = Answer {
        request: name("GET /answered"),
        refused: None,
        asked_at: Timestamp(1),
        discounts: Vec::new(),
        first_sale: None,
        first_paid: None,
    };
    Commit {
        stories: vec![(id, Some(Arc::new(story)))],
        aliases: vec![(scope(vendor), Alias(name("inv")), id)],
        refs: vec![(vendor, name("code"), id, true)],
        catalogue: vec![(scope(vendor), name("promo"), CatalogueEntry::default())],
        answers: vec![(scope(vendor), answer)],
        decisions: vec![(vendor, 1, offset, Timestamp(1), Decision::DropVendor)],
        records: vec![RecordRow {
            offset,
            vendor,
            connection: ConnectionId(vendor.0),
            mode: Some(Mode::Live),
            event_id: name("evt"),
            event_type: "invoice.paid".to_owned(),
            is_backfill: false,
            at: Timestamp(1),
            outcome: Outcome::Refused("bad".to_owned()),
            story: Some(id),
        }],
        questions: vec![(scope(vendor), Provider::Stripe, Question { request: name("GET /open"), about: "a code" })],
        purchases: vec![(PurchaseId(vendor.0), id)],
        ..Commit::default()
    }
}

fn at(offset: u64) -> Position {
    Position { next_offset: offset, ..Position::start() }
}

/// A store with rows of two vendors.
fn filled(schema: &TestSchema) -> PostgresFoldStore {
    let store = PostgresFoldStore::open(schema.pool()).unwrap();
    store.commit(1, &at(0), &at(1), &rows_of(OWN, 0)).unwrap();
    store.commit(1, &at(1), &at(2), &rows_of(FOREIGN, 1)).unwrap();
    let item = "insert into outbox (part, off, n, body) values (1, 0, 0, '');
                insert into sent_ranges values (1, 0, 1, 0, 0, 0, '0', '0', '0', '0', '0')";
    store.pool().run(|connection| connection.batch(item)).unwrap();
    store
}

/// A role that may read everything and owns nothing. Dropped with what was granted to it.
struct Reader<'a> {
    pool: &'a PostgresPool,
    name: String,
}

impl Reader<'_> {
    fn new(pool: &PostgresPool) -> Reader<'_> {
        let (schema, name) = (pool.schema(), format!("{}_reader", pool.schema()));
        let sql = format!(
            "create role {name} login password 'for one test'; grant usage on schema {schema} to {name};
             grant select, insert, update, delete on all tables in schema {schema} to {name}"
        );
        pool.run(|connection| connection.batch(&sql)).unwrap();
        Reader { pool, name }
    }

    /// A raw connection, without anything that the pool sets.
    fn connect(&self) -> Client {
        let mut config: ::postgres::Config = crate::postgres::test_server::url().parse().unwrap();
        let mut client = config.user(&self.name).password("for one test").connect(NoTls).unwrap();
        client.batch_execute(&format!("set search_path = {}", self.pool.schema())).unwrap();
        client
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let (schema, name) = (self.pool.schema(), &self.name);
        let sql = format!(
            "revoke all on all tables in schema {schema} from {name}; revoke all on schema {schema} from {name};
             drop role {name}"
        );
        let dropped = self.pool.run(|connection| connection.batch(&sql));
        assert!(dropped.is_ok() || std::thread::panicking(), "role {name} is left: {dropped:?}");
    }
}

const WITH_VENDOR: [&str; 6] = ["stories", "story_refs", "decisions", "records", "outcome_counts", "questions"];
const WITHOUT_VENDOR: [&str; 7] = ["aliases", "purchases", "catalogue", "answers", "activity", "outbox", "sent_ranges"];

fn rows(client: &mut Client, table: &str, filter: &str) -> i64 {
    client.query_one(&format!("select count(*) from {table} where {filter}"), &[]).unwrap().get(0)
}

#[test]
fn an_unprivileged_role_sees_no_foreign_row() {
    let schema = TestSchema::new();
    let store = filled(&schema);
    let reader = Reader::new(store.pool());
    let mut client = reader.connect();
    for table in WITH_VENDOR.iter().chain(&WITHOUT_VENDOR) {
        assert_eq!(rows(&mut client, table, "true"), 0, "{table}: nobody is named, so nothing is seen");
    }
    client.batch_execute(&format!("set affilitrack.vendor = '{OWN}'")).unwrap();
    for table in WITH_VENDOR {
        assert_eq!(rows(&mut client, table, &format!("vendor = {OWN}")), 1, "{table}");
        assert_eq!(rows(&mut client, table, "true"), 1, "{table}: and only those");
    }
    for table in WITHOUT_VENDOR {
        assert_eq!(rows(&mut client, table, "true"), 0, "{table}");
    }
    let written = client.batch_execute(&format!("insert into story_refs values ({FOREIGN}, 'x', 1)")).unwrap_err();
    assert!(written.as_db_error().unwrap().message().contains("row-level security"), "{written:?}");
    assert_eq!(client.execute(&format!("delete from stories where vendor = {FOREIGN}"), &[]).unwrap(), 0);
    client.batch_execute("set affilitrack.\"all\" = 'on'").unwrap();
    for table in WITH_VENDOR {
        assert_eq!(rows(&mut client, table, "true"), 2, "{table}: the test would notice rows");
    }
    drop(client);
}

/// A new table is either protected or named here as one that holds nothing of a tenant.
#[test]
fn every_table_of_tenants_is_protected_also_from_its_owner() {
    let schema = TestSchema::new();
    let store = filled(&schema);
    let sql = "select relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where n.nspname = current_schema() and relkind = 'r' and not (relrowsecurity and relforcerowsecurity)
               order by relname";
    let open: Vec<String> = store
        .pool()
        .run(|connection| {
            let rows = connection.query(sql, &[])?;
            Ok::<_, PostgresError>(rows.iter().map(|row| row.get::<_, String>(0)).collect())
        })
        .unwrap();
    assert_eq!(open, ["held", "positions", "schema_migrations", "visible"]);
    for table in WITH_VENDOR.iter().chain(&WITHOUT_VENDOR) {
        let sql = format!("select count(*) from {table}");
        let count = |connection: &mut PostgresConnection| -> Result<i64, PostgresError> {
            Ok(connection.query_one(&sql, &[])?.get(0))
        };
        assert!(store.pool().run(count).unwrap() > 0, "{table} has rows");
    }
}

#[test]
fn reads_that_name_a_vendor_need_no_right_to_see_all() {
    let schema = TestSchema::new();
    drop(filled(&schema));
    let settings = PostgresSettings { all_tenants: false, ..schema.settings() };
    let store = PostgresFoldStore::attach(PostgresPool::connect(settings).unwrap()).unwrap();
    assert_eq!(store.stories_with_ref(OWN, None, StoryId(0), 10).unwrap(), [StoryId(OWN.0)]);
    assert_eq!(store.stories_with_ref(OWN, Some("code:11"), StoryId(0), 10).unwrap(), [StoryId(OWN.0)]);
    assert_eq!(store.decisions(&[OWN]).unwrap()[0].len(), 1);
    assert_eq!(store.open_question_count(OWN).unwrap(), 1);
    assert_eq!(store.records_of_event(OWN, "evt:11").unwrap().len(), 1);
    assert_eq!(store.open_records(OWN, "refused", None, 10).unwrap().len(), 1);
    assert_eq!(store.outcome_counts(OWN, Mode::Live).unwrap().len(), 1);
    assert_eq!(store.stories(&[StoryId(OWN.0)]).unwrap(), [None], "the others name nobody and see nothing");
    assert!(store.last_sequences().unwrap().is_empty());
}

#[test]
fn attaching_makes_nothing_and_says_what_is_missing() {
    let schema = TestSchema::new();
    let words = PostgresFoldStore::attach(schema.pool()).map(|_| ()).unwrap_err().to_string();
    assert!(words.contains("run `affilitrack migrate` first"), "{words}");
    drop(PostgresFoldStore::open(schema.pool()).unwrap());
    PostgresFoldStore::attach(schema.pool()).unwrap();
}

/// A processor that is stopped inside its transaction holds the position; the server takes it away from it.
#[test]
fn a_processor_stopped_inside_a_commit_does_not_block_the_next() {
    let schema = TestSchema::new();
    let store = filled(&schema);
    let statement_timeout = Duration::from_secs(2);
    let stopped = PostgresPool::connect(PostgresSettings { statement_timeout, ..schema.settings() }).unwrap();
    let (holding, held) = sync_channel(1);
    let (wake, woken) = sync_channel::<()>(1);
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            stopped.transaction(move |connection| {
                connection.execute("update positions set next_off = 99 where part = 1", &[])?;
                holding.send(()).unwrap();
                woken.recv().unwrap();
                connection.execute("delete from stories", &[])
            })
        });
        held.recv().unwrap();
        let taken_over = store.commit(1, &at(2), &at(3), &Commit::default());
        wake.send(()).unwrap();
        assert!(sleeper.join().unwrap().is_err(), "its transaction is over");
        taken_over.unwrap();
    });
    assert_eq!(store.position(1).unwrap(), at(3));
    assert_eq!(store.stories(&[StoryId(OWN.0)]).unwrap().iter().flatten().count(), 1);
}

/// The sink and the fold work on different rows.
#[test]
fn delivering_does_not_wait_for_a_commit() {
    let schema = TestSchema::new();
    let store = filled(&schema);
    let cut = OutboxBatch {
        ranges: vec![OutboxRange { partition: 1, first: None, last: None, visible: 2 }],
        ..OutboxBatch::default()
    };
    let statement_timeout = Duration::from_secs(20);
    let sink = PostgresPool::connect(PostgresSettings { statement_timeout, ..schema.settings() }).unwrap();
    let sink = PostgresFoldStore::attach(sink).unwrap();
    store
        .pool()
        .transaction(|connection| {
            connection.execute("select 1 from positions where part = 1 for update", &[])?;
            sink.delivered(&cut, Timestamp(5))
        })
        .unwrap();
    assert_eq!(store.visible(1).unwrap(), Visible { next_offset: 2, at: Timestamp(5) });
}

/// A batch asks for thousands of names at once. That must not read the table as a whole, or every batch would cost more
/// the longer the store is in use.
#[test]
fn many_names_are_found_through_the_index() {
    let schema = TestSchema::new();
    let store = filled(&schema);
    let asked: Vec<i64> = vec![1; 4_000];
    let names: Vec<String> = (0..4_000).map(|number| format!("inv:{number}")).collect();
    let fill = "insert into aliases select 1, 1, 'inv:' || number, number from generate_series(1, 50000) number";
    let plan: Vec<String> = store
        .pool()
        .run(|connection| {
            connection.batch(fill)?;
            connection.batch("analyze aliases")?;
            let rows =
                connection.query(&format!("explain {}", postgres_read::STORIES_OF), &[&asked, &asked, &names])?;
            Ok::<_, PostgresError>(rows.iter().map(|row| row.get(0)).collect())
        })
        .unwrap();
    assert!(plan.iter().any(|line| line.contains("rows=4000")), "planned for as many as are asked: {plan:#?}");
    assert!(plan.iter().any(|line| line.contains("using aliases_pkey")), "{plan:#?}");
    assert!(!plan.iter().any(|line| line.contains("Seq Scan")), "{plan:#?}");
}

/// An upgrade under load, and its rollback: the release before writes when this one's step comes, then both write side by
/// side, then the one before alone. What waits for the warehouse is what one release would have written.
#[test]
fn the_newest_step_comes_under_a_writer_of_the_release_before() {
    const RECORDS: u64 = 120;
    let filled = |offset: u64| Commit {
        lines: vec![line(offset, 0), line(offset, 1)],
        rows: vec![purchase_row(offset)],
        ..Commit::default()
    };
    let write = |store: &PostgresFoldStore, offset: u64| {
        store.commit(1, &store.position(1).unwrap(), &at(offset + 1), &filled(offset)).unwrap();
    };
    let alone = TestSchema::new();
    let undisturbed = PostgresFoldStore::open(alone.pool()).unwrap();
    (0..RECORDS).for_each(|offset| write(&undisturbed, offset));

    let before = &MIGRATIONS[..MIGRATIONS.len() - 1];
    let schema = TestSchema::new();
    migrate(&schema.pool(), before).unwrap();
    let older = PostgresFoldStore::attach_knowing(schema.pool(), before).unwrap();
    assert!(PostgresFoldStore::attach(schema.pool()).is_err(), "this release waits for its step");
    let (reached, wait) = sync_channel(1);
    std::thread::scope(|scope| {
        let pool = schema.pool();
        let upgrade = scope.spawn(move || {
            wait.recv().unwrap();
            migrate(&pool, MIGRATIONS).unwrap();
            PostgresFoldStore::attach(pool).unwrap()
        });
        for offset in 0..40 {
            if offset == 10 {
                reached.send(()).unwrap();
            }
            write(&older, offset);
        }
        let newer = upgrade.join().unwrap();
        for offset in 40..80 {
            write(if offset % 2 == 0 { &newer } else { &older }, offset);
        }
        newer.hold(1, Some(Visible { next_offset: 3, at: Timestamp(1) })).unwrap();
    });
    let rolled_back = PostgresFoldStore::attach_knowing(schema.pool(), before).unwrap();
    (80..RECORDS).for_each(|offset| write(&rolled_back, offset));
    let outbox = |store: &PostgresFoldStore| store.outbox(&BTreeSet::from([1]), 10_000).unwrap();
    assert_eq!(outbox(&undisturbed).items.len() as u64, 3 * RECORDS);
    assert_eq!(outbox(&rolled_back), outbox(&undisturbed));
    assert_eq!(rolled_back.position(1).unwrap(), undisturbed.position(1).unwrap());
}
