"""What every dialect's wire keeps to: a stream and a plain answer of the same events, and what becomes of a failure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from webapp.api.anthropic.messages_wire import MessageWire
from webapp.api.openai.generation_wire import ChatWire, CompletionWire
from webapp.api.openai.responses_wire import ResponseWire
from webapp.api.wire import Wire
from webapp.errors import EngineFailed
from webapp.generation import Event, Finish, GenerationRequest, Prefill, Reasoning, Text, Timing, Usage

AWKWARD = 'é 😀 "quoted" \\ \x00 \n \u2028 \x7f'
FINISH = Finish("stop", Usage(5, 3, 2, 1), Timing(0, 0.1, 0.2))
EVENTS: list[Event] = [Prefill(0, 5), Prefill(5, 5), Reasoning("hm"), Text("Hello "), Text(AWKWARD), FINISH]
REQUEST = GenerationRequest("req_1", "m", prompt="Once")
MAKERS: dict[str, Callable[[], Wire]] = {
    "chat": lambda: ChatWire([REQUEST], 17, False),
    "completions": lambda: CompletionWire([REQUEST], 17, False),
    "messages": lambda: MessageWire("req_1", "m", True),
    "responses": lambda: ResponseWire("req_1", "m", 17, {}),
}

pytestmark = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def breaking() -> Iterator[Event]:
    yield Prefill(0, 5)
    yield Text("half")
    raise EngineFailed("The engine broke under this request.")


def texts(node: object) -> Iterator[str]:
    """Every string in JSON, however deep."""
    match node:
        case str():
            yield node
        case dict():
            for child in node.values():
                yield from texts(child)
        case list():
            for child in node:
                yield from texts(child)


def messages(body: bytes) -> list[list[str]]:
    """The lines of each message; JSON keeps every line break of the text to itself."""
    assert body.endswith(b"\n\n")
    return [message.split("\n") for message in body.decode().removesuffix("\n\n").split("\n\n")]


def parsed(body: bytes) -> list[object]:
    data = [line.removeprefix("data: ") for lines in messages(body) for line in lines if line.startswith("data: {")]
    return [json.loads(line) for line in data]


def test_a_stream_says_what_the_plain_answer_says(make: Callable[[], Wire]) -> None:
    spoken = "".join(texts(parsed(b"".join(make().stream(iter(EVENTS))))))
    whole = "".join(texts(make().plain(iter(EVENTS))))
    for piece in ("hm", "Hello ", AWKWARD):
        assert piece in spoken
    assert "Hello " + AWKWARD in whole and "hm" in whole


def test_each_event_is_written_before_the_next_is_waited_for(make: Callable[[], Wire]) -> None:
    waited: list[str] = []

    def events() -> Iterator[Event]:
        for piece in ("one", "two"):
            waited.append(piece)
            yield Text(piece)
        yield FINISH

    written = make().stream(events())
    assert b"one" in next(message for message in written if b"one" in message)
    assert waited == ["one"]


def test_a_prompt_that_is_computed_shows_life(make: Callable[[], Wire]) -> None:
    silent = b"".join(make().stream(iter(EVENTS[2:])))
    alive = b"".join(make().stream(iter(EVENTS)))
    assert len(messages(alive)) == len(messages(silent)) + 2


def test_a_failure_is_the_last_message_and_ends_a_plain_answer(make: Callable[[], Wire]) -> None:
    *before, last = messages(b"".join(make().stream(breaking())))
    assert any("half" in line for lines in before for line in lines)
    assert "The engine broke under this request." in last[-1]
    with pytest.raises(EngineFailed):
        make().plain(breaking())
