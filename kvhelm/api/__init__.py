"""What a KVCachePool is: models of its spec and status, and the words of its conditions."""
