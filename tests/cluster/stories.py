"""What a person does with pools, and waits for: by watches, never by sleeping."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvhelm.controller.act import RELEASE_KINDS
from kvhelm.controller.watches import POOLS
from kvhelm.kube.client import Client
from kvhelm.kube.errors import NotFound
from kvhelm.kube.resource import EVENTS, PODS, SECRETS, STATEFUL_SETS, Object, Resource
from kvhelm.local.cluster import Cluster, environment
from kvhelm.values import release_name

PATIENCE = 120.0
"""Seconds until a story is given up: generous, since machines are shared, and a scheduler that lost
its API server may take most of a minute to come back."""


@dataclass
class Stories:
    """Acts in one namespace of one cluster."""

    client: Client
    cluster: Cluster
    namespace: str
    etcd: str
    """Client URL of an etcd of the user's own."""

    async def create(self, name: str, **spec: Any) -> Object:
        """Create a pool with an image and an external etcd, unless the spec says otherwise."""
        body = {
            "apiVersion": POOLS.api_version,
            "kind": POOLS.kind,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "cache": {"image": "vineyard:1"},
                "metadata": {"etcd": {"endpoints": [self.etcd]}},
            }
            | spec,
        }
        return await self.client.create(POOLS, body)

    async def change(self, name: str, **spec: Any) -> Object:
        """Merge into a pool's spec."""
        return await self.client.patch(POOLS, name, {"spec": spec}, self.namespace)

    async def delete(self, name: str) -> None:
        """Delete a pool and wait until it is gone."""
        await self.client.delete(POOLS, name, self.namespace)
        await self.gone(POOLS, name)

    async def delete_all(self) -> None:
        """Delete every pool of the namespace and wait until they are gone."""
        for pool in (await self.client.list(POOLS, self.namespace)).items:
            name = pool["metadata"]["name"]
            if "deletionTimestamp" not in pool["metadata"]:
                await self.client.delete(POOLS, name, self.namespace)
            await self.gone(POOLS, name)

    async def release_all(self) -> None:
        """Let every pool of the namespace go without an operator."""
        for pool in (await self.client.list(POOLS, self.namespace)).items:
            name = pool["metadata"]["name"]
            with contextlib.suppress(NotFound):
                free: Object = {"metadata": {"finalizers": None}}
                await self.client.patch(POOLS, name, free, self.namespace)

    async def get(self, name: str) -> Object:
        """Return the pool as it is now."""
        return await self.client.get(POOLS, name, self.namespace)

    async def pool(self, name: str, until: Callable[[Object], bool], what: str) -> Object:
        """Return the pool once `until` holds of it."""
        return await self.wait(POOLS, name, until, what)

    async def ready(self, name: str) -> Object:
        """Return the pool once it is Ready for the generation that stands now."""
        generation = (await self.client.get(POOLS, name, self.namespace))["metadata"]["generation"]
        return await self.pool(
            name,
            lambda pool: (
                condition(pool, "Ready")["status"] == "True"
                and condition(pool, "Ready")["observedGeneration"] >= generation
            ),
            "to be Ready",
        )

    async def turned(self, name: str, kind: str, status: str, reason: str) -> str:
        """Wait until a condition has turned; return its message."""
        pool = await self.pool(
            name,
            lambda pool: (
                (condition(pool, kind)["status"], condition(pool, kind)["reason"])
                == (status, reason)
            ),
            f"to have {kind}={status}/{reason}",
        )
        return str(condition(pool, kind)["message"])

    async def daemons(self, pool: str) -> Object:
        """Return the StatefulSet of a pool's daemons."""
        found = await self.client.list(
            STATEFUL_SETS,
            self.namespace,
            labelSelector=f"app.kubernetes.io/instance={release_name(pool)},"
            "app.kubernetes.io/component=daemon",
        )
        return found.items[0]

    async def pods(self, pool: str) -> list[Object]:
        """Return the daemons' pods, sorted by name."""
        found = await self.client.list(
            PODS,
            self.namespace,
            labelSelector=f"app.kubernetes.io/instance={release_name(pool)},"
            "app.kubernetes.io/component=daemon",
        )
        return sorted(found.items, key=lambda pod: str(pod["metadata"]["name"]))

    async def running(self, pod: str, besides: str = "") -> Object:
        """Wait until a pod is ready; `besides` is the uid of the one that it follows."""
        return await self.wait(
            PODS,
            pod,
            lambda found: (
                found["metadata"]["uid"] != besides
                and any(
                    each["type"] == "Ready" and each["status"] == "True"
                    for each in found.get("status", {}).get("conditions", ())
                )
            ),
            "to be ready",
        )

    async def nodes(self, pool: str) -> list[str]:
        """Return the nodes of the daemons' pods, sorted."""
        return sorted(pod["spec"].get("nodeName", "") for pod in await self.pods(pool))

    async def revisions(self, pool: str) -> int:
        """Return how many revisions the pool's release has."""
        selector = f"owner=helm,name={release_name(pool)}"
        found = await self.client.list(
            SECRETS, self.namespace, metadata_only=True, labelSelector=selector
        )
        return len(found.items)

    async def objects(self, pool: str) -> dict[str, str]:
        """Return everything of the pool's release as KIND/NAME, with its resourceVersion."""
        instance = f"app.kubernetes.io/instance={release_name(pool)}"
        asked = [(kind, instance) for kind in RELEASE_KINDS]
        asked.append((SECRETS, f"owner=helm,name={release_name(pool)}"))
        found = {}
        for kind, selector in asked:
            page = await self.client.list(
                kind, self.namespace, metadata_only=True, labelSelector=selector
            )
            for item in page.items:
                metadata = item["metadata"]
                found[f"{kind.kind}/{metadata['name']}"] = str(metadata["resourceVersion"])
        return found

    async def event(self, pool: str, reason: str, not_before: float = 0) -> Object:
        """Wait for an event about a pool, so many seconds longer than usual, and return it."""
        seen = await self.replay(
            EVENTS,
            "0",
            lambda event: event["reason"] == reason,
            f"involvedObject.kind={POOLS.kind},involvedObject.name={pool}",
            PATIENCE + not_before,
        )
        return seen[-1]

    async def turned_since(self, since: str, name: str, kind: str, reason: str) -> None:
        """Wait until a condition has had a reason, however short, since `now()` was `since`."""
        await self.replay(
            POOLS,
            since,
            lambda pool: condition(pool, kind)["reason"] == reason,
            f"metadata.name={name}",
        )

    async def now(self) -> str:
        """Return the resourceVersion that the cluster is at."""
        return (await self.client.list(POOLS, self.namespace)).resource_version

    async def replay(
        self,
        resource: Resource,
        since: str,
        until: Callable[[Object], bool],
        field_selector: str = "",
        patience: float = PATIENCE,
    ) -> list[Object]:
        """Return every state that objects took after `since`, up to one that `until` holds of.

        The API server remembers them: nothing is missed that happened before the call.
        """
        seen: list[Object] = []
        try:
            async with (
                asyncio.timeout(patience),
                self.client.stream_watch(
                    resource,
                    self.namespace,
                    timeout=patience,
                    silence=patience,
                    resourceVersion=since,
                    fieldSelector=field_selector,
                ) as events,
            ):
                async for event in events:
                    if event["type"] != "BOOKMARK":
                        seen.append(event["object"])
                        if until(event["object"]):
                            return seen
        except TimeoutError:
            pass
        raise AssertionError(f"{resource.plural} since {since}, last: {seen[-1:]}")

    async def wait(
        self,
        resource: Resource,
        name: str,
        until: Callable[[Object], bool],
        what: str,
        namespace: str | None = None,
    ) -> Object:
        """Watch one object until `until` holds of it; fail with its last state otherwise."""
        last: Object = {}
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    async with self.client.stream_watch(
                        resource,
                        (namespace or self.namespace) if resource.namespaced else None,
                        timeout=PATIENCE,
                        silence=PATIENCE,
                        fieldSelector=f"metadata.name={name}",
                    ) as events:
                        async for event in events:
                            if event["type"] in ("ADDED", "MODIFIED"):
                                last = event["object"]
                                if until(last):
                                    return last
        except TimeoutError:
            status = last.get("status", last)
            raise AssertionError(f"waited for {name} {what}; last seen: {status}") from None

    async def gone(self, resource: Resource, name: str) -> None:
        """Watch one object until it is gone."""
        last: Object = {}
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        last = await self.client.get(resource, name, self.namespace)
                    except NotFound:
                        return
                    async with self.client.stream_watch(
                        resource,
                        self.namespace,
                        timeout=PATIENCE,
                        silence=PATIENCE,
                        fieldSelector=f"metadata.name={name}",
                        resourceVersion=last["metadata"]["resourceVersion"],
                    ) as events:
                        async for event in events:
                            if event["type"] == "DELETED":
                                return
                            last = event["object"]
        except TimeoutError:
            raise AssertionError(f"{name} does not go: {last.get('status', last)}") from None

    async def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace; return what it prints. Raises AssertionError."""
        return await self._run(str(self.cluster.kubectl), *arguments, stdin=stdin)

    async def helm(
        self, *arguments: str, stdin: str | None = None, executable: Path | None = None
    ) -> str:
        """Run helm in the namespace; return what it prints. Raises AssertionError."""
        return await self._run(str(executable or self.cluster.helm), *arguments, stdin=stdin)

    async def _run(self, *command: str, stdin: str | None) -> str:
        process = await asyncio.create_subprocess_exec(
            command[0],
            *("--namespace", self.namespace),
            *command[1:],
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(self.cluster, os.environ["PATH"]) | {"HOME": os.environ["HOME"]},
        )
        out, err = await process.communicate(stdin.encode() if stdin is not None else None)
        assert process.returncode == 0, f"{command}: {err.decode()}"
        return out.decode()


def version(obj: Object) -> int:
    """Return the resourceVersion of an object: who changed later has the higher one."""
    return int(obj["metadata"]["resourceVersion"])


def condition(pool: Object, kind: str) -> Object:
    """Return a condition of a pool; an empty one if it is not there yet."""
    conditions = pool.get("status", {}).get("conditions", [])
    missing = {"status": "", "reason": "", "message": "", "observedGeneration": 0}
    return next((each for each in conditions if each["type"] == kind), missing)
