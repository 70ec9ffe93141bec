"""Events as OpenAI's JSON: what a stream says and what the plain answer says are the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from webapp.api.openai.generation_wire import ChatWire, CompletionWire, plain, server_sent
from webapp.errors import EngineFailed
from webapp.generation import (
    Completion,
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
from webapp.stream import collect

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
    return ChatWire(GenerationRequest("r1", 'odd "model"'), 1700000000, include_usage)


def messages(body: bytes) -> list[Any]:
    """The JSON of every message but [DONE]; every message is one line and one blank line."""
    parsed = []
    for message in body.decode().removesuffix("\n\n").split("\n\n"):
        assert "\n" not in message
        if message.startswith("data: ") and message != "data: [DONE]":
            parsed.append(json.loads(message.removeprefix("data: ")))
    return parsed


def stream(wire: ChatWire | CompletionWire, include_usage: bool = False) -> bytes:
    return b"".join(server_sent(iter(EVENTS), [wire], include_usage))


def whole_of(wire: ChatWire | CompletionWire, completion: Completion) -> dict[str, object]:
    return plain([wire], [completion], completion.finish.usage)


def test_chat_chunks_fold_to_the_plain_answer() -> None:
    chunks = messages(stream(chat_wire()))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta.get("content", "") for delta in deltas) == "Hello " + AWKWARD
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "hm"
    answer: Any = whole_of(chat_wire(), collect(iter(EVENTS)))
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
    wire = CompletionWire(BARE, 1700000000, False)
    chunks = messages(stream(wire))
    answer: Any = whole_of(wire, collect(iter(EVENTS)))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == answer["choices"][0]["text"]
    assert answer["choices"][0]["text"] == "hmHello " + AWKWARD
    assert {chunk["id"] for chunk in chunks} == {"cmpl-r1"}


@pytest.mark.parametrize("wire", [chat_wire(True), CompletionWire(BARE, 1, True)], ids=["chat", "completions"])
def test_usage_comes_last_with_no_choices_and_is_null_before(wire: ChatWire | CompletionWire) -> None:
    body = stream(wire, include_usage=True)
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
    answer: Any = whole_of(wire, collect(iter(EVENTS)))
    assert answer["usage"] == last["usage"]


def test_without_include_usage_no_chunk_speaks_of_it() -> None:
    assert b"usage" not in stream(chat_wire())


@pytest.mark.parametrize("reason", ["stop", "length", "cancelled"])
def test_one_finish_reason_last(reason: FinishReason) -> None:
    events = [Text("x"), Finish(reason, USAGE, TIMING)]
    chunks = messages(b"".join(server_sent(iter(events), [chat_wire()], False)))
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, reason]


def test_prefill_becomes_a_comment() -> None:
    assert b"\n\n: prefill 0/5\n\n" in stream(chat_wire())


def test_a_failure_in_the_middle_is_the_last_message_and_there_is_no_done() -> None:
    def failing() -> Iterator[Event]:
        yield Text("half")
        raise EngineFailed("The engine broke under this request.")

    body = b"".join(server_sent(failing(), [chat_wire()], True))
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
    wire = ChatWire(GenerationRequest("r1", "a\x00b"), 1, False)
    (chunk,) = messages(wire.text("hi"))
    assert chunk["model"] == "a\x00b"
    assert chunk["choices"][0]["delta"] == {"content": "hi"}
