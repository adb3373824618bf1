-- Which mail people want that is not essential, and what was mailed: summaries, broken connections.

-- Only what differs from the default.
create table mail_choices (
  vendor integer not null references vendors (id) on delete cascade,
  -- 'person' (a member) or 'affiliate'.
  audience text not null,
  -- Number of the person or affiliate.
  reader integer not null,
  -- 'summary'.
  topic text not null,
  -- 'off', 'monthly'.
  choice text not null,
  -- What it was when a link switched it off, for taking that back; else empty.
  earlier text not null,
  changed_at integer not null,
  primary key (vendor, audience, reader, topic)
) strict, without rowid;

-- Links in mails that switch one topic off without a session. One a reader, topic and address.
create table unsubscribe_links (
  hash blob primary key,
  vendor integer not null references vendors (id) on delete cascade,
  audience text not null,
  reader integer not null,
  topic text not null,
  -- Where the mail went. It changes nothing once the reader's address is another one.
  email text not null,
  created_at integer not null
) strict, without rowid;
create index unsubscribe_links_by_vendor on unsubscribe_links (vendor);

-- Affiliates who came to the portal with this address: nobody else gets mail that they did not ask for.
create table portal_openings (
  vendor integer not null references vendors (id) on delete cascade,
  affiliate integer not null references affiliates (id) on delete cascade,
  email text not null,
  opened_at integer not null,
  primary key (vendor, affiliate)
) strict, without rowid;
create index portal_openings_by_affiliate on portal_openings (affiliate);
insert into portal_openings (vendor, affiliate, email, opened_at)
  select vendor, affiliate, max(email), min(created_at) from portal_sessions group by vendor, affiliate;

-- Months whose summary was written: in the transaction of its mails.
create table mailed_summaries (
  vendor integer not null references vendors (id) on delete cascade,
  -- '2026-10'.
  month text not null,
  mails integer not null,
  written_at integer not null,
  primary key (vendor, month)
) strict, without rowid;

-- Endpoints whose deliveries are refused for a wrong signature, of which the owners were told. Gone once one is taken.
create table broken_endpoints (
  vendor integer not null references vendors (id) on delete cascade,
  -- The random part of its address.
  endpoint text not null,
  since integer not null,
  noted_at integer not null,
  primary key (vendor, endpoint)
) strict, without rowid;
