//! What the warehouse holds of ranges of the log, to be compared with what was sent. A question of the system, not of a
//! tenant.

use crate::fold_store::SentSums;
use crate::warehouse::client::Warehouse;
use crate::warehouse::error::WarehouseError;
use crate::warehouse::queries::FINAL_SETTINGS;
use crate::warehouse::sql::Sql;
use clickhouse::Row;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Count and signed sums of the lines of a range, copies counted once.
#[derive(Debug, Clone, Copy, Row, Deserialize)]
struct LineSums {
    range_from: u64,
    lines: u64,
    all_redemptions: i128,
    all_conversions: i128,
    all_gross: i128,
    all_net: i128,
    all_commission: i128,
}

/// Count of the purchase rows of a range, copies counted once.
#[derive(Debug, Clone, Copy, Row, Deserialize)]
struct RowCount {
    range_from: u64,
    rows: u64,
}

/// The lines of the ranges that begin at `starts` (ascending), the last of which ends before `end`.
///
/// Through FINAL, because it is what pages read that must be right. The condition stands in PREWHERE, which is applied
/// before FINAL merges: only rows of the ranges are merged, and as its columns are functions of a line's identity, all
/// copies of a line are in or out together.
pub(crate) fn render_line_sums(generation: u16, partition: u16, starts: &[u64], end: u64) -> Sql {
    let mut sql = Sql::new("SELECT ");
    push_range(&mut sql, starts);
    sql.push(
        ", count() AS lines, sum(toInt128(redemptions)) AS all_redemptions, sum(toInt128(conversions)) AS all_conversions, \
         sum(toInt128(gross)) AS all_gross, sum(toInt128(net)) AS all_net, sum(toInt128(commission)) AS all_commission \
         FROM ledger_lines FINAL ",
    );
    push_conditions(&mut sql, generation, partition, starts, end);
    sql.push(FINAL_SETTINGS);
    sql
}

/// The purchase rows of the same ranges.
pub(crate) fn render_row_counts(generation: u16, partition: u16, starts: &[u64], end: u64) -> Sql {
    let mut sql = Sql::new("SELECT ");
    push_range(&mut sql, starts);
    sql.push(", count() AS rows FROM purchases FINAL ");
    push_conditions(&mut sql, generation, partition, starts, end);
    sql.push(FINAL_SETTINGS);
    sql
}

/// The start of the range that a row is in.
fn push_range(sql: &mut Sql, starts: &[u64]) {
    sql.push("toUInt64(roundDown(src_off, CAST(").bind(starts.to_vec()).push(" AS Array(UInt64)))) AS range_from");
}

fn push_conditions(sql: &mut Sql, generation: u16, partition: u16, starts: &[u64], end: u64) {
    sql.push("PREWHERE gen = ").bind(u64::from(generation)).push(" AND src_part = ").bind(u64::from(partition));
    sql.push(" AND src_off >= ").bind(starts.first().copied().unwrap_or(end)).push(" AND src_off < ").bind(end);
    sql.push(" GROUP BY range_from ORDER BY range_from");
}

impl Warehouse {
    /// Counts and signed sums of the ranges of a partition that begin at `starts` (ascending; each ends where the next
    /// begins, the last before `end`), by their start. A range without rows is not among them.
    ///
    /// May take as long as an insert: it reads the partition's rows of all tenants.
    pub async fn sums_by_range(
        &self,
        generation: u16,
        partition: u16,
        starts: &[u64],
        end: u64,
    ) -> Result<BTreeMap<u64, SentSums>, WarehouseError> {
        let limit = self.config.insert_timeout;
        let mut sums: BTreeMap<u64, SentSums> = BTreeMap::new();
        let lines = render_line_sums(generation, partition, starts, end);
        for row in self.fetch_within::<LineSums>("verifying lines", limit, &lines).await? {
            let entry = SentSums {
                lines: row.lines,
                rows: 0,
                redemptions: row.all_redemptions,
                conversions: row.all_conversions,
                gross: row.all_gross,
                net: row.all_net,
                commission: row.all_commission,
            };
            sums.insert(row.range_from, entry);
        }
        let rows = render_row_counts(generation, partition, starts, end);
        for row in self.fetch_within::<RowCount>("verifying purchases", limit, &rows).await? {
            sums.entry(row.range_from).or_default().rows = row.rows;
        }
        Ok(sums)
    }
}
