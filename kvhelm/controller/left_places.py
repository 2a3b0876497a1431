"""The places where a pool's metadata lay before it moved: what the status remembers of them. Pure.

A pool moves when its spec names another service or prefix. Its keys in the old place go once every
daemon has left it.
"""

from kvhelm.api.status import LeftPlace
from kvhelm.controller.snapshot import Snapshot
from kvhelm.values import Place

_LIMIT = 8


def left_for(snapshot: Snapshot) -> list[LeftPlace]:
    """Return the places whose keys are still to be deleted, the oldest first."""
    pool = snapshot.pool
    known, before = pool.status.metadata, list(pool.status.left)
    now = snapshot.service.place if snapshot.service else None
    retain = pool.spec is not None and pool.spec.deletion.metadata == "Retain"
    # (A spec that can't be read says nothing of a move.)
    if known and known.prefix and pool.spec is not None and not retain:
        place = Place(known.kind, tuple(known.endpoints), known.prefix)
        if place != now:
            before.append(
                LeftPlace(kind=place.kind, endpoints=list(place.endpoints), prefix=place.prefix)
            )
    left: list[LeftPlace] = []
    for each in before:
        if place_of(each) not in (now, *snapshot.left_purged) and each not in left:
            left.append(each)
    return left[-_LIMIT:]


def next_left(snapshot: Snapshot) -> Place | None:
    """Return the next place to purge; None if there is none, or a person gave up on it."""
    if snapshot.pool.abandons_metadata:
        return None
    left = (place_of(each) for each in snapshot.pool.status.left)
    return next((place for place in left if place not in snapshot.left_purged), None)


def place_of(left: LeftPlace) -> Place:
    """Return the place that a status remembers."""
    return Place(left.kind, tuple(left.endpoints), left.prefix)
