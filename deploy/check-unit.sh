#!/usr/bin/env bash
# Lets systemd read the unit. The program it names is not on this machine, so a copy names one that is.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sed -E 's#^(ExecStart(Pre)?)=/usr/local/bin/affilitrack#\1=/bin/true#' "$(dirname "$0")/affilitrack.service" >"$folder/affilitrack.service"
# Documentation and users of this machine are not judged; everything that systemd says about the file is.
said=$(systemd-analyze verify --man=no "$folder/affilitrack.service" 2>&1 | grep -F "affilitrack.service" || true)
if [ -n "$said" ]; then
    printf '%s\n' "$said" >&2
    exit 1
fi
echo "deploy/affilitrack.service: systemd reads it without complaint"
