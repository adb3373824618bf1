//! A story: everything that hangs together through provider ids, and what was booked for it.

use crate::decision::Review;
use crate::decisions::Numbered;
use crate::fact::{Alias, Facts};
use crate::ids::*;
use crate::line::{Amounts, PurchaseRow};
use crate::money::Currency;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Where provider ids are unique: one account of one vendor, in one mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// Tenant.
    pub vendor: VendorId,
    /// Provider account.
    pub connection: ConnectionId,
    /// Test or live.
    pub mode: Mode,
}

/// A part of a purchase that books money.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// The sale.
    Sale,
    /// A refund, by its id.
    Refund(String),
    /// The increase that a cumulative snapshot shows: whose, and the value.
    Snapshot(String, i64),
    /// A dispute, by its id.
    Dispute(String),
    /// A credit note, by its id.
    CreditNote(String),
    /// The void.
    Void,
}

/// Under which key amounts are booked. Lines are `target - booked` per key, so the lines of a
/// key always add up to its target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BookKey {
    /// Internal purchase number.
    pub purchase: PurchaseId,
    /// Part of the purchase.
    pub component: Component,
    /// 0 = unattributed.
    pub affiliate: AffiliateId,
    /// 0 = none.
    pub code: CodeId,
    /// Currency of the amounts.
    pub currency: Currency,
    /// Provider time of the movement.
    pub occurred_at: Timestamp,
    /// Provider time of the sale.
    pub sale_at: Timestamp,
}

/// Amounts by key, written as a list because JSON keys are strings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(BookKey, Amounts)>", into = "Vec<(BookKey, Amounts)>")]
pub struct Book(pub BTreeMap<BookKey, Amounts>);

impl From<Vec<(BookKey, Amounts)>> for Book {
    fn from(list: Vec<(BookKey, Amounts)>) -> Self {
        Book(list.into_iter().collect())
    }
}

impl From<Book> for Vec<(BookKey, Amounts)> {
    fn from(book: Book) -> Self {
        book.0.into_iter().collect()
    }
}

impl Book {
    /// Adds to a key; a key that comes to nothing is forgotten.
    pub fn add(&mut self, key: BookKey, amounts: Amounts) {
        let sum = self.0.get(&key).copied().unwrap_or_default().plus(amounts);
        if sum.is_zero() {
            self.0.remove(&key);
        } else {
            self.0.insert(key, sum);
        }
    }
}

/// A purchase inside a story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Immutable internal number.
    pub purchase: PurchaseId,
    /// Its names so far.
    pub aliases: BTreeSet<Alias>,
    /// The last state that was told to the warehouse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<PurchaseRow>,
}

/// A record that waits for something named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingRecord {
    /// Its offset in the vendor's partition.
    pub offset: u64,
    /// What it waits for must show one of these names.
    pub names: Vec<Alias>,
}

/// One story.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// Its number.
    pub id: StoryId,
    /// Where its ids are unique.
    pub scope: Scope,
    /// Whose events.
    pub provider: Provider,
    /// What is known.
    #[serde(default, skip_serializing_if = "Facts::is_empty")]
    pub facts: Facts,
    /// Its purchases with a sale, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<Slot>,
    /// What the ledger holds.
    #[serde(default)]
    pub booked: Book,
    /// What people decided about its purchases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviews: Vec<Numbered<Review>>,
    /// Records that wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<WaitingRecord>,
    /// Under which index keys it is found.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub refs: BTreeSet<String>,
    /// Offsets of the records whose facts are here, for *explain*; the first 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<u64>,
}

/// How many records a story remembers for *explain*.
const REMEMBERED_RECORDS: usize = 1_000;

impl Story {
    /// A story without facts.
    pub fn new(id: StoryId, scope: Scope, provider: Provider) -> Story {
        Story {
            id,
            scope,
            provider,
            facts: Facts::default(),
            slots: Vec::new(),
            booked: Book::default(),
            reviews: Vec::new(),
            waiting: Vec::new(),
            refs: BTreeSet::new(),
            records: Vec::new(),
        }
    }

    /// Joins another story of the same scope into this one. Adds no money: facts are joined,
    /// and what both booked is kept to be targeted again.
    pub fn absorb(&mut self, other: Story) {
        self.facts.join(other.facts);
        self.slots.extend(other.slots);
        self.slots.sort_by_key(|slot| slot.purchase);
        for (key, amounts) in other.booked.0 {
            self.booked.add(key, amounts);
        }
        self.reviews.extend(other.reviews);
        self.reviews.sort_by_key(|review| review.seq);
        other.records.into_iter().for_each(|offset| self.remember_record(offset));
        self.waiting.extend(other.waiting);
        self.waiting.sort_by_key(|record| record.offset);
    }

    /// Notes that a record's facts are here.
    pub fn remember_record(&mut self, offset: u64) {
        if let Err(index) = self.records.binary_search(&offset)
            && self.records.len() < REMEMBERED_RECORDS
        {
            self.records.insert(index, offset);
        }
    }
}
