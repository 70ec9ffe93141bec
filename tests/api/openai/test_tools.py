"""Tools on the wire: what may be offered and asked for, and calls as plain answers and streams have them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webapp.api.body import validate
from webapp.api.openai.generation_schema import ChatBody
from webapp.api.openai.generation_wire import ChatWire
from webapp.errors import InvalidRequest, UnsupportedParameter
from webapp.generation import (
    Event,
    Finish,
    FinishReason,
    GenerationRequest,
    Reasoning,
    Text,
    Timing,
    Tool,
    ToolCall,
    ToolChoice,
    Usage,
)

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Weather in a city", "parameters": SCHEMA},
}


def chat(**fields: Any) -> GenerationRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **fields}
    return validate(body, ChatBody).to_request("r1")


def function(**fields: Any) -> dict[str, Any]:
    return {"tools": [WEATHER, {"type": "function", "function": {"name": "f", **fields}}]}


def test_tools_arrive_typed() -> None:
    request = chat(tools=[WEATHER, {"type": "function", "function": {"name": "now", "strict": False}}])
    weather = Tool("get_weather", "Weather in a city", SCHEMA)
    assert request.tools == (weather, Tool("now"))
    assert request.tools[1].parameters == {"type": "object", "properties": {}}
    assert (request.tool_choice, request.parallel_tool_calls) == (ToolChoice("auto"), True)
    assert request.offered_tools == request.tools


def test_none_offers_nothing() -> None:
    request = chat(tools=[WEATHER], tool_choice="none", parallel_tool_calls=False)
    assert (request.tool_choice, request.offered_tools) == (ToolChoice("none"), ())
    assert not request.parallel_tool_calls


@pytest.mark.parametrize("fields", [{"tools": []}, {"tool_choice": "auto"}, {"tool_choice": "none"}, {"tools": None}])
def test_without_tools_there_is_nothing_to_choose(fields: dict[str, Any]) -> None:
    assert chat(**fields).offered_tools == ()


REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    ({"tools": {}}, "tools", "invalid_type"),
    ({"tools": ["f"]}, "tools[0]", "invalid_type"),
    ({"tools": [WEATHER] * 513}, "tools", "invalid_value"),
    ({"tools": [{"function": {"name": "f"}}]}, "tools[0].type", "missing_required_parameter"),
    ({"tools": [{"type": "song"}]}, "tools[0].type", "invalid_value"),
    ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type", "unsupported_parameter"),
    ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter"),
    (function(name=None), "tools[1].function.name", "invalid_type"),
    (function(name=""), "tools[1].function.name", "invalid_value"),
    (function(name="a b"), "tools[1].function.name", "invalid_value"),
    (function(name="f\n"), "tools[1].function.name", "invalid_value"),
    (function(name="f" * 129), "tools[1].function.name", "invalid_value"),
    (function(name="get_weather"), "tools[1].function.name", "invalid_value"),
    (function(description=7), "tools[1].function.description", "invalid_type"),
    (function(parameters=[]), "tools[1].function.parameters", "invalid_type"),
    (function(parameters={"type": "string"}), "tools[1].function.parameters", "invalid_value"),
    (function(parameters={"type": ["object"]}), "tools[1].function.parameters", "invalid_value"),
    (function(parameters={"properties": []}), "tools[1].function.parameters", "invalid_value"),
    (function(strict=1), "tools[1].function.strict", "invalid_type"),
    ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
    ({"tool_choice": "any"}, "tool_choice", "invalid_value"),
    ({"tool_choice": 7}, "tool_choice", "invalid_value"),
    ({"tool_choice": {}}, "tool_choice.type", "missing_required_parameter"),
    ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.type", "unsupported_parameter"),
    ({"tool_choice": {"type": "function"}}, "tool_choice.function", "missing_required_parameter"),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice.function.name", "invalid_value"),
    ({"parallel_tool_calls": 1}, "parallel_tool_calls", "invalid_type"),
]


@pytest.mark.parametrize("fields, param, code", REFUSALS, ids=lambda value: str(value)[:50])
def test_refused_under_its_path(fields: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        chat(**fields)
    assert (refusal.value.param, refusal.value.code) == (param, code)
    assert isinstance(refusal.value, UnsupportedParameter) == (code == "unsupported_parameter")


def wire(*tools: Tool) -> ChatWire:
    return ChatWire([GenerationRequest("r1", "m", tools=tools)], 1700000000, False)


def folded(body: bytes) -> tuple[dict[str, Any], str | None]:
    """Message and finish reason of a stream, put together as clients do."""
    message: dict[str, Any] = {"content": None}
    reason = None
    for line in body.decode().split("\n\n"):
        if line in ("", "data: [DONE]"):
            continue
        (choice,) = json.loads(line.removeprefix("data: "))["choices"]
        delta, reason = choice["delta"], choice["finish_reason"]
        for name in ("content", "reasoning_content"):
            if delta.get(name) is not None:
                message[name] = (message.get(name) or "") + delta[name]
        for piece in delta.get("tool_calls", ()):
            calls = message.setdefault("tool_calls", [])
            if piece["index"] == len(calls):
                calls.append({name: value for name, value in piece.items() if name != "index"})
            else:
                calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    return message, reason


def pieces(index: int, name: str, arguments: list[str]) -> list[Event]:
    return [ToolCall(index, f"call_{index}", name), *(ToolCall(index, arguments=piece) for piece in arguments)]


TEXTS = st.text(st.characters(codec="utf-8"), min_size=1)
CALLS = st.lists(st.tuples(st.sampled_from(["f", "get_weather"]), st.lists(TEXTS)), max_size=3)


@settings(deadline=None)
@given(
    st.lists(st.builds(Reasoning, TEXTS), max_size=2),
    st.lists(st.builds(Text, TEXTS), max_size=3),
    CALLS,
    st.sampled_from(["stop", "length", "tool_calls", "cancelled"]),
)
def test_a_stream_folded_is_the_plain_answer(
    thoughts: list[Event], texts: list[Event], calls: list[tuple[str, list[str]]], reason: FinishReason
) -> None:
    events: list[Event] = [*thoughts, *texts]
    for index, (name, arguments) in enumerate(calls):
        events += pieces(index, name, arguments)
    events.append(Finish(reason, Usage(1, 1), Timing(0, 0, 0)))
    plain: Any = wire(Tool("f")).plain(iter(events))
    (choice,) = plain["choices"]
    message = {name: value for name, value in choice["message"].items() if name not in ("role", "refusal")}
    assert folded(b"".join(wire(Tool("f")).stream(events))) == (message, choice["finish_reason"])


def test_a_streamed_call_has_id_and_name_first() -> None:
    _, *chunks = wire(Tool("f")).stream(pieces(1, "f", ["{", "}"]))
    deltas = [json.loads(chunk[6:])["choices"][0]["delta"] for chunk in chunks]
    first = {"index": 1, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    rest = [{"index": 1, "function": {"arguments": piece}} for piece in "{}"]
    assert deltas == [{"tool_calls": [piece]} for piece in (first, *rest)]


@pytest.mark.parametrize("text", ["", "Let me look."])
def test_content_is_null_where_there_is_nothing_but_calls(text: str) -> None:
    events: list[Event] = [Text(text)] if text else []
    events += [*pieces(0, "f", ["{}"]), Finish("tool_calls", Usage(1, 1), Timing(0, 0, 0))]
    plain: Any = wire(Tool("f")).plain(iter(events))
    message = plain["choices"][0]["message"]
    assert message["content"] == (text or None)
    call = {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert message["tool_calls"] == [call]
