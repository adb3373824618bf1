-- The control store on Postgres: the tables of migrations/control, which explain themselves there.
--
-- All numbers are bigint (a flag is 0 or 1, a time is milliseconds since 1970 in UTC), all text sorts by its bytes, so
-- that both databases give the same answers in the same order. Identity columns are never used again either.

create table vendors (
  id bigint generated always as identity primary key,
  slug text collate "C" not null unique,
  name text collate "C" not null,
  time_zone text collate "C" not null,
  is_demo bigint not null,
  created_at bigint not null,
  -- Counters of the vendor, changed only inside a write transaction.
  next_seq bigint not null default 1,
  next_rule_rev bigint not null default 1,
  -- Key of e-mail and card hashes, wrapped by a master key.
  hash_key_id text collate "C" not null,
  hash_key_sealed bytea not null
);

-- One provider account of one vendor. Any number of endpoints, secrets and keys.
create table connections (
  id bigint generated always as identity primary key,
  vendor bigint not null references vendors (id),
  provider text collate "C" not null,
  -- '' = any account.
  account text collate "C" not null,
  -- Null = complete.
  history_from bigint,
  created_at bigint not null,
  closed_at bigint,
  unique (vendor, provider, account)
);

create table endpoints (
  -- The random part of the webhook URL.
  id text collate "C" primary key,
  vendor bigint not null references vendors (id),
  connection bigint not null references connections (id),
  -- 'test', 'live', or '' when the provider's events say it themselves.
  mode_hint text collate "C" not null,
  created_at bigint not null,
  unique (connection, mode_hint)
);

create table endpoint_secrets (
  id bigint generated always as identity primary key,
  vendor bigint not null references vendors (id),
  endpoint text collate "C" not null references endpoints (id),
  key_id text collate "C" not null,
  sealed bytea not null,
  added_at bigint not null
);
create index endpoint_secrets_by_endpoint on endpoint_secrets (endpoint);

-- Keys for asking the provider. The newest of a mode holds.
create table lookup_keys (
  id bigint generated always as identity primary key,
  vendor bigint not null references vendors (id),
  connection bigint not null references connections (id),
  -- 'test', 'live', or '' = any.
  mode text collate "C" not null,
  -- Null = the provider's own address.
  api_base text collate "C",
  key_id text collate "C" not null,
  sealed bytea not null,
  added_at bigint not null
);
create index lookup_keys_by_connection on lookup_keys (connection);

create table affiliates (
  id bigint generated always as identity primary key,
  vendor bigint not null references vendors (id),
  key text collate "C" not null,
  name text collate "C" not null,
  suspended_at bigint,
  created_at bigint not null,
  unique (vendor, key)
);

create table codes (
  id bigint generated always as identity primary key,
  vendor bigint not null references vendors (id),
  -- As people wrote it, else the promotion code or coupon id.
  text text collate "C" not null,
  created_at bigint not null
);
create index codes_by_vendor on codes (vendor);

-- What a code is known by: kind is 'code' (case-folded), 'promotion_code' or 'coupon'.
create table code_names (
  vendor bigint not null references vendors (id),
  kind text collate "C" not null,
  name text collate "C" not null,
  code bigint not null references codes (id),
  primary key (vendor, kind, name)
);

create table mappings (
  vendor bigint not null references vendors (id),
  seq bigint not null,
  -- 0 for a referral key.
  code bigint not null,
  -- Null = the house's.
  affiliate bigint references affiliates (id),
  -- The decision itself.
  body text collate "C" not null,
  decided_at bigint not null,
  primary key (vendor, seq)
);
create index mappings_by_code on mappings (vendor, code, seq);

create table rules (
  vendor bigint not null references vendors (id),
  rev bigint not null,
  seq bigint not null,
  -- 'vendor', 'affiliate:7', 'code:9'.
  scope text collate "C" not null,
  effective_from bigint not null,
  body text collate "C" not null,
  actor text collate "C" not null,
  decided_at bigint not null,
  primary key (vendor, rev)
);
create index rules_by_scope on rules (vendor, scope);

-- The policy in force; its history is in the audit log and in the event log.
create table policies (
  vendor bigint primary key references vendors (id),
  hold_days bigint not null,
  time_zone text collate "C" not null
);

create table reviews (
  vendor bigint not null references vendors (id),
  seq bigint not null,
  connection bigint not null,
  mode text collate "C" not null,
  purchase text collate "C" not null,
  body text collate "C" not null,
  actor text collate "C" not null,
  decided_at bigint not null,
  primary key (vendor, seq)
);

