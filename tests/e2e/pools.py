"""Stories of pools on real nodes: what engines do with them, and what befalls machines."""

import json
import subprocess
from collections.abc import Iterable
from typing import Any

from kvhelm.kube.resource import PODS, Object
from kvhelm.local.realnode.client import engine_for
from kvhelm.local.realnode.images import ETCD_IMAGE, VINEYARDD_IMAGES
from kvhelm.local.realnode.power import inside, switch_off, switch_on
from kvhelm.values import release_name
from tests.cluster.stories import PATIENCE, Stories

NODES = ("node-1", "node-2")

# What an engine starts with: the client finds its way in the variables.
_BEGIN = "import vineyard, numpy\nc = vineyard.connect()\n"


class Pools(Stories):
    """Acts in one namespace of the cluster with real nodes."""

    async def create(self, name: str, **spec: Any) -> Object:
        """Create a pool of small real daemons."""
        cache = {"image": VINEYARDD_IMAGES[0], "memory": "64Mi", **spec.pop("cache", {})}
        return await super().create(name, cache=cache, **spec)

    async def own_etcd(self, node: str = NODES[0]) -> str:
        """Run an etcd as a user would bring it, on a node; return its client URL."""
        url = f"http://etcd-0.etcd.{self.namespace}.svc:2379"
        await self.kubectl("apply", "-f", "-", stdin=json.dumps(_etcd(url, node)))
        await self.running("etcd-0")
        self.etcd = url
        return url

    async def engine(self, pool: str, node: str, *, beside: bool = True) -> str:
        """Run a pod on a node with what the pool's connection ConfigMap tells; return its name.

        `beside`: with the socket of the daemon on that node, else with the network alone.
        """
        connection = f"{release_name(pool)}-connection"
        config = json.loads(await self.kubectl("get", "configmap", connection, "-o=json"))
        name = f"engine-{node}" if beside else f"remote-engine-{node}"
        path = config["data"].get("VINEYARD_HOST_PATH") if beside else None
        pod = engine_for(name, node, connection, path)
        await self.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
        await self.running(name)
        return name

    async def node_of(self, pod: str, namespace: str) -> str:
        """Return the node that a pod of any namespace runs on."""
        return str((await self.client.get(PODS, pod, namespace))["spec"]["nodeName"])

    async def python(self, engine: str, script: str) -> str:
        """Run Python in an engine's pod; return the last line that it prints."""
        command = ("exec", "--stdin", engine, "--", "python3", "-")
        # vineyard's client prints as well.
        return (await self.kubectl(*command, stdin=script)).splitlines()[-1]

    async def put(self, engine: str, value: int) -> str:
        """Put an array into the pool by shared memory; return its key."""
        script = f"o = c.put(numpy.full(10_000, {value}))\nc.persist(o)\nprint(repr(o))"
        return await self.python(engine, _BEGIN + script)

    async def reaches(self, engine: str) -> tuple[bool, bool]:
        """Tell whether an engine's client speaks through the socket, and over the network."""
        script = _BEGIN + "print(c.has_ipc_client(), c.has_rpc_client())"
        socket, network = (await self.python(engine, script)).split()
        return socket == "True", network == "True"

    async def fetch(self, engine: str, key: str) -> int:
        """Get an array from wherever in the pool it is; return the sum of its elements."""
        script = f"print(c.get(vineyard.ObjectID({key!r}), fetch=True).sum())"
        return int(await self.python(engine, _BEGIN + script))

    async def fetch_news(self, engine: str, key: str) -> int:
        """Get an array that its daemon may not know of yet: it looks for a lost etcd every 10 s."""
        wait = (
            "import time\n"
            f"for _ in range({PATIENCE:.0f}):\n"
            f"    try: c.get_meta(vineyard.ObjectID({key!r}), sync_remote=True); break\n"
            "    except vineyard._C.ObjectNotExistsException: time.sleep(1)\n"
        )
        await self.python(engine, _BEGIN + wait + "print()")
        return await self.fetch(engine, key)

    def cut_power(self, node: str) -> None:
        """End everything on a node at once."""
        switch_off(self.cluster.place, self._keeper, self.cluster.real_node(node))

    def power_on(self, node: str) -> None:
        """Start a node with the disk that it had."""
        switch_on(self.cluster.place, self._keeper, self.cluster.real_node(node))

    def on_node(self, node: str, *command: str) -> str:
        """Run a command on a node; return what it prints."""
        enter = inside(self.cluster.place, self.cluster.real_node(node))
        done = subprocess.run([*enter, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def on_disks(self, pods: Iterable[str] = ()) -> list[str]:
        """Return the files that nodes have of this namespace, or of pods with these uids."""
        words = [word for each in (self.namespace, *pods) for word in ("-o", "-name", f"*{each}*")]
        # (Folders go while it looks, which find takes for an error.)
        find = ("sh", "-c", 'find /var/lib /var/log "$@" || true', "find", *words[1:])
        return [line for node in NODES for line in self.on_node(node, *find).splitlines()]

    @property
    def _keeper(self) -> Any:
        return self.cluster.processes["nodes"]


def _etcd(url: str, node: str) -> Object:
    labels = {"app": "etcd"}
    container = {
        "name": "etcd",
        "image": ETCD_IMAGE,
        "command": [
            "etcd",
            "--data-dir=/data/etcd",
            "--listen-client-urls=http://0.0.0.0:2379",
            f"--advertise-client-urls={url}",
        ],
        "readinessProbe": {"tcpSocket": {"port": 2379}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    stateful_set = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "etcd"},
        "spec": {
            "serviceName": "etcd",
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {"kubernetes.io/hostname": node},
                    "terminationGracePeriodSeconds": 1,
                    "containers": [container],
                    "volumes": [{"name": "data", "emptyDir": {}}],
                },
            },
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "etcd"},
        "spec": {"clusterIP": "None", "selector": labels, "ports": [{"port": 2379}]},
    }
    return {"apiVersion": "v1", "kind": "List", "items": [stateful_set, service]}
