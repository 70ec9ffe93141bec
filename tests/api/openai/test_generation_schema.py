"""The wire schema: every field that works, every way a value is refused, each under its own path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from webapp.api.body import parse_object, validate
from webapp.api.openai.generation_schema import ChatBody, CompletionBody
from webapp.errors import InvalidRequest, UnsupportedParameter
from webapp.generation import Call, GenerationRequest, Message, TextPart

HELLO = {"role": "user", "content": "hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}


def chat(**fields: Any) -> GenerationRequest:
    return validate({"model": "m", "messages": [HELLO], **fields}, ChatBody).to_request("r1")


def complete(**fields: Any) -> GenerationRequest:
    return validate({"model": "m", "prompt": "once", **fields}, CompletionBody).to_request("r1")


def test_the_smallest_chat_leaves_everything_unset() -> None:
    messages = (Message.of("user", "hello"),)
    assert chat() == GenerationRequest(id="r1", model="m", messages=messages, insists_on_options=True)


def test_every_sampling_field_arrives_and_only_those_given() -> None:
    given = {
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 7,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "presence_penalty": -2,
        "frequency_penalty": 2,
        "seed": -(2**63),
    }
    assert chat(**given).sampling == given
    assert chat(seed=2**63 - 1, top_k=-1).sampling == {"seed": 2**63 - 1, "top_k": 0}


def test_null_means_unset_everywhere() -> None:
    names = [name for name in ChatBody.model_fields if name not in ("model", "messages")]
    assert chat(**dict.fromkeys(names)) == chat()
    nested = {"role": "user", "content": "hello", "name": None, "tool_call_id": None, "tool_calls": None}
    assert chat(messages=[nested], stream_options={"include_usage": None}) == chat()
    assert chat(chat_template_kwargs={"enable_thinking": None}) == chat()


def test_all_roles_and_text_parts() -> None:
    request = chat(
        messages=[
            {"role": "system", "content": "be"},
            {"role": "developer", "content": "do"},
            {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "rain", "tool_call_id": "c1"},
        ]
    )
    assert [message.role for message in request.messages] == ["system", "developer", "user", "assistant", "tool"]
    assert request.messages[2].parts == (TextPart("one "), TextPart("two"))
    assert request.messages[2].text == "one two"
    assert request.messages[3] == Message.of("assistant", "", calls=(Call("c1", "weather", '{"city": "Oslo"}'),))
    assert request.messages[4].call_id == "c1"


def test_arguments_arrive_as_they_were_written() -> None:
    broken = CALL | {"function": {"name": "weather", "arguments": "{oops"}}
    (message,) = chat(messages=[{"role": "assistant", "tool_calls": [broken]}]).messages
    assert message.calls == (Call("c1", "weather", "{oops"),)


def test_max_completion_tokens_wins() -> None:
    assert chat(max_tokens=5).max_tokens == 5
    assert chat(max_tokens=5, max_completion_tokens=9).max_tokens == 9
    assert complete().max_tokens is None


def test_stop_as_string_or_list() -> None:
    assert chat(stop="END").stop == ("END",)
    assert chat(stop=["a", "b"]).stop == ("a", "b")
    assert chat(stop=[]).stop == ()


@pytest.mark.parametrize("prompt, wanted", [("a", "a"), (["a"], "a"), ([1, 2], (1, 2)), ([[1, 2]], (1, 2))])
def test_prompts(prompt: object, wanted: object) -> None:
    assert complete(prompt=prompt).prompt == wanted


def test_each_prompt_of_a_list_is_a_request() -> None:
    body = validate({"model": "m", "prompt": [[1, 2], [3]], "max_tokens": 9}, CompletionBody)
    first, second = body.to_requests("r1")
    assert (first.id, first.prompt, first.prompt_index) == ("r1-0", (1, 2), 0)
    assert (second.id, second.prompt, second.prompt_index) == ("r1-1", (3,), 1)
    (alone,) = validate({"model": "m", "prompt": ["a"]}, CompletionBody).to_requests("r1")
    assert (alone.id, alone.prompt, alone.prompt_index) == ("r1", "a", 0)


def test_parts_know_their_whole() -> None:
    body = validate({"model": "m", "prompt": ["a", "b"], "n": 2}, CompletionBody)
    parts = body.to_requests("r1")
    assert [part.id for part in parts] == ["r1-0-0", "r1-0-1", "r1-1-0", "r1-1-1"]
    assert {part.request_id for part in parts} == {"r1"}
    answers = validate({"model": "m", "messages": [HELLO], "n": 2}, ChatBody).to_requests("r1")
    assert [(each.id, each.request_id) for each in answers] == [("r1-0", "r1"), ("r1-1", "r1")]
    assert chat().request_id == "r1"


def test_what_the_template_is_told_arrives_as_it_is() -> None:
    told = {"enable_thinking": False, "documents": [{"title": "a"}], "date_string": "today"}
    assert chat(chat_template_kwargs=told | {"x": None}).template_options == told
    assert chat(reasoning_effort="low").effort == "low"


def message_with(**fields: Any) -> dict[str, Any]:
    return {"messages": [HELLO, {"role": "user", "content": "x"} | fields]}


REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    ({"model": None}, "model", "missing_required_parameter"),
    ({"model": 7}, "model", "invalid_type"),
    ({"model": ""}, "model", "invalid_value"),
    ({"messages": None}, "messages", "missing_required_parameter"),
    ({"messages": []}, "messages", "invalid_value"),
    ({"messages": "hello"}, "messages", "invalid_type"),
    ({"messages": [HELLO] * 2049}, "messages", "invalid_value"),
    ({"messages": ["hello"]}, "messages[0]", "invalid_type"),
    (message_with(role="pirate"), "messages[1].role", "invalid_value"),
    (message_with(role=None), "messages[1].role", "invalid_value"),
    (message_with(content=None), "messages[1].content", "missing_required_parameter"),
    (message_with(content=7), "messages[1].content", "invalid_type"),
    (message_with(content=["x"]), "messages[1].content[0]", "invalid_type"),
    (message_with(content=[{"type": "text"}]), "messages[1].content[0].text", "missing_required_parameter"),
    (message_with(content=[{"type": "song", "text": ""}]), "messages[1].content[0].type", "invalid_value"),
    (message_with(content=[{"type": "image_url"}]), "messages[1].content[0].type", "unsupported_parameter"),
    (message_with(content=[{"type": "input_audio"}]), "messages[1].content[0].type", "unsupported_parameter"),
    (message_with(role="tool"), "messages[1].tool_call_id", "missing_required_parameter"),
    (message_with(tool_calls=[CALL]), "messages[1].tool_calls", "invalid_value"),
    (message_with(tool_calls=[{"id": "x"}]), "messages[1].tool_calls[0].type", "missing_required_parameter"),
    ({"temperature": 2.1}, "temperature", "invalid_value"),
    ({"temperature": -0.1}, "temperature", "invalid_value"),
    ({"temperature": True}, "temperature", "invalid_type"),
    ({"temperature": "1"}, "temperature", "invalid_type"),
    ({"temperature": float("inf")}, "temperature", "invalid_value"),
    ({"temperature": 10**400}, "temperature", "invalid_type"),
    ({"top_p": 0}, "top_p", "invalid_value"),
    ({"top_p": 1.01}, "top_p", "invalid_value"),
    ({"top_k": -2}, "top_k", "invalid_value"),
    ({"top_k": 2**31}, "top_k", "invalid_value"),
    ({"top_k": 1.5}, "top_k", "invalid_type"),
    ({"min_p": 2}, "min_p", "invalid_value"),
    ({"repetition_penalty": 0}, "repetition_penalty", "invalid_value"),
    ({"presence_penalty": 3}, "presence_penalty", "invalid_value"),
    ({"frequency_penalty": -3}, "frequency_penalty", "invalid_value"),
    ({"seed": 2**63}, "seed", "invalid_value"),
    ({"seed": 1.0}, "seed", "invalid_type"),
    ({"seed": False}, "seed", "invalid_type"),
    ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    ({"max_tokens": True}, "max_tokens", "invalid_type"),
    ({"max_completion_tokens": 2**31}, "max_completion_tokens", "invalid_value"),
    ({"stop": 1.5}, "stop", "invalid_type"),
    ({"stop": ""}, "stop", "invalid_value"),
    ({"stop": ["a", ""]}, "stop[1]", "invalid_value"),
    ({"stop": ["a"] * 17}, "stop", "invalid_value"),
    ({"stop": ["x" * 257]}, "stop[0]", "invalid_value"),
    ({"stop": [1, 2]}, "stop[0]", "invalid_type"),
    ({"stream": "yes"}, "stream", "invalid_type"),
    ({"stream": 1}, "stream", "invalid_type"),
    ({"stream_options": []}, "stream_options", "invalid_type"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "invalid_type"),
    ({"chat_template_kwargs": {"enable_thinking": 1}}, "chat_template_kwargs.enable_thinking", "invalid_type"),
    ({"chat_template_kwargs": {"a b": 1}}, "chat_template_kwargs.a b", "invalid_value"),
    ({"chat_template_kwargs": {f"x{n}": n for n in range(33)}}, "chat_template_kwargs", "invalid_value"),
    ({"chat_template_kwargs": {"x": ["y" * 30_000]}}, "chat_template_kwargs", "invalid_value"),
    ({"reasoning_effort": "enormous"}, "reasoning_effort", "invalid_value"),
]


@pytest.mark.parametrize("fields, param, code", REFUSALS, ids=lambda value: str(value)[:50])
def test_refused_under_its_path(fields: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        chat(**fields)
    assert (refusal.value.param, refusal.value.code) == (param, code)
    assert isinstance(refusal.value, UnsupportedParameter) == (code == "unsupported_parameter")


@pytest.mark.parametrize(
    "prompt, param, code",
    [
        (None, "prompt", "missing_required_parameter"),
        ("", "prompt", "invalid_value"),
        ([], "prompt", "invalid_value"),
        (7, "prompt", "invalid_type"),
        ([1, "a"], "prompt[1]", "invalid_type"),
        ([-1], "prompt[0]", "invalid_value"),
        ([True], "prompt[0]", "invalid_type"),
        ([2**31], "prompt[0]", "invalid_value"),
        (["a", 1], "prompt[1]", "invalid_type"),
        (["a", ""], "prompt[1]", "invalid_value"),
        (["a"] * 129, "prompt", "invalid_value"),
        ([[1], []], "prompt[1]", "invalid_value"),
        ([["a"]], "prompt[0][0]", "invalid_type"),
    ],
    ids=str,
)
def test_prompts_refused(prompt: object, param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        complete(prompt=prompt)
    assert (refusal.value.param, refusal.value.code) == (param, code)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{} {}",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}",
        b'{"a": ' + b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_bodies_that_are_no_json_object(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_object(body)
    assert refusal.value.param is None
    assert len(str(refusal.value)) < 200


def test_depth_up_to_the_limit_passes() -> None:
    body = b'{"a": ' + b"[" * 63 + b"]" * 63 + b"}"
    assert parse_object(body) == json.loads(body)


def test_a_long_client_key_is_not_echoed_whole() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        chat(chat_template_kwargs={"k" * 100_000: 1})
    assert len(str(refusal.value)) < 200
