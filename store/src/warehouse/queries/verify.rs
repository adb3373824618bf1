//! What the warehouse holds of a range of the log, to be compared with the outbox. A question
//! of the system, not of a tenant.

use crate::warehouse::client::Warehouse;
use crate::warehouse::error::WarehouseError;
use crate::warehouse::sql::Sql;
use clickhouse::Row;
use serde::Deserialize;

/// Count and signed sums of the lines of a range of the log, copies counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Row, Deserialize)]
pub struct RangeSums {
    /// Lines.
    pub lines: u64,
    /// Sum of signed counts.
    pub redemptions: i128,
    /// Sum of signed counts.
    pub conversions: i128,
    /// Sum over all currencies: a check figure, not money.
    pub gross: i128,
    /// Sum over all currencies: a check figure, not money.
    pub net: i128,
    /// Sum over all currencies: a check figure, not money.
    pub commission: i128,
}

/// The statement behind [`Warehouse::count_and_sums`].
///
/// One row per identity with `LIMIT 1 BY` rather than FINAL: the range is not a prefix of the
/// sort key, and FINAL over the whole table costs some thirty times as much.
pub(crate) fn render_range_sums(generation: u16, partition: u16, from: u64, to: u64) -> Sql {
    let mut sql = Sql::new(
        "SELECT count() AS lines, sum(toInt128(r)) AS redemptions, sum(toInt128(c)) AS conversions, \
         sum(toInt128(g)) AS gross, sum(toInt128(n)) AS net, sum(toInt128(m)) AS commission FROM \
         (SELECT redemptions AS r, conversions AS c, gross AS g, net AS n, commission AS m FROM ledger_lines WHERE gen = ",
    );
    sql.bind(u64::from(generation)).push(" AND src_part = ").bind(u64::from(partition));
    sql.push(" AND src_off >= ").bind(from).push(" AND src_off < ").bind(to);
    sql.push(" LIMIT 1 BY src_off, ord)");
    sql
}

impl Warehouse {
    /// Count and signed sums of the lines with `from <= src_off < to` of a partition, copies
    /// counted once.
    pub async fn count_and_sums(
        &self,
        generation: u16,
        partition: u16,
        from: u64,
        to: u64,
    ) -> Result<RangeSums, WarehouseError> {
        let rows: Vec<RangeSums> =
            self.fetch("verifying a range", &render_range_sums(generation, partition, from, to)).await?;
        Ok(rows.first().copied().unwrap_or_default())
    }
}
