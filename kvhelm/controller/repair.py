"""Put right what others changed of a release's objects: no helm process, no revision.

The manifest of the current revision is read and applied as helm applies it. Items that others put
into lists need three requests (kvhelm.kube.ownership.list_patch_for): take them out, apply, give up
what the first one made ours.
"""

from dataclasses import dataclass

from kvhelm.controller.objects import (
    DRIFT_KINDS,
    HELM,
    MENDER,
    Deviation,
    ReleaseObject,
    applied_for,
    deviation_for,
    fields_digest,
    is_daemons,
    release_object_from,
    sentence_for,
)
from kvhelm.controller.observe import Observer
from kvhelm.controller.snapshot import Snapshot
from kvhelm.helm.payload import manifest_of, release_from
from kvhelm.helm.releases import Revision
from kvhelm.kube.client import Client
from kvhelm.kube.errors import NotFound
from kvhelm.kube.events import EventRecorder
from kvhelm.kube.ownership import list_patch_for
from kvhelm.kube.resource import SECRETS, STATEFUL_SETS, Object

Name = tuple[str, str]
"""Kind and name."""


@dataclass(frozen=True)
class Repaired:
    """What a look at the objects of a release came to."""

    objects: tuple[str, ...]
    """KIND/NAME of what was put right."""
    fields: str
    """Digest of who owns what now."""
    all_right: bool
    """Whether nothing is left that differs from the release."""


@dataclass(frozen=True)
class Repairer:
    """Compares the objects of a release with its manifest, and puts right what differs."""

    client: Client
    observer: Observer
    events: EventRecorder

    async def repair(self, snapshot: Snapshot, revision: Revision, *, for_helm: bool) -> Repaired:
        """Put right what differs; `for_helm`: only what would make an upgrade fail.

        Raises HelmFailed when the release can't be read, KubeError.
        """
        namespace = snapshot.pool.key.namespace
        secret = await self.client.get(SECRETS, revision.secret, namespace)
        known: dict[Name, ReleaseObject] = {(it.kind, it.name): it for it in snapshot.objects}
        repaired, all_right = [], True
        for manifest in manifest_of(release_from(secret)):
            if manifest["kind"] not in DRIFT_KINDS:
                continue  # of another chart than ours: nobody watches it
            applied = applied_for(manifest, revision.release, namespace)
            name = (applied["kind"], applied["metadata"]["name"])
            deviation = deviation_for(applied, known.get(name))
            if not deviation:
                continue
            if for_helm and not deviation.blocks_helm:
                all_right = False
                continue
            # The watch may be behind what helm just did, and it does not know who did what.
            live = await self._live(applied, namespace)
            if live is not None:
                known[name] = release_object_from(applied["kind"], live)
                deviation = deviation_for(applied, known[name])
                if known[name].ending:
                    all_right = False  # its name is free when it is gone: the watch will tell
                    continue
            if deviation:
                live = await self._put_right(snapshot, applied, deviation, live)
                known[name] = release_object_from(applied["kind"], live)
                all_right = all_right and not deviation_for(applied, known[name])
                repaired.append("/".join(name))
            if live is not None:
                self._take_in(applied["kind"], live)
        return Repaired(tuple(repaired), fields_digest(revision.number, known.values()), all_right)

    async def _live(self, applied: Object, namespace: str) -> Object | None:
        kind, name = DRIFT_KINDS[applied["kind"]], applied["metadata"]["name"]
        try:
            return await self.client.get(kind, name, namespace)
        except NotFound:
            return None

    async def _put_right(
        self, snapshot: Snapshot, applied: Object, deviation: Deviation, live: Object | None
    ) -> Object:
        kind, name = DRIFT_KINDS[applied["kind"]], applied["metadata"]["name"]
        namespace = snapshot.pool.key.namespace
        if live is not None and deviation.foreign:
            operations = list_patch_for(live, applied, deviation.foreign)
            await self.client.patch(
                kind,
                name,
                [_same_version(live), *operations],
                namespace,
                fieldManager=MENDER,
            )
        body = applied
        if live is None and is_daemons(applied) and snapshot.pool.spec:
            # Without it the API server starts at 1, and ends pods that were left by the deletion.
            spec = {**applied["spec"], "replicas": snapshot.pool.spec.replicas}
            body = {**applied, "spec": spec}
        answer = await self.client.apply(kind, body, namespace, field_manager=HELM, force=True)
        managed_fields = answer["metadata"]["managedFields"]
        others = [entry for entry in managed_fields if entry["manager"] != MENDER]
        if others != managed_fields:
            path = "/metadata/managedFields"
            answer = await self.client.patch(
                kind,
                name,
                [_same_version(answer), {"op": "replace", "path": path, "value": others}],
                namespace,
                fieldManager=MENDER,
            )
        self.events.record(
            snapshot.pool.reference(),
            "Warning",
            "DriftRepaired",
            sentence_for(applied, deviation, live),
        )
        return answer

    def _take_in(self, kind: str, live: Object) -> None:
        watches = self.observer.watches(live["metadata"]["namespace"])
        if kind == STATEFUL_SETS.kind:
            watches.workloads.upsert(live)
        else:
            watches.objects[kind].upsert(live)


def _same_version(obj: Object) -> Object:
    """Return the operation by which a JSON patch is a Conflict if the object changed since."""
    version = obj["metadata"]["resourceVersion"]
    return {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
