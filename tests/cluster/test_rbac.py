"""What deploy/ grants the operator, and no more."""

import pytest

from kvhelm.local.operator import install_operator
from tests.cluster.operators import may
from tests.cluster.stories import Stories

NEEDED = [
    ("list", "secrets"),
    ("watch", "pods"),
    ("delete", "pods"),
    ("patch", "kvcachepools.kvcache.aibrix.ai"),
    ("patch", "kvcachepools.kvcache.aibrix.ai/status"),
]
NEVER = [
    ("create", "pods"),
    ("create", "pods/exec"),
    ("get", "pods/log"),
    ("delete", "kvcachepools.kvcache.aibrix.ai"),
    ("create", "kvcachepools.kvcache.aibrix.ai"),
    ("create", "serviceaccounts/token"),
    ("create", "roles.rbac.authorization.k8s.io"),
    ("bind", "roles.rbac.authorization.k8s.io"),
    ("escalate", "roles.rbac.authorization.k8s.io"),
    ("create", "rolebindings.rbac.authorization.k8s.io"),
    ("impersonate", "serviceaccounts"),
    ("create", "deployments.apps"),
    ("create", "persistentvolumeclaims"),
    ("delete", "persistentvolumeclaims"),
    ("get", "leases.coordination.k8s.io"),
]
NEVER_IN_THE_CLUSTER = [
    ("list", "nodes"),
    ("get", "nodes/proxy"),
    ("list", "namespaces"),
    ("create", "clusterrolebindings.rbac.authorization.k8s.io"),
    ("bind", "clusterroles.rbac.authorization.k8s.io"),
    ("impersonate", "users"),
    ("patch", "customresourcedefinitions.apiextensions.k8s.io"),
    ("create", "validatingwebhookconfigurations.admissionregistration.k8s.io"),
]


@pytest.mark.parametrize("everywhere", [False, True], ids=["named", "all"])
async def test_what_the_operator_may_not(alone: Stories, everywhere: bool) -> None:
    account = "kvhelm"  # of the quiet control plane, for all namespaces
    if not everywhere:
        account = f"named-{alone.namespace[-6:]}"
        install_operator(alone.cluster, release=account, namespaces=[alone.namespace])

    async def allowed(asked: list[tuple[str, str]], namespace: str) -> list[tuple[str, str]]:
        return [
            (verb, resource)
            for verb, resource in asked
            if await may(alone.client, account, verb, resource, namespace)
        ]

    assert await allowed(NEEDED, alone.namespace) == NEEDED
    assert await allowed(NEVER, alone.namespace) == []
    assert await allowed(NEVER_IN_THE_CLUSTER, "") == []
    # Elsewhere a pool may be let go (its namespace takes our rights there with it), no more.
    letting_go = [("patch", "kvcachepools.kvcache.aibrix.ai")]
    assert await allowed(NEEDED, "kube-system") == (NEEDED if everywhere else letting_go)
