{{- /* What values.schema.json can't say and, for the operator's users, the CRD's rules do. */}}
{{- define "kvcachepool.validate" -}}
{{- $cache := .Values.cache }}
{{- $service := .Values.service }}
{{- $etcd := (.Values.metadata).etcd | default dict }}
{{- $managed := (.Values.metadata).managed | default dict }}
{{- $limit := $cache.resources.limits.memory }}
{{- range list
  (list (and $service.nodePort (eq $service.type "ClusterIP"))
    "service.nodePort needs service.type NodePort or LoadBalancer")
  (list (and (eq .Values.scheduler.spreadPolicy "None") (eq $cache.socket "HostPath"))
    "scheduler.spreadPolicy None needs cache.socket EmptyDir: two daemons on one node would fight over the socket's path")
  (list (gt (len (omit (.Values.metadata | default dict) "preflight")) 1)
    "metadata: give exactly one of etcd, redis and managed")
  (list (hasPrefix "/kvhelm/" (print $etcd.prefix "/"))
    "metadata.etcd.prefix: /kvhelm is kept for prefixes that kvhelm derives, choose another first segment")
  (list (and (eq (include "kvcachepool.etcdMembers" .) "3") (not $managed.storage))
    "metadata.managed: replicas 3 needs storage: a member that comes back without its data is refused by the others for ever")
  (list (and $managed.storage (lt (include "kvcachepool.bytes" (($managed.storage).size | default 0) | int64) 1073741824))
    "metadata.managed.storage.size must be 1Gi or more")
  (list (and $limit (le (include "kvcachepool.bytes" $limit | int64) (include "kvcachepool.bytes" $cache.memory | int64)))
    "cache.resources.limits.memory must be more than cache.memory: leave it out and the chart adds the headroom")
  (list (and $cache.spill (ge (($cache.spill).lowerPercent | default 30 | int) (($cache.spill).upperPercent | default 80 | int)))
    "cache.spill.lowerPercent (30 if left out) must be below upperPercent (80 if left out)")
}}
{{- if first . }}{{ fail (last .) }}{{ end }}
{{- end }}
{{- range $cache.env }}
{{- if has .name (list "MY_HOST_NAME" "MY_NODE_NAME" "USER") }}
{{- fail (printf "cache.env: %s is set by the chart" .name) }}
{{- end }}
{{- end }}
{{- $flags := list
  "allocator" "etcd_cmd" "etcd_endpoint" "etcd_prefix" "logtostderr" "meta" "metrics" "redis_endpoint" "reserve_memory" "rpc"
  "rpc_socket_port" "size" "skip_launch_etcd" "socket" "spill_lower_rate" "spill_path" "spill_upper_rate"
  "sync_crds" "flagfile" "fromenv" "tryfromenv" | join "|" }}
{{- range $cache.extraArgs }}
{{- if regexMatch (printf "^--(no)?(%s)(=|$)" $flags) . }}
{{- fail (printf "cache.extraArgs: %s is set by the chart, use the field of the spec for it" .) }}
{{- end }}
{{- end }}
{{- end }}
