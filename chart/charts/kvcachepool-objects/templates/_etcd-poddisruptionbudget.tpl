{{- /* Of three members one may go at a time; a single one needs no budget to be let go. */}}
{{- define "kvcachepool.etcd-poddisruptionbudget" -}}
{{- if and (include "kvcachepool.managed" .) (ne (include "kvcachepool.etcdMembers" .) "1") -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
{{ include "kvcachepool.metadata" (list . "etcd") }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "kvcachepool.labels" (list . "etcd") | nindent 6 }}
{{- end }}
{{- end }}
