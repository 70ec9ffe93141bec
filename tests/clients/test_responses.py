"""/v1/responses through OpenAI's own client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.clients.test_openai import is_idle
from tests.conftest import Hearth

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}


@pytest.fixture
def client(hearth: Hearth) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{hearth.base_url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(params=[0, 1], ids=["qwen3", "llama"])
def model(request: pytest.FixtureRequest, hearth: Hearth) -> str:
    return hearth.models[request.param]


def ask(client: OpenAI, model: str, **fields: Any) -> Any:
    chosen = {"input": "Tell me about the river.", "max_output_tokens": 24, "temperature": 0} | fields
    return client.responses.create(model=model, **chosen)


def test_plain(client: OpenAI, model: str) -> None:
    response = ask(client, model, metadata={"a": "b"})
    assert (response.status, response.model, response.object) == ("incomplete", model, "response")
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text and response.usage.output_tokens == 24
    assert (response.metadata, response.temperature, response.store) == ({"a": "b"}, 0, True)
    chat = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Tell me about the river."}], max_tokens=24, temperature=0
    )
    assert response.output_text == chat.choices[0].message.content


def test_streamed_is_the_plain_response(client: OpenAI, model: str) -> None:
    whole = ask(client, model)
    with client.responses.stream(
        model=model, input="Tell me about the river.", max_output_tokens=24, temperature=0
    ) as stream:
        events: list[Any] = list(stream)
    final = events[-1].response
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == final.output_text == whole.output_text
    assert (events[-1].type, final.status) == ("response.incomplete", whole.status)
    assert [event.sequence_number for event in events] == sorted({event.sequence_number for event in events})


class Answer(BaseModel):
    yes: bool


def test_a_parsed_answer(client: OpenAI, model: str) -> None:
    response = client.responses.parse(
        model=model, input="Yes?", text_format=Answer, reasoning={"effort": "none"}, max_output_tokens=200
    )
    assert isinstance(response.output_parsed, Answer)


def test_a_call_and_an_answer_from_its_result(client: OpenAI) -> None:
    said: Any = [{"role": "user", "content": "What is the weather in Velmora?"}]
    called = ask(client, "ember", input=said, tools=[WEATHER], max_output_tokens=200)
    (call,) = called.output
    assert (called.status, call.type, call.name) == ("completed", "function_call", "get_weather")
    assert json.loads(call.arguments) == {"city": "Velmora"}
    result = {
        "type": "function_call_output",
        "call_id": call.call_id,
        "output": '{"temperature": 21, "condition": "sunny"}',
    }
    answer = ask(client, "ember", input=[*said, *called.output, result], tools=[WEATHER], max_output_tokens=200)
    assert answer.output_text and [item.type for item in answer.output] == ["message"]


def test_a_function_of_a_namespace_is_called_by_both_names(client: OpenAI, hearth: Hearth) -> None:
    look = {"type": "function", "name": "look", "parameters": {"type": "object", "additionalProperties": False}}
    tools: Any = [{"type": "namespace", "name": "mcp__sky", "description": "The sky.", "tools": [look]}]
    asked: Any = {"model": hearth.models[0], "tool_choice": "required", "parallel_tool_calls": False}
    answer = client.responses.with_raw_response.create(
        input="Is it blue?", tools=[*tools, {"type": "web_search"}], **asked
    )
    assert answer.headers["x-hearth-ignored"] == "tools[1]"
    first = answer.parse()
    (call,) = first.output
    assert (call.namespace, call.name, call.arguments) == ("mcp__sky", "look", "{}")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "blue"}
    later = ask(client, hearth.models[0], input=[result], previous_response_id=first.id, tools=tools)
    assert later.usage.input_tokens_details.cached_tokens >= first.usage.input_tokens


def test_a_reference_stands_for_a_kept_item(client: OpenAI, model: str) -> None:
    first = ask(client, model, reasoning={"effort": "none"})
    question: Any = {"role": "user", "content": "And the sea?"}
    references = [{"type": "item_reference", "id": item.id} for item in first.output]
    referring = ask(client, model, input=[*references, question])
    assert referring.output_text == ask(client, model, input=[*first.output, question]).output_text
    assert next(iter(client.responses.input_items.list(referring.id, order="asc"))).id == first.output[0].id
    for stranger in ("msg_x", f"{first.output[0].id}0", "msg"):
        with pytest.raises(openai.BadRequestError, match="not found") as refusal:
            ask(client, model, input=[question, {"type": "item_reference", "id": stranger}])
        assert refusal.value.param == "input[1].id"


def test_a_later_request_goes_on_from_a_kept_response(client: OpenAI, model: str) -> None:
    first = ask(client, model, instructions="Be brief.")
    with client.responses.stream(
        model=model, input="And the sea?", previous_response_id=first.id, max_output_tokens=24, temperature=0
    ) as stream:
        events: list[Any] = list(stream)
    second = events[-1].response
    third = ask(client, model, input="And the hills?", previous_response_id=second.id)
    said: Any = [{"role": "user", "content": "Tell me about the river."}, *first.output]
    said += [{"role": "user", "content": "And the sea?"}, *second.output, {"role": "user", "content": "And the hills?"}]
    whole = ask(client, model, input=said, store=False)
    assert (third.previous_response_id, second.previous_response_id) == (second.id, first.id)
    assert third.output_text == whole.output_text and third.usage.input_tokens == whole.usage.input_tokens
    assert third.usage.input_tokens_details.cached_tokens >= second.usage.input_tokens


def test_a_kept_response_is_shown_and_deleted(client: OpenAI, model: str) -> None:
    response = ask(client, model, metadata={"a": "b"})
    assert client.responses.retrieve(response.id) == response
    second = ask(client, model, input="And the sea?", previous_response_id=response.id)
    items: Any = list(client.responses.input_items.list(second.id, order="asc", limit=1))
    texts = [item.content[0].text for item in items]
    assert texts == ["Tell me about the river.", response.output_text, "And the sea?"]
    newest: Any = client.responses.input_items.list(second.id, limit=1)
    assert newest.data == items[-1:] and newest.has_more
    client.responses.delete(response.id)
    assert [item.id for item in client.responses.input_items.list(second.id)] == [items[-1].id]
    for gone in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError, match="not found"):
            gone(response.id)
    with pytest.raises(openai.BadRequestError, match=response.id) as refusal:
        ask(client, model, previous_response_id=second.id)
    assert (refusal.value.code, refusal.value.param) == ("previous_response_not_found", "previous_response_id")


def test_what_does_not_fit_is_named_as_it_was_asked(client: OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        ask(client, model, input="river " * 20_000)
    assert (refusal.value.code, refusal.value.param) == ("context_length_exceeded", "input")


def test_what_is_not_to_be_stored_is_not(client: OpenAI, model: str) -> None:
    response = ask(client, model, store=False)
    assert response.store is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


@pytest.mark.parametrize(
    "query, param", [({"limit": 0}, "limit"), ({"order": "up"}, "order"), ({"after": "msg_x"}, "after")], ids=str
)
def test_a_page_that_cannot_be(client: OpenAI, model: str, query: Any, param: str) -> None:
    response = ask(client, model, max_output_tokens=1)
    with pytest.raises(openai.BadRequestError) as refusal:
        client.responses.input_items.list(response.id, **query)
    assert refusal.value.param == param


def test_a_response_is_found_with_its_own_key_only(client: OpenAI, hearth: Hearth, model: str) -> None:
    keys = hearth.server.administration.keys
    secrets = [keys.create("test", {"name": name})[1] for name in ("first", "second")]
    try:
        mine, other = (client.with_options(api_key=secret) for secret in secrets)
        response = ask(mine, model, max_output_tokens=1)
        assert mine.responses.retrieve(response.id).id == response.id
        for stranger in (other, client):
            with pytest.raises(openai.NotFoundError):
                stranger.responses.retrieve(response.id)
            with pytest.raises(openai.BadRequestError):
                ask(stranger, model, previous_response_id=response.id)
    finally:
        for name in ("first", "second"):
            keys.revoke("test", name)


def test_closing_a_stream_frees_its_place(client: OpenAI, hearth: Hearth, model: str) -> None:
    stream = ask(client, model, stream=True, max_output_tokens=3000)
    next(stream)
    stream.close()
    assert is_idle(hearth, within_seconds=0.5)
