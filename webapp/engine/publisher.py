"""Makes the snapshots that pages and /api/pool read, often enough to be current, seldom enough to cost little."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from webapp.engine.history import SpeedHistory
from webapp.engine.pool.pool import Pool
from webapp.engine.sequence import Sequence
from webapp.engine.snapshot import RequestSnapshot, Snapshot

EVERY_SECONDS = 0.1
AFTER_CHANGE_SECONDS = 0.02
SPEED_WINDOW_SECONDS = 2.0


class Publisher:
    """Publishes snapshots. Engine thread only, except `snapshot`, which any thread may read."""

    def __init__(self, pool: Pool, clock: Callable[[], float]):
        self._pool = pool
        self._clock = clock
        self._changed = False
        self._steps = 0
        self._tokens = 0
        self._history = SpeedHistory(clock())
        self._counts: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._published = clock()
        self.snapshot = self._make(())

    def changed(self) -> None:
        """Make the next snapshot due soon, because a request or model came or went."""
        self._changed = True

    def count_token(self) -> None:
        self._tokens += 1
        self._history.count(1)

    def publish(self, sequences: Iterable[Sequence], at_once: bool) -> None:
        """Swap in a new snapshot if it is due, or `at_once`: before the engine goes idle or reports a command done."""
        self._steps += 1
        due = AFTER_CHANGE_SECONDS if self._changed else EVERY_SECONDS
        if at_once or self._clock() - self._published >= due:
            self.snapshot = self._make(sequences)
            self._published = self._clock()
            self._changed = False

    def _make(self, sequences: Iterable[Sequence]) -> Snapshot:
        now = self._clock()
        requests = tuple(_request(sequence, now) for sequence in list(sequences))
        budget = self._pool.budget
        used_bytes, limit_bytes = budget.used_bytes, budget.limit_bytes
        waiting = sum(request.state == "waiting" for request in requests)
        return Snapshot(
            limit_bytes=limit_bytes,
            used_bytes=used_bytes,
            over_bytes=max(0, used_bytes - limit_bytes),
            prefix_cache_bytes=budget.prefix_cache_bytes,
            policy=self._pool.limits.policy,
            models=self._pool.snapshot(),
            requests=requests,
            running=len(requests) - waiting,
            waiting=waiting,
            tokens_per_second=self._speed(now),
            speeds=self._history.speeds(now),
            steps=self._steps,
        )

    def _speed(self, now: float) -> float:
        """Tokens per second over the last two seconds."""
        self._counts.append((now, self._tokens))
        while len(self._counts) > 2 and self._counts[1][0] <= now - SPEED_WINDOW_SECONDS:
            self._counts.popleft()
        then, tokens = self._counts[0]
        return (self._tokens - tokens) / (now - then) if now > then else 0.0


def _request(sequence: Sequence, now: float) -> RequestSnapshot:
    decoding = now - sequence.first_token if sequence.first_token is not None else 0.0
    return RequestSnapshot(
        id=sequence.id,
        model=sequence.model.id,
        state=sequence.state,
        prompt_tokens=len(sequence.prompt.tokens),
        cached_tokens=sequence.cached_tokens,
        completion_tokens=sequence.completion_tokens,
        age_seconds=now - sequence.submitted,
        tokens_per_second=(sequence.completion_tokens - 1) / decoding if decoding > 0 else 0.0,
        waits_for_memory=sequence.state == "waiting" and sequence.refusal is not None,
    )
