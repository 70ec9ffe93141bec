"""Anthropic's own Python client against a real server and a real, if tiny, model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import jsonschema
import pytest
from anthropic import Anthropic

from tests.clients.test_openai import is_idle
from tests.conftest import Hearth

JSON = {"Content-Type": "application/json"}
HELLO: Any = [{"role": "user", "content": "Tell me about the river."}]


@pytest.fixture
def client(hearth: Hearth) -> Iterator[Anthropic]:
    with Anthropic(base_url=hearth.base_url, api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(params=[0, 1], ids=["qwen3", "llama"])
def model(request: pytest.FixtureRequest, hearth: Hearth) -> str:
    return hearth.models[request.param]


def asking(model: str, **fields: Any) -> Any:
    """Fields that the client has no name for go in as they are."""
    chosen = {"model": model, "messages": HELLO, "max_tokens": 24}
    sampling = {name: fields.pop(name) for name in ("temperature", "top_p", "top_k") if name in fields}
    return {**chosen, **fields, "extra_body": {"temperature": 0, **sampling}}


def ask(client: Anthropic, model: str, **fields: Any) -> Any:
    return client.messages.create(**asking(model, **fields))


def raw_events(hearth: Hearth, **fields: Any) -> list[tuple[str, dict[str, Any]]]:
    body = {"messages": HELLO, "max_tokens": 24, "temperature": 0, "stream": True, **fields}
    with httpx.stream("POST", f"{hearth.base_url}/v1/messages", json=body, timeout=60) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        blocks = response.read().decode().strip().split("\n\n")
    pairs = [block.split("\n") for block in blocks]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in pairs]


def test_models_are_listed_as_anthropic_s_client_reads_them(client: Anthropic, model: str) -> None:
    (listed,) = [each for each in client.models.list() if each.id == model]
    assert listed == client.models.retrieve(model)
    assert (listed.type, listed.display_name) == ("model", model) and listed.created_at.year >= 2020


def test_plain(client: Anthropic, model: str) -> None:
    answer = ask(client, model)
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", model)
    assert (answer.stop_reason, answer.stop_sequence) == ("max_tokens", None)
    assert [block.type for block in answer.content] == ["text"] and answer.content[0].text
    assert answer.usage.output_tokens == 24 and answer.usage.input_tokens + answer.usage.cache_read_input_tokens > 5
    assert answer.id.startswith("msg_") and answer._request_id


def test_the_stream_helper_folds_to_the_plain_answer(client: Anthropic, model: str) -> None:
    whole = ask(client, model)
    with client.messages.stream(**asking(model)) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text
    again = {"id", "usage"}
    assert final.model_dump(exclude=again, exclude_none=True) == whole.model_dump(exclude=again, exclude_none=True)
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_events_come_in_the_order_that_clients_rely_on(hearth: Hearth, model: str) -> None:
    events = raw_events(hearth, model=model)
    assert events and all(name == data["type"] for name, data in events)
    names = [name for name, _ in events if name != "ping"]
    assert names[:2] == ["message_start", "content_block_start"] and set(names[2:-3]) == {"content_block_delta"}
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert any(name == "ping" for name, _ in events)
    start, end = events[0][1]["message"], events[-2][1]
    assert (start["content"], start["stop_reason"], start["usage"]["output_tokens"]) == ([], None, 0)
    counted = ("input_tokens", "cache_read_input_tokens")
    assert [start["usage"][name] for name in counted] == [end["usage"][name] for name in counted]


def test_what_is_counted_is_what_is_used(client: Anthropic, model: str) -> None:
    said: Any = {
        "messages": HELLO,
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Rhyme."}],
    }
    counted = client.messages.count_tokens(model=model, **said).input_tokens
    usage = ask(client, model, **said).usage
    assert counted == usage.input_tokens + usage.cache_read_input_tokens
    assert counted > client.messages.count_tokens(model=model, messages=HELLO).input_tokens
    cached = ask(client, model, **said).usage
    assert cached.cache_read_input_tokens > 0 and cached.input_tokens + cached.cache_read_input_tokens == counted


def test_more_than_fits_is_counted_and_refused(client: Anthropic, model: str) -> None:
    much: Any = [{"role": "user", "content": "river " * 20_000}]
    assert client.messages.count_tokens(model=model, messages=much).input_tokens > 20_000
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > \d+ maximum"):
        ask(client, model, messages=much)


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_the_stop_sequence_that_ended_it_is_named(client: Anthropic, model: str, streamed: bool) -> None:
    whole = ask(client, model).content[0].text
    stop = whole[len(whole) // 2 :][:4]
    fields: Any = {"stop_sequences": ["never in there", stop]}
    if streamed:
        with client.messages.stream(**asking(model, **fields)) as stream:
            answer: Any = stream.get_final_message()
    else:
        answer = ask(client, model, **fields)
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", stop)
    assert "".join(block.text for block in answer.content) == whole[: whole.index(stop)]


def test_a_conversation_with_tools_and_thinking_goes_on(client: Anthropic, model: str) -> None:
    messages: Any = [
        {"role": "user", "content": [{"type": "text", "text": "How is the weather?", "cache_control": None}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Let me look.", "signature": "abc"},
                {"type": "redacted_thinking", "data": "xyz"},
                {"type": "text", "text": "One moment."},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "rain"}]},
                {"type": "text", "text": "And?"},
            ],
        },
    ]
    answer = client.messages.with_raw_response.create(**asking(model, messages=messages))
    assert "x-hearth-ignored" not in answer.headers
    assert answer.parse().content


WEATHER: Any = {
    "name": "get_weather",
    "description": "Get the weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
QUESTION: Any = [{"role": "user", "content": "What is the weather in Velmora?"}]


def test_a_tool_is_used_and_its_result_answered(client: Anthropic) -> None:
    offered: Any = {"tools": [WEATHER], "max_tokens": 200}
    used = ask(client, "ember", messages=QUESTION, **offered)
    (call,) = used.content
    assert (used.stop_reason, call.type, call.name, call.input) == (
        "tool_use",
        "tool_use",
        "get_weather",
        {"city": "Velmora"},
    )
    with client.messages.stream(**asking("ember", messages=QUESTION, **offered)) as stream:
        streamed: Any = stream.get_final_message()
    assert (streamed.stop_reason, streamed.content[0].name, streamed.content[0].input) == (
        "tool_use",
        call.name,
        call.input,
    )
    result = {"type": "tool_result", "tool_use_id": call.id, "content": '{"temperature": 21, "condition": "sunny"}'}
    history = [*QUESTION, {"role": "assistant", "content": used.content}, {"role": "user", "content": [result]}]
    answer = ask(client, "ember", messages=history, **offered)
    assert [block.type for block in answer.content] == ["text"] and answer.stop_reason == "end_turn"


SIZED: Any = {
    "name": "measure",
    "input_schema": {
        "type": "object",
        "properties": {"what": {"type": "string", "maxLength": 12}, "unit": {"enum": ["m", "kg"]}},
        "required": ["unit"],
        "additionalProperties": False,
    },
}
CLOCK: Any = {"name": "clock", "input_schema": {"type": "object", "properties": {}, "additionalProperties": False}}


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "measure"}], ids=["any", "tool"])
@pytest.mark.parametrize("one", [True, False], ids=["one", "several"])
def test_a_call_that_is_insisted_on_is_whole_whatever_the_model_says(
    client: Anthropic, model: str, choice: Any, one: bool
) -> None:
    fields: Any = {"tools": [SIZED, CLOCK], "tool_choice": {**choice, "disable_parallel_tool_use": one}}
    whole = ask(client, model, **fields, max_tokens=300)
    with client.messages.stream(**asking(model, **fields, max_tokens=300)) as stream:
        streamed = stream.get_final_message()
    assert whole.stop_reason == streamed.stop_reason
    assert whole.stop_reason == "tool_use" or not one  # several may go on for ever
    said = [(block.name, block.input) for block in whole.content if block.type == "tool_use"]
    assert said and (len(whole.content) == 1 or not one)
    assert said == [(block.name, block.input) for block in streamed.content if block.type == "tool_use"]
    assert len({block.id for block in whole.content if block.type == "tool_use"}) == len(said)
    for name, given in said:
        jsonschema.validate(given, {"measure": SIZED, "clock": CLOCK}[name]["input_schema"])
        assert choice.get("name") in (None, name)


def test_no_tool_is_used_where_none_may_be(client: Anthropic) -> None:
    offered: Any = {"tools": [WEATHER], "tool_choice": {"type": "none"}, "max_tokens": 60}
    answer = ask(client, "ember", messages=QUESTION, **offered)
    assert [block.type for block in answer.content] == ["text"] and answer.stop_reason != "tool_use"


def test_one_tool_at_a_time_where_that_is_asked_for(client: Anthropic) -> None:
    choice: Any = {"type": "auto", "disable_parallel_tool_use": True}
    (block,) = ask(client, "ember", messages=QUESTION, tools=[WEATHER], tool_choice=choice, max_tokens=200).content
    assert (block.type, block.input) == ("tool_use", {"city": "Velmora"})


def test_a_choice_of_tools_that_makes_no_sense_is_named(client: Anthropic, hearth: Hearth) -> None:
    impossible: Any = {**SIZED, "strict": True, "input_schema": {"type": "object", "properties": {"a": {"not": {}}}}}
    for fields, param in (
        ({"tools": [CLOCK], "tool_choice": {"type": "tool", "name": "other"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [CLOCK, impossible]}, "tools[1].input_schema"),
    ):
        with pytest.raises(anthropic.BadRequestError) as refusal:
            ask(client, hearth.models[0], **fields)
        body: Any = refusal.value.body
        assert body["error"]["param"] == param


def test_tools_count_unless_they_are_not_to_be_used(client: Anthropic) -> None:
    def count(**fields: Any) -> int:
        return client.messages.count_tokens(model="ember", messages=QUESTION, **fields).input_tokens

    assert count(tools=[WEATHER]) > count() == count(tools=[WEATHER], tool_choice={"type": "none"})


@pytest.mark.parametrize("kind", ["enabled", "adaptive", "disabled"])
def test_thinking_is_asked_of_the_template(client: Anthropic, hearth: Hearth, kind: str) -> None:
    thinking: Any = {"type": kind, "budget_tokens": 1024} if kind == "enabled" else {"type": kind}
    messages: Any = HELLO
    counts = {
        name: client.messages.count_tokens(model=hearth.models[0], messages=messages, thinking=chosen).input_tokens
        for name, chosen in (("asked", thinking), ("off", {"type": "disabled"}))
    }
    assert (counts["asked"] == counts["off"]) == (kind == "disabled")
    assert ask(client, hearth.models[0], thinking=thinking).content


def test_a_schema_is_kept(client: Anthropic, model: str) -> None:
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
    output: Any = {"format": {"type": "json_schema", "schema": schema}}
    answer = ask(client, model, output_config=output, thinking={"type": "disabled"}, max_tokens=200)
    assert json.loads(answer.content[0].text) in ({"n": 1}, {"n": 2}) and answer.stop_reason == "end_turn"
    with pytest.raises(anthropic.BadRequestError, match="uniqueItems") as refusal:
        wrong: Any = {"format": {"type": "json_schema", "schema": {"type": "array", "uniqueItems": True}}}
        ask(client, model, output_config=wrong)
    body: Any = refusal.value.body
    assert body["error"]["param"].startswith("output_config.format.schema")


def test_closing_a_stream_frees_its_place(client: Anthropic, hearth: Hearth, model: str) -> None:
    with client.messages.stream(**asking(model, max_tokens=3000)) as stream:
        next(iter(stream.text_stream))
    assert is_idle(hearth, within_seconds=0.5)


def test_cancelled_from_elsewhere(hearth: Hearth, model: str) -> None:
    body = {"model": model, "messages": HELLO, "max_tokens": 3000, "temperature": 0, "stream": True}
    with httpx.stream("POST", f"{hearth.base_url}/v1/messages", json=body, timeout=60) as response:
        request_id = response.headers["request-id"]
        assert request_id == response.headers["x-request-id"]
        httpx.post(f"{hearth.base_url}/v1/requests/{request_id}/cancel")
        said = response.read().decode()
    assert '"stop_reason":"cancelled"' in said and said.endswith('data: {"type":"message_stop"}\n\n')


@pytest.mark.parametrize(
    "fields, error, kind, param",
    [
        ({"model": "claude-9"}, anthropic.NotFoundError, "not_found_error", "model"),
        ({"max_tokens": 0}, anthropic.BadRequestError, "invalid_request_error", "max_tokens"),
        ({"temperature": 1.5}, anthropic.BadRequestError, "invalid_request_error", "temperature"),
        (
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            anthropic.BadRequestError,
            "invalid_request_error",
            "tools[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
            anthropic.BadRequestError,
            "invalid_request_error",
            "messages[0].content[0]",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]}]},
            anthropic.BadRequestError,
            "invalid_request_error",
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]},
            anthropic.BadRequestError,
            "invalid_request_error",
            "messages[0].content[0].text",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refusals_have_the_shape_that_this_client_reads(
    client: Anthropic, hearth: Hearth, fields: Any, error: type[anthropic.APIStatusError], kind: str, param: str
) -> None:
    with pytest.raises(error) as refusal:
        ask(client, **{"model": hearth.models[0], **fields})
    body: Any = refusal.value.body
    assert (body["type"], body["error"]["type"], body["error"]["param"]) == ("error", kind, param)
    assert body["request_id"] == refusal.value.request_id


@pytest.mark.parametrize(
    "request_fields, status, kind",
    [
        ({"method": "GET"}, 405, "invalid_request_error"),
        ({"method": "POST", "content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415, "invalid_request_error"),
        ({"method": "POST", "content": b"{", "headers": JSON}, 400, "invalid_request_error"),
        ({"method": "POST", "json": {}, "headers": {"Host": "evil.example"}}, 403, "permission_error"),
        ({"method": "POST", "content": b" " * 17_000_000}, 413, "request_too_large"),
    ],
)  # fmt: skip
def test_what_http_gets_wrong_is_said_in_the_same_shape(
    hearth: Hearth, request_fields: Any, status: int, kind: str
) -> None:
    response = httpx.request(url=f"{hearth.base_url}/v1/messages", **request_fields)
    body = response.json()
    assert (response.status_code, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert body["request_id"] == response.headers["x-request-id"]
