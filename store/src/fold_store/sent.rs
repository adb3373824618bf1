//! What was sent to the warehouse, by range of the log: counts and sums, with which it can be asked whether all of it is
//! still there. Before and without SQL.

use super::{OutboxBatch, OutboxItem, OutboxRange};
use domain::ids::Timestamp;
use domain::line::LedgerLine;

/// The most ranges of a partition that are kept. When there are more, the older half of them is merged.
pub const MOST_SENT_RANGES: usize = 1_000;
/// Into how many the older half is merged, about.
const MERGED_RANGES: u64 = 200;

/// Counts and exact signed sums. Over all currencies: check figures, not money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SentSums {
    /// Ledger lines.
    pub lines: u64,
    /// Purchase rows.
    pub rows: u64,
    /// Sum of the lines' redemptions.
    pub redemptions: i128,
    /// Sum of the lines' conversions.
    pub conversions: i128,
    /// Sum of the lines' gross, in minor units of whatever currency.
    pub gross: i128,
    /// Sum of the lines' net.
    pub net: i128,
    /// Sum of the lines' commission.
    pub commission: i128,
}

impl SentSums {
    /// Counts a ledger line.
    pub fn add_line(&mut self, line: &LedgerLine) {
        self.lines += 1;
        self.redemptions += i128::from(line.amounts.redemptions);
        self.conversions += i128::from(line.amounts.conversions);
        self.gross += i128::from(line.amounts.gross);
        self.net += i128::from(line.amounts.net);
        self.commission += i128::from(line.amounts.commission);
    }

    /// Counts an item of the outbox.
    pub fn add(&mut self, item: &OutboxItem) {
        match item {
            OutboxItem::Line(line) => self.add_line(line),
            OutboxItem::Row(_) => self.rows += 1,
        }
    }

    /// Counts everything of another.
    pub fn absorb(&mut self, other: &SentSums) {
        self.lines += other.lines;
        self.rows += other.rows;
        self.redemptions += other.redemptions;
        self.conversions += other.conversions;
        self.gross += other.gross;
        self.net += other.net;
        self.commission += other.commission;
    }

    fn items(&self) -> u64 {
        self.lines + self.rows
    }
}

/// What was sent of a range of a partition's log.
///
/// Ranges of a partition never overlap, and no record is in two of them. Where one does not begin where the one before
/// ends, an earlier release delivered, which noted nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentRange {
    /// First log offset.
    pub from: u64,
    /// One past the last. Above what is visible if more of its last record is still to come.
    pub to: u64,
    /// When the last of it was delivered.
    pub at: Timestamp,
    /// What was sent.
    pub sums: SentSums,
}

/// The ranges that a delivery writes, each in the place of the one with the same beginning.
///
/// `newest` is the last range so far, `visible` what is visible before and after, `items` what the delivery took out of
/// the outbox, in order. The last record may go on in the next delivery: it has a range of its own until it is known to
/// be whole, so that a range ends between two records.
pub(super) fn note(
    newest: Option<SentRange>,
    (before, after): (u64, u64),
    items: &[&OutboxItem],
    at: Timestamp,
) -> Vec<SentRange> {
    let (mut whole, mut open) = (SentSums::default(), SentSums::default());
    for item in items {
        if offset_of(item) < after { whole.add(item) } else { open.add(item) }
    }
    let mut written = Vec::new();
    let mut open_is_new = open.items() > 0;
    match newest {
        // The record at `before` was begun by an earlier delivery.
        Some(mut range) if range.to > before => {
            range.sums.absorb(&whole);
            if after == before {
                range.sums.absorb(&open);
                open_is_new = false;
            }
            if !items.is_empty() || after > range.to {
                range.to = range.to.max(after);
                written.push(SentRange { at, ..range });
            }
        }
        // Nothing was sent of these records: no range of their own.
        Some(range) if range.to == before && whole.items() == 0 && after > before => {
            written.push(SentRange { to: after, at, ..range });
        }
        _ if after > before => written.push(SentRange { from: before, to: after, at, sums: whole }),
        _ => {}
    }
    if open_is_new {
        written.push(SentRange { from: after, to: after + 1, at, sums: open });
    }
    written
}

/// What a delivery took out: the last `gone` items of a partition. Another process may have delivered the ones before.
pub(super) fn taken<'a>(batch: &'a OutboxBatch, range: &OutboxRange, gone: usize) -> Vec<&'a OutboxItem> {
    let of_partition = |item: &&OutboxItem| match item {
        OutboxItem::Line(line) => line.src_part == range.partition,
        OutboxItem::Row(row) => row.src_part == range.partition,
    };
    let mut items: Vec<&OutboxItem> = batch.items.iter().filter(of_partition).collect();
    items.split_off(items.len().saturating_sub(gone))
}

/// The older half of a partition's ranges, merged into fewer of about the same size. Ranges with a gap between them
/// stay apart.
pub(super) fn merged(older: &[SentRange]) -> Vec<SentRange> {
    let items: u64 = older.iter().map(|range| range.sums.items()).sum();
    // Any two neighbours of the result hold more than this together, so there are at most `MERGED_RANGES` and one.
    let most = items.div_ceil(MERGED_RANGES / 2);
    let mut merged: Vec<SentRange> = Vec::new();
    for range in older {
        match merged.last_mut() {
            Some(last) if last.to == range.from && last.sums.items() + range.sums.items() <= most => {
                last.to = range.to;
                last.at = last.at.max(range.at);
                last.sums.absorb(&range.sums);
            }
            _ => merged.push(*range),
        }
    }
    merged
}

fn offset_of(item: &OutboxItem) -> u64 {
    match item {
        OutboxItem::Line(line) => line.src_off,
        OutboxItem::Row(row) => row.src_off,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: u64, to: u64, lines: u64) -> SentRange {
        SentRange { from, to, at: Timestamp(to as i64), sums: SentSums { lines, gross: 7, ..SentSums::default() } }
    }

    #[test]
    fn the_older_half_becomes_few_ranges_of_about_one_size() {
        // One of them was merged before and is large; sizes differ.
        let mut older = vec![range(0, 100, 5_000)];
        older.extend((100..600).map(|offset| range(offset, offset + 1, 1 + offset % 7)));
        let result = merged(&older);
        assert!(result.len() <= MERGED_RANGES as usize + 1, "{}", result.len());
        assert_eq!((result[0].from, result[result.len() - 1].to), (0, 600));
        assert!(result.windows(2).all(|pair| pair[0].to == pair[1].from));
        let sum = |ranges: &[SentRange]| {
            let mut sums = SentSums::default();
            ranges.iter().for_each(|range| sums.absorb(&range.sums));
            sums
        };
        assert_eq!(sum(&result), sum(&older), "nothing is lost");
        // Again and again: the number stays bounded.
        let mut ranges = Vec::new();
        for offset in 0..20_000 {
            ranges.push(range(offset, offset + 1, 1));
            if ranges.len() > MOST_SENT_RANGES {
                let newer = ranges.split_off(MOST_SENT_RANGES / 2);
                ranges = merged(&ranges).into_iter().chain(newer).collect();
            }
            assert!(ranges.len() <= MOST_SENT_RANGES);
        }
        assert_eq!(sum(&ranges).lines, 20_000);
    }

    #[test]
    fn ranges_with_a_gap_between_them_stay_apart() {
        let merged = merged(&[range(0, 2, 0), range(2, 3, 0), range(5, 6, 0)]);
        assert_eq!(merged.iter().map(|range| (range.from, range.to)).collect::<Vec<_>>(), [(0, 3), (5, 6)]);
    }
}
