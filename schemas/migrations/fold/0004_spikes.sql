-- The spike detector: what it knows of codes and vendors, and what it raised. A function of the log like the rest, but
-- not folded for what is below the position when this step runs: there it begins with the next redemption.

CREATE TABLE spike_codes (
    vendor      INTEGER NOT NULL,
    code        INTEGER NOT NULL,
    part        INTEGER NOT NULL,
    position    INTEGER NOT NULL,          -- of the last redemption, rising
    due_at      INTEGER,                   -- when the first one that waits can be judged, ms; null if nobody need ask
    last_due_at INTEGER NOT NULL,          -- when the last one can be judged, ms
    seen_day    INTEGER NOT NULL,          -- days since 1970 of the time on the last record
    body        BLOB NOT NULL,             -- the state of domain::spikes::CodeState
    PRIMARY KEY (vendor, code)
) WITHOUT ROWID;
CREATE INDEX spike_codes_due ON spike_codes (part, due_at) WHERE due_at IS NOT NULL;

CREATE TABLE spike_vendors (
    vendor INTEGER PRIMARY KEY,
    body   BLOB NOT NULL                   -- JSON
);

CREATE TABLE spike_alerts (
    vendor     INTEGER NOT NULL,
    id         INTEGER NOT NULL,           -- a function of vendor, code and minute
    part       INTEGER NOT NULL,
    code       INTEGER NOT NULL,
    crossed_at INTEGER NOT NULL,           -- provider's time, ms
    told       INTEGER NOT NULL,           -- 1 when those who are mailed have their mail in the queue
    body       BLOB NOT NULL,              -- JSON
    PRIMARY KEY (vendor, id)
) WITHOUT ROWID;
CREATE INDEX spike_alerts_by_time ON spike_alerts (vendor, crossed_at);
CREATE INDEX spike_alerts_untold ON spike_alerts (part, vendor, id) WHERE told = 0;
