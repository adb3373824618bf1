//! What every backend of the control store must do with people's decisions.

use super::conformance::*;
use super::input::{AffiliateInput, parse_decisions};
use super::*;
use domain::decision::*;
use domain::ids::{AffiliateId, CodeId};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration as Wait;

pub(super) async fn decide(
    store: &dyn ControlStore,
    vendor: VendorId,
    decisions: Value,
    now: Timestamp,
) -> ControlResult<Decided> {
    store.decide(vendor, parse_decisions(&decisions)?, "test", now).await
}

/// The decisions of a vendor that wait for the log.
async fn told(store: &dyn ControlStore, vendor: VendorId) -> Vec<Decision> {
    let pending = store.pending_decisions(10_000).await.unwrap();
    pending.into_iter().filter(|pending| pending.vendor == vendor).map(|pending| pending.decision).collect()
}

#[tokio::test]
async fn a_rehearsal_says_what_would_be_and_leaves_nothing() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        let known = json!([
            {"decide":"affiliate","key":"aff_maya","name":"Maya"},
            {"decide":"affiliate","key":"aff_leo","name":"Leo"},
            {"decide":"map","code":"MAYA20","affiliate":"aff_maya"},
        ]);
        let decided = decide(&*store, acme, known, NOW).await.unwrap();
        let before = told(&*store, acme).await;
        let moved = json!([{"decide":"map","code":"maya20","affiliate":"aff_leo","valid_from":"2026-01-01T00:00:00Z"}]);
        let inputs = || parse_decisions(&moved).unwrap();
        let rehearsed = store.rehearse(acme, inputs(), NOW).await.unwrap();
        assert_eq!(rehearsed.first_seq, decided.last_seq + 1);
        assert_eq!(told(&*store, acme).await, before, "nothing waits for the log");
        let scope = scope(&*store, "acme").await;
        assert_eq!(store.mappings(&scope).await.unwrap().len(), 1);
        let wrong = json!([{"decide":"map","code":"MAYA20","affiliate":"aff_nobody"}]);
        let refused = store.rehearse(acme, parse_decisions(&wrong).unwrap(), NOW).await.unwrap_err();
        assert!(refused.to_string().starts_with("decisions[0].affiliate: "), "{refused}");
        let really = store.decide(acme, inputs(), "test", NOW).await.unwrap();
        assert_eq!(really.first_seq, rehearsed.first_seq);
        assert_eq!(told(&*store, acme).await[before.len()..], rehearsed.decisions);
    })
    .await;
}

#[tokio::test]
async fn somebody_who_must_be_new_is_refused_when_known() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        let anna = || {
            let key = "anna".to_owned();
            vec![input::DecisionInput::Affiliate(AffiliateInput {
                key,
                must_be_new: true,
                ..AffiliateInput::default()
            })]
        };
        store.decide(acme, anna(), "test", NOW).await.unwrap();
        let refused = store.decide(acme, anna(), "test", NOW).await.unwrap_err();
        assert_eq!(refused.to_string(), "decisions[0].key: there is an affiliate `anna` already");
    })
    .await;
}

