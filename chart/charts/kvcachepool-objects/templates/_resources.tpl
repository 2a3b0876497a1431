{{- /* A Kubernetes quantity in whole bytes (1G is 10^9, 1Gi 2^30); plain numbers reach templates as float64. */}}
{{- define "kvcachepool.bytes" -}}
{{- $quantity := kindIs "string" . | ternary . (int64 . | toString) }}
{{- $unit := regexFind "[a-zA-Z]*$" $quantity }}
{{- $factors := dict "" 1 "m" 0.001
  "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15
  "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 }}
{{- mulf (trimSuffix $unit $quantity) (get $factors $unit) | ceil | int64 }}
{{- end }}

{{- /*
Resources of the daemon. Its shared memory is memfd, which counts against the container's limit, so the
limit is the cache's memory and a tenth more, at least 256Mi, for the daemon itself. As in any pod, requests
are the limits where the user gives none.
*/}}
{{- define "kvcachepool.resources" -}}
{{- $memory := include "kvcachepool.bytes" .memory | int64 }}
{{- $limits := dict "memory" (max 268435456 (div (add $memory 9) 10) | add $memory | toString) }}
{{- $requests := dict "cpu" "100m" }}
{{- range $name, $value := .resources.limits }}{{ $_ := set $limits $name $value }}{{ end }}
{{- range list $limits .resources.requests }}
{{- range $name, $value := . }}{{ $_ := set $requests $name $value }}{{ end }}
{{- end }}
{{- dict "limits" $limits "requests" $requests | toJson }}
{{- end }}
