-- Purchases after each change, for lists and outcome counts as of a position: the state of a
-- purchase at a position is its row with the largest src_off below it.
--
-- Sort key. Tenant, mode and generation as in ledger_lines. Then (purchase_id, src_off): the
-- changes of one purchase lie side by side in log order, "the last one below a position" reads
-- one run of rows, and two rows that compare equal are copies of one change. The time of the
-- sale is not in the key: a later event may correct it, and it must not split a purchase.
--
-- One partition per generation, so that a generation which was replaced is dropped at once.
CREATE TABLE IF NOT EXISTS purchases
(
    vendor_id    UInt64,
    livemode     UInt8,
    gen          UInt16,
    purchase_id  UInt64 CODEC(Delta, ZSTD(1)),
    src_off      UInt64 CODEC(ZSTD(1)),
    src_part     UInt16,
    sale_at      DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    outcome      Enum8('credited' = 1, 'organic' = 2, 'rejected' = 3, 'waiting' = 4, 'merged' = 5),
    reason       LowCardinality(String),
    affiliate_id UInt64 CODEC(T64, ZSTD(1)),
    code_id      UInt64 CODEC(T64, ZSTD(1)),
    currency     FixedString(3),
    gross        Int64 CODEC(T64, ZSTD(1)),
    net          Int64 CODEC(T64, ZSTD(1)),
    reversed     Int64 CODEC(T64, ZSTD(1)),
    commission   Int64 CODEC(T64, ZSTD(1)),
    flags        Array(LowCardinality(String))
)
ENGINE = ReplacingMergeTree
PARTITION BY gen
ORDER BY (vendor_id, livemode, gen, purchase_id, src_off)
SETTINGS index_granularity = 2048,
         non_replicated_deduplication_window = 10000,
         fsync_after_insert = 1,
         fsync_part_directory = 1
