"""What becomes of one request, from its arrival to its end: followed here, kept as one row of the audit.

Shared by whoever answers requests. Knows no HTTP and no pages.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from webapp.errors import EngineStopped, HearthError, Kind
from webapp.generation import Call, Choice, Event, Finish, GenerationRequest, Message, Reasoning, Text, Tool, ToolCall
from webapp.store.audit import AuditRow, Status
from webapp.stream import Stream, whole_calls

LOCAL = "local"
LONGEST_NAME = 200
# Refused before anything was done, out of time, ended by somebody, or broken.
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


@dataclass(frozen=True, slots=True)
class Content:
    """What was said. The audit keeps as much of it as the person wants."""

    request: dict[str, object]
    answer: str
    reasoning: str
    tool_calls: tuple[dict[str, object], ...] = ()


class Trace:
    """Made when a request arrives. `notes` are facts for the row's detail, never content."""

    def __init__(self, request_id: str, who: str, endpoint: str):
        self.id = request_id
        self.model: str | None = None
        self.finish: Finish | None = None
        self.error: HearthError | None = None
        self.notes: dict[str, object] = {}
        self.who = who
        self._endpoint = endpoint
        self._time = time.time()
        self._began = time.perf_counter()
        self._requests: tuple[GenerationRequest, ...] = ()
        self._answered_by: str | None = None
        self._begun = False
        # By the index of the choice; most answers have one.
        self._text: dict[int, list[str]] = {}
        self._reasoning: dict[int, list[str]] = {}
        self._calls: dict[int, list[ToolCall]] = {}

    @property
    def duration_ms(self) -> float:
        return (time.perf_counter() - self._began) * 1000

    def asks(self, request: GenerationRequest, *others: GenerationRequest) -> None:
        """`others` differ from it in their prompt."""
        self._requests, self.model = (request, *others), request.model

    def follow(self, stream: Stream) -> Iterator[Event]:
        """The stream's events as they are."""
        self._answered_by = stream.answered_by or None
        try:
            for event in stream:
                self._note(event)
                yield event
        except HearthError as error:
            self.error = error
            raise

    def row(self, status: Status, code: str | None) -> AuditRow:
        usage = self.finish.usage if self.finish else None
        timing = self.finish.timing if self.finish else None
        return AuditRow(
            id=self.id,
            time=self._time,
            kind="request",
            who=self.who,
            endpoint=self._endpoint[:LONGEST_NAME],
            model=self.model[:LONGEST_NAME] if self.model is not None else None,
            answered_by=self._answered_by,
            provider=LOCAL if self._answered_by else None,
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

    def ending(self, cancelled_by: str) -> tuple[Status, str | None]:
        """How it ended and why, as far as its events tell; `cancelled_by` is who held the stream that was closed."""
        if self.finish is not None:
            if self.finish.reason != "cancelled":
                return "ok", self.finish.reason
            by = self.finish.cancelled_by
            return "cancelled", cancelled_by if by in (None, "client") else by
        if self.error is None:
            return "error", "internal_error"
        if isinstance(self.error, EngineStopped) and self._begun:
            return "cancelled", "shutdown"
        self.notes["error"] = str(self.error)
        return ROW_STATUSES[self.error.kind], self.error.code

    @property
    def content(self) -> Content | None:
        """None when nothing was asked of a model."""
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


def _asked(requests: tuple[GenerationRequest, ...]) -> dict[str, object]:
    request, *others = requests
    if request.prompt is not None:
        return {"prompt": [each.prompt for each in requests] if others else request.prompt}
    tools = {"tools": [_offered(tool) for tool in request.tools]} if request.tools else {}
    return {"messages": [_said(message) for message in request.messages], **tools}


def _said(message: Message) -> dict[str, object]:
    """Only what is set."""
    said = {
        "role": message.role,
        "content": message.text,
        "name": message.name,
        "tool_call_id": message.call_id,
        "tool_calls": [_called(call) for call in message.calls],
    }
    return {name: value for name, value in said.items() if value}


def _offered(tool: Tool) -> dict[str, object]:
    """Only what is set."""
    values = {name: getattr(tool, name) for name in ("name", "description", "parameters", "strict")}
    return {name: value for name, value in values.items() if value}


def _called(call: Call | ToolCall) -> dict[str, object]:
    return {"id": call.id, "name": call.name, "arguments": call.arguments}


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
