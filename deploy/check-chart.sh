#!/usr/bin/env bash
# The Helm chart: linted, rendered with the least that must be set and with everything on, and what comes out compared
# with Kubernetes' schemas of the oldest and the newest version it is for. Nothing is installed anywhere.
set -euo pipefail
cd "$(dirname "$0")/.."

CHART=deploy/helm/affilitrack
SCHEMAS=.cache/tools/kubernetes-schemas

if ! command -v helm >/dev/null; then
    printf '\n*** %s not checked: helm is not here (it is built when Go is) ***\n\n' "$CHART"
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# without_note COMMAND...: without what helm says about files/alerts.yaml, a link on purpose.
without_note() {
    local status=0
    "$@" 2>"$folder/said" || status=$?
    grep -v 'found symbolic link in path' "$folder/said" >&2 || true
    return "$status"
}

for values in least everything; do
    without_note helm lint --strict --quiet "$CHART" --values "$CHART/ci/$values.yaml"
    without_note helm template track "$CHART" --kube-version 1.29.0 --values "$CHART/ci/$values.yaml" >"$folder/$values.yaml"
done
# Values that must be refused by the schema of values, one at a time.
for wrong in publicUrl= existingSecret= kafka.brokers= kafka.brokers=no-port warehouse.url= 'trustedProxies={0.0.0.0/0}' \
    ingress.enabled=true ingest.replicas=0 kafka.securityProtocol=tls postgres.tls=verify settings.EDGE_MAX_BODY_BYTES=1 misspelt=1; do
    if helm template track "$CHART" --kube-version 1.29.0 --values "$CHART/ci/least.yaml" --set "$wrong" >/dev/null 2>"$folder/said" \
        || ! grep -q "values don't meet the specifications of the schema" "$folder/said"; then
        echo "$CHART: its schema of values does not refuse $wrong" >&2
        exit 1
    fi
done
node scripts/tools/check-settings.mjs "$folder/least.yaml" "$folder/everything.yaml"
if ! command -v kubeconform >/dev/null || [ ! -d "$SCHEMAS" ]; then
    printf "\n*** %s: linted and rendered, but Kubernetes' schemas not checked: kubeconform or its schemas are not here ***\n\n" "$CHART"
    exit 0
fi
for version in 1.29.0 1.37.0; do
    kubeconform -strict -kubernetes-version "$version" -skip ServiceMonitor,PrometheusRule \
        -schema-location "$SCHEMAS/{{ .NormalizedKubernetesVersion }}-standalone{{ .StrictSuffix }}/{{ .ResourceKind }}{{ .KindSuffix }}.json" \
        "$folder/least.yaml" "$folder/everything.yaml"
done
echo "$CHART: linted, rendered, and valid for Kubernetes 1.29 and 1.37 (ServiceMonitor and PrometheusRule have no schema here)"
