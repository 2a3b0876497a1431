{{- define "kvcachepool.rpc-service" -}}
apiVersion: v1
kind: Service
{{ include "kvcachepool.metadata" (list . "rpc") }}
    {{- with .Values.service.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- with .Values.service }}
  type: {{ .type }}
  selector:
    {{- include "kvcachepool.labels" (list $ "daemon") | nindent 4 }}
  ports:
    - name: rpc
      port: {{ int .port }}
      targetPort: rpc
      {{- with .nodePort }}
      nodePort: {{ int . }}
      {{- end }}
  {{- end }}
{{- end }}
