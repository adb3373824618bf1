#!/usr/bin/env bash
# Stands in for the binary where a test starts one: `run` is two of each role on the services of `make services`, every
# other command goes to the binary itself. AFFILITRACK_BIN=scripts/cluster-as-one.sh makes the browser tests use it.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

BINARY=${BINARY:-$ROOT/target/release/affilitrack}
LOADTEST=${LOADTEST:-$ROOT/target/release/loadtest}

[ "${1:-}" = run ] || exec "$BINARY" "$@"
settings=$(bash "$ROOT/scripts/services.sh" settings)
eval "$settings"
exec "$LOADTEST" as-one --binary "$BINARY" --data-dir "${DATA_DIR:-data}" --port "${PORT:-8080}" --demo "${AFFILITRACK_DEMO:-on}"
