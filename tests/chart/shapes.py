"""Values that together use everything that the chart has."""

from tests.chart.rendering import Values, sample_spec

EVERYTHING: Values = {
    "service": {
        "type": "LoadBalancer",
        "nodePort": 30960,
        "annotations": {"example.com/internal": "true"},
        "allowFrom": [
            {"podSelector": {"matchLabels": {"app": "vllm"}}},
            {"ipBlock": {"cidr": "10.0.0.0/8"}},
        ],
    },
    "cache": {
        "imagePullSecrets": [{"name": "login"}],
        "memory": 70_000_000_000,
        "resources": {"limits": {"cpu": 2, "memory": 80_000_000_000}},
        "env": [
            {"name": "A", "value": "b"},
            {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        ],
        "spill": {"sizeLimit": "100Gi"},
        "metrics": True,
        "extraArgs": ["--stream_threshold=60"],
    },
    "scheduler": {
        "gpuType": "NVIDIA-A10",
        "affinityWorkload": "coder",
        "affinity": "Required",
        "nodeSelector": {"a": "b"},
        "tolerations": [
            {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10**9}
        ],
        "spreadPolicy": "Zone",
        "priorityClassName": "high",
        "schedulerName": "volcano",
    },
}


SHAPES: dict[str, Values] = {
    "sample": sample_spec(),
    "everything": EVERYTHING,
    "least": {"cache": {"socket": "EmptyDir"}, "scheduler": {"spreadPolicy": "None"}},
    "three members": {
        "metadata": {"managed": {"replicas": 3, "storage": {"size": "4Gi"}}},
    },
    "on disk": {"metadata": {"managed": {"storage": {"size": 2**31, "storageClassName": "fast"}}}},
    "my etcd": {"metadata": {"etcd": {"endpoints": ["http://etcd:2379"]}}},
    "my redis": {"metadata": {"redis": {"endpoint": "redis://redis:6379"}}},
}
