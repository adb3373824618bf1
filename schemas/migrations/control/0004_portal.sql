-- The affiliates' portal: links that open it, and its sessions, apart from those of people who work for a vendor.

create index affiliates_by_email on affiliates (email) where email is not null;

-- What belongs to a vendor or affiliate goes with it, also when a release forgets it that does not know these tables.

-- Opens one session. What is used stays until it is over, so that it still counts against too many mails.
create table portal_links (
  hash blob primary key,
  vendor integer not null references vendors (id) on delete cascade,
  affiliate integer not null references affiliates (id) on delete cascade,
  -- 'invite' or 'asked'.
  kind text not null,
  -- Where it was mailed to. It opens nothing once the affiliate's address is another one.
  email text not null,
  created_at integer not null,
  expires_at integer not null,
  used_at integer
) strict, without rowid;
create index portal_links_by_affiliate on portal_links (vendor, affiliate, created_at);
create index portal_links_by_expiry on portal_links (expires_at);

create table portal_sessions (
  hash blob primary key,
  vendor integer not null references vendors (id) on delete cascade,
  affiliate integer not null references affiliates (id) on delete cascade,
  -- As of the link; the session ends when the affiliate's address changes.
  email text not null,
  csrf text not null,
  created_at integer not null,
  last_used_at integer not null,
  expires_at integer not null
) strict, without rowid;
create index portal_sessions_by_affiliate on portal_sessions (vendor, affiliate);
create index portal_sessions_by_expiry on portal_sessions (expires_at);
