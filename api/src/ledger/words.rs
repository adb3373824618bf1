//! What decided, in words.

use super::Reached;
use domain::decision::{Base, Duration, Rate, SetRule};
use domain::decisions::Numbered;
use domain::money::Currency;
use domain::target::{Attribution, Candidate, CandidateVerdict, How, PurchaseTarget};

/// Which discounts were considered, which won, and why.
pub(super) fn attribution(reached: &Reached, purchase: &PurchaseTarget) -> Vec<String> {
    let found = &purchase.attribution;
    let mut sentences: Vec<String> =
        found.candidates.iter().map(|candidate| candidate_words(reached, purchase, candidate)).collect();
    if let Some(key) = &found.referral {
        let verb = if found.how == How::Link { "credits" } else { "does not decide: a code comes first" };
        sentences.push(format!("The referral key `{key}` was seen; it {verb}."));
    }
    sentences.push(match found.how {
        How::PromotionCode => format!("Credited to {} through the code.", affiliate(reached, found)),
        How::Coupon => format!("Credited to {}: the coupon belongs to nobody else.", affiliate(reached, found)),
        How::Link => format!("Credited to {} through the link.", affiliate(reached, found)),
        How::Subscription => {
            format!("Credited to {}, who brought the subscription's first sale.", affiliate(reached, found))
        }
        How::None if sentences.is_empty() => "No code and no link was used: nobody brought this purchase.".to_owned(),
        How::None => "None of them belongs to an affiliate.".to_owned(),
        How::Pending => "The provider still has to say which code it was; nobody is credited until then.".to_owned(),
    });
    sentences
}

fn candidate_words(reached: &Reached, purchase: &PurchaseTarget, candidate: &Candidate) -> String {
    let found = &purchase.attribution;
    let discount = &candidate.discount;
    let name = discount
        .code
        .as_ref()
        .or(discount.promotion_code.as_ref())
        .or(discount.coupon.as_ref())
        .or(discount.id.as_ref());
    let name = name.map_or("A discount without a name", String::as_str);
    let taken = discount
        .amount
        .map_or(String::new(), |amount| format!(" (took off {})", money(amount, purchase.sale.currency)));
    match &candidate.verdict {
        CandidateVerdict::Mapped { affiliate: owner, .. } if Some(*owner) == found.affiliate => {
            format!("{name}{taken} belongs to {}.", affiliate(reached, found))
        }
        CandidateVerdict::Mapped { affiliate: owner, .. } => {
            format!("{name}{taken} belongs to {}, but another discount comes first.", name_of(reached, *owner))
        }
        CandidateVerdict::House => format!("{name}{taken} is a house code."),
        CandidateVerdict::Ambiguous => format!("{name}{taken} is shared by several affiliates and decides nothing."),
        CandidateVerdict::Unknown => format!("{name}{taken}: which code it is is not known yet."),
    }
}

fn name_of(reached: &Reached, id: domain::ids::AffiliateId) -> String {
    reached.decisions.affiliates.get(&id).map_or_else(|| format!("affiliate {id}"), |known| known.name.clone())
}

fn affiliate(reached: &Reached, found: &Attribution) -> String {
    found.affiliate.map_or_else(|| "nobody".to_owned(), |id| name_of(reached, id))
}

/// Minor units as people write them: `2.90 USD`. Of a currency whose digits are not known, the minor units and that they are.
fn money(minor: i64, currency: Currency) -> String {
    fine_money(i128::from(minor), 0, currency)
}

