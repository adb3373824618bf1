#!/usr/bin/env bash
# A Postgres of the project's own for tests and for trying out: its own data folder, port and password.
#
#   scripts/services/postgres.sh start   installs it if it is missing, starts it, waits until it answers, prints its URL
#   scripts/services/postgres.sh url     prints the URL
#   scripts/services/postgres.sh status  says whether it runs, also by its exit code
#   scripts/services/postgres.sh stop    stops exactly this one; the data stay
#
# It takes plain connections and encrypted ones: ca.pem beside the URL signed its certificate, which is for the name
# localhost and no other.
#
# Starting a second time only prints the URL. Delete .cache/services/postgres to begin anew (stop it first).

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../common.sh"
# shellcheck source=scripts/services/own.sh
. "$(dirname "$0")/own.sh"

mkdir -p "$CACHE/services"
# Where it really is: the server outlives a link to it.
PLACE="$(readlink -f "$CACHE/services")/postgres"
PORT_FILE="$PLACE/port"
URL_FILE="$PLACE/url"
CA_FILE="$PLACE/ca.pem"
LOG_FILE="$PLACE/start.log"
NAME=affilitrack
# The server makes its socket in the data folder; where the path is too long for that, there is none.
LONGEST_SOCKET_FOLDER=90
WAIT_SECONDS=60
# Two of each role, with two stores each, beside the suites.
CONNECTIONS=400

server_tool() {
    local tool
    tool=$(find /usr/lib/postgresql -path "*/bin/$1" 2>/dev/null | sort -V | tail -n1)
    [ -n "$tool" ] || tool=$(command -v "$1" || true)
    printf '%s' "$tool"
}

# Postgres refuses to run as root, so root hands over to the user that the package made.
as_server() {
    if [ "$(id -u)" = 0 ]; then
        # From a folder that it may see.
        (cd / && exec setpriv --reuid=postgres --regid=postgres --init-groups -- env HOME=/ "$@")
    else
        "$@"
    fi
}

install_server() {
    if [ -z "$(server_tool initdb)" ] || ! has psql; then
        install_packages postgresql
    fi
    has openssl || install_packages openssl
    [ "$(id -u)" != 0 ] || id postgres >/dev/null 2>&1 || give_up "there is no user 'postgres' to run the server as"
    # The package may have started a server of its own; it is not ours, so it is left alone.
}

# data_folder: beside the other services, or where the server's user can reach it if this folder is private.
data_folder() {
    local wanted="$PLACE/data"
    if as_server test -x "$PLACE" 2>/dev/null; then
        printf '%s' "$wanted"
    else
        printf '/var/tmp/affilitrack-postgres-%s' "$(printf '%s' "$ROOT" | sha256sum | cut -c1-12)"
    fi
}

# server_pid: the process of our data folder, if it runs.
server_pid() {
    local file pid
    file="$(data_folder)/postmaster.pid"
    pid=$(as_server head -n1 "$file" 2>/dev/null) || return 1
    [ -d "/proc/$pid" ] && as_server grep -aq postgres "/proc/$pid/cmdline" && printf '%s' "$pid"
}

answers() {
    psql "$(<"$URL_FILE")" -XAtqc 'select 1' >/dev/null 2>&1
}

random_word() {
    head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'
}

make_cluster() {
    local data=$1 password_file
    say "making the data folder $data" >&2
    rm -f "$URL_FILE"
    password_file=$(mktemp)
    random_word >"$password_file"
    if [ "$(id -u)" = 0 ]; then
        install -d -o postgres -g postgres -m 700 "$data"
        chown postgres "$password_file"
    else
        install -d -m 700 "$data"
    fi
    as_server "$(server_tool initdb)" --pgdata="$data" --username=postgres --auth=scram-sha-256 --pwfile="$password_file" \
        --encoding=UTF8 --locale=C.UTF-8 >"$LOG_FILE" 2>&1 || give_up "initdb failed, see $LOG_FILE"
    (umask 077 && printf 'postgres://postgres:%s@127.0.0.1:%s/postgres\n' "$(<"$password_file")" "$(<"$PORT_FILE")" >"$PLACE/admin-url")
    rm -f "$password_file"
}

