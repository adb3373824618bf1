//! What was set up at Stripe with a restricted key, in words: the endpoint, and reading what was before.

use crate::links::Link;
use crate::money::count;
use crate::stripe_keys::{ReadState, ReadStep, SetupView, StripeRead};
use crate::times;
use domain::ids::Timestamp;

/// One mode of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SetupCard {
    pub(crate) mode: &'static str,
    /// Who made the endpoint at Stripe.
    pub(crate) maker: &'static str,
    /// When it was last looked at; empty if never.
    pub(crate) looked_at: String,
    /// Types that Stripe does not send.
    pub(crate) missing_events: Vec<String>,
    pub(crate) reading: Option<ReadingCard>,
}

/// How far reading has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadingCard {
    /// `running`, `done` or `failed`.
    pub(crate) state: &'static str,
    /// Of a hundred.
    pub(crate) percent: i64,
    /// What is read now, or what was read.
    pub(crate) words: String,
    /// Why it rests or failed; empty otherwise.
    pub(crate) trouble: String,
    /// Where the button leads.
    pub(crate) action: String,
}

pub(crate) fn setup_card(view: &SetupView, vendor: &str, zone: &str, now: Timestamp) -> SetupCard {
    let webhook = &view.setup.webhook;
    SetupCard {
        mode: view.setup.mode.name(),
        maker: match (&webhook.id, webhook.made_by_us) {
            (None, _) => "Not made yet: paste the key once more",
            (Some(_), true) => "Made by AffiliTrack",
            (Some(_), false) => "Made by you at Stripe",
        },
        looked_at: webhook.set_up_at.map(|at| times::moment(at, zone)).unwrap_or_default(),
        missing_events: webhook.missing_events.clone(),
        reading: view.setup.read.as_ref().map(|read| reading_card(read, vendor, zone, now)),
    }
}

fn number(value: u64) -> String {
    count(i64::try_from(value).unwrap_or(i64::MAX))
}

fn reading_card(read: &StripeRead, vendor: &str, zone: &str, now: Timestamp) -> ReadingCard {
    let (codes, coupons, events) = (number(read.promotion_codes), number(read.coupons), number(read.events));
    let words = match read.state {
        ReadState::Running => match (read.step, read.oldest_at) {
            (ReadStep::PromotionCodes, _) => format!("Reading promotion codes: {codes} so far."),
            (ReadStep::Coupons, _) => format!("Reading coupons: {coupons} so far, and {codes} promotion codes."),
            (_, None) => format!("Reading the last 30 days: {events} events so far."),
            (_, Some(oldest)) => {
                format!("Reading the last 30 days: {events} events so far, back to {}.", times::moment(oldest, zone))
            }
        },
        ReadState::Done => format!(
            "Read {codes} promotion codes, {coupons} coupons, and {events} events of the 30 days before {}.",
            times::moment(read.began_at, zone)
        ),
        ReadState::Failed => {
            format!("Stopped after {codes} promotion codes, {coupons} coupons and {events} events.")
        }
    };
    let skipped = match read.skipped {
        0 => String::new(),
        skipped => format!(" {} could not be read and are not counted.", number(skipped)),
    };
    let trouble = match read.state {
        ReadState::Running if !read.reason.is_empty() => match read.rests_until.0 - now.0 {
            wait if wait > 0 => format!("{} It is tried again in {} s.", read.reason, wait.div_euclid(1000) + 1),
            _ => format!("{} It is being tried again.", read.reason),
        },
        ReadState::Failed => read.reason.clone(),
        ReadState::Running | ReadState::Done => String::new(),
    };
    ReadingCard {
        state: read.state.name(),
        percent: percent(read),
        words: words + &skipped,
        trouble,
        action: Link::to(&[vendor, "connections", &read.connection.to_string(), "read"]).build(),
    }
}

/// How much is read, of a hundred. How many codes there are nobody says beforehand; events go back in time.
fn percent(read: &StripeRead) -> i64 {
    let (from, to) = match (read.state, read.step) {
        (ReadState::Done, _) => return 100,
        (_, ReadStep::PromotionCodes) => return 2,
        (_, ReadStep::Coupons) => return 5,
        (_, ReadStep::MostEvents) => (8, 85),
        (_, ReadStep::OtherEvents) => (85, 99),
    };
    let whole = (read.began_at.0 - read.since.0).max(1);
    let back = read.oldest_at.map_or(0, |oldest| read.began_at.0 - oldest.0).clamp(0, whole);
    from + (to - from) * back / whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::{ConnectionId, Mode, VendorId};

    const DAY: i64 = 86_400_000;

    fn read() -> StripeRead {
        StripeRead {
            vendor: VendorId(1),
            connection: ConnectionId(2),
            mode: Mode::Test,
            state: ReadState::Running,
            step: ReadStep::PromotionCodes,
            after: None,
            oldest_at: None,
            since: Timestamp(0),
            began_at: Timestamp(30 * DAY),
            pages: 0,
            promotion_codes: 12,
            coupons: 3,
            events: 1_234,
            skipped: 0,
            tries: 0,
            rests_until: Timestamp(0),
            reason: String::new(),
            finished_at: None,
        }
    }

    #[test]
    fn the_bar_never_goes_back() {
        let mut seen = vec![percent(&read())];
        for step in [ReadStep::Coupons, ReadStep::MostEvents, ReadStep::OtherEvents] {
            for oldest in [None, Some(29 * DAY), Some(10 * DAY), Some(0), Some(-DAY)] {
                seen.push(percent(&StripeRead { step, oldest_at: oldest.map(Timestamp), ..read() }));
                if step == ReadStep::Coupons {
                    break;
                }
            }
        }
        seen.push(percent(&StripeRead { state: ReadState::Done, ..read() }));
        assert!(seen.is_sorted(), "{seen:?}");
        assert_eq!((seen[0], seen[seen.len() - 1]), (2, 100));
    }

    #[test]
    fn it_says_why_it_rests_and_what_was_left_out() {
        let now = Timestamp(30 * DAY);
        let rests = StripeRead {
            step: ReadStep::MostEvents,
            reason: "Stripe asked us to slow down.".into(),
            rests_until: Timestamp(now.0 + 4_500),
            skipped: 2,
            ..read()
        };
        let card = reading_card(&rests, "acme", "UTC", now);
        assert_eq!(card.trouble, "Stripe asked us to slow down. It is tried again in 5 s.");
        assert_eq!(
            card.words,
            "Reading the last 30 days: 1,234 events so far. 2 could not be read and are not counted."
        );
        assert_eq!(card.action, "/acme/connections/2/read");
    }
}
