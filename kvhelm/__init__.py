"""kvhelm: distributed KV caches for LLM inference on Kubernetes, one Helm release a pool."""

__version__ = "0.1.0"
