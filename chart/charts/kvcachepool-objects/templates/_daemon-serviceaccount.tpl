{{- define "kvcachepool.daemon-serviceaccount" -}}
apiVersion: v1
kind: ServiceAccount
{{ include "kvcachepool.metadata" (list . "daemon") }}
automountServiceAccountToken: false
{{- end }}
