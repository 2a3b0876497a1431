{{- define "kvcachepool.name" -}}
{{- $name := (first .).Release.Name }}
{{- $limit := has (last .) (list "rpc" "connection") | ternary 53 45 }}
{{- if or (gt (len $name) $limit) (not (regexMatch "^[a-z][-a-z0-9]*$" $name)) }}
{{- $readable := regexReplaceAll "^([0-9])" (replace "." "-" $name) "p-$1" }}
{{- $name = printf "%s-%s" ($readable | trunc (sub $limit 9 | int) | trimSuffix "-") (sha256sum $name | trunc 8) }}
{{- end }}
{{- $name }}-{{ last . }}
{{- end }}

{{- define "kvcachepool.labels" -}}
app.kubernetes.io/name: kvcachepool
app.kubernetes.io/instance: {{ (first .).Release.Name | quote }}
app.kubernetes.io/component: {{ eq (last .) "etcd" | ternary "etcd" "daemon" }}
{{- end }}

{{- define "kvcachepool.metadata" -}}
{{- $ := first . -}}
metadata:
  name: {{ include "kvcachepool.name" . }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "kvcachepool.labels" . | nindent 4 }}
    helm.sh/chart: {{ $.Chart.Name }}-{{ $.Chart.Version }}
  annotations:
    kvcache.aibrix.ai/pool: {{ ($.Values.pool).name | default $.Release.Name | quote }}
{{- end }}

{{- define "kvcachepool.hostPath" -}}
/var/run/vineyard-kubernetes/{{ .Release.Namespace }}/{{ .Release.Name }}
{{- end }}

{{- define "kvcachepool.endpoint" -}}
{{ include "kvcachepool.name" (list . "rpc") }}.{{ .Release.Namespace }}.svc:{{ int .Values.service.port }}
{{- end }}
