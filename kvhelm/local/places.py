"""Where kvhelm keeps things of its own on this machine."""

import os
from pathlib import Path


def cache_root() -> Path:
    """Return the per-user cache: $KVHELM_CACHE, or `kvhelm` under the XDG cache folder."""
    return _root("KVHELM_CACHE", "XDG_CACHE_HOME", ".cache")


def state_root() -> Path:
    """Return the per-user state: $KVHELM_STATE, or `kvhelm` under the XDG state folder."""
    return _root("KVHELM_STATE", "XDG_STATE_HOME", ".local/state")


def _root(own: str, xdg: str, fallback: str) -> Path:
    if chosen := os.environ.get(own):
        return Path(chosen).expanduser().absolute()
    # The XDG specification: a relative path is to be ignored.
    base = Path(os.environ.get(xdg, ""))
    return (base if base.is_absolute() else Path.home() / fallback) / "kvhelm"
