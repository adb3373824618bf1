-- The ledger as the pages read it: one row per line, immutable, at-least-once.
--
-- Sort key. (vendor_id, livemode) first, because every read names one tenant and one mode.
-- `gen` next, so that two generations of the log can never replace each other's rows.
-- toDate(occurred_at), because every page asks for a range of days and the day prunes granules.
-- affiliate_id, so that a portal reads its own rows only. (src_off, ord) is the identity of a
-- line inside its generation and closes the key, so that rows which compare equal are copies of
-- one line. src_part is not in the key because it is a function of (vendor_id, gen).
--
-- Every column of the sort key and of the partition key is a function of the log record that
-- booked the line. Copies of a line therefore always fall into one partition and meet there,
-- and FINAL may merge each partition by itself
-- (do_not_merge_across_partitions_select_final = 1). A key made of the time of insertion would
-- count a copy that arrives after midnight of a month's end twice.
--
-- 2,048 rows per granule: FINAL behind a tenant reads whole granules, small ones read less.
CREATE TABLE IF NOT EXISTS ledger_lines
(
    vendor_id     UInt64,
    livemode      UInt8,
    occurred_at   DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    affiliate_id  UInt64 CODEC(T64, ZSTD(1)),
    src_off       UInt64 CODEC(Delta, ZSTD(1)),
    ord           UInt32,
    src_part      UInt16,
    gen           UInt16,
    booked_at     DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    sale_at       DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    connection_id UInt64 CODEC(T64, ZSTD(1)),
    purchase_id   UInt64 CODEC(ZSTD(1)),
    kind          Enum8('sale' = 1, 'refund' = 2, 'refund_undo' = 3, 'dispute' = 4,
                        'dispute_undo' = 5, 'credit_note' = 6, 'void' = 7, 'move_out' = 8,
                        'move_in' = 9, 'rerate' = 10, 'manual' = 11, 'correct' = 12, 'cap' = 13),
    code_id       UInt64 CODEC(T64, ZSTD(1)),
    currency      FixedString(3),
    redemptions   Int8,
    conversions   Int8,
    gross         Int64 CODEC(T64, ZSTD(1)),
    net           Int64 CODEC(T64, ZSTD(1)),
    commission    Int64 CODEC(T64, ZSTD(1)),
    rule_rev      UInt32 CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY (gen, toYYYYMM(occurred_at))
ORDER BY (vendor_id, livemode, gen, toDate(occurred_at), affiliate_id, src_off, ord)
SETTINGS index_granularity = 2048,
         non_replicated_deduplication_window = 10000,
         fsync_after_insert = 1,
         fsync_part_directory = 1
