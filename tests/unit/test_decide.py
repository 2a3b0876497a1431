"""Every hard case of a release is a row here: a picture, and the one step that it asks for."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from kvhelm.api.conditions import Reason
from kvhelm.api.status import FailedAttempt
from kvhelm.controller import steps
from kvhelm.controller.decide import decide
from kvhelm.controller.service_view import Trouble
from kvhelm.controller.snapshot import About, Failure, Snapshot
from kvhelm.controller.workloads import Pod
from kvhelm.helm.origin import Origin
from kvhelm.helm.releases import Revision
from tests.unit.pools import (
    NOW,
    POLICY,
    made,
    pod,
    pool,
    revision,
    running,
    service,
    snapshot,
    workload,
)

FAILED = FailedAttempt(
    spec_digest="spec-1", chart_digest="chart-1", reason="ObjectRefused", message="no"
)
IN_THE_WAY = FAILED.model_copy(update={"reason": "ObjectInTheWay", "in_the_way": "Service/p"})
AWAY = Failure(Reason.API_UNAVAILABLE, "away", About("spec-1", deleting=False))

TAKEN = Trouble("PrefixTaken", "choose another prefix", blocks=True)
COMPACTS_NEVER = Trouble("AutoCompactionOff", "turn it on", blocks=False)
EXTERNAL = {"metadata": {"etcd": {"endpoints": ["http://etcd:2379"]}}}
WARN = {"metadata": {"etcd": {"endpoints": ["http://etcd:2379"]}, "preflight": "Warn"}}
RETAIN = {**EXTERNAL, "deletion": {"metadata": "Retain"}}
CLAIMED = {
    "metadata": {"kind": "etcd", "endpoints": ["http://etcd:2379"], "prefix": "/kvhelm/ns/p/1"}
}


def stuck(*pods: Pod, **more: Any) -> Snapshot:
    """A pool whose release is deployed, but not all of its pods are ready."""
    return snapshot(
        pool({"replicas": len(pods)}),
        (revision(1),),
        (workload(replicas=len(pods), ready=0, updated=0, **more),),
        pods,
    )


THEIR_UPGRADE = Origin("", None, ours=False)
THEIR_ROLLBACK = Origin("", 2, ours=False)
OUR_ROLLBACK = Origin("", 1, ours=True)
PIN = {"revision": 1, "specDigest": "spec-0", "chartDigest": "chart-1"}
REJECTED = {
    "revision": 2,
    "specDigest": "spec-1",
    "chartDigest": "chart-1",
    "message": "Revision 2 made no progress for 600 s.",
}


def release(**status: Any) -> dict[str, Any]:
    return {"release": {"name": "p", **status}}


def turned(kind: str, state: str, *, seconds_ago: float) -> dict[str, Any]:
    """The status in which a condition turned so long ago."""
    condition = {"type": kind, "status": state, "reason": "R", "observedGeneration": 1}
    time = (NOW - timedelta(seconds=seconds_ago)).isoformat()
    return {"conditions": [{**condition, "lastTransitionTime": time}]}


def bad(
    age: float, more: dict[str, Any] | None = None, status: Any = None, **spec: Any
) -> Snapshot:
    """A pool whose upgrade was made `age` seconds ago, and whose daemon did not get ready."""
    return snapshot(
        pool({**(more or {}), **spec}, status={**(status or {}), **(CLAIMED if more else {})}),
        (revision(1, spec="spec-0", healthy=True), revision(2, age=age)),
        (workload(ready=0),),
        (pod(ready=False, age=age),),
    )


def back(bad: int, after: tuple[Revision, ...] = (), **more: Any) -> Snapshot:
    """A pool whose upgrade was rejected, and the revisions that were made since."""
    first = (revision(1, spec="spec-0", healthy=True), revision(bad, age=700))
    unready: dict[str, Any] = {"workloads": (workload(ready=0),), "pods": (pod(ready=False),)}
    return snapshot(
        pool(status=release(rejected=REJECTED)), (*first, *after), **{**unready, **more}
    )


def pinned(
    to: int, after: tuple[Revision, ...] = (), pin: Any = None, spec: Any = None
) -> Snapshot:
    """A pool that goes back to a revision, and the revisions that were made since."""
    known = release(pinned=pin) if pin else {}
    return snapshot(
        pool({"rollbackTo": {"revision": to}, **(spec or {})}, status=known),
        (revision(1, spec="spec-0"), revision(2, healthy=True), *after),
    )


def held(
    last: Revision | None = None,
    *,
    origin: Any = THEIR_ROLLBACK,
    known: bool = False,
    target: int = 0,
) -> Snapshot:
    """A pool that someone took back with helm."""
    status = release(held={"revision": 3, "to": 2, "specDigest": "spec-1"}) if known else {}
    return snapshot(
        pool(status=status),
        (
            revision(1),
            revision(2, spec="spec-0"),
            last or revision(3, ours=False, copy_of=2, spec="spec-0"),
        ),
        (workload(),),
        origin=replace(origin, target=target) if target else origin,
    )


ROWS = {
    # a new pool
    "a new pool is held first": (snapshot(pool(finalizers=())), steps.AddFinalizer),
    "then installed": (snapshot(), steps.Install),
    "others' finalizers are no hold of ours": (
        snapshot(pool(finalizers=("example.com/x",))),
        steps.AddFinalizer,
    ),
    "what helm just made is waited for": (snapshot(expected_revision=1), steps.Wait),
    "also when an older revision is still the newest seen": (
        snapshot(revisions=(revision(1),), expected_revision=2),
        steps.Wait,
    ),
    "a release that helm works on is left alone": (
        snapshot(revisions=(revision(1, "pending-install"),)),
        steps.Wait,
    ),
    "so is one that helm works on for us": (
        snapshot(revisions=(revision(1, "pending-install", age=99),), helm_ended=0),
        steps.Wait,
    ),
    "what our own helm has left is freed": (
        snapshot(revisions=(revision(1, "pending-install"),), helm_ended=1),
        steps.Unlock,
    ),
    "what someone else's helm works on meanwhile is not": (
        snapshot(revisions=(revision(2, "pending-upgrade", ours=False),), helm_ended=2),
        steps.Wait,
    ),
    "nor is another revision than the one it made": (
        snapshot(revisions=(revision(3, "pending-upgrade"),), helm_ended=2),
        steps.Wait,
    ),
    "what outlived the deadline of every helm is freed": (
        snapshot(revisions=(revision(2, "pending-upgrade", age=100),)),
        steps.Unlock,
    ),
    "also what someone else has left": (
        snapshot(revisions=(revision(2, "pending-upgrade", ours=False, age=100),)),
        steps.Unlock,
    ),
    "a rollback as well": (
        snapshot(revisions=(revision(2, "pending-rollback", ours=False, age=100),)),
        steps.Unlock,
    ),
    "what can't be freed is tried again later": (
        snapshot(revisions=(revision(2, "pending-upgrade", age=100),), failure=AWAY, retry_in=4),
        steps.Wait,
    ),
    "what was freed is made again": (
        snapshot(revisions=(revision(1, "failed"),), helm_ended=1),
        steps.Upgrade,
    ),
    # a pool that runs
    "a pool that runs costs nothing": (running(), steps.Nothing),
    "a changed spec makes a revision": (
        snapshot(revisions=(revision(1, spec="spec-0"),)),
        steps.Upgrade,
    ),
    "a new chart makes a revision": (
        snapshot(revisions=(revision(1, chart="chart-0"),)),
        steps.Upgrade,
    ),
    "a failed revision is made again": (
        snapshot(revisions=(revision(1, "failed"),)),
        steps.Upgrade,
    ),
    "someone else's revision is looked at": (
        snapshot(revisions=(revision(1), revision(2, ours=False))),
        steps.ReadOrigin,
    ),
    "and put right": (
        snapshot(revisions=(revision(1), revision(2, ours=False)), origin=THEIR_UPGRADE),
        steps.Upgrade,
    ),
    "one that can't be read is read again later": (
        snapshot(revisions=(revision(2, ours=False),), failure=AWAY, retry_in=4),
        steps.Wait,
    ),
    "the current revision is the highest, not the one labelled deployed": (
        snapshot(revisions=(revision(1), revision(2, "failed", spec="spec-0"))),
        steps.Upgrade,
    ),
    "a scale is no revision": (running(pool({"replicas": 3})), steps.Scale),
    "to zero as well": (running(pool({"replicas": 0})), steps.Scale),
    "a scale comes before an upgrade": (
        snapshot(pool({"replicas": 3}), (revision(1, spec="spec-0"),), (workload(replicas=1),)),
        steps.Scale,
    ),
    "replicas that helm owns are owned by us before an upgrade drops them": (
        snapshot(
            pool({"replicas": 0}),
            (revision(1, spec="spec-0"),),
            (workload(replicas=0, helm_owns_replicas=True),),
        ),
        steps.Scale,
    ),
    "owned by both they may be dropped": (
        snapshot(
            pool({"replicas": 0}),
            (revision(1, spec="spec-0"),),
            (workload(replicas=0, helm_owns_replicas=True, kvhelm_owns_replicas=True),),
        ),
        steps.Upgrade,
    ),
    "a revision that runs is healthy": (
        snapshot(revisions=(revision(1),), workloads=(workload(), workload("etcd"))),
        steps.MarkHealthy,
    ),
    "also one that the spec has left behind since": (
        snapshot(revisions=(revision(1, spec="spec-0"),), workloads=(workload(),)),
        steps.MarkHealthy,
    ),
    "not before every daemon is ready": (
        snapshot(revisions=(revision(1),), workloads=(workload(ready=0),)),
        steps.Wait,
    ),
    "nor its etcd": (
        snapshot(revisions=(revision(1),), workloads=(workload(), workload("etcd", ready=0))),
        steps.Wait,
    ),
    "a revision of someone else is not called healthy": (
        snapshot(
            revisions=(revision(2, ours=False),), workloads=(workload(),), origin=THEIR_UPGRADE
        ),
        steps.Upgrade,
    ),
    "nor one that failed half-way": (
        snapshot(revisions=(revision(1, "failed"),), workloads=(workload(),)),
        steps.Upgrade,
    ),
    "a pool at zero proves nothing": (
        snapshot(pool({"replicas": 0}), (revision(1),), (workload(replicas=0),)),
        steps.Nothing,
    ),
    "a mark that can't be written is tried again later": (
        snapshot(revisions=(revision(1),), workloads=(workload(),), failure=AWAY, retry_in=4),
        steps.Wait,
    ),
    "a broken pod of an earlier template is in the way of a new one": (
        stuck(pod("p-0", template="t0", ready=False)),
        steps.ReplaceStuckPod,
    ),
    "wherever it stands in the order": (
        stuck(pod("p-0", template="t0"), pod("p-1", template="t0", ready=False), pod("p-2")),
        steps.ReplaceStuckPod,
    ),
    "one that is ready is replaced by the StatefulSet itself": (
        stuck(pod("p-0", template="t0"), pod("p-1", ready=False)),
        steps.Wait,
    ),
    "one of the current template may still get ready": (
        stuck(pod("p-0", ready=False)),
        steps.Wait,
    ),
    "another one would be no better while a new one is not ready": (
        stuck(pod("p-0", template="t0", ready=False), pod("p-1", ready=False)),
        steps.Wait,
    ),
    "one at a time": (
        stuck(pod("p-0", template="t0", ready=False), pod("p-1", ending=True)),
        steps.Wait,
    ),
    "not before the StatefulSet controller has seen the new template": (
        stuck(pod("p-0", template="t0", ready=False), observed=False),
        steps.Wait,
    ),
    "nor while there is another release to be made": (
        replace(
            stuck(pod("p-0", template="t0", ready=False)), revisions=(revision(1, spec="spec-0"),)
        ),
        steps.Upgrade,
    ),
    # upgrades that do not get on
    "daemons get their time": (bad(599), steps.Wait),
    "but not for ever": (bad(600), steps.Rollback),
    "the spec says how long": (bad(60, upgrade={"progressDeadlineSeconds": 60}), steps.Rollback),
    "or that it stays": (bad(600, upgrade={"onFailure": "Keep"}), steps.Stall),
    "nothing healthy before it, nothing to go back to": (
        replace(bad(600), revisions=(revision(1), revision(2, age=600))),
        steps.Stall,
    ),
    "a first install stays for inspection": (
        replace(bad(600), revisions=(revision(1, age=600),)),
        steps.Stall,
    ),
    "a revision that was healthy is no bad upgrade": (
        replace(bad(600), revisions=(revision(1), revision(2, healthy=True, age=600))),
        steps.Nothing,
    ),
    "the same as a healthy one is no bad upgrade either": (
        replace(bad(600), revisions=(revision(1, healthy=True), revision(2, age=600))),
        steps.Stall,
    ),
    "each daemon that gets ready is progress": (
        replace(bad(600), pods=(pod("p-0"), pod("p-1", ready=False, age=5))),
        steps.Wait,
    ),
    "what pods lack that the upgrade left alone is no fault of it": (
        replace(bad(600), pods=(pod("p-0", ready=False, age=700),)),
        steps.Stall,
    ),
    "nor is a metadata service that is away": (
        replace(bad(600, EXTERNAL), service=service(healthy=False)),
        steps.Nothing,
    ),
    "a pool at zero has nothing that could get ready": (
        replace(bad(600, replicas=0), workloads=(workload(replicas=0),), pods=()),
        steps.Nothing,
    ),
    "time that it was suspended does not count": (
        bad(600, status=turned("Ready", "False", seconds_ago=10)),
        steps.Wait,
    ),
    "what was given up is not waited for again": (back(2), steps.Rollback),
    "also when it was cut off in the middle": (
        back(2, (revision(3, "failed", ours=False),)),
        steps.Rollback,
    ),
    "a rollback of ours is known by what it says": (
        back(2, (revision(3, ours=False, copy_of=1),)),
        steps.ReadOrigin,
    ),
    "and stamped": (
        back(2, (revision(3, ours=False, copy_of=1),), origin=OUR_ROLLBACK),
        steps.StampRevision,
    ),
    "there it stays": (back(2, (revision(3, spec="spec-0"),)), steps.Stall),
    "healthy again": (
        back(2, (revision(3, spec="spec-0"),), workloads=(workload(),)),
        steps.MarkHealthy,
    ),
    "the pod that broke is in the way of the rollback too": (
        back(
            2,
            (revision(3, spec="spec-0"),),
            workloads=(workload(ready=0, updated=0),),
            pods=(pod(template="t0", ready=False),),
        ),
        steps.ReplaceStuckPod,
    ),
    "it goes on being scaled": (
        back(2, (revision(3, spec="spec-0"),), workloads=(workload(replicas=3),)),
        steps.Scale,
    ),
    "what someone else makes of it is gone back from again": (
        back(
            2,
            (revision(3, spec="spec-0", healthy=True), revision(4, ours=False)),
            origin=THEIR_UPGRADE,
        ),
        steps.Rollback,
    ),
    "a changed spec ends it": (
        replace(back(2, (revision(3, spec="spec-0"),)), spec_digest="spec-2"),
        steps.Upgrade,
    ),
    "so does the spec of before, which runs already": (
        replace(
            back(2, (revision(3, spec="spec-0", healthy=True),)),
            spec_digest="spec-0",
        ),
        steps.Nothing,
    ),
    "so does a person who uninstalls it": (replace(back(2), revisions=()), steps.Install),
    "a history cut by hand leaves nothing to go back to": (
        replace(back(2), revisions=(revision(2, age=700),)),
        steps.Stall,
    ),
    "daemons that got ready at the last moment are good": (
        replace(back(2), revisions=(revision(1), revision(2, healthy=True))),
        steps.Nothing,
    ),
    "a rollback that can't be made is not tried again": (
        back(2, failed=FAILED.model_copy(update={"spec_digest": "spec-0"})),
        steps.Stall,
    ),
    "or later": (back(2, failure=AWAY, retry_in=4), steps.Wait),
    # pinned by spec.rollbackTo
    "a pinned pool goes back": (pinned(1), steps.Rollback),
    "and stays": (pinned(1, (revision(3, spec="spec-0", healthy=True),)), steps.Nothing),
    "whatever becomes of the rest of the spec": (
        replace(pinned(1, (revision(3, spec="spec-0", healthy=True),)), spec_digest="spec-9"),
        steps.Nothing,
    ),
    "it is scaled all the same": (
        replace(
            pinned(1, (revision(3, spec="spec-0", healthy=True),)),
            workloads=(workload(replicas=3),),
        ),
        steps.Scale,
    ),
    "to what runs already there is nothing to do": (pinned(2), steps.Nothing),
    "to a revision that is not there it can't": (pinned(7), steps.Stall),
    "nor to one of someone else's": (
        replace(pinned(1), revisions=(revision(1, ours=False), revision(2, healthy=True))),
        steps.Stall,
    ),
    "nor without any": (replace(pinned(1), revisions=()), steps.Stall),
    "what it was resolved to stands": (
        replace(pinned(1, pin=PIN), revisions=(revision(2), revision(5, spec="spec-0"))),
        steps.Nothing,
    ),
    "any revision that is the same will do": (
        replace(pinned(1, pin=PIN), revisions=(revision(2, spec="spec-0"), revision(5))),
        steps.Rollback,
    ),
    "another one of that number will not": (
        replace(pinned(1, pin=PIN), revisions=(revision(1, healthy=True),)),
        steps.Stall,
    ),
    "one that holds the daemons at zero would end them": (
        replace(pinned(1), revisions=(revision(1, spec="spec-0", parked=True), revision(2))),
        steps.Stall,
    ),
    "the same without that will do": (
        replace(
            pinned(1),
            revisions=(
                revision(1, spec="spec-0", parked=True),
                revision(2, spec="spec-0"),
                revision(3, healthy=True),
            ),
        ),
        steps.Rollback,
    ),
    "someone else's upgrade is gone back from": (
        replace(
            pinned(1, (revision(3, spec="spec-0"), revision(4, ours=False))), origin=THEIR_UPGRADE
        ),
        steps.Rollback,
    ),
    "so is someone's rollback to another one": (
        replace(
            pinned(1, (revision(3, spec="spec-0"), revision(4, ours=False, copy_of=2))),
            origin=THEIR_ROLLBACK,
        ),
        steps.Rollback,
    ),
    "someone's rollback to the same one is fine": (
        replace(
            pinned(1, (revision(3, ours=False, copy_of=1, spec="spec-0"),)),
            origin=replace(THEIR_ROLLBACK, target=1),
        ),
        steps.StampRevision,
    ),
    "a pinned pool that does not get ready goes nowhere": (
        replace(
            pinned(1, (revision(3, spec="spec-0", age=9000),)),
            workloads=(workload(ready=0),),
            pods=(pod(ready=False, age=9000),),
        ),
        steps.Nothing,
    ),
    "suspended it does not go back": (pinned(1, spec={"suspend": True}), steps.Nothing),
    # people with a helm command
    "a person's rollback is held": (held(), steps.Stall),
    "also after a restart": (held(origin=None, known=True), steps.Stall),
    "until the spec changes": (replace(held(known=True), spec_digest="spec-9"), steps.Upgrade),
    "a spec that was never tried is newer than the rollback": (
        replace(held(), spec_digest="spec-9"),
        steps.Upgrade,
    ),
    "a new chart is no reason to end it": (
        replace(
            held(known=True), revisions=(revision(2, chart="chart-0"), revision(3, ours=False))
        ),
        steps.Stall,
    ),
    "back at what the spec asks for it is fine": (
        held(revision(3, ours=False, copy_of=1), target=1),
        steps.StampRevision,
    ),
    "one that failed is put right": (
        snapshot(revisions=(revision(1), revision(2, "failed", ours=False))),
        steps.Upgrade,
    ),
    "a pool that is held is scaled": (
        replace(held(known=True), workloads=(workload(replicas=3),)),
        steps.Scale,
    ),
    # a pool that began at zero
    "what holds the daemons at zero is left at once": (
        snapshot(
            pool({"replicas": 0}),
            (revision(1, parked=True),),
            (workload(replicas=0, helm_owns_replicas=True, kvhelm_owns_replicas=True),),
        ),
        steps.Upgrade,
    ),
    "too many revisions are pruned": (
        snapshot(pool({"revisionHistoryLimit": 1}), (revision(1, "superseded"), revision(2))),
        steps.PruneHistory,
    ),
    # drift
    "what others may have changed is compared": (running(fields_changed=True), steps.Repair),
    "and put right before helm stumbles over it": (
        snapshot(revisions=(revision(1, spec="spec-0"),), fields_changed=True),
        steps.Repair,
    ),
    "a scale comes before it": (
        running(pool({"replicas": 3}), fields_changed=True),
        steps.Scale,
    ),
    "suspended, nothing is put right": (
        running(pool({"suspend": True}), fields_changed=True),
        steps.Nothing,
    ),
    "nor while helm is at it": (
        snapshot(revisions=(revision(1, "pending-upgrade"),), fields_changed=True),
        steps.Wait,
    ),
    "nor by a revision that failed": (
        snapshot(revisions=(revision(1, "failed"),), fields_changed=True),
        steps.Upgrade,
    ),
    "nor in a deleted pool": (running(pool(deleting=True), fields_changed=True), steps.Uninstall),
    "a repair that failed is tried again later": (
        running(fields_changed=True, failure=AWAY, retry_in=4),
        steps.Wait,
    ),
    "who undoes every repair is not fought without end": (
        running(fields_changed=True, repair_in=4),
        steps.Wait,
    ),
    "but holds up no upgrade": (
        snapshot(revisions=(revision(1, spec="spec-0"),), fields_changed=True, repair_in=4),
        steps.Repair,
    ),
    # someone else's things
    "a release of someone else stalls": (snapshot(revisions=(revision(1, uid=None),)), steps.Stall),
    "also one of a pool of the same name that is no more": (
        snapshot(revisions=(revision(1, uid="another"),)),
        steps.Stall,
    ),
    # failures
    "what failed for good is not tried again": (snapshot(failed=FAILED), steps.Stall),
    "unless the spec changed since": (
        snapshot(failed=FAILED.model_copy(update={"spec_digest": "spec-0"})),
        steps.Install,
    ),
    "or the chart": (
        snapshot(failed=FAILED.model_copy(update={"chart_digest": "chart-0"})),
        steps.Install,
    ),
    "an upgrade that failed for good is not tried again": (
        snapshot(revisions=(revision(1, "failed"),), failed=FAILED),
        steps.Stall,
    ),
    "an object in the way is looked for now and then": (snapshot(failed=IN_THE_WAY), steps.Recheck),
    "but not all the time": (snapshot(failed=IN_THE_WAY, recheck_in=10), steps.Stall),
    "what may pass is tried again later": (snapshot(failure=AWAY, retry_in=4), steps.Wait),
    "and then it is later": (snapshot(failure=AWAY, retry_in=0), steps.Install),
    "a scale does not wait for helm's next try": (
        snapshot(
            pool({"replicas": 3}),
            (revision(1, spec="spec-0"),),
            (workload(replicas=1),),
            failure=AWAY,
            retry_in=4,
        ),
        steps.Scale,
    ),
    "a spec that can't be read stalls": (snapshot(pool({"replicas": "many"})), steps.Stall),
    # a metadata service of the user's own
    "it is asked before anything is installed": (
        snapshot(pool(EXTERNAL), service=service()),
        steps.Preflight,
    ),
    "a place that can be used is claimed": (
        snapshot(pool(EXTERNAL), service=service(found=())),
        steps.Claim,
    ),
    "in spite of warnings": (
        snapshot(pool(EXTERNAL), service=service(found=(COMPACTS_NEVER,))),
        steps.Claim,
    ),
    "and then built on": (
        snapshot(pool(EXTERNAL), service=service(found=(), claimed=True)),
        steps.Install,
    ),
    "what blocks is waited for": (
        snapshot(pool(EXTERNAL), service=service(found=(TAKEN,))),
        steps.Wait,
    ),
    "and looked at again": (
        snapshot(pool(EXTERNAL), service=service(found=(TAKEN,), outdated=True)),
        steps.Preflight,
    ),
    "unless the user wants warnings only": (
        snapshot(pool(WARN), service=service(found=(TAKEN,))),
        steps.Install,
    ),
    "a change to another service is checked first": (
        snapshot(pool(EXTERNAL), revisions=(revision(1, spec="spec-0"),), service=service()),
        steps.Preflight,
    ),
    "any other change is not": (
        snapshot(
            pool(EXTERNAL, status=CLAIMED),
            revisions=(revision(1, spec="spec-0"),),
            service=service(),
        ),
        steps.Upgrade,
    ),
    "a pool that runs is left alone while its service is away": (
        running(pool(EXTERNAL, status=CLAIMED), service=service(healthy=False)),
        steps.Nothing,
    ),
    "one installed in spite of its preflight claims when it can": (
        running(pool(WARN), service=service(healthy=True, found=())),
        steps.Claim,
    ),
    "and not before": (
        running(pool(WARN), service=service(healthy=False, found=())),
        steps.Nothing,
    ),
    "nor all the time": (
        running(pool(WARN), service=service(healthy=True, found=()), failure=AWAY, retry_in=4),
        steps.Wait,
    ),
    # suspend
    "suspended, nothing is installed": (snapshot(pool({"suspend": True})), steps.Nothing),
    "nor scaled": (running(pool({"suspend": True, "replicas": 3})), steps.Nothing),
    # deletion
    "a deleted pool is uninstalled": (running(pool(deleting=True)), steps.Uninstall),
    "suspended or not": (running(pool({"suspend": True}, deleting=True)), steps.Uninstall),
    "readable or not": (running(pool({"replicas": "many"}, deleting=True)), steps.Uninstall),
    "once": (running(pool(deleting=True), uninstalled=True), steps.Wait),
    "its pods end first": (snapshot(pool(deleting=True), pods=(pod(),)), steps.Wait),
    "so do its other objects": (
        snapshot(pool(deleting=True), objects=(made(ending=True),)),
        steps.Wait,
    ),
    "objects whose release is gone are deleted one by one": (
        snapshot(pool(deleting=True), objects=(made(), made(ending=True))),
        steps.DeleteStrays,
    ),
    "once they had time to show that they end": (
        snapshot(pool(deleting=True), objects=(made(),), strays_in=4),
        steps.Wait,
    ),
    "a deletion that failed is tried again later": (
        snapshot(pool(deleting=True), objects=(made(),), failure=AWAY, retry_in=4),
        steps.Wait,
    ),
    "objects of others with our labels stay": (
        snapshot(pool(deleting=True), objects=(made(pool_uid=""), made(pool_uid="another"))),
        steps.VerifyUninstalled,
    ),
    "objects of a living pool are no strays": (snapshot(objects=(made(),)), steps.Install),
    "then what is left is looked for": (snapshot(pool(deleting=True)), steps.VerifyUninstalled),
    "what left nothing may go": (
        snapshot(pool(deleting=True), verified=True),
        steps.RemoveFinalizer,
    ),
    "its keys go first": (
        snapshot(pool(EXTERNAL, deleting=True, status=CLAIMED), verified=True, service=service()),
        steps.PurgeMetadata,
    ),
    "once they are gone it may go": (
        snapshot(
            pool(EXTERNAL, deleting=True, status=CLAIMED),
            verified=True,
            purged=True,
            service=service(),
        ),
        steps.RemoveFinalizer,
    ),
    "keys go also when the namespace takes our rights in it away": (
        running(
            pool(EXTERNAL, deleting=True, status=CLAIMED), service=service(), namespace_ends=True
        ),
        steps.PurgeMetadata,
    ),
    "keys that are to be kept are kept": (
        snapshot(pool(RETAIN, deleting=True, status=CLAIMED), verified=True, service=service()),
        steps.RemoveFinalizer,
    ),
    "keys of a place that was never claimed are not ours": (
        snapshot(pool(EXTERNAL, deleting=True), verified=True, service=service()),
        steps.RemoveFinalizer,
    ),
    "a service that is away is tried again": (
        snapshot(
            pool(EXTERNAL, deleting=True, status=CLAIMED),
            verified=True,
            service=service(),
            failure=AWAY,
            retry_in=4,
        ),
        steps.Wait,
    ),
    "a person may give up on its keys": (
        snapshot(
            pool(EXTERNAL, deleting=True, status=CLAIMED, abandoned=True),
            verified=True,
            service=service(),
            failure=AWAY,
            retry_in=4,
        ),
        steps.RemoveFinalizer,
    ),
    "a release of someone else stays": (
        snapshot(pool(deleting=True), revisions=(revision(1, uid=None),)),
        steps.RemoveFinalizer,
    ),
    "a pool that others hold is theirs": (
        snapshot(pool(deleting=True, finalizers=())),
        steps.Nothing,
    ),
    "an uninstall that was cut off is ended": (
        snapshot(revisions=(revision(1, "uninstalling", age=100),)),
        steps.Uninstall,
    ),
    "one that a person has begun is left to them": (
        snapshot(revisions=(revision(1, "uninstalling", age=99),), helm_ended=1),
        steps.Wait,
    ),
    "a person's uninstall is followed by an install": (
        snapshot(workloads=()),
        steps.Install,
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_the_step(row: str) -> None:
    picture, expected = ROWS[row]
    step = decide(picture, POLICY)
    assert type(step) is expected, step
    assert step.why


def test_the_next_revision_follows_the_highest() -> None:
    step = decide(snapshot(revisions=(revision(3, spec="spec-0"), revision(7, "failed"))), POLICY)
    assert isinstance(step, steps.Upgrade)
    assert step.revision == 8


def test_pruning_takes_the_oldest_and_never_the_current() -> None:
    picture = snapshot(
        pool({"revisionHistoryLimit": 2}),
        (*tuple(revision(n, "superseded") for n in (1, 2, 3)), revision(4)),
    )
    step = decide(picture, POLICY)
    assert isinstance(step, steps.PruneHistory)
    assert step.secrets == ("sh.helm.release.v1.p.v1", "sh.helm.release.v1.p.v2")


def test_pruning_leaves_the_last_that_was_healthy() -> None:
    picture = snapshot(
        pool({"revisionHistoryLimit": 1}),
        (revision(1), revision(2, healthy=True), revision(3), revision(4)),
    )
    step = decide(picture, POLICY)
    assert isinstance(step, steps.PruneHistory)
    assert step.secrets == ("sh.helm.release.v1.p.v1", "sh.helm.release.v1.p.v3")
    rest = replace(picture, revisions=(picture.revisions[1], picture.revisions[3]))
    assert isinstance(decide(rest, POLICY), steps.Nothing)


def test_a_helm_at_work_is_looked_at_when_its_deadline_is_over() -> None:
    step = decide(snapshot(revisions=(revision(1, "pending-install", age=40),)), POLICY)
    assert isinstance(step, steps.Wait)
    assert step.seconds == 60


def test_the_lowest_broken_pod_goes_first_and_only_that_very_pod() -> None:
    names = ("p-10", "p-2")
    step = decide(stuck(*(pod(name, template="t0", ready=False) for name in names)), POLICY)
    assert isinstance(step, steps.ReplaceStuckPod)
    assert (step.pod, step.uid) == ("p-2", "uid-of-p-2")


def test_a_pool_created_at_zero_never_starts_a_daemon() -> None:
    step = decide(snapshot(pool({"replicas": 0})), POLICY)
    assert isinstance(step, steps.Install)
    assert step.parked


def test_a_foreign_release_is_named_with_the_remedy() -> None:
    step = decide(snapshot(revisions=(revision(1, uid=None),)), POLICY)
    assert isinstance(step, steps.Stall)
    assert step.reason is Reason.RELEASE_IN_THE_WAY
    assert "helm uninstall p -n ns" in step.why


def test_an_unreadable_spec_names_the_field() -> None:
    step = decide(snapshot(pool({"replicas": "many"})), POLICY)
    assert step.why.startswith("spec.replicas: ")


@pytest.mark.parametrize("row", ROWS)
def test_a_decision_depends_on_the_picture_alone(row: str) -> None:
    picture: Snapshot = ROWS[row][0]
    assert decide(picture, POLICY) == decide(picture, POLICY)
