{{- define "kvcachepool.connection-configmap" -}}
apiVersion: v1
kind: ConfigMap
{{ include "kvcachepool.metadata" (list . "connection") }}
data:
  VINEYARD_RPC_ENDPOINT: {{ include "kvcachepool.endpoint" . }}
  VINEYARD_RPC_PORT: {{ int .Values.service.port | quote }}
  AIBRIX_LLM_KV_CACHE_RPC_ENDPOINT: {{ include "kvcachepool.endpoint" . }}
  {{- if eq .Values.cache.socket "HostPath" }}
  VINEYARD_IPC_SOCKET: /var/run/vineyard.sock
  AIBRIX_LLM_KV_CACHE_SOCKET: /var/run/vineyard.sock
  VINEYARD_HOST_PATH: {{ include "kvcachepool.hostPath" . }}
  {{- end }}
{{- end }}
