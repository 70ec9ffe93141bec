"""Turns events into Anthropic's JSON: a stream of message events, or the one message that they add up to.

Knows no Flask and no engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from webapp.api.wire import server_sent
from webapp.dialects import error_body
from webapp.errors import HearthError
from webapp.generation import Event, Finish, FinishReason, Prefill, Reasoning, Text, ToolCall, Usage

STOP_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "cancelled": "cancelled",
}

Kind = Literal["text", "thinking", "tool_use"]
MessageEvent = dict[str, Any]


class MessageWire:
    """One answer as message events: each run of text or of thinking, and each call, is a content block."""

    def __init__(self, request_id: str, model: str, shows_thinking: bool):
        self._request_id = request_id
        self._id = f"msg_{request_id.removeprefix('req_')}"
        self._model = model
        self._shows_thinking = shows_thinking
        self._started = False
        self._block: Kind | None = None
        self._index = -1

    def stream(self, events: Iterable[Event]) -> Iterator[bytes]:
        """Yield the whole body. After a failure the last event is an error, and no message_stop follows."""
        try:
            for event in events:
                for said in self._say(event):
                    yield server_sent(said, said["type"])
        except HearthError as error:
            yield server_sent(error_body(error, "anthropic", self._request_id), "error")

    def plain(self, events: Iterable[Event]) -> dict[str, Any]:
        return folded(said for event in events for said in self._say(event))

    def _say(self, event: Event) -> Iterator[MessageEvent]:
        if not self._started:
            self._started = True
            yield self._start(event)
        match event:
            case Prefill():
                yield {"type": "ping"}
            case Text():
                yield from self._open("text", {"text": ""})
                yield self._delta({"type": "text_delta", "text": event.text})
            case Reasoning():
                yield from self._open("thinking", {"thinking": "", "signature": ""})
                if self._shows_thinking:
                    yield self._delta({"type": "thinking_delta", "thinking": event.text})
            case ToolCall():
                if event.id is not None:
                    yield from self._close()
                    yield from self._open("tool_use", {"id": event.id, "name": event.name, "input": {}})
                yield self._delta({"type": "input_json_delta", "partial_json": event.arguments})
            case Finish():
                yield from self._close()
                yield self._end(event)
                yield {"type": "message_stop"}

    def _start(self, first: Event) -> MessageEvent:
        """Return message_start. Its usage has the prompt's length and how much of it was in the prefix cache."""
        usage = Usage(first.total_tokens, 0, first.done_tokens) if isinstance(first, Prefill) else Usage(0, 0)
        message: MessageEvent = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_to_wire(usage),
        }
        return {"type": "message_start", "message": message}

    def _open(self, kind: Kind, empty: dict[str, Any]) -> Iterator[MessageEvent]:
        if self._block == kind:
            return
        yield from self._close()
        self._block = kind
        self._index += 1
        yield {"type": "content_block_start", "index": self._index, "content_block": {"type": kind, **empty}}

    def _close(self) -> Iterator[MessageEvent]:
        """End the open block. A thinking block gets an empty signature, because clients wait for one."""
        if self._block == "thinking":
            yield self._delta({"type": "signature_delta", "signature": ""})
        if self._block is not None:
            yield {"type": "content_block_stop", "index": self._index}
        self._block = None

    def _delta(self, delta: dict[str, str]) -> MessageEvent:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _end(self, finish: Finish) -> MessageEvent:
        reason = "stop_sequence" if finish.stop_string is not None else STOP_REASONS[finish.reason]
        return {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": finish.stop_string},
            "usage": usage_to_wire(finish.usage),
        }


def folded(events: Iterable[MessageEvent]) -> dict[str, Any]:
    """Return the message that the events add up to, put together as a client would."""
    message: dict[str, Any] = {}
    written = ""
    for event in events:
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append(event["content_block"])
            case "content_block_delta":
                _, (name, piece) = event["delta"].items()
                if name == "partial_json":
                    written += piece
                else:
                    message["content"][event["index"]][name] += piece
            case "content_block_stop" if written:
                message["content"][event["index"]]["input"] = json.loads(written)
                written = ""
            case "message_delta":
                message |= {**event["delta"], "usage": event["usage"]}
    return message


def usage_to_wire(usage: Usage) -> dict[str, object]:
    """Return the usage in Anthropic's shape, where `input_tokens` leaves out the cached tokens."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }
