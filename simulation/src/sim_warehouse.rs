//! The warehouse of a run: two tables in which the last copy of a key wins, tokens that are
//! remembered for a while, and answers that are lost.

use crate::broken::Broken;
use crate::dice::{Dice, Fault};
use async_trait::async_trait;
use domain::line::{LedgerLine, PurchaseRow};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::{Debug, Write};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::warehouse::{InsertBatch, LineSink, WarehouseError};

/// Batches on their way at the same time, at most.
const LATE: usize = 4;
const DAY_MS: i64 = 86_400_000;

/// The sorting key of the table `ledger_lines`, the partition and offset first.
type LineKey = (u16, u64, u32, u64, u8, i64, u64);
/// The sorting key of the table `purchases`: partition, purchase, offset, and whose it is.
type RowKey = (u16, u64, u64, u64, u8);

/// What a page would read up to a position: how many lines, and a hash over them and over the last
/// state of each purchase. Equal tables have equal sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Picture {
    /// Lines below the position.
    pub lines: u64,
    /// Sum of their commission, in all currencies: only to be told apart.
    pub commission: i128,
    /// Sum of hashes.
    pub hash: u64,
}

/// The tables.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    lines: BTreeMap<LineKey, (LedgerLine, u64)>,
    rows: BTreeMap<RowKey, (PurchaseRow, u64)>,
    /// Copies that were not copies.
    pub problems: Vec<String>,
}

impl Tables {
    /// Writes purchase rows; the last copy wins.
    pub fn take_rows(&mut self, rows: &[PurchaseRow]) {
        for row in rows {
            let key = (row.src_part, row.purchase.0, row.src_off, row.vendor.0, row.mode.as_u8());
            self.rows.insert(key, (row.clone(), hash_of(row)));
        }
    }

    /// Writes lines. A copy has to be one in every member.
    pub fn take_lines(&mut self, lines: &[LedgerLine]) {
        for line in lines {
            let day = line.occurred_at.0.div_euclid(DAY_MS);
            let whose = (line.vendor.0, line.mode.as_u8(), day, line.affiliate.0);
            let key = (line.src_part, line.src_off, line.ord, whose.0, whose.1, whose.2, whose.3);
            if let Some((known, _)) = self.lines.insert(key, (line.clone(), hash_of(line)))
                && known != *line
            {
                self.problems.push(format!("two lines have one identity: {known:?} and {line:?}"));
            }
        }
    }

    /// Every line of the table.
    pub fn lines(&self) -> impl Iterator<Item = &LedgerLine> {
        self.lines.values().map(|(line, _)| line)
    }

    /// The last state of every purchase of a partition below a position.
    fn last_rows(&self, partition: u16, below: u64) -> impl Iterator<Item = u64> {
        let mine = self.rows.range((partition, 0, 0, 0, 0)..(partition + 1, 0, 0, 0, 0));
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for ((_, purchase, _, _, _), (_, hash)) in mine.filter(|((_, _, offset, _, _), _)| *offset < below) {
            last.insert(*purchase, *hash);
        }
        last.into_values()
    }

    /// What is read of a partition below a position.
    pub fn picture(&self, partition: u16, below: u64) -> Picture {
        let mut picture = Picture::default();
        let from = (partition, 0, 0, 0, 0, i64::MIN, 0);
        for (line, hash) in self.lines.range(from..(partition, below, 0, 0, 0, i64::MIN, 0)).map(|(_, one)| one) {
            picture.lines += 1;
            picture.commission += i128::from(line.amounts.commission);
            picture.hash = picture.hash.wrapping_add(*hash);
        }
        picture.hash = self.last_rows(partition, below).fold(picture.hash, |sum, hash| sum.wrapping_add(hash));
        picture
    }
}

struct Hashing(DefaultHasher);

