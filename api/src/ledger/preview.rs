//! What a decision would change, before it is made: the purchases that it reaches are targeted twice, with the decisions
//! in force and with one more. It is what the fold does with the decision later, without booking.

use super::{Ledger, StoredCatalogue, blocking};
use crate::services::ranges::{local_day, time_zone};
use domain::catalogue::CatalogueEntry;
use domain::decisions::VendorDecisions;
use domain::fact::Answer;
use domain::ids::*;
use domain::line::Amounts;
use domain::money::Currency;
use domain::story::{Scope, Story};
use domain::target::{CatalogueReader, Context, PurchaseTarget, StateError, StoryTarget, target};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use store::control::input::DecisionInput;
use store::control::{ControlResult, Rehearsed};
use store::scope::TenantScope;

/// More purchases than this are not looked at.
pub const MOST_PURCHASES: usize = 20_000;
/// Stories that are read at once.
const CHUNK: usize = 200;
/// How long to wait for the fold to come to the decisions that were made before.
const LOOKS: u32 = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// What is known about a decision that is not made yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Previewed {
    /// What it would change.
    Known(Preview),
    /// It reaches more than [`MOST_PURCHASES`] purchases.
    TooMany,
    /// Earlier decisions are still on their way.
    Behind,
}

/// What a decision would change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// Purchases that were looked at.
    pub purchases: usize,
    /// Those of them that would be somebody else's or earn something else.
    pub changed: usize,
    /// Commission that would be another, by mode, month, affiliate and currency.
    pub differences: Vec<Difference>,
}

/// Commission of the purchases that were looked at, of one affiliate, month and currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// Test and live money are never summed.
    pub mode: Mode,
    /// First day of the month in which money moved, in the vendor's time zone.
    pub month: Date,
    /// Whose.
    pub affiliate: AffiliateId,
    /// Currency of the amounts.
    pub currency: Currency,
    /// Minor units as it is.
    pub before: i64,
    /// Minor units as it would be.
    pub after: i64,
}

/// Finds out what decisions would change. Nothing is written.
///
/// # Errors
/// Inside, what the control store refuses, as when it is decided; outside, when a store cannot be read.
pub async fn preview(
    ledger: &Arc<Ledger>,
    scope: &TenantScope,
    decisions: Vec<DecisionInput>,
) -> anyhow::Result<ControlResult<Previewed>> {
    let rehearsed = match ledger.control.rehearse(scope.vendor(), decisions, (ledger.clock)()).await {
        Ok(rehearsed) => rehearsed,
        Err(refused) => return Ok(Err(refused)),
    };
    let policy = ledger.control.policy(scope).await?;
    let zone = time_zone(&policy.time_zone)?;
    let Some(before) = decisions_below(ledger, scope.vendor(), rehearsed.first_seq).await? else {
        return Ok(Ok(Previewed::Behind));
    };
    let vendor = scope.vendor();
    let found = blocking(ledger, move |ledger| Looking::new(ledger, vendor, zone).compare(before, rehearsed)).await?;
    Ok(Ok(found))
}

