#!/usr/bin/env bash
# Alerts, dashboard and runbook: that they fit the program's metrics and each other, that Prometheus understands every
# query, and that each alert is raised by what it is for and not by what it is not for.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
node scripts/tools/check-monitoring.mjs --rules "$folder/dashboard.yaml"
if ! command -v promtool >/dev/null; then
    printf '\n*** queries of alerts and dashboard not checked, alerts not tried: promtool is not here ***\n\n'
    exit 0
fi
promtool check rules deploy/prometheus/alerts.yaml "$folder/dashboard.yaml" >"$folder/said" 2>&1 || { cat "$folder/said" >&2; exit 1; }
promtool test rules deploy/prometheus/alerts.test.yaml >"$folder/said" 2>&1 || { cat "$folder/said" >&2; exit 1; }
echo "alerts and dashboard: promtool understands every query, and each alert is raised and stays quiet as it should"
