-- What affiliates do at the portal: their own details, questions, and telling their sessions apart.

-- What the browser said it is; empty where it said nothing, or the session is older.
alter table portal_sessions add column agent text collate "C" not null default '';

-- How an affiliate wants to be paid, in their own words. The newest holds, the others stay; an empty one takes it back.
create table payout_addresses (
  vendor bigint not null references vendors (id) on delete cascade,
  affiliate bigint not null references affiliates (id) on delete cascade,
  decided_at bigint not null,
  text text collate "C" not null,
  actor text collate "C" not null,
  primary key (vendor, affiliate, decided_at)
);

-- What counts against the budgets of a day. What is older is forgotten.
create table portal_acts (
  vendor bigint not null references vendors (id) on delete cascade,
  affiliate bigint not null references affiliates (id) on delete cascade,
  -- 'question', 'name' or 'payout_address'.
  kind text collate "C" not null,
  at bigint not null,
  -- Hash of the session's cookie.
  session bytea not null,
  primary key (vendor, affiliate, kind, at, session)
);
create index portal_acts_by_time on portal_acts (at);

alter table payout_addresses enable row level security;
alter table payout_addresses force row level security;
create policy tenant on payout_addresses using (sees_vendor(vendor));
alter table portal_acts enable row level security;
alter table portal_acts force row level security;
create policy tenant on portal_acts using (sees_vendor(vendor));
