"""The waiting sequences, and the order in which they are admitted."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection
from collections.abc import Sequence as Seq

from webapp.engine.sequence import Sequence
from webapp.generation import Edition

# Waiting for another's prefill pays only when it saves more than a step or two of one's own.
SHARED_TOKENS = 64
# Of several answers to one prompt all but the first wait, unless the prompt is too short for the prefix cache.
SAME_TOKENS = 9


class Scheduler:
    """Sequences waiting for a place: first come first served, each edition of a model with a queue of its own."""

    def __init__(self) -> None:
        self._waiting: dict[Edition, deque[Sequence]] = {}
        self._tickets = itertools.count()
        self.newest_ticket = -1

    @property
    def waiting(self) -> int:
        return sum(len(queue) for queue in self._waiting.values())

    def add(self, sequence: Sequence) -> None:
        sequence.ticket = self.newest_ticket = next(self._tickets)
        self._waiting.setdefault(sequence.model.edition, deque()).append(sequence)

    def remove(self, sequence: Sequence) -> bool:
        """Take a sequence out of the queue; False when it is not in it."""
        queue = self._waiting.get(sequence.model.edition, deque())
        if sequence not in queue:
            return False
        queue.remove(sequence)
        if not queue:
            del self._waiting[sequence.model.edition]
        return True

    def oldest(self, passed: Collection[Edition]) -> Sequence | None:
        """The sequence that has waited longest, except those of `passed` editions."""
        heads = (queue[0] for edition, queue in self._waiting.items() if edition not in passed)
        return min(heads, key=lambda sequence: sequence.ticket, default=None)

    def next_for(self, edition: Edition, batch: Seq[Sequence], batch_size: int) -> Sequence | None:
        """The next one that may join `batch`; None when it is full or all should wait.

        A sequence that shares a long prefix with a prompt in prefill waits for it, and others overtake it.
        """
        if len(batch) >= batch_size:
            return None
        queue = self._waiting.get(edition, deque())
        return next((sequence for sequence in queue if not follows(sequence, batch)), None)

    def share_turn(self, edition: Edition) -> None:
        """Give all sequences that waited for a load the turn of the first of them.

        Otherwise two models that do not fit side by side would be swapped for each single request.
        """
        queue = self._waiting.get(edition, deque())
        for sequence in queue:
            sequence.ticket = queue[0].ticket

    def take_all(self, edition: Edition) -> list[Sequence]:
        """Take out all sequences that wait for an edition, as when it failed to load."""
        return list(self._waiting.pop(edition, ()))


def follows(sequence: Sequence, batch: Seq[Sequence]) -> bool:
    """Whether a prompt in prefill is computing a prefix that this one can reuse as soon as it is done."""
    leader = sequence.leader
    if leader is None or leader.state != "prefill" or leader not in batch:
        sequence.leader = next((other for other in batch if leads(other, sequence)), None)
    return sequence.leader is not None


def leads(other: Sequence, sequence: Sequence) -> bool:
    if other.state != "prefill" or other.embeds or sequence.embeds:
        return False
    worth_it = SAME_TOKENS if other.prompt.tokens == sequence.prompt.tokens else SHARED_TOKENS
    return common_prefix(other.prompt.tokens, sequence.prompt.tokens) - other.cached_tokens >= worth_it


def common_prefix(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Length of the common prefix; compares slices, as a loop over long prompts would hold up the engine."""
    known, end = 0, min(len(one), len(other))
    while known < end:
        middle = (known + end + 1) // 2
        if one[known:middle] == other[known:middle]:
            known = middle
        else:
            end = middle - 1
    return known
