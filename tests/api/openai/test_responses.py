"""/v1/responses without a server: what items become, and what events become."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import response_create_params

from tests.api.test_unsupported import DOCS
from webapp.api.body import validate
from webapp.api.openai.responses import IGNORED, REFUSED
from webapp.api.openai.responses_schema import ResponseBody
from webapp.api.openai.responses_wire import ResponseWire
from webapp.api.unsupported import ignored_names
from webapp.errors import EngineFailed, InvalidRequest
from webapp.generation import Call, Event, Finish, Message, Prefill, Reasoning, Text, Timing, ToolCall, Usage

ASKED: dict[str, Any] = {"model": "m", "input": "hello"}
CLOCK = {"type": "function", "name": "clock"}
EVENTS: list[Event] = [
    Prefill(4, 10),
    Reasoning("well"),
    Reasoning(", so"),
    Text("yes"),
    Text(" 😀"),
    ToolCall(0, "call_1", "weather"),
    ToolCall(0, arguments='{"city":'),
    ToolCall(0, arguments=' "Oslo"}'),
    ToolCall(1, "call_2", "time"),
    ToolCall(1, arguments="{}"),
    Finish("tool_calls", Usage(10, 5, 4, 2), Timing(0, 0, 1)),
]


def wire() -> ResponseWire:
    return ResponseWire("req_1", "m", 17, {"instructions": None})


def streamed(events: Any) -> list[dict[str, Any]]:
    blocks = b"".join(wire().stream(events)).decode().strip().split("\n\n")
    pairs = [block.split("\ndata: ") for block in blocks if not block.startswith(":")]
    parsed = [json.loads(data) for _, data in pairs]
    assert [name.removeprefix("event: ") for name, _ in pairs] == [event["type"] for event in parsed]
    assert [event["sequence_number"] for event in parsed] == list(range(len(parsed)))
    return parsed


def test_every_openai_parameter_has_a_place_and_words() -> None:
    theirs = response_create_params.ResponseCreateParamsStreaming.__annotations__.keys()
    ours = {*ResponseBody.model_fields, *IGNORED, *(parameter.name for parameter in REFUSED)}
    assert theirs - ours == set()
    text = DOCS.read_text()
    assert {name for name in ours if f"`{name}`" not in text} == set()


def test_items_become_messages() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Oslo"}'}
    items = [
        {"role": "user", "content": "How is it?"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hm.", "annotations": []}],
        },
        call,
        {**call, "call_id": "c2"},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        call,
    ]
    request = validate({**ASKED, "input": items, "instructions": "Be brief."}, ResponseBody).to_request("r")
    first, second = (Call(call_id, "weather", '{"city": "Oslo"}') for call_id in ("c1", "c2"))
    assert request.messages == (
        Message.of("system", "Be brief."),
        Message.of("user", "How is it?"),
        Message.of("assistant", "Hm.", calls=(first, second)),
        Message.of("tool", "rain", call_id="c1"),
        Message.of("assistant", "", calls=(first,)),
    )


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": [{"type": "computer_call", "id": "x"}]}, "input[0]"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}, "input[0].arguments"),
        ({"max_output_tokens": True}, "max_output_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"reasoning": {"effort": "enormous"}}, "reasoning.effort"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "local_shell"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name"),
        (
            {"tools": [{"type": "namespace", "name": "n", "tools": [CLOCK, {"type": "custom"}]}]},
            "tools[0].tools[1].type",
        ),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [CLOCK, CLOCK]}]}, "tools[0].tools[1].name"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [CLOCK] * 300}] * 2}, "tools"),
        ({"tools": [CLOCK], "tool_choice": {"type": "web_search"}}, "tool_choice.type"),
        ({"tool_choice": "perhaps"}, "tool_choice"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        validate({**ASKED, **fields}, ResponseBody).to_request("r")
    assert refusal.value.param == param


def test_a_namespace_s_functions_have_both_names() -> None:
    tools = [CLOCK, {"type": "web_search"}, {"type": "namespace", "name": "mcp__home__", "tools": [CLOCK]}]
    call = {"type": "function_call", "call_id": "c", "namespace": "mcp__home__", "name": "clock", "arguments": "{}"}
    body = validate({**ASKED, "input": [call], "tools": tools}, ResponseBody)
    request = body.to_request("r")
    assert [(tool.name, body.path_of(("tools", index))) for index, tool in enumerate(request.tools)] == [
        ("clock", "tools[0]"),
        ("mcp__home__clock", "tools[2].tools[0]"),
    ]
    assert request.messages[0].calls == (Call("c", "mcp__home__clock", "{}"),)
    assert body.callees == {"mcp__home__clock": {"namespace": "mcp__home__", "name": "clock"}}
    assert ignored_names(body, REFUSED, IGNORED) == "tools[1]"


def test_effort_arrives_under_its_own_name() -> None:
    request = validate({**ASKED, "reasoning": {"effort": "low"}}, ResponseBody).to_request("r")
    assert request.effort == "low"
    assert validate({**ASKED, "reasoning": {"effort": None}}, ResponseBody).to_request("r").effort is None


def test_each_run_is_an_item() -> None:
    response = wire().plain(iter(EVENTS))
    assert [item["type"] for item in response["output"]] == ["reasoning", "message", "function_call", "function_call"]
    thought, message, call, other = response["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "well, so"}]
    assert message["content"] == [{"type": "output_text", "text": "yes 😀", "annotations": []}]
    assert (call["call_id"], call["name"], call["arguments"]) == ("call_1", "weather", '{"city": "Oslo"}')
    assert (other["call_id"], other["arguments"]) == ("call_2", "{}")
    assert len({item["id"] for item in response["output"]}) == 4
    assert {item["status"] for item in response["output"]} == {response["status"]} == {"completed"}
    assert (response["id"], response["usage"]["total_tokens"]) == ("resp_1", 15)


def test_the_stream_comes_to_the_plain_response() -> None:
    events = streamed(EVENTS)
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"] == wire().plain(iter(EVENTS))
    assert events[0]["response"]["output"] == [] and events[0]["response"]["status"] == "in_progress"
    added = [event for event in events if event["type"] == "response.output_item.added"]
    assert [event["item"]["status"] for event in added] == ["in_progress"] * 4
    for index, event in enumerate(added):
        own = [one for one in events if one.get("output_index") == index]
        assert own[0] is event and own[-1]["type"] == "response.output_item.done"
        assert {one["item_id"] for one in own if "item_id" in one} == {event["item"]["id"]}


def test_comments_tell_of_a_long_prompt() -> None:
    said = list(wire().stream(iter(EVENTS)))
    assert said[2] == b": prefill 4/10\n\n" and b'"sequence_number":2' in said[3]


def test_a_cut_answer_is_incomplete() -> None:
    *_, last = streamed([Text("so"), Finish("length", Usage(1, 1), Timing(0, 0, 1))])
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "incomplete")
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert last["response"]["output"][0]["status"] == "incomplete"


def test_a_failure_is_the_last_event() -> None:
    def breaking() -> Any:
        yield Text("so")
        raise EngineFailed("The engine failed.")

    *_, last = streamed(breaking())
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"] == {"code": "internal_error", "message": "The engine failed."}


@pytest.mark.parametrize(
    "takes, cancelled_by, kept, said",
    [(True, None, 1, True), (False, None, 1, False), (True, "api", 1, True), (True, "client", 0, True)],
)
def test_a_whole_response_is_kept_and_says_so(takes: bool, cancelled_by: Any, kept: int, said: bool) -> None:
    seen: list[dict[str, Any]] = []

    def keep(response: dict[str, Any]) -> bool:
        seen.append(dict(response))
        return takes

    finish = Finish("cancelled" if cancelled_by else "stop", Usage(1, 1), Timing(0, 0, 1), cancelled_by)
    response = ResponseWire("req_1", "m", 17, {}, keep).plain(iter([Text("so"), finish]))
    assert response["store"] is said
    assert [each | {"store": said} for each in seen] == [response] * kept
