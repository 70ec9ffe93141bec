"""What a request insists on is kept to by models that say anything: calls, strict arguments, likelihoods."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from openai import BadRequestError, OpenAI
from pydantic import BaseModel, Field

from tests.conftest import LLAMA, QWEN, Hearth

HELLO: Any = [{"role": "user", "content": "Tell me about the river."}]
PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "unit": {"enum": ["C", "F"]},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}
WEATHER: Any = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS, "strict": True}}
CLOCK: Any = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
SCHEMAS = {"get_weather": PARAMETERS, "clock": {"type": "object"}}


@pytest.fixture
def client(hearth: Hearth) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{hearth.base_url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def chat(client: OpenAI, **fields: Any) -> Any:
    chosen: Any = {"model": QWEN, "messages": HELLO, "max_tokens": 300, "temperature": 1, "seed": 1, **fields}
    return client.chat.completions.create(**chosen)


def folded(chunks: Any) -> dict[int, list[tuple[str, str]]]:
    """The calls of each choice."""
    calls: dict[int, dict[int, list[str]]] = {}
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        for piece in choice.delta.tool_calls or ():
            call = calls.setdefault(choice.index, {}).setdefault(piece.index, ["", ""])
            call[0] += piece.function.name or ""
            call[1] += piece.function.arguments or ""
    return {index: [(name, said) for name, said in found.values()] for index, found in calls.items()}


@pytest.mark.parametrize("model", [QWEN, LLAMA, "ember"])
def test_a_required_call_is_always_a_whole_one(client: OpenAI, model: str) -> None:
    fields: Any = {"model": model, "n": 8, "tools": [WEATHER, CLOCK], "parallel_tool_calls": False}
    choices = chat(client, **fields, tool_choice="required").choices
    whole = {}
    for choice in (choice for choice in choices if choice.finish_reason != "length"):
        assert choice.finish_reason == "tool_calls" and choice.message.content is None
        (call,) = choice.message.tool_calls
        jsonschema.validate(json.loads(call.function.arguments), SCHEMAS[call.function.name])
        whole[choice.index] = [(call.function.name, call.function.arguments)]
    assert whole
    streamed = folded(chat(client, **fields, tool_choice="required", stream=True))
    assert {index: streamed[index] for index in whole} == whole


@pytest.mark.parametrize("model", [QWEN, LLAMA])
def test_a_named_call_is_of_that_tool(client: OpenAI, model: str) -> None:
    named: Any = {"type": "function", "function": {"name": "clock"}}
    fields: Any = {"model": model, "tools": [WEATHER, CLOCK], "n": 4, "max_tokens": 100}
    calls = [
        call for choice in chat(client, **fields, tool_choice=named).choices for call in choice.message.tool_calls or ()
    ]
    assert calls and {call.function.name for call in calls} == {"clock"}


def test_strict_arguments_are_kept_when_the_model_may_choose(client: OpenAI, hearth: Hearth) -> None:
    """A bias makes a random model call; what it then says is bound."""
    [marker] = hearth.server.backend.tokenizer(hearth.server.catalog.find(QWEN)).encode("<tool_call>")
    choices = chat(client, tools=[WEATHER], logit_bias={str(marker): 9}, seed=0, n=6, max_tokens=400).choices
    calls = [call for choice in choices for call in choice.message.tool_calls or ()]
    assert calls
    for call in calls:
        jsonschema.validate(json.loads(call.function.arguments), PARAMETERS)


def test_a_strict_schema_that_cannot_be_enforced_is_refused(client: OpenAI) -> None:
    impossible = {"type": "object", "properties": {"a": {"not": {"type": "string"}}}}
    strict: Any = {"type": "function", "function": {"name": "f", "parameters": impossible, "strict": True}}
    with pytest.raises(BadRequestError) as refused:
        chat(client, tools=[CLOCK, strict])
    assert refused.value.param == "tools[1].function.parameters"
    lenient: Any = {"type": "function", "function": {"name": "f", "parameters": impossible}}
    chat(client, tools=[lenient], tool_choice="required", max_tokens=20)


@pytest.mark.parametrize("several", [False, True])
def test_each_answer_has_calls_and_ids_of_its_own(client: OpenAI, several: bool) -> None:
    fields: Any = {"tools": [WEATHER], "tool_choice": "required", "n": 3, "parallel_tool_calls": several}
    plain = [choice.message.tool_calls or () for choice in chat(client, **fields).choices]
    assert len({*(call.function.arguments for calls in plain for call in calls)}) > 1
    ids: list[dict[int, str]] = [{}, {}, {}]
    written: list[dict[int, str]] = [{}, {}, {}]
    for chunk in chat(client, **fields, stream=True):
        for choice in chunk.choices:
            for piece in choice.delta.tool_calls or ():
                if piece.id:
                    assert piece.index not in ids[choice.index] and piece.function.name
                    ids[choice.index][piece.index] = piece.id
                said = written[choice.index].get(piece.index, "")
                written[choice.index][piece.index] = said + (piece.function.arguments or "")
    assert [[*own.values()] for own in written] == [[call.function.arguments for call in calls] for calls in plain]
    for named in ([call.id for calls in plain for call in calls], [one for own in ids for one in own.values()]):
        assert len({*named}) == len(named) >= 3 and all(one.startswith("call_") for one in named)


FORMS: Any = {
    "schema": {"type": "json_schema", "json_schema": {"name": "person", "schema": PARAMETERS}},
    "regex": {"type": "regex", "regex": r"[a-f/]{3,9}\n[0-9]"},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bias", [-100, 20], ids=["text", "call"])
def test_an_answer_is_of_the_form_or_a_call(client: OpenAI, hearth: Hearth, form: str, bias: int) -> None:
    [marker] = hearth.server.backend.tokenizer(hearth.server.catalog.find(QWEN)).encode("<tool_call>")
    fields: Any = {"tools": [WEATHER], "parallel_tool_calls": False, "logit_bias": {str(marker): bias}}
    for seed in range(2):
        (choice,) = chat(client, response_format=FORMS[form], seed=seed, **fields).choices
        if bias > 0:
            (call,) = choice.message.tool_calls
            jsonschema.validate(json.loads(call.function.arguments), PARAMETERS)
        elif form == "schema":
            jsonschema.validate(json.loads(choice.message.content), PARAMETERS)
        else:
            assert re.fullmatch(FORMS["regex"]["regex"], choice.message.content)


def test_a_form_gives_way_to_a_call_that_is_required(client: OpenAI) -> None:
    fields: Any = {"tools": [CLOCK], "response_format": {"type": "json_object"}, "parallel_tool_calls": False}
    assert chat(client, tool_choice="required", **fields).choices[0].finish_reason == "tool_calls"
    (choice,) = chat(client, tool_choice="none", **fields, max_tokens=5).choices
    assert choice.message.content.startswith("{")


def test_a_grammar_of_ones_own_and_tools_do_not_go_together(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        chat(client, tools=[CLOCK], response_format={"type": "grammar", "grammar": "start: /a+/"})
    assert refused.value.param == "response_format.grammar"


class Person(BaseModel):
    name: str = Field(max_length=12)
    age: int = Field(ge=0, le=120)


def test_parse_gives_the_type_that_was_asked_for(client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="ember", messages=HELLO, response_format=Person, max_tokens=200, temperature=0
    )
    assert isinstance(answer.choices[0].message.parsed, Person)


# Likelihoods


@pytest.mark.parametrize("model", [QWEN, LLAMA])
def test_logprobs_are_of_the_tokens_that_make_the_text(client: OpenAI, model: str) -> None:
    fields: Any = {"model": model, "temperature": 0, "max_tokens": 30, "logprobs": True, "top_logprobs": 3}
    (choice,) = chat(client, **fields).choices
    tokens = choice.logprobs.content
    assert b"".join(bytes(token.bytes) for token in tokens).decode(errors="replace") == choice.message.content
    for token in tokens:
        assert [each.logprob for each in token.top_logprobs] == sorted(e.logprob for e in token.top_logprobs)[::-1]
        assert token.top_logprobs[0].token == token.token  # greedy takes the likeliest
        assert token.logprob == pytest.approx(token.top_logprobs[0].logprob)
        assert sum(math.exp(each.logprob) for each in token.top_logprobs) <= 1.0001


def test_streamed_logprobs_equal_plain_ones(client: OpenAI) -> None:
    fields: Any = {"temperature": 0, "max_tokens": 30, "logprobs": True, "top_logprobs": 2}
    plain = chat(client, **fields).choices[0].logprobs.content
    chunks = [chunk.choices[0] for chunk in chat(client, **fields, stream=True) if chunk.choices]
    streamed = [token for choice in chunks if choice.logprobs for token in choice.logprobs.content]
    assert streamed == plain


def test_logprobs_without_top_and_without_being_asked(client: OpenAI) -> None:
    assert chat(client, max_tokens=3).choices[0].logprobs is None
    tokens = chat(client, max_tokens=3, logprobs=True).choices[0].logprobs.content
    assert [token.top_logprobs for token in tokens] == [[]] * 3
    with pytest.raises(BadRequestError) as refused:
        chat(client, top_logprobs=3)
    assert refused.value.param == "top_logprobs"


def test_completions_tell_logprobs_in_the_older_shape(client: OpenAI) -> None:
    answer = client.completions.create(model=QWEN, prompt="The river", max_tokens=8, temperature=0, logprobs=2)
    (choice,) = answer.choices
    assert choice.logprobs is not None
    tokens, offsets = choice.logprobs.tokens or [], choice.logprobs.text_offset or []
    assert len(tokens) == 8
    assert [len(each) for each in choice.logprobs.top_logprobs or []] == [2] * 8
    assert offsets[0] == 0 and offsets == sorted(offsets)


# Several answers


def test_several_answers_to_one_prompt_cost_one_prefill(client: OpenAI, hearth: Hearth) -> None:
    long: Any = [{"role": "user", "content": "Tell me about the river. " * 20}]
    answer = chat(client, messages=long, n=4, max_tokens=12, seed=7)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    texts = [choice.message.content for choice in answer.choices]
    assert len(set(texts)) == 4
    assert answer.usage.completion_tokens == 48
    alone = chat(client, messages=long, max_tokens=12, seed=9)
    assert alone.usage.prompt_tokens == answer.usage.prompt_tokens
    assert alone.choices[0].message.content == texts[2]


def test_streamed_answers_are_told_apart(client: OpenAI) -> None:
    plain = chat(client, n=3, max_tokens=10)
    texts = ["", "", ""]
    for chunk in chat(client, n=3, max_tokens=10, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in plain.choices]


def test_several_answers_to_several_prompts(client: OpenAI) -> None:
    answer = client.completions.create(model=QWEN, prompt=["The river", "A letter"], n=2, max_tokens=5, temperature=0)
    texts = [choice.text for choice in answer.choices]
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert texts[0] == texts[1] and texts[2] == texts[3] and texts[0] != texts[2]
    assert answer.usage is not None and answer.usage.prompt_tokens < 20


@pytest.mark.parametrize("n", [0, 17, 1.5, True, "2"])
def test_a_wrong_number_of_answers_is_named(client: OpenAI, n: Any) -> None:
    with pytest.raises(BadRequestError) as refused:
        chat(client, n=n)
    assert refused.value.param == "n"
