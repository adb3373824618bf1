#!/usr/bin/env bash
# The embedded ClickHouse engine as a process of its own, for tests and trials, with its data under
# .cache/services/warehouse.
#
#   scripts/services/warehouse.sh start     builds the binary if it is missing, starts it, waits until it answers
#   scripts/services/warehouse.sh status    says whether it runs, also by its exit code
#   scripts/services/warehouse.sh settings  prints the settings for the roles, as lines for a shell
#   scripts/services/warehouse.sh stop      stops exactly this one; its data stays
#
# BINARY names another program than target/release/affilitrack.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../common.sh"
cd "$ROOT"

FOLDER="$CACHE/services/warehouse"
RELEASE="$ROOT/target/release/affilitrack"
BINARY=${BINARY:-$RELEASE}

# A word that only this machine's services know; made once.
password() {
    if [ ! -s "$FOLDER/password" ]; then
        (umask 077 && head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$FOLDER/password")
    fi
    cat "$FOLDER/password"
}

# The password goes through a file, so that no list of processes shows it.
answers() {
    [ -s "$FOLDER/url" ] || return 1
    printf 'header = "X-ClickHouse-Key: %s"\n' "$(password)" |
        curl -fsS -m 2 -o /dev/null -K - --data 'SELECT 1' "$(<"$FOLDER/url")"
}

runs() {
    [ -s "$FOLDER/pid" ] && kill -0 "$(<"$FOLDER/pid")" 2>/dev/null
}

start() {
    if runs && answers 2>/dev/null; then
        say "warehouse: answers at $(<"$FOLDER/url")"
        return
    fi
    bash scripts/fetch-engine.sh
    [ "$BINARY" != "$RELEASE" ] || bash scripts/build-release.sh affilitrack
    rm -f "$FOLDER/url"
    # The process below may begin later than the first look.
    : >"$FOLDER/output"
    AFFILITRACK_WAREHOUSE_PASSWORD=$(password) DATA_DIR="$FOLDER/data" \
        setsid "$BINARY" warehouse --listen 127.0.0.1:0 >"$FOLDER/output" 2>&1 </dev/null 9>&- &
    echo $! >"$FOLDER/pid"
    local tries
    for tries in $(seq 1 150); do
        sed -n 's/^The warehouse answers at //p' "$FOLDER/output" >"$FOLDER/url"
        if answers 2>/dev/null; then
            say "warehouse: answers at $(<"$FOLDER/url")"
            return
        fi
        runs || break
        sleep 0.2
    done
    tail -n 20 "$FOLDER/output" >&2
    give_up "the warehouse did not start (after $tries looks); its output is in $FOLDER/output"
}

stop() {
    if runs; then
        kill "$(<"$FOLDER/pid")"
        while runs; do sleep 0.1; done
    fi
    rm -f "$FOLDER/pid" "$FOLDER/url"
    say "warehouse: stopped"
}

status() {
    if ! runs || ! answers 2>/dev/null; then
        say "the warehouse does not run"
        exit 1
    fi
    say "warehouse: answers at $(<"$FOLDER/url")"
}

settings() {
    runs || give_up "the warehouse does not run: bash scripts/services/warehouse.sh start"
    echo "export AFFILITRACK_WAREHOUSE_EMBEDDED=off"
    echo "export AFFILITRACK_WAREHOUSE_URL=$(<"$FOLDER/url")"
    echo "export AFFILITRACK_WAREHOUSE_PASSWORD=$(password)"
}

mkdir -p "$FOLDER"
case "${1:-}" in
    start) start ;;
    status) status ;;
    settings) settings ;;
    stop) stop ;;
    *) give_up "say start, status, settings or stop" ;;
esac
