-- What was sent to the warehouse, so that it can be asked whether it is still there.
-- One row per delivered batch and partition; older rows are merged, so that there are about a thousand
-- per partition. Sums are texts because they may exceed 64 bits.

CREATE TABLE sent_ranges (
    part        INTEGER NOT NULL,
    from_off    INTEGER NOT NULL,          -- first log offset of the range
    to_off      INTEGER NOT NULL,          -- one past the last
    at          INTEGER NOT NULL,          -- when the last of it was delivered, ms
    lines       INTEGER NOT NULL,
    rows        INTEGER NOT NULL,          -- of purchases
    redemptions TEXT NOT NULL,             -- signed sums over the lines, of all currencies: check figures, not money
    conversions TEXT NOT NULL,
    gross       TEXT NOT NULL,
    net         TEXT NOT NULL,
    commission  TEXT NOT NULL,
    PRIMARY KEY (part, from_off)
) WITHOUT ROWID;
