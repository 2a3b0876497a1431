{{- define "kvcachepool.daemon-poddisruptionbudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
{{ include "kvcachepool.metadata" (list . "daemon") }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "kvcachepool.labels" (list . "daemon") | nindent 6 }}
{{- end }}
