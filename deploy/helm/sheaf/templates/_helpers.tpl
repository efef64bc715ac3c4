{{- define "sheaf.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sheaf.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "sheaf.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "sheaf.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sheaf.release" -}}
app.kubernetes.io/name: {{ include "sheaf.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Of the workers alone: the test's pod is of the release, and no worker. */}}
{{- define "sheaf.selector" -}}
{{ include "sheaf.release" . }}
app.kubernetes.io/component: worker
{{- end -}}

{{- define "sheaf.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "sheaf.release" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "sheaf.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "sheaf.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "sheaf.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* What of sheaf.toml the chart writes. A change of it takes new pods. */}}
{{- define "sheaf.head" -}}
state_folder = "/var/lib/sheaf"
state_store = {{ required "stateStore: pods keep nothing, so say where the workers' state is" .Values.stateStore | quote }}
{{- end -}}

{{- define "sheaf.tail" -}}
[worker]
guests = {{ int .Values.worker.guests }}
{{- with .Values.worker.deployment }}
deployment = {{ . | quote }}
{{- end }}

[observe]
address = "0.0.0.0:{{ int .Values.observe.port }}"
{{- if .Values.observe.tokenKey }}
{{- if not .Values.secrets.existingSecret }}
{{- fail "observe.tokenKey is a key of secrets.existingSecret, which is not set" }}
{{- end }}
token = { file = "/run/secrets/sheaf/{{ .Values.observe.tokenKey }}" }
{{- end }}
{{- with .Values.observe.traces }}
traces = {{ . | quote }}
{{- end }}
{{- end -}}

{{/* What runs Sheaf: the workers' pods, and the test's. */}}
{{- define "sheaf.container" -}}
image: {{ include "sheaf.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  # Others than this user can write to a pod's volume, so that no compiled code is kept: each start compiles connectors.
  - name: XDG_CACHE_HOME
    value: /tmp/cache
  {{- with .Values.worker.rustLog }}
  - name: RUST_LOG
    value: {{ . | quote }}
  {{- end }}
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  # The folder, not its files: only so are changes of the ConfigMap seen in a pod.
  - name: config
    mountPath: /etc/sheaf
    readOnly: true
  - name: state
    mountPath: /var/lib/sheaf
  - name: tmp
    mountPath: /tmp
  {{- if .Values.secrets.existingSecret }}
  - name: secrets
    mountPath: /run/secrets/sheaf
    readOnly: true
  {{- end }}
  {{- range .Values.content }}
  - name: content-{{ .name }}
    mountPath: {{ .mountPath }}
    readOnly: true
  {{- end }}
{{- end -}}

{{- define "sheaf.pod" -}}
serviceAccountName: {{ include "sheaf.serviceAccount" . }}
automountServiceAccountToken: {{ .Values.serviceAccount.automount }}
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  # It lets a cell take Landlock and seccomp.
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: config
    configMap:
      name: {{ include "sheaf.fullname" . }}
  # A worker's own: locks, and what is sorted. What must stay is in the store.
  - name: state
    emptyDir:
      sizeLimit: {{ .Values.scratch.sizeLimit }}
  - name: tmp
    emptyDir:
      sizeLimit: {{ .Values.scratch.sizeLimit }}
  {{- with .Values.secrets.existingSecret }}
  - name: secrets
    secret:
      secretName: {{ . }}
      defaultMode: 0440
  {{- end }}
  {{- range .Values.content }}
  - name: content-{{ .name }}
    {{- toYaml .source | nindent 4 }}
  {{- end }}
{{- end -}}
