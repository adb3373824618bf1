//! The routes over the real engine and control store.

use crate::services::test_api::{NOW, Sale, TestApi, budget};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use domain::ids::Mode;
use serde_json::json;

async fn api_with_sales() -> (TestApi, String) {
    let api = TestApi::start().await;
    let acme = api.vendor("acme", Mode::Live).await;
    let maya = api.affiliate(&acme, "aff_maya").await;
    let leo = api.affiliate(&acme, "aff_leo").await;
    let sales = [
        Sale { offset: 1, at: NOW.0, affiliate: maya, currency: "usd", net: 1_000 },
        Sale { offset: 2, at: NOW.0 + 1, affiliate: leo, currency: "jpy", net: 500 },
    ];
    api.book(&acme, &sales).await;
    let key = api.key(&acme).await;
    (api, key)
}

#[tokio::test]
async fn totals_have_the_agreed_members() {
    let (api, key) = api_with_sales().await;
    let (status, headers, body) =
        api.get(&key, "/api/v1/totals?group=affiliate&from=2026-11-21&to=2026-11-21&time_zone=UTC").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(headers["cache-control"], "private, no-store");
    assert_eq!(headers["ratelimit-limit"], "120");
    assert_eq!(body["range"], json!({"from": "2026-11-21", "to": "2026-11-21", "time_zone": "UTC"}));
    assert_eq!(body["group"], "affiliate");
    assert_eq!(body["watermark"]["as_of"], "2026-11-21T12:00:00Z");
    assert_eq!(body["watermark"]["next_offset"], 3);
    let maya = body["rows"].as_array().unwrap().iter().find(|row| row["group"] == "aff_maya").unwrap();
    let totals = json!([{
        "currency": "usd", "minor_digits": 2, "redemptions": 1, "conversions": 1, "sales": 1, "gross_minor": 1000,
        "revenue_minor": 1000, "refunded_minor": 0, "commission_minor": 200
    }]);
    assert_eq!((&maya["label"], &maya["totals"]), (&json!("Maya"), &totals));

    let (_, _, body) = api.get(&key, "/api/v1/totals").await;
    assert_eq!((&body["group"], body["rows"].as_array().unwrap().len()), (&json!(null), 1));
    assert_eq!(body["range"]["time_zone"], "Europe/Berlin");
    let (_, _, body) = api.get(&key, "/api/v1/totals?group=day").await;
    assert_eq!(body["rows"][0]["group"], "2026-11-21");
}

#[tokio::test]
async fn lines_purchases_and_outcomes_have_the_agreed_members() {
    let (api, key) = api_with_sales().await;
    let (_, _, body) = api.get(&key, "/api/v1/lines?purchase=inv:in/256").await;
    let line = &body["lines"][0];
    assert_eq!(line["occurred_at"], "2026-11-21T12:00:00Z");
    assert_eq!(line["id"].as_str().unwrap().split('-').skip(1).collect::<Vec<_>>(), ["1", "0"]);
    for (member, value) in [
        ("kind", json!("sale")),
        ("purchase", json!(256)),
        ("business_key", json!("inv:in/256")),
        ("affiliate", json!("aff_maya")),
        ("code", json!("MAYA20")),
        ("currency", json!("usd")),
        ("net_minor", json!(1_000)),
        ("commission_minor", json!(200)),
        ("rule_rev", json!(0)),
    ] {
        assert_eq!(line[member], value, "{member}");
    }
    assert_eq!((body["lines"].as_array().unwrap().len(), &body["next"]), (1, &json!(null)));

    let (_, _, body) = api.get(&key, "/api/v1/purchases?limit=1").await;
    assert_eq!(body["purchases"][0]["business_key"], "inv:in/512");
    assert_eq!((&body["purchases"][0]["currency"], &body["purchases"][0]["minor_digits"]), (&json!("jpy"), &json!(0)));
    let next = body["next"].as_str().unwrap().to_owned();
    let (_, _, body) = api.get(&key, &format!("/api/v1/purchases?limit=1&cursor={next}")).await;
    assert_eq!((&body["purchases"][0]["commissionable_minor"], &body["next"]), (&json!(1_000), &json!(null)));
    let (_, _, body) =
        api.get(&key, "/api/v1/purchases?code=leo50&outcome=credited&currency=JPY&redemptions_only=true").await;
    assert_eq!(body["purchases"].as_array().unwrap().len(), 1);

    let (_, _, body) = api.get(&key, "/api/v1/outcomes").await;
    assert_eq!(body["purchases"], json!({"credited": 2, "organic": 0, "rejected": 0, "waiting": 0}));
    let deliveries = json!({"counted": 5, "no_effect": 0, "ignored": 0, "waiting": 0, "refused": 2, "decisions": 0});
    assert_eq!((&body["deliveries"], &body["records"]), (&deliveries, &json!(7)));
}

