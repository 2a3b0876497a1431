"""The pod that a StatefulSet would wait for for ever; pure.

With podManagementPolicy OrderedReady the StatefulSet controller replaces no pod while one of them
is not ready, not even that very pod by a template that would mend it ("forced rollback" in the
Kubernetes documentation): somebody else has to delete it.
"""

from kvhelm.controller.snapshot import Snapshot
from kvhelm.controller.workloads import Pod


def stuck_pod(snapshot: Snapshot) -> Pod | None:
    """Return the first daemon's pod that is in the way of the current template; None if none is."""
    daemons = snapshot.daemons
    if daemons is None or not daemons.observed or not daemons.update_revision:
        return None
    pods = [pod for pod in snapshot.pods if pod.component == daemons.component]
    if any(pod.ending for pod in pods):
        return None
    old = [pod for pod in pods if pod.revision != daemons.update_revision]
    # While a pod of the new template is not ready either, one more of them would be no better.
    new_ready = all(pod.ready for pod in pods if pod not in old)
    return next((pod for pod in sorted(old, key=_ordinal) if not pod.ready and new_ready), None)


def _ordinal(pod: Pod) -> int:
    return int(pod.name.rpartition("-")[2])
