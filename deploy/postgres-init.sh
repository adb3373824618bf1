#!/usr/bin/env bash
# For the Postgres of compose.cluster.yaml, once, when its volume is empty: the role and database of AffiliTrack. Not a
# superuser and without `bypassrls`: row-level security would not hold for such a role.
set -euo pipefail

psql --no-psqlrc --set=ON_ERROR_STOP=1 --set=password="$ROLE_PASSWORD" --username="$POSTGRES_USER" --dbname=postgres <<'SQL'
create role affilitrack login nosuperuser nobypassrls nocreatedb nocreaterole password :'password';
create database affilitrack owner affilitrack;
SQL
