"""The loaded models: loads and unloads them, and counts the leases of their requests. Engine thread only.

Memory is promised before it is taken: a load reserves its estimate, an admitted sequence the KV it may come to.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from math import isfinite

from webapp.engine.cache_budget import CacheBudget
from webapp.engine.limits import PoolLimits
from webapp.engine.pool.budget import Budget, NoRoom
from webapp.engine.pool.resident import Resident, idle_limit
from webapp.engine.prefill import PrefillPolicy
from webapp.engine.runner import Loader, Runner
from webapp.engine.sequence import Sequence
from webapp.engine.snapshot import ModelSnapshot
from webapp.errors import Conflict, EngineStopped, HearthError, ModelLoadFailed, ModelReplaced
from webapp.generation import Edition, InstalledModel
from webapp.sizes import size

log = logging.getLogger(__name__)

NO_MORE = -1
ALL_TICKETS = sys.maxsize
DRAINED = "was unloaded"
REPLACED = "was unloaded, as its files were replaced"


class Pool:
    """Models side by side under one memory limit."""

    def __init__(self, loader: Loader, limits: PoolLimits, clock: Callable[[], float]):
        self._loader = loader
        self._clock = clock
        self._residents: dict[Edition, Resident] = {}
        self._fulfilled: list[tuple[Future[None], HearthError | None]] = []
        self.limits = limits
        self.caches = CacheBudget(limits.prefix_cache_bytes)
        self.budget = Budget(self._residents, self.caches, self._limit_bytes, self._evict)

    def _limit_bytes(self) -> int:
        return self.limits.memory.bytes_of(self._loader.memory_bytes())

    # Requests

    def lease(self, model: InstalledModel) -> None:
        """Count a request that needs this model; a model that failed to load is tried again."""
        resident = self._resident(model)
        resident.leases += 1
        resident.uses += 1

    def release(self, sequence: Sequence) -> None:
        resident = self._residents[sequence.model.edition]
        resident.leases -= 1
        resident.last_used = self._clock()
        self._reserve_for_batch(resident)
        self._forget_unwanted(resident)

    def want(self, sequence: Sequence) -> Runner | None:
        """The runner that a leased request may join now, or None while it loads, or it or a former edition drains.

        Raises NoRoom while others hold the memory, OutOfMemory when it can never fit, and the error of a failed load.
        """
        resident, ticket = self._residents[sequence.model.edition], sequence.ticket
        if not resident.takes(ticket) and not resident.busy and resident.runner is not None:
            self._evict(resident, DRAINED)
        if resident.state == "ready":
            self._begin(resident)
        if resident.error is not None:
            raise resident.error.again()
        return resident.runner if resident.takes(ticket) else None

    def reserve(self, sequence: Sequence) -> None:
        """Promise a sequence the most KV that it may need. Raises NoRoom, or OutOfMemory when it can never fit."""
        resident = self._residents[sequence.model.edition]
        assert resident.runner is not None
        self.budget.fit_answer(resident, resident.runner, sequence, self.limits)
        lengths = [other.most_tokens for other in resident.runner.sequences()]
        promised = resident.runner.kv_bytes_for([*lengths, sequence.most_tokens])
        self.budget.make_room(promised - resident.reserved_bytes, resident, self.limits, caches_first=True)
        resident.reserved_bytes = promised

    def _reserve_for_batch(self, resident: Resident) -> None:
        if resident.runner is not None:
            lengths = [sequence.most_tokens for sequence in resident.runner.sequences()]
            resident.reserved_bytes = resident.runner.kv_bytes_for(lengths) if lengths else 0

    # What people ask for

    def load(self, model: InstalledModel, done: Future[None]) -> None:
        """Load the newest edition as soon as there is room; `done` completes, or fails with the reason."""
        known = (each.model for each in self._editions(model.id))
        resident = self._resident(max([model, *known], key=lambda each: each.read_at))
        resident.wishes.append(done)
        resident.unload_asked = False
        resident.stay()
        if resident.runner is not None:
            resident.last_used = self._clock()
            self._fulfil(resident)

    def unload(self, model_id: str, last_ticket: int) -> str:
        """Unload now, or after the requests up to `last_ticket`; returns a sentence on which. Raises Conflict."""
        editions = [each for each in self._editions(model_id) if each.in_memory or each.wishes]
        if not editions:
            raise Conflict(f"The model '{model_id}' is not loaded.", "model", "not_loaded")
        if model_id in self.limits.pinned:
            raise Conflict(f"The model '{model_id}' is pinned. Unpin it first.", "model", "pinned")
        for each in editions:
            self._fulfil(each, Conflict(f"The model '{model_id}' was unloaded meanwhile.", "model", "not_loaded"))
            self._forget_unwanted(each)
        resident = next((each for each in editions if each.in_memory), editions[0])
        if resident.leases == 0:
            return self._evict(resident, DRAINED)
        resident.unload_asked = True
        resident.drain(last_ticket)
        return f"{model_id} is draining: {requests(resident.leases)} will finish first."

    # Each step

    @property
    def loading(self) -> bool:
        return any(resident.loading is not None for resident in self._residents.values())

    def advance(self) -> Edition | None:
        """Begin the wished loads, then do one slice of the oldest; returns the edition that became ready, if any."""
        for wished in [each for each in self._residents.values() if each.wishes and each.state == "ready"]:
            try:
                self._begin(wished)
            except NoRoom:
                continue
        resident = next((r for r in self._residents.values() if r.loading is not None), None)
        if resident is None or (loading := resident.loading) is None:
            return None
        with self._keeping_failure(resident):
            resident.runner = loading.advance()
            if resident.runner is not None:
                self._loaded(resident)
                return resident.model.edition
        if resident.state == "failed":
            loading.close()  # only now: the exception's traceback held the weights read so far
        return None

    def settle(self) -> list[str]:
        """Evict models that are drained, idle too long, or over the limit. Returns sentences on what went."""
        now = self._clock()
        gone = []
        for resident in [each for each in self._residents.values() if each.in_memory and not each.busy]:
            idle = resident.runner is not None and not resident.leases
            if resident.last_ticket == NO_MORE or (idle and resident.last_ticket is not None):
                gone.append(self._evict(resident, DRAINED))
            elif idle and now - resident.last_used >= idle_limit(resident, self.limits):
                gone.append(self._evict(resident, "was unloaded after idling"))
        return gone + self.budget.obey(self.limits)

    def configure(self, limits: PoolLimits) -> list[str]:
        """Obey new limits: idle models go at once, busy ones finish first. Returns sentences on what happened."""
        self.limits = limits
        self.caches.obey(limits.prefix_cache_bytes)
        for resident in self._residents.values():
            if not resident.unload_asked:
                resident.stay()
        effects = self.settle()
        for resident in self.budget.must_drain(limits):
            resident.drain(NO_MORE)
            if resident.busy:
                effects.append(f"{resident.model.id} is draining: {requests(resident.leases)} will finish or wait.")
        return effects + self.settle()

    @property
    def has_news(self) -> bool:
        return bool(self._fulfilled)

    def tell(self) -> None:
        """Complete the futures of loads that have ended; call it once the snapshot shows their outcome."""
        for wish, error in self._fulfilled:
            if error is None:
                wish.set_result(None)
            else:
                wish.set_exception(error.again())
        self._fulfilled.clear()

    # Loading

    def _fulfil(self, resident: Resident, error: HearthError | None = None) -> None:
        self._fulfilled += [(wish, error) for wish in resident.wishes]
        resident.wishes.clear()

    def _resident(self, model: InstalledModel) -> Resident:
        """The resident of the model's edition, made if missing: older editions then leave, a newer one outdates it."""
        resident = self._residents.get(model.edition)
        if resident is None or resident.state == "failed":
            leases = resident.leases if resident else 0
            resident = self._residents[model.edition] = Resident(model, self._clock(), leases=leases)
        elif model.read_at > resident.model.read_at:
            resident.model = model
        others = [each for each in self._editions(model.id) if each is not resident]
        resident.outdated = any(each.model.read_at > resident.model.read_at for each in others)
        if others and not resident.outdated:
            self._replace(others, resident)
        return resident

    def _editions(self, model_id: str) -> list[Resident]:
        return [resident for resident in self._residents.values() if resident.model.id == model_id]

    def _replace(self, others: list[Resident], newest: Resident) -> None:
        """Unload editions that are no longer on disk, each after the requests that were made for it."""
        if newest.last_ticket == ALL_TICKETS:  # its files have come back
            newest.stay()
        for older in others:
            newest.wishes += older.wishes
            older.wishes.clear()
            older.outdated = True
            if older.runner is not None and older.leases:
                older.drain(ALL_TICKETS)
            elif older.in_memory:
                self._evict(older, REPLACED)
            else:
                self._forget_unwanted(older)
        if newest.runner is not None:
            self._fulfil(newest)

    def _begin(self, resident: Resident) -> None:
        """Start loading once there is room and no former edition is left.

        Raises NoRoom; any other error is stored as this model's failure.
        """
        with self._keeping_failure(resident):
            if resident.outdated:
                raise ModelReplaced(resident.model.id)
            if any(each.in_memory for each in self._editions(resident.model.id)):
                return
            if resident.estimate_bytes is None:
                resident.estimate_bytes = self._loader.estimate_bytes(resident.model)
            self.budget.fit_weights(resident, resident.estimate_bytes, self.limits)
            self.budget.make_room(resident.estimate_bytes, resident, self.limits, caches_first=False)
            resident.loading = self._loader.open(resident.model, self.caches)
            resident.state = "loading"

    def _loaded(self, resident: Resident) -> None:
        resident.loading, resident.state, resident.prefill = None, "loaded", PrefillPolicy()
        resident.last_used, resident.uses = self._clock(), resident.leases
        if resident.last_ticket is not None:
            resident.drain(resident.last_ticket)
        log.info("loaded %s: %s", resident.model.id, size(resident.weights_bytes))
        self._fulfil(resident)

    @contextmanager
    def _keeping_failure(self, resident: Resident) -> Iterator[None]:
        """Store any error as this model's failure alone, since model folders come from strangers."""
        try:
            yield
        except NoRoom:
            raise
        except Exception as error:
            log.warning("loading %s failed: %s", resident.model.id, error)
            if not isinstance(error, HearthError):
                error = ModelLoadFailed(f"The model '{resident.model.id}' does not load: {error}")
            resident.error, resident.loading, resident.state = error.with_traceback(None), None, "failed"
            self._fulfil(resident, error)

    def _evict(self, resident: Resident, how: str) -> str:
        words = f"{resident.model.id} {how}"
        log.info("%s: %s", words, size(resident.weights_bytes))
        if (held := resident.runner or resident.loading) is not None:
            held.close()
        resident.runner, resident.loading, resident.state = None, None, "ready"
        resident.reserved_bytes, resident.unload_asked = 0, False
        resident.last_ticket = None
        self._forget_unwanted(resident)
        return f"{words}."

    def _forget_unwanted(self, resident: Resident) -> None:
        gone = resident.state == "ready" or (resident.state == "failed" and resident.outdated)
        if gone and not resident.leases and not resident.wishes:
            self._residents.pop(resident.model.edition, None)

    def close(self) -> None:
        for resident in list(self._residents.values()):
            self._fulfil(resident, EngineStopped("Hearth is shutting down."))
            self._evict(resident, DRAINED)
        self.tell()

    # What others read

    def runners(self) -> Iterator[tuple[Runner, PrefillPolicy]]:
        """The loaded runners, each with the policy that has learnt its speed."""
        for resident in list(self._residents.values()):
            if resident.runner is not None:
                yield resident.runner, resident.prefill

    def snapshot(self) -> tuple[ModelSnapshot, ...]:
        """One snapshot per model: of its edition in memory, else of its newest."""
        shown: dict[str, Resident] = {}
        for resident in sorted(self._residents.values(), key=lambda each: (each.in_memory, not each.outdated)):
            shown[resident.model.id] = resident
        return tuple(self._snapshot_of(each) for each in self._residents.values() if each is shown[each.model.id])

    def _snapshot_of(self, resident: Resident) -> ModelSnapshot:
        idle = 0.0 if resident.leases else self._clock() - resident.last_used
        left = idle_limit(resident, self.limits) - idle
        return ModelSnapshot(
            id=resident.model.id,
            state=resident.state,
            pinned=resident.model.id in self.limits.pinned,
            leases=resident.leases,
            running=len(resident.runner.sequences()) if resident.runner else 0,
            weights_bytes=resident.weights_bytes,
            kv_bytes=resident.kv_bytes,
            reserved_bytes=resident.reserved_bytes,
            prefix_cache_bytes=resident.prefix_cache_bytes,
            idle_seconds=idle,
            unload_in_seconds=max(0.0, left) if isfinite(left) and resident.runner and not resident.leases else None,
            reason=str(resident.error) if resident.error else None,
        )


def requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count} requests"
