{{- define "kvcachepool.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.cache.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .Values.scheduler }}
{{- with .nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- $tolerations := .tolerations }}
{{- if .gpuType }}
{{- $tolerations = append $tolerations (dict "key" "nvidia.com/gpu" "operator" "Exists") }}
{{- end }}
{{- with $tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .schedulerName }}
schedulerName: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "kvcachepool.unprivileged" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "kvcachepool.affinity" -}}
{{- with .Values.scheduler }}
{{- if .gpuType }}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      - matchExpressions: [{key: {{ .gpuTypeLabel }}, operator: In, values: [{{ quote .gpuType }}]}]
{{- end }}
{{- if .affinityWorkload }}
{{- $term := dict "labelSelector" (dict "matchLabels" (dict .affinityWorkloadLabel .affinityWorkload)) "topologyKey" "kubernetes.io/hostname" }}
podAffinity:
  {{- if eq .affinity "Required" }}
  requiredDuringSchedulingIgnoredDuringExecution: {{ list $term | toJson }}
  {{- else }}
  preferredDuringSchedulingIgnoredDuringExecution: {{ list (dict "weight" 100 "podAffinityTerm" $term) | toJson }}
  {{- end }}
{{- end }}
{{- if ne .spreadPolicy "None" }}
podAntiAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          {{- include "kvcachepool.labels" (list $ "daemon") | nindent 10 }}
{{- end }}
{{- end }}
{{- end }}
