# Steps of `scripts/bench.sh` that measure roles in processes of their own, on Kafka, Postgres and a warehouse process.
# shellcheck shell=bash

# shellcheck source=scripts/services/started.sh
. "$ROOT/scripts/services/started.sh"

SERVICES_ASKED=""

# What is not running is started, and stopped again at the end of the script.
services_for_figures() {
    local settings
    [ -z "$SERVICES_ASKED" ] || return 0
    SERVICES_ASKED=yes
    # Another way to write the binary's name: the service does not build it again.
    export BINARY=target/release/affilitrack
    start_services
    trap 'stop_services; clean_up' EXIT
    settings=$(bash scripts/services.sh settings)
    eval "$settings"
}

# figures COMMAND FIGURE OPTIONS...: runs one figure of the load test and takes its rows over.
figures() {
    local command=$1 what goal measured
    shift
    services_for_figures
    target/release/loadtest figures "$@" | tee "$WORK/figures"
    while IFS='|' read -r _ what goal measured; do
        row "$what" "$goal" "$measured" "$command"
    done < <(grep '^ROW|' "$WORK/figures")
}

edge_kafka() {
    figures "make bench ARGS='edge-kafka --round-seconds $ROUND_SECONDS'" edge-kafka --seconds "$((ROUND_SECONDS * 4))"
}

process_postgres() {
    figures "make bench ARGS='process-postgres --events $EVENTS'" process-postgres --events "$EVENTS"
}

visible_roles() {
    figures "make bench ARGS='visible-roles --copies $COPIES'" visible-roles --copies "$COPIES" --seconds 30
}

drain() {
    local rate=() only=()
    [ -z "$RATE" ] || rate=(--rate "$RATE")
    [ -z "$PART" ] || only=(--only "$PART")
    figures "make bench ARGS='drain --outage-seconds $OUTAGE_SECONDS --events $EVENTS --copies $COPIES'" drain --events "$EVENTS" \
        --outage-seconds "$OUTAGE_SECONDS" --copies "$COPIES" "${rate[@]}" "${only[@]}"
}

growth() {
    figures "make bench ARGS='growth --vendors $VENDORS --events $EVENTS'" growth --events "$EVENTS" --vendors "$VENDORS"
    cargo build --release --locked -q -p api --example bench_growth
    target/release/examples/bench_growth 100 "$MILLIONS" | tee "$WORK/growth"
    row "The dashboard's four queries for a vendor of 10,000 lines: in a table of $MILLIONS million lines over one of 10,000" "<= 1.5" \
        "$(sed -n 's/^RESULT growth: //p' "$WORK/growth")" "make bench ARGS='growth --millions $MILLIONS'"
}
