{{/* Name of everything of this release. */}}
{{- define "affilitrack.name" -}}
{{- if contains "affilitrack" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-affilitrack" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* By which a role's pods are found. Never changes: a Deployment's selector cannot. (dict "root" . "role" "serve") */}}
{{- define "affilitrack.selector" -}}
app.kubernetes.io/name: affilitrack
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "affilitrack.labels" -}}
{{ include "affilitrack.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* Settings that are no secret, as environment. The ConfigMap has them for the roles; the job of `migrate`, which runs
     before the ConfigMap is there, has them in itself. What stands in `settings` wins. */}}
{{- define "affilitrack.settings" -}}
{{- $own := dict
  "AFFILITRACK_SERVER_LISTEN" "0.0.0.0:8080"
  "AFFILITRACK_SERVER_PUBLIC_URL" .Values.publicUrl
  "AFFILITRACK_SERVER_TRUSTED_PROXIES" (join "," .Values.trustedProxies)
  "AFFILITRACK_KAFKA_BROKERS" .Values.kafka.brokers
  "AFFILITRACK_KAFKA_SECURITY_PROTOCOL" .Values.kafka.securityProtocol
  "AFFILITRACK_KAFKA_SASL_MECHANISM" .Values.kafka.saslMechanism
  "AFFILITRACK_KAFKA_USER" .Values.kafka.user
  "AFFILITRACK_KAFKA_TLS_CA_FILE" .Values.kafka.tlsCaFile
  "AFFILITRACK_POSTGRES_TLS" .Values.postgres.tls
  "AFFILITRACK_POSTGRES_TLS_CA_FILE" .Values.postgres.tlsCaFile
  "AFFILITRACK_WAREHOUSE_TLS_CA_FILE" .Values.warehouse.tlsCaFile
  "AFFILITRACK_KAFKA_TOPIC" .Values.kafka.topic
  "AFFILITRACK_KAFKA_LIVE_TOPIC" .Values.kafka.liveTopic
  "AFFILITRACK_KAFKA_GROUP" .Values.kafka.group
  "AFFILITRACK_KAFKA_REPLICATION_FACTOR" (toString .Values.kafka.replicationFactor)
  "AFFILITRACK_KAFKA_MIN_INSYNC_REPLICAS" (toString .Values.kafka.minInsyncReplicas)
  "AFFILITRACK_KAFKA_SPOOL_MAX_BYTES" (.Values.ingest.spool.maxBytes | int64 | toString)
  "AFFILITRACK_WAREHOUSE_EMBEDDED" "off"
  "AFFILITRACK_WAREHOUSE_URL" .Values.warehouse.url
  "AFFILITRACK_WAREHOUSE_USER" .Values.warehouse.user
  "AFFILITRACK_WAREHOUSE_DATABASE" .Values.warehouse.database
  "AFFILITRACK_DEMO" (ternary "on" "off" .Values.demo)
  "AFFILITRACK_TELEMETRY_FORMAT" "json" }}
{{- merge (dict) .Values.settings $own | toYaml }}
{{- end }}

{{/* What all pods have. (dict "root" . "role" "serve") */}}
{{- define "affilitrack.pod" -}}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
# No role speaks to Kubernetes.
automountServiceAccountToken: false
# Otherwise Kubernetes puts an address of each service into the environment, under names that begin like our settings and
# are none: they are refused at the start.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
# Longer than server.shutdown_s, and the pause below.
terminationGracePeriodSeconds: 30
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "affilitrack.container" -}}
image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: [{{ .role | quote }}]
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml (index .root.Values .role).resources | nindent 2 }}
volumeMounts:
  - name: data
    mountPath: /var/lib/affilitrack
  - name: tmp
    mountPath: /tmp
  {{- if .root.Values.certificatesSecret }}
  - name: certificates
    mountPath: /etc/affilitrack/certificates
    readOnly: true
  {{- end }}
{{- end }}

{{/* Volume of the certificates, if there is one. */}}
{{- define "affilitrack.certificates" -}}
{{- with .Values.certificatesSecret }}
- name: certificates
  secret:
    secretName: {{ . }}
    # For the group of the pod's user.
    defaultMode: 0440
{{- end }}
{{- end }}

{{/* What a role has that answers for ever. */}}
{{- define "affilitrack.running" -}}
envFrom:
  - configMapRef:
      name: {{ include "affilitrack.name" .root }}
  - secretRef:
      name: {{ .root.Values.existingSecret }}
ports:
  - name: http
    containerPort: 8080
# Starting may mean reading much; only then does the other probe count.
startupProbe:
  httpGet:
    path: /healthz
    port: http
  periodSeconds: 2
  failureThreshold: 150
livenessProbe:
  httpGet:
    path: /healthz
    port: http
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: http
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
# So that no request is sent to a pod that has begun to stop.
lifecycle:
  preStop:
    exec:
      command: [sleep, "5"]
{{- end }}

{{/* Copies on different machines, if that is possible. */}}
{{- define "affilitrack.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "affilitrack.selector" . | nindent 8 }}
{{- end }}
