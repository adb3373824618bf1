# What the steps of `scripts/bench.sh` share: starting and watching processes, figures out of their output, the table.
# shellcheck shell=bash

# common.sh has set ROOT and its words.
mkdir -p "$ROOT/target"
WORK=$(mktemp -d "$ROOT/target/bench.XXXXXX")
DATA=""
PRODUCT=""
ROWS=()
MARK=""
ENDPOINT=bench_endpoint_0123456789
SECRET=whsec_bench

SERVER_CORE=()
LOAD_CORE=()
if has taskset && [ "$(nproc)" -ge 2 ]; then
    SERVER_CORE=(taskset -c 0)
    LOAD_CORE=(taskset -c 1)
fi

clean_up() {
    [ -z "$PRODUCT" ] || kill "$PRODUCT" 2>/dev/null || true
    # The product may need a moment to close its files.
    [ -z "$PRODUCT" ] || wait "$PRODUCT" 2>/dev/null || true
    rm -rf "$WORK"
}
trap clean_up EXIT

now_ms() {
    date +%s%3N
}

affilitrack() {
    target/release/affilitrack "$@" --data-dir "$DATA"
}

describe_machine() {
    local model memory pinned="not pinned to cores (no taskset)"
    model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n1)
    memory=$(awk '/^MemTotal/ { printf "%d", $2 / 1048576 + 0.5 }' /proc/meminfo)
    [ ${#SERVER_CORE[@]} -eq 0 ] || pinned="edge and durable: server on core 0, load on core 1"
    MACHINE="$(nproc) cores, $memory GiB"
    say "machine: $MACHINE, $model; $pinned"
}

# look_whether_busy WHEN: marks what a step measures if the machine is busy before or after it.
look_whether_busy() {
    local idle
    idle=$({ head -n1 /proc/stat && sleep 2 && head -n1 /proc/stat; } |
        awk '{ all = 0; for (i = 2; i <= 9; i++) all += $i; if (NR == 1) { a = all; f = $5 + $6 } else printf "%d", 100 * ($5 + $6 - f) / (all - a) }')
    MARK=""
    if [ "$idle" -lt 90 ]; then
        MARK=" **(machine busy: only $idle % idle $1)**"
        say "the machine is busy ($idle % idle $1): the figures of this step do not count"
    fi
}

# mark_rows_from NUMBER: puts the mark, if there is one, on rows that are there already.
mark_rows_from() {
    local number
    [ -n "$MARK" ] || return 0
    for ((number = $1; number < ${#ROWS[@]}; number++)); do
        ROWS[number]="${ROWS[number]}$MARK"
    done
}

# row WHAT GOAL MEASURED COMMAND
row() {
    ROWS+=("| $1 | $2 | $3$MARK | \`$4\` | $(date +%F) | $MACHINE |")
    say "$1: $3$MARK"
}

print_table() {
    title "For docs/MEASURED.md"
    echo '| figure | goal | measured: median (lowest to highest) | command | date | machine |'
    echo '|---|---|---|---|---|---|'
    [ ${#ROWS[@]} -eq 0 ] || printf '%s\n' "${ROWS[@]}"
}

# spread COLUMN FILE: median (lowest to highest).
spread() {
    awk -v column="$1" '{ print $column }' "$2" | sort -n |
        awk '{ v[NR] = $1 } END { if (NR) { m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2; printf "%s (%s to %s)", m, v[1], v[NR] } }'
}

# number_in FILE WORDS: the number right before these words.
number_in() {
    sed -n "s|.*[^0-9]\{0,1\}\b\([0-9][0-9]*\) $2.*|\1|p" "$1" | head -n1
}

# quantiles_of WORDS: `p50 x ms, p95 y ms` of a line of the dashboard's report.
quantiles_of() {
    grep -F -- "$1" "$WORK/dashboard" | head -n1 | sed -E 's/.*p50 +([0-9.]+ ms) +p95 +([0-9.]+ ms).*/p50 \1, p95 \2/'
}

cpu_ticks() {
    sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

# serve_and_load LOG: starts a server, sends for ROUND_SECONDS over 64 connections, and prints
# events/s, the server's CPU microseconds per event, how busy its core was in %, and p50 in ms.
serve_and_load() {
    local server url="" before after out="$WORK/server" wait_seconds=$((ROUND_SECONDS + 3)) tries
    : >"$out"
    if [ "$1" = bare ]; then
        "${SERVER_CORE[@]}" target/release/loadtest bare --port 0 --seconds "$wait_seconds" >"$out" &
    else
        "${SERVER_CORE[@]}" target/release/examples/bench_edge "$1" 0 "$ENDPOINT" "$SECRET" "$wait_seconds" >"$out" &
    fi
    server=$!
    for ((tries = 0; tries < 50; tries++)); do
        url=$(grep -o 'http://[0-9.:]*' "$out" | head -n1) && break
        sleep 0.05
    done
    [ -n "$url" ] || give_up "the server '$1' did not start"
    before=$(cpu_ticks "$server")
    "${LOAD_CORE[@]}" target/release/loadtest throughput --url "$url" --endpoint "$ENDPOINT" --secret "$SECRET" \
        --connections 64 --seconds "$ROUND_SECONDS" >"$WORK/load" || give_up "not every event was acknowledged: $(cat "$WORK/load")"
    after=$(cpu_ticks "$server")
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    awk -v ticks="$((after - before))" -v hertz="$(getconf CLK_TCK)" -v seconds="$ROUND_SECONDS" '
        / events\/s: / { rate = $1; events = $3 }
        /^answered after p50/ { p50 = $4 }
        END { printf "%d %.1f %d %s\n", rate, ticks / hertz * 1e6 / events, 100 * ticks / hertz / seconds, p50 }' "$WORK/load"
}

# start_product on|off: with the demo or without, on a new data folder unless there is one; sets PRODUCT, OPEN_URL.
start_product() {
    [ -n "$DATA" ] && [ -d "$DATA" ] || DATA=$(mktemp -d "$WORK/data.XXXXXX")
    local tries
    BEGAN_MS=$(now_ms)
    : >"$WORK/product.out"
    DATA_DIR="$DATA" PORT=0 AFFILITRACK_DEMO="$1" target/release/affilitrack run >"$WORK/product.out" 2>"$WORK/product.err" &
    PRODUCT=$!
    OPEN_URL=""
    for ((tries = 0; tries < 1500; tries++)); do
        OPEN_URL=$(sed -n 's/^Open //p' "$WORK/product.out")
        [ -z "$OPEN_URL" ] || break
        kill -0 "$PRODUCT" 2>/dev/null || give_up "the product ended: $(tail -n5 "$WORK/product.err")"
        sleep 0.02
    done
    [ -n "$OPEN_URL" ] || give_up "the product printed no address within 30 s"
    # shellcheck disable=SC2034 # for the steps
    STARTED_MS=$(($(now_ms) - BEGAN_MS))
}

# end_product keeps the data folder, stop_product removes it.
end_product() {
    kill -TERM "$PRODUCT"
    wait "$PRODUCT" || say "the product did not stop cleanly: $(tail -n3 "$WORK/product.err")"
    PRODUCT=""
}

stop_product() {
    end_product
    rm -rf "$DATA"
    DATA=""
}

socket_status() {
    curl -s --max-time 5 --unix-socket "$DATA/affilitrack.sock" http://local/v1/status
}

# Until everything that arrived can be read, twice in a row (the demo may be between two deliveries).
wait_settled() {
    local calm=0 tries
    for ((tries = 0; tries < 600; tries++)); do
        if socket_status | grep -q '"settled": *true' && socket_status | grep -qv '"log_end": *0[,}]'; then
            calm=$((calm + 1))
        else
            calm=0
        fi
        [ "$calm" -lt 3 ] || return 0
        sleep 0.1
    done
    give_up "the product did not come to rest within 60 s"
}

resident() {
    awk '/^VmRSS/ { printf "%d", $2 / 1024 }' "/proc/$1/status"
}

# watch_memory PID: every 5 s the seconds since the start and MiB, until it is killed.
watch_memory() {
    local began=$SECONDS
    while kill -0 "$1" 2>/dev/null; do
        echo "$((SECONDS - began)) $(resident "$1")"
        sleep 5
    done
}

# memory_at SECONDS: the last sample up to then.
memory_at() {
    awk -v at="$1" '$1 <= at { value = $2 } END { print value }' "$WORK/memory"
}

# Which stage was busy for how long, from the product's own histograms.
stage_times() {
    local metrics
    metrics=$(curl -s --max-time 10 "${OPEN_URL%%/open*}/metrics")
    say "stages (s in total, times): $(awk '
        /^at_(fold_commit|sink_insert|ingest_ack)_seconds_(sum|count)/ { split($1, name, "{"); printf "%s=%s ", name[1], $2 }' <<<"$metrics")"
    say "resident after the metrics were read: $(resident "$PRODUCT") MiB"
}

# `make run` on the data folder that is there, until it prints the address, in ms.
time_make_run() {
    local began out="$WORK/make-run.out" pid tries
    : >"$out"
    began=$(now_ms)
    DATA_DIR="$DATA" PORT=0 bash scripts/run.sh >"$out" 2>&1 &
    pid=$!
    for ((tries = 0; tries < 6000; tries++)); do
        ! grep -q '^Open ' "$out" || break
        sleep 0.02
    done
    echo "$(($(now_ms) - began))"
    # run.sh becomes the product.
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}
