-- The fold store: everything here is a function of the log and can be folded again.
-- Keys that grow are row ids or begin with something that grows, so that what one partition commits
-- lies on few pages: the names of providers' objects and events begin with their time, and the
-- numbers of stories and purchases are stored with their partition first (`key`).

CREATE TABLE positions (
    part        INTEGER PRIMARY KEY,
    next_off    INTEGER NOT NULL,          -- first offset that is not (completely) folded
    cursor      TEXT,                      -- what is left of a far-reaching record, JSON
    next_ord    INTEGER NOT NULL,          -- lines that the unfinished record booked so far
    made        INTEGER NOT NULL,          -- numbers that it gave out so far
    items       INTEGER NOT NULL,          -- outbox items that it made so far
    chain       BLOB NOT NULL,             -- running SHA-256 over all folded records
    last_hash   BLOB NOT NULL,             -- SHA-256 of the last folded record
    revision    INTEGER NOT NULL,          -- fold revision that booked
    visible_off INTEGER NOT NULL,          -- everything below is in the warehouse
    visible_at  INTEGER NOT NULL           -- when that moved, ms
);

CREATE TABLE stories (
    key    INTEGER PRIMARY KEY,            -- the story's number, partition first
    vendor INTEGER NOT NULL,
    body   BLOB NOT NULL                   -- JSON
);
CREATE INDEX stories_by_vendor ON stories (vendor, key);

CREATE TABLE story_refs (
    vendor INTEGER NOT NULL,
    ref    TEXT NOT NULL,
    story  INTEGER NOT NULL,
    PRIMARY KEY (vendor, ref, story)
) WITHOUT ROWID;

CREATE TABLE aliases (
    connection INTEGER NOT NULL,
    livemode   INTEGER NOT NULL,
    alias      TEXT NOT NULL,
    story      INTEGER NOT NULL,
    PRIMARY KEY (connection, livemode, alias)
) WITHOUT ROWID;

CREATE TABLE purchases (
    key   INTEGER PRIMARY KEY,             -- the purchase's number, partition first
    story INTEGER NOT NULL
);

CREATE TABLE catalogue (
    connection INTEGER NOT NULL,
    livemode   INTEGER NOT NULL,
    key        TEXT NOT NULL,
    body       BLOB NOT NULL,
    PRIMARY KEY (connection, livemode, key)
) WITHOUT ROWID;

CREATE TABLE answers (
    connection INTEGER NOT NULL,
    livemode   INTEGER NOT NULL,
    request    TEXT NOT NULL,
    body       BLOB NOT NULL,
    PRIMARY KEY (connection, livemode, request)
) WITHOUT ROWID;

CREATE TABLE decisions (
    vendor INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    off    INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    body   BLOB NOT NULL,
    PRIMARY KEY (vendor, seq)
) WITHOUT ROWID;

-- One row per log record: its one outcome.
CREATE TABLE records (
    part       INTEGER NOT NULL,
    off        INTEGER NOT NULL,
    vendor     INTEGER NOT NULL,
    connection INTEGER NOT NULL,
    livemode   INTEGER,                    -- null for decisions, which hold in both modes
    event_id   TEXT NOT NULL,              -- the provider's; empty for others
    event_type TEXT NOT NULL,
    at         INTEGER NOT NULL,
    outcome    TEXT NOT NULL,
    reason     TEXT NOT NULL,
    story      INTEGER,
    PRIMARY KEY (part, off)
) WITHOUT ROWID;
CREATE INDEX records_by_event ON records (vendor, event_id) WHERE event_id <> '';
CREATE INDEX records_open ON records (vendor, outcome, off) WHERE outcome IN ('refused', 'waiting');

CREATE TABLE outcome_counts (
    vendor   INTEGER NOT NULL,
    livemode INTEGER NOT NULL,             -- 2 for decisions
    outcome  TEXT NOT NULL,
    records  INTEGER NOT NULL,
    PRIMARY KEY (vendor, livemode, outcome)
) WITHOUT ROWID;

-- What arrived from a connection, by hour, for its health page.
CREATE TABLE activity (
    connection INTEGER NOT NULL,
    hour       INTEGER NOT NULL,           -- hours since 1970 of the time on the record
    event_type TEXT NOT NULL,
    records    INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    PRIMARY KEY (connection, hour, event_type)
) WITHOUT ROWID;

CREATE TABLE questions (
    id         INTEGER PRIMARY KEY,
    vendor     INTEGER NOT NULL,
    connection INTEGER NOT NULL,
    livemode   INTEGER NOT NULL,
    provider   TEXT NOT NULL,
    request    TEXT NOT NULL,
    about      TEXT NOT NULL,
    state      TEXT NOT NULL,              -- open, answered
    UNIQUE (connection, livemode, request)
);
CREATE INDEX questions_open ON questions (id) WHERE state = 'open';

CREATE TABLE outbox (
    part INTEGER NOT NULL,
    off  INTEGER NOT NULL,
    n    INTEGER NOT NULL,                 -- counts lines and rows of one record
    body BLOB NOT NULL,                    -- JSON of a line or of a purchase row
    PRIMARY KEY (part, off, n)
) WITHOUT ROWID;
