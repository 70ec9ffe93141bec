"""Makes vectors of texts: submits the sequences of one request as places free up."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

from webapp.engine.sequence import Failed, Parcel, Progress, Sequence, Vector
from webapp.errors import QueueFull
from webapp.generation import Canceller, Embedding, Finish, Timing, Usage

# One request's texts in the engine at a time, so that a long list does not fill everybody's queue.
ABREAST = 32


class EmbeddingWork:
    """One embedding request: `events()` gives each text's vector in order, then a Finish. Any thread may `cancel()`."""

    def __init__(self, sequences: list[Sequence], submit: Callable[[Sequence], None], cancel: Callable[[str], object]):
        self._sequences = sequences
        self._submit = submit
        self._cancel = cancel
        self._begun: deque[Sequence] = deque()
        self._waiting = deque(sequences)
        self._cancelled = False
        self._go_on()

    def _go_on(self) -> None:
        """Submit as many texts as may be in the engine now. Raises QueueFull when not even one finds a place."""
        while self._waiting and len(self._begun) < ABREAST:
            try:
                self._submit(self._waiting[0])
            except QueueFull:
                if not self._begun:
                    raise
                return
            self._begun.append(self._waiting.popleft())

    def cancel(self) -> None:
        self._cancelled = True
        for sequence in list(self._begun):
            self._cancel(sequence.id)

    def events(self) -> Iterator[Embedding | Finish]:
        """The vectors in order, then a Finish. Raises the HearthError of the first failed text and cancels the rest."""
        admitted = None
        try:
            for index in range(len(self._sequences)):
                parcels = _parcels(self._begun[0])
                admitted = admitted or time.monotonic()
                vector = next((each.values for each in parcels if isinstance(each, Vector)), None)
                self._begun.popleft()
                if vector is None or self._cancelled:
                    yield self._finish(admitted, cancelled=True)
                    return
                yield Embedding(index, vector)
                self._go_on()
            yield self._finish(admitted, cancelled=False)
        finally:
            self.cancel()

    def _finish(self, admitted: float | None, cancelled: bool) -> Finish:
        began, now = self._sequences[0].submitted, time.monotonic()
        tokens = sum(len(sequence.prompt.tokens) for sequence in self._sequences)
        timing = Timing(queue_seconds=(admitted or now) - began, ttft_seconds=None, duration_seconds=now - began)
        by: Canceller = next((each.cancelled_by for each in self._sequences if each.cancelled_by), "client")
        return Finish("cancelled" if cancelled else "stop", Usage(tokens, 0), timing, by if cancelled else None)


def _parcels(sequence: Sequence) -> Iterator[Parcel]:
    """All parcels of a sequence up to its last. Raises the error that the sequence failed with."""
    while True:
        parcel = sequence.outbox.get()
        if isinstance(parcel, Failed):
            raise parcel.error
        yield parcel
        if not isinstance(parcel, Progress | Vector):
            return
