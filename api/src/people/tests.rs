use super::*;
use domain::decision::{Base, Duration, Rate};
use domain::ids::Provider;

fn affiliate(id: u64, key: &str) -> AffiliateInfo {
    let email = Some(format!("{key}@example.com"));
    AffiliateInfo { id: AffiliateId(id), key: key.into(), name: key.to_uppercase(), suspended: false, email }
}

fn map(code: u64, text: &str, affiliate: u64, from: Option<i64>) -> MapCode {
    MapCode {
        code_id: CodeId(code),
        provider: None,
        code: Some(text.into()),
        promotion_code_id: None,
        coupon_id: None,
        referral_key: None,
        affiliate: (affiliate > 0).then_some(AffiliateId(affiliate)),
        valid_from: from.map(Timestamp),
        valid_to: None,
    }
}

fn rule(rev: u32, scope: RuleScope, from: i64, ppm: Option<u32>) -> RuleInfo {
    let rate = ppm.map(|ppm| Rate::Percent { ppm });
    let effective_from = Timestamp(from);
    let rule = SetRule { rev, scope, effective_from, rate, duration: Duration::Life, base: Base::Net };
    RuleInfo { rule, actor: "test".into(), decided_at: Timestamp(0) }
}

fn roster(mappings: Vec<MapCode>, rules: Vec<RuleInfo>) -> Roster {
    let affiliates = vec![affiliate(1, "anna"), affiliate(2, "ben")];
    Roster { affiliates, codes: Vec::new(), mappings, rules, policy: SetPolicy::default() }
}

fn shown(holdings: &[Holding]) -> Vec<(u64, Option<i64>, Option<i64>)> {
    let of = |holding: &Holding| {
        (holding.affiliate.map_or(0, |id| id.0), holding.from.map(|at| at.0), holding.until.map(|at| at.0))
    };
    holdings.iter().map(of).collect()
}

#[test]
fn a_moved_code_has_two_holders_one_after_the_other() {
    let moved = roster(vec![map(7, "ANNA", 1, None), map(7, "ANNA", 2, Some(100))], Vec::new());
    assert_eq!(shown(&moved.holdings()), [(1, None, Some(100)), (2, Some(100), None)]);
    let wholly = roster(vec![map(7, "ANNA", 1, Some(50)), map(7, "ANNA", 2, None)], Vec::new());
    assert_eq!(shown(&wholly.holdings()), [(2, None, None)], "what was decided later covers it");
    let again = roster(vec![map(7, "ANNA", 1, None), map(7, "ANNA", 1, Some(100))], Vec::new());
    assert_eq!(shown(&again.holdings()), [(1, None, None)], "saying the same again changes nothing");
    let ended = MapCode { valid_to: Some(Timestamp(20)), ..map(7, "ANNA", 2, Some(10)) };
    let between = roster(vec![map(7, "ANNA", 1, None), ended], Vec::new());
    assert_eq!(shown(&between.holdings()), [(1, None, Some(10)), (2, Some(10), Some(20)), (1, Some(20), None)]);
}

#[test]
fn each_provider_may_know_another_owner() {
    let stripe = MapCode { provider: Some(Provider::Stripe), ..map(7, "ANNA", 1, None) };
    let two = roster(vec![map(7, "ANNA", 2, None), stripe], Vec::new());
    let mut seen: Vec<_> = two.holdings().iter().map(|holding| (holding.provider, holding.affiliate)).collect();
    seen.sort();
    assert_eq!(seen, [(None, Some(AffiliateId(2))), (Some(Provider::Stripe), Some(AffiliateId(1)))]);
    let one = roster(vec![MapCode { provider: Some(Provider::Stripe), ..map(7, "ANNA", 1, None) }], Vec::new());
    assert_eq!(one.holdings().len(), 1);
    let stripe = |affiliate, from| MapCode { provider: Some(Provider::Stripe), ..map(7, "ANNA", affiliate, from) };
    let given = roster(vec![stripe(1, None), map(7, "ANNA", 2, Some(100)), stripe(2, Some(100))], Vec::new());
    let mut seen: Vec<_> = given.holdings().iter().map(|holding| (holding.provider, holding.affiliate)).collect();
    seen.sort();
    let expected = [(None, Some(AffiliateId(2))), (Some(Provider::Stripe), Some(AffiliateId(1)))];
    assert_eq!(seen, expected, "theirs everywhere, not at one provider only");
}

#[test]
fn a_given_code_takes_its_ids_along() {
    let with_ids = MapCode {
        provider: Some(Provider::Stripe),
        promotion_code_id: Some("promo_1".into()),
        ..map(7, "ANNA", 1, None)
    };
    let roster = roster(vec![with_ids], Vec::new());
    let given = GivenCode {
        code: Some("anna".into()),
        affiliate: Some("ben".into()),
        from: Some(Timestamp(5)),
        ..Default::default()
    };
    let inputs = roster.give(&given);
    assert_eq!(inputs.len(), 2, "the text everywhere, and the ids at Stripe: {inputs:?}");
    assert!(inputs.iter().all(|input| input.affiliate.as_deref() == Some("ben")));
    assert!(inputs.iter().all(|input| input.valid_from == Some(Moment(Timestamp(5)))));
    assert_eq!(inputs[1].promotion_code_id.as_deref(), Some("promo_1"));
    let fresh = GivenCode { code: Some("NEW".into()), ..given };
    assert_eq!(roster.give(&fresh).len(), 1);
}

#[test]
fn rules_follow_each_other_and_the_narrower_decides() {
    let anna = RuleScope::Affiliate(AffiliateId(1));
    let rules = vec![
        rule(1, RuleScope::Vendor, 0, Some(100)),
        rule(2, RuleScope::Vendor, 50, Some(200)),
        rule(3, RuleScope::Vendor, 50, Some(300)),
        rule(4, anna, 20, Some(400)),
        rule(5, anna, 60, None),
    ];
    let roster = roster(Vec::new(), rules);
    let rev = |affiliate, at| roster.rule_at(affiliate, Timestamp(at)).rev;
    assert_eq!((rev(None, 49), rev(None, 50), rev(Some(AffiliateId(2)), 70)), (1, 3, 3));
    assert_eq!((rev(Some(AffiliateId(1)), 10), rev(Some(AffiliateId(1)), 30)), (1, 4));
    assert_eq!(rev(Some(AffiliateId(1)), 70), 3, "taken away again");
    let never: Vec<bool> = roster.spans(RuleScope::Vendor).iter().map(|span| span.until == Some(span.from())).collect();
    assert_eq!(never, [false, true, false]);
    assert_eq!(Roster { rules: Vec::new(), ..roster }.rule_at(None, Timestamp(0)).rev, 0, "the product's own");
}

#[test]
fn handles_are_made_of_names_and_differ() {
    let taken = ["anna-lind", "anna-lind-2"];
    let handle = |name: &str| new_handle(name, |handle| taken.contains(&handle));
    assert_eq!(handle(" Anna  Lind! "), "anna-lind-3");
    assert_eq!(handle("Zoë & Co"), "zoë-co");
    assert_eq!(handle("…"), "affiliate");
    assert_eq!(handle("New"), "affiliate-new");
}
