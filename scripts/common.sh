# Shared by the scripts of this folder: `. "$(dirname "$0")/common.sh"`. Says what happens, installs packages,
# and remembers what was done for which input.
# shellcheck shell=bash

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE="$ROOT/.cache"
STAMPS="$CACHE/stamps"
# shellcheck disable=SC2034 # for the scripts that read this
TOOLS="$CACHE/tools"
STARTED_AT=$SECONDS
mkdir -p "$STAMPS"

# say WORDS...: one line of progress with the seconds since the script began.
say() {
    printf '[%4ds] %s\n' "$((SECONDS - STARTED_AT))" "$*"
}

# title WORDS...: the beginning of a step.
title() {
    printf '\n==> %s\n' "$*"
}

# give_up WORDS...: stop, and say what a person has to do.
give_up() {
    printf '\nerror: %s\n' "$*" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# hash_of FILES...: one hash over names and contents; files that are not there count as empty.
hash_of() {
    local file
    for file in "$@"; do
        printf '%s\0' "$file"
    done | xargs -0 -r sha256sum 2>/dev/null | sha256sum | cut -d' ' -f1
}

# is_done NAME HASH: whether the step was done for this input.
is_done() {
    [ -f "$STAMPS/$1" ] && [ "$(<"$STAMPS/$1")" = "$2" ]
}

# done_with NAME HASH: remember it.
done_with() {
    printf '%s\n' "$2" >"$STAMPS/$1"
}

# as_root COMMAND...: runs it as root, or says which command a person has to run.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        give_up "this needs root and there is no sudo. Run as root, then start again: $*"
    fi
}

# install_packages NAME...: Debian packages, with what they print.
install_packages() {
    if ! has apt-get; then
        give_up "please install with this system's package manager, then start again: $*"
    fi
    say "installing: $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q -o Dpkg::Use-Pty=0 --no-install-recommends "$@"
}
