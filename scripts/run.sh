#!/usr/bin/env bash
# `make run`: set-up, release build, start. DATA_DIR and PORT are read by the binary itself. Further arguments go to it.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

bash scripts/setup.sh
title "Build (the first one takes some minutes)"
bash scripts/build-release.sh
title "Start"
exec target/release/affilitrack run "$@"
