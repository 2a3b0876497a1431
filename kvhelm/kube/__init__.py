"""A raw asyncio client of the Kubernetes API, a reflector, a work queue, a Lease: knows no pool."""
