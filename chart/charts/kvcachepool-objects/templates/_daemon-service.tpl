{{- define "kvcachepool.daemon-service" -}}
apiVersion: v1
kind: Service
{{ include "kvcachepool.metadata" (list . "daemon") }}
spec:
  clusterIP: None
  selector:
    {{- include "kvcachepool.labels" (list . "daemon") | nindent 4 }}
  ports:
    - {name: rpc, port: 9600, targetPort: rpc}
{{- end }}
