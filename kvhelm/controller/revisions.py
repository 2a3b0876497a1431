"""Reads and writes the Secrets of single revisions: small, guarded, and without a helm process."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from kvhelm.controller.observe import Observer
from kvhelm.helm.freeing import freeing_patch
from kvhelm.helm.origin import Origin, origin_of
from kvhelm.helm.releases import HEALTHY, Revision, Stamp
from kvhelm.kube.client import Client
from kvhelm.kube.errors import NotFound
from kvhelm.kube.resource import SECRETS, Object


@dataclass
class RevisionSecrets:
    """What is changed here is changed only if nobody changed it since it was seen.

    Every method raises KubeError, Conflict if someone did.
    """

    client: Client
    observer: Observer

    async def mark_healthy(self, revision: Revision) -> None:
        """Note that the revision was healthy."""
        await self._patch(revision, {"metadata": {"labels": {HEALTHY: str(revision.number)}}})

    async def stamp(self, revision: Revision, stamp: Stamp) -> None:
        """Note what the revision was made from, as an upgrade of ours does."""
        await self._patch(revision, {"metadata": {"labels": stamp.labels(revision.number)}})

    async def origin(self, revision: Revision) -> Origin:
        """Read where the revision comes from. Raises HelmFailed if it can't be read."""
        return origin_of(await self.client.get(SECRETS, revision.secret, revision.namespace))

    async def unlock(self, revision: Revision, *, own_child: bool) -> bool:
        """Make a pending revision a failed one; tell whether it was done.

        With `own_child` only if it is no rollback of someone else's.
        """
        secret = await self.client.get(SECRETS, revision.secret, revision.namespace)
        if secret["metadata"]["resourceVersion"] != revision.resource_version:
            self.observer.watches(revision.namespace).revisions.upsert(secret)
            return False
        if own_child and revision.stamp is None and not origin_of(secret).ours:
            return False
        await self._patch(revision, freeing_patch(secret, datetime.now(UTC)))
        return True

    async def prune(self, namespace: str, secrets: Iterable[str]) -> None:
        """Delete revisions; one that is gone already is no error."""
        for secret in secrets:
            try:
                await self.client.delete(SECRETS, secret, namespace)
            except NotFound:
                continue

    async def _patch(self, revision: Revision, body: Object) -> None:
        body["metadata"]["resourceVersion"] = revision.resource_version
        answer = await self.client.patch(
            SECRETS, revision.secret, body, revision.namespace, metadata_only=True
        )
        self.observer.watches(revision.namespace).revisions.upsert(answer)
