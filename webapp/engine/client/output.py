"""From an outbox of token ids to events: text, reasoning, calls, stop strings. Runs on the request's thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from webapp.engine.client.tool_calls import CallReader
from webapp.engine.sequence import End, Failed, Likelihood, Progress, Sequence, Token
from webapp.generation import (
    Event,
    Finish,
    FinishReason,
    Prefill,
    Reasoning,
    Text,
    Timing,
    TokenLogprob,
    ToolCall,
    Usage,
)

# The sections of an answer. A segment is a piece of text with its section; None means behind the answer's end.
NORMAL, REASONING, TOOL = "normal", "reasoning", "tool"
Segments = list[tuple[str | None, str]]


class Detokenizer(Protocol):
    def add_token(self, token: int) -> None: ...
    def finalize(self) -> None: ...
    @property
    def last_segment(self) -> str: ...


class TextMachine(Protocol):
    """Cuts the text of one answer into sections at markers, which it strips. Text that may become a marker waits."""

    @property
    def section(self) -> str | None:
        """The section at the end of the text read so far; None once a stop string has ended the answer."""

    @property
    def pending(self) -> str:
        """The text held back; after a stop string, the text that is not part of the answer."""

    def split(self, text: str) -> Segments:
        """Add text; returns what is now certain: one piece for each section that the text passes or ends in."""

    def flush(self) -> str:
        """Return the text that is still held back, at the end of the answer."""


class Splitter:
    """Cuts the text of one answer into reasoning, answer and calls; holds back what may become a marker.

    A section lasts from one marker to the next. A call's section is held back until it ends; then it becomes calls,
    or, if it cannot be parsed, text exactly as the model wrote it.
    """

    def __init__(
        self,
        detokenizer: Detokenizer,
        machine: TextMachine,
        stop_strings: tuple[str, ...] = (),
        calls: CallReader | None = None,
    ):
        self._detokenizer = detokenizer
        self._machine = machine
        self._stop_strings = stop_strings
        self._section = machine.section
        self._after_marker = self.in_reasoning
        self._calls = calls
        self._withheld: list[str] = []
        self._spaces = ""
        self.stopped = False
        self.stop_string: str | None = None

    @property
    def in_reasoning(self) -> bool:
        return self._machine.section == REASONING

    @property
    def call_count(self) -> int:
        return self._calls.count if self._calls else 0

    @property
    def unparsed_calls(self) -> int:
        return self._calls.unparsed if self._calls else 0

    def feed(self, token: int) -> Iterator[Event]:
        self._detokenizer.add_token(token)
        return self._split(self._detokenizer.last_segment)

    def finish(self, cut_off: bool) -> Iterator[Event]:
        """Emit what is held back, after the last token. A call that was cut off becomes text."""
        self._detokenizer.finalize()
        yield from self._split(self._detokenizer.last_segment)
        if self.stopped:
            return
        yield from self._take(self._machine.flush())
        if self._calls and self._section == TOOL:
            yield from self._end_call(self._calls, "", whole=not cut_off or not self._calls.form.end)
        yield from self._end_text()

    def _split(self, text: str) -> Iterator[Event]:
        if not text or self.stopped:
            return
        seen = self._machine.pending + text  # a marker may lie in both
        segments = self._machine.split(text)
        if self._machine.section is None:
            passed = seen.removesuffix(self._machine.pending)
            self.stop_string = max(filter(passed.endswith, self._stop_strings), key=len, default=None)
        for index, (section, piece) in enumerate(segments):
            if index:
                yield from self._pass_marker(section)
            if self.stopped:
                yield from self._end_text()
                return
            yield from self._take(piece)

    def _pass_marker(self, section: str | None) -> Iterator[Event]:
        """Enter the section behind a marker, and drop the white space that follows the marker."""
        self._after_marker = True
        if self._calls and self._section == TOOL:
            yield from self._end_call(self._calls, self._calls.form.end, whole=True)
        self._section = section
        self.stopped = self.stopped or section is None

    def _take(self, text: str) -> Iterator[Event]:
        """Emit or hold back a piece of the current section."""
        if self._section == TOOL:
            self._withheld.append(text)
            return
        if self._after_marker:
            text = text.lstrip()
            self._after_marker = not text
        if self._section == REASONING:
            yield from [Reasoning(text)] if text else []
        else:
            yield from self._answer(text)

    def _answer(self, text: str) -> Iterator[Event]:
        """Emit text of the answer. White space at its end waits, because before a call it belongs to the call."""
        text = self._spaces + text
        shown = text.rstrip() if self._calls else text
        self._spaces = text[len(shown) :]
        if shown:
            yield Text(shown)

    def _end_call(self, calls: CallReader, end: str, whole: bool) -> Iterator[Event]:
        written = "".join(self._withheld)
        self._withheld.clear()
        if pieces := calls.read(written, whole):
            self._spaces = ""
            yield from pieces
            self.stopped = calls.has_enough
        else:
            self._after_marker = False
            yield from self._answer(calls.form.start + written + end)

    def _end_text(self) -> Iterator[Event]:
        if self._spaces:
            yield Text(self._spaces)


class Answer:
    """Turns one sequence's outbox into events; tells the engine to stop at a stop string."""

    def __init__(
        self,
        sequence: Sequence,
        splitter: Splitter,
        stop: Callable[[], object],
        clock: Callable[[], float],
        spell: Callable[[int], bytes] = lambda token: b"",
    ):
        self._sequence = sequence
        self._spell = spell
        self._unsaid: list[TokenLogprob] = []
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
                    yield from self._with_tokens(self._token(parcel))
                    if self._splitter.stopped:
                        self._stop()
                        yield self._finish("stop")
                        return
                case End():
                    yield from self._with_tokens(self._splitter.finish(cut_off=parcel.reason != "stop"))
                    if self._unsaid:
                        yield Text("", tuple(self._unsaid))
                    yield self._finish("stop" if self._splitter.stopped else parcel.reason)
                    return
                case Failed():
                    raise parcel.error

    def _token(self, token: Token) -> Iterator[Event]:
        self._first_token = self._first_token or self._clock()
        self._tokens += 1
        was_reasoning = self._splitter.in_reasoning
        if token.likelihood is not None and not was_reasoning:
            self._unsaid.append(self._spelt(token.id, token.likelihood))
        yield from self._splitter.feed(token.id)
        self._reasoning_tokens += was_reasoning or self._splitter.in_reasoning

    def _spelt(self, token: int, likelihood: Likelihood) -> TokenLogprob:
        top = tuple((self._spell(other), logprob) for other, logprob in likelihood.top)
        return TokenLogprob(self._spell(token), likelihood.logprob, top)

    def _with_tokens(self, events: Iterator[Event]) -> Iterator[Event]:
        """Attach to each Text the tokens since the last event; tokens of thoughts and calls are dropped."""
        for event in events:
            if self._unsaid and isinstance(event, Text):
                event = Text(event.text, tuple(self._unsaid))
            if isinstance(event, Text | Reasoning | ToolCall):
                self._unsaid.clear()
            yield event

    def _finish(self, reason: FinishReason) -> Finish:
        sequence = self._sequence
        submitted = sequence.submitted
        if reason == "stop" and self._splitter.call_count:
            reason = "tool_calls"
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
            unparsed_calls=self._splitter.unparsed_calls,
        )
