"""What is known of the objects of one resource, newest version of each."""

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from kvhelm.kube.resource import Object

T = TypeVar("T")
Key = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""
Handler = Callable[[T | None, T | None], None]

log = logging.getLogger(__name__)


def key_of(obj: Object) -> Key:
    """Return the key of an object."""
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def version_of(obj: Object) -> int:
    """Return the resourceVersion of an object as a number; 0 where the server gives none.

    Versions of one resource may be compared as numbers since Kubernetes 1.35 (KEP-5504), and
    could be, unpromised, with every server that keeps its objects in etcd.
    """
    return number_of(obj["metadata"].get("resourceVersion", ""))


def number_of(version: str) -> int:
    """Return a resourceVersion as a number, 0 if it is none."""
    return int(version) if version.isdecimal() else 0


class Cache(Mapping[Key, T]):
    """Objects by key, each passed through `transform` when it came; read it, don't change it.

    Writes and watch events come here in any order: whatever is newer by resourceVersion stays.
    """

    def __init__(self, transform: Callable[[Object], T]) -> None:
        self._transform = transform
        self._objects: dict[Key, T] = {}
        self._versions: dict[Key, int] = {}
        self._indexes: list[Index[T]] = []
        self._handlers: list[Handler[T]] = []

    def __getitem__(self, key: Key) -> T:
        return self._objects[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def add_handler(self, handler: Handler[T]) -> None:
        """Call `handler(old, new)` after each change, beginning with the next one.

        `old` is None for an object that was not known, `new` for one that is gone. Indexes are up
        to date by then. It is called synchronously and must be quick; what it raises is logged.
        """
        self._handlers.append(handler)

    def add_index(self, index: "Index[T]") -> None:
        """Keep `index` up to date; what is known already is entered at once."""
        self._indexes.append(index)
        for key, obj in self._objects.items():
            index.update(key, None, obj)

    def version(self, key: Key) -> int:
        """Return the version of the object known under `key`; -1 if there is none."""
        return self._versions.get(key, -1)

    def store(self, obj: Object) -> bool:
        """Take `obj` in if it is newer than what is known; tell whether it was."""
        key, version = key_of(obj), version_of(obj)
        if version and version <= self._versions.get(key, -1):
            return False
        try:
            new = self._transform(obj)
        except Exception:
            # To drop the object would look like its deletion: what was known stays.
            log.exception(
                "%s %s/%s cannot be taken into the cache", obj.get("kind", "object"), *key
            )
            return False
        self._versions[key] = version
        old = self._objects.get(key)
        self._objects[key] = new
        self._tell(key, old, new)
        return True

    def remove(self, key: Key, version: int) -> bool:
        """Take an object out that was deleted at `version`, unless a newer one has its name."""
        if version and version < self._versions.get(key, -1):
            return False
        old = self._objects.pop(key, None)
        if self._versions.pop(key, None) is None:
            return False
        self._tell(key, old, None)
        return True

    def _tell(self, key: Key, old: T | None, new: T | None) -> None:
        for index in self._indexes:
            index.update(key, old, new)
        for handler in self._handlers:
            try:
                handler(old, new)
            except Exception:
                log.exception("a handler failed on a change of %s/%s", *key)


class Index(Generic[T]):
    """Finds the keys of a cache's objects by a value that they hold.

    `values` gives the values under which an object is to be found: none, one or many.
    """

    def __init__(self, cache: Cache[T], values: Callable[[T], Iterable[Hashable]]) -> None:
        self._values = values
        self._keys: dict[Hashable, set[Key]] = {}
        cache.add_index(self)

    def __getitem__(self, value: Hashable) -> frozenset[Key]:
        """Return the keys of all objects under `value`; empty if there are none."""
        return frozenset(self._keys.get(value, ()))

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._keys)

    def update(self, key: Key, old: T | None, new: T | None) -> None:
        """Follow one change of the cache."""
        before = self._values_of(old)
        after = self._values_of(new)
        for value in before - after:
            keys = self._keys[value]
            keys.discard(key)
            if not keys:
                del self._keys[value]
        for value in after - before:
            self._keys.setdefault(value, set()).add(key)

    def _values_of(self, obj: T | None) -> set[Hashable]:
        if obj is None:
            return set()
        try:
            return set(self._values(obj))
        except Exception:
            log.exception("an object cannot be indexed")
            return set()
