#!/usr/bin/env bash
# `make simulate`: seeds of the deterministic simulation, regressions first. Arguments go to the tool: --seeds N --from SEED.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

cargo build --release --locked -p simulation
exec target/release/simulation "$@"
