"""What the API server refuses by the CRD: each bad spec with the field's name and what mends it.

Server-side dry-run with strict field validation, as kubectl asks for it. Nothing is stored.
"""

from typing import Any

import pytest

from kvhelm.api.v1alpha1 import CHART_ENV, CHART_FLAGS
from kvhelm.controller.watches import POOLS
from kvhelm.kube.client import Client
from kvhelm.kube.errors import BadRequest, Invalid
from tests.cluster.operators import Operator

Spec = dict[str, Any]
Bad = tuple[Spec, str, str]

LABELS = {"matchLabels": {"app": "vllm"}}


def cache(**fields: Any) -> Spec:
    return {"cache": {"image": "vineyardd:1", **fields}}


def env(*variables: Spec) -> Spec:
    return cache(env=list(variables))


def args(*arguments: str) -> Spec:
    return cache(extraArgs=list(arguments))


def resources(memory: str | None = None, **fields: Any) -> Spec:
    return cache(resources=fields, **({"memory": memory} if memory else {}))


def service(**fields: Any) -> Spec:
    return cache() | {"service": fields}


def scheduler(**fields: Any) -> Spec:
    return cache() | {"scheduler": fields}


def tolerations(*each: Spec) -> Spec:
    return scheduler(tolerations=list(each))


def metadata(**fields: Any) -> Spec:
    return cache() | {"metadata": fields}


def endpoints(*each: str) -> Spec:
    return metadata(etcd={"endpoints": list(each)})


def prefix(value: str) -> Spec:
    return metadata(etcd={"endpoints": ["http://etcd:2379"], "prefix": value})


