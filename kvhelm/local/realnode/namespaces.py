"""New namespaces for the caller alone. Python 3.12 has os.unshare; this is for 3.11 as well."""

import ctypes
import os

CLONE_NEWCGROUP = 0x02000000
CLONE_NEWNET = 0x40000000


def leave(kind: int) -> None:
    """Move the calling thread into a new namespace of that kind. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(kind):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
