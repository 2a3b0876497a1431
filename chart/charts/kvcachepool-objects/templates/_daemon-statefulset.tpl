{{- /*
The daemons. The pod template holds only what they run: whatever else changed in it would empty the caches.
With pool.uid the operator writes replicas. In order, since two daemons that join an empty prefix at the
same moment fail.
*/}}
{{- define "kvcachepool.daemon-statefulset" -}}
apiVersion: apps/v1
kind: StatefulSet
{{ include "kvcachepool.metadata" (list . "daemon") }}
spec:
  {{- if (.Values.pool).parked }}
  replicas: 0
  {{- else if not (.Values.pool).uid }}
  replicas: {{ int .Values.replicas }}
  {{- end }}
  serviceName: {{ include "kvcachepool.name" (list . "daemon") }}
  podManagementPolicy: OrderedReady
  updateStrategy: {type: RollingUpdate}
  selector:
    matchLabels:
      {{- include "kvcachepool.labels" (list . "daemon") | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "kvcachepool.labels" (list . "daemon") | nindent 8 }}
    spec:
      {{- include "kvcachepool.pod" . | nindent 6 }}
      serviceAccountName: {{ include "kvcachepool.name" (list . "daemon") }}
      terminationGracePeriodSeconds: 30
      {{- with include "kvcachepool.placement" . | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- if include "kvcachepool.managed" . }}
      initContainers:
        {{- /*
        vineyardd ends when its etcd is not there within 5 s: waiting here is no crash loop. A read that
        a majority answers; "endpoint health" would wait for every member.
        */}}
        - name: wait-for-etcd
          image: {{ include "kvcachepool.etcdImage" . | quote }}
          command:
            - etcdctl
            - --endpoints={{ include "kvcachepool.etcdEndpoints" . }}
            - --dial-timeout=10m
            - --command-timeout=10m
            - get
            - health
          terminationMessagePolicy: FallbackToLogsOnError
          resources:
            requests: {cpu: 10m, memory: 64Mi}
            limits: {memory: 64Mi}
          securityContext:
            {{- include "kvcachepool.unprivileged" . | nindent 12 }}
      {{- end }}
      {{- with .Values.cache }}
      containers:
        - name: vineyardd
          image: {{ quote .image }}
          imagePullPolicy: {{ .imagePullPolicy }}
          command: [vineyardd]
          args:
            {{- include "kvcachepool.args" $ | nindent 12 }}
          env:
            - name: MY_HOST_NAME
              valueFrom: {fieldRef: {fieldPath: status.podIP}}
            - name: MY_NODE_NAME
              valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
            - name: USER
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            {{- range .env }}
            - {{ toJson . }}
            {{- end }}
          ports:
            - {name: rpc, containerPort: 9600}
          startupProbe:
            tcpSocket: {port: rpc}
            periodSeconds: 2
            failureThreshold: 300
          readinessProbe:
            tcpSocket: {port: rpc}
            periodSeconds: 5
          livenessProbe:
            tcpSocket: {port: rpc}
            periodSeconds: 20
            timeoutSeconds: 5
            failureThreshold: 6
          terminationMessagePolicy: FallbackToLogsOnError
          resources: {{ include "kvcachepool.resources" . }}
          securityContext:
            {{- include "kvcachepool.unprivileged" $ | nindent 12 }}
            {{- if eq .socket "HostPath" }}
            {{- /* The kubelet makes the node's folder root's, so only root can put the socket there. */}}
            runAsUser: 0
            runAsNonRoot: false
            {{- end }}
          volumeMounts:
            - {name: socket, mountPath: /var/run}
            - {name: tmp, mountPath: /tmp}
            {{- if .spill }}
            - {name: spill, mountPath: /spill}
            {{- end }}
      volumes:
        - name: socket
          {{- if eq .socket "HostPath" }}
          hostPath:
            path: {{ include "kvcachepool.hostPath" $ }}
            type: DirectoryOrCreate
          {{- else }}
          emptyDir: {}
          {{- end }}
        - name: tmp
          emptyDir: {}
        {{- with .spill }}
        - name: spill
          emptyDir: {sizeLimit: {{ toJson .sizeLimit }}}
        {{- end }}
      {{- end }}
{{- end }}
