#!/usr/bin/env bash
# `make kill`: kill -9 at random moments while deliveries arrive, then every cent is compared. Arguments go to the tool.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

bash scripts/build-release.sh affilitrack loadtest
exec target/release/loadtest kill "$@"
