#!/usr/bin/env bash
# Sourced: the real outside parts for the length of one script. What ran before goes on running; what is started here
# is stopped at the end.

STARTED=()

stop_services() {
    local name
    for name in "${STARTED[@]}"; do bash "$ROOT/scripts/services/$name.sh" stop; done
    STARTED=()
}

start_services() {
    trap stop_services EXIT
    bash "$ROOT/scripts/services/postgres.sh" status 2>/dev/null || start_service postgres
    bash "$ROOT/scripts/services/kafka.sh" address 2>/dev/null || start_service kafka
    bash "$ROOT/scripts/services/warehouse.sh" status 2>/dev/null || start_service warehouse
    bash "$ROOT/scripts/services/mail.sh" address 2>/dev/null || start_service mail
}

start_service() {
    STARTED+=("$1")
    # What Postgres prints is a URL with a password.
    if [ "$1" = postgres ]; then
        bash "$ROOT/scripts/services/postgres.sh" start >/dev/null
    else
        bash "$ROOT/scripts/services/$1.sh" start
    fi
}
