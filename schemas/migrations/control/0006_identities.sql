-- Signing in with an OpenID provider, and cookies that change while their session stays.

create table person_identities (
  -- The provider, and its number for the person: an address may change hands.
  issuer text not null,
  subject text not null,
  person integer not null references people (id) on delete cascade,
  created_at integer not null,
  primary key (issuer, subject)
) strict, without rowid;
create index person_identities_by_person on person_identities (person);

-- The cookies that open a session, once its first one was followed by another.
create table session_cookies (
  hash blob primary key,
  -- The hash of the session's first cookie, which is its name in `sessions`, `person_sessions` or `portal_sessions`.
  session blob not null,
  made_at integer not null,
  -- Null while nothing has taken its place.
  ends_at integer
) strict, without rowid;
create index session_cookies_by_session on session_cookies (session);
create index session_cookies_by_age on session_cookies (made_at);
