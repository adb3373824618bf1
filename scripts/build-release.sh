#!/usr/bin/env bash
# Builds the release binaries named, `affilitrack` if none is.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

packages=()
for package in "${@:-affilitrack}"; do
    packages+=(-p "$package")
done
cargo build --release --locked --bins "${packages[@]}"
