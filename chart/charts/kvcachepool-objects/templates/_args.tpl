{{- /*
vineyardd's arguments, always --flag=value. --size in bytes: anything else is misread or means the whole
host. --etcd_cmd: without its etcd the daemon must end, not start a private one. --logtostderr: else the log
fills /tmp as well.
*/}}
{{- define "kvcachepool.args" -}}
{{- $etcd := (.Values.metadata).etcd | default dict -}}
{{- with (.Values.metadata).redis }}
- --meta=redis
- --redis_endpoint={{ .endpoint }}
{{- else }}
- --meta=etcd
- --etcd_endpoint={{ $etcd.endpoints | default (list (include "kvcachepool.etcdEndpoints" .)) | join "," }}
- --etcd_prefix={{ coalesce $etcd.prefix (.Values.pool).prefix (printf "/kvhelm/%s/%s" .Release.Namespace .Release.Name) }}
{{- end }}
- --etcd_cmd=/nonexistent
- --skip_launch_etcd=true
- --socket=/var/run/vineyard.sock
- --rpc_socket_port=9600
- --sync_crds=false
- --reserve_memory=true
- --logtostderr=true
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
