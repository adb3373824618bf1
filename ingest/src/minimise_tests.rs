use super::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const KEY: [u8; 32] = [7; 32];

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/webhooks")
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{} is part of the repository: {error}", path.display()))
}

/// Every event file of the corpus, with its provider.
fn event_files() -> Vec<(Provider, PathBuf)> {
    let mut files = Vec::new();
    for provider in [Provider::Stripe, Provider::Paddle, Provider::LemonSqueezy] {
        for entry in std::fs::read_dir(corpus().join(provider.name())).expect("a folder per provider") {
            files.push((provider, entry.expect("a file").path()));
        }
    }
    files.sort_by(|left, right| left.1.cmp(&right.1));
    files
}

fn answer_kind(file: &str) -> (Provider, AnswerKind) {
    let table = [
        ("GET_discounts_", Provider::Paddle, AnswerKind::Discount),
        ("GET_v1_discount_redemptions", Provider::LemonSqueezy, AnswerKind::DiscountRedemptions),
        ("GET_v1_invoice_payments", Provider::Stripe, AnswerKind::InvoicePayments),
        ("GET_v1_invoices", Provider::Stripe, AnswerKind::Invoice),
        ("GET_v1_checkout_sessions", Provider::Stripe, AnswerKind::CheckoutSession),
        ("GET_v1_promotion_codes", Provider::Stripe, AnswerKind::PromotionCode),
    ];
    let found = table.into_iter().find(|(prefix, ..)| file.starts_with(prefix));
    found.map(|(_, provider, kind)| (provider, kind)).unwrap_or_else(|| panic!("what was asked for in {file}?"))
}

/// Minimised text by the name of the corpus file.
fn minimise_corpus() -> BTreeMap<String, String> {
    let minimiser = Minimiser::new();
    let mut texts = BTreeMap::new();
    for (provider, path) in event_files() {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let minimised =
            minimiser.minimise(provider, &read(&path), &KEY).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(minimised.cut_values, 0, "{name}");
        texts.insert(format!("{}_{name}", provider.name()), minimised.json.get().to_owned());
    }
    for entry in std::fs::read_dir(corpus().join("api")).expect("a folder of answers") {
        let path = entry.expect("a file").path();
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let (provider, kind) = answer_kind(&name);
        let json = minimiser.minimise_answer(provider, kind, &read(&path), &KEY);
        texts.insert(name.clone(), json.unwrap_or_else(|error| panic!("{name}: {error}")).get().to_owned());
    }
    texts
}

#[test]
fn nothing_personal_passes() {
    let texts = minimise_corpus();
    assert_eq!(texts.len(), 86);
    let forbidden = [
        "@example.com",
        "Test Buyer",
        "last4",
        "last_four",
        "4242",
        "cardholder",
        "address",
        "line1",
        "postal",
        "user_name",
        "customer_name",
        "\"name\"",
        "phone",
        "exp_month",
        "expiry",
        "\"brand\"",
        "card_brand",
        "evidence",
        "receipt_url",
        "hosted_invoice_url",
        "https://",
        "client_secret",
        "description",
        "idempotency_key",
        "user_8812",
        "workspace",
        "fingerprint\":\"u6",
        "customer_purchase_ip",
    ];
    for (name, text) in &texts {
        for word in forbidden {
            assert!(!text.contains(word), "{name} contains {word}: {text}");
        }
        assert!(text.len() < 2_600, "{name} has {} bytes", text.len());
    }
}

