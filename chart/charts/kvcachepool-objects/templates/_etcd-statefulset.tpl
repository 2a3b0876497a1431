{{- /*
The pool's own etcd: one member, without a disk. Its cluster's token is the pod's uid, so that a new pod is a
new cluster to whoever compares cluster ids.
*/}}
{{- define "kvcachepool.etcd-statefulset" -}}
{{- if include "kvcachepool.managed" . -}}
{{- $service := include "kvcachepool.name" (list . "etcd") }}
{{- $host := printf "$(POD_NAME).%s.%s.svc" $service .Release.Namespace }}
apiVersion: apps/v1
kind: StatefulSet
{{ include "kvcachepool.metadata" (list . "etcd") }}
spec:
  replicas: 1
  serviceName: {{ $service }}
  podManagementPolicy: Parallel
  selector:
    matchLabels:
      {{- include "kvcachepool.labels" (list . "etcd") | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "kvcachepool.labels" (list . "etcd") | nindent 8 }}
    spec:
      {{- include "kvcachepool.pod" . | nindent 6 }}
      containers:
        - name: etcd
          image: {{ include "kvcachepool.etcdImage" . | quote }}
          command: [etcd]
          args:
            - --name=$(POD_NAME)
            - --data-dir=/data/etcd
            - --initial-cluster=$(POD_NAME)=http://{{ $host }}:2380
            - --initial-cluster-token=$(POD_UID)
            - --initial-advertise-peer-urls=http://{{ $host }}:2380
            - --advertise-client-urls=http://{{ $host }}:2379
            - --listen-peer-urls=http://0.0.0.0:2380
            - --listen-client-urls=http://0.0.0.0:2379
            - --listen-metrics-urls=http://0.0.0.0:2381
            - --auto-compaction-mode=periodic
            - --auto-compaction-retention=1h
          env:
            - name: POD_NAME
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            - name: POD_UID
              valueFrom: {fieldRef: {fieldPath: metadata.uid}}
          ports:
            - {name: client, containerPort: 2379}
            - {name: peer, containerPort: 2380}
            - {name: health, containerPort: 2381}
          startupProbe:
            httpGet: {path: /readyz, port: health}
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
      volumes:
        - name: data
          emptyDir: {}
{{- end }}
{{- end }}
