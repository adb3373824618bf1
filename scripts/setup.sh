#!/usr/bin/env bash
# Installs what is missing, and only that. Run it as often as you like: a second run takes less than a second.
#
#   scripts/setup.sh          what `make run` needs
#   scripts/setup.sh test     and what the tests need (a browser, Postgres, LibreOffice)
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
    # Kafka's client library is built here and links OpenSSL of the system.
    if ! has pkg-config || ! pkg-config --exists openssl; then
        missing+=(pkg-config libssl-dev)
    fi
    has node || missing+=(nodejs)
    has npm || missing+=(npm)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    if [ "$WANTED" = test ]; then
        has chromium || missing+=(chromium)
        has openssl || missing+=(openssl)
        # Opens the exported files as somebody would who was sent one.
        has soffice || missing+=(libreoffice-calc-nogui)
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
    # Noted beside what was built, so that a note never speaks of another folder's bundle.
    if [ -f web/assets/dist/.built ] && [ "$(<web/assets/dist/.built)" = "$hash" ]; then
        say "page assets: built"
        return
    fi
    npm_packages web
    say "page assets: building"
    (cd web && npm run --silent build)
    printf '%s\n' "$hash" >web/assets/dist/.built
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
    hash=$(hash_of scripts/tools/requirements.txt scripts/tools/kubernetes-schemas.mjs)
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
        # Two versions of its schemas are kept, in kubeconform's form; the rest is 70 MB.
        node scripts/tools/kubernetes-schemas.mjs "$TOOLS/kubernetes_validate/kubernetes-json-schema" "$TOOLS/kubernetes-schemas"
        rm -rf "$TOOLS/kubernetes_validate"
    else
        say "linters: no pip here, so cargo-deny is built from its crate (some minutes, once)"
        cargo install --locked --root "$TOOLS" --version 0.20.2 cargo-deny
    fi
    done_with linters "$hash"
}

# Linters that are built from source, pinned by version; Go's checksum database vouches for what is fetched.
GO_TOOLS=(helm.sh/helm/v3/cmd/helm@v3.22.0 github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0)

go_linters() {
    local hash
    hash=$(printf '%s\n' "${GO_TOOLS[@]}" | sha256sum | cut -d' ' -f1)
    if [ -x "$TOOLS/go/helm" ] && [ -x "$TOOLS/go/kubeconform" ] && is_done go-linters "$hash"; then
        say "linters in Go: there"
    elif has go; then
        say "linters in Go: building helm and kubeconform (two minutes, once)"
        GOBIN="$TOOLS/go" GOTOOLCHAIN=local go install -ldflags='-s -w' "${GO_TOOLS[0]}"
        GOBIN="$TOOLS/go" GOTOOLCHAIN=local go install -ldflags='-s -w' "${GO_TOOLS[1]}"
        done_with go-linters "$hash"
    else
        say "linters in Go: left out, Go is not here"
    fi
}

debian_download() {
    apt-get -q -o APT::Sandbox::User=root download "$1"
}

# debian_program PACKAGE PATH: one program out of a Debian package that is not installed: nginx's and Prometheus' own
# packages would start a server.
debian_program() {
    local name unpacked folder="$TOOLS/debian"
    name=$(basename "$2")
    if has "$name" || [ -x "$folder/$name" ]; then
        say "$name: there"
    elif has apt-get && has dpkg-deb; then
        say "$name: taking it out of Debian's package $1"
        unpacked=$(mktemp -d)
        mkdir -p "$folder"
        (cd "$unpacked" && { debian_download "$1" || { as_root apt-get update -q && debian_download "$1"; }; })
        dpkg-deb --extract "$unpacked/"*.deb "$unpacked"
        mv "$unpacked$2" "$folder/$name"
        rm -rf "$unpacked"
    else
        say "$name: left out, it can only be had from Debian's packages"
    fi
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
    go_linters
    debian_program prometheus /usr/bin/promtool
    debian_program nginx /usr/sbin/nginx
fi
say "set-up complete"
