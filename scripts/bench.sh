#!/usr/bin/env bash
# `make bench`: the figures of docs/MEASURED.md, in order, each with a title; at the end a table whose lines can be
# pasted there. One step alone: `make bench ARGS=edge`.
#
#   scripts/bench.sh [STEP...] [--rounds N] [--round-seconds N] [--seconds N] [--repetitions N] [--events N] [--copies N]
#                    [--rate N] [--outage-seconds N] [--part NAME] [--vendors N] [--millions N]
#
#   edge       the webhook edge beside a bare handler            (--rounds 3, --round-seconds 5)
#   durable    the same with the local log beside a group commit (--rounds 3, --round-seconds 5)
#   through    sustained events/s through to the warehouse, and memory over time (--seconds 300)
#   visible    from sent to seen on an open dashboard, in a real browser
#   dashboard  one vendor with 10,000 lines: service, page, JSON (--repetitions 300)
#   files      what 100,000 affiliates earned as CSV and Excel: time and memory
#   memory     idle with the demo, and under load                (a tenth of --seconds)
#   start      first and second start
#   corpus     how long the recorded events take
#   build      how to measure a cold build and the tests; measures nothing
#
# Roles in processes of their own, on Kafka, Postgres and a warehouse process of this machine, which are started if they
# do not run; together some 20 minutes:
#
#   edge-kafka        `ingest` before Kafka: acknowledged events/s    (four times --round-seconds)
#   process-postgres  one `process`, then two, on a full log          (--events 50000)
#   visible-roles     from sent to seen in the JSON API at 1,000/s    (--copies 1 of each role)
#   drain             how long a backlog takes after an outage of one part: process, postgres, warehouse, kafka; against
#                     the formula. For the goal: --outage-seconds 900, which takes hours
#                     (--outage-seconds 60, --events, --copies, --rate: a third of the capacity, at most 1000; --part: all four)
#   growth            10,000 vendors against one, and 10 million lines against 10,000
#                     (--vendors 10000, --events, --millions 10)
#
# Run it on a machine that does nothing else: a step that finds it busy marks its lines. The server has the first core
# and the load the second where `taskset` is there. Everything is written below target/ and removed at the end.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=scripts/bench/parts.sh
. "$ROOT/scripts/bench/parts.sh"
# shellcheck source=scripts/bench/roles.sh
. "$ROOT/scripts/bench/roles.sh"
cd "$ROOT"

ROUNDS=3
ROUND_SECONDS=5
THROUGH_SECONDS=300
REPETITIONS=300
# shellcheck disable=SC2034 # for scripts/bench/roles.sh
EVENTS=50000 COPIES=1 RATE="" OUTAGE_SECONDS=60 PART="" VENDORS=10000 MILLIONS=10
ALL_STEPS=(edge durable through visible dashboard files memory start corpus build
    edge-kafka process-postgres visible-roles drain growth)
STEPS=()

while [ $# -gt 0 ]; do
    case "$1" in
        --rounds) ROUNDS=$2 && shift ;;
        --round-seconds) ROUND_SECONDS=$2 && shift ;;
        --seconds) THROUGH_SECONDS=$2 && shift ;;
        --repetitions) REPETITIONS=$2 && shift ;;
        --events) EVENTS=$2 && shift ;;
        --copies) COPIES=$2 && shift ;;
        --rate) RATE=$2 && shift ;;
        --outage-seconds) OUTAGE_SECONDS=$2 && shift ;;
        --part) PART=$2 && shift ;;
        --vendors) VENDORS=$2 && shift ;;
        --millions) MILLIONS=$2 && shift ;;
        -*) give_up "there is no option '$1': see the head of scripts/bench.sh" ;;
        *)
            [[ " ${ALL_STEPS[*]} " == *" $1 "* ]] || give_up "there is no step '$1': ${ALL_STEPS[*]}"
            STEPS+=("$1")
            ;;
    esac
    shift