#[tokio::test]
async fn names_become_numbers_and_now_becomes_a_time() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        let decisions = json!([
            {"decide":"affiliate","key":"aff_maya","name":"Maya","suspended":false},
            {"decide":"map","code":" Maya20 ","promotion_code_id":"promo_1","coupon_id":"c20","affiliate":"aff_maya"},
            {"decide":"map","code":"HOUSE","affiliate":null,"valid_from":"2026-01-01T00:00:00Z"},
            {"decide":"map","referral_key":"maya","affiliate":"aff_maya"},
            {"decide":"rule","scope":{"affiliate":"aff_maya"},"percent":"12.5"},
            {"decide":"rule","scope":{"affiliate":"aff_maya"},"flat":{"usd":500},"duration":{"months":12},"base":"gross"},
            {"decide":"rule","scope":{"code":"maya20"},"none":true},
            {"decide":"adjust","mode":"live","affiliate":"aff_maya","currency":"USD","commission_minor":-500,"reason":"r"},
            {"decide":"campaign","code":"promo_1","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z","expected_percent":500},
        ]);
        let decided = decide(&*store, acme, decisions, NOW).await.unwrap();
        assert_eq!((decided.first_seq, decided.last_seq), (1, 9));
        let told = told(&*store, acme).await;
        let Decision::SetAffiliate(maya) = &told[0] else { panic!() };
        assert_eq!((maya.key.as_str(), maya.name.as_str(), maya.suspended_at), ("aff_maya", "Maya", None));
        let Decision::MapCode(map) = &told[1] else { panic!() };
        assert_eq!((map.affiliate, map.code.as_deref()), (Some(maya.affiliate), Some("Maya20")));
        let Decision::MapCode(house) = &told[2] else { panic!() };
        assert_eq!((house.affiliate, house.valid_from), (None, Some(Timestamp(1_767_225_600_000))));
        let Decision::MapCode(link) = &told[3] else { panic!() };
        assert_eq!(link.code_id, CodeId(0));
        let rules: Vec<_> = told[4..7]
            .iter()
            .map(|decision| match decision {
                Decision::SetRule(rule) => (rule.rev, rule.scope, rule.effective_from, rule.rate.clone()),
                other => panic!("{other:?}"),
            })
            .collect();
        let usd = domain::money::Currency::parse("usd").unwrap();
        assert_eq!(
            rules,
            [
                (1, RuleScope::Affiliate(maya.affiliate), Timestamp(0), Some(Rate::Percent { ppm: 125_000 })),
                (2, RuleScope::Affiliate(maya.affiliate), NOW, Some(Rate::Flat { amounts: [(usd, 500)].into() })),
                (3, RuleScope::Code(map.code_id), Timestamp(0), None),
            ]
        );
        let Decision::Adjust(adjust) = &told[7] else { panic!() };
        assert_eq!((adjust.commission, adjust.occurred_at), (-500, NOW));
        let Decision::Campaign(campaign) = &told[8] else { panic!() };
        assert_eq!(campaign.code_id, Some(map.code_id));
    })
    .await;
}

#[tokio::test]
async fn one_code_keeps_its_number_under_all_its_names() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        let ids = async |decision: Value| {
            decide(&*store, acme, json!([decision]), NOW).await.unwrap();
            match told(&*store, acme).await.pop().unwrap() {
                Decision::MapCode(map) => map.code_id,
                other => panic!("{other:?}"),
            }
        };
        let by_id = ids(json!({"decide":"map","promotion_code_id":"promo_1","affiliate":null})).await;
        assert_eq!(
            ids(json!({"decide":"map","promotion_code_id":"promo_1","code":"MAYA20","coupon_id":"c","affiliate":null}))
                .await,
            by_id
        );
        assert_eq!(ids(json!({"decide":"map","code":"maya20","affiliate":null})).await, by_id);
        let other = ids(json!({"decide":"map","code":"BOB20","coupon_id":"c","affiliate":null})).await;
        assert_ne!(other, by_id, "two codes of one coupon are two codes");
        let coupon = ids(json!({"decide":"map","coupon_id":"c","affiliate":null})).await;
        assert!(coupon != by_id && coupon != other);
        assert_eq!(ids(json!({"decide":"map","discount_id":"c","affiliate":null})).await, coupon);

        let shown = store.codes(&scope(&*store, "acme").await).await.unwrap();
        assert_eq!(
            shown.iter().map(|code| (code.id, code.text.as_str())).collect::<Vec<_>>(),
            [(other, "BOB20"), (coupon, "c"), (by_id, "maya20")]
        );
        let globex = vendor(&*store, "globex").await;
        decide(&*store, globex, json!([{"decide":"map","code":"MAYA20","affiliate":null}]), NOW).await.unwrap();
        let foreign = &store.codes(&scope(&*store, "globex").await).await.unwrap()[0];
        assert_ne!(foreign.id, by_id, "a code used by two vendors is two codes");
    })
    .await;
}

