{{- /* One Service for the members' names among themselves, and one a member for daemons. */}}
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
    - {name: peer, port: 2380, targetPort: peer}
{{- range until (include "kvcachepool.etcdMembers" . | int) }}
{{- $member := printf "etcd-%d" . }}
---
apiVersion: v1
kind: Service
{{ include "kvcachepool.metadata" (list $ $member) }}
spec:
  publishNotReadyAddresses: true
  selector:
    {{- include "kvcachepool.labels" (list $ "etcd") | nindent 4 }}
    statefulset.kubernetes.io/pod-name: {{ include "kvcachepool.name" (list $ $member) }}
  ports:
    - {name: client, port: 2379, targetPort: client}
{{- end }}
{{- end }}
{{- end }}