done
[ ${#STEPS[@]} -gt 0 ] || STEPS=("${ALL_STEPS[@]}")

# compare_logs FIRST SECOND: alternating rounds; leaves the ratios of first to second in RATIOS, and what each did.
compare_logs() {
    local round first second
    : >"$WORK/first" && : >"$WORK/second" && : >"$WORK/ratios" && : >"$WORK/cpu-ratios"
    for ((round = 1; round <= ROUNDS; round++)); do
        second=$(serve_and_load "$2")
        first=$(serve_and_load "$1")
        say "round $round: $1 $first | $2 $second  (events/s, server's CPU us/event, busy % of its core, p50 ms)"
        echo "$first" >>"$WORK/first"
        echo "$second" >>"$WORK/second"
        echo "$first $second" | awk '{ printf "%.3f\n", $1 / $5 }' >>"$WORK/ratios"
        echo "$first $second" | awk '{ printf "%.3f\n", $6 / $2 }' >>"$WORK/cpu-ratios"
    done
}

edge() {
    compare_logs none bare
    local command="make bench ARGS=edge"
    row "Edge with signature and minimising / bare handler, requests/s" ">= 0.75" \
        "$(spread 1 "$WORK/ratios") ($(spread 1 "$WORK/first") against $(spread 1 "$WORK/second") /s)" "$command"
    row "The same by CPU time of the server (bare / edge)" "-" \
        "$(spread 1 "$WORK/cpu-ratios") ($(spread 2 "$WORK/first") against $(spread 2 "$WORK/second") us a request)" "$command"
}

durable() {
    compare_logs "local" baseline
    row "Durable edge / the same edge over a bare group commit, requests/s" ">= 0.9" \
        "$(spread 1 "$WORK/ratios") ($(spread 1 "$WORK/first") against $(spread 1 "$WORK/second") /s)" "make bench ARGS=durable"
    row "Durable edge: acknowledged after, p50" "<= 3 ms" "$(spread 4 "$WORK/first") ms (64 connections, closed loop)" "make bench ARGS=durable"
}

through() {
    local command="make bench ARGS='through --seconds $THROUGH_SECONDS'" sampler
    start_product off
    watch_memory "$PRODUCT" >"$WORK/memory" &
    sampler=$!
    target/release/loadtest throughput --data-dir "$DATA" --vendors 16 --connections 64 --seconds "$THROUGH_SECONDS" \
        --pid "$PRODUCT" | tee "$WORK/through"
    kill "$sampler" 2>/dev/null || true
    say "resident memory every 5 s (s MiB): $(awk 'NR % 4 == 1 { printf "%s:%s ", $1, $2 }' "$WORK/memory")"
    stage_times
    row "Durable events/s through to the warehouse, one process" ">= 10,000/s" \
        "$(number_in "$WORK/through" 'events/s through')/s over $THROUGH_SECONDS s (acknowledged $(number_in "$WORK/through" 'events/s:')/s)" "$command"
    row "Acknowledged after, under that load" "-" "$(sed -n 's/^answered after //p' "$WORK/through")" "$command"
    row "Resident memory meanwhile: start, after 60 s, at the end" "flat" \
        "$(memory_at 0), $(memory_at 60), $(memory_at 999999) MiB" "$command"
    stop_product
}

visible() {
    bash scripts/setup.sh test
    start_product on
    wait_settled
    local endpoint
    endpoint=$(affilitrack connect stripe --vendor acme --secret whsec_measured --mode test | grep -o 'http://[^ ]*/webhooks/[^ ]*')
    (cd tests/measure && AFFILITRACK_URL="$OPEN_URL" ENDPOINT_URL="$endpoint" SECRET=whsec_measured \
        PAGE_PATH='/acme/dashboard?mode=test' node visible.mjs) | tee "$WORK/visible"
    row "From sent to seen on the open dashboard (200 deliveries, 20/s, official SDK, Chromium)" "p95 < 1 s" \
        "$(sed -n 's/^visible: //p' "$WORK/visible")" "make bench ARGS=visible"
    stop_product
}

dashboard() {
    cargo build --release --locked -q -p api --example bench_dashboard
    target/release/examples/bench_dashboard "$REPETITIONS" | tee "$WORK/dashboard"
    local line
    row "Dashboard service, 10,000 lines, nothing kept" "p95 <= 60 ms" "$(quantiles_of 'dashboard, nothing kept')" "make bench ARGS=dashboard"
    row "The same over the bare SELECT through the same client" "p50 +3 ms" \
        "$(sed -n 's/^RESULT dashboard over the bare SELECT[^:]*: //p' "$WORK/dashboard") (bare: $(quantiles_of 'bare SELECT: sums per day'))" "make bench ARGS=dashboard"
    row "The same over its own four queries, run bare and at once" "-" \
        "$(sed -n 's/^RESULT dashboard over its own 4 queries: //p' "$WORK/dashboard") (bare: $(quantiles_of "the page's 4 queries bare, at once"))" "make bench ARGS=dashboard"
    row "The same with kept answers" "-" "$(quantiles_of 'dashboard, kept answers')" "make bench ARGS=dashboard"
    pages
}

# The whole page and the JSON API on the running product.
pages() {
    bash scripts/setup.sh test
    start_product off
    local endpoint key line
    say "10,000 purchases of one vendor, 20,000 of 50 others, all of today"
    target/release/loadtest throughput --data-dir "$DATA" --vendors 50 --rate 2000 --seconds 10 --seed 2
    target/release/loadtest throughput --data-dir "$DATA" --vendors 1 --rate 1000 --seconds 10 --seed 1
    endpoint=$(affilitrack connect stripe --vendor throughput-1-0 --secret whsec_measured --mode live --complete-history | grep -o 'http://[^ ]*/webhooks/[^ ]*')
    key=$(affilitrack api-key --vendor throughput-1-0 --mode live | grep -o 'atk_[^ ]*')
    AFFILITRACK_URL="$OPEN_URL" ENDPOINT_URL="$endpoint" SECRET=whsec_measured API_KEY="$key" VENDOR=throughput-1-0 \
        REPETITIONS="$((REPETITIONS / 3))" node scripts/bench/pages.mjs | tee "$WORK/pages"
    while IFS= read -r line; do
        row "${line%%: *}" "-" "${line#*: }" "make bench ARGS=dashboard"
    done < <(sed -n 's/^RESULT //p' "$WORK/pages")
    stop_product
}

files() {
    cargo build --release --locked -q -p api --example bench_export
    target/release/examples/bench_export 100000 | tee "$WORK/files"
    local line
    while IFS= read -r line; do
        row "${line%%: *}" "whole < 3 s" "${line#*: }" "make bench ARGS=files"
    done < <(sed -n 's/^RESULT //p' "$WORK/files")
}

memory() {
    local idle seconds=$((THROUGH_SECONDS / 10))
    start_product on
    wait_settled
    sleep 5
    idle=$(resident "$PRODUCT")
    say "idle with the demo: $idle MiB ($(grep -E '^Rss(Anon|File)' "/proc/$PRODUCT/status" | tr -s '\t ' ' ' | paste -sd, -))"
    target/release/loadtest throughput --data-dir "$DATA" --rate 5000 --seconds "$seconds" --pid "$PRODUCT" | tee "$WORK/memory-load"
    row "Resident memory, idle after the start with the demo" "<= 300 MiB" "$idle MiB" "make bench ARGS=memory"
    row "Resident memory, at most, at 5,000 events/s for $seconds s" "<= 700 MiB" \
        "$(number_in "$WORK/memory-load" 'MiB at most') MiB" "make bench ARGS=memory"
    stop_product
}

start() {
    local first ready second again
    start_product on
    first=$STARTED_MS
    wait_settled
    ready=$(($(now_ms) - BEGAN_MS))
    end_product
    start_product on
    second=$STARTED_MS
    end_product
    # `make run` builds one package by itself; what that builds is not its start.
    bash scripts/build-release.sh
    again=$(time_make_run)
    row "First start: until the address is printed, until the demo is readable" "-" "$first ms, $ready ms" "make bench ARGS=start"
    row "Second start: the binary" "< 5 s" "$second ms" "make bench ARGS=start"
    row "Second start: all of \`make run\`, nothing to build" "< 5 s" "$again ms" "make bench ARGS=start"
    rm -rf "$DATA"
}

corpus() {
    local began result
    began=$(now_ms)
    target/release/affilitrack corpus tests/corpus/webhooks | tee "$WORK/corpus" | tail -n1
    result=$(tail -n1 "$WORK/corpus")
    row "Corpus, once" "all pass" "$result in $(($(now_ms) - began)) ms" "make corpus"
    began=$(now_ms)
    target/release/affilitrack corpus tests/corpus/webhooks --shuffle 1 --seeds 50 | tee "$WORK/corpus" | tail -n1
    row "Corpus, scenarios shuffled and repeated, 50 seeds" "all pass" "$(tail -n1 "$WORK/corpus") in $(($(now_ms) - began)) ms" \
        "make corpus ARGS='--shuffle 1 --seeds 50'"
}

build() {
    cat <<'TEXT'
Not measured here, because it would take the build of this checkout away. In a fresh clone:

  git clone . /tmp/fresh && cd /tmp/fresh
  bash scripts/setup.sh test                                            # packages and engine, not counted
  time cargo build --release --locked --bins -p affilitrack -p loadtest # cold release build
  time cargo test --workspace --locked --no-run                         # cold build of the tests
  time make test                                                        # everything the project tests, built
TEXT
}

title "Set-up"
bash scripts/setup.sh >/dev/null
bash scripts/build-release.sh affilitrack loadtest
case " ${STEPS[*]} " in
    *" edge "* | *" durable "*) cargo build --release --locked -q -p ingest --example bench_edge ;;
esac
describe_machine
for step in "${STEPS[@]}"; do
    title "$step"
    look_whether_busy "before"
    first_row=${#ROWS[@]}
    "${step//-/_}"
    # Somebody else may have begun meanwhile.
    if [ -z "$MARK" ]; then
        look_whether_busy "after"
        mark_rows_from "$first_row"
    fi
done
print_table
