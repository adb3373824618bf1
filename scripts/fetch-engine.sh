#!/usr/bin/env bash
# Installs the embedded warehouse engine (libchdb, 178 MB to download, 566 MB on disk).
#
# package-engine/ pins its version and its integrity hash; `npm ci` verifies the hash. Where npm loads from is npm's own
# configuration. Goes to $AFFILITRACK_ENGINE_DIR, or .cache/engine in this repository. Installs nothing when the pinned
# version is there already. The last line it prints is the path of the library.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pin=$repository/package-engine
folder=${AFFILITRACK_ENGINE_DIR:-$repository/.cache/engine}
library=$folder/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so
# Written last, so that an install that was broken off is done again.
stamp=$folder/installed.lock.json

fail() {
    printf 'fetch-engine: %s\n' "$*" >&2
    exit 1
}

check_machine() {
    [[ $(uname -s) == Linux && $(uname -m) == x86_64 ]] ||
        fail "the embedded engine needs Linux on x86-64, this is $(uname -s) on $(uname -m). Use such a machine or container."
    grep -qw avx2 /proc/cpuinfo ||
        fail "this processor has no AVX2, which the embedded engine needs. Use a machine with AVX2 (Intel since 2013, AMD since 2015); in a virtual machine choose the CPU type 'host'."
    getconf GNU_LIBC_VERSION >/dev/null 2>&1 ||
        fail "this system has no glibc, which the embedded engine needs. Use a glibc distribution (Debian, Ubuntu, Fedora ...) instead of a musl one (Alpine)."
}

is_installed() {
    [[ -f $library ]] && cmp -s "$pin/package-lock.json" "$stamp"
}

install_engine() {
    command -v npm >/dev/null 2>&1 || fail "npm is not installed. Install Node.js 20 or newer (Debian: apt install npm)."
    local free_kib
    free_kib=$(df -Pk "$folder" | awk 'NR == 2 { print $4 }')
    ((free_kib > 1200000)) || fail "$folder has $((free_kib / 1024)) MB free; the engine needs 1200 MB while it is installed."
    echo "fetch-engine: installing the warehouse engine into $folder (178 MB to download, once) ..." >&2
    rm -f "$stamp"
    cp "$pin/package.json" "$pin/package-lock.json" "$folder/"
    # npm can be silent for a minute here; a dot every five seconds shows that it lives.
    (cd "$folder" && exec npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >"$folder/install.log" 2>&1 &
    local npm_process=$! seconds=0
    while kill -0 "$npm_process" 2>/dev/null; do
        sleep 0.5
        seconds=$((seconds + 1))
        if ((seconds % 10 == 0)); then printf '.' >&2; fi
    done
    if ! wait "$npm_process"; then
        printf '\n' >&2
        cat "$folder/install.log" >&2
        fail "npm could not install the engine; its message is above. Check the network and npm's registry setting, then run this again."
    fi
    [[ -f $library ]] || fail "npm succeeded, but $library is missing. Delete $folder and run this again."
    cp "$pin/package-lock.json" "$stamp"
    printf '\nfetch-engine: installed, %s\n' "$(du -sh "$library" | cut -f1)" >&2
}

check_machine
mkdir -p "$folder" || fail "cannot create $folder. Set AFFILITRACK_ENGINE_DIR to a folder you may write to."
if ! is_installed; then
    # Two at once would delete each other's files.
    exec 9>"$folder/install.lock"
    command -v flock >/dev/null 2>&1 && flock 9
    is_installed || install_engine
fi
echo "$library"
