"""How the end of a request is told in one row, case by case."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from webapp.audit.log import as_json
from webapp.audit.trace import Trace
from webapp.errors import (
    ContextLengthExceeded,
    EngineFailed,
    EngineStopped,
    HearthError,
    ModelLoadFailed,
    OutOfMemory,
    QueueFull,
    TimedOut,
)
from webapp.generation import (
    Call,
    Canceller,
    Event,
    Finish,
    FinishReason,
    GenerationRequest,
    Message,
    Text,
    TextPart,
    Timing,
    Tool,
    ToolCall,
    Usage,
)
from webapp.stream import Stream


def finish(reason: FinishReason, by: Canceller | None = None) -> Finish:
    return Finish(reason, Usage(9, 4, cached_tokens=2, reasoning_tokens=1), Timing(0.001, 0.05, 0.25), by)


def followed(*events: Event | HearthError) -> Trace:
    """The trace of a stream of these events."""

    def tell() -> Iterator[Event]:
        for event in events:
            if isinstance(event, HearthError):
                raise event
            yield event

    trace = Trace("req_1", "local", "/v1/completions")
    trace.asks(GenerationRequest("req_1", "asked", prompt="Hi"))
    try:
        list(trace.follow(Stream(tell(), cancel=lambda: None, answered_by="answered")))
    except HearthError:
        pass
    return trace


@pytest.mark.parametrize(
    ("events", "status", "code"),
    [
        ((Text("a"), finish("stop")), "ok", "stop"),
        ((finish("length"),), "ok", "length"),
        ((finish("cancelled"),), "cancelled", "holder"),
        ((finish("cancelled", "client"),), "cancelled", "holder"),
        ((finish("cancelled", "api"),), "cancelled", "api"),
        ((finish("cancelled", "page"),), "cancelled", "page"),
        ((Text("a"), EngineStopped("closing")), "cancelled", "shutdown"),
        ((EngineStopped("closing"),), "refused", "shutting_down"),
        ((TimedOut("late"),), "timeout", "timeout"),
        ((Text("a"), TimedOut("late")), "timeout", "timeout"),
        ((QueueFull("full"),), "refused", "queue_full"),
        ((OutOfMemory("large"),), "refused", "insufficient_memory"),
        ((ContextLengthExceeded(9, 8, ("prompt", 0)),), "refused", "context_length_exceeded"),
        ((ModelLoadFailed("broken"),), "error", "model_load_failed"),
        ((Text("a"), EngineFailed("broken")), "error", "internal_error"),
        ((Text("a"),), "error", "internal_error"),
    ],
)
def test_an_ending(events: tuple[Event | HearthError, ...], status: str, code: str) -> None:
    assert followed(*events).ending(cancelled_by="holder") == (status, code)


def test_the_row_has_what_was_measured() -> None:
    row = followed(Text("a"), finish("stop")).row("ok", "stop")
    assert (row.model, row.answered_by, row.provider) == ("asked", "answered", "local")
    assert (row.queue_ms, row.ttft_ms, row.duration_ms) == (1, 50, 250)
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens, row.reasoning_tokens) == (9, 2, 4, 1)
    assert row.tokens_per_second == pytest.approx(15)


def test_endless_names_are_cut() -> None:
    trace = Trace("req_1", "local", "/v1/" + "x" * 5000)
    trace.model = "y" * 5000
    row = trace.row("refused", "unknown_url")
    assert len(row.endpoint) == len(row.model or "") == 200


def test_calls_are_kept_whole_and_what_was_no_call_is_noted() -> None:
    pieces = (
        ToolCall(0, "call_a", "f"),
        ToolCall(0, arguments="{"),
        ToolCall(0, arguments="}"),
        ToolCall(1, "call_b", "g"),
    )
    trace = followed(*pieces, replace(finish("tool_calls"), unparsed_calls=2))
    assert trace.notes == {"tool_call": "unparsed"}
    assert trace.content and trace.content.tool_calls == (
        {"id": "call_a", "name": "f", "arguments": "{}"},
        {"id": "call_b", "name": "g", "arguments": ""},
    )
    assert followed(finish("stop")).notes == {}


def test_messages_and_tools_are_kept_as_plain_json() -> None:
    trace = Trace("req_1", "local", "/v1/chat/completions")
    called = Message.of("assistant", "", calls=(Call("call_a", "f", "{}"),))
    said = (Message("user", (TextPart("one "), TextPart("two"))), called, Message.of("tool", "rain", call_id="call_a"))
    trace.asks(GenerationRequest("req_1", "m", messages=said, tools=(Tool("f"),)))
    assert trace.content and json.loads(as_json(trace.content.request)) == {
        "messages": [
            {"role": "user", "content": "one two"},
            {"role": "assistant", "tool_calls": [{"id": "call_a", "name": "f", "arguments": "{}"}]},
            {"role": "tool", "content": "rain", "tool_call_id": "call_a"},
        ],
        "tools": [{"name": "f", "parameters": {"type": "object", "properties": {}}}],
    }
