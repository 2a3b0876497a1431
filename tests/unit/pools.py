"""Makes the pictures that the decision and report tests look at."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from kvhelm.controller.objects import ReleaseObject
from kvhelm.controller.policy import Policy
from kvhelm.controller.pool import ABANDON, FINALIZER, Pool, pool_from
from kvhelm.controller.service_view import ServiceView
from kvhelm.controller.snapshot import Snapshot
from kvhelm.controller.workloads import Pod, Workload
from kvhelm.helm.releases import Revision, Stamp
from kvhelm.kube.ownership import Ownership
from kvhelm.values import Place

UID = "11111111-2222-3333-4444-555555555555"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
POLICY = Policy(chart_digest="chart-1", helm_gone_after=100)
IMAGE = {"cache": {"image": "vineyard:1"}}


def pool(
    spec: dict[str, Any] | None = None,
    *,
    name: str = "p",
    deleting: bool = False,
    finalizers: tuple[str, ...] = (FINALIZER,),
    status: dict[str, Any] | None = None,
    abandoned: bool = False,
) -> Pool:
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "ns",
        "uid": UID,
        "generation": 2,
        "resourceVersion": "10",
        "finalizers": list(finalizers),
    }
    if abandoned:
        metadata["annotations"] = {ABANDON: "true"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return pool_from(
        {
            "apiVersion": "kvcache.aibrix.ai/v1alpha1",
            "kind": "KVCachePool",
            "metadata": metadata,
            "spec": IMAGE | (spec or {}),
            "status": status or {},
        }
    )


def revision(
    number: int,
    status: str = "deployed",
    *,
    spec: str = "spec-1",
    chart: str = "chart-1",
    ours: bool = True,
    uid: str | None = UID,
    healthy: bool = False,
    parked: bool = False,
    port: int = 9600,
    copy_of: int = 0,
    place: str = "",
    asked: str = "",
    age: float = 0,
) -> Revision:
    """A revision that was made, and last written, `age` seconds ago.

    `copy_of`: what is not ours carries the labels of that revision of ours on.
    """
    named = f"kvcachepool-{copy_of or number}"
    stamp = Stamp(spec, chart, uid or "", named, parked, port, place, asked)
    return Revision(
        namespace="ns",
        release="p",
        number=number,
        status=status,
        secret=f"sh.helm.release.v1.p.v{number}",
        pool_uid=uid,
        stamp=stamp if ours else None,
        carried=(copy_of, stamp) if copy_of and not ours else None,
        created=NOW - timedelta(seconds=age),
        modified=NOW - timedelta(seconds=age),
        healthy=healthy,
    )


def workload(component: str = "daemon", replicas: int = 1, **changes: Any) -> Workload:
    name = "p" if component == "daemon" else f"p-{component}"
    ready = Workload(
        namespace="ns",
        name=name,
        release="p",
        component=component,
        replicas=replicas,
        helm_owns_replicas=False,
        kvhelm_owns_replicas=False,
        existing=replicas,
        ready=replicas,
        updated=replicas,
        observed=True,
        update_revision="t1",
        selector=f"app.kubernetes.io/component={component},app.kubernetes.io/instance=p",
    )
    return replace(ready, **changes)


def pod(
    name: str = "p-0",
    node: str | None = "node-1",
    unschedulable: str = "",
    *,
    template: str = "t1",
    ready: bool = True,
    ending: bool = False,
    age: float = 0,
    component: str = "daemon",
) -> Pod:
    """A pod that was made `age` seconds ago."""
    return Pod(
        namespace="ns",
        name=name,
        release="p",
        component=component,
        uid=f"uid-of-{name}",
        node=node,
        ip=f"10.0.0.{name.rpartition('-')[2]}",
        ready=ready and node is not None,
        ending=ending,
        unschedulable=unschedulable,
        revision=template,
        created=NOW - timedelta(seconds=age),
    )


def service(**more: Any) -> ServiceView:
    """A metadata service that the pool brings."""
    return ServiceView(Place("etcd", ("http://etcd:2379",), "/kvhelm/ns/p/1"), **more)


def snapshot(
    the_pool: Pool | None = None,
    revisions: tuple[Revision, ...] = (),
    workloads: tuple[Workload, ...] = (),
    pods: tuple[Pod, ...] = (),
    **more: Any,
) -> Snapshot:
    return Snapshot(
        pool=the_pool or pool(),
        spec_digest="spec-1",
        revisions=revisions,
        workloads=workloads,
        pods=pods,
        now=NOW,
        **more,
    )


def running(the_pool: Pool | None = None, replicas: int = 1, **more: Any) -> Snapshot:
    """A pool whose release is deployed and whose pods are ready."""
    return snapshot(
        the_pool,
        (revision(1, healthy=replicas > 0),),
        (workload(replicas=replicas), workload("etcd")),
        tuple(pod(f"p-{i}") for i in range(replicas)),
        **more,
    )


def made(*, pool_uid: str = UID, ending: bool = False) -> ReleaseObject:
    """Return an object of a release."""
    return ReleaseObject(
        kind="Service",
        namespace="ns",
        name="p-rpc",
        release="p",
        ownership=Ownership(""),
        ending=ending,
        pool_uid=pool_uid,
    )
