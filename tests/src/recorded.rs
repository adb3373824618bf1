//! The recorded events of all providers, with the providers' answers and the catalogue.

use crate::scene::Step;
use crate::stripe::{Reading, answer, connected, read_body};
use corpus::folder::{Corpus, read_corpus};
use domain::decision::{Decision, MapCode, SetAffiliate, SetConnection};
use domain::ids::{AffiliateId, CodeId, ConnectionId, Mode, Provider};
use std::collections::BTreeMap;
use std::path::Path;

/// The folder, read.
pub fn corpus() -> Corpus {
    read_corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/webhooks")).unwrap()
}

/// How the events read, by their position.
pub fn readings(corpus: &Corpus) -> Vec<Reading> {
    let read = |event: &corpus::folder::EventCase| {
        read_body(Provider::from_name(event.provider.name()).unwrap(), Mode::from_livemode(event.livemode), &event.body)
    };
    corpus.events.iter().map(read).collect()
}

/// The answers to questions, of both modes.
pub fn answers(corpus: &Corpus) -> BTreeMap<String, Vec<Step>> {
    let mut answers: BTreeMap<String, Vec<Step>> = BTreeMap::new();
    for (request, given) in &corpus.answers {
        let provider = match request.as_str() {
            paddle if paddle.starts_with("GET /discounts/") => Provider::Paddle,
            lemon if lemon.starts_with("GET /v1/discount-redemptions") => Provider::LemonSqueezy,
            _ => Provider::Stripe,
        };
        let body = (given.status == 200).then(|| serde_json::from_slice(&given.body).unwrap());
        for mode in [Mode::Test, Mode::Live] {
            answers.entry(request.clone()).or_default().push(answer(
                provider,
                mode,
                request,
                1_780_000_000_000,
                body.as_ref(),
            ));
        }
    }
    answers
}

/// Connections, affiliates and mappings of the folder.
pub fn decisions(corpus: &Corpus) -> Vec<Decision> {
    let mut decisions = vec![connected()];
    for (connection, provider) in [(2, Provider::Paddle), (3, Provider::LemonSqueezy)] {
        let connection = ConnectionId(connection);
        decisions.push(Decision::SetConnection(SetConnection {
            connection,
            provider,
            account: None,
            history_from: None,
            can_look_up: true,
            closed_at: None,
        }));
    }
    let mut handles: BTreeMap<&str, AffiliateId> = BTreeMap::new();
    for handle in corpus.catalogue.iter().filter_map(|entry| entry.affiliate.as_deref()) {
        let next = AffiliateId(handles.len() as u64 + 1);
        if handles.contains_key(handle) {
            continue;
        }
        handles.insert(handle, next);
        let (key, name) = (handle.to_owned(), handle.to_owned());
        decisions.push(Decision::SetAffiliate(SetAffiliate { affiliate: next, key, name, suspended_at: None }));
    }
    for (number, entry) in (1..).zip(&corpus.catalogue) {
        decisions.push(Decision::MapCode(MapCode {
            code_id: CodeId(number),
            provider: entry.provider.as_deref().and_then(Provider::from_name),
            code: entry.code.clone(),
            promotion_code_id: entry.promotion_code_id.clone(),
            coupon_id: entry.coupon_id.clone(),
            referral_key: entry.referral_key.clone(),
            affiliate: entry.affiliate.as_deref().map(|handle| handles[handle]),
            valid_from: None,
            valid_to: None,
        }));
    }
    decisions
}
