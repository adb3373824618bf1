#!/usr/bin/env bash
# The outside parts that the roles run on, for trying and testing on this machine: Apache Kafka, Postgres, and the
# embedded ClickHouse engine as a process of its own.
#
#   scripts/services.sh start     installs what is missing, starts all three, waits until each answers, prints settings
#   scripts/services.sh settings  prints the settings again, as lines for a shell
#   scripts/services.sh stop      stops exactly these three
#
# For scripts that started only a part: `warehouse-runs` says by its exit code, `stop-warehouse` stops that one.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

FOLDER="$CACHE/services/warehouse"
BINARY=${BINARY:-$ROOT/target/release/affilitrack}

# A word that only this machine's services know; made once.
password() {
    mkdir -p "$FOLDER"
    if [ ! -s "$FOLDER/password" ]; then
        (umask 077 && head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$FOLDER/password")
    fi
    cat "$FOLDER/password"
}

warehouse_answers() {
    [ -s "$FOLDER/url" ] && curl -fsS -m 2 -o /dev/null -H "X-ClickHouse-Key: $(password)" --data 'SELECT 1' "$(<"$FOLDER/url")"
}

warehouse_runs() {
    [ -s "$FOLDER/pid" ] && kill -0 "$(<"$FOLDER/pid")" 2>/dev/null
}

start_warehouse() {
    if warehouse_runs && warehouse_answers; then
        say "warehouse: answers at $(<"$FOLDER/url")"
        return
    fi
    bash scripts/fetch-engine.sh
    [ -x "$BINARY" ] || bash scripts/build-release.sh affilitrack
    mkdir -p "$FOLDER"
    rm -f "$FOLDER/url"
    AFFILITRACK_WAREHOUSE_PASSWORD=$(password) DATA_DIR="$FOLDER/data" \
        setsid "$BINARY" warehouse --listen 127.0.0.1:0 >"$FOLDER/output" 2>&1 </dev/null &
    echo $! >"$FOLDER/pid"
    local tries
    for tries in $(seq 1 150); do
        sed -n 's/^The warehouse answers at //p' "$FOLDER/output" >"$FOLDER/url"
        if warehouse_answers 2>/dev/null; then
            say "warehouse: answers at $(<"$FOLDER/url")"
            return
        fi
        warehouse_runs || break
        sleep 0.2
    done
    tail -n 20 "$FOLDER/output" >&2
    give_up "the warehouse did not start (after $tries looks); its output is in $FOLDER/output"
}

stop_warehouse() {
    if warehouse_runs; then
        kill "$(<"$FOLDER/pid")"
        while warehouse_runs; do sleep 0.1; done
    fi
    rm -f "$FOLDER/pid" "$FOLDER/url"
    say "warehouse: stopped"
}

settings() {
    warehouse_runs || give_up "the services do not run: make services"
    echo "export AFFILITRACK_KAFKA_BROKERS=$(bash scripts/services/kafka.sh address)"
    echo "export AFFILITRACK_POSTGRES_URL='$(bash scripts/services/postgres.sh url)'"
    echo "export AFFILITRACK_WAREHOUSE_EMBEDDED=off"
    echo "export AFFILITRACK_WAREHOUSE_URL=$(<"$FOLDER/url")"
    echo "export AFFILITRACK_WAREHOUSE_PASSWORD=$(password)"
}

case "${1:-}" in
    start)
        bash scripts/services/kafka.sh start
        # What it prints is a URL with a password.
        bash scripts/services/postgres.sh start >/dev/null
        bash scripts/services/postgres.sh status
        start_warehouse
        title "Settings for the roles (eval \"\$(scripts/services.sh settings)\")"
        settings
        ;;
    settings) settings ;;
    warehouse-runs) warehouse_runs ;;
    stop-warehouse) stop_warehouse ;;
    stop)
        stop_warehouse
        bash scripts/services/postgres.sh stop
        bash scripts/services/kafka.sh stop
        ;;
    *) give_up "say start, settings or stop" ;;
esac
