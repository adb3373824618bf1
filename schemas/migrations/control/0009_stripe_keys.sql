-- Stripe connected with a restricted key: our webhook endpoint there, and how far reading Stripe's lists has come.
--
-- Each row is of one connection and mode. What belongs to a vendor goes with it, also when a release forgets it that does
-- not know these tables.

create table stripe_webhooks (
  vendor integer not null references vendors (id) on delete cascade,
  connection integer not null references connections (id) on delete cascade,
  mode text not null,
  -- Ours: the random part of the webhook URL.
  endpoint text not null,
  -- Part of the idempotency key of its creation; counts up when the one before is gone at Stripe.
  attempt integer not null default 1,
  -- Stripe's: 'we_...'. '' = not known to be there.
  webhook text not null default '',
  -- 0 = the vendor made it by hand.
  made_by_us integer not null default 1,
  -- Types that it does not send although they are wanted, with commas.
  missing_events text not null default '',
  set_up_at integer,
  primary key (connection, mode)
) strict, without rowid;
create index stripe_webhooks_by_vendor on stripe_webhooks (vendor);

create table stripe_reads (
  vendor integer not null references vendors (id) on delete cascade,
  connection integer not null references connections (id) on delete cascade,
  mode text not null,
  -- 'running', 'done' or 'failed'.
  state text not null,
  -- Which list is read: 'promotion_codes', 'coupons', 'most_events' or 'other_events'.
  step text not null,
  -- The last id that was taken of it; null = it begins at its head, or at `oldest_at`.
  after text,
  -- Time of the oldest event that was taken in this step.
  oldest_at integer,
  -- Events from here on are read.
  since integer not null,
  began_at integer not null,
  pages integer not null default 0,
  promotion_codes integer not null default 0,
  coupons integer not null default 0,
  events integer not null default 0,
  -- Events that could not be read.
  skipped integer not null default 0,
  -- Since the last page that came.
  tries integer not null default 0,
  rests_until integer not null default 0,
  -- Why it rests or failed, in words.
  reason text not null default '',
  -- Who reads now, and until when that holds.
  owner text not null default '',
  owned_until integer not null default 0,
  looked_at integer not null,
  finished_at integer,
  primary key (connection, mode)
) strict, without rowid;
create index stripe_reads_by_vendor on stripe_reads (vendor);
create index stripe_reads_running on stripe_reads (looked_at) where state = 'running';
