{{- define "kvcachepool.etcdImage" -}}
{{ ((.Values.metadata).managed).image | default "registry.k8s.io/etcd:3.6.6-0" }}
{{- end }}

{{- define "kvcachepool.etcdEndpoint" -}}
{{- $name := include "kvcachepool.name" (list . "etcd") -}}
http://{{ $name }}-0.{{ $name }}.{{ .Release.Namespace }}.svc:2379
{{- end }}
