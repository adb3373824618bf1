//! From what a person wrote to the decision that travels: names become numbers, "now"
//! becomes a time, and the row that pages read is written.

use super::database::{Database, DatabaseResult, values};
use super::input::*;
use super::rows::{names_of, scope_name};
use super::{ControlError, ControlResult, MailAddress, portal};
use domain::decision::*;
use domain::decisions::fold_code;
use domain::ids::{AffiliateId, CodeId, ConnectionId, Timestamp, VendorId};
use domain::money::is_accepted_amount;

const MAX_KEY_CHARACTERS: usize = 100;
const MAX_TEXT_CHARACTERS: usize = 200;
const MAX_REASON_CHARACTERS: usize = 2_000;
const MAX_OFFSETS: usize = 10_000;
const MAX_HOLD_DAYS: u16 = 3_650;
const MAX_MONTHS: u16 = 1_200;

/// Where a decision is made: inside the transaction that gave it its sequence.
pub(super) struct Deciding<'a> {
    pub(super) database: &'a dyn Database,
    pub(super) vendor: VendorId,
    pub(super) actor: &'a str,
    pub(super) now: Timestamp,
    pub(super) seq: u64,
}

impl Deciding<'_> {
    /// Writes the row of one decision. An error names the member without the index.
    pub(super) fn resolve(&self, input: DecisionInput) -> ControlResult<Decision> {
        match input {
            DecisionInput::Affiliate(input) => self.affiliate(input).map(Decision::SetAffiliate),
            DecisionInput::Map(input) => self.map(input).map(Decision::MapCode),
            DecisionInput::Rule(input) => self.rule(input).map(Decision::SetRule),
            DecisionInput::Policy(input) => self.policy(input).map(Decision::SetPolicy),
            DecisionInput::Review(input) => self.review(input).map(Decision::Review),
            DecisionInput::Adjust(input) => self.adjust(input).map(Decision::Adjust),
            DecisionInput::Campaign(input) => self.campaign(input).map(Decision::Campaign),
            DecisionInput::Retry(input) => Ok(Decision::Retry(Retry { offsets: checked_offsets(input.offsets)? })),
            DecisionInput::Waive(input) => {
                let reason = checked_text("reason", &input.reason, MAX_REASON_CHARACTERS)?;
                Ok(Decision::Waive(Waive { offsets: checked_offsets(input.offsets)?, reason }))
            }
        }
    }

    fn affiliate(&self, input: AffiliateInput) -> ControlResult<SetAffiliate> {
        let key = checked_text("key", &input.key, MAX_KEY_CHARACTERS)?;
        if key.chars().any(|character| character.is_whitespace() || character.is_control()) {
            return Err(ControlError::invalid("key", format!("`{key}` has a space or control character in it")));
        }
        let name = input.name.map(|name| checked_text("name", &name, MAX_TEXT_CHARACTERS)).transpose()?;
        let known = self.database.query_optional(
            "select name, suspended_at from affiliates where vendor = ?1 and key = ?2",
            values![self.vendor.0, &key],
        )?;
        if input.must_be_new && known.is_some() {
            return Err(ControlError::invalid("key", format!("there is an affiliate `{key}` already")));
        }
        let (known_name, known_suspension): (Option<String>, Option<i64>) = match known {
            Some(row) => (row.get(0)?, row.get(1)?),
            None => (None, None),
        };
        let name = name.or(known_name).unwrap_or_else(|| key.clone());
        let suspended_at = match input.suspended {
            None => known_suspension.map(Timestamp),
            Some(false) => None,
            Some(true) => Some(known_suspension.map_or(self.now, Timestamp)),
        };
        let stored = self.database.query_one(
            "insert into affiliates (vendor, key, name, suspended_at, created_at) values (?1, ?2, ?3, ?4, ?5)
             on conflict (vendor, key) do update set name = excluded.name, suspended_at = excluded.suspended_at
             returning id",
            values![self.vendor.0, &key, &name, suspended_at.map(|at| at.0), self.now.0],
        )?;
        if let Some(email) = input.email {
            let email = match email.trim() {
                "" => None,
                typed => Some(
                    MailAddress::parse(typed).map_err(|message| ControlError::invalid("email", message))?.to_string(),
                ),
            };
            let affiliate = AffiliateId(stored.get(0)?);
            portal::end_other_addresses(self.database, self.vendor, affiliate, email.as_deref(), self.now)?;
            self.database.execute("update affiliates set email = ?2 where id = ?1", values![affiliate.0, email])?;
        }
        Ok(SetAffiliate { affiliate: AffiliateId(stored.get(0)?), key, name, suspended_at })
    }

    fn map(&self, input: MapInput) -> ControlResult<MapCode> {
        let text = |field: &str, value: Option<String>| {
            value.map(|value| checked_text(field, &value, MAX_TEXT_CHARACTERS)).transpose()
        };
        let mut map = MapCode {
            code_id: CodeId(0),
            provider: input.provider,
            code: text("code", input.code)?,
            promotion_code_id: text("promotion_code_id", input.promotion_code_id)?,
            coupon_id: text("coupon_id", input.coupon_id)?,
            referral_key: text("referral_key", input.referral_key)?,
            affiliate: input.affiliate.map(|key| self.affiliate_by_key(&key)).transpose()?,
            valid_from: input.valid_from.map(|moment| moment.0),
            valid_to: input.valid_to.map(|moment| moment.0),
        };
        if [&map.code, &map.promotion_code_id, &map.coupon_id, &map.referral_key].iter().all(|name| name.is_none()) {
            return Err(ControlError::invalid(
                "code",
                "give at least one of `code`, `promotion_code_id`, `coupon_id`, `referral_key`",
            ));
        }
        if let (Some(from), Some(to)) = (map.valid_from, map.valid_to)
            && to <= from
        {
            return Err(ControlError::invalid("valid_to", "must be later than `valid_from`"));
        }
        map.code_id = self.code_of_mapping(&map)?;
        self.write_mapping(&map)?;
        Ok(map)
    }

    /// The code that a mapping is about: the one known by the text, else by the promotion
    /// code, else a new one. A coupon alone names a code of its own; beside a text or a
    /// promotion code it does not, because many codes share one coupon.
    fn code_of_mapping(&self, map: &MapCode) -> ControlResult<CodeId> {
        let names = names_of(map);
        let Some((_, first)) = names.first() else {
            return Ok(CodeId(0));
        };
        let shown = map.code.as_ref().unwrap_or(first);
        let mut known = None;
        for (kind, name) in &names {
            known = known.or(self.code_named(kind, name)?);
        }
        let code = match known {
            Some(code) => code,
            None => self.new_code(shown)?,
        };
        self.write_names(map, code)?;
        Ok(code)
    }

    fn new_code(&self, text: &str) -> ControlResult<CodeId> {
        let stored = self.database.query_one(
            "insert into codes (vendor, text, created_at) values (?1, ?2, ?3) returning id",
            values![self.vendor.0, text, self.now.0],
        )?;
        Ok(CodeId(stored.get(0)?))
    }

    fn code_named(&self, kind: &str, name: &str) -> ControlResult<Option<CodeId>> {
        let known = self.database.query_optional(
            "select code from code_names where vendor = ?1 and kind = ?2 and name = ?3",
            values![self.vendor.0, kind, name],
        )?;
        Ok(known.map(|row| row.get(0)).transpose()?.map(CodeId))
    }

    fn code_by_any_name(&self, field: &str, name: &str) -> ControlResult<CodeId> {
        let name = name.trim();
        for (kind, name) in
            [("code", fold_code(name)), ("promotion_code", name.to_owned()), ("coupon", name.to_owned())]
        {
            if let Some(code) = self.code_named(kind, &name)? {
                return Ok(code);
            }
        }
        Err(ControlError::invalid(field, format!("no code `{name}`; map it first")))
    }

    fn affiliate_by_key(&self, key: &str) -> ControlResult<AffiliateId> {
        let key = key.trim();
        let known = self
            .database
            .query_optional("select id from affiliates where vendor = ?1 and key = ?2", values![self.vendor.0, key])?;
        match known {
            Some(row) => Ok(AffiliateId(row.get(0)?)),
            None => Err(ControlError::invalid("affiliate", format!("no affiliate `{key}`; add it first"))),
        }
    }

    fn rule(&self, input: RuleInput) -> ControlResult<SetRule> {
        let rate = rate_of(&input)?;
        let duration = checked_duration(input.duration.unwrap_or(Duration::Life))?;
        let in_scope = |error: ControlError| match error {
            ControlError::Invalid { message, .. } => ControlError::invalid("scope", message),
            other => other,
        };
        let scope = match &input.scope {
            ScopeInput::Vendor => RuleScope::Vendor,
            ScopeInput::Affiliate(key) => RuleScope::Affiliate(self.affiliate_by_key(key).map_err(in_scope)?),
            ScopeInput::Code(name) => RuleScope::Code(self.code_by_any_name("scope", name)?),
        };
        let effective_from = match input.effective_from {
            Some(moment) => moment.0,
            None if self.has_rule(&scope_name(scope))? => self.now,
            None => Timestamp(0),
        };
        let counted = self.database.query_one(
            "update vendors set next_rule_rev = next_rule_rev + 1 where id = ?1 returning next_rule_rev - 1",
            values![self.vendor.0],
        )?;
        let rev: u32 = counted.get(0)?;
        let rule = SetRule { rev, scope, effective_from, rate, duration, base: input.base.unwrap_or_default() };
        self.write_rule(&rule)?;
        Ok(rule)
    }

    fn has_rule(&self, scope_name: &str) -> ControlResult<bool> {
        let found = self.database.query_optional(
            "select rev from rules where vendor = ?1 and scope = ?2 limit 1",
            values![self.vendor.0, scope_name],
        )?;
        Ok(found.is_some())
    }

    fn policy(&self, input: PolicyInput) -> ControlResult<SetPolicy> {
        let mut policy = super::reading::policy_in_force(self.database, self.vendor)?;
        if input.hold_days.is_none() && input.time_zone.is_none() {
            return Err(ControlError::invalid("hold_days", "give `hold_days`, `time_zone` or both"));
        }
        if let Some(days) = input.hold_days {
            if days > MAX_HOLD_DAYS {
                return Err(ControlError::invalid("hold_days", format!("{days} days; the limit is {MAX_HOLD_DAYS}")));
            }
            policy.hold_days = days;
        }
        if let Some(name) = input.time_zone {
            policy.time_zone = super::vendors::checked_time_zone("time_zone", &name)?;
        }
        self.write_policy(&policy)?;
        Ok(policy)
    }

    fn review(&self, input: ReviewInput) -> ControlResult<Review> {
        let review = Review {
            connection: self.connection_of_review(input.connection)?,
            mode: input.mode,
            purchase: checked_text("purchase", &input.purchase, MAX_TEXT_CHARACTERS)?,
            verdict: input.verdict,
            reason: checked_text("reason", &input.reason, MAX_REASON_CHARACTERS)?,
        };
        self.write_review(&review)?;
        Ok(review)
    }

    fn connection_of_review(&self, given: Option<ConnectionId>) -> ControlResult<ConnectionId> {
        let rows = self
            .database
            .query("select id, provider from connections where vendor = ?1 order by id", values![self.vendor.0])?;
        let known: Vec<(u64, String)> =
            rows.into_iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect::<DatabaseResult<_>>()?;
        let listed = || known.iter().map(|(id, provider)| format!("{id} ({provider})")).collect::<Vec<_>>().join(", ");
        match (given, known.as_slice()) {
            (_, []) => {
                Err(ControlError::invalid("connection", "the vendor has no connection; connect a provider first"))
            }
            (Some(id), _) if known.iter().any(|(known, _)| *known == id.0) => Ok(id),
            (Some(id), _) => {
                Err(ControlError::invalid("connection", format!("no connection {id}; the vendor has {}", listed())))
            }
            (None, [(only, _)]) => Ok(ConnectionId(*only)),
            (None, _) => Err(ControlError::invalid(
                "connection",
                format!("the vendor has several connections, name one of {}", listed()),
            )),
        }
    }

    fn adjust(&self, input: AdjustInput) -> ControlResult<Adjust> {
        if input.commission_minor == 0 || !is_accepted_amount(input.commission_minor) {
            return Err(ControlError::invalid("commission_minor", "must not be 0 and not beyond 10^15"));
        }
        let adjust = Adjust {
            mode: input.mode,
            affiliate: self.affiliate_by_key(&input.affiliate)?,
            currency: input.currency,
            commission: input.commission_minor,
            occurred_at: input.occurred_at.map_or(self.now, |moment| moment.0),
            reason: checked_text("reason", &input.reason, MAX_REASON_CHARACTERS)?,
        };
        self.write_adjustment(&adjust)?;
        Ok(adjust)
    }

    fn campaign(&self, input: CampaignInput) -> ControlResult<Campaign> {
        if input.to <= input.from {
            return Err(ControlError::invalid("to", "must be later than `from`"));
        }
        if !(1..=1_000_000).contains(&input.expected_percent) {
            return Err(ControlError::invalid(
                "expected_percent",
                "must be from 1 to 1000000; 500 is five times the usual rate",
            ));
        }
        let campaign = Campaign {
            code_id: input.code.map(|name| self.code_by_any_name("code", &name)).transpose()?,
            from: input.from.0,
            to: input.to.0,
            expected_percent: input.expected_percent,
        };
        self.write_campaign(&campaign)?;
        Ok(campaign)
    }
}