/// The decisions in force once all below a number are; none while the fold has not come so far.
async fn decisions_below(ledger: &Arc<Ledger>, vendor: VendorId, seq: u64) -> anyhow::Result<Option<VendorDecisions>> {
    for _ in 0..LOOKS {
        let read = blocking(ledger, move |ledger| Ok(ledger.store.decisions(&[vendor])?)).await?;
        let folded = VendorDecisions::replay(read.into_iter().flatten());
        if folded.last_seq + 1 >= seq {
            return Ok(Some(folded));
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Ok(None)
}

type Sums = BTreeMap<(Mode, Date, AffiliateId, Currency), i64>;

struct Looking<'a> {
    ledger: &'a Ledger,
    vendor: VendorId,
    zone: TimeZone,
    before: Sums,
    after: Sums,
    preview: Preview,
    remembered: Remembered,
}

impl<'a> Looking<'a> {
    fn new(ledger: &'a Ledger, vendor: VendorId, zone: TimeZone) -> Looking<'a> {
        let (before, after) = (Sums::new(), Sums::new());
        let remembered = Remembered::default();
        Looking { ledger, vendor, zone, before, after, preview: Preview::default(), remembered }
    }

    fn compare(mut self, before: VendorDecisions, rehearsed: Rehearsed) -> anyhow::Result<Previewed> {
        let mut after = before.clone();
        let mut reached = BTreeSet::new();
        for (seq, decision) in (rehearsed.first_seq..).zip(&rehearsed.decisions) {
            let keys = after.apply(seq, decision);
            let keys: Vec<Option<String>> =
                keys.map_or_else(|| vec![None], |keys| keys.into_iter().map(Some).collect());
            for key in keys {
                if !self.stories_with(key.as_deref(), &mut reached)? {
                    return Ok(Previewed::TooMany);
                }
            }
        }
        let reached: Vec<StoryId> = reached.into_iter().collect();
        for chunk in reached.chunks(CHUNK) {
            for story in self.ledger.store.stories(chunk)?.into_iter().flatten() {
                self.look_at(&story, &before, &after)?;
            }
            if self.preview.purchases > MOST_PURCHASES {
                return Ok(Previewed::TooMany);
            }
        }
        Ok(Previewed::Known(self.preview()))
    }

    /// Collects the stories with an index key; false when they are too many.
    fn stories_with(&self, key: Option<&str>, reached: &mut BTreeSet<StoryId>) -> anyhow::Result<bool> {
        let mut after = StoryId(0);
        loop {
            let found = self.ledger.store.stories_with_ref(self.vendor, key, after, CHUNK)?;
            let Some(last) = found.last().copied() else { return Ok(true) };
            after = last;
            reached.extend(found);
            if reached.len() > MOST_PURCHASES {
                return Ok(false);
            }
        }
    }

    fn look_at(&mut self, story: &Story, before: &VendorDecisions, after: &VendorDecisions) -> anyhow::Result<()> {
        let stored = StoredCatalogue { store: self.ledger.store.as_ref(), scope: story.scope };
        let catalogue = Remembering { stored, remembered: &self.remembered };
        let reach = |decisions| target(story, &Context { decisions, catalogue: &catalogue });
        let (old, new) = (reach(before)?, reach(after)?);
        self.preview.purchases += new.purchases.len();
        self.preview.changed +=
            old.purchases.iter().zip(&new.purchases).filter(|(old, new)| parts(old) != parts(new)).count();
        add(&mut self.before, story.scope.mode, &self.zone, &old);
        add(&mut self.after, story.scope.mode, &self.zone, &new);
        Ok(())
    }

    fn preview(self) -> Preview {
        let keys: BTreeSet<_> = self.before.keys().chain(self.after.keys()).copied().collect();
        let of = |sums: &Sums, key| sums.get(key).copied().unwrap_or_default();
        let both = keys.iter().map(|key| (key, of(&self.before, key), of(&self.after, key)));
        let differences = both.filter(|(_, before, after)| before != after).map(|(key, before, after)| {
            let (mode, month, affiliate, currency) = *key;
            Difference { mode, month, affiliate, currency, before, after }
        });
        Preview { differences: differences.collect(), ..self.preview }
    }
}

/// What of a purchase a decision can change in the ledger.
fn parts(purchase: &PurchaseTarget) -> (AffiliateId, Vec<Amounts>) {
    (purchase.affiliate(), purchase.components.iter().map(|part| part.amounts).collect())
}

fn add(sums: &mut Sums, mode: Mode, zone: &TimeZone, target: &StoryTarget) {
    for purchase in &target.purchases {
        for part in &purchase.components {
            let month = local_day(part.occurred_at, zone).first_of_month();
            *sums.entry((mode, month, purchase.affiliate(), purchase.sale.currency)).or_default() +=
                part.amounts.commission;
        }
    }
}

/// What was read of the catalogue: many purchases name the same code.
#[derive(Default)]
struct Remembered {
    entries: RefCell<HashMap<(Scope, String), Option<CatalogueEntry>>>,
    answers: RefCell<HashMap<(Scope, String), Option<Answer>>>,
}

struct Remembering<'a> {
    stored: StoredCatalogue<'a>,
    remembered: &'a Remembered,
}

fn remember<T: Clone>(
    kept: &RefCell<HashMap<(Scope, String), T>>,
    key: (Scope, String),
    read: impl FnOnce() -> Result<T, StateError>,
) -> Result<T, StateError> {
    if let Some(known) = kept.borrow().get(&key) {
        return Ok(known.clone());
    }
    let value = read()?;
    kept.borrow_mut().insert(key, value.clone());
    Ok(value)
}

impl CatalogueReader for Remembering<'_> {
    fn entry(&self, key: &str) -> Result<Option<CatalogueEntry>, StateError> {
        remember(&self.remembered.entries, (self.stored.scope, key.to_owned()), || self.stored.entry(key))
    }

    fn answer(&self, request: &str) -> Result<Option<Answer>, StateError> {
        remember(&self.remembered.answers, (self.stored.scope, request.to_owned()), || self.stored.answer(request))
    }
}
