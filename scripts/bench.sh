#!/usr/bin/env bash
# `make bench`: the figures of docs/MEASURED.md. Arguments go to the tool.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

bash scripts/setup.sh
bash scripts/build-release.sh affilitrack loadtest
exec target/release/loadtest bench "$@"
