{{- /*
Name of an object: (list $ SUFFIX). Every name has a suffix, so that no two releases ever meet
("a" and "a-rpc" own "a-rpc" and "a-rpc-rpc"). What people type (rpc, connection) starts with the whole
release name; the rest ends at 52, where a StatefulSet's pods get too long a label. A name that must
change gets a hash of the whole one.
*/}}
{{- define "kvcachepool.name" -}}
{{- $name := (first .).Release.Name }}
{{- $limit := has (last .) (list "rpc" "connection") | ternary 53 45 }}
{{- if or (gt (len $name) $limit) (not (regexMatch "^[a-z][-a-z0-9]*$" $name)) }}
{{- $readable := regexReplaceAll "^([0-9])" (replace "." "-" $name) "p-$1" }}
{{- $name = printf "%s-%s" ($readable | trunc (sub $limit 9 | int) | trimSuffix "-") (sha256sum $name | trunc 8) }}
{{- end }}
{{- $name }}-{{ last . }}
{{- end }}

{{- /* The labels that selectors and pods have: (list $ SUFFIX). Nothing that changes may be among them. */}}
{{- define "kvcachepool.labels" -}}
app.kubernetes.io/name: kvcachepool
app.kubernetes.io/instance: {{ (first .).Release.Name | quote }}
app.kubernetes.io/component: {{ hasPrefix "etcd" (last .) | ternary "etcd" "daemon" }}
{{- end }}

{{- /* The metadata of an object: (list $ SUFFIX). It ends with the annotations; more may follow. */}}
{{- define "kvcachepool.metadata" -}}
{{- $ := first . -}}
metadata:
  name: {{ include "kvcachepool.name" . }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "kvcachepool.labels" . | nindent 4 }}
    helm.sh/chart: {{ $.Chart.Name }}-{{ $.Chart.Version | replace "+" "_" }}
  annotations:
    kvcache.aibrix.ai/pool: {{ ($.Values.pool).name | default $.Release.Name | quote }}
    {{- with ($.Values.pool).uid }}
    kvcache.aibrix.ai/pool-uid: {{ quote . }}
    {{- end }}
{{- end }}

{{- /* HOST:PORT of the client Service. */}}
{{- define "kvcachepool.endpoint" -}}
{{ include "kvcachepool.name" (list . "rpc") }}.{{ .Release.Namespace }}.svc:{{ int .Values.service.port }}
{{- end }}

{{- /* The node's folder that daemon and engines share: where AIBrix' and v6d's engines already look. */}}
{{- define "kvcachepool.hostPath" -}}
/var/run/vineyard-kubernetes/{{ .Release.Namespace }}/{{ .Release.Name }}
{{- end }}
