//! The form of a commission rule: for everybody, for one affiliate or for one code.

use super::desk::{Desk, Problems};
use super::field::{Entry, Field};
use api::people::words;
use askama::Template;
use domain::decision::{Base, Duration, Rate, SetRule};
use domain::money::{Currency, is_accepted_amount};
use serde::Deserialize;
use std::collections::BTreeMap;
use store::control::input::{Moment, RuleInput, ScopeInput, percent_to_ppm};

/// Currencies of one flat rule.
const MAX_CURRENCIES: usize = 30;
/// Fields beside which something can be said.
const FIELDS: [&str; 6] = ["kind", "percent", "flat", "duration", "months", "from"];

/// As posted.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct TypedRule {
    #[serde(default)]
    pub csrf: String,
    /// `percent`, `flat` or `none`.
    #[serde(default)]
    pub kind: String,
    #[serde(default)]
    pub percent: String,
    #[serde(default)]
    pub flat: String,
    /// `net` or `gross`.
    #[serde(default)]
    pub base: String,
    /// `life`, `first_payment` or `months`.
    #[serde(default)]
    pub duration: String,
    #[serde(default)]
    pub months: String,
    #[serde(default)]
    pub from: String,
}

impl TypedRule {
    /// What a rule looks like in the form; today is the day from which another one would hold.
    pub fn of(rule: &SetRule, desk: &Desk<'_>) -> TypedRule {
        let (kind, percent, flat) = match &rule.rate {
            Some(Rate::Percent { ppm }) => ("percent", words::percent(*ppm), String::new()),
            Some(Rate::Flat { .. }) => ("flat", String::new(), words::rate(rule)),
            None => ("percent", String::new(), String::new()),
        };
        let (duration, months) = match rule.duration {
            Duration::Life => ("life", String::new()),
            Duration::FirstPayment => ("first_payment", String::new()),
            Duration::Months(months) => ("months", months.to_string()),
        };
        TypedRule {
            csrf: String::new(),
            kind: kind.into(),
            percent,
            flat,
            base: if rule.base == Base::Gross { "gross" } else { "net" }.into(),
            duration: duration.into(),
            months,
            from: desk.today(),
        }
    }

    /// The decision, or what has to be changed.
    pub fn checked(&self, scope: ScopeInput, desk: &Desk<'_>) -> Result<RuleInput, Problems> {
        let mut problems = Problems::default();
        let rate = self.rate();
        let rate = rate.map_err(|(field, message)| problems.add(field, message)).ok();
        let duration = self.duration();
        let duration = duration.map_err(|(field, message)| problems.add(field, message)).ok();
        let from = problems.note("from", desk.typed_day(&self.from)).flatten();
        if from.is_none() && problems.of("from").is_empty() {
            problems.add("from", "Say from which day the rule holds.");
        }
        let (Some((percent_ppm, flat)), Some(duration), Some(from)) = (rate, duration, from) else {
            return Err(problems);
        };
        Ok(RuleInput {
            scope,
            percent: None,
            none: (percent_ppm.is_none() && flat.is_none()).then_some(true),
            percent_ppm,
            flat,
            duration: Some(duration),
            base: Some(if self.base == "gross" { Base::Gross } else { Base::Net }),
            effective_from: Some(Moment(from)),
        })
    }

    #[expect(clippy::type_complexity, reason = "the two members of the decision")]
    fn rate(&self) -> Result<(Option<u32>, Option<BTreeMap<Currency, i64>>), (&'static str, String)> {
        match self.kind.as_str() {
            "percent" => read_percent(&self.percent).map(|ppm| (Some(ppm), None)).map_err(|why| ("percent", why)),
            "flat" => read_flat(&self.flat).map(|amounts| (None, Some(amounts))).map_err(|why| ("flat", why)),
            "none" => Ok((None, None)),
            _ => Err(("kind", "Choose one.".to_owned())),
        }
    }

    fn duration(&self) -> Result<Duration, (&'static str, String)> {
        match self.duration.as_str() {
            "life" => Ok(Duration::Life),
            "first_payment" => Ok(Duration::FirstPayment),
            "months" => match self.months.trim().parse() {
                Ok(months @ 1..=1_200) => Ok(Duration::Months(months)),
                _ => Err(("months", "Write a whole number of months from 1 to 1200.".to_owned())),
            },
            _ => Err(("duration", "Choose one.".to_owned())),
        }
    }
}

/// A percentage, with or without its sign.
fn read_percent(typed: &str) -> Result<u32, String> {
    let digits = typed.trim().trim_end_matches('%').trim_end();
    percent_to_ppm(digits).map_err(|_| {
        "Write a percentage from 0 to 100, for example 12.5, with at most four digits after the point.".into()
    })
}

