"""Tokens per second over the last minutes, for a chart."""

from __future__ import annotations

from collections import deque

SPAN_SECONDS = 2.0
SPANS = 150


class SpeedHistory:
    """Counts tokens by spans of time. Engine thread only."""

    def __init__(self, now: float):
        self._began = now
        self._tokens = 0
        self._speeds: deque[float] = deque([0.0] * SPANS, maxlen=SPANS)

    def count(self, tokens: int) -> None:
        self._tokens += tokens

    def speeds(self, now: float) -> tuple[float, ...]:
        """One number for each finished span, oldest first."""
        while now - self._began >= SPAN_SECONDS:
            self._speeds.append(self._tokens / SPAN_SECONDS)
            self._tokens = 0
            self._began += SPAN_SECONDS
        return tuple(self._speeds)
