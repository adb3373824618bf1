//! Bad input gets a clear answer, an outcome that can be listed, and blocks nobody.

use crate::instance::{Instance, SECRET, event, maya, seconds_now, session};
use corpus::sign::Provider;
use serde_json::{Value, json};

#[tokio::test]
async fn every_kind_of_bad_request_is_answered_and_nothing_is_stored() {
    let it = Instance::start().await;
    let acme = it.vendor("acme", maya()).await;
    let good = session("good", json!({})).to_string();
    let sign = |at: i64, body: &str| Provider::Stripe.sign(SECRET, at, body.as_bytes());
    let now = seconds_now();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cut = &good[..good.len() / 2];
    let huge = format!("{{\"id\":\"{}\"}}", "x".repeat(3 << 20));
    let cases: Vec<(&str, u16, String, Option<String>)> = vec![
        ("no body", 400, String::new(), Some(sign(now, ""))),
        ("no signature", 400, good.clone(), None),
        ("wrong signature", 400, good.clone(), Some(sign(now, "another body"))),
        ("stale", 400, good.clone(), Some(sign(now - 301, &good))),
        ("from the future", 400, good.clone(), Some(sign(now + 400, &good))),
        ("broken JSON", 400, cut.to_owned(), Some(sign(now, cut))),
        ("deep JSON that is no event", 400, deep.clone(), Some(sign(now, &deep))),
        ("huge", 413, huge.clone(), Some(sign(now, &huge))),
    ];
    for (name, status, body, signature) in cases {
        let headers: Vec<(&str, &str)> =
            signature.iter().map(|signature| ("Stripe-Signature", signature.as_str())).collect();
        let reply = it.post(&acme.endpoint_url, &headers, body).await;
        assert_eq!(reply.status, status, "{name}: {}", reply.excerpt());
        assert!(reply.excerpt().contains("message"), "{name} says what is wrong: {}", reply.excerpt());
    }
    let unknown = it.post(&format!("{}/webhooks/stripe/nobody", it.product.url()), &[], good.clone()).await;
    assert_eq!(unknown.status, 404);
    acme.settle().await;
    let outcomes = acme.api.get(&["outcomes"], &[]).await.unwrap();
    assert_eq!(outcomes["deliveries"]["counted"], 0, "{outcomes}");
    // Nobody was blocked: the same event, signed rightly, counts.
    assert!(it.deliver(&acme, &good).await.status < 300);
    assert_eq!(acme.delivery("evt_good").await["outcome"], "counted");
}