# What encrypts connections: for the server's user alone, but for the authority.
install_certificate() {
    local data=$1 folder owner=()
    folder=$(mktemp -d)
    make_certificate "$folder" "$LOG_FILE"
    [ "$(id -u)" != 0 ] || owner=(-o postgres -g postgres)
    install "${owner[@]}" -m 600 "$folder/server.key" "$folder/server.crt" "$data/"
    install -m 644 "$folder/ca.pem" "$CA_FILE"
    rm -rf "$folder"
}

run_server() {
    local data=$1 socket=$1
    if [ ! -s "$CA_FILE" ] || ! as_server test -s "$data/server.key"; then
        install_certificate "$data"
    fi
    [ ${#data} -le $LONGEST_SOCKET_FOLDER ] || socket=
    as_server "$(server_tool pg_ctl)" start --pgdata="$data" --log="$data/server.log" --timeout=$WAIT_SECONDS --wait --silent \
        -o "-p $(<"$PORT_FILE") -c listen_addresses=127.0.0.1 -c unix_socket_directories='$socket' -c fsync=on -c ssl=on -c max_connections=$CONNECTIONS" \
        >"$LOG_FILE" 2>&1 </dev/null || give_up "Postgres did not start, see $LOG_FILE and $data/server.log"
}

# Our own role: no superuser, so that row-level security holds for it; it may make roles and databases for tests.
make_role() {
    local password
    password=$(random_word)
    psql "$(<"$PLACE/admin-url")" -Xq -v ON_ERROR_STOP=1 >>"$LOG_FILE" 2>&1 <<SQL || give_up "the role could not be made, see $LOG_FILE"
select 'create role $NAME' where not exists (select 1 from pg_roles where rolname = '$NAME') \gexec
alter role $NAME login createdb createrole password '$password';
select 'create database $NAME owner $NAME' where not exists (select 1 from pg_database where datname = '$NAME') \gexec
SQL
    (umask 077 && printf 'postgres://%s:%s@127.0.0.1:%s/%s\n' "$NAME" "$password" "$(<"$PORT_FILE")" "$NAME" >"$URL_FILE")
}

start() {
    local data
    # Only the URL goes to standard output.
    install_server >&2
    mkdir -p "$PLACE"
    data=$(data_folder)
    [ -s "$PORT_FILE" ] || free_ports 1 >"$PORT_FILE"
    as_server test -s "$data/PG_VERSION" || make_cluster "$data"
    server_pid >/dev/null || run_server "$data"
    [ -s "$URL_FILE" ] || make_role
    answers || give_up "Postgres runs but does not answer at port $(<"$PORT_FILE"), see $data/server.log"
    cat "$URL_FILE"
}

stop() {
    local data pid
    data=$(data_folder)
    if ! pid=$(server_pid); then
        say "Postgres does not run"
        return
    fi
    as_server "$(server_tool pg_ctl)" stop --pgdata="$data" --mode=fast --timeout=$WAIT_SECONDS --wait --silent
    say "Postgres (process $pid) is stopped"
}

# Two runs at once would make the same folder twice.
exec 9>"$CACHE/services/postgres.lock"
flock -w 120 9 || give_up "another run of this script holds $CACHE/services/postgres.lock"
case "${1:-}" in
    start) start 9>&- ;;
    stop) stop 9>&- ;;
    status)
        pid=$(server_pid) || { say "Postgres does not run" && exit 1; }
        say "Postgres runs (process $pid)"
        ;;
    url)
        [ -s "$URL_FILE" ] || give_up "there is none yet, run: bash scripts/services/postgres.sh start"
        cat "$URL_FILE"
        ;;
    *) give_up "say start, stop, url or status" ;;
esac
