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
# shellcheck source=scripts/services/started.sh
. "$(dirname "$0")/services/started.sh"
cd "$ROOT"

bash scripts/build-release.sh affilitrack loadtest
start_services
settings=$(bash scripts/services.sh settings)
eval "$settings"
target/release/loadtest chaos --binary target/release/affilitrack "$@"
