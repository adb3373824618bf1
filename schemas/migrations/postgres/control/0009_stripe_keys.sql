-- Stripe connected with a restricted key: our webhook endpoint there, and how far reading Stripe's lists has come.
--
-- Each row is of one connection and mode. What belongs to a vendor goes with it, also when a release forgets it that does
-- not know these tables.

create table stripe_webhooks (
  vendor bigint not null references vendors (id) on delete cascade,
  connection bigint not null references connections (id) on delete cascade,
  mode text collate "C" not null,
  -- Ours: the random part of the webhook URL.
  endpoint text collate "C" not null,
  -- Part of the idempotency key of its creation; counts up when the one before is gone at Stripe.
  attempt bigint not null default 1,
  -- Stripe's: 'we_...'. '' = not known to be there.
  webhook text collate "C" not null default '',
  -- 0 = the vendor made it by hand.
  made_by_us bigint not null default 1,
  -- Types that it does not send although they are wanted, with commas.
  missing_events text collate "C" not null default '',
  set_up_at bigint,
  primary key (connection, mode)
);
create index stripe_webhooks_by_vendor on stripe_webhooks (vendor);

create table stripe_reads (
  vendor bigint not null references vendors (id) on delete cascade,
  connection bigint not null references connections (id) on delete cascade,
  mode text collate "C" not null,
  -- 'running', 'done' or 'failed'.
  state text collate "C" not null,
  -- Which list is read: 'promotion_codes', 'coupons', 'most_events' or 'other_events'.
  step text collate "C" not null,
  -- The last id that was taken of it; null = it begins at its head, or at `oldest_at`.
  after text collate "C",
  -- Time of the oldest event that was taken in this step.
  oldest_at bigint,
  -- Events from here on are read.
  since bigint not null,
  began_at bigint not null,
  pages bigint not null default 0,
  promotion_codes bigint not null default 0,
  coupons bigint not null default 0,
  events bigint not null default 0,
  -- Events that could not be read.
  skipped bigint not null default 0,
  -- Since the last page that came.
  tries bigint not null default 0,
  rests_until bigint not null default 0,
  -- Why it rests or failed, in words.
  reason text collate "C" not null default '',
  -- Who reads now, and until when that holds.
  owner text collate "C" not null default '',
  owned_until bigint not null default 0,
  looked_at bigint not null,
  finished_at bigint,
  primary key (connection, mode)
);
create index stripe_reads_by_vendor on stripe_reads (vendor);
create index stripe_reads_running on stripe_reads (looked_at) where state = 'running';
alter table stripe_webhooks enable row level security;
alter table stripe_webhooks force row level security;
create policy tenant on stripe_webhooks using (sees_vendor(vendor));
alter table stripe_reads enable row level security;
alter table stripe_reads force row level security;
create policy tenant on stripe_reads using (sees_vendor(vendor));
