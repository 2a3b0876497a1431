{{- /* What helm says after an install. */}}
{{- define "kvcachepool.notes" -}}
The pool answers at {{ include "kvcachepool.endpoint" . }}.
Engines in {{ .Release.Namespace }} take all they need from a ConfigMap:
  envFrom: [{configMapRef: {name: {{ include "kvcachepool.name" (list . "connection") }}}}]
{{- if eq .Values.cache.socket "HostPath" }}
Engines on a daemon's node share its memory if they mount the host's folder at /var/run:
  hostPath: {path: {{ include "kvcachepool.hostPath" . }}}
{{- end }}
{{- if and (include "kvcachepool.managed" .) (not (((.Values.metadata).managed).storage)) }}
The pool's own etcd has no disk: when its pod is lost, so is what the daemons know. Then:
  kubectl -n {{ .Release.Namespace }} rollout restart statefulset {{ include "kvcachepool.name" (list . "daemon") }}
{{- end }}
{{- end }}
