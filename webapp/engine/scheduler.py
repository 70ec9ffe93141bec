"""Who is admitted to the batch, and how long a prefill may hold up running answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from webapp.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Limits:
    """The scheduling settings the engine obeys; a new one takes effect between two steps."""

    batch_size: int = 32
    max_waiting: int = 256
    prefill_tokens: int = 2048
    stall_seconds: float = 0.05
    prefix_cache_bytes: int = 1 << 30


class Scheduler:
    """Sequences waiting for a place, first come first served within each model."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Sequence]] = {}

    def add(self, sequence: Sequence) -> None:
        self._waiting.setdefault(sequence.model.id, deque()).append(sequence)

    def remove(self, sequence: Sequence) -> bool:
        """Take a sequence out of the queue; False when it is not in it."""
        queue = self._waiting.get(sequence.model.id, deque())
        if sequence not in queue:
            return False
        queue.remove(sequence)
        self._drop_if_empty(sequence.model.id)
        return True

    def waiting(self) -> Iterator[Sequence]:
        for queue in self._waiting.values():
            yield from queue

    def models(self) -> list[str]:
        """Ids of the models somebody waits for."""
        return list(self._waiting)

    def next_for(self, model_id: str, running: int, batch_size: int) -> list[Sequence]:
        """Take out those that may join a batch which `running` sequences are already in."""
        queue = self._waiting.get(model_id, deque())
        places = max(0, batch_size - running)
        taken = [queue.popleft() for _ in range(min(places, len(queue)))]
        self._drop_if_empty(model_id)
        return taken

    def take_all(self, model_id: str) -> list[Sequence]:
        """Take out everybody who waits for a model, as when it failed to load."""
        return list(self._waiting.pop(model_id, ()))

    def _drop_if_empty(self, model_id: str) -> None:
        if not self._waiting.get(model_id, True):
            del self._waiting[model_id]
