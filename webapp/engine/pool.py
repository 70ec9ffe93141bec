"""The loaded models: which may load, which must go, who holds a lease. Engine thread only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from webapp.engine.runner import Loader, Loading, Runner
from webapp.engine.snapshot import ModelSnapshot, ModelState
from webapp.errors import HearthError, ModelLoadFailed, OutOfMemory
from webapp.generation import InstalledModel

log = logging.getLogger(__name__)
GB = 1e9


@dataclass(eq=False, slots=True)
class Resident:
    """A model in memory, or on its way there. `estimate_bytes` counts until the weights are measured."""

    model: InstalledModel
    last_used: float
    estimate_bytes: int = 0
    state: ModelState = "ready"
    runner: Runner | None = None
    loading: Loading | None = None
    leases: int = 0
    error: HearthError | None = None

    @property
    def nbytes(self) -> int:
        if self.runner is not None:
            return self.runner.weights_bytes + self.runner.kv_bytes + self.runner.prefix_cache_bytes
        return self.estimate_bytes if self.loading is not None else 0


class Pool:
    """Models side by side under one memory limit; the least recently used idle one goes first."""

    policy = "lru"

    def __init__(self, loader: Loader, limit_bytes: int, clock: Callable[[], float]):
        self.limit_bytes = limit_bytes
        self._loader = loader
        self._clock = clock
        self._residents: dict[str, Resident] = {}

    def lease(self, model: InstalledModel) -> None:
        """Keep a model from being evicted; a failed one is given another try."""
        resident = self._residents.get(model.id)
        if resident is None or resident.state == "failed":
            leases = resident.leases if resident else 0
            resident = self._residents[model.id] = Resident(model, self._clock(), leases=leases)
        resident.leases += 1

    def release(self, model_id: str) -> None:
        resident = self._residents[model_id]
        resident.leases -= 1
        resident.last_used = self._clock()
        if resident.leases == 0 and resident.state == "ready":
            del self._residents[model_id]

    def runners(self) -> Iterator[tuple[str, Runner]]:
        for model_id, resident in list(self._residents.items()):
            if resident.runner is not None:
                yield model_id, resident.runner

    def want(self, model_id: str) -> Runner | None:
        """The runner of a leased model, or None while it loads or waits for room.

        Raises OutOfMemory when it can never fit, and the reason of a load that failed.
        """
        resident = self._residents[model_id]
        if resident.state == "ready":
            with self._keeping_failure(resident):
                self._begin(resident)
        if resident.error is not None:
            raise resident.error
        return resident.runner

    def advance(self) -> bool:
        """Do one slice of the oldest load; False when nothing loads. `want` raises what went wrong."""
        resident = next((r for r in self._residents.values() if r.loading is not None), None)
        if resident is None or resident.loading is None:
            return False
        with self._keeping_failure(resident):
            resident.runner = resident.loading.advance()
            if resident.runner is not None:
                resident.loading, resident.state = None, "loaded"
                log.info("loaded %s: %.2f GB", resident.model.id, resident.runner.weights_bytes / GB)
        return True

    @contextmanager
    def _keeping_failure(self, resident: Resident) -> Iterator[None]:
        """A model folder comes from a stranger: whatever it makes go wrong is this model's failure alone."""
        try:
            yield
        except Exception as error:
            log.warning("loading %s failed: %s", resident.model.id, error)
            if not isinstance(error, HearthError):
                error = ModelLoadFailed(f"The model '{resident.model.id}' does not load: {error}")
            resident.error, resident.loading, resident.state = error, None, "failed"

    def _begin(self, resident: Resident) -> None:
        """Start loading if there is, or can be made, room."""
        resident.estimate_bytes = self._loader.estimate_bytes(resident.model)
        if self._make_room(resident.estimate_bytes):
            resident.loading = self._loader.open(resident.model)
            resident.state = "loading"

    def _make_room(self, needed_bytes: int) -> bool:
        """Evict idle models, then drop prefix caches, until `needed_bytes` fit.

        False, with nothing evicted, when running requests must end first.
        """
        if needed_bytes > self.limit_bytes:
            raise OutOfMemory(
                f"The model needs {needed_bytes / GB:.1f} GB; the memory limit is {self.limit_bytes / GB:.1f} GB."
            )
        idle = sorted((r for r in self._residents.values() if r.runner and not r.leases), key=lambda r: r.last_used)
        caches = sum(r.runner.prefix_cache_bytes for r in self._residents.values() if r.runner and r.leases)
        if self.used_bytes + needed_bytes - sum(r.nbytes for r in idle) - caches > self.limit_bytes:
            return False
        for resident in idle:
            if self.used_bytes + needed_bytes > self.limit_bytes:
                self._evict(resident)
        excess = self.used_bytes + needed_bytes - self.limit_bytes
        if excess > 0:
            self.trim_prefix_caches(self.prefix_cache_bytes - excess)
        return True

    def _evict(self, resident: Resident) -> None:
        log.info("evicted %s: %.2f GB", resident.model.id, resident.nbytes / GB)
        if resident.runner is not None:
            resident.runner.close()
        del self._residents[resident.model.id]

    @property
    def used_bytes(self) -> int:
        return sum(resident.nbytes for resident in self._residents.values())

    @property
    def prefix_cache_bytes(self) -> int:
        return sum(runner.prefix_cache_bytes for _, runner in self.runners())

    def trim_prefix_caches(self, budget_bytes: int) -> None:
        """Hold all prefix caches together within a budget; the longest unused model gives first."""
        excess = self.prefix_cache_bytes - budget_bytes
        for resident in sorted(self._residents.values(), key=lambda r: (r.leases > 0, r.last_used)):
            if excess <= 0:
                return
            if resident.runner is not None:
                held = resident.runner.prefix_cache_bytes
                resident.runner.trim_prefix_cache(max(0, held - excess))
                excess -= held - resident.runner.prefix_cache_bytes

    def close(self) -> None:
        for resident in list(self._residents.values()):
            self._evict(resident)

    def snapshot(self) -> tuple[ModelSnapshot, ...]:
        now = self._clock()
        return tuple(
            ModelSnapshot(
                id=resident.model.id,
                state=resident.state,
                pinned=False,
                leases=resident.leases,
                weights_bytes=resident.runner.weights_bytes if resident.runner else resident.estimate_bytes,
                kv_bytes=resident.runner.kv_bytes if resident.runner else 0,
                idle_seconds=0.0 if resident.leases else now - resident.last_used,
                reason=str(resident.error) if resident.error else None,
            )
            for resident in self._residents.values()
        )
