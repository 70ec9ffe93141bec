"""Tools through OpenAI's own client and the bundled model, which knows how to call one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from tests.conftest import Hearth
from webapp.store.audit import AuditRow

QUESTION: Any = [{"role": "user", "content": "What is the weather in Velmora?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def client(hearth: Hearth) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{hearth.base_url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def ask(client: OpenAI, messages: Any = QUESTION, **fields: Any) -> Any:
    chosen = {"model": "ember", "tools": [WEATHER], "temperature": 0, "max_tokens": 200} | fields
    return client.chat.completions.create(messages=messages, **chosen)


def test_a_call_and_an_answer_from_its_result(client: OpenAI) -> None:
    (choice,) = ask(client).choices
    (call,) = choice.message.tool_calls
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert (call.type, call.function.name) == ("function", "get_weather")
    assert json.loads(call.function.arguments) == {"city": "Velmora"}
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"temperature": 21, "condition": "sunny"}'}
    (answer,) = ask(client, [*QUESTION, choice.message, result]).choices
    assert answer.finish_reason == "stop" and answer.message.tool_calls is None
    assert answer.message.content


def test_streamed_and_folded_it_is_the_plain_call(client: OpenAI) -> None:
    (plain,) = ask(client).choices
    with client.chat.completions.stream(
        model="ember", messages=QUESTION, tools=[WEATHER], temperature=0, max_tokens=200
    ) as stream:
        kinds = [event.type for event in stream]
        (folded,) = stream.get_final_completion().choices
    assert "tool_calls.function.arguments.delta" in kinds and "content.delta" not in kinds
    assert (folded.finish_reason, folded.message.content) == ("tool_calls", None)
    (call,), (wanted,) = folded.message.tool_calls or (), plain.message.tool_calls
    assert (call.function.name, call.function.arguments) == (wanted.function.name, wanted.function.arguments)
    assert call.id.startswith("call_") and len(call.id) == 29


def test_none_tells_the_model_of_no_tools(client: OpenAI) -> None:
    without, told = (ask(client, **way, max_tokens=1).usage for way in ({"tool_choice": "none"}, {}))
    assert without.prompt_tokens < told.prompt_tokens
    (choice,) = ask(client, tool_choice="none").choices
    assert choice.message.tool_calls is None and choice.finish_reason == "stop"


def test_cut_off_inside_a_call_it_is_text_and_says_length(client: OpenAI) -> None:
    whole = ask(client).usage.completion_tokens
    (choice,) = ask(client, max_tokens=whole - 3).choices
    assert (choice.finish_reason, choice.message.tool_calls) == ("length", None)
    assert choice.message.content.startswith("<tool_call>")


def test_the_audit_keeps_calls_where_it_keeps_content(client: OpenAI, hearth: Hearth) -> None:
    hearth.server.settings.save({"audit_content": "full"})
    try:
        raw = client.chat.completions.with_raw_response.create(
            model="ember", messages=QUESTION, tools=[WEATHER], temperature=0, max_tokens=200
        )
        (call,) = raw.parse().choices[0].message.tool_calls or ()
        row = row_of(hearth, raw.headers["x-request-id"])
    finally:
        hearth.server.settings.save({"audit_content": None})
    detail = json.loads(row.detail or "")
    assert (row.status, row.code) == ("ok", "tool_calls")
    assert detail["request"]["tools"][0]["name"] == "get_weather"
    kept = {"id": call.id, "name": "get_weather", "arguments": '{"city": "Velmora"}'}
    assert detail["tool_calls"] == [kept]


def row_of(hearth: Hearth, request_id: str) -> AuditRow:
    """The row is written when the response is closed, which may be a moment after it was read."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        hearth.server.audit.flush()
        if row := hearth.server.audit.records.find(request_id):
            return row
        time.sleep(0.02)
    raise AssertionError(f"no row of {request_id}")
