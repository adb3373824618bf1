-- People who sign in, and the mail that goes out.

-- Where an affiliate's mail goes. The event log never has it, so that it can be erased.
alter table affiliates add column email text collate "C";

create table people (
  id bigint generated always as identity primary key,
  -- Normalised: trimmed, lower case.
  email text collate "C" not null unique,
  created_at bigint not null
);

-- Which vendors a person may open.
create table members (
  vendor bigint not null references vendors (id),
  person bigint not null references people (id),
  -- 'owner'.
  role text collate "C" not null,
  created_at bigint not null,
  primary key (vendor, person)
);
create index members_by_person on members (person);

-- Somebody asked to sign in. Link and code open it once.
create table sign_ins (
  -- Random; the browser that asked has it, and only there the code counts.
  ticket text collate "C" primary key,
  email text collate "C" not null,
  link_hash bytea not null unique,
  code_hash bytea not null,
  -- Wrong codes so far.
  tries bigint not null,
  created_at bigint not null,
  expires_at bigint not null
);
create index sign_ins_by_email on sign_ins (email, created_at);
create index sign_ins_by_expiry on sign_ins (expires_at);

-- People's sessions. A release that does not know them must not take them for the operator's, so they are not in
-- `sessions`.
create table person_sessions (
  hash bytea primary key,
  person bigint not null references people (id),
  csrf text collate "C" not null,
  -- What the browser says it is; for the list of sessions.
  agent text collate "C" not null,
  created_at bigint not null,
  last_used_at bigint not null,
  expires_at bigint not null
);
create index person_sessions_by_person on person_sessions (person);
create index person_sessions_by_expiry on person_sessions (expires_at);

-- Mail on its way. One row for each cause, for ever, so that nothing is mailed twice.
create table mails (
  id bigint generated always as identity primary key,
  -- Null = nobody's: a sign-in.
  vendor bigint references vendors (id),
  cause text collate "C" not null unique,
  kind text collate "C" not null,
  recipient text collate "C" not null,
  -- 'waiting', 'claimed' (not handed over yet), 'sending', 'sent', 'failed', 'unsure'.
  state text collate "C" not null,
  -- How often it was claimed; whoever has an older number no longer owns it.
  tries bigint not null,
  -- Waiting: not before. Claimed and sending: whose claim ends then.
  due_at bigint not null,
  created_at bigint not null,
  finished_at bigint,
  error text collate "C" not null,
  -- What it says, closed by a master key; empty once it is sent.
  key_id text collate "C" not null,
  sealed bytea not null
);
create index mails_by_state on mails (state, due_at);
create index mails_by_vendor on mails (vendor);

alter table members enable row level security;
alter table members force row level security;
create policy tenant on members using (sees_vendor(vendor));
alter table mails enable row level security;
alter table mails force row level security;
create policy tenant on mails using (sees_vendor(vendor));
-- Not a tenant's: only the wiring looks at them.
alter table people enable row level security;
alter table people force row level security;
create policy wiring on people using (sees_all());
alter table sign_ins enable row level security;
alter table sign_ins force row level security;
create policy wiring on sign_ins using (sees_all());
alter table person_sessions enable row level security;
alter table person_sessions force row level security;
create policy wiring on person_sessions using (sees_all());