/// `5.00 USD, 4.50 EUR`: minor units per currency, exactly.
fn read_flat(typed: &str) -> Result<BTreeMap<Currency, i64>, String> {
    let mut amounts = BTreeMap::new();
    for entry in typed.split([',', ';', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
        let parts: Vec<&str> = entry.split_whitespace().collect();
        let [amount, code] = parts[..] else {
            return Err(format!("Write “{entry}” as amount and currency, for example 5.00 USD."));
        };
        let known = Currency::parse(code).and_then(|currency| Some((currency, currency.minor_digits()?)));
        let Some((currency, digits)) = known else { return Err(format!("{code} is no currency that we know.")) };
        let minor = read_minor(amount, usize::from(digits)).ok_or_else(|| match digits {
            0 => format!("{amount} is no amount of {code}; it has no digits after the point."),
            digits => {
                format!("{amount} is no amount of {code}; write it with at most {digits} digits after the point.")
            }
        })?;
        if amounts.insert(currency, minor).is_some() {
            return Err(format!("{code} is there twice."));
        }
    }
    match amounts.len() {
        0 => Err("Write an amount and its currency, for example 5.00 USD.".to_owned()),
        1..=MAX_CURRENCIES => Ok(amounts),
        _ => Err(format!("At most {MAX_CURRENCIES} currencies.")),
    }
}

fn read_minor(text: &str, digits: usize) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > digits || text.ends_with('.') || !are_digits(whole) || !are_digits(fraction)
    {
        return None;
    }
    let minor: i64 = format!("{whole}{fraction:0<digits$}").parse().ok()?;
    is_accepted_amount(minor).then_some(minor)
}

#[derive(Template)]
#[template(path = "rule_form.html")]
pub(crate) struct RuleForm {
    action: String,
    csrf: String,
    form_error: String,
    kinds: Vec<Entry>,
    kind_error: String,
    percent: Field,
    flat: Field,
    bases: Vec<Entry>,
    durations: Vec<Entry>,
    duration_error: String,
    months: Field,
    from: Field,
    button: &'static str,
}

impl RuleForm {
    /// As typed, with what is wrong. `without`: the words for taking the scope's own rule away, where that can be.
    pub fn new(
        typed: &TypedRule,
        problems: &Problems,
        desk: &Desk<'_>,
        action: String,
        without: Option<&str>,
        button: &'static str,
    ) -> RuleForm {
        let mut kinds = vec![
            Entry::new("percent", "Percentage", &typed.kind),
            Entry::new("flat", "Flat amount per sale", &typed.kind),
        ];
        kinds.extend(without.map(|words| Entry::new("none", words, &typed.kind)));
        let durations = [
            ("life", "Every payment, for life"),
            ("first_payment", "First payment only"),
            ("months", "Payments of the first months"),
        ];
        RuleForm {
            action,
            csrf: desk.csrf(),
            form_error: problems.beside(&FIELDS),
            kinds,
            kind_error: problems.of("kind"),
            percent: Field::new("rule-percent", "percent", "Percentage", &typed.percent, problems.of("percent"))
                .placeholder("20")
                .help("Where a percentage is chosen."),
            flat: Field::new("rule-flat", "flat", "Flat amount", &typed.flat, problems.of("flat"))
                .placeholder("5.00 USD, 4.50 EUR")
                .help("Where a flat amount is chosen. Other currencies earn nothing."),
            bases: vec![
                Entry::new("net", "Without tax and shipping", &typed.base),
                Entry::new("gross", "With tax and shipping", &typed.base),
            ],
            durations: durations.map(|(value, label)| Entry::new(value, label, &typed.duration)).into(),
            duration_error: problems.of("duration"),
            months: Field::new("rule-months", "months", "Months", &typed.months, problems.of("months"))
                .placeholder("12")
                .help("Where the first months are chosen."),
            from: Field::new("rule-from", "from", "For sales from", &typed.from, problems.of("from"))
                .kind("date")
                .required()
                .help(format!("From the beginning of that day in {}.", desk.time_zone())),
            button,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(text: &str) -> Option<i64> {
        read_flat(text).ok().map(|amounts| amounts[&Currency::parse("usd").unwrap()])
    }

    #[test]
    fn flat_amounts_are_read_exactly() {
        assert_eq!([usd("5 USD"), usd("5.5 usd"), usd("0.01 USD; 4 EUR")], [Some(500), Some(550), Some(1)]);
        assert_eq!(read_flat("700 JPY, 1.234 KWD").unwrap().into_values().collect::<Vec<_>>(), [700, 1234]);
        for text in [
            "",
            "5",
            "USD",
            "5.001 USD",
            "5. USD",
            "-5 USD",
            "5 USD, 6 USD",
            "5 ZZZ",
            "5.5 JPY",
            "9999999999999999 USD",
            "1e3 USD",
        ] {
            assert!(read_flat(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percentages_may_carry_their_sign() {
        assert_eq!(read_percent(" 12.5 % "), Ok(125_000));
        assert!(read_percent("%").is_err());
    }
}
