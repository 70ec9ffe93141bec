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
    assert (response.metadata, response.temperature, response.store) == ({"a": "b"}, 0, False)
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


def test_nothing_is_stored_and_that_is_said(client: OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        ask(client, model, previous_response_id="resp_1")
    assert (refusal.value.code, refusal.value.param) == ("unsupported_parameter", "previous_response_id")


def test_closing_a_stream_frees_its_place(client: OpenAI, hearth: Hearth, model: str) -> None:
    stream = ask(client, model, stream=True, max_output_tokens=3000)
    next(stream)
    stream.close()
    assert is_idle(hearth, within_seconds=0.5)