fn rate_of(input: &RuleInput) -> ControlResult<Option<Rate>> {
    match (&input.percent, input.percent_ppm, &input.flat, input.none) {
        (Some(text), None, None, None) => {
            let ppm = percent_to_ppm(text).map_err(|message| ControlError::invalid("percent", message))?;
            Ok(Some(Rate::Percent { ppm }))
        }
        (None, Some(ppm), None, None) if ppm <= 1_000_000 => Ok(Some(Rate::Percent { ppm })),
        (None, Some(_), None, None) => Err(ControlError::invalid("percent_ppm", "must be from 0 to 1000000")),
        (None, None, Some(amounts), None) => {
            if amounts.is_empty() {
                return Err(ControlError::invalid("flat", "names no currency"));
            }
            if let Some((currency, _)) =
                amounts.iter().find(|(_, amount)| **amount < 0 || !is_accepted_amount(**amount))
            {
                return Err(ControlError::invalid(
                    "flat",
                    format!("the amount in {currency} must be from 0 to 10^15 minor units"),
                ));
            }
            Ok(Some(Rate::Flat { amounts: amounts.clone() }))
        }
        (None, None, None, Some(true)) => Ok(None),
        _ => {
            Err(ControlError::invalid("percent", "give exactly one of `percent`, `percent_ppm`, `flat`, `none: true`"))
        }
    }
}

