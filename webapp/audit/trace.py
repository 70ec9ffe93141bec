"""Follows one request from its arrival to its end, and writes it as one row of the audit.

The API and the chat share it. Knows no HTTP and no pages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from webapp.dialects import Refusal
from webapp.errors import EngineStopped, HearthError, Kind
from webapp.generation import (
    Call,
    Choice,
    EmbeddingRequest,
    Event,
    Finish,
    GenerationRequest,
    Message,
    Reasoning,
    Text,
    Tool,
    ToolCall,
)
from webapp.store.audit import AuditRow, Status
from webapp.stream import Stream, whole_calls

LOCAL = "local"
LONGEST_NAME = 200
# The status of a row whose request ended with an error of this kind.
ROW_STATUSES: Mapping[Kind, Status] = {
    "invalid": "refused",
    "too_large": "refused",
    "unauthenticated": "refused",
    "forbidden": "refused",
    "unknown": "refused",
    "conflict": "refused",
    "cancelled": "cancelled",
    "busy": "refused",
    "late": "timeout",
    "broken": "error",
    "unavailable": "refused",
}


BROKEN: tuple[Status, str] = ("error", "internal_error")

Asked = GenerationRequest | EmbeddingRequest
Piece = TypeVar("Piece")


@dataclass(frozen=True, slots=True)
class Content:
    """The text of a request and of its answer. The setting `audit_content` decides how much of it the audit stores."""

    request: dict[str, object]
    answer: str
    reasoning: str
    tool_calls: tuple[dict[str, object], ...] = ()


WriteRow = Callable[[AuditRow, Mapping[str, object], Content | None], object]


class Trace:
    """One request, the events of its answer and its end. It writes exactly one row, whatever happens.

    As a context manager it writes the row when its block ends, in any way. `write` takes the row, its notes and its
    content. `holder` names who closed a stream that was cancelled. `notes` are facts for the row's detail, never
    content; `refusal` is the error that the client got in place of an answer; `left` is true once the reader has gone.
    """

    def __init__(self, request_id: str, who: str, endpoint: str, write: WriteRow, holder: Callable[[], str]):
        self.id = request_id
        self.model: str | None = None
        self.finish: Finish | None = None
        self.error: HearthError | None = None
        self.refusal: Refusal | None = None
        self.left = False
        self.notes: dict[str, object] = {}
        self.who = who
        self._endpoint = endpoint
        self._write = write
        self._holder = holder
        self._time = time.time()
        self._began = time.perf_counter()
        self._requests: tuple[Asked, ...] = ()
        self._stream: Stream | None = None
        self._begun = False
        self._broken = False
        self._ended = False
        # By the index of the choice; most answers have one.
        self._text: dict[int, list[str]] = {}
        self._reasoning: dict[int, list[str]] = {}
        self._calls: dict[int, list[ToolCall]] = {}

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, kind: object, failure: BaseException | None, traceback: object) -> None:
        self.end(failure)

    @property
    def duration_ms(self) -> float:
        """Milliseconds since the request arrived."""
        return (time.perf_counter() - self._began) * 1000

    @property
    def is_over(self) -> bool:
        """True once the last event of the answer, or its failure, has come."""
        return self.finish is not None or self.error is not None

    def asks(self, request: Asked, *others: Asked) -> None:
        """Note the request to a model. `others` belong to the same call and differ from `request` in their prompt."""
        self._requests, self.model = (request, *others), request.model

    def follow(self, stream: Stream) -> Iterator[Event]:
        """Yields the stream's events unchanged, and notes them. Raises the HearthError that ends them."""
        self._stream = stream
        return self._followed(stream)

    def tell(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Yields the pieces of an answer unchanged. Writes the row before the piece that carries the end, or when
        making or reading the pieces fails."""
        with self:
            for piece in pieces:
                if self.is_over:
                    self.end()
                yield piece

    def end(self, failure: BaseException | None = None) -> None:
        """Write the row, if that has not been done. `failure` is the exception that ended the request.

        A stream that is not over is closed and read on: its last event has the counts.
        """
        if self._ended:
            return
        self._ended = True
        match failure:
            case HearthError():
                self.error = self.error or failure
            case GeneratorExit() if self._stream is not None:
                pass  # its reader has left
            case BaseException():
                self._broken = True
        try:
            self._read_on()
        finally:
            status, code = self._ending()
            self._write(self._row(status, code), self.notes, self.content)

    def _followed(self, stream: Stream) -> Iterator[Event]:
        try:
            for event in stream:
                self._note(event)
                yield event
        except HearthError as error:
            self.error = error
            raise

    def _read_on(self) -> None:
        if self._stream is None or self.is_over:
            return
        self.left = self.left or not (self._broken or self.refusal)
        self._stream.close()
        try:
            for event in self._stream:
                self._note(event)
        except HearthError as error:
            if self.refusal is None:
                self.error = error

    def _row(self, status: Status, code: str | None) -> AuditRow:
        usage = self.finish.usage if self.finish else None
        timing = self.finish.timing if self.finish else None
        answered_by = self._stream.answered_by or None if self._stream else None
        return AuditRow(
            id=self.id,
            time=self._time,
            kind="request",
            who=self.who,
            endpoint=self._endpoint[:LONGEST_NAME],
            model=self.model[:LONGEST_NAME] if self.model is not None else None,
            answered_by=answered_by,
            provider=LOCAL if answered_by else None,
            status=status,
            code=code,
            queue_ms=_milliseconds(timing.queue_seconds if timing else None),
            ttft_ms=_milliseconds(timing.ttft_seconds if timing else None),
            duration_ms=_milliseconds(timing.duration_seconds) if timing else round(self.duration_ms, 1),
            prompt_tokens=usage.prompt_tokens if usage else None,
            cached_tokens=usage.cached_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
            reasoning_tokens=usage.reasoning_tokens if usage else None,
        )

    def _ending(self) -> tuple[Status, str | None]:
        """The status and the code of the row. An answer that is complete counts as one, even if its reader had gone."""
        if self.refusal is not None and self.refusal.message:
            self.notes["error"] = self.refusal.message
        if self._broken:
            return BROKEN
        if self.error is not None:
            return self._failed(self.error)
        if self.refusal is not None and not (self.refusal.kind == "cancelled" and self.finish):
            return ROW_STATUSES[self.refusal.kind], self.refusal.code
        if self.finish is not None:
            return self._finished(self.finish)
        return ("ok", None) if self._stream is None else BROKEN

    def _failed(self, error: HearthError) -> tuple[Status, str | None]:
        if isinstance(error, EngineStopped) and self._begun:
            return "cancelled", "shutdown"
        self.notes["error"] = str(error)
        return ROW_STATUSES[error.kind], error.code

    def _finished(self, finish: Finish) -> tuple[Status, str | None]:
        if finish.reason != "cancelled":
            return "ok", finish.reason
        return "cancelled", self._holder() if finish.cancelled_by in (None, "client") else finish.cancelled_by

    @property
    def content(self) -> Content | None:
        """The content of the request and its answer; None if the request never reached a model."""
        if not self._requests:
            return None
        calls = tuple(_called(call) for pieces in self._calls.values() for call in whole_calls(pieces))
        return Content(_asked(self._requests), _joined(self._text), _joined(self._reasoning), calls)

    def _note(self, event: Event, choice: int = 0) -> None:
        self._begun = True
        match event:
            case Text():
                self._text.setdefault(choice, []).append(event.text)
            case Reasoning():
                self._reasoning.setdefault(choice, []).append(event.text)
            case ToolCall():
                self._calls.setdefault(choice, []).append(event)
            case Choice(index, inner) if not isinstance(inner, Finish):
                self._note(inner, index)
            case Finish():
                self.finish = event
                if event.unparsed_calls:
                    self.notes["tool_call"] = "unparsed"


def _joined(pieces: dict[int, list[str]]) -> str:
    return "\n\n".join("".join(pieces[choice]) for choice in sorted(pieces))


def _asked(requests: tuple[Asked, ...]) -> dict[str, object]:
    request = requests[0]
    if isinstance(request, EmbeddingRequest):
        return {"input": request.texts[0] if len(request.texts) == 1 else request.texts}
    if request.prompt is not None:
        prompts = [each.prompt for each in requests if isinstance(each, GenerationRequest)]
        return {"prompt": prompts if len(prompts) > 1 else request.prompt}
    tools = {"tools": [_offered(tool) for tool in request.tools]} if request.tools else {}
    return {"messages": [_message_json(message) for message in request.messages], **tools}


def _message_json(message: Message) -> dict[str, object]:
    """The fields of the message that are set."""
    values = {
        "role": message.role,
        "content": message.text,
        "name": message.name,
        "tool_call_id": message.call_id,
        "tool_calls": [_called(call) for call in message.calls],
    }
    return {name: value for name, value in values.items() if value}


def _offered(tool: Tool) -> dict[str, object]:
    """The fields of the tool that are set."""
    values = {name: getattr(tool, name) for name in ("name", "description", "parameters", "strict")}
    return {name: value for name, value in values.items() if value}


def _called(call: Call | ToolCall) -> dict[str, object]:
    return {"id": call.id, "name": call.name, "arguments": call.arguments}


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
