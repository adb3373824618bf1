-- Signing in with an OpenID provider, and cookies that change while their session stays.

create table person_identities (
  -- The provider, and its number for the person: an address may change hands.
  issuer text collate "C" not null,
  subject text collate "C" not null,
  person bigint not null references people (id) on delete cascade,
  created_at bigint not null,
  primary key (issuer, subject)
);
create index person_identities_by_person on person_identities (person);

-- The cookies that open a session, once its first one was followed by another.
create table session_cookies (
  hash bytea primary key,
  -- The hash of the session's first cookie, which is its name in `sessions`, `person_sessions` or `portal_sessions`.
  session bytea not null,
  made_at bigint not null,
  -- Null while nothing has taken its place.
  ends_at bigint
);
create index session_cookies_by_session on session_cookies (session);
create index session_cookies_by_age on session_cookies (made_at);

-- Not a tenant's: only the wiring looks at them.
alter table person_identities enable row level security;
alter table person_identities force row level security;
create policy wiring on person_identities using (sees_all());
alter table session_cookies enable row level security;
alter table session_cookies force row level security;
create policy wiring on session_cookies using (sees_all());