fn checked_duration(duration: Duration) -> ControlResult<Duration> {
    match duration {
        Duration::Months(months) if !(1..=MAX_MONTHS).contains(&months) => {
            Err(ControlError::invalid("duration", format!("months must be from 1 to {MAX_MONTHS}")))
        }
        duration => Ok(duration),
    }
}

fn checked_offsets(offsets: Vec<u64>) -> ControlResult<Vec<u64>> {
    match offsets.len() {
        0 => Err(ControlError::invalid("offsets", "names no record")),
        1..=MAX_OFFSETS => Ok(offsets),
        count => Err(ControlError::invalid("offsets", format!("{count} records at once; the limit is {MAX_OFFSETS}"))),
    }
}

/// The text without space around it; not blank, not too long.
pub(super) fn checked_text(field: &str, text: &str, max_characters: usize) -> ControlResult<String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ControlError::invalid(field, "is blank"));
    }
    if text.contains('\0') {
        // Postgres cannot store it, and no person types it.
        return Err(ControlError::invalid(field, "has a NUL character in it"));
    }
    let count = text.chars().count();
    if count > max_characters {
        return Err(ControlError::invalid(field, format!("has {count} characters; the limit is {max_characters}")));
    }
    Ok(text.to_owned())
}

/// What a row's body says.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(body: &str) -> ControlResult<T> {
    serde_json::from_str(body).map_err(|error| ControlError::Failed(error.into()))
}

/// A row's body as JSON.
pub(super) fn json<T: serde::Serialize>(value: &T) -> ControlResult<String> {
    serde_json::to_string(value).map_err(|error| ControlError::Failed(error.into()))
}
