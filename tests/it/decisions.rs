//! Decisions from the command line, in whatever order with deliveries.

use crate::instance::{Instance, maya, session};
use serde_json::{Value, json};

fn figure<'a>(totals: &'a Value, group: &str, member: &str) -> &'a Value {
    let rows = totals["rows"].as_array().map_or(&[][..], Vec::as_slice);
    rows.iter().find(|row| row["group"] == group).map_or(&Value::Null, |row| &row["totals"][0][member])
}

#[tokio::test]
async fn a_late_mapping_moves_the_money_and_another_move_goes_back() {
    let it = Instance::start().await;
    let acme = it.vendor("acme", json!([])).await;
    for n in 0..7 {
        assert!(it.deliver(&acme, &session(&format!("s{n}"), json!({})).to_string()).await.status < 300);
    }
    acme.settle().await;
    let before = acme.api.get(&["totals"], &[("group", "affiliate")]).await.unwrap();
    assert_eq!(figure(&before, "", "revenue_minor"), &json!(34_300), "{before}");
    let file = it.folder.path().join("decisions.json");
    std::fs::write(&file, json!({"vendor": "acme", "decisions": maya()}).to_string()).unwrap();
    let (done, text) = it.command(&["decide", file.to_str().unwrap()]).await;
    assert!(done, "{text}");
    acme.settle().await;
    let after = acme.api.get(&["totals"], &[("group", "affiliate")]).await.unwrap();
    assert_eq!(figure(&after, "aff_maya", "revenue_minor"), &json!(34_300), "{after}");
    assert_eq!(figure(&after, "aff_maya", "commission_minor"), &json!(6_860), "{after}");
    assert_eq!(figure(&after, "aff_maya", "redemptions"), &json!(7), "{after}");
    let moved = json!([
        {"decide": "affiliate", "key": "aff_leo", "name": "Leo"},
        {"decide": "map", "provider": "stripe", "code": "MAYA20", "promotion_code_id": "promo_maya", "coupon_id": "MAYA_20", "affiliate": "aff_leo", "valid_from": "2025-01-01T00:00:00Z"},
    ]);
    std::fs::write(&file, json!({"vendor": "acme", "decisions": moved}).to_string()).unwrap();
    assert!(it.command(&["decide", file.to_str().unwrap()]).await.0);
    acme.settle().await;
    let last = acme.api.get(&["totals"], &[("group", "affiliate")]).await.unwrap();
    assert_eq!(figure(&last, "aff_leo", "commission_minor"), &json!(6_860), "{last}");
    let purchase = acme.api.get(&["purchases", "pi:pi_s0"], &[]).await.unwrap();
    let kinds: Vec<&str> =
        purchase["lines"].as_array().unwrap().iter().filter_map(|line| line["kind"].as_str()).collect();
    assert_eq!(kinds, ["sale", "move_out", "move_in", "move_out", "move_in"]);
}

#[tokio::test]
async fn what_is_delivered_right_after_a_decision_is_booked_once() {
    let it = Instance::start().await;
    let acme = it.vendor("acme", json!([])).await;
    let socket = it.product.socket();
    for n in 0..10 {
        let (id, code) = (format!("n{n}"), format!("CODE{n}"));
        let promotion = format!("promo_{n}");
        let decisions = json!([
            {"decide": "affiliate", "key": format!("aff_{n}"), "name": "Somebody"},
            {"decide": "map", "provider": "stripe", "code": code, "promotion_code_id": promotion, "affiliate": format!("aff_{n}")},
        ]);
        let answer = socket.post("/v1/decide", &json!({"vendor": "acme", "decisions": decisions})).await.unwrap();
        assert_eq!(answer["in_log"], true, "{answer}");
        let sale = session(&id, json!({"discounts": [{"coupon": null, "promotion_code": promotion}]}));
        assert!(it.deliver(&acme, &sale.to_string()).await.status < 300);
        acme.settle().await;
        let purchase = acme.api.get(&["purchases", &format!("pi:pi_{id}")], &[]).await.unwrap();
        let kinds: Vec<&str> =
            purchase["lines"].as_array().unwrap().iter().filter_map(|line| line["kind"].as_str()).collect();
        assert_eq!(kinds, ["sale"], "{purchase}");
        assert_eq!(purchase["affiliate"], format!("aff_{n}"));
    }
}

#[tokio::test]
async fn mistakes_in_a_decide_file_name_their_place_and_change_nothing() {
    let it = Instance::start().await;
    let acme = it.vendor("acme", maya()).await;
    let file = it.folder.path().join("wrong.json");
    let wrong = json!([{"decide": "affiliate", "key": "aff_new", "name": "New"}, {"decide": "map", "code": "X", "affiliate": "aff_nobody"}]);
    std::fs::write(&file, wrong.to_string()).unwrap();
    let (done, text) = it.command(&["decide", file.to_str().unwrap(), "--vendor", "acme"]).await;
    assert!(!done && text.contains("decisions[1].affiliate") && text.contains("aff_nobody"), "{text}");
    acme.settle().await;
    let outcomes = acme.api.get(&["outcomes"], &[]).await.unwrap();
    assert_eq!(outcomes["deliveries"]["decisions"], 3, "two of Maya and one connection: {outcomes}");
}

#[tokio::test]
async fn a_review_before_its_purchase_waits_for_it() {
    let it = Instance::start().await;
    let review = json!({"decide": "review", "mode": "test", "purchase": "pi:pi_later", "verdict": "reject", "reason": "own purchase"});
    let acme = it.vendor("acme", json!([maya()[0], maya()[1], review])).await;
    assert!(it.deliver(&acme, &session("later", json!({})).to_string()).await.status < 300);
    acme.settle().await;
    let purchase = acme.api.get(&["purchases", "pi:pi_later"], &[]).await.unwrap();
    assert_eq!(
        (&purchase["outcome"], &purchase["reason"], &purchase["commission_minor"]),
        (&json!("rejected"), &json!("own purchase"), &json!(0))
    );
    let (explained, text) = it.command(&["explain", "pi:pi_later", "--vendor", "acme"]).await;
    assert!(explained && text.contains("rejected") && text.contains("belongs to Maya"), "{text}");
}

#[tokio::test]
async fn a_key_sees_its_own_vendor_and_mode_only() {
    let it = Instance::start().await;
    let (acme, other) = (it.vendor("acme", maya()).await, it.vendor("other", maya()).await);
    it.deliver(&acme, &session("mine", json!({})).to_string()).await;
    acme.settle().await;
    for path in [["purchases", "pi:pi_mine"], ["deliveries", "evt_mine"]] {
        assert!(acme.api.find(&path).await.unwrap().is_some(), "{path:?}");
        assert!(other.api.find(&path).await.unwrap().is_none(), "{path:?}");
    }
    let key = it
        .product
        .socket()
        .post("/v1/api-keys", &json!({"vendor": "acme", "mode": "live", "name": "live"}))
        .await
        .unwrap();
    let live = corpus::client::JsonApi::new(it.http.clone(), it.product.url(), key["key"].as_str().unwrap());
    assert!(live.find(&["purchases", "pi:pi_mine"]).await.unwrap().is_none());
    assert_eq!(live.get(&["totals"], &[]).await.unwrap()["rows"], json!([]));
    assert_eq!(it.get(&format!("{}/api/v1/totals", it.product.url())).await.status, 401);
}
