#!/usr/bin/env bash
# `make test`: everything the project tests. Each step has a title; the first step that fails ends the run.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=scripts/services/started.sh
. "$(dirname "$0")/services/started.sh"
cd "$ROOT"

step() {
    title "$1"
    shift
    local began=$SECONDS
    "$@"
    say "took $((SECONDS - began)) s"
}

# Tests in Node: *.test.mjs beside what they test. They start the release binary themselves.
node_tests() {
    local files
    mapfile -t files < <(find web tests loadtest -name '*.test.mjs' -not -path '*/node_modules/*' | LC_ALL=C sort)
    if [ ${#files[@]} -eq 0 ]; then
        say "no *.test.mjs in web, tests or loadtest"
        return
    fi
    node --test --test-concurrency=1 "${files[@]}"
}

# The same pages, shown by two of each role.
cluster_browser_tests() {
    AFFILITRACK_BIN="$ROOT/scripts/cluster-as-one.sh" node --test --test-concurrency=1 tests/browser/*.test.mjs
}

step "Set-up" bash scripts/setup.sh test
step "Release build (browser, corpus and kill tests drive the real binary)" bash scripts/build-release.sh affilitrack loadtest
step "Kafka, Postgres and a warehouse process" start_services
step "Rust tests" cargo test --workspace --locked
if has go; then
    step "The form of what is asked of Stripe, by its own mock server" bash scripts/stripe-mock.sh
else
    title "NOT CHECKED: the form of what is asked of Stripe (its mock server is built from source, and Go is not here)"
fi
step "Corpus: on two of each role" bash scripts/corpus.sh --cluster
step "Browser tests on two of each role" cluster_browser_tests
step "Fault tests, the quick ones" bash scripts/chaos.sh --small
step "Kafka, Postgres and the warehouse process are not needed any more" stop_services
step "Corpus: every recorded event and scenario" bash scripts/corpus.sh
step "Corpus: scenarios shuffled and repeated, 50 seeds" bash scripts/corpus.sh --shuffle 1 --seeds 50
step "Kill test: to the cent after kill -9" bash scripts/kill.sh
step "Kill test: at every named point" bash scripts/kill.sh --points
step "Node and browser tests" node_tests
title "All tests passed in $((SECONDS - STARTED_AT)) s"
