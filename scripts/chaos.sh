#!/usr/bin/env bash
# `make chaos`: breaks one thing at a time under two processes of each role on real outside parts, then every cent is
# compared. docs/FAULTS.md lists the faults. Arguments go to the tool:
#
#   scripts/chaos.sh               every fault
#   scripts/chaos.sh --small       only the quick ones, some minutes
#   scripts/chaos.sh --full        every fault with larger loads and more repetitions
#   scripts/chaos.sh --only NAME   one
#
# Services that did not run before are stopped at the end. Needs root for faults that mount a small disk.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

STARTED=()
stop_services() {
    local name
    for name in "${STARTED[@]}"; do bash "scripts/services/$name.sh" stop; done
    STARTED=()
}

start_services() {
    trap stop_services EXIT
    bash scripts/services/warehouse.sh status >/dev/null 2>&1 || STARTED+=(warehouse)
    bash scripts/services/postgres.sh status >/dev/null 2>&1 || STARTED+=(postgres)
    bash scripts/services/kafka.sh address >/dev/null 2>&1 || STARTED+=(kafka)
    # What it prints are settings with passwords.
    bash scripts/services.sh start >/dev/null
}

bash scripts/build-release.sh affilitrack loadtest
start_services
settings=$(bash scripts/services.sh settings)
eval "$settings"
target/release/loadtest chaos --binary target/release/affilitrack "$@"
