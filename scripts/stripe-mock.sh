#!/usr/bin/env bash
# Checks the form of what is asked of Stripe against Stripe's own mock server (github.com/stripe/stripe-mock), which refuses what
# Stripe's description of its interface does not know. Needs Go; the server is built once and runs only meanwhile.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=scripts/services/own.sh
. "$(dirname "$0")/services/own.sh"
cd "$ROOT"

VERSION=v0.203.0
MOCK="$TOOLS/go/stripe-mock"
WAIT_SECONDS=30

has go || give_up "Stripe's mock server is built from source, and Go is not here: install Go (https://go.dev/dl)"
if [ ! -x "$MOCK" ] || [ "$(cat "$MOCK.version" 2>/dev/null)" != "$VERSION" ]; then
    say "Stripe's mock server: building $VERSION (half a minute, once)"
    GOBIN="$TOOLS/go" GOTOOLCHAIN=local go install -ldflags='-s -w' "github.com/stripe/stripe-mock@$VERSION"
    printf '%s\n' "$VERSION" >"$MOCK.version"
fi
port=$(free_ports 1)
"$MOCK" -http-addr "127.0.0.1:$port" >"$CACHE/stripe-mock.log" 2>&1 &
mock_pid=$!
trap 'kill "$mock_pid" 2>/dev/null || true' EXIT
for _ in $(seq $((WAIT_SECONDS * 10))); do
    ! is_open "$port" || break
    sleep 0.1
done
is_open "$port" || give_up "Stripe's mock server does not answer, see $CACHE/stripe-mock.log"
STRIPE_MOCK_URL="http://127.0.0.1:$port" cargo test --locked -p processor --lib stripe::tests::mock -- --ignored
