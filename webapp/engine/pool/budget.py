"""The memory limit: sums promises, evicts models to make room, refuses what never fits. Engine thread only."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping

from webapp.engine.cache_budget import CacheBudget
from webapp.engine.limits import PoolLimits
from webapp.engine.pool.resident import FIRST_TO_GO, Resident
from webapp.engine.runner import Runner
from webapp.engine.sequence import Sequence
from webapp.errors import OutOfMemory
from webapp.generation import Edition
from webapp.sizes import size

RETRY_AFTER_SECONDS = 5
EVICTED = "was evicted"


class NoRoom(Exception):
    """Raised while other models hold the memory. `refusal` is the error for a request that times out waiting."""

    def __init__(self, refusal: OutOfMemory):
        super().__init__(str(refusal))
        self.refusal = refusal


class Budget:
    """Reads the pool's residents. `evict(resident, how)` evicts one and returns a sentence that says so."""

    def __init__(
        self,
        residents: Mapping[Edition, Resident],
        caches: CacheBudget,
        limit_bytes: Callable[[], int],
        evict: Callable[[Resident, str], str],
    ):
        self._residents = residents
        self._caches = caches
        self._limit_bytes = limit_bytes
        self._evict = evict

    @property
    def limit_bytes(self) -> int:
        return self._limit_bytes()

    @property
    def committed_bytes(self) -> int:
        return sum(resident.committed_bytes for resident in self._residents.values())

    @property
    def prefix_cache_bytes(self) -> int:
        return self._caches.used_bytes

    @property
    def used_bytes(self) -> int:
        """Bytes of weights, KV and prefix caches in memory; a load counts with its estimate."""
        weights_and_kv = sum(resident.weights_bytes + resident.kv_bytes for resident in self._residents.values())
        return weights_and_kv + self.prefix_cache_bytes

    # What never fits

    def fit_weights(self, resident: Resident, needed_bytes: int, limits: PoolLimits) -> None:
        """Raises OutOfMemory when waiting would not help."""
        if 0 < limits.max_models <= sum(other.in_memory for other in self._pinned(resident, limits)):
            raise OutOfMemory(
                f"The model '{resident.model.id}' cannot be loaded: no more than {limits.max_models} may be at a time, "
                "and as many are pinned. Unpin one, or allow more in the settings."
            )
        most = self.limit_bytes - self._pinned_bytes(resident, limits)
        if needed_bytes > most:
            raise OutOfMemory(
                f"The model '{resident.model.id}' needs {size(needed_bytes)}; {self._said_of_limit(most)}. "
                "Raise the memory limit in the settings, or choose a smaller model."
            )

    def fit_answer(self, resident: Resident, runner: Runner, sequence: Sequence, limits: PoolLimits) -> None:
        """Shorten an answer to what fits if the client set no length. Raises OutOfMemory if it cannot fit."""
        most = self.limit_bytes - self._pinned_bytes(resident, limits)
        room = most - runner.weights_bytes
        if (needed := runner.kv_bytes_for([sequence.most_tokens])) <= room:
            return
        prompt = len(sequence.prompt.tokens)
        lengths = range(prompt + 1, sequence.most_tokens)
        fitting = bisect_right(lengths, room, key=lambda length: runner.kv_bytes_for([length]))
        if not sequence.length_is_ours or fitting == 0:
            raise OutOfMemory(
                f"This request needs {size(needed)} for its prompt of {prompt} tokens and an answer of up to "
                f"{sequence.max_tokens}, beside {size(runner.weights_bytes)} of weights; {self._said_of_limit(most)}. "
                "Lower max_tokens, or raise the memory limit in the settings."
            )
        sequence.max_tokens = fitting

    def _said_of_limit(self, most_bytes: int) -> str:
        limit = f"the memory limit is {size(self.limit_bytes)}"
        return limit if most_bytes == self.limit_bytes else f"{limit}, pinned models leave {size(max(0, most_bytes))}"

    def _pinned_bytes(self, asking: Resident, limits: PoolLimits) -> int:
        return sum(other.weights_bytes for other in self._pinned(asking, limits))

    def _pinned(self, asking: Resident, limits: PoolLimits) -> list[Resident]:
        return [each for each in self._residents.values() if each is not asking and each.model.id in limits.pinned]

    # Making room

    def make_room(self, needed_bytes: int, asking: Resident, limits: PoolLimits, caches_first: bool) -> None:
        """Drop prefix caches and evict idle models until `needed_bytes` fit. Raises NoRoom before evicting anything."""
        idle = self._idle(asking, limits)
        crowd = self._too_many(asking, limits)
        most = sum(resident.weights_bytes for resident in idle) + self.prefix_cache_bytes
        if self._short_of(needed_bytes) > most or crowd > len(idle):
            raise NoRoom(self._refusal(needed_bytes, asking, crowd > len(idle)))
        if caches_first:
            self._caches.shrink(self.prefix_cache_bytes - self._short_of(needed_bytes))
        for number, resident in enumerate(idle):
            if self._short_of(needed_bytes) > 0 or number < crowd:
                self._evict(resident, EVICTED)
        self._caches.shrink(self.prefix_cache_bytes - self._short_of(needed_bytes))

    def _short_of(self, needed_bytes: int) -> int:
        if needed_bytes <= 0:
            return 0
        return max(0, self.committed_bytes + self.prefix_cache_bytes + needed_bytes - self.limit_bytes)

    def _idle(self, asking: Resident | None, limits: PoolLimits) -> list[Resident]:
        """The models that may go, in order. A load that no request waits for spares models that requests wait for."""
        polite = asking is not None and not asking.leases
        idle = [
            resident
            for resident in self._residents.values()
            if resident.runner is not None
            and not resident.busy
            and resident is not asking
            and resident.model.id not in limits.pinned
            and not (polite and resident.leases)
        ]
        return sorted(idle, key=lambda resident: FIRST_TO_GO[limits.policy](resident, limits))

    def _too_many(self, asking: Resident, limits: PoolLimits) -> int:
        """How many models must go before `asking` may be loaded."""
        if not limits.max_models or asking.in_memory:
            return 0
        return max(0, sum(resident.in_memory for resident in self._residents.values()) + 1 - limits.max_models)

    def _refusal(self, needed_bytes: int, asking: Resident, crowded: bool) -> OutOfMemory:
        free = max(0, self.limit_bytes - self.committed_bytes)
        why = f"{size(needed_bytes)} more are needed; the memory limit is {size(self.limit_bytes)}, {size(free)} free"
        if crowded:
            why = "as many models are busy as may be loaded at a time"
        return OutOfMemory(f"There was no room for '{asking.model.id}' in time: {why}.", RETRY_AFTER_SECONDS)

    # Obeying

    def obey(self, limits: PoolLimits) -> list[str]:
        """Evict idle models while promises exceed the limit; caches get the rest. Returns sentences on what went."""
        gone = []
        for resident in self._idle(None, limits):
            loaded = sum(other.in_memory for other in self._residents.values())
            if self.committed_bytes > self.limit_bytes or (limits.max_models and loaded > limits.max_models):
                gone.append(self._evict(resident, EVICTED))
        self._caches.shrink(self.limit_bytes - self.committed_bytes)
        return gone

    def must_drain(self, limits: PoolLimits) -> list[Resident]:
        """The models that cannot stay though they are busy or loading: too many, or their weights alone too large."""
        leaving: list[Resident] = []
        staying = [resident for resident in self._residents.values() if resident.in_memory]
        for resident in sorted(staying, key=lambda each: FIRST_TO_GO[limits.policy](each, limits)):
            weights = sum(other.weights_bytes for other in staying)
            too_many = limits.max_models and len(staying) > limits.max_models
            if (weights > self.limit_bytes or too_many) and resident.model.id not in limits.pinned:
                staying.remove(resident)
                leaving.append(resident)
        return leaving
