#!/usr/bin/env bash
# `make check`: everything that is judged without running the product.

# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"
PATH="$TOOLS/bin:$TOOLS/go:$TOOLS/debian:$PATH"

# What may be depended on. The list of known holes comes over the network: where it cannot be had, that is said.
dependencies() {
    cargo-deny --locked check --hide-inclusion-graph licenses bans sources
    local log="$CACHE/advisories.log"
    if cargo-deny --locked check advisories >"$log" 2>&1; then
        say "advisories checked"
    elif grep -q 'failed to fetch advisory database' "$log"; then
        printf '\n*** advisories not checked: the advisory database cannot be reached from here ***\n\n'
    else
        cat "$log"
        return 1
    fi
}

# not_checked WORDS...: what is left out, so that nobody takes silence for a pass.
not_checked() {
    printf '\n*** %s ***\n\n' "$*"
}

# What is in deploy/, as far as linters see it: nothing of it is built or started here.
deployment_files() {
    if has hadolint; then
        hadolint deploy/Containerfile
        say "container file: valid (not built here)"
    else
        not_checked "deploy/Containerfile not linted: hadolint is not here"
    fi
    if has systemd-analyze; then
        bash deploy/check-unit.sh
    else
        not_checked "systemd units not verified: systemd-analyze is not here"
    fi
    scripts/tools/node_modules/.bin/dclint --config deploy/dclint.json --max-warnings 0 deploy/compose.yaml deploy/compose.cluster.yaml
    say "compose files: valid (no container is started here)"
    node scripts/tools/check-settings.mjs deploy/*.yaml deploy/*.example deploy/Containerfile deploy/*.service deploy/systemd/*
    bash deploy/check-proxy.sh
    bash deploy/check-chart.sh
    bash deploy/check-monitoring.sh
}

scripts() {
    mapfile -t files < <(grep -rlE --exclude-dir=node_modules '^#!.*\b(bash|sh)$' scripts deploy .ci | LC_ALL=C sort)
    shellcheck --external-sources --severity=style scripts/common.sh "${files[@]}"
}

documentation() {
    RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' cargo doc --workspace --no-deps --locked --document-private-items
}

bash scripts/setup.sh check
title "Format"
cargo fmt --all --check
title "Shell scripts"
scripts
title "Dependencies"
dependencies
title "Deployment files"
deployment_files
title "Tidiness"
cargo test --locked -p tests --test tidy
title "Lints"
cargo clippy --workspace --all-targets --locked -- -D warnings
title "Documentation"
documentation
title "All checks passed in $((SECONDS - STARTED_AT)) s"
