//! What every backend of the control store must do: vendors, connections, access, secrets.

use super::test_places::{Place, is_in_a_file};
use super::*;
use crate::secrets::system_random;
use domain::decision::Decision;
use domain::ids::Provider;
use serde_json::json;
use std::sync::Arc;

pub(super) const NOW: Timestamp = Timestamp(1_790_000_000_000);
const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

pub(super) fn keys() -> MasterKeys {
    MasterKeys::from_bytes(&[[7; 32]])
}

/// Runs a test on a fresh store of every backend.
pub(super) async fn on_every_backend(test: impl AsyncFn(Arc<dyn ControlStore>)) {
    for place in Place::of_every_backend() {
        println!("backend {}", place.name());
        test(place.open(keys()).await.unwrap()).await;
    }
}

pub(super) async fn vendor(store: &dyn ControlStore, slug: &str) -> VendorId {
    store.ensure_vendor(NewVendor::named(slug), "test", NOW).await.unwrap().id
}

pub(super) async fn scope(store: &dyn ControlStore, slug: &str) -> TenantScope {
    store.admin_scope(&LocalAdmin::for_local_socket(), slug, Mode::Live).await.unwrap().unwrap()
}

pub(super) fn stripe(vendor: &str, secret: &str) -> ConnectRequest {
    ConnectRequest {
        vendor: vendor.to_owned(),
        provider: Provider::Stripe,
        secret: SecretText::new(secret),
        key: None,
        api_base: None,
        account: None,
        complete_history: false,
        mode_hint: None,
    }
}

fn secrets_of(entry: &EndpointEntry) -> Vec<&str> {
    entry.secrets.iter().map(SecretText::expose).collect()
}

#[tokio::test]
async fn a_vendor_is_made_once() {
    on_every_backend(async |store| {
        let new = NewVendor { name: "Acme".into(), time_zone: "Europe/Berlin".into(), ..NewVendor::named("acme") };
        let first = store.ensure_vendor(new, "test", NOW).await.unwrap();
        let again = store.ensure_vendor(NewVendor::named("acme"), "test", Timestamp(NOW.0 + 1)).await.unwrap();
        assert_eq!(first, again);
        assert_eq!(store.vendor_by_slug("acme").await.unwrap(), Some(first.clone()));
        assert_eq!(store.vendor_by_slug("other").await.unwrap(), None);
        assert_eq!(store.vendors().await.unwrap(), [first]);
        for slug in ["", "Acme", "a b", "-a", "../x", &"a".repeat(64)] {
            let words = store.ensure_vendor(NewVendor::named(slug), "test", NOW).await.unwrap_err().to_string();
            assert!(words.starts_with("vendor: "), "{words}");
        }
        let nowhere = NewVendor { time_zone: "Mars/Base".into(), ..NewVendor::named("x") };
        let words = store.ensure_vendor(nowhere, "test", NOW).await.unwrap_err().to_string();
        assert!(words.starts_with("time_zone: `Mars/Base` is not a time zone"), "{words}");
    })
    .await;
}

