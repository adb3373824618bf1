#!/usr/bin/env bash
# Lets nginx read its configuration. The names of the compose network are not known on this machine and folders of /tmp
# belong to others, so a copy names what is here; `resolve` in an upstream is newer than the nginx of Debian 12.
set -euo pipefail

if ! command -v nginx >/dev/null; then
    printf '\n*** deploy/nginx.conf not checked: nginx is not here ***\n\n'
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sed -E -e 's/^( *server )(ingest|serve)-[12]:8080 resolve /\1127.0.0.1:8080 /' -e "s#/tmp/#$folder/#" \
    "$(dirname "$0")/nginx.conf" >"$folder/nginx.conf"
if ! said=$(nginx -t -q -e stderr -p "$folder" -c "$folder/nginx.conf" 2>&1) || [ -n "$said" ]; then
    printf 'deploy/nginx.conf:\n%s\n' "$said" >&2
    exit 1
fi
echo "deploy/nginx.conf: nginx reads it without complaint ('resolve' of its upstreams not checked)"
