#!/usr/bin/env bash
# `make corpus`: the recorded events and scenarios against a temporary instance. Arguments go to the command.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

bash scripts/build-release.sh affilitrack
exec target/release/affilitrack corpus "${CORPUS:-tests/corpus/webhooks}" "$@"
