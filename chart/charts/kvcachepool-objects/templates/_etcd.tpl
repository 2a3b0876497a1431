{{- /* Not empty for a pool that brings its own etcd. */}}
{{- define "kvcachepool.managed" -}}
{{- if not (or (.Values.metadata).etcd (.Values.metadata).redis) }}yes{{ end }}
{{- end }}

{{- /* The etcd of a pool that brings its own. A new default restarts the etcd and the daemons of every such pool. */}}
{{- define "kvcachepool.etcdImage" -}}
{{ ((.Values.metadata).managed).image | default "registry.k8s.io/etcd:3.6.6-0" }}
{{- end }}

{{- /* Its client URL: the one that the member advertises, since vineyardd reconnects to that. */}}
{{- define "kvcachepool.etcdEndpoint" -}}
{{- $name := include "kvcachepool.name" (list . "etcd") -}}
http://{{ $name }}-0.{{ $name }}.{{ .Release.Namespace }}.svc:2379
{{- end }}