impl Write for Hashing {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// A hash of everything a value shows.
pub fn hash_of(value: &impl Debug) -> u64 {
    let mut hashing = Hashing(DefaultHasher::new());
    let written = write!(hashing, "{value:?}");
    debug_assert!(written.is_ok(), "a hasher takes everything");
    hashing.0.finish()
}

/// A batch as it was sent.
struct Sent {
    token: String,
    rows: Vec<PurchaseRow>,
    lines: Vec<LedgerLine>,
}

#[derive(Default)]
struct State {
    tables: Tables,
    row_tokens: VecDeque<String>,
    line_tokens: VecDeque<String>,
    late: Vec<Sent>,
}

/// The warehouse.
pub struct SimWarehouse {
    state: Mutex<State>,
    /// How many tokens a table remembers.
    window: usize,
    dice: Arc<Dice>,
    broken: Option<Broken>,
}

impl SimWarehouse {
    /// Empty tables.
    pub fn new(dice: Arc<Dice>, broken: Option<Broken>) -> SimWarehouse {
        let window = 1 + dice.below(20) as usize;
        SimWarehouse { state: Mutex::default(), window, dice, broken }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is read of a partition below a position.
    pub fn picture(&self, partition: u16, below: u64) -> Picture {
        self.state().tables.picture(partition, below)
    }

    /// The tables as they are.
    pub fn tables(&self) -> Tables {
        self.state().tables.clone()
    }

    /// A batch that nobody waits for any more arrives. Returns false if there is none.
    pub fn land_late(&self) -> bool {
        let mut state = self.state();
        if state.late.is_empty() {
            return false;
        }
        let number = self.dice.below(state.late.len() as u64) as usize;
        let sent = state.late.remove(number);
        self.land(&mut state, &sent, true);
        true
    }

    /// The tables forget which tokens they have seen.
    pub fn forget_tokens(&self) {
        let mut state = self.state();
        state.row_tokens.clear();
        state.line_tokens.clear();
    }

    /// Writes what has a token that is not remembered.
    fn land(&self, state: &mut State, sent: &Sent, with_lines: bool) {
        if !sent.rows.is_empty() && is_new(&mut state.row_tokens, &sent.token, self.window) {
            state.tables.take_rows(&sent.rows);
        }
        if with_lines && !sent.lines.is_empty() && is_new(&mut state.line_tokens, &sent.token, self.window) {
            state.tables.take_lines(&sent.lines);
        }
    }
}

/// Whether a token is not remembered; from now on it is.
fn is_new(tokens: &mut VecDeque<String>, token: &str, window: usize) -> bool {
    if tokens.iter().any(|known| known == token) {
        return false;
    }
    tokens.push_back(token.to_owned());
    if tokens.len() > window {
        tokens.pop_front();
    }
    true
}

/// A token that names only where a batch begins.
fn token_of_the_beginning(batch: &InsertBatch<'_>) -> String {
    let row = batch.purchases.first().map(|row| (row.src_part, row.src_off));
    let line = batch.lines.first().map(|line| (line.src_part, line.src_off));
    format!("{:?}", row.or(line))
}

fn unavailable(reason: &str) -> WarehouseError {
    WarehouseError::Unavailable { doing: "inserting", reason: format!("simulated: {reason}") }
}

#[async_trait]
impl LineSink for SimWarehouse {
    async fn insert(&self, batch: &InsertBatch<'_>) -> Result<(), WarehouseError> {
        let token = match self.broken {
            Some(Broken::TokenForOtherRows) => token_of_the_beginning(batch),
            _ => batch.token.to_owned(),
        };
        let sent = Sent { token, rows: batch.purchases.to_vec(), lines: batch.lines.to_vec() };
        if self.dice.strikes(Fault::InsertRefused) {
            return Err(unavailable("nothing was taken"));
        }
        let mut state = self.state();
        if state.late.len() < LATE && self.dice.strikes(Fault::InsertLate) {
            state.late.push(sent);
            return Err(unavailable("no answer in time, it comes later"));
        }
        if self.dice.strikes(Fault::InsertHalf) {
            self.land(&mut state, &sent, false);
            return Err(unavailable("the purchases only"));
        }
        self.land(&mut state, &sent, true);
        if self.dice.strikes(Fault::InsertAnswerLost) {
            return Err(unavailable("no answer in time, it is there"));
        }
        Ok(())
    }
}