#[tokio::test]
async fn what_was_refused_is_kept_by_writer_for_a_week() {
    on_every_backend(async |store| {
        let (acme, globex) = (vendor(&*store, "acme").await, vendor(&*store, "globex").await);
        let day = |days: i64| Timestamp(NOW.0 + days * 86_400_000);
        store.put_failures(acme, "e1", "one", "[1]", day(0)).await.unwrap();
        store.put_failures(acme, "e1", "two", "[2]", day(1)).await.unwrap();
        store.put_failures(acme, "e1", "one", "[3]", day(2)).await.unwrap();
        store.put_failures(globex, "e2", "one", "[4]", day(2)).await.unwrap();
        let own = scope(&*store, "acme").await;
        let pair = |writer: &str, list: &str| (writer.to_owned(), list.to_owned());
        assert_eq!(store.failures(&own, "e1").await.unwrap(), [pair("one", "[3]"), pair("two", "[2]")]);
        assert_eq!(store.failures(&own, "e2").await.unwrap(), [], "another vendor's");
        store.put_failures(acme, "e1", "three", "[5]", day(9)).await.unwrap();
        assert_eq!(store.failures(&own, "e1").await.unwrap(), [pair("three", "[5]"), pair("one", "[3]")]);
        let long = "x".repeat(300_000);
        let words = store.put_failures(acme, "e1", "one", &long, NOW).await.unwrap_err().to_string();
        assert!(words.starts_with("list: must have at most"), "{words}");
        store.forget_vendor(acme, "test", NOW).await.unwrap();
        assert!(store.failures(&own, "e1").await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_same_account_again_joins_its_connection() {
    on_every_backend(async |store| {
        let mut changed = store.changed();
        let first = store.connect(stripe("acme", " whsec_one\n"), "test", NOW).await.unwrap();
        assert!(changed.has_changed().unwrap());
        changed.mark_unchanged();
        assert!(first.endpoint_id.len() >= 24, "{}", first.endpoint_id);
        let second = store.connect(stripe("acme", "whsec_two"), "test", NOW).await.unwrap();
        assert_eq!(first, second);
        assert!(changed.has_changed().unwrap());
        store.connect(stripe("acme", "whsec_two"), "test", NOW).await.unwrap();
        let directory = store.endpoint_directory().await.unwrap();
        assert_eq!(directory.len(), 1);
        assert_eq!(secrets_of(&directory[0]), ["whsec_one", "whsec_two"]);
        assert_eq!((directory[0].provider, directory[0].mode_hint), (Provider::Stripe, None));

        // Another account, another provider, another vendor: other connections.
        let other_account = ConnectRequest { account: Some("acct_2".into()), ..stripe("acme", "whsec_3") };
        let other_provider = ConnectRequest { provider: Provider::Paddle, ..stripe("acme", "pdl_4") };
        for request in [other_account, other_provider, stripe("globex", "whsec_5")] {
            assert_ne!(store.connect(request, "test", NOW).await.unwrap().connection, first.connection);
        }
        // Another mode of the same account: the same connection, another endpoint.
        let live = ConnectRequest { mode_hint: Some(Mode::Live), ..stripe("acme", "whsec_6") };
        let live = store.connect(live, "test", NOW).await.unwrap();
        assert_eq!(live.connection, first.connection);
        assert_ne!(live.endpoint_id, first.endpoint_id);
    })
    .await;
}

#[tokio::test]
async fn bad_connect_requests_are_refused_with_the_member() {
    on_every_backend(async |store| {
        let with_key = |key: &str| ConnectRequest { key: Some(SecretText::new(key)), ..stripe("acme", "whsec_1") };
        for (request, expected) in [
            (stripe("acme", "  \n"), "secret: is blank"),
            (stripe("acme", "whsec one"), "secret: has a space in it"),
            (stripe("acme", &"x".repeat(501)), "secret: has a space in it or more than 500"),
            (stripe("A!", "whsec_1"), "vendor: `A!`"),
            (with_key("rk test"), "key: has a space in it"),
            (
                ConnectRequest { mode_hint: Some(Mode::Live), ..with_key("rk_test_1") },
                "key: this is a test key, but the mode is live",
            ),
            (ConnectRequest { api_base: Some("ftp://x".into()), ..with_key("rk_test_1") }, "api_base: `ftp://x`"),
            (
                ConnectRequest { api_base: Some("http://127.0.0.1".into()), ..stripe("acme", "whsec_1") },
                "api_base: is of no use without `key`",
            ),
        ] {
            let words = store.connect(request, "test", NOW).await.unwrap_err().to_string();
            assert!(words.starts_with(expected), "expected {expected}\ngot {words}");
        }
        assert!(store.vendors().await.unwrap().is_empty(), "a refused request leaves nothing");
        for number in 0..8 {
            store.connect(stripe("acme", &format!("whsec_{number}")), "test", NOW).await.unwrap();
        }
        let words = store.connect(stripe("acme", "whsec_8"), "test", NOW).await.unwrap_err().to_string();
        assert!(words.starts_with("secret: the endpoint has 8 active secrets already"), "{words}");
    })
    .await;
}

#[tokio::test]
async fn a_secret_can_be_ended_but_not_the_last_and_not_a_foreign_one() {
    on_every_backend(async |store| {
        let acme = store.connect(stripe("acme", "whsec_first_0001"), "test", NOW).await.unwrap();
        store.connect(stripe("acme", "whsec_second_0002"), "test", NOW).await.unwrap();
        let globex = store.connect(stripe("globex", "whsec_third_0003"), "test", NOW).await.unwrap();
        let shown = store.connections(&scope(&*store, "acme").await).await.unwrap();
        let secrets = &shown[0].endpoints[0].secrets;
        assert_eq!(secrets.iter().map(|secret| secret.masked.as_str()).collect::<Vec<_>>(), ["…0001", "…0002"]);
        let (first, second) = (secrets[0].id, secrets[1].id);
        assert!(matches!(store.remove_secret(globex.vendor, first, "test", NOW).await, Err(ControlError::NotFound(_))));
        store.remove_secret(acme.vendor, first, "test", NOW).await.unwrap();
        let words = store.remove_secret(acme.vendor, second, "test", NOW).await.unwrap_err().to_string();
        assert!(words.contains("the endpoint's last one"), "{words}");
        let directory = store.endpoint_directory().await.unwrap();
        assert_eq!(
            secrets_of(directory.iter().find(|entry| entry.vendor == acme.vendor).unwrap()),
            ["whsec_second_0002"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_key_is_used_for_its_own_mode_only() {
    on_every_backend(async |store| {
        let with = |key: &str, base: Option<&str>| ConnectRequest {
            key: Some(SecretText::new(key)),
            api_base: base.map(str::to_owned),
            ..stripe("acme", "whsec_1")
        };
        let connection = store.connect(stripe("acme", "whsec_1"), "test", NOW).await.unwrap().connection;
        assert!(store.lookup_credentials(connection, Mode::Test).await.unwrap().is_none());
        store.connect(with("rk_test_1", Some("http://127.0.0.1:9/")), "test", NOW).await.unwrap();
        let test = store.lookup_credentials(connection, Mode::Test).await.unwrap().unwrap();
        assert_eq!(
            (test.key.expose(), test.api_base.as_deref(), test.provider),
            ("rk_test_1", Some("http://127.0.0.1:9"), Provider::Stripe)
        );
        assert!(store.lookup_credentials(connection, Mode::Live).await.unwrap().is_none());
        store.connect(with("any_mode", None), "test", NOW).await.unwrap();
        store.connect(with("rk_test_2", None), "test", NOW).await.unwrap();
        assert_eq!(store.lookup_credentials(connection, Mode::Test).await.unwrap().unwrap().key.expose(), "rk_test_2");
        assert_eq!(store.lookup_credentials(connection, Mode::Live).await.unwrap().unwrap().key.expose(), "any_mode");
    })
    .await;
}

#[tokio::test]
async fn the_log_learns_what_changed_of_a_connection() {
    on_every_backend(async |store| {
        let opened = store.connect(stripe("acme", "whsec_1"), "test", NOW).await.unwrap();
        store.connect(stripe("acme", "whsec_2"), "test", Timestamp(NOW.0 + 1)).await.unwrap();
        let with_key = ConnectRequest { key: Some(SecretText::new("rk_test_1")), ..stripe("acme", "whsec_1") };
        store.connect(with_key, "test", Timestamp(NOW.0 + 2)).await.unwrap();
        let complete = ConnectRequest { complete_history: true, ..stripe("acme", "whsec_1") };
        store.connect(complete, "test", Timestamp(NOW.0 + 3)).await.unwrap();
        store.close_connection(opened.vendor, opened.connection, "test", Timestamp(NOW.0 + 4)).await.unwrap();
        store.close_connection(opened.vendor, opened.connection, "test", Timestamp(NOW.0 + 5)).await.unwrap();
        assert!(store.endpoint_directory().await.unwrap().is_empty());
        let reopened = store.connect(stripe("acme", "whsec_1"), "test", Timestamp(NOW.0 + 6)).await.unwrap();
        assert_eq!(reopened.connection, opened.connection);
        assert_ne!(reopened.endpoint_id, opened.endpoint_id, "an address that was given up stays given up");
        let directory = store.endpoint_directory().await.unwrap();
        assert_eq!((directory.len(), directory[0].secrets.len()), (1, 1), "the secrets of before are gone");
        assert!(store.lookup_credentials(opened.connection, Mode::Test).await.unwrap().is_none());

        let pending = store.pending_decisions(100).await.unwrap();
        let told: Vec<_> = pending
            .iter()
            .map(|pending| match &pending.decision {
                Decision::SetConnection(set) => {
                    assert_eq!((set.connection, set.provider), (opened.connection, Provider::Stripe));
                    (pending.seq, set.history_from, set.can_look_up, set.closed_at)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            told,
            [
                (1, Some(NOW), false, None),
                (2, Some(NOW), true, None),
                (3, None, true, None),
                (4, None, true, Some(Timestamp(NOW.0 + 4))),
                (5, Some(Timestamp(NOW.0 + 6)), false, None),
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn a_login_token_opens_one_session_once_and_in_time() {
    on_every_backend(async |store| {
        let token = store.create_login_token(NOW).await.unwrap();
        let session = store.open_session(token.expose(), NOW).await.unwrap().unwrap();
        assert!(store.open_session(token.expose(), NOW).await.unwrap().is_none(), "used up");
        assert!(store.open_session("guess", NOW).await.unwrap().is_none());
        let late = store.create_login_token(NOW).await.unwrap();
        assert!(store.open_session(late.expose(), Timestamp(NOW.0 + 15 * MINUTE)).await.unwrap().is_none());

        let other = store.create_login_token(NOW).await.unwrap();
        let other = store.open_session(other.expose(), NOW).await.unwrap().unwrap();
        assert_ne!(session.cookie(), other.cookie());
        assert_ne!(session.csrf(), other.csrf());
        let cookie = session.cookie().expose();
        assert_eq!(store.session(cookie, NOW).await.unwrap().unwrap().csrf(), session.csrf());
        assert!(store.session(session.csrf(), NOW).await.unwrap().is_none());
        store.close_session(&session).await.unwrap();
        assert!(store.session(cookie, NOW).await.unwrap().is_none());
        assert!(store.session(other.cookie().expose(), NOW).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_session_ends_thirty_days_after_its_last_use() {
    on_every_backend(async |store| {
        let token = store.create_login_token(NOW).await.unwrap();
        let session = store.open_session(token.expose(), NOW).await.unwrap().unwrap();
        let cookie = session.cookie().expose();
        for days in [29, 58, 87] {
            assert!(store.session(cookie, Timestamp(NOW.0 + days * DAY)).await.unwrap().is_some(), "day {days}");
        }
        assert!(store.session(cookie, Timestamp(NOW.0 + 117 * DAY)).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_session_opens_every_vendor_and_a_key_one() {
    on_every_backend(async |store| {
        let (acme, globex) = (vendor(&*store, "acme").await, vendor(&*store, "globex").await);
        let token = store.create_login_token(NOW).await.unwrap();
        let session = store.open_session(token.expose(), NOW).await.unwrap().unwrap();
        let slugs: Vec<_> =
            store.session_vendors(&session).await.unwrap().into_iter().map(|vendor| vendor.slug).collect();
        assert_eq!(slugs, ["acme", "globex"]);
        let scope = store.scope(&session, "globex", Mode::Test).await.unwrap().unwrap();
        assert_eq!((scope.vendor(), scope.mode(), scope.affiliate()), (globex, Mode::Test, None));
        assert!(store.scope(&session, "nobody", Mode::Test).await.unwrap().is_none());

        let key = store.create_api_key(acme, Mode::Test, "corpus", "test", NOW).await.unwrap();
        assert!(key.expose().starts_with("atk_") && key.expose().len() > 40);
        let scope = store.scope_of_api_key(key.expose(), NOW).await.unwrap().unwrap();
        assert_eq!((scope.vendor(), scope.mode()), (acme, Mode::Test));
        assert!(store.scope_of_api_key("atk_guess", NOW).await.unwrap().is_none());
        let used = async || store.api_keys(&scope).await.unwrap()[0].last_used_at;
        assert_eq!(used().await, Some(NOW));
        store.scope_of_api_key(key.expose(), Timestamp(NOW.0 + MINUTE - 1)).await.unwrap();
        assert_eq!(used().await, Some(NOW), "noted at most once a minute");
        store.scope_of_api_key(key.expose(), Timestamp(NOW.0 + MINUTE)).await.unwrap();
        assert_eq!(used().await, Some(Timestamp(NOW.0 + MINUTE)));

        let id = store.api_keys(&scope).await.unwrap()[0].id;
        assert!(matches!(store.revoke_api_key(globex, id, "test", NOW).await, Err(ControlError::NotFound(_))));
        assert!(store.scope_of_api_key(key.expose(), NOW).await.unwrap().is_some());
        store.revoke_api_key(acme, id, "test", NOW).await.unwrap();
        assert!(store.scope_of_api_key(key.expose(), NOW).await.unwrap().is_none());
        assert!(matches!(
            store.create_api_key(VendorId(999), Mode::Test, "x", "test", NOW).await,
            Err(ControlError::NotFound(_))
        ));
    })
    .await;
}

#[tokio::test]
async fn a_forgotten_vendor_leaves_nothing_but_its_last_decision() {
    on_every_backend(async |store| {
        let acme = store.connect(stripe("acme", "whsec_1"), "test", NOW).await.unwrap().vendor;
        let globex = store.connect(stripe("globex", "whsec_2"), "test", NOW).await.unwrap().vendor;
        let decisions = json!([
            {"decide":"affiliate","key":"a"}, {"decide":"map","code":"C","coupon_id":"c","affiliate":"a"}, {"decide":"map","referral_key":"r","affiliate":"a"},
            {"decide":"rule","scope":"vendor","percent":"1"}, {"decide":"policy","hold_days":1},
            {"decide":"review","mode":"live","purchase":"inv:1","verdict":"hold","reason":"r"},
            {"decide":"adjust","mode":"live","affiliate":"a","currency":"usd","commission_minor":1,"reason":"r"},
            {"decide":"campaign","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z","expected_percent":500},
        ]);
        let decided = store.decide(acme, input::parse_decisions(&decisions).unwrap(), "test", NOW).await.unwrap();
        let key = store.create_api_key(acme, Mode::Live, "x", "test", NOW).await.unwrap();
        store.forget_vendor(acme, "test", NOW).await.unwrap();

        assert!(store.vendor_by_slug("acme").await.unwrap().is_none());
        assert!(store.scope_of_api_key(key.expose(), NOW).await.unwrap().is_none());
        assert!(store.endpoint_directory().await.unwrap().iter().all(|entry| entry.vendor == globex));
        let pending = store.pending_decisions(100).await.unwrap();
        let last = pending.iter().rfind(|pending| pending.vendor == acme).unwrap();
        assert_eq!((last.seq, &last.decision), (decided.last_seq + 1, &Decision::DropVendor));
        assert!(matches!(store.forget_vendor(acme, "test", NOW).await, Err(ControlError::NotFound(_))));
        let again = store.connect(stripe("acme", "whsec_1"), "test", NOW).await.unwrap().vendor;
        assert!(again > globex, "a number is never used again");
    })
    .await;
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    for place in Place::of_every_backend() {
        println!("backend {}", place.name());
        let store = place.open(keys()).await.unwrap();
        let connected = store.connect(stripe("acme", "whsec_1"), "test", NOW).await.unwrap();
        let hash_key = store.endpoint_directory().await.unwrap()[0].hash_key.clone();
        drop(store);
        let store = place.open(keys()).await.unwrap();
        tokio::time::timeout(std::time::Duration::from_secs(5), store.decisions_pending())
            .await
            .expect("the outbox is looked at after a start");
        assert_eq!(store.connect(stripe("acme", "whsec_1"), "test", NOW).await.unwrap(), connected);
        assert!(store.endpoint_directory().await.unwrap()[0].hash_key == hash_key);
        drop(store);
        let store = place.open(MasterKeys::from_bytes(&[[8; 32]])).await.unwrap();
        let words = store.endpoint_directory().await.unwrap_err().to_string();
        assert!(words.contains("which is not known"), "{words}");
    }
}

#[tokio::test]
async fn a_new_master_key_closes_every_row_and_the_old_one_can_go() {
    for place in Place::of_every_backend() {
        println!("backend {}", place.name());
        let store = place.open(MasterKeys::from_bytes(&[[7; 32]])).await.unwrap();
        let with_key = ConnectRequest { key: Some(SecretText::new("rk_test_1")), ..stripe("acme", "whsec_1") };
        let connection = store.connect(with_key, "test", NOW).await.unwrap().connection;
        let before = store.endpoint_directory().await.unwrap();
        let both = MasterKeys::from_bytes(&[[7; 32], [9; 32]]);
        assert_eq!(
            store.rotate_master_key(both.clone(), "test", NOW).await.unwrap(),
            3,
            "a secret, a key and a hash key"
        );
        assert_eq!(store.rotate_master_key(both, "test", NOW).await.unwrap(), 0);
        drop(store);
        let store = place.open(MasterKeys::from_bytes(&[[9; 32]])).await.unwrap();
        let after = store.endpoint_directory().await.unwrap();
        assert_eq!(secrets_of(&after[0]), ["whsec_1"]);
        assert!(after[0].hash_key == before[0].hash_key, "hashes made before still compare");
        assert_eq!(store.lookup_credentials(connection, Mode::Test).await.unwrap().unwrap().key.expose(), "rk_test_1");
    }
}

#[tokio::test]
async fn no_credential_is_stored() {
    for place in Place::of_every_backend() {
        println!("backend {}", place.name());
        let store = place.open(keys()).await.unwrap();
        let (secret, key) = ("whsec_do_not_store_me", "rk_test_do_not_store_me");
        store
            .connect(ConnectRequest { key: Some(SecretText::new(key)), ..stripe("acme", secret) }, "test", NOW)
            .await
            .unwrap();
        let entry = store.endpoint_directory().await.unwrap().remove(0);
        let api_key = store.create_api_key(entry.vendor, Mode::Live, "x", "test", NOW).await.unwrap();
        let unused = store.create_login_token(NOW).await.unwrap();
        let token = store.create_login_token(NOW).await.unwrap();
        let session = store.open_session(token.expose(), NOW).await.unwrap().unwrap();
        let hidden: Vec<Vec<u8>> =
            [secret, key, api_key.expose(), unused.expose(), token.expose(), session.cookie().expose()]
                .into_iter()
                .map(|text| text.as_bytes().to_vec())
                .chain([entry.hash_key.0.to_vec()])
                .collect();
        assert!(place.holds(entry.endpoint_id.as_bytes()), "the search finds what is there");
        for (number, hidden) in hidden.iter().enumerate() {
            assert!(!place.holds(hidden), "credential {number} is stored");
        }
        assert!(!format!("{entry:?}").contains(secret));
        assert!(!format!("{session:?}").contains(session.cookie().expose()));
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.db");
    drop(SqliteControlStore::open(&path, keys(), system_random()).unwrap());
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute("insert into schema_version (version, name) values (99, 'from the future')", []).unwrap();
    drop(file);
    let words = SqliteControlStore::open(&path, keys(), system_random()).err().unwrap().to_string();
    assert!(words.contains("control.db has schema version 99") && words.contains("start the newer binary"), "{words}");
}

#[tokio::test]
async fn a_destroyed_hash_key_is_gone_from_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.db");
    let store = SqliteControlStore::open(&path, keys(), system_random()).unwrap();
    let acme = vendor(&store, "acme").await;
    let file = rusqlite::Connection::open(&path).unwrap();
    let sealed: Vec<u8> = file.query_row("select hash_key_sealed from vendors", [], |row| row.get(0)).unwrap();
    file.query_row("pragma wal_checkpoint(full)", [], |_| Ok(())).unwrap();
    drop(file);
    assert!(is_in_a_file(folder.path(), &sealed));
    store.forget_vendor(acme, "test", NOW).await.unwrap();
    assert!(!is_in_a_file(folder.path(), &sealed), "even the wrapped key is gone");
}
