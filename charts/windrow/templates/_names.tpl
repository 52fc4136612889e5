{{/* What things are called: a release called windrow gives plain names. */}}
{{- define "windrow.name" -}}
{{- if contains "windrow" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-windrow" (.Release.Name | trunc 32 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "windrow.secret" -}}
{{ .Values.existingSecret | default (include "windrow.name" .) }}
{{- end }}

{{/* What every target of this release carries as its label `installation`. */}}
{{- define "windrow.installation" -}}
{{- .Release.Namespace }}/{{ .Release.Name }}
{{- end }}

{{- define "windrow.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}{{ else }}{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Whether the chart brings a Redis or a PostgreSQL: only while nothing says where another one is. */}}
{{- define "windrow.redis" -}}
{{- if not (or .Values.existingSecret .Values.redis.url) }}yes{{ end }}
{{- end }}
{{- define "windrow.postgresql" -}}
{{- if not (or .Values.existingSecret .Values.postgresql.url) }}yes{{ end }}
{{- end }}

{{/* The namespaces that the operator serves, as JSON. */}}
{{- define "windrow.watched" -}}
{{- if .Values.operator.allNamespaces }}[]{{ else }}{{ .Values.operator.watchNamespaces | default (list .Release.Namespace) | uniq | toJson }}{{ end }}
{{- end }}

{{/* Labels as name=value with commas between. */}}
{{- define "windrow.pairs" -}}
{{- $pairs := list }}
{{- range $name, $value := . }}{{ $pairs = append $pairs (printf "%s=%s" $name $value) }}{{ end }}
{{- join "," $pairs }}
{{- end }}

{{- define "windrow.selector" -}}
app.kubernetes.io/name: windrow
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "windrow.labels" -}}
{{ include "windrow.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* What the restricted Pod Security Standard asks of a pod and of a container. */}}
{{- define "windrow.podSecurity" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- define "windrow.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Where a pod of ours runs, as its values say. */}}
{{- define "windrow.placing" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "windrow.environment" -}}
- name: REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ include "windrow.secret" . }}, key: REDIS_URL}}
{{- with .Values.keyPrefix }}
- name: WINDROW_KEY_PREFIX
  value: {{ . | quote }}
{{- end }}
- name: WINDROW_LOG_FORMAT
  value: json
- name: WINDROW_HOST
  value: 0.0.0.0
{{- end }}

{{- define "windrow.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .Values.tls.caSecret }}
- {name: ca, mountPath: /etc/windrow/ca, readOnly: true}
{{- end }}
{{- end }}
{{- define "windrow.volumes" -}}
- name: tmp
  emptyDir: {}
{{- with .Values.tls.caSecret }}
- name: ca
  secret: {secretName: {{ . }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end }}
