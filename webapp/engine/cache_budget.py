"""One byte limit for the prefix caches of all models, and the order in which entries go. Engine thread only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

# An entry that a later prompt has used is ordered as if used this many requests later than it was.
SHARED_REQUESTS = 64


class CacheKey(NamedTuple):
    """The owner of a KV cache entry, and a fingerprint of its other inputs. Prompts find only entries of their key."""

    owner: str = ""
    fingerprint: str = ""


ANYBODYS = CacheKey()


@dataclass(eq=False, slots=True)
class CachedPrefix:
    """The KV of a prompt's first tokens. `layers` belong to the prefix cache that stores them; nothing else reads them.

    `drop` removes it from its cache. `shared`: a later prompt began with it. `last_request` numbers its last use.
    """

    tokens: tuple[int, ...]
    layers: list[Any]
    nbytes: int
    drop: Callable[[CachedPrefix], None]
    key: CacheKey = ANYBODYS
    shared: bool = False
    last_request: int = 0

    @property
    def worth(self) -> int:
        return self.last_request + (SHARED_REQUESTS if self.shared else 0)


class CacheBudget:
    """Orders the entries of all prefix caches by their last use, and drops the first while they exceed the limit."""

    def __init__(self, limit_bytes: int):
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._requests = 0
        self._single: OrderedDict[CachedPrefix, None] = OrderedDict()
        self._shared: OrderedDict[CachedPrefix, None] = OrderedDict()

    def obey(self, limit_bytes: int) -> None:
        """Set a new limit and drop entries until it holds."""
        self.limit_bytes = limit_bytes
        self.shrink(limit_bytes)

    def add(self, entry: CachedPrefix) -> None:
        """Add an entry as the last to go, then drop entries until the limit holds."""
        entry.last_request = self._requests
        self._order_of(entry)[entry] = None
        self.used_bytes += entry.nbytes
        self.shrink(self.limit_bytes)

    def remove(self, entry: CachedPrefix) -> None:
        """Stop counting an entry that its cache has removed."""
        del self._order_of(entry)[entry]
        self.used_bytes -= entry.nbytes

    def count_request(self, used: CachedPrefix | None) -> None:
        """Count one more prompt. The entry that it used, if any, becomes the last to go."""
        self._requests += 1
        if used is not None:
            del self._order_of(used)[used]
            used.shared, used.last_request = True, self._requests
            self._shared[used] = None

    def shrink(self, most_bytes: int) -> None:
        """Drop entries until at most `most_bytes` are held."""
        while self.used_bytes > max(0, most_bytes):
            entry = self._first_to_go()
            self.remove(entry)
            entry.drop(entry)

    def _order_of(self, entry: CachedPrefix) -> OrderedDict[CachedPrefix, None]:
        return self._shared if entry.shared else self._single

    def _first_to_go(self) -> CachedPrefix:
        fronts = [next(iter(order)) for order in (self._single, self._shared) if order]
        return min(fronts, key=lambda entry: entry.worth)
