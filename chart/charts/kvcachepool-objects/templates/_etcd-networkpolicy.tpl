{{- define "kvcachepool.etcd-networkpolicy" -}}
{{- if include "kvcachepool.managed" . -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
{{ include "kvcachepool.metadata" (list . "etcd") }}
spec:
  policyTypes: [Ingress]
  podSelector:
    matchLabels:
      {{- include "kvcachepool.labels" (list . "etcd") | nindent 6 }}
  ingress:
    - ports: [{port: 2379}]
      from:
        - podSelector:
            matchLabels:
              {{- include "kvcachepool.labels" (list . "daemon") | nindent 14 }}
    - ports: [{port: 2380}]
      from:
        - podSelector:
            matchLabels:
              {{- include "kvcachepool.labels" (list . "etcd") | nindent 14 }}
{{- end }}
{{- end }}
