#!/usr/bin/env bash
# `make kill`: kill -9 at random moments while deliveries arrive, then every cent is compared. Arguments go to the tool.
# With --points (or --at POINT) it is a binary of its own that ends itself between two steps, at each named point once.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

binary=affilitrack
for argument in "$@"; do
    case "$argument" in
        --points | --at | --at=*) binary=affilitrack-crash-points ;;
    esac
done

if [ "$binary" = affilitrack ]; then
    bash scripts/build-release.sh affilitrack loadtest
else
    # The same packages as above, so that what they depend on is not built once more with other features.
    cargo build --release --locked -p affilitrack -p loadtest --features affilitrack/crash-points --bin "$binary" --bin loadtest
fi
exec target/release/loadtest kill --binary "target/release/$binary" "$@"
