#!/usr/bin/env bash
# Lets systemd read every unit, and compares their hardening: one that was loosened alone is an oversight. The program
# they name is not on this machine, so copies name one that is.
set -euo pipefail
cd "$(dirname "$0")"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
faults=0

# hardening FILE: from UMask to the end of the service section.
hardening() {
    sed -n '/^UMask=/,/^\[Install\]/p' "$1" | grep -E '^[A-Za-z]+='
}

# All copies first: units name each other. A template is read as one of its copies.
for unit in affilitrack.service systemd/*.service; do
    name=$(basename "$unit")
    sed -E 's#^(ExecStart(Pre)?)=/usr/local/bin/affilitrack#\1=/bin/true#' "$unit" >"$folder/${name/@/@8081}"
done
for unit in affilitrack.service systemd/*.service; do
    name=$(basename "$unit")
    copy=${name/@/@8081}
    # Documentation and users of this machine are not judged; everything that systemd says about the file is.
    said=$(SYSTEMD_UNIT_PATH="$folder:" systemd-analyze verify --man=no "$folder/$copy" 2>&1 | grep -F "$copy" || true)
    if [ -n "$said" ]; then
        printf '%s\n' "$said" >&2
        faults=1
    fi
    if ! difference=$(diff <(hardening affilitrack.service) <(hardening "$unit")); then
        printf 'deploy/%s: its hardening is not that of deploy/affilitrack.service:\n%s\n' "$unit" "$difference" >&2
        faults=1
    fi
done
[ "$faults" = 0 ] || exit 1
echo "systemd units: systemd reads all of them without complaint, and they are hardened alike"