#[tokio::test]
async fn settings_are_shown_at_once() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        let scope = scope(&*store, "acme").await;
        assert_eq!(store.policy(&scope).await.unwrap(), SetPolicy::default());
        let decisions = json!([
            {"decide":"affiliate","key":"bob","name":"Bob","suspended":true},
            {"decide":"affiliate","key":"amy"},
            {"decide":"map","code":"X","affiliate":"bob"},
            {"decide":"map","code":"X","affiliate":"amy","valid_from":"2026-01-01T00:00:00Z"},
            {"decide":"rule","scope":"vendor","percent_ppm":300000},
            {"decide":"policy","hold_days":14,"time_zone":"Europe/Berlin"},
        ]);
        decide(&*store, acme, decisions, NOW).await.unwrap();
        let affiliates = store.affiliates(&scope).await.unwrap();
        let shown: Vec<_> =
            affiliates.iter().map(|info| (info.key.as_str(), info.name.as_str(), info.suspended)).collect();
        assert_eq!(shown, [("amy", "amy", false), ("bob", "Bob", true)]);
        assert_eq!(store.codes(&scope).await.unwrap()[0].affiliate, Some(affiliates[0].id));
        assert_eq!(store.mappings(&scope).await.unwrap().len(), 2);
        assert_eq!(store.rules(&scope).await.unwrap()[0].rule.rate, Some(Rate::Percent { ppm: 300_000 }));
        assert_eq!(store.policy(&scope).await.unwrap(), SetPolicy { hold_days: 14, time_zone: "Europe/Berlin".into() });
        assert_eq!(store.vendor(&scope).await.unwrap().time_zone, "Europe/Berlin");

        // What is left out stays; a suspension keeps its beginning.
        let later = Timestamp(NOW.0 + 5);
        decide(
            &*store,
            acme,
            json!([{"decide":"affiliate","key":"bob","name":"Robert"},{"decide":"policy","hold_days":7}]),
            later,
        )
        .await
        .unwrap();
        let told = told(&*store, acme).await;
        let Decision::SetAffiliate(bob) = &told[6] else { panic!() };
        assert_eq!((bob.suspended_at, bob.name.as_str(), bob.affiliate), (Some(NOW), "Robert", affiliates[1].id));
        assert_eq!(told[7], Decision::SetPolicy(SetPolicy { hold_days: 7, time_zone: "Europe/Berlin".into() }));
        let audit = store.audit_log(&scope, None, 3).await.unwrap();
        assert_eq!((audit[0].action.as_str(), audit[0].actor.as_str(), audit[0].at), ("set_policy", "test", later));
        assert_eq!(audit[1].action, "set_affiliate");
        let older = store.audit_log(&scope, Some(audit[2].id), 100).await.unwrap();
        assert_eq!(older.last().unwrap().action, "create_vendor");
        assert_eq!(older.len(), 6);
    })
    .await;
}

#[tokio::test]
async fn a_review_finds_its_connection() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        let review = |connection: Value| json!([{"decide":"review","connection":connection,"mode":"live","purchase":"inv:in_1","verdict":"reject","reason":"own purchase"}]);
        let words = decide(&*store, acme, review(json!(null)), NOW).await.unwrap_err().to_string();
        assert!(words.starts_with("decisions[0].connection: the vendor has no connection"), "{words}");
        let first = store.connect(stripe("acme", "whsec_1"), "test", NOW).await.unwrap().connection;
        decide(&*store, acme, review(json!(null)), NOW).await.unwrap();
        let foreign = store.connect(stripe("globex", "whsec_1"), "test", NOW).await.unwrap().connection;
        let words = decide(&*store, acme, review(json!(foreign)), NOW).await.unwrap_err().to_string();
        assert!(words.contains(&format!("no connection {foreign}; the vendor has {first} (stripe)")), "{words}");
        let paddle = ConnectRequest { provider: domain::ids::Provider::Paddle, ..stripe("acme", "p") };
        let second = store.connect(paddle, "test", NOW).await.unwrap().connection;
        let words = decide(&*store, acme, review(json!(null)), NOW).await.unwrap_err().to_string();
        assert!(words.contains(&format!("name one of {first} (stripe), {second} (paddle)")), "{words}");
        decide(&*store, acme, review(json!(second)), NOW).await.unwrap();
        let reviews = store.reviews(&scope(&*store, "acme").await, 10).await.unwrap();
        assert_eq!(reviews.iter().map(|info| info.review.connection).collect::<Vec<_>>(), [second, first]);
    })
    .await;
}

