"""Who is admitted to the batch, and when."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence as Seq
from dataclasses import dataclass

from webapp.engine.sequence import Sequence

# Waiting for another's prefill pays only when it saves more than a step or two of one's own.
SHARED_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """The scheduling settings the engine obeys; a new one takes effect between two steps."""

    batch_size: int = 32
    max_waiting: int = 256
    prefill_tokens: int = 2048
    stall_seconds: float = 0.1
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

    def models(self) -> list[str]:
        """Ids of the models somebody waits for."""
        return list(self._waiting)

    def next_for(self, model_id: str, batch: Seq[Sequence], batch_size: int) -> Sequence | None:
        """Take out the next one that may join `batch`; None when it is full or all should wait.

        Who shares a long prefix with a prompt that is being computed waits for it, and is overtaken meanwhile.
        """
        queue = self._waiting.get(model_id, deque())
        if len(batch) >= batch_size:
            return None
        chosen = next((sequence for sequence in queue if not follows(sequence, batch)), None)
        if chosen is not None:
            self.remove(chosen)
        return chosen

    def take_all(self, model_id: str) -> list[Sequence]:
        """Take out everybody who waits for a model, as when it failed to load."""
        return list(self._waiting.pop(model_id, ()))

    def _drop_if_empty(self, model_id: str) -> None:
        if not self._waiting.get(model_id, True):
            del self._waiting[model_id]


def follows(sequence: Sequence, batch: Seq[Sequence]) -> bool:
    """Whether a prompt in prefill is computing a prefix that this one can reuse as soon as it is done."""
    leader = sequence.leader
    if leader is None or leader.state != "prefill" or leader not in batch:
        sequence.leader = next((other for other in batch if leads(other, sequence)), None)
    return sequence.leader is not None


def leads(other: Sequence, sequence: Sequence) -> bool:
    if other.state != "prefill":
        return False
    return common_prefix(other.prompt.tokens, sequence.prompt.tokens) - other.cached_tokens >= SHARED_TOKENS


def common_prefix(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Length of the common prefix; compares slices, as a loop over long prompts would hold up the engine."""
    return bisect_left(range(min(len(one), len(other))), True, key=lambda end: one[: end + 1] != other[: end + 1])
