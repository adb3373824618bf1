-- The affiliates' portal: links that open it, and its sessions, apart from those of people who work for a vendor.

create index affiliates_by_email on affiliates (email) where email is not null;

-- What belongs to a vendor or affiliate goes with it, also when a release forgets it that does not know these tables.

-- Opens one session. What is used stays until it is over, so that it still counts against too many mails.
create table portal_links (
  hash bytea primary key,
  vendor bigint not null references vendors (id) on delete cascade,
  affiliate bigint not null references affiliates (id) on delete cascade,
  -- 'invite' or 'asked'.
  kind text collate "C" not null,
  -- Where it was mailed to. It opens nothing once the affiliate's address is another one.
  email text collate "C" not null,
  created_at bigint not null,
  expires_at bigint not null,
  used_at bigint
);
create index portal_links_by_affiliate on portal_links (vendor, affiliate, created_at);
create index portal_links_by_expiry on portal_links (expires_at);

create table portal_sessions (
  hash bytea primary key,
  vendor bigint not null references vendors (id) on delete cascade,
  affiliate bigint not null references affiliates (id) on delete cascade,
  -- As of the link; the session ends when the affiliate's address changes.
  email text collate "C" not null,
  csrf text collate "C" not null,
  created_at bigint not null,
  last_used_at bigint not null,
  expires_at bigint not null
);
create index portal_sessions_by_affiliate on portal_sessions (vendor, affiliate);
create index portal_sessions_by_expiry on portal_sessions (expires_at);

alter table portal_links enable row level security;
alter table portal_links force row level security;
create policy tenant on portal_links using (sees_vendor(vendor));
alter table portal_sessions enable row level security;
alter table portal_sessions force row level security;
create policy tenant on portal_sessions using (sees_vendor(vendor));