#[tokio::test]
async fn a_mistake_names_its_place_and_leaves_nothing() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        let globex = vendor(&*store, "globex").await;
        let own = json!([{"decide":"affiliate","key":"aff_x"},{"decide":"map","code":"X","affiliate":"aff_x"}]);
        decide(&*store, globex, own, NOW).await.unwrap();
        let fine = json!({"decide":"affiliate","key":"fine"});
        for (bad, expected) in [
            (json!({"decide":"map","code":"A","affiliate":"aff_x"}), "affiliate: no affiliate `aff_x`; add it first"),
            (json!({"decide":"rule","scope":{"affiliate":"aff_x"},"percent":"1"}), "scope: no affiliate `aff_x`; add it first"),
            (json!({"decide":"rule","scope":{"code":"X"},"percent":"1"}), "scope: no code `X`; map it first"),
            (json!({"decide":"campaign","code":"X","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z","expected_percent":1}), "code: no code `X`"),
            (json!({"decide":"adjust","mode":"live","affiliate":"aff_x","currency":"usd","commission_minor":1,"reason":"r"}), "affiliate: no affiliate"),
            (json!({"decide":"adjust","mode":"live","affiliate":"fine","currency":"usd","commission_minor":0,"reason":"r"}), "commission_minor: must not be 0"),
            (json!({"decide":"affiliate","key":" "}), "key: is blank"),
            (json!({"decide":"affiliate","key":"a","name":"b\0"}), "name: has a NUL character"),
            (json!({"decide":"affiliate","key":"a b"}), "key: `a b` has a space"),
            (json!({"decide":"affiliate","key":"a".repeat(101)}), "key: has 101 characters; the limit is 100"),
            (json!({"decide":"map","affiliate":null}), "code: give at least one"),
            (json!({"decide":"map","code":"","affiliate":null}), "code: is blank"),
            (json!({"decide":"map","code":"A","affiliate":null,"valid_from":"2026-01-02T00:00:00Z","valid_to":"2026-01-02T00:00:00Z"}), "valid_to: must be later"),
            (json!({"decide":"rule","scope":"vendor"}), "percent: give exactly one"),
            (json!({"decide":"rule","scope":"vendor","percent":"1","none":true}), "percent: give exactly one"),
            (json!({"decide":"rule","scope":"vendor","percent":"101"}), "percent: `101` is not a percentage"),
            (json!({"decide":"rule","scope":"vendor","percent_ppm":1000001}), "percent_ppm: must be"),
            (json!({"decide":"rule","scope":"vendor","flat":{}}), "flat: names no currency"),
            (json!({"decide":"rule","scope":"vendor","flat":{"usd":-1}}), "flat: the amount in usd"),
            (json!({"decide":"rule","scope":"vendor","percent":"1","duration":{"months":0}}), "duration: months must be"),
            (json!({"decide":"policy"}), "hold_days: give"),
            (json!({"decide":"policy","time_zone":"Berlin"}), "time_zone: `Berlin` is not a time zone"),
            (json!({"decide":"policy","hold_days":9999}), "hold_days: 9999 days"),
            (json!({"decide":"campaign","from":"2026-01-02T00:00:00Z","to":"2026-01-01T00:00:00Z","expected_percent":1}), "to: must be later"),
            (json!({"decide":"retry","offsets":[]}), "offsets: names no record"),
            (json!({"decide":"waive","offsets":[1],"reason":" "}), "reason: is blank"),
        ] {
            let words = decide(&*store, acme, json!([fine, bad]), NOW).await.unwrap_err().to_string();
            assert!(words.starts_with(&format!("decisions[1].{expected}")), "{bad}\n  expected {expected}\n  got      {words}");
        }
        assert!(told(&*store, acme).await.is_empty());
        assert!(store.affiliates(&scope(&*store, "acme").await).await.unwrap().is_empty());
        let decided = decide(&*store, acme, json!([fine]), NOW).await.unwrap();
        assert_eq!(decided.first_seq, 1, "a refused file uses no number up");
        assert!(matches!(decide(&*store, VendorId(999), json!([fine]), NOW).await, Err(ControlError::NotFound(_))));
        assert!(matches!(store.decide(acme, Vec::new(), "test", NOW).await, Err(ControlError::Invalid { .. })));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_people_decide_at_once_and_no_number_is_missing() {
    on_every_backend(async |store| {
        let (acme, globex) = (vendor(&*store, "acme").await, vendor(&*store, "globex").await);
        let mut people = tokio::task::JoinSet::new();
        for person in 0..8 {
            let store = Arc::clone(&store);
            people.spawn(async move {
                for round in 0..10 {
                    let vendor = if round % 2 == 0 { acme } else { globex };
                    let decisions = json!([{"decide":"affiliate","key":format!("p{person}r{round}")}, {"decide":"affiliate","key":"shared"}]);
                    let decided = decide(&*store, vendor, decisions, NOW).await.unwrap();
                    assert_eq!(decided.last_seq, decided.first_seq + 1);
                    if round == 5 {
                        // One that fails must not leave a gap.
                        decide(&*store, acme, json!([{"decide":"affiliate","key":" "}]), NOW).await.unwrap_err();
                    }
                }
            });
        }
        while let Some(done) = people.join_next().await {
            done.unwrap();
        }
        let pending = store.pending_decisions(10_000).await.unwrap();
        for vendor in [acme, globex] {
            let numbers: Vec<u64> = pending.iter().filter(|pending| pending.vendor == vendor).map(|pending| pending.seq).collect();
            assert_eq!(numbers, (1..=80).collect::<Vec<_>>());
            assert_eq!(store.pending_count(vendor).await.unwrap(), 80);
        }
        let shared: BTreeSet<AffiliateId> = pending
            .iter()
            .filter_map(|pending| match &pending.decision {
                Decision::SetAffiliate(set) if pending.vendor == acme && set.key == "shared" => Some(set.affiliate),
                _ => None,
            })
            .collect();
        assert_eq!(shared.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_relay_is_woken_and_sees_each_decision_until_it_is_sent() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        store.decisions_pending().await; // after a start
        assert!(tokio::time::timeout(Wait::from_millis(20), store.decisions_pending()).await.is_err());
        let three =
            json!([{"decide":"affiliate","key":"a"},{"decide":"affiliate","key":"b"},{"decide":"affiliate","key":"c"}]);
        decide(&*store, acme, three, NOW).await.unwrap();
        tokio::time::timeout(Wait::from_secs(5), store.decisions_pending())
            .await
            .expect("woken, although nobody waited when it happened");
        let first = store.pending_decisions(2).await.unwrap();
        assert_eq!(first.iter().map(|pending| (pending.seq, pending.at)).collect::<Vec<_>>(), [(1, NOW), (2, NOW)]);
        assert_eq!(store.pending_decisions(2).await.unwrap(), first, "until it is marked");
        let ids: Vec<u64> = first.iter().map(|pending| pending.id).collect();
        store.mark_sent(&ids).await.unwrap();
        store.mark_sent(&ids).await.unwrap();
        assert_eq!(
            store.pending_decisions(2).await.unwrap().iter().map(|pending| pending.seq).collect::<Vec<_>>(),
            [3]
        );
    })
    .await;
}

#[tokio::test]
async fn a_restored_store_goes_on_above_the_log() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        let one = || json!([{"decide":"affiliate","key":"a"}]);
        decide(&*store, acme, one(), NOW).await.unwrap();
        store.raise_sequence(acme, 41).await.unwrap();
        assert_eq!(decide(&*store, acme, one(), NOW).await.unwrap().first_seq, 42);
        store.raise_sequence(acme, 7).await.unwrap();
        assert_eq!(decide(&*store, acme, one(), NOW).await.unwrap().first_seq, 43);
    })
    .await;
}

