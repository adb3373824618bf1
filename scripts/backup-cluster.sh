#!/usr/bin/env bash
# Backup of separate roles: both schemas in Postgres as they are at one moment, also while the roles work. The log stays in
# Kafka, and the warehouse is made again from it. docs/OPERATIONS.md, "Backup and restore", says what to do around it.
#
#   scripts/backup-cluster.sh save FILE      writes FILE, which must not be there
#   scripts/backup-cluster.sh restore FILE   puts it back; no schema of these names may be there
#
# Needs pg_dump and pg_restore, not older than the server, and the settings of the roles:
#   AFFILITRACK_POSTGRES_URL, and AFFILITRACK_POSTGRES_SCHEMA if it is not `at`.
# The master key and the edges' spools are not in it.

set -euo pipefail

say() {
    printf '%s\n' "$*" >&2
}

give_up() {
    say "backup-cluster: $*"
    exit 1
}

[ $# = 2 ] || give_up "usage: backup-cluster.sh save|restore FILE"
action=$1
file=$2
url=${AFFILITRACK_POSTGRES_URL:?is not set: the address that the roles use}
schema=${AFFILITRACK_POSTGRES_SCHEMA:-at}
control="${schema}_control"
fold="${schema}_fold"
# Tables are under row-level security, which hides every row from whoever does not say that he may see all.
export PGOPTIONS="${PGOPTIONS:-} -c affilitrack.all=on"

ask() {
    psql "$url" -XAtqc "$1"
}

save() {
    [ ! -e "$file" ] || give_up "$file is there already"
    umask 077
    # Nothing that is there now may be missing in the file.
    local vendors saved
    vendors=$(ask "select count(*) from $control.vendors")
    # One snapshot for both schemas: numbers that the control store has given out and what is folded fit together.
    pg_dump "$url" --format=custom --enable-row-security --no-owner --no-privileges \
        --schema="$control" --schema="$fold" --file="$file.part"
    saved=$(pg_restore --data-only --schema="$control" --table=vendors --file=- "$file.part" | grep -cP '^\d+\t' || true)
    [ "$saved" -ge "$vendors" ] || give_up "$file.part has $saved of $vendors vendors: it is no backup"
    sync "$file.part"
    mv "$file.part" "$file"
    say "$file: $control and $fold, $saved vendors, $(stat -c %s "$file") bytes"
}

restore() {
    [ -r "$file" ] || give_up "$file cannot be read"
    local there
    there=$(ask "select string_agg(nspname, ', ') from pg_namespace where nspname in ('$control', '$fold')")
    [ -z "$there" ] || give_up "$there is still there. Stop every role, then rename or drop it"
    pg_restore --dbname="$url" --single-transaction --exit-on-error --no-owner --no-privileges "$file"
    say "$control and $fold are as they were. Next, before any role starts: affilitrack migrate"
}

case $action in
    save) save ;;
    restore) restore ;;
    *) give_up "there is no '$action'" ;;
esac