/// The same for `amount / 10^finer` minor units: `2.9005 USD`. Exact, without zeros at the end that say nothing.
fn fine_money(amount: i128, finer: usize, currency: Currency) -> String {
    let digits = currency.minor_digits().map_or(0, usize::from);
    let padded = format!("{:0>width$}", amount.unsigned_abs(), width = digits + finer + 1);
    let (whole, fraction) = padded.split_at(padded.len() - digits - finer);
    let (shown, finer) = fraction.split_at(digits);
    let fraction = format!("{shown}{}", finer.trim_end_matches('0'));
    let sign = if amount < 0 { "−" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    let unit = if currency.minor_digits().is_some() { "" } else { " minor units" };
    format!("{sign}{whole}{point}{fraction} {}{unit}", currency.as_str().to_ascii_uppercase())
}

/// The mapping decision that held.
pub(super) fn mapping(reached: &Reached, purchase: &PurchaseTarget) -> String {
    let Some(seq) = purchase.attribution.mapping_seq else { return String::new() };
    let Some(Numbered { decision, .. }) = reached.decisions.mappings.iter().find(|mapping| mapping.seq == seq) else {
        return String::new();
    };
    let what = decision
        .code
        .as_ref()
        .or(decision.promotion_code_id.as_ref())
        .or(decision.coupon_id.as_ref())
        .or(decision.referral_key.as_ref());
    let since = decision
        .valid_from
        .map_or_else(|| "always".to_owned(), |from| format!("from {}", super::purchase::moment(from)));
    let owner = decision.affiliate.map_or_else(|| "the house".to_owned(), |id| name_of(reached, id));
    format!("Decision {seq}: {} belongs to {owner}, {since}.", what.map_or("it", String::as_str))
}

/// The rule that held at the sale's time.
pub(super) fn rule(purchase: &PurchaseTarget) -> String {
    let rule = &purchase.rule;
    let mut words = format!("{}: {} of {}, {}", revision(rule), rate(rule), base(rule), duration(rule));
    if purchase.attribution.affiliate.is_some() && !purchase.rule_reaches {
        words.push_str(" — this sale is past it and earns nothing");
    }
    words.push('.');
    words
}

fn revision(rule: &SetRule) -> String {
    if rule.rev == 0 { "The product's default rule".to_owned() } else { format!("Rule {}", rule.rev) }
}

/// Parts per million as a percentage, without a float.
fn percent(ppm: u32) -> String {
    let (whole, part) = (ppm / 10_000, ppm % 10_000);
    let digits = format!("{part:04}");
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() { format!("{whole} %") } else { format!("{whole}.{digits} %") }
}

fn rate(rule: &SetRule) -> String {
    match &rule.rate {
        None => "nothing".to_owned(),
        Some(Rate::Percent { ppm }) => percent(*ppm),
        Some(Rate::Flat { amounts }) => {
            let list: Vec<String> = amounts.iter().map(|(currency, amount)| money(*amount, *currency)).collect();
            list.join(", ")
        }
    }
}

fn base(rule: &SetRule) -> &'static str {
    match rule.base {
        Base::Net => "net revenue",
        Base::Gross => "gross revenue",
    }
}

fn duration(rule: &SetRule) -> String {
    match rule.duration {
        Duration::FirstPayment => "for the first payment".to_owned(),
        Duration::Months(1) => "for one month from the first payment".to_owned(),
        Duration::Months(months) => format!("for {months} months from the first payment"),
        Duration::Life => "for every payment".to_owned(),
    }
}

/// The rounding step as arithmetic.
pub(super) fn rounding(purchase: &PurchaseTarget) -> Vec<String> {
    let sale = &purchase.sale;
    let (full, left, name) = match purchase.rule.base {
        Base::Net => (sale.net, sale.net - purchase.reversed, "net"),
        Base::Gross => (sale.gross, purchase.components.iter().map(|part| part.amounts.gross).sum(), "gross"),
    };
    let money = |minor: i64| money(minor, sale.currency);
    let mut steps = Vec::new();
    if sale.paid < sale.gross && sale.gross > 0 {
        let before = money(sale.gross - sale.tax - sale.shipping);
        let (paid, total, net) = (money(sale.paid), money(sale.gross), money(sale.net));
        steps.push(format!("Net: {before} × {paid} paid / {total} total = {net}, rounded half up"));
    }
    if purchase.attribution.affiliate.is_none() || !purchase.rule_reaches {
        return steps;
    }
    let commission = money(purchase.commission);
    match &purchase.rule.rate {
        Some(Rate::Percent { ppm }) => {
            let product = i128::from(left) * i128::from(*ppm);
            let exact = fine_money(product, 6, sale.currency);
            let rounded = if product % 1_000_000 == 0 {
                "nothing to round".to_owned()
            } else {
                format!("rounded half up to {commission}")
            };
            steps.push(format!("Commission: {} {name} × {} = {exact}, {rounded}", money(left), percent(*ppm)));
        }
        Some(Rate::Flat { amounts }) => {
            let flat = money(amounts.get(&sale.currency).copied().unwrap_or_default());
            steps.push(format!(
                "Commission: {flat} flat × {} / {} {name} = {commission}, rounded half up",
                money(left),
                money(full)
            ));
        }
        None => {}
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_digits_of_their_currency() {
        for (minor, code, text) in [
            (290, "usd", "2.90 USD"),
            (-5, "eur", "−0.05 EUR"),
            (0, "usd", "0.00 USD"),
            (1500, "jpy", "1500 JPY"),
            (1_234_567, "kwd", "1234.567 KWD"),
            (1234, "zzz", "1234 ZZZ minor units"),
            (i64::MIN, "usd", "−92233720368547758.08 USD"),
        ] {
            assert_eq!(money(minor, Currency::parse(code).unwrap()), text);
        }
    }

    #[test]
    fn what_is_rounded_away_is_shown() {
        for (millionths, code, text) in [
            (522_000_000, "usd", "5.22 USD"),
            (522_500_000, "usd", "5.225 USD"),
            (-500_000, "usd", "−0.005 USD"),
            (1, "usd", "0.00000001 USD"),
            (1_500_000, "jpy", "1.5 JPY"),
            (2_000_000, "jpy", "2 JPY"),
        ] {
            assert_eq!(fine_money(millionths, 6, Currency::parse(code).unwrap()), text);
        }
        assert_eq!([200_000, 12_500, 1].map(percent), ["20 %", "1.25 %", "0.0001 %"]);
    }
}
