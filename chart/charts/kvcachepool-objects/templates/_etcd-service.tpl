{{- define "kvcachepool.etcd-service" -}}
{{- if include "kvcachepool.managed" . -}}
apiVersion: v1
kind: Service
{{ include "kvcachepool.metadata" (list . "etcd") }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    {{- include "kvcachepool.labels" (list . "etcd") | nindent 4 }}
  ports:
    - {name: client, port: 2379, targetPort: client}
    - {name: peer, port: 2380, targetPort: peer}
{{- end }}
{{- end }}
