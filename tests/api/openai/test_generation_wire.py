"""Events as OpenAI's JSON: what a stream says and what the plain answer says are the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from webapp.api.openai.generation_wire import ChatWire, CompletionWire
from webapp.errors import EngineFailed
from webapp.generation import (
    Choice,
    Event,
    Finish,
    FinishReason,
    GenerationRequest,
    Prefill,
    Reasoning,
    Text,
    Timing,
    Usage,
)

TIMING = Timing(0.0, 0.1, 0.2)
BARE = GenerationRequest("r1", "m", prompt="Once")
USAGE = Usage(prompt_tokens=5, completion_tokens=3, cached_tokens=2, reasoning_tokens=1)
AWKWARD = 'é 😀 "quoted" \\ \x00 \n \u2028 </script> \x7f'
EVENTS: list[Event] = [
    Prefill(0, 5),
    Reasoning("hm"),
    Text("Hello "),
    Text(AWKWARD),
    Finish("stop", USAGE, TIMING),
]


def chat_wire(include_usage: bool = False) -> ChatWire:
    return ChatWire([GenerationRequest("r1", 'odd "model"')], 1700000000, include_usage)


def messages(body: bytes) -> list[Any]:
    """The JSON of every message but [DONE]; every message is one line and one blank line."""
    parsed = []
    for message in body.decode().removesuffix("\n\n").split("\n\n"):
        assert "\n" not in message
        if message.startswith("data: ") and message != "data: [DONE]":
            parsed.append(json.loads(message.removeprefix("data: ")))
    return parsed


def stream(wire: ChatWire | CompletionWire) -> bytes:
    return b"".join(wire.stream(EVENTS))


def test_chat_chunks_fold_to_the_plain_answer() -> None:
    chunks = messages(stream(chat_wire()))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta.get("content", "") for delta in deltas) == "Hello " + AWKWARD
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "hm"
    answer: Any = chat_wire().plain(iter(EVENTS))
    (choice,) = answer["choices"]
    assert choice["message"]["content"] == "Hello " + AWKWARD
    assert choice["message"]["reasoning_content"] == "hm"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"][0]["finish_reason"]] == [
        choice["finish_reason"]
    ]
    for chunk in chunks:
        assert chunk["object"] == "chat.completion.chunk"
        assert (chunk["id"], chunk["created"], chunk["model"]) == ("chatcmpl-r1", 1700000000, 'odd "model"')
        assert (answer["id"], answer["created"], answer["model"]) == (chunk["id"], chunk["created"], chunk["model"])


def test_completion_chunks_fold_to_the_plain_answer() -> None:
    wire = CompletionWire([BARE], 1700000000, False)
    chunks = messages(stream(wire))
    answer: Any = wire.plain(iter(EVENTS))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == answer["choices"][0]["text"]
    assert answer["choices"][0]["text"] == "hmHello " + AWKWARD
    assert {chunk["id"] for chunk in chunks} == {"cmpl-r1"}


@pytest.mark.parametrize("wire", [chat_wire(True), CompletionWire([BARE], 1, True)], ids=["chat", "completions"])
def test_usage_comes_last_with_no_choices_and_is_null_before(wire: ChatWire | CompletionWire) -> None:
    body = stream(wire)
    *chunks, last = messages(body)
    assert body.endswith(b"\n\ndata: [DONE]\n\n")
    assert chunks and all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 3,
        "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    answer: Any = wire.plain(iter(EVENTS))
    assert answer["usage"] == last["usage"]


def test_without_include_usage_no_chunk_speaks_of_it() -> None:
    assert b"usage" not in stream(chat_wire())


@pytest.mark.parametrize("reason", ["stop", "length", "cancelled"])
def test_one_finish_reason_last(reason: FinishReason) -> None:
    events = [Text("x"), Finish(reason, USAGE, TIMING)]
    chunks = messages(b"".join(chat_wire().stream(events)))
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, reason]


def test_prefill_becomes_a_comment() -> None:
    assert b"\n\n: prefill 0/5\n\n" in stream(chat_wire())


def test_a_failure_in_the_middle_is_the_last_message_and_there_is_no_done() -> None:
    def failing() -> Iterator[Event]:
        yield Text("half")
        raise EngineFailed("The engine broke under this request.")

    body = b"".join(chat_wire(True).stream(failing()))
    *_, last = messages(body)
    assert last == {
        "error": {
            "message": "The engine broke under this request.",
            "type": "server_error",
            "param": None,
            "code": "internal_error",
        }
    }
    assert b"[DONE]" not in body


def test_a_model_named_like_the_mark_changes_nothing() -> None:
    wire = ChatWire([GenerationRequest("r1", "a\x00b")], 1, False)
    _, chunk, _ = messages(b"".join(wire.stream([Text("hi"), Finish("stop", USAGE, TIMING)])))
    assert chunk["model"] == "a\x00b"
    assert chunk["choices"][0]["delta"] == {"content": "hi"}


def test_choices_stand_side_by_side_in_chunks_and_in_the_answer() -> None:
    parts = [GenerationRequest(f"r1-{index}", "m", prompt="Once", whole="r1") for index in range(2)]
    end = Finish("length", USAGE, TIMING)
    events = [Choice(1, Text("b")), Choice(0, Text("a")), Choice(0, end), Choice(1, end), end]
    for wire_type in (ChatWire, CompletionWire):
        body = b"".join(wire_type(parts, 1, False).stream(events))
        *chunks, first, second = messages(body)
        assert [chunk["choices"][0]["index"] for chunk in chunks[-2:]] == [1, 0]
        ends = [(chunk["choices"][0]["index"], chunk["choices"][0]["finish_reason"]) for chunk in (first, second)]
        assert ends == [(0, "length"), (1, "length")]
        assert body.count(b"[DONE]") == 1
        answer: Any = wire_type(parts, 1, False).plain(iter(events))
        assert [choice["index"] for choice in answer["choices"]] == [0, 1]
        assert answer["id"].endswith("-r1") and answer["usage"]["total_tokens"] == 8


def test_what_is_echoed_comes_before_the_events() -> None:
    def wire() -> CompletionWire:
        return CompletionWire([BARE], 1, False, [Text("Once")])

    events = [Text(" upon"), Finish("stop", USAGE, TIMING)]
    streamed = "".join(chunk["choices"][0]["text"] for chunk in messages(b"".join(wire().stream(events))))
    answer: Any = wire().plain(iter(events))
    assert streamed == answer["choices"][0]["text"] == "Once upon"