/// One store as it was, one from before the decisions: what the second one takes from the log is what the first one has.
#[tokio::test]
async fn a_store_that_is_older_than_the_log_takes_from_it_what_it_lacks() {
    on_every_backend(async |store| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.db");
        let random = crate::secrets::system_random();
        let wanted: Arc<dyn ControlStore> = Arc::new(SqliteControlStore::open(&path, keys(), random).unwrap());
        let mut vendors = Vec::new();
        for one in [&wanted, &store] {
            vendors.push(one.connect(stripe("acme", "whsec_1"), "test", NOW).await.unwrap().vendor);
            decide(&**one, vendors[0], json!([{"decide":"affiliate","key":"aff_old"}]), NOW).await.unwrap();
        }
        assert_eq!(vendors[0], vendors[1], "both began alike");
        let acme = vendors[0];
        let later = json!([
            {"decide":"affiliate","key":"aff_maya","name":"Maya","suspended":true},
            {"decide":"affiliate","key":"aff_old","name":"Renamed"},
            {"decide":"map","code":"Maya20","promotion_code_id":"promo_1","affiliate":"aff_maya"},
            {"decide":"map","coupon_id":"c20","affiliate":null},
            {"decide":"map","referral_key":"maya","affiliate":"aff_maya"},
            {"decide":"rule","scope":{"code":"maya20"},"percent":"12.5"},
            {"decide":"policy","hold_days":7,"time_zone":"Europe/Berlin"},
            {"decide":"review","mode":"live","purchase":"inv:in_1","verdict":"reject","reason":"own purchase"},
            {"decide":"adjust","mode":"live","affiliate":"aff_maya","currency":"USD","commission_minor":-500,"reason":"r"},
            {"decide":"campaign","code":"promo_1","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z","expected_percent":500},
        ]);
        decide(&*wanted, acme, later, NOW).await.unwrap();
        let logged: Vec<LoggedDecision> = wanted
            .pending_decisions(10_000)
            .await
            .unwrap()
            .into_iter()
            .map(|one| LoggedDecision { seq: one.seq, at: one.at, decision: one.decision })
            .collect();
        let before = store.pending_count(acme).await.unwrap();
        assert_eq!(store.adopt(acme, logged.clone()).await.unwrap(), 10);
        assert_eq!(store.adopt(acme, logged).await.unwrap(), 0, "what is known is not written again");
        assert_eq!(store.pending_count(acme).await.unwrap(), before, "nothing goes to the log again");
        let scope = scope(&*store, "acme").await;
        assert_eq!(store.affiliates(&scope).await.unwrap(), wanted.affiliates(&scope).await.unwrap());
        assert_eq!(store.codes(&scope).await.unwrap(), wanted.codes(&scope).await.unwrap());
        assert_eq!(store.mappings(&scope).await.unwrap(), wanted.mappings(&scope).await.unwrap());
        assert_eq!(store.policy(&scope).await.unwrap(), wanted.policy(&scope).await.unwrap());
        assert_eq!(store.rules(&scope).await.unwrap().len(), 1);
        assert_eq!(store.reviews(&scope, 9).await.unwrap().len(), 1);
        assert_eq!(store.campaigns(&scope, 9).await.unwrap().len(), 1);
        // What comes next has numbers that the log does not have.
        let next = json!([
            {"decide":"affiliate","key":"aff_new"}, {"decide":"map","code":"NEW","affiliate":"aff_new"},
            {"decide":"rule","scope":"vendor","percent":"1"},
        ]);
        assert_eq!(decide(&*store, acme, next, NOW).await.unwrap().first_seq, 13);
        let told = told(&*store, acme).await;
        let Some(Decision::SetAffiliate(new)) = told.iter().rev().nth(2) else { panic!("{told:?}") };
        let Some(Decision::MapCode(map)) = told.iter().rev().nth(1) else { panic!("{told:?}") };
        let Some(Decision::SetRule(rule)) = told.last() else { panic!("{told:?}") };
        assert!(new.affiliate > AffiliateId(2) && map.code_id == CodeId(3) && rule.rev == 2, "{told:?}");
        let numbers = store.numbers().await.unwrap();
        assert_eq!((numbers[0].vendor, numbers[0].next_seq, numbers[0].first_waiting), (acme, 16, Some(1)));
        let forgotten = LoggedDecision { seq: 16, at: NOW, decision: Decision::DropVendor };
        assert_eq!(store.adopt(acme, vec![forgotten]).await.unwrap(), 1);
        assert!(store.vendor_by_slug("acme").await.unwrap().is_none(), "what was forgotten is forgotten again");
    })
    .await;
}

#[tokio::test]
async fn numbers_that_the_log_has_are_not_given_out_again() {
    on_every_backend(async |store| {
        let acme = vendor(&*store, "acme").await;
        store.raise_ids(VendorId(acme.0 + 40), ConnectionId(77)).await.unwrap();
        store.raise_ids(VendorId(1), ConnectionId(0)).await.unwrap();
        let other = store.connect(stripe("other", "whsec_1"), "test", NOW).await.unwrap().vendor;
        assert_eq!(other, VendorId(acme.0 + 41));
        let scope = scope(&*store, "other").await;
        assert_eq!(store.connections(&scope).await.unwrap()[0].connection, ConnectionId(78));
    })
    .await;
}
