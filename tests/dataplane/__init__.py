"""The data plane for real: vineyardd, etcd and redis-server, each installed by the tests."""