# Spec, the field that the message names, and the words that tell what mends it.
BAD: list[Bad] = [
    # What is missing, misspelt or of another type.
    ({}, "spec.cache", "Required value"),
    ({"cache": {}}, "spec.cache.image", "Required value"),
    (cache(imge="v:1"), "spec.cache.imge", "unknown field"),
    (cache() | {"replica": 2}, "spec.replica", "unknown field"),
    (metadata(zookeeper={"endpoint": "zk://z:2181"}), "spec.metadata.zookeeper", "unknown field"),
    (cache() | {"replicas": "three"}, "spec.replicas", "must be of type integer"),
    (cache() | {"suspend": "yes"}, "spec.suspend", "must be of type boolean"),
    (cache(extraArgs="--v=1"), "spec.cache.extraArgs", "must be of type array"),
    # Numbers.
    (cache() | {"replicas": -1}, "spec.replicas", "greater than or equal to 0"),
    (cache() | {"replicas": 1001}, "spec.replicas", "less than or equal to 1000"),
    (cache() | {"revisionHistoryLimit": 0}, "spec.revisionHistoryLimit", "or equal to 1"),
    (cache() | {"revisionHistoryLimit": 51}, "spec.revisionHistoryLimit", "or equal to 50"),
    (service(port=0), "spec.service.port", "greater than or equal to 1"),
    (service(port=65536), "spec.service.port", "less than or equal to 65535"),
    (service(type="NodePort", nodePort=65536), "spec.service.nodePort", "or equal to 65535"),
    # The Service.
    (service(type="ExternalName"), "spec.service.type", '"ClusterIP", "NodePort", "LoadBalancer"'),
    (service(nodePort=30000), "spec.service", "nodePort needs type NodePort or LoadBalancer"),
    (
        service(type="ClusterIP", nodePort=30000),
        "spec.service",
        "nodePort needs type NodePort or LoadBalancer",
    ),
    (service(annotations={"a key": "v"}), "spec.service.annotations", "[DNS-PREFIX/]NAME"),
    (service(annotations={"a..b/c": "v"}), "spec.service.annotations", "[DNS-PREFIX/]NAME"),
    (service(annotations={"k": "v" * 1025}), "spec.service.annotations.k", "Too long"),
    (
        service(annotations={f"k{i}": "v" for i in range(33)}),
        "spec.service.annotations",
        "at most 32",
    ),
    *(
        (service(annotations={f"{domain}/x": "v"}), "spec.service.annotations", "another domain")
        for domain in ("helm.sh", "meta.helm.sh", "kvcache.aibrix.ai")
    ),
    (service(allowFrom=[{}]), "spec.service.allowFrom[0]", "give podSelector, namespaceSelector"),
    (
        service(allowFrom=[{"podSelector": LABELS, "ipBlock": {"cidr": "10.0.0.0/8"}}]),
        "spec.service.allowFrom[0]",
        "ipBlock stands alone",
    ),
    *(
        (
            service(allowFrom=[{"podSelector": LABELS}, {"ipBlock": {"cidr": cidr}}]),
            "spec.service.allowFrom[1].ipBlock.cidr",
            "such as 10.0.0.0/8",
        )
        for cidr in ("10.0.0.0", "10.0.0.0/33", "300.0.0.0/8", "10.0.0.1/8", "fd00::1/64")
    ),
    (service(allowFrom=[{"podSelector": LABELS}] * 33), "spec.service.allowFrom", "at most 32"),
    # The image.
    *(
        (cache(image=image), "spec.cache.image", "such as registry.example.com/team/vineyardd")
        for image in (
            "vineyardd 1",
            "Vineyardd:1",
            "https://registry/vineyardd:1",
            "vineyardd:",
            "vineyardd@sha256:abc",
        )
    ),
    (cache(image=""), "spec.cache.image", "at least 1 chars long"),
    (cache(image="v" * 513), "spec.cache.image", "Too long"),
    (cache(imagePullPolicy="Sometimes"), "spec.cache.imagePullPolicy", '"Always"'),
    (
        cache(imagePullSecrets=[{"name": "My Secret"}]),
        "spec.cache.imagePullSecrets[0].name",
        "must be an object's name",
    ),
    (cache(imagePullSecrets=[{}]), "spec.cache.imagePullSecrets[0].name", "Required value"),
    (
        cache(imagePullSecrets=[{"name": "a"}, {"name": "a"}]),
        "spec.cache.imagePullSecrets[1]",
        "Duplicate value",
    ),
    # Amounts.
    *(
        (cache(memory=memory), "spec.cache.memory", "from 1Mi to 64Ti such as 4Gi")
        for memory in ("4", 4, "lots", "-4Gi", "4 GB", "4gi", "", "0", "0Gi", "65Ti", -4096)
    ),
    (cache(memory=1.5), "spec.cache.memory", "integer"),
    (cache(memory="1" * 25), "spec.cache.memory", "Too long"),
    (cache(spill={}), "spec.cache.spill.sizeLimit", "Required value"),
    (cache(spill={"sizeLimit": 10}), "spec.cache.spill.sizeLimit", "a unit is bytes"),
    (
        cache(spill={"sizeLimit": "1Gi", "lowerPercent": 0}),
        "spec.cache.spill.lowerPercent",
        "greater than or equal to 1",
    ),
    (
        cache(spill={"sizeLimit": "1Gi", "lowerPercent": 80}),
        "spec.cache.spill",
        "lowerPercent (30 if left out) must be below upperPercent (80 if left out)",
    ),
    (
        cache(spill={"sizeLimit": "1Gi", "upperPercent": 20}),
        "spec.cache.spill",
        "lowerPercent (30 if left out) must be below upperPercent (80 if left out)",
    ),
    *(
        (resources(requests={"cpu": amount}), "spec.cache.resources.requests[cpu]", "such as 500m")
        for amount in ("half", "-1", "1,5", "1e3", "")
    ),
    *(
        (resources(limits={name: 1}), "spec.cache.resources.limits", "cpu, memory, ephemeral-")
        for name in ("gpu", "CPU", "hugepages", "nvidia.com/", "storage")
    ),
    (
        resources(limits={f"example.com/{i}": 1 for i in range(9)}),
        "spec.cache.resources.limits",
        "at most 8",
    ),
    (
        resources(requests={"cpu": 2}, limits={"cpu": "1500m"}),
        "spec.cache.resources",
        "must not be more than the limit of the same resource",
    ),
    (
        resources(requests={"nvidia.com/gpu": 1}),
        "spec.cache.resources",
        "leave them out of requests",
    ),
    (
        resources(requests={"nvidia.com/gpu": 1}, limits={"nvidia.com/gpu": 2}),
        "spec.cache.resources",
        "or give the same amount",
    ),
    (resources(limits={"nvidia.com/gpu": "500m"}), "spec.cache.resources", "a whole number"),
    *(
        (
            resources(memory, limits={"memory": limit}),
            "spec.cache",
            "resources.limits.memory must be more than memory",
        )
        for memory, limit in (("4Gi", "4Gi"), ("4Gi", "4G"), (None, "1Gi"), ("4Gi", 1024))
    ),
    (
        resources("20Gi", requests={"memory": "23Gi"}),
        "spec.cache",
        "give resources.limits.memory too",
    ),
    # The daemon's environment.
    (env({"name": "A"}), "spec.cache.env[0]", "give exactly one of value and valueFrom"),
    (
        env({"name": "A", "value": "b", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
        "spec.cache.env[0]",
        "give exactly one of value and valueFrom",
    ),
    (
        env({"name": "A", "valueFrom": {}}),
        "spec.cache.env[0].valueFrom",
        "give exactly one of secretKeyRef and configMapKeyRef",
    ),
    (
        env({"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a/b"}}}),
        "spec.cache.env[0].valueFrom.secretKeyRef.key",
        "must be a key of the object's data",
    ),
    (env({"name": "A-B", "value": "c"}), "spec.cache.env[0].name", "letters, digits and '_' only"),
    (env({"name": "1A", "value": "c"}), "spec.cache.env[0].name", "not start with a digit"),
    (
        env({"name": "A", "value": "1"}, {"name": "A", "value": "2"}),
        "spec.cache.env[1]",
        "Duplicate value",
    ),
    (env({"name": "A", "value": 1}), "spec.cache.env[0].value", "must be of type string"),
    *(
        (env({"name": name, "value": "x"}), "spec.cache.env[0]", "set by the chart: leave them out")
        for name in CHART_ENV
    ),
    (
        env(*({"name": f"A{i}", "value": ""} for i in range(65))),
        "spec.cache.env",
        "at most 64",
    ),
    # The daemon's arguments: each flag of the chart in every way that gflags reads.
    *(
        (args("--stream_threshold=60", argument), "spec.cache.extraArgs[1]", "use the field of")
        for flag in CHART_FLAGS
        for argument in (f"--{flag}=x", f"--no{flag}=x")
    ),
    *(
        (args(argument), "spec.cache.extraArgs[0]", "must be written --flag=value")
        for argument in (
            "--socket",
            "-socket=/tmp/x",
            "--nometrics",
            "--etcd-endpoint=http://etcd:2379",
            "--v 1",
            "socket=/tmp/x",
            "--a=b\n--socket=/tmp/x",
            "--Socket=x",
            " --socket=x",
        )
    ),
    (args("--v=" + "1" * 256), "spec.cache.extraArgs[0]", "Too long"),
    (args(*["--v=1"] * 33), "spec.cache.extraArgs", "at most 32"),
    (cache(socket="Volume"), "spec.cache.socket", '"HostPath", "EmptyDir"'),
    # The nodes.
    (scheduler(gpuType="NVIDIA A10"), "spec.scheduler.gpuType", "must be a label's value"),
    (scheduler(gpuType="A" * 64), "spec.scheduler.gpuType", "Too long"),
    (scheduler(gpuType=""), "spec.scheduler.gpuType", "at least 1 chars long"),
    (scheduler(gpuTypeLabel="example.com/gpu"), "spec.scheduler", "gpuTypeLabel needs gpuType"),
    (
        scheduler(gpuType="A10", gpuTypeLabel="Example.com/gpu"),
        "spec.scheduler.gpuTypeLabel",
        "must be a label's key, such as example.com/gpu",
    ),
    (
        scheduler(affinityWorkload="w" * 64),
        "spec.scheduler.affinityWorkload",
        "Too long",
    ),
    (
        scheduler(affinityWorkload="-w"),
        "spec.scheduler.affinityWorkload",
        "a letter or digit at both ends",
    ),
    (scheduler(affinity="Required"), "spec.scheduler", "need affinityWorkload"),
    (scheduler(affinityWorkloadLabel="app"), "spec.scheduler", "need affinityWorkload"),
    (
        scheduler(affinityWorkload="w", affinity="Hard"),
        "spec.scheduler.affinity",
        '"Preferred", "Required"',
    ),
    (scheduler(nodeSelector={"a b": "c"}), "spec.scheduler.nodeSelector", "[DNS-PREFIX/]NAME"),
    (
        scheduler(nodeSelector={"zone": "z" * 64}),
        "spec.scheduler.nodeSelector.zone",
        "Too long",
    ),
    (
        scheduler(nodeSelector={f"k{i}": "v" for i in range(17)}),
        "spec.scheduler.nodeSelector",
        "at most 16",
    ),
    (tolerations({}), "spec.scheduler.tolerations[0]", "give key, or operator Exists"),
    (
        tolerations({"value": "x", "operator": "Equal"}),
        "spec.scheduler.tolerations[0]",
        "give key, or operator Exists",
    ),
    (
        tolerations({"key": "k", "operator": "Exists", "value": "x"}),
        "spec.scheduler.tolerations[0]",
        "operator Exists takes no value",
    ),
    (
        tolerations({"key": "k", "operator": "Exists", "tolerationSeconds": 5}),
        "spec.scheduler.tolerations[0]",
        "tolerationSeconds needs effect NoExecute",
    ),
    (
        tolerations({"key": "k", "operator": "In"}),
        "spec.scheduler.tolerations[0].operator",
        '"Exists", "Equal"',
    ),
    (
        tolerations({"key": "k", "effect": "Evict"}),
        "spec.scheduler.tolerations[0].effect",
        '"NoSchedule"',
    ),
    (
        tolerations({"key": "k", "value": "a b"}),
        "spec.scheduler.tolerations[0].value",
        "must be a label's value",
    ),
    (tolerations(*[{"operator": "Exists"}] * 17), "spec.scheduler.tolerations", "at most 16"),
    (scheduler(spreadPolicy="Rack"), "spec.scheduler.spreadPolicy", '"Node", "Zone", "None"'),
    (scheduler(spreadPolicy="None"), "spec", "needs cache.socket EmptyDir"),
    (
        cache(socket="HostPath") | {"scheduler": {"spreadPolicy": "None"}},
        "spec",
        "scheduler.spreadPolicy None needs cache.socket EmptyDir",
    ),
    (
        scheduler(priorityClassName="High_Priority"),
        "spec.scheduler.priorityClassName",
        "must be an object's name",
    ),
    # The metadata service.
    (metadata(), "spec.metadata", "give exactly one of etcd, redis and managed"),
    (
        metadata(etcd={"endpoints": ["http://etcd:2379"]}, managed={}),
        "spec.metadata",
        "give exactly one of etcd, redis and managed",
    ),
    (
        metadata(redis={"endpoint": "redis://r:6379"}, managed={}),
        "spec.metadata",
        "give exactly one of etcd, redis and managed",
    ),
    (metadata(redis={}), "spec.metadata.redis.endpoint", "Required value"),
    (
        metadata(redis={"endpoint": "rediss://r:6379"}),
        "spec.metadata.redis.endpoint",
        "speaks no TLS: use a redis:// URL",
    ),
    (
        metadata(redis={"endpoint": "redis://:pw@r:6379"}),
        "spec.metadata.redis.endpoint",
        "use a redis without authentication",
    ),
    (
        metadata(redis={"endpoint": "redis://r:6379/1"}),
        "spec.metadata.redis.endpoint",
        "without a database number or path",
    ),
    (
        metadata(managed={}, preflight="Never"),
        "spec.metadata.preflight",
        'supported values: "Enforce", "Warn"',
    ),
    (
        cache() | {"deletion": {"metadata": "Retain"}},
        "spec",
        "Retain needs a metadata service of your own",
    ),
    (
        metadata(managed={}) | {"deletion": {"metadata": "Retain"}},
        "spec",
        "Retain needs a metadata service of your own",
    ),
    (
        cache() | {"deletion": {"metadata": "Keep"}},
        "spec.deletion.metadata",
        'supported values: "Purge"',
    ),
    (metadata(etcd={}), "spec.metadata.etcd.endpoints", "Required value"),
    (endpoints(), "spec.metadata.etcd.endpoints", "at least 1 items"),
    (
        endpoints(*(f"http://etcd-{i}:2379" for i in range(10))),
        "spec.metadata.etcd.endpoints",
        "at most 9",
    ),
    (
        endpoints("http://etcd:2379", "http://etcd:2379"),
        "spec.metadata.etcd.endpoints[1]",
        "Duplicate value",
    ),
    (
        endpoints("http://a:2379", "https://b:2379"),
        "spec.metadata.etcd.endpoints[1]",
        "vineyardd speaks no TLS: use an http:// client URL",
    ),
    (
        endpoints("http://user:pw@etcd:2379"),
        "spec.metadata.etcd.endpoints[0]",
        "sends no user and password: use an etcd without authentication",
    ),
    *(
        (
            endpoints(endpoint),
            "spec.metadata.etcd.endpoints[0]",
            "must be http://HOST:PORT, without a path",
        )
        for endpoint in (
            "http://etcd:2379/v3",
            "http://etcd:2379/",
            "http://etcd",
            "etcd:2379",
            "http://:2379",
            "http://etcd:0",
            "http://etcd:65536",
            "http://a:2379,http://b:2379",
            "http://a b:2379",
        )
    ),
    *(
        (prefix(value), "spec.metadata.etcd.prefix", "two segments or more, such as /team/pool")
        for value in ("/team", "team/pool", "/team/../kvhelm", "/team//pool", "/team/pool/", "/a b")
    ),
    *(
        (prefix(value), "spec.metadata.etcd.prefix", "choose another first segment")
        for value in ("/kvhelm/theirs", "/kvhelm/ns/pool/0f1d2c3b")
    ),
    (prefix("/team/" + "p" * 200), "spec.metadata.etcd.prefix", "Too long"),
    (
        metadata(managed={"replicas": 3}),
        "spec.metadata.managed",
        "replicas 3 needs storage",
    ),
    (metadata(managed={"replicas": 2}), "spec.metadata.managed.replicas", '"1", "3"'),
    (metadata(managed={"storage": {}}), "spec.metadata.managed.storage.size", "Required value"),
    *(
        (
            metadata(managed={"storage": {"size": size}}),
            "spec.metadata.managed.storage.size",
            "from 1Gi to 64Ti",
        )
        for size in ("1023Mi", 1, "lots", "65Ti")
    ),
    (
        metadata(managed={"storage": {"size": "1Gi", "storageClassName": "Fast Disk"}}),
        "spec.metadata.managed.storage.storageClassName",
        "must be an object's name",
    ),
    (
        metadata(managed={"image": "etcd latest"}),
        "spec.metadata.managed.image",
        "must be an image",
    ),
]