/// What the minimised form looks like. `AFFILITRACK_BLESS=1 cargo test -p ingest golden` writes
/// the files anew; look at the difference before you commit it.
#[test]
#[expect(clippy::disallowed_methods, reason = "a switch for people who change the allow-list")]
fn golden_files_are_unchanged() {
    let names = [
        "stripe_001_customer_created_2020-08-27.json",
        "stripe_004_charge_succeeded_2020-08-27.json",
        "stripe_006_invoice_paid_2020-08-27.json",
        "stripe_008_charge_refunded_partial_2020-08-27.json",
        "stripe_024_charge_dispute_funds_withdrawn_2024-06-20.json",
        "stripe_027_invoice_paid_first_2025-08-27.basil.json",
        "stripe_032_credit_note_created_refund_2025-08-27.basil.json",
        "stripe_036_promotion_code_created_2025-09-30.clover.json",
        "stripe_037_customer_discount_created_2025-09-30.clover.json",
        "stripe_046_checkout_session_completed_referral_2026-03-25.dahlia.json",
        "stripe_050_thin_v1_invoice_paid.json",
        "paddle_003_transaction_completed_first.json",
        "paddle_007_adjustment_updated_refund_approved.json",
        "lemonsqueezy_005_subscription_payment_refunded.json",
        "lemonsqueezy_006_order_created_referral.json",
        "GET_v1_discount_redemptions_filter_order_id_5401001.json",
        "GET_v1_invoices_in_1q7hQ73vEqJzMu0O94d2vl28_expand_discounts.json",
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let texts = minimise_corpus();
    let bless = std::env::var_os("AFFILITRACK_BLESS").is_some();
    for name in names {
        let text = texts.get(name).unwrap_or_else(|| panic!("{name} is not in the corpus"));
        let path = folder.join(name);
        if bless {
            std::fs::create_dir_all(&folder).expect("golden/ can be made");
            std::fs::write(&path, text).expect("golden/ can be written");
        }
        let expected = String::from_utf8(read(&path)).expect("text");
        assert_eq!(*text, expected, "{name} changed: is that meant? Then raise MINIMISER_REVISION and bless.");
    }
}

#[derive(serde::Deserialize)]
struct Index {
    events: Vec<IndexEvent>,
}

#[derive(serde::Deserialize)]
struct IndexEvent {
    file: String,
    provider: Provider,
    event_type: String,
    event_id: Option<String>,
    dedupe_key: String,
    livemode: Option<bool>,
    occurred_at: serde_json::Value,
}

#[test]
fn envelopes_are_what_the_index_says() {
    let index: Index = serde_json::from_slice(&read(&corpus().join("index.json"))).expect("index.json has events");
    let minimiser = Minimiser::new();
    assert_eq!(index.events.len(), 70);
    for event in index.events {
        let body = read(&corpus().join(&event.file));
        let minimised = minimiser.minimise(event.provider, &body, &KEY).expect("an event");
        let expected_id = match event.provider {
            Provider::LemonSqueezy => event.dedupe_key,
            _ => event.event_id.unwrap_or_default(),
        };
        assert_eq!(minimised.event_id, expected_id, "{}", event.file);
        assert_eq!(minimised.event_type, event.event_type, "{}", event.file);
        if event.provider != Provider::Paddle {
            assert_eq!(minimised.mode.map(Mode::is_live), event.livemode, "{}", event.file);
        }
        let occurred_at = match event.occurred_at.as_i64() {
            Some(seconds) => seconds * 1000,
            None => {
                let text = event.occurred_at.as_str().expect("a time");
                text.parse::<jiff::Timestamp>().expect("RFC 3339").as_millisecond()
            }
        };
        assert_eq!(minimised.created.0, occurred_at, "{}", event.file);
        assert_eq!(minimised.body_sha256, hex::encode(Sha256::digest(&body)));
    }
}

fn stripe(text: &str) -> Result<Minimised, MinimiseError> {
    Minimiser::new().minimise(Provider::Stripe, text.as_bytes(), &KEY)
}

fn invoice(object: &str) -> String {
    let event = format!(
        r#"{{"id":"evt_1","object":"event","created":1760000000,"livemode":true,"account":"acct_1","data":{{"object":{object}}},"type":"invoice.paid"}}"#
    );
    stripe(&event).expect("an event").json.get().to_owned()
}

#[test]
fn amounts_pass_exactly_or_visibly_wrong() {
    for amount in [
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "1e3",
        "1.0E+400",
        "\"4900\"",
        "true",
        "[]",
        "{}",
    ] {
        let text = invoice(&format!(r#"{{"id":"in_1","total":{amount}}}"#));
        assert!(text.contains(&format!("\"total\":{amount}")), "{text}");
    }
}

#[test]
fn ids_and_expanded_objects_come_out_alike() {
    let expanded = r#"{"customer":{"id":"cus_1","email":"a@b.c"},"discount":{"id":"di_1","coupon":{"id":"C","name":"x"},"promotion_code":{"id":"promo_1","code":"X"}},"discounts":["di_1",{"id":"di_2","source":{"coupon":"C","type":"coupon"}}]}"#;
    let kept = r#"{"customer":"cus_1","discount":{"id":"di_1","coupon":{"id":"C"},"promotion_code":"promo_1"},"discounts":["di_1",{"id":"di_2","source":{"coupon":"C","type":"coupon"}}]}"#;
    assert!(invoice(expanded).contains(kept), "{}", invoice(expanded));
}

#[test]
fn a_type_we_do_not_know_keeps_only_ids() {
    let text = r#"{"id":"evt_1","object":"event","api_version":"2031-01-01.zeta","created":5,"livemode":false,"request":{"id":"req_1"},"data":{"object":{"id":"x_1","object":"gizmo","amount":5,"name":"Ann"}},"type":"gizmo.created"}"#;
    let minimised = stripe(text).expect("an event");
    let kept = r#"{"id":"evt_1","object":"event","created":5,"livemode":false,"data":{"object":{"id":"x_1","object":"gizmo"}},"type":"gizmo.created"}"#;
    assert_eq!(minimised.json.get(), kept);
    assert_eq!((minimised.mode, minimised.account), (Some(Mode::Test), None));

    let paddle = r#"{"event_id":"evt_1","event_type":"payout.paid","occurred_at":"2025-09-15T01:33:20Z","data":{"id":"pay_1","amount":"5"}}"#;
    let minimised = Minimiser::new().minimise(Provider::Paddle, paddle.as_bytes(), &KEY).expect("an event");
    assert!(minimised.json.get().ends_with(r#""data":{"id":"pay_1"}}"#), "{}", minimised.json);

    let lemon = r#"{"meta":{"event_name":"license_key_created","test_mode":false},"data":{"type":"license-keys","id":"1","attributes":{"store_id":1,"key":"SECRET","updated_at":"2025-09-15T01:33:20.000000Z"}}}"#;
    let minimised = Minimiser::new().minimise(Provider::LemonSqueezy, lemon.as_bytes(), &KEY).expect("an event");
    assert!(!minimised.json.get().contains("SECRET"));
    assert_eq!((minimised.mode, minimised.account.as_deref()), (Some(Mode::Live), Some("1")));
    assert_eq!(minimised.event_id, "lemonsqueezy:license_key_created:license-keys:1:2025-09-15T01:33:20.000000Z");
}

#[test]
fn what_is_no_event_is_refused_by_name() {
    let message = |text: &str| stripe(text).expect_err(text).to_string();
    assert_eq!(message("[1]"), "the body is not a JSON object");
    assert!(message("").contains("not JSON"));
    assert!(message("{\"id\":").contains("line 1, column 6"));
    assert!(message("{\"id\":\"evt_1\"} x").contains("not JSON"));
    assert_eq!(message("{}"), "member type is missing");
    assert_eq!(message(r#"{"type":"a","created":1}"#), "member id is missing");
    assert!(message(r#"{"id":"e","type":{"a":"secret"},"created":1}"#).starts_with("member type is not a text"));
    assert!(message(r#"{"id":"e","type":"a","created":"soon"}"#).contains("member created is not a time"));
    assert!(message(r#"{"id":"e","type":"a","created":1,"livemode":"yes"}"#).contains("livemode"));
    assert!(message(r#"{"id":"e","id":"f","type":"a","created":1}"#).contains("duplicate field `id`"));
    let twice = r#"{"id":"e","type":"invoice.paid","created":1,"data":{"object":{"total":1,"total":2}}}"#;
    assert!(message(twice).contains("\"total\" stands twice"));
    let broken = Minimiser::new().minimise(Provider::Stripe, b"{\"id\":\"\xff\"}", &KEY);
    assert_eq!(broken.expect_err("not text"), MinimiseError::NotUtf8);
    let lemon = Minimiser::new().minimise(Provider::LemonSqueezy, br#"{"meta":"Ann","data":{}}"#, &KEY);
    assert_eq!(lemon.expect_err("no meta").to_string(), "meta is not a JSON object");
}

#[test]
fn deep_json_is_skipped_or_refused() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(invoice(&format!(r#"{{"id":"in_1","note":{}}}"#, deep(100_000))).contains("in_1"));
    assert!(invoice(&format!(r#"{{"id":"in_1","lines":{{"data":[{}]}}}}"#, deep(100_000))).contains("in_1"));
    assert!(stripe(&"{\"data\":".repeat(100_000)).is_err());
    assert!(stripe(&deep(100_000)).is_err());
    assert!(stripe(&"[".repeat(100_000)).is_err());
}

#[test]
fn an_answer_of_another_provider_is_refused() {
    let error = Minimiser::new().minimise_answer(Provider::Paddle, AnswerKind::Invoice, b"{}", &KEY);
    assert_eq!(error.expect_err("no such answer").to_string(), "paddle has no answers of kind Invoice");
}
