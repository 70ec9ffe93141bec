"""How the end of a request is told in one row, case by case."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

import pytest

from tests.pages.conftest import Rows
from webapp.audit.log import as_json
from webapp.audit.trace import Content, Trace
from webapp.dialects import Refusal
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
    EmbeddingRequest,
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
from webapp.store.audit import AuditRow
from webapp.stream import Stream


def finish(reason: FinishReason, by: Canceller | None = None) -> Finish:
    return Finish(reason, Usage(9, 4, cached_tokens=2, reasoning_tokens=1), Timing(0.001, 0.05, 0.25), by)


def begun(rows: Rows) -> Trace:
    trace = Trace("req_1", "local", "/v1/completions", rows.record, lambda: "holder")
    trace.asks(GenerationRequest("req_1", "asked", prompt="Hi"))
    return trace


def stream(*events: Event | BaseException) -> Stream:
    def tell() -> Iterator[Event]:
        for event in events:
            if isinstance(event, BaseException):
                raise event
            yield event

    return Stream(tell(), cancel=lambda: None, answered_by="answered")


def kept(*events: Event | HearthError) -> tuple[AuditRow, Mapping[str, object], Content]:
    """The one row of a stream of these events, with its notes and its content."""
    rows = Rows()
    with suppress(HearthError), begun(rows) as trace:
        list(trace.follow(stream(*events)))
    ((row, notes, content),) = rows.kept
    assert content is not None
    return row, notes, content


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
    row, _, _ = kept(*events)
    assert (row.status, row.code) == (status, code)


@pytest.mark.parametrize("failure", [KeyError("a"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_row_is_written_whatever_fails(failure: BaseException) -> None:
    rows = Rows()
    with pytest.raises(type(failure)), begun(rows) as trace:
        next(trace.follow(stream(Text("a"), finish("stop"))))
        raise failure
    ((row, _, content),) = rows.kept
    assert (row.status, row.code, row.completion_tokens) == ("error", "internal_error", 4)
    assert content and content.answer == "a"


def test_a_failure_after_the_last_event_is_one_nevertheless() -> None:
    rows = Rows()
    with pytest.raises(KeyError), begun(rows) as trace:
        list(trace.follow(stream(Text("a"), finish("stop"))))
        raise KeyError
    assert [(row.status, row.code) for row, _, _ in rows.kept] == [("error", "internal_error")]


def test_what_asks_nothing_and_what_was_refused_before_a_stream() -> None:
    rows = Rows()
    with Trace("req_1", "local", "/v1/models", rows.record, lambda: "holder"):
        pass
    with pytest.raises(QueueFull), begun(rows):
        raise QueueFull("full")
    with begun(rows) as trace:
        trace.refusal = Refusal(415, "unsupported_media_type", "No.")
    endings = [(row.status, row.code) for row, _, _ in rows.kept]
    assert endings == [("ok", None), ("refused", "queue_full"), ("refused", "unsupported_media_type")]
    assert [notes for _, notes, _ in rows.kept] == [{}, {"error": "full"}, {"error": "No."}]


def test_the_row_comes_once_and_before_the_piece_that_tells_the_end() -> None:
    rows = Rows()
    with begun(rows) as trace:
        pieces = trace.tell(str(event) for event in trace.follow(stream(Text("a"), finish("stop"))))
        assert [("Finish" in piece, len(rows.kept)) for piece in pieces] == [(False, 0), (True, 1)]
        trace.end()
    assert len(rows.kept) == 1


def test_a_reader_that_leaves_is_no_failure() -> None:
    rows = Rows()
    trace = begun(rows)
    pieces = trace.tell(str(event) for event in trace.follow(stream(Text("a"), finish("cancelled"))))
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert [(row.status, row.code, row.completion_tokens) for row, _, _ in rows.kept] == [("cancelled", "holder", 4)]
    assert trace.left


def test_texts_to_be_made_vectors_are_content() -> None:
    rows = Rows()
    for texts in (("a",), ("a", (1, 2))):
        with Trace("req_1", "local", "/v1/embeddings", rows.record, lambda: "holder") as trace:
            trace.asks(EmbeddingRequest("req_1", "m", texts))
    assert [content and content.request for _, _, content in rows.kept] == [{"input": "a"}, {"input": ("a", (1, 2))}]


def test_the_row_has_what_was_measured() -> None:
    row, _, _ = kept(Text("a"), finish("stop"))
    assert (row.model, row.answered_by, row.provider) == ("asked", "answered", "local")
    assert (row.queue_ms, row.ttft_ms, row.duration_ms) == (1, 50, 250)
    assert (row.prompt_tokens, row.cached_tokens, row.completion_tokens, row.reasoning_tokens) == (9, 2, 4, 1)
    assert row.tokens_per_second == pytest.approx(15)


def test_endless_names_are_cut() -> None:
    rows = Rows()
    with Trace("req_1", "local", "/v1/" + "x" * 5000, rows.record, lambda: "holder") as trace:
        trace.model = "y" * 5000
    ((row, _, _),) = rows.kept
    assert len(row.endpoint) == len(row.model or "") == 200


def test_calls_are_kept_whole_and_what_was_no_call_is_noted() -> None:
    pieces = (
        ToolCall(0, "call_a", "f"),
        ToolCall(0, arguments="{"),
        ToolCall(0, arguments="}"),
        ToolCall(1, "call_b", "g"),
    )
    _, notes, content = kept(*pieces, replace(finish("tool_calls"), unparsed_calls=2))
    assert notes == {"tool_call": "unparsed"}
    assert content.tool_calls == (
        {"id": "call_a", "name": "f", "arguments": "{}"},
        {"id": "call_b", "name": "g", "arguments": ""},
    )
    assert kept(finish("stop"))[1] == {}


def test_messages_and_tools_are_kept_as_plain_json() -> None:
    trace = begun(Rows())
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
