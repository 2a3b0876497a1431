{{- /* On which nodes the daemons run, besides nodeSelector and tolerations. */}}
{{- define "kvcachepool.placement" -}}
{{- with include "kvcachepool.affinity" . | trim }}
affinity:
  {{- . | nindent 2 }}
{{- end }}
{{- if eq .Values.scheduler.spreadPolicy "Zone" }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "kvcachepool.labels" (list . "daemon") | nindent 8 }}
{{- end }}
{{- end }}

{{- define "kvcachepool.affinity" -}}
{{- with .Values.scheduler }}
{{- if .gpuType }}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      - matchExpressions:
          - {key: {{ quote .gpuTypeLabel }}, operator: In, values: [{{ quote .gpuType }}]}
{{- end }}
{{- if .affinityWorkload }}
{{- $selector := dict "matchLabels" (dict .affinityWorkloadLabel .affinityWorkload) }}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" $selector }}
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
