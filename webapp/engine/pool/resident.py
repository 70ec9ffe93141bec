"""A model in memory, or on its way there, and the order in which policies let models go. Engine thread only."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from webapp.engine.limits import Policy, PoolLimits
from webapp.engine.prefill import PrefillPolicy
from webapp.engine.runner import Loading, Runner
from webapp.engine.snapshot import ModelState
from webapp.errors import HearthError
from webapp.generation import InstalledModel


@dataclass(eq=False, slots=True)
class Resident:
    """`estimate_bytes` counts until the weights are measured; `reserved_bytes` is the most KV that the batch may need.

    `leases` counts running and queued requests, `uses` all requests since the model was loaded. While draining, only
    requests up to `last_ticket` are still admitted. `wishes` are the futures of loads that people asked for.
    `outdated`: its files have been replaced on disk. `prefill` plans the runner's steps.
    """

    model: InstalledModel
    last_used: float
    estimate_bytes: int | None = None
    state: ModelState = "ready"
    runner: Runner | None = None
    prefill: PrefillPolicy = field(default_factory=PrefillPolicy)
    loading: Loading | None = None
    leases: int = 0
    uses: int = 0
    reserved_bytes: int = 0
    last_ticket: int | None = None
    unload_asked: bool = False
    outdated: bool = False
    wishes: list[Future[None]] = field(default_factory=list)
    error: HearthError | None = None

    @property
    def weights_bytes(self) -> int:
        if self.runner is not None:
            return self.runner.weights_bytes
        return (self.estimate_bytes or 0) if self.loading is not None else 0

    @property
    def kv_bytes(self) -> int:
        return self.runner.kv_bytes if self.runner else 0

    @property
    def prefix_cache_bytes(self) -> int:
        return self.runner.prefix_cache_bytes if self.runner else 0

    @property
    def committed_bytes(self) -> int:
        """Bytes of the weights and of the promised KV; the prefix cache gives way and does not count."""
        return self.weights_bytes + self.reserved_bytes

    @property
    def busy(self) -> bool:
        """Whether its batch holds sequences."""
        return self.runner is not None and bool(self.runner.sequences())

    @property
    def in_memory(self) -> bool:
        return self.runner is not None or self.loading is not None

    def takes(self, ticket: int) -> bool:
        """Whether a request may still join; a draining model takes only requests up to its `last_ticket`."""
        return self.last_ticket is None or ticket <= self.last_ticket

    def drain(self, last_ticket: int) -> None:
        self.last_ticket = last_ticket
        if self.state == "loaded":
            self.state = "draining"

    def stay(self) -> None:
        """Stop draining, unless a newer edition waits."""
        if self.outdated:
            return
        self.last_ticket = None
        if self.state == "draining":
            self.state = "loaded"


def idle_limit(resident: Resident, limits: PoolLimits) -> float:
    """Seconds of idling after which a model is unloaded; infinite when it never is."""
    seconds = limits.idle_seconds_of.get(resident.model.id, limits.idle_seconds)
    return seconds if seconds > 0 and resident.model.id not in limits.pinned else float("inf")


Order = Callable[[Resident, PoolLimits], tuple[float, ...]]

# The smallest goes first.
FIRST_TO_GO: dict[Policy, Order] = {
    "lru": lambda resident, _: (resident.last_used,),
    "lfu": lambda resident, _: (resident.uses, resident.last_used),
    "ttl": lambda resident, limits: (resident.last_used + idle_limit(resident, limits), resident.last_used),
}