#[tokio::test]
async fn a_replay_inside_the_window_counts_once() {
    let it = Instance::start().await;
    let acme = it.vendor("acme", maya()).await;
    let body = session("twice", json!({})).to_string();
    let signature = Provider::Stripe.sign(SECRET, seconds_now(), body.as_bytes());
    for _ in 0..5 {
        assert!(it.post(&acme.endpoint_url, &[("Stripe-Signature", &signature)], body.clone()).await.status < 300);
    }
    acme.settle().await;
    let outcomes = acme.api.get(&["outcomes"], &[]).await.unwrap();
    assert_eq!((&outcomes["deliveries"]["counted"], &outcomes["deliveries"]["no_effect"]), (&json!(1), &json!(4)));
    let purchase = acme.api.get(&["purchases", "pi:pi_twice"], &[]).await.unwrap();
    assert_eq!((&purchase["net_minor"], &purchase["commission_minor"]), (&json!(4_900), &json!(980)));
    assert_eq!(purchase["lines"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_cannot_be_understood_is_listed_with_its_reason_and_blocks_nobody() {
    let it = Instance::start().await;
    let acme = it.vendor("acme", maya()).await;
    let cases: Vec<(&str, Value, &str, &str)> = vec![
        ("near", session("near", json!({"amount_total": i64::MAX - 1})), "refused", "amount_out_of_range"),
        ("text", session("text", json!({"amount_total": "many"})), "refused", "amount_total"),
        ("object", session("object", json!({"amount_total": {"a": 1}})), "refused", "amount_total"),
        ("letters", session("letters", json!({"currency": "dollars"})), "refused", "bad_currency"),
        (
            "type",
            event("type", "account.updated", json!({"id": "acct_1", "object": "account"})),
            "ignored",
            "unknown_type",
        ),
        ("unknown", session("unknown", json!({"currency": "zzz"})), "counted", ""),
    ];
    for (name, event, _, _) in &cases {
        let reply = it.deliver(&acme, &event.to_string()).await;
        assert!(reply.status < 300, "{name} is stored: {}", reply.excerpt());
    }
    // 2^63 and beyond cannot even be held in a number of this size.
    let beyond = session("beyond", json!({"amount_total": 1}))
        .to_string()
        .replace("\"amount_total\":1", "\"amount_total\":9223372036854775808");
    assert!(it.deliver(&acme, &beyond).await.status < 300);
    let mut version = session("version", json!({}));
    version["api_version"] = json!("2031-01-01.unheard");
    assert!(it.deliver(&acme, &version.to_string()).await.status < 300);
    for (name, _, outcome, reason) in &cases {
        let read = acme.delivery(&format!("evt_{name}")).await;
        assert_eq!(read["outcome"], *outcome, "{name}: {read}");
        assert!(read["reason"].as_str().unwrap_or("").contains(reason), "{name}: {read}");
    }
    assert_eq!(acme.delivery("evt_beyond").await["outcome"], "refused");
    let by_shape = acme.delivery("evt_version").await;
    assert_eq!(by_shape["outcome"], "counted", "parsed by shape all the same");
    assert!(by_shape["flags"].to_string().contains("unknown_api_version"), "{by_shape}");
    let unknown_currency = acme.api.get(&["purchases", "pi:pi_unknown"], &[]).await.unwrap();
    assert_eq!((&unknown_currency["currency"], &unknown_currency["minor_digits"]), (&json!("zzz"), &Value::Null));
    let (listed, text) = it.command(&["refused", "list", "--vendor", "acme"]).await;
    assert!(
        listed && text.contains("5 open") && text.contains("amount_out_of_range") && text.contains("bad_currency"),
        "{text}"
    );
}

#[tokio::test]
async fn refused_records_are_retried_and_waived_from_the_command_line() {
    let it = Instance::start().await;
    let acme = it.vendor("acme", maya()).await;
    for id in ["a", "b"] {
        it.deliver(&acme, &session(id, json!({"amount_total": "many"})).to_string()).await;
    }
    let offsets: Vec<String> =
        vec![acme.delivery("evt_a").await["offset"].to_string(), acme.delivery("evt_b").await["offset"].to_string()];
    let (shown, text) = it.command(&["refused", "show", "--vendor", "acme", &offsets[0]]).await;
    assert!(shown && text.contains("\"many\"") && !text.contains("somebody@example.com"), "{text}");
    let (retried, text) = it.command(&["refused", "retry", "--vendor", "acme", &offsets[0]]).await;
    assert!(retried, "{text}");
    assert_eq!(
        acme.delivery("evt_a").await["outcome"],
        "refused",
        "the code did not change, so neither does the outcome"
    );
    let (waived, text) = it.command(&["refused", "waive", "--vendor", "acme", "--reason", "a test", &offsets[1]]).await;
    assert!(waived, "{text}");
    let read = acme.delivery("evt_b").await;
    assert_eq!((read["outcome"].as_str(), read["reason"].as_str()), (Some("ignored"), Some("waived: a test")));
    // The provider sends the event again, now readable: it counts once.
    it.deliver(&acme, &session("a", json!({})).to_string()).await;
    acme.settle().await;
    assert_eq!(acme.api.get(&["purchases", "pi:pi_a"], &[]).await.unwrap()["net_minor"], 4_900);
}

#[tokio::test]
async fn a_client_that_only_fails_is_slowed_down_and_a_signed_delivery_is_not() {
    let it = Instance::start().await;
    let acme = it.vendor("acme", maya()).await;
    let mut answers = Vec::new();
    for _ in 0..65 {
        answers.push(it.post(&acme.endpoint_url, &[("Stripe-Signature", "t=1,v1=00")], "{}".to_owned()).await.status);
    }
    assert!(answers[..60].iter().all(|status| *status == 400), "{answers:?}");
    assert!(answers[60..].iter().all(|status| *status == 429), "{answers:?}");
    assert!(it.deliver(&acme, &session("good", json!({})).to_string()).await.status < 300);
}
