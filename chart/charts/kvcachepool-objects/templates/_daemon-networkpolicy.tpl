{{- /* Port 9600 carries what was said to the models: open to the pool and allowFrom (the namespace if left out). */}}
{{- define "kvcachepool.daemon-networkpolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
{{ include "kvcachepool.metadata" (list . "daemon") }}
spec:
  policyTypes: [Ingress]
  podSelector:
    matchLabels:
      {{- include "kvcachepool.labels" (list . "daemon") | nindent 6 }}
  ingress:
    - ports: [{port: 9600}]
      from:
        - podSelector:
            matchLabels:
              {{- include "kvcachepool.labels" (list . "daemon") | nindent 14 }}
        {{- if hasKey .Values.service "allowFrom" }}
        {{- range .Values.service.allowFrom }}
        - {{ toJson . }}
        {{- end }}
        {{- else }}
        - podSelector: {}
        {{- end }}
{{- end }}