#[tokio::test]
async fn names_in_paths_may_hold_colons_and_slashes() {
    let (api, key) = api_with_sales().await;
    for path in ["inv:in_1", "inv%3Ain_1", "inv:a/b", "inv:a%2Fb", "inv:%C3%BC%20x"] {
        let (status, _, body) = api.get(&key, &format!("/api/v1/purchases/{path}")).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        let name = body["business_key"].as_str().unwrap();
        assert!(["inv:in_1", "inv:a/b", "inv:ü x"].contains(&name), "{name}");
    }
    assert_eq!(api.get(&key, "/api/v1/deliveries/evt_1:x").await.2["event_id"], "evt_1:x");
    assert_eq!(api.get(&key, "/api/v1/status").await.2["settled"], true);
    for missing in ["/api/v1/purchases/pi_9", "/api/v1/deliveries/none", "/api/v1/nothing"] {
        let (status, _, body) = api.get(&key, missing).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{missing}");
        assert!(body["error"]["message"].is_string());
    }
}

#[tokio::test]
async fn only_a_known_key_gets_an_answer() {
    let (api, key) = api_with_sales().await;
    let request = |header: Option<&str>| {
        let builder = Request::get("/api/v1/totals");
        let builder = header.into_iter().fold(builder, |builder, value| builder.header("authorization", value));
        builder.body(Body::empty()).unwrap()
    };
    let long = format!("Bearer {}", "x".repeat(500));
    for header in
        [None, Some("Bearer "), Some("Bearer atk_wrong"), Some(key.as_str()), Some("Basic abc"), Some(long.as_str())]
    {
        let (status, headers, body) = api.send(request(header)).await;
        assert_eq!((status, &body["error"]["code"]), (StatusCode::UNAUTHORIZED, &json!("unauthorized")), "{header:?}");
        assert_eq!(headers["www-authenticate"], "Bearer");
    }
    assert_eq!(api.send(request(Some(&format!("bearer {key}")))).await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_field() {
    let (api, key) = api_with_sales().await;
    for (path, field) in [
        ("totals?from=yesterday", "from"),
        ("totals?from=2026-11-21&to=2026-11-20", "to"),
        ("totals?from=1960-01-01&to=2026-11-20", "from"),
        ("totals?to=9999-12-31", "from"),
        ("totals?time_zone=Berlin", "time_zone"),
        ("totals?group=week", "group"),
        ("totals?grp=day", "grp"),
        ("lines?limit=501", "limit"),
        ("lines?cursor=nonsense", "cursor"),
        ("lines?cursor=p.1.1.1.1", "cursor"),
        ("lines?purchase=nothing", "purchase"),
        ("lines?affiliate=aff_nobody", "affiliate"),
        ("purchases?outcome=merged", "outcome"),
        ("purchases?currency=dollar", "currency"),
        ("purchases?limit=1&limit=2", "limit"),
        ("outcomes?x=1", "x"),
    ] {
        let (status, _, body) = api.get(&key, &format!("/api/v1/{path}")).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (StatusCode::BAD_REQUEST, &json!("bad_parameter")),
            "{path}: {body}"
        );
        assert_eq!(body["error"]["field"], field, "{path}");
    }
    let post =
        Request::post("/api/v1/totals").header("authorization", format!("Bearer {key}")).body(Body::empty()).unwrap();
    assert_eq!(api.send(post).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_key_has_a_budget() {
    let api = TestApi::with_budget(budget(2)).await;
    let acme = api.vendor("acme", Mode::Live).await;
    let (first, second) = (api.key(&acme).await, api.key(&acme).await);
    assert_eq!(api.get(&first, "/api/v1/status").await.1["ratelimit-remaining"], "1");
    assert_eq!(api.get(&first, "/api/v1/status").await.0, StatusCode::OK);
    let (status, headers, body) = api.get(&first, "/api/v1/status").await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("too_many_requests")));
    assert!(headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(api.get(&second, "/api/v1/status").await.0, StatusCode::OK, "another key has a budget of its own");
}
