#!/usr/bin/env bash
# The outside parts that the roles run on, for trying and testing on this machine: Apache Kafka, Postgres, and the
# embedded ClickHouse engine as a process of its own.
#
#   scripts/services.sh start     installs what is missing, starts all three, waits until each answers, prints settings
#   scripts/services.sh settings  prints the settings again, as lines for a shell
#   scripts/services.sh stop      stops exactly these three

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

settings() {
    echo "export AFFILITRACK_KAFKA_BROKERS=$(bash scripts/services/kafka.sh address)"
    echo "export AFFILITRACK_POSTGRES_URL='$(bash scripts/services/postgres.sh url)'"
    bash scripts/services/warehouse.sh settings
}

case "${1:-}" in
    start)
        bash scripts/services/kafka.sh start
        # What it prints is a URL with a password.
        bash scripts/services/postgres.sh start >/dev/null
        bash scripts/services/postgres.sh status
        bash scripts/services/warehouse.sh start
        title "Settings for the roles (eval \"\$(scripts/services.sh settings)\")"
        settings
        ;;
    settings) settings ;;
    stop)
        for name in warehouse postgres kafka; do bash "scripts/services/$name.sh" stop; done
        ;;
    *) give_up "say start, settings or stop" ;;
esac
