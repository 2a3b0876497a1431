"""What a KVCachePool is: pydantic models of its spec and status, and the words of its conditions."""
