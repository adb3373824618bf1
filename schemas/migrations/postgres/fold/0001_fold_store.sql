-- The fold store on Postgres: the tables of ../../fold/0001_fold_store.sql, in a schema of their own. Everything here
-- is a function of the log and can be folded again. Numbers are bigint, texts are compared byte by byte (collate "C").

create table positions (
    part      bigint primary key,
    next_off  bigint not null,             -- first offset that is not (completely) folded
    cursor    text,                        -- what is left of a far-reaching record, JSON
    next_ord  bigint not null,             -- lines that the unfinished record booked so far
    made      bigint not null,             -- numbers that it gave out so far
    items     bigint not null,             -- outbox items that it made so far
    queued    bigint not null,             -- outbox items ever made
    chain     bytea not null,              -- running SHA-256 over all folded records
    last_hash bytea not null,              -- SHA-256 of the last folded record
    revision  bigint not null              -- fold revision that booked
) with (fillfactor = 50);

-- Apart from `positions`, so that the sink and the fold never wait for each other.
create table visible (
    part     bigint primary key,
    next_off bigint not null,              -- everything below is in the warehouse
    at       bigint not null,              -- when that moved, ms
    sent     bigint not null               -- outbox items ever delivered
) with (fillfactor = 50);

create table stories (
    id     bigint primary key,
    vendor bigint not null,
    body   bytea not null                  -- JSON
);
create index stories_by_vendor on stories (vendor, id);

create table story_refs (
    vendor bigint not null,
    ref    text collate "C" not null,
    story  bigint not null,
    primary key (vendor, ref, story)
);

create table aliases (
    connection bigint not null,
    livemode   bigint not null,
    alias      text collate "C" not null,
    story      bigint not null,
    primary key (connection, livemode, alias)
);

create table purchases (
    id    bigint primary key,
    story bigint not null
);

create table catalogue (
    connection bigint not null,
    livemode   bigint not null,
    key        text collate "C" not null,
    body       bytea not null,
    primary key (connection, livemode, key)
);

create table answers (
    connection bigint not null,
    livemode   bigint not null,
    request    text collate "C" not null,
    body       bytea not null,
    primary key (connection, livemode, request)
);

create table decisions (
    vendor bigint not null,
    seq    bigint not null,
    off    bigint not null,
    at     bigint not null,
    body   bytea not null,
    primary key (vendor, seq)
);

-- One row per log record: its one outcome.
create table records (
    part       bigint not null,
    off        bigint not null,
    vendor     bigint not null,
    connection bigint not null,
    livemode   bigint,                     -- null for decisions, which hold in both modes
    event_hash bigint not null,            -- of vendor and provider event id; 0 for others
    event_type text collate "C" not null,
    at         bigint not null,
    outcome    text collate "C" not null,
    reason     text not null,
    story      bigint,
    primary key (part, off)
);
create index records_by_event on records (event_hash) where event_hash <> 0;
create index records_open on records (vendor, outcome, off) where outcome in ('refused', 'waiting');

create table outcome_counts (
    vendor   bigint not null,
    livemode bigint not null,              -- 2 for decisions
    outcome  text collate "C" not null,
    records  bigint not null,
    primary key (vendor, livemode, outcome)
) with (fillfactor = 50);

-- What arrived from a connection, by hour, for its health page.
create table activity (
    connection bigint not null,
    hour       bigint not null,            -- hours since 1970 of the time on the record
    event_type text collate "C" not null,
    records    bigint not null,
    last_at    bigint not null,
    primary key (connection, hour, event_type)
) with (fillfactor = 50);

create table questions (
    id         bigint generated always as identity primary key,
    vendor     bigint not null,
    connection bigint not null,
    livemode   bigint not null,
    provider   text not null,
    request    text collate "C" not null,
    about      text not null,
    state      text not null,              -- open, answered
    unique (connection, livemode, request)
);
create index questions_open on questions (id) where state = 'open';

-- A queue: rows come and go, so it is cleaned by their number and not by the size of the table.
create table outbox (
    part bigint not null,
    off  bigint not null,
    n    bigint not null,                  -- counts lines and rows of one record
    body bytea not null,                   -- JSON of a line or of a purchase row
    primary key (part, off, n)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

-- Tenants are kept apart by the database too, also from the owner of the tables (force): a connection sees the rows of
-- the vendor that its transaction named, or everything if it is the processor's ('affilitrack.all'), or nothing. The
-- settings stand in subqueries so that they are looked up once per statement and not once per row.
do $$
declare
    name text;
    everything text := $q$(select coalesce(current_setting('affilitrack.all', true), '') = 'on')$q$;
    own text := $q$vendor = (select nullif(current_setting('affilitrack.vendor', true), '')::bigint)$q$;
begin
    foreach name in array array['stories', 'story_refs', 'decisions', 'records', 'outcome_counts', 'questions'] loop
        execute format('create policy tenant on %I using (%s or %s)', name, everything, own);
    end loop;
    -- These do not say whose they are: only the processor, and what reads on its behalf, sees them.
    foreach name in array array['aliases', 'purchases', 'catalogue', 'answers', 'activity', 'outbox'] loop
        execute format('create policy tenant on %I using (%s)', name, everything);
    end loop;
    foreach name in array array['stories', 'story_refs', 'decisions', 'records', 'outcome_counts', 'questions',
                                'aliases', 'purchases', 'catalogue', 'answers', 'activity', 'outbox'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
    end loop;
end
$$;
