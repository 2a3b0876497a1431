{{- /* Not empty for a pool that brings its own etcd. */}}
{{- define "kvcachepool.managed" -}}
{{- if not (or (.Values.metadata).etcd (.Values.metadata).redis) }}yes{{ end }}
{{- end }}

{{- /* The etcd of a pool that brings its own. A new default restarts the etcd and the daemons of every such pool. */}}
{{- define "kvcachepool.etcdImage" -}}
{{ ((.Values.metadata).managed).image | default "registry.k8s.io/etcd:3.6.6-0" }}
{{- end }}

{{- /* How many members it has. */}}
{{- define "kvcachepool.etcdMembers" -}}
{{ ((.Values.metadata).managed).replicas | default 1 | int }}
{{- end }}

{{- /* The host name of a member for its peers, which look it up again and again: (list $ POD). */}}
{{- define "kvcachepool.etcdPeer" -}}
{{ last . }}.{{ include "kvcachepool.name" (list (first .) "etcd") }}.{{ (first .).Release.Namespace }}.svc
{{- end }}

{{- /*
The client URL of a member: (list $ POD). vineyardd looks a name up once, so a member must keep its address
when its pod is another: it has a Service with a cluster IP.
*/}}
{{- define "kvcachepool.etcdClient" -}}
http://{{ last . }}.{{ (first .).Release.Namespace }}.svc:2379
{{- end }}

{{- /* Its client URLs: those that the members advertise, since vineyardd reconnects to these. */}}
{{- define "kvcachepool.etcdEndpoints" -}}
{{- $urls := list }}
{{- range until (include "kvcachepool.etcdMembers" . | int) }}
{{- $pod := printf "%s-%d" (include "kvcachepool.name" (list $ "etcd")) . }}
{{- $urls = append $urls (include "kvcachepool.etcdClient" (list $ $pod)) }}
{{- end }}
{{- join "," $urls }}
{{- end }}

{{- /* NAME=PEER-URL of each member. */}}
{{- define "kvcachepool.etcdCluster" -}}
{{- $peers := list }}
{{- range until (include "kvcachepool.etcdMembers" . | int) }}
{{- $pod := printf "%s-%d" (include "kvcachepool.name" (list $ "etcd")) . }}
{{- $peers = append $peers (printf "%s=http://%s:2380" $pod (include "kvcachepool.etcdPeer" (list $ $pod))) }}
{{- end }}
{{- join "," $peers }}
{{- end }}
