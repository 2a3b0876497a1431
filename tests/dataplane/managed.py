"""The pool's own etcd and its daemons, run with exactly what the chart renders.

Each pod gets a loopback address of its own, so that ports are the chart's. Replaced is only what
Kubernetes would bring: the address behind a pod's DNS name, its fields, and its volume.
"""

import asyncio
import json
import random
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvhelm.local.tools import ensure_tools
from tests.chart.rendering import Object, Rendered
from tests.dataplane.install import ensure_installed
from tests.dataplane.parts import Etcd, Vineyardd, daemon_of, until

PORTS = (2379, 2380, 2381)


@dataclass
class EtcdPods:
    """The pods of a pool's own etcd, as its StatefulSet makes them."""

    rendered: Rendered
    folder: Path
    addresses: dict[str, str] = field(default_factory=dict)
    """By DNS name."""
    members: list[Etcd] = field(default_factory=list)

    def __post_init__(self) -> None:
        stateful_set = self.rendered.get("StatefulSet", "etcd")
        metadata, spec = stateful_set["metadata"], stateful_set["spec"]
        # What makes these names resolve, and before a pod is ready.
        members = range(spec["replicas"])
        for service in ("etcd", *(f"etcd-{n}" for n in members)):
            assert self.rendered.get("Service", service)["spec"]["publishNotReadyAddresses"] is True
        names = [f"{metadata['name']}-{n}" for n in members]
        # Each has a name for its peers and one for daemons.
        domain = f"{metadata['namespace']}.svc"
        addresses = {name: free_address() for name in names}
        self.addresses = {
            f"{name}.{above}": address
            for name, address in addresses.items()
            for above in (f"{spec['serviceName']}.{domain}", domain)
        }
        self._on_disk = "volumeClaimTemplates" in spec
        for name, address in addresses.items():
            data = self.folder / name
            data.mkdir(parents=True)
            log = self.folder / f"{name}.log"
            self.members.append(Etcd([], log, port=PORTS[0], data=data, host=address))
            self._fill_in(name, self.members[-1])

    def _fill_in(self, name: str, member: Etcd) -> None:
        """Give a pod's process what a kubelet would: its arguments, with the pod's fields."""
        container = self.here(self.rendered.etcd)
        fields = {"metadata.name": name, "metadata.uid": str(uuid.uuid4())}
        values = {
            each["name"]: fields[each["valueFrom"]["fieldRef"]["fieldPath"]]
            for each in self.rendered.etcd["env"]
        }
        assert container["command"] == ["etcd"]
        mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        arguments = []
        for argument in self.rendered.etcd["args"]:
            for variable, value in values.items():
                argument = argument.replace(f"$({variable})", value)
            argument = self.resolved(argument).replace("0.0.0.0", member.host)
            arguments.append(argument.replace(f"{mounts['data']}/", f"{member.data}/"))
        assert not any("$(" in each for each in arguments)
        member.arguments = [ensure_tools().etcd, *arguments]
        member.environment = values

    def make_again(self, member: Etcd) -> None:
        """Replace a pod, as its StatefulSet does: on the same volume, if it has one."""
        member.kill()
        if not self._on_disk:
            lose_data(member)
        self._fill_in(member.data.name, member)

    async def ready(self, member: Etcd, wanted: bool = True) -> None:
        """Wait until the readiness probe says so."""
        probe = self.rendered.etcd["readinessProbe"]["httpGet"]
        await self._answers(member, probe, wanted)

    async def started(self, member: Etcd) -> None:
        """Wait until the startup probe lets it run on."""
        await self._answers(member, self.rendered.etcd["startupProbe"]["httpGet"], True)

    async def _answers(self, member: Etcd, probe: Object, wanted: bool) -> None:
        ports = {each["name"]: each["containerPort"] for each in self.rendered.etcd["ports"]}
        url = f"http://{member.host}:{ports[probe['port']]}{probe['path']}"

        async def as_wanted() -> bool:
            assert member.running, member.said[-3000:]
            return await asyncio.to_thread(answers_well, url) is wanted

        await until(as_wanted)

    def waits(self) -> "subprocess.Popen[bytes]":
        """Start what a daemon's pod waits with until its etcd answers."""
        (container,) = self.rendered.pod["initContainers"]
        program, *arguments = self.here(container)["command"]
        assert program == "etcdctl"
        etcdctl = ensure_installed().old_etcd.with_name("etcdctl")
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", etcdctl, *arguments], stderr=subprocess.DEVNULL
        )

    def daemon(self, pod: str) -> Vineyardd:
        """Make the daemon of a pod."""
        fields = {"status.podIP": "127.0.0.1", "spec.nodeName": "node", "metadata.name": pod}
        return daemon_of(self.here(self.rendered.vineyardd), self.folder / pod, fields)

    def here(self, container: Object) -> Object:
        """Return a container with addresses of this machine for the members' names."""
        resolved: Object = json.loads(self.resolved(json.dumps(container)))
        return resolved

    def resolved(self, text: str) -> str:
        """Return a text with addresses of this machine for the members' names."""
        for name, address in self.addresses.items():
            text = text.replace(name, address)
        return text


def lose_data(member: Etcd) -> None:
    """Give an ended member an empty volume."""
    shutil.rmtree(member.data)
    member.data.mkdir()


def free_address() -> str:
    """Return a loopback address where nobody listens on an etcd's ports."""
    while True:
        address = f"127.{random.randint(2, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"
        try:
            for port in PORTS:
                with socket.socket() as chosen:
                    chosen.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    chosen.bind((address, port))
        except OSError:
            continue
        return address


def answers_well(url: str) -> bool:
    """Ask a URL as a probe does."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, TimeoutError):
        return False


def status_of(member: Etcd, words: str) -> dict[str, Any]:
    """Return the pod's status once its etcd has ended, as a kubelet writes it."""
    assert member.process
    terminated = {"exitCode": member.process.returncode, "reason": "Error", "message": words}
    return {"containerStatuses": [{"name": "etcd", "state": {"terminated": terminated}}]}
