-- People who sign in, and the mail that goes out.

-- Where an affiliate's mail goes. The event log never has it, so that it can be erased.
alter table affiliates add column email text;

create table people (
  id integer primary key autoincrement,
  -- Normalised: trimmed, lower case.
  email text not null unique,
  created_at integer not null
) strict;

-- Which vendors a person may open.
create table members (
  vendor integer not null references vendors (id),
  person integer not null references people (id),
  -- 'owner'.
  role text not null,
  created_at integer not null,
  primary key (vendor, person)
) strict, without rowid;
create index members_by_person on members (person);

-- Somebody asked to sign in. Link and code open it once.
create table sign_ins (
  -- Random; the browser that asked has it, and only there the code counts.
  ticket text primary key,
  email text not null,
  link_hash blob not null unique,
  code_hash blob not null,
  -- Wrong codes so far.
  tries integer not null,
  created_at integer not null,
  expires_at integer not null
) strict, without rowid;
create index sign_ins_by_email on sign_ins (email, created_at);
create index sign_ins_by_expiry on sign_ins (expires_at);

-- People's sessions. A release that does not know them must not take them for the operator's, so they are not in
-- `sessions`.
create table person_sessions (
  hash blob primary key,
  person integer not null references people (id),
  csrf text not null,
  -- What the browser says it is; for the list of sessions.
  agent text not null,
  created_at integer not null,
  last_used_at integer not null,
  expires_at integer not null
) strict, without rowid;
create index person_sessions_by_person on person_sessions (person);
create index person_sessions_by_expiry on person_sessions (expires_at);

-- Mail on its way. One row for each cause, for ever, so that nothing is mailed twice.
create table mails (
  id integer primary key autoincrement,
  -- Null = nobody's: a sign-in.
  vendor integer references vendors (id),
  cause text not null unique,
  kind text not null,
  recipient text not null,
  -- 'waiting', 'claimed' (not handed over yet), 'sending', 'sent', 'failed', 'unsure'.
  state text not null,
  -- How often it was claimed; whoever has an older number no longer owns it.
  tries integer not null,
  -- Waiting: not before. Claimed and sending: whose claim ends then.
  due_at integer not null,
  created_at integer not null,
  finished_at integer,
  error text not null,
  -- What it says, closed by a master key; empty once it is sent.
  key_id text not null,
  sealed blob not null
) strict;
create index mails_by_state on mails (state, due_at);
create index mails_by_vendor on mails (vendor);
