{{- /* What the pods of daemons and etcd have in common. The GPU's taint is borne by both: a cluster may have no other nodes. */}}
{{- define "kvcachepool.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.cache.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .Values.scheduler }}
{{- with .nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with concat .tolerations (.gpuType | empty | ternary list (list (dict "key" "nvidia.com/gpu" "operator" "Exists"))) }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ quote . }}
{{- end }}
{{- with .schedulerName }}
schedulerName: {{ quote . }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The securityContext of every container, as far as all have the same. */}}
{{- define "kvcachepool.unprivileged" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
