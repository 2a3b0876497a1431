{{- /*
The pool's own etcd: one member, or three that form one cluster, which needs all of them to start side by
side and to be found before they are ready.

Replicas are part of the selector, since that never changes: one member grown to three would be two etcds.
The token keeps one etcd apart from another. Of a single member it is the pod's uid, so that without a disk a
new pod is a new cluster to whoever compares cluster ids. It counts only when the data is made.
*/}}
{{- define "kvcachepool.etcd-statefulset" -}}
{{- if include "kvcachepool.managed" . -}}
{{- $service := include "kvcachepool.name" (list . "etcd") }}
{{- $members := include "kvcachepool.etcdMembers" . | int }}
{{- $several := gt $members 1 }}
{{- $self := list . "$(POD_NAME)" }}
{{- $storage := ((.Values.metadata).managed).storage }}
{{- $labels := include "kvcachepool.labels" (list . "etcd") }}
{{- if $several }}{{ $labels = printf "%s\nkvcache.aibrix.ai/etcd-members: %q" $labels (toString $members) }}{{ end }}
apiVersion: apps/v1
kind: StatefulSet
{{ include "kvcachepool.metadata" (list . "etcd") }}
spec:
  replicas: {{ $members }}
  serviceName: {{ $service }}
  podManagementPolicy: Parallel
  selector:
    matchLabels:
      {{- $labels | nindent 6 }}
  {{- with $storage }}
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Retain}
  volumeClaimTemplates:
    - metadata:
        name: data
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .storageClassName }}
        storageClassName: {{ quote . }}
        {{- end }}
        resources:
          requests:
            storage: {{ toJson .size }}
  {{- end }}
  template:
    metadata:
      labels:
        {{- $labels | nindent 8 }}
    spec:
      {{- include "kvcachepool.pod" . | nindent 6 }}
      {{- if $several }}
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
            - weight: 100
              podAffinityTerm:
                topologyKey: kubernetes.io/hostname
                labelSelector:
                  matchLabels:
                    {{- $labels | nindent 20 }}
      {{- end }}
      containers:
        - name: etcd
          image: {{ include "kvcachepool.etcdImage" . | quote }}
          command: [etcd]
          args:
            - --name=$(POD_NAME)
            - --data-dir=/data/etcd
            - --initial-cluster={{ include "kvcachepool.etcdCluster" . }}
            - --initial-cluster-token={{ $several | ternary (printf "%s/%s" .Release.Namespace .Release.Name) "$(POD_UID)" }}
            - --initial-advertise-peer-urls=http://{{ include "kvcachepool.etcdPeer" $self }}:2380
            - --advertise-client-urls={{ include "kvcachepool.etcdClient" $self }}
            - --listen-peer-urls=http://0.0.0.0:2380
            - --listen-client-urls=http://0.0.0.0:2379
            - --listen-metrics-urls=http://0.0.0.0:2381
            - --auto-compaction-mode=periodic
            - --auto-compaction-retention=1h
            {{- with $storage }}
            {{- /* Half of the disk at most: the log and snapshots need room as well. */}}
            - --quota-backend-bytes={{ min 2147483648 (div (include "kvcachepool.bytes" .size | int64) 2) }}
            {{- end }}
          env:
            - name: POD_NAME
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            - name: POD_UID
              valueFrom: {fieldRef: {fieldPath: metadata.uid}}
          ports:
            - {name: client, containerPort: 2379}
            - {name: peer, containerPort: 2380}
            - {name: health, containerPort: 2381}
          {{- /* A member is ready when a majority answers; it runs before that. */}}
          startupProbe:
            httpGet: {path: /livez, port: health}
            periodSeconds: 1
            failureThreshold: 120
          readinessProbe:
            httpGet: {path: /readyz, port: health}
            periodSeconds: 5
            timeoutSeconds: 5
          livenessProbe:
            httpGet: {path: /livez, port: health}
            periodSeconds: 20
            timeoutSeconds: 5
            failureThreshold: 6
          terminationMessagePolicy: FallbackToLogsOnError
          resources:
            requests: {cpu: 50m, memory: 128Mi}
            limits: {memory: 1Gi}
          securityContext:
            {{- include "kvcachepool.unprivileged" . | nindent 12 }}
          volumeMounts:
            - {name: data, mountPath: /data}
      {{- if not $storage }}
      volumes:
        - name: data
          emptyDir: {}
      {{- end }}
{{- end }}
{{- end }}
