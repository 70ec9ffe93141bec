"""Anthropic's side of the wire, without a server: what requests become, and what events become."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import message_count_tokens_params, message_create_params

from tests.api.test_unsupported import DOCS
from webapp.api.anthropic.messages import HARMLESS, REFUSED
from webapp.api.anthropic.messages_schema import CountBody, MessagesBody
from webapp.api.anthropic.messages_wire import MessageWire, folded
from webapp.api.body import validate
from webapp.api.unsupported import ignored_names
from webapp.errors import EngineFailed, InvalidRequest, UnsupportedParameter
from webapp.generation import (
    Call,
    Event,
    Finish,
    Grammar,
    Message,
    Prefill,
    Reasoning,
    Text,
    Timing,
    Tool,
    ToolCall,
    ToolChoice,
    Usage,
)

HELLO: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
FINISH = Finish("stop", Usage(10, 5, 4, 2), Timing(0, 0, 1))
CALLS: list[Event] = [
    Text("Let me look."),
    ToolCall(0, "call_1", "weather"),
    ToolCall(0, arguments='{"city":'),
    ToolCall(0, arguments=' "Oslo"}'),
    ToolCall(1, "call_2", "time"),
    ToolCall(1, arguments="{}"),
    Finish("tool_calls", Usage(10, 5), Timing(0, 0, 1)),
]
EVENTS: list[Event] = [
    Prefill(4, 10),
    Prefill(10, 10),
    Reasoning("well"),
    Reasoning(", so"),
    Text("yes"),
    Text(" 😀"),
    Reasoning("hm"),
    Text("no"),
    FINISH,
]


def parsed(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(block.split("\ndata: ")[1]) for block in body.decode().strip().split("\n\n")]


def streamed(events: list[Event], shows_thinking: bool = True) -> list[dict[str, Any]]:
    return parsed(b"".join(MessageWire("req_1", "m", shows_thinking).stream(events)))


@pytest.mark.parametrize(
    "theirs, schema",
    [
        (message_create_params.MessageCreateParamsStreaming, MessagesBody),
        (message_count_tokens_params.MessageCountTokensParams, CountBody),
    ],
)
def test_every_anthropic_parameter_has_a_place(theirs: Any, schema: Any) -> None:
    ours = {*schema.model_fields, *HARMLESS, *(parameter.name for parameter in REFUSED)}
    assert theirs.__annotations__.keys() - ours == set()


def test_docs_name_every_parameter() -> None:
    text = DOCS.read_text()
    names = {*MessagesBody.model_fields, *HARMLESS, *(parameter.name for parameter in REFUSED)}
    assert {name for name in names - {"output_config"} if f"`{name}`" not in text} == set()


def test_a_conversation_with_tools() -> None:
    call = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "rain"}
    messages = [
        {"role": "user", "content": "How is it?"},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "…"}, {"type": "text", "text": "Hm."}, call],
        },
        {"role": "user", "content": [result, {"type": "text", "text": "And?"}]},
    ]
    request = validate({**HELLO, "messages": messages, "system": "Be brief."}, MessagesBody).to_request("r")
    assert request.messages == (
        Message.of("system", "Be brief."),
        Message.of("user", "How is it?"),
        Message.of("assistant", "Hm.", calls=(Call("t1", "weather", '{"city": "Oslo"}'),)),
        Message.of("tool", "rain", call_id="t1"),
        Message.of("user", "And?"),
    )


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": 2}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"stop_sequences": ["x"] * 17}, "stop_sequences"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"system": [{"type": "image"}]}, "system[0]"),
        ({"thinking": {"type": "sometimes"}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_config": {"effort": "enormous"}}, "output_config.effort"),
        ({"messages": []}, "messages"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"name": "a b", "input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"name": "f", "input_schema": {"type": "array"}}]}, "tools[0].input_schema"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type"),
        ({"tools": [TOOL] * 513}, "tools"),
        ({"tool_choice": {"type": "perhaps"}}, "tool_choice.type"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages[0].content[0].tool_use_id"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        validate({**HELLO, **fields}, MessagesBody)
    assert refusal.value.param == param


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"tools": [TOOL, TOOL]}, "tools[1].name"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ],
    ids=str,
)
def test_tools_and_choice_fit_together(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        validate({**HELLO, **fields}, MessagesBody).to_request("r")
    assert refusal.value.param == param


def test_the_line_for_billing_is_no_part_of_the_prompt() -> None:
    billing = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197.1c0; cc_entrypoint=cli;"}
    told = {**HELLO, "system": [billing, {"type": "text", "text": "Be brief."}]}
    assert validate(told, MessagesBody).to_request("r").messages[0] == Message.of("system", "Be brief.")
    assert validate({**HELLO, "system": [billing]}, MessagesBody).to_request("r").messages[0].role == "user"


def test_a_form_may_stand_in_its_older_place() -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    grammar = validate({**HELLO, "output_format": form}, MessagesBody).to_request("r").grammar
    assert grammar == Grammar("JSON schema", '{"type": "object"}')


def test_tools_become_what_the_engine_knows() -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    request = validate({**HELLO, "tools": [TOOL], "tool_choice": choice}, MessagesBody).to_request("r")
    assert request.tools == (Tool("f", None, {"type": "object"}),)
    assert (request.tool_choice, request.parallel_tool_calls, request.max_tokens) == (ToolChoice(), False, 9)


def test_unknown_blocks_are_refused_as_unsupported() -> None:
    with pytest.raises(UnsupportedParameter, match="'document'"):
        validate({**HELLO, "messages": [{"role": "user", "content": [{"type": "document"}]}]}, MessagesBody)


def test_unknown_fields_are_named() -> None:
    body = validate({**HELLO, "metadata": {"user_id": "me"}, "context_management": {}}, MessagesBody)
    assert ignored_names(body, REFUSED, HARMLESS) == "context_management"


def test_runs_of_thinking_and_text_are_blocks() -> None:
    message = MessageWire("req_1", "m", shows_thinking=True).plain(EVENTS)
    assert message["content"] == [
        {"type": "thinking", "thinking": "well, so", "signature": ""},
        {"type": "text", "text": "yes 😀"},
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "no"},
    ]
    assert (message["id"], message["stop_reason"]) == ("msg_1", "end_turn")
    usage = {"input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 5}
    assert usage.items() <= message["usage"].items()


def test_each_call_is_a_block() -> None:
    message = MessageWire("req_1", "m", shows_thinking=True).plain(CALLS)
    assert message["stop_reason"] == "tool_use"
    assert message["content"] == [
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Oslo"}},
        {"type": "tool_use", "id": "call_2", "name": "time", "input": {}},
    ]
    started = [event["content_block"] for event in streamed(CALLS) if event["type"] == "content_block_start"]
    assert [block.get("input") for block in started] == [None, {}, {}]
    assert folded(streamed(CALLS)) == message


@pytest.mark.parametrize("shows_thinking", [True, False])
def test_the_stream_folds_to_the_plain_message(shows_thinking: bool) -> None:
    assert folded(streamed(EVENTS, shows_thinking)) == MessageWire("req_1", "m", shows_thinking).plain(EVENTS)


def test_omitted_thinking_keeps_its_block_and_not_its_words() -> None:
    message = MessageWire("req_1", "m", shows_thinking=False).plain(EVENTS)
    assert [block.get("thinking") for block in message["content"]] == ["", None, "", None]


def test_an_answer_without_text_has_no_block() -> None:
    said = [event["type"] for event in streamed([Prefill(1, 1), FINISH])]
    assert said == ["message_start", "ping", "message_delta", "message_stop"]


def test_a_failure_is_the_last_event() -> None:
    def breaking() -> Any:
        yield from EVENTS[:3]
        raise EngineFailed("The engine failed.")

    *_, last = parsed(b"".join(MessageWire("req_1", "m", True).stream(breaking())))
    assert last == {
        "type": "error",
        "error": {"type": "api_error", "message": "The engine failed.", "param": None, "code": "internal_error"},
        "request_id": "req_1",
    }
