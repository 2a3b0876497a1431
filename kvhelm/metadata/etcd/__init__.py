"""etcd, through aetcd: https://etcd.io/docs/latest/learning/api/."""

from kvhelm.metadata.etcd.service import EtcdService

__all__ = ["EtcdService"]
