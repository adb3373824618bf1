-- Which mail people want that is not essential, and what was mailed: summaries, broken connections.

-- Only what differs from the default.
create table mail_choices (
  vendor bigint not null references vendors (id) on delete cascade,
  -- 'person' (a member) or 'affiliate'.
  audience text collate "C" not null,
  -- Number of the person or affiliate.
  reader bigint not null,
  -- 'summary'.
  topic text collate "C" not null,
  -- 'off', 'monthly'.
  choice text collate "C" not null,
  -- What it was when a link switched it off, for taking that back; else empty.
  earlier text collate "C" not null,
  changed_at bigint not null,
  primary key (vendor, audience, reader, topic)
);

-- Links in mails that switch one topic off without a session. One a reader, topic and address.
create table unsubscribe_links (
  hash bytea primary key,
  vendor bigint not null references vendors (id) on delete cascade,
  audience text collate "C" not null,
  reader bigint not null,
  topic text collate "C" not null,
  -- Where the mail went. It changes nothing once the reader's address is another one.
  email text collate "C" not null,
  created_at bigint not null
);
create index unsubscribe_links_by_vendor on unsubscribe_links (vendor);

-- Affiliates who came to the portal with this address: nobody else gets mail that they did not ask for.
create table portal_openings (
  vendor bigint not null references vendors (id) on delete cascade,
  affiliate bigint not null references affiliates (id) on delete cascade,
  email text collate "C" not null,
  opened_at bigint not null,
  primary key (vendor, affiliate)
);
create index portal_openings_by_affiliate on portal_openings (affiliate);
insert into portal_openings (vendor, affiliate, email, opened_at)
  select vendor, affiliate, max(email), min(created_at) from portal_sessions group by vendor, affiliate;

-- Months whose summary was written: in the transaction of its mails.
create table mailed_summaries (
  vendor bigint not null references vendors (id) on delete cascade,
  -- '2026-10'.
  month text collate "C" not null,
  mails bigint not null,
  written_at bigint not null,
  primary key (vendor, month)
);

-- Endpoints whose deliveries are refused for a wrong signature, of which the owners were told. Gone once one is taken.
create table broken_endpoints (
  vendor bigint not null references vendors (id) on delete cascade,
  -- The random part of its address.
  endpoint text collate "C" not null,
  since bigint not null,
  noted_at bigint not null,
  primary key (vendor, endpoint)
);

alter table mail_choices enable row level security;
alter table mail_choices force row level security;
create policy tenant on mail_choices using (sees_vendor(vendor));
alter table unsubscribe_links enable row level security;
alter table unsubscribe_links force row level security;
create policy tenant on unsubscribe_links using (sees_vendor(vendor));
alter table portal_openings enable row level security;
alter table portal_openings force row level security;
create policy tenant on portal_openings using (sees_vendor(vendor));
alter table mailed_summaries enable row level security;
alter table mailed_summaries force row level security;
create policy tenant on mailed_summaries using (sees_vendor(vendor));

alter table broken_endpoints enable row level security;
alter table broken_endpoints force row level security;
create policy tenant on broken_endpoints using (sees_vendor(vendor));