create table campaigns (
  vendor bigint not null references vendors (id),
  seq bigint not null,
  starts_at bigint not null,
  ends_at bigint not null,
  body text collate "C" not null,
  actor text collate "C" not null,
  decided_at bigint not null,
  primary key (vendor, seq)
);

create table adjustments (
  vendor bigint not null references vendors (id),
  seq bigint not null,
  affiliate bigint not null references affiliates (id),
  body text collate "C" not null,
  actor text collate "C" not null,
  decided_at bigint not null,
  primary key (vendor, seq)
);

-- Decisions on their way into the log. No reference to vendors: the last row of a vendor
-- says that it is forgotten.
create table decision_outbox (
  id bigint generated always as identity primary key,
  vendor bigint not null,
  seq bigint not null,
  at bigint not null,
  body text collate "C" not null,
  unique (vendor, seq)
);

-- One-time tokens that open a session. Only hashes are stored.
create table login_tokens (
  hash bytea primary key,
  expires_at bigint not null
);

create table sessions (
  hash bytea primary key,
  csrf text collate "C" not null,
  created_at bigint not null,
  expires_at bigint not null
);
create index sessions_by_expiry on sessions (expires_at);

create table api_keys (
  id bigint generated always as identity primary key,
  vendor bigint not null references vendors (id),
  mode text collate "C" not null,
  name text collate "C" not null,
  hash bytea not null unique,
  created_at bigint not null,
  last_used_at bigint,
  revoked_at bigint
);
create index api_keys_by_vendor on api_keys (vendor);

-- Who did what, when. A forgotten vendor's rows go with it.
create table audit_log (
  id bigint generated always as identity primary key,
  -- 0 = the whole installation.
  vendor bigint not null,
  actor text collate "C" not null,
  action text collate "C" not null,
  -- What was set, as JSON, without secrets.
  detail text collate "C" not null,
  at bigint not null
);
create index audit_log_by_vendor on audit_log (vendor, id);

-- What deleting a vendor has to find.
create index endpoints_by_vendor on endpoints (vendor);
create index endpoint_secrets_by_vendor on endpoint_secrets (vendor);
create index lookup_keys_by_vendor on lookup_keys (vendor);
create index code_names_by_code on code_names (code);
create index mappings_by_affiliate on mappings (affiliate);
create index adjustments_by_affiliate on adjustments (affiliate);

-- One row that counts changes: each process looks at it to hear what the others did. It is written last in a
-- transaction, so that waiting for it cannot be part of a ring.
create table changes (
  id bigint primary key check (id = 1),
  -- Connections, secrets, forgotten vendors.
  directory bigint not null,
  -- Decisions written.
  decisions bigint not null
);
insert into changes (id, directory, decisions) values (1, 0, 0);

-- Whose relay may take decisions, until when by the server's clock.
create table relay_lease (
  id bigint primary key check (id = 1),
  -- A random name of the process.
  holder text collate "C" not null,
  held_until bigint not null
);
insert into relay_lease (id, holder, held_until) values (1, '', 0);

-- Row-level security, for the owner too. A statement that forgets its tenant then finds nothing instead of everything:
-- a transaction sees the vendor that it named (affilitrack.vendor), or all when the trusted wiring opened it
-- (affilitrack.all). Roles that are superusers or have bypassrls are not held by it; do not use one.
create function sees_all() returns boolean language sql stable
  return coalesce(current_setting('affilitrack.all', true), '') = 'on';
create function sees_vendor(vendor bigint) returns boolean language sql stable
  return coalesce(current_setting('affilitrack.all', true), '') = 'on'
    or vendor = nullif(current_setting('affilitrack.vendor', true), '')::bigint;

do $$
declare
  tenant_table text;
begin
  foreach tenant_table in array array['connections', 'endpoints', 'endpoint_secrets', 'lookup_keys', 'affiliates',
    'codes', 'code_names', 'mappings', 'rules', 'policies', 'reviews', 'campaigns', 'adjustments', 'decision_outbox',
    'api_keys', 'audit_log']
  loop
    execute format('alter table %I enable row level security', tenant_table);
    execute format('alter table %I force row level security', tenant_table);
    execute format('create policy tenant on %I using (sees_vendor(vendor))', tenant_table);
  end loop;
end
$$;
alter table vendors enable row level security;
alter table vendors force row level security;
create policy tenant on vendors using (sees_vendor(id));
-- Not a tenant's: only the wiring looks at them.
alter table login_tokens enable row level security;
alter table login_tokens force row level security;
create policy wiring on login_tokens using (sees_all());
alter table sessions enable row level security;
alter table sessions force row level security;
create policy wiring on sessions using (sees_all());
