"""The stream of events that every generating call returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from webapp.generation import Completion, Event, Finish, Reasoning, Text, TokenLogprob, ToolCall


class Stream:
    """Iterate for events. `close()` cancels; any thread may call it, any number of times.

    Iterating raises a `HearthError` when the request fails. After `Finish` it is exhausted. Closing
    from another thread makes the iterating one see `Finish("cancelled")`. `answered_by` is the model's id.
    """

    def __init__(self, events: Iterator[Event], cancel: Callable[[], object], answered_by: str = ""):
        self.answered_by = answered_by
        self._events = events
        self._cancel = cancel

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        return next(self._events)

    def close(self) -> None:
        self._cancel()


def collect(events: Iterator[Event]) -> Completion:
    """Collect a stream into the whole answer, so that plain replies take the same path as streams."""
    text: list[str] = []
    reasoning: list[str] = []
    calls: list[ToolCall] = []
    tokens: list[TokenLogprob] = []
    for event in events:
        match event:
            case Text():
                text.append(event.text)
                tokens += event.tokens
            case Reasoning():
                reasoning.append(event.text)
            case ToolCall():
                calls.append(event)
            case Finish():
                return Completion("".join(text), "".join(reasoning), event, whole_calls(calls), tuple(tokens))
    raise RuntimeError("a stream ended without a Finish event")


def whole_calls(pieces: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
    """Join the pieces of each call into one."""
    return tuple(
        replace(first, arguments="".join(piece.arguments for piece in (first, *rest)))
        for _, (first, *rest) in groupby(pieces, key=lambda piece: piece.index)
    )
