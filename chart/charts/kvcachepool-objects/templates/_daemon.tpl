{{- define "kvcachepool.bytes" -}}
{{- $quantity := kindIs "string" . | ternary . (int64 . | toString) }}
{{- $unit := regexFind "[a-zA-Z]*$" $quantity }}
{{- $factor := get (dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624) $unit }}
{{- mulf (trimSuffix $unit $quantity) $factor | ceil | int64 }}
{{- end }}

{{- define "kvcachepool.resources" -}}
{{- $memory := include "kvcachepool.bytes" .memory | int64 }}
{{- $headroom := max 268435456 (div (add $memory 9) 10) }}
{{- $limits := dict "memory" (add $memory $headroom | toString) }}
{{- range $name, $value := .resources.limits }}{{ $_ := set $limits $name $value }}{{ end }}
{{- $requests := dict "cpu" "100m" }}
{{- range list $limits .resources.requests }}
{{- range $name, $value := . }}{{ $_ := set $requests $name $value }}{{ end }}
{{- end }}
{{- dict "limits" $limits "requests" $requests | toJson }}
{{- end }}

{{- define "kvcachepool.args" -}}
{{- $etcd := (.Values.metadata).etcd | default dict }}
- --meta=etcd
- --etcd_endpoint={{ $etcd.endpoints | default (list (include "kvcachepool.etcdEndpoint" .)) | join "," }}
- --etcd_prefix={{ coalesce $etcd.prefix (.Values.pool).prefix (printf "/kvhelm/%s/%s" .Release.Namespace .Release.Name) }}
- --etcd_cmd=/nonexistent
- --skip_launch_etcd=true
- --socket=/var/run/vineyard.sock
- --rpc_socket_port=9600
- --sync_crds=false
- --reserve_memory=true
{{- with .Values.cache }}
- --size={{ include "kvcachepool.bytes" .memory }}
{{- if .metrics }}
- --metrics=true
{{- end }}
{{- with .spill }}
- --spill_path=/spill
- --spill_lower_rate={{ divf (.lowerPercent | default 30) 100 | printf "%.2f" }}
- --spill_upper_rate={{ divf (.upperPercent | default 80) 100 | printf "%.2f" }}
{{- end }}
{{- range .extraArgs }}
- {{ toJson . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "kvcachepool.validate" -}}
{{- $cache := .Values.cache }}
{{- $etcd := (.Values.metadata).etcd | default dict }}
{{- $limit := $cache.resources.limits.memory }}
{{- range list
  (list (and .Values.service.nodePort (eq .Values.service.type "ClusterIP"))
    "service.nodePort needs service.type NodePort or LoadBalancer")
  (list (and (eq .Values.scheduler.spreadPolicy "None") (eq $cache.socket "HostPath"))
    "scheduler.spreadPolicy None needs cache.socket EmptyDir: two daemons on one node would fight over the socket's path")
  (list (and $etcd (hasKey .Values.metadata "managed"))
    "metadata: give exactly one of etcd and managed")
  (list (hasPrefix "/kvhelm/" (print $etcd.prefix "/"))
    "metadata.etcd.prefix: /kvhelm is kept for prefixes that kvhelm derives, choose another first segment")
  (list (and $limit (le (include "kvcachepool.bytes" $limit | int64) (include "kvcachepool.bytes" $cache.memory | int64)))
    "cache.resources.limits.memory must be more than cache.memory: leave it out and the chart adds the headroom")
  (list (and $cache.spill (ge ($cache.spill.lowerPercent | default 30 | int) ($cache.spill.upperPercent | default 80 | int)))
    "cache.spill.lowerPercent (30 if left out) must be below upperPercent (80)")
}}
{{- if first . }}{{ fail (last .) }}{{ end }}
{{- end }}
{{- range $cache.env }}
{{- if has .name (list "MY_HOST_NAME" "MY_NODE_NAME" "USER") }}
{{- fail (printf "cache.env: %s is set by the chart" .name) }}
{{- end }}
{{- end }}
{{- range $cache.extraArgs }}
{{- if regexMatch "^--(no)?(allocator|etcd_cmd|etcd_endpoint|etcd_prefix|meta|metrics|reserve_memory|rpc|rpc_socket_port|size|skip_launch_etcd|socket|spill_lower_rate|spill_path|spill_upper_rate|sync_crds|flagfile|fromenv|tryfromenv)(=|$)" . }}
{{- fail (printf "cache.extraArgs: %s: this flag is set by the chart, use the field of the spec for it" .) }}
{{- end }}
{{- end }}
{{- end }}
