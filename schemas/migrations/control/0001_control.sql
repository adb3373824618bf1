-- The control store: what people decided, and who may see what.
--
-- Times are milliseconds since 1970 in UTC. Ids count up and are never used again
-- (autoincrement), because the log names them for ever. Rows of people's decisions are
-- written in the transaction that also writes their outbox row.

create table vendors (
  id integer primary key autoincrement,
  slug text not null unique,
  name text not null,
  time_zone text not null,
  is_demo integer not null,
  created_at integer not null,
  -- Counters of the vendor, changed only inside a write transaction.
  next_seq integer not null default 1,
  next_rule_rev integer not null default 1,
  -- Key of e-mail and card hashes, wrapped by a master key.
  hash_key_id text not null,
  hash_key_sealed blob not null
) strict;

-- One provider account of one vendor. Any number of endpoints, secrets and keys.
create table connections (
  id integer primary key autoincrement,
  vendor integer not null references vendors (id),
  provider text not null,
  -- '' = any account.
  account text not null,
  -- Null = complete.
  history_from integer,
  created_at integer not null,
  closed_at integer,
  unique (vendor, provider, account)
) strict;

create table endpoints (
  -- The random part of the webhook URL.
  id text primary key,
  vendor integer not null references vendors (id),
  connection integer not null references connections (id),
  -- 'test', 'live', or '' when the provider's events say it themselves.
  mode_hint text not null,
  created_at integer not null,
  unique (connection, mode_hint)
) strict;

create table endpoint_secrets (
  id integer primary key autoincrement,
  vendor integer not null references vendors (id),
  endpoint text not null references endpoints (id),
  key_id text not null,
  sealed blob not null,
  added_at integer not null
) strict;
create index endpoint_secrets_by_endpoint on endpoint_secrets (endpoint);

-- Keys for asking the provider. The newest of a mode holds.
create table lookup_keys (
  id integer primary key autoincrement,
  vendor integer not null references vendors (id),
  connection integer not null references connections (id),
  -- 'test', 'live', or '' = any.
  mode text not null,
  -- Null = the provider's own address.
  api_base text,
  key_id text not null,
  sealed blob not null,
  added_at integer not null
) strict;
create index lookup_keys_by_connection on lookup_keys (connection);

create table affiliates (
  id integer primary key autoincrement,
  vendor integer not null references vendors (id),
  key text not null,
  name text not null,
  suspended_at integer,
  created_at integer not null,
  unique (vendor, key)
) strict;

create table codes (
  id integer primary key autoincrement,
  vendor integer not null references vendors (id),
  -- As people wrote it, else the promotion code or coupon id.
  text text not null,
  created_at integer not null
) strict;
create index codes_by_vendor on codes (vendor);

-- What a code is known by: kind is 'code' (case-folded), 'promotion_code' or 'coupon'.
create table code_names (
  vendor integer not null references vendors (id),
  kind text not null,
  name text not null,
  code integer not null references codes (id),
  primary key (vendor, kind, name)
) strict, without rowid;

create table mappings (
  vendor integer not null references vendors (id),
  seq integer not null,
  -- 0 for a referral key.
  code integer not null,
  -- Null = the house's.
  affiliate integer references affiliates (id),
  -- The decision itself.
  body text not null,
  decided_at integer not null,
  primary key (vendor, seq)
) strict, without rowid;
create index mappings_by_code on mappings (vendor, code, seq);

create table rules (
  vendor integer not null references vendors (id),
  rev integer not null,
  seq integer not null,
  -- 'vendor', 'affiliate:7', 'code:9'.
  scope text not null,
  effective_from integer not null,
  body text not null,
  actor text not null,
  decided_at integer not null,
  primary key (vendor, rev)
) strict, without rowid;
create index rules_by_scope on rules (vendor, scope);

-- The policy in force; its history is in the audit log and in the event log.
create table policies (
  vendor integer primary key references vendors (id),
  hold_days integer not null,
  time_zone text not null
) strict;

create table reviews (
  vendor integer not null references vendors (id),
  seq integer not null,
  connection integer not null,
  mode text not null,
  purchase text not null,
  body text not null,
  actor text not null,
  decided_at integer not null,
  primary key (vendor, seq)
) strict, without rowid;

create table campaigns (
  vendor integer not null references vendors (id),
  seq integer not null,
  starts_at integer not null,
  ends_at integer not null,
  body text not null,
  actor text not null,
  decided_at integer not null,
  primary key (vendor, seq)
) strict, without rowid;

create table adjustments (
  vendor integer not null references vendors (id),
  seq integer not null,
  affiliate integer not null references affiliates (id),
  body text not null,
  actor text not null,
  decided_at integer not null,
  primary key (vendor, seq)
) strict, without rowid;

-- Decisions on their way into the log. No reference to vendors: the last row of a vendor
-- says that it is forgotten.
create table decision_outbox (
  id integer primary key autoincrement,
  vendor integer not null,
  seq integer not null,
  at integer not null,
  body text not null,
  unique (vendor, seq)
) strict;

-- One-time tokens that open a session. Only hashes are stored.
create table login_tokens (
  hash blob primary key,
  expires_at integer not null
) strict, without rowid;

create table sessions (
  hash blob primary key,
  csrf text not null,
  created_at integer not null,
  expires_at integer not null
) strict, without rowid;
create index sessions_by_expiry on sessions (expires_at);

create table api_keys (
  id integer primary key autoincrement,
  vendor integer not null references vendors (id),
  mode text not null,
  name text not null,
  hash blob not null unique,
  created_at integer not null,
  last_used_at integer,
  revoked_at integer
) strict;
create index api_keys_by_vendor on api_keys (vendor);

-- Who did what, when. A forgotten vendor's rows go with it.
create table audit_log (
  id integer primary key autoincrement,
  -- 0 = the whole installation.
  vendor integer not null,
  actor text not null,
  action text not null,
  -- What was set, as JSON, without secrets.
  detail text not null,
  at integer not null
) strict;
create index audit_log_by_vendor on audit_log (vendor, id);
