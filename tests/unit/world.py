"""A model of helm, of an ordered StatefulSet and of people, for decisions to act in.

Revisions are Secrets as helm writes them, read by the real code. What is modelled are helm's verbs,
which can be killed after each of their writes, and the controllers of Kubernetes.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kvhelm.controller.policy import Policy
from kvhelm.controller.workloads import Pod, Workload
from kvhelm.helm.freeing import freeing_patch
from kvhelm.helm.payload import data_for, release_from
from kvhelm.helm.releases import PARKED, Revision, Stamp, revision_from
from tests.unit.pools import NOW, UID, workload

Content = tuple[str, str]
"""What a release is made of: digests of values and chart."""


class Killed(Exception):
    """Helm and the operator were killed, in the middle of something."""


class Refused(Exception):
    """The API server refuses an object; helm has marked the revision as failed."""


@dataclass
class ModelPod:
    """One pod of the daemons."""

    content: Content
    uid: int
    created: datetime


@dataclass
class World:
    """A namespace with one release `p`."""

    now: datetime = NOW
    secrets: dict[int, dict[str, Any]] = field(default_factory=dict)
    template: Content | None = None
    """Of the StatefulSet; None if there is none."""
    replicas: int = 0
    helm_owns: bool = False
    kvhelm_owns: bool = False
    pods: dict[int, ModelPod] = field(default_factory=dict)
    made: int = 0
    writes: int = 0
    kill_after: int | None = None
    """After so many writes more, whoever writes is killed."""

    def wrote(self) -> None:
        """Count one write of helm, and die of it if it is time."""
        self.writes += 1
        if self.kill_after is not None:
            self.kill_after -= 1
            if self.kill_after <= 0:
                self.kill_after = None
                raise Killed

    # What helm does.

    def upgrade(self, content: Content, labels: dict[str, str], description: str) -> None:
        """`helm upgrade --install`."""
        before = self.secrets[max(self.secrets)]["metadata"]["labels"] if self.secrets else {}
        verb = "upgrade" if self.secrets else "install"
        self._make(f"pending-{verb}", {**before, **labels}, content, description)

    def rollback(self, to: int, description: str) -> None:
        """`helm rollback`."""
        target = self.secrets[to]
        content = release_from(target)["content"]
        labels = target["metadata"]["labels"]
        self._make("pending-rollback", labels, (content[0], content[1]), description)

    def uninstall(self) -> None:
        """`helm uninstall`."""
        if self.secrets:
            self._mark(max(self.secrets), "uninstalling")
            self.template, self.replicas, self.pods = None, 0, {}
            self.helm_owns = self.kvhelm_owns = False
            self.wrote()
            self.secrets = {}
            self.writes += 1

    def _make(self, status: str, labels: dict[str, str], content: Content, said: str) -> None:
        number = max(self.secrets, default=0) + 1
        self.made += 1
        own = {"owner": "helm", "name": "p", "status": status, "version": str(number)}
        parked = labels.get(PARKED) == labels.get("kvcache.aibrix.ai/stamp")
        release = {"info": {"status": status, "description": said}, "content": content}
        self.secrets[number] = {
            "metadata": {
                "namespace": "ns",
                "name": f"sh.helm.release.v1.p.v{number}",
                "uid": f"revision-{self.made}",
                "resourceVersion": str(self.made),
                "creationTimestamp": self.now.isoformat(),
                "labels": {**labels, **own},
            },
            "data": data_for(release),
        }
        self._mark(number, status)
        if content[0] == "refused":
            self._mark(number, "failed")
            raise Refused
        if self.template is None:
            self.replicas = 0 if parked else 1
        elif parked:
            self.replicas = 0
        elif self.helm_owns and not self.kvhelm_owns:
            self.replicas = 1
        self.template, self.helm_owns = content, parked
        self.wrote()
        for other, secret in self.secrets.items():
            if other != number and secret["metadata"]["labels"]["status"] == "deployed":
                self._mark(other, "superseded")
        self._mark(number, "deployed")

    def _mark(self, number: int, status: str) -> None:
        labels = self.secrets[number]["metadata"]["labels"]
        labels |= {"status": status, "modifiedAt": f"{self.now.timestamp():.0f}"}
        release = release_from(self.secrets[number])
        release["info"]["status"] = status
        self.secrets[number]["data"] = data_for(release)
        self.wrote()

    # What the operator does without helm.

    def unlock(self, number: int) -> None:
        """Free a pending revision, as the real patch says."""
        patch = freeing_patch(self.secrets[number], self.now)
        self.secrets[number]["metadata"]["labels"] |= patch["metadata"]["labels"]
        self.secrets[number]["data"] = patch["data"]
        self.wrote()

    def label(self, number: int, labels: dict[str, str]) -> None:
        """Patch labels onto a revision."""
        self.secrets[number]["metadata"]["labels"] |= labels
        self.wrote()

    def scale(self, replicas: int) -> None:
        """Write the replicas as ourselves."""
        self.replicas, self.kvhelm_owns = replicas, True
        self.wrote()

    # What Kubernetes does.

    def settle(self) -> None:
        """Let the StatefulSet controller and the kubelet do what they can."""
        while self._one_pod_further():
            pass

    def _one_pod_further(self) -> bool:
        for number in [each for each in self.pods if each >= self.replicas]:
            del self.pods[number]
        for number in range(self.replicas):
            if number not in self.pods:
                assert self.template
                self.made += 1
                self.pods[number] = ModelPod(self.template, self.made, self.now)
                return True
            if not ready(self.pods[number].content):
                return False  # OrderedReady
        for number in reversed(range(self.replicas)):
            if self.pods[number].content != self.template:
                del self.pods[number]
                return True
        return False

    # What the watches show.

    def revisions(self) -> tuple[Revision, ...]:
        """Return the revisions, read as the operator reads them."""
        found = (revision_from(self.secrets[number]) for number in sorted(self.secrets))
        return tuple(each for each in found if each)

    def workloads(self) -> tuple[Workload, ...]:
        """Return the StatefulSet."""
        if self.template is None:
            return ()
        return (
            Workload(
                namespace="ns",
                name="p-daemon",
                release="p",
                component="daemon",
                replicas=self.replicas,
                helm_owns_replicas=self.helm_owns,
                kvhelm_owns_replicas=self.kvhelm_owns,
                existing=len(self.pods),
                ready=sum(ready(pod.content) for pod in self.pods.values()),
                updated=sum(pod.content == self.template for pod in self.pods.values()),
                observed=True,
                selector="a=b",
                update_revision=str(self.template),
            ),
            workload("etcd"),
        )

    def live_pods(self) -> tuple[Pod, ...]:
        """Return the pods."""
        return tuple(
            Pod(
                namespace="ns",
                name=f"p-daemon-{number}",
                release="p",
                component="daemon",
                uid=str(pod.uid),
                node="n",
                ip="",
                ready=ready(pod.content),
                ending=False,
                unschedulable="",
                revision=str(pod.content),
                created=pod.created,
            )
            for number, pod in sorted(self.pods.items())
        )


def ready(content: Content) -> bool:
    """Tell whether a daemon of that release ever gets ready."""
    return not content[0].startswith("bad")


def stamp_for(content: Content, *, parked: bool) -> Stamp:
    """Return how the operator labels a release."""
    return Stamp(*content, UID, "kvcachepool-1", parked, 9600, asked=content[0])


def later(world: World, seconds: float) -> None:
    """Let time pass."""
    world.now += timedelta(seconds=seconds)


def policy_of(chart: str) -> Policy:
    """Return the policy of an operator with that chart."""
    return Policy(chart, 140)
