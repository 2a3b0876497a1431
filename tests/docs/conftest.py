"""The documentation is tried on the control plane and the operator that all cluster tests share."""

from tests.cluster.conftest import client, cluster, etcd, namespace, operator, run_state, stories

__all__ = ["client", "cluster", "etcd", "namespace", "operator", "run_state", "stories"]
