{{- define "kvhelm.fullname" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "kvhelm.selector" -}}
app.kubernetes.io/name: kvhelm
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "kvhelm.labels" -}}
{{ include "kvhelm.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* Roles are cluster-scoped: two installs in two namespaces must not meet. */}}
{{- define "kvhelm.clusterName" -}}
{{ .Release.Namespace }}:{{ include "kvhelm.fullname" . }}
{{- end }}
