"""From an outbox of token ids to events: text, reasoning, stop strings. Runs on the request's thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from webapp.engine.sequence import End, Failed, Progress, Sequence, Token
from webapp.generation import Event, Finish, FinishReason, Prefill, Reasoning, Text, Timing, Usage

Segments = list[tuple[str | None, str]]


class Detokenizer(Protocol):
    def add_token(self, token: int) -> None: ...
    def finalize(self) -> None: ...
    @property
    def last_segment(self) -> str: ...


class TextMachine(Protocol):
    """mlx-lm's TextStateMachine: decoded text to (state, text) segments, markers stripped."""

    def make_state(self, initial: str) -> Any: ...
    def split(self, state: Any, text: str) -> tuple[Any, Segments]: ...
    def flush(self, state: Any) -> tuple[Any, str, str | None]: ...


class Splitter:
    """Text of one answer, cut into reasoning and answer; holds back what may become a marker."""

    def __init__(
        self, detokenizer: Detokenizer, machine: TextMachine, in_reasoning: bool, stop_strings: tuple[str, ...] = ()
    ):
        self._detokenizer = detokenizer
        self._machine = machine
        self._stop_strings = stop_strings
        self._section: str | None = "reasoning" if in_reasoning else "normal"
        self._state = machine.make_state(self._section)
        self._after_marker = in_reasoning
        self.stopped = False
        self.stop_string: str | None = None

    @property
    def in_reasoning(self) -> bool:
        return bool(self._state[0] == "reasoning")

    def feed(self, token: int) -> Iterator[Event]:
        self._detokenizer.add_token(token)
        return self._split(self._detokenizer.last_segment)

    def finish(self) -> Iterator[Event]:
        """What was held back, once no more tokens come."""
        self._detokenizer.finalize()
        yield from self._split(self._detokenizer.last_segment)
        if not self.stopped:
            state, rest, name = self._machine.flush(self._state)
            self._state = state
            yield from self._events(name, rest)

    def _split(self, text: str) -> Iterator[Event]:
        if text and not self.stopped:
            seen = self._state[3] + text  # what was held back lies in the state, and a marker in both
            self._state, segments = self._machine.split(self._state, text)
            self.stopped = self._state[0] is None
            if self.stopped:
                passed = seen.removesuffix(self._state[3])
                self.stop_string = max(filter(passed.endswith, self._stop_strings), key=len, default=None)
            for name, piece in segments:
                yield from self._events(name, piece)

    def _events(self, section: str | None, text: str) -> Iterator[Event]:
        """White space behind a marker belongs to the marker."""
        if section != self._section:
            self._section, self._after_marker = section, True
        if self._after_marker:
            text = text.lstrip()
            self._after_marker = not text
        if text:
            yield Reasoning(text) if section == "reasoning" else Text(text)


class Answer:
    """Turns one sequence's outbox into events; tells the engine to stop at a stop string."""

    def __init__(self, sequence: Sequence, splitter: Splitter, stop: Callable[[], object], clock: Callable[[], float]):
        self._sequence = sequence
        self._splitter = splitter
        self._stop = stop
        self._clock = clock
        self._admitted: float | None = None
        self._first_token: float | None = None
        self._tokens = 0
        self._reasoning_tokens = 0

    def events(self) -> Iterator[Event]:
        """Every event of the answer; raises the HearthError that ended it."""
        while True:
            parcel = self._sequence.outbox.get()
            match parcel:
                case Progress():
                    self._admitted = self._admitted or self._clock()
                    yield Prefill(parcel.done_tokens, parcel.total_tokens)
                case Token():
                    yield from self._token(parcel.id)
                    if self._splitter.stopped:
                        self._stop()
                        yield self._finish("stop")
                        return
                case End():
                    yield from self._splitter.finish()
                    yield self._finish("stop" if self._splitter.stopped else parcel.reason)
                    return
                case Failed():
                    raise parcel.error

    def _token(self, token: int) -> Iterator[Event]:
        self._first_token = self._first_token or self._clock()
        self._tokens += 1
        was_reasoning = self._splitter.in_reasoning
        yield from self._splitter.feed(token)
        self._reasoning_tokens += was_reasoning or self._splitter.in_reasoning

    def _finish(self, reason: FinishReason) -> Finish:
        sequence = self._sequence
        submitted = sequence.submitted
        usage = Usage(len(sequence.prompt.tokens), self._tokens, sequence.cached_tokens, self._reasoning_tokens)
        timing = Timing(
            queue_seconds=(self._admitted or self._clock()) - submitted,
            ttft_seconds=None if self._first_token is None else self._first_token - submitted,
            duration_seconds=self._clock() - submitted,
        )
        return Finish(
            reason,
            usage,
            timing,
            cancelled_by=sequence.cancelled_by if reason == "cancelled" else None,
            stop_string=self._splitter.stop_string,
        )
