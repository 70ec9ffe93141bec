"""What clients say to the chat template: options, efforts, and the beginning of the answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic
from anthropic import BadRequestError as AnthropicRefusal
from openai import BadRequestError, OpenAI

from tests.conftest import QWEN, Hearth

ITALY: Any = {"role": "user", "content": "What is the capital of Italy?"}
OBJECT: Any = {"type": "json_object"}
TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
def client(hearth: Hearth) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{hearth.base_url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
def anthropic(hearth: Hearth) -> Iterator[Anthropic]:
    with Anthropic(base_url=hearth.base_url, api_key="none", max_retries=0, timeout=60) as client:
        yield client


def chat(client: OpenAI, *messages: Any, model: str = "ember", **fields: Any) -> Any:
    chosen: Any = {"max_tokens": 100, "temperature": 0, **fields}
    return client.chat.completions.create(model=model, messages=[ITALY, *messages], **chosen)


def test_effort_turns_thinking_on_and_off(client: OpenAI) -> None:
    thoughtful, quick = (chat(client, reasoning_effort=effort).choices[0].message for effort in ("low", "none"))
    assert thoughtful.reasoning_content and getattr(quick, "reasoning_content", None) is None
    answered = client.responses.create(model="ember", input=ITALY["content"], reasoning={"effort": "low"})
    assert [item.type for item in answered.output] == ["reasoning", "message"]


def test_an_option_that_no_template_reads_is_refused_by_name(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="it reads enable_thinking") as refusal:
        chat(client, extra_body={"chat_template_kwargs": {"enable_thinking": False, "mood": "good"}})
    assert (refusal.value.code, refusal.value.param) == ("unsupported_parameter", "chat_template_kwargs.mood")


def test_the_answer_goes_on_where_its_beginning_ends(client: OpenAI, anthropic: Anthropic) -> None:
    whole = chat(client).choices[0].message.content
    begun, rest = whole[: whole.index(" Rome")], whole[whole.index(" Rome") :]
    beginning: Any = {"role": "assistant", "content": begun}
    answer = chat(client, beginning, extra_body={"chat_template_kwargs": {"enable_thinking": True}})
    assert answer.choices[0].message.content == rest
    chunks = chat(client, beginning, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == rest
    message = anthropic.messages.create(
        model="ember", messages=[ITALY, beginning], max_tokens=100, extra_body={"temperature": 0}
    )
    assert message.content[0].type == "text" and message.content[0].text == rest
    assert message.usage.cache_read_input_tokens
    response = client.responses.create(model="ember", input=[ITALY, beginning], temperature=0)
    assert response.output_text == rest


def test_the_text_of_a_prompt_and_its_answer_join(client: OpenAI) -> None:
    prompts = ["The river in the", "Where", "a", "token"]
    answer = client.completions.create(model=QWEN, prompt=prompts, max_tokens=12, seed=1, logprobs=0)
    assert any(choice.text.startswith(" ") for choice in answer.choices)
    for choice in answer.choices:
        assert choice.logprobs and choice.text == "".join(choice.logprobs.tokens or ())


@pytest.mark.parametrize(
    "fields, param",
    [({"response_format": OBJECT}, "response_format"), ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice")],
    ids=["form", "call"],
)
def test_a_form_cannot_begin_in_the_middle(client: OpenAI, fields: Any, param: str) -> None:
    with pytest.raises(BadRequestError) as refusal:
        chat(client, {"role": "assistant", "content": "{"}, **fields)
    assert refusal.value.param == param


@pytest.mark.parametrize(
    "text, fields, param",
    [
        ("So far ", {}, "messages[1].content"),
        ("So far", {"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
    ],
    ids=["space", "thinking"],
)
def test_what_anthropic_refuses_of_a_beginning(anthropic: Anthropic, text: str, fields: Any, param: str) -> None:
    beginning: Any = {"role": "assistant", "content": text}
    with pytest.raises(AnthropicRefusal) as refusal:
        anthropic.messages.create(model="ember", messages=[ITALY, beginning], max_tokens=9, **fields)
    body: Any = refusal.value.body
    assert body["error"]["param"] == param
