-- What affiliates do at the portal: their own details, questions, and telling their sessions apart.

-- What the browser said it is; empty where it said nothing, or the session is older.
alter table portal_sessions add column agent text not null default '';

-- How an affiliate wants to be paid, in their own words. The newest holds, the others stay; an empty one takes it back.
create table payout_addresses (
  vendor integer not null references vendors (id) on delete cascade,
  affiliate integer not null references affiliates (id) on delete cascade,
  decided_at integer not null,
  text text not null,
  actor text not null,
  primary key (vendor, affiliate, decided_at)
) strict, without rowid;

-- What counts against the budgets of a day. What is older is forgotten.
create table portal_acts (
  vendor integer not null references vendors (id) on delete cascade,
  affiliate integer not null references affiliates (id) on delete cascade,
  -- 'question', 'name' or 'payout_address'.
  kind text not null,
  at integer not null,
  -- Hash of the session's cookie.
  session blob not null,
  primary key (vendor, affiliate, kind, at, session)
) strict, without rowid;
create index portal_acts_by_time on portal_acts (at);