@pytest.mark.parametrize(("spec", "field", "remedy"), BAD, ids=lambda part: str(part)[:60])
async def test_a_bad_spec_is_refused(
    client: Client, operator: Operator, spec: Spec, field: str, remedy: str
) -> None:
    pool = {
        "apiVersion": POOLS.api_version,
        "kind": POOLS.kind,
        "metadata": {"name": "bad"},
        "spec": spec,
    }
    with pytest.raises((Invalid, BadRequest)) as refused:
        await client.create(POOLS, pool, "default", dryRun="All", fieldValidation="Strict")
    message = str(refused.value)
    assert f"{field}:" in message or f'"{field}"' in message, message
    assert remedy in message, message


DISK = {"size": "1Gi"}
THREE = {"managed": {"replicas": 3, "storage": DISK}}
ONE = {"managed": {"storage": DISK}}
MINE = {"etcd": {"endpoints": ["http://etcd:2379"]}}

# The metadata before and after, and the field that never changes; none if the change is allowed.
CHANGES: list[tuple[Spec | None, Spec | None, str]] = [
    (ONE, THREE, "managed.replicas"),
    (THREE, ONE, "managed.replicas"),
    (THREE, {"managed": {}}, "managed.replicas"),
    (THREE, {"managed": {"storage": DISK}, "preflight": "Warn"}, "managed.replicas"),
    (THREE, None, "managed.replicas"),
    (None, THREE, "managed.replicas"),
    (ONE, {"managed": {}}, "managed.storage"),
    (ONE, None, "managed.storage"),
    (None, ONE, "managed.storage"),
    ({"managed": {}}, ONE, "managed.storage"),
    (ONE, {"managed": {"storage": {"size": "2Gi"}}}, "managed.storage"),
    (ONE, {"managed": {"storage": {**DISK, "storageClassName": "a"}}}, "managed.storage"),
    # The same thing in other words, and another service.
    (None, {"managed": {}}, ""),
    ({"managed": {}}, None, ""),
    (None, {"managed": {"replicas": 1}}, ""),
    (THREE, {"managed": {**THREE["managed"], "image": "etcd:2"}}, ""),
    (THREE, MINE, ""),
    (MINE, THREE, ""),
    (MINE, None, ""),
]


@pytest.mark.parametrize(("before", "after", "field"), CHANGES, ids=lambda part: str(part)[:60])
async def test_members_and_volumes_of_an_etcd_never_change(
    client: Client,
    operator: Operator,
    namespace: str,
    before: Spec | None,
    after: Spec | None,
    field: str,
) -> None:
    # Suspended: nobody acts on it.
    spec = cache() | {"suspend": True} | ({"metadata": before} if before else {})
    pool: Spec = {
        "apiVersion": POOLS.api_version,
        "kind": POOLS.kind,
        "metadata": {"name": "p"},
        "spec": spec,
    }
    await client.create(POOLS, pool, namespace, fieldValidation="Strict")
    spec.pop("metadata", None)
    change = [
        {"op": "replace", "path": "/spec", "value": spec | ({"metadata": after} if after else {})}
    ]
    if not field:
        await client.patch(POOLS, "p", change, namespace)
        return
    with pytest.raises(Invalid, match=rf"metadata\.{field} can't change, nor be left out"):
        await client.patch(POOLS, "p", change, namespace)
